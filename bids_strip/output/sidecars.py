"""Metadata of one image: the JSON file beside it; pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Any

from bids_strip.domain import WHITE_MATTER, Run
from bids_strip.naming import APP, KINDS, manual_name, names_in, names_of, transform_names
from bids_strip.recipe import Recipe
from bids_strip.space import Space

_TEMPLATEFLOW = "https://templateflow.s3.amazonaws.com"
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "mask": ("border_mm", "no_csf"),
    "sdt": ("border_mm", "no_csf"),
    "brain": ("border_mm", "no_csf", "bias_smoothness_mm"),
    "preproc": ("bias_smoothness_mm",),
    "dseg": ("no_csf", "bias_smoothness_mm"),
    "probseg_GM": ("no_csf", "bias_smoothness_mm"),
    "probseg_WM": ("no_csf", "bias_smoothness_mm"),
    "probseg_CSF": ("no_csf", "bias_smoothness_mm"),
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
        Of an image, a row of `bids_strip.naming.KINDS`.
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
    within = [raw, *outline] if edited else [raw]
    drawn = "; the surface was edited by hand" if edited else ""
    by = f"{APP} {version}, network {network.get('name', '')} {network.get('version', '')}".rstrip()
    border_mm = recipe.border_mm
    surface = _surface(recipe, edited)
    names = names_of(run)
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
    corrected = (
        f"{_correction(recipe.bias_smoothness_mm)}, then scaled: the median of white matter is "
        f"{WHITE_MATTER:g}"
    )
    if kind == "preproc":
        what = f"The source, {corrected}{drawn}; {by}"
        return {"SkullStripped": False, "Description": what, "Sources": within, **native}
    if kind == "dseg":
        what = (
            "Tissues: grey matter, white matter and fluid within the surface (not shifted) from "
            "brightness, the network's prior and the neighbours; background, bone and soft tissue "
            f"outside it from the network{drawn}; {by}"
        )
        return {"Description": what, "Sources": within, "Manual": False, **native}
    if kind.startswith("probseg_"):
        what = (
            f"Share of {kind.removeprefix('probseg_')} in a voxel; those of GM, WM and CSF sum to "
            f"1 within the surface (not shifted), 0 outside{drawn}; {by}"
        )
        return {"Description": what, "Sources": within, "Manual": False, **native}
    if kind != "brain":
        raise ValueError(f"{kind}: no image kind of {[one.name for one in KINDS]}")
    return {
        "SkullStripped": True,
        "Description": f"The source, {corrected}; 0 outside the brain; {surface}; {by}",
        "Sources": [
            f"bids::{names['preproc']}" if "preproc" in recipe.outputs else raw,
            f"bids::{names['mask']}",
        ],
        **native,
    }


def _correction(smoothness_mm: float) -> str:
    """Say what was taken out of the brightness."""
    if smoothness_mm == 0:
        return "no field taken out"
    return (
        f"divided by a smooth field (cosines, half a wavelength {smoothness_mm:g} mm or more, "
        "estimated within the surface in turn with Gaussian tissues)"
    )


def sidecar_in(
    kind: str, run: Run, space: Space, native: Mapping[str, Any], *, template: str,
    outputs: Container[str],
) -> dict[str, Any]:  # fmt: skip
    """Metadata of an image in a template space.

    Parameters
    ----------
    kind : str
        Of `bids_strip.naming.IN_SPACE`.
    run : Run
        The source.
    space : Space
        Where the image lies.
    native : mapping
        Metadata of the same kind on the native grid.
    template : str
        The template's file, below TEMPLATEFLOW_HOME.
    outputs
        Kinds written on the native grid.

    Notes
    -----
    BIDS derivatives, common data types: ``Resolution`` is required beside ``res``, each label with
    its meaning; ``SpatialReference`` is the image that the space is defined by.
    """
    names, there = names_of(run), transform_names(run, space.anatomy)[0]
    origin = {"mask": "sdt", "brain": "preproc", "preproc": "preproc"}[kind]
    made_of = [names[origin]] if origin in outputs else []
    cut_by = [names_in(run, space)["mask"]] if kind == "brain" else []
    metadata = {
        **native,
        "Description": f"{native['Description']}; brought into {space} by an affine, resampled "
        "once",
        "Sources": [
            *([] if made_of else [f"bids:raw:{run.relative}"]),
            *(f"bids::{name}" for name in (*made_of, there, *cut_by)),
        ],
        "SpatialReference": f"{_TEMPLATEFLOW}/{template}",
    }
    if space.resolution is not None:
        what = f"grid of TemplateFlow's tpl-{space.name}, resolution {space.resolution}"
        metadata["Resolution"] = {str(space.resolution): what}
    return metadata


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
