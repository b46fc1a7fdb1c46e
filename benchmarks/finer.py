"""What a finer look could bring at most: ``python -m benchmarks.finer MODEL LABELS CACHE``.

The error of the network's distance near the surface of T1w-like images of held-out label maps is
split by scale: smooth along the surface, and the finer rest. A second network that looks at a band
around the surface at a finer grid mends at best all of the rest. MODEL, LABELS and CACHE as for
``training.evaluate``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.tables import Cell, text_table
from bids_strip.card import find_card
from bids_strip.domain import Bool3, Float3
from bids_strip.geometry import dice
from bids_strip.participant.predict import load_predictor
from training.evaluate import groups_of, held_out_draws, predicted
from training.maps import HELD_OUT, load_maps
from training.synthesis import render

SCALES_MM = (3.0, 4.0, 6.0)
"""Standard deviations of what is called smooth."""
BAND_MM = 3.0
"""Errors count where the true distance is at most this."""
SURFACE_MM = 1.0
"""Distances are compared where the true one is at most this."""
CAP_MM = 20.0
"""Where the side alone is known."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.finer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model")
    parser.add_argument("labels", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    predictor = load_predictor(find_card(args.model), device="cpu", threads=args.threads)
    maps = load_maps(args.labels, args.cache, list(HELD_OUT))
    scores: dict[str, list[tuple[float, float]]] = {}
    for item in held_out_draws(predictor.card, maps, args.images):
        source = maps[item.map_index]
        if groups_of(item, source)[0] != "T1w-like":
            continue
        sample = render(source, item)
        found = predicted(predictor, sample).brain_mm
        truth, seen = sample.sdt[0, 0].numpy(), sample.weight[0, 0].numpy() > 0.5
        for name, part in parts(found, truth, seen, predictor.card.zooms[0]).items():
            scores.setdefault(name, []).append(_score(part, truth, seen))
    rows: list[list[Cell]] = [
        [name, *(float(np.mean(column)) for column in zip(*values, strict=True))]
        for name, values in scores.items()
    ]
    images = len(next(iter(scores.values())))
    print(text_table(["distance", f"Dice ({images} images)", "distance off, mm"], rows))
    return 0


def parts(found: Float3, truth: Float3, seen: Bool3, zoom_mm: float) -> dict[str, Float3]:
    """Distances with some of the error alone.

    Parameters
    ----------
    found, truth : (I, J, K), mm
    seen : (I, J, K)
        The field of view.
    zoom_mm : float

    Returns
    -------
    dict
        ``predicted``, and for each scale ``smooth, SD mm`` (the rest mended) and ``rest, SD mm``
        (the smooth part mended). Beyond the band the error is that of the nearest voxel of it.
    """
    found, truth = (np.clip(one, -CAP_MM, CAP_MM) for one in (found, truth))
    band = (np.abs(truth) <= BAND_MM) & seen
    nearest = ndimage.distance_transform_edt(~band, return_distances=False, return_indices=True)
    error = (found - truth)[tuple(nearest)]
    parts = {"predicted": found}
    for scale_mm in SCALES_MM:
        sd = scale_mm / zoom_mm
        share = ndimage.gaussian_filter(band.astype(np.float32), sd)
        smooth = ndimage.gaussian_filter(np.where(band, error, 0.0), sd) / np.maximum(share, 1e-3)
        smooth = smooth[tuple(nearest)]
        parts[f"smooth, {scale_mm:g} mm"] = truth + smooth
        parts[f"rest, {scale_mm:g} mm"] = truth + error - smooth
    return parts


def _score(part: Float3, truth: Float3, seen: Bool3) -> tuple[float, float]:
    """Dice and mean absolute error of the distance at the surface."""
    near = (np.abs(truth) <= SURFACE_MM) & seen
    return dice((part <= 0) & seen, (truth <= 0) & seen), float(np.abs(part - truth)[near].mean())


if __name__ == "__main__":
    sys.exit(main())
