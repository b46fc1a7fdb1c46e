"""What an invocation asks for: labels, and a filter file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bids_strip.dataset.names import Image, pybids_entities
from bids_strip.dataset.words import listed, split_hint, what_there_is
from bids_strip.errors import SelectionError, UsageError
from bids_strip.settings import Settings
from bids_strip.text_file import read_json, read_text

_QUERIES = {None: "NONE", "Query.NONE": "NONE", "*": "ANY", "Query.ANY": "ANY",
            "Query.OPTIONAL": "OPTIONAL"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """Labels one option asks for; images that lack the entity stay in."""

    option: str
    entity: str
    labels: tuple[str, ...]

    def accepts(self, image: Image) -> bool:
        """Tell whether the image carries one of the labels, or none at all."""
        value = image.entities.get(self.entity)
        return not self.labels or value is None or any(_same(value, one) for one in self.labels)


def label_filters(settings: Settings) -> tuple[LabelFilter, ...]:
    """Make the filters of the label options, participants apart."""
    return (
        LabelFilter("--session-label", "session", labels_of(settings.session_label, "ses")),
        LabelFilter("--run-label", "run", labels_of(settings.run_label, "run")),
        LabelFilter(
            "--acquisition-label", "acquisition", labels_of(settings.acquisition_label, "acq")
        ),
    )


def labels_of(values: Iterable[str], key: str) -> tuple[str, ...]:
    """Labels without their key, files of labels read, each once."""
    labels: list[str] = []
    for value in values:
        is_file = "/" in value or value.endswith(".txt")
        labels += _read_labels(Path(value)) if is_file else [value]
    return tuple(dict.fromkeys(label.removeprefix(f"{key}-") for label in labels))


def _read_labels(path: Path) -> list[str]:
    """Labels of a file, one a line; empty lines and what follows ``#`` left out."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file of labels"
        raise UsageError(
            f"{path}: {reason}; a value with '/' or ending in .txt is a file with one label a line"
        ) from error
    labels = [label for line in lines if (label := line.split("#")[0].strip())]
    if not labels:
        raise UsageError(f"{path}: holds no label; write one a line")
    return labels


def check_present(one: LabelFilter, images: Iterable[Image], others: Iterable[Image]) -> None:
    """Refuse labels that no image of the dataset carries.

    A label that the participants named do not carry may be another's: platforms and job arrays
    start each participant on its own with the sessions of the whole dataset. The others are looked
    at only then, and no farther than the label is found.
    """
    absent, present = one.labels, set()
    for image in chain(images, others):
        if not absent:
            return
        value = image.entities.get(one.entity)
        if value is not None:
            present.add(str(value))
            absent = tuple(label for label in absent if not _same(value, label))
    if absent:
        raise SelectionError(
            f"{one.option} {', '.join(absent)}: no such {one.entity}; "
            f"{what_there_is(sorted(present))}{split_hint(absent)}"
        )


def read_filter_file(path: Path | None, suffixes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read fMRIPrep-style filters: suffix -> query, from the keys ``t1w``, ``t2w`` and so on.

    Keys of other suffixes and of other programs' data (``bold``) are not looked at; ``T1w`` is
    ``t1w``. A suffix without a key is not among the queries.
    """
    if path is None:
        return {}
    try:
        found = read_json(path)
    except OSError as error:
        raise UsageError(f"--bids-filter-file {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise UsageError(f"--bids-filter-file {path}: not JSON ({error}); repair it") from error
    if not isinstance(found, dict) or not all(isinstance(q, dict) for q in found.values()):
        raise UsageError(
            f'--bids-filter-file {path}: has to look like {{"t1w": {{"session": "1"}}}}'
        )
    lower = {key.lower(): query for key, query in found.items()}
    queries = {suffix: lower[suffix.lower()] for suffix in suffixes if suffix.lower() in lower}
    known = {entity.name for entity in pybids_entities()}
    for name, value in (item for query in queries.values() for item in query.items()):
        if name not in known:
            raise UsageError(
                f"--bids-filter-file {path}: '{name}' is no entity of pybids; use long names "
                "such as session, acquisition, run, reconstruction"
            )
        if any(isinstance(one, (dict, list)) for one in _as_list(value)):
            raise UsageError(
                f"--bids-filter-file {path}: '{name}' has to be a label, a list of labels, "
                'null or "*"'
            )
    return queries


def unfiltered(settings: Settings, queries: Mapping[str, Mapping[str, Any]]) -> str | None:
    """One line about a filter file that says nothing of what is processed."""
    if settings.bids_filter_file is None or queries:
        return None
    keys = listed([suffix.lower() for suffix in settings.modality])
    return (
        f"--bids-filter-file {settings.bids_filter_file}: asks nothing of {keys}, so that all of "
        "them are processed"
    )


def selected(
    image: Image, filters: Iterable[LabelFilter], queries: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Tell whether an image passes the labels, and the query of its suffix."""
    by_label = all(one.accepts(image) for one in filters)
    return by_label and passes(image, queries.get(image.run.suffix, {}))


def passes(image: Image, query: Mapping[str, Any]) -> bool:
    """Tell whether every entity of a query has one of the values asked for."""
    return all(
        any(_matches(image.entities.get(name), one) for one in _as_list(value))
        for name, value in query.items()
    )


def _matches(value: Any, wanted: Any) -> bool:
    """One value against one wish: a label, or null for none, ``*`` for any."""
    query = _QUERIES.get(wanted)
    if query is None:
        return value is not None and _same(value, str(wanted))
    return query == "OPTIONAL" or (value is None) == (query == "NONE")


def _same(value: Any, label: str) -> bool:
    """Compare as pybids does: ``run-1`` is ``run-01``, ``ses-1`` is not ``ses-01``."""
    if isinstance(value, int):
        return label.isdecimal() and int(label) == int(value)
    return str(value) == label


def _as_list(value: Any) -> list[Any]:
    """Give a list as it is, anything else as the only item of one."""
    return value if isinstance(value, list) else [value]


def in_words(settings: Settings, filters: Iterable[LabelFilter]) -> str:
    """Write the filters in force as they would be typed."""
    words = [f"{one.option} {listed(one.labels)}" for one in filters if one.labels]
    if settings.bids_filter_file is not None:
        words.append(f"--bids-filter-file {settings.bids_filter_file}")
    return " with ".join(words)
