"""The training loop's parts: draws by number, going on, the learning rate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import training.candidates  # noqa: E402
import training.train  # noqa: E402
from bids_strip.card import find_card  # noqa: E402
from training.blocks import depth_to_space, space_to_depth  # noqa: E402
from training.draws import Sequence, rendered  # noqa: E402
from training.errors import TrainingError  # noqa: E402
from training.export import largest_differences, to_onnx  # noqa: E402
from training.losses import Loss, distance_loss, loss_of  # noqa: E402
from training.maps import GROUP_INDEX, HELD_OUT, TrainingMap  # noqa: E402
from training.network import TISSUE_CHANNELS, Architecture, StripNet, card_values  # noqa: E402
from training.synthesis import FAR_MM, SynthesisRanges, unstored  # noqa: E402
from training.train import (  # noqa: E402
    TRAINING_MAPS,
    Learner,
    Plan,
    Progress,
    learner_of,
    learning_rate,
    save,
    start,
    train,
)
from training.weights import architecture_of, blended, restored, widened  # noqa: E402

pytestmark = pytest.mark.training
TINY = Architecture(widths=(4, 6), encoder_blocks=(1, 1), decoder_blocks=(1,), detail=4)


@pytest.fixture(scope="module")
def maps() -> list[TrainingMap]:
    """A ball of brain in a ball of soft tissue."""
    i, j, k = np.meshgrid(*(np.arange(60),) * 3, indexing="ij")
    radius = np.sqrt((i - 30) ** 2 + (j - 30) ** 2 + (k - 30) ** 2)
    groups = np.where(radius < 18, GROUP_INDEX["cortex"], 0)
    groups = np.where((radius >= 18) & (radius < 26), GROUP_INDEX["soft"], groups)
    stored = np.clip((radius - 18)[::2, ::2, ::2] * 10, -127, 127).round().astype(np.int8)
    return [TrainingMap("ball", groups.astype(np.uint8), np.stack([stored, stored]))]


def test_a_draw_number_is_the_same_image_each_time(maps) -> None:
    sequence = Sequence(maps=1, seed=3, batch=2)
    (items, first), (_, again), (_, other) = (
        next(rendered(maps, sequence, number, "cpu")) for number in (40, 40, 42)
    )
    assert items == sequence.items(40)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.sdt, again.sdt)
    assert other.image.shape != first.image.shape or not torch.equal(first.image, other.image)
    assert first.image.shape[0] == 2


def test_the_far_field_is_marked(maps) -> None:
    _, sample = next(rendered(maps, Sequence(maps=1, seed=3, batch=1), 0, "cpu"))
    assert float(sample.sdt.max()) == FAR_MM
    far = torch.full((1, 1, 2, 2, 2), FAR_MM)
    one = torch.ones_like(far)
    assert float(distance_loss(far + 5, far, one)) == 0.0


def test_the_learning_rate_warms_up_and_falls() -> None:
    plan = Plan(Path(), Path(), minutes=10, warm_up_steps=10)
    rates = [
        learning_rate(plan, Progress(step=step, seconds=seconds))
        for step, seconds in ((0, 0), (9, 0), (100, 300), (200, 600), (300, 900))
    ]
    assert rates[0] == pytest.approx(plan.rate / 10)
    assert rates[1] == pytest.approx(plan.rate)
    assert rates[2] == pytest.approx((plan.rate + plan.final_rate) / 2)
    assert rates[3] == rates[4] == pytest.approx(plan.final_rate)


def test_a_plan_of_steps_falls_by_steps() -> None:
    plan = Plan(Path(), Path(), steps=200, warm_up_steps=1)
    assert learning_rate(plan, Progress(step=100)) == pytest.approx(
        (plan.rate + plan.final_rate) / 2
    )
    assert learning_rate(plan, Progress(step=200)) == pytest.approx(plan.final_rate)


def same(one: StripNet, other: StripNet) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def stepped(learner: Learner, seed: int) -> None:
    """Change the weights by gradients of noise."""
    rng = torch.Generator().manual_seed(seed)
    for weight in learner.net.parameters():
        weight.grad = torch.randn(weight.shape, generator=rng)
    for optimiser in learner.optimisers:
        optimiser.step()


def test_a_checkpoint_goes_on_where_it_stood(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, minutes=1)
    learner = learner_of(plan, StripNet(TINY))
    learner = Learner(learner.net, StripNet(TINY), learner.optimisers)
    stepped(learner, 1)
    save(tmp_path / "checkpoint.pt", learner, Progress(7, 14, 3.5, 0.5, 0.25), plan)
    found, progress = start(plan)
    assert progress == Progress(7, 14, 3.5, 0.5, 0.25)
    assert same(found.net, learner.net)
    assert same(found.average, learner.average)
    assert not same(found.net, found.average)
    assert not list(tmp_path.glob("*.partial"))
    for one in (found, learner):  # the optimisers remember
        stepped(one, 2)
    assert same(found.net, learner.net)


def test_rates_of_a_later_start_are_its_plans(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, architecture=Architecture(widths=(4, 6, 8, 8)))
    learner, progress = start(plan)
    stepped(learner, 1)
    save(tmp_path / "checkpoint.pt", learner, progress, plan)
    found, _ = start(replace(plan, hidden_rate=3.0, detail_rate=5.0, weight_decay=0.25))
    assert [group["times"] for group in found.groups] == [3.0, 1.0, 5.0]
    assert {group["weight_decay"] for group in found.groups} == {0.25}


def test_a_checkpoint_from_before_muon_is_refused(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, architecture=TINY)
    learner, progress = start(plan)
    save(tmp_path / "checkpoint.pt", learner, progress, plan)
    state = torch.load(tmp_path / "checkpoint.pt")
    del state["muon"], state["optimisers"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="give another work folder"):
        start(plan)


def test_a_checkpoint_without_inner_channels_is_refused(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, architecture=TINY)
    learner, progress = start(plan)
    save(tmp_path / "checkpoint.pt", learner, progress, plan)
    state = torch.load(tmp_path / "checkpoint.pt")
    del state["architecture"]["encoder_inner"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="give another work folder"):
        start(replace(plan, architecture=None))


def test_training_makes_the_loss_fall_and_adds_up(tmp_path: Path, maps, monkeypatch) -> None:
    """Two starts of one training see the draws of one that was never interrupted."""
    monkeypatch.setattr("training.train.load_maps", lambda *_: maps)
    monkeypatch.setattr("training.train.REPORT_STEPS", 4)
    ranges = SynthesisRanges(windows=(((32, 32, 32), 1.0),))
    plan = Plan(tmp_path, tmp_path, steps=12, ranges=ranges, save_every=6, bf16=False,
                architecture=Architecture(widths=(4, 6, 8, 8)),
                warm_up_steps=2, rate=5e-3)  # fmt: skip
    train(replace(plan, steps=6))
    train(plan)
    header, *rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().split()]
    assert header == ["step", "seconds", "distance", "dice", "tissue"]
    assert [int(row[0]) for row in rows] == [4, 6, 8, 12]
    assert float(rows[-1][2]) < 0.8 * float(rows[0][2])
    hard = [json.loads(line) for line in (tmp_path / "hardest.jsonl").read_text().splitlines()]
    sequence = Sequence(1, plan.seed, plan.batch, ranges)
    drawn = [item for number in range(0, 24, 2) for item in sequence.items(number)]
    for note in hard:
        assert unstored(note["draw"]) in drawn
    _, progress = start(plan)
    assert (progress.step, progress.draws) == (12, 24)
    train(plan)  # done: not a step more
    assert start(plan)[1] == progress
    other_grid = SynthesisRanges(zoom_mm=1.6)
    for other in (
        {"seed": 9},
        {"architecture": TINY},
        {"widths": (4, 6, 8, 9)},
        {"ranges": other_grid},
        {"muon": False},
    ):
        with pytest.raises(ValueError, match="another work folder"):
            start(replace(plan, **other))


def test_steps_that_come_again_are_told_once(tmp_path: Path, maps, monkeypatch) -> None:
    """The last checkpoint is of step 4 when the training ends at 6."""
    monkeypatch.setattr("training.train.load_maps", lambda *_: maps)
    monkeypatch.setattr("training.train.REPORT_STEPS", 2)
    plan = Plan(tmp_path, tmp_path, steps=6, save_every=4, bf16=False, batch=1,
                ranges=SynthesisRanges(windows=(((32, 32, 32), 1.0),)),
                architecture=Architecture(widths=(4, 6, 8, 8)))  # fmt: skip

    def save_at_four(path: Path, learner: Learner, progress: Progress, plan: Plan) -> None:
        if progress.step == 4:
            save(path, learner, progress, plan)

    monkeypatch.setattr("training.train.save", save_at_four)
    train(plan)
    train(plan)
    steps = [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().split()]
    assert steps == ["step", "2", "4", "6"]
    hard = (tmp_path / "hardest.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in hard] == [2, 4, 6]


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ((), "no such folder"),
        (("ds1/sub-01_T1w.nii.gz",), "no masks in reference"),
        (("reference/net/ds1_sub-01_T1w_mask.nii.gz",), "no image of the masks"),
    ],
)
@pytest.mark.parametrize("program", [training.train.main, training.candidates.main])
def test_data_without_heads_is_told_in_a_line_before_anything(
    tmp_path: Path, monkeypatch, program: Callable[[], None], there: tuple[str, ...], why: str
) -> None:
    data, labels, work = (tmp_path / name for name in ("data", "labels", "work"))
    maps = [f"{name}.nii.gz" for name in (*TRAINING_MAPS, *HELD_OUT)]
    for path in (*(data / name for name in there), *(labels / name for name in maps)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr("sys.argv", ["program", str(labels), str(work), "--data", str(data)])
    with pytest.raises(SystemExit) as ended:
        program()
    told = str(ended.value.code)
    assert told.startswith(f"{data}: no real heads")
    assert why in told
    assert told.endswith("or leave --data out")
    assert "\n" not in told
    assert not work.exists()


class Clock:
    """Tells the seconds that were let pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: float, result: object = None) -> Callable[..., object]:
        """What takes so long and gives that."""

        def take(*_: object) -> object:
            self.now += seconds
            return result

        return take


