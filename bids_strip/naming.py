"""Names of what is written: source stem -> derivative paths; pure.

Words:

kind
    One sort of output of a run, a row of `KINDS`: ``mask``, ``sdt``, ``brain``, ``qc``. What
    follows an underscore tells files apart that are asked for together: ``probseg_GM``.
name
    Path of a derivative below OUTPUT_DIR, with forward slashes.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bids_strip.domain import Run
from bids_strip.errors import OutputError
from bids_strip.space import Space

APP = "bids_strip"
IMAGE = ".nii.gz"
TRANSFORM = ".tfm"


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
    return _in_any_space(run, figures_of(run)["contour"])


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
    return _transforms(f"{run.folder}/{run.stem}", run.suffix, anatomy)


def _transforms(start: str, suffix: str, anatomy: str) -> tuple[str, str]:
    there, back = (
        f"{start}_from-{one}_to-{other}_mode-image_xfm{TRANSFORM}"
        for one, other in ((suffix, anatomy), (anatomy, suffix))
    )
    return there, back


def patterns_in_spaces(run: Run) -> tuple[str, ...]:
    """Globs of all that may lie there of a run in any template space."""
    images = (
        _in_any_space(run, derivative_name(run, kind.desc, kind.suffix or run.suffix, end))
        for kind in IN_SPACE
        for end in (IMAGE, ".json")
    )
    return (*images, *_transforms(glob.escape(f"{run.folder}/{run.stem}"), run.suffix, "*"))


def _in_any_space(run: Run, name: str) -> str:
    """Glob of what a run's file of this name is called in a template space."""
    folder, _, file = name.rpartition("/")
    start, end = f"{folder}/{run.stem}", file.removeprefix(run.stem)
    return f"{glob.escape(start)}_space-*{glob.escape(end)}"


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
