"""The one seam where a failure becomes an outcome."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

from bids_strip.errors import BidsStripError, EditError, RunError
from bids_strip.fingerprint import fingerprint
from bids_strip.naming import names_of, page_name
from bids_strip.output.place import batched
from bids_strip.participant.describe import describe, software
from bids_strip.participant.edit import check_untouched, saved_over
from bids_strip.participant.job import Clock, Failed, Job, Outcome
from bids_strip.participant.pipeline import reborder_run, strip_run
from bids_strip.participant.predict import Predictor
from bids_strip.participant.report import renew_page
from bids_strip.participant.resume import outlives
from bids_strip.participant.write import publish, remove_outputs, write_record
from bids_strip.printable import folded
from bids_strip.record import FAILED, Record, read_record, without_places


def attempt(job: Job, open_predictor: Callable[[], Predictor]) -> Outcome:
    """Strip one run; whatever goes wrong becomes a `Failed` with its record.

    Nothing of an earlier result is touched before the new one is whole.

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
        if not job.forced:
            check_untouched(job.run, _record_of(job), job.place.output_dir)
        with batched(job.place) as batch:
            held = replace(job, place=batch)
            done = reborder_run(held, job.earlier, clock) if job.earlier else None
            if done is None:
                clock = Clock()
                predictor = open_predictor()
                done = strip_run(held, predictor, clock)
            renewed = predictor is None or job.standing is not None
            publish(job.run, done.record, batch, renewed=renewed)
    except Exception as error:  # noqa: BLE001 - the seam
        failed = failure(job, error, stage=next(reversed(clock.seconds), "open"))
        failed = replace(failed, elapsed_s=round(sum(clock.seconds.values()), 3))
        traceback.clear_frames(error.__traceback__)  # they hold the arrays that memory lacked
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
        reason=folded(reason),
        exit_code=int(error.exit_code) if isinstance(error, RunError) else 1,
        details="".join(traceback.format_exception(error)),
    )


def recorded(job: Job, failed: Failed, record: Record, *, keep_outputs: bool = False) -> Failed:
    """Leave a record of a failure in place of what was there.

    The finished result of an earlier call stays with its record, unless the input is another now
    than it was made of: a disk that is full today takes nothing along.

    Parameters
    ----------
    job, failed
        The run and its failure.
    record
        What is known of it.
    keep_outputs
        True if the files stay, whatever they are of; of their record their names and sizes stay,
        and so they do where a rater has saved over our mask: the next call has to notice it.
    """
    out = job.place.output_dir
    try:
        earlier = _record_of(job)
        if not keep_outputs and outlives(job.run, earlier, out):
            return replace(failed, kept=True)
        record = replace(record, status=FAILED, stage=failed.stage, input=fingerprint(job.run),
                         reason=without_places(failed.reason, job.run, out))  # fmt: skip
        if not (keep_outputs or saved_over(job.run, earlier, out)):
            remove_outputs(job.run, out)
        elif earlier:
            record = replace(record, outputs=earlier.outputs, manual=earlier.manual)
        write_record(job.run, record, job.place)
    except (OSError, RunError, ValueError, MemoryError) as error:
        return replace(failed, details=f"{failed.details}\nits record: {error}")
    return replace(failed, remark=paged(job))


def _record_of(job: Job) -> Record | None:
    return read_record(job.place.output_dir / names_of(job.run)["qc"])


def paged(job: Job) -> str:
    """Renew the page of the run's participant; a line if that does not work, which fails no run."""
    subject = job.run.label("sub") or ""
    page = job.place.output_dir / page_name(subject)
    if not (job.recipe.pictured or page.exists()):
        return ""
    try:
        renew_page(subject, job.place, software=software(job))
    except Exception as error:  # noqa: BLE001 - the masks are written
        reason = folded(str(error))
        return reason if page.name in reason else f"{page}: {type(error).__name__}: {reason}"
    return ""
