"""The way of a run, from file to files: the one place that knows the order of the stages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bids_strip.card import Card
from bids_strip.domain import (
    Affine,
    BrainMask,
    Conformed,
    NetworkTissues,
    Prediction,
    Products,
    Registration,
    Template,
    Volume,
)
from bids_strip.errors import LoadError
from bids_strip.fingerprint import fingerprint, other_input
from bids_strip.machine.memory import check_memory
from bids_strip.machine.resources import available_gb
from bids_strip.manual import find_manual
from bids_strip.naming import BORDERED
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform, cut_short
from bids_strip.participant.derive import at_border, derive
from bids_strip.participant.describe import (
    describe,
    flags_of,
    known_manual,
    origin,
    peak_memory_mb,
    rounded,
    software,
)
from bids_strip.participant.draw import draw
from bids_strip.participant.edit import read_edit
from bids_strip.participant.into_template import placed
from bids_strip.participant.job import Clock, Done, Job
from bids_strip.participant.keep import keep
from bids_strip.participant.load import load
from bids_strip.participant.match import match
from bids_strip.participant.normalise import normalise, quantised_image
from bids_strip.participant.predict import Predictor
from bids_strip.participant.qc import measure, measure_mask
from bids_strip.participant.register import register
from bids_strip.participant.restore import restore
from bids_strip.participant.segment import segment
from bids_strip.participant.stored import read_stored
from bids_strip.participant.write import Writer, write, write_figures, write_record
from bids_strip.recipe import Recipe
from bids_strip.record import OK, Record, joined
from bids_strip.templates import read_template
from bids_strip.verdict import reasons, verdict


def strip_run(job: Job, predictor: Predictor, clock: Clock) -> Done:
    """Strip one run and write its outputs and, last, its record.

    Raises
    ------
    RunError
        If a stage fails.
    """
    run, begun = job.run, time.perf_counter()
    check_fits(job, job.recipe, predictor.card)
    taken = fingerprint(run)
    source = clock("load", load, run.path)
    edit = find_manual(run, job.place.output_dir)
    recipe = job.recipe.for_edited() if edit else job.recipe
    manual = known_manual(edit, job.place.output_dir)
    drawn = clock("edit", read_edit, edit, source.volume.grid) if edit else None
    conformed, prediction = predicted(source.volume, predictor, clock)
    surface = clock("clean", clean, prediction, conformed.zooms, no_csf=recipe.no_csf,
                    required=drawn is None, threads=job.threads)  # fmt: skip
    distance = clock("restore", restore, surface, conformed.frame)
    brain = clock("derive", derive, source.volume, distance, border_mm=recipe.border_mm,
                  drawn=drawn, no_csf=recipe.no_csf, threads=job.threads)  # fmt: skip
    network = NetworkTissues(prediction.shares, conformed.frame)
    normalised = clock("normalise", normalise, source.volume, brain, network, suffix=run.suffix,
                       smoothness_mm=recipe.bias_smoothness_mm, threads=job.threads)  # fmt: skip
    segmented = clock("segment", segment, normalised, brain, network, suffix=run.suffix,
                      outside="dseg" in recipe.outputs, threads=job.threads)  # fmt: skip
    fitted = whole_brain(source.volume, prediction, conformed) if recipe.no_csf else brain
    registrations = clock("register", register_all, job, normalised.volume, brain, fitted)
    preproc = quantised_image(source.volume, normalised)
    matched = clock("match", match, source.volume.grid, fitted)
    products = Products(source, brain, preproc, segmented, registrations, matched)
    metrics = clock("qc", measure, surface, network, normalised, segmented, products, fitted)
    record = replace(
        describe(job, predictor),
        status=OK,
        input=taken,
        flags=flags_of(source, brain, prediction, registrations, metrics),
        metrics=rounded(metrics),
        options=recipe.to_options(),
        manual=manual,
        surface={"origin": origin(brain, recipe), "software": software(job)},
    )
    picture(job, recipe, products, clock)
    writer = Writer(run, recipe, record.network, job.version, job.place, threads=job.threads)
    outputs = clock("write", write, writer, products)
    if job.identity:
        clock("identity", keep, products, record, job.place)
    return finished(job, replace(record, outputs=outputs), clock, begun)


def check_fits(job: Job, recipe: Recipe, card: Card | None) -> None:
    """Refuse a head that needs more memory than there is.

    Parameters
    ----------
    job
        The run.
    recipe
        What is made of it.
    card
        Of the network; None where it stays closed.

    Raises
    ------
    MemoryLimitError
        Then.
    """
    memory_gb = available_gb() if job.memory_gb is None else job.memory_gb
    check_memory(job.run.path, card, recipe, [t.image for t in job.templates], memory_gb)


def predicted(volume: Volume, predictor: Predictor, clock: Clock) -> tuple[Conformed, Prediction]:
    """What the network says of a run; of its whole field of view where the head was cut short."""
    conformed = clock("conform", conform, volume, predictor.card)
    prediction = clock("predict", predictor, conformed)
    if cut_short(prediction, conformed):
        conformed = clock("conform", conform, volume, predictor.card, whole=True)
        prediction = clock("predict", predictor, conformed)
    return conformed, prediction


def reborder_run(job: Job, earlier: Record, clock: Clock) -> Done | None:
    """Make what a border changes anew, from the stored distances; the network stays closed.

    The other outputs stay as they are, and so do the metrics and flags that a border does not
    change.

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
    check_fits(job, recipe, None)
    taken = fingerprint(run)
    source = clock("load", load, run.path)
    anatomies = tuple(files.space.anatomy for files in job.templates)
    stored = clock("stored", read_stored, run, out, source.volume.grid.shape,
                   brain="brain" in recipe.outputs, anatomies=anatomies)  # fmt: skip
    if stored is None:
        return None
    brain = clock("derive", at_border, stored.sdt_steps, border_mm=recipe.border_mm)
    registrations = clock("register", placed_all, job, stored.affines, source.volume, brain, brain,
                          map(read_template, job.templates))  # fmt: skip
    # the affine has passed; the shape of another surface does not make it worse
    registrations = tuple(replace(one, plausible=True) for one in registrations)
    metrics = clock("qc", measure_mask, source.volume.grid, brain)
    products = Products(source, brain, stored.preproc, None, registrations)
    if recipe.pictured:  # by the old border's kinds: a picture that is there must not outlive it
        matched = clock("match", match, source.volume.grid, brain)
        products = replace(products, match=matched)
    picture(job, recipe, products, clock)
    writer = Writer(run, recipe, earlier.network, job.version, job.place, BORDERED, job.threads)
    outputs = clock("write", write, writer, products)
    record = replace(
        earlier,
        input=taken,
        options=recipe.to_options(),
        software=software(job),
        metrics={**earlier.metrics, **rounded(metrics)},
        outputs=tuple({o.name: o for o in (*earlier.outputs, *outputs)}.values()),
    )
    if job.identity:
        clock("identity", keep, products, record, job.place)
    return finished(job, record, clock, begun)


