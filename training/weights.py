"""The weights of a shipped network, to train it on: ONNX and card -> torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from training.network import Architecture, StripNet


def architecture_of(stored: dict[str, Any]) -> Architecture:
    """An architecture from a checkpoint's or a card's plain values."""
    return Architecture(**{name: tuple(values) for name, values in stored.items()})


def restored(model: Path) -> tuple[StripNet, int, float]:
    """Rebuild the network of an ONNX file that `training.export` wrote.

    Parameters
    ----------
    model
        The ONNX file, its card beside it.

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
    """
    card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    net = StripNet(architecture_of(card["training"]["architecture"]))
    graph = onnx.load(model).graph
    weights: dict[str, Tensor] = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    net.load_state_dict({name: weights[name] for name in net.state_dict() if name in weights})
    return net, int(card["training"]["draws"]), float(card["training"]["hours"])
