"""The command line from argv to exit code, with a small network of its own."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.errors import LoadError
from bids_strip.execution import local, worker
from bids_strip.participant import pipeline
from bids_strip.participant.predict import OnnxPredictor
from tests.fakes import damage, make_phantom, write_card, write_network

ROOT = Path(__file__).parents[1]
ONE = "sub-01/anat/sub-01_T1w.nii.gz"
TWO = "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"
QC = "sub-01/anat/sub-01_desc-brain_qc.json"
MASK = "sub-01/anat/sub-01_desc-brain_mask.nii.gz"

Call = Callable[..., int]


def listing(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")}


def results(folder: Path) -> dict[str, bytes]:
    """Every file but the logs."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and "logs" not in p.relative_to(folder).parts
    }


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("bids_strip: ")
    assert "Traceback" not in captured.err
    return captured.err


# 0 -------------------------------------------------------------------------------------------


def test_a_whole_dataset(call: Call, out: Path, raw: Path, capsys) -> None:
    assert call() == 0
    for stem, folder in (("sub-01", "sub-01/anat"), ("sub-02_ses-1", "sub-02/ses-1/anat")):
        for name in ("mask.nii.gz", "mask.json", "sdt.nii.gz", "sdt.json", "T1w.nii.gz",
                     "T1w.json", "qc.json"):  # fmt: skip
            assert (out / folder / f"{stem}_desc-brain_{name}").is_file()
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert "*_sdt.*" in (out / ".bidsignore").read_text()
    assert len(list((out / "logs").glob("*.log"))) == 1
    assert not (out / ".work").exists()
    mask = np.asarray(nib.load(out / MASK).dataobj) > 0
    assert np.count_nonzero(mask ^ make_phantom().truth) < 0.05 * mask.sum()
    error = capsys.readouterr().err
    assert "2 done" in error.splitlines()[-1]
    assert "0 skipped, 0 failed" in error.splitlines()[-1]
    assert "Traceback" not in error


def test_the_raw_dataset_is_left_alone(call: Call, raw: Path) -> None:
    before = listing(raw)
    assert call() == 0
    assert listing(raw) == before


def test_derivatives_inside_the_dataset(call: Call, raw: Path) -> None:
    assert call(to=raw / "derivatives" / "bids_strip") == 0
    assert (raw / "derivatives/bids_strip" / MASK).is_file()
    assert call(to=raw / "derivatives" / "bids_strip") == 0  # and is not walked as raw data
    assert len(list((raw / "derivatives").rglob("*_mask.nii.gz"))) == 2


@pytest.mark.parametrize("nothing", [[], ["--verbose"]])
def test_a_second_call_skips_what_is_done(call: Call, out: Path, capsys, nothing) -> None:
    assert call() == 0
    before = results(out)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*_desc-*")}
    assert call(*nothing) == 0
    assert results(out) == before
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*_desc-*")} == times
    assert "2 skipped" in capsys.readouterr().err.splitlines()[-1]


def redone(call: Call, out: Path, *options: str) -> bool:
    """Whether sub-01 is done again by a second call."""
    before = (out / QC).stat().st_mtime_ns
    time.sleep(0.01)
    assert call("--participant-label", "01", *options) == 0
    return (out / QC).stat().st_mtime_ns != before


def test_what_makes_a_run_be_redone(call: Call, out: Path, raw: Path, tmp_path: Path) -> None:
    first = ["--participant-label", "01", "--outputs", "mask"]
    assert call(*first) == 0
    assert not redone(call, out, "--outputs", "mask")
    assert redone(call, out, "--outputs", "mask", "--force")
    assert redone(call, out)  # more outputs than there are
    assert not redone(call, out, "--outputs", "mask")  # fewer are there already
    assert redone(call, out, "--border", "1")
    assert json.loads((out / QC).read_text())["options"]["border_mm"] == 1
    assert redone(call, out)  # the border is back at 0
    assert redone(call, out, "--model", str(write_network(tmp_path / "other", middle=0.55)))
    assert redone(call, out)
    (out / MASK).unlink()
    assert redone(call, out)
    (out / MASK).write_bytes(b"cut short")
    assert redone(call, out)
    (out / QC).write_text("{")
    assert redone(call, out)
    os.utime(raw / ONE, (1, 1))
    assert not redone(call, out)  # touched, the same content
    nib.save(make_phantom(seed=9).image, raw / ONE)
    assert redone(call, out)


