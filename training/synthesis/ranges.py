"""Everything that is random about a synthetic head, as one value."""

from __future__ import annotations

from dataclasses import dataclass

ZOOM_MM = 2.0
"""Voxel size of the rendered window where nothing else is asked for: the network's own."""
FAR_MM = 20.0
"""Distance where a map's stored distances end."""
Range = tuple[float, float]
Triple = tuple[float, float, float]

T1W_MEANS: dict[str, float] = {
    # mean intensity relative to white matter, from the contrast of spoiled gradient echo at 1.5-3 T
    "air": 0.02, "white_matter": 1.0, "cortex": 0.68, "ventricle": 0.22,
    "cerebellar_white": 0.95, "cerebellar_cortex": 0.66, "thalamus": 0.84, "caudate": 0.72,
    "putamen": 0.78, "pallidum": 0.93, "brain_stem": 0.9, "hippocampus": 0.68, "amygdala": 0.68,
    "fluid": 0.22, "lesion": 0.75, "ventral_dc": 0.88, "vessel": 0.5, "cartilage": 0.5,
    "eye": 0.28, "soft": 0.55, "eye_muscle": 0.6, "mucosa": 0.65, "skin": 0.85, "cord": 0.8,
    "vein": 0.5, "bone": 0.16, "marrow": 0.8, "optic_nerve": 0.8,
}  # fmt: skip
T1W_SPREAD: dict[str, float] = {
    # factor between head and head: exp(spread * normal)
    "air": 0.6, "white_matter": 0.06, "cortex": 0.09, "ventricle": 0.3, "cerebellar_white": 0.08,
    "cerebellar_cortex": 0.1, "fluid": 0.35, "soft": 0.35, "skin": 0.4, "vein": 0.5, "bone": 0.5,
    "marrow": 0.45, "mucosa": 0.35, "eye": 0.7, "cartilage": 0.4, "vessel": 0.5, "lesion": 0.3,
}  # fmt: skip
DEFAULT_SPREAD = 0.1
CT_MEANS: dict[str, float] = {
    # relative to cortical bone, from Hounsfield units; the brain's tissues differ by a few
    "air": 0.0, "white_matter": 0.36, "cortex": 0.39, "ventricle": 0.32, "fluid": 0.33,
    "bone": 1.0, "marrow": 0.7, "skin": 0.26, "soft": 0.4, "eye": 0.34, "cartilage": 0.45,
}  # fmt: skip
CT_REST = 0.38


@dataclass(frozen=True, slots=True)
class SynthesisRanges:
    """What `draw` draws from. Lengths in mm, angles in degrees, shares as probabilities."""

    zoom_mm: float = ZOOM_MM
    windows: tuple[tuple[tuple[int, int, int], float], ...] = (
        ((80, 96, 80), 0.3),
        ((96, 112, 96), 0.3),
        ((96, 128, 112), 0.2),
        ((112, 128, 112), 0.2),
    )
    # contrast
    t1w_share: float = 0.58
    ct_share: float = 0.05
    merged: float = 0.25
    # placement
    rotation_sd_deg: float = 14.0
    tilted: float = 0.12
    tilt_deg: float = 45.0
    scale: Range = (0.78, 1.22)
    axis_scale: Range = (0.93, 1.07)
    shear_sd: float = 0.04
    shift_mm: Triple = (14.0, 18.0, 14.0)
    shift_up_mm: float = 12.0  # necks are longer than the air above a head
    elastic: tuple[tuple[int, float], ...] = ((4, 6.0), (7, 4.0), (12, 1.0))
    # anatomy
    texture_sd: Range = (0.01, 0.10)
    fat_split: float = 0.75
    dura: float = 0.5
    atrophy: float = 0.25
    atrophy_mm: Range = (0.3, 1.6)
    ventricles: float = 0.2
    ventricles_mm: Range = (2.0, 8.0)
    lesions: float = 0.15
    blob: float = 0.25
    blob_radius_mm: Range = (3.0, 24.0)
    scalp: float = 0.15
    scalp_mm: Range = (2.0, 8.0)
    strays: float = 0.25
    stray_radius_mm: Range = (5.0, 45.0)
    clutter: float = 0.1
    # scan
    bias_sd: Range = (0.0, 0.5)
    blur_sd_mm: Range = (0.0, 1.6)
    thick_slices: float = 0.3
    slice_mm: Range = (2.5, 7.5)
    coarse: float = 0.1
    coarse_mm: Range = (2.2, 3.6)
    noise_sd: Range = (0.0, 0.25)
    ghost: float = 0.1
    ghost_share: Range = (0.03, 0.25)
    ripple: float = 0.08
    ripple_share: Range = (0.01, 0.08)
    wrap: float = 0.06
    inverted: float = 0.07
    cut: float = 0.6
    cut_crown: float = 0.25
    cut_crown_mm: float = 14.0
    half: float = 0.06
    # processing
    zero_air: float = 0.45  # and NaN: the App reads what is not finite as 0
    background: float = 0.1
    background_level: Range = (0.02, 0.4)
    stripped: float = 0.12
    stripped_margin_mm: Range = (-2.0, 2.0)
    peeled: float = 0.2
    peeled_margin_mm: Range = (2.0, 11.0)
    ragged_mm: Range = (0.0, 1.2)
    face_cut: float = 0.2
    quantised: float = 0.12
    levels: tuple[int, int] = (12, 128)
    low_percentile: Range = (0.0, 2.0)
    high_percentile: Range = (98.0, 99.95)
    log_gamma_sd: float = 0.3
    log_gamma_limit: float = 0.75
