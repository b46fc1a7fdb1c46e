"""Draw, then render: repeatable, and true to the map."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")

from bids_strip.geometry import signed_distance  # noqa: E402
from training.maps import (  # noqa: E402
    GROUP_INDEX,
    GROUPS,
    REACH_MM,
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    TISSUE_OF_GROUP,
    UNIT,
    TrainingMap,
)
from training.network import CLIP  # noqa: E402
from training.synthesis import (  # noqa: E402
    FAR_MM,
    Anatomy,
    Placement,
    Processing,
    Scan,
    SynthesisDraw,
    SynthesisRanges,
    draw,
    render,
    stored,
    unstored,
)
from training.synthesis.draws import Ellipsoid  # noqa: E402
from training.synthesis.render import on_device  # noqa: E402
from training.synthesis.scanner import _averaged, acquired  # noqa: E402
from training.synthesis.space import blurred  # noqa: E402

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
    drawn = draw(np.random.default_rng(0), 1, RANGES)
    return replace(
        drawn,
        means=tuple({"cortex": 1.0, "skin": 0.6}.get(g, 0.0) for g in GROUPS),
        placement=Placement(
            flip=False, rotation_deg=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0), shear=(0.0, 0.0, 0.0),
            shift_mm=(0.0, 0.0, 0.0), elastic_mm=((4, 0.0),),
        ),
        anatomy=Anatomy(
            texture_sd=0.0, fat=None, dura=None, atrophy_mm=0.0, ventricles_mm=0.0, lesions=None,
            blobs=(), scalp=None, strays=(), clutter=None,
        ),
        scan=Scan(
            bias_sd=0.0, bias_cells=2, blur_sd_mm=0.0, slice_axis=0, slice_mm=0.0, coarse_mm=0.0,
            noise_sd=0.0, noise_left=1.0, ghost=None, ripple=None, wrap=None, inverted=None,
            cuts_mm=(1e3,) * 6,
        ),
        processing=Processing(
            zero_air=False, background=0.0, stripped_margin_mm=None, ragged_mm=0.0, face=None,
            levels=0, percentiles=(0.0, 100.0), gamma=1.0,
        ),
    )  # fmt: skip


def changed(part: str, **values: object) -> SynthesisDraw:
    """The identity with some values of one part."""
    plain = identity()
    return replace(plain, **{part: replace(getattr(plain, part), **values)})


def image_of(source: TrainingMap, item: SynthesisDraw) -> np.ndarray:
    return render(source, item).image[0, 0].numpy()


def window_radius() -> np.ndarray:
    """Distance of each window voxel to the centre, mm; the window lies on the ball's middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * 2.0 for n in WINDOW]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2)


def test_a_draw_is_repeatable() -> None:
    one, two = (draw(np.random.default_rng(11), 16, SynthesisRanges()) for _ in range(2))
    assert one == two
    assert draw(np.random.default_rng(12), 16, SynthesisRanges()) != one


def test_a_draw_survives_json() -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        item = draw(rng, 16, SynthesisRanges())
        assert unstored(json.loads(json.dumps(stored(item)))) == item


def test_draws_stay_in_their_ranges() -> None:
    ranges = SynthesisRanges()
    rng = np.random.default_rng(3)
    draws = [draw(rng, 16, ranges) for _ in range(300)]
    assert {d.map_index for d in draws} == set(range(16))
    angles = [abs(v) for d in draws for v in d.placement.rotation_deg]
    assert max(angles) <= ranges.tilt_deg
    assert sum(a > 2 * ranges.rotation_sd_deg for a in angles) > 10
    assert all(0.72 <= s <= 1.31 for d in draws for s in d.placement.scale)
    assert all(0 <= d.scan.noise_sd <= ranges.noise_sd[1] for d in draws)
    assert all(d.processing.percentiles[0] < d.processing.percentiles[1] for d in draws)
    assert {d.shape for d in draws} == {w for w, _ in ranges.windows}
    assert 0.5 < np.mean([d.contrast == "T1w-like" for d in draws]) < 0.67
    assert {d.contrast for d in draws} == {"T1w-like", "any", "CT-like"}
    assert all(len(d.means) == len(GROUPS) and min(d.means) >= 0 for d in draws)


