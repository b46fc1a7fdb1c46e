"""Faults around the runs: what stays, what is said, and what the manifest says of it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import pytest

from benchmarks import kills
from bids_strip.output.place import Place
from bids_strip.participant import pipeline
from bids_strip.settings import DEFAULT_KINDS
from tests.fakes import damage, ends_on_sigterm, make_phantom, write_network

ROOT = Path(__file__).parents[1]
ONE = "sub-01/anat/sub-01_T1w.nii.gz"
TWO = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"
QC = "sub-01/anat/sub-01_desc-brain_qc.json"
MASK = "sub-01/anat/sub-01_desc-brain_mask.nii.gz"
MANUAL = "sub-01/anat/sub-01_desc-manual_mask.nii.gz"

Call = Callable[..., int]


@pytest.fixture
def call(call: Call) -> Call:
    """Masks alone: what goes wrong is the same."""
    return partial(call, "--outputs", "mask")


def newest(out: Path) -> dict[str, dict[str, str]]:
    """The last call's manifest, by run."""
    path = max((out / "logs").glob("*_runs.tsv"), key=lambda p: p.stat().st_mtime_ns)
    assert str(out) not in path.read_text()
    with path.open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file, delimiter="\t")}


def interrupted(*_args: object) -> None:
    raise KeyboardInterrupt


def test_the_manifest_says_what_became_of_every_run(call: Call, raw: Path, out: Path) -> None:
    damage(raw / TWO)
    assert call() == 1
    lines = newest(out)
    assert [(one["state"], one["why"]) for one in lines.values()] == [
        ("done", "new"), ("failed", "new"),
    ]  # fmt: skip
    assert float(lines[ONE]["seconds"]) > 0
    assert lines[TWO]["stage"] == "load"
    assert lines[TWO]["reason"].startswith(TWO)
    assert call() == 1
    lines = newest(out)
    assert (lines[ONE]["state"], lines[ONE]["why"]) == ("skipped", "n/a")
    assert lines[TWO]["why"] == "failed before at load"
    assert not list((out / "logs").glob("*.partial.tsv"))


