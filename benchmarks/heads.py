"""Datasets to time: one head on a cube of voxels, a few heads under many participants' names.

``python -m benchmarks.heads HEAD OUT.nii.gz [--zoom 1]`` interpolates a head onto a
cube of voxels, as int16.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.outputs import BenchmarkError

SIDE_MM = 256.0
AXES = "RAS"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the cube."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.heads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--zoom", type=float, default=1.0, metavar="MM")
    args = parser.parse_args(argv)
    save_cube(args.head, args.out, zoom_mm=args.zoom)
    return 0


def conform(path: Path, *, axes: str, side: int, zoom_mm: float = 1.0) -> Any:
    """Interpolate a head linearly onto side^3 voxels around the same centre.

    Parameters
    ----------
    path
        NIfTI.
    axes
        Axis codes, for example ``LIA``.
    side
        Voxels along each axis.
    zoom_mm
        Their size.

    Returns
    -------
    Nifti1Image
    """
    import nibabel as nib

    from benchmarks.images import load_image

    return conformed(nib.squeeze_image(load_image(path)), axes=axes, side=side, zoom_mm=zoom_mm)


def conformed(image: Any, *, axes: str, side: int, zoom_mm: float = 1.0) -> Any:
    """The same of an image in memory."""
    import nibabel.processing

    return nibabel.processing.conform(
        image, out_shape=(side,) * 3, voxel_size=(zoom_mm,) * 3, order=1, orientation=axes
    )


def save_cube(head: Path, out: Path, *, zoom_mm: float) -> None:
    """Write a head on a cube of 256 mm: 256^3 voxels of 1 mm, 366^3 of .7 mm."""
    import nibabel as nib
    import numpy as np

    cube = conform(head, axes=AXES, side=round(SIDE_MM / zoom_mm), zoom_mm=zoom_mm)
    data = np.asarray(cube.dataobj, dtype=np.float32)
    top = max(float(data.max()), 1e-6)
    steps = np.rint(np.clip(data, 0, None) * (4095 / top)).astype(np.int16)
    nib.save(nib.Nifti1Image(steps, cube.affine), out)


def linked_dataset(raw: Path, heads: Sequence[Path], count: int) -> Path:
    """Make a dataset of participants whose T1w are links to a few heads, in turn.

    Parameters
    ----------
    raw
        The folder to make.
    heads
        Images, ``.nii.gz`` or ``.nii``.
    count
        How many participants.

    Returns
    -------
    Path
        `raw`.
    """
    raw.mkdir(parents=True)
    description = {"Name": "heads", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (raw / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    for number in range(count):
        head = heads[number % len(heads)].resolve()
        name = f"sub-{number + 1:03d}"
        folder = raw / name / "anat"
        folder.mkdir(parents=True)
        link = folder / f"{name}_T1w{'.nii.gz' if head.suffix == '.gz' else '.nii'}"
        try:
            link.symlink_to(head)
        except OSError:  # a file system without links
            shutil.copyfile(head, link)
    return raw


def first_heads(bids_dir: Path, most: int | None = None) -> list[Path]:
    """Find the first T1w of a dataset, or all, in the order of names.

    Raises
    ------
    BenchmarkError
        If there is none.
    """
    found = sorted(path for path in bids_dir.glob("sub-*/**/anat/*_T1w.nii*"))[:most]
    if not found:
        raise BenchmarkError(f"{bids_dir}: no T1w; give a BIDS dataset that holds one")
    return found


if __name__ == "__main__":
    sys.exit(main())