def test_every_change_is_drawn_sometimes() -> None:
    rng = np.random.default_rng(4)
    draws = [draw(rng, 16, SynthesisRanges()) for _ in range(400)]
    plain = identity()
    for part in ("anatomy", "scan", "processing"):
        for name in getattr(plain, part).__slots__:
            if name in ("wrap", "slice_axis", "bias_cells"):
                continue
            neutral = getattr(getattr(plain, part), name)
            share = np.mean([getattr(getattr(d, part), name) != neutral for d in draws])
            assert share > 0.02, (part, name)


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
    assert float(sample.image.max()) <= CLIP[1] ** math.exp(SynthesisRanges().log_gamma_limit)
    brain_mm = sample.sdt[:, 0].abs()
    assert brain_mm[brain_mm < FAR_MM].max() <= SDT_LIMIT_MM * 1.3
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
    sample = render(source, changed("placement", shift_mm=(4.0, -6.0, 2.0), flip=True))
    inside = (sample.image[0, 0] > 0.5) & (sample.tissue[0] != 5) & (sample.tissue[0] != 0)
    target = sample.sdt[0, 0] <= 0
    overlap = 2 * (inside & target).sum() / (inside.sum() + target.sum())
    assert float(overlap) > 0.97
    where = torch.nonzero(target).float().mean(0) - (torch.tensor(WINDOW) - 1) / 2
    assert torch.allclose(where * 2, torch.tensor([4.0, -6.0, 2.0]), atol=0.3)


@pytest.mark.parametrize("scale", [0.8, 1.2])
def test_scaling_scales_the_distances(source: TrainingMap, scale: float) -> None:
    sample = render(source, changed("placement", scale=(scale,) * 3))
    true = window_radius() - RADIUS * scale
    near = np.abs(true) < 5
    assert np.abs(sample.sdt[0, 0].numpy() - true)[near].mean() < 0.35


def test_another_zoom_shows_the_same_ball(source: TrainingMap) -> None:
    fine = replace(identity(), zoom_mm=1.6, shape=(40, 45, 40))
    sample = render(source, fine)
    volume_ml = float((sample.sdt[0, 0] <= 0).sum()) * 1.6**3 / 1000
    assert volume_ml == pytest.approx(4 / 3 * math.pi * RADIUS**3 / 1000, rel=0.03)


def test_stripping_leaves_nothing_outside(source: TrainingMap) -> None:
    sample = render(source, changed("processing", stripped_margin_mm=0.0))
    outside = sample.sdt[0, 0] > 0.1
    assert float(sample.image[0, 0][outside].abs().max()) == 0
    assert float(sample.image[0, 0][sample.sdt[0, 0] < -3].min()) > 0.8


def test_a_ragged_rim_strays_from_the_margin(source: TrainingMap) -> None:
    """At a margin inside the brain: a smooth rim keeps a ball, a ragged one a dented ball."""
    smooth, ragged = (
        image_of(source, changed("processing", stripped_margin_mm=-4.0, ragged_mm=mm)) > 0.5
        for mm in (0.0, 1.0)
    )
    r = window_radius() - RADIUS
    assert (ragged & ~smooth).any()
    assert (smooth & ~ragged).any()
    assert ragged[r < -8].all()
    assert not ragged[r > 0].any()


def test_a_cut_field_of_view_is_dark_and_weighs_less(source: TrainingMap) -> None:
    sample = render(source, changed("scan", cuts_mm=(1e3, 1e3, 1e3, 1e3, -8.0, 1e3)))
    weight = sample.weight[0, 0]
    unseen = weight < 0.5
    assert unseen.any()
    assert not unseen.all()
    assert float(sample.image[0, 0][unseen].abs().max()) == 0
    assert np.allclose(np.unique(weight.numpy()), [0.05, 1.0])


def test_what_is_outside_the_field_folds_into_it(source: TrainingMap) -> None:
    """The skin beyond the cut appears at the other end, one field away."""
    cut = (1e3, 1e3, 1e3, 4.0, 1e3, 1e3)
    plain = image_of(source, identity())
    folded = image_of(source, changed("scan", cuts_mm=cut, wrap=1))
    folded *= plain[16, 18, 16] / folded[16, 18, 16]  # what is folded may be the new maximum
    field = (folded.any(axis=(0, 2))).nonzero()[0]
    low, high = int(field[0]), int(field[-1])
    beyond = plain[:, high + 1 :]
    assert beyond.max() > 0.5
    gained = folded[:, low : low + beyond.shape[1]] - plain[:, low : low + beyond.shape[1]]
    assert np.allclose(gained, beyond, atol=1e-5)


