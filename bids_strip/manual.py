"""The mask that a rater may put beside ours: where it lies, and whether a record knows it."""

from __future__ import annotations

from pathlib import Path

from bids_strip.domain import Run
from bids_strip.naming import manual_name
from bids_strip.record import InputFile, same_file


def find_manual(run: Run, output_dir: Path) -> Path | None:
    """The edited mask of a run, None if there is none.

    One saved without compression is found too, so that it is refused and not passed over.
    """
    path = output_dir / manual_name(run)
    plain = path.with_name(path.name.removesuffix(".gz"))
    return next((one for one in (path, plain) if one.exists()), None)


def same_manual(run: Run, output_dir: Path, known: InputFile | None) -> bool:
    """True if the edited mask is the one recorded, or absent now as it was then."""
    path = find_manual(run, output_dir)
    if path is None or known is None:
        return path is None and known is None
    return same_file(path, known)
