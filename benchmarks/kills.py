"""The fault harness: calls that are killed, a disk that is full, ten programs at once.

``python -m benchmarks.kills [--kills 200] [--programs 10] [--full] [--real 20 --data BIDS_DIR]``

Draws small heads and a network that calls what is bright the brain, and starts the command line on
them. Calls are killed (SIGKILL) at uniformly random moments of the time that a whole call takes;
they are forks of a process that has all libraries imported, or new interpreters (``--start``). They
begin where the one before was killed, every other series by making another border of finished
runs. ``--full`` (root, Linux) mounts a small tmpfs and fills it. ``--real`` kills calls of the
embedded network on three heads of a dataset, masks only.

After each: every file under a final name is whole (images unpack to the length their headers give,
JSON parses, pictures and pages end), every record that says ok names files of the right size whose
mask has the volume that it says and is ``sdt <= border``, what was finished before is there
unchanged, no run is recorded as a failure. At the end of each series a call is let finish: it exits
with 0 and all is done. Exit 1 otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks.tables import Cell, text_table

SHAPE = (24, 26, 22)
ZOOM_MM = 7.0
SUBJECTS = 4
CALL_S = 600


class Fork:
    """A call in a fork of this process, with the part of `subprocess.Popen` that is used here."""

    def __init__(self, arguments: Sequence[str]) -> None:
        from bids_strip.cli import main as command

        self.returncode: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            os._exit(command(arguments))

    def communicate(self, timeout: float = CALL_S) -> tuple[str, str]:
        """Wait for the end; its words are not kept."""
        until = time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                raise subprocess.TimeoutExpired("fork", timeout)
            else:
                time.sleep(min(0.002, timeout))
        return "", ""

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self._pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Program:
    """The command line on a dataset.

    Attributes
    ----------
    raw
        BIDS_DIR.
    options
        Of every call.
    runs
        How many runs there are.
    forked
        True to start calls as forks of this process, which has everything imported.
    """

    raw: Path
    options: tuple[str, ...]
    runs: int
    forked: bool = False

    def begin(self, out: Path, *options: str) -> subprocess.Popen[str] | Fork:
        """Start a call that may be killed."""
        if self.forked:
            return Fork([str(self.raw), str(out), "participant", *self.options, *options])
        return self.start(out, *options)

    def start(self, out: Path, *options: str) -> subprocess.Popen[str]:
        """Start a call."""
        command = [sys.executable, "-m", "bids_strip", str(self.raw), str(out), "participant",
                   *self.options, *options]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True)  # fmt: skip

    def finish(self, out: Path, *options: str) -> tuple[int, str]:
        """Exit code and last line of a call that is let finish."""
        process = self.start(out, *options)
        _, said = process.communicate(timeout=CALL_S)
        return process.returncode, (said.strip().splitlines() or [""])[-1]


@dataclass(slots=True)
class Tally:
    """What was counted, and what was wrong.

    Attributes
    ----------
    counts
        Calls, kills, runs by what became of them.
    wrong
        A line each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def expect(self, right: bool, line: str) -> None:
        """Note what is wrong."""
        if not right:
            self.wrong.append(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; return 1 if anything was torn, lost or left undone."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--programs", type=int, default=10, metavar="N")
    parser.add_argument("--full", action="store_true", help="fill a tmpfs; wants root")
    parser.add_argument("--real", type=int, default=0, metavar="N")
    parser.add_argument("--data", type=Path, metavar="BIDS_DIR")
    parser.add_argument("--start", action="store_true",
                        help="start every call as a new interpreter, not as a fork")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.real and args.data is None:
        parser.error("--real wants --data BIDS_DIR")
    rng = random.Random(args.seed)  # noqa: S311 - moments, no secrets
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = drawn_program(folder / "drawn", subjects=SUBJECTS)
        if args.kills:
            # masks alone: pictures would take most of the time
            forked = replace(small, options=(*small.options, "--outputs", "mask"),
                             forked=not args.start)  # fmt: skip
            if forked.forked:
                _import_all()
            found["kills, small heads"] = killed(forked, folder / "kills", args.kills, rng)
        if args.programs:
            found[f"{args.programs} programs at once"] = together(
                small, folder / "together", args.programs
            )
        if args.full:
            found["a full disk"] = full(small, folder / "disk")
        if args.real:
            real = real_program(args.data)
            found["kills, embedded network"] = killed(real, folder / "real", args.real, rng)
    rows: list[list[Cell]] = [
        [what, n, tally] for tally, one in found.items() for what, n in one.counts.items()
    ]
    print(text_table(["count", "n", "of"], rows))
    for line in (line for one in found.values() for line in one.wrong):
        print(f"WRONG: {line}")
    if args.json:
        as_json = {key: {**one.counts, "wrong": one.wrong} for key, one in found.items()}
        args.json.write_text(json.dumps(as_json, indent=2) + "\n", encoding="utf-8")
    return 1 if any(one.wrong for one in found.values()) else 0


