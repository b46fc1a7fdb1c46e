"""What the jobs of a dataset are: what each asks of the cluster, whom it strips."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from bids_strip.dataset.description import DESCRIPTION
from bids_strip.dataset.filters import labels_of
from bids_strip.dataset.words import counted
from bids_strip.domain import Run
from bids_strip.errors import OutputError, UsageError
from bids_strip.scanner import json_names, sidecars_of
from bids_strip.settings import Settings
from bids_strip.slurm.links import folders_outside, in_few
from bids_strip.templates import find_templates, to_fetch_note

MOST_TASKS = 1000
"""Tasks of an array that Slurm takes unless it is set up otherwise (MaxArraySize 1001)."""
FEWEST_SUBJECTS = 10
"""Participants of a task where the array is short enough."""
LABELS = {"participant_label": "sub", "session_label": "ses", "run_label": "run",
          "acquisition_label": "acq"}  # fmt: skip
"""Options that name labels, and the entity of each."""
_LEAST_GB = 0.5
_OURS = frozenset(
    ["-a", "--array", "-c", "--cpus-per-task", "-d", "--dependency", "--mem", "--mem-per-cpu",
     "-o", "--output", "-n", "--ntasks", "-N", "--nodes", "--gres", "-t", "--time"]
)  # fmt: skip
"""Options of sbatch that the program's own bounds or the group job depend on."""
_MB = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the jobs ask of the cluster.

    Attributes
    ----------
    container
        Image of Apptainer or Singularity; None takes the command on PATH.
    template_home
        TEMPLATEFLOW_HOME; None where no template is asked for.
    subjects_per_task
        None chooses: at least ten, more where the array would grow beyond `MOST_TASKS`.
    throttle
        Tasks running at a time; None sets no bound.
    time, mem
        A task's, as Slurm writes them.
    cpus_per_task
        A task's processors.
    partition, account
        None leaves Slurm's default.
    gpu
        True asks for a GPU a task.
    sbatch
        More options of ``sbatch``, as they stand.
    setup
        Shell lines that come first in each job.
    """

    container: str | None = None
    template_home: Path | None = None
    subjects_per_task: int | None = None
    throttle: int | None = None
    time: str = "04:00:00"
    mem: str = "4G"
    cpus_per_task: int = 2
    partition: str | None = None
    account: str | None = None
    job_name: str = "bids_strip"
    gpu: bool = False
    sbatch: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what a parser cannot.

        Raises
        ------
        UsageError
            If a value could not stand in a job script.
        """
        for name, count in (("--subjects-per-task", self.subjects_per_task),
                            ("--throttle", self.throttle),
                            ("--cpus-per-task", self.cpus_per_task)):  # fmt: skip
            if count is not None and count < 1:
                raise UsageError(f"{name} {count}: must be a number above 0")
        if not re.fullmatch(r"[0-9]+[KMGT]?", self.mem) or self.mem_gb < _LEAST_GB:
            raise UsageError(
                f"--mem {self.mem}: write it as Slurm does, for example 4G or 4000M, half a "
                "gigabyte at least"
            )
        for option in self.sbatch:
            if option.partition("=")[0].partition(" ")[0] in _OURS:
                raise UsageError(
                    f"--sbatch {option}: the script sets that; use the option of slurm-script"
                )
        for text in (self.time, self.partition, self.account, self.job_name, *self.sbatch,
                     *self.setup):  # fmt: skip
            if text is not None and not text.isprintable():
                raise UsageError(f"{text!r}: has to be one line of text")

    @property
    def mem_gb(self) -> float:
        """Memory of a task, GB."""
        return int(self.mem.rstrip("KMGT")) * _MB[self.mem.lstrip("0123456789")] * 1024**2 / 1e9


@dataclass(frozen=True, slots=True)
class Work:
    """What the jobs do.

    Attributes
    ----------
    settings
        The participant level; paths are absolute.
    tasks
        Labels of each task's participants.
    linked
        Folders outside BIDS_DIR that links to participants and images lead into; none without a
        container.
    """

    settings: Settings
    tasks: tuple[tuple[str, ...], ...]
    linked: tuple[Path, ...] = ()


