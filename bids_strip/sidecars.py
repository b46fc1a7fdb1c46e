"""Metadata of one image: the JSON file beside it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bids_strip.domain import Run
from bids_strip.naming import APP, KINDS, manual_name, names_of
from bids_strip.recipe import Recipe

_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "mask": ("border_mm", "no_csf"),
    "sdt": ("border_mm", "no_csf"),
    "brain": ("border_mm", "no_csf"),
})  # fmt: skip
"""Options of a `Recipe` that change what an image of a kind holds."""


def sidecar(
    kind: str,
    run: Run,
    *,
    recipe: Recipe,
    version: str,
    network: Mapping[str, Any],
    edited: bool = False,
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
        Name, version and sha256.
    edited
        True if the surface is that of a mask edited by hand.

    Returns
    -------
    dict
        In BIDS terms; ``Sources`` holds direct inputs alone. BIDS has no terms for what made a
        single file: ``Software``, ``Network`` and ``Options`` are ours and no key of its schema.
        ``Manual`` is true in all that follows from a mask edited by hand.

    Raises
    ------
    ValueError
        If ``kind`` is not an image.
    """
    metadata = _described(
        kind, run, recipe=recipe, version=version, network=network, edited=edited
    )  # fmt: skip
    return {
        **metadata,
        **({"Manual": True} if edited else {}),
        "Software": f"{APP} {version}",
        "Network": {"Name": network.get("name"), "Version": network.get("version"),
                    "SHA256": network.get("sha256")},
        "Options": {name: getattr(recipe, name) for name in _OPTIONS.get(kind, ())},
    }  # fmt: skip


def _described(
    kind: str, run: Run, *, recipe: Recipe, version: str, network: Mapping[str, Any], edited: bool
) -> dict[str, Any]:
    """What an image is, and what it is made of."""
    raw = f"bids:raw:{run.relative}"
    outline = [f"bids::{manual_name(run)}"] if edited else [raw]
    by = f"{APP} {version}, network {network.get('name', '')} {network.get('version', '')}".rstrip()
    border_mm = recipe.border_mm
    surface = _surface(recipe, edited)
    native: dict[str, Any] = {"SpatialReference": "orig"}
    if kind == "mask":
        what = f"1 inside {_inside(recipe, edited)}; {surface}; {by}"
        return {"Type": "Brain", "Description": what, "Sources": outline, "Manual": False, **native}
    if kind == "sdt":
        what = (
            f"Signed distance to the surface of {_inside(recipe, edited)}, negative inside; "
            f"the mask is where it is <= {border_mm:g} mm; {by}"
        )
        return {"Description": what, "Units": "mm", "Sources": outline, **native}
    if kind != "brain":
        raise ValueError(f"{kind}: no image kind of {[one.name for one in KINDS]}")
    return {
        "SkullStripped": True,
        "Description": f"The source, 0 outside the brain; {surface}; {by}",
        "Sources": [raw, f"bids::{names_of(run)['mask']}"],
        **native,
    }


def _inside(recipe: Recipe, edited: bool) -> str:
    """Say what lies inside the surface."""
    if edited:
        return "the brain as a rater drew it"
    return "the brain's tissue" if recipe.no_csf else "the brain, sulcal CSF included"


def _surface(recipe: Recipe, edited: bool) -> str:
    """Say where the surface lies."""
    border_mm = recipe.border_mm
    if edited:
        return "surface edited by hand"
    if border_mm == 0:
        return "surface not shifted"
    return f"surface shifted {abs(border_mm):g} mm {'outwards' if border_mm > 0 else 'inwards'}"
