"""The training loop's parts: draws by number, going on, the learning rate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.export import to_onnx  # noqa: E402
from training.losses import distance_loss  # noqa: E402
from training.maps import GROUP_INDEX, TrainingMap  # noqa: E402
from training.network import Architecture, StripNet  # noqa: E402
from training.synthesis import FAR_MM  # noqa: E402
from training.train import Draws, Plan, Progress, learning_rate, save, start  # noqa: E402
from training.weights import restored  # noqa: E402

pytestmark = pytest.mark.training
TINY = Architecture(widths=(4, 6), encoder_blocks=(1, 1), decoder_blocks=(1,))


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
    first, again = (next(iter(Draws(maps, seed=3, first=40, batch=2))) for _ in range(2))
    other = next(iter(Draws(maps, seed=3, first=42, batch=2)))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.sdt, again.sdt)
    assert other.image.shape != first.image.shape or not torch.equal(first.image, other.image)
    assert first.image.shape[0] == 2


def test_the_far_field_is_marked(maps) -> None:
    sample = next(iter(Draws(maps, seed=3, first=0, batch=1)))
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


def test_a_checkpoint_goes_on_where_it_stood(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, minutes=1)
    net = StripNet(TINY)
    average = StripNet(TINY)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    save(tmp_path / "checkpoint.pt", net, average, optimiser, Progress(7, 14, 3.5, 0.25))
    found, smooth, _, progress = start(plan)
    assert progress == Progress(7, 14, 3.5, 0.25)
    for mine, theirs in ((net, found), (average, smooth)):
        assert all(
            torch.equal(a, b)
            for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True)
        )
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.filterwarnings("ignore")
def test_a_shipped_network_gives_its_weights_back(tmp_path: Path) -> None:
    net = StripNet(TINY)
    with torch.no_grad():  # the exporter stores equal weights once: a trained network has none
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(net))
    card = {"training": {"architecture": asdict(TINY), "draws": 900, "hours": 1.5}}
    path.with_suffix(".json").write_text(json.dumps(card))
    found, draws, hours = restored(path)
    assert (draws, hours) == (900, 1.5)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, found.state_dict()[name]), name
    plan = Plan(tmp_path, tmp_path / "work", minutes=1, origin=path)
    begun, _, _, progress = start(plan)
    assert (progress.step, progress.draws, progress.earlier_hours) == (0, 900, 1.5)
    assert torch.equal(begun.state_dict()["stem.weight"], net.state_dict()["stem.weight"])
