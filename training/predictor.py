"""A network in torch, behind the same interface as the App's: it is scored as it will be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from bids_strip.card import Card, parse_card
from bids_strip.domain import Conformed, Prediction
from training.network import StripNet, card_values


@dataclass(frozen=True)
class TorchPredictor:
    """A network in training.

    Attributes
    ----------
    net
        Its weights are used as they are when it is called.
    card
        What it will say of itself once it is exported.
    """

    net: StripNet
    card: Card

    @property
    def provider(self) -> str:
        """Where it runs."""
        return f"torch {next(self.net.parameters()).device.type}"

    def __call__(self, conformed: Conformed) -> Prediction:
        """Predict one head."""
        where = next(self.net.parameters()).device
        image = torch.from_numpy(conformed.data)[None, None].to(where)
        with torch.inference_mode():
            sdt, tissue = self.net(image)
        shares = tissue[0].float().softmax(dim=0).cpu().numpy()
        return Prediction(brain_mm=sdt[0, 0].float().cpu().numpy(), shares=shares)


def torch_predictor(net: StripNet, zoom_mm: float) -> TorchPredictor:
    """A predictor of a network that has no file yet."""
    values = {
        "name": "training", "version": "0", "sha256": "", **card_values(net.architecture, zoom_mm)
    }  # fmt: skip
    return TorchPredictor(net, parse_card(values, Path("training.onnx")))
