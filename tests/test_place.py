"""What the disk keeps before a name is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_strip.output.place import Place, batched

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
Steps = list[tuple[str, Path]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "out", tmp_path / "out" / ".work" / "x")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Notes what is flushed and what gets which name."""
    found: Steps = []
    flush, replace = os.fsync, Path.replace

    def flushing(descriptor: int) -> None:
        found.append(("flush", Path(f"/proc/self/fd/{descriptor}").resolve()))
        flush(descriptor)

    def naming(path: Path, target: Path) -> Path:
        found.append(("name", path))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(Path, "replace", naming)
    return found


def test_a_file_alone_is_kept_before_it_is_named(place: Place, steps: Steps) -> None:
    place.put("logs/a.json", b"{}")
    (_, flushed), (_, named) = steps
    assert [what for what, _ in steps] == ["flush", "name"]
    assert flushed == named
    assert (place.output_dir / "logs/a.json").read_bytes() == b"{}"


def test_the_last_of_many_comes_when_the_disk_knows_the_others(place: Place, steps: Steps) -> None:
    names = ("sub-01/anat/mask", "sub-01/figures/slices", "sub-01/anat/record")
    with batched(place) as batch:
        for name in names:
            batch.put(name, b"x")
        held = list(batch.held.values())
        assert not steps
        batch.flush()
        assert {path for _, path in steps} == {*held}
        steps.clear()
        batch.publish()
    out = place.output_dir
    folders = {out, out / "sub-01", out / "sub-01/anat", out / "sub-01/figures"}
    assert steps[:2] == [("name", held[0]), ("name", held[1])]
    assert {path for _, path in steps[2:-1]} == folders
    assert {what for what, _ in steps[2:-1]} == {"flush"}
    assert steps[-1] == ("name", held[2])


def test_what_is_not_published_is_removed(place: Place) -> None:
    with batched(place) as batch:
        batch.put("sub-01/anat/mask", b"x")
    assert not list(place.staging.iterdir())
    assert not (place.output_dir / "sub-01").exists()
