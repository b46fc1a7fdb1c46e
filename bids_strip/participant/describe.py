"""What a record says of a run besides its numbers."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_strip.domain import BrainMask, Prediction, Registration, Source
from bids_strip.fingerprint import InputFile, file_fingerprint
from bids_strip.participant.job import Job
from bids_strip.participant.predict import Predictor
from bids_strip.recipe import Recipe
from bids_strip.record import FAILED, Record
from bids_strip.scanner import scanner_of

_FACELESS = 0.3
"""Less of the face's place than this holds head where the face is taken off: .01 to .17 in
ms-longitudinal, whose faces are, .49 to .77 in the training maps, whose faces are not."""


def describe(job: Job, predictor: Predictor | None) -> Record:
    """The part of a record that is known before the work."""
    card = predictor.card if predictor else None
    return Record(
        bids_name=job.run.name,
        suffix=job.run.suffix,
        entities=dict(job.run.entities),
        status=FAILED,
        options=job.recipe.to_options(),
        network={"name": card.name, "version": card.version, "sha256": card.sha256} if card else {},
        software=software(job),
        provider=predictor.provider if predictor else None,
        threads=job.threads,
        scanner=scanner_of(job.run),
    )


def software(job: Job) -> str:
    """Name and version of the program."""
    return f"bids_strip {job.version}"


def known_manual(path: Path | None, output_dir: Path) -> InputFile | None:
    """What the edited mask is now; before it is read, so that a later change shows."""
    return file_fingerprint(path, path.relative_to(output_dir).as_posix()) if path else None


def origin(brain: BrainMask, recipe: Recipe) -> str:
    """What the stored distances are of."""
    if brain.edited:
        return "manual"
    return "outline" if brain.already_stripped and not recipe.no_csf else "network"


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """As a record keeps them."""
    return {key: round(value, 4) for key, value in metrics.items()}


def flags_of(
    source: Source, brain: BrainMask, prediction: Prediction,
    registrations: Sequence[Registration], metrics: Mapping[str, float],
) -> dict[str, bool]:  # fmt: skip
    """Findings about the input."""
    return {
        "already_stripped": brain.already_stripped,
        "manual": brain.edited,
        "form_mismatch": source.form_mismatch,
        "no_orientation": source.no_orientation,
        "no_tissue_prior": prediction.shares is None,
        "defaced": metrics.get("face_share", 1.0) < _FACELESS and not brain.already_stripped,
        "sheared": source.sheared,
        "template_mismatch": not all(one.plausible for one in registrations),
    }


def peak_memory_mb() -> float:
    """The most memory this process has held, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
