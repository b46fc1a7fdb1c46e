"""What the process holds while a run works, and after it, as the kernel counts."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HELD = """
import numpy as np
from pathlib import Path
from bids_strip.machine.heap import freed_kept

def held_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

def work():
    blocks = [np.ones(20 << 17) for _ in range(10)]  # 20 MiB each
    del blocks

before = held_mb()
with freed_kept():
    work()
    within = held_mb()
print(round(within - before), round(held_mb() - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap")
def test_freed_memory_is_kept_for_a_block_and_given_back_then() -> None:
    found = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    within, after = map(int, found.stdout.split())
    assert within > 150
    assert after < 80
