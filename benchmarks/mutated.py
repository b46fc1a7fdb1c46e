"""What mutated NIfTI files do: a result or one line that names the file, within time and memory.

``python -m benchmarks.mutated [--files 5000] [--whole 200] [--seed 0]``

Draws a small head, writes it in many formats, changes fields of the header, bytes of the file or
its values (seeded), and takes each through ``load -> conform`` and a stand-in for the network;
then as many as ``--whole`` asks for through the command line, with the embedded network, in one
dataset. Counts results and
refusals by kind of mutation; exit 1 on a crash, a hang of over 30 s, a refusal that does not name
the file on one line, or memory beyond the bound.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import measure
from bids_strip.card import Card, find_card
from bids_strip.domain import Conformed, Prediction
from bids_strip.errors import ConformError, RunError
from bids_strip.participant.conform import conform
from bids_strip.participant.load import load

SHAPE = (36, 40, 34)
ZOOM_MM = 5.0
MOST_SECONDS = 30
MOST_MB = 1000.0
"""Beyond what the process holds before the first file: a grid of 700 mm at 2 mm takes 0.2 GB."""
TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", "c8")
EDGES = (0.0, -0.0, 1.0, -1.0, 1e-6, 1e-30, 1e6, 1e30, -1e30, np.nan, np.inf, -np.inf)

Rng = np.random.Generator
Mutation = Callable[[bytearray, Rng], bytearray]


@dataclass(frozen=True, slots=True)
class Ball:
    """Stands in for the network: a ball of 70 mm in the middle of whatever it is shown."""

    card: Card
    provider: str = "stand-in"

    def __call__(self, conformed: Conformed) -> Prediction:
        sides = [
            z * (np.arange(n, dtype=np.float32) - (n - 1) / 2)
            for n, z in zip(conformed.data.shape, conformed.zooms, strict=True)
        ]
        i, j, k = np.ix_(*sides)
        return Prediction(np.sqrt(i**2 + j**2 + k**2, dtype=np.float32) - 70)


@dataclass(frozen=True, slots=True)
class Case:
    """A file to try.

    Attributes
    ----------
    kind
        Of mutation.
    content
        Bytes of the file.
    packed
        True if it is to be called ``.nii.gz``.
    """

    kind: str
    content: bytes
    packed: bool


def head() -> NDArray[np.float32]:
    """Draw a head of spheres: scalp, skull, brain, noise in the air."""
    middle = (np.array(SHAPE) - 1) / 2
    index = np.indices(SHAPE, dtype=float)
    far = ZOOM_MM * np.sqrt(sum((a - m) ** 2 for a, m in zip(index, middle, strict=True)))
    noise = np.random.default_rng(1).uniform(1, 30, SHAPE)
    values = np.where(far < 75, 600.0, np.where(far < 80, 100.0, np.where(far < 85, 300.0, 0.0)))
    return (values + noise).astype(np.float32)


def written(rng: Rng) -> bytearray:
    """Write the head in a format drawn by chance: NIfTI-1 or 2, type, byte order, axes."""
    kind = np.dtype(TYPES[rng.integers(len(TYPES))])
    values: NDArray[np.floating[Any]] = head()
    if kind.itemsize == 1:
        values = values / 8
    affine = np.diag([ZOOM_MM, ZOOM_MM, ZOOM_MM, 1.0])[:, [*rng.permutation(3), 3]]
    affine[:3, :3] *= rng.choice([-1, 1], 3)
    affine[:3, 3] = rng.normal(0, 100, 3)
    image_type: Any = (nib.Nifti1Image, nib.Nifti2Image)[rng.integers(2)]
    image = image_type(values.astype(kind), affine, dtype=kind)
    if rng.random() < 0.2:
        image.header.set_qform(None, 0)
    if rng.random() < 0.3:
        endian = image_type.header_class(endianness=">")
        image = image_type(image.dataobj, affine, endian, dtype=kind)
    return bytearray(image.to_bytes())


def field(content: bytearray, rng: Rng) -> bytearray:
    """Set one field of the header to an edge value, or to any bytes."""
    first = bytes(content[:4]) in (b"\x5c\1\0\0", b"\0\0\1\x5c")
    layout: Any = (nib.Nifti1Header if first else nib.Nifti2Header).template_dtype
    layout = layout.newbyteorder("<" if content[0] else ">")
    name = str(rng.choice(list(layout.names)))
    kind, start = layout.fields[name][:2]
    base, count = (kind.subdtype[0], int(np.prod(kind.subdtype[1]))) if kind.subdtype else (kind, 1)
    at = start + base.itemsize * int(rng.integers(count))
    if base.kind == "f":
        new = np.array(rng.choice(EDGES), base).tobytes()
    elif base.kind in "iu" and rng.random() < 0.7:
        limits = np.iinfo(base)
        new = np.array(rng.choice([0, 1, 2, 7, limits.min, limits.max]), base).tobytes()
    else:
        new = rng.bytes(base.itemsize)
    content[at : at + base.itemsize] = new
    return content


def fields(content: bytearray, rng: Rng) -> bytearray:
    """Set several fields."""
    for _ in range(int(rng.integers(2, 6))):
        content = field(content, rng)
    return content


def noise(content: bytearray, rng: Rng) -> bytearray:
    """Overwrite bytes of the header with noise."""
    for at in rng.integers(0, 352, int(rng.integers(1, 9))):
        content[at] = int(rng.integers(256))
    return content


def values(content: bytearray, rng: Rng) -> bytearray:
    """Overwrite a stretch of the voxels: with noise, zeros, ones, or NaN of some type."""
    start = int(rng.integers(352, len(content)))
    stop = min(len(content), start + int(rng.integers(1, len(content))))
    what = int(rng.integers(4))
    length = stop - start
    edge = np.array(rng.choice(EDGES), "<f4").tobytes()
    repeated = (edge * (length // 4 + 1))[:length]
    pattern = (rng.bytes(length), bytes(length), b"\xff" * length, repeated)
    content[start:stop] = pattern[what]
    return content


def everything(content: bytearray, rng: Rng) -> bytearray:
    """Overwrite all voxels with one byte."""
    content[544:] = bytes([int(rng.integers(256))]) * (len(content) - 544)
    return content


def cut(content: bytearray, rng: Rng) -> bytearray:
    """Cut it short."""
    return content[: int(len(content) * rng.random())]


def longer(content: bytearray, rng: Rng) -> bytearray:
    """Append bytes."""
    return content + rng.bytes(int(rng.integers(1, 10_000)))


MUTATIONS: tuple[Mutation, ...] = (field, fields, noise, values, everything, cut, longer)


def cases(count: int, seed: int) -> Iterator[Case]:
    """Draw the files."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        mutation = MUTATIONS[number % len(MUTATIONS)]
        content = bytes(mutation(written(rng), rng))
        packed = bool(rng.integers(2))
        kind = mutation.__name__
        if packed:
            content = gzip.compress(content, 1, mtime=0)
            if rng.random() < 0.3:
                kind += ", then bytes of the gzip file"
                damaged = bytearray(content)
                for at in rng.integers(0, len(damaged), int(rng.integers(1, 4))):
                    damaged[at] = int(rng.integers(256))
                content = bytes(damaged)
        yield Case(kind, content, packed)


