"""The public collection of BIDS examples: the right runs listed, their empty images refused.

``python -m benchmarks.bids_examples DIR [--dataset NAME ...] [--json FILE]``

DIR is a checkout of github.com/bids-standard/bids-examples, whose images are empty files. For every
dataset that has names of T1w images anywhere, ``--dry-run`` has to list the runs that a plain
search for files finds, and the participant level has to fail on them run by run with exit code 65;
where nothing raw is to be found, both say so (66). An image that is not empty may be done or fail.
Prints one line a dataset; exit 1 on any disagreement.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import measure
from bids_strip import cli
from bids_strip.errors import ExitCode

ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "run", "echo", "part", "chunk")
"""What the name of a raw anatomical image may hold (BIDS 1.10, appendix IX)."""
_RAW = re.compile(
    r"(sub-[0-9A-Za-z+]+)(?:/(ses-[0-9A-Za-z+]+))?/anat/\1(?:_\2)?"
    rf"(?:_(?:{'|'.join(ENTITIES[2:])})-[0-9A-Za-z+]+)*_T1w\.nii(?:\.gz)?"
)
_MOST_SECONDS = 60.0
_RESULTS = {int(ExitCode.OK), int(ExitCode.FAILED), int(ExitCode.BAD_DATA)}


@dataclass(frozen=True, slots=True)
class Found:
    """One dataset: what the search finds, what the program says.

    Attributes
    ----------
    name
        Of its folder.
    names
        Files that end in ``_T1w.nii`` or ``_T1w.nii.gz``, wherever they lie.
    runs
        Of these the raw magnitude images.
    listed
        Runs that ``--dry-run`` lists.
    failed
        Records of failed runs after the participant level.
    code
        Its exit code.
    elapsed_s
        Its time, from start to end.
    wrong
        What disagrees, "" if nothing does.
    """

    name: str
    names: int
    runs: int
    listed: int
    failed: int
    code: int
    elapsed_s: float
    wrong: str


def raw_images(dataset: Path) -> set[str]:
    """Relative paths of the raw T1w magnitude images, by a search for files alone."""
    relative = {p.relative_to(dataset).as_posix() for p in t1w_names(dataset)}
    return {
        name
        for name in relative
        if _RAW.fullmatch(name) and not re.search(r"_part-(?!mag_)", name)
        # a session's name has to repeat its folder
        and ("/ses-" in name) == ("_ses-" in name)
    }  # fmt: skip


def t1w_names(dataset: Path) -> Iterator[Path]:
    """Every file of a dataset that is called a T1w image."""
    return (p for p in dataset.rglob("*_T1w.nii*") if p.name.endswith((".nii", ".nii.gz")))


def examined(dataset: Path) -> Found:
    """Take one dataset through both calls."""
    runs = raw_images(dataset)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        listed, said = dry_run(dataset, out)
        done = measure([sys.executable, "-m", "bids_strip", str(dataset), str(out), "participant",
                        "--outputs", "mask"])  # fmt: skip
        records = [json.loads(p.read_text(encoding="utf-8")) for p in out.rglob("*_qc.json")]
    failed = sum(r["status"] == "failed" for r in records)
    empty = all((dataset / name).stat().st_size == 0 for name in runs)
    expected = {int(ExitCode.BAD_DATA)} if empty else _RESULTS
    if not runs:
        expected = {int(ExitCode.NO_INPUT)}
    troubles = {
        f"not listed: {', '.join(sorted(runs - listed)[:3])}": runs - listed,
        f"listed beyond: {', '.join(sorted(listed - runs)[:3])}": listed - runs,
        f"exit {done.code}: {said or done.output[-200:]}": done.code not in expected,
        f"{len(records)} records": len(records) != len(runs),
        "a run that did not fail": empty and failed != len(runs),
        "a traceback": "Traceback" in done.output,
        "too long": done.elapsed_s > _MOST_SECONDS,
    }
    wrong = "; ".join(text for text, holds in troubles.items() if holds)
    return Found(dataset.name, len(list(t1w_names(dataset))), len(runs), len(listed), failed,
                 done.code, done.elapsed_s, " ".join(wrong.split()))  # fmt: skip


def dry_run(dataset: Path, out: Path) -> tuple[set[str], str]:
    """Relative paths that ``--dry-run`` lists, and what it says on stderr."""
    listed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(listed), contextlib.redirect_stderr(said):
        cli.main([str(dataset), str(out), "participant", "--dry-run"])
    return {line.split("\t")[1] for line in listed.getvalue().splitlines()}, said.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Take every dataset through; return 1 if one disagrees."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.bids_examples",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("examples", type=Path, metavar="DIR")
    parser.add_argument("--dataset", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    folders = sorted(p.parent for p in args.examples.resolve().glob("*/dataset_description.json"))
    chosen = [f for f in folders if (not args.dataset or f.name in args.dataset)
              and any(t1w_names(f))]  # fmt: skip
    print("| dataset | T1w names | raw images | listed | failed | exit | s | disagreement |")
    print("|---|--:|--:|--:|--:|--:|--:|---|")
    found = []
    for folder in chosen:
        one = examined(folder)
        found.append(one)
        print(f"| {one.name} | {one.names} | {one.runs} | {one.listed} | {one.failed} "
              f"| {one.code} | {one.elapsed_s:.1f} | {one.wrong or '-'} |", flush=True)  # fmt: skip
    wrong = sum(bool(one.wrong) for one in found)
    print(f"\n{len(folders)} datasets, {len(found)} with T1w names: {sum(o.runs for o in found)} "
          f"raw images, {sum(o.listed for o in found)} listed, {sum(o.failed for o in found)} "
          f"failed; {wrong} disagree; slowest {max((o.elapsed_s for o in found), default=0):.0f} "
          "s")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=2))
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
