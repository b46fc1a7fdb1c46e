"""The network alone: what it is fed, and what changes with its memory."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.network import MEMORY, main, options_of
from tests.fakes import make_phantom


@pytest.mark.parametrize("memory", MEMORY)
def test_a_cube(capsys: pytest.CaptureFixture[str], memory: str) -> None:
    assert main(["--side", "32", "--repeats", "1", "--threads", "1", "--memory", memory]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shape"] == [32, 32, 32]
    assert found["seconds"] > 0
    assert found["peak_mb"] > 50


def test_the_choices_of_memory() -> None:
    """Of onnxruntime itself: an arena, given back or kept; none; none with a pattern."""
    import onnxruntime as ort

    found = {name: options_of(name, ort, 1) for name in MEMORY}
    assert {name: (session.enable_cpu_mem_arena, session.enable_mem_pattern, run is not None)
            for name, (session, run) in found.items()} == {
        "app": (True, False, True), "arena-kept": (True, False, False),
        "no-arena": (False, False, False), "pattern": (False, True, False),
    }  # fmt: skip


def test_the_choice_is_what_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noting(memory: str, ort, threads: int):
        asked.append((memory, threads))
        return options_of(memory, ort, threads)

    monkeypatch.setattr("benchmarks.network.options_of", noting)
    main(["--side", "16", "--repeats", "0", "--threads", "1", "--memory", "no-arena"])
    assert asked == [("no-arena", 1)]


def test_a_head_as_the_app_conforms_it(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    head = make_phantom("LPS")
    nib.save(nib.Nifti1Image(head.data.astype(np.float32), head.affine), tmp_path / "head.nii.gz")
    assert main(["--head", str(tmp_path / "head.nii.gz"), "--repeats", "0", "--threads", "1"]) == 0
    shape = json.loads(capsys.readouterr().out)["shape"]
    assert all(side % 16 == 0 for side in shape)
    assert max(shape) < 128


def test_a_head_that_is_not_there(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--head", str(tmp_path / "head.nii.gz")]) == 1
    assert "head.nii.gz" in capsys.readouterr().err


def test_all_choices_as_a_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--choices", "--side", "32", "--repeats", "1", "--threads", "1"]) == 0
    table = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["memory", *MEMORY]
