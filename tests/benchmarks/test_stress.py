"""The distortions move image, mask and affine together."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from benchmarks.stress import (
    BATTERY,
    Distorted,
    background,
    coarser,
    cut,
    finer,
    main,
    permuted,
    rotated,
    stress,
)

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    """A bright ball off the middle of a dim head."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in (56, 63, 49)), indexing="ij")
    mask = (i - 24) ** 2 + (j - 34) ** 2 + (k - 26) ** 2 <= 14**2
    scalp = (i - 24) ** 2 + (j - 34) ** 2 + (k - 26) ** 2 <= 20**2
    return np.where(mask, 900.0, np.where(scalp, 300.0, 4.0)).astype(np.float32), mask


@pytest.mark.parametrize("name", BATTERY)
def test_what_is_compared_fits(head, name: str) -> None:
    found = BATTERY[name](*head, np.random.default_rng(0))
    assert found.image.shape == found.mask.shape == found.seen.shape
    assert found.image.dtype == np.float32
    assert found.mask.any()
    assert (found.mask & found.seen).any()


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0), (0, 1, 2)])
def test_other_axes_are_the_same_head(head, axes) -> None:
    image, mask = head
    found = permuted(axes)(image, mask, RNG)
    back = nib.as_closest_canonical(nib.Nifti1Image(found.image, found.affine))
    assert np.array_equal(np.asarray(back.dataobj), image)
    assert np.allclose(back.affine, np.eye(4))
    moved = nib.as_closest_canonical(nib.Nifti1Image(found.mask.astype(np.uint8), found.affine))
    assert np.array_equal(np.asarray(moved.dataobj) > 0, mask)


def test_a_rotation_moves_image_and_mask_alike(head) -> None:
    found = rotated(30, (0, 1))(*head, RNG)
    bright = found.image > 600
    both = found.mask & found.seen
    assert np.count_nonzero(bright & both) / np.count_nonzero(both) > 0.98


def test_coarser_voxels_stay_in_place(head) -> None:
    image, mask = head
    found = coarser((1, 7, 1))(image, mask, RNG)
    centre = found.affine @ [*np.argwhere(found.mask).mean(axis=0), 1]
    assert np.allclose(centre[:3], np.argwhere(mask).mean(axis=0), atol=0.6)
    assert np.isclose(found.image.mean(), image[:, :63].mean(), rtol=1e-4)


@pytest.mark.parametrize(("axis", "from_top"), [(2, True), (2, False), (0, True)])
def test_a_cut_takes_its_share_of_the_brain(head, axis: int, from_top: bool) -> None:
    _, mask = head
    found = cut(axis, 0.5, from_top=from_top)(*head, RNG)
    assert 0.4 < np.count_nonzero(found.mask) / np.count_nonzero(mask) < 0.6


@pytest.mark.parametrize("kind", ["zeros", "noise", "nan"])
def test_a_background_leaves_the_head_alone(head, kind: str) -> None:
    image, mask = head
    found = background(kind)(image, mask, RNG)
    assert np.array_equal(found.image[mask], image[mask])
    assert not np.array_equal(found.image[0, 0], image[0, 0])


def test_finer_voxels_stay_in_place(head) -> None:
    """Averaged back in pairs, away from edges, they are the head again."""
    image, mask = head
    found = finer(2)(image, mask, RNG)
    assert found.image.shape == tuple(2 * n for n in image.shape)
    assert np.allclose(nib.affines.apply_affine(found.affine, (0.5, 0.5, 0.5)), 0)
    back = found.image.reshape(56, 2, 63, 2, 49, 2).mean(axis=(1, 3, 5))
    assert np.allclose(back[24, 34, 20:30], image[24, 34, 20:30])
    assert np.array_equal(found.mask[::2, ::2, ::2], mask)


def test_what_is_known_is_not_done_again(head, tmp_path) -> None:
    """Of a battery that was stopped the rest is done; of a whole one nothing, the head included."""
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(head[0], np.eye(4)), path)
    known = dict.fromkeys(BATTERY, 1.0)
    del known["gamma 2"], known["crown cut"]
    stripped = []

    def strip(image: nib.Nifti1Image) -> np.ndarray:
        stripped.append(image.shape)
        return np.asarray(image.dataobj) > 600

    found = dict(stress(path, strip, known))
    assert list(found) == ["gamma 2", "crown cut"]
    assert found["crown cut"] == 1.0
    assert len(stripped) == 3  # the head itself first
    assert not list(stress(path, strip, dict.fromkeys(BATTERY, 1.0)))
    assert len(stripped) == 3


def test_heads_of_one_name_keep_their_own_scores(head, tmp_path, monkeypatch, capsys) -> None:
    """Two datasets in folders of one name; in the second the mask of the distorted head is wide."""
    image, mask = head
    limits = iter((600, 600, 600, 200))  # of each mask in turn: a fifth would fail

    def strip(seen: nib.Nifti1Image) -> np.ndarray:
        return np.asarray(seen.dataobj) > next(limits)

    monkeypatch.setattr("benchmarks.stress.BATTERY", {"as it is": _as_it_is})
    monkeypatch.setattr("benchmarks.stress.load_predictor", lambda *_args, **_more: None)
    monkeypatch.setattr("benchmarks.stress.ours", lambda _: strip)
    wide = 2 * mask.sum() / (mask.sum() + (image > 200).sum())
    for place, gain in (("a", 1.0), ("b", 1.01)):
        folder = tmp_path / place / "raw" / "sub-01" / "anat"
        folder.mkdir(parents=True)
        nib.save(nib.Nifti1Image(image * gain, np.eye(4)), folder / "sub-01_T1w.nii.gz")
    for place, expected in (("a", 1.0), ("b", wide), ("a", 1.0)):
        raw, kept = tmp_path / place / "raw", tmp_path / "scores.json"
        assert main([str(raw), "--json", str(kept)]) == 0
        score = float(capsys.readouterr().out.splitlines()[-1].split()[1])
        assert score == pytest.approx(expected, abs=1e-3)
    assert next(limits, None) is None


def _as_it_is(image: np.ndarray, mask: np.ndarray, _rng: np.random.Generator) -> Distorted:
    return Distorted(image, np.eye(4), mask, np.ones(mask.shape, bool))


def test_a_mask_that_fails_is_a_score_of_nothing(head, tmp_path, capsys) -> None:
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(head[0], np.eye(4)), path)

    def strip(image: nib.Nifti1Image) -> np.ndarray:
        if not np.isfinite(np.asarray(image.dataobj)).all():
            raise ValueError("not finite")
        return np.asarray(image.dataobj) > 600

    known = dict.fromkeys(BATTERY, 1.0)
    del known["background NaN"]
    assert dict(stress(path, strip, known)) == {"background NaN": 0.0}
    assert "background NaN: not finite" in capsys.readouterr().err
