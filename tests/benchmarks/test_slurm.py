"""A real Slurm, private to this test, runs what is printed through to the group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import slurm as cluster
from tests.fakes import damage

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
REASON = cluster.missing()
if REASON:
    pytest.skip(f"no Slurm can be started here: {REASON}", allow_module_level=True)

IMAGES = [f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in range(1, 6)]
DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")


@pytest.fixture
def private(command_on_path: dict[str, str]):
    with cluster.private_slurm() as slurm:
        path = os.pathsep.join([command_on_path["PATH"], slurm.environment["PATH"]])
        yield cluster.PrivateSlurm({**slurm.environment, "PATH": path})


def test_the_array_and_the_group(private, phantoms, network: Path, tmp_path: Path) -> None:
    """A path that needs quotes, a damaged image, a participant who left; then submitted again,
    by sbatch, when both are mended."""
    raw = phantoms(IMAGES, name="raw data")
    out, script = tmp_path / "it's out" / "50% done", tmp_path / "a job.sh"
    whole = (raw / IMAGES[0]).read_bytes()
    damage(raw / IMAGES[0])
    options = ["--subjects-per-task", "2", "--mem", "1G", "--cpus-per-task", "1"]
    cluster.printed(private, [str(raw), str(out), *options, "--", "--model", str(network)], script)
    (raw / "sub-04").rename(tmp_path / "left")
    assert "3 tasks" in cluster.submit(private, script)
    jobs = private.wait(limit_s=600)
    assert {job.array.partition("_")[2]: (job.state, job.exit_code) for job in jobs} == {
        "1": ("FAILED", "1:0"), "2": ("FAILED", "18:0"), "3": ("COMPLETED", "0:0"),
        "": ("COMPLETED", "0:0"),
    }  # fmt: skip
    table = (out / "group_T1w.tsv").read_text().splitlines()
    assert len(table) == 1 + 4
    assert sum("failed" in line for line in table) == 1
    assert len(list((out / "logs").glob("slurm-*.log"))) == 4
    assert not (out / ".work").exists()

    (raw / IMAGES[0]).write_bytes(whole)
    (tmp_path / "left").rename(raw / "sub-04")
    private.run(["sbatch", str(script)], cwd=tmp_path)
    again = [job for job in private.wait(limit_s=600) if job not in jobs]
    assert len(again) == 4
    assert {job.state for job in again} == {"COMPLETED"}
    table = (out / "group_T1w.tsv").read_text().splitlines()
    assert len(table) == 1 + 5
    assert not [line for line in table if "failed" in line]


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
def test_real_heads(private, tmp_path: Path) -> None:
    """ds000011, three participants a task."""
    out, script = tmp_path / "out", tmp_path / "job.sh"
    cluster.printed(private, [f"{DATA}/ds000011", str(out), "--subjects-per-task", "3"], script)
    cluster.submit(private, script)
    jobs = private.wait(limit_s=1800)
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len(jobs) == 3 + 1
    assert len((out / "group_T1w.tsv").read_text().splitlines()) == 1 + 8
    assert len(list(out.rglob("*_desc-brain_mask.nii.gz"))) == 8