def test_atrophy_draws_the_tissue_back_and_the_brain_no_farther_than_its_reach(
    source: TrainingMap,
) -> None:
    plain, shrunk = (render(source, item) for item in (identity(), changed(
        "anatomy", atrophy_mm=2.0)))  # fmt: skip
    known = shrunk.sdt[:, 1:].abs() < FAR_MM
    reach = torch.maximum(plain.sdt[:, :1], shrunk.sdt[:, 1:] - REACH_MM)
    assert torch.allclose(shrunk.sdt[:, :1][known], reach[known])
    assert torch.equal(plain.sdt[:, :1][~known], shrunk.sdt[:, :1][~known])
    moved = (shrunk.sdt[:, 1:] - plain.sdt[:, 1:])[plain.sdt[:, 1:].abs() < 8]
    assert 0.2 < float(moved.min()) < 1.8 < float(moved.max()) < 4.0
    became = (plain.tissue == 1) & (shrunk.tissue == 3)
    assert became.any()
    drawn_back = (shrunk.sdt[:, 1] > 0) & (plain.tissue == 1)
    assert torch.equal(became, drawn_back)


def shelled() -> TrainingMap:
    """A ball of white matter, a cortex of 4 mm around it, fluid up to 12 mm from that."""
    r = radius()
    groups = np.zeros(r.shape, np.uint8)
    groups[r < 34] = GROUP_INDEX["fluid"]
    groups[r < RADIUS] = GROUP_INDEX["cortex"]
    groups[r < RADIUS - 4] = GROUP_INDEX["white_matter"]
    half = [
        signed_distance(r < edge, zooms=UNIT, limit_mm=SDT_LIMIT_MM)
        .reshape(36, 2, 36, 2, 36, 2)
        .mean(axis=(1, 3, 5))
        for edge in (RADIUS + REACH_MM, RADIUS)
    ]
    sdt = np.round(np.stack(half) / SDT_STEP_MM).astype(np.int8)
    return TrainingMap("shelled", groups, sdt)


def test_a_cortex_draws_back_whole() -> None:
    """Thinner, by as much as tissue is pushed together over the depth that moves; never gone."""
    source = shelled()
    plain, shrunk = (render(source, item) for item in (identity(), changed(
        "anatomy", atrophy_mm=2.0)))  # fmt: skip
    grey = [int((one.tissue == 1).sum()) for one in (plain, shrunk)]
    white = [int((one.tissue == 2).sum()) for one in (plain, shrunk)]
    assert 0.5 < grey[1] / grey[0] < 0.85
    assert 0.6 < white[1] / white[0] < 0.95
    bare = (shrunk.tissue == 2) & (shrunk.sdt[:, 1] > -1.0)
    assert int(bare.sum()) < 0.02 * grey[1]
    lost = (plain.sdt[:, 0] <= 0) & (shrunk.sdt[:, 0] > 0)
    assert float(lost.sum()) > 0
    assert float(shrunk.sdt[:, 1][lost].min()) > REACH_MM


def test_atrophy_leaves_the_air_beyond_a_map() -> None:
    """A neck that the map's edge cuts ends there, in image and tissue, atrophy or not."""
    source = shelled()
    groups = source.groups.copy()
    groups[30:42, 30:42, :20] = GROUP_INDEX["skin"]
    cut = replace(source, groups=groups)
    shift = (0.0, 0.0, 10.0)
    plain, shrunk = (
        render(cut, replace(item, placement=replace(item.placement, shift_mm=shift)))
        for item in (identity(), changed("anatomy", atrophy_mm=1.0))
    )
    beyond = (slice(None), slice(None), slice(0, 3))
    assert (plain.tissue[0][beyond] == 0).all()
    assert (shrunk.tissue[0][beyond] == 0).all()
    assert torch.allclose(shrunk.image[0, 0][beyond], plain.image[0, 0][beyond], atol=0.02)


