"""Registration of drawn heads by known affines, and what ITK's readers make of the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import SDT_LIMIT_MM, BrainMask, Grid, Template, Volume
from bids_strip.example.heads import draw_head, render
from bids_strip.geometry import dice, quantised, signed_distance, within
from bids_strip.itk import itk_affine
from bids_strip.participant.into_template import distances_in, placed
from bids_strip.participant.register import register, sampled
from bids_strip.space import Space
from tests.fakes import rotation

SPACE = Space("Drawn", resolution=3)
ZOOMS = (3.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def template() -> Template:
    item = draw_head(np.random.default_rng(101))
    scan = replace(item.scan, shape=(66, 78, 72), zooms=ZOOMS, axcodes="RAS", bias=0.0,
                   oblique_deg=(0.0, 0.0, 0.0), tilt_deg=(0.0, 0.0, 0.0))  # fmt: skip
    head = render(replace(item, scan=scan))
    return Template(SPACE, Volume(head.image, Grid(head.image.shape, head.affine)), head.truth)


def known_affine(template: Template, degrees: tuple[float, float, float]) -> np.ndarray:
    """Turned about the brain's centre, shifted by 13 mm, stretched and sheared."""
    affine = template.image.grid.affine
    centre = affine[:3, :3] @ np.argwhere(template.mask).mean(axis=0) + affine[:3, 3]
    move = np.eye(4)
    move[:3, :3] = rotation(*degrees) @ np.diag([1.06, 0.95, 1.02])
    move[0, 1] += 0.03
    move[:3, 3] = centre + np.array([8, -9, 5]) - move[:3, :3] @ centre
    return move


def brain_of(mask: np.ndarray, zooms: tuple[float, ...] = ZOOMS, border: float = 0) -> BrainMask:
    steps = quantised(signed_distance(mask, zooms=zooms, limit_mm=SDT_LIMIT_MM))
    return BrainMask(within(steps, border), steps, border, False, 1.0)


def moved(template: Template, move: np.ndarray) -> tuple[Volume, BrainMask]:
    """The template's head where `move` puts it, on the same grid."""
    affine = template.image.grid.affine
    matrix = np.linalg.inv(affine) @ np.linalg.inv(move) @ affine
    data = ndimage.affine_transform(template.image.data, matrix[:3, :3], matrix[:3, 3], order=3)
    soft = ndimage.affine_transform(template.mask.astype(np.float32), matrix[:3, :3],
                                    matrix[:3, 3], order=1)  # fmt: skip
    return replace(template.image, data=data.astype(np.float32)), brain_of(soft > 0.5)


def gap_mm(found: np.ndarray, move: np.ndarray, template: Template) -> float:
    """Mean distance over the brain between the way there and back, and no way at all."""
    affine = template.image.grid.affine
    world = np.argwhere(template.mask) @ affine[:3, :3].T + affine[:3, 3]
    off = found @ move - np.eye(4)
    return float(np.linalg.norm(world @ off[:3, :3].T + off[:3, 3], axis=1).mean())


CONTRASTS = {
    "as it is": lambda data: data,
    "inverted": lambda data: 1.3 - data,
    "noise of 5 %": lambda data: data + np.random.default_rng(3).normal(0, 0.05, data.shape),
    "another scale": lambda data: 40 + 900 * data,
}


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_a_known_affine_is_found(template: Template, contrast: str) -> None:
    move = known_affine(template, (14, -6, 8))
    volume, brain = moved(template, move)
    volume = replace(volume, data=CONTRASTS[contrast](volume.data).astype(np.float32))
    assert gap_mm(np.eye(4), move, template) > 10
    assert gap_mm(register(volume, brain, template), move, template) <= 0.5


def test_a_smooth_field_does_not_move_the_brain(template: Template) -> None:
    """A wave of 20 % either way over the brain: no scan is without one."""
    move = known_affine(template, (14, -6, 8))
    volume, brain = moved(template, move)
    x, y, z = (np.linspace(-1, 1, n) for n in volume.data.shape)
    field = 1 + 0.2 * np.cos(3 * x)[:, None, None] * np.cos(3 * y)[:, None] * np.cos(2 * z + 0.5)
    shaded = replace(volume, data=(volume.data * field).astype(np.float32))
    assert gap_mm(register(shaded, brain, template), move, template) <= 0.5


