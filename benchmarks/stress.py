"""How far a distortion of the image moves the mask.

``python -m benchmarks.stress BIDS_DIR [--heads N] [--model NAME] [--peer DIR] [--json FILE]``

Each head is distorted in memory; the mask of the distorted head is compared with the mask of the
head itself (moved along where the distortion moves the head), inside the field of view that is
left. A head is first brought to 1 mm, RAS, so that all distortions mean the same on every scan.
``--peer`` puts MindGrab through the same battery instead, held against its own masks (needs torch;
DIR as for ``benchmarks.peers``). FILE holds scores by network, dataset and head, whose content is
part of its name there, and is written anew after every mask; what it already holds of them is not
done again, unless it failed. Exit 1 if there is no T1w or a figure that is asked for is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.asked import HEADER, asked_rows, at_least
from benchmarks.heads import first_heads
from benchmarks.outputs import BenchmarkError
from benchmarks.tables import Cell, text_table
from bids_strip.card import find_card
from bids_strip.geometry import dice
from bids_strip.machine.resources import available_cpus
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.single import strip_image

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
SEED = 20261120
LEAST_MEAN, LEAST = 0.96, 0.90
"""Dice that is asked for: the mean, and of each mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Distorted:
    """A distorted head.

    Attributes
    ----------
    image : (I, J, K) float32
    affine : (4, 4) float64
        voxel -> RAS+ mm.
    mask : (I, J, K) bool
        The head's own mask, moved along.
    seen : (I, J, K) bool
        Where masks are compared.
    """

    image: Image
    affine: NDArray[np.float64]
    mask: Mask
    seen: Mask


Stripper = Callable[[nib.Nifti1Image], Mask]
Distortion = Callable[[Image, Mask, np.random.Generator], Distorted]


def _plain(image: Image, mask: Mask, seen: Mask | None = None) -> Distorted:
    where = np.ones(mask.shape, dtype=bool) if seen is None else seen
    return Distorted(image.astype(np.float32), np.eye(4), mask, where)


def permuted(axes: tuple[int, int, int]) -> Distortion:
    """Store the axes in another order; the affine says so."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        turned = np.ascontiguousarray(image.transpose(axes)[::-1])
        affine = np.zeros((4, 4))
        for voxel_axis, world_axis in enumerate(axes):
            affine[world_axis, voxel_axis] = 1.0
        affine[axes[0]] *= -1
        affine[axes[0], 3] = image.shape[axes[0]] - 1
        affine[3, 3] = 1.0
        moved = np.ascontiguousarray(mask.transpose(axes)[::-1])
        return Distorted(turned, affine, moved, np.ones(moved.shape, dtype=bool))

    return distort


def rotated(degrees: float, axes: tuple[int, int]) -> Distortion:
    """Turn the head in the field of view."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        turned = ndimage.rotate(image, degrees, axes=axes, reshape=False, order=1)
        moved = ndimage.rotate(mask.astype(np.float32), degrees, axes=axes, reshape=False, order=1)
        full = np.ones(mask.shape, dtype=np.float32)
        seen = ndimage.rotate(full, degrees, axes=axes, reshape=False, order=1) > 0.99
        return _plain(turned, moved > 0.5, seen)

    return distort


def noisy(snr: float) -> Distortion:
    """Add Rician noise: the brain's mean over the noise's sd is `snr`."""

    def distort(image: Image, mask: Mask, rng: np.random.Generator) -> Distorted:
        sd = float(image[mask].mean()) / snr
        real, imaginary = rng.normal(0, sd, (2, *image.shape)).astype(np.float32)
        return _plain(np.hypot(image + real, imaginary), mask)

    return distort


def biased(strength: float) -> Distortion:
    """Multiply by a smooth field of exp(+-strength) from corner to corner."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        ramps = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
        return _plain(image * np.exp(strength * sum(ramps) / 3), mask)

    return distort


def with_contrast(change: Callable[[Image], Image]) -> Distortion:
    """Change intensities, scaled to 0..1 first."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        scaled = np.clip(image / np.percentile(image, 99.9), 0, 1)
        return _plain(change(scaled) * 1000, mask)

    return distort


