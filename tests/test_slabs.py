"""Parts side by side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_strip.slabs import along_axis, in_slabs, side_by_side


@pytest.mark.parametrize("threads", [1, 3])
def test_slabs_come_in_order_and_cover_an_axis(threads: int) -> None:
    found = in_slabs(lambda rows: (rows.start, rows.stop), 21, threads=threads, thick=8)
    assert found == [(0, 8), (8, 16), (16, 21)]


def test_parts_come_in_order() -> None:
    assert side_by_side(str, range(9), threads=3) == [*"012345678"]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_filter_along_an_axis_is_that_of_the_whole(axis: int, threads: int, rng) -> None:
    data = rng.random((40, 37, 20)).astype(np.float32)
    found = along_axis(lambda part, out: ndimage.gaussian_filter1d(part, 2, axis, output=out),
                       data, axis, threads=threads)  # fmt: skip
    assert np.array_equal(found, ndimage.gaussian_filter1d(data, 2, axis))
