"""Draw every registered brain of an OUTPUT_DIR beside its template: one PNG a run.

``python -m benchmarks.registered OUTPUT_DIR PICTURES [--space MNI152NLin2009cAsym:res-1]``

The run is on the left, the template on the right, in the coronal and axial rows in each slice, in
the sagittal row as its first and last slices. Red is the run's mask, cyan the template's, on both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.images import load_image
from benchmarks.montage import Picture, draw
from benchmarks.outputs import BenchmarkError
from bids_strip.domain import Bool3, Float3, Template
from bids_strip.geometry import bounding_box, dice
from bids_strip.space import parse_space
from bids_strip.templates import find_templates, read_template

MARGIN_MM = 6.0


def main(argv: Sequence[str] | None = None) -> int:
    """Draw all runs; return 1 if there is nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.registered",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("pictures", type=Path, help="folder for the PNGs, made where absent")
    parser.add_argument("--space", default="MNI152NLin2009cAsym:res-1")
    args = parser.parse_args(argv)
    space = parse_space(args.space)
    number = "" if space.resolution is None else f"_res-{space.resolution}"
    try:
        template = read_template(find_templates([args.space], offline=True)[0])
        masks = sorted(
            args.output_dir.rglob(f"*_space-{space.name}{number}_desc-brain*_mask.nii.gz")
        )
        if not masks:
            raise BenchmarkError(f"{args.output_dir}: holds no mask in {space}")
        args.pictures.mkdir(parents=True, exist_ok=True)
        for path in masks:
            print(draw_beside(path, template, args.pictures))
    except BenchmarkError as error:
        print(f"benchmarks.registered: {error}", file=sys.stderr)
        return 1
    return 0


def draw_beside(path: Path, template: Template, pictures: Path) -> str:
    """Draw one run and the template; return the picture's path and the Dice of the masks."""
    mask = np.asarray(load_image(path).dataobj) > 0
    head, tail = path.name.split("_desc-brain", 1)
    suffix = tail.removesuffix("_mask.nii.gz") or "T1w"
    image = load_image(path.with_name(f"{head}_desc-brain_{suffix}.nii.gz"))
    box = bounding_box(mask | template.mask, margin_mm=MARGIN_MM, zooms=template.image.grid.zooms)
    data = np.asarray(image.dataobj, dtype=np.float32)
    both = np.concatenate([_scaled(data[box], mask[box]),
                           _scaled(template.image.data[box], template.mask[box])])  # fmt: skip
    masks = {"run": mask[box], "template": template.mask[box]}
    doubled = {name: np.concatenate([one, one]) for name, one in masks.items()}
    score = dice(mask, template.mask)
    out = pictures / f"{head}_{suffix}.png"
    title = f"{head} {suffix}, Dice {score:.3f}"
    draw(Picture(both, doubled, template.image.grid.zooms), title=title, path=out)
    return f"{out}: Dice {score:.3f}"


def _scaled(data: Float3, inside: Bool3) -> Float3:
    top = 1.2 * float(np.percentile(data[inside], 99.0))
    return np.asarray(np.clip(data / max(top, 1e-6), 0.0, 1.0), dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())
