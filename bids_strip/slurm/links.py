"""Where the links of a dataset lead out of it: a container has to see these folders too."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from bids_strip.dataset.words import listed
from bids_strip.errors import UsageError

MOST_FOLDERS = 20
"""Folders that are bound one by one: above that, those around them are."""
_MOST_LINKS = 40
"""Links on one way that Linux follows."""


def folders_outside(root: Path, files: Iterable[str]) -> frozenset[Path]:
    """Folders outside a dataset that have to be seen for some of its files to be read.

    A link is followed by its text, as where the same paths are bound: each stop on the way is
    needed, not the end alone; and where links are among the folders around a stop, what they lead
    to: with a folder around them bound, they are links there too.

    Parameters
    ----------
    root
        Of the dataset, absolute.
    files
        Relative paths. One that is a link to nothing, or is not there, needs what is there.
    """
    whole = Path(os.path.normpath(root))
    stops = {folder for file in files for folder in _stops(whole, Path(file))}
    found = {folder for stop in stops for folder in _spellings(stop)}
    return frozenset(f for f in found if not f.is_relative_to(whole) and _is_folder(f))


def in_few(folders: Collection[Path]) -> tuple[Path, ...]:
    """At most `MOST_FOLDERS` folders that hold all of some: the deepest give way to their parents.

    Raises
    ------
    UsageError
        If the root of the file system alone holds them.
    """
    few = _outermost(folders)
    while len(few) > MOST_FOLDERS:
        deepest = max(len(folder.parts) for folder in few)
        few = _outermost({f.parent if len(f.parts) == deepest else f for f in few})
    if Path("/") in few:
        some = listed(sorted(map(str, folders)))
        raise UsageError(
            f"--container: the images are links into {len(folders)} folders ({some}) that no few "
            "folders but / hold, and / cannot be bound; keep them below one folder, or write a "
            "script for some participants at a time (--participant-label)"
        )
    return tuple(sorted(few))


def _outermost(folders: Collection[Path]) -> set[Path]:
    """Folders without those that lie in another of them."""
    every = set(folders)
    return {folder for folder in every if every.isdisjoint(folder.parents)}


def _stops(root: Path, file: Path) -> Iterator[Path]:
    """Folders outside that hold what the links on the way to a file name."""
    at, ahead, links = root, deque(file.parts), 0
    while ahead:
        at = at / ahead.popleft()
        while links < _MOST_LINKS and (target := _target(at)) is not None:
            links += 1
            if target.is_relative_to(root):  # from its top again: folders on the way may be links
                ahead.extendleft(reversed(target.relative_to(root).parts))
                at = root
                break
            yield target.parent
            at = target


def _spellings(folder: Path) -> Iterator[Path]:
    """A folder, and how its path goes on at each link on the way to it."""
    yield folder
    at, ahead, links = Path("/"), deque(folder.parts[1:]), 0
    while ahead:
        at = at / ahead.popleft()
        target = _target(at)
        if target is not None and links < _MOST_LINKS:
            links += 1
            ahead.extendleft(reversed(target.parts[1:]))
            at = Path("/")
            yield at.joinpath(*ahead)


def _is_folder(path: Path) -> bool:
    """Tell whether there is a folder to bind; none where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib's own raises there


def _target(path: Path) -> Path | None:
    """What a link names; None if it is no link."""
    try:
        link = path.readlink()
    except OSError:
        return None
    return Path(os.path.normpath(path.parent / link))
