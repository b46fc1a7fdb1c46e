"""Whose brain it is: descriptors of stripped brains, and which of them are alike.

Only ``--identity-check`` asks for any of this. A descriptor identifies a person as a fingerprint
does: it lies in ``logs/identity`` alone, never in a record or a page.
"""
