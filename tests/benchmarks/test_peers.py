"""The peer's network, written anew, against torch's own layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from benchmarks.peers import MindGrab, normalise  # noqa: E402

SHAPE = (40, 44, 48)
"""More voxels than are worked on at a time."""


pytestmark = pytest.mark.training


def voxels_last(means: list[float], deviations: list[float]) -> torch.Tensor:
    """Noise, a channel for each mean and deviation."""
    x = torch.randn((1, len(means), *SHAPE), generator=torch.Generator().manual_seed(1))
    x = x * torch.tensor(deviations).view(-1, 1, 1, 1) + torch.tensor(means).view(-1, 1, 1, 1)
    return x.contiguous(memory_format=torch.channels_last_3d)


def test_normalise_is_group_norm_of_one_channel_a_group() -> None:
    means, deviations = [0.0, 5.0, 10.0, 100.0, 7.0], [1.0, 3.0, 0.1, 1.0, 0.0]
    x = voxels_last(means, deviations)
    expected = functional.group_norm(x.double(), 5).numpy()
    normalise(x, groups=5)
    np.testing.assert_allclose(x.numpy()[:, :4], expected[:, :4], atol=6e-5)
    np.testing.assert_allclose(x.numpy()[:, 4], 0.0, atol=1e-3)


def test_normalise_knows_groups_of_one_channel_alone() -> None:
    with pytest.raises(ValueError, match="2 groups of 4 channels"):
        normalise(voxels_last([0.0] * 4, [1.0] * 4), groups=2)


def test_network_gives_the_mask_of_torchs_own_layers(tmp_path: Path) -> None:
    conv = {"op": "conv3d", "params": {"padding": 2, "dilation": 2}}
    last = {"op": "conv3d", "params": {"padding": 0, "dilation": 1}}
    between = [
        {"op": "group_norm", "params": {"num_groups": 5}},
        {"op": "batch_norm3d", "params": {}},
        {"op": "gelu", "params": {}},
    ]
    layers = [conv, *between, last]
    (tmp_path / "layers.json").write_text(json.dumps({"forward_pass": layers}), encoding="utf-8")
    rng = torch.Generator().manual_seed(3)
    first = torch.randn((5, 1, 3, 3, 3), generator=rng)
    second = torch.randn((2, 5, 1, 1, 1), generator=rng)
    bias = torch.tensor([0.1, -0.1])
    torch.save({"a.weight": first, "b.weight": second, "b.bias": bias}, tmp_path / "model.pth")
    head = torch.rand(SHAPE, generator=rng)

    mask = MindGrab.read(tmp_path)(head)

    x = functional.conv3d(head[None, None], first, padding=2, dilation=2)
    logits = functional.conv3d(functional.gelu(functional.group_norm(x, 5)), second, bias)[0]
    sure = (logits[1] - logits[0]).abs() > 1e-4
    assert 0.2 < mask.mean() < 0.8
    np.testing.assert_array_equal(mask[sure], (logits[1] > logits[0]).numpy()[sure])
