"""Metadata of one image: the JSON file beside it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_strip.domain import Run
from bids_strip.naming import APP, KINDS, names_of
from bids_strip.recipe import Recipe


def sidecar(
    kind: str,
    run: Run,
    *,
    recipe: Recipe,
    version: str,
    network: Mapping[str, Any],
) -> dict[str, Any]:
    """Metadata of one image.

    Parameters
    ----------
    kind : str
        ``mask``, ``sdt`` or ``brain``.
    run : Run
        The source.
    recipe : Recipe
        The options that it was made with.
    version : str
        Of this program.
    network : mapping
        The card; ``name`` and ``version`` are told.

    Returns
    -------
    dict
        In BIDS terms; ``Sources`` holds direct inputs alone.

    Raises
    ------
    ValueError
        If ``kind`` is not an image.
    """
    raw = f"bids:raw:{run.relative}"
    by = f"{APP} {version}, network {network.get('name', '')} {network.get('version', '')}".rstrip()
    border_mm = recipe.border_mm
    surface = _surface(border_mm)
    native: dict[str, Any] = {"SpatialReference": "orig"}
    if kind == "mask":
        what = f"1 inside the brain, sulcal CSF included; {surface}; {by}"
        return {"Type": "Brain", "Description": what, "Sources": [raw], "Manual": False, **native}
    if kind == "sdt":
        what = (
            "Signed distance to the surface of the brain, negative inside; "
            f"the mask is where it is <= {border_mm:g} mm; {by}"
        )
        return {"Description": what, "Units": "mm", "Sources": [raw], **native}
    if kind != "brain":
        raise ValueError(f"{kind}: no image kind of {[one.name for one in KINDS]}")
    return {
        "SkullStripped": True,
        "Description": f"The source, 0 outside the brain; {surface}; {by}",
        "Sources": [raw, f"bids::{names_of(run)['mask']}"],
        **native,
    }


def _surface(border_mm: float) -> str:
    """Say where the surface lies."""
    if border_mm == 0:
        return "surface not shifted"
    return f"surface shifted {abs(border_mm):g} mm {'outwards' if border_mm > 0 else 'inwards'}"
