"""SIGTERM before the work: while a dataset is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fakes import ends_on_sigterm

ROOT = Path(__file__).parents[1]
_STUCK = """
import ctypes, sys, time
from functools import partial
from bids_strip import cli, termination
from bids_strip.participant import level
cli.overdue = partial(termination.overdue, grace_s=1.0)
def stuck(settings):
    print("reading", flush=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            ctypes.CDLL(None).sleep(60)
        except BaseException:
            pass
level.select = stuck
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_call_that_is_stuck_in_reading_ends(raw: Path, out: Path, network: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(raw), str(out), "participant", "--model", str(network)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    ends_on_sigterm(process, once_it_says="reading")
    assert not out.exists()
