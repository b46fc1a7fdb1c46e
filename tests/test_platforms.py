"""Boutiques runs the command for real, as a platform does, without the container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_strip.descriptors.boutiques import descriptor
from bids_strip.descriptors.execspec import descriptor as execspec
from tests.fakes import damage

ROOT = Path(__file__).parents[1]
BOSH = "import sys; from boutiques.bosh import bosh; sys.argv[0] = 'bosh'; sys.exit(bosh())"
ONE = "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
TWO = "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"
THREE = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch(tmp_path: Path, command_on_path: dict[str, str]) -> Launch:
    """Start ``bosh exec launch`` in a folder of its own, where names without a path lie."""

    def start(invocation: dict[str, Any], made: dict[str, Any] | None = None) -> Any:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        number = len(list(work.glob("invocation*")))
        values, tool = work / f"invocation{number}.json", work / f"tool{number}.json"
        values.write_text(json.dumps(invocation))
        tool.write_text(json.dumps(made or descriptor()))
        bosh = [sys.executable, "-c", BOSH, "exec", "launch", "--no-container"]
        return subprocess.Popen(
            [*bosh, "--skip-data-collection", "-s", tool.name, values.name],
            cwd=work, env={**os.environ, **command_on_path}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return start


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_the_example_through_boutiques(launch: Launch, tmp_path: Path, example: Path) -> None:
    """Both levels of the demo dataset; results where the descriptor's output is."""
    for level in ("participant", "group"):
        code, output = ended(
            launch(
                {"bids_dir": str(example), "output_dir_name": "results", "analysis_level": level}
            )
        )
        assert code == 0, output
    results = tmp_path / "work" / descriptor()["output-files"][0]["path-template"].replace(
        "[OUTPUT_DIR]", "results"
    )  # fmt: skip
    assert {"sub-01", "sub-02", "group_T1w.tsv", "dataset_description.json"} <= names(results)
    table = (results / "group_T1w.tsv").read_text().splitlines()
    assert len(table) == 1 + 3
    assert len(list(results.rglob("*_desc-brain_mask.nii.gz"))) == 3


def test_as_cbrain_does_it(launch: Launch, phantoms, network: Path, tmp_path: Path) -> None:
    """One task a participant, all at once into one folder, with the sessions of the whole
    dataset; then the group; an entry ``sub-<label>`` at the top for each, a failed one too."""
    raw = phantoms([ONE, TWO, THREE, "sub-03/ses-2/anat/sub-03_ses-2_T1w.nii.gz"])
    damage(raw / "sub-03/ses-2/anat/sub-03_ses-2_T1w.nii.gz")
    labels = ["01", "02", "03"]
    task = {"bids_dir": str(raw), "output_dir_name": "outdir-7", "model": str(network),
            "nprocs": 1, "force": False, "analysis_level": "participant"}  # fmt: skip
    sessions = ["1", "2"]
    tasks = [
        launch({**task, "participant_label": [label], "session_label": sessions})
        for label in labels
    ]
    codes = [ended(one) for one in tasks]
    assert [code for code, _ in codes] == [0, 0, 65], codes
    group = {**task, "analysis_level": "group"}
    code, output = ended(launch({**group, "participant_label": labels, "session_label": sessions}))
    assert code == 0, output
    out = tmp_path / "work" / "outdir-7"
    assert {"sub-01", "sub-02", "sub-03", "group_T1w.tsv"} <= names(out)
    assert all(any((out / f"sub-{label}").rglob("*_qc.json")) for label in labels)
    assert len((out / "group_T1w.tsv").read_text().splitlines()) == 1 + 4


def test_the_exec_spec_can_be_run(launch: Launch, phantoms, network: Path, tmp_path: Path) -> None:
    raw = phantoms([ONE, THREE])
    for level in ("subject", "dataset"):
        code, output = ended(
            launch(
                {"InputDataset": [str(raw)], "OutputLocation": str(tmp_path / "out"),
                 "AnalysisLevel": level, "SubjectLabel": ["02"], "Model": str(network)},
                execspec(),
            )
        )  # fmt: skip
        assert code == 0, output
    assert (tmp_path / "out" / "group_T1w.tsv").is_file()
    assert {p.name for p in (tmp_path / "out").glob("sub-*")} == {"sub-02", "sub-02.html"}
