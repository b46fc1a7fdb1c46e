"""Whose folder OUTPUT_DIR is: ours, or one that neither level may write to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_strip.dataset.content import describe_missing
from bids_strip.dataset.description import DESCRIPTION, read_description
from bids_strip.errors import DatasetError, OutputError
from bids_strip.naming import APP


def check_owner(output_dir: Path) -> None:
    """Refuse a folder that holds raw data or another program's results.

    Raises
    ------
    OutputError
        If there is a ``dataset_description.json`` that is not ours or cannot be read, or one whose
        content is away: it cannot be told whose the folder is, and writing would replace it.
    """
    path = output_dir / DESCRIPTION
    missing = describe_missing(path)
    if missing:
        raise OutputError(f"{path}: {missing}; or give {APP} a folder of its own")
    if not path.exists():
        return
    try:
        described = read_description(output_dir)
    except DatasetError as error:
        raise OutputError(str(error)) from error
    owner = _owner(described)
    if described.get("DatasetType") != "derivative":
        others = f" or results of {owner}" if owner else ""
        raise OutputError(
            f"{output_dir}: holds raw data{others} (no DatasetType 'derivative' in its "
            f"{DESCRIPTION}); give {APP} a folder of its own, for example "
            f"{output_dir / 'derivatives' / APP}"
        )
    if owner != APP:
        raise OutputError(
            f"{output_dir}: holds results of {owner or 'another program'}; give {APP} a folder of "
            f"its own, for example {output_dir / APP}"
        )


def _owner(described: Mapping[str, Any]) -> str | None:
    """Who wrote a dataset; None where it does not say."""
    try:
        return str(described["GeneratedBy"][0]["Name"])
    except (LookupError, TypeError):
        return None
