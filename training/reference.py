"""Make the coarse reference brain: ``python -m training.reference LABELS CACHE``.

Mean signed distance, its spread and the tissue frequencies of the training maps, brought together
by affines (`bids_strip.registration.pose.fitted`) in rounds: each onto the mean of the round
before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Grid
from bids_strip.registration.pose import fitted
from bids_strip.registration.reference import (
    FILE,
    LIMIT_MM,
    REFERENCE_STEP_MM,
    SPREAD_STEP_MM,
    TISSUES,
    Reference,
    moved,
)
from training.maps import GROUPS, TISSUE_OF_GROUP, TrainingMap, load_maps
from training.maps import SDT_STEP_MM as MAP_STEP_MM
from training.train import TRAINING_MAPS

ZOOM_MM = 4.0
SHAPE = (50, 60, 50)
ROUNDS = 4
MAP_AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
"""Voxels of a map's distances -> mm; its labels, at 1 mm, start half a voxel earlier."""
LABEL_AFFINE = np.array([[1, 0, 0, -0.5], [0, 1, 0, -0.5], [0, 0, 1, -0.5], [0, 0, 0, 1.0]])


def distances(source: TrainingMap) -> NDArray[np.float32]:
    """Distance to the brain surface at 2 mm."""
    return np.asarray(source.sdt[0].astype(np.float32) * MAP_STEP_MM)


def reference_grid() -> Grid:
    """4 mm, RAS, the origin in the middle."""
    affine = np.diag([ZOOM_MM, ZOOM_MM, ZOOM_MM, 1.0])
    affine[:3, 3] = [-ZOOM_MM * (n - 1) / 2 for n in SHAPE]
    return Grid(SHAPE, affine)


def centred(source: TrainingMap) -> Affine:
    """Reference mm -> a map's mm, the middle of its brain at the origin."""
    pose = np.eye(4)
    pose[:3, 3] = 2.0 * np.argwhere(distances(source) <= 0).mean(axis=0)
    return pose


def tissue_frequencies(source: TrainingMap, pose: Affine, grid: Grid) -> NDArray[np.float32]:
    """Share of each of `TISSUES` around each point of the grid, (3, I, J, K)."""
    names = list(GROUPS)
    tissue = np.array([TISSUE_OF_GROUP[name] for name in names])[source.groups]
    to_voxels = np.linalg.inv(LABEL_AFFINE) @ pose @ grid.affine
    shares = []
    for label in range(1, len(TISSUES) + 1):
        smooth = ndimage.gaussian_filter((tissue == label).astype(np.float32), ZOOM_MM / 2.355)
        shares.append(ndimage.affine_transform(
            smooth, to_voxels[:3, :3], to_voxels[:3, 3], grid.shape, order=1))  # fmt: skip
    return np.stack(shares)


def make(maps: list[TrainingMap]) -> Reference:
    """Bring the maps together and average them."""
    grid = reference_grid()
    poses = [centred(one) for one in maps]
    nothing = np.zeros((len(TISSUES), *grid.shape), np.float32)
    for _ in range(ROUNDS):
        stack = np.stack([moved(distances(m), MAP_AFFINE, p, grid)
                          for m, p in zip(maps, poses, strict=True)])  # fmt: skip
        stack = _with_mirrored(np.clip(stack, -LIMIT_MM, LIMIT_MM))
        mean = Reference(stack.mean(axis=0), stack.std(axis=0), nothing, grid)
        poses = [fitted(distances(m), MAP_AFFINE, mean) for m in maps]
    tissue = _with_mirrored(np.stack([tissue_frequencies(m, p, grid)
                                      for m, p in zip(maps, poses, strict=True)]))  # fmt: skip
    return Reference(mean.sdt_mm, mean.spread_mm, tissue.mean(axis=0), grid)


def _with_mirrored(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each head and its mirror image: the reference has no handedness."""
    return np.concatenate([stack, stack[..., ::-1, :, :]])


def save(reference: Reference, path: Path) -> None:
    """Write the reference, small."""
    np.savez_compressed(
        path,
        sdt=np.round(reference.sdt_mm / REFERENCE_STEP_MM).astype(np.int8),
        spread=np.round(reference.spread_mm / SPREAD_STEP_MM).clip(0, 255).astype(np.uint8),
        tissue=np.round(reference.tissue * 255).astype(np.uint8),
        affine=reference.grid.affine,
    )


def main() -> None:
    """Read the command line and make the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("cache", type=Path, help="folder of prepared maps")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    reference = make(load_maps(args.labels, args.cache, list(TRAINING_MAPS)))
    save(reference, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
