"""The option table as a Boutiques descriptor.

``python -m bids_strip.descriptors > boutiques.json`` renders it anew. The
shape is what ``bosh validate --bids`` checks and CBRAIN's handler of BIDS Apps asks for: inputs
``bids_dir``, ``output_dir_name``, ``analysis_level``, ``participant_label`` and ``session_label``,
one output, a container of type singularity.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bids_strip import __version__
from bids_strip.errors import ExitCode
from bids_strip.naming import to_json
from bids_strip.settings import LATER_KINDS, LEVELS, OPTIONS, Option

IMAGE = "bids_strip"
"""Name of the container image where none is given; nothing is published under it."""
_TYPES = {"flag": "Flag", "number": "Number", "count": "Number"}
_MEANINGS: dict[ExitCode, str] = {
    ExitCode.FAILED: "a run failed (the others are written), or the provider asked for is missing",
    ExitCode.INVALID_DATASET: "no readable dataset_description.json",
    ExitCode.UNKNOWN_LEVEL: "unknown analysis level",
    ExitCode.NOTHING_SELECTED: "the filters matched nothing, or a named label is absent",
    ExitCode.USAGE: "the options are not understood",
    ExitCode.BAD_DATA: "every selected run was unreadable",
    ExitCode.NO_INPUT: "no file of the modality, no such network, no results at group level",
    ExitCode.CANNOT_CREATE: "the output cannot be made, or would lie in the raw data",
    ExitCode.IO_ERROR: "input or output error",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "terminated",
}


def boutiques(image: str = IMAGE, version: str = __version__) -> dict[str, Any]:
    """Render the descriptor.

    Parameters
    ----------
    image
        Name of the container image.
    version
        Of this program.

    Returns
    -------
    dict
        A descriptor of Boutiques schema 0.5.
    """
    options = [_input(option) for option in _ordered()]
    keys = " ".join(["[BIDS_DIR]", "[OUTPUT_DIR]", "[ANALYSIS_LEVEL]",
                     *(o["value-key"] for o in options)])  # fmt: skip
    return {
        "name": "bids_strip",
        "description": "Brain masks, signed distances and quality metrics for the head scans of a "
        "BIDS dataset. A non-zero exit code means that some run failed: the results of the others "
        "are written and valid.",
        "tool-version": version,
        "schema-version": "0.5",
        "command-line": f"mkdir -p [OUTPUT_DIR]; bids_strip {keys}",
        "container-image": {"type": "singularity", "image": image},
        "inputs": [*_places(), *options],
        "output-files": [
            {
                "id": "output_dir",
                "name": "Output directory",
                "description": "A BIDS derivative dataset",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "groups": [
            {
                "id": "output_directory",
                "name": "Output directory",
                "description": "A name for new results, or a folder that holds earlier ones",
                "members": ["output_dir_name", "participant_level_analysis_dir"],
                "mutually-exclusive": True,
                "one-is-required": True,
            }
        ],
        "error-codes": [{"code": int(c), "description": text} for c, text in _MEANINGS.items()],
        "suggested-resources": {"cpu-cores": 2, "ram": 2, "walltime-estimate": 3600},
        "tags": {"domain": ["neuroinformatics", "mri"], "format": ["bids", "nifti"]},
    }


def _ordered() -> list[Option]:
    """Options of this version: participants and sessions first, as the BIDS shape asks."""
    first = ("participant_label", "session_label")
    present = [option for option in OPTIONS if not option.later]
    return sorted(present, key=lambda o: first.index(o.dest) if o.dest in first else len(first))


def _places() -> list[dict[str, Any]]:
    """The positional arguments."""
    out = {"value-key": "[OUTPUT_DIR]", "optional": True}
    return [
        {"id": "bids_dir", "name": "BIDS directory", "type": "File", "value-key": "[BIDS_DIR]",
         "optional": False, "description": "The raw BIDS dataset"},
        {"id": "output_dir_name", "name": "Output directory name", "type": "String", **out,
         "description": "Name of the folder for the results"},
        {"id": "participant_level_analysis_dir", "name": "Participant level results",
         "type": "File", **out, "description": "Results of the participant level, for the group"},
        {"id": "analysis_level", "name": "Analysis level", "type": "String",
         "value-key": "[ANALYSIS_LEVEL]", "value-choices": list(LEVELS), "optional": False,
         "description": "participant, then group"},
    ]  # fmt: skip


def _input(option: Option) -> dict[str, Any]:
    """One row of the option table."""
    long = next(flag for flag in option.flags if flag.startswith("--"))
    one: dict[str, Any] = {
        "id": option.dest,
        "name": long.removeprefix("--").replace("-", " ").capitalize(),
        "description": option.help,
        "type": "File" if option.kind == "path" and option.metavar == "FILE" else
        _TYPES.get(option.kind, "String"),
        "command-line-flag": long,
        "value-key": f"[{option.dest.upper()}]",
        "optional": True,
    }  # fmt: skip
    if option.kind == "texts":
        one["list"] = True
    if option.kind == "count":
        one |= {"integer": True, "minimum": 1}
    if option.choices:
        one["value-choices"] = [c for c in option.choices if c not in LATER_KINDS]
    return one


def main() -> int:
    """Print the descriptor."""
    parser = argparse.ArgumentParser(
        prog="python -m bids_strip.descriptors", description="Print the Boutiques descriptor."
    )
    parser.add_argument("--image", default=IMAGE, help="name of the container image")
    sys.stdout.write(to_json(boutiques(parser.parse_args().image)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
