"""Words of messages: what there is, in a few names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SHOWN = 5
"""Labels or names listed in a message."""


def listed(labels: Sequence[str]) -> str:
    """Write out up to `SHOWN` labels, with an ellipsis where there are more."""
    return ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")


def counted(number: int, what: str) -> str:
    """Write a number of things: ``1 run``, ``2 runs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def what_there_is(labels: Sequence[str]) -> str:
    """Say what there is instead."""
    return f"present: {listed(labels)}" if labels else "no image names one"


def split_hint(labels: Sequence[str]) -> str:
    """The end of a message on labels that are absent: what to do where one holds a comma."""
    return "; separate labels by blanks" if any("," in label for label in labels) else ""


def seen(folder: Path) -> str:
    """Say what a folder holds, in a few words."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return f"{folder} holds {listed(names)}" if names else f"{folder} is empty"
