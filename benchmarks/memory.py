"""Peak memory of a run by its voxels, and the model of it that `bids_strip.machine.memory` holds.

``python -m benchmarks.memory [--json FILE] [--only NAME ...] [--again FILE]``

Draws heads (3 to .7 mm; another field of view; other types of voxel), strips each in a process of
its own with the embedded network, and fits a model to the peaks by least squares: MB a megavoxel of
the image, of the network's grid, of the templates. It prints the models as they stand in
`bids_strip.machine.memory`; exit code 1 if a measured peak lies beyond what the model there says
now by more than its margin.

With `--space NAME:res-1` (TEMPLATEFLOW_HOME) a template space is measured too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.outputs import BenchmarkError
from benchmarks.processes import measure
from benchmarks.tables import Cell, text_table

if TYPE_CHECKING:
    from bids_strip.machine.memory import MemoryModel

_ZOOMS = (3.0, 2.0, 1.0, 0.8, 0.7)
_SPACE_ZOOMS = (2.0, 1.0, 0.7)
_FIELD_MM = (192, 256, 240)
_WIDE_MM = (256, 256, 256)
_HUGE_MM = (448, 448, 448)
"""Mostly air: what the network's own grid takes."""
_LIT_AIR = 0.15
"""Noise, white matter 1, by which `conform` sees no dark air: it cuts nothing off."""
_OPTIONS: dict[str, tuple[str, ...]] = {
    "mask": ("--outputs", "mask"),
    "all": (),
    "space": ("--output-spaces",),
    "probseg": ("--outputs", "mask", "sdt", "brain", "preproc", "dseg", "probseg"),
    "identity": ("--identity-check",),
}
_SEED = 7


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement.

    Attributes
    ----------
    head
        Name of the drawn head's dataset.
    zoom_mm, field_mm, dtype
        Of the head.
    options
        Key of the options.
    megavoxels
        Of the image.
    conformed_megavoxels
        Of the network's grid.
    content_mb
        Of the image's voxels as stored, unpacked.
    peak_mb
        The largest resident memory of the process; 0 before it is measured.
    template_megavoxels
        Of the template space.
    noise
        Of the head, white matter 1; 0 for what is drawn.
    """

    head: str
    zoom_mm: float
    field_mm: tuple[int, int, int]
    dtype: str
    options: str
    megavoxels: float = 0.0
    conformed_megavoxels: float = 0.0
    content_mb: float = 0.0
    peak_mb: float = 0.0
    template_megavoxels: float = 0.0
    noise: float = 0.0


def cases(*, space: bool) -> Iterator[Case]:
    """What is measured."""
    for options in ("mask", "all", *(("space",) if space else ())):
        for zoom in _ZOOMS if options != "space" else _SPACE_ZOOMS:
            yield Case(f"{zoom:g}", zoom, _FIELD_MM, "int16", options)
    for options in ("mask", "all"):
        yield Case("1wide", 1.0, _WIDE_MM, "int16", options)
        yield Case("1double", 1.0, _FIELD_MM, "float64", options)
    yield Case("2huge", 2.0, _HUGE_MM, "int16", "mask", noise=_LIT_AIR)
    yield Case("1", 1.0, _FIELD_MM, "int16", "probseg")
    yield Case("1", 1.0, _FIELD_MM, "int16", "identity")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and the model; return 1 if the model at hand does not hold."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep what was measured")
    parser.add_argument("--again", type=Path, metavar="FILE", help="fit what was kept")
    parser.add_argument("--only", nargs="+", metavar="OPTIONS", choices=_OPTIONS)
    parser.add_argument("--space", metavar="NAME:res-1", help="a template space")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--draw", nargs=7, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.draw:
        print(json.dumps(draw(*args.draw)))
        return 0
    try:
        found = kept(args.again) if args.again else measured(args)
    except BenchmarkError as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps([asdict(c) for c in found], indent=1) + "\n", "utf-8")
    return judged(found)


def kept(path: Path) -> list[Case]:
    """What an earlier call measured."""
    return [Case(**{**c, "field_mm": tuple(c["field_mm"])}) for c in json.loads(path.read_text())]


def measured(args: argparse.Namespace) -> list[Case]:
    """Draw and strip.

    Raises
    ------
    BenchmarkError
        If a run fails.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(space=bool(args.space)):
            if args.only and case.options not in args.only:
                continue
            found.append(_peak(case, Path(folder), args.space, args.threads))
            print(f"{_name(found[-1])}: {found[-1].peak_mb:.0f} MB", file=sys.stderr)
    return found


def _peak(case: Case, folder: Path, space: str | None, threads: int) -> Case:
    raw, out = folder / case.head, folder / f"{case.head}-{case.options}"
    sizes = raw / "sizes.json"
    if not raw.exists():
        # in a process of its own: what this one holds would count as the run's peak
        words = [case.zoom_mm, *case.field_mm, case.dtype, case.noise, raw]
        command = [sys.executable, "-m", "benchmarks.memory", "--draw", *map(str, words)]
        sizes_text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sizes.write_text(sizes_text, encoding="utf-8")
    options = [*_OPTIONS[case.options], *([space] if case.options == "space" and space else [])]
    run = measure([sys.executable, "-m", "bids_strip", str(raw), str(out), "participant",
                   "--nprocs", "1", "--omp-nthreads", str(threads), "--device", "cpu",
                   "--mem-gb", "1000", *options])  # fmt: skip
    if run.code != 0:
        raise BenchmarkError(f"{_name(case)}: {run.output.strip().splitlines()[-1]}")
    known = json.loads(sizes.read_text(encoding="utf-8"))
    known["peak_mb"] = round(run.peak_process_mb, 1)
    if case.options == "space":
        known["template_megavoxels"] = _template_megavoxels(str(space))
    return Case(**{**asdict(case), **known})


