"""MindGrab's network, written anew from its ``layers.json``, to run beside ours.

``python -m benchmarks.peers DIR HEAD [--threads N] [--check MASK]`` prints one JSON line. DIR holds
``layers.json`` and ``model.pth`` as neuroneural/brainchop publishes them (MIT licence). HEAD is
conformed to 256^3 voxels of 1 mm and its percentiles 2 and 98 are brought to 0 and 1; both lie
outside of what is timed. ``--check`` gives the Dice with a mask of the same network.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import nibabel.processing
import numpy as np
import torch
from torch.nn import functional

from benchmarks.heads import conform, conformed
from benchmarks.images import load_image
from benchmarks.processes import cores
from bids_strip.domain import Affine, Bool3, Float3
from bids_strip.geometry import dice, largest_component

SIDE = 256
AXES = "LIA"
_EPSILON = 1e-5
_CHUNK = 1 << 16
"""Voxels whose channels are worked on at a time: they stay in the processor's cache."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the seconds of one head, and the Dice if a mask is given."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("head", type=Path)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--check", type=Path, metavar="MASK")
    parser.add_argument("--axes", default=AXES, help="axis codes of the conformed grid")
    parser.add_argument("--side", type=int, default=SIDE, help="smaller, to try the code")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    network = MindGrab.read(args.folder)
    head = conform(args.head, axes=args.axes, side=args.side)
    data = scaled(np.asarray(head.dataobj, dtype=np.float32))
    started = time.perf_counter()
    brain = network(torch.from_numpy(data))
    result: dict[str, Any] = {"seconds": time.perf_counter() - started, "side": args.side}
    if args.check:
        result["dice"] = check(brain, head, args.check)
    print(json.dumps(result))
    return 0


class MindGrab:
    """Dilated convolutions, each channel brought to mean 0 and variance 1, GELU.

    Parameters
    ----------
    layers : sequence of dict
        ``forward_pass`` of ``layers.json``.
    weights : sequence of Tensor
        One for each convolution, in order.
    bias : Tensor or None
        Of the last convolution.
    """

    def __init__(
        self,
        layers: Sequence[dict[str, Any]],
        weights: Sequence[torch.Tensor],
        bias: torch.Tensor | None,
    ) -> None:
        self._layers = layers
        self._weights = weights
        self._bias = bias

    @classmethod
    def read(cls, folder: Path) -> MindGrab:
        """Read the published files."""
        layers = json.loads((folder / "layers.json").read_text(encoding="utf-8"))["forward_pass"]
        state = torch.load(folder / "model.pth", map_location="cpu", weights_only=True)
        weights = [value for name, value in state.items() if name.endswith("weight")]
        biases = [value for name, value in state.items() if name.endswith("bias")]
        return cls(layers, weights, biases[-1] if biases else None)

    @torch.inference_mode()
    def __call__(self, head: torch.Tensor) -> Bool3:
        """Find the brain.

        Parameters
        ----------
        head : (I, J, K) float32
            Conformed, 0 to 1.

        Returns
        -------
        (I, J, K) bool
        """
        x = head[None, None]
        weights = iter(self._weights)
        last = len(self._weights) - 1
        done = 0
        for layer in self._layers:
            op, params = layer["op"], layer["params"]
            if op == "conv3d":
                bias = self._bias if done == last else None
                x = functional.conv3d(
                    x, next(weights), bias, padding=params["padding"], dilation=params["dilation"]
                ).contiguous(memory_format=torch.channels_last_3d)  # faster than the default
                done += 1
            elif op == "group_norm":
                normalise(x, groups=params["num_groups"])
            elif op == "gelu":
                for some in _chunks(x):
                    some.copy_(functional.gelu(some))
            elif op != "batch_norm3d":
                # the checkpoint holds no statistics for batch_norm3d: after group_norm it is the
                # identity
                raise ValueError(f"layers.json: unknown layer {op}")
        return np.asarray((x[0, 1] > x[0, 0]).numpy())


def normalise(x: torch.Tensor, *, groups: int) -> None:
    """Bring each channel of (1, C, I, J, K) to mean 0 and variance 1, in place."""
    if groups != x.shape[1]:
        raise ValueError(f"layers.json: {groups} groups of {x.shape[1]} channels")
    mean, variance = _moments(x)
    scale = (variance + _EPSILON).rsqrt()
    for some in _chunks(x):
        some.sub_(mean.to(x.dtype)).mul_(scale.to(x.dtype))


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each channel of (1, C, I, J, K), float64.

    Of parts, each about its own mean, merged (Chan et al. 1983): as exact as two passes. Products
    with ones, as `torch.var_mean` over rows takes ten times as long.
    """
    count = 0
    mean = torch.zeros(x.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(mean)
    for some in _chunks(x):
        more = len(some)
        one = torch.ones(more, dtype=some.dtype)
        centre = one @ some / more
        away = some - centre
        shift = (one @ away).double() / more
        apart = centre.double() + shift - mean
        squares += (one @ away.square()).double() - more * shift.square()
        squares += apart.square() * count * more / (count + more)
        mean += apart * more / (count + more)
        count += more
    return mean, squares / count


def _chunks(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(1, C, I, J, K) in ``channels_last_3d`` as parts of (voxels, C), the same memory."""
    return torch.split(x.permute(0, 2, 3, 4, 1).view(-1, x.shape[1]), _CHUNK)


def scaled(data: Float3) -> Float3:
    """Percentiles 2 and 98 brought to 0 and 1; what lies beyond is clipped."""
    low, high = np.percentile(data, (2.0, 98.0))
    share = np.clip((data - low) / max(float(high - low), 1e-3), 0.0, 1.0)
    return np.asarray(share, dtype=np.float32)


def strip(network: MindGrab, image: Any, *, side: int = SIDE) -> Bool3:
    """MindGrab's mask of an image on the image's own grid, its largest piece."""
    head = conformed(image, axes=AXES, side=side)
    brain = network(torch.from_numpy(scaled(np.asarray(head.dataobj, dtype=np.float32))))
    kept, _ = largest_component(brain)
    return _onto(kept, head.affine, image)


def check(brain: Bool3, head: Any, reference: Path) -> float:
    """Dice of a conformed mask, its largest piece, with a mask on the native grid.

    Voxels that the conformed grid does not reach are left out.
    """
    native = load_image(reference)
    kept, _ = largest_component(brain)
    seen = _onto(np.ones_like(kept), head.affine, native)
    theirs: Bool3 = np.asarray(native.dataobj) > 0
    return dice(_onto(kept, head.affine, native) & seen, theirs & seen)


def _onto(mask: Bool3, affine: Affine, native: Any) -> Bool3:
    image = nib.Nifti1Image(mask.astype(np.float32), affine)
    moved = nibabel.processing.resample_from_to(image, native, order=1)
    return np.asarray(np.asarray(moved.dataobj) > 0.5)


if __name__ == "__main__":
    sys.exit(main())
