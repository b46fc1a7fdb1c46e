"""A Slurm job array for a dataset, as the text of one shell script.

Nothing is submitted here. The script holds the participants of each task and all paths as they are
now; it needs bash, Slurm and either Apptainer or Singularity, or the command itself.

Words:

task
    One element of the job array: some participants, one call of the program.
words
    Arguments of a command before they are quoted for a shell.
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from bids_strip import __version__
from bids_strip.dataset import labels_of
from bids_strip.errors import MissingInputError, OutputError, UsageError
from bids_strip.settings import OPTIONS, SLURM_SCRIPT, Help, Parser, Settings, add_option, long_flag

MOST_TASKS = 1000
"""Tasks of an array that Slurm takes unless it is set up otherwise (MaxArraySize 1001)."""
_FEWEST_SUBJECTS = 10
_CPUS_A_RUN = 4
_LABELS = {"participant_label": "sub", "session_label": "ses", "run_label": "run",
           "acquisition_label": "acq"}  # fmt: skip
_SELECTING = (*_LABELS, "bids_filter_file", "modality")
_NOT_FOR_THE_GROUP = frozenset({*_LABELS, "bids_filter_file"})
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
        if not re.fullmatch(r"[0-9]+[KMGT]?", self.mem) or self.mem_gb <= 0:
            raise UsageError(f"--mem {self.mem}: write it as Slurm does, for example 4G or 4000M")
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
    """

    settings: Settings
    tasks: tuple[tuple[str, ...], ...]


def read_arguments(arguments: Sequence[str]) -> tuple[Cluster, list[str]]:
    """Split the arguments of the sub-command.

    Parameters
    ----------
    arguments
        What follows ``slurm-script``.

    Returns
    -------
    cluster
        What the jobs ask for.
    command
        Arguments of the participant level: places, filters, and what follows ``--``.

    Raises
    ------
    UsageError
        If they are not understood.
    """
    own, rest = _at_separator(arguments)
    values = vars(_parser().parse_args(own))
    known = {field.name for field in fields_of(Cluster)}
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in known and value is not None
    }
    filters = [
        word
        for option in OPTIONS
        if option.dest in _SELECTING and values[option.dest] is not None
        for word in _words_of(long_flag(option), values[option.dest])
    ]
    return Cluster(**asked), [
        values["bids_dir"],
        values["output_dir"],
        "participant",
        *filters,
        *rest,
    ]


