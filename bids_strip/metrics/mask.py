"""The metrics of a mask."""

from __future__ import annotations

from bids_strip.metrics.metric import FACES, TISSUES, Metric

_UNSHIFTED = "; of the surface that no border has shifted"

MASK_METRICS: tuple[Metric, ...] = (
    Metric("brain_volume_ml", "volume of the mask: voxels times voxel volume", "ml", "none", 0.0),
    Metric("mask_pieces", "face-connected components of the mask; above 1 only where a rater drew "
           "them", "1", "one", 1.0),
    Metric("components_removed", "separate pieces of the prediction that were dropped", "1",
           "lower", 0.0),
    Metric("component_ml_removed", "volume of those pieces", "ml", "lower", 0.0),
    Metric("holes_filled_ml", "volume of enclosed holes in the prediction that were filled", "ml",
           "lower", 0.0),
    *(Metric(f"fov_contact_{face}_cm2",
             f"area of the mask in the outermost slice at the {face} face of the field of view",
             "cm2", "lower", 0.0) for face in FACES.values()),
    Metric("sdt_slope", "mean length of the gradient of the network's signed distance within 2 mm "
           "of its surface; a true distance has 1", "1", "one", 0.0),
    Metric("sdt_deviation", "mean of | |grad SDT| - 1 |, the network's signed distance within 2 mm "
           "of its surface: 0 for a true distance, large where the network wavers", "1", "lower",
           0.0),
    Metric("volume_change_per_mm", "relative change of the volume for a border of 1 mm: volume "
           "between -0.5 and +0.5 mm around the surface over the volume; large where the surface "
           "is ragged", "1", "lower", 0.0),
    Metric("network_dice", "Dice of the network's own surface with the one written, neither "
           "shifted; below 1 only where the input was stripped already or a rater edited the mask",
           "1", "higher", 0.0, 1.0),
    *(Metric(f"{key}_volume_ml", f"volume of {name}: voxels of the dseg times voxel volume", "ml",
             "none", 0.0) for key, name in TISSUES.items()),
    Metric("roughness_mm", "mean distance between the surface and its distances smoothed by a "
           "Gaussian of 4 mm (a sphere of radius r has 16/r mm)" + _UNSHIFTED, "mm", "lower", 0.0),
    Metric("edge_contrast", "mean over the surface of |inside - outside| over the sum of the two: "
           "corrected brightness 1 to 3 mm deep beside 1 to 3 mm out" + _UNSHIFTED, "1", "higher",
           0.0, 1.0),
    Metric("surface_on_bright", "share of the surface with brain's brightness just outside: the "
           "median of 1 to 4 mm out lies above that of grey matter less one robust standard "
           "deviation" + _UNSHIFTED, "1", "lower", 0.0, 1.0),
    Metric("surface_on_air", "share of the surface over which no head lies: nothing brighter than "
           "a fifth of white matter between 2 and 20 mm out, or the end of the image" + _UNSHIFTED,
           "1", "lower", 0.0, 1.0),
    Metric("tissue_margin_mm", "median over the surface of the way from the outermost brain tissue "
           "(the network's grey and white matter, share above a half) out to the surface; negative "
           "where tissue lies outside, looked for 12 mm to either side" + _UNSHIFTED, "mm", "none",
           -12.0, 12.0),
    Metric("tissue_margin_low_mm", "5th percentile of the same: tissue that the surface cuts off",
           "mm", "higher", -12.0, 12.0),
    Metric("tissue_margin_high_mm", "95th percentile of the same: what the surface holds that is "
           "no tissue", "mm", "lower", -12.0, 12.0),
    Metric("tissue_outside_ml", "volume outside the surface, within 16 mm, where the network gives "
           "grey and white matter together a larger share than fluid, and than all else together "
           "(bone, other soft tissue, background)" + _UNSHIFTED, "ml", "lower", 0.0),
    Metric("tissue_outside_lump_ml", "the largest face-connected piece of it that lies farther out "
           "than 2 mm", "ml", "lower", 0.0),
    Metric("other_inside_ml", "volume inside the surface where the network gives bone, other soft "
           "tissue and background together a larger share than fluid, and than grey and white "
           "matter together" + _UNSHIFTED, "ml", "lower", 0.0),
    Metric("other_inside_lump_ml", "the largest face-connected piece of it that lies deeper than "
           "2 mm", "ml", "lower", 0.0),
    Metric("certainty", "mean within 4 mm of the surface of the largest of three shares of the "
           "network: grey and white matter together, fluid, all else together; 1 is no doubt"
           + _UNSHIFTED, "1", "higher", 0.0, 1.0),
    Metric("reference_dice", "Dice of the surface with the coarse reference brain after the affine "
           "that leaves least between them, on the reference's 4 mm grid" + _UNSHIFTED, "1",
           "higher", 0.0, 1.0),
    Metric("reference_misfit_mm", "mean distance left between the two within 4 mm of the "
           "reference's surface", "mm", "lower", 0.0),
    Metric("reference_shift_out_mm", "how far the surface lies outside the reference's where it "
           "does most: mean over about 1 cm around a point, beyond twice what heads differ by "
           "there", "mm", "lower", 0.0),
    Metric("reference_shift_in_mm", "how far it lies inside, likewise", "mm", "lower", 0.0),
    Metric("reference_beyond_ml", "volume within the surface that lies more than 8 mm outside the "
           "reference's, in the field of view", "ml", "lower", 0.0),
    Metric("reference_missing_ml", "volume outside the surface that lies more than 8 mm inside the "
           "reference's, in the field of view", "ml", "lower", 0.0),
    Metric("reference_size", "length factor of the affine from the reference to the head: the cube "
           "root of its determinant", "1", "one", 0.0),
    Metric("reference_stretch", "largest over least length factor of that affine over all "
           "directions", "1", "lower", 1.0),
    Metric("reference_in_view", "share of the reference brain that lies in the field of view after "
           "the affine", "1", "higher", 0.0, 1.0),
    Metric("asymmetry_mm", "mean distance between the surface and its mirror image in the "
           "reference's middle plane, within 4 mm of the reference's surface", "mm", "lower", 0.0),
)  # fmt: skip

TEMPLATE_METRICS: tuple[Metric, ...] = (
    Metric("template_dice", "Dice of the surface, without the border, with the template's mask "
           "after the affine; the least of all template spaces", "1", "higher", 0.0, 1.0),
    Metric("template_stretch_min", "least factor of length, over all directions, from the run to a "
           "template", "1", "one", 0.0),
    Metric("template_stretch_max", "largest factor of length, over all directions, from the run to "
           "a template", "1", "one", 0.0),
)  # fmt: skip
"""Of runs with ``--output-spaces``."""
