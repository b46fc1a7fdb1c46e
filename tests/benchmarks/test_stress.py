"""The distortions move image, mask and affine together."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from benchmarks.stress import (
    BATTERY,
    LEAST_MEAN,
    Distorted,
    background,
    biased,
    coarser,
    cut,
    faceless,
    finer,
    main,
    noisy,
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


@pytest.mark.parametrize("snr", [5.0, 10.0, 20.0])
def test_noise_is_rician_of_the_ratio_asked_for(head, snr: float) -> None:
    """Second moments: twice the variance in air, and that beside the squared signal in brain."""
    image, mask = head
    found = noisy(snr)(image, mask, np.random.default_rng(4))
    air = found.image[image == 4].astype(float)
    sd = np.sqrt((air**2).mean() / 2)
    assert air.mean() / sd == pytest.approx(np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh
    signal = np.sqrt((found.image[mask].astype(float) ** 2).mean() - 2 * sd**2)
    assert signal == pytest.approx(900, rel=0.01)
    assert signal / sd == pytest.approx(snr, rel=0.02)
    assert found.image[mask].std() == pytest.approx(sd, rel=0.04)
    assert found.image.min() >= 0
    assert np.array_equal(found.mask, mask)


@pytest.mark.parametrize("strength", [0.4, 1.2])
def test_a_bias_goes_from_corner_to_corner(head, strength: float) -> None:
    """Its logarithm is a plane: from minus to plus the strength, none in the middle."""
    image, mask = head
    found = biased(strength)(image, mask, RNG)
    field = np.log(found.image / image)
    assert field[0, 0, 0] == pytest.approx(-strength, abs=1e-4)
    assert field[-1, -1, -1] == pytest.approx(strength, abs=1e-4)
    assert field[-1, 0, 24] == pytest.approx(0, abs=1e-4)
    for axis in range(3):
        ends = field.take(-1, axis) - field.take(0, axis)
        assert ends == pytest.approx(2 * strength / 3, abs=1e-4)
        assert np.abs(np.diff(field, 2, axis=axis)).max() < 1e-4
    assert np.array_equal(found.mask, mask)


@pytest.mark.parametrize(("name", "air", "scalp", "brain"), [
    ("gamma .5", 1000 * np.sqrt(4 / 900), 1000 * np.sqrt(1 / 3), 1000.0),
    ("gamma 2", 1000 * (4 / 900) ** 2, 1000 / 9, 1000.0),
    ("inverted", 0.0, 1000 * (1.05 - 1 / 3), 50.0),
])  # fmt: skip
def test_contrasts_change_each_brightness_as_they_say(
    head, name: str, air: float, scalp: float, brain: float
) -> None:
    image, mask = head
    found = BATTERY[name](image, mask, RNG)
    for before, after in ((4, air), (300, scalp), (900, brain)):
        assert found.image[image == before] == pytest.approx(after, rel=1e-4)
    assert np.array_equal(found.mask, mask)


@pytest.mark.parametrize(("name", "direction"), [("gamma .5", 1), ("gamma 2", 1), ("inverted", -1)])
def test_contrasts_keep_the_order_of_brightness(name: str, direction: int) -> None:
    """Of a ramp; what is brighter than 999 of 1000 voxels is clipped, inverted air is none."""
    ramp = np.linspace(0, 5000, 20**3, dtype=np.float32).reshape(20, 20, 20)
    found = BATTERY[name](ramp, ramp > 2000, RNG).image.ravel()
    assert 0 <= found.min() <= 50
    assert 990 <= found.max() <= 1000
    rises = direction * np.diff(found[410:])  # a twentieth is air
    assert (rises[:-10] > 0).all()
    assert (rises[-7:] == 0).all()


def test_a_face_is_removed_and_nothing_of_the_brain(head) -> None:
    """All of a face before and below; nothing within 8 mm of the brain, behind, or above."""
    image, mask = head
    face = (slice(20, 28), slice(54, 62), slice(6, 14))
    image = image.copy()
    image[face] = 500
    found = faceless(image, mask, RNG)
    gone = found.image == 0
    assert gone[face].all()
    assert np.array_equal(found.image[~gone], image[~gone])
    assert 8 <= ndimage.distance_transform_edt(~mask)[gone].min() < 9.5
    assert not gone[:, :35].any()
    assert not gone[:, :, 26:].any()
    assert np.array_equal(found.mask, mask)
    assert found.seen.all()


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
        assert main([str(raw), "--json", str(kept)]) == int(expected < LEAST_MEAN)
        told = capsys.readouterr().out.splitlines()
        score = float(next(line for line in told if line.startswith("all")).split()[1])
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
