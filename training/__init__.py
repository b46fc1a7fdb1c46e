"""Training of the embedded network; not part of the wheel, never imported by ``bids_strip``."""