def plan_work(cluster: Cluster, settings: Settings, participants: Iterable[str]) -> Work:
    """Share participants out.

    Parameters
    ----------
    cluster
        How many a task.
    settings
        The participant level.
    participants
        Their labels; one that comes again counts once.
    """
    labels = tuple(dict.fromkeys(participants))
    size = cluster.subjects_per_task or max(_FEWEST_SUBJECTS, math.ceil(len(labels) / MOST_TASKS))
    tasks = tuple(labels[i : i + size] for i in range(0, len(labels), size))
    frozen: dict[str, Any] = {
        name: labels_of(getattr(settings, name), key)
        for name, key in _LABELS.items()
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
    return Work(Settings(**{**known, **frozen, **paths}), tasks)


def script(cluster: Cluster, work: Work) -> str:
    """Write the script.

    Parameters
    ----------
    cluster
        What the jobs ask for.
    work
        What they do.

    Returns
    -------
    str
        For bash: it submits an array of itself, and a group job to follow it.

    Raises
    ------
    UsageError
        If a path could not stand in it.
    MissingInputError
        If the container image is not there.
    """
    settings = work.settings
    _check_paths(cluster, settings)
    fill = {
        "VERSION": __version__,
        "SUBJECTS": str(sum(map(len, work.tasks))),
        "TASKS": str(len(work.tasks)),
        "BIDS": shlex.quote(str(settings.bids_dir)),
        "OUT": shlex.quote(str(settings.output_dir)),
        "ARRAY_DIRECTIVES": _directives(cluster, settings, len(work.tasks)),
        "GROUP_DIRECTIVES": _directives(cluster, settings, None),
        "LABELS": "\n".join(" ".join(labels) for labels in work.tasks),
        "SETUP": "\n".join(cluster.setup) or ": # nothing to set up",
        "RUN": _run(cluster, settings, "participant"),
        "RUN_GROUP": _run(cluster, settings, "group"),
        "OPTIONS": _lines(_option_words(settings, _bounds(cluster, settings), frozenset())),
        "GROUP_OPTIONS": _lines(_option_words(settings, {}, _NOT_FOR_THE_GROUP)),
    }
    job = re.sub(r"@(\w+)@", lambda found: fill[found[1]], _JOB)
    return re.sub(r"@(\w+)@", lambda found: {**fill, "JOB": job}[found[1]], _SCRIPT)


def note(work: Work) -> str:
    """Say in a line what the script does, and where Slurm may refuse it."""
    count = len(work.tasks)
    said = f"{sum(map(len, work.tasks))} participants in {count} tasks, then the group level"
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


# Arguments -----------------------------------------------------------------------------------


def _at_separator(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first ``--``, and behind it."""
    words = list(arguments)
    if "--" not in words:
        return words, []
    middle = words.index("--")
    return words[:middle], words[middle + 1 :]


def _parser() -> argparse.ArgumentParser:
    """Make the sub-command's parser; the filters are rows of the option table."""
    parser = Parser(
        prog=f"bids_strip {SLURM_SCRIPT}",
        description="Print a Slurm job array that strips a dataset, and its group job; 'bash FILE' "
        "submits both. Participants whose runs are all done are left out.",
        epilog="What follows '--' goes to bids_strip: -- --outputs mask --border 2",
        formatter_class=Help,
        allow_abbrev=False,
    )
    add, usual = parser.add_argument, Cluster()
    add("bids_dir", metavar="BIDS_DIR", help="the raw BIDS dataset")
    add("output_dir", metavar="OUTPUT_DIR", help="the derivatives; Slurm's logs go to its logs/")
    add("--container", metavar="IMAGE",
        help="file of Apptainer or Singularity (default: bids_strip on PATH)")  # fmt: skip
    add("--template-home", type=Path, metavar="DIR", help="TEMPLATEFLOW_HOME of the jobs")
    add("--subjects-per-task", type=int, metavar="N",
        help=f"participants of a task (default: {_FEWEST_SUBJECTS}, more above "
        f"{_FEWEST_SUBJECTS * MOST_TASKS:,} participants)")  # fmt: skip
    add("--throttle", type=int, metavar="K", help="tasks running at a time (default: no bound)")
    add("--time", metavar="T", help=f"time limit of a job (default: {usual.time})")
    add("--mem", metavar="M", help=f"memory of a job (default: {usual.mem})")
    add("--cpus-per-task", type=int, metavar="C",
        help=f"processors of a task (default: {usual.cpus_per_task})")  # fmt: skip
    add("--partition", metavar="P", help="partition")
    add("--account", metavar="A", help="account")
    add("--job-name", metavar="NAME", help=f"name of the array (default: {usual.job_name})")
    add("--gpu", action="store_true", help="a GPU a task: --gres=gpu:1, --nv, --device gpu")
    add("--sbatch", action="append", metavar="OPTION",
        help="another option of sbatch, such as --sbatch=--qos=long; may be repeated")  # fmt: skip
    add("--setup", action="append", metavar="LINE",
        help="shell line that comes first in each job, for example 'module load apptainer'; may be "
        "repeated")  # fmt: skip
    for option in OPTIONS:
        if option.dest in _SELECTING:
            add_option(parser, option)
    parser.set_defaults(modality=None)
    return parser


def _words_of(flag: str, value: Any) -> list[str]:
    """One option as it is typed."""
    if value is True:
        return [flag]
    if isinstance(value, (list, tuple)):
        return [flag, *value]
    return [flag, str(value)]


def _option_words(
    settings: Settings, bounds: dict[str, Any], left_out: frozenset[str]
) -> list[list[str]]:
    """Options that differ from their default, the bounds where the user gave none."""
    defaults = {field.name: field.default for field in fields_of(Settings)}
    values = {
        option.dest: getattr(settings, option.dest)
        for option in OPTIONS
        if option.dest in defaults and option.dest not in {"participant_label", *left_out}
    }
    given = {name: value for name, value in values.items() if value != defaults[name]}
    flags = {option.dest: long_flag(option) for option in OPTIONS}
    return [_words_of(flags[name], value) for name, value in {**bounds, **given}.items()]


def _bounds(cluster: Cluster, settings: Settings) -> dict[str, Any]:
    """What a task may use, said rather than found: not every Slurm confines its jobs."""
    cpus = cluster.cpus_per_task
    nprocs = settings.nprocs or max(1, cpus // _CPUS_A_RUN)
    bounds: dict[str, Any] = {
        "nprocs": nprocs,
        "omp_nthreads": max(1, cpus // nprocs),
        "mem_gb": round(cluster.mem_gb, 2),
    }
    return {**bounds, "device": "gpu"} if cluster.gpu else bounds


# Paths ---------------------------------------------------------------------------------------


def _check_paths(cluster: Cluster, settings: Settings) -> None:
    """Refuse paths that a job script or a bind cannot hold, and an absent image."""
    paths = [path for path, _ in _binds(cluster, settings, "participant")]
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


def _binds(cluster: Cluster, settings: Settings, level: str) -> list[tuple[Path, str]]:
    """What a job sees of the host, under the same path: ``ro`` or ``rw``.

    The group level does not open BIDS_DIR, which may be gone by then.
    """
    model = Path(settings.model) if settings.model and settings.model.endswith(".onnx") else None
    read = [
        settings.bids_dir if level == "participant" else None,
        settings.bids_filter_file if level == "participant" else None,
        model,
        model.with_suffix(".json") if model else None,
        cluster.template_home.absolute() if cluster.template_home else None,
    ]
    write = [settings.output_dir, settings.work_dir]
    return [
        *((path, "ro") for path in read if path is not None),
        *((path, "rw") for path in write if path is not None),
    ]


# The text ------------------------------------------------------------------------------------


def _directives(cluster: Cluster, settings: Settings, tasks: int | None) -> str:
    """``#SBATCH`` lines of the array, or with None of the group job."""
    throttle = f"%{cluster.throttle}" if cluster.throttle else ""
    log = "slurm-%A_%a.log" if tasks else "slurm-%j_group.log"
    logs = str(settings.output_dir / "logs").replace("%", "%%")
    options = {
        "job-name": cluster.job_name if tasks else f"{cluster.job_name}-group",
        "array": f"1-{tasks}{throttle}" if tasks else None,
        "output": f"{logs}/{log}",
        "time": cluster.time,
        "mem": cluster.mem,
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(cluster.cpus_per_task) if tasks else "1",
        "partition": cluster.partition,
        "account": cluster.account,
        "gres": "gpu:1" if cluster.gpu and tasks else None,
    }
    lines = [f"#SBATCH --{name}={_directive(v)}" for name, v in options.items() if v is not None]
    return "\n".join([*lines, *(f"#SBATCH {option}" for option in cluster.sbatch)])


def _directive(value: str) -> str:
    """Quote a value as sbatch reads it: its own rules, near those of a shell."""
    if re.fullmatch(r"[\w@%+=:,./-]+", value, re.ASCII):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _run(cluster: Cluster, settings: Settings, level: str) -> str:
    """Lines of the shell function that runs the program."""
    if not cluster.container:
        home = cluster.template_home
        exports = ["TMPDIR=$work"]
        if home:
            exports.append(f"TEMPLATEFLOW_HOME={shlex.quote(str(home.absolute()))}")
        return f'{" ".join(exports)} bids_strip "$@"'
    image = cluster.container
    place = image if "://" in image else str(Path(image).absolute())
    words = [["--bind", f"{path}:{path}:{mode}"] for path, mode in _binds(cluster, settings, level)]
    if cluster.template_home:
        words.append(["--env", f"TEMPLATEFLOW_HOME={cluster.template_home.absolute()}"])
    nv = " --nv" if cluster.gpu and level == "participant" else ""
    lines = [
        'engine=$(command -v apptainer || command -v singularity) || stop "neither apptainer nor '
        "singularity on PATH of $(hostname); load it with --setup 'module load apptainer'\"",
        f'"$engine" exec --cleanenv --containall --no-home{nv} --workdir "$work" \\',
        *(f"    {shlex.join(one)} \\" for one in words),
        f'    {shlex.quote(place)} bids_strip "$@"',
    ]
    return "\n    ".join(lines)


def _lines(options: Sequence[Sequence[str]]) -> str:
    """Options of a command, one a line."""
    return "".join(f" \\\n        {shlex.join(words)}" for words in options)


_JOB = """\
#!/bin/bash
# written by bids_strip @VERSION@: the group level, once the array has ended
@GROUP_DIRECTIVES@

out=@OUT@

stop() {
    printf 'bids_strip: %s\\n' "$*" >&2
    exit 1
}

run() {
    @RUN_GROUP@
}

@SETUP@
work=$out/.work/slurm-$SLURM_JOB_ID
mkdir -p "$work" || mkdir -p "$work" || stop "$work: cannot be made on $(hostname)"
trap 'rm -rf -- "$work"; rmdir -- "$out/.work" 2>/dev/null' EXIT
run @BIDS@ "$out" group@GROUP_OPTIONS@
"""

_SCRIPT = """\
#!/bin/bash
# written by bids_strip @VERSION@: @SUBJECTS@ participants in @TASKS@ tasks, then the group level
#
#   bash FILE          submit the array, and the group job that waits for it
#   sbatch FILE        the same: the first task submits the group job
#   bash FILE group    submit the group job alone
#
# The participants stand below. Runs that are done are skipped, so FILE may be submitted again after
# a failure; print it anew for participants that came later.
@ARRAY_DIRECTIVES@

bids=@BIDS@
out=@OUT@

tasks() { # participants, one line a task
    cat <<'END_OF_TASKS'
@LABELS@
END_OF_TASKS
}

group_job() {
    cat <<'END_OF_GROUP_JOB'
@JOB@END_OF_GROUP_JOB
}

stop() {
    printf 'bids_strip: %s\\n' "$*" >&2
    exit 1
}

run() {
    @RUN@
}

submit_group() { # [ARRAY_JOB_ID]
    local job
    job=$(group_job | sbatch --parsable ${1:+"--dependency=afterany:$1"}) || return
    printf 'group level: job %s\\n' "${job%%;*}"
}

submit_both() {
    local job
    [[ -f $0 ]] || stop 'save this script as a file, then: bash FILE'
    mkdir -p "$out/logs" || stop "$out/logs: cannot be made"
    job=$(sbatch --parsable "$0" both) || stop 'sbatch refused the array; if it has too many' \\
        'tasks (scontrol show config | grep MaxArraySize), print it with more --subjects-per-task'
    job=${job%%;*}
    printf 'participant level: job array %s, @TASKS@ tasks; logs in %s\\n' "$job" "$out/logs"
    submit_group "$job" || stop "sbatch refused the group job; later: bash $0 group"
}

work_through() {
    local label labels=() absent=() status=0
    for label in $(tasks | sed -n "${SLURM_ARRAY_TASK_ID}p"); do
        if [[ -d $bids/sub-$label ]]; then labels+=("$label"); else absent+=("$label"); fi
    done
    [[ -d $bids ]] || stop "$bids: no such folder on $(hostname)"
    if ((${#labels[@]})); then
        work=$out/.work/slurm-$SLURM_JOB_ID
        mkdir -p "$work" || mkdir -p "$work" || stop "$work: cannot be made on $(hostname)"
        trap 'rm -rf -- "$work"; rmdir -- "$out/.work" 2>/dev/null' EXIT
        run "$bids" "$out" participant --participant-label "${labels[@]}"@OPTIONS@
        status=$?
    fi
    if ((${#absent[@]})); then
        printf 'bids_strip: %s: no longer in %s; the others were done\\n' "${absent[*]}" "$bids" >&2
        ((status)) || status=18
    fi
    return "$status"
}

if [[ ${1-} == group ]]; then
    submit_group
elif [[ -z ${SLURM_ARRAY_TASK_ID-} ]]; then
    submit_both
else
    if [[ ${1-} != both && $SLURM_ARRAY_TASK_ID == "$SLURM_ARRAY_TASK_MIN" &&
        ${SLURM_RESTART_COUNT:-0} == 0 ]]; then
        submit_group "$SLURM_ARRAY_JOB_ID" ||
            echo 'bids_strip: no job can be submitted from here; later: bash FILE group' >&2
    fi
    @SETUP@
    work_through
fi
"""
