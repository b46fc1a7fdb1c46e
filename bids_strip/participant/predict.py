"""Run the network: the only onnxruntime import."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bids_strip.card import Card, Output
from bids_strip.domain import Conformed, Float3, Prediction
from bids_strip.errors import ModelError, PredictError, ProviderError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_CUDA_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",
    "cudnn_conv_algo_search": "HEURISTIC",
}
_LOGIT_MM = 1.0
"""A logit of 1 is taken for 1 mm: only its sign is used, distances are measured anew."""


class Predictor(Protocol):
    """What the pipeline asks of a network."""

    @property
    def card(self) -> Card:
        """The network's card."""

    @property
    def provider(self) -> str:
        """Where it runs."""

    def __call__(self, conformed: Conformed) -> Prediction:
        """Predict one head."""


@dataclass(frozen=True)
class OnnxPredictor:
    """A network in onnxruntime.

    Attributes
    ----------
    card
        The network's card.
    provider
        Execution provider that really loaded.
    session
        The onnxruntime session.
    """

    card: Card
    provider: str
    session: Any

    def __call__(self, conformed: Conformed) -> Prediction:
        """Run the network on one head.

        Raises
        ------
        PredictError
            If onnxruntime fails, or the distances are not numbers.
        """
        name = self.session.get_inputs()[0].name
        names = [o.name for o in self.session.get_outputs()]
        try:
            values = self.session.run(None, {name: conformed.data[None, None]})
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise PredictError(
                f"the network failed ({reason}); if this is memory, give fewer --nprocs"
            ) from error
        found = dict(zip(names, values, strict=True))
        brain = self.card.output("brain")
        assert brain is not None  # checked when the card was read
        mm = as_distance(found[brain.name], brain)
        if not np.isfinite(mm).all():
            raise PredictError("the network's distances are not numbers; report this image")
        tissue = self.card.output("tissue")
        labels = None if tissue is None else found[tissue.name][0].argmax(axis=0).astype(np.uint8)
        return Prediction(brain_mm=mm, tissue=labels)


def as_distance(values: Any, output: Output) -> Float3:
    """An output tensor as distances in mm, negative inside.

    Parameters
    ----------
    values : (1, C, I, J, K) float32
        The tensor.
    output
        What the card says of it.
    """
    channel = values[0, output.channel or 0].astype(np.float32)
    if output.meaning == "probability":
        channel = np.log(np.clip(channel, 1e-6, 1) / np.clip(1 - channel, 1e-6, 1)) * _LOGIT_MM
    return np.asarray((channel - output.offset_mm) * output.sign, dtype=np.float32)


def load_predictor(card: Card, *, device: str, threads: int) -> OnnxPredictor:
    """Open a network.

    Parameters
    ----------
    card
        Which one.
    device
        ``cpu``; ``gpu``: the CUDA provider or an error; ``auto``: CUDA if it loads.
    threads
        Threads of one prediction on the CPU.

    Raises
    ------
    ProviderError
        If ``gpu`` was asked for and CUDA did not load.
    ModelError
        If the file is no network, or not the one its card describes.
    """
    # before the import, and without asking: nothing is ever sent, nothing is written to HOME
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted: list[Any] = [CPU]
    if device != "cpu" and CUDA in ort.get_available_providers() and _has_gpu():
        wanted = [(CUDA, _CUDA_OPTIONS), CPU]
    session = _session(ort, card, options, wanted)
    provider = session.get_providers()[0]
    if device == "gpu" and provider != CUDA:
        raise ProviderError(
            "--device gpu: the CUDA provider did not load (no GPU seen, or its libraries do not "
            "match); add --nv (Singularity) or --gpus all (docker), or take --device cpu"
        )
    return OnnxPredictor(card=card, provider=provider, session=session)


def _session(ort: Any, card: Card, options: Any, providers: list[Any]) -> Any:
    """Open the file and compare it with its card."""
    try:
        session = ort.InferenceSession(str(card.path), options, providers=providers)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{card.path}: onnxruntime cannot open it ({reason}); give an ONNX network"
        ) from error
    given = {output.name for output in session.get_outputs()}
    absent = sorted({o.name for o in card.outputs} - given)
    if absent:
        raise ModelError(
            f"{card.path}: has no output {absent[0]!r} (it gives {', '.join(sorted(given))}); mend "
            "its card"
        )
    return session


def _has_gpu() -> bool:
    """True if an NVIDIA device is visible; asking CUDA on a machine without one prints errors."""
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")  # noqa: PTH110
