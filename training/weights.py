"""The weights of a shipped network, to train it on: ONNX and card -> torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from training.errors import TrainingError
from training.network import Architecture, StripNet


def architecture_of(stored: dict[str, Any]) -> Architecture:
    """An architecture from a checkpoint's or a card's plain values; early ones said less."""
    levels = {name: tuple(stored[name]) for name in ("widths", "encoder_blocks", "decoder_blocks")}
    levels |= {name: tuple(stored.get(name, ())) for name in ("encoder_inner", "decoder_inner")}
    detail, likelihood = int(stored.get("detail", 0)), int(stored.get("likelihood", 0))
    return Architecture(**levels, detail=detail, likelihood=likelihood)


def restored(model: Path, zoom_mm: float | None = None) -> tuple[StripNet, int, float]:
    """Rebuild the network of an ONNX file that `training.export` wrote.

    Parameters
    ----------
    model
        The ONNX file, its card beside it.
    zoom_mm
        Of the grid that it is to be trained on; None where it is not trained.

    Returns
    -------
    StripNet
        With the file's weights.
    int
        Draws it was trained on: where the next training's draws begin.
    float
        Hours it was trained.

    Raises
    ------
    RuntimeError
        If weights are missing or of another shape.
    TrainingError
        If it is a network of another grid.
    """
    card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    if zoom_mm is not None:
        _check_grid(model, card, zoom_mm)
    net = StripNet(architecture_of(card["training"]["architecture"]))
    graph = onnx.load(model).graph
    weights: dict[str, Tensor] = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    stored = card["training"]["architecture"]
    state = net.state_dict()
    kept = {name: weights[name] for name in state if name in weights}
    if "encoder_inner" not in stored:  # before 0.11 brightness was trusted everywhere alike
        kept |= {name: state[name] for name in state if ".trust." in name}
    net.load_state_dict(kept)
    return net, int(card["training"]["draws"]), float(card["training"]["hours"])


def _check_grid(model: Path, card: dict[str, Any], zoom_mm: float) -> None:
    zooms = card["input"]["zooms_mm"]
    if any(one != zoom_mm for one in zooms):
        raise TrainingError(
            f"{model}: a network of {' x '.join(f'{one:g}' for one in zooms)} mm, and the training "
            f"is on a grid of {zoom_mm:g} mm; give a network of that grid"
        )


def blended(net: StripNet, other: StripNet, share: float) -> StripNet:
    """Weighted means of the weights of two networks of one training line.

    Where training moved from the one to the other, the mean is a network as they are, between the
    two or better (Izmailov et al. 2018, arXiv:1803.05407; Wortsman et al. 2022, arXiv:2203.05482).

    Parameters
    ----------
    net, other
        Of the same architecture; the first one's rounds of likelihoods stay.
    share
        Of `net`, 0 to 1.

    Raises
    ------
    ValueError
        If the architectures differ, or the share is not within 0 and 1.
    """
    of_other = other.architecture
    if of_other.likelihood and net.architecture.likelihood:
        of_other = replace(of_other, likelihood=net.architecture.likelihood)
    if net.architecture != of_other:
        raise ValueError(f"{other.architecture} cannot be blended with {net.architecture}")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is 0 to 1, not {share}")
    mean = StripNet(net.architecture)
    weights = other.state_dict()
    mean.load_state_dict({
        name: share * weight + (1 - share) * weights[name]
        for name, weight in net.state_dict().items()
    })  # fmt: skip
    return mean


def widened(net: StripNet, widths: tuple[int, ...]) -> StripNet:
    """The same distances with more channels (Chen, Goodfellow, Shlens 2016, arXiv:1511.05641).

    Parameters
    ----------
    net
        A trained network.
    widths
        Of as many levels, none narrower.

    Returns
    -------
    StripNet
        New channels start from random weights; nothing that was there before reads them yet.

    Raises
    ------
    ValueError
        If a level is narrower, or there are more or fewer.
    """
    old = net.architecture
    if len(widths) != len(old.widths) or any(
        b < a for a, b in zip(old.widths, widths, strict=True)
    ):
        raise ValueError(f"{widths} does not widen {old.widths}")
    wide = StripNet(replace(old, widths=widths))
    state = wide.state_dict()
    for name, weight in net.state_dict().items():
        target = state[name]
        rows = weight.shape[0]
        if target.ndim > 1:
            target[:rows, weight.shape[1] :] = 0.0
            target[:rows, : weight.shape[1]] = weight
        else:
            target[:rows] = weight
    wide.load_state_dict(state)
    return wide
