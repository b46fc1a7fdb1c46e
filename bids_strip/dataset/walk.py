"""The images of a dataset: ``sub-*/[ses-*/]anat`` alone are opened.

Each file name is handed to pybids' entity parser: an index of the whole dataset would take longer
than the start may.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_strip.dataset.content import describe_missing
from bids_strip.dataset.names import Image, NameReader
from bids_strip.dataset.words import split_hint, what_there_is
from bids_strip.errors import DatasetError, SelectionError

_MAGNITUDE = (None, "mag")


def subject_folders(root: Path, labels: Sequence[str]) -> list[str]:
    """List the participants' folders: those named, else all."""
    found = _all_subject_folders(root)
    absent = [label for label in labels if f"sub-{label}" not in found]
    if absent:
        present = [name.removeprefix("sub-") for name in found]
        raise SelectionError(
            f"--participant-label {', '.join(absent)}: no such participant in {root}; "
            f"{what_there_is(present)}{split_hint(absent)}"
        )
    return [f"sub-{label}" for label in labels] or found


def _all_subject_folders(root: Path) -> list[str]:
    """List the participants' folders."""
    return sorted(e.name for e in _entries(root) if e.name.startswith("sub-") and _is_folder(e))


@dataclass(frozen=True, slots=True)
class Found:
    """What the folders of some participants hold.

    Attributes
    ----------
    images
        Magnitude images.
    not_bids
        Relative paths of files whose names cannot be read.
    closed
        A line for each participant with a folder that cannot be opened; nothing of them is among
        the others.
    names
        Relative paths of all files that look like images of the modality.
    without
        Folders of the participants who have no magnitude image, nor a name that cannot be read.
    """

    images: tuple[Image, ...]
    not_bids: tuple[str, ...]
    closed: tuple[str, ...]
    names: tuple[str, ...]
    without: tuple[str, ...]


def find_images(root: Path, subjects: Iterable[str], suffixes: Sequence[str]) -> Found:
    """Find the participants' magnitude images, and what is in the way of finding them."""
    read = NameReader.of_pybids(root)
    found: dict[str, Image | None] = {}
    closed, without = [], []
    for subject in subjects:
        try:
            images = {name: read(name) for name in anat_files(root, subject, suffixes)}
        except DatasetError as error:
            closed.append(str(error))
        else:
            found.update(images)
            if not any(image is None or _is_magnitude(image) for image in images.values()):
                without.append(subject)
    return Found(
        images=tuple(i for i in found.values() if i is not None and _is_magnitude(i)),
        not_bids=tuple(name for name, image in found.items() if image is None),
        closed=tuple(closed),
        names=tuple(found),
        without=tuple(without),
    )


def _is_magnitude(image: Image) -> bool:
    """False for phase, real and imaginary parts."""
    return image.entities.get("part") in _MAGNITUDE


def images_of_others(
    root: Path, subjects: Sequence[str], suffixes: Sequence[str]
) -> Iterator[Image]:
    """Find the images of the participants that are not among some, one participant at a time."""
    read = NameReader.of_pybids(root)
    named = set(subjects)
    for other in _all_subject_folders(root):
        if other not in named:
            with contextlib.suppress(DatasetError):
                found = (read(relative) for relative in anat_files(root, other, suffixes))
                yield from (image for image in found if image is not None)


def anat_files(root: Path, subject: str, suffixes: Sequence[str]) -> Iterator[str]:
    """List relative paths of NIfTI files of some suffixes in a participant's ``anat`` folders."""
    return files_in_anat(root, subject, rf"sub-.+_(?:{'|'.join(suffixes)})\.nii(?:\.gz)?")


def files_in_anat(root: Path, subject: str, name: str) -> Iterator[str]:
    """List relative paths of files in a participant's ``anat`` folders whose names fit a pattern.

    Raises
    ------
    DatasetError
        If a folder on the way cannot be opened.
    """
    pattern = re.compile(name)
    for folder in _anat_folders(root, subject):
        for entry in _entries(root / folder):
            if pattern.fullmatch(entry.name) and not _is_folder(entry, hidden=False):
                yield f"{folder}/{entry.name}"


def _anat_folders(root: Path, folder: str) -> Iterator[str]:
    """List relative paths of ``sub-*/anat`` and ``sub-*/ses-*/anat`` below a participant."""
    for entry in _entries(root / folder):
        if entry.name == "anat" and _is_folder(entry):
            yield f"{folder}/anat"
        elif entry.name.startswith("ses-") and "/" not in folder and _is_folder(entry):
            yield from _anat_folders(root, f"{folder}/{entry.name}")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder.

    Raises
    ------
    DatasetError
        If it cannot be opened.
    """
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        why = describe_missing(folder) or f"{error.strerror}; make it readable"
        raise DatasetError(
            f"{folder}: {why}, or leave the participant out with --participant-label"
        ) from error


def _is_folder(entry: os.DirEntry[str], *, hidden: bool = True) -> bool:
    """Tell whether an entry is a folder or a link to one; a link to itself is none.

    Parameters
    ----------
    entry
        Of a folder.
    hidden
        What to say where nobody can look, of a link to nothing for example: who opens it as a
        folder then says why it does not open. Names of files, with an extension, are none.
    """
    unseen = hidden and "." not in entry.name
    try:
        return entry.is_dir() or (unseen and _leads_nowhere(entry))
    except OSError as error:
        return unseen and error.errno != errno.ELOOP


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a link to nothing."""
    if entry.is_symlink():
        try:
            entry.stat()
        except FileNotFoundError:
            return True
    return False
