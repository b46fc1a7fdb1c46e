"""Narrowing takes what is not used, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from bids_strip.card import find_card  # noqa: E402
from training.blocks import ResidualBlock  # noqa: E402
from training.errors import TrainingError  # noqa: E402
from training.narrow import _moved_by_channels, main, narrowed  # noqa: E402
from training.network import Architecture, StripNet  # noqa: E402
from training.synthesis import SynthesisRanges  # noqa: E402
from training.train import Plan, Progress, start  # noqa: E402

pytestmark = pytest.mark.training
WIDE = Architecture(widths=(4, 6), encoder_blocks=(1, 2), decoder_blocks=(1,), encoder_inner=(),
                    decoder_inner=(), detail=6)  # fmt: skip
NARROW = replace(WIDE, encoder_inner=(3, 4), decoder_inner=(2,), detail=4)
UNUSED = {"encoders.0.0": [2], "encoders.1.0": [0, 5], "encoders.1.1": [1, 2],
          "decoders.0.0": [0, 3]}  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)
    torch.set_num_threads(1)


def wide() -> StripNet:
    """A network with inner channels and filters that nothing reads."""
    net = StripNet(WIDE).eval()
    torch.nn.init.normal_(net.detail.out.weight)
    with torch.no_grad():
        for name, channels in UNUSED.items():
            net.get_submodule(name).second.weight[:, channels] = 0
        net.detail.out.weight[:, [1, 4]] = 0
    return net


def test_what_nothing_reads_goes_and_nothing_changes() -> None:
    net, image = wide(), torch.rand(1, 1, 8, 12, 8)
    narrow = narrowed(net, NARROW, [image]).eval()
    assert narrow.architecture == NARROW
    for ours, theirs in zip(narrow(image), net(image), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)
    kept = net.get_submodule("encoders.1.0").first.weight[1:5]
    assert torch.equal(narrow.get_submodule("encoders.1.0").first.weight, kept)


def test_what_moves_least_goes_first() -> None:
    """Of two channels more the one is lost whose way on is weak."""
    net = wide()
    with torch.no_grad():
        net.get_submodule("decoders.0.0").second.weight[:, 1] *= 1e-3
    narrow = narrowed(net, replace(NARROW, decoder_inner=(1,)), [torch.rand(1, 1, 8, 8, 8)])
    kept = net.get_submodule("decoders.0.0").first.weight[2:3]
    assert torch.equal(narrow.get_submodule("decoders.0.0").first.weight, kept)


def test_a_filter_that_never_fires_goes_first() -> None:
    """Its weights on the way on are large; its threshold is never met."""
    net, image = wide(), torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        net.detail.thresholds.bias[8:16] = -1e6  # filter 1 stays silent: 4 alone is not read
        net.detail.out.weight[:, 1] = 100.0
    narrow = narrowed(net, replace(NARROW, detail=4), [image]).eval()
    assert torch.equal(narrow.detail.filters.weight, net.detail.filters.weight[[0, 2, 3, 5]])


def test_channels_that_cancel_move_what_each_moves_alone() -> None:
    """By how much the block's sum changes without each, told by taking it away."""
    block, x = ResidualBlock(4, 3).eval(), torch.randn(1, 4, 8, 8, 8)
    block.second_norm.weight.data.uniform_(0.5, 2.0)

    def added(kept: torch.Tensor) -> torch.Tensor:
        inner = block.first_norm(block.first(x)).relu() * kept[:, None, None, None]
        y = block.second(inner)
        whole = block.second(block.first_norm(block.first(x)).relu())
        deviation = whole.std((0, 2, 3, 4), keepdim=True)
        return block.second_norm.weight[:, None, None, None] * y / deviation

    with torch.no_grad():
        every = added(torch.ones(3))
        lost = [(every - added(1 - one)).var((0, 2, 3, 4)).sum().item() for one in torch.eye(3)]
        assert _moved_by_channels(block, x).tolist() == pytest.approx(lost, rel=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WIDE, replace(NARROW, widths=(4, 8))),
        (WIDE, replace(WIDE, detail=8)),
        (WIDE, replace(WIDE, encoder_inner=(5,))),
        (WIDE, replace(NARROW, likelihood=1)),
        (WIDE, replace(NARROW, detail=0)),
        (replace(WIDE, detail=0), replace(NARROW, detail=4)),
    ],
)
def test_nothing_else_may_change(old: Architecture, new: Architecture) -> None:
    with pytest.raises(ValueError, match="does not narrow"):
        narrowed(StripNet(old), new, [])


@pytest.mark.filterwarnings("ignore")
def test_training_goes_on_from_the_checkpoint(tmp_path: Path, monkeypatch, capsys) -> None:
    """Draws and hours of the network it came from; a checkpoint that is there stays."""
    net, image = wide(), torch.rand(1, 1, 8, 8, 8)
    monkeypatch.setattr("training.narrow.restored", lambda *_: (net, 900, 1.5))
    monkeypatch.setattr("training.narrow.typical_heads", lambda *_: [image])
    command = ["narrow", "net.onnx", "labels", str(tmp_path / "work")]
    command += ["--encoder-inner", "3,4", "--decoder-inner", "2", "--detail", "4"]
    monkeypatch.setattr("sys.argv", command)
    main()
    plan = Plan(tmp_path, tmp_path / "work")
    learner, progress = start(plan)
    assert progress == Progress(draws=900, earlier_hours=1.5)
    expected = narrowed(net, NARROW, [image]).state_dict()
    for found in (learner.net, learner.average):
        assert found.architecture == NARROW
        assert all(torch.equal(w, expected[name]) for name, w in found.state_dict().items())
    learner.net(image)[0].square().sum().backward()
    for optimiser in learner.optimisers:
        optimiser.step()
    assert not torch.equal(learner.net.stem.weight, learner.average.stem.weight)
    with pytest.raises(SystemExit):
        main()
    assert "is there already" in capsys.readouterr().err


def test_a_network_of_another_grid_is_told_in_a_line(tmp_path: Path, monkeypatch) -> None:
    """Where it is to be trained: the shipped one, were it of 1.6 mm; nothing is written."""
    shipped, work = find_card(None).path, tmp_path / "work"
    model = tmp_path / "net.onnx"
    model.write_bytes(shipped.read_bytes())
    card = json.loads(shipped.with_suffix(".json").read_text())
    card["input"]["zooms_mm"] = [1.6, 1.6, 1.6]
    model.with_suffix(".json").write_text(json.dumps(card))
    monkeypatch.setattr("training.narrow.typical_heads", lambda *_: [])
    monkeypatch.setattr("sys.argv", ["narrow", str(model), "labels", str(work)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = f"{model}: a network of 1.6 x 1.6 x 1.6 mm, and the training is on a grid of 2 mm; "
    assert str(ended.value.code).startswith(told)
    assert "\n" not in str(ended.value.code)
    plan = Plan(tmp_path, work, origin=model)
    with pytest.raises(TrainingError, match="grid of 2 mm; give a network of that grid"):
        start(plan)
    assert not work.exists()
    start(replace(plan, ranges=SynthesisRanges(zoom_mm=1.6)))
