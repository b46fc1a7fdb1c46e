"""What every descriptor says of this program, whatever its shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bids_strip.errors import ExitCode
from bids_strip.settings import Option, long_flag

SCHEMA = "0.5"
"""Version of the Boutiques schema."""
DESCRIPTION = (
    "Brain masks, signed distances and quality metrics for the head scans of a BIDS dataset. A "
    "non-zero exit code means that some run failed: the results of the others are written and "
    "valid."
)
_RESOURCES = (("cpu-cores", 2), ("ram", 4), ("walltime-estimate", 3600))
_TYPES = {"flag": "Flag", "number": "Number", "count": "Number"}
_MEANINGS: dict[ExitCode, str] = {
    ExitCode.FAILED: "some run failed or some participant's folder cannot be opened (the rest are "
    "written), or the GPU or Dask cluster asked for is not to be had",
    ExitCode.INVALID_DATASET: "no readable dataset_description.json, or no participant's folder "
    "can be opened",
    ExitCode.UNKNOWN_LEVEL: "unknown level",
    ExitCode.NOTHING_SELECTED: "the filters matched nothing, or a named label is absent",
    ExitCode.USAGE: "usage: the options are not understood",
    ExitCode.BAD_DATA: "every selected run was unreadable",
    ExitCode.NO_INPUT: "no file of the modality, no such network or template, no results at group "
    "level",
    ExitCode.CANNOT_CREATE: "the output cannot be made, or would lie among raw data (only "
    "BIDS_DIR/derivatives/* may) or another program's results, at both levels; or two images would "
    "be written to one name",
    ExitCode.IO_ERROR: "input or output error",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}
"""In the words of the table in ``docs/FAILURES.md``; a word may follow them, none lacks."""


def error_codes() -> list[dict[str, Any]]:
    """Every exit code but 0, with its meaning."""
    return [{"code": int(code), "description": text} for code, text in _MEANINGS.items()]


def resources() -> dict[str, int]:
    """What one task should be given: cores, memory in GB, seconds."""
    return dict(_RESOURCES)


def input_of(option: Option, name: str, value_key: str) -> dict[str, Any]:
    """Render one row of the option table.

    Parameters
    ----------
    option
        The row.
    name
        Id of the input.
    value_key
        What stands for it in the command line.
    """
    flag = long_flag(option)
    one: dict[str, Any] = {
        "id": name,
        "name": flag.removeprefix("--").replace("-", " ").capitalize(),
        "description": option.help,
        "type": "File" if option.kind == "path" and option.metavar == "FILE" else
        _TYPES.get(option.kind, "String"),
        "command-line-flag": flag,
        "value-key": value_key,
        "optional": True,
    }  # fmt: skip
    if option.kind == "texts":
        one |= {"list": True, "min-list-entries": 1}
    if option.kind == "count":
        one |= {"integer": True, "minimum": 1}
    if option.choices:
        one["value-choices"] = list(option.choices)
    return one


def to_text(descriptor: Mapping[str, Any]) -> str:
    """JSON text of a descriptor, keys in the order given."""
    return json.dumps(descriptor, indent=2) + "\n"
