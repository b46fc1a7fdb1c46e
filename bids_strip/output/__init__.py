"""OUTPUT_DIR: whose it is, its locks, how files get into it, what describes them."""