@pytest.mark.parametrize(("device", "seconds"), [("cpu", 4 * 2.0), ("meta", 4 * (2.0 + 3.0))])
def test_reports_and_scores_are_neither_learning_nor_waiting(
    tmp_path: Path, monkeypatch, device: str, seconds: float
) -> None:
    """Four steps of 2 s, each after 3 s without an image: on a GPU it renders in them."""
    clock, told = Clock(), []
    batch = clock.taking(3.0, ([], None))
    loss = Loss(*torch.ones(3))
    monkeypatch.setattr("training.train.time", clock)
    monkeypatch.setattr("training.train.load_maps", lambda *_: [])
    monkeypatch.setattr("training.train.batches", lambda *_: iter(batch, None))
    monkeypatch.setattr("training.train.step_once", clock.taking(2.0, (loss, True)))
    monkeypatch.setattr("training.train.save", clock.taking(7.0))
    monkeypatch.setattr("training.train.Log.report", clock.taking(11.0))
    monkeypatch.setattr("training.train.Log.score", clock.taking(20.0))
    monkeypatch.setattr("training.train.update_average", lambda *_: None)
    monkeypatch.setattr("training.train.learning_rate", lambda _, at: told.append(at) or 0.0)
    plan = Plan(tmp_path, tmp_path, steps=4, save_every=1, score_every=1, bf16=False,
                device=device, architecture=Architecture(widths=(4, 6, 8, 8)))  # fmt: skip
    train(plan)
    assert (told[-1].step, told[-1].waited, told[-1].seconds) == (4, 4 * 3.0, seconds)


