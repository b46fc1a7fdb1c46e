"""The network's parts against torch's own, and its export against onnxruntime."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnxruntime as ort  # noqa: E402

from bids_strip.card import parse_card  # noqa: E402
from training.blocks import (  # noqa: E402
    InstanceNorm,
    Pointwise,
    depth_to_space,
    space_to_depth,
)
from training.detail import Detail  # noqa: E402
from training.export import (  # noqa: E402
    TOLERANCE_MM,
    TOLERANCE_SHARE,
    card_of,
    largest_differences,
    to_onnx,
)
from training.network import (  # noqa: E402
    SDT_CHANNELS,
    TISSUE_CHANNELS,
    Architecture,
    StripNet,
    count_macs,
)
from training.weights import architecture_of  # noqa: E402

pytestmark = pytest.mark.training
legacy_export = pytest.mark.filterwarnings("ignore:You are using the legacy:DeprecationWarning")
TINY = Architecture(widths=(4, 6), encoder_blocks=(1, 1), decoder_blocks=(1,),
                    encoder_inner=(3,), decoder_inner=(), detail=10)  # fmt: skip
DEEP = Architecture(widths=(4, 4, 4, 6), encoder_inner=(2,), decoder_inner=(3,), detail=10)
"""As many levels as the shipped network."""


def trained(architecture: Architecture = TINY) -> StripNet:
    """A network in which what starts from zero has learned something."""
    net = StripNet(architecture).eval()
    assert net.detail is not None
    assert net.likelihood is not None
    torch.nn.init.normal_(net.detail.out.weight)
    torch.nn.init.normal_(net.likelihood.trust.weight)
    return net


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(4)
    torch.set_num_threads(1)


def test_space_to_depth_is_undone() -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    assert space_to_depth(x, 3).shape == (2, 24, 2, 3, 4)
    assert torch.equal(depth_to_space(space_to_depth(x, 3), 3), x)


def test_space_to_depth_keeps_neighbours_together() -> None:
    """The eight voxels of a block become the eight channels of its voxel."""
    x = torch.arange(4 * 4 * 4, dtype=torch.float32).reshape(1, 1, 4, 4, 4)
    block = space_to_depth(x, 1)[0, :, 1, 0, 1]
    assert sorted(block.tolist()) == sorted(x[0, 0, 2:4, 0:2, 2:4].flatten().tolist())


@pytest.mark.parametrize("images", [1, 3])
def test_instance_norm_is_torchs(images: int) -> None:
    ours = InstanceNorm(5)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.uniform_(-1, 1)
    x = torch.randn(images, 5, 4, 3, 6) * 3 + 2
    expected = torch.nn.functional.instance_norm(x, weight=ours.weight, bias=ours.bias)
    assert torch.allclose(ours(x), expected, atol=1e-5)
    assert torch.allclose(ours.eval()(x), expected, atol=1e-5)


def test_pointwise_is_a_convolution() -> None:
    ours = Pointwise(6, 4)
    x = torch.randn(2, 6, 3, 4, 5)
    expected = torch.nn.functional.conv3d(x, ours.weight, ours.bias)
    assert torch.allclose(ours(x), expected, atol=1e-5)
    assert ours(x).shape == (2, 4, 3, 4, 5)


def test_shapes_of_the_output() -> None:
    assert TINY.multiple == 4
    sdt, tissue = StripNet(TINY)(torch.randn(2, 1, 8, 12, 16))
    assert sdt.shape == (2, len(SDT_CHANNELS), 8, 12, 16)
    assert tissue.shape == (2, len(TISSUE_CHANNELS), 8, 12, 16)


def test_images_of_a_batch_do_not_mix() -> None:
    net = trained()
    x = torch.rand(2, 1, 8, 8, 8) * torch.tensor([1.0, 3.0])[:, None, None, None, None]
    with torch.no_grad():
        both = net(x)
        alone = [torch.cat(parts) for parts in zip(*(net(one) for one in x.split(1)), strict=True)]
    for ours, theirs in zip(both, alone, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


def test_detail_is_filters_with_thresholds_of_the_trunk() -> None:
    """The matrix products against torch's convolutions at the resolution of the image."""
    detail = Detail(trunk=3, filters=10, channels=4)
    torch.nn.init.normal_(detail.out.weight)
    image, x = torch.randn(2, 1, 8, 6, 4), torch.randn(2, 3, 4, 3, 2)
    thresholds = depth_to_space(detail.thresholds(x), 10)
    seen = torch.nn.functional.conv3d(image, detail.filters.weight, padding=1) + thresholds
    expected = torch.nn.functional.conv3d(seen.clamp(min=0), detail.out.weight)
    blocks = detail.blocks(detail.seen(image, x), slice(None))
    assert torch.allclose(depth_to_space(blocks, 4), expected, atol=1e-5)


