"""Fixtures shared by tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

TinyBids = Callable[..., Path]


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