def test_held_out_maps_are_asked_for_before_a_training(tmp_path: Path, monkeypatch) -> None:
    """Export and evaluation read them: hours of training without them would be for nothing."""
    for name in TRAINING_MAPS:
        (tmp_path / f"{name}.nii.gz").touch()
    monkeypatch.setattr("sys.argv", ["train", str(tmp_path), str(tmp_path / "work")])
    monkeypatch.setattr("training.train.train", lambda _: pytest.fail("trained"))
    with pytest.raises(SystemExit, match=f"no label maps {', '.join(HELD_OUT)} there"):
        training.train.main()


@pytest.fixture
def broken_after(monkeypatch) -> Callable[[int, int], None]:
    """Lets losses be no number in so many steps after so many."""

    def break_them(steps: int, after: int) -> None:
        seen = iter(range(1000))

        def loss_then(*given) -> Loss:
            loss = loss_of(*given)
            if not after <= next(seen) < after + steps:
                return loss
            return Loss(loss.distance * torch.nan, loss.dice, loss.tissue)

        monkeypatch.setattr("training.train.loss_of", loss_then)

    return break_them


def test_a_training_whose_every_step_is_skipped_ends(
    tmp_path: Path, maps, monkeypatch, capsys, broken_after
) -> None:
    """The weights before them stay the checkpoint's; what they were drawn from is told."""
    monkeypatch.setattr("training.train.load_maps", lambda *_: maps)
    broken_after(1000, after=3)
    plan = Plan(tmp_path, tmp_path, steps=60, save_every=1, bf16=False, batch=1,
                ranges=SynthesisRanges(windows=(((32, 32, 32), 1.0),)),
                architecture=Architecture(widths=(4, 6, 8, 8)))  # fmt: skip
    with pytest.raises(TrainingError, match=r"20 steps in a row, the last of them 23; .*--rate"):
        train(plan)
    assert "step 23 " in (said := capsys.readouterr().out)
    assert "skipped 20 steps" in said
    assert start(plan)[1].step == 3
    (line,) = (tmp_path / "hardest.jsonl").read_text().splitlines()
    hardest = unstored(json.loads(line, parse_constant=pytest.fail)["draw"])
    assert hardest == Sequence(1, plan.seed, 1, plan.ranges).item(3)