def test_a_mask_with_a_fault_does_not_move_the_brain(template: Template) -> None:
    """The lowest 12 mm of the brain are left out."""
    move = known_affine(template, (14, -6, 8))
    volume, brain = moved(template, move)
    short = brain.mask.copy()
    short[..., : int(np.flatnonzero(brain.mask.any(axis=(0, 1)))[0]) + 4] = False
    assert gap_mm(register(volume, brain_of(short), template), move, template) <= 1.0


@pytest.mark.parametrize("degrees", [(45, 0, 0), (-40, 0, 0), (0, 30, 0), (0, 0, -30)])
def test_a_head_that_lies_far_off_is_caught(template: Template, degrees) -> None:
    move = known_affine(template, degrees)
    assert gap_mm(register(*moved(template, move), template), move, template) <= 0.5


def test_a_crown_outside_the_field_of_view(template: Template) -> None:
    """The upper 24 mm of the brain are not in the image: within a voxel all the same."""
    move = known_affine(template, (6, 3, -4))
    volume, brain = moved(template, move)
    top = int(np.flatnonzero(brain.mask.any(axis=(0, 1)))[-1]) - 7
    cut = Grid((*volume.data.shape[:2], top), volume.grid.affine)
    volume = Volume(volume.data[..., :top], cut)
    found = register(volume, brain_of(brain.mask[..., :top]), template)
    assert gap_mm(found, move, template) <= 3.0


@pytest.mark.parametrize("nth", [2, 3])
def test_thick_slices(template: Template, nth: int) -> None:
    """Every second slice, 6 mm apart, or every third: wider than what images are smoothed to."""
    move = known_affine(template, (8, 4, -5))
    volume, brain = moved(template, move)
    affine = volume.grid.affine @ np.diag([1, 1, nth, 1.0])
    data, mask = volume.data[..., ::nth], brain.mask[..., ::nth]
    thick = Volume(np.ascontiguousarray(data), Grid(data.shape, affine))
    found = register(thick, brain_of(mask, (3.0, 3.0, 3.0 * nth)), template)
    assert gap_mm(found, move, template) <= 1.0


@pytest.mark.parametrize("axis", range(3))
def test_a_thin_slab_fits_no_template(template: Template, axis: int) -> None:
    """6 mm: a single voxel of the coarsest level."""
    middle = int(np.argwhere(template.mask).mean(axis=0)[axis])
    slab = [slice(None)] * 3
    slab[axis] = slice(middle, middle + 2)
    affine = template.image.grid.affine.copy()
    affine[:3, 3] += affine[:3, axis] * middle
    data = np.ascontiguousarray(template.image.data[tuple(slab)])
    volume = Volume(data, Grid(data.shape, affine))
    brain = brain_of(template.mask[tuple(slab)])
    found = register(volume, brain, template)
    assert not placed(found, volume.grid, brain, template, fitted=brain, threads=1).plausible


def test_the_same_answer_each_time(template: Template) -> None:
    run = moved(template, known_affine(template, (5, 5, 5)))
    assert np.array_equal(register(*run, template), register(*run, template))


@pytest.mark.parametrize("border", [0.0, 2.0])
def test_the_mask_goes_there_and_back(template: Template, border: float) -> None:
    """Native -> template -> native, by the distances; the border comes along."""
    move = known_affine(template, (14, -6, 8))
    volume, _ = moved(template, move)
    brain = brain_of(moved(template, move)[1].mask, border=border)
    there = placed(np.linalg.inv(move), volume.grid, brain, template, fitted=brain, threads=1)
    grid = template.image.grid
    back = distances_in(brain_of(there.mask), grid, move, volume.grid, threads=1) <= 0
    assert dice(back, brain.mask) >= 0.97
    assert there.plausible
    assert there.dice >= 0.97  # of the surface, not of the border
    grown = np.count_nonzero(there.mask) / np.count_nonzero(template.mask)
    assert grown > 1.05 if border else abs(grown - 1) < 0.02


