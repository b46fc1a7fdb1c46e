"""What is exported is the checkpoint's average, or nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from training.export import (  # noqa: E402
    TOLERANCE_MM,
    TOLERANCE_SHARE,
    Blend,
    ExportError,
    export,
)
from training.network import Architecture, StripNet  # noqa: E402
from training.train import Learner, Plan, Progress, learner_of, save  # noqa: E402
from training.weights import restored  # noqa: E402

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]
TINY = Architecture(widths=(4, 6), encoder_blocks=(1, 1), decoder_blocks=(1,), encoder_inner=(),
                    decoder_inner=(), detail=4)  # fmt: skip


@pytest.fixture(autouse=True)
def heads(monkeypatch) -> None:
    """One small head instead of those of the held-out maps."""
    torch.set_num_threads(1)
    head = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr("training.export.typical_heads", lambda *_: [head])


def random_net(seed: int) -> StripNet:
    """No two weights alike: the exporter stores equal ones once, a trained network has none."""
    torch.manual_seed(seed)
    net = StripNet(TINY)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return net.eval()


def checkpoint(work: Path, seed: int) -> StripNet:
    """Write a checkpoint whose average is not its last step; give the average."""
    work.mkdir()
    plan, average = Plan(work, work), random_net(seed)
    learner = learner_of(plan, random_net(seed + 100))
    learner = Learner(learner.net, average, learner.optimisers)
    save(work / "checkpoint.pt", learner, Progress(step=7, draws=14), plan)
    return average


def exported(folder: Path, work: Path, blend: Blend | None = None) -> Path:
    return export(work, work / "labels", folder, "net", "0.3", blend)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return restored(path)[0].state_dict()


def test_the_average_is_exported(tmp_path: Path) -> None:
    average = checkpoint(tmp_path / "work", 1).state_dict()
    path = exported(tmp_path / "out", tmp_path / "work")
    found = weights_of(path)
    assert all(torch.equal(found[name], weight) for name, weight in average.items())
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["name"], card["version"], card["training"]["draws"]) == ("net", "0.3", 14)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_share_of_a_blend_is_the_checkpoints(tmp_path: Path, share: float) -> None:
    """A quarter of the checkpoint, three quarters of the network before it."""
    earlier = checkpoint(tmp_path / "earlier", 1).state_dict()
    model = exported(tmp_path / "before", tmp_path / "earlier")
    average = checkpoint(tmp_path / "work", 2).state_dict()
    path = exported(tmp_path / "out", tmp_path / "work", Blend(model, share))
    found = weights_of(path)
    for name, weight in average.items():
        torch.testing.assert_close(found[name], share * weight + (1 - share) * earlier[name])
    said = json.loads(path.with_suffix(".json").read_text())["training"]["weights"]
    assert f"{share:g} of it, and {1 - share:g} of net 0.3" in said


@pytest.mark.parametrize(
    "apart",
    [(1.01 * TOLERANCE_MM, 0.0), (0.0, 1.01 * TOLERANCE_SHARE), (float("nan"), 0.0)],
    ids=["distance alone", "tissue alone", "no number"],
)
def test_outputs_that_differ_are_refused(
    tmp_path: Path, monkeypatch, apart: tuple[float, float]
) -> None:
    checkpoint(tmp_path / "work", 1)
    monkeypatch.setattr("training.export.largest_differences", lambda *_: apart)
    with pytest.raises(ExportError, match="nothing written"):
        exported(tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


def test_outputs_that_differ_a_little_are_exported(tmp_path: Path, monkeypatch) -> None:
    checkpoint(tmp_path / "work", 1)
    monkeypatch.setattr(
        "training.export.largest_differences", lambda *_: (TOLERANCE_MM, TOLERANCE_SHARE)
    )
    assert exported(tmp_path / "out", tmp_path / "work").exists()
