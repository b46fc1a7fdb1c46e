"""Draw, then render: repeatable, and true to the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from bids_strip.geometry import signed_distance  # noqa: E402
from training.maps import (  # noqa: E402
    GROUP_INDEX,
    GROUPS,
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    UNIT,
    TrainingMap,
)
from training.synthesis import (  # noqa: E402
    CLIP,
    FAR_MM,
    SynthesisDraw,
    SynthesisRanges,
    draw,
    render,
)

pytestmark = pytest.mark.training
SIDE = 72
CENTRE, RADIUS = 35.5, 22.0
WINDOW = (32, 36, 32)
RANGES = SynthesisRanges(windows=((WINDOW, 1.0),))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def radius() -> np.ndarray:
    x, y, z = np.indices((SIDE, SIDE, SIDE)) - CENTRE
    return np.sqrt(x**2 + y**2 + z**2)


@pytest.fixture(scope="module")
def source() -> TrainingMap:
    """A ball of cortex in bone and skin; both surfaces are the ball's."""
    r = radius()
    groups = np.zeros(r.shape, np.uint8)
    groups[r < 33] = GROUP_INDEX["skin"]
    groups[r < 29] = GROUP_INDEX["bone"]
    groups[r < RADIUS] = GROUP_INDEX["cortex"]
    full = signed_distance(r < RADIUS, zooms=UNIT, limit_mm=SDT_LIMIT_MM)
    half = full.reshape(36, 2, 36, 2, 36, 2).mean(axis=(1, 3, 5))
    sdt = np.round(np.stack([half, half]) / SDT_STEP_MM).astype(np.int8)
    return TrainingMap("ball", groups, sdt)


def identity() -> SynthesisDraw:
    """A draw that changes nothing but the contrast."""
    return replace(
        draw(np.random.default_rng(0), 1, RANGES),
        flip=False, rotation_deg=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0), shear=(0.0, 0.0, 0.0),
        shift_mm=(0.0, 0.0, 0.0), elastic_mm=((4, 0.0),), texture_sd=0.0, fat=None, dura=None,
        blobs=(), stripped_margin_mm=None, face_cut=None, bias_sd=0.0, blur_sd_mm=0.0,
        slice_mm=0.0, noise_sd=0.0, zero_air=False, cuts_mm=(1e3,) * 6, percentiles=(0.0, 100.0),
        gamma=1.0, means=tuple({"cortex": 1.0, "skin": 0.6}.get(g, 0.0) for g in GROUPS),
    )  # fmt: skip


