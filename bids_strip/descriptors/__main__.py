"""``python -m bids_strip.descriptors --image NAME > boutiques.json`` renders it anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bids_strip.descriptors.boutiques import IMAGE, descriptor
from bids_strip.descriptors.common import to_text


def main(argv: Sequence[str] | None = None) -> int:
    """Print the Boutiques descriptor."""
    parser = argparse.ArgumentParser(
        prog="python -m bids_strip.descriptors", description="Print the Boutiques descriptor."
    )
    parser.add_argument("--image", default=IMAGE, help="name of the container image")
    parser.add_argument(
        "--container-option", action="append", default=[], metavar="OPTION",
        help="for the container's command, for example --container-option=--nv",
    )  # fmt: skip
    args = parser.parse_args(argv)
    made = descriptor(args.image, container_options=args.container_option)
    sys.stdout.write(to_text(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
