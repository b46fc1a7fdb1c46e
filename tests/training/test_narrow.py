"""Narrowing takes what is not used, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from training.blocks import ResidualBlock  # noqa: E402
from training.narrow import _moved_by_channels, narrowed  # noqa: E402
from training.network import Architecture, StripNet  # noqa: E402

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


def test_variances_are_those_of_samples() -> None:
    """Of normal values of each norm's mean and deviation that went through ReLU."""
    block = ResidualBlock(4, 3)
    with torch.no_grad():
        block.first_norm.weight.copy_(torch.tensor([1.0, -0.5, 0.0]))
        block.first_norm.bias.copy_(torch.tensor([-0.7, 0.4, 0.3]))
    moved = _moved_by_channels(block).tolist()
    values = torch.randn(1_000_000, 3) * block.first_norm.weight + block.first_norm.bias
    passed = block.second.weight.square().sum((0, 2, 3, 4))
    expected = values.relu().var(0) * passed
    assert moved == pytest.approx(expected.tolist(), rel=0.02, abs=1e-6)


@pytest.mark.parametrize(
    "architecture",
    [replace(NARROW, widths=(4, 8)), replace(WIDE, detail=8), replace(WIDE, encoder_inner=(5,)),
     replace(NARROW, likelihood=1)],
)  # fmt: skip
def test_nothing_else_may_change(architecture: Architecture) -> None:
    with pytest.raises(ValueError, match="does not narrow"):
        narrowed(wide(), architecture, [])
