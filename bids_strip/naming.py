"""Names of what is written: source stem -> derivative paths, the dataset as a whole; pure.

Words:

kind
    One sort of output of a run, a row of `KINDS`: ``mask``, ``sdt``, ``brain``, ``qc``. What
    follows an underscore tells files apart that are asked for together: ``probseg_GM``.
name
    Path of a derivative below OUTPUT_DIR, with forward slashes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_strip.dataset.description import scheme_of
from bids_strip.domain import Run
from bids_strip.errors import OutputError
from bids_strip.space import Space

APP = "bids_strip"
BIDS_VERSION = "1.11.1"
IMAGE = ".nii.gz"
TRANSFORM = ".tfm"

_KEPT_APART = ("IRT1", "MP2RAGE", "MPM", "MTR", "MTS", "VFA")
"""Suffixes of scans that are told apart by ``flip``, ``inv`` or ``mt``, which BIDS lets no mask and
no labels keep."""
BIDSIGNORE = """\
*.html
**/figures
*_xfm.*
*_sdt.*
*_qc.json
group_*
ratings.tsv
""" + "".join(f"*{one}_{kind}.*\n" for one in _KEPT_APART for kind in ("mask", "dseg", "probseg"))
"""What BIDS has no name for yet; ``logs/`` is legal and needs no line."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of output of a run.

    Attributes
    ----------
    name
        As in ``--outputs`` up to an underscore.
    desc
        Label of the ``desc`` entity for a T1w run, "" for none.
    suffix
        BIDS suffix; None takes the run's own.
    extension
        With its dot.
    label
        Label of the ``label`` entity, "" for none.
    """

    name: str
    desc: str
    suffix: str | None
    extension: str
    label: str = ""


KINDS: tuple[Kind, ...] = (
    Kind("mask", "brain", "mask", IMAGE),
    Kind("sdt", "brain", "sdt", IMAGE),
    Kind("brain", "brain", None, IMAGE),
    Kind("preproc", "preproc", None, IMAGE),
    Kind("dseg", "tissue", "dseg", IMAGE),
    Kind("dseg_table", "tissue", "dseg", ".tsv"),
    Kind("probseg_GM", "", "probseg", IMAGE, "GM"),
    Kind("probseg_WM", "", "probseg", IMAGE, "WM"),
    Kind("probseg_CSF", "", "probseg", IMAGE, "CSF"),
    Kind("qc", "brain", "qc", ".json"),
)

BORDERED = ("mask", "sdt", "brain")
"""Kinds that another border changes (distances by a step: `bids_strip.geometry.off_threshold`)."""

IN_SPACE: tuple[Kind, ...] = (
    Kind("mask", "brain", "mask", IMAGE),
    Kind("brain", "brain", None, IMAGE),
    Kind("preproc", "preproc", None, IMAGE),
)
"""What is written in a template space as well, if it is asked for."""


def derivative_name(run: Run, desc: str, suffix: str, extension: str, label: str = "") -> str:
    """Name a derivative of a run.

    Parameters
    ----------
    run : Run
        The source; its whole stem is kept, zero padding included.
    desc : str
        Label of ``desc`` for a T1w run. For another run the run's suffix is added unless the
        derivative carries it already: ``desc-brainT2w_mask`` but ``desc-brain_T2w``.
    suffix, extension : str
        Of the derivative, for example ``mask`` and ``.nii.gz``.
    label : str
        Label of ``label``, "" for none; ``desc`` is left out where it says nothing.

    Returns
    -------
    str
        Path below OUTPUT_DIR, with forward slashes.
    """
    said = desc if run.suffix in ("T1w", suffix) else desc + run.suffix
    given = [f"{key}-{value}" for key, value in (("label", label), ("desc", said)) if value]
    return f"{run.folder}/{'_'.join([run.stem, *given])}_{suffix}{extension}"


def names_of(run: Run) -> Mapping[str, str]:
    """Name everything made of a run: kind -> path below OUTPUT_DIR."""
    return {
        kind.name: derivative_name(
            run, kind.desc, kind.suffix or run.suffix, kind.extension, kind.label
        )
        for kind in KINDS
    }


FIGURES: tuple[Kind, ...] = (
    Kind("tile", "brain", "mask", ".webp"),
    Kind("head", "head", None, ".webp"),
    Kind("contour", "contour", "mask", ".webp"),
    Kind("curtain", "outside", "mask", ".webp"),
    Kind("air", "air", None, ".webp"),
    Kind("surface", "surface", "sdt", ".svg"),
    Kind("tissue", "tissue", "hist", ".svg"),
)
"""Pictures of a run. No call redoes a run for want of one, and its record does not name them."""


def figures_of(run: Run) -> dict[str, str]:
    """Name the pictures of a run: kind -> path below OUTPUT_DIR."""
    return {
        kind.name: _figure_name(run, kind.desc, kind.suffix or run.suffix, kind.extension)
        for kind in FIGURES
    }


def tile_of(run: Run) -> str:
    """Name the picture of a run that the group page shows."""
    tile = FIGURES[0]
    return _figure_name(run, tile.desc, tile.suffix or run.suffix, tile.extension)


def figure_in(run: Run, space: Space) -> str:
    """Name the picture of a run in a template space."""
    there = replace(run, entities=(*run.entities, *_entities_in(space)))
    return _figure_name(there, "contour", "mask", ".webp")


def figure_pattern_in_spaces(run: Run) -> str:
    """Glob of the pictures of a run in any template space."""
    name = figures_of(run)["contour"]
    folder, _, file = name.rpartition("/")
    start = re.sub(r"([*?[])", r"[\1]", f"{folder}/{run.stem}")
    return f"{start}_space-*{file.removeprefix(run.stem)}"


def page_name(subject: str) -> str:
    """Name of a participant's page."""
    return f"sub-{subject}.html"


