"""Affines between a head, the coarse reference and templates."""
