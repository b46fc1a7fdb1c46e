"""The embedded network: its card, its size, and what it does with drawn and real heads."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.card import EMBEDDED, Card, find_card
from bids_strip.example.heads import DrawnHead, draw_head, render
from bids_strip.geometry import closed, dice, filled
from bids_strip.single import Stripped, strip_image
from tests.validator import errors_of

DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")


def real(test):
    """Mark a test of people's heads."""
    unset = pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
    return pytest.mark.realdata(pytest.mark.slow(unset(test)))


REFERENCES = ("mindgrab", "deepbet")


# the file ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card() -> Card:
    """Parsing checks the file's hash too."""
    return find_card(None)


def test_the_card(card: Card) -> None:
    assert card.name == EMBEDDED
    assert len(card.sha256) == 64
    assert sorted(card.axis_codes) == ["A", "R", "S"]
    assert card.output("brain") is not None
    written = json.loads(card.path.with_suffix(".json").read_text())
    for field in ("licence", "surface", "training", "parameters", "multiply_adds"):
        assert written[field], field


def test_the_file_is_small(card: Card) -> None:
    assert card.path.stat().st_size < 10e6


# a drawn head --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> DrawnHead:
    """One head in 2.2 mm voxels: an eighth of the example's."""
    item = draw_head(np.random.default_rng(101))
    scan = replace(item.scan, shape=(88, 104, 96), zooms=(2.2, 2.2, 2.2))
    return render(replace(item, scan=scan))


@pytest.fixture(scope="module")
def stripped(drawn: DrawnHead) -> Stripped:
    return strip_image(nib.Nifti1Image(drawn.image, drawn.affine))


def test_the_drawn_brain_is_found(drawn: DrawnHead, stripped: Stripped) -> None:
    mask = np.asarray(stripped.mask.dataobj) > 0
    assert dice(mask, drawn.truth) >= 0.95


def test_the_drawn_mask_is_where_distances_are_negative(stripped: Stripped) -> None:
    mask = np.asarray(stripped.mask.dataobj) > 0
    assert np.array_equal(mask, np.asarray(stripped.sdt.dataobj) <= 0)
    assert np.array_equal(filled(mask), mask)


# real heads ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Processed:
    """A dataset and what one call of the command line made of it."""

    name: str
    raw: Path
    out: Path
    code: int

    def table(self) -> list[dict[str, str]]:
        with (self.out / "group_T1w.tsv").open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    def masks(self) -> dict[str, np.ndarray]:
        return {
            path.name.removesuffix("_desc-brain_mask.nii.gz"): np.asarray(
                nib.load(path).dataobj
            ) > 0
            for path in sorted(self.out.rglob("*_desc-brain_mask.nii.gz"))
        }  # fmt: skip

    def agreement(self, reference: str) -> dict[str, float]:
        """Dice of each run with a reference network."""
        folder = Path(DATA) / "reference" / reference
        return {
            stem: dice(
                mask,
                np.asarray(nib.load(folder / f"{self.name}_{stem}_T1w_mask.nii.gz").dataobj) > 0,
            )
            for stem, mask in self.masks().items()
        }


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory):
    """Each dataset is processed once, when a test first asks for it."""
    made: dict[str, Processed] = {}

    def of(name: str) -> Processed:
        if name not in made:
            raw, out = Path(DATA) / name, tmp_path_factory.mktemp(name)
            codes = [cli.main([str(raw), str(out), level]) for level in ("participant", "group")]
            made[name] = Processed(name, raw, out, max(codes))
        return made[name]

    return of


def agrees(found: Processed, *, mean: float, least: float) -> None:
    for reference in REFERENCES:
        scores = found.agreement(reference)
        assert len(scores) == len(found.table())
        assert np.mean(list(scores.values())) >= mean, (reference, scores)
        assert min(scores.values()) >= least, (reference, scores)


def is_whole(found: Processed, *, runs: int, stripped: str) -> None:
    """Every run done, flagged as it should be, its mask where its distances say, valid BIDS."""
    assert found.code == 0
    assert errors_of(found.out) == []
    assert [r["status"] for r in found.table()] == ["ok"] * runs
    assert {r["already_stripped"] for r in found.table()} == {stripped}
    for path in sorted(found.out.rglob("*_mask.nii.gz")):
        mask = np.asarray(nib.load(path).dataobj) > 0
        sdt = nib.load(path.with_name(path.name.replace("_mask", "_sdt")))
        assert np.array_equal(mask, np.asarray(sdt.dataobj) <= 0), path.name


# one test a dataset: without the data each is one skip


@real
def test_ds000011(processed) -> None:
    found = processed("ds000011")
    is_whole(found, runs=8, stripped="0")
    agrees(found, mean=0.96, least=0.95)


@real
def test_ms_longitudinal(processed) -> None:
    found = processed("ms-longitudinal")
    is_whole(found, runs=4, stripped="0")
    agrees(found, mean=0.97, least=0.96)


@real
def test_stripped_heads_keep_their_outline(processed) -> None:
    found = processed("stripped")
    is_whole(found, runs=2, stripped="1")
    assert all(float(r["network_dice"]) >= 0.95 for r in found.table())
    for stem, mask in found.masks().items():
        image = nib.load(found.raw / stem / "anat" / f"{stem}_T1w.nii.gz")
        present = np.asarray(image.dataobj) != 0
        zooms = tuple(float(z) for z in nib.affines.voxel_sizes(image.affine))
        expected = filled(closed(present, zooms=zooms, radius_mm=3.0))
        assert dice(mask, expected) > 0.999
