"""The network alone: what it is fed, and what changes with its memory."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.network import MEMORY, main
from tests.fakes import make_phantom


@pytest.mark.parametrize("memory", MEMORY)
def test_a_cube(capsys: pytest.CaptureFixture[str], memory: str) -> None:
    assert main(["--side", "32", "--repeats", "1", "--threads", "1", "--memory", memory]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shape"] == [32, 32, 32]
    assert 0 < found["seconds"] < found["peak_mb"]


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