def _inverted(image: Image) -> Image:
    return np.where(image > 0.05, 1.05 - image, 0).astype(np.float32)


def coarser(zooms: tuple[int, int, int]) -> Distortion:
    """Average over blocks of 1 mm voxels: thick slices or large voxels."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        whole = tuple(slice(0, n // z * z) for n, z in zip(image.shape, zooms, strict=True))

        def mean(data: NDArray[np.generic]) -> Image:
            part = data[whole].astype(np.float32)
            i, j, k = (n // z for n, z in zip(part.shape, zooms, strict=True))
            a, b, c = zooms
            return np.asarray(part.reshape(i, a, j, b, k, c).mean(axis=(1, 3, 5)))

        affine = np.diag([*map(float, zooms), 1.0])
        affine[:3, 3] = [(z - 1) / 2 for z in zooms]
        moved = mean(mask) > 0.5
        return Distorted(mean(image), affine, moved, np.ones(moved.shape, dtype=bool))

    return distort


def finer(parts: int) -> Distortion:
    """Store each voxel as `parts` along each axis, linearly interpolated."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        index = [(np.arange(n * parts) + 0.5) / parts - 0.5 for n in image.shape]
        grid = np.meshgrid(*(i.astype(np.float32) for i in index), indexing="ij", sparse=True)
        points = np.broadcast_arrays(*grid)
        smooth = ndimage.map_coordinates(image, points, order=1, mode="nearest")
        moved = mask.repeat(parts, 0).repeat(parts, 1).repeat(parts, 2)
        affine = np.diag([1 / parts] * 3 + [1.0])
        affine[:3, 3] = (1 / parts - 1) / 2
        return Distorted(smooth, affine, moved, np.ones(moved.shape, dtype=bool))

    return distort


def cut(axis: int, share: float, *, from_top: bool) -> Distortion:
    """Leave out slices at one end: `share` of the brain's extent along an axis."""

    def distort(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
        other = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=other))
        depth = round(share * (hit[-1] - hit[0]))
        keep = slice(0, hit[-1] - depth) if from_top else slice(hit[0] + depth, None)
        window = tuple(keep if a == axis else slice(None) for a in range(3))
        return _plain(image[window], mask[window])

    return distort


def background(kind: str) -> Distortion:
    """Fill the air, outside the head's own outline, with zeros, noise or NaN."""

    def distort(image: Image, mask: Mask, rng: np.random.Generator) -> Distorted:
        head = ndimage.binary_fill_holes(image > 0.1 * np.percentile(image, 99))
        head = ndimage.binary_opening(head, iterations=2) | mask
        fill = {
            "zeros": np.zeros(image.shape),
            "noise": rng.uniform(0, 0.15 * np.percentile(image, 99), image.shape),
            "nan": np.full(image.shape, np.nan),
        }[kind]
        return _plain(np.where(head, image, fill), mask)

    return distort


def faceless(image: Image, mask: Mask, _rng: np.random.Generator) -> Distorted:
    """Zero what lies before and below a slanting plane that clears the brain by 8 mm."""
    j, k = np.meshgrid(*(np.arange(n) for n in image.shape[1:]), indexing="ij")
    slope = j - k
    brain = mask.any(axis=0)
    plane = slope[brain].max() + 8 * np.sqrt(2)
    return _plain(image * (slope <= plane), mask)


BATTERY: Mapping[str, Distortion] = {
    "axes KIJ": permuted((2, 0, 1)),
    "axes JKI": permuted((1, 2, 0)),
    "rotated 20 about x": rotated(20, (1, 2)),
    "rotated 45 about x": rotated(45, (1, 2)),
    "rotated 20 about y": rotated(20, (0, 2)),
    "rotated 45 about y": rotated(45, (0, 2)),
    "rotated 45 about z": rotated(45, (0, 1)),
    "noise to SNR 10": noisy(10),
    "noise to SNR 5": noisy(5),
    "strong bias": biased(1.2),
    "gamma .5": with_contrast(lambda image: image**0.5),
    "gamma 2": with_contrast(lambda image: image**2),
    "inverted": with_contrast(_inverted),
    "7 mm sagittal slices": coarser((7, 1, 1)),
    "7 mm coronal slices": coarser((1, 7, 1)),
    "7 mm axial slices": coarser((1, 1, 7)),
    "3 mm isotropic": coarser((3, 3, 3)),
    "0.5 mm isotropic": finer(2),
    "crown cut": cut(2, 0.15, from_top=True),
    "neck cut": cut(2, 0.1, from_top=False),
    "half a head": cut(0, 0.5, from_top=True),
    "background zeros": background("zeros"),
    "background noise": background("noise"),
    "background NaN": background("nan"),
    "face removed": faceless,
}


