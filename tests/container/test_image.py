"""The image: built, run shut off, its masks compared with those made here."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from benchmarks.container import LARGEST_CPU_MB, LEAST_DICE, main
from benchmarks.engines import BASE, EngineError, find_engine, make_base

OPTIONS = "BIDS_STRIP_CONTAINER_OPTIONS"


def dataset() -> list[str]:
    """Real heads where they are, otherwise the embedded example."""
    real = Path(os.environ.get("BIDS_STRIP_TEST_DATA", "no-such-folder")) / "ds000011"
    return [str(real)] if real.is_dir() else []


@pytest.mark.container
@pytest.mark.slow
def test_the_image_makes_the_same_masks_with_nothing_to_write_but_out(tmp_path: Path) -> None:
    engine = find_engine()
    if engine is None:
        pytest.skip("neither docker, podman nor buildah answers `info`")
    found = tmp_path / "found.json"
    options = shlex.split(os.environ.get(OPTIONS, ""))
    if "--base-from-debootstrap" in options and not engine.has(BASE):
        try:
            make_base(engine)
        except EngineError as error:
            pytest.skip(f"the base image cannot be made here: {error}")
    assert main([*dataset(), "--json", str(found), *options]) == 0
    measured = json.loads(found.read_text(encoding="utf-8"))
    assert measured["masks"] >= 3
    assert measured["least_dice"] >= LEAST_DICE
    assert measured["image_mb"] < LARGEST_CPU_MB
