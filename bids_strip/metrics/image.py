"""The metrics of an image; those of MRIQC by its formulas, on the image corrected here."""

from __future__ import annotations

from bids_strip.metrics.metric import AXES, TISSUES, Metric

_MRIQC = "MRIQC, doi:10.1371/journal.pone.0184661"
_DIETRICH = "Dietrich et al. 2007, doi:10.1002/jmri.20969; " + _MRIQC
_MAGNOTTA = "Magnotta and Friedman 2006, doi:10.1007/s10278-006-0264-x; " + _MRIQC
_GANZETTI = "Ganzetti et al. 2016, doi:10.3389/fninf.2016.00010"
_FORMAN = "Forman et al. 1995, doi:10.1002/mrm.1910330508; " + _MRIQC
_ATKINSON = "Atkinson et al. 1997, doi:10.1109/42.650886; " + _MRIQC
_SHEHZAD = "Shehzad et al. 2015, doi:10.3389/conf.fnins.2015.91.00047; " + _MRIQC

IMAGE_METRICS: tuple[Metric, ...] = (
    Metric("bias_range", "99th over 1st percentile of the bias field within the surface (not "
           "shifted); 1 is no field", "1", "one", 1.0),
    Metric("bias_slope_percent_per_cm", "mean length of the gradient of the field's natural "
           "logarithm within the surface, in percent a cm", "percent/cm", "lower", 0.0),
    Metric("inu_range", "95th less 5th percentile of the bias field within the surface", "1",
           "lower", 0.0, source=_MRIQC),
    Metric("inu_med", "median of the bias field within the surface", "1", "one", 0.0,
           source=_MRIQC),
    Metric("wm_cov", "coefficient of variation of white matter: standard deviation over mean of "
           "the corrected image where its share is at least 0.9", "1", "lower", 0.0,
           source=_GANZETTI),
    *(Metric(f"snr_{key}", f"signal to noise in {name}: median / (s sqrt(n / (n - 1))), s the "
             "standard deviation, all weighted by its share of a voxel", "1", "higher", 0.0,
             source=_MRIQC) for key, name in TISSUES.items()),
    Metric("snr_total", "mean of the signal to noise of the tissues", "1", "higher", 0.0,
           source=_MRIQC),
    *(Metric(f"snrd_{key}", f"Dietrich's signal to noise in {name}: median / (sqrt(2 / (4 - pi)) "
             "s), s the normalised median absolute deviation of the air above the brow, its "
             "standard deviation where that is at most 1 of white matter's 1000", "1", "higher",
             0.0, source=_DIETRICH) for key, name in TISSUES.items()),
    Metric("snrd_total", "mean of Dietrich's signal to noise of the tissues", "1", "higher", 0.0,
           source=_DIETRICH),
    Metric("cnr", "contrast to noise: |median WM - median GM| / sqrt(s_air^2 + s_WM^2 + s_GM^2), s "
           "standard deviations", "1", "higher", 0.0, source=_MAGNOTTA),
    Metric("cjv", "coefficient of joint variation: (s_WM + s_GM) / |median WM - median GM|, s "
           "normalised median absolute deviations of the voxels that are mostly of the tissue", "1",
           "lower", 0.0,
           source=f"{_GANZETTI}; {_MRIQC}"),
    Metric("efc", "entropy focus criterion: the entropy of x / sqrt(sum x^2) over the most it can "
           "be for as many voxels, x the corrected brightness, 0 where negative; 0 is all in one "
           "voxel, 1 all alike", "1", "lower", 0.0, 1.0, source=_ATKINSON),
    Metric("fber", "energy of head over background: median x^2 in the head over median x^2 in the "
           "air around it; absent where the air is 0", "1", "higher", 0.0, source=_SHEHZAD),
    Metric("wm2max", "median of white matter over the 99.95th percentile of the image", "1", "none",
           0.0, source=_MRIQC),
    *(Metric(f"fwhm_{axis}", f"full width at half maximum of the image's smoothness, {name}: "
             "sqrt(-2 ln 2 / ln(1 - var(d) / (2 var(x)))) of the corrected brightness x within the "
             "surface and its differences d from a voxel to the next", "voxels", "lower", 0.0,
             source=_FORMAN) for axis, name in AXES.items()),
    Metric("fwhm_avg", "mean of the full widths along the three axes", "voxels", "lower", 0.0,
           source=_FORMAN),
    Metric("background_share", "share of the field of view that is air: outside the head", "1",
           "none", 0.0, 1.0),
    Metric("face_share", "share of the place of eyes, nose and cheeks, by the coarse reference, "
           "that holds head; absent where less than half of it is in view", "1", "none", 0.0, 1.0),
    *(Metric(f"rotation_{axis}_deg", f"turn of the head about its {name} axis against the "
             "scanner's, from the affine to the coarse reference; 180 where the header has two "
             "axes the wrong way round", "deg", "none", -180.0, 180.0)
      for axis, name in AXES.items()),
    *(Metric(f"voxel_{axis}_mm", f"voxel size, {name}", "mm", "none", 0.0)
      for axis, name in AXES.items()),
    *(Metric(f"coverage_{axis}_mm", f"field of view, {name}: voxels times voxel size", "mm",
             "none", 0.0) for axis, name in AXES.items()),
    Metric("nonfinite_voxels", "voxels of the input that were NaN or infinite, taken as 0", "1",
           "lower", 0.0),
    Metric("fill_voxels", "voxels of the input that held a fill value far below all others, taken "
           "as a little below these", "1", "lower", 0.0),
)  # fmt: skip
