"""How a head moved between two scans of a session, from the images alone.

SimpleITK's (Mattes' mutual information, rigid), which knows nothing of our masks: what is left
between two masks once the motion is taken out is theirs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from bids_strip.domain import Affine

SHRINK = (4, 2, 1)
SMOOTH_MM = (4.0, 2.0, 1.0)
SAMPLES = 0.1
SEED = 20261120


def motion_between(fixed: Path, moving: Path) -> Affine:
    """The rigid motion that brings one scan's head onto another's.

    Parameters
    ----------
    fixed, moving
        NIfTI images of one head in one scanner space.

    Returns
    -------
    (4, 4) float64
        RAS mm of `fixed` -> RAS mm of `moving`.
    """
    target, source = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed, moving))
    middle = target.TransformContinuousIndexToPhysicalPoint([n / 2 for n in target.GetSize()])
    start = sitk.Euler3DTransform()
    start.SetCenter(middle)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SAMPLES, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(SHRINK)
    method.SetSmoothingSigmasPerLevel(SMOOTH_MM)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(target, source)
    return _ras(start)


def _ras(transform: sitk.Euler3DTransform) -> Affine:
    """An ITK transform as an affine between RAS points."""
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = np.eye(4)
    lps[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        lps[:3, axis] = np.subtract(transform.TransformPoint(tuple(np.eye(3)[axis])), lps[:3, 3])
    return np.asarray(turn @ lps @ turn)
