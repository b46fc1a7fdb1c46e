"""Text files: those of others, no larger than such files are and no pipes, and our JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MOST_BYTES = 16_000_000
"""Of sidecars, descriptions, records and lists of labels; real ones hold a megabyte."""


def read_text(path: Path, *, encoding: str = "utf-8-sig", most: int = MOST_BYTES) -> str:
    """All of a text file.

    Parameters
    ----------
    path
        The file.
    encoding
        Of its text.
    most
        Bytes that it may hold.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is larger, no plain file, or not in this encoding.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise ValueError("not a plain file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most / 1e6:g} MB")
    return content.decode(encoding)


def read_json(path: Path, *, encoding: str = "utf-8-sig", most: int = MOST_BYTES) -> Any:
    """The value in a JSON file.

    Raises
    ------
    OSError, ValueError
        As `read_text`, or if it is not JSON or nested too deep.
    """
    try:
        return json.loads(read_text(path, encoding=encoding, most=most))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def to_json(value: Any) -> bytes:
    """Bytes of a JSON file: indent 2, keys in the order given, a newline at the end.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a path may hold bytes that are no text
