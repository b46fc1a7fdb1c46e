"""The arguments of ``bids_strip slurm-script``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from bids_strip.errors import UsageError
from bids_strip.settings import OPTIONS, SLURM_SCRIPT, Help, Parser, add_option, long_flag
from bids_strip.slurm.command import words_of
from bids_strip.slurm.jobs import FEWEST_SUBJECTS, LABELS, MOST_TASKS, Cluster

_SELECTING = (*LABELS, "bids_filter_file", "modality")


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
    found, unknown = _parser().parse_known_args(own)
    if unknown:
        raise UsageError(
            f"{' '.join(unknown)}: no option of slurm-script (see bids_strip slurm-script --help); "
            "options of bids_strip go behind --"
        )
    values = vars(found)
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
        for word in words_of(long_flag(option), values[option.dest])
    ]
    return Cluster(**asked), [
        values["bids_dir"],
        values["output_dir"],
        "participant",
        *filters,
        *rest,
    ]


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
        help=f"participants of a task (default: {FEWEST_SUBJECTS}, more above "
        f"{FEWEST_SUBJECTS * MOST_TASKS:,} participants)")  # fmt: skip
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
