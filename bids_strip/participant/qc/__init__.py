"""Measure a run: one scalar function a metric, described in `bids_strip.metrics`.

What cannot be measured of a run (a tissue of no voxel, a network that tells no tissues, a single
slice) is absent, never a number that stands for nothing, and never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bids_strip.domain import (
    BrainMask,
    Grid,
    Match,
    NetworkTissues,
    Normalised,
    Products,
    Registration,
    Segmented,
    Surface,
)
from bids_strip.participant.qc import around as surroundings
from bids_strip.participant.qc import head as heads
from bids_strip.participant.qc import image, mask, shape, surface, tissues
from bids_strip.participant.qc.tissues import Brightness

Found = Mapping[str, float | None]


def measure(
    cleaned: Surface, network: NetworkTissues, normalised: Normalised, segmented: Segmented,
    products: Products, whole: BrainMask,
) -> dict[str, float]:  # fmt: skip
    """All metrics of a run.

    Parameters
    ----------
    cleaned
        The prediction, cleaned.
    network
        Its tissues.
    normalised, segmented
        The run's brightness, corrected, and its tissues.
    products
        What was made of the run.
    whole
        The surface that the network's tissues are told beside: what is written, or the brain's own
        where that is the surface of the tissue (``--no-csf``).

    Returns
    -------
    dict
        Of `bids_strip.metrics.METRICS` those that can be had, and of `TEMPLATE_METRICS` if there is
        a template space.
    """
    source, brain, match = products.source, products.brain, products.match
    grid = source.volume.grid
    known = tissues.tissue_brightness(normalised, segmented)
    return {
        **measure_mask(grid, brain),
        "components_removed": float(cleaned.components_removed),
        "component_ml_removed": cleaned.component_ml_removed,
        "holes_filled_ml": cleaned.holes_filled_ml,
        "sdt_slope": cleaned.slope,
        "sdt_deviation": cleaned.deviation,
        "network_dice": brain.network_dice,
        **tissues.tissue_volumes_ml(segmented, grid),
        "nonfinite_voxels": float(source.nonfinite_voxels),
        "fill_voxels": float(source.fill_voxels),
        **image.voxels_mm(grid),
        **_had(of_surface(normalised, whole, network, known.get("gm"))),
        **_had(of_shape(match, grid)),
        **_had(of_image(normalised, segmented, brain, known)),
        **_had(of_head(normalised, match, known)),
        **template_fit(products.registrations),
    }


def measure_mask(grid: Grid, brain: BrainMask) -> dict[str, float]:
    """The metrics that follow from the mask and its distances alone: those that a border changes.

    Parameters
    ----------
    grid
        The run's own.
    brain
        The mask.
    """
    return {
        "brain_volume_ml": mask.volume_ml(brain.mask, grid),
        "mask_pieces": mask.pieces(brain),
        **mask.fov_contact_cm2(brain.mask, grid),
        "volume_change_per_mm": mask.volume_change_per_mm(brain),
    }


def of_surface(
    normalised: Normalised, brain: BrainMask, network: NetworkTissues, grey: Brightness | None
) -> Found:
    """The surface beside the image and the network's tissues around it."""
    seen = surroundings.around(normalised, brain, network)
    if seen is None:
        return {}
    outside = surface.tissue_outside_ml(seen)
    inside = surface.other_inside_ml(seen)
    return {
        "roughness_mm": surface.roughness_mm(seen),
        "tissue_outside_ml": outside[0] if outside else None,
        "tissue_outside_lump_ml": outside[1] if outside else None,
        "other_inside_ml": inside[0] if inside else None,
        "other_inside_lump_ml": inside[1] if inside else None,
        "certainty": surface.certainty(seen),
        **_along(surroundings.profiles(seen), grey),
    }


def _along(met: surroundings.Profiles | None, grey: Brightness | None) -> Found:
    """What the normals of the surface meet."""
    if met is None:
        return {}
    return {
        "edge_contrast": surface.edge_contrast(met),
        "surface_on_air": surface.surface_on_air(met),
        "surface_on_bright": surface.surface_on_bright(met, grey) if grey else None,
        **surface.tissue_margins(met),
    }


def of_shape(match: Match | None, grid: Grid) -> Found:
    """The surface on the coarse reference."""
    if match is None:
        return {}
    out_mm, in_mm = shape.reference_shift_mm(match)
    return {
        "reference_dice": shape.reference_dice(match),
        "reference_misfit_mm": shape.reference_misfit_mm(match),
        "reference_shift_out_mm": out_mm,
        "reference_shift_in_mm": in_mm,
        "reference_beyond_ml": shape.reference_beyond_ml(match, grid),
        "reference_missing_ml": shape.reference_missing_ml(match, grid),
        "reference_size": shape.reference_size(match),
        "reference_stretch": shape.reference_stretch(match),
        "reference_in_view": shape.reference_in_view(match, grid),
        "asymmetry_mm": shape.asymmetry_mm(match),
        **{f"rotation_{axis}_deg": turn for axis, turn in shape.rotation_deg(match).items()},
    }


def of_image(
    normalised: Normalised, segmented: Segmented, brain: BrainMask, known: Mapping[str, Brightness]
) -> Found:
    """The image as a whole and its tissues."""
    return {
        **image.bias(normalised, brain),
        "wm_cov": tissues.wm_cov(normalised, segmented),
        **tissues.snr(known),
        "cjv": tissues.cjv(known),
        "efc": image.efc(normalised),
        "wm2max": image.wm2max(normalised, known.get("wm")),
        **image.fwhm(normalised, brain),
    }


def of_head(normalised: Normalised, match: Match | None, known: Mapping[str, Brightness]) -> Found:
    """The head in its air."""
    head = heads.head_of(normalised)
    air = heads.air_brightness(head, match)
    return {
        "background_share": heads.background_share(head),
        "fber": heads.fber(head),
        "face_share": heads.face_share(head, match) if match else None,
        **tissues.snrd(known, air),
        "cnr": tissues.cnr(known, air),
    }


def template_fit(registrations: Sequence[Registration]) -> dict[str, float]:
    """The worst of all template spaces; nothing without one."""
    if not registrations:
        return {}
    return {
        "template_dice": min(one.dice for one in registrations),
        "template_stretch_min": min(one.stretch[0] for one in registrations),
        "template_stretch_max": max(one.stretch[1] for one in registrations),
    }


def _had(found: Found) -> dict[str, float]:
    """Without what could not be had."""
    return {
        key: value for key, value in found.items() if value is not None and math.isfinite(value)
    }