def test_a_training_goes_on_after_a_few_skipped_steps(
    tmp_path: Path, maps, monkeypatch, broken_after
) -> None:
    """They change no weight, and are counted in the checkpoint."""
    monkeypatch.setattr("training.train.load_maps", lambda *_: maps)
    monkeypatch.setattr("training.train.SKIPPED_AT_MOST", 3)
    plan = Plan(tmp_path, tmp_path, steps=2, save_every=1, bf16=False, batch=1,
                ranges=SynthesisRanges(windows=(((32, 32, 32), 1.0),)),
                architecture=Architecture(widths=(4, 6, 8, 8)))  # fmt: skip
    broken_after(2, after=2)
    learner = train(plan)
    then = train(replace(plan, steps=4))
    assert start(plan)[1].skipped == 2
    assert same(then.net, learner.net)


def test_the_shipped_network_comes_back() -> None:
    """The embedded file itself: what torch makes of it is what onnxruntime makes of it."""
    card = find_card(None)
    net, draws, hours = restored(card.path)
    assert draws > 4000
    assert hours > 1
    head = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(1))
    assert max(largest_differences(net.eval(), card.path.read_bytes(), [head])) < 0.01


def test_widening_keeps_the_function_and_can_learn() -> None:
    net = StripNet(TINY)
    torch.nn.init.normal_(net.detail.out.weight)
    wide = widened(net, (7, 6))
    image = torch.rand(1, 1, 16, 16, 16)
    for ours, theirs in zip(net(image), wide(image), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    wide(image)[0].abs().sum().backward()
    assert float(wide.fine.weight.grad[:, 4:].abs().max()) > 0


def test_likelihoods_change_the_tissue_alone() -> None:
    """It gets what the image says, and the likelihoods' weight learns."""
    net = StripNet(TINY)
    plain = StripNet(replace(TINY, likelihood=0))
    plain.load_state_dict({name: net.state_dict()[name] for name in plain.state_dict()})
    image = torch.rand(1, 1, 16, 16, 16)
    (sdt, tissue), (sdt_after, tissue_after) = plain(image), net(image)
    assert torch.equal(sdt, sdt_after)
    logits = space_to_depth(tissue, len(TISSUE_CHANNELS))
    blocks = net.likelihood.blocks(image, logits, net.trunk(image))
    assert torch.allclose(tissue_after, depth_to_space(blocks, len(TISSUE_CHANNELS)), atol=1e-3)
    assert not torch.allclose(tissue_after, tissue, atol=0.1)
    tissue_after.square().sum().backward()
    assert float(net.likelihood.weight.grad.abs()) > 0


def test_an_early_card_says_nothing_of_what_goes_beside_the_trunk() -> None:
    stored = asdict(TINY)
    for name in ("encoder_inner", "decoder_inner", "detail", "likelihood"):
        del stored[name]
    bare = replace(TINY, encoder_inner=(), decoder_inner=(), detail=0, likelihood=0)
    assert architecture_of(stored) == bare


@pytest.mark.parametrize("widths", [(3, 6), (4, 6, 8)])
def test_a_network_that_is_not_wider_is_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not widen"):
        widened(StripNet(TINY), widths)


def perturb(net: StripNet) -> None:
    """No two weights alike: the exporter stores equal ones once, a trained network has none."""
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.filterwarnings("ignore")
def test_a_shipped_network_gives_its_weights_back(tmp_path: Path) -> None:
    net = StripNet(TINY)
    perturb(net)
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(net))
    card = {"training": {"architecture": asdict(TINY), "draws": 900, "hours": 1.5}}
    card |= card_values(TINY, 2.0)
    path.with_suffix(".json").write_text(json.dumps(card))
    found, draws, hours = restored(path)
    assert (draws, hours) == (900, 1.5)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, found.state_dict()[name]), name
    plan = Plan(tmp_path, tmp_path / "work", minutes=1, origin=path)
    begun, progress = start(plan)
    assert (progress.step, progress.draws, progress.earlier_hours) == (0, 900, 1.5)
    assert torch.equal(begun.net.state_dict()["stem.weight"], net.state_dict()["stem.weight"])
    wide, _ = start(replace(plan, widths=(5, 6)))
    assert wide.net.architecture == replace(TINY, widths=(5, 6))


