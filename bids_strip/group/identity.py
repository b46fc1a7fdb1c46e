"""Whose runs are whose: the descriptors of a group, and how alike they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np

from bids_strip.domain import Grid
from bids_strip.identity.brain import Descriptor, described, points
from bids_strip.identity.compared import Identity
from bids_strip.identity.findings import compare, read_limits
from bids_strip.identity.likeness import similarities
from bids_strip.identity.store import descriptor_name, key_of, read_descriptor, to_bytes
from bids_strip.machine.resources import share
from bids_strip.naming import names_of
from bids_strip.nifti import DAMAGED, read_nifti
from bids_strip.output.place import Place
from bids_strip.record import OK, Record, run_of
from bids_strip.registration.reference import load_reference
from bids_strip.verdict import reasons

FAILED_RUN = "the run failed"
NO_OUTPUTS = "neither a descriptor nor brain and sdt are stored: give --outputs mask brain sdt"
DAMAGED_OUTPUTS = "its stored brain or sdt is damaged or holds no brain: run it again with --force"
MASK_IN_DOUBT = "its mask is to be checked first"
_OF_THE_MASK = frozenset({"unlike_a_brain", "loss", "leak"})
"""Reasons for which a brain is unlike itself: with half a mask no two sessions are alike."""
_ENOUGH_FOR_A_POOL = 4


def identify(
    records: Sequence[Record], place: Place, *, nprocs: int | None, mem_gb: float | None
) -> Identity:
    """Compare the runs of one modality, each with all others.

    Parameters
    ----------
    records
        Of the group.
    place
        OUTPUT_DIR; descriptors that are absent or out of date are made from what is stored there.
    nprocs, mem_gb
        Of `bids_strip.machine.resources.share`: bounds of the processes that make them.

    Raises
    ------
    WriteError
        If a descriptor cannot be written.
    """
    reference = load_reference()
    size = int(np.count_nonzero(points(reference)))
    kept = [_kept(record, place.output_dir, size) for record in records]
    to_make = [record for record, known in zip(records, kept, strict=True)
               if known is None and not _doubts(record) and stored_files(record)]  # fmt: skip
    count, _ = share(nprocs=nprocs, threads=1, mem_gb=mem_gb, runs=len(to_make))
    made = dict(zip([record.bids_name for record in to_make],
                    _made(to_make, place, count), strict=True))  # fmt: skip
    found = [known if known is not None else made.get(record.bids_name)
             for record, known in zip(records, kept, strict=True)]  # fmt: skip
    compared = tuple(index for index, one in enumerate(found) if one is not None)
    stack = np.array([one for one in found if one is not None], np.int8).reshape(-1, size)
    people = [records[index].entities.get("sub", "") for index in compared]
    inputs = [_input(records[index]) for index in compared]
    similarity = similarities(stack, people, reference)
    results = compare(similarity, people, inputs, read_limits())
    left_out = {index: _why(records[index]) for index, one in enumerate(found) if one is None}
    return Identity(tuple(records), compared, similarity, results, left_out)


def stored_files(record: Record) -> tuple[str, str] | None:
    """Names of a run's stripped brain and distances, None if either was not written."""
    names = names_of(run_of(record))
    wanted = names["brain"], names["sdt"]
    inside = all(".." not in PurePosixPath(name).parts for name in wanted)
    written = {output.name for output in record.outputs}
    return wanted if record.status == OK and inside and written.issuperset(wanted) else None


def describe_stored(files: tuple[str, str], output_dir: Path) -> Descriptor | None:
    """The descriptor of a stored brain; None if a file is damaged or holds none."""
    try:
        brain, sdt = (read_nifti(output_dir / name) for name in files)
        image = np.asarray(brain.dataobj.get_unscaled()).astype(np.float32)
        steps = np.asarray(sdt.dataobj.get_unscaled())
    except DAMAGED:
        return None
    if steps.dtype != np.int16 or steps.ndim != 3 or steps.shape != image.shape:
        return None
    grid = Grid((steps.shape[0], steps.shape[1], steps.shape[2]), brain.affine)
    return described(image, steps, grid, load_reference())


def _kept(record: Record, output_dir: Path, size: int) -> Descriptor | None:
    """The descriptor that is there already, if it is of what the record says."""
    if record.status != OK or _doubts(record):
        return None
    return read_descriptor(output_dir / descriptor_name(record.bids_name), key_of(record), size)


def _made(records: Sequence[Record], place: Place, nprocs: int) -> Iterator[Descriptor | None]:
    """Descriptors of stored brains, in order; they are kept as they come."""
    files = [names for record in records if (names := stored_files(record))]
    make = partial(describe_stored, output_dir=place.output_dir)
    for record, found in zip(records, _mapped(make, files, nprocs), strict=True):
        if found is not None:
            place.put(descriptor_name(record.bids_name), to_bytes(found, key_of(record)))
        yield found


def _mapped(
    make: partial[Descriptor | None], files: Sequence[tuple[str, str]], nprocs: int
) -> Iterator[Descriptor | None]:
    """Call it on each, in this process or in a pool; what is left when a worker dies, in this."""
    if nprocs == 1 or len(files) < _ENOUGH_FOR_A_POOL:
        yield from map(make, files)
        return
    done = 0
    with ProcessPoolExecutor(min(nprocs, len(files)), mp_context=get_context("spawn")) as pool:
        try:
            for found in pool.map(make, files):
                yield found
                done += 1
        except BrokenProcessPool:  # most likely for want of memory: one at a time may do
            pass
    yield from map(make, files[done:])


def _doubts(record: Record) -> tuple[str, ...]:
    """Reasons to check a run's mask before anyone is accused by it."""
    found = reasons(record.metrics, record.flags)
    return tuple(reason for reason in found if reason in _OF_THE_MASK)


def _why(record: Record) -> str:
    """Why a run was not compared."""
    if record.status != OK:
        return FAILED_RUN
    if found := _doubts(record):
        return f"{MASK_IN_DOUBT}: {', '.join(found)}"
    return DAMAGED_OUTPUTS if stored_files(record) else NO_OUTPUTS


def _input(record: Record) -> str:
    return record.input.sha256 if record.input else ""
