"""The way of a run, from file to files.

The one place that knows the order of the stages, and the one seam where a failure becomes an
outcome.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bids_strip.domain import (
    Affine,
    BrainMask,
    Prediction,
    Products,
    Registration,
    Run,
    Source,
    Volume,
)
from bids_strip.errors import BidsStripError, RunError
from bids_strip.manual import find_manual
from bids_strip.naming import BORDERED
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform
from bids_strip.participant.derive import at_border, derive
from bids_strip.participant.edit import read_edit
from bids_strip.participant.load import load
from bids_strip.participant.normalise import normalise, quantised_image
from bids_strip.participant.predict import Predictor
from bids_strip.participant.qc import measure, measure_mask
from bids_strip.participant.register import placed, register
from bids_strip.participant.restore import restore
from bids_strip.participant.segment import segment
from bids_strip.participant.stored import read_stored
from bids_strip.participant.write import remove_outputs, remove_record, write, write_record
from bids_strip.place import Place
from bids_strip.recipe import Recipe
from bids_strip.record import FAILED, OK, InputFile, Record, file_fingerprint, fingerprint
from bids_strip.templates import TemplateFiles, read_template

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """What one run needs besides the network; small, so that it can be sent to a worker.

    Attributes
    ----------
    run
        The image.
    recipe
        What to make of it.
    place
        Where to write.
    version
        Of this program.
    threads
        Threads of the network.
    earlier
        The run's record where it is done but for the border: its stored distances are read instead
        of predicted. None otherwise.
    templates
        Where the templates of the recipe's spaces lie.
    """

    run: Run
    recipe: Recipe
    place: Place
    version: str
    threads: int
    earlier: Record | None = None
    templates: tuple[TemplateFiles, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A run whose outputs are written."""

    run: Run
    record: Record


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that failed.

    Attributes
    ----------
    run
        Which one.
    stage, reason
        Where, and the one line to show.
    exit_code
        What the error would make of the whole invocation.
    details
        The traceback, for the log.
    """

    run: Run
    stage: str
    reason: str
    exit_code: int
    details: str = ""


Outcome = Done | Failed


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time of each stage, s; the last one is where a failure happened."""

    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(
        self, stage: str, function: Callable[..., T], *args: object, **kwargs: object
    ) -> T:
        """Call a stage and note how long it took."""
        begun = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            self.seconds[stage] = round(time.perf_counter() - begun, 3)


def strip_run(job: Job, predictor: Predictor, clock: Clock) -> Done:
    """Strip one run and write its outputs and its record.

    Raises
    ------
    RunError
        If a stage fails; nothing half-written stays.
    """
    run, begun = job.run, time.perf_counter()
    source = clock("load", load, run.path)
    edit = find_manual(run, job.place.output_dir)
    recipe = job.recipe.for_edited() if edit else job.recipe
    manual = known_manual(edit, job.place.output_dir)
    drawn = clock("edit", read_edit, edit, source.volume.grid) if edit else None
    conformed = clock("conform", conform, source.volume, predictor.card)
    prediction = clock("predict", predictor, conformed)
    surface = clock("clean", clean, prediction, conformed.zooms, no_csf=recipe.no_csf)
    distance = clock("restore", restore, surface, conformed.frame)
    brain = clock("derive", derive, source.volume, distance, border_mm=recipe.border_mm,
                  drawn=drawn, no_csf=recipe.no_csf)  # fmt: skip
    normalised = clock("normalise", normalise, source.volume, brain, prediction, conformed.frame,
                       suffix=run.suffix, smoothness_mm=recipe.bias_smoothness_mm)  # fmt: skip
    segmented = clock("segment", segment, normalised, brain, prediction, conformed.frame,
                      suffix=run.suffix)  # fmt: skip
    registrations = clock("register", register_all, normalised.volume, brain, job.templates)
    preproc = quantised_image(source.volume, normalised)
    products = Products(source, brain, preproc, segmented, registrations)
    metrics = clock("qc", measure, surface, normalised, segmented, products)
    record = replace(
        describe(job, predictor),
        status=OK,
        input=fingerprint(run),
        flags=flags_of(source, brain, prediction, registrations),
        metrics=rounded(metrics),
        options=recipe.to_options(),
        manual=manual,
        surface={"origin": origin(brain, recipe), "software": software(job)},
    )
    outputs = clock("write", write, run, products, recipe=recipe,
                    network=record.network, version=job.version, place=job.place,
                    threads=job.threads)  # fmt: skip
    return finished(job, replace(record, outputs=outputs), clock, begun)


