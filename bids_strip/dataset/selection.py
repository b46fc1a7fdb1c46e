"""BIDS root and filters -> runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_strip.dataset.description import read_description
from bids_strip.dataset.filters import (
    check_present,
    in_words,
    label_filters,
    labels_of,
    read_filter_file,
    selected,
    unfiltered,
)
from bids_strip.dataset.walk import Found, find_images, images_of_others, subject_folders
from bids_strip.dataset.words import listed, seen
from bids_strip.domain import Run
from bids_strip.errors import DatasetError, MissingInputError, SelectionError
from bids_strip.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """What a dataset holds for an invocation.

    Attributes
    ----------
    runs
        Sorted by relative path. Broken links are among them: they fail when they are loaded.
        Images of phase, real or imaginary part are not.
    not_bids
        Relative paths of files that look like images of the modality but whose names are not raw
        BIDS, or disagree with their folder.
    closed
        A line for each participant whose folders cannot be opened.
    notes
        Lines on what was asked for and has no effect, a suffix without images among it, and on
        participants without an image.
    """

    runs: tuple[Run, ...]
    not_bids: tuple[str, ...]
    closed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def select(settings: Settings) -> Selection:
    """Find the images to process.

    Parameters
    ----------
    settings : Settings
        BIDS_DIR, labels, filter file and modality are read.

    Returns
    -------
    Selection
        The runs, and what was left out.

    Raises
    ------
    UsageError
        If a file of labels or the filter file cannot be read.
    DatasetError
        If BIDS_DIR is no readable BIDS dataset, or none of the participants' folders can be opened.
    SelectionError
        If a named label is absent or the filters leave nothing.
    MissingInputError
        If the dataset, or the participants named, hold no image of the modality.
    """
    participants = labels_of(settings.participant_label, "sub")
    filters = label_filters(settings)
    queries = read_filter_file(settings.bids_filter_file, settings.modality)
    read_description(settings.bids_dir)
    root = settings.bids_dir.absolute()
    subjects = subject_folders(root, participants)
    found = find_images(root, subjects, settings.modality)
    images = found.images
    if found.closed and len(found.closed) == len(subjects):
        raise DatasetError(found.closed[0])
    if not images:
        raise MissingInputError(
            _with_closed(_nothing_of_the_modality(settings, subjects, found.names), found)
        )
    notes = [unfiltered(settings, queries)]
    for one in filters:
        try:
            check_present(one, images, images_of_others(root, subjects, settings.modality))
        except SelectionError as error:
            if not found.closed:
                raise
            notes.append(str(error))  # a folder that cannot be opened may hold it
    notes.append(_without_images(settings, subjects, found))
    chosen = [image.run for image in images if selected(image, filters, queries)]
    if not chosen:
        why = (
            f"{settings.bids_dir}: none of the {listed(settings.modality)} images "
            f"({len(images)}) passes {in_words(settings, filters)}; loosen the filters"
        )
        raise SelectionError(_with_closed(why, found))
    notes.append(_without_runs(settings, chosen))
    return Selection(
        tuple(sorted(chosen, key=lambda run: run.relative)),
        found.not_bids,
        found.closed,
        tuple(filter(None, notes)),
    )


def _with_closed(message: str, found: Found) -> str:
    """A message, and what may lie where nobody can look."""
    return "; ".join([message, *found.closed[:1]])


def _without_images(settings: Settings, subjects: Sequence[str], found: Found) -> str | None:
    """One line about participants without an image of the modality, where others have one."""
    if not found.without:
        return None
    return (
        f"{settings.bids_dir}: {len(found.without)} of {len(subjects)} participants have no "
        f"{listed(settings.modality)} image in anat ({listed(found.without)}); see --modality for "
        "other suffixes"
    )


def _without_runs(settings: Settings, chosen: Sequence[Run]) -> str | None:
    """One line about suffixes without a run, a misspelt one say; None where each has some."""
    carried = {run.suffix for run in chosen}
    names = [suffix for suffix in settings.modality if suffix not in carried]
    if not names:
        return None
    return f"--modality {' '.join(names)}: no such images here, or none selected; left out"


def _nothing_of_the_modality(
    settings: Settings, subjects: Sequence[str], odd: Sequence[str]
) -> str:
    """Message for a dataset, or for participants, without an image of the modality."""
    if not subjects:
        return f"{settings.bids_dir}: holds no sub-* folder; {seen(settings.bids_dir)}"
    root = settings.bids_dir
    few = settings.participant_label or len(subjects) == 1
    where = listed(subjects) if few else f"{len(subjects)} participants"
    hint = (
        f"{odd[0]} is no raw BIDS name of a magnitude image, or not that of its folder; rename "
        "it or the folder"
        if odd
        else "see --modality for other suffixes"
    )
    return f"{root}: no {listed(settings.modality)} image in anat of {where}; {hint}"
