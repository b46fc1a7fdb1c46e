"""Run the network: the only onnxruntime import."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bids_strip.card import Card, Output
from bids_strip.domain import Conformed, Float3, Float4, Prediction
from bids_strip.errors import ModelError, PredictError, ProviderError
from bids_strip.machine.ceiling import ceiling
from bids_strip.network_file import read_network
from bids_strip.printable import first_line

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_CUDA_OPTIONS = {
    "device_id": "0",  # the first of those that CUDA_VISIBLE_DEVICES leaves visible
    "arena_extend_strategy": "kSameAsRequested",  # no doubling of what is held
    "cudnn_conv_algo_search": "HEURISTIC",  # trying all algorithms takes gigabytes
    "cudnn_conv_use_max_workspace": "0",
    "use_tf32": "0",  # ten bits of mantissa would move the surface
}
_ARENA_OPTIONS = {"arena_extend_strategy": 1}  # kSameAsRequested: no doubling of what is held
_SHRINK_ARENA = ("memory.enable_memory_arena_shrinkage", "cpu:0")
_DEVICE_NODES = ("/dev/nvidiactl", "/dev/dxg")
_GPU_REMEDY = (
    "add --nv (Singularity) or --gpus all (docker), install 'bids_strip[gpu]', or take --device cpu"
)
_NO_MEMORY = ("bad_alloc", "Failed to allocate memory")
"""The C++ library's word for it, and onnxruntime's arena's."""
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
    run_options
        Of each prediction, onnxruntime's; None for its own.
    why
        Why this provider, for the user.
    memory_gb
        What a prediction may take beyond what the process holds; None for no limit.
    """

    card: Card
    provider: str
    session: Any
    run_options: Any = None
    why: str = ""
    memory_gb: float | None = None

    @property
    def where(self) -> str:
        """The provider and why it was taken."""
        return f"{self.provider} ({self.why})" if self.why else self.provider

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
            with ceiling(self.memory_gb):
                values = self.session.run(
                    None, {name: conformed.data[None, None]}, self.run_options
                )
        except Exception as error:
            raise PredictError(
                f"the network failed ({first_line(error)}){_memory_hint(error, self.memory_gb)}"
            ) from error
        found = dict(zip(names, values, strict=True))
        for output in self.card.outputs:
            _check_shape(found[output.name], output, conformed.data.shape)
        brain = self.card.output("brain")
        assert brain is not None  # checked when the card was read
        mm = as_distance(found[brain.name], brain)
        if not np.isfinite(mm).all():
            raise PredictError("the network's distances are not numbers; report this image")
        tissue = self.card.output("tissue")
        bare = self.card.output("brain_no_csf")
        return Prediction(
            brain_mm=mm,
            shares=None if tissue is None else as_shares(found[tissue.name][0], tissue),
            no_csf_mm=None if bare is None else as_distance(found[bare.name], bare),
        )


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


def as_shares(values: Any, output: Output) -> Float4:
    """A label output as shares.

    Parameters
    ----------
    values : (C, I, J, K) float32
        The tensor of one head.
    output
        What the card says of it.

    Returns
    -------
    (C, I, J, K) float32
        Not negative; they sum to 1 over the labels.
    """
    shares = np.array(values, dtype=np.float32)
    for plane in range(shares.shape[1]):  # which the cache holds
        part = shares[:, plane]
        if output.meaning == "logits":
            np.exp(part - part.max(axis=0), out=part)
        part /= np.maximum(part.sum(axis=0), np.float32(1e-9))
    return shares


def load_predictor(
    card: Card, *, device: str, threads: int, memory_gb: float | None = None
) -> OnnxPredictor:
    """Open a network.

    Parameters
    ----------
    card
        Which one.
    device
        ``cpu``; ``gpu``: the CUDA provider or an error; ``auto``: CUDA if it loads.
    threads
        Threads of one prediction on the CPU.
    memory_gb
        What a foreign network may take on the CPU, beyond what the process holds, when it is
        opened and when it is run; None for no limit. Ours needs none: it is measured.

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
    memory_gb = None if card.embedded else memory_gb
    content = read_network(card.path, card.sha256, ours=card.embedded)
    if device == "cpu":
        return _on_cpu(ort, card, content, threads, memory_gb, why="--device cpu")
    found = _on_gpu(ort, card, content, threads)
    if isinstance(found, OnnxPredictor):
        return found
    if device == "gpu":
        raise ProviderError(f"--device gpu: {found}; {_GPU_REMEDY}")
    return _on_cpu(ort, card, content, threads, memory_gb, why=found)


