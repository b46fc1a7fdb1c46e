"""The embedded example: heads drawn by code, with a truth that no network has seen."""
