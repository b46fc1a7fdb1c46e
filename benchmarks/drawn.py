"""Heads drawn from label maps that no training drew from, as BIDS runs in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_strip.domain import Run
from training.maps import HELD_OUT, TrainingMap, load_maps
from training.synthesis import SynthesisRanges, draw, render

SEED = 11
T1W = SynthesisRanges(
    zoom_mm=2.0, windows=(((96, 112, 96), 0.5), ((88, 104, 88), 0.5)), t1w_share=1, ct_share=0,
    merged=0, tilted=0, rotation_sd_deg=8, scale=(0.93, 1.06), axis_scale=(0.96, 1.04),
    shear_sd=0.02,
    shift_mm=(8, 10, 4), shift_up_mm=6, elastic=((4, 3.0), (7, 1.5), (12, 0.5)),
    texture_sd=(0.02, 0.05), dura=0.5, atrophy=0.25, ventricles=0.2, lesions=0.15, blob=0, scalp=0,
    strays=0, clutter=0, bias_sd=(0.1, 0.3), blur_sd_mm=(0.3, 0.8), thick_slices=0.35,
    slice_mm=(2.5, 5.0), coarse=0, noise_sd=(0.02, 0.15), ghost=0, ripple=0, wrap=0, inverted=0,
    cut=0, cut_crown=0, half=0, zero_air=0.3, background=0, stripped=0, face_cut=0.25, quantised=0,
    log_gamma_sd=0.0,
)  # fmt: skip
"""Ordinary T1w scans: field, blur, noise, thick slices, faces removed, some atrophy."""
OTHER = replace(T1W, t1w_share=0)


def drawn_heads(
    labels: Path, cache: Path, folder: Path, *, heads: int, others: int
) -> Iterator[Run]:
    """Render heads and store them as ``sub-<number>_T1w.nii``; other contrasts as ``_T2w.nii``.

    Parameters
    ----------
    labels, cache
        As for ``training.evaluate``.
    folder
        Where to; made if absent.
    heads, others
        How many T1w-like, and of any contrast.
    """
    maps = load_maps(labels, cache, list(HELD_OUT))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(heads):
        yield _stored(maps[number % len(maps)], T1W, folder, number, "T1w")
    for number in range(heads, heads + others):
        yield _stored(maps[number % len(maps)], OTHER, folder, number, "T2w")


def _stored(
    source: TrainingMap, ranges: SynthesisRanges, folder: Path, number: int, suffix: str
) -> Run:
    item = draw(np.random.default_rng((SEED, number)), 1, ranges)
    image = render(source, item).image[0, 0].numpy()
    affine = np.diag([item.zoom_mm] * 3 + [1.0])
    affine[:3, 3] = [-item.zoom_mm * (n - 1) / 2 for n in image.shape]
    label = f"{number + 1:02d}"
    path = folder / f"sub-{label}_{suffix}.nii"
    stored = nib.Nifti1Image(np.rint(image * 1000).astype(np.int16), affine)
    stored.header.set_xyzt_units("mm", "sec")
    nib.save(stored, path)
    return Run(path, path.name, (("sub", label),), suffix)
