"""Simulated rescans: ``python -m training.rescans LABELS CACHE`` writes `models/identity.json`.

Every label map is a person, drawn several times as scanners would see it: pose, distortion,
contrast, bias, noise, blur, voxels, a surface that is a little off, some atrophy. How alike the
descriptors of one map are, and those of two, says what `bids_strip.identity` takes for one head.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_LIMIT_MM, SDT_STEP_MM, Float3, Grid
from bids_strip.identity.brain import VERSION, Descriptor, described
from bids_strip.identity.findings import FILE
from bids_strip.identity.likeness import similarities
from bids_strip.registration.reference import Reference, load_reference
from training.maps import TrainingMap, load_maps
from training.synthesis import SynthesisRanges, draw, render

RESCANS = 4
SEED = 77
QUANTILES = (0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0)
RANGES = SynthesisRanges(
    windows=(((112, 120, 112), 1.0),), t1w_share=1.0, ct_share=0.0, merged=0.1,
    rotation_sd_deg=8.0, tilted=0.0, scale=(0.985, 1.015), axis_scale=(0.99, 1.01),
    shear_sd=0.004, shift_mm=(6.0, 6.0, 6.0), shift_up_mm=0.0, elastic=((4, 1.5), (7, 0.7)),
    texture_sd=(0.01, 0.05), atrophy_mm=(0.2, 1.0), ventricles_mm=(0.5, 1.5), lesions=0.2,
    blob=0.0, scalp=0.0, strays=0.0, clutter=0.0, bias_sd=(0.0, 0.35), blur_sd_mm=(0.0, 1.0),
    thick_slices=0.15, slice_mm=(2.5, 4.0), coarse=0.1, coarse_mm=(2.0, 2.5), noise_sd=(0.0, 0.1),
    ghost=0.0, ripple=0.05, wrap=0.0, inverted=0.0, cut=0.2, cut_crown=0.0, half=0.0,
    zero_air=0.3, stripped=0.1, peeled=0.0, quantised=0.0, low_percentile=(0.0, 0.5),
    high_percentile=(99.5, 99.99), log_gamma_sd=0.1,
)  # fmt: skip
"""The training's own, narrowed to what two scanners make of one head."""
SURFACE_SD_MM = (0.2, 0.9)
SURFACE_SHIFT_MM = 0.3
_SURFACE_LENGTH = 7.0
"""Errors of a mask: how large, and over how many voxels of 2 mm alike."""


def rescan(source: TrainingMap, person: int, number: int, reference: Reference) -> Descriptor:
    """Draw a person once more and describe what is seen.

    Raises
    ------
    ValueError
        If no brain is left in the image.
    """
    item = draw(np.random.default_rng((SEED, person, number)), 1, RANGES)
    item = replace(item, placement=replace(item.placement, flip=False))
    sample = render(source, item)
    image = np.asarray(sample.image[0, 0].numpy())
    rng = np.random.default_rng((SEED + 1, person, number))
    sdt_mm = sample.sdt[0, 0].numpy() + surface_error(image.shape, rng)
    steps = np.rint(np.clip(sdt_mm, -SDT_LIMIT_MM, SDT_LIMIT_MM) / SDT_STEP_MM).astype(np.int16)
    grid = Grid(item.shape, np.diag([item.zoom_mm] * 3 + [1.0]))
    found = described(image, steps, grid, reference)
    if found is None:
        raise ValueError(f"{source.name}, scan {number}: no brain in it")
    return found


def surface_error(shape: tuple[int, ...], rng: np.random.Generator) -> Float3:
    """How far a mask's surface is off, mm."""
    rough = ndimage.gaussian_filter(rng.normal(size=shape), _SURFACE_LENGTH, truncate=2.5)
    size = rng.uniform(*SURFACE_SD_MM) / rough.std()
    return np.asarray(rough * size + SURFACE_SHIFT_MM * rng.normal(), dtype=np.float32)


def quantiles(values: NDArray[np.float32]) -> dict[str, float]:
    """Share of pairs below -> similarity."""
    return {f"{q:g}": round(float(np.quantile(values, q)), 4) for q in QUANTILES}


def main() -> None:
    """Read the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("cache", type=Path, help="folder of prepared maps")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--rescans", type=int, default=RESCANS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = load_reference()
    maps = load_maps(args.labels, args.cache)
    people = [source.name for source in maps for _ in range(args.rescans)]
    stack = np.stack([
        rescan(source, person, number, reference)
        for person, source in enumerate(maps)
        for number in range(args.rescans)
    ])  # fmt: skip
    found = similarities(stack, ["one group"] * len(people), reference)
    pairs = list(combinations(range(len(people)), 2))
    alike = np.array([found[i, j] for i, j in pairs])
    same = np.array([people[i] == people[j] for i, j in pairs])
    table = {
        "made_by": "python -m training.rescans",
        "of": f"{len(maps)} label maps, {args.rescans} simulated scans each, no real image",
        "descriptor_version": VERSION,
        "same_head": quantiles(alike[same]),
        "different_heads": quantiles(alike[~same]),
    }
    args.out.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
