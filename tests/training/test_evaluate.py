"""Scores against oracles: a predictor that knows the truth, one that errs by a known distance."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

torch = pytest.importorskip("torch")
plt = pytest.importorskip("matplotlib.pyplot")

from benchmarks.overlap import Agreement  # noqa: E402
from bids_strip.domain import Conformed, Prediction  # noqa: E402
from training.asked import asked_for  # noqa: E402
from training.candidates import CANDIDATES  # noqa: E402
from training.evaluate import (  # noqa: E402
    main,
    rendered_score,
    rendered_scores,
    score_of,
    summary,
)
from training.fields import Missed  # noqa: E402
from training.heads import HeadScore, dices, find_heads, score_head  # noqa: E402
from training.maps import GROUP_INDEX, TrainingMap  # noqa: E402
from training.network import Architecture, StripNet  # noqa: E402
from training.predictor import torch_predictor  # noqa: E402
from training.sinus import called_cerebellum  # noqa: E402
from training.synthesis import (  # noqa: E402
    SynthesisDraw,
    SynthesisRanges,
    draw,
    looked_up,
    render,
)

pytestmark = pytest.mark.training
TINY = Architecture(widths=(4, 4), encoder_blocks=(1, 1), decoder_blocks=(1,))
CARD = torch_predictor(StripNet(TINY), 2.0).card


@pytest.fixture(scope="module")
def source() -> TrainingMap:
    """A ball of cortex of 40 mm in skin; the brain's surface lies 4 mm outside it."""
    i, j, k = np.indices((120, 120, 120)) - 59.5
    radius = np.sqrt(i**2 + j**2 + k**2)
    groups = np.zeros(radius.shape, np.uint8)
    groups[radius < 55] = GROUP_INDEX["skin"]
    groups[radius < 44] = GROUP_INDEX["fluid"]
    groups[radius < 40] = GROUP_INDEX["cortex"]
    half = radius.reshape(60, 2, 60, 2, 60, 2).mean(axis=(1, 3, 5))
    sdt = np.stack([half - 44, half - 40]) * 10
    return TrainingMap("ball", groups, np.clip(sdt.round(), -127, 127).astype(np.int8))


@dataclass(frozen=True)
class Oracle:
    """Gives the truth of one draw, its surface moved inwards."""

    source: TrainingMap
    item: SynthesisDraw
    inwards_mm: float = 0.0
    card = CARD
    provider = "oracle"

    def __call__(self, _conformed: Conformed) -> Prediction:
        sample = render(self.source, self.item)
        mm = sample.sdt[0, 0].numpy() + self.inwards_mm
        return Prediction(mm, np.eye(6, dtype=np.float32)[:, sample.tissue[0].numpy()])


@pytest.fixture(scope="module")
def item() -> SynthesisDraw:
    ranges = SynthesisRanges(
        windows=(((64, 64, 64), 1.0),), cut=0, cut_crown=0, half=0, atrophy=0, blob=0, stripped=0,
        scale=(1, 1), axis_scale=(1, 1), shear_sd=0, elastic=((4, 0.0),), ventricles=0,
    )  # fmt: skip
    return draw(np.random.default_rng(1), 1, ranges)


def test_the_truth_scores_full_marks(source: TrainingMap, item: SynthesisDraw) -> None:
    score = rendered_score(Oracle(source, item), source, item)
    assert score.brain == 1
    assert score.surface.mean_mm == pytest.approx(0, abs=1e-6)
    assert score.missed == Missed(0, 0, 0, 0)
    assert score.tissue[0] == 1
    assert score.ml == pytest.approx(4 / 3 * np.pi * 44**3 / 1000, rel=0.02)
    assert "ball" in score.groups


def test_six_mm_too_small_misses_two_mm_of_the_labels(
    source: TrainingMap, item: SynthesisDraw
) -> None:
    """The labels end 4 mm inside the surface: a shell of 38 to 40 mm is lost."""
    score = rendered_score(Oracle(source, item, inwards_mm=6.0), source, item)
    shell = 1 - (38 / 40) ** 3
    assert score.missed.share == pytest.approx(shell, rel=0.1)
    assert score.missed.ml == pytest.approx(shell * 4 / 3 * np.pi * 40**3 / 1000, rel=0.1)
    assert score.missed.out_mm == pytest.approx(2.0, abs=0.4)
    assert score.missed.deep_mm == pytest.approx(2.0, abs=0.4)
    assert score.surface.mean_mm == pytest.approx(6.0, abs=0.02)
    assert score.surface.signed_mm == pytest.approx(-6.0, abs=0.02)
    assert score.surface.p95_mm == pytest.approx(6.0, abs=0.1)
    assert score.brain == pytest.approx(2 * 38**3 / (38**3 + 44**3), abs=0.01)
    table = summary([score, rendered_score(Oracle(source, item), source, item)])
    assert table["ball"]["images"] == 2
    assert table["all"]["dice_min"] == score.brain
    assert table["all"]["dice"] == pytest.approx((score.brain + 1) / 2)
    assert table["all"]["dice_error"] == pytest.approx((1 - score.brain) / 2)  # of two


