"""Metrics of the image: against niimath's and closed forms.

``niimath --qc --pve --raw`` takes the same image and shares of tissue. It differs in two ways: its
entropy is that of the voxels that are not 0 (``efc_brain``; MRIQC's and ours of all), and the air
it would find by a registration to a template, so that what needs the air is held against closed
forms here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import BrainMask, Float3, Grid, Match, Normalised, Segmented, Volume
from bids_strip.geometry import quantised, within
from bids_strip.participant.qc import head, image, tissues
from tests.fakes import grid_affine, sphere_sdt, world_of

SHAPE, ZOOM_MM = (48, 52, 46), 3.0
BRAIN_MM, SCALP_MM = 45.0, 60.0
FULL = 255
AIR_SD = 20.0
"""Of the two parts of the noise."""


@dataclass(frozen=True, eq=False)
class Onion:
    """Shells of white, grey, fluid with soft borders, then scalp; air of Rayleigh noise around."""

    normalised: Normalised
    segmented: Segmented
    brain: BrainMask

    @property
    def data(self) -> Float3:
        return self.normalised.volume.data


def onion(rng: np.random.Generator, *, zoom: float = ZOOM_MM, air_sd: float = AIR_SD) -> Onion:
    affine = grid_affine("RAS", SHAPE, (zoom,) * 3, (0.0, 0.0, 0.0))
    world = world_of(SHAPE, affine)
    ball = {r: np.clip(0.5 - sphere_sdt(world, (0.0, 0.0, 0.0), r) / 6, 0, 1) for r in (25, 36, 45)}
    shares = np.stack([ball[36] - ball[25], ball[25], ball[45] - ball[36]])
    sdt = sphere_sdt(world, (0.0, 0.0, 0.0), BRAIN_MM)
    shares *= sdt <= 0
    steps = np.rint(shares * FULL).astype(np.uint8)
    noise = np.hypot(*rng.normal(0, air_sd, (2, *SHAPE))) if air_sd else np.zeros(SHAPE)
    data = np.tensordot((700.0, 1000.0, 300.0), shares, axes=1) + rng.normal(0, 30, SHAPE)
    data = np.where(sdt <= 0, data, 800.0 + noise)
    data = np.where(sdt > SCALP_MM - BRAIN_MM, noise, data).astype(np.float32)
    volume = Volume(np.maximum(data, 0), Grid(SHAPE, affine))
    inside = quantised(sdt)
    return Onion(
        Normalised(volume, np.zeros(SHAPE, np.float32), 0.0, 1.0),
        Segmented(np.zeros(SHAPE, np.uint8), steps),
        BrainMask(within(inside, 0.0), inside, 0.0, False, 1.0),
    )


@pytest.fixture
def drawn(rng: np.random.Generator) -> Onion:
    return onion(rng)


@pytest.fixture
def by_niimath(drawn: Onion, tmp_path: Path) -> dict[str, float]:
    """What niimath measures of the same image and shares."""
    affine = drawn.normalised.volume.grid.affine
    shares = drawn.segmented.steps.astype(np.float32) / FULL
    for name, values in zip(("gm", "wm", "csf", "t1"), (*shares, drawn.data), strict=True):
        nib.save(nib.Nifti1Image(values, affine), tmp_path / f"{name}.nii")
    command = [sys.executable, "-m", "niimath", "--qc", "t1.nii", "--pve", "csf.nii", "gm.nii",
               "wm.nii", "--raw", "--json", "qc.json"]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found: dict[str, float] = json.loads((tmp_path / "qc.json").read_text())
    return found


def test_tissues_as_niimath_has_them(drawn: Onion, by_niimath: dict[str, float]) -> None:
    known = tissues.tissue_brightness(drawn.normalised, drawn.segmented)
    for key, one in known.items():
        told = {n: by_niimath[f"summary_{key}_{n}"] for n in ("median", "stdv", "mad", "n")}
        assert one.median == pytest.approx(told["median"], rel=1e-3)
        assert one.sd == pytest.approx(told["stdv"], rel=1e-4)
        assert one.mad == pytest.approx(told["mad"], rel=2e-3)
        assert one.count == pytest.approx(told["n"], rel=1e-5)


def test_ratios_as_niimath_has_them(drawn: Onion, by_niimath: dict[str, float]) -> None:
    known = tissues.tissue_brightness(drawn.normalised, drawn.segmented)
    for key, value in tissues.snr(known).items():
        assert value == pytest.approx(by_niimath[key], rel=1e-3)
    assert tissues.cjv(known) == pytest.approx(by_niimath["cjv"], rel=3e-3)
    silent = tissues.Brightness(0.0, 0.0, 0.0, 1000.0)
    assert tissues.cnr(known, silent) == pytest.approx(by_niimath["cnr_noair"], rel=1e-3)
    white = image.wm2max(drawn.normalised, known["wm"])
    assert white == pytest.approx(by_niimath["wm2max"], rel=1e-3)


def test_entropy_as_niimath_has_it(drawn: Onion, by_niimath: dict[str, float]) -> None:
    """Of an image without zeros the two definitions are one; the draw has a few, in fluid."""
    assert np.count_nonzero(drawn.data == 0) < 1e-3 * drawn.data.size
    assert image.efc(drawn.normalised) == pytest.approx(by_niimath["efc_brain"], rel=1e-3)


@pytest.mark.parametrize("lit", [1, 1000, 48 * 52 * 46])
def test_entropy_of_equal_voxels(drawn: Onion, lit: int) -> None:
    """M of N voxels alike: sqrt(M) ln sqrt(M) over sqrt(N) ln sqrt(N)."""
    data = np.zeros(drawn.data.size, np.float32)
    data[:lit] = 500
    volume = Volume(data.reshape(SHAPE), drawn.normalised.volume.grid)
    found = image.efc(Normalised(volume, drawn.normalised.log_field, 0.0, 1.0))
    most = np.sqrt(data.size) * np.log(np.sqrt(data.size))
    assert found == pytest.approx(np.sqrt(lit) * np.log(np.sqrt(lit)) / most, abs=1e-9)


def test_entropy_from_every_third_voxel_is_that_of_all(rng: np.random.Generator) -> None:
    fine = onion(rng, zoom=1.0).normalised
    x = fine.volume.data.astype(np.float64).ravel()
    x = x[x > 0] / np.sqrt((x**2).sum())
    n = fine.volume.data.size
    expected = -(x * np.log(x)).sum() / (np.sqrt(n) * np.log(np.sqrt(n)))
    assert image.efc(fine) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [1, 3, 0, 2], [5, 1, 1, 1]])
def test_weighted_median_is_that_of_repeats(weights: list[int]) -> None:
    values = np.array([4, 1, 9, 2], np.float32)
    found = tissues.weighted_median(values, np.array(weights, np.float32))
    assert found == np.median(np.repeat(values, weights))


def test_smoothness_of_smoothed_noise(drawn: Onion, rng: np.random.Generator) -> None:
    """White noise under a Gaussian of sigma voxels has a width of sigma sqrt(8 ln 2)."""
    sigma = {"x": 1.2, "y": 2.0, "z": 1.6}
    noise = rng.standard_normal(SHAPE)
    smooth = ndimage.gaussian_filter(noise, list(sigma.values()), mode="wrap").astype(np.float32)
    volume = Volume(smooth, drawn.normalised.volume.grid)
    found = image.fwhm(Normalised(volume, smooth, 0.0, 1.0), drawn.brain)
    expected = {axis: s * np.sqrt(8 * np.log(2)) for axis, s in sigma.items()}
    for axis, width in expected.items():
        assert found[f"fwhm_{axis}"] == pytest.approx(width, rel=0.06)
    assert found["fwhm_avg"] == pytest.approx(np.mean(list(expected.values())), rel=0.06)


def test_voxels_go_by_the_axes_of_the_head() -> None:
    grid = Grid((30, 20, 10), grid_affine("PSR", (30, 20, 10), (2.0, 3.0, 5.0)))
    assert image.voxels_mm(grid) == pytest.approx({
        "voxel_x_mm": 5, "voxel_y_mm": 2, "voxel_z_mm": 3,
        "coverage_x_mm": 50, "coverage_y_mm": 60, "coverage_z_mm": 60,
    })  # fmt: skip


def test_noise_of_the_air(drawn: Onion) -> None:
    """Rayleigh: median s sqrt(2 ln 2), standard deviation s sqrt(2 - pi / 2), so that Dietrich's
    ratio comes to signal over s; its robust deviation is 1.014 of the standard one."""
    air = head.air_brightness(head.head_of(drawn.normalised), None)
    assert air is not None
    assert air.median == pytest.approx(AIR_SD * np.sqrt(2 * np.log(2)), rel=0.02)
    assert air.sd == pytest.approx(AIR_SD * np.sqrt(2 - np.pi / 2), rel=0.02)
    known = tissues.tissue_brightness(drawn.normalised, drawn.segmented)
    found = tissues.snrd(known, air)
    for key in ("gm", "wm", "csf"):
        assert found[f"snrd_{key}"] == pytest.approx(known[key].median / AIR_SD / 1.014, rel=0.03)


def test_head_and_background(drawn: Onion) -> None:
    """A ball of 60 mm: its share of the box; energy of its median voxel over that of the air."""
    found = head.head_of(drawn.normalised)
    ball = 4 / 3 * np.pi * SCALP_MM**3 / (np.prod(SHAPE) * ZOOM_MM**3)
    assert head.background_share(found) == pytest.approx(1 - ball, abs=0.02)
    inner = np.median(drawn.data[sphere_sdt(world_of(SHAPE, drawn.normalised.volume.grid.affine),
                                            (0.0, 0.0, 0.0), SCALP_MM) <= 0])  # fmt: skip
    expected = inner**2 / (AIR_SD**2 * 2 * np.log(2))
    assert head.fber(found) == pytest.approx(expected, rel=0.05)


def test_air_without_noise_tells_nothing(rng: np.random.Generator) -> None:
    drawn = onion(rng, air_sd=0.0)
    found = head.head_of(drawn.normalised)
    assert head.fber(found) is None
    known = tissues.tissue_brightness(drawn.normalised, drawn.segmented)
    assert set(tissues.snrd(known, head.air_brightness(found, None)).values()) == {None}


def test_the_face_is_missed_where_it_is_cut(drawn: Onion) -> None:
    """The pose lays the face's place within the ball, or what is cut off it."""
    grid = drawn.normalised.volume.grid
    pose = np.diag([0.4, 0.4, 0.4, 1.0])
    match = Match(pose, grid, drawn.data, drawn.data, drawn.data)
    whole = head.face_share(head.head_of(drawn.normalised), match)
    assert whole is not None
    assert whole > 0.95
    world = world_of(SHAPE, grid.affine)
    cut = np.where((world[..., 1] > 27) & (world[..., 2] < 0), 0, drawn.data).astype(np.float32)
    faceless = Normalised(Volume(cut, grid), drawn.normalised.log_field, 0.0, 1.0)
    found = head.face_share(head.head_of(faceless), match)
    assert found is not None
    assert found < 0.2
    far = np.diag([4.0, 4.0, 4.0, 1.0])
    away = Match(far, grid, drawn.data, drawn.data, drawn.data)
    assert head.face_share(head.head_of(drawn.normalised), away) is None
