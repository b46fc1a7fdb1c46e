"""How fast the command starts, alone and on a large dataset.

``python -m benchmarks.startup [--subjects 1000] [--sessions 2] [--anat-alone] [--json FILE]``

Makes a dataset of empty files with anatomical and functional images and their sidecars, then times
``--help``, ``--dry-run`` for all subjects and for one, and the whole command where every run is
done. Exit 1 if a command fails, the help or the first line takes a second, or any 60 s or 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Measured, measure, succeeded
from benchmarks.tables import text_table

TASKS = ("rest", "motor", "language")
RUNS = ("1", "2")
HELP_REPEATS = 5
AT_ONCE = ("--help", "--version", "the first line on a terminal")
MOST_AT_ONCE_S, MOST_S, MOST_MB = 1.0, 60.0, 1000.0


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times; return 1 if a command failed or was slow."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--anat-alone", action="store_true", help="no functional images")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        files = make_dataset(raw, subjects=args.subjects, sessions=args.sessions,
                             tasks=() if args.anat_alone else TASKS)  # fmt: skip
        print(f"{args.subjects} subjects x {args.sessions} sessions, {files} files")
        every = [str(raw), str(out), "participant"]
        found = {
            "--help": _fastest(["--help"], repeats=HELP_REPEATS),
            "--version": _fastest(["--version"], repeats=HELP_REPEATS),
            "the first line on a terminal": first_line(every),
            "--dry-run, all subjects": _fastest([*every, "--dry-run"]),
            "--dry-run, one subject": _fastest(
                [*every, "--dry-run", "--participant-label", f"{args.subjects:04d}"]
            ),
        }
        # in a process of its own: what this one holds counts in the peaks
        finish = [sys.executable, "-m", "benchmarks.finished", str(raw), str(out)]
        succeeded(measure(finish), "benchmarks.finished")
        found["participant, all done"] = _fastest(every)
    print(text_table(["command", "seconds", "peak MB", "exit"],
                     [[n, m.elapsed_s, m.peak_mb, m.code] for n, m in found.items()]))  # fmt: skip
    if args.json:
        told = {name: [one.elapsed_s, one.peak_mb] for name, one in found.items()}
        args.json.write_text(json.dumps({"files": files, **told}, indent=2) + "\n")
    return 1 if any(_is_slow(name, one) for name, one in found.items()) else 0


def _is_slow(name: str, one: Measured) -> bool:
    most_s = MOST_AT_ONCE_S if name in AT_ONCE else MOST_S
    return one.code != 0 or one.elapsed_s >= most_s or one.peak_mb >= MOST_MB


def make_dataset(raw: Path, *, subjects: int, sessions: int, tasks: Sequence[str] = TASKS) -> int:
    """Write a dataset of empty images; return how many files it holds."""
    raw.mkdir(parents=True)
    description = {"Name": "many", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (raw / "dataset_description.json").write_text(json.dumps(description))
    count = 1
    for subject in range(1, subjects + 1):
        for session in range(1, sessions + 1):
            count += _make_session(raw, f"sub-{subject:04d}", f"ses-{session}", tasks)
    return count


def _make_session(raw: Path, subject: str, session: str, tasks: Sequence[str]) -> int:
    stem = f"{subject}_{session}"
    bold = [f"func/{stem}_task-{task}_run-{run}_bold" for task in tasks for run in RUNS]
    for name in (f"anat/{stem}_T1w", *bold):
        path = raw / subject / session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.nii.gz").touch()
        path.with_name(f"{path.name}.json").write_text("{}\n")
    return 2 * (1 + len(bold))


def _fastest(arguments: Sequence[str], *, repeats: int = 1) -> Measured:
    """The fastest of some runs of a command."""
    command = [sys.executable, "-m", "bids_strip", *arguments]
    fastest = min((measure(command) for _ in range(repeats)), key=lambda one: one.elapsed_s)
    if fastest.code:
        print(fastest.output.strip(), file=sys.stderr)
    return fastest


def first_line(arguments: Sequence[str]) -> Measured:
    """Until the command says its first line on a terminal; it is stopped then."""
    terminal, end = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bids_strip", *arguments], stderr=end)
    os.close(end)
    said = b""
    while b"\n" not in said and select.select([terminal], [], [], MOST_S)[0]:
        try:
            said += os.read(terminal, 1000)
        except OSError:  # it ended without a word
            break
    elapsed_s = time.perf_counter() - started
    process.terminate()
    process.wait()
    os.close(terminal)
    line = said.decode(errors="replace").partition("\r\n")
    return Measured(elapsed_s, 0.0, None, 0 if line[1] else 1, line[0])


if __name__ == "__main__":
    sys.exit(main())
