"""Time and memory of the App from disk to all files, and of its network beside MindGrab's.

``python -m benchmarks.speed BIDS_DIR [--peer DIR] [--check DIR] [--json FILE] [-- APP OPTIONS]``

Each part is a process of its own, one after the other, so that the peaks of memory are its own.
What follows ``--`` goes to bids_strip, for example ``-- --nprocs 1``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.outputs import BenchmarkError, find_results
from benchmarks.processes import Measured, cores, measure
from benchmarks.tables import Cell, text_table


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 if a part failed."""
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    args = _parser().parse_args(given[:cut])
    try:
        figures = run_all(args, given[cut + 1 :])
    except BenchmarkError as error:
        print(f"benchmarks.speed: {error}", file=sys.stderr)
        return 1
    print(render(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    peer = "folder of MindGrab's layers.json and model.pth (needs torch)"
    parser.add_argument("--peer", type=Path, metavar="DIR", help=peer)
    mask = "folder of MindGrab's masks, <dataset>_<run>_mask.nii.gz: Dice of the port"
    parser.add_argument("--check", type=Path, metavar="DIR", help=mask)
    head = "image for MindGrab (default: the first T1w of BIDS_DIR)"
    parser.add_argument("--head", type=Path, metavar="FILE", help=head)
    threads = "threads of the networks alone (default: all processors)"
    parser.add_argument("--threads", type=int, default=cores(), metavar="N", help=threads)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def run_all(args: argparse.Namespace, app_options: Sequence[str]) -> dict[str, Any]:
    """Measure everything that was asked for.

    Raises
    ------
    BenchmarkError
        If a part fails; the message ends with its last line.
    """
    figures: dict[str, Any] = {
        "dataset": args.bids_dir.resolve().name,
        "processors": cores(),
        "threads": args.threads,
        "app": time_app(args.bids_dir, app_options),
        "network": _part(["benchmarks.network", "--threads", str(args.threads)]),
    }
    if args.peer:
        head = args.head or first_head(args.bids_dir)
        figures["peer"] = {"head": head.name, **_peer(args, head)}
        figures["peer"]["ratio"] = figures["peer"]["seconds"] / figures["network"]["seconds"]
    return figures


def time_app(bids_dir: Path, options: Sequence[str]) -> dict[str, Any]:
    """Run the participant level into a fresh folder.

    Returns
    -------
    dict
        ``elapsed_s``, ``heads``, ``seconds_a_head``, ``peak_mb``, and ``stages``: the mean of each
        stage's seconds over the records.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "bids_strip", str(bids_dir), str(out), "participant"]
        measured = _succeeded(measure([*command, *options]), "bids_strip")
        results = find_results(out)
        records = [json.loads(r.sibling("qc.json").read_text(encoding="utf-8")) for r in results]
    return {
        "elapsed_s": measured.elapsed_s,
        "heads": len(records),
        "seconds_a_head": measured.elapsed_s / len(records),
        "peak_mb": measured.peak_mb,
        "stages": _mean_stages(records),
    }


def _mean_stages(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    stages = [r["stage_seconds"] for r in records if r.get("stage_seconds")]
    names = dict.fromkeys(name for s in stages for name in s)
    return {n: sum(float(s.get(n, 0.0)) for s in stages) / len(stages) for n in names}


def _peer(args: argparse.Namespace, head: Path) -> dict[str, Any]:
    command = ["benchmarks.peers", str(args.peer), str(head), "--threads", str(args.threads)]
    if args.check:
        run = head.name.split(".nii")[0]
        mask = args.check / f"{args.bids_dir.resolve().name}_{run}_mask.nii.gz"
        command += ["--check", str(mask)]
    return _part(command)


def _part(command: Sequence[str]) -> dict[str, Any]:
    """Run a module that prints one JSON line last; its figures and its peak of memory."""
    measured = _succeeded(measure([sys.executable, "-m", *command]), command[0])
    figures: dict[str, Any] = json.loads(measured.output.strip().splitlines()[-1])
    return {**figures, "peak_mb": measured.peak_mb}


def _succeeded(measured: Measured, name: str) -> Measured:
    if measured.code != 0:
        last = (measured.output.strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(f"{name} ended with {measured.code}: {last}")
    return measured


def first_head(bids_dir: Path) -> Path:
    """Find the first T1w of a dataset, in the order of names."""
    for path in sorted(bids_dir.glob("sub-*/**/anat/*_T1w.nii*")):
        return path
    raise BenchmarkError(f"{bids_dir}: no T1w; give --head FILE")


def render(figures: dict[str, Any]) -> str:
    """Lay out the figures as text."""
    app, network, peer = figures["app"], figures["network"], figures.get("peer")
    rows: list[list[Cell]] = [
        [f"bids_strip, {app['heads']} heads, whole command", app["elapsed_s"], app["peak_mb"]],
        ["  a head, disk to all files", app["seconds_a_head"], None],
        *[[f"    {name}", seconds, None] for name, seconds in app["stages"].items()],
        ["its network alone, 128^3", network["seconds"], network["peak_mb"]],
    ]
    if peer:
        name = f"MindGrab's network alone, {peer['side']}^3"
        rows.append([name, peer["seconds"], peer["peak_mb"]])
    title = f"{figures['dataset']}, {figures['processors']} processors"
    parts = [text_table([title, "seconds", "peak MB"], rows)]
    if peer:
        line = f"networks, {figures['threads']} threads: MindGrab's takes {peer['ratio']:.0f} times"
        parts.append(f"{line} as long as ours ({peer['head']})")
    if peer and "dice" in peer:
        parts.append(f"MindGrab here and its reference mask: Dice {peer['dice']:.4f}")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
