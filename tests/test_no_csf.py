"""``--no-csf``: the surface of the tissue, inside that of the brain, and all that follows it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.card import Card, Output
from bids_strip.domain import Conformed, Prediction
from bids_strip.errors import DeriveError
from bids_strip.geometry import dice
from bids_strip.naming import names_of, sidecar_name
from bids_strip.output.place import Place
from bids_strip.participant.attempt import attempt
from bids_strip.participant.clean import clean
from bids_strip.participant.job import Done, Job
from bids_strip.recipe import Recipe
from tests.fakes import CARD, RADIUS_MM, TrueSphere, make_phantom, run_of, sphere_sdt, world_of

KINDS = ("mask", "sdt", "brain")
TISSUE_MM = 25.0
BOTH = replace(CARD, outputs=(*CARD.outputs, Output("sdt", 1, "sdt_mm", "brain_no_csf")))
DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")


@dataclass(frozen=True)
class TwoSurfaces:
    """Answers with two balls, the tissue inside the brain."""

    provider: str = "fake"
    card: Card = BOTH

    def __call__(self, conformed: Conformed) -> Prediction:
        brain, tissue = (TrueSphere(radius=r)(conformed) for r in (RADIUS_MM, TISSUE_MM))
        return Prediction(brain, no_csf_mm=tissue)


@pytest.mark.parametrize("stripped", [False, True])
def test_everything_is_of_the_tissue(phantoms, tmp_path: Path, stripped: bool) -> None:
    """Of a stripped head too: its outline is another surface than the one asked for."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=make_phantom(stripped=stripped))
    run = run_of(next(root.rglob("*.nii.gz")), root)
    out = tmp_path / "out"
    job = Job(run, Recipe(KINDS, no_csf=True), Place(out, out / ".work" / "x"), "1", 1)
    done = attempt(job, TwoSurfaces)
    assert isinstance(done, Done), done
    mask = np.asarray(nib.load(out / names_of(run)["mask"]).dataobj) > 0
    assert dice(mask, make_phantom(radius=TISSUE_MM).truth) > 0.985
    sdt = np.asarray(nib.load(out / names_of(run)["sdt"]).dataobj)
    assert np.array_equal(mask, sdt <= 0)
    assert done.record.options["no_csf"] is True
    assert done.record.flags["already_stripped"] is stripped
    assert done.record.surface["origin"] == "network"
    for kind in KINDS:
        sidecar = json.loads((out / sidecar_name(names_of(run)[kind])).read_text())
        assert sidecar["Options"]["no_csf"] is True
        assert "sulcal CSF included" not in sidecar["Description"]
    assert (
        "tissue"
        in json.loads((out / sidecar_name(names_of(run)["mask"])).read_text())["Description"]
    )


def test_the_brains_own_surface_is_compared_with_the_reference(phantoms, tmp_path: Path) -> None:
    """The reference is of a brain with its fluid: the tissue alone would look too small."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    run = run_of(next(root.rglob("*.nii.gz")), root)
    sizes = []
    for no_csf in (True, False):
        out = tmp_path / str(no_csf)
        recipe = Recipe(("mask",), no_csf=no_csf)
        done = attempt(Job(run, recipe, Place(out, out / ".work" / "x"), "1", 1), TwoSurfaces)
        assert isinstance(done, Done), done
        sizes.append(done.record.metrics["reference_size"])
        tissue_ml = 4 / 3 * np.pi * (TISSUE_MM if no_csf else RADIUS_MM) ** 3 / 1000
        assert done.record.metrics["brain_volume_ml"] == pytest.approx(tissue_ml, rel=0.02)
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_it_never_leaves_the_brain() -> None:
    """Where the two predictions cross, the brain's holds."""
    world = world_of((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0]))
    brain = sphere_sdt(world, (46.0, 47.0, 48.0), 28.0)
    tissue = sphere_sdt(world, (52.0, 47.0, 48.0), 26.0)
    assert ((tissue <= 0) & (brain > 0)).any()
    surface = clean(Prediction(brain, no_csf_mm=tissue), (2.0, 2.0, 2.0), no_csf=True)
    assert np.array_equal(surface.mm <= 0, (tissue <= 0) & (brain <= 0))


def test_the_brains_surface_is_the_default() -> None:
    world = world_of((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0]))
    brain, tissue = (sphere_sdt(world, (46.0, 47.0, 48.0), r) for r in (28.0, 22.0))
    surface = clean(Prediction(brain, no_csf_mm=tissue), (2.0, 2.0, 2.0))
    assert np.array_equal(surface.mm <= 0, brain <= 0)


def test_a_prediction_without_it_is_an_error() -> None:
    with pytest.raises(DeriveError, match="--no-csf"):
        clean(Prediction(np.zeros((8, 8, 8), np.float32)), (2.0, 2.0, 2.0), no_csf=True)


@pytest.mark.parametrize("level", ["run", "dry run"])
def test_a_network_without_it_is_refused_before_work(
    phantoms, network: Path, tmp_path: Path, capsys, level: str
) -> None:
    options = ["--dry-run"] if level == "dry run" else []
    code = cli.main([str(phantoms()), str(tmp_path / "out"), "participant", "--no-csf",
                     "--model", str(network), *options])  # fmt: skip
    assert code == 66
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--no-csf" in said
    assert "tiny" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
def test_it_lies_inside_the_brain_of_a_head(tmp_path: Path) -> None:
    """A sixth of the brain's surface is fluid here: not the same mask, not half of it."""
    masks = []
    for options in ([], ["--no-csf"]):
        assert cli.main([str(Path(DATA) / "ds000011"), str(tmp_path), "participant",
                         "--participant-label", "03", *options]) == 0  # fmt: skip
        masks.append(np.asarray(nib.load(next(tmp_path.rglob("*_mask.nii.gz"))).dataobj) > 0)
    brain, tissue = masks
    assert np.count_nonzero(tissue & ~brain) < 1e-3 * np.count_nonzero(tissue)
    assert 0.7 < np.count_nonzero(tissue) / np.count_nonzero(brain) < 0.95
