"""The C library's heap: what a stage gives back waits for the next one, until the run's end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Of ``malloc.h``."""
_NEVER = 2**31 - 1
_MORE_AT_A_TIME = 64 << 20
_OFTEN_TAKEN = 32 << 20
"""The largest block, bytes, that glibc takes from its heap at all."""


@contextlib.contextmanager
def freed_kept() -> Iterator[None]:
    """Let glibc keep freed memory for the time of a block, and give it all back then.

    By default it gives large blocks back to the kernel at once, which clears each page anew when
    the next stage asks. mallopt(3), malloc_trim(3). The settings stay the process's. With another C
    library nothing changes, nor where the environment says how to allocate (``MALLOC_*``), as that
    of Dask's workers does.
    """
    libc = _glibc()
    if libc is None or any(name.startswith("MALLOC_") for name in os.environ):
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    libc.mallopt(_TOP_PAD, _MORE_AT_A_TIME)
    libc.mallopt(_MMAP_THRESHOLD, _OFTEN_TAKEN)
    try:
        yield
    finally:
        libc.malloc_trim(0)


def _glibc() -> Any:
    """The C library, if it is GNU's."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
