"""Embedded networks and their cards."""
