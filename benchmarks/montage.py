"""Draw every mask of an OUTPUT_DIR on its image: one PNG a run.

``python -m benchmarks.montage OUTPUT_DIR PICTURES [--raw BIDS_DIR] [--reference DIR]...``

Ours is red, the references cyan and yellow, in the order given. Rows: sagittal, coronal, axial,
six slices each, spread over the mask's box; in RAS order (left is on the left), true to scale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.images import load_image
from benchmarks.outputs import (
    DATASET,
    RAW,
    REFERENCE,
    BenchmarkError,
    Result,
    dataset_name,
    find_results,
    raw_folder,
    reference_masks,
)
from bids_strip.domain import Bool3, Float3, Grid, Zooms
from bids_strip.geometry import bounding_box

SLICES = 6
MARGIN_MM = 20.0
WIDTH_PX = 1500
DPI = 100
OURS = "red"
REFERENCES = ("cyan", "yellow", "lime", "magenta")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and its masks along R, A, S, cut to the surroundings of the brain.

    Attributes
    ----------
    image
        (I, J, K) float32, 0 to 1.
    masks
        Name -> (I, J, K) bool; ours first.
    zooms
        Voxel sizes in mm.
    """

    image: Float3
    masks: dict[str, Bool3]
    zooms: Zooms


def main(argv: Sequence[str] | None = None) -> int:
    """Draw all runs; return 1 if there is nothing to draw."""
    args = _parser().parse_args(argv)
    try:
        raw = raw_folder(args.output_dir, args.raw)
        dataset = dataset_name(args.output_dir, args.dataset, raw)
        args.pictures.mkdir(parents=True, exist_ok=True)
        for result in find_results(args.output_dir):
            references = reference_masks(result, args.reference, dataset)
            picture = read_picture(result, raw, references)
            path = args.pictures / f"{dataset}_{result.name}.png"
            draw(picture, title=f"{dataset} {result.name}", path=path)
            print(path)
    except BenchmarkError as error:
        print(f"benchmarks.montage: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.montage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("pictures", type=Path, help="folder for the PNGs, made where absent")
    parser.add_argument("--raw", type=Path, metavar="DIR", help=RAW)
    parser.add_argument("--reference", type=Path, action="append", default=[], help=REFERENCE)
    parser.add_argument("--dataset", metavar="NAME", help=DATASET)
    return parser


def read_picture(result: Result, raw: Path, references: dict[str, Path]) -> Picture:
    """Read a run's image and masks.

    Parameters
    ----------
    result : Result
        The mask.
    raw : Path
        The BIDS dataset.
    references : dict
        Name -> reference mask on the same grid.
    """
    image, zooms = _read_ras(result.source(raw))
    paths = {"bids_strip": result.mask, **references}
    masks = {name: _read_ras(path)[0] > 0 for name, path in paths.items()}
    ours = masks["bids_strip"]
    if not ours.any():
        raise BenchmarkError(f"{result.mask}: the mask is empty")
    return picture_of(image, masks, zooms)


def picture_of(image: Float3, masks: dict[str, Bool3], zooms: Zooms) -> Picture:
    """An image and masks of which the first is not empty, in RAS order, as they are drawn."""
    ours = next(iter(masks.values()))
    box = bounding_box(ours, margin_mm=MARGIN_MM, zooms=zooms)
    low, high = np.percentile(image[box], 1.0), 1.2 * np.percentile(image[ours], 99.5)
    scaled = np.clip((image[box] - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return Picture(scaled, {name: mask[box] for name, mask in masks.items()}, zooms)


def _read_ras(path: Path) -> tuple[Float3, Zooms]:
    """Read an image with its axes turned to run nearest to R, A, S; zooms in mm."""
    image = nib.as_closest_canonical(nib.squeeze_image(load_image(path)))
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    return data, Grid(image.shape, image.affine).zooms


def slice_positions(mask: Bool3, axis: int) -> list[int]:
    """Slices of a picture along an axis: evenly through the mask's box, its two ends left out."""
    hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    share = (np.arange(SLICES) + 0.5) / SLICES
    return [int(n) for n in np.rint(hit[0] + share * (hit[-1] - hit[0]))]


def draw(picture: Picture, *, title: str, path: Path) -> None:
    """Write one PNG of three rows of slices."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    i, j, k = (n * z for n, z in zip(picture.image.shape, picture.zooms, strict=True))
    extents = [(j, k), (i, k), (i, j)]
    width = WIDTH_PX / DPI
    heights = [width / SLICES * high / wide for wide, high in extents]
    caption = 0.35
    figure = plt.figure(figsize=(width, sum(heights) + caption), dpi=DPI, facecolor="black")
    ours = next(iter(picture.masks.values()))
    bottom = sum(heights)
    total = bottom + caption
    for axis, (height, extent) in enumerate(zip(heights, extents, strict=True)):
        bottom -= height
        for column, position in enumerate(slice_positions(ours, axis)):
            place = (column / SLICES, bottom / total, 1 / SLICES, height / total)
            _draw_slice(figure.add_axes(place), picture, axis, position, extent)
    colours = (OURS, *REFERENCES)
    for n, (name, colour) in enumerate(zip(picture.masks, colours, strict=False)):
        figure.text(0.5 + 0.12 * n, 1 - caption / 2 / total, name, color=colour, va="center")
    figure.text(0.01, 1 - caption / 2 / total, title, color="white", va="center")
    figure.savefig(path, dpi=DPI, facecolor="black")
    plt.close(figure)


def _draw_slice(
    axes: Any, picture: Picture, axis: int, position: int, extent_mm: tuple[float, float]
) -> None:
    """Draw one slice: the image in grey, then the contours, ours on top."""
    wide, high = extent_mm
    box = (0.0, wide, 0.0, high)
    axes.set_axis_off()
    image = np.take(picture.image, position, axis=axis).T
    axes.imshow(image, cmap="gray", origin="lower", extent=box, vmin=0, vmax=1, aspect="auto",
                interpolation="bilinear")  # fmt: skip
    rows, columns = image.shape
    x = (np.arange(columns) + 0.5) * wide / columns
    y = (np.arange(rows) + 0.5) * high / rows
    colours = dict(zip(picture.masks, (OURS, *REFERENCES), strict=False))
    for name in reversed(list(colours)):
        plane = np.take(picture.masks[name], position, axis=axis).T
        if plane.any() and not plane.all():
            axes.contour(x, y, plane, levels=[0.5], colors=[colours[name]], linewidths=[0.8])
    axes.set(xlim=(0, wide), ylim=(0, high))


if __name__ == "__main__":
    sys.exit(main())