def killed(program: Program, folder: Path, kills: int, rng: random.Random) -> Tally:
    """Kill calls at random moments; series of new runs and of redone ones take turns."""
    tally = Tally()
    ready, out = folder / "ready", folder / "out"
    _whole(program, ready, tally)  # reads the libraries from the disk
    whole_s = _seconds_of_all(program, folder / "timed", tally)
    shortest_s = longest_s = whole_s
    series = 0
    while tally.counts["kills"] < kills and not tally.wrong:
        shutil.rmtree(out, ignore_errors=True)
        redo = series % 2 == 1
        if redo:
            shutil.copytree(ready, out)
        options = ("--border", "2") if redo else ()
        while tally.counts["kills"] < kills:
            before = finished(out)
            ended_s = _kill_once(program, out, rng.uniform(0, whole_s), options, tally)
            tally.wrong += torn(out)
            tally.wrong += _lost(before, out, redo=redo, tally=tally)
            if ended_s is not None and len(before) in (0, program.runs):
                whole_s = ended_s  # the machine is quicker or slower now
                shortest_s, longest_s = min(shortest_s, whole_s), max(longest_s, whole_s)
            if ended_s is not None or tally.wrong:
                break
        _whole(program, out, tally, *options)
        series += 1
        print(f"{series} series, {tally.counts['kills']} kills", file=sys.stderr)
    tally.counts["series"] = series
    tally.counts["ms of a whole call, least"] = round(1000 * shortest_s)
    tally.counts["ms of a whole call, most"] = round(1000 * longest_s)
    return tally


def _import_all() -> None:
    """What a call imports, so that forks have it."""
    import tqdm  # noqa: F401

    import bids_strip.execution.local
    import bids_strip.manifest  # noqa: F401


def _seconds_of_all(program: Program, out: Path, tally: Tally) -> float:
    """Seconds of a call that does every run."""
    begun = time.perf_counter()
    process = program.begin(out)
    process.communicate(timeout=CALL_S)
    tally.expect(process.returncode == 0, f"a call ended with {process.returncode}")
    return time.perf_counter() - begun


def _kill_once(
    program: Program, out: Path, after_s: float, options: Sequence[str], tally: Tally
) -> float | None:
    """Start a call and kill it; its seconds if it had ended before."""
    begun = time.perf_counter()
    process = program.begin(out, *options)
    try:
        _, said = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        tally.counts["kills"] += 1
        return None
    tally.counts["calls that ended before their kill"] += 1
    tally.expect(process.returncode == 0, f"a call ended with {process.returncode}: {said[-300:]}")
    return time.perf_counter() - begun


def _whole(program: Program, out: Path, tally: Tally, *options: str) -> None:
    """Let a call finish: all is done then."""
    process = program.begin(out, *options)
    _, said = process.communicate(timeout=CALL_S)
    code = process.returncode
    tally.counts["calls that were let finish"] += 1
    tally.expect(code == 0, f"the call after the kills ended with {code}: {said}")
    done = len(finished(out))
    tally.expect(done == program.runs, f"{done} of {program.runs} runs are done at the end")
    tally.wrong += torn(out)


def _lost(
    before: Mapping[str, Mapping[str, str]], out: Path, *, redo: bool, tally: Tally
) -> Iterator[str]:
    """Finished runs that are not there any more, or are others without having been redone."""
    after = finished(out)
    for record, files in before.items():
        if after.get(record) == files:
            tally.counts["finished runs that were kept"] += 1
        elif record in after and redo:
            tally.counts["finished runs that were replaced by others"] += 1
        elif redo:
            tally.counts["redone runs killed between the old record and the new"] += 1
        else:
            yield f"{record}: was finished, is not"
    tally.counts["runs finished by calls that were killed"] += len(after.keys() - before.keys())


