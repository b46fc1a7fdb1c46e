"""``python -m bids_strip``, and the program ``bids_strip``."""

import contextlib
import logging
import os
import sys
from typing import NoReturn

from bids_strip.cli import main


def run() -> NoReturn:
    """Run the program and be gone: taking the interpreter apart takes a while.

    Who traces or profiles it gets the usual end, at which such tools write.
    """
    code = main()
    if sys.gettrace() is None and sys.getprofile() is None:
        logging.shutdown()
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
