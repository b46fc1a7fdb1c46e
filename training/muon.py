"""Muon: weights that are matrices learn by steps that turn all of their directions alike.

The gradient of a convolution lies in a few directions; momentum is orthogonalised before it is
added, so that the rare ones are learned as fast as the common ones (K. Jordan et al. 2024,
"Muon: an optimizer for hidden layers in neural networks"). Steps are scaled as J. Liu et al. 2025
(arXiv:2502.16982) do, so that the learning rates of AdamW serve. `torch.optim.Muon` takes matrices
alone, not convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEP_SIZE = 0.2
"""Root of the mean square of a step at rate 1, at most about; AdamW's is like it."""
ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Of the polynomial that takes singular values towards 1: fast at first, not exact in the end."""


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix of the same directions whose singular values lie near 1.

    By the quintic Newton-Schulz iteration: between .68 and 1.21 where they were above .0015 of the
    root of the sum of their squares; smaller ones grow 485 times at most.

    Parameters
    ----------
    matrix : (R, C)

    Returns
    -------
    (R, C) float32
    """
    x = matrix.float()
    tall = len(x) > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for weights (out, in, ...), each seen as the matrix (out, rest).

    Parameters
    ----------
    params
        Weights, or groups of them, of two axes at least.
    lr
        Learning rate; a step's root mean square is `STEP_SIZE` times it, or less where the momentum
        has few directions.
    momentum
        Share of it kept; the step looks ahead by it once more (Nesterov).
    weight_decay
        As AdamW's.

    Raises
    ------
    ValueError
        If a weight has one axis.
    """

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    raise ValueError(f"a weight of shape {tuple(weight.shape)} is no matrix")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change each weight that has a gradient; the loss, if `closure` computes it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, weight.grad, group)
        return loss

    def _change(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, momentum, group["momentum"]).flatten(1)
        size = group["lr"] * STEP_SIZE * max(ahead.shape) ** 0.5
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(orthogonalised(ahead).reshape(weight.shape), alpha=size)
