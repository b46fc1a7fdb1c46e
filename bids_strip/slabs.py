"""Parts of a work side by side: NumPy, SciPy and ISA-L let other threads work meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Float3

S = TypeVar("S")
T = TypeVar("T")
_ROWS = 16


def side_by_side(make: Callable[[S], T], parts: Iterable[S], *, threads: int) -> list[T]:
    """What is made of each part, in order; what is made does not depend on the threads."""
    if threads == 1:
        return [make(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(make, parts))


def in_slabs(
    make: Callable[[slice], T], length: int, *, threads: int, thick: int = _ROWS
) -> list[T]:
    """What is made of each slab of an axis, in order.

    Parameters
    ----------
    make
        Takes the rows of a slab.
    length : int
        Of the axis.
    threads : int
        How many slabs at a time.
    thick : int
        Rows of a slab.
    """
    slabs = [slice(start, min(start + thick, length)) for start in range(0, length, thick)]
    return side_by_side(make, slabs, threads=threads)


def along_axis(
    make: Callable[[Any, Float3], object], data: NDArray[Any], axis: int, *, threads: int,
    out: Float3 | None = None,
) -> Float3:  # fmt: skip
    """A filter that works along one axis, in slabs of another.

    Parameters
    ----------
    make
        Takes a slab of the data and where to put what becomes of it.
    data : (I, J, K)
        Any volume.
    axis : int
        Which the filter works along.
    threads : int
        How many slabs at a time.
    out : (I, J, K) float32
        Where to put the whole; None makes a place.

    Returns
    -------
    (I, J, K) float32
    """
    found = np.empty(data.shape, dtype=np.float32) if out is None else out
    other = 1 if axis == 0 else 0

    def work(rows: slice) -> None:
        part = tuple(rows if a == other else slice(None) for a in range(3))
        make(data[part], found[part])

    in_slabs(work, data.shape[other], threads=threads)
    return found
