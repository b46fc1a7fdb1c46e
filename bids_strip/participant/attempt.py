"""The one seam where a failure becomes an outcome."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

from bids_strip.errors import BidsStripError, EditError, RunError
from bids_strip.naming import page_name
from bids_strip.participant.describe import describe, software
from bids_strip.participant.job import Clock, Failed, Job, Outcome
from bids_strip.participant.pipeline import reborder_run, strip_run
from bids_strip.participant.predict import Predictor
from bids_strip.participant.report import renew_page
from bids_strip.participant.write import remove_outputs, write_record
from bids_strip.record import FAILED, Record, fingerprint


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
        done = reborder_run(job, job.earlier, clock) if job.earlier else None
        if done is None:
            clock = Clock()
            predictor = open_predictor()
            done = strip_run(job, predictor, clock)
    except Exception as error:  # noqa: BLE001 - the seam
        failed = failure(job, error, stage=next(reversed(clock.seconds), "open"))
        judged = isinstance(error, EditError)  # beside what it was drawn on, which stays
        return recorded(job, failed, describe(job, predictor), keep_outputs=judged)
    return replace(done, remark=paged(job))


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


def recorded(job: Job, failed: Failed, record: Record, *, keep_outputs: bool = False) -> Failed:
    """Remove what was written before the failure and leave a record of it."""
    try:
        if not keep_outputs:
            remove_outputs(job.run, job.place.output_dir)
        write_record(
            job.run,
            replace(record, status=FAILED, stage=failed.stage, input=fingerprint(job.run),
                    reason=without_places(failed.reason, job)),
            job.place,
        )  # fmt: skip
    except (OSError, RunError, ValueError) as error:
        return replace(failed, details=f"{failed.details}\nits record: {error}")
    return replace(failed, remark=paged(job))


def without_places(reason: str, job: Job) -> str:
    """A reason without the folders of this machine: records and pages travel."""
    raw = str(job.run.path).removesuffix(job.run.relative)
    for folder in (f"{job.place.output_dir}/", raw):
        reason = reason.replace(folder, "")
    return reason


def paged(job: Job) -> str:
    """Renew the page of the run's participant; a line if that does not work, which fails no run."""
    subject = job.run.label("sub") or ""
    page = job.place.output_dir / page_name(subject)
    if not (job.recipe.pictured or page.exists()):
        return ""
    try:
        renew_page(subject, job.place, software=software(job))
    except Exception as error:  # noqa: BLE001 - the masks are written
        reason = " ".join(str(error).split())
        return reason if page.name in reason else f"{page}: {type(error).__name__}: {reason}"
    return ""
