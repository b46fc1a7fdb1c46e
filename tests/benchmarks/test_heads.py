"""A folder without heads is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import consistency, normalise, stress, surfaces


@pytest.mark.parametrize("module", [consistency, normalise, stress, surfaces],
                         ids=lambda module: module.__name__)  # fmt: skip
def test_a_folder_without_t1w_is_told(module, tmp_path: Path, capsys) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "anat" / "sub-01_T2w.nii.gz").touch()
    assert module.main([str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.err == (
        f"{module.__name__}: {tmp_path}: no T1w; give a BIDS dataset that holds one\n"
    )
    assert told.out == ""
