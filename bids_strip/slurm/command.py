"""The program's command line within a job, and what a container binds for it."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from bids_strip.errors import MissingInputError, UsageError
from bids_strip.settings import LEVELS, OPTIONS, Settings, long_flag
from bids_strip.slurm.jobs import Cluster, Work

_CPUS_A_RUN = 4


def words_of(flag: str, value: Any) -> list[str]:
    """One option as it is typed."""
    if value is True:
        return [flag]
    if isinstance(value, (list, tuple)):
        return [flag, *value]
    return [flag, str(value)]


def option_words(
    settings: Settings, bounds: dict[str, Any], only: Container[str] | None = None
) -> list[list[str]]:
    """Options that differ from their default, the bounds where the user gave none."""
    defaults = {field.name: field.default for field in fields_of(Settings)}
    values = {
        option.dest: getattr(settings, option.dest)
        for option in OPTIONS
        if option.dest in defaults and option.dest != "participant_label"
        and (only is None or option.dest in only)
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value != defaults[name]}
    flags = {option.dest: long_flag(option) for option in OPTIONS}
    return [words_of(flags[name], value) for name, value in {**bounds, **given}.items()]


def bounds_of(cluster: Cluster, settings: Settings) -> dict[str, Any]:
    """What a task may use, said rather than found: not every Slurm confines its jobs."""
    cpus = cluster.cpus_per_task
    nprocs = settings.nprocs or (1 if cluster.gpu else max(1, cpus // _CPUS_A_RUN))
    bounds: dict[str, Any] = {
        "nprocs": nprocs,
        "omp_nthreads": max(1, cpus // nprocs),
        "mem_gb": round(cluster.mem_gb, 2),
    }
    return {**bounds, "device": "gpu"} if cluster.gpu else bounds


def check_paths(cluster: Cluster, work: Work) -> None:
    """Refuse paths that a job script or a bind cannot hold, and an absent image."""
    paths = [path for level in LEVELS for path, _ in binds(cluster, work, level)]
    for path in paths:
        text = str(path)
        if not text.isprintable() or "\\" in text:
            raise UsageError(
                f"{text!r}: a path with a backslash or an unprintable character cannot stand in a "
                "job script; link to it under another name"
            )
        if cluster.container and re.search("[:,]", text):
            raise UsageError(
                f"{text}: a path with ':' or ',' cannot be bound into a container; link to it "
                "under another name"
            )
    image = cluster.container
    if image and "://" not in image and not Path(image).exists():
        raise MissingInputError(
            f"--container {image}: no such file; give an image of Apptainer or Singularity "
            "(apptainer build bids_strip.sif Singularity.def)"
        )


def binds(cluster: Cluster, work: Work, level: str) -> list[tuple[Path, str]]:
    """What a job sees of the host, under the same path: ``ro`` or ``rw``.

    The group level does not open BIDS_DIR, which may be gone by then.
    """
    settings = work.settings
    model = Path(settings.model) if settings.model and settings.model.endswith(".onnx") else None
    read = [
        settings.bids_dir if level == "participant" else None,
        settings.bids_filter_file if level == "participant" else None,
        *(work.linked if level == "participant" else ()),
        settings.ratings if level == "group" else None,
        model,
        model.with_suffix(".json") if model else None,
        cluster.template_home.absolute() if cluster.template_home else None,
    ]
    write = [settings.output_dir, settings.work_dir]
    return [
        *((path, "ro") for path in read if path is not None),
        *((path, "rw") for path in write if path is not None),
    ]