def _figure_name(run: Run, desc: str, suffix: str, extension: str) -> str:
    file = derivative_name(run, desc, suffix, extension).rpartition("/")[2]
    return f"sub-{run.label('sub')}/figures/{file}"


def manual_name(run: Run) -> str:
    """Name of the mask that a rater may put beside ours, below OUTPUT_DIR; never ours to write."""
    return derivative_name(run, "manual", "mask", IMAGE)


def names_in(run: Run, space: Space) -> dict[str, str]:
    """Name what is made of a run in a template space: kind -> path below OUTPUT_DIR.

    ``cohort`` and ``res`` stand there if the user gave them, as in fMRIPrep's names.
    """
    there = replace(run, entities=(*run.entities, *_entities_in(space)))
    return {
        kind.name: derivative_name(there, kind.desc, kind.suffix or run.suffix, kind.extension)
        for kind in IN_SPACE
    }


def _entities_in(space: Space) -> list[tuple[str, str]]:
    numbers = (("cohort", space.cohort), ("res", space.resolution))
    return [("space", space.name), *((key, str(n)) for key, n in numbers if n is not None)]


def transform_names(run: Run, anatomy: str) -> tuple[str, str]:
    """Name the transforms of a run to a template space and back.

    Parameters
    ----------
    run : Run
    anatomy : str
        See `bids_strip.space.Space.anatomy`.
    """
    folder = names_of(run)["qc"].rpartition("/")[0]
    ways = ((run.suffix, anatomy), (anatomy, run.suffix))
    there, back = (
        f"{folder}/{run.stem}_from-{start}_to-{end}_mode-image_xfm{TRANSFORM}"
        for start, end in ways
    )
    return there, back


def patterns_in_spaces(run: Run) -> tuple[str, ...]:
    """Globs of all that may lie there of a run in any template space."""
    stem = names_of(run)["qc"].rpartition("/")[0] + f"/{run.stem}"
    escaped = re.sub(r"([*?[])", r"[\1]", stem)
    labels = [(kind.desc if run.suffix in ("T1w", kind.suffix or run.suffix) else
               kind.desc + run.suffix, kind.suffix or run.suffix) for kind in IN_SPACE]  # fmt: skip
    images = [f"{escaped}_space-*_desc-{desc}_{suffix}{end}" for desc, suffix in labels
              for end in (IMAGE, ".json")]  # fmt: skip
    ways = (f"from-{run.suffix}_to-*", f"from-*_to-{run.suffix}")
    return (*images, *(f"{escaped}_{way}_mode-image_xfm{TRANSFORM}" for way in ways))


def sidecar_name(name: str) -> str:
    """Name of the JSON file beside an image."""
    return re.sub(r"\.nii(\.gz)?$", "", name) + ".json"


def check_collisions(runs: Iterable[Run]) -> None:
    """Refuse two runs whose outputs would have the same names.

    Parameters
    ----------
    runs : iterable of Run
        All runs of an invocation.

    Raises
    ------
    OutputError
        If two runs map to one output, for example ``.nii`` beside ``.nii.gz``.
    """
    owners: dict[str, Run] = {}
    pairs: dict[tuple[Run, Run], str] = {}
    for run in runs:
        for name in names_of(run).values():
            owner = owners.setdefault(name, run)
            if owner is not run:
                pairs.setdefault((owner, run), name)
    if pairs:
        (one, other), name = next(iter(pairs.items()))
        more = f" (the first of {len(pairs)} such pairs)" if len(pairs) > 1 else ""
        raise OutputError(
            f"{one.relative} and {other.relative}: both would be written to {name}{more}; keep "
            "one of the two in the dataset"
        )


def check_output_dir(bids_dir: Path, output_dir: Path) -> None:
    """Refuse an OUTPUT_DIR that would put results among the raw data.

    Only folders below ``BIDS_DIR/derivatives`` may lie inside BIDS_DIR; BIDS_DIR may lie inside
    OUTPUT_DIR. Symbolic links are followed; neither folder has to exist.

    Parameters
    ----------
    bids_dir, output_dir : Path
        As given on the command line.

    Raises
    ------
    OutputError
        If OUTPUT_DIR is BIDS_DIR or lies in it elsewhere.
    """
    where = _among_raw_data(bids_dir, output_dir)
    if where:
        raise OutputError(
            f"{output_dir}: OUTPUT_DIR {where}; give a folder outside {bids_dir}, "
            f"or {bids_dir / 'derivatives' / APP}"
        )


