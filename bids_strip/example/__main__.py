"""``python -m bids_strip.example OUT`` writes the example dataset."""

import sys
from pathlib import Path

from bids_strip.example.dataset import write_example


def main(argv: list[str]) -> int:
    """Write the example below the one path in ``argv``; return the exit code."""
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m bids_strip.example OUT", file=sys.stderr)
        return 0 if argv in (["-h"], ["--help"]) else 64
    try:
        write_example(Path(argv[0]))
    except OSError as error:
        print(f"bids_strip.example: {error}", file=sys.stderr)
        return 73
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
