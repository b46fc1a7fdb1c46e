"""Take away what a trained network hardly uses: ``python -m training.narrow MODEL LABELS WORK``.

Channels between the two convolutions of a residual block, and filters of the detail path, go by how
little of what is added there they move. WORK then holds a checkpoint to train on from; before that
the network is a worse one (pruning and retraining: Li et al. 2017, arXiv:1608.08710).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.blocks import ResidualBlock
from training.detail import Detail
from training.errors import told_in_a_line
from training.export import typical_heads
from training.network import Architecture, StripNet
from training.train import TRAINING_MAPS, Plan, Progress, learner_of, save
from training.weights import restored

JUDGES = 4
"""Training maps, an image of each, on which channels and filters are judged."""


def narrowed(net: StripNet, architecture: Architecture, images: list[Tensor]) -> StripNet:
    """The network with fewer inner channels and filters.

    Parameters
    ----------
    net
        A trained network.
    architecture
        Its own but for ``encoder_inner``, ``decoder_inner`` and ``detail``, none of them larger.
    images : each (1, 1, I, J, K)
        On which they are judged.

    Raises
    ------
    ValueError
        If the architecture differs otherwise, or leaves no detail path.
    """
    old = net.architecture
    beside = {name: getattr(old, name) for name in ("encoder_inner", "decoder_inner", "detail")}
    narrow = StripNet(architecture)
    other = replace(architecture, **beside) != old
    if other or not 0 < architecture.detail <= old.detail or _wider(narrow, net):
        raise ValueError(f"{architecture} does not narrow {old}")
    state = net.state_dict()
    moved = _moved(net, images)
    for name, part in narrow.named_modules():
        if isinstance(part, ResidualBlock):
            _keep_channels(state, name, _largest(moved[name], part.first.out_channels))
        elif isinstance(part, Detail):
            _keep_filters(state, name, _largest(moved[name], part.filters.out_channels))
    narrow.load_state_dict(state)
    return narrow


def _wider(net: StripNet, other: StripNet) -> bool:
    """If any weight of a network is larger than the other's."""
    sizes = {name: weight.shape for name, weight in other.state_dict().items()}
    return any(
        a > b
        for name, weight in net.state_dict().items()
        for a, b in zip(weight.shape, sizes[name], strict=True)
    )


def _largest(values: Tensor, count: int) -> Tensor:
    """Where the largest values are, in ascending order."""
    return values.argsort(descending=True)[:count].sort().values


def _moved(net: StripNet, images: list[Tensor]) -> dict[str, Tensor]:
    """Of each residual block and detail path by name: how far each inner channel, filter moves it.

    Summed over the images; in each as a share of the block's own variance.
    """
    moved: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    blocks = {
        block: name for name, block in net.named_modules() if isinstance(block, ResidualBlock)
    }

    def look(block: nn.Module, inputs: tuple[Tensor], _out: Tensor) -> None:
        assert isinstance(block, ResidualBlock)
        moved[blocks[block]] = moved[blocks[block]] + _moved_by_channels(block, inputs[0])

    hooks = [block.register_forward_hook(look) for block in blocks]
    with torch.no_grad():
        for image in images:
            x = net.trunk(image)
            assert net.detail is not None
            moved["detail"] = moved["detail"] + _moved_by_filters(net.detail, image, x)
    for hook in hooks:
        hook.remove()
    return moved


def _moved_by_channels(block: ResidualBlock, x: Tensor) -> Tensor:
    """Variance that each inner channel brings to what the block adds, as its norm leaves it."""
    inner = F.relu(block.first_norm(block.first(x)))
    weight = block.second.weight
    whole = F.conv3d(inner, weight, padding=1).var((0, 2, 3, 4))
    shares = [
        F.conv3d(inner[:, [c]], weight[:, [c]], padding=1).var((0, 2, 3, 4)) / whole
        for c in range(inner.shape[1])
    ]
    return torch.stack(shares) @ block.second_norm.weight.square()


def _moved_by_filters(detail: Detail, image: Tensor, x: Tensor) -> Tensor:
    """Variance that each filter brings to the detail path's output."""
    by_voxels = torch.split(detail.seen(image, x), 8, dim=1)
    variance = torch.stack([voxels.var() for voxels in by_voxels])
    return variance * detail.out.weight[:, :, 0, 0, 0].square().sum(0)


def _keep_channels(state: dict[str, Tensor], name: str, kept: Tensor) -> None:
    for weight in ("first.weight", "first_norm.weight", "first_norm.bias"):
        state[f"{name}.{weight}"] = state[f"{name}.{weight}"][kept]
    state[f"{name}.second.weight"] = state[f"{name}.second.weight"][:, kept]


def _keep_filters(state: dict[str, Tensor], name: str, kept: Tensor) -> None:
    voxels = (8 * kept[:, None] + torch.arange(8)).flatten()
    state[f"{name}.filters.weight"] = state[f"{name}.filters.weight"][kept]
    state[f"{name}.thresholds.weight"] = state[f"{name}.thresholds.weight"][voxels]
    state[f"{name}.thresholds.bias"] = state[f"{name}.thresholds.bias"][voxels]
    state[f"{name}.out.weight"] = state[f"{name}.out.weight"][:, kept]


def _channels(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Read the command line and write a checkpoint."""
    default = Architecture()
    parser = argparse.ArgumentParser(description="Take away what a trained network hardly uses.")
    parser.add_argument("model", type=Path, metavar="FILE.onnx", help="an exported network")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("work", type=Path, help="folder for the checkpoint")
    parser.add_argument("--encoder-inner", type=_channels, default=default.encoder_inner,
                        metavar="N,N,...")  # fmt: skip
    parser.add_argument("--decoder-inner", type=_channels, default=default.decoder_inner,
                        metavar="N,N,...")  # fmt: skip
    parser.add_argument("--detail", type=int, default=default.detail, metavar="N")
    args = parser.parse_args()
    path = args.work / "checkpoint.pt"
    if path.exists():
        parser.error(f"{path} is there already: give another work folder")
    plan = Plan(args.labels, args.work)
    with told_in_a_line():
        net, draws, hours = restored(args.model, plan.ranges.zoom_mm)
    args.work.mkdir(parents=True, exist_ok=True)
    architecture = replace(
        net.architecture,
        encoder_inner=args.encoder_inner,
        decoder_inner=args.decoder_inner,
        detail=args.detail,
    )
    images = typical_heads(args.labels, args.work / "maps", TRAINING_MAPS[:JUDGES])
    learner = learner_of(plan, narrowed(net, architecture, images))
    save(path, learner, Progress(draws=draws, earlier_hours=hours), plan)
    print(f"{path}: {architecture}")


if __name__ == "__main__":
    main()
