"""Take away what a trained network hardly uses: ``python -m training.narrow MODEL LABELS WORK``.

Channels between the two convolutions of a residual block, and filters of the detail path, go by how
little of what is added there they move. WORK then holds a checkpoint to train on from; before that
the network is a worse one (pruning and retraining: Li et al. 2017, arXiv:1608.08710).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.blocks import ResidualBlock
from training.detail import Detail
from training.export import typical_heads
from training.network import Architecture, StripNet
from training.train import TRAINING_MAPS, Plan, Progress, learner_of, save
from training.weights import restored

JUDGES = 4
"""Training maps, an image of each, on which filters are judged."""

NOTHING = 1e-9
"""Added to deviations that are divided by."""


def narrowed(net: StripNet, architecture: Architecture, images: list[Tensor]) -> StripNet:
    """The network with fewer inner channels and filters.

    Parameters
    ----------
    net
        A trained network.
    architecture
        Its own but for ``encoder_inner``, ``decoder_inner`` and ``detail``, none of them larger.
    images : each (1, 1, I, J, K)
        On which the filters of the detail path are judged; norms tell it of the inner channels.

    Raises
    ------
    ValueError
        If the architecture differs otherwise.
    """
    old = net.architecture
    beside = {name: getattr(old, name) for name in ("encoder_inner", "decoder_inner", "detail")}
    narrow = StripNet(architecture)
    if replace(architecture, **beside) != old or _wider(narrow, net):
        raise ValueError(f"{architecture} does not narrow {old}")
    state = net.state_dict()
    for name, part in narrow.named_modules():
        before = net.get_submodule(name)
        if isinstance(part, ResidualBlock) and isinstance(before, ResidualBlock):
            _keep_channels(state, name, _largest(_moved_by_channels(before), _inner(part)))
        elif isinstance(part, Detail) and isinstance(before, Detail):
            moved = sum(_moved_by_filters(net, before, image) for image in images)
            assert isinstance(moved, Tensor)
            _keep_filters(state, name, _largest(moved, part.filters.out_channels))
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


def _inner(block: ResidualBlock) -> int:
    return block.first.out_channels


def _largest(values: Tensor, count: int) -> Tensor:
    """Where the largest values are, in ascending order."""
    return values.argsort(descending=True)[:count].sort().values


def _moved_by_channels(block: ResidualBlock) -> Tensor:
    """Variance that each inner channel brings to the block's sum, (inner,).

    After its norm a channel is taken as normal, of the norm's mean and deviation: the variance of
    what ReLU leaves has a closed form. Means do not count, the second norm takes them away.
    """
    deviation = block.first_norm.weight.detach().double().abs() + NOTHING
    mean = block.first_norm.bias.detach().double()
    ratio = mean / deviation
    below = 0.5 * (1 + torch.erf(ratio / math.sqrt(2)))
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    first = mean * below + deviation * density
    second = (mean.square() + deviation.square()) * below + mean * deviation * density
    passed = block.second.weight.detach().double().square().sum((0, 2, 3, 4))
    return (second - first.square()) * passed


def _moved_by_filters(net: StripNet, detail: Detail, image: Tensor) -> Tensor:
    """Variance that each filter brings to the output on one image, (filters,)."""
    with torch.no_grad():
        seen = detail.seen(image, net.trunk(image)).double()
        variance = seen.reshape(len(seen), -1, 8).var((0, 2))
        moved: Tensor = variance * detail.out.weight[:, :, 0, 0, 0].double().square().sum(0)
    return moved


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
    shipped = Architecture()
    parser = argparse.ArgumentParser(description="Take away what a trained network hardly uses.")
    parser.add_argument("model", type=Path, metavar="FILE.onnx", help="an exported network")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("work", type=Path, help="folder for the checkpoint")
    parser.add_argument("--encoder-inner", type=_channels, default=shipped.encoder_inner,
                        metavar="N,N,...")  # fmt: skip
    parser.add_argument("--decoder-inner", type=_channels, default=shipped.decoder_inner,
                        metavar="N,N,...")  # fmt: skip
    parser.add_argument("--detail", type=int, default=shipped.detail, metavar="N")
    args = parser.parse_args()
    net, draws, hours = restored(args.model)
    architecture = replace(
        net.architecture,
        encoder_inner=args.encoder_inner,
        decoder_inner=args.decoder_inner,
        detail=args.detail,
    )
    plan = Plan(args.labels, args.work)
    images = typical_heads(args.labels, args.work / "maps", TRAINING_MAPS[:JUDGES])
    learner = learner_of(plan, narrowed(net, architecture, images))
    save(args.work / "checkpoint.pt", learner, Progress(draws=draws, earlier_hours=hours), plan)
    print(f"{args.work / 'checkpoint.pt'}: {architecture}")


if __name__ == "__main__":
    main()
