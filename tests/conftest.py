"""Fixtures shared by tests."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.domain import Grid, Source, Volume
from bids_strip.example.dataset import write_example
from bids_strip.participant.load import from_image
from tests.fakes import Phantom, make_phantom, write_network

TinyBids = Callable[..., Path]
_CAPABILITIES = 0x20080522
"""Of Linux, version 3."""
_BEYOND_MODES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root past the modes of files."""


@pytest.fixture
def without_search() -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    """Closes a folder of real files as ``chmod 444`` does, for root too: names, and no more."""

    @contextlib.contextmanager
    def close(folder: Path) -> Iterator[None]:
        mode = folder.stat().st_mode
        folder.chmod(0o444)
        try:
            with _modes_count():
                yield
        finally:
            folder.chmod(mode)

    return close


@contextlib.contextmanager
def _modes_count() -> Iterator[None]:
    """Have this thread bound by modes where it is root's; Linux alone knows how."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    head, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    before = sets[0]
    sets[0] &= ~_BEYOND_MODES
    assert libc.capset(head, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(head, sets) == 0


@pytest.fixture
def tiny_bids(tmp_path: Path) -> TinyBids:
    """Factory of BIDS roots: relative paths -> a folder with empty files of these names."""

    def make(
        files: Iterable[str], *, name: str = "raw", description: Mapping[str, Any] | None = None
    ) -> Path:
        root = tmp_path / name
        root.mkdir(parents=True)
        described = {"Name": "tiny", "BIDSVersion": "1.11.1", **(description or {})}
        (root / "dataset_description.json").write_text(json.dumps(described), encoding="utf-8")
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        return root

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20261120)


@pytest.fixture
def phantom() -> Callable[..., Phantom]:
    """Factory of heads of spheres, see `tests.fakes.make_phantom`."""
    return make_phantom


@pytest.fixture
def source_of() -> Callable[[Phantom], Source]:
    """A phantom as it looks after it was read."""
    return lambda head: from_image(head.image)


@pytest.fixture
def volume_of() -> Callable[[Phantom], Volume]:
    """A phantom's intensities on their grid."""
    return lambda head: Volume(head.data, Grid(head.data.shape, head.affine))


@pytest.fixture
def phantoms(tiny_bids: TinyBids) -> TinyBids:
    """Factory of BIDS roots: relative paths -> a dataset with a phantom under each name."""

    def make(
        files: Iterable[str] = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"),
        *,
        head: Phantom | None = None,
        name: str = "raw",
    ) -> Path:
        files = tuple(files)
        root = tiny_bids(files, name=name)
        for file in files:
            nib.save((head or make_phantom()).image, root / file)
        return root

    return make


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX network that calls what is bright the brain; its card lies beside it."""
    return write_network(tmp_path_factory.mktemp("network"))


@pytest.fixture
def raw(phantoms: TinyBids) -> Path:
    """Two participants, the second with a session."""
    return phantoms(["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """OUTPUT_DIR, not made yet."""
    return tmp_path / "out"


@pytest.fixture
def call(raw: Path, out: Path, network: Path) -> Callable[..., int]:
    """Participant level on `raw` into `out`, on one processor."""

    def run(*options: str, bids: Path = raw, to: Path = out, level: str = "participant") -> int:
        return cli.main(
            [str(bids), str(to), level, "--model", str(network), "--nprocs", "1",
             "--omp-nthreads", "1", "--device", "cpu", *options]
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def command_on_path(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which ``bids_strip`` is this checkout, installed or not."""
    folder = tmp_path_factory.mktemp("bin")
    root = shlex.quote(str(Path(__file__).parents[1]))
    script = folder / "bids_strip"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={root} exec {shlex.quote(sys.executable)} -m bids_strip "$@"\n'
    )
    script.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded example, drawn once."""
    out = tmp_path_factory.mktemp("example") / "ds"
    write_example(out)
    return out
