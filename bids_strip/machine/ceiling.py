"""A ceiling on the memory that foreign code may take in this process."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

_STATUS = Path("/proc/self/status")
_LIMITED = Lock()
"""The limit is the process's: one thread at a time sets it, so that each finds what it left."""


@contextlib.contextmanager
def ceiling(more_gb: float | None) -> Iterator[None]:
    """Let this process take so much memory beyond what it holds, for the time of a block.

    What asks for more is refused by the kernel (``RLIMIT_DATA``, setrlimit(2)), which numpy and
    onnxruntime turn into an exception. A stricter limit that is set already stays. Linux alone
    counts mapped memory there; elsewhere nothing is limited. The process's other threads are under
    it too; another block waits.

    Parameters
    ----------
    more_gb
        GB; None for no ceiling.
    """
    if more_gb is None or not sys.platform.startswith("linux"):
        yield
        return
    with _LIMITED:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = _held_bytes() + int(more_gb * 1e9)
        limits = [most, *(n for n in (soft, hard) if n != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held_bytes() -> int:
    """What counts against the limit now: private memory that may be written."""
    found = re.search(r"^VmData:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
