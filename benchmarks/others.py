"""Networks and programs of others beside the App, where they are on this machine."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outputs import BenchmarkError
from benchmarks.processes import measure, succeeded

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
"""For glibc, of every network here: what a layer frees serves the next one, uncleared. MindGrab's
gains a fifth by it; peaks of memory are up to twice as high."""
PLAIN = "own network by nibabel and scipy, mask only"
OWN = "own network alone"
OWN_HEAD = "own network on MindGrab's head"
MINDGRAB = "MindGrab's network alone"
_DEEPBET = """
import sys
from deepbet import run_bet
head, brain, mask, volumes = sys.argv[1:]
run_bet([head], [brain], [mask], [volumes], no_gpu=True)
"""


@dataclass(frozen=True, slots=True)
class OtherCost:
    """What another one took for a head.

    Attributes
    ----------
    what
        Its name.
    seconds, peak_mb
        None where it did not run.
    note
        Why it did not, or what else there is to say.
    """

    what: str
    seconds: float | None = None
    peak_mb: float | None = None
    note: str = ""


def own_network(threads: int) -> OtherCost:
    """Time the embedded network alone, on a cube of 256 mm."""
    return _part(f"{OWN}, 128^3", ["benchmarks.network", "--threads", str(threads)])


def own_network_of_head(head: Path, threads: int) -> OtherCost:
    """Time the embedded network alone, on a head as the App conforms it."""
    command = ["benchmarks.network", "--threads", str(threads), "--head", str(head)]
    return _part(f"{OWN_HEAD}, as conformed", command)


def plain_way(head: Path, threads: int) -> OtherCost:
    """Time the shortest way from a head to its mask, after the imports."""
    command = ["benchmarks.plain", str(head), "--threads", str(threads)]
    return _part(f"{PLAIN}, 256^3", command)


def mindgrab(folder: Path, head: Path, threads: int, *, mask: Path | None, side: int) -> OtherCost:
    """Time MindGrab's network alone.

    Parameters
    ----------
    folder
        Of ``layers.json`` and ``model.pth``.
    head
        The image.
    threads
        Of torch.
    mask
        Of MindGrab itself, for the Dice of the port; None for none.
    side
        256; fewer voxels to try the code.
    """
    command = ["benchmarks.peers", str(folder), str(head), "--threads", str(threads),
               "--side", str(side), *(["--check", str(mask)] if mask else [])]  # fmt: skip
    return _part(f"{MINDGRAB}, {side}^3", command)


def programs(head: Path) -> list[OtherCost]:
    """Time deepbet and ROBEX, whole commands, on the threads that they take by themselves."""
    with tempfile.TemporaryDirectory() as folder:
        brain, mask, volumes = (str(Path(folder) / name) for name in
                                ("brain.nii.gz", "mask.nii.gz", "volumes.csv"))  # fmt: skip
        deepbet = [sys.executable, "-c", _DEEPBET, str(head), brain, mask, volumes]
        robex = shutil.which("runROBEX.sh")
        return [
            _whole("deepbet", deepbet if importlib.util.find_spec("deepbet") else None),
            _whole("ROBEX", [robex, str(head), brain, mask] if robex else None),
        ]


def _whole(what: str, command: Sequence[str] | None) -> OtherCost:
    if command is None:
        return OtherCost(what, note="not installed")
    try:
        measured = succeeded(measure(command), what)
    except BenchmarkError as error:  # the others' figures stand
        return OtherCost(what, note=str(error))
    return OtherCost(what, measured.elapsed_s, measured.peak_mb)


def _part(what: str, command: Sequence[str]) -> OtherCost:
    """Run a module that prints one JSON line last."""
    whole = [sys.executable, "-m", *command]
    measured = succeeded(measure(whole, environment=KEEP_MEMORY), command[0])
    figures = json.loads(measured.output.strip().splitlines()[-1])
    note = f"its port and its own mask: Dice {figures['dice']:.4f}" if "dice" in figures else ""
    if "shape" in figures:
        note = "x".join(map(str, figures["shape"])) + " voxels"
    return OtherCost(what, figures["seconds"], measured.peak_mb, note)