def reborder_run(job: Job, earlier: Record, clock: Clock) -> Done | None:
    """Make what a border changes anew, from the stored distances; the network stays closed.

    The other outputs stay as they are, and so do the metrics and flags that a border does not
    change. The record is removed first and written last.

    Parameters
    ----------
    job
        The run and its new border.
    earlier
        Its record.
    clock
        Of the stages.

    Returns
    -------
    Done or None
        None if what is stored is damaged: then all is to be made anew.

    Raises
    ------
    RunError
        If a stage fails.
    """
    run, out, begun = job.run, job.place.output_dir, time.perf_counter()
    # whatever was made with the old border follows, asked for this time or not
    recipe = replace(job.recipe, outputs=tuple(earlier.options["outputs"]))
    source = clock("load", load, run.path)
    anatomies = tuple(files.space.anatomy for files in job.templates)
    stored = clock("stored", read_stored, run, out, source.volume.grid.shape,
                   brain="brain" in recipe.outputs, anatomies=anatomies)  # fmt: skip
    if stored is None:
        return None
    brain = clock("derive", at_border, stored.sdt_steps, border_mm=recipe.border_mm)
    registrations = clock("register", placed_all, stored.affines, source.volume, brain,
                          job.templates)  # fmt: skip
    metrics = clock("qc", measure_mask, source.volume.grid, brain)
    remove_record(run, out)
    products = Products(source, brain, stored.preproc, registrations=registrations)
    outputs = clock("write", write, run, products, recipe=recipe, network=earlier.network,
                    version=job.version, place=job.place, only=BORDERED,
                    threads=job.threads)  # fmt: skip
    record = replace(
        earlier,
        input=fingerprint(run),
        options=recipe.to_options(),
        software=software(job),
        metrics={**earlier.metrics, **rounded(metrics)},
        outputs=tuple({o.name: o for o in (*earlier.outputs, *outputs)}.values()),
    )
    return finished(job, record, clock, begun)


def finished(job: Job, record: Record, clock: Clock, begun: float) -> Done:
    """Write the record with what the run cost."""
    record = replace(
        record,
        stage_seconds=clock.seconds,
        elapsed_s=round(time.perf_counter() - begun, 3),
        peak_memory_mb=peak_memory_mb(),
    )
    write_record(job.run, record, job.place)
    return Done(job.run, record)


def register_all(
    moving: Volume, brain: BrainMask, templates: Sequence[TemplateFiles]
) -> tuple[Registration, ...]:
    """Register a run to each template; two resolutions of one space share their affine."""
    known: dict[str, Affine] = {}
    for files in templates:
        if files.space.anatomy not in known:
            known[files.space.anatomy] = register(moving, brain, read_template(files))
    return placed_all(known, moving, brain, templates)


def placed_all(
    affines: Mapping[str, Affine], moving: Volume, brain: BrainMask,
    templates: Sequence[TemplateFiles],
) -> tuple[Registration, ...]:  # fmt: skip
    """Place a run in each template's space by the affine to its anatomy."""
    return tuple(
        placed(affines[files.space.anatomy], moving.grid, brain, read_template(files))
        for files in templates
    )


def attempt(job: Job, open_predictor: Callable[[], Predictor]) -> Outcome:
    """Strip one run; whatever goes wrong becomes a `Failed` with its record.

    Parameters
    ----------
    job
        The run.
    open_predictor
        Gives this process's network; that, too, may fail.
    """
    clock = Clock()
    predictor: Predictor | None = None
    try:
        if job.earlier and (done := reborder_run(job, job.earlier, clock)):
            return done
        clock = Clock()
        remove_outputs(job.run, job.place.output_dir)
        predictor = open_predictor()
        return strip_run(job, predictor, clock)
    except Exception as error:  # noqa: BLE001 - the seam
        failed = failure(job, error, stage=next(reversed(clock.seconds), "open"))
    return recorded(job, failed, describe(job, predictor))


def failure(job: Job, error: BaseException, *, stage: str) -> Failed:
    """An exception as an outcome."""
    if isinstance(error, BidsStripError):
        reason = str(error)
    elif isinstance(error, MemoryError):
        reason = "not enough memory; give fewer --nprocs or more memory"
    else:
        kind = f"{type(error).__name__}: {error}"
        reason = f"internal error ({kind}); please report it with the log file"
    if job.run.path.name not in reason:
        reason = f"{job.run.path}: {reason}"
    return Failed(
        run=job.run,
        stage=error.stage if isinstance(error, RunError) else stage,
        reason=" ".join(reason.split()),
        exit_code=int(error.exit_code) if isinstance(error, RunError) else 1,
        details="".join(traceback.format_exception(error)),
    )


def recorded(job: Job, failed: Failed, record: Record) -> Failed:
    """Remove what was written before the failure and leave a record of it."""
    try:
        remove_outputs(job.run, job.place.output_dir)
        write_record(
            job.run,
            replace(record, status=FAILED, stage=failed.stage, reason=failed.reason,
                    input=fingerprint(job.run)),
            job.place,
        )  # fmt: skip
    except (OSError, RunError, ValueError) as error:
        return replace(failed, details=f"{failed.details}\nits record: {error}")
    return failed


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
    registrations: Sequence[Registration],
) -> dict[str, bool]:  # fmt: skip
    """Findings about the input."""
    return {
        "already_stripped": brain.already_stripped,
        "manual": brain.edited,
        "form_mismatch": source.form_mismatch,
        "no_orientation": source.no_orientation,
        "no_tissue_prior": prediction.shares is None,
        "sheared": source.sheared,
        "template_mismatch": not all(one.plausible for one in registrations),
    }


def peak_memory_mb() -> float:
    """The most memory this process has held, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)
