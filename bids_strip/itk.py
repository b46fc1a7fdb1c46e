"""Affines as ITK keeps them, which ANTs, SimpleITK and nitransforms read."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Affine

_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK counts in LPS mm: x and y change sign."""


def itk_affine(pull: Affine) -> bytes:
    """An ITK transform file.

    Parameters
    ----------
    pull : (4, 4) float64
        RAS mm of the image that is made -> RAS mm of the image that is moved: ITK's transforms
        map points that way, against the way of the image.
    """
    lps = _TURN @ pull @ _TURN
    numbers = " ".join(f"{value:.17g}" for value in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    return (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    ).encode()


def read_itk_affine(content: bytes) -> Affine:
    """The affine in a file of `itk_affine`, as it was given there.

    Raises
    ------
    ValueError
        If the file is none of ours.
    """
    fields = dict(
        line.split(": ", 1) for line in content.decode("ascii").splitlines() if ": " in line
    )
    numbers = np.array(fields.get("Parameters", "").split(), dtype=np.float64)
    if numbers.size != 12 or fields.get("FixedParameters") != "0 0 0":
        raise ValueError("no ITK affine of twelve parameters about the origin")
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = numbers[:9].reshape(3, 3), numbers[9:]
    return np.asarray(_TURN @ lps @ _TURN)
