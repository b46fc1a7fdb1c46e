"""The benchmark's tables, and that each failure raises a reason that fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import qc
from benchmarks.faults import FAULTS, OUTWARDS
from benchmarks.qc import UNTOUCHED, Bench, Case, cases_of, judged
from bids_strip.card import Card, find_card
from bids_strip.domain import Conformed, Float3, Grid, Prediction, Run
from bids_strip.participant import conform as conforming
from bids_strip.participant.conform import conform
from bids_strip.participant.load import load
from bids_strip.registration.reference import load_reference, moved
from bids_strip.verdict import RULES
from tests.fakes import rotation

LEAKING = {"reference_beyond_ml": 50.0}
HEADS = ("sub-01_T1w", "sub-02_T1w", "sub-03_T2w")
CASES = [
    *(Case("raw", head, UNTOUCHED, "") for head in HEADS[1:]),
    Case("raw", HEADS[0], UNTOUCHED, "", metrics={"tissue_margin_mm": 11.0}),
    *(Case("raw", head, "leak", OUTWARDS, metrics=LEAKING) for head in HEADS),
    Case("raw", HEADS[0], "thin", "loss", metrics=LEAKING),
    Case("raw", HEADS[1], "thin", "loss"),
    Case("raw", HEADS[0], "noise", "noise", failed="sub-01_T1w.nii: no brain found"),
]


def test_the_tables_count_what_is_caught_and_what_fits() -> None:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in judged(CASES)]
    rows = {line[0]: line[1:] for line in lines}
    # T1w, other contrasts, all: caught / by a reason that fits / of
    assert rows["leak"] == ["2 / 2 / 2", "1 / 1 / 1", "3 / 3 / 3"]
    assert rows["thin"] == ["1 / 0 / 2", "-", "1 / 0 / 2"]
    assert rows["noise"][2] == "1 / 1 / 1"
    untouched = {line[0]: line[1:] for line in lines if len(line) == 4}
    assert untouched["raw, T1w"] == ["1", "2", "sub-01_T1w: too_large"]
    assert untouched["raw, other contrasts"] == ["0", "1", "-"]


def test_cases_come_back_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for case in CASES:
        qc._kept(case, tmp_path / "cases.jsonl")
    assert qc._stored([tmp_path / "cases.jsonl"]) == CASES
    assert qc.main(["--again", str(tmp_path / "cases.jsonl")]) == 1  # a third raises an alarm
    assert "| thin | 1 / 0 / 2 |" in capsys.readouterr().out


def test_the_targets_are_the_exit_code(tmp_path: Path) -> None:
    good = [Case("raw", f"sub-{n}_T1w", UNTOUCHED, "") for n in range(10)]
    good += [Case("raw", f"sub-{n}_T1w", "leak", OUTWARDS, metrics=LEAKING) for n in range(20)]
    alarm = replace(good[0], metrics=LEAKING)
    missed = replace(good[-1], metrics={})
    for number, (cases, code) in enumerate([
        (good, 0), ([alarm, *good[1:]], 0), ([alarm, alarm, *good[2:]], 1),
        ([*good[:-1], missed], 0), ([*good[:-2], missed, missed], 1),
    ]):  # fmt: skip
        path = tmp_path / f"{number}.jsonl"
        for case in cases:
            qc._kept(case, path)
        assert qc.main(["--again", str(path)]) == code


# a head of the reference's own shape --------------------------------------------------------

LAYERS = (-8.0, -3.0, 0.0, 7.0, 14.0)
"""mm from the surface: white matter, grey matter, fluid, bone, soft tissue, air."""
LABELS = np.array([2, 1, 3, 4, 5, 0], np.uint8)
BRIGHTNESS = np.array([5.0, 680.0, 1000.0, 250.0, 120.0, 600.0])
ASKED = [fault for fault in FAULTS if fault.name in {
    "leak into an eye, tissue too", "leak into the scalp", "lost temporal pole", "4 mm too fat",
    "4 mm too thin", "shifted by 6 mm", "half the head empty", "header top-bottom", "stripped",
}]  # fmt: skip
OTHERWISE = {
    "unlike_a_brain", "cut_brain", "lower_edge", "sheared", "no_orientation", "form_mismatch",
}  # fmt: skip
"""Of noise, which only a real network can be asked; of the scan."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Knows the head, and which way up it is shown."""

    card: Card
    prediction: Prediction
    data: Float3
    provider: str = "truth"

    def __call__(self, conformed: Conformed) -> Prediction:
        known = self.prediction
        for axis in (1, 2):
            if np.corrcoef(conformed.data.ravel(), np.flip(self.data, axis).ravel())[0, 1] > 0.99:
                assert known.shares is not None
                flipped = np.flip(known.shares, axis + 1)
                return Prediction(np.flip(known.brain_mm, axis), flipped)
        return known


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Failures of a head that has the reference's shape, nodded and off the middle."""
    folder = tmp_path_factory.mktemp("qc")
    reference = load_reference()
    shape, card = (96, 112, 112), find_card(None)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-95, -111, -121)
    turn = np.eye(4)
    turn[:3, :3] = rotation(6, 0, 4)
    mm = moved(reference.sdt_mm, reference.grid.affine, turn, Grid(shape, affine))
    where = np.digitize(mm, LAYERS)
    tissue = LABELS[where]
    shares = np.stack([(tissue == label).astype(np.float32) for label in range(6)])
    image = BRIGHTNESS[tissue] + np.random.default_rng(4).normal(0, 15, shape)
    path = folder / "sub-01_T1w.nii"
    nib.save(nib.Nifti1Image(np.abs(image).astype(np.float32), affine), path)
    run = Run(path, path.name, (("sub", "01"),), "T1w")
    with pytest.MonkeyPatch.context() as patch:  # the truth is known on the whole field of view
        patch.setattr(
            conforming, "head_box", lambda native: tuple(slice(0, n) for n in native.grid.shape)
        )
        data = conform(load(path).volume, card).data
        bench = Bench(Truth(card, Prediction(mm, shares, mm + 3), data), reference, folder)
        return {case.fault: case for case in cases_of(run, "made", bench, ASKED)}


def test_each_failure_raises_a_reason_that_fits(cases: dict[str, Case]) -> None:
    assert {*cases} == {UNTOUCHED, *(fault.name for fault in ASKED)}
    missed = [f"{name}: {case.reasons}" for name, case in cases.items()
              if case.kind and not case.fits]  # fmt: skip
    assert missed == []


def test_each_reason_of_a_mask_is_raised_by_a_failure(cases: dict[str, Case]) -> None:
    raised = {reason for case in cases.values() if case.kind for reason in case.reasons}
    assert {rule.reason for rule in RULES} - OTHERWISE <= raised


def test_the_head_itself_is_fine(cases: dict[str, Case]) -> None:
    assert cases[UNTOUCHED].reasons == ()
