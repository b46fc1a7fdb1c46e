"""Quality metrics and flags, each described once: the group table's dictionary is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FACES = {
    "L": "left", "R": "right", "P": "posterior", "A": "anterior", "I": "inferior", "S": "superior",
}  # fmt: skip


TISSUES = {"gm": "grey matter", "wm": "white matter", "csf": "fluid"}
"""In the order of the labels of a dseg, from 1 on."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a run.

    Attributes
    ----------
    key
        Name in the record and column of the table, unit included.
    description
        What it is and how it is computed.
    unit
        ``ml``, ``mm``, ``cm2``, ``percent/cm``, ``1`` (a ratio or count).
    better
        ``lower``, ``higher``, ``one`` (nearest to 1) or ``none`` (no direction).
    least, most
        The range that the definition allows; None where it is open.
    source
        Paper or program that defines it, "" where it is our own.
    """

    key: str
    description: str
    unit: str
    better: str
    least: float | None = None
    most: float | None = None
    source: str = ""


METRICS: tuple[Metric, ...] = (
    Metric("brain_volume_ml", "volume of the mask, voxels times voxel volume", "ml", "none"),
    Metric("mask_pieces", "face-connected components of the mask; above 1 only where a rater drew "
           "them", "1", "one"),
    Metric("components_removed", "separate pieces of the prediction that were dropped", "1",
           "lower"),
    Metric("component_ml_removed", "volume of those pieces", "ml", "lower"),
    Metric("holes_filled_ml", "volume of enclosed holes in the prediction that were filled", "ml",
           "lower"),
    *(Metric(f"fov_contact_{face}_cm2",
             f"area of the mask in the outermost slice at the {face} face of the field of view",
             "cm2", "lower") for face in FACES.values()),
    Metric("sdt_slope", "mean length of the gradient of the network's signed distance within 2 mm "
           "of the surface; a true distance has 1", "1", "one"),
    Metric("volume_change_per_mm", "relative change of the volume for a border of 1 mm: volume "
           "between -0.5 and +0.5 mm around the surface over the volume; large where the surface "
           "is ragged", "1", "lower"),
    Metric("network_dice", "Dice of the network's own surface with the one written, neither "
           "shifted; below 1 only where the input was stripped already or a rater edited the mask",
           "1", "higher"),
    *(Metric(f"{key}_volume_ml", f"volume of {name}, voxels of the dseg times voxel volume", "ml",
             "none") for key, name in TISSUES.items()),
    Metric("bias_range", "99th over 1st percentile of the bias field within the surface (not "
           "shifted); 1 is no field", "1", "one"),
    Metric("bias_slope_percent_per_cm", "mean length of the gradient of the field's natural "
           "logarithm within the surface, in percent a cm", "percent/cm", "lower"),
    Metric("wm_cov", "coefficient of variation of white matter: standard deviation over mean of "
           "the corrected image where its share is at least 0.9 (as cv of Ganzetti et al. 2016, "
           "doi:10.3389/fninf.2016.00010)", "1", "lower"),
    Metric("nonfinite_voxels", "voxels of the input that were NaN or infinite, taken as 0", "1",
           "lower"),
)  # fmt: skip

TEMPLATE_METRICS: tuple[Metric, ...] = (
    Metric("template_dice", "Dice of the surface, without the border, with the template's mask "
           "after the affine; the least of all template spaces", "1", "higher"),
    Metric("template_stretch_min", "least factor of length, over all directions, from the run to a "
           "template", "1", "one"),
    Metric("template_stretch_max", "largest factor of length, over all directions, from the run to "
           "a template", "1", "one"),
)  # fmt: skip
"""Of runs with ``--output-spaces``."""

FLAGS: Mapping[str, str] = MappingProxyType({
    "already_stripped": "1 if the input had no head around its brain: the mask is its outline "
                        "(with --no-csf the network's)",
    "manual": "1 if a rater edited the mask: it was followed, and everything is made from it",
    "form_mismatch": "1 if sform and qform of the input differ; the sform was followed",
    "no_orientation": "1 if the input has neither sform nor qform; left and right are a guess",
    "template_mismatch": "1 if the affine to a template is none that a head can have: nothing was "
    "written in that space",
    "no_tissue_prior": "1 if the network tells no tissues: they were found from brightness and the "
                       "depth below the surface alone",
    "sheared": "1 if the input's voxel axes are not at right angles; they were taken to be",
})  # fmt: skip
"""Findings about a run that are true or false."""

BEST_RUN = (
    "among the runs of a participant and session that are done, 1 for the one with the fewest "
    "findings about its image (already_stripped, form_mismatch, no_orientation, sheared), then the "
    "least contact with the field of view (sum of fov_contact, in whole cm2), then the sdt_slope "
    "nearest to 1 (in steps of .01), then the least volume_change_per_mm, then the first name; 0 "
    "for the others and for runs that failed"
)
"""Which run of a session is proposed."""