@pytest.mark.parametrize("case", ["beside", "too large", "too small"])
def test_what_no_head_can_be_is_told(template: Template, case: str) -> None:
    brain, grid = brain_of(template.mask), template.image.grid
    affine = np.diag([1.0, 1, 1, 1])
    if case == "beside":
        affine[0, 3] = 60.0
    else:
        factor = 1.6 if case == "too large" else 0.6
        affine[:3, :3] *= factor
        grid = Grid(grid.shape, np.linalg.inv(affine) @ grid.affine)
    assert not placed(affine, grid, brain, template, fitted=brain, threads=1).plausible
    assert placed(
        np.eye(4), template.image.grid, brain, template, fitted=brain, threads=1
    ).plausible


def test_itk_files_mean_what_the_readers_take_them_for(tmp_path: Path) -> None:
    """SimpleITK and nitransforms, both ways: points of the image made -> of the image moved."""
    sitk = pytest.importorskip("SimpleITK")
    linear = pytest.importorskip("nitransforms.linear")
    move = np.eye(4)
    move[:3, :3] = rotation(20, -10, 5) @ np.diag([1.1, 0.9, 1.0])
    move[:3, 3] = 7, -20, 11
    points = np.random.default_rng(1).uniform(-80, 80, (20, 3))
    flip = np.array([-1, -1, 1.0])
    for name, pull in (("there", np.linalg.inv(move)), ("back", move)):
        path = tmp_path / f"{name}.tfm"
        path.write_bytes(itk_affine(pull))
        expected = points @ pull[:3, :3].T + pull[:3, 3]
        read = sitk.ReadTransform(str(path))
        by_itk = np.array([read.TransformPoint(p) for p in points * flip]) * flip
        by_nitransforms = linear.load(path, fmt="itk").map(points)
        assert np.allclose(by_itk, expected, atol=1e-6)
        assert np.allclose(by_nitransforms, expected, atol=1e-4)


def test_simpleitk_puts_a_mask_where_we_do(template: Template, tmp_path: Path) -> None:
    """Resample with the file `from-T1w_to-...`, as antsApplyTransforms -t does."""
    sitk = pytest.importorskip("SimpleITK")
    move = known_affine(template, (14, -6, 8))
    volume, brain = moved(template, move)
    ours = placed(np.linalg.inv(move), volume.grid, brain, template, fitted=brain, threads=1)
    for name, mask in (("run", brain.mask), ("base", template.mask)):
        affine = template.image.grid.affine
        nib.save(nib.Nifti1Image(mask.astype(np.float32), affine), tmp_path / f"{name}.nii")
    (tmp_path / "x.tfm").write_bytes(itk_affine(move))
    found = sitk.Resample(sitk.ReadImage(str(tmp_path / "run.nii")),
                          sitk.ReadImage(str(tmp_path / "base.nii")),
                          sitk.ReadTransform(str(tmp_path / "x.tfm")), sitk.sitkLinear)  # fmt: skip
    theirs = sitk.GetArrayFromImage(found).transpose(2, 1, 0) > 0.5
    assert dice(theirs, ours.mask) > 0.98


@pytest.mark.parametrize("shape", [(6, 7, 8), (2, 1, 9)])
def test_fields_that_lie_side_by_side_are_met_as_scipy_meets_each(shape, rng) -> None:
    """At voxels, between them, and at the ends."""
    fields = rng.standard_normal((*shape, 9)).astype(np.float32)
    last = np.array(shape) - 1
    index = np.concatenate([rng.random((50, 3)) * last, [np.zeros(3), last, last * [1, 0, 1]]])
    found = sampled(fields, index)
    for number in range(9):
        expected = ndimage.map_coordinates(fields[..., number], index.T, order=1, mode="nearest")
        assert found[:, number] == pytest.approx(expected, abs=1e-5)