def test_why_a_run_is_done_again(
    call: Call, raw: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ["--participant-label", "01"]

    def why(*options: str) -> str:
        assert call(*first, *options) == 0
        return newest(out)[ONE]["why"]

    assert why() == "new"
    assert why() == "n/a"
    assert why("--force") == "forced"
    assert why("--border", "3") == "border_mm 0.0 -> 3.0"
    size = (out / MASK).stat().st_size
    (out / MASK).write_bytes(b"cut")
    assert why("--border", "3") == f"{MASK}: 3 bytes, not {size}"
    (out / MASK).unlink()
    assert why("--border", "3") == f"{MASK}: missing"
    (out / QC).write_text("{")
    assert why("--border", "3") == "record damaged"
    nib.save(make_phantom(seed=9).image, raw / ONE)
    assert why("--border", "3") == "input changed"
    nib.save(nib.Nifti1Image(make_phantom().truth.astype("u1"), make_phantom().affine),
             out / MANUAL)  # fmt: skip
    assert why() == "edited mask changed"
    edit = (out / MANUAL).read_bytes()
    other = write_network(tmp_path / "other", middle=0.55)
    assert why("--model", str(other)) == "network was tiny 7"
    assert why("--model", str(other)) == "n/a"
    record = json.loads((out / QC).read_text())
    (out / QC).write_text(json.dumps({**record, "software": "bids_strip 0.0.9"}))
    assert why("--model", str(other)) == "program was bids_strip 0.0.9"
    assert (out / MANUAL).read_bytes() == edit


def test_a_call_that_is_stopped_says_what_was_left(
    call: Call, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bids_strip.execution.local.work", interrupted)
    assert call() == 130
    assert {one["state"] for one in newest(out).values()} == {"stopped"}


def test_a_manifest_that_cannot_be_written_fails_nothing(
    call: Call, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Place.put

    def refusing(self: Place, name: str, content: bytes):
        if name.endswith("_runs.tsv"):
            raise OSError(28, "No space left on device")
        return put(self, name, content)

    monkeypatch.setattr(Place, "put", refusing)
    assert call() == 0
    [grown] = (out / "logs").glob("*_runs.partial.tsv")
    rows = [line.split("\t")[:2] for line in grown.read_text().splitlines()[1:]]
    assert rows == [[ONE, "to do"], [TWO, "to do"], [ONE, "done"], [TWO, "done"]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_runs_of_a_killed_call_are_told_of_at_group_level(
    call: Call, out: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table would lack them unsaid; once they have a result nothing is said."""
    assert call("--participant-label", "01") == 0
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(
            "bids_strip.execution.local.work", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        call("--force")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    capsys.readouterr()
    assert call(level="group") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "no result yet" in line]
    assert len(told) == 1
    assert "no result yet of 1 of the runs" in told[0]
    assert "(for example sub-02_ses-1_T1w, logs/bids_strip-" in told[0]
    assert call("--participant-label", "01", level="group") == 0
    assert call() == 0
    assert call(level="group") == 0
    assert "no result yet" not in capsys.readouterr().err


def test_runs_of_a_call_that_was_ended_are_told_of_too(
    call: Call, out: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("--participant-label", "01") == 0
    with monkeypatch.context() as patched:
        patched.setattr("bids_strip.execution.local.work", interrupted)
        assert call() == 130
    torn = out / "logs/bids_strip-x_runs.partial.tsv"
    torn.write_text(f"run\tstate\nfoo\tto do\tnew\n{ONE}\tto do\tnew\nsub-0")
    capsys.readouterr()
    assert call(level="group") == 0
    assert "no result yet of 1 of the runs" in capsys.readouterr().err


def test_a_file_in_place_of_the_participants_folder(call: Call, out: Path, capsys) -> None:
    """Its run fails in a line; the other is done; the file is not ours to remove."""
    out.mkdir()
    (out / "sub-01").write_text("mine")
    assert call() == 1
    assert (out / "sub-01").read_text() == "mine"
    assert newest(out)[TWO]["state"] == "done"
    said = [line for line in capsys.readouterr().err.splitlines() if "failed at write" in line]
    assert len(said) == 1
    assert "sub-01" in said[0]


def test_want_of_memory_in_one_run_leaves_the_others(
    call: Call, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bids_strip.participant import pipeline

    load = pipeline.load

    def short(path: Path):
        if "sub-01" in path.name:
            raise MemoryError
        return load(path)

    monkeypatch.setattr(pipeline, "load", short)
    assert call() == 1
    lines = newest(out)
    assert (lines[ONE]["state"], lines[TWO]["state"]) == ("failed", "done")
    assert json.loads((out / QC).read_text())["status"] == "failed"


def test_a_run_that_another_call_did_meanwhile_is_skipped(
    call: Call, out: Path, network: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The other does both runs between this one's look at the folder and its work."""
    from bids_strip.execution import local

    work, calls = local.work, []

    def late(job, network_of_call, *rest):
        if not calls:
            calls.append(job)
            monkeypatch.setattr(local, "work", work)
            assert call() == 0
        return work(job, network_of_call, *rest)

    monkeypatch.setattr(local, "work", late)
    assert call() == 0
    assert "0 done, 2 skipped, 0 failed" in capsys.readouterr().err.splitlines()[-1]


def test_a_border_starts_from_what_lies_there_when_the_run_is_its_own(
    call: Call, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another call redoes the run by another network between this one's plan and its work."""
    from bids_strip.execution import local

    first = ["--participant-label", "01", "--outputs", "mask", "sdt"]
    other = write_network(tmp_path / "other", middle=0.8)
    work, calls = local.work, []

    def late(job, network_of_call, *rest):
        if not calls:
            calls.append(job)
            assert call(*first, "--model", str(other)) == 0
        return work(job, network_of_call, *rest)

    assert call(*first, "--border", "3") == 0
    fresh = (out / MASK).read_bytes()
    assert call(*first, "--model", str(other), "--border", "3") == 0
    assert (out / MASK).read_bytes() != fresh
    assert call(*first) == 0
    monkeypatch.setattr(local, "work", late)
    assert call(*first, "--border", "3") == 0
    assert calls
    assert (out / MASK).read_bytes() == fresh
    record = json.loads((out / QC).read_text())
    assert record["network"]["name"] == "tiny"
    assert record["options"]["border_mm"] == 3.0


_STUCK = """
import sys, time
from bids_strip import cli, invocation, termination
from bids_strip.execution import local
from functools import partial
from bids_strip.output.place import batched
invocation.overdue = partial(termination.overdue, grace_s=1.0)
def stuck(job, network, *rest):
    import ctypes
    batched(job.place).__enter__().put("sub-01/half", b"half")
    print("waiting", flush=True)
    libc = ctypes.CDLL(None)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            libc.sleep(60)  # no instruction of Python's in between
        except BaseException:
            pass
local.work = stuck
sys.exit(cli.main(sys.argv[1:]))
"""


def test_sigterm_ends_a_call_that_is_stuck_in_a_library(
    raw: Path, out: Path, network: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(raw), str(out), "participant", "--model", str(network),
         "--nprocs", "1", "--omp-nthreads", "1"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    ends_on_sigterm(process, once_it_says="waiting")
    assert not (out / ".work").exists()


def test_sigterm_with_two_processes_leaves_nothing(phantoms, out: Path, network: Path) -> None:
    many = phantoms([f"sub-{n:02d}/anat/sub-{n:02d}_T1w.nii.gz" for n in range(1, 25)], name="many")
    process = subprocess.Popen(
        [sys.executable, "-m", "bids_strip", str(many), str(out), "participant", "--model",
         str(network), "--nprocs", "2", "--omp-nthreads", "1", "--outputs", "mask"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (seen := list(out.glob(".work/*.lock"))) and time.monotonic() < until:
        time.sleep(0.01)
    assert seen
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - begun < 10
    assert not (out / ".work").exists()
    assert not list(kills.torn(out))


def test_the_harness_finds_what_is_torn(call: Call, out: Path) -> None:
    assert call() == 0
    assert not list(kills.torn(out))
    whole = (out / MASK).read_bytes()
    (out / MASK).write_bytes(whole[:-20])
    assert len(list(kills.torn(out))) > 0
    (out / MASK).write_bytes(whole)
    assert not list(kills.torn(out))
    head = make_phantom()
    nib.save(nib.Nifti1Image(head.truth[::-1].astype("u1") * 0 + 1, head.affine), out / MASK)
    assert any("volume" in line for line in kills.torn(out))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_few_kills(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "2", "--programs", "0",
               "--json", str(found)]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [tally] = json.loads(found.read_text()).values()
    assert tally["kills"] == 2
    assert tally["wrong"] == []


def test_another_kind_of_output_is_made_beside_those_that_are_there(call: Call, out: Path) -> None:
    """Two pipelines with different wishes do not undo each other every night."""
    assert call() == 0
    mask = (out / MASK).stat().st_mtime_ns
    assert call("--outputs", "sdt") == 0
    sdt = out / MASK.replace("_mask", "_sdt")
    assert call("--outputs", "brain") == 0
    record = json.loads((out / QC).read_text())
    assert record["options"]["outputs"] == ["brain", "mask", "sdt"]
    assert {Path(o["name"]).name for o in record["outputs"]} >= {sdt.name, Path(MASK).name}
    assert sdt.is_file()
    assert call("--outputs", "mask", "sdt", "brain") == 0
    assert {row["state"] for row in newest(out).values()} == {"skipped"}
    assert call("--outputs", "mask", "--bias-smoothness", "20") == 0  # what was there is of another
    assert json.loads((out / QC).read_text())["options"]["outputs"] == ["brain", "mask", "sdt"]
    assert min(path.stat().st_mtime_ns for path in (out / MASK, sdt)) > mask


@pytest.mark.parametrize(
    "why", ["forced", "program", "torn", "other surface", "no record", "border"]
)
def test_a_redo_of_fewer_kinds_makes_all_that_lie_there(call: Call, out: Path, why: str) -> None:
    """Nothing is lost, and nothing stays of another mask: the pictures neither."""

    def files() -> dict[str, int]:
        found = (path for path in (out / "sub-01").rglob("*") if path.is_file())
        return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in found}

    first = ("--participant-label", "01")
    assert call(*first, "--outputs", *DEFAULT_KINDS) == 0
    before, record = files(), json.loads((out / QC).read_text())
    if why == "program":
        (out / QC).write_text(json.dumps({**record, "software": "bids_strip 0.0.9"}))
    elif why == "torn":
        damage(out / MASK.replace("_mask", "_sdt"))
    elif why == "no record":
        (out / QC).unlink()
    elif why == "border":  # distances that are damaged behind their size
        sdt = out / MASK.replace("_mask", "_sdt")
        content = sdt.read_bytes()
        sdt.write_bytes(content[:500] + bytes(400) + content[900:])
    options = {
        "forced": ["--force"],
        "other surface": ["--bias-smoothness", "20"],
        "border": ["--border", "2"],
    }.get(why, [])
    assert call(*first, *options) == 0
    after = files()
    assert {*after} == {*before}
    assert all(after[name] > before[name] for name in before)
    again = json.loads((out / QC).read_text())
    assert [o["name"] for o in again["outputs"]] == [o["name"] for o in record["outputs"]]
    assert again["options"]["outputs"] == record["options"]["outputs"]


def test_kinds_that_were_removed_are_not_made_again(call: Call, out: Path) -> None:
    """The way to fewer kinds: remove their files."""
    assert call("--outputs", "mask", "sdt", "brain", "dseg", "probseg") == 0
    for path in [*out.rglob("*_probseg.*"), *out.rglob("*_desc-brain_T1w.*")]:
        path.unlink()
    for path in out.rglob("*_dseg.nii.gz"):
        path.unlink()  # its table alone is no tissue
    assert call() == 0
    assert json.loads((out / QC).read_text())["options"]["outputs"] == ["mask", "sdt"]
    assert not [*out.rglob("*_probseg.*"), *out.rglob("*_dseg.*")]


def test_an_input_that_is_replaced_meanwhile_is_not_recorded_as_done(
    call: Call, raw: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = pipeline.load

    def load_and_replace(path: Path):
        source = loaded(path)
        if path.name.startswith("sub-01"):
            path.write_bytes((raw / TWO).read_bytes() + b"\0")
        return source

    monkeypatch.setattr(pipeline, "load", load_and_replace)
    assert call() == 1
    assert "replaced while" in newest(out)[ONE]["reason"]
    assert not (out / MASK).exists()
    monkeypatch.undo()
    assert call() == 0
    assert json.loads((out / QC).read_text())["status"] == "ok"