@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_missing_are_told(tmp_path: Path) -> None:
    """But for the trust of networks from before it, which starts anew."""
    path = tmp_path / "net.onnx"
    net = StripNet(replace(TINY, encoder_inner=(), decoder_inner=()))
    perturb(net)
    model = onnx.load_from_string(to_onnx(net))
    for tensor in [one for one in model.graph.initializer if ".trust." in one.name]:
        model.graph.initializer.remove(tensor)
    onnx.save(model, path)
    stored = asdict(net.architecture)
    card = {"training": {"architecture": stored, "draws": 900, "hours": 1.5}}
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(RuntimeError, match="trust"):
        restored(path)
    del stored["encoder_inner"], stored["decoder_inner"]
    path.with_suffix(".json").write_text(json.dumps(card))
    assert float(restored(path)[0].likelihood.trust.weight.abs().max()) == 0


def test_a_blend_is_the_mean_of_the_weights() -> None:
    torch.manual_seed(8)
    one, other = StripNet(TINY), StripNet(TINY)
    assert same(blended(one, other, 1.0), one)
    assert same(blended(one, other, 0.0), other)
    mean = blended(one, other, 0.25).stem.weight
    torch.testing.assert_close(mean, 0.25 * one.stem.weight + 0.75 * other.stem.weight)
    earlier = blended(one, StripNet(replace(TINY, likelihood=1)), 0.5)
    assert earlier.architecture.likelihood == TINY.likelihood == 2


def test_a_blend_of_what_does_not_fit_is_refused() -> None:
    net = StripNet(TINY)
    with pytest.raises(ValueError, match="cannot be blended"):
        blended(net, StripNet(replace(TINY, detail=2)), 0.5)
    with pytest.raises(ValueError, match="cannot be blended"):
        blended(net, StripNet(replace(TINY, likelihood=0)), 0.5)
    with pytest.raises(ValueError, match="cannot be blended"):
        blended(StripNet(replace(TINY, likelihood=0)), net, 0.5)
    with pytest.raises(ValueError, match=r"not 1\.5"):
        blended(net, net, 1.5)
