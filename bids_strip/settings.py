"""The option table as data, and the one frozen value made from it.

The parser and the descriptors (`bids_strip.descriptors`) are renderings of `OPTIONS`.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_strip.dataset.description import scheme_of
from bids_strip.errors import UsageError
from bids_strip.recipe import BIAS_SMOOTHNESS_MM, Recipe
from bids_strip.space import parse_space

LEVELS = ("participant", "group")
LEVEL_SYNONYMS = {"subject": "participant", "dataset": "group"}
"""The draft BIDS execution specification's words for them."""
SLURM_SCRIPT = "slurm-script"
"""The sub-command; a BIDS_DIR of that name is given as ``./slurm-script``."""
DEFAULT_KINDS = ("mask", "sdt", "brain", "preproc", "dseg")
OUTPUT_KINDS = (*DEFAULT_KINDS, "probseg")
LEAST_SMOOTHNESS_MM = 20.0
DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the option table.

    Attributes
    ----------
    flags
        All spellings, the documented one first; underscores are accepted for hyphens.
    dest
        Attribute of `Settings`.
    help
        One line.
    kind
        ``flag``, ``text``, ``texts``, ``path``, ``number`` or ``count``.
    metavar
        Name of the value in the help.
    choices
        Accepted values.
    default
        Value when absent.
    """

    flags: tuple[str, ...]
    dest: str
    help: str
    kind: str = "flag"
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    default: Any = None


OPTIONS: tuple[Option, ...] = (
    Option(("--participant-label",), "participant_label",
           "participants to process, with or without 'sub-'; a value with '/' or ending in .txt "
           "is a file with one label a line", "texts", "LABEL"),
    Option(("--session-label", "--session-id"), "session_label",
           "sessions to process, or a file of them; files without a session stay in",
           "texts", "LABEL"),
    Option(("--run-label", "--run-id"), "run_label",
           "runs to process, or a file of them; files without a run stay in", "texts", "LABEL"),
    Option(("--acquisition-label",), "acquisition_label",
           "acquisitions to process, or a file of them; files without one stay in",
           "texts", "LABEL"),
    Option(("--bids-filter-file",), "bids_filter_file",
           "fMRIPrep-style JSON filter; its key is the modality in small letters: 't1w'",
           "path", "FILE"),
    Option(("--skip-bids-validation", "--skip-bids-validator"), "skip_bids_validation",
           "accepted for compatibility: no validator is ever run"),
    Option(("--bids-database-dir",), "bids_database_dir",
           "accepted for compatibility: no database is needed", "path", "DIR"),
    Option(("--notrack",), "notrack", "accepted for compatibility: nothing is ever sent"),
    Option(("--modality",), "modality", "suffixes to process (default: T1w)", "texts", "SUFFIX",
           default=("T1w",)),
    Option(("--outputs",), "outputs",
           f"what to write, of {' '.join(OUTPUT_KINDS)} (default: all but probseg); 'mask' alone "
           "writes masks and metrics",
           "texts", "KIND", OUTPUT_KINDS, default=DEFAULT_KINDS),
    Option(("--model",), "model", "network: an embedded one's name, or FILE.onnx with its card "
           "FILE.json beside it (default: the embedded one)", "text", "NAME|FILE"),
    Option(("--device",), "device", "'gpu' fails when the GPU provider does not load; 'auto' says "
           "what it took (default: auto)", "text", choices=DEVICES, default="auto"),
    Option(("--border",), "border_mm", "shift of the surface in mm, -15 to 15, outwards if "
           "positive (default: 0)", "number", "MM", default=0.0),
    Option(("--no-csf",), "no_csf", "the surface of the tissue, without the fluid around it"),
    Option(("--bias-smoothness",), "bias_smoothness_mm", "half of the shortest wavelength of the "
           "bias field, 20 mm or more; 0 leaves the field out (default: 40)", "number", "MM",
           default=BIAS_SMOOTHNESS_MM),
    Option(("--output-spaces",), "output_spaces", "TemplateFlow spaces to resample into "
           "(default: none)", "texts", "NAME[:cohort-N][:res-N]", default=()),
    Option(("--offline",), "offline", "never try a network: templates must be there already"),
    Option(("--nprocs", "--n-cpus"), "nprocs", "runs processed at a time (default: as many as "
           "processors and memory allow)", "count", "N"),
    Option(("--omp-nthreads",), "omp_nthreads", "threads a run (default: its share of the "
           "processors)", "count", "N"),
    Option(("--mem-gb", "--mem"), "mem_gb", "memory that all runs together stay within, GB "
           "(default: what is free)", "number", "G"),
    Option(("-w", "--work-dir"), "work_dir", "where libraries' temporary files and caches "
           "go, in a folder of this call's own that is removed at exit (default: OUTPUT_DIR/.work)",
           "path", "DIR"),
    Option(("--raw-uri",), "raw_uri", "URI of the raw dataset, written as DatasetLinks['raw']",
           "text", "URI"),
    Option(("--dry-run",), "dry_run", "list what would be done and stop"),
    Option(("--force",), "force", "redo runs that are done"),
    Option(("--stop-on-first-crash",), "stop_on_first_crash", "start no run after one has failed"),
    Option(("--dask-scheduler",), "dask_scheduler", "address of a running Dask scheduler whose "
           "workers process the runs; they must see BIDS_DIR and OUTPUT_DIR under the same paths",
           "text", "ADDRESS"),
    Option(("--identity-check",), "identity_check", "find exchanged and doubled participant "
           "labels: participant level keeps a descriptor of each stripped brain in "
           "logs/identity, group level compares them; descriptors identify people"),
    Option(("--ratings",), "ratings", "what raters said of the masks, as the group page saves it; "
           "read at group level (default: OUTPUT_DIR/ratings.tsv where there is one)",
           "path", "FILE"),
    Option(("-v", "--verbose"), "verbose", "also print debugging messages"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option of one invocation, validated.

    Labels are without their ``sub-``, ``ses-`` prefix; lengths in mm; memory in GB.
    """

    bids_dir: Path
    output_dir: Path
    level: str
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    run_label: tuple[str, ...] = ()
    acquisition_label: tuple[str, ...] = ()
    bids_filter_file: Path | None = None
    modality: tuple[str, ...] = ("T1w",)
    outputs: tuple[str, ...] = DEFAULT_KINDS
    model: str | None = None
    device: str = "auto"
    border_mm: float = 0.0
    no_csf: bool = False
    output_spaces: tuple[str, ...] = ()
    offline: bool = False
    bias_smoothness_mm: float = BIAS_SMOOTHNESS_MM
    nprocs: int | None = None
    omp_nthreads: int | None = None
    mem_gb: float | None = None
    work_dir: Path | None = None
    raw_uri: str | None = None
    dask_scheduler: str | None = None
    dry_run: bool = False
    force: bool = False
    stop_on_first_crash: bool = False
    verbose: bool = False
    identity_check: bool = False
    command_line: tuple[str, ...] = field(default=(), compare=False)
    ratings: Path | None = None

    def __post_init__(self) -> None:
        """Check what a parser cannot.

        Raises
        ------
        UsageError
            If values contradict the table or each other.
        """
        check_border(self.border_mm)
        for text in self.output_spaces:
            parse_space(text)
        check_smoothness(self.bias_smoothness_mm)
        for name, value in (("--nprocs", self.nprocs), ("--omp-nthreads", self.omp_nthreads),
                            ("--mem-gb", self.mem_gb)):  # fmt: skip
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} {value:g}: must be a number above 0")
        for suffix in self.modality:
            if not re.fullmatch(r"[A-Za-z0-9]+", suffix):
                raise UsageError(f"--modality {suffix}: a BIDS suffix is letters and digits only")
        if self.raw_uri is not None:
            check_uri(self.raw_uri)

    @property
    def recipe(self) -> Recipe:
        """The part of the options that changes what a run's outputs hold."""
        spaces = tuple(dict.fromkeys(str(parse_space(text)) for text in self.output_spaces))
        return Recipe(
            outputs=self.outputs,
            border_mm=self.border_mm,
            no_csf=self.no_csf,
            bias_smoothness_mm=self.bias_smoothness_mm,
            spaces=spaces,
        )