def picture(job: Job, recipe: Recipe, products: Products, clock: Clock) -> None:
    """Draw a run and put its pictures in their places, unless masks alone are made."""
    if not recipe.pictured:
        return
    write_figures(clock("draw", draw, job.run, products), job.place)


def finished(job: Job, record: Record, clock: Clock, begun: float) -> Done:
    """Write the record with its verdict and what the run cost."""
    if record.input is not None and other_input(job.run, record.input):
        raise LoadError(f"{job.run.path}: was replaced while its mask was made; call again")
    if job.standing is not None:
        record = joined(record, job.standing)
    found = reasons(record.metrics, record.flags)
    record = replace(
        record,
        verdict=verdict(found),
        reasons=found,
        stage_seconds=clock.seconds,
        elapsed_s=round(time.perf_counter() - begun, 3),
        peak_memory_mb=peak_memory_mb(),
    )
    write_record(job.run, record, job.place)
    return Done(job.run, record)


def whole_brain(volume: Volume, prediction: Prediction, conformed: Conformed) -> BrainMask:
    """The brain's own surface, which is compared and fitted where the tissue's is written."""
    surface = clean(prediction, conformed.zooms)
    return derive(volume, restore(surface, conformed.frame), border_mm=0.0)


def register_all(
    job: Job, moving: Volume, brain: BrainMask, fitted: BrainMask
) -> tuple[Registration, ...]:
    """Register a run to each template; two resolutions of one space share their affine."""
    known: dict[str, Affine] = {}
    templates = tuple(map(read_template, job.templates))
    for template in templates:
        if template.space.anatomy not in known:
            known[template.space.anatomy] = register(moving, fitted, template,
                                                      threads=job.threads)  # fmt: skip
    return placed_all(job, known, moving, brain, fitted, templates)


def placed_all(
    job: Job, affines: Mapping[str, Affine], moving: Volume, brain: BrainMask, fitted: BrainMask,
    templates: Iterable[Template],
) -> tuple[Registration, ...]:  # fmt: skip
    """Place a run in each template's space by the affine to its anatomy."""
    return tuple(
        placed(affines[template.space.anatomy], moving.grid, brain, template,
               fitted=fitted, threads=job.threads)
        for template in templates
    )  # fmt: skip