def test_an_untrained_detail_path_changes_nothing() -> None:
    net = StripNet(TINY)
    image = torch.randn(1, 1, 8, 8, 8)
    before = net(image)
    net.detail = None
    for ours, theirs in zip(before, net(image), strict=True):
        assert torch.equal(ours, theirs)


def test_every_weight_learns() -> None:
    net = trained()
    sdt, tissue = net(torch.randn(1, 1, 8, 8, 8))
    (sdt.square().mean() + tissue.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_multiply_adds_of_every_convolution() -> None:
    """Counted by hand: taps, channels in and out, voxels of the output."""
    stem = 27 * 8 * 4 * 4**3
    blocks = 2 * 27 * 4 * (3 + 4) * 4**3 + 2 * 27 * 6 * 6 * 2**3  # two at the top, one below
    ways = 8 * 4 * 6 * 2**3 + 6 * 4 * 2**3  # down, up
    heads = (4 * 2 + 4 * 8 * 8 + 4) * 4**3  # coarse, fine, trust
    plain = replace(TINY, detail=0)
    assert count_macs(plain, (8, 8, 8)) == stem + blocks + ways + heads
    assert count_macs(plain, (16, 8, 8)) == 2 * (stem + blocks + ways + heads)
    detail = 27 * 10 * 8**3 + 4 * 8 * 10 * 4**3 + 10 * 8 * 8**3  # filters, thresholds, output
    assert count_macs(TINY, (8, 8, 8)) == count_macs(plain, (8, 8, 8)) + detail


@legacy_export
@pytest.mark.parametrize(
    ("architecture", "shapes"),
    [(TINY, [(8, 12, 16), (16, 16, 12)]), (DEEP, [(32, 16, 16), (16, 32, 48), (64, 48, 80)])],
    ids=["two levels", "four levels"],
)
def test_export_agrees_with_onnxruntime(
    architecture: Architecture, shapes: list[tuple[int, ...]]
) -> None:
    """Of noise, and of dim flat regions, where variances are least."""
    net = trained(architecture)
    model = to_onnx(net)
    heads = [torch.rand(1, 1, *shape) for shape in shapes]
    heads += [0.9 + 0.1 * head.round() + 0.005 * head for head in heads]
    apart_mm, apart = largest_differences(net, model, heads)
    assert apart_mm < TOLERANCE_MM
    assert apart < TOLERANCE_SHARE
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["sdt", "tissue"]
    with torch.no_grad():
        expected = net(heads[0])[1].numpy()
    found = session.run(["tissue"], {"image": heads[0].numpy()})[0]
    assert np.allclose(found, expected, atol=2e-3)


@legacy_export
def test_a_network_that_is_not_the_exported_one_shows() -> None:
    net, other = trained(), trained()
    assert min(largest_differences(other, to_onnx(net), [torch.rand(1, 1, 8, 8, 8)])) > 0.01


@legacy_export
def test_a_network_that_gives_no_numbers_shows() -> None:
    net, broken = trained(), trained()
    with torch.no_grad():
        broken.fine.bias.fill_(float("nan"))
    head = torch.rand(1, 1, 8, 8, 8)
    assert np.isnan(largest_differences(broken, to_onnx(net), [head])).all()
    with torch.no_grad():
        net.coarse.bias.fill_(100.0)  # all far outside
    assert np.isnan(largest_differences(net, to_onnx(broken), [head])).all()


def test_the_card_is_one_that_the_app_reads() -> None:
    net = StripNet(TINY)
    state = {
        "architecture": asdict(TINY),
        "average": net.state_dict(),
        "progress": {"draws": 3, "step": 3, "seconds": 36.0},
        "zoom_mm": 2.0,
        "muon": True,
    }
    data = json.loads(json.dumps(card_of("n", "1", b"model", state)))
    card = parse_card(data, Path("n.onnx"))
    assert architecture_of(data["training"]["architecture"]) == TINY
    assert card.zooms == (2.0, 2.0, 2.0)
    assert card.multiple == TINY.multiple
    assert [o.role for o in card.outputs] == ["brain", "brain_no_csf", "tissue"]
    assert data["parameters"] == sum(p.numel() for p in net.parameters())