def test_tissue_follows_the_brightness_between_the_maps_voxels() -> None:
    """Between two voxels of the map, halves of both: as the brightness is."""
    groups = np.full((SIDE,) * 3, GROUP_INDEX["cortex"], np.uint8)
    groups[40:] = GROUP_INDEX["white_matter"]
    everywhere = np.full((2, 36, 36, 36), -127, np.int8)
    everywhere[:, :2] = 127
    item = replace(identity(), means=tuple({"white_matter": 1.0}.get(g, 0.0) for g in GROUPS))
    for shift in (0.0, 0.3, 0.6, 0.9, 1.2):
        placed = replace(item, placement=replace(item.placement, shift_mm=(shift, 0.0, 0.0)))
        sample = render(TrainingMap("halves", groups, everywhere), placed)
        image, tissue = sample.image[0, 0, :, 16, 16], sample.tissue[0, :, 16, 16]
        clear = (image > 0.02) & ((image - 0.5).abs() > 0.02)
        assert torch.equal((image > 0.5)[clear], (tissue == 2)[clear])


def test_a_cavity_is_fluid_and_stays_in_the_brain(source: TrainingMap) -> None:
    hole = Ellipsoid((0.5, 0.5, 0.5), (12.0, 12.0, 12.0), 0.0, fluid=True)
    sample = render(source, changed("anatomy", blobs=(hole,)))
    r = window_radius()
    assert (sample.tissue[0].numpy()[r < 5] == 3).all()
    assert sample.image[0, 0].numpy()[r < 5].max() < 0.3
    assert torch.equal(sample.sdt, render(source, identity()).sdt)


def test_a_stray_object_stays_outside_the_brain(source: TrainingMap) -> None:
    stray = Ellipsoid((0.5, 0.5, 0.5), (28.0, 28.0, 28.0), 0.8)
    image = image_of(source, changed("anatomy", strays=(stray,)))
    r = window_radius()
    bone = (r > RADIUS + 3) & (r < 25.5)
    assert image[bone].mean() > 0.4
    assert np.allclose(image[r < RADIUS - 3], 1.0, atol=0.02)


def test_a_scalp_covers_the_head_only(source: TrainingMap) -> None:
    sample = render(source, changed("anatomy", scalp=(4.0, 0.9)))
    r = window_radius()
    layer = (r > 34.0) & (r < 36.0)
    assert sample.image[0, 0].numpy()[layer].mean() > 0.5
    assert (sample.tissue[0].numpy()[layer] == 5).mean() > 0.8
    assert torch.equal(sample.sdt, render(source, identity()).sdt)


def test_inverting_turns_bright_and_dark_around(source: TrainingMap) -> None:
    image = image_of(source, changed("scan", inverted=1.0))
    r = window_radius()
    assert image[r < RADIUS - 3].max() < 0.1
    assert image[(r > RADIUS + 2.5) & (r < 26.5)].min() > 0.9


def test_noise_leaves_its_floor_in_air() -> None:
    """Rayleigh: sqrt(pi / 2) standard deviations where there is no signal."""
    at = {}
    for left in (0.3, 1.0):
        item = changed("scan", noise_sd=0.2, noise_left=left)
        random = torch.Generator().manual_seed(3)
        at[left] = acquired(torch.zeros((1, 1, *WINDOW)), item, random)
        assert float(at[left].mean()) == pytest.approx(0.2 * math.sqrt(math.pi / 2), rel=0.04)
    assert float(at[0.3].std()) < 0.5 * float(at[1.0].std())


@pytest.mark.parametrize(("part", "values"), [
    ("scan", {"bias_sd": 0.4}), ("scan", {"blur_sd_mm": 1.2}), ("scan", {"slice_mm": 6.0}),
    ("scan", {"coarse_mm": 3.0}), ("scan", {"noise_sd": 0.1}), ("scan", {"ghost": (1, 3, 0.2)}),
    ("scan", {"ripple": ((9.0, -4.0, 12.0), 0.5, 0.05)}), ("processing", {"levels": 12}),
    ("processing", {"gamma": 1.6}), ("processing", {"face": (45.0, 8.0, 1)}),
    ("processing", {"background": 0.2}), ("anatomy", {"texture_sd": 0.1}),
    ("anatomy", {"clutter": (9, 0.3, 0.7)}), ("anatomy", {"dura": (1.0, 1.0, -0.5)}),
])  # fmt: skip
def test_each_change_alone_keeps_the_brain_where_it_is(
    source: TrainingMap, part: str, values: dict[str, object]
) -> None:
    plain, other = render(source, identity()), render(source, changed(part, **values))
    assert not torch.equal(plain.image, other.image)
    assert torch.equal(plain.sdt, other.sdt)
    assert torch.equal(plain.tissue, other.tissue)
    brain = plain.sdt[0, 0] < -6
    assert float(other.image[0, 0][brain].mean()) > 0.5
    assert float((other.image - plain.image).abs().mean()) < 0.2