def window_radius() -> np.ndarray:
    """Distance of each window voxel to the centre, mm; the window lies on the ball's middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * 2.0 for n in WINDOW]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2)


def test_a_draw_is_repeatable() -> None:
    one, two = (draw(np.random.default_rng(11), 16, SynthesisRanges()) for _ in range(2))
    assert one == two
    assert draw(np.random.default_rng(12), 16, SynthesisRanges()) != one


def test_draws_stay_in_their_ranges() -> None:
    ranges = SynthesisRanges()
    rng = np.random.default_rng(3)
    draws = [draw(rng, 16, ranges) for _ in range(200)]
    assert {d.map_index for d in draws} == set(range(16))
    assert all(abs(v) <= ranges.rotation_deg for d in draws for v in d.rotation_deg)
    assert all(0.74 <= s <= 1.29 for d in draws for s in d.scale)
    assert all(0 <= d.noise_sd <= ranges.noise_sd[1] for d in draws)
    assert all(d.percentiles[0] < d.percentiles[1] for d in draws)
    assert {d.shape for d in draws} == {w for w, _ in ranges.windows}
    assert 0.5 < np.mean([d.t1w for d in draws]) < 0.75
    assert all(len(d.means) == len(GROUPS) and min(d.means) >= 0 for d in draws)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rendering_is_repeatable_byte_for_byte(source: TrainingMap, seed: int) -> None:
    item = draw(np.random.default_rng(seed), 1, RANGES)
    one = render(source, item)
    torch.rand(7)  # the global generator has no part in it
    two = render(source, item)
    for field in ("image", "sdt", "tissue", "weight"):
        assert getattr(one, field).numpy().tobytes() == getattr(two, field).numpy().tobytes()


def test_rendering_leaves_the_global_generator_alone(source: TrainingMap) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    render(source, draw(np.random.default_rng(1), 1, RANGES))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(6))
def test_samples_are_well_formed(source: TrainingMap, seed: int) -> None:
    sample = render(source, draw(np.random.default_rng(seed), 1, RANGES))
    assert sample.image.shape == (1, 1, *WINDOW)
    assert sample.sdt.shape == (1, 2, *WINDOW)
    assert sample.tissue.shape == (1, *WINDOW)
    assert sample.weight.shape == (1, 1, *WINDOW)
    assert torch.isfinite(sample.image).all()
    assert float(sample.image.min()) >= 0
    assert float(sample.image.max()) <= max(CLIP, CLIP**2)
    known = sample.sdt.abs() < FAR_MM
    assert sample.sdt.abs()[known].max() <= SDT_LIMIT_MM * 1.3
    assert sample.sdt.abs().max() <= FAR_MM
    assert sample.tissue.dtype == torch.int64


def test_identity_gives_the_maps_own_distances(source: TrainingMap) -> None:
    """The transform of the map at 1 mm, looked up by scipy; steps of 0.1 mm were stored."""
    sample = render(source, identity())
    full = signed_distance(radius() < RADIUS, zooms=UNIT, limit_mm=SDT_LIMIT_MM)
    axes = [(np.arange(n) - (n - 1) / 2) * 2.0 + CENTRE for n in WINDOW]
    expected = ndimage.map_coordinates(full, np.meshgrid(*axes, indexing="ij"), order=1)
    true = window_radius() - RADIUS
    near = np.abs(true) < 8
    for channel in (0, 1):
        found = sample.sdt[0, channel].numpy()
        assert np.abs(found - expected)[near].max() < 0.1
        assert np.abs(found - true)[near].mean() < 0.4


def test_identity_gives_the_maps_own_tissue(source: TrainingMap) -> None:
    tissue = render(source, identity()).tissue[0].numpy()
    r = window_radius()
    assert (tissue[r < RADIUS - 2] == 1).all()
    assert (tissue[(r > RADIUS + 2) & (r < 27)] == 4).all()
    assert (tissue[(r > 30.5) & (r < 31.5)] == 5).all()


def test_identity_gives_an_image_of_the_means(source: TrainingMap) -> None:
    image = render(source, identity()).image[0, 0].numpy()
    r = window_radius()
    assert np.allclose(image[r < RADIUS - 3], 1.0, atol=0.02)
    assert np.allclose(image[(r > RADIUS + 2.5) & (r < 26.5)], 0.0, atol=0.02)


def test_image_and_target_move_together(source: TrainingMap) -> None:
    moved = replace(identity(), shift_mm=(4.0, -6.0, 2.0), flip=True)
    sample = render(source, moved)
    inside = (sample.image[0, 0] > 0.5) & (sample.tissue[0] != 5) & (sample.tissue[0] != 0)
    target = sample.sdt[0, 0] <= 0
    overlap = 2 * (inside & target).sum() / (inside.sum() + target.sum())
    assert float(overlap) > 0.97
    where = torch.nonzero(target).float().mean(0) - (torch.tensor(WINDOW) - 1) / 2
    assert torch.allclose(where * 2, torch.tensor([4.0, -6.0, 2.0]), atol=0.3)


@pytest.mark.parametrize("scale", [0.8, 1.2])
def test_scaling_scales_the_distances(source: TrainingMap, scale: float) -> None:
    sample = render(source, replace(identity(), scale=(scale,) * 3))
    true = window_radius() - RADIUS * scale
    near = np.abs(true) < 5
    assert np.abs(sample.sdt[0, 0].numpy() - true)[near].mean() < 0.35


def test_stripping_leaves_nothing_outside(source: TrainingMap) -> None:
    sample = render(source, replace(identity(), stripped_margin_mm=0.0))
    outside = sample.sdt[0, 0] > 0.1
    assert float(sample.image[0, 0][outside].abs().max()) == 0
    assert float(sample.image[0, 0][sample.sdt[0, 0] < -3].min()) > 0.8


def test_a_cut_field_of_view_is_dark_and_weighs_less(source: TrainingMap) -> None:
    sample = render(source, replace(identity(), cuts_mm=(1e3, 1e3, 1e3, 1e3, -8.0, 1e3)))
    weight = sample.weight[0, 0]
    unseen = weight < 0.5
    assert unseen.any()
    assert not unseen.all()
    assert float(sample.image[0, 0][unseen].abs().max()) == 0
    assert np.allclose(np.unique(weight.numpy()), [0.05, 1.0])
