"""The text of the script: `array.sh` and `group_job.sh` with their blanks filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from bids_strip import __version__
from bids_strip.settings import Settings
from bids_strip.slurm.command import binds, bounds_of, check_paths, option_words
from bids_strip.slurm.jobs import Cluster, Work, check_clashes, check_templates

_FOR_THE_GROUP = frozenset({"modality", "work_dir", "verbose", "identity_check", "ratings"})


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
        If a path could not stand in it, or an option makes no sense in a job.
    MissingInputError
        If the container image is not there.
    TemplateError
        If a template is not there that the jobs may not fetch.
    """
    settings = work.settings
    check_clashes(cluster, settings)
    check_templates(cluster, settings)
    check_paths(cluster, work)
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
        "RUN": _run(cluster, work, "participant"),
        "RUN_GROUP": _run(cluster, work, "group"),
        "OPTIONS": _lines(option_words(settings, bounds_of(cluster, settings))),
        "GROUP_OPTIONS": _lines(option_words(settings, {}, _FOR_THE_GROUP)),
    }
    job = re.sub(r"@(\w+)@", lambda found: fill[found[1]], _text("group_job.sh"))
    return re.sub(r"@(\w+)@", lambda found: {**fill, "JOB": job}[found[1]], _text("array.sh"))


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


def _run(cluster: Cluster, work: Work, level: str) -> str:
    """Lines of the shell function that runs the program."""
    if not cluster.container:
        home = cluster.template_home
        exports = ["TMPDIR=$work"]
        if home:
            exports.append(f"TEMPLATEFLOW_HOME={shlex.quote(str(home.absolute()))}")
        return f'{" ".join(exports)} bids_strip "$@"'
    image = cluster.container
    place = image if "://" in image else str(Path(image).absolute())
    words = [["--bind", f"{path}:{path}:{mode}"] for path, mode in binds(cluster, work, level)]
    if cluster.template_home:
        words.append(["--env", f"TEMPLATEFLOW_HOME={cluster.template_home.absolute()}"])
    nv = " --nv" if cluster.gpu and level == "participant" else ""
    own = work.settings.work_dir
    lines = [
        *([f"mkdir -p -- {shlex.quote(str(own))}"] if own else []),  # a bind has to be there
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


def _text(name: str) -> str:
    """One of the shell files beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