def test_rounding_to_levels_leaves_so_many(source: TrainingMap) -> None:
    image = image_of(source, changed("processing", levels=12))
    assert len(np.unique(image)) <= 12 * CLIP[1] + 1


@pytest.mark.parametrize("slice_mm", [2.2, 2.5, 3.0, 5.0, 7.3])
def test_slices_are_means_over_their_own_thickness(slice_mm: float) -> None:
    """Against the integral of the image, which is known between voxels too."""
    image = torch.rand(1, 1, 4, 96, 4, generator=torch.Generator().manual_seed(2))
    count = round(96 * 2.0 / slice_mm)
    found = _averaged(image, 3, count)[0, 0].numpy()
    integral = np.concatenate([np.zeros((4, 1, 4)), image[0, 0].numpy().cumsum(axis=1)], axis=1)
    edges = np.linspace(0, 96, count + 1)
    for i, k in np.ndindex(4, 4):
        at = np.interp(edges, np.arange(97), integral[i, :, k])
        assert np.allclose(found[i, :, k], np.diff(at) / np.diff(edges), atol=1e-5)


@pytest.mark.parametrize("scan", [{"slice_mm": 3.0, "slice_axis": 1}, {"coarse_mm": 2.4}])
def test_thick_slices_stay_where_they_are(scan: dict[str, float]) -> None:
    """A ramp of 1 a voxel stays within .06 of itself, but for its ends: voxels are flat inside."""
    ramp = torch.arange(36.0)[:, None].expand(*WINDOW)[None, None]
    item = changed("scan", **scan)
    found = acquired(ramp.contiguous(), item, torch.Generator().manual_seed(1))
    assert float((found - ramp)[..., 4:-4, :].abs().max()) < 0.06


def test_blur_leaves_a_flat_image_flat_to_its_edges() -> None:
    assert torch.allclose(blurred(torch.ones(1, 1, 9, 12, 10), 1.3), torch.ones(1), atol=1e-6)


def test_tissue_is_what_most_of_a_voxel_is(source: TrainingMap) -> None:
    rng = np.random.default_rng(6)
    groups = rng.integers(0, len(GROUPS), (7, 6, 9)).astype(np.uint8)
    found = on_device(replace(source, groups=groups)).tissue.numpy()
    of_group = np.array([TISSUE_OF_GROUP[name] for name in GROUPS])
    for i, j, k in np.ndindex(found.shape):
        counts = np.bincount(of_group[groups[i : i + 2, j : j + 2, k : k + 2]].ravel(), minlength=6)
        assert found[i, j, k] == counts.argmax()


def test_a_removed_face_leaves_the_brain(source: TrainingMap) -> None:
    """Also where the plane would run through it."""
    plain = image_of(source, identity())
    cut = image_of(source, changed("processing", face=(40.0, -80.0, 0)))
    assert np.array_equal(plain[window_radius() < RADIUS], cut[window_radius() < RADIUS])
    assert (plain[cut == 0] > 0.5).any()


def test_a_stripped_head_is_stripped_after_it_was_folded(source: TrainingMap) -> None:
    item = changed("scan", cuts_mm=(1e3, 1e3, 1e3, 4.0, 1e3, 1e3), wrap=1)
    doing = replace(item.processing, stripped_margin_mm=0.0)
    sample = render(source, replace(item, processing=doing))
    assert float(sample.image[0, 0][sample.sdt[0, 0] > 0.1].abs().max()) == 0


def test_there_is_more_room_below_a_brain_than_above(source: TrainingMap) -> None:
    below, above = [], []
    for seed in range(40):
        item = draw(np.random.default_rng(seed), 1, SynthesisRanges())
        brain = render(source, replace(identity(), placement=item.placement)).sdt[0, 0] <= 0
        hit = brain.any(dim=0).any(dim=0).nonzero()
        below.append(int(hit[0]))
        above.append(WINDOW[2] - 1 - int(hit[-1]))
    assert np.mean(below) > np.mean(above) + 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_renders_the_same_head(source: TrainingMap) -> None:
    here, there = render(source, identity()), render(source, identity(), device="cuda")
    assert float((here.image - there.image.cpu()).abs().max()) < 1e-3
    assert float((here.sdt - there.sdt.cpu()).abs().max()) < 1e-3