def stopped(_signal: int, _frame: object) -> None:
    """Turn the alarm into an exception."""
    raise TimeoutError


def tried(case: Case, folder: Path, card: Card) -> str:
    """Take a file through the stages: ``result``, ``refused`` or what went wrong."""
    path = folder / f"sub-x_T1w.nii{'.gz' if case.packed else ''}"
    path.write_bytes(case.content)
    signal.alarm(MOST_SECONDS)
    try:
        source = load(path)
        conformed = conform(source.volume, card)
        prediction = Ball(card)(conformed)
    except RunError as error:
        # a stage that knows no file is given its name where failures become outcomes
        named = path.name in str(error) or isinstance(error, ConformError)
        named = named and "\n" not in str(error)
        return "refused" if named else f"UNNAMED {error}"
    except TimeoutError:
        return "HANG"
    except Exception as error:  # noqa: BLE001 - what is looked for
        return f"CRASH {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        path.unlink()
    arrays = (source.volume.data, conformed.data, prediction.brain_mm)
    return "result" if all(np.isfinite(a).all() for a in arrays) else "NOT FINITE"


def stages(count: int, seed: int) -> bool:
    """Take files through the first stages; print what came of them."""
    signal.signal(signal.SIGALRM, stopped)
    card = find_card(None)
    found: dict[str, Counter[str]] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, case in enumerate(cases(count, seed)):
            begun = time.perf_counter()
            outcome = tried(case, Path(folder), card)
            slowest = max(slowest, time.perf_counter() - begun)
            found.setdefault(case.kind, Counter())[outcome] += 1
            if outcome not in ("result", "refused"):
                print(f"file {number} (seed {seed}), {case.kind}: {outcome}", file=sys.stderr)
    more_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    print("| mutation | files | result | refused | wrong |\n|---|--:|--:|--:|--:|")
    for kind, outcomes in sorted(found.items()):
        wrong = outcomes.total() - outcomes["result"] - outcomes["refused"]
        print(f"| {kind} | {outcomes.total()} | {outcomes['result']} | {outcomes['refused']} "
              f"| {wrong} |")  # fmt: skip
    total = sum(found.values(), Counter[str]())
    wrong = count - total["result"] - total["refused"]
    print(f"\n{count} files, {wrong} wrong; slowest {slowest:.1f} s, {more_mb:.0f} MB more")
    return wrong == 0 and more_mb <= MOST_MB


def whole(count: int, seed: int) -> bool:
    """Take files through the command line, one dataset; print what came of them."""
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        raw.mkdir()
        (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
        for number, case in enumerate(cases(count, seed + 1)):
            name = f"sub-{number:04d}/anat/sub-{number:04d}_T1w.nii{'.gz' if case.packed else ''}"
            (raw / name).parent.mkdir(parents=True)
            (raw / name).write_bytes(case.content)
        done = measure([sys.executable, "-m", "bids_strip", str(raw), str(out), "participant",
                        "--outputs", "mask"])  # fmt: skip
        records = [json.loads(p.read_text()) for p in out.rglob("*_qc.json")]
    failed = [r for r in records if r["status"] == "failed"]
    unnamed = [r for r in failed if r["bids_name"] not in r["reason"]]
    internal = [r for r in failed if "internal error" in r["reason"]]
    print(f"\nby the command line: {count} files, {len(records)} records, {len(failed)} failed, "
          f"{len(unnamed)} without the file's name, {len(internal)} internal errors; exit "
          f"{done.code}, {done.elapsed_s:.0f} s")  # fmt: skip
    for record in (*unnamed, *internal):
        print(f"  {record['reason']}", file=sys.stderr)
    return len(records) == count and not unnamed and not internal and "Traceback" not in done.output


def main(argv: Sequence[str] | None = None) -> int:
    """Run both; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.mutated",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--whole", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    right = [stages(args.files, args.seed)]
    if args.whole:
        right.append(whole(args.whole, args.seed))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
