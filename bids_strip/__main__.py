"""``python -m bids_strip``, and the program ``bids_strip``."""

import contextlib
import logging
import os
import sys
from typing import NoReturn

from bids_strip.cli import main


def run() -> NoReturn:
    """Run the program and be gone: taking the interpreter apart costs a third of a second."""
    code = main()
    logging.shutdown()
    with contextlib.suppress(BrokenPipeError):  # whoever read it has seen enough
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
