"""The option table as a Boutiques descriptor for platforms that run BIDS Apps.

The shape is what ``bosh validate --bids`` checks and CBRAIN's handler of BIDS Apps asks for: inputs
``bids_dir``, ``output_dir_name``, ``analysis_level``, ``participant_label`` and ``session_label``,
one output ``output_dir``, a container of type singularity.

The shape wants two inputs with the key ``[OUTPUT_DIR]``, one of them to be given. Boutiques 0.5.33
takes the key out of the command when it comes to the first without a value, and the second is never
filled in: its description says so, and the command, which then lacks its folder, is refused (64).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bids_strip import __version__
from bids_strip.descriptors.common import DESCRIPTION, SCHEMA, error_codes, input_of, resources
from bids_strip.settings import LEVELS, OPTIONS, Option

IMAGE = "bids_strip"
"""Name of the container image where none is given; nothing is published under it."""


def descriptor(
    image: str = IMAGE, *, container_options: Sequence[str] = (), version: str = __version__
) -> dict[str, Any]:
    """Render the descriptor.

    Parameters
    ----------
    image
        Name of the container image, ``docker://`` or the like before it where Boutiques is to
        fetch it.
    container_options
        For the container's command, for example ``--nv``.
    version
        Of this program.

    Returns
    -------
    dict
        A descriptor of Boutiques schema 0.5.
    """
    options = [input_of(o, o.dest, f"[{o.dest.upper()}]") for o in _ordered()]
    keys = " ".join(["[BIDS_DIR]", "[OUTPUT_DIR]", "[ANALYSIS_LEVEL]",
                     *(o["value-key"] for o in options)])  # fmt: skip
    container: dict[str, Any] = {"type": "singularity", "image": image}
    if container_options:
        container["container-opts"] = list(container_options)
    return {
        "name": "bids_strip",
        "description": DESCRIPTION,
        "tool-version": version,
        "schema-version": SCHEMA,
        "command-line": f"mkdir -p [OUTPUT_DIR]; bids_strip {keys}",
        "container-image": container,
        "inputs": [*_places(), *options],
        "output-files": [
            {
                "id": "output_dir",
                "name": "Output directory",
                "description": "A BIDS derivative dataset with a folder sub-<label> for every "
                "participant that has an image of the modality, failed ones included",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "groups": [
            {
                "id": "output_directory",
                "name": "Output directory",
                "description": "Give output_dir_name, at both levels",
                "members": ["output_dir_name", "participant_level_analysis_dir"],
                "mutually-exclusive": True,
                "one-is-required": True,
            }
        ],
        "error-codes": error_codes(),
        "suggested-resources": resources(),
        "tags": {"domain": ["neuroinformatics", "mri"], "format": ["bids", "nifti"]},
    }


def _ordered() -> list[Option]:
    """The options: participants and sessions first, as the BIDS shape asks."""
    first = ("participant_label", "session_label")
    return sorted(OPTIONS, key=lambda o: first.index(o.dest) if o.dest in first else len(first))


def _places() -> list[dict[str, Any]]:
    """The positional arguments."""
    return [
        {"id": "bids_dir", "name": "BIDS directory", "type": "File", "value-key": "[BIDS_DIR]",
         "optional": False, "description": "The raw BIDS dataset"},
        {"id": "output_dir_name", "name": "Output directory name", "type": "String",
         "value-key": "[OUTPUT_DIR]", "optional": True,
         "description": "Folder for the results; at group level the one that holds them"},
        {"id": "participant_level_analysis_dir", "name": "Participant level results",
         "type": "File", "value-key": "[OUTPUT_DIR]", "optional": True,
         "description": "Part of the shape of BIDS descriptors, not used: Boutiques fills the key "
         "from output_dir_name; give that one at both levels"},
        {"id": "analysis_level", "name": "Analysis level", "type": "String",
         "value-key": "[ANALYSIS_LEVEL]", "value-choices": list(LEVELS), "optional": False,
         "description": "participant, then group"},
    ]  # fmt: skip
