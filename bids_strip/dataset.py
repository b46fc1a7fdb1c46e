"""BIDS root and filters -> runs; the only use of pybids.

The folders ``sub-*/[ses-*/]anat`` alone are opened, and each file name is handed to pybids'
entity parser: an index of the whole dataset would take longer than the start may. pybids is
imported when runs are selected, not before.

Words:

image
    A run together with what pybids reads from its path.
entity
    In pybids' long names (``session``); the key is the short one of file names (``ses``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bids_strip.domain import Run
from bids_strip.errors import DatasetError, MissingInputError, SelectionError, UsageError
from bids_strip.settings import Settings

DESCRIPTION = "dataset_description.json"
SHOWN = 5
"""Labels or names listed in a message."""

_MAGNITUDE = (None, "mag")
_ANNEX_POINTER = b"/annex/objects/"
_QUERIES = {None: "NONE", "Query.NONE": "NONE", "*": "ANY", "Query.ANY": "ANY",
            "Query.OPTIONAL": "OPTIONAL"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Image:
    """A run and its entities as pybids reads them: long name -> label, ``run`` a number."""

    run: Run
    entities: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _LabelFilter:
    """Labels one option asks for; images that lack the entity stay in."""

    option: str
    entity: str
    labels: tuple[str, ...]

    def accepts(self, image: _Image) -> bool:
        """Tell whether the image carries one of the labels, or none at all."""
        value = image.entities.get(self.entity)
        return not self.labels or value is None or any(_same(value, one) for one in self.labels)


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
    """

    runs: tuple[Run, ...]
    not_bids: tuple[str, ...]


def select_runs(settings: Settings) -> tuple[Run, ...]:
    """The runs of `select`."""
    return select(settings).runs


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
        If BIDS_DIR is no readable BIDS dataset.
    SelectionError
        If a named label is absent or the filters leave nothing.
    MissingInputError
        If the dataset, or the participants named, hold no image of the modality.
    """
    participants = labels_of(settings.participant_label, "sub")
    filters = _label_filters(settings)
    queries = _read_filter_file(settings.bids_filter_file, settings.modality)
    read_description(settings.bids_dir)
    root = settings.bids_dir.absolute()
    subjects = _subject_folders(root, participants)
    images, not_bids = _find_images(root, subjects, settings.modality)
    if not images:
        raise MissingInputError(_nothing_of_the_modality(settings, subjects))
    for one in filters:
        _check_present(one, images, _images_of_others(root, subjects, settings.modality))
    chosen = [
        image.run
        for image in images
        if all(one.accepts(image) for one in filters)
        and _passes(image, queries.get(image.run.suffix, {}))
    ]
    if not chosen:
        raise SelectionError(
            f"{settings.bids_dir}: none of {len(images)} {_names(settings.modality)} images "
            f"passes {_filters_in_words(settings, filters)}; loosen the filters"
        )
    return Selection(tuple(sorted(chosen, key=lambda run: run.relative)), not_bids)


def read_description(bids_dir: Path) -> dict[str, Any]:
    """Read the dataset's ``dataset_description.json``.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.

    Raises
    ------
    DatasetError
        If the folder or the file is absent, or is not a JSON object.
    """
    path = bids_dir / DESCRIPTION
    try:
        if not bids_dir.is_dir():
            raise DatasetError(_no_such_folder(bids_dir))
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: no such file ({_seen(bids_dir)}); give the folder that holds it, or write "
            'one: {"Name": "...", "BIDSVersion": "1.11.1"}'
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{path}: {reason}; make it readable") from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error}); repair it") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path}: not a JSON object; it has to hold Name and BIDSVersion")
    return found


def describe_missing(path: Path) -> str | None:
    """Reason and remedy where only a file's name is here, not its content.

    Parameters
    ----------
    path : Path
        An image of the dataset.

    Returns
    -------
    str or None
        One line for a broken link or a git-annex pointer file; None where there is content, or
        no such name at all.
    """
    if path.is_symlink() and not path.exists():
        target = Path(os.readlink(path))  # noqa: PTH115 - text, as it stands in the link
        remedy = _datalad_get(path)
        if "annex" in target.parts:
            return f"content is not here; run: {remedy}"
        return (
            f"content is not here; run: {remedy}, or give access to {target}, which the link "
            "points to (in a container: bind-mount it)"
        )
    if _is_annex_pointer(path):
        return f"content is not here; run: {_datalad_get(path)}"
    return None


def _datalad_get(path: Path) -> str:
    """Command that fetches a file, to be run at the root of its dataset."""
    roots = (parent for parent in path.parents if (parent / DESCRIPTION).exists())
    root = next(roots, path.parent)
    return f"datalad get {shlex.quote(path.relative_to(root).as_posix())}"


def _is_annex_pointer(path: Path) -> bool:
    """Tell whether a file is the text that stands in for an unlocked file's content."""
    try:
        with path.open("rb") as file:
            return file.read(len(_ANNEX_POINTER)) == _ANNEX_POINTER
    except OSError:
        return False