def session_options(ort: Any, *, threads: int) -> Any:
    """Options of every session.

    Parameters
    ----------
    ort
        The onnxruntime module.
    threads
        Threads of one prediction: without a number onnxruntime takes the machine's processors
        and binds to them, those of others too.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # what the bytes were looked through as: onnxruntime's own format would pass for ONNX otherwise
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def cpu_options(ort: Any, *, threads: int) -> Any:
    """Options of a session on the processor: tensors come from an arena, as large as they need.

    What one layer gives back serves the next without the kernel clearing it anew. A pattern of
    memory would be planned for each shape, and kept. Memory and time of the choices:
    ``benchmarks.network --choices``.
    """
    _register_arena(ort)
    options = session_options(ort, threads=threads)
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def cpu_run_options(ort: Any) -> Any:
    """Options of a prediction on the processor: at its end the arena keeps its outputs alone."""
    options = ort.RunOptions()
    options.add_run_config_entry(*_SHRINK_ARENA)
    return options


@functools.cache
def _register_arena(ort: Any) -> None:
    """Register the arena, of which onnxruntime has one a process; sessions of others do not use it.

    Where another program has registered one, or none can be had, sessions take that one or one of
    their own, which may hold more.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    with contextlib.suppress(Exception):
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(_ARENA_OPTIONS))


def _on_cpu(
    ort: Any, card: Card, content: bytes, threads: int, memory_gb: float | None, *, why: str
) -> OnnxPredictor:
    """The network on the processor.

    Raises
    ------
    ModelError
        If the file is no network, or not the one its card describes.
    """
    try:
        with ceiling(memory_gb):
            session = ort.InferenceSession(
                content, cpu_options(ort, threads=threads), providers=[CPU]
            )
    except Exception as error:
        raise ModelError(
            f"{card.path}: onnxruntime cannot open it ({first_line(error)})"
            f"{_memory_hint(error, memory_gb) or '; give an ONNX network'}"
        ) from error
    _check_outputs(session, card)
    return OnnxPredictor(card, CPU, session, cpu_run_options(ort), why, memory_gb)


def _on_gpu(ort: Any, card: Card, content: bytes, threads: int) -> OnnxPredictor | str:
    """The network on the GPU, or why it is not there.

    onnxruntime lists CUDA though its libraries are absent, and then falls back in silence or with
    a print: what the session says afterwards counts.
    """
    if CUDA not in ort.get_available_providers():
        return "this onnxruntime is built without CUDA"
    if hidden := _hidden():
        return hidden
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if hasattr(ort, "preload_dlls"):  # CUDA and cuDNN of the nvidia-*-cu12 wheels
            ort.preload_dlls()
        try:
            session = ort.InferenceSession(
                content,
                session_options(ort, threads=threads),
                providers=[(CUDA, _CUDA_OPTIONS), CPU],
                enable_fallback=0,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the GPU is not to be had
            return f"the CUDA provider failed ({first_line(error)})"
    if session.get_providers()[0] != CUDA:
        missing = [line for line in said.getvalue().splitlines() if line.startswith("Failed")]
        detail = f" ({missing[0]})" if missing else ""
        return f"the CUDA provider did not load{detail}"
    _check_outputs(session, card)
    return OnnxPredictor(card, CUDA, session, why="its libraries loaded")


def _check_outputs(session: Any, card: Card) -> None:
    """Compare a session with its card.

    Raises
    ------
    ModelError
        If the network lacks an output that its card names.
    """
    given = {output.name for output in session.get_outputs()}
    absent = sorted({o.name for o in card.outputs} - given)
    if absent:
        raise ModelError(
            f"{card.path}: has no output {absent[0]!r} (it gives {', '.join(sorted(given))}); mend "
            "its card"
        )


def _check_shape(values: Any, output: Output, shape: tuple[int, ...]) -> None:
    """Compare an output with the input and the card.

    Raises
    ------
    PredictError
        If it is no tensor of numbers with a channel the card names, on the input's grid.
    """
    given: tuple[int, ...] = getattr(values, "shape", ())
    fits = len(given) == 5 and given[0] == 1 and given[2:] == shape
    if not fits or (output.channel or 0) >= given[1] or values.dtype.kind != "f":
        raise PredictError(
            f"the network's output {output.name!r} of shape {'x'.join(map(str, given))} is not on "
            f"the grid {'x'.join(map(str, shape))}, or lacks a channel of its card; mend the card"
        )


def _memory_hint(error: Exception, memory_gb: float | None) -> str:
    """What to do where an error is want of memory, "" where it is not."""
    if not isinstance(error, MemoryError) and not any(word in str(error) for word in _NO_MEMORY):
        return ""
    if memory_gb is None:
        return ": not enough memory; give fewer --nprocs, or more memory"
    return (
        f": it asks for more than the {memory_gb:.1f} GB a run may take; give more --mem-gb or "
        "fewer --nprocs, or another network"
    )


def _hidden() -> str:
    """Why no NVIDIA device can be seen, "" if one is: asking CUDA without one prints errors."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first in ("", "-1", "NoDevFiles"):  # CUDA sees the devices listed before the first bad one
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if not any(os.path.exists(node) for node in _DEVICE_NODES):  # noqa: PTH110
        return "no GPU seen"
    return ""
