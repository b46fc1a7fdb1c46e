"""What keeps a program from training, or ends it, told in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingError(ValueError):
    """Its message says what is wrong where, and what helps."""


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """End the program with the message of a `TrainingError`; other errors keep their traceback."""
    try:
        yield
    except TrainingError as error:
        sys.exit(str(error))
