"""The C library's heap: what a stage gives back waits for the next stage."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Of ``malloc.h``."""
_OFTEN_TAKEN = 32 << 20
"""The largest block, bytes, that glibc takes from its heap at all."""
_MORE_AT_A_TIME = 64 << 20


def keep_freed() -> None:
    """Let glibc keep freed memory in this process, mallopt(3).

    By default it gives large blocks back to the kernel, which clears each page anew when the next
    one asks: a fifth of the time of a head was the kernel's. Elsewhere nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    mallopt(_TRIM_THRESHOLD, sys.maxsize >> 32)
    mallopt(_TOP_PAD, _MORE_AT_A_TIME)
    mallopt(_MMAP_THRESHOLD, _OFTEN_TAKEN)
