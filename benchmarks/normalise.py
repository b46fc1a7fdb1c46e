"""Known fields on real heads: ``python -m benchmarks.normalise BIDS_DIR [--n4 niimath]``.

Each T1w is corrected as it is and after multiplication by a smooth field of 30 %. Told: correlation
of the ratio of both estimates with the field applied, variation of white matter (where the App is
sure of it in the unchanged head) before and after, without and with the field, and seconds of the
estimate.
With ``--n4`` the same of N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) as niimath has it,
``pip install niimath``: for comparison, the App does not use it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.heads import first_heads
from benchmarks.images import load_image
from benchmarks.outputs import BenchmarkError
from benchmarks.tables import Cell, text_table
from bids_strip.card import find_card
from bids_strip.domain import Bool3, BrainMask, Float3, NetworkTissues, Volume
from bids_strip.machine.resources import available_cpus
from bids_strip.participant.job import Clock
from bids_strip.participant.load import load
from bids_strip.participant.normalise import normalise
from bids_strip.participant.pipeline import predicted, whole_brain
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.participant.segment import segment
from bids_strip.recipe import BIAS_SMOOTHNESS_MM

STRENGTH = 0.3
SURE_STEPS = 230


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one head.

    Attributes
    ----------
    method, run
        Which.
    correlation
        Of the ratio of the two estimated fields with the one applied, within the mask.
    cov_raw, cov_biased
        Variation of white matter of the head and of its copy with the field.
    cov_after, cov_biased_after
        The same, both corrected.
    elapsed_s
        Of one estimate.
    """

    method: str
    run: str
    correlation: float
    cov_raw: float
    cov_biased: float
    cov_after: float
    cov_biased_after: float
    elapsed_s: float


@dataclass(frozen=True, eq=False)
class Head:
    """A head as the stages before `normalise` leave it."""

    volume: Volume
    brain: BrainMask
    network: NetworkTissues


Method = Callable[[Head], Float3]
"""Gives the logarithm of the field."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there is no head."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.normalise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--n4", metavar="NIIMATH", help="the command niimath, to compare with N4")
    parser.add_argument("--smoothness", type=float, default=BIAS_SMOOTHNESS_MM, metavar="MM")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    try:
        paths = first_heads(args.bids_dir)
    except BenchmarkError as error:
        print(f"benchmarks.normalise: {error}", file=sys.stderr)
        return 1
    methods: dict[str, Method] = {"bids_strip": partial(ours, smoothness_mm=args.smoothness)}
    if args.n4:
        methods["N4"] = partial(n4, command=args.n4)
    predictor = load_predictor(find_card(args.model), device="cpu", threads=available_cpus())
    found = [score for path in paths for score in scores(path, predictor, methods)]
    rows: list[list[Cell]] = [list(asdict(one).values()) for one in found]
    print(text_table(list(Score.__dataclass_fields__), rows))
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    return 0


def scores(path: Path, predictor: Predictor, methods: dict[str, Method]) -> list[Score]:
    """All methods on one head."""
    plain = prepared(load(path).volume, predictor)
    inside = plain.brain.mask
    field = applied(plain.volume, inside)
    biased = prepared(replace(plain.volume, data=plain.volume.data * field), predictor)
    white = white_matter(plain)
    rows = []
    for name, method in methods.items():
        begun = time.perf_counter()
        first = method(plain)
        elapsed_s = time.perf_counter() - begun
        second = method(biased)
        ratio = np.exp(second - first)[inside]
        rows.append(
            Score(
                method=name,
                run=path.name.split(".")[0],
                correlation=float(np.corrcoef(ratio, field[inside])[0, 1]),
                cov_raw=variation(plain.volume.data[white]),
                cov_biased=variation(biased.volume.data[white]),
                cov_after=variation(plain.volume.data[white] / np.exp(first[white])),
                cov_biased_after=variation(biased.volume.data[white] / np.exp(second[white])),
                elapsed_s=elapsed_s,
            )
        )
    return rows


def prepared(volume: Volume, predictor: Predictor) -> Head:
    """The stages before `normalise`."""
    conformed, prediction = predicted(volume, predictor, Clock())
    brain = whole_brain(volume, prediction, conformed)
    return Head(volume, brain, NetworkTissues(prediction.shares, conformed.frame))


def applied(volume: Volume, inside: Bool3) -> Float3:
    """A field that spans 0.85 to 1.15 of its mean within the mask, by a wave along each axis."""
    i, j, k = (
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == b else 1 for b in range(3)])
        for a, n in enumerate(volume.grid.shape)
    )
    wave = np.sin(1.5 * i + 0.3) + np.cos(1.8 * j + 0.5) * np.cos(1.5 * k)
    span = wave[inside]
    return np.asarray(1 + STRENGTH * ((wave - span.min()) / np.ptp(span) - 0.5), dtype=np.float32)


def white_matter(head: Head) -> Bool3:
    """Where the App is sure of white matter."""
    corrected = normalise(head.volume, head.brain, head.network, suffix="T1w",
                          smoothness_mm=BIAS_SMOOTHNESS_MM)  # fmt: skip
    found = segment(corrected, head.brain, head.network, suffix="T1w")
    return np.asarray(found.steps[1] >= SURE_STEPS)


def variation(values: NDArray[np.floating]) -> float:
    """Standard deviation over mean."""
    return float(values.std(dtype=np.float64) / values.mean(dtype=np.float64))


def ours(head: Head, *, smoothness_mm: float) -> Float3:
    """The App's stage."""
    return normalise(
        head.volume, head.brain, head.network, suffix="T1w", smoothness_mm=smoothness_mm
    ).log_field


def n4(head: Head, *, command: str) -> Float3:
    """N4 of niimath within the mask, its defaults; files are written and read."""
    with tempfile.TemporaryDirectory() as folder:
        image, mask, field, out = (f"{folder}/{n}.nii" for n in ("image", "mask", "field", "out"))
        affine = head.volume.grid.affine
        nib.Nifti1Image(head.volume.data, affine).to_filename(image)
        nib.Nifti1Image(head.brain.mask.astype(np.uint8), affine).to_filename(mask)
        asked = [command, image, "-n4", "-mask", mask, "-field", field, out]
        subprocess.run(asked, check=True, capture_output=True)
        found = next(Path(folder).glob("field.nii*"))
        data = np.asarray(load_image(found).dataobj, dtype=np.float32)
    return np.log(np.maximum(data, np.float32(1e-6)))


if __name__ == "__main__":
    sys.exit(main())
