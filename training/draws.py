"""Batches of rendered samples by draw number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from training.maps import TrainingMap
from training.synthesis import (
    Sample,
    SynthesisDraw,
    SynthesisRanges,
    draw,
    on_device,
    render,
)

PARTS = ("image", "sdt", "tissue", "weight")
Batch = tuple[list[SynthesisDraw], Sample]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Draws by number: draw n of a seed, its ranges and batch is the same image each time.

    Attributes
    ----------
    maps
        How many there are to draw from.
    seed
        Of the sequence.
    batch
        Draws a batch; those of a batch share the first one's window.
    ranges
        What is drawn from.
    """

    maps: int
    seed: int
    batch: int
    ranges: SynthesisRanges = field(default_factory=SynthesisRanges)

    def item(self, number: int) -> SynthesisDraw:
        """Draw number n."""
        return draw(np.random.default_rng((self.seed, number)), self.maps, self.ranges)

    def items(self, number: int) -> list[SynthesisDraw]:
        """The batch that starts at draw n."""
        items = [self.item(number + n) for n in range(self.batch)]
        return [replace(item, shape=items[0].shape) for item in items]


def rendered(
    maps: list[TrainingMap], sequence: Sequence, first: int, device: str
) -> Iterator[Batch]:
    """Endless batches, rendered where the network learns."""
    sources = [on_device(one, device) for one in maps]
    number = first
    while True:
        items = sequence.items(number)
        yield items, joined([render(sources[item.map_index], item) for item in items])
        number += sequence.batch


class Rendering(IterableDataset[Batch]):
    """`rendered` in a process of its own, on one thread."""

    def __init__(self, maps: list[TrainingMap], sequence: Sequence, first: int) -> None:
        self.maps = maps
        self.sequence = sequence
        self.first = first

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        return rendered(self.maps, self.sequence, self.first, "cpu")


def batches(
    maps: list[TrainingMap], sequence: Sequence, first: int, device: str
) -> Iterator[Batch]:
    """Endless batches on a device: rendered by another process for a CPU, in place on a GPU."""
    if device != "cpu":
        return rendered(maps, sequence, first, device)
    loader: DataLoader[Batch] = DataLoader(
        Rendering(maps, sequence, first), batch_size=None, num_workers=1, prefetch_factor=6
    )
    return iter(loader)


def joined(samples: list[Sample]) -> Sample:
    """Samples of one shape as a batch."""
    return Sample(*(torch.cat([getattr(s, part) for s in samples]) for part in PARTS))