def together(program: Program, out: Path, programs: int) -> Tally:
    """Start programs at once on one folder, half of them with another border."""
    tally = Tally()
    started = [program.start(out, "--border", "2" if n % 2 else "0") for n in range(programs)]
    for process in started:
        _, said = process.communicate(timeout=CALL_S)
        tally.expect(
            process.returncode == 0, f"one of many ended with {process.returncode}: {said}"
        )
        tally.counts["calls"] += 1
    tally.wrong += torn(out)
    done = len(finished(out))
    tally.counts["runs done"] = done
    tally.expect(done == program.runs, f"{done} of {program.runs} runs are done by many")
    tally.expect(not (out / ".work").exists(), "many programs left .work behind")
    _whole(program, out, tally)
    return tally


def full(program: Program, disk: Path) -> Tally:
    """Fill a disk: it takes about half of the runs; then make it larger, then full again."""
    tally = Tally()
    bytes_whole = _bytes_of_all(program, disk.with_name("elsewhere"))
    with _tmpfs(disk, bytes_whole // 2) as resize:
        out = disk / "out"
        code, said = program.finish(out)
        tally.expect(code in (1, 74), f"a full disk ends with {code}: {said}")
        before = finished(out)
        tally.counts["runs that fitted on the disk"] = len(before)
        tally.expect(0 < len(before) < program.runs, f"{len(before)} runs fitted")
        tally.wrong += torn(out)
        resize(bytes_whole * 3)
        _whole(program, out, tally)
        after = finished(out)
        kept = sum(after.get(record) == files for record, files in before.items())
        tally.counts["of them kept by the next start"] = kept
        tally.expect(kept == len(before), f"{kept} of {len(before)} kept")
        resize(shutil.disk_usage(disk).used + 4096)
        code, said = program.finish(out, "--border", "2")
        tally.expect(code in (1, 74), f"redoing on a full disk ends with {code}: {said}")
        tally.wrong += torn(out)
        left = finished(out)
        tally.counts["runs left by a redo on a full disk"] = len(left)
        tally.expect(len(left) == program.runs, f"{len(left)} runs left by a redo on a full disk")
    return tally


def _bytes_of_all(program: Program, out: Path) -> int:
    """What a finished dataset takes, in whole pages."""
    program.finish(out)
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in out.rglob("*") if p.is_file())


@contextmanager
def _tmpfs(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """Mount a small file system; gives a function that changes its size, bytes."""

    def resize(wanted: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={wanted}", str(folder)], check=True)

    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "bids_strip", str(folder)],
                   check=True)  # fmt: skip
    try:
        yield resize
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def finished(out: Path) -> dict[str, dict[str, str]]:
    """By record that says ok: digest of it and of every file that it names."""
    found: dict[str, dict[str, str]] = {}
    for path in out.glob("sub-*/**/*_qc.json"):
        record = json.loads(path.read_bytes())
        if record["status"] != "ok":
            continue
        names = [path.relative_to(out).as_posix(), *(o["name"] for o in record["outputs"])]
        found[names[0]] = {name: _digest(out / name) for name in names}
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def torn(out: Path) -> Iterator[str]:
    """What is not whole under a final name, or does not agree with its record."""
    for path in out.rglob("*"):
        name = path.relative_to(out)
        if path.is_file() and name.parts[0] != ".work" and not _passing(path):
            reason = _damage(path)
            if reason:
                yield f"{name}: {reason}"
    for path in out.glob("sub-*/**/*_qc.json"):
        record = json.loads(path.read_bytes())
        try:
            yield from (f"{path.name}: {reason}" for reason in _untrue(out, record))
        except (OSError, EOFError, ValueError) as error:
            yield f"{path.name}: names a file that cannot be read ({error})"


def _passing(path: Path) -> bool:
    """True for what grows while a call works."""
    return path.name.endswith((".log", ".partial.tsv"))


def _damage(path: Path) -> str:
    """What is wrong with a file by its own kind, "" if it is whole."""
    content = path.read_bytes()
    try:
        if path.name.endswith(".nii.gz"):
            data = gzip.decompress(content)
            header = nib.Nifti1Header.from_fileobj(io.BytesIO(data))
            bits = int(header["bitpix"])
            wanted = int(header["vox_offset"]) + int(np.prod(header.get_data_shape())) * bits // 8
            return "" if len(data) == wanted else f"{len(data)} bytes, not {wanted}"
        if path.suffix == ".json":
            json.loads(content)
            return ""
    except (OSError, EOFError, ValueError) as error:
        return str(error)
    ends = {".html": b"</html>", ".svg": b"</svg>"}
    if path.suffix in ends and not content.rstrip().endswith(ends[path.suffix]):
        return "cut short"
    if path.suffix == ".webp" and int.from_bytes(content[4:8], "little") + 8 != len(content):
        return "cut short"
    return "" if content.endswith(b"\n") or path.suffix in (*ends, ".webp") else "no end of line"