class Parser(argparse.ArgumentParser):
    """argparse, with our exit code and one line on stderr."""

    def error(self, message: str) -> Any:
        """Raise what is not understood.

        An option that takes several values takes what follows it, the places too.
        """
        hint = " (options that take several values go behind them)" * ("required:" in message)
        raise UsageError(f"{message}{hint}; see {self.prog} --help")


class Help(argparse.HelpFormatter):
    """Each option once: hyphens stand for underscores too, the value is named once."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        flags = ", ".join(flag for flag in action.option_strings if "_" not in flag)
        if action.nargs == 0:
            return flags
        return f"{flags} {self._format_args(action, action.dest.upper())}"


class _ExecSpec(argparse.Action):
    """Print the execution descriptor and stop, as ``--version`` does: no place is needed."""

    def __call__(self, parser: argparse.ArgumentParser, *_others: object) -> None:
        from bids_strip.descriptors.common import to_text
        from bids_strip.descriptors.execspec import descriptor

        sys.stdout.write(to_text(descriptor()))
        parser.exit()


def build_parser(version: str) -> argparse.ArgumentParser:
    """Make the parser from `OPTIONS`."""
    parser = Parser(
        prog="bids_strip",
        description="Brain masks, distances and quality metrics for the head scans of a BIDS "
        "dataset.",
        epilog="Hyphens and underscores in options are the same. "
        f"'bids_strip {SLURM_SCRIPT} BIDS_DIR OUTPUT_DIR' prints a Slurm job array.",
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=Path,
                        help="the raw BIDS dataset (group level does not open it)")  # fmt: skip
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=Path, help="the derivatives")
    parser.add_argument("level", metavar="{participant,group}", help="level of analysis")
    for option in OPTIONS:
        add_option(parser, option)
    parser.add_argument(
        "--bids-exec-spec", "--bids_exec_spec", action=_ExecSpec, nargs=0,
        help="print the descriptor that the draft BIDS execution specification describes",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"bids_strip {version}")
    return parser


def add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    """Give a parser a row of the table."""
    parser.add_argument(*spellings(option), **_argument(option))


def long_flag(option: Option) -> str:
    """The documented spelling that starts with two hyphens."""
    return next(flag for flag in option.flags if flag.startswith("--"))


def spellings(option: Option) -> tuple[str, ...]:
    """Each flag of an option, and the same with underscores."""
    under = ["--" + f[2:].replace("-", "_") for f in option.flags if f.startswith("--")]
    return tuple(dict.fromkeys([*option.flags, *under]))


def check_border(border_mm: float) -> None:
    """Refuse a border beyond the stored distances.

    Raises
    ------
    UsageError
        If it is not within -15 to 15 mm.
    """
    if not -15.0 <= border_mm <= 15.0:
        raise UsageError(
            f"border {border_mm:g}: outside -15 to 15 mm, where distances are stored; give a "
            "smaller shift"
        )


def check_uri(uri: str) -> None:
    """Refuse for ``--raw-uri`` what no reader could follow.

    Raises
    ------
    UsageError
        If it holds a blank, has no scheme, or its host cannot be read.
    """
    scheme = scheme_of(uri)
    if scheme and not re.search(r"\s", uri):
        return
    if scheme is None:
        why = "what it has for a host cannot be read"
    else:
        why = "it has no scheme" if not scheme else "it holds a blank, which is written %20"
    raise UsageError(
        f"--raw-uri {uri}: no URI ({why}); write it as https://example.org/ds, doi:10.1/x or "
        "file:///data/ds"
    )


def check_smoothness(smoothness_mm: float) -> None:
    """Refuse a bias field that anatomy would go into.

    Raises
    ------
    UsageError
        If it is neither 0 nor a number from 20 mm on.
    """
    if smoothness_mm != 0 and not LEAST_SMOOTHNESS_MM <= smoothness_mm < math.inf:
        raise UsageError(
            f"--bias-smoothness {smoothness_mm:g}: a field that turns within less than "
            f"{LEAST_SMOOTHNESS_MM:g} mm takes anatomy away; give {LEAST_SMOOTHNESS_MM:g} or "
            "more, or 0 for no field"
        )


def _argument(option: Option) -> dict[str, Any]:
    """Arguments of ``add_argument`` for a row of the table."""
    arguments: dict[str, Any] = {"dest": option.dest, "help": option.help}
    if option.kind == "flag":
        return {**arguments, "action": "store_true"}
    types = {"path": Path, "number": float, "count": int}
    arguments["type"] = types.get(option.kind, str)
    arguments["default"] = option.default
    if option.choices:
        arguments["choices"] = option.choices
    if option.metavar:
        arguments["metavar"] = option.metavar
    if option.kind == "texts":
        arguments["nargs"] = "+"
    return arguments
