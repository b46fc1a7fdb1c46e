"""The table of speed: what is called, and what is said of made-up figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.app import AppCost, Case
from benchmarks.heads import first_heads, linked_dataset, save_cube
from benchmarks.others import KEEP_MEMORY, MINDGRAB, OWN, OWN_HEAD, PLAIN, OtherCost, own_network
from benchmarks.outputs import BenchmarkError
from benchmarks.processes import Measured, cores, measure
from benchmarks.speed import ALL, MASK, Figures, Timed, asked_for, render
from benchmarks.tables import markdown_table


def timed(part: str, kinds: str, *, threads: int = 2, **given: float) -> Timed:
    """A case with a cost that misses nothing, but for what is given."""
    figures = {"elapsed_s": 2.0, "head_s": 1.5, "cpu_s": 3.0, "use": 0.95, "peak_mb": 800.0} | given
    cost = AppCost(heads=1, written_mb=2.0, read_mb=9.0, load=0.1, made_by="bids_strip 1",
                   stages={"load": 0.25, "predict": 1.0}, **figures)  # fmt: skip
    return Timed(Case(part, "what", Path("raw"), kinds, (), 1, threads), cost)


def figures(*cases: Timed, mindgrab_s: float | None = None) -> Figures:
    others = (OtherCost("MindGrab's network alone, 256^3", mindgrab_s),) if mindgrab_s else ()
    return Figures("two processors", (0.1, 0.2), cases, others)


def missed(found: Figures) -> list[str]:
    return [one.what for one in asked_for(found) if not one.met]


def test_a_fast_app_misses_nothing() -> None:
    found = figures(timed("head", MASK), timed("head", ALL, head_s=7.9), timed("workers", MASK),
                    mindgrab_s=60.0)  # fmt: skip
    assert len(asked_for(found)) == 5
    assert missed(found) == []


@pytest.mark.parametrize(
    ("slow", "word"),
    [
        (timed("head", MASK, head_s=2.1), "after start-up"),
        (timed("head", MASK, peak_mb=1001.0), "MB"),
        (timed("head", MASK, elapsed_s=2.01), "MindGrab"),
        (timed("head", ALL, head_s=8.1), "after start-up"),
        (timed("workers", MASK, use=0.89), "use of the processors"),
    ],
)
def test_each_limit_is_told_when_it_is_missed(slow: Timed, word: str) -> None:
    assert [word in what for what in missed(figures(slow, mindgrab_s=60.0))] == [True]


@pytest.mark.parametrize(("head_s", "met"), [(1.24, True), (1.26, False)])
def test_the_plain_way_is_the_measure_on_a_slow_machine(head_s: float, met: bool) -> None:
    found = Figures("two processors", (0.1, 0.2), (timed("head", MASK, head_s=head_s),),
                    (OtherCost(f"{PLAIN}, 256^3", 1.0),))  # fmt: skip
    assert [one.met for one in asked_for(found) if "plain" in one.what] == [met]


@pytest.mark.parametrize("what", [OWN, OWN_HEAD])
@pytest.mark.parametrize(("own_s", "met"), [(0.74, True), (0.76, False)])
def test_the_networks_are_compared_alone(what: str, own_s: float, met: bool) -> None:
    others = (OtherCost(f"{what}, 128^3", own_s), OtherCost(f"{MINDGRAB}, 256^3", 60.0))
    found = asked_for(Figures("two processors", (0.1, 0.2), (), others))
    assert [(round(one.found), one.met) for one in found] == [(round(60.0 / own_s), met)]


def test_limits_are_of_the_most_threads() -> None:
    found = figures(timed("head", MASK, threads=1, head_s=9.0), timed("head", MASK))
    assert missed(found) == []


def test_the_table_holds_every_case_and_every_stage() -> None:
    found = figures(timed("head", MASK), timed("heads", MASK, use=0.5), mindgrab_s=60.0)
    text = render(found, asked_for(found))
    assert text.count("| what | mask only |") == 2
    assert "| load | 0.250 |" in text
    assert "| predict | 1.000 |" in text
    assert "MindGrab" in text
    columns = {line.count("|") for line in text.split("\n\n")[1].splitlines()}
    assert len(columns) == 1


def test_markdown() -> None:
    assert markdown_table(("a", "b"), [["x", 1.5], ["y", None]]) == (
        "| a | b |\n| --- | --- |\n| x | 1.500 |\n| y | - |"
    )


def test_a_cube_keeps_a_ball_where_it_is_and_as_large(tmp_path: Path) -> None:
    i, j, k = np.mgrid[:64, :64, :64].astype(float)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -63.0
    ball = ((i - 31.5) ** 2 + (j - 31.5) ** 2 + (k - 31.5) ** 2 < 20**2).astype(np.float32)
    nib.save(nib.Nifti1Image(100 * ball, affine), tmp_path / "ball.nii.gz")
    save_cube(tmp_path / "ball.nii.gz", tmp_path / "cube.nii.gz", zoom_mm=4.0)
    cube = nib.load(tmp_path / "cube.nii.gz")
    assert cube.shape == (64, 64, 64)
    assert cube.header.get_zooms() == (4.0, 4.0, 4.0)
    data = np.asarray(cube.dataobj, dtype=float) / 4095
    assert float(data.sum()) * 4**3 / 1000 == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.02)
    places = nib.affines.apply_affine(cube.affine, np.argwhere(data > 0.5))
    assert np.abs(places.mean(axis=0)).max() < 0.5


def test_a_few_heads_under_many_names(tmp_path: Path) -> None:
    heads = [tmp_path / "a.nii.gz", tmp_path / "b.nii"]
    for head in heads:
        head.write_bytes(head.name.encode())
    raw = linked_dataset(tmp_path / "raw", heads, 5)
    found = first_heads(raw, 10)
    assert [path.name for path in found] == [
        "sub-001_T1w.nii.gz", "sub-002_T1w.nii", "sub-003_T1w.nii.gz", "sub-004_T1w.nii",
        "sub-005_T1w.nii.gz",
    ]  # fmt: skip
    assert [path.read_bytes() for path in found[:3]] == [b"a.nii.gz", b"b.nii", b"a.nii.gz"]


def test_a_dataset_without_heads_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no T1w"):
        first_heads(tmp_path, 1)


def test_processor_time_counts_children_that_were_waited_for() -> None:
    burn = "import time; e = time.process_time() + .5\nwhile time.process_time() < e: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    measured = measure([sys.executable, "-c", parent])
    assert 0.5 <= measured.cpu_s < measured.elapsed_s * cores() + 0.1


def test_networks_alone_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def like(command: list[str], *, environment: dict[str, str]) -> Measured:
        assert environment == KEEP_MEMORY
        program = (
            "import json, os; print(json.dumps({'seconds': len(os.environ['MALLOC_MMAP_MAX_'])}))"
        )
        return measure([sys.executable, "-c", program], environment=environment)

    monkeypatch.setattr("benchmarks.others.measure", like)
    assert own_network(threads=1).seconds == 1


def test_the_command_itself_stays_small() -> None:
    """The kernel counts what a process held when it was started: numpy here would be in a peak."""
    code = "import sys, benchmarks.speed; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
