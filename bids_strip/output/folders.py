"""Which folders may be written to: where they lie, and whose OUTPUT_DIR is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_strip.dataset.content import describe_missing
from bids_strip.dataset.description import DESCRIPTION, read_description
from bids_strip.errors import DatasetError, OutputError
from bids_strip.naming import APP


def check_output_dir(bids_dir: Path, output_dir: Path) -> None:
    """Refuse an OUTPUT_DIR that would put results among the raw data.

    Only folders below ``BIDS_DIR/derivatives`` may lie inside BIDS_DIR; BIDS_DIR may lie inside
    OUTPUT_DIR. Symbolic links are followed; neither folder has to exist.

    Parameters
    ----------
    bids_dir, output_dir : Path
        As given on the command line.

    Raises
    ------
    OutputError
        If OUTPUT_DIR is BIDS_DIR or lies in it elsewhere.
    """
    where = _among_raw_data(bids_dir, output_dir)
    if where:
        raise OutputError(
            f"{output_dir}: OUTPUT_DIR {where}; give a folder outside {bids_dir}, "
            f"or {bids_dir / 'derivatives' / APP}"
        )


def check_work_dir(bids_dir: Path, work_dir: Path | None) -> None:
    """Refuse a ``--work-dir`` that would put temporary files among the raw data.

    Raises
    ------
    OutputError
        As `check_output_dir`.
    """
    where = _among_raw_data(bids_dir, work_dir) if work_dir else None
    if where:
        raise OutputError(f"--work-dir {work_dir}: {where}; give a folder outside {bids_dir}")


def _among_raw_data(bids_dir: Path, folder: Path) -> str | None:
    """Where in the raw dataset a folder lies, None where nothing is in the way."""
    raw, out = bids_dir.resolve(), folder.resolve()
    if not out.is_relative_to(raw):
        return None
    inside = out.relative_to(raw).parts
    if len(inside) >= 2 and inside[0] == "derivatives":
        return None
    return "lies in the raw dataset" if inside else "is BIDS_DIR itself"


def is_nested(bids_dir: Path, output_dir: Path) -> bool:
    """Tell whether OUTPUT_DIR lies below ``BIDS_DIR/derivatives``, symbolic links followed."""
    return output_dir.resolve().is_relative_to(bids_dir.resolve() / "derivatives")


def folder_note(bids_dir: Path | None, output_dir: Path) -> str | None:
    """Say so where BIDS wants another folder name.

    BIDS: below ``<dataset>/derivatives/`` the first ``GeneratedBy.Name`` MUST be a substring of
    the folder's name. The name of the program is not bent to the folder: readers look it up, and
    bids-validator 3.0.2 does not check the rule. So the folder is used as given and this line is
    shown.

    Returns
    -------
    str or None
        One line, None where the rule holds or does not apply.
    """
    if bids_dir is None or not is_nested(bids_dir, output_dir):
        return None
    below = output_dir.resolve().relative_to(bids_dir.resolve() / "derivatives").parts
    if not below or APP in below[0]:
        return None
    return (
        f"{output_dir}: BIDS wants '{APP}' in the name of a folder below derivatives/ "
        f"(GeneratedBy.Name); for example derivatives/{APP}"
    )


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
