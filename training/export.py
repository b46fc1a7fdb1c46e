"""Turn a checkpoint into ONNX and its card: ``python -m training.export WORK LABELS NAME``.

Refuses to write unless torch and onnxruntime give the same distances and tissue on heads of the
held-out maps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or it is ignored

import numpy as np
import onnxruntime as ort
import torch
from scipy.special import softmax
from torch import Tensor

from training.errors import TrainingError, told_in_a_line
from training.maps import HELD_OUT, REACH_MM, load_maps
from training.network import StripNet, card_values, count_macs
from training.synthesis import SynthesisRanges, draw, render
from training.weights import architecture_of, blended, restored

TOLERANCE_MM = 0.01
TOLERANCE_SHARE = 0.005
"""Of a tissue, at the worst voxel: the likelihoods raise the rounding of sums in another order to
.001 at a few voxels in a million (torch's own is a tenth of that beside double precision)."""
TYPICAL_SHAPE = (128, 128, 128)


class ExportError(TrainingError):
    """The exported network is not the trained one."""


def to_onnx(net: StripNet) -> bytes:
    """ONNX of a network, sides of the input free; weights keep their names in torch."""
    free = {2: "i", 3: "j", 4: "k"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            net.eval(),
            (torch.zeros((1, 1, 64, 80, 96)),),
            path,
            input_names=["image"],
            output_names=["sdt", "tissue"],
            dynamic_axes=dict.fromkeys(("image", "sdt", "tissue"), free),
            opset_version=18,
            do_constant_folding=False,
            dynamo=False,
        )
        return path.read_bytes()


def largest_differences(net: StripNet, model: bytes, heads: list[Tensor]) -> tuple[float, float]:
    """Largest difference between torch's and onnxruntime's outputs.

    Returns
    -------
    float
        Of distances within 10 mm of a surface, mm.
    float
        Of the tissues' shares.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst_mm = worst_share = 0.0
    for head in heads:
        with torch.no_grad():
            sdt, tissue = (part.numpy() for part in net(head))
        other, logits = session.run(["sdt", "tissue"], {"image": head.numpy()})
        near = np.abs(sdt - other)[~((np.abs(sdt) >= 10) & np.isfinite(other))]
        worst_mm = float(np.maximum(worst_mm, near.max(initial=0)))
        apart = np.abs(softmax(tissue, axis=1) - softmax(logits, axis=1))
        worst_share = float(np.maximum(worst_share, apart.max()))
    return worst_mm, worst_share


def typical_heads(labels: Path, cache: Path, names: tuple[str, ...]) -> list[Tensor]:
    """One rendered head of each map, T1w-like."""
    maps = load_maps(labels, cache, list(names))
    ranges = SynthesisRanges(t1w_share=1.0, stripped=0.0, windows=(((112, 128, 112), 1.0),))
    rng = np.random.default_rng(2026)
    return [render(one, draw(rng, len(maps), ranges)).image for one in maps]


def card_of(name: str, version: str, model: bytes, state: dict[str, Any]) -> dict[str, Any]:
    """The network card as plain values; accuracy is added by `training.evaluate`."""
    architecture = architecture_of(state["architecture"])
    progress = state["progress"]
    weights = sum(v.numel() for v in state["average"].values())
    return {
        "name": name,
        "version": version,
        "sha256": hashlib.sha256(model).hexdigest(),
        "licence": "Apache-2.0",
        **card_values(architecture, state["zoom_mm"]),
        "surface": {
            "reach_mm": REACH_MM,
            "definition": "brain labels and ventricles, fluid within reach_mm of them, closed by "
            "3 mm, holes filled, the stem cut where its label ends",
        },
        "training": {
            "data": "synthetic images rendered from label maps training_seg_01-16 of SynthSeg "
            "(Apache-2.0); 17-20 held out; no real image, no mask of another network",
            "selection": "images of the held-out maps, and real heads with the masks of published "
            "networks, compared versions and chose among trainings; nothing was learned from them",
            "draws": progress["draws"],
            "steps_of_last_training": progress["step"],
            "hours": round(progress["seconds"] / 3600 + progress.get("earlier_hours", 0.0), 2),
            "optimiser_of_last_training": "Muon for the hidden weights, AdamW for the others"
            if state["muon"]
            else "AdamW",
            "architecture": state["architecture"],
        },
        "parameters": weights,
        "multiply_adds": {"shape": TYPICAL_SHAPE, "count": count_macs(architecture, TYPICAL_SHAPE)},
    }


@dataclass(frozen=True, slots=True)
class Blend:
    """An earlier network to average with: its ONNX file, and the checkpoint's share."""

    model: Path
    share: float


def export(
    work: Path, labels: Path, folder: Path, name: str, version: str, blend: Blend | None = None
) -> Path:
    """Write ``NAME.onnx`` and ``NAME.json`` from the checkpoint of a work folder.

    Raises
    ------
    ExportError
        If onnxruntime's outputs differ from torch's by more than `TOLERANCE_MM`, or
        `TOLERANCE_SHARE` of a tissue.
    """
    state = torch.load(work / "checkpoint.pt", map_location="cpu")
    net = StripNet(architecture_of(state["architecture"]))
    net.load_state_dict(state["average"])
    weights = "moving average of the last training"
    if blend is not None:
        net = blended(net, restored(blend.model, state["zoom_mm"])[0], blend.share)
        earlier = json.loads(blend.model.with_suffix(".json").read_text(encoding="utf-8"))
        weights += (
            f", {blend.share:g} of it, and {1 - blend.share:g} of {earlier['name']} "
            f"{earlier['version']}; the share chosen on the real heads"
        )
    model = to_onnx(net)
    heads = typical_heads(labels, work / "maps", HELD_OUT)
    apart_mm, apart = largest_differences(net, model, heads)
    differ = f"{apart_mm:.5f} mm and {apart:.6f} of a tissue on {len(HELD_OUT)} heads"
    if not (apart_mm <= TOLERANCE_MM and apart <= TOLERANCE_SHARE):
        raise ExportError(f"torch and onnxruntime differ by {differ}; nothing written")
    print(f"torch and onnxruntime agree within {differ}")
    folder.mkdir(parents=True, exist_ok=True)
    card = card_of(name, version, model, state)
    card["training"]["weights"] = weights
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    path = folder / f"{name}.onnx"
    path.write_bytes(model)
    return path


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description="Export a trained network as ONNX with its card.")
    parser.add_argument("work", type=Path, help="folder of the checkpoint")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("name", help="name of the network")
    parser.add_argument("--version", default="0.1")
    parser.add_argument("--folder", type=Path, help="to write to (default: WORK)")
    parser.add_argument("--blend", type=Path, metavar="FILE.onnx",
                        help="average the weights with those of an earlier network")  # fmt: skip
    parser.add_argument("--share", type=float, default=0.5, help="of the checkpoint, 0 to 1")
    args = parser.parse_args()
    blend = Blend(args.blend, args.share) if args.blend else None
    folder = args.folder or args.work
    with told_in_a_line():
        print(export(args.work, args.labels, folder, args.name, args.version, blend))


if __name__ == "__main__":
    main()