def test_a_loss_where_labels_call_a_sinus_cerebellum_is_told_apart(
    source: TrainingMap, item: SynthesisDraw
) -> None:
    """A vein down the ball's side, broken off for 12 mm: the shell that is lost is deep there."""
    groups = source.groups.copy()
    groups[groups == GROUP_INDEX["cortex"]] = GROUP_INDEX["cerebellar_cortex"]
    groups[88:98, 55:65, 66:76] = groups[88:98, 55:65, 44:54] = GROUP_INDEX["vein"]
    found = Oracle(source, item, inwards_mm=6.0)
    broken = rendered_score(found, replace(source, groups=groups), item)
    assert broken.missed_surely.ml < broken.missed.ml
    assert broken.missed_surely.deep_mm == broken.missed.deep_mm  # of what is lost elsewhere
    sample, there = render(source, item), looked_up(source, item, groups == GROUP_INDEX["vein"])
    assert there.sum() * 8 == pytest.approx((groups == GROUP_INDEX["vein"]).sum(), rel=0.25)
    mm = sample.sdt[0, 0].numpy().copy()
    doubtful = looked_up(source, item, called_cerebellum(replace(source, groups=groups)))
    mm[doubtful] = 5.0
    score = score_of(sample, Prediction(mm), item, source, doubtful)
    assert score.missed.deep_mm > 2.5
    assert score.missed_surely == Missed(0, 0, 0, 0)


