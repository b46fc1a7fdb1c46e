"""How the program ends, seen from outside: code, last words, and what is behind the pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-m", "bids_strip")


def ended(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, text=True, check=False, stderr=subprocess.PIPE,
                          **{"stdout": subprocess.PIPE, **options})  # fmt: skip


def test_a_wrong_option_is_a_line_and_64() -> None:
    found = ended(*PROGRAM, "raw", "out", "participant", "--border", "99")
    assert found.returncode == 64
    assert found.stdout == ""
    assert found.stderr.startswith("bids_strip: border 99: ")


def test_the_list_is_whole_behind_a_pipe(raw: Path, out: Path) -> None:
    found = ended(*PROGRAM, str(raw), str(out), "participant", "--dry-run")
    assert found.returncode == 0
    runs = len(list(raw.rglob("*_T1w.nii.gz")))
    assert runs > 0
    assert found.stdout.count("to do\t") == runs


def test_a_list_that_does_not_fit_is_a_line_and_74(raw: Path, out: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with full.open("w") as nowhere:
        found = ended(*PROGRAM, str(raw), str(out), "participant", "--dry-run", stdout=nowhere)
    assert found.returncode == 74
    assert found.stderr.count("\n") == 1
    assert "No space left" in found.stderr


def test_who_reads_no_further_is_no_failure(raw: Path, out: Path) -> None:
    command = f"{sys.executable} -m bids_strip {raw} {out} participant --dry-run"
    found = ended("bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert found.stdout == "0\n"
    assert found.stderr == ""


def test_a_profiler_has_its_say(raw: Path, out: Path) -> None:
    found = ended(sys.executable, "-m", "cProfile", "-m", "bids_strip", str(raw), str(out),
                  "participant", "--dry-run")  # fmt: skip
    assert found.returncode == 0
    assert "function calls" in found.stdout
