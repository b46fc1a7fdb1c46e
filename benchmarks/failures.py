"""What bad input does: one line, the right exit code, the other runs done.

``python -m benchmarks.failures BIDS_DIR``

Works on links to BIDS_DIR in a temporary folder, with the second run's file cut in half; then asks
for a modality and a participant that are not there. Prints every exit code beside the one the
contract names, and the lines a user sees; exit 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Measured, measure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases; return 1 if one is not as the contract says."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.failures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        cut = linked_with_a_cut(args.bids_dir.resolve(), raw)
        cases = {
            f"{cut.name} cut in half": ([], 1),
            "no file of the modality": (["--modality", "PDw"], 66),
            "absent label": (["--participant-label", "nobody"], 18),
        }
        right = [_case(raw, out, name, *case) for name, case in cases.items()]
        return 0 if all([*right, _others_are_done(out, cut)]) else 1


def linked_with_a_cut(source: Path, raw: Path) -> Path:
    """Link a dataset's files into a folder, the second T1w a copy cut in half; return that one."""
    shutil.copytree(source, raw, copy_function=lambda a, b: Path(b).symlink_to(a))
    victim = sorted(raw.rglob("*_T1w.nii.gz"))[1]
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[: len(content) // 2])
    return victim


def _case(raw: Path, out: Path, name: str, options: list[str], expected: int) -> bool:
    """Run one case and print what came of it."""
    command = [sys.executable, "-m", "bids_strip", str(raw), str(out), "participant", *options]
    done: Measured = measure(command)
    words = "as it should" if done.code == expected else f"SHOULD BE {expected}"
    print(f"\n{name}: exit {done.code}, {words}\n{done.output.strip()}")
    return done.code == expected and "Traceback" not in done.output


def _others_are_done(out: Path, cut: Path) -> bool:
    """Print the records: all ok but the cut file's."""
    paths = sorted(out.rglob("*_qc.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    failed = [r["bids_name"] for r in records if r["status"] != "ok"]
    print(f"\n{len(records) - len(failed)} results; failed records: {', '.join(failed) or 'none'}")
    return failed == [cut.name.removesuffix(".nii.gz")]


if __name__ == "__main__":
    sys.exit(main())