# Labels and filters --------------------------------------------------------------------------


def _label_filters(settings: Settings) -> tuple[_LabelFilter, ...]:
    """Make the filters of the label options, participants apart."""
    return (
        _LabelFilter("--session-label", "session", labels_of(settings.session_label, "ses")),
        _LabelFilter("--run-label", "run", labels_of(settings.run_label, "run")),
        _LabelFilter(
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
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(
            f"{path}: {reason}; a value with '/' or ending in .txt is a file with one label a line"
        ) from error
    labels = [label for line in lines if (label := line.split("#")[0].strip())]
    if not labels:
        raise UsageError(f"{path}: holds no label; write one a line")
    return labels


def _same(value: Any, label: str) -> bool:
    """Compare as pybids does: ``run-1`` is ``run-01``, ``ses-1`` is not ``ses-01``."""
    if isinstance(value, int):
        return label.isdecimal() and int(label) == int(value)
    return str(value) == label


def _check_present(one: _LabelFilter, images: Iterable[_Image], others: Iterable[_Image]) -> None:
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
            f"{one.option} {', '.join(absent)}: no such {one.entity}; {_present(sorted(present))}"
        )


def _read_filter_file(path: Path | None, suffixes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read fMRIPrep-style filters: suffix -> query, from the keys ``t1w``, ``t2w`` and so on."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--bids-filter-file {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise UsageError(f"--bids-filter-file {path}: not JSON ({error}); repair it") from error
    if not isinstance(found, dict) or not all(isinstance(q, dict) for q in found.values()):
        raise UsageError(
            f'--bids-filter-file {path}: has to look like {{"t1w": {{"session": "1"}}}}'
        )
    queries = {suffix: found.get(suffix.lower(), {}) for suffix in suffixes}
    known = {entity.name for entity in _pybids_entities()}
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


def _passes(image: _Image, query: Mapping[str, Any]) -> bool:
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


def _as_list(value: Any) -> list[Any]:
    """Give a list as it is, anything else as the only item of one."""
    return value if isinstance(value, list) else [value]


# The walk ------------------------------------------------------------------------------------


def _all_subject_folders(root: Path) -> list[str]:
    """List the participants' folders."""
    return sorted(e.name for e in _entries(root) if e.name.startswith("sub-") and _is_folder(e))


def _subject_folders(root: Path, labels: Sequence[str]) -> list[str]:
    """List the participants' folders: those named, else all."""
    found = _all_subject_folders(root)
    absent = [label for label in labels if f"sub-{label}" not in found]
    if absent:
        present = [name.removeprefix("sub-") for name in found]
        raise SelectionError(
            f"--participant-label {', '.join(absent)}: no such participant in {root}; "
            f"{_present(present)}"
        )
    return [f"sub-{label}" for label in labels] or found


def _find_images(
    root: Path, subjects: Iterable[str], suffixes: Sequence[str]
) -> tuple[tuple[_Image, ...], tuple[str, ...]]:
    """Find the participants' magnitude images, and the names that cannot be read."""
    read = _NameReader.of_pybids(root)
    found = {
        relative: read(relative)
        for subject in subjects
        for relative in _anat_files(root, subject, suffixes)
    }
    images = (i for i in found.values() if i is not None)
    magnitude = tuple(i for i in images if i.entities.get("part") in _MAGNITUDE)
    return magnitude, tuple(name for name, image in found.items() if image is None)


def _images_of_others(
    root: Path, subjects: Sequence[str], suffixes: Sequence[str]
) -> Iterator[_Image]:
    """Find the images of the participants that are not among some, one participant at a time."""
    read = _NameReader.of_pybids(root)
    named = set(subjects)
    for other in _all_subject_folders(root):
        if other not in named:
            found = (read(relative) for relative in _anat_files(root, other, suffixes))
            yield from (image for image in found if image is not None)


def _anat_files(root: Path, subject: str, suffixes: Sequence[str]) -> Iterator[str]:
    """List relative paths of NIfTI files of some suffixes in a participant's ``anat`` folders."""
    pattern = re.compile(rf"sub-.+_(?:{'|'.join(suffixes)})\.nii(?:\.gz)?")
    for folder in _anat_folders(root, subject):
        for entry in _entries(root / folder):
            if pattern.fullmatch(entry.name) and not _is_folder(entry):
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
        raise DatasetError(
            f"{folder}: {error.strerror}; make it readable or leave the participant out with "
            "--participant-label"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _NameReader:
    """Reads relative paths as pybids does.

    Attributes
    ----------
    root
        BIDS_DIR, absolute.
    entities
        Those of pybids for raw data.
    keys
        Long name -> key in file names; suffix, datatype and the like are not in it.
    parse
        pybids' parser of names.
    """

    root: Path
    entities: tuple[Any, ...]
    keys: Mapping[str, str]
    parse: Callable[..., dict[str, Any]]

    @classmethod
    def of_pybids(cls, root: Path) -> _NameReader:
        """Take entities and parser from pybids."""
        entities = _pybids_entities()
        from bids.layout import parse_file_entities

        found = {one.name: re.search(r"([a-z]+)-\(", one.pattern or "") for one in entities}
        keys = {name: match[1] for name, match in found.items() if match and name != "space"}
        return cls(root, entities, keys, parse_file_entities)

    def __call__(self, relative: str) -> _Image | None:
        """Read a name; None where it is not raw BIDS or disagrees with its folder.

        Each ``key-label`` of the name has to be what pybids reads from the path, and the other
        way round: ``desc`` and ``space`` do not pass, nor another session than the folder's.
        """
        folder, _, name = relative.rpartition("/")
        stem, suffix = name.removesuffix(".gz").removesuffix(".nii").rsplit("_", 1)
        pairs = tuple((key, label) for key, _, label in (p.partition("-") for p in stem.split("_")))
        found = self.parse(f"/{relative}", entities=self.entities)
        read = {key: str(found[name]) for name, key in self.keys.items() if name in found}
        sessions = sum(key == "ses" for key, _ in pairs)
        if read != dict(pairs) or len(read) != len(pairs) or folder.count("/") != 1 + sessions:
            return None
        return _Image(Run(self.root / relative, relative, pairs, suffix), found)


@contextlib.contextmanager
def _some_home() -> Iterator[None]:
    """Name a home folder for the time of a block if there is none: pybids asks at its import.

    In a container a user may have neither HOME nor an entry in /etc/passwd.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


def _pybids_entities() -> tuple[Any, ...]:
    """Load the entities that pybids knows for raw data, without its warnings."""
    with warnings.catch_warnings(), _some_home():
        warnings.simplefilter("ignore")
        from bids.layout.models import Config

        return tuple(Config.load("bids").entities.values())


# Words of messages ---------------------------------------------------------------------------


def _names(labels: Sequence[str]) -> str:
    """Write out up to `SHOWN` labels, with an ellipsis where there are more."""
    return ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")


def _present(labels: Sequence[str]) -> str:
    """Say what there is instead."""
    return f"present: {_names(labels)}" if labels else "no image names one"


def _seen(folder: Path) -> str:
    """Say what a folder holds, in a few words."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return f"{folder} holds {_names(names)}" if names else f"{folder} is empty"


def _no_such_folder(bids_dir: Path) -> str:
    """Message for an absent BIDS_DIR: what can be seen from here."""
    if bids_dir.exists():
        return f"{bids_dir}: not a folder; BIDS_DIR is the folder that holds {DESCRIPTION}"
    parent = next(p for p in bids_dir.absolute().parents if p.is_dir())
    return (
        f"{bids_dir}: no such folder ({_seen(parent)}); check the path and, in a container, "
        f"the bind mount (docker -v HOST_DIR:{bids_dir}:ro, apptainer -B HOST_DIR:{bids_dir})"
    )


def _nothing_of_the_modality(settings: Settings, subjects: Sequence[str]) -> str:
    """Message for a dataset, or for participants, without an image of the modality."""
    if not subjects:
        return f"{settings.bids_dir}: holds no sub-* folder; {_seen(settings.bids_dir)}"
    root = settings.bids_dir
    odd = [f for s in subjects for f in _anat_files(root, s, settings.modality)][:1]
    where = _names(subjects) if settings.participant_label else f"{len(subjects)} participants"
    hint = (
        f"{odd[0]} is no raw BIDS name of a magnitude image"
        if odd
        else "see --modality for other suffixes"
    )
    return f"{root}: no {_names(settings.modality)} image in anat of {where}; {hint}"


def _filters_in_words(settings: Settings, filters: Iterable[_LabelFilter]) -> str:
    """Write the filters in force as they would be typed."""
    words = [f"{one.option} {_names(one.labels)}" for one in filters if one.labels]
    if settings.bids_filter_file is not None:
        words.append(f"--bids-filter-file {settings.bids_filter_file}")
    return " with ".join(words)