def test_a_failed_run_is_tried_again(call: Call, out: Path, raw: Path) -> None:
    whole = (raw / ONE).read_bytes()
    damage(raw / ONE)
    assert call() == 1
    (raw / ONE).write_bytes(whole)
    assert call() == 0
    assert json.loads((out / QC).read_text())["status"] == "ok"


def test_a_finished_run_whose_image_was_dropped_stays_done(
    call: Call, out: Path, raw: Path, capsys
) -> None:
    """To make room, as datalad's users do; it is said that nobody looked at the image."""
    assert call("--outputs", "mask") == 0
    (raw / ONE).unlink()
    (raw / ONE).symlink_to("../../.git/annex/objects/a/b/c.nii.gz")
    before = results(out)
    capsys.readouterr()
    assert call("--outputs", "mask") == 0
    said = capsys.readouterr().err
    assert "0 done, 2 skipped, 0 failed" in said
    (told,) = [line for line in said.splitlines() if ONE in line]
    assert told.startswith("1 of 2 runs done before not compared with the image")
    assert call("--outputs", "mask", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [f"done\t{ONE}", f"done\t{TWO}"]
    assert call("--outputs", "mask", "--border", "1", "--participant-label", "01") == 65
    assert "content is not here" in capsys.readouterr().err
    assert call("--outputs", "mask", "--force", "--participant-label", "01") == 65
    assert results(out) == before


def test_dry_run_writes_nothing(call: Call, out: Path, capsys) -> None:
    assert call("--dry-run") == 0
    assert not out.exists()
    assert capsys.readouterr().out.splitlines() == [f"to do\t{ONE}", f"to do\t{TWO}"]
    assert call("--participant-label", "01") == 0
    before = listing(out)
    capsys.readouterr()
    assert call("--dry-run") == 0
    assert listing(out) == before
    assert capsys.readouterr().out.splitlines() == [f"done\t{ONE}", f"to do\t{TWO}"]


@pytest.mark.parametrize("preview", ["--dry-run", "slurm-script"])
def test_a_template_that_is_not_there_is_told_before_any_work(
    raw: Path, out: Path, tmp_path: Path, monkeypatch, capsys, preview: str
) -> None:
    """As a line where it may be fetched, as the error that it will be where it may not."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templates"))
    folders, space = [str(raw), str(out)], ["--output-spaces", "MNI152NLin6Asym:res-1"]
    command = [*folders, "participant", "--dry-run", *space]
    if preview == "slurm-script":
        command = [preview, *folders, "--", *space]
    assert cli.main(command) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "MNI152NLin6Asym" in line]
    assert len(told) == 1
    assert f"not in {tmp_path / 'templates'}" in told[0]
    assert cli.main([*command, "--offline"]) == 66
    assert "MNI152NLin6Asym_res-01_T1w.nii.gz: absent" in capsys.readouterr().err


@pytest.mark.parametrize("preview", ["--dry-run", "slurm-script"])
def test_names_that_are_left_out_are_told_before_any_work(
    call: Call, raw: Path, out: Path, capsys, preview: str
) -> None:
    """In the words of the call that does the work."""
    (raw / "sub-01" / "anat" / "sub-01_copy_T1w.nii.gz").touch()
    if preview == "slurm-script":
        assert cli.main([preview, str(raw), str(out)]) == 0
    else:
        assert call(preview) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(told) == 1
    assert "(for example sub-01/anat/sub-01_copy_T1w.nii.gz)" in told[0]
    assert call("--outputs", "mask") == 0
    assert told[0] in capsys.readouterr().err.splitlines()


def test_dry_run_of_the_group_writes_nothing(call: Call, out: Path) -> None:
    assert call() == 0
    before = listing(out)
    assert call("--dry-run", level="group") == 0
    assert listing(out) == before


@pytest.mark.parametrize("flag", ["-h", "--help", "--version"])
def test_help_and_version(flag: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([flag])
    assert caught.value.code == 0
    assert "bids_strip" in capsys.readouterr().out


def test_verbose_says_more(call: Call, capsys) -> None:
    assert call() == 0
    plain = capsys.readouterr().err.splitlines()
    assert call("--force", "--verbose") == 0
    assert len(capsys.readouterr().err.splitlines()) > len(plain)


def test_what_a_killed_call_left_is_removed_after_a_week(call: Call, out: Path) -> None:
    old, new = out / ".work" / "old", out / ".work" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "half.nii.gz").write_bytes(b"half")
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    assert call() == 0
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("closed", "heard"),
    [("2>&-", "noise"), ("<&- 2>&-", "noise"), ("<&-", "noise"), (">&-", ""), ("<&- >&- 2>&-", "")],
)
def test_no_file_gets_the_number_of_a_closed_terminal(
    tmp_path: Path, closed: str, heard: str
) -> None:
    """What libraries and workers write to numbers 1 and 2 would land in it."""
    code = (
        "import os, sys; from bids_strip import cli; code = cli.main([])\n"
        "with open(sys.argv[1], 'w') as file:\n"
        "    print(code, file.fileno() > 2, *map(os.get_inheritable, (0, 1, 2)), file=file)\n"
        "for number in (1, 2): os.write(number, b'noise')\n"
    )
    said = tmp_path / "said"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code, str(said)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert said.read_text() == "64 True True True True\n"
    assert done.stdout == heard


def test_a_closed_terminal_stops_no_run(raw: Path, out: Path, network: Path) -> None:
    """As cron and some schedulers call: Python then has no stderr at all."""
    command = [sys.executable, "-m", "bids_strip", str(raw), str(out), "participant", "--model",
               str(network), "--nprocs", "1", "--device", "cpu", "--outputs", "mask"]  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(out.rglob("*_mask.nii.gz"))) == 2


def test_filters_reach_the_selection(call: Call, out: Path) -> None:
    assert call("--participant_label", "sub-02", "--session-id", "ses-1") == 0
    assert len(list(out.rglob("*_mask.nii.gz"))) == 1


def test_handlers_of_a_call_go_with_it(call: Call) -> None:
    before = list(logging.getLogger("bids_strip").handlers)
    assert call() == 0
    assert logging.getLogger("bids_strip").handlers == before


# 1 -------------------------------------------------------------------------------------------


def test_one_damaged_run(call: Call, out: Path, raw: Path, capsys) -> None:
    damage(raw / ONE)
    assert call() == 1
    record = json.loads((out / QC).read_text())
    assert (record["status"], record["stage"]) == ("failed", "load")
    assert not list((out / "sub-01").rglob("*.nii.gz"))
    assert len(list((out / "sub-02").rglob("*.nii.gz"))) == 5
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "sub-01_T1w.nii.gz" in line]
    assert len(lines) == 1
    assert "copy or convert it again" in lines[0]
    assert "Traceback" not in error
    assert "Traceback" in next((out / "logs").glob("*.log")).read_text()


@pytest.mark.parametrize("pipe", [ONE, MASK.replace("desc-brain", "desc-manual")])
def test_a_pipe_among_the_images_is_not_waited_for(
    raw: Path, out: Path, network: Path, pipe: str
) -> None:
    """Without --nprocs the headers of all are asked how much memory they take."""
    path = (raw if pipe == ONE else out) / pipe
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-m", "bids_strip", str(raw), str(out), "participant", "--model",
         str(network), "--device", "cpu", "--outputs", "mask"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if path.name in line]
    assert "not a plain file" in told
    assert "1 done, 0 skipped, 1 failed" in done.stderr
    assert (out / TWO.replace("T1w.nii.gz", "desc-brain_mask.nii.gz")).exists()


def test_stop_on_first_crash(call: Call, out: Path, raw: Path, capsys) -> None:
    damage(raw / ONE)
    assert call("--stop-on-first-crash") == 1
    assert not (out / "sub-02").exists()
    assert "1 not started" in capsys.readouterr().err


def test_gpu_without_gpu(call: Call, capsys, monkeypatch) -> None:
    monkeypatch.setattr("bids_strip.participant.predict._DEVICE_NODES", ())
    assert call("--device", "gpu") == 1
    assert "--device gpu" in one_line(capsys)


def test_an_internal_error_is_a_line_and_1(call: Call, capsys, monkeypatch) -> None:
    """Nothing but a line reaches the terminal, whatever breaks outside of the runs."""

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr("bids_strip.participant.level.select", broken)
    assert call() == 1
    assert "surprise" in one_line(capsys)


def test_a_network_that_is_none(call: Call, tmp_path: Path, capsys) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a network")
    write_card(path)
    assert call("--model", str(path)) in (1, 66)
    assert "bad.onnx" in one_line(capsys)


# 16, 17, 18 ----------------------------------------------------------------------------------


def test_no_description_is_16(call: Call, raw: Path, out: Path, capsys) -> None:
    (raw / "dataset_description.json").unlink()
    assert call() == 16
    one_line(capsys)
    assert not out.exists()


def test_no_dataset_is_16(call: Call, tmp_path: Path, capsys) -> None:
    assert call(bids=tmp_path / "absent") == 16
    one_line(capsys)


def test_an_unknown_level_is_17(call: Call, capsys) -> None:
    assert call(level="session") == 17
    one_line(capsys)


@pytest.mark.parametrize(
    "options", [["--participant-label", "99"], ["--session-label", "7"], ["--run-label", "3"]]
)
def test_an_absent_label_is_18(call: Call, out: Path, capsys, options: list[str]) -> None:
    assert call(*options) == 18
    assert options[1] in one_line(capsys)
    assert not out.exists()


# 64, 65, 66 ----------------------------------------------------------------------------------


def test_usage_is_64(call: Call, out: Path, capsys) -> None:
    assert call("--border", "99") == 64
    one_line(capsys)
    assert not out.exists()


def test_every_run_unreadable_is_65(call: Call, raw: Path, out: Path) -> None:
    damage(raw / ONE)
    (raw / TWO).write_bytes(b"")
    assert call() == 65
    statuses = [json.loads(p.read_text())["status"] for p in out.rglob("*_qc.json")]
    assert statuses == ["failed", "failed"]


@pytest.mark.parametrize(
    ("failures", "done", "expected"),
    [([], 0, 0), ([], 5, 0), ([65], 0, 65), ([65, 65], 0, 65), ([65], 1, 1), ([65, 1], 0, 1),
     ([74], 0, 74), ([74, 74], 3, 1), ([74, 65], 0, 1), ([1], 9, 1)],
)  # fmt: skip
def test_exit_code_of_outcomes(failures: list[int], done: int, expected: int) -> None:
    assert cli.exit_code(failures, done) == expected


def test_nothing_of_the_modality_is_66(call: Call, out: Path, capsys) -> None:
    assert call("--modality", "FLAIR") == 66
    assert "FLAIR" in one_line(capsys)
    assert not out.exists()


def test_no_network_is_66(call: Call, capsys) -> None:
    assert call("--model", "no-such-network") == 66
    one_line(capsys)


def test_a_group_without_results_is_66(call: Call, out: Path, capsys) -> None:
    assert call(level="group") == 66
    one_line(capsys)
    assert not out.exists()
    out.mkdir()
    assert call(level="group") == 66
    one_line(capsys)


# 73, 74 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "code", "sub-01", "derivatives"])
def test_output_among_the_raw_data_is_73(call: Call, raw: Path, capsys, inside: str) -> None:
    before = listing(raw)
    assert call(to=raw / inside) == 73
    one_line(capsys)
    assert listing(raw) == before


@pytest.mark.parametrize("inside", ["", "sub-01"])
def test_the_group_level_leaves_the_raw_data_alone(call: Call, raw: Path, capsys, inside) -> None:
    """BIDS_DIR given for OUTPUT_DIR by mistake: refused, and no logs/ among the raw data."""
    before = listing(raw)
    assert call(to=raw / inside, level="group") in (66, 73)
    one_line(capsys)
    assert listing(raw) == before


@pytest.mark.parametrize("level", ["participant", "group"])
@pytest.mark.parametrize(
    "described",
    [{"Name": "raw"}, {"DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}],
)
def test_another_dataset_is_left_alone(
    call: Call, raw: Path, tmp_path: Path, capsys, level: str, described: dict
) -> None:
    """A folder that is not ours, given for OUTPUT_DIR by mistake; the group needs no BIDS_DIR."""
    theirs = tmp_path / "theirs"
    shutil.copytree(raw, theirs)
    (theirs / "dataset_description.json").write_text(json.dumps(described))
    (theirs / ".bidsignore").write_text("extra/\n")
    before = listing(theirs)
    assert (
        call(bids=raw if level == "participant" else Path("/nowhere"), to=theirs, level=level) == 73
    )
    assert str(theirs) in one_line(capsys)
    assert listing(theirs) == before
    assert (theirs / ".bidsignore").read_text() == "extra/\n"


def test_output_that_cannot_be_made_is_73(call: Call, tmp_path: Path, capsys) -> None:
    """As root nothing is read-only: a file in place of the folder stands for it."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    assert call(to=in_the_way) == 73
    one_line(capsys)
    assert call(to=in_the_way / "below") == 73
    one_line(capsys)
    assert in_the_way.read_text() == "mine"


def test_a_read_only_output_is_73(call: Call, out: Path, capsys, monkeypatch) -> None:
    def refuse(self: Path, *_args: object, **_kwargs: object) -> None:
        raise PermissionError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert call() == 73
    assert "Read-only" in one_line(capsys)


def test_another_programs_folder_is_73(call: Call, out: Path, capsys) -> None:
    out.mkdir()
    theirs = '{"Name": "x", "BIDSVersion": "1.8.0", "GeneratedBy": [{"Name": "fMRIPrep"}]}'
    (out / "dataset_description.json").write_text(theirs)
    assert call() == 73
    assert "fMRIPrep" in one_line(capsys)
    assert (out / "dataset_description.json").read_text() == theirs
    assert [p.name for p in out.iterdir()] == ["dataset_description.json"]


def test_two_sources_of_one_name_are_73(call: Call, raw: Path, out: Path, capsys) -> None:
    nib.save(make_phantom().image, raw / ONE.removesuffix(".gz"))
    assert call() == 73
    one_line(capsys)
    assert not out.exists()


def test_a_full_disk_is_74(call: Call, out: Path, monkeypatch, capsys) -> None:
    write_bytes = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name.endswith(".nii.gz"):
            raise OSError(28, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert call() == 74
    assert not list(out.rglob("*.nii.gz"))
    assert "Traceback" not in capsys.readouterr().err


# 143 -----------------------------------------------------------------------------------------

_SLOW = """
import sys, time
from bids_strip import cli
from bids_strip.execution import local
real = local.work
def slow(job, network, *rest):
    if "sub-02" in job.run.path.name:
        print("waiting", flush=True)
        time.sleep(60)
    return real(job, network, *rest)
local.work = slow
sys.exit(cli.main(sys.argv[1:]))
"""


def test_sigterm_is_143_and_keeps_what_is_done(raw: Path, out: Path, network: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(raw), str(out), "participant", "--model", str(network),
         "--nprocs", "1", "--omp-nthreads", "1"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "terminated" in error
    assert "Traceback" not in error
    assert json.loads((out / QC).read_text())["status"] == "ok"
    assert not list((out / "sub-02").rglob("*")) if (out / "sub-02").exists() else True
    assert not (out / ".work").exists()


def test_sigterm_is_given_back(call: Call) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert call("--dry-run") == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_is_130(call: Call, monkeypatch, capsys) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "work", interrupt)
    assert call() == 130
    assert "Traceback" not in capsys.readouterr().err


# other ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["raw", "out", "participant",
                                                                   "--border", "99"]])  # fmt: skip