def test_each_rendered_image_gets_its_picture(
    source: TrainingMap, item: SynthesisDraw, tmp_path: Path, monkeypatch
) -> None:
    """The true surface lies beside the predicted one, on the image."""
    monkeypatch.setattr("training.evaluate.held_out_draws", lambda *_: iter([item, item]))
    scores = rendered_scores(Oracle(source, item, inwards_mm=6.0), [source], 2, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000.png", "001.png"]
    pixels = plt.imread(tmp_path / "000.png")[..., :3]
    for colour in ((1, 0, 0), (0, 1, 1)):  # predicted, true
        assert (np.abs(pixels - colour).max(axis=2) < 0.1).sum() > 200
    assert [one.brain for one in scores] == [scores[0].brain] * 2


def test_doubtful_labels_are_told_apart_in_every_row(
    source: TrainingMap, item: SynthesisDraw, monkeypatch
) -> None:
    """Where all labels are doubtful nothing is surely missed."""
    monkeypatch.setattr("training.evaluate.held_out_draws", lambda *_: iter([item]))
    monkeypatch.setattr("training.evaluate.called_cerebellum", lambda one: one.groups > 0)
    scores = rendered_scores(Oracle(source, item, inwards_mm=6.0), [source], 1)
    assert scores[0].missed.deep_mm == pytest.approx(2.0, abs=0.4)
    assert scores[0].missed_surely == Missed(0, 0, 0, 0)
    row = summary(scores)["all"]
    assert row["surely_missed_deep_mm"] == row["surely_missed_mm"] == 0


@pytest.mark.parametrize(("signed", "inside"), [
    ((-1.0, 0.3), True), ((0.4, 1.5), True), ((0.6, 1.5), False), ((-2.0, -0.6), False),
    ((-2.0, -0.4), True),
])  # fmt: skip
def test_a_surface_lies_in_the_shell_or_not(signed: tuple[float, float], inside: bool) -> None:
    agreements = tuple(
        Agreement("head", name, 0.96, mm, 2.0, 3.0, 1400.0, 1400.0, 0.0)
        for name, mm in zip("ab", signed, strict=True)
    )
    score = HeadScore("head", 1400.0, agreements, 0.97)
    assert score.in_shell is inside
    assert score.mean_dice == pytest.approx(0.96)


@dataclass(frozen=True)
class Ball:
    """Finds a ball of 50 mm in the middle of any head."""

    card = CARD
    provider = "ball"

    def __call__(self, conformed: Conformed) -> Prediction:
        axes = [(np.arange(n) - (n - 1) / 2) * 2.0 for n in conformed.data.shape]
        i, j, k = np.meshgrid(*axes, indexing="ij")
        return Prediction((np.sqrt(i**2 + j**2 + k**2) - 50).astype(np.float32))


def test_real_heads_are_found_with_their_references(tmp_path: Path) -> None:
    """Two references, 2 mm inside and 2 mm outside our ball."""
    i, j, k = np.indices((128, 128, 128)) - 63.5
    radius = np.sqrt(i**2 + j**2 + k**2)
    image = tmp_path / "ds1" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    nib.Nifti1Image((100 - radius).clip(1).astype(np.float32), np.eye(4)).to_filename(image)
    for name, size in (("inner", 48), ("outer", 52)):
        mask = tmp_path / "reference" / name / "ds1_sub-01_T1w_mask.nii.gz"
        mask.parent.mkdir(parents=True)
        nib.Nifti1Image((radius < size).astype(np.uint8), np.eye(4)).to_filename(mask)
    (head,) = find_heads(tmp_path)
    assert [name for name, _ in head.references] == ["inner", "outer"]
    score = score_head(Ball(), head)
    assert [a.signed_mm for a in score.agreements] == pytest.approx([2.0, -2.0], abs=0.15)
    assert score.in_shell
    assert score.volume_ml == pytest.approx(4 / 3 * np.pi * 50**3 / 1000, rel=0.01)
    assert score.between == pytest.approx(2 * 48**3 / (48**3 + 52**3), abs=0.005)
    assert dict(dices(Ball(), [head])) == {"sub-01_T1w": pytest.approx(score.mean_dice)}


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_windows_of_a_candidate_fit_its_network(candidate) -> None:
    multiple = candidate.architecture.multiple
    for (shape, share), (plain, same) in zip(
        candidate.ranges.windows, SynthesisRanges().windows, strict=True
    ):
        assert share == same
        assert all(n % multiple == 0 for n in shape)
        for n, m in zip(shape, plain, strict=True):
            assert n * candidate.zoom_mm == pytest.approx(m * 2.0, abs=multiple * candidate.zoom_mm)
    assert candidate.macs < 60e9


TYPICAL = {"dice": 0.976, "dice_GM": 0.81, "dice_WM": 0.86, "dice_CSF": 0.71, "surface_mm": 0.89,
           "labels_missed_percent": 0.4, "labels_missed_mm": 2.9,
           "labels_missed_deep_mm": 2.8}  # fmt: skip
REAL = {"heads": 12, "in_shell": 10, "dice_at_least_references": 10}


@pytest.mark.parametrize(
    ("typical", "least_any", "real"),
    [
        ({"dice": 0.974}, 0.95, {}),
        ({"dice_WM": 0.849}, 0.95, {}),
        ({"surface_mm": 0.91}, 0.95, {}),
        ({"labels_missed_mm": 3.1}, 0.95, {}),
        ({"labels_missed_deep_mm": 3.1}, 0.95, {}),
        ({}, 0.93, {}),
        ({}, 0.95, {"in_shell": 9}),
    ],
)
def test_what_is_missed_is_told(typical: dict, least_any: float, real: dict) -> None:
    def missed(**other: dict) -> int:
        found = {"held_out_label_maps": {"T1w-like": TYPICAL, "any": {"dice": 0.95}},
                 "real_heads": REAL} | other  # fmt: skip
        return sum(not one.met for one in asked_for(found))

    maps = {"T1w-like": TYPICAL | typical, "any": {"dice": least_any}}
    assert missed() == 0
    assert missed(held_out_label_maps=maps, real_heads=REAL | real) == 1


def test_too_few_images_are_not_enough() -> None:
    """Of what was scored, each figure has to be there."""
    found = {"held_out_label_maps": {"all": TYPICAL, "stripped": TYPICAL}}
    asked = asked_for(found)
    assert asked
    assert not any(one.met for one in asked)


@pytest.mark.parametrize("more", [[], ["--data", "DATA"]])
def test_with_nothing_to_score_the_call_is_refused(more, tmp_path: Path, monkeypatch) -> None:
    """Before anything is computed."""
    more = [str(tmp_path) if one == "DATA" else one for one in more]
    monkeypatch.setattr(sys, "argv", ["evaluate", "strip-v1", *more])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2


def test_what_was_not_scored_is_not_asked_for() -> None:
    assert asked_for({}) == []
    assert len(asked_for({"real_heads": REAL})) == 2
