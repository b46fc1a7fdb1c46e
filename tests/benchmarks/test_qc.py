"""The benchmark's tables; with the embedded network, that each failure raises its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import qc
from benchmarks.faults import IMAGE_FAULTS, MASK_FAULTS, OUTWARDS
from benchmarks.qc import FITTING, UNTOUCHED, Bench, Case, cases_of, judged
from bids_strip.card import find_card
from bids_strip.domain import Run
from bids_strip.example.heads import draw_head, render
from bids_strip.participant.predict import load_predictor
from bids_strip.reference import load_reference
from bids_strip.verdict import RULES

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


# with the network --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every failure of one drawn head, which no label map has a part in."""
    folder = tmp_path_factory.mktemp("qc")
    item = draw_head(np.random.default_rng(101))
    head = render(replace(item, scan=replace(item.scan, shape=(88, 104, 96), zooms=(2.2,) * 3)))
    path = folder / "sub-01_T1w.nii"
    nib.save(nib.Nifti1Image(head.image, head.affine), path)
    run = Run(path, path.name, (("sub", "01"),), "T1w")
    network = load_predictor(find_card(None), device="cpu", threads=1)
    bench = Bench(network, load_reference(), folder)
    return {case.fault: case for case in cases_of(run, "drawn", bench)}


@pytest.mark.slow
def test_each_failure_of_a_drawn_head_raises_a_reason_that_fits(cases: dict[str, Case]) -> None:
    possible = {fault.name for fault in (*MASK_FAULTS, *IMAGE_FAULTS)} - {"mask flipped left-right"}
    assert possible <= {*cases}
    missed = [f"{name}: {case.reasons}" for name, case in cases.items()
              if case.kind and not case.fits]  # fmt: skip
    assert missed == []


@pytest.mark.slow
def test_each_reason_of_a_mask_is_raised_by_a_failure(cases: dict[str, Case]) -> None:
    raised = {reason for case in cases.values() if case.kind for reason in case.reasons}
    told = {reason for fitting in FITTING.values() for reason in fitting}
    assert told & {rule.reason for rule in RULES} <= raised | {"lower_edge", "cut_brain"}


@pytest.mark.slow
def test_the_drawn_head_itself_is_fine(cases: dict[str, Case]) -> None:
    assert cases[UNTOUCHED].reasons == ()
