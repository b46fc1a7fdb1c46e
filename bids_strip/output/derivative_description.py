"""What describes OUTPUT_DIR as a BIDS dataset: ``dataset_description.json``, ``.bidsignore``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_strip.dataset.description import scheme_of
from bids_strip.naming import APP
from bids_strip.output.folders import is_nested

BIDS_VERSION = "1.11.1"
_KEPT_APART = ("IRT1", "MP2RAGE", "MPM", "MTR", "MTS", "VFA")
"""Suffixes of scans that are told apart by ``flip``, ``inv`` or ``mt``, which BIDS lets no mask and
no labels keep."""
BIDSIGNORE = """\
*.html
**/figures
*_xfm.*
*_sdt.*
*_qc.json
group_*
ratings.tsv
""" + "".join(f"*{one}_{kind}.*\n" for one in _KEPT_APART for kind in ("mask", "dseg", "probseg"))
"""What BIDS has no name for yet; ``logs/`` is legal and needs no line."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def dataset_description(
    bids_dir: Path | None,
    output_dir: Path,
    *,
    version: str,
    source: Mapping[str, Any] = _NOTHING,
    raw_uri: str | None = None,
) -> dict[str, Any]:
    """Describe the derivative dataset, the same for whoever writes it.

    Parameters
    ----------
    bids_dir : Path or None
        The raw dataset; None where it is not known (group level): then ``DatasetLinks`` stands
        only if ``raw_uri`` or the DOI gives it.
    output_dir : Path
        The derivative dataset.
    version : str
        Of this program.
    source : mapping
        The raw dataset's ``dataset_description.json``.
    raw_uri : str or None
        What the user gives for the raw dataset; goes before anything else, and stands among the
        source datasets too: there a later call sees that it was given.

    Returns
    -------
    dict
        No time, user or host in it; the order of keys is fixed.
    """
    doi = _doi(source)
    description: dict[str, Any] = {
        "Name": f"{APP}: brain masks, corrected images, tissues and quality metrics",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": APP, "Version": version}],
    }
    link = _raw_link(bids_dir, output_dir, raw_uri, doi)
    if link:
        description["DatasetLinks"] = {"raw": link}
    sources = _source_datasets(raw_uri, doi)
    if sources:
        description["SourceDatasets"] = sources
    return description


def _source_datasets(raw_uri: str | None, doi: str | None) -> list[dict[str, str]]:
    """The raw dataset by its DOI, and by the URI that the user gives."""
    by_doi = [{"DOI": f"doi:{doi}", "URL": f"https://doi.org/{doi}"}] if doi else []
    known = {text for one in by_doi for text in one.values()}
    is_uri = raw_uri is not None and bool(scheme_of(raw_uri))
    return by_doi + ([{"URL": raw_uri}] if raw_uri and is_uri and raw_uri not in known else [])


def _doi(source: Mapping[str, Any]) -> str | None:
    """Bare DOI of a dataset (``10.x/y``), None where it has none or another sort of text."""
    text = str(source.get("DatasetDOI") or "")
    prefix = r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?"
    found = re.fullmatch(prefix + r"(10\.[^\s/]+/\S+)", text.strip(), re.IGNORECASE)
    return found[1] if found else None


def _raw_link(
    bids_dir: Path | None, output_dir: Path, raw_uri: str | None, doi: str | None
) -> str | None:
    """URI of the raw dataset: the user's, relative where nested, its DOI, else its folder."""
    if raw_uri:
        return raw_uri
    if bids_dir is not None and is_nested(bids_dir, output_dir):
        return Path(os.path.relpath(bids_dir.resolve(), output_dir.resolve())).as_posix()
    if doi:
        return f"doi:{doi}"
    return bids_dir.resolve().as_uri() if bids_dir is not None else None
