"""Loaded by a Dask worker at its start (``--preload``): runs can be held, or kill their worker.

The folder BIDS_STRIP_TEST_NOTES holds a file for each run that was begun and ended, with the
process's id; a run with 'hold' in its name waits until the file ``go`` is there, one with 'deadly'
kills its process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from bids_strip.execution import futures
from bids_strip.execution.turns import Held
from bids_strip.execution.worker import Network, work
from bids_strip.participant.job import Job, Outcome

NOTES = Path(os.environ["BIDS_STRIP_TEST_NOTES"])


def noted(job: Job, network: Network, wait_s: float = 0.0) -> Outcome | Held:
    name = job.run.name
    (NOTES / f"begun {name} {os.getpid()}").touch()
    if "deadly" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    until = time.monotonic() + 300
    while "hold" in name and not (NOTES / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    outcome = work(job, network, wait_s)
    (NOTES / f"ended {name} {os.getpid()}").touch()
    return outcome


futures.work = noted
