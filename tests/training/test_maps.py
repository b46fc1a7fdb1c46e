"""Label maps prepared for training: groups, cut, surfaces."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bids_strip.geometry import signed_distance  # noqa: E402
from training import maps  # noqa: E402
from training.errors import TrainingError  # noqa: E402
from training.maps import (  # noqa: E402
    GROUP_INDEX,
    GROUPS,
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    TISSUE_OF_GROUP,
    UNIT,
    TrainingMap,
    check_there,
    load_maps,
    prepare,
    region_of,
)
from training.synthesis import T1W_MEANS  # noqa: E402

pytestmark = pytest.mark.training
SHAPE = (64, 64, 72)
CENTRE = (32, 31, 40)


def labels() -> np.ndarray:
    """Ball of cortex around white matter in fluid, bone, skin; a stem that ends at k = 14."""
    i, j, k = np.indices(SHAPE)
    r = np.sqrt((i - CENTRE[0]) ** 2 + (j - CENTRE[1]) ** 2 + (k - CENTRE[2]) ** 2)
    axis = np.sqrt((i - CENTRE[0]) ** 2 + (j - CENTRE[1]) ** 2)
    found = np.zeros(SHAPE, np.int16)
    found[r < 28] = 511
    found[r < 25] = 515
    found[r < 21] = 24
    found[(axis < 8) & (k < 30) & (k > 1)] = 24  # fluid around stem and cord
    found[r < 16] = 3
    found[r < 12] = 2
    found[(axis < 4) & (k >= 14) & (k < 30)] = 16
    found[(axis < 4) & (k < 14) & (k > 1)] = 512
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    nib.save(nib.Nifti1Image(labels(), np.eye(4)), folder / "a.nii.gz")
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = SHAPE[0] - 1
    nib.save(nib.Nifti1Image(labels()[::-1], flipped), folder / "b.nii.gz")
    return folder


def test_groups_and_tissues_are_whole() -> None:
    every = [v for values in GROUPS.values() for v in values]
    assert len(every) == len(set(every))
    assert set(TISSUE_OF_GROUP) == set(GROUPS) == set(T1W_MEANS)
    assert set(TISSUE_OF_GROUP.values()) == set(range(6))


def test_fluid_near_the_brain_belongs_to_it_and_spinal_fluid_does_not() -> None:
    found = labels()
    brain, tissue = region_of(found)
    assert brain[(found == 3) | (found == 2) | (found == 16)].all()
    assert not brain[(found == 511) | (found == 512)].any()
    assert (found == 24).any()  # there is fluid to judge
    ring = np.zeros(SHAPE, bool)
    ring[..., 45:] = True
    assert brain[(found == 24) & ring].all()  # 5 mm of it, within reach
    assert not brain[..., :10].any()
    assert np.array_equal(tissue, np.isin(found, (2, 3, 16)))


def test_a_prepared_map(folder: Path) -> None:
    made = prepare(folder / "a.nii.gz")
    assert made.name == "a"
    assert all(n % 2 == 0 for n in made.groups.shape)
    assert made.sdt.shape == (2, *(n // 2 for n in made.groups.shape))
    assert made.sdt.dtype == np.int8
    assert np.abs(made.sdt).max() * SDT_STEP_MM <= SDT_LIMIT_MM + 0.05
    # the crop keeps every label of the head
    found = labels()
    for group in ("cortex", "skin", "bone", "cord"):
        count = np.isin(found, GROUPS[group]).sum()
        assert (made.groups == GROUP_INDEX[group]).sum() == count


def test_stored_distances_are_means_of_the_true_ones(folder: Path) -> None:
    made = prepare(folder / "a.nii.gz")
    tissue = np.isin(made.groups, [GROUP_INDEX[g] for g in ("cortex", "white_matter",
                                                            "brain_stem")])  # fmt: skip
    full = signed_distance(tissue, zooms=UNIT, limit_mm=SDT_LIMIT_MM, coarse_mm=1.0)
    for index in [(10, 10, 10), (16, 15, 20), (5, 20, 12)]:
        block = full[tuple(slice(2 * n, 2 * n + 2) for n in index)]
        assert made.sdt[(1, *index)] * SDT_STEP_MM == pytest.approx(block.mean(), abs=0.051)


def test_orientation_of_the_file_does_not_matter(folder: Path) -> None:
    a, b = prepare(folder / "a.nii.gz"), prepare(folder / "b.nii.gz")
    assert np.array_equal(a.groups, b.groups)
    assert np.array_equal(a.sdt, b.sdt)


def test_a_map_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no label maps c there"):
        load_maps(folder, tmp_path / "cache", ["a", "c"])
    with pytest.raises(TrainingError, match="no label maps c, d there"):
        check_there(folder, ["a", "d", "c"])
    check_there(folder, ["a"])


@pytest.fixture
def prepared(monkeypatch) -> list[str]:
    """Names of the maps that were prepared, in order; what is made of one stays as it is."""
    names: list[str] = []

    def noted(path: Path) -> TrainingMap:
        made = prepare(path)
        names.append(made.name)
        return made

    monkeypatch.setattr(maps, "prepare", noted)
    return names


def same(one: TrainingMap, other: TrainingMap) -> bool:
    return np.array_equal(one.groups, other.groups) and np.array_equal(one.sdt, other.sdt)


def test_a_map_is_prepared_once(folder: Path, tmp_path: Path, prepared: list[str]) -> None:
    first = load_maps(folder, tmp_path, ["a"])
    again = load_maps(folder, tmp_path, ["a"])
    assert prepared == ["a"]
    assert same(first[0], again[0])


def test_another_map_of_the_same_name_is_prepared_anew(
    folder: Path, tmp_path: Path, prepared: list[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    found = np.where(labels() == 2, 3, labels()).astype(np.int16)
    nib.save(nib.Nifti1Image(found, np.eye(4)), other / "a.nii.gz")
    cache = tmp_path / "cache"
    first, second, third = (load_maps(one, cache, ["a"])[0] for one in (folder, other, folder))
    assert prepared == ["a", "a", "a"]
    white = GROUP_INDEX["white_matter"]
    assert [bool((m.groups == white).any()) for m in (first, second, third)] == [True, False, True]


@pytest.mark.parametrize("changed", [
    {"REACH_MM": 3.0},
    {"GROUPS": {"air": (0,)} | {name: v for name, v in reversed(GROUPS.items()) if name != "air"}},
    {"_BRAIN_GROUPS": ("white_matter", "cortex")},
])  # fmt: skip
def test_a_map_to_another_definition_is_prepared_anew(
    folder: Path, tmp_path: Path, prepared: list[str], monkeypatch, changed: dict[str, object]
) -> None:
    first = load_maps(folder, tmp_path, ["a"])
    for name, value in changed.items():
        monkeypatch.setattr(maps, name, value)
    second = load_maps(folder, tmp_path, ["a"])
    again = load_maps(folder, tmp_path, ["a"])
    assert prepared == ["a", "a"]
    assert same(second[0], again[0])
    assert "GROUPS" in changed or not np.array_equal(first[0].sdt, second[0].sdt)


@pytest.mark.parametrize("name", ["DEFINITION", "CLOSING_MM", "SPINAL_MM", "NEAREST_MM"])
def test_a_map_from_before_another_number_of_the_definition_is_prepared_anew(
    folder: Path, tmp_path: Path, prepared: list[str], monkeypatch, name: str
) -> None:
    load_maps(folder, tmp_path, ["a"])
    monkeypatch.setattr(maps, name, getattr(maps, name) + 1)
    load_maps(folder, tmp_path, ["a"])
    load_maps(folder, tmp_path, ["a"])
    assert prepared == ["a", "a"]


def test_maps_that_say_no_definition_are_of_the_first(folder: Path) -> None:
    """The digest is that of 0.12 and before as long as nothing changes."""
    path = folder / "a.nii.gz"
    said = [6.0, 12.7, 0.1, list(GROUPS.items()), maps._BRAIN_GROUPS]
    digest = hashlib.sha256(path.read_bytes() + json.dumps(said).encode()).hexdigest()
    assert maps.made_from(path) == digest[:16]


def test_what_is_prepared_is_that_of_the_definition(folder: Path) -> None:
    """Where this fails, what `prepare` gives has changed: raise `DEFINITION`, then change this."""
    assert maps.DEFINITION == 1
    assert [int(region.sum()) for region in region_of(labels())] == [39891, 17566]
    made = prepare(folder / "a.nii.gz")
    assert made.groups.shape == SHAPE
    sums = np.abs(made.sdt.astype(int)).sum((1, 2, 3))
    assert sums == pytest.approx([3416398, 3897624], rel=1e-4)


@pytest.mark.parametrize("broken", ["cut", "empty", "zeros", "a voxel", "from before digests"])
def test_what_is_broken_or_unknown_in_the_cache_is_prepared_anew(
    folder: Path, tmp_path: Path, prepared: list[str], broken: str
) -> None:
    first = load_maps(folder, tmp_path, ["a"])
    (stored,) = tmp_path.iterdir()
    if broken == "from before digests":
        np.savez_compressed(stored, groups=first[0].groups, sdt=np.zeros_like(first[0].sdt))
    else:
        whole = stored.read_bytes()
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 1
        stored.write_bytes({"cut": whole[:1000], "empty": b"", "zeros": bytes(len(whole)),
                            "a voxel": bytes(changed)}[broken])  # fmt: skip
    assert same(load_maps(folder, tmp_path, ["a"])[0], first[0])
    assert prepared == ["a", "a"]


def test_an_interrupted_start_leaves_nothing_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    def interrupted(file, **_arrays) -> None:
        file.write(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(maps.np, "savez_compressed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_maps(folder, tmp_path, ["a"])
    assert list(tmp_path.iterdir()) == []
    assert len(load_maps(folder, tmp_path, ["a"])) == 1


def test_the_cache_gives_the_same(folder: Path, tmp_path: Path) -> None:
    first = load_maps(folder, tmp_path / "cache", ["a"])
    again = load_maps(folder, tmp_path / "cache")
    assert [m.name for m in first] == ["a"]
    assert [m.name for m in again] == ["a", "b"]
    assert same(first[0], again[0])
