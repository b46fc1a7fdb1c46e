"""The dataset's own description."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bids_strip.dataset.words import seen
from bids_strip.errors import DatasetError
from bids_strip.text_file import read_json

DESCRIPTION = "dataset_description.json"


def read_description(bids_dir: Path) -> dict[str, Any]:
    """Read the dataset's ``dataset_description.json``.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.

    Raises
    ------
    DatasetError
        If the folder or the file is absent, or is not a JSON object.
    """
    path = bids_dir / DESCRIPTION
    try:
        if not bids_dir.is_dir():
            raise DatasetError(_no_such_folder(bids_dir))
        found = read_json(path)
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: no such file ({seen(bids_dir)}); give the folder that holds it, or write "
            'one: {"Name": "...", "BIDSVersion": "1.11.1"}'
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"{path}: {reason}; make it readable") from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error}); repair it") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path}: not a JSON object; it has to hold Name and BIDSVersion")
    return found


def _no_such_folder(bids_dir: Path) -> str:
    """Message for an absent BIDS_DIR: what can be seen from here."""
    if bids_dir.exists():
        return f"{bids_dir}: not a folder; BIDS_DIR is the folder that holds {DESCRIPTION}"
    parent = next(p for p in bids_dir.absolute().parents if p.is_dir())
    return (
        f"{bids_dir}: no such folder ({seen(parent)}); check the path and, in a container, "
        f"the bind mount (docker -v HOST_DIR:{bids_dir}:ro, apptainer -B HOST_DIR:{bids_dir})"
    )


def scheme_of(link: str) -> str | None:
    """The scheme of a link to a dataset, ``""`` for a folder; None if the link is no URI at all."""
    try:
        return urlsplit(link).scheme
    except ValueError:
        return None
