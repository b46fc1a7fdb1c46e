"""Find the records of all runs in OUTPUT_DIR."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids_strip.dataset.filters import (
    LabelFilter,
    check_present,
    in_words,
    label_filters,
    labels_of,
    read_filter_file,
    selected,
    unfiltered,
)
from bids_strip.dataset.names import Image, NameReader, run_at
from bids_strip.dataset.walk import files_in_anat, subject_folders
from bids_strip.dataset.words import counted, listed
from bids_strip.errors import DatasetError, MissingInputError, SelectionError
from bids_strip.judged import mask_key
from bids_strip.naming import derivative_name
from bids_strip.record import NAMES, OK, Record, record_in, run_of
from bids_strip.settings import Settings


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a group is made of.

    Attributes
    ----------
    records
        Modality -> its records, sorted by name; those without any are not in it.
    left_out
        Modalities asked for that have none.
    masks
        bids_name -> `mask_key` of all masks of the participants, of other modalities too.
    unfiltered
        A line about a filter file that asks nothing of them.
    misplaced
        A line about records in folders of other names: copies of results, say.
    """

    records: Mapping[str, tuple[Record, ...]]
    left_out: tuple[str, ...]
    masks: Mapping[str, str]
    unfiltered: str | None = None
    misplaced: str | None = None


def gather(settings: Settings) -> Gathered:
    """All records that the labels and the filter file select; of participants named, theirs alone.

    Parameters
    ----------
    settings
        OUTPUT_DIR, labels, filter file and modality are read. Labels and filters mean what they
        mean at participant level: records that lack an entity stay in for a label.

    Raises
    ------
    MissingInputError
        If OUTPUT_DIR holds no record of the modalities, or a folder cannot be opened: a group that
        lacks people without a word is worse than none.
    SelectionError
        If a label is absent, or nothing passes.
    UsageError
        If a file of labels or the filter file cannot be read.
    """
    participants = labels_of(settings.participant_label, "sub")
    filters = label_filters(settings)
    queries = read_filter_file(settings.bids_filter_file, settings.modality)
    try:
        subjects = _subjects(settings.output_dir, participants)
        everything, misplaced = _records(settings.output_dir, subjects)
        records = _of_modalities(settings, everything)
        _check_participants(settings, participants, records)
        chosen = _chosen(settings, subjects, records, filters, queries)
    except DatasetError as error:  # the words of a folder that cannot be opened are of both levels
        raise MissingInputError(str(error)) from error
    if not chosen:
        raise SelectionError(
            f"{settings.output_dir}: none of the {listed(settings.modality)} results "
            f"({len(records)}) passes {in_words(settings, filters)}; loosen the filters"
        )
    by_name = sorted(chosen, key=lambda record: record.bids_name)
    found = {
        suffix: tuple(record for record in by_name if record.suffix == suffix)
        for suffix in settings.modality
    }
    return Gathered(
        {suffix: some for suffix, some in found.items() if some},
        tuple(suffix for suffix, some in found.items() if not some),
        {record.bids_name: mask_key(record) for record in everything if record.status == OK},
        unfiltered(settings, queries),
        _misplaced_note(misplaced),
    )


def _subjects(output_dir: Path, participants: Sequence[str]) -> list[str]:
    """Folders of the participants named, else of all."""
    if not subject_folders(output_dir, ()):
        raise MissingInputError(f"{output_dir}: no results here; run the participant level first")
    return subject_folders(output_dir, participants)


def _records(output_dir: Path, subjects: Iterable[str]) -> tuple[list[Record], list[str]]:
    """The participants' records, of whatever modality, and names of those in others' folders."""
    found: list[Record] = []
    misplaced: list[str] = []
    for subject in subjects:
        for relative in sorted(files_in_anat(output_dir, subject, NAMES)):
            if relative.rpartition("/")[0] == run_at(output_dir, relative).folder:
                found.append(record_in(output_dir / relative))
            else:
                misplaced.append(relative)
    return found, misplaced


def _misplaced_note(names: Sequence[str]) -> str | None:
    if not names:
        return None
    return (
        f"{counted(len(names), 'result')} left out by name, which is not that of the folder (for "
        f"example {names[0]}); move such copies out of OUTPUT_DIR"
    )


def _of_modalities(settings: Settings, records: Iterable[Record]) -> list[Record]:
    """Those of the modalities asked for."""
    return [record for record in records if record.suffix in settings.modality]


def _check_participants(
    settings: Settings, participants: Sequence[str], records: Sequence[Record]
) -> None:
    """Refuse a participant without a record of any of the modalities."""
    kinds = listed(settings.modality)
    if not records:
        whose = f" of {listed(participants)}" if participants else ""
        raise MissingInputError(
            f"{settings.output_dir}: no {kinds} results{whose} here; run the participant level "
            "first"
        )
    present = {record.entities.get("sub") for record in records}
    absent = [label for label in participants if label not in present]
    if absent:
        raise SelectionError(
            f"--participant-label {', '.join(absent)}: no {kinds} results of it in "
            f"{settings.output_dir}; run the participant level for it, or check the label"
        )


def _chosen(
    settings: Settings,
    subjects: Sequence[str],
    records: Sequence[Record],
    filters: Sequence[LabelFilter],
    queries: Mapping[str, Mapping[str, Any]],
) -> list[Record]:
    """The records that pass labels and filter file; names are read where there are any."""
    if not queries and not any(one.labels for one in filters):
        return list(records)
    read = NameReader.of_pybids(settings.output_dir)
    images = [_image(record, read) for record in records]
    for one in filters:
        check_present(one, images, _images_of_others(settings, subjects, read))
    return [
        record
        for record, image in zip(records, images, strict=True)
        if selected(image, filters, queries)
    ]


def _images_of_others(
    settings: Settings, subjects: Sequence[str], read: NameReader
) -> Iterator[Image]:
    """What the participants that are not among some have, one participant at a time."""
    for other in subject_folders(settings.output_dir, ()):
        if other not in subjects:
            with contextlib.suppress(DatasetError):  # not asked for
                theirs = _of_modalities(settings, _records(settings.output_dir, [other])[0])
                yield from (_image(record, read) for record in theirs)


def _image(record: Record, read: NameReader) -> Image:
    """A record's source as pybids reads its name; where it lies in its dataset follows from it."""
    run = run_of(record)
    plain = record.input is not None and record.input.path.endswith(".nii")
    name = derivative_name(run, "", record.suffix, ".nii" if plain else ".nii.gz")
    return read.image(replace(run, relative=name))
