"""The descriptor's file: what is there comes back, and nothing that is damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bids_strip.identity.store import descriptor_name, read_descriptor, to_bytes

POINTS, KEY = 20_004, "5e" * 32
VALUES = np.random.default_rng(1).integers(-127, 128, POINTS).astype(np.int8)
GOOD = to_bytes(VALUES, KEY)


def read(path: Path, content: bytes, key: str = KEY, points: int = POINTS) -> np.ndarray | None:
    path.write_bytes(content)
    return read_descriptor(path, key, points)


def test_it_comes_back(tmp_path: Path) -> None:
    found = read(tmp_path / "x.bin", GOOD)
    assert found is not None
    assert found.dtype == np.int8
    assert np.array_equal(found, VALUES)


def test_no_flipped_bit_comes_back(tmp_path: Path) -> None:
    """Every bit of the two lines, and 2,000 of the values."""
    head = 8 * (len(GOOD) - POINTS)
    of_values = np.random.default_rng(2).choice(8 * POINTS, 2000, replace=False) + head
    for bit in (*range(head), *of_values.tolist()):
        flipped = bytearray(GOOD)
        flipped[bit // 8] ^= 1 << bit % 8
        found = read(tmp_path / "x.bin", bytes(flipped))
        assert found is None or np.array_equal(found, VALUES), bit


@pytest.mark.parametrize("content", [
    b"", b"\n", b"\n\n", GOOD[:64], GOOD[:130], GOOD[:-1], GOOD + b"\0", GOOD[1:], GOOD * 2,
    b"\xff" * len(GOOD), pickle.dumps({"descriptor": 1}),
])  # fmt: skip
def test_what_is_cut_or_something_else_is_none(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path / "x.bin", content) is None


def test_another_key_or_number_of_points_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "x.bin", GOOD, key="5f" * 32) is None
    assert read(tmp_path / "x.bin", GOOD, points=POINTS - 1) is None
    assert read(tmp_path / "x.bin", GOOD, points=POINTS + 1) is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_descriptor(tmp_path / "x.bin", KEY, POINTS) is None
    assert read_descriptor(tmp_path, KEY, POINTS) is None


def test_a_name_stays_in_its_folder() -> None:
    assert descriptor_name("../../a/b.c") == "logs/identity/______a_b_c.bin"