def ours(predictor: Predictor) -> Stripper:
    """The program's masks."""

    def strip(image: nib.Nifti1Image) -> Mask:
        return np.asarray(strip_image(image, predictor=predictor).mask.dataobj) > 0

    return strip


def mindgrab(folder: Path) -> Stripper:
    """MindGrab's masks; what is not finite is 0 to it."""
    from benchmarks.peers import MindGrab
    from benchmarks.peers import strip as strip_by

    network = MindGrab.read(folder)

    def strip(image: nib.Nifti1Image) -> Mask:
        finite = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
        return strip_by(network, nib.Nifti1Image(finite, image.affine))

    return strip


def stress(path: Path, strip: Stripper, known: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Name and Dice of each distortion of one head that is not yet known."""
    todo = {name: distort for name, distort in BATTERY.items() if name not in known}
    if not todo:
        return
    head = resample_to_output(nib.as_closest_canonical(nib.load(path)), (1, 1, 1), order=1)
    image = np.asarray(head.dataobj, dtype=np.float32)
    clean = strip(nib.Nifti1Image(image, np.eye(4)))
    for name, distort in todo.items():
        found = distort(image, clean, np.random.default_rng(SEED))
        try:
            mask = strip(nib.Nifti1Image(found.image, found.affine))
            score = dice(mask & found.seen, found.mask & found.seen)
        except Exception as error:  # noqa: BLE001 - a failure is a score of this table
            print(f"{path.name} {name}: {error}", file=sys.stderr)
            score = 0.0
        yield name, score


def _keep(path: Path, scores: Mapping[str, object]) -> None:
    """Write scores; a call that is stopped meanwhile leaves those of before."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def head_of(path: Path) -> str:
    """Name of a head and the beginning of its file's SHA-256: names alone repeat in datasets."""
    return f"{path.name.split('.')[0]} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there is no head or a figure that is asked for is missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--heads", type=int, metavar="N", help="the first N only")
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--peer", type=Path, metavar="DIR", help="MindGrab's published files")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    try:
        paths = first_heads(args.bids_dir, args.heads)
    except BenchmarkError as error:
        print(f"benchmarks.stress: {error}", file=sys.stderr)
        return 1
    if args.peer:
        network, strip = "MindGrab", mindgrab(args.peer)
    else:
        card = find_card(args.model)
        network = f"{card.name} {card.version} {card.sha256[:12]}"
        strip = ours(load_predictor(card, device="cpu", threads=available_cpus()))
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    of_network = known.setdefault(f"{network}, {args.bids_dir.resolve().name}", {})
    scores: dict[str, dict[str, float]] = {}
    for path in paths:
        name = head_of(path)
        earlier = of_network.get(name, {})
        scores[name] = of_network[name] = {d: dice for d, dice in earlier.items() if dice > 0}
        for distortion, score in stress(path, strip, scores[name]):
            scores[name][distortion] = score
            if args.json:
                _keep(args.json, known)
    rows = [_row(name, [one[name] for one in scores.values()]) for name in BATTERY]
    every = [value for one in scores.values() for value in one.values()]
    rows.append(_row("all", every))
    print(text_table([f"{len(paths)} heads", "mean Dice", "least"], rows))
    asked = [at_least("mean Dice", float(np.mean(every)), LEAST_MEAN),
             at_least("least Dice", min(every), LEAST)]  # fmt: skip
    print(text_table(HEADER, asked_rows(asked)))
    return 0 if all(one.met for one in asked) else 1


def _row(name: str, found: Sequence[float]) -> list[Cell]:
    return [name, float(np.mean(found)), float(min(found))]


if __name__ == "__main__":
    sys.exit(main())
