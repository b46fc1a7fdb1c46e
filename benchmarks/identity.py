"""Whether the identity check tells whose brain is whose, and what it costs.

``python -m benchmarks.identity pairs OUT ...``: similarities of all pairs in each OUTPUT_DIR, of
one participant and of two, and what is found; writes nothing there. Exit 1 if anything is found:
for datasets whose labels are right.

``python -m benchmarks.identity planted BIDS_DIR``: of two participants a second scan is made
(moved, resampled, another scale and contrast, a bias field, noise) and put under each other's
label, of a third under a new one; the App runs. Exit 1 if the swap or the duplicate is not named,
or another run is.

``python -m benchmarks.identity scale --runs 2000``: seconds and memory of comparing made-up
descriptors among which a swap and a duplicate are planted. Exit 1 if these are not found alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.outputs import BenchmarkError
from benchmarks.processes import measure
from benchmarks.tables import text_table
from bids_strip.group.identity import describe_stored, stored_files
from bids_strip.identity.brain import points
from bids_strip.identity.findings import compare, read_limits
from bids_strip.identity.likeness import similarities
from bids_strip.record import Record, read_record
from bids_strip.registration.reference import load_reference

SECONDS, MEMORY_MB = 60.0, 2000.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three; return 1 if it does not hold."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.identity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pairs")
    one.add_argument("out", type=Path, nargs="+")
    two = commands.add_parser("planted")
    two.add_argument("bids_dir", type=Path)
    three = commands.add_parser("scale")
    three.add_argument("--runs", type=int, default=2000)
    args = parser.parse_args(argv)
    try:
        if args.command == "pairs":
            return int(sum(not pairs(out) for out in args.out) > 0)
        holds = planted(args.bids_dir) if args.command == "planted" else scale(args.runs)
        return int(not holds)
    except BenchmarkError as error:
        print(f"benchmarks.identity: {error}", file=sys.stderr)
        return 1


# pairs ---------------------------------------------------------------------------------------


def pairs(out: Path) -> bool:
    """Print the similarities within one OUTPUT_DIR; True if nothing is found."""
    records = [r for p in sorted(out.rglob("*_qc.json")) if (r := read_record(p)) is not None]
    if not records:
        raise BenchmarkError(f"{out}: no results here; run the participant level first")
    sound = True
    rows: list[tuple[str | int | float | None, ...]] = []
    for suffix in sorted({record.suffix for record in records}):
        of_kind = [record for record in records if record.suffix == suffix]
        rows.append((f"{out.name} {suffix}", *_compared(of_kind, out)))
        sound &= rows[-1][-1] == 0
    head = ("dataset", "runs", "one person: pairs", "least", "two people: pairs", "mean", "most",
            "findings")  # fmt: skip
    print(text_table(head, rows))
    return sound


def _compared(records: Sequence[Record], out: Path) -> tuple[int | float | None, ...]:
    stored = [(r, describe_stored(f, out)) for r in records if (f := stored_files(r))]
    known = [(record, found) for record, found in stored if found is not None]
    people = [record.entities["sub"] for record, _ in known]
    inputs = [record.input.sha256 if record.input else "" for record, _ in known]
    similarity = similarities(np.stack([found for _, found in known]), people, load_reference())
    above = np.triu(np.ones_like(similarity, dtype=bool), 1)
    same = np.array([[a == b for b in people] for a in people])
    one, two = similarity[above & same], similarity[above & ~same]
    found = compare(similarity, people, inputs, read_limits())
    return (
        len(known), one.size, float(one.min()) if one.size else None,
        two.size, float(two.mean()) if two.size else None,
        float(two.max()) if two.size else None,
        sum(bool(one.findings) for one in found),
    )  # fmt: skip


# planted -------------------------------------------------------------------------------------


def planted(bids_dir: Path) -> bool:
    """Plant a swap and a duplicate, run the App; True if these are named and nothing else."""
    firsts = sorted(bids_dir.glob("sub-*/ses-*/anat/*_T1w.nii.gz"))
    heads = {path.name.split("_")[0]: path for path in reversed(firsts)}
    if len(heads) < 3:
        raise BenchmarkError(f"{bids_dir}: needs T1w runs of three participants with sessions")
    one, other, third = list(heads)[:3][::-1]
    expected = dict.fromkeys(
        [
            *_runs(bids_dir, one),
            *_runs(bids_dir, other),
            f"{one}_ses-swapped_T1w",
            f"{other}_ses-swapped_T1w",
        ],
        "likely_swap",
    )
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        raw.mkdir()
        shutil.copy(bids_dir / "dataset_description.json", raw)
        for path in firsts:
            _place(raw, path.name).write_bytes(path.read_bytes())
        rescan(heads[other], _place(raw, f"{one}_ses-swapped_T1w.nii.gz"), seed=1)
        rescan(heads[one], _place(raw, f"{other}_ses-swapped_T1w.nii.gz"), seed=2)
        rescan(heads[third], _place(raw, "sub-again_ses-1_T1w.nii.gz"), seed=3)
        for level in ("participant", "group"):
            done = measure([sys.executable, "-m", "bids_strip", str(raw), str(out), level,
                            "--identity-check"])  # fmt: skip
            if done.code != 0:
                raise BenchmarkError(done.output.strip().splitlines()[-1])
        with (out / "group_identity.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        cost = [_seconds(path) for path in sorted(out.rglob("*_qc.json"))]
    columns = ("bids_name", "finding", "partner", "own_similarity", "other_similarity")
    print(text_table(columns, [[row[name] for name in columns] for row in rows]))
    print(f"stage identity: {np.median(cost):.2f} s a head in the median")
    copies = {"sub-again_ses-1_T1w", *_runs(bids_dir, third)}
    expected |= dict.fromkeys(copies, "looks_like_one")
    return {row["bids_name"]: row["finding"] for row in rows if row["finding"] != "n/a"} == expected


def rescan(source: Path, target: Path, *, seed: int) -> None:
    """Write a head as another scanner might have seen it on another day."""
    image = nib.Nifti1Image.from_filename(source)
    data = np.asarray(image.dataobj, dtype=np.float32).squeeze()
    rng = np.random.default_rng(seed)
    turn, zoom = _turn(rng.uniform(-8, 8, 3)), rng.uniform(0.95, 1.15)
    own = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))
    shape = tuple(int(np.ceil(n * z / zoom)) for n, z in zip(data.shape, own, strict=True))
    to_source = np.diag(zoom / own) @ turn  # voxels of the new grid -> of the old one, about both
    middle = (np.array(data.shape) - 1) / 2 + rng.uniform(-5, 5, 3)
    offset = middle - to_source @ ((np.array(shape) - 1) / 2)
    seen = ndimage.affine_transform(data, to_source, offset, shape, order=1)
    far = [np.linspace(-1, 1, n) for n in shape]
    bias = np.exp(
        0.25 * np.cos(2 * far[0])[:, None, None] * far[1][:, None] * far[2] + 0.15 * far[2]
    )
    top = float(np.percentile(seen, 99.5))
    seen = 350 * np.clip(seen / top, 0, 2) ** 0.85 * bias
    seen += rng.normal(0, 8, shape)
    affine = np.eye(4)
    affine[:3, :3] = image.affine[:3, :3] / own * zoom
    affine[:3, 3] = rng.uniform(-150, 150, 3)
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.clip(np.rint(seen), 0, None).astype(np.int16), affine), target)


def _turn(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn about each axis."""
    total = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[one, other], [one, other]] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        total = turn @ total
    return total