def plan_work(
    cluster: Cluster, settings: Settings, participants: Iterable[str], runs: Iterable[Run] = ()
) -> Work:
    """Share participants out.

    Parameters
    ----------
    cluster
        How many a task.
    settings
        The participant level.
    participants
        Their labels; one that comes again counts once.
    runs
        Theirs.

    Raises
    ------
    UsageError
        If a container cannot be given what the images are links to.
    """
    labels = tuple(dict.fromkeys(participants))
    size = cluster.subjects_per_task or max(FEWEST_SUBJECTS, math.ceil(len(labels) / MOST_TASKS))
    tasks = tuple(labels[i : i + size] for i in range(0, len(labels), size))
    frozen: dict[str, Any] = {
        name: labels_of(getattr(settings, name), key)
        for name, key in LABELS.items()
        if name != "participant_label"
    }
    paths = {
        field.name: getattr(settings, field.name).absolute()
        for field in fields_of(Settings)
        if isinstance(getattr(settings, field.name), Path)
    }
    if settings.model and settings.model.endswith(".onnx"):
        frozen["model"] = str(Path(settings.model).absolute())
    known = {f.name: getattr(settings, f.name) for f in fields_of(Settings)}
    linked = _linked(settings.bids_dir, runs) if cluster.container else ()
    return Work(Settings(**{**known, **frozen, **paths}), tasks, linked)


def _linked(bids_dir: Path, runs: Iterable[Run]) -> tuple[Path, ...]:
    """Folders outside the dataset that images, their sidecars or the description lie in."""
    names_in = functools.cache(json_names)  # BIDS_DIR itself is above every image
    files = {DESCRIPTION}
    for run in runs:
        top = run.path.parents[run.relative.count("/")]
        sidecars = (path.relative_to(top).as_posix() for path in sidecars_of(run, names_in))
        files.update([run.relative, *sidecars])
    return in_few(folders_outside(bids_dir.absolute(), files))


def check_clashes(cluster: Cluster, settings: Settings) -> None:
    """Refuse options of the program that make no sense within a job.

    Raises
    ------
    UsageError
        Then.
    """
    if settings.dry_run:
        raise UsageError("--dry-run: the jobs would do nothing; leave it out")
    if settings.dask_scheduler:
        raise UsageError("--dask-scheduler: each job works for itself; leave it out")
    if cluster.gpu and settings.device == "cpu":
        raise UsageError("--gpu and --device cpu contradict each other; leave one out")


def check_templates(cluster: Cluster, settings: Settings) -> None:
    """Look for the templates that the jobs may not fetch, unless they lie in a container.

    Raises
    ------
    TemplateError
        If one is absent.
    """
    if settings.offline and not _in_image(cluster):
        find_templates(settings.recipe.spaces, offline=True, home=cluster.template_home)


def templates_note(cluster: Cluster, settings: Settings) -> str | None:
    """One line about templates that each job would have to fetch."""
    if _in_image(cluster):
        return None
    return to_fetch_note(settings.recipe.spaces, cluster.template_home)


def _in_image(cluster: Cluster) -> bool:
    """True if the jobs' templates lie in a container, where nobody looks from here."""
    return cluster.container is not None and cluster.template_home is None


def note(work: Work) -> str:
    """Say in a line what the script does, and where Slurm may refuse it."""
    count = len(work.tasks)
    participants = counted(sum(map(len, work.tasks)), "participant")
    said = f"{participants} in {counted(count, 'task')}, then the group level"
    if count > MOST_TASKS:
        said += (
            f"; Slurm takes {MOST_TASKS} tasks unless its MaxArraySize is set higher: give more "
            "--subjects-per-task if it refuses"
        )
    return f"{said}; save it and run: bash FILE"


def make_logs(output_dir: Path) -> None:
    """Make the folder of Slurm's logs: a job whose log cannot be opened fails without a word.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    logs = output_dir / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{logs}: cannot be made ({error.strerror or error}), Slurm's logs go there; give a "
            "folder that you may write"
        ) from error