def _template_megavoxels(space: str) -> float:
    """Of a template."""
    from bids_strip.machine.memory import head_size
    from bids_strip.templates import find_templates

    (files,) = find_templates([space], offline=True)
    size = head_size(files.image)
    return size.megavoxels if size else 0.0


def draw(zoom: str, i: str, j: str, k: str, dtype: str, noise: str, out: str) -> dict[str, float]:
    """Write a dataset of one drawn head; its sizes."""
    from dataclasses import replace

    import nibabel as nib
    import numpy as np

    from bids_strip.card import find_card
    from bids_strip.domain import Grid, Volume
    from bids_strip.example.anatomy import draw_anatomy
    from bids_strip.example.heads import draw_head, take_scan
    from bids_strip.participant.conform import frame_of

    size = float(zoom)
    shape = (round(int(i) / size), round(int(j) / size), round(int(k) / size))
    drawn = draw_head(np.random.default_rng(_SEED))
    figure = draw_anatomy(drawn.anatomy, drawn.means)
    scan = replace(drawn.scan, shape=shape, zooms=(size, size, size), axcodes="RAS",
                   oblique_deg=(0.0, 0.0, 0.0), noise=float(noise) or drawn.scan.noise)  # fmt: skip
    head = take_scan(figure, scan)
    top = 250 if dtype == "uint8" else 1000
    data = np.clip(head.image * top / 2, 0, top).astype(dtype)
    folder = Path(out) / "sub-01" / "anat"
    folder.mkdir(parents=True)
    (Path(out) / "dataset_description.json").write_text(
        json.dumps({"Name": "memory", "BIDSVersion": "1.11.1"}), encoding="utf-8"
    )
    nib.save(nib.Nifti1Image(data, head.affine), folder / "sub-01_T1w.nii.gz")
    volume = Volume(np.zeros((1, 1, 1), np.float32), Grid(data.shape, head.affine))
    _, conformed = frame_of(volume, find_card(None))
    return {"megavoxels": data.size / 1e6, "content_mb": data.nbytes / 1e6,
            "conformed_megavoxels": float(np.prod(conformed)) / 1e6}  # fmt: skip


def _name(case: Case) -> str:
    field = "x".join(map(str, case.field_mm))
    return f"{case.zoom_mm:g} mm, {field} mm, {case.dtype}, {case.options}"


def judged(found: Sequence[Case]) -> int:
    """Print what was measured beside the model at hand, and the models fitted anew."""
    from bids_strip.machine.memory import MARGIN, MODELS

    fitted = {kind: fit([c for c in found if kind_of(c) == kind]) for kind in MODELS}
    fitted["all"] = with_templates(fitted["all"], [c for c in found if c.options == "space"])
    rows: list[list[Cell]] = [
        [_name(c), c.megavoxels, c.peak_mb, predicted(MODELS[kind_of(c)], c),
         predicted(fitted[kind_of(c)], c)]
        for c in found
    ]  # fmt: skip
    print(text_table(["run", "megavoxels", "peak MB", "the model", "fitted anew"], rows))
    worst = max(c.peak_mb / predicted(MODELS[kind_of(c)], c) for c in found)
    anew = max(c.peak_mb / predicted(fitted[kind_of(c)], c) for c in found)
    for kind, model in fitted.items():
        print(f'"{kind}": {model},')
    print(f"largest peak over the model's: {worst:.3f} (margin {MARGIN}); fitted anew {anew:.3f}")
    return int(worst > MARGIN)


def kind_of(case: Case) -> str:
    """Which model a case is of."""
    return "mask" if case.options == "mask" else "all"


def fit(found: Sequence[Case]) -> MemoryModel:
    """The model of cases without templates: least squares, no term below 0."""
    import numpy as np
    from scipy.optimize import nnls

    from bids_strip.machine.memory import MemoryModel

    plain = [c for c in found if c.options != "space"]
    terms = [[1.0, c.megavoxels, c.content_mb - 2 * c.megavoxels, c.conformed_megavoxels]
             for c in plain]  # fmt: skip
    weights, _ = nnls(np.array(terms), np.array([c.peak_mb for c in plain]))
    return MemoryModel(*(round(float(w), 1) for w in weights))


def with_templates(model: MemoryModel, found: Sequence[Case]) -> MemoryModel:
    """The same, with what templates add at most."""
    from dataclasses import replace

    over = [(c.peak_mb - predicted(model, c)) / c.template_megavoxels for c in found]
    return replace(model, template_mb=round(max(over, default=0.0), 1))


def predicted(model: MemoryModel, case: Case) -> float:
    """The peak that a model gives a case, MB, without a margin."""
    return (
        model.base_mb
        + model.image_mb * case.megavoxels
        + model.stored_mb * max(0.0, case.content_mb - 2 * case.megavoxels)
        + model.grid_mb * case.conformed_megavoxels
        + model.template_mb * case.template_megavoxels
    )


if __name__ == "__main__":
    sys.exit(main())
