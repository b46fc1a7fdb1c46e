"""Which raw dataset OUTPUT_DIR's results are of: the link of its description, and their sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bids_strip.dataset.description import DESCRIPTION, scheme_of
from bids_strip.dataset.walk import files_in_anat, subject_folders
from bids_strip.errors import BidsStripError
from bids_strip.fingerprint import InputFile, same_file
from bids_strip.record import NAMES, read_record
from bids_strip.text_file import read_json

LOOKED_AT = 10
"""Participants, evenly among all, whose sources are looked for: enough to tell a dataset."""
_OF_RAW = ("DatasetLinks", "SourceDatasets")
"""What a description says of the raw dataset."""


def given_link(output_dir: Path) -> str | None:
    """The link that an earlier call was given by ``--raw-uri``; None where there is none.

    It is told from what the program finds by itself: a folder, relative or ``file:``, or the DOI
    that stands among the source datasets. A folder that was given stands among those as a URL.
    """
    described = _description(output_dir)
    link, sources = _link(described), _sources(described)
    if link is None:
        return None
    if any(one.get("URL") == link for one in sources):
        return link
    is_folder = scheme_of(link) in (None, "", "file")
    own = is_folder or any(one.get("DOI") == link for one in sources)
    return None if own else link


def other_dataset(bids_dir: Path, output_dir: Path, description: Mapping[str, Any]) -> str | None:
    """One line where results lie in OUTPUT_DIR whose sources are not those of BIDS_DIR.

    A dataset that was moved, or is mounted elsewhere, is named otherwise and has the same files; a
    part of it has fewer. It is another one where most files of the same names are others.

    Parameters
    ----------
    bids_dir, output_dir
        As given on the command line.
    description
        What the call by itself would say of the raw dataset.
    """
    earlier = _description(output_dir)
    if not earlier or all(earlier.get(key) == description.get(key) for key in _OF_RAW):
        return None
    sources = [*_some_sources(output_dir)]
    same = [same_file(bids_dir / one.path, one) for one in sources]
    others = [one.path for one, alike in zip(sources, same, strict=True) if alike is False]
    if len(others) <= sum(one is True for one in same):
        return None
    return (
        f"{output_dir}: holds results of {_link(earlier) or 'other inputs'}, of which "
        f"{len(others)} of {len(sources)} looked for are other files in {bids_dir} (for example "
        f"{others[0]}); "
        "if these are two datasets, give each its own OUTPUT_DIR"
    )


def _description(output_dir: Path) -> dict[str, Any]:
    """OUTPUT_DIR's description; empty where there is none to read."""
    try:
        found = read_json(output_dir / DESCRIPTION)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _link(described: Mapping[str, Any]) -> str | None:
    """What a description links as the raw dataset."""
    links = described.get("DatasetLinks")
    link = links.get("raw") if isinstance(links, dict) else None
    return link if isinstance(link, str) else None


def _sources(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its source datasets."""
    found = described.get("SourceDatasets")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _some_sources(output_dir: Path) -> Iterator[InputFile]:
    """What the first result of some participants was made of."""
    try:
        subjects = subject_folders(output_dir, ())
    except BidsStripError:  # told where it is to be written to
        return
    for subject in subjects[:: -(-len(subjects) // LOOKED_AT) or 1]:
        try:
            names = sorted(files_in_anat(output_dir, subject, NAMES))
        except BidsStripError:
            continue
        records = filter(None, (read_record(output_dir / name) for name in names))
        source = next((one.input for one in records if one.input), None)
        if source is not None and isinstance(source.path, str):
            yield source
