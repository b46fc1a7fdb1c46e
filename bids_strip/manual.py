"""The mask that a rater may put beside ours: where it lies, and whether a record knows it."""

from __future__ import annotations

from pathlib import Path

from bids_strip.domain import Run
from bids_strip.errors import WriteError
from bids_strip.fingerprint import InputFile, same_file
from bids_strip.naming import manual_name


def find_manual(run: Run, output_dir: Path) -> Path | None:
    """The edited mask of a run, None if there is none.

    One saved without compression is found too, so that it is refused and not passed over; so is a
    link to nothing: the edit is a rater's work, though its content be away.

    Raises
    ------
    WriteError
        If the file system does not say whether there is one.
    """
    path = output_dir / manual_name(run)
    plain = path.with_name(path.name.removesuffix(".gz"))
    return next((one for one in (path, plain) if _is_there(one)), None)


def seems_edited(run: Run, output_dir: Path) -> bool:
    """True if an edited mask is seen; where that cannot be said its run will tell why."""
    try:
        return find_manual(run, output_dir) is not None
    except WriteError:
        return False


def same_manual(run: Run, output_dir: Path, known: InputFile | None) -> bool:
    """True if the edited mask is the one recorded, or absent now as it was then."""
    try:
        path = find_manual(run, output_dir)
    except WriteError:
        return False
    if path is None or known is None:
        return path is None and known is None
    return same_file(path, known) is True


def _is_there(path: Path) -> bool:
    """True for a link to nothing, too.

    Raises
    ------
    WriteError
        If the file system does not say.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise WriteError(
            f"{path.parent}: cannot be searched for an edited mask ({error.strerror or error}); "
            "allow reading and writing in it, then call again"
        ) from error
    return True