def check_work_dir(bids_dir: Path, work_dir: Path | None) -> None:
    """Refuse a ``--work-dir`` that would put temporary files among the raw data.

    Raises
    ------
    OutputError
        As `check_output_dir`.
    """
    where = _among_raw_data(bids_dir, work_dir) if work_dir else None
    if where:
        raise OutputError(f"--work-dir {work_dir}: {where}; give a folder outside {bids_dir}")


def _among_raw_data(bids_dir: Path, folder: Path) -> str | None:
    """Where in the raw dataset a folder lies, None where nothing is in the way."""
    raw, out = bids_dir.resolve(), folder.resolve()
    if not out.is_relative_to(raw):
        return None
    inside = out.relative_to(raw).parts
    if len(inside) >= 2 and inside[0] == "derivatives":
        return None
    return "lies in the raw dataset" if inside else "is BIDS_DIR itself"


def is_nested(bids_dir: Path, output_dir: Path) -> bool:
    """Tell whether OUTPUT_DIR lies below ``BIDS_DIR/derivatives``, symbolic links followed."""
    return output_dir.resolve().is_relative_to(bids_dir.resolve() / "derivatives")


def folder_note(bids_dir: Path | None, output_dir: Path) -> str | None:
    """Say so where BIDS wants another folder name.

    BIDS: below ``<dataset>/derivatives/`` the first ``GeneratedBy.Name`` MUST be a substring of
    the folder's name. The name of the program is not bent to the folder: readers look it up, and
    bids-validator 3.0.2 does not check the rule. So the folder is used as given and this line is
    shown.

    Returns
    -------
    str or None
        One line, None where the rule holds or does not apply.
    """
    if bids_dir is None or not is_nested(bids_dir, output_dir):
        return None
    below = output_dir.resolve().relative_to(bids_dir.resolve() / "derivatives").parts
    if not below or APP in below[0]:
        return None
    return (
        f"{output_dir}: BIDS wants '{APP}' in the name of a folder below derivatives/ "
        f"(GeneratedBy.Name); for example derivatives/{APP}"
    )


def dataset_description(
    bids_dir: Path | None,
    output_dir: Path,
    *,
    version: str,
    source: Mapping[str, Any] = _NOTHING,
    raw_uri: str | None = None,
) -> dict[str, Any]:
    """Describe the derivative dataset, the same for whoever writes it.

    Parameters
    ----------
    bids_dir : Path or None
        The raw dataset; None where it is not known (group level): then ``DatasetLinks`` stands
        only if ``raw_uri`` or the DOI gives it.
    output_dir : Path
        The derivative dataset.
    version : str
        Of this program.
    source : mapping
        The raw dataset's ``dataset_description.json``.
    raw_uri : str or None
        What the user gives for the raw dataset; goes before anything else, and stands among the
        source datasets too: there a later call sees that it was given.

    Returns
    -------
    dict
        No time, user or host in it; the order of keys is fixed.
    """
    doi = _doi(source)
    description: dict[str, Any] = {
        "Name": f"{APP}: brain masks, corrected images, tissues and quality metrics",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": APP, "Version": version}],
    }
    link = _raw_link(bids_dir, output_dir, raw_uri, doi)
    if link:
        description["DatasetLinks"] = {"raw": link}
    sources = _source_datasets(raw_uri, doi)
    if sources:
        description["SourceDatasets"] = sources
    return description


def _source_datasets(raw_uri: str | None, doi: str | None) -> list[dict[str, str]]:
    """The raw dataset by its DOI, and by the URI that the user gives."""
    by_doi = [{"DOI": f"doi:{doi}", "URL": f"https://doi.org/{doi}"}] if doi else []
    known = {text for one in by_doi for text in one.values()}
    is_uri = raw_uri is not None and bool(scheme_of(raw_uri))
    return by_doi + ([{"URL": raw_uri}] if raw_uri and is_uri and raw_uri not in known else [])


def _doi(source: Mapping[str, Any]) -> str | None:
    """Bare DOI of a dataset (``10.x/y``), None where it has none or another sort of text."""
    text = str(source.get("DatasetDOI") or "")
    prefix = r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?"
    found = re.fullmatch(prefix + r"(10\.[^\s/]+/\S+)", text.strip(), re.IGNORECASE)
    return found[1] if found else None


def _raw_link(
    bids_dir: Path | None, output_dir: Path, raw_uri: str | None, doi: str | None
) -> str | None:
    """URI of the raw dataset: the user's, relative where nested, its DOI, else its folder."""
    if raw_uri:
        return raw_uri
    if bids_dir is not None and is_nested(bids_dir, output_dir):
        return Path(os.path.relpath(bids_dir.resolve(), output_dir.resolve())).as_posix()
    if doi:
        return f"doi:{doi}"
    return bids_dir.resolve().as_uri() if bids_dir is not None else None


def to_json(value: Any) -> bytes:
    """Bytes of a JSON file: indent 2, keys in the order given, a newline at the end.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not have.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a path may hold bytes that are no text
