"""The option table as the descriptor that the draft BIDS execution specification describes.

``src/ui.md`` and ``src/inputs.md`` of bids-standard/execution-spec, 0.1.0.dev: a Boutiques
descriptor whose inputs have the specification's ids. It asks for CamelCase, for the levels
``subject`` and ``dataset`` (the command takes them for ``participant`` and ``group``), and for
``<entity>Label`` or ``<entity>Index`` where an option filters by an entity. ``OutputLocation`` is
a file as in its examples, so that an engine mounts it: the folder has to exist.
"""

from __future__ import annotations

from typing import Any

from bids_strip import __version__
from bids_strip.descriptors.common import DESCRIPTION, SCHEMA, error_codes, input_of, resources
from bids_strip.settings import LEVEL_SYNONYMS, OPTIONS, Option, long_flag

SPECIFICATION = "0.1.0.dev"
"""Version of the draft, from its change log."""
_ENTITIES = {"participant_label": "SubjectLabel", "session_label": "SessionLabel",
             "run_label": "RunIndex", "acquisition_label": "AcquisitionLabel"}  # fmt: skip


def descriptor(version: str = __version__) -> dict[str, Any]:
    """Render the descriptor.

    Parameters
    ----------
    version
        Of this program.

    Returns
    -------
    dict
        A descriptor of Boutiques schema 0.5. The draft's text calls the key of its version
        ``BIDSApplicationVersion``, its table ``BIDSAppSpecVersion``: both are given.
    """
    options = [input_of(o, input_id(o), f"[{input_id(o)}]") for o in OPTIONS]
    inputs = [*_required(), *options]
    return {
        "name": "bids_strip",
        "description": DESCRIPTION,
        "tool-version": version,
        "schema-version": SCHEMA,
        "command-line": " ".join(["bids_strip", *(one["value-key"] for one in inputs)]),
        "inputs": inputs,
        "output-files": [
            {
                "id": "OutputDataset",
                "name": "Output dataset",
                "description": "A BIDS derivative dataset",
                "path-template": "[OutputLocation]",
                "optional": False,
            }
        ],
        "error-codes": error_codes(),
        "suggested-resources": resources(),
        "custom": {
            "BIDSAppSpecVersion": SPECIFICATION,
            "BIDSApplicationVersion": SPECIFICATION,
            "OutputDataSpecification": ["BIDS Derivatives"],
        },
    }


def input_id(option: Option) -> str:
    """Id of an option: the entity it filters by, else its long flag in CamelCase."""
    words = long_flag(option).removeprefix("--").split("-")
    return _ENTITIES.get(option.dest) or "".join(word.capitalize() for word in words)


def _required() -> list[dict[str, Any]]:
    """The inputs that the specification requires of every App."""
    return [
        {"id": "InputDataset", "name": "Input dataset", "type": "File", "list": True,
         "min-list-entries": 1, "max-list-entries": 1, "value-key": "[InputDataset]",
         "optional": False, "description": "The raw BIDS dataset; one, so there is no order"},
        {"id": "OutputLocation", "name": "Output location", "type": "File",
         "value-key": "[OutputLocation]", "optional": False,
         "description": "Folder for the results"},
        {"id": "AnalysisLevel", "name": "Analysis level", "type": "String",
         "value-key": "[AnalysisLevel]", "value-choices": list(LEVEL_SYNONYMS), "optional": False,
         "description": ", ".join(f"{a} is {b}" for a, b in LEVEL_SYNONYMS.items())},
        {"id": "Help", "name": "Help", "type": "Flag", "command-line-flag": "--help",
         "value-key": "[Help]", "optional": True, "description": "print the help and stop"},
        {"id": "ToolVersion", "name": "Tool version", "type": "Flag",
         "command-line-flag": "--version", "value-key": "[ToolVersion]", "optional": True,
         "description": "print the version and stop"},
    ]  # fmt: skip
