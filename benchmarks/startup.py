"""How fast the command starts, alone and on a large dataset.

``python -m benchmarks.startup [--subjects 1000] [--sessions 2] [--json FILE]``

Makes a dataset of empty files with anatomical and functional images and their sidecars, then times
``--help``, and ``--dry-run`` for all subjects and for one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import measure
from benchmarks.tables import text_table

TASKS = ("rest", "motor", "language")
RUNS = ("1", "2")
HELP_REPEATS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times; return 1 if a command failed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        files = make_dataset(raw, subjects=args.subjects, sessions=args.sessions)
        dry = [str(raw), str(out), "participant", "--dry-run"]
        commands = {
            "--help": ["--help"],
            "--version": ["--version"],
            "--dry-run, all subjects": dry,
            "--dry-run, one subject": [*dry, "--participant-label", f"{args.subjects:04d}"],
        }
        print(f"{args.subjects} subjects x {args.sessions} sessions, {files} files")
        found = {name: _fastest(c, repeats=1 if c[0] == str(raw) else HELP_REPEATS)
                 for name, c in commands.items()}  # fmt: skip
    print(text_table(["command", "seconds", "exit"], [[n, s, c] for n, (s, c) in found.items()]))
    if args.json:
        seconds = {name: elapsed_s for name, (elapsed_s, _) in found.items()}
        args.json.write_text(json.dumps({"files": files, **seconds}, indent=2) + "\n")
    return 1 if any(code for _, code in found.values()) else 0


def make_dataset(raw: Path, *, subjects: int, sessions: int) -> int:
    """Write a dataset of empty images; return how many files it holds."""
    raw.mkdir(parents=True)
    description = {"Name": "many", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (raw / "dataset_description.json").write_text(json.dumps(description))
    count = 1
    for subject in range(1, subjects + 1):
        for session in range(1, sessions + 1):
            count += _make_session(raw, f"sub-{subject:04d}", f"ses-{session}")
    return count


def _make_session(raw: Path, subject: str, session: str) -> int:
    stem = f"{subject}_{session}"
    bold = [f"func/{stem}_task-{task}_run-{run}_bold" for task in TASKS for run in RUNS]
    for name in (f"anat/{stem}_T1w", *bold):
        path = raw / subject / session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.nii.gz").touch()
        path.with_name(f"{path.name}.json").write_text("{}\n")
    return 2 * (1 + len(bold))


def _fastest(arguments: Sequence[str], *, repeats: int) -> tuple[float, int]:
    """Seconds of the fastest of some runs, and the exit code of the last."""
    command = [sys.executable, "-m", "bids_strip", *arguments]
    measured = [measure(command) for _ in range(repeats)]
    if measured[-1].code:
        print(measured[-1].output.strip(), file=sys.stderr)
    return min(m.elapsed_s for m in measured), measured[-1].code


if __name__ == "__main__":
    sys.exit(main())
