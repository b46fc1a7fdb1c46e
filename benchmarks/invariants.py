"""Check what must hold for every mask of an OUTPUT_DIR, voxel for voxel.

``python -m benchmarks.invariants OUTPUT_DIR [--raw BIDS_DIR]``

The mask is the stored distance map cut at the border of the record; it holds 0 and 1 alone, as one
piece; mask and distance map lie on the source's grid, header fields included.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.images import load_image
from benchmarks.outputs import RAW, BenchmarkError, Result, find_results, raw_folder

_GRID_FIELDS = (
    "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each run; return 1 on any violation."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.invariants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--raw", type=Path, metavar="DIR", help=RAW)
    args = parser.parse_args(argv)
    failed = 0
    try:
        raw = raw_folder(args.output_dir, args.raw)
        results = find_results(args.output_dir)
        for result in results:
            problems = list(violations(result, result.source(raw)))
            failed += bool(problems)
            print(f"{result.name}: {'; '.join(problems) or 'holds'}")
    except BenchmarkError as error:
        print(f"benchmarks.invariants: {error}", file=sys.stderr)
        return 1
    print(f"{len(results) - failed} of {len(results)} masks hold")
    return 1 if failed else 0


def violations(result: Result, source: Path) -> Iterator[str]:
    """Say what does not hold of one run.

    Parameters
    ----------
    result : Result
        The mask.
    source : Path
        The image it was made of.
    """
    image, mask = load_image(source), load_image(result.mask)
    data = np.asanyarray(mask.dataobj)
    options = _options(result.sibling("qc.json"))
    yield from _mask_violations(data, edited=options["edited"])
    yield from _grid_violations("mask", mask, image)
    path = result.sibling("sdt.nii.gz")
    if not path.exists():
        if "sdt" in options["outputs"]:
            yield f"{path.name} is absent"
        return
    sdt = load_image(path)
    yield from _grid_violations("sdt", sdt, image)
    border_mm = options["border_mm"]
    inside = np.asanyarray(sdt.dataobj) <= border_mm
    if inside.shape != data.shape:
        yield f"sdt has shape {inside.shape}, mask {data.shape}"
    elif (wrong := int(np.count_nonzero(inside != (data != 0)))) > 0:
        yield f"mask differs from (sdt <= {border_mm:g} mm) in {wrong} voxels"


def _mask_violations(data: Any, *, edited: bool) -> Iterator[str]:
    if data.dtype != np.uint8:
        yield f"mask is {data.dtype}, not uint8"
    if not np.isin(np.unique(data), (0, 1)).all():
        yield "mask holds other values than 0 and 1"
    _, pieces = ndimage.label(data)
    if pieces != 1 and not edited:
        yield f"mask has {pieces} pieces"


def _grid_violations(name: str, ours: Any, source: Any) -> Iterator[str]:
    """Header fields of the grid that are not the source's own bits."""
    shape = source.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if ours.shape != shape:
        yield f"{name} has shape {ours.shape}, source {shape}"
    if not np.array_equal(ours.affine, source.affine):
        yield f"{name} has another affine"
    if not np.array_equal(ours.header.get_zooms()[:3], source.header.get_zooms()[:3]):
        yield f"{name} has other zooms"
    for field in _GRID_FIELDS:
        if not np.array_equal(ours.header[field], source.header[field]):
            values = f"{ours.header[field]}, source {source.header[field]}"
            yield f"{name} has another {field} ({values})"


def _options(record: Path) -> dict[str, Any]:
    """Options of a run: ``border_mm`` and ``outputs``, and whether a rater ``edited`` it."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        options = found["options"]
        return {
            "border_mm": float(options["border_mm"]),
            "outputs": list(options["outputs"]),
            "edited": bool(found["flags"].get("manual")),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{record}: no options of a run ({error!r})") from None


if __name__ == "__main__":
    sys.exit(main())