def _runs(bids_dir: Path, participant: str) -> list[str]:
    """Names of a participant's own runs."""
    found = bids_dir.glob(f"{participant}/ses-*/anat/*_T1w.nii.gz")
    return sorted(path.name.split(".")[0] for path in found)


def _place(root: Path, name: str) -> Path:
    """Where a file of this name belongs."""
    sub, ses = name.split("_")[:2]
    path = root / sub / ses / "anat" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _seconds(record: Path) -> float:
    return float(json.loads(record.read_text(encoding="utf-8"))["stage_seconds"]["identity"])


# scale ---------------------------------------------------------------------------------------


def scale(runs: int) -> bool:
    """Compare made-up descriptors; True if the planted faults alone are found, within bounds."""
    reference = load_reference()
    size = int(np.count_nonzero(points(reference)))
    rng = np.random.default_rng(7)
    owner = np.arange(runs) // 2
    owner[[1, 3]] = owner[[3, 1]]  # a swap of participants 0 and 1
    owner[10] = owner[20]  # participant 5 was scanned as 10, too
    stack = np.empty((runs, size), np.int8)
    for run, whose in enumerate(owner):
        own = np.random.default_rng((7, int(whose))).normal(0, 30, size)
        stack[run] = np.clip(own + rng.normal(0, 15, size), -127, 127)
    people = [f"{run // 2:05d}" for run in range(runs)]
    begun = time.perf_counter()
    found = compare(similarities(stack, people, reference), people, [""] * runs, read_limits())
    seconds = time.perf_counter() - begun
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    told = {run: one.findings for run, one in enumerate(found) if one.findings}
    print(f"{runs} runs of {size} values: {seconds:.1f} s, {memory_mb:.0f} MB at most")
    print(told)
    expected = {
        **dict.fromkeys(range(4), ("likely_swap",)),
        10: ("looks_like_one", "looks_like_two"), 11: ("looks_like_two",),
        20: ("looks_like_one",), 21: ("looks_like_one",),
    }  # fmt: skip
    return told == expected and seconds < SECONDS and memory_mb < MEMORY_MB


if __name__ == "__main__":
    sys.exit(main())
