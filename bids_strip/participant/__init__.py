"""Participant level: one file a stage, in the order of `pipeline`."""
