"""``python -m bids_strip``."""

import sys

from bids_strip.cli import main

if __name__ == "__main__":
    sys.exit(main())