def test_answers_without_heavy_imports(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from bids_strip.__main__ import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = ('numpy', 'nibabel', 'bids', 'onnxruntime', 'scipy', 'tqdm', 'templateflow')\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.splitlines()[-1] == "loaded: []"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import bids_strip, sys; print('numpy' in sys.modules, bids_strip.__version__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("False ")


def test_failures_of_any_kind_are_one_line_each(call: Call, out: Path, monkeypatch, capsys) -> None:
    def refuse(path: Path) -> None:
        raise LoadError(f"{path}: first line\nsecond line\tand a tab")

    monkeypatch.setattr(pipeline, "load", refuse)
    assert call() == 65
    lines = [x for x in capsys.readouterr().err.splitlines() if "first line" in x]
    assert len(lines) == 2
    assert all("second line and a tab" in line for line in lines)


def test_the_network_answers_deterministically(call: Call, out: Path, tmp_path: Path) -> None:
    assert call() == 0
    assert call(to=tmp_path / "again") == 0
    for path in out.rglob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes()


def test_the_session_is_opened_once(call: Call, monkeypatch) -> None:
    worker._opened.cache_clear()
    opened: list[object] = []
    load = worker.load_predictor

    def counting(*args: object, **kwargs: object) -> OnnxPredictor:
        opened.append(args)
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "load_predictor", counting)
    assert call() == 0
    assert len(opened) == 1


def test_a_work_dir_that_cannot_be_made_is_named(
    call: Call, out: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "file").write_text("x")
    assert call("-w", str(tmp_path / "file" / "w")) == 73
    assert "--work-dir" in capsys.readouterr().err
    assert not list(out.glob(".work/*"))


def test_a_work_dir_stays_empty_where_nothing_can_be_written(
    call: Call, out: Path, tmp_path: Path
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("in the way")
    work = tmp_path / "w"
    assert call("-w", str(work)) == 73
    assert not list(work.iterdir())


def test_nothing_temporary_stays_where_logs_cannot_be_made(
    call: Call, out: Path, tmp_path: Path
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "logs").write_text("in the way")
    work = tmp_path / "w"
    assert call("-w", str(work)) == 73
    assert not list(work.iterdir())
    assert not (out / ".work").exists()


def test_a_work_dir_among_the_raw_data_is_refused(call: Call, raw: Path, capsys) -> None:
    before = sorted(raw.rglob("*"))
    for level in ("participant", "group"):
        assert call("-w", str(raw / "work"), level=level) == 73
        assert "--work-dir" in capsys.readouterr().err
    assert sorted(raw.rglob("*")) == before


def test_a_participant_whose_folder_is_closed_keeps_no_other_from_work(
    call: Call, out: Path, raw: Path, monkeypatch, capsys
) -> None:
    scandir = os.scandir

    def refusing(path: object) -> object:
        if Path(str(path)) == raw / "sub-01":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refusing)
    assert call() == 1
    assert (out / TWO.replace("T1w.nii.gz", "desc-brain_mask.nii.gz")).exists()
    assert f"{raw / 'sub-01'}: Permission denied" in capsys.readouterr().err
    assert call() == 1  # also where all the others are done


def test_a_participant_whose_folder_lists_names_alone_keeps_no_other_from_work(
    call: Call, out: Path, raw: Path, without_search, capsys
) -> None:
    with without_search(raw / "sub-01"):
        assert call("--outputs", "mask") == 1
        assert (out / TWO.replace("T1w.nii.gz", "desc-brain_mask.nii.gz")).exists()
        err = capsys.readouterr().err
        told = [line for line in err.splitlines() if f"{raw / 'sub-01'}/" in line]
        assert len(told) == 1
        assert "Permission denied" in told[0]
        assert call("--outputs", "mask") == 1  # also where all the others are done


def test_results_whose_folder_lists_names_alone_stop_the_group(
    call: Call, out: Path, without_search, capsys
) -> None:
    """In a line that says why: a table that lacks people without a word would be worse."""
    assert call("--outputs", "mask") == 0
    with without_search(out / "sub-02"):
        assert call(level="group") == 66
    assert f"{out / 'sub-02'}/" in capsys.readouterr().err.splitlines()[-1]


def test_a_participant_who_is_a_link_to_nothing_keeps_no_other_from_work(
    call: Call, out: Path, raw: Path, tmp_path: Path, capsys
) -> None:
    (raw / "sub-01").rename(tmp_path / "away")
    (raw / "sub-01").symlink_to("/nowhere/sub-01")
    assert call("--outputs", "mask") == 1
    assert (out / TWO.replace("T1w.nii.gz", "desc-brain_mask.nii.gz")).exists()
    told = [line for line in capsys.readouterr().err.splitlines() if "/nowhere/sub-01" in line]
    assert len(told) == 1
    assert call("--outputs", "mask") == 1  # also where all the others are done


@pytest.mark.parametrize("preview", [["--dry-run"], []])
def test_results_of_who_left_the_dataset_are_told(
    call: Call, raw: Path, out: Path, capsys, preview: list[str]
) -> None:
    """Unless somebody else was asked for."""
    assert call("--outputs", "mask") == 0
    assert "not in" not in capsys.readouterr().err
    shutil.rmtree(raw / "sub-02")
    assert call("--outputs", "mask", *preview) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "sub-02" in line]
    assert len(told) == 1
    assert "results of 1 participant not in" in told[0]
    assert call("--outputs", "mask", "--participant-label", "01", *preview) == 0
    assert "sub-02" not in capsys.readouterr().err


@pytest.mark.parametrize("preview", [["--dry-run"], []])
def test_a_participant_without_an_image_is_a_note(
    call: Call, raw: Path, capsys, preview: list[str]
) -> None:
    (raw / "sub-03").mkdir()
    assert call("--outputs", "mask", *preview) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "sub-03" in line]
    assert len(told) == 1
    assert "1 of 3 participants have no T1w image" in told[0]