def _untrue(out: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """What a record says that is not so."""
    if record["status"] != "ok":
        if not any(word in record["reason"] for word in ("No space left", "disk full")):
            yield f"recorded as failed: {record['reason']}"
        return
    for output in record["outputs"]:
        path = out / output["name"]
        if not path.is_file() or path.stat().st_size != output["size"]:
            yield f"{output['name']} is not what the record says"
    name = next(o["name"] for o in record["outputs"] if o["name"].endswith("_mask.nii.gz"))
    image = nib.Nifti1Image.from_filename(out / name)
    zooms = np.abs(np.linalg.det(np.asarray(image.affine)[:3, :3]))
    volume_ml = np.count_nonzero(np.asarray(image.dataobj)) * zooms / 1000
    if abs(volume_ml - record["metrics"]["brain_volume_ml"]) > 1e-3:
        yield "the mask is not the one that the record's volume is of"
    by_kind = {o["name"].removesuffix(".nii.gz").rpartition("_")[2]: out / o["name"]
               for o in record["outputs"] if o["name"].endswith(".nii.gz")}  # fmt: skip
    if {"mask", "sdt"} <= by_kind.keys():
        mask, sdt = (np.asarray(nib.Nifti1Image.from_filename(by_kind[kind]).dataobj)
                     for kind in ("mask", "sdt"))  # fmt: skip
        if not np.array_equal(mask > 0, sdt <= record["options"]["border_mm"]):
            yield "the mask is of another border than the record"


def drawn_program(folder: Path, *, subjects: int) -> Program:
    """The command line on small drawn heads, with a network that calls what is bright the brain."""
    raw = folder / "raw"
    for number in range(1, subjects + 1):
        path = raw / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(_head(number), path)
    described = {"Name": "drawn", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (raw / "dataset_description.json").write_text(json.dumps(described), encoding="utf-8")
    network = _network(folder / "bright.onnx")
    options = ("--model", str(network), "--device", "cpu", "--nprocs", "1", "--omp-nthreads", "1",
               "--outputs", "mask", "sdt")  # fmt: skip
    return Program(raw, options, subjects)


def real_program(data: Path) -> Program:
    """The command line on three heads of a dataset, masks only."""
    labels = sorted(path.name for path in data.glob("sub-*") if any(path.glob("**/*_T1w.nii*")))
    runs = sum(len([*(data / label).glob("**/anat/*_T1w.nii*")]) for label in labels[:3])
    return Program(data, ("--outputs", "mask", "--participant-label", *labels[:3]), runs)


def _head(seed: int) -> nib.Nifti1Image:
    """Brain, skull, scalp, noise in the air: balls."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    deep = np.linalg.norm(index - (np.array(SHAPE) - 1) / 2, axis=-1) * ZOOM_MM
    rng = np.random.default_rng(seed)
    data = np.select([deep < 52, deep < 60, deep < 68], [1000, 150, 300], 0)
    data = data + rng.uniform(1, 30, SHAPE)
    image = nib.Nifti1Image(data.astype(np.int16), np.diag([ZOOM_MM] * 3 + [1.0]))
    image.header.set_xyzt_units("mm", "sec")
    return image


def _network(path: Path) -> Path:
    """Write a network ``10 * (.6 - image)`` and its card."""
    free: list[str | int | None] = [1, 1, "i", "j", "k"]
    graph = helper.make_graph(
        [helper.make_node("Sub", ["middle", "image"], ["level"]),
         helper.make_node("Mul", ["level", "gain"], ["sdt"])],
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("sdt", TensorProto.FLOAT, free)],
        [numpy_helper.from_array(np.array(value, np.float32), key)
         for key, value in (("middle", 0.6), ("gain", 10.0))],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    card = {
        "name": path.stem,
        "version": "1",
        "sha256": _digest(path),
        "input": {"zooms_mm": [ZOOM_MM] * 3, "multiple": 2, "axis_codes": "RAS",
                  "intensity": {"percentiles": [1.0, 99.0], "clip": [0.0, 1.3]}},
        "outputs": [{"name": "sdt", "channel": 0, "meaning": "sdt_mm", "role": "brain"}],
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
