"""The shortest way from a head to its mask with our network, to compare the App with.

``python -m benchmarks.plain HEAD [--threads N] [--repeats N]``: nibabel and scipy as anyone would
write it; no metrics, no clean distances, no files but the mask. One JSON line: seconds after the
imports, by stage, of the fastest repeat, and the mask's Dice with the one of ``--check MASK``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.processes import cores
from bids_strip.card import Card, find_card
from bids_strip.domain import Float3
from bids_strip.geometry import dice
from bids_strip.participant.job import Clock
from bids_strip.participant.predict import CPU, as_distance


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times of a head."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.plain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("head", type=Path)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check", type=Path, metavar="MASK")
    args = parser.parse_args(argv)
    session, card = _session(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "mask.nii.gz"
        tried = [strip(args.head, out, session, card) for _ in range(args.repeats)]
        stages = min(tried, key=lambda one: sum(one.values()))
        found: dict[str, object] = {"seconds": sum(stages.values()), "stages": stages}
        if args.check:
            mine, other = (np.asarray(nib.load(path).dataobj) > 0  # type: ignore[attr-defined]
                           for path in (out, args.check))  # fmt: skip
            found["dice"] = dice(mine, other)
    print(json.dumps(found))
    return 0


def _session(threads: int) -> tuple[Any, Card]:
    import onnxruntime as ort

    card = find_card(None)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(card.path), options, providers=[CPU]), card


def strip(head: Path, out: Path, session: Any, card: Card) -> dict[str, float]:
    """Strip a head.

    Parameters
    ----------
    head
        NIfTI, RAS+ or nearly so.
    out
        Where the mask is written.
    session
        Of the network.
    card
        Of the network.

    Returns
    -------
    dict
        Seconds by stage.
    """
    clock = Clock()
    image: Any = nib.load(head)
    data = clock("load", image.get_fdata, dtype=np.float32)
    small = clock("resample", _resampled, data, image.header.get_zooms()[:3], card)
    mm = clock("network", _predicted, small, session, card)
    large = clock("upsample", _zoomed, mm, data.shape)
    mask = clock("largest component", _largest, large <= 0)
    found = nib.Nifti1Image(mask.astype(np.uint8), image.affine, image.header)
    clock("save", nib.save, found, out)
    return clock.seconds


def _resampled(data: Float3, zooms: Sequence[float], card: Card) -> Float3:
    sides = zip(data.shape, zooms, card.zooms, strict=True)
    small = _zoomed(data, tuple(round(n * own / wanted) for n, own, wanted in sides))
    low, high = np.percentile(small, card.intensity.percentiles)
    scaled = np.clip((small - low) / (high - low), *card.intensity.clip)
    return np.asarray(scaled, dtype=np.float32)


def _zoomed(data: Float3, shape: tuple[int, ...]) -> Float3:
    factors = [a / b for a, b in zip(shape, data.shape, strict=True)]
    return np.asarray(ndimage.zoom(data, factors, order=1, grid_mode=True, mode="nearest"))


def _predicted(small: Float3, session: Any, card: Card) -> Float3:
    brain = card.output("brain")
    assert brain is not None  # checked when the card was read
    padding = [(0, -n % card.multiple) for n in small.shape]
    (found,) = session.run([brain.name], {"image": np.pad(small, padding)[None, None]})
    i, j, k = small.shape
    return as_distance(found, brain)[:i, :j, :k]


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


if __name__ == "__main__":
    sys.exit(main())
