"""Networks that somebody else made: what they may not do, each in one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bids_strip.card import find_card
from bids_strip.cli import main
from bids_strip.domain import Conformed, Grid, Volume
from bids_strip.errors import BidsStripError, ModelError, PredictError
from bids_strip.participant.conform import conform
from bids_strip.participant.predict import OnnxPredictor, load_predictor
from tests.fakes import CARD, make_phantom, write_card, write_network

FREE = [1, 1, "i", "j", "k"]
limited = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone")


def head() -> Conformed:
    phantom = make_phantom()
    return conform(Volume(phantom.data, Grid(phantom.data.shape, phantom.affine)), CARD)


def foreign(folder: Path, nodes: list[Any], domains: tuple[str, ...] = (), **values: Any) -> Path:
    """A network from ``image`` to ``sdt``, and its card."""
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()]
    graph = helper.make_graph(
        nodes, "foreign",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, FREE)],
        [helper.make_tensor_value_info("sdt", TensorProto.FLOAT, FREE)], tensors,
    )  # fmt: skip
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in ("", *domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path = folder / "foreign.onnx"
    path.write_bytes(model.SerializeToString())
    write_card(path)
    return path


def summed(big: str) -> list[Any]:
    """Steps that need all of a tensor."""
    return [helper.make_node("ReduceSum", [big], ["sum"], keepdims=0),
            helper.make_node("Add", ["image", "sum"], ["sdt"])]  # fmt: skip


def opened(path: Path, memory_gb: float = 0.5) -> OnnxPredictor:
    return load_predictor(find_card(str(path)), device="cpu", threads=2, memory_gb=memory_gb)


def line_of(error: pytest.ExceptionInfo[BidsStripError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


GREEDY = {
    "a constant of 4 GB": (
        [helper.make_node("ConstantOfShape", ["n"], ["big"]), *summed("big")],
        {"n": np.array([1_000_000_000], np.int64)}),
    "a constant of 4 TB": (
        [helper.make_node("ConstantOfShape", ["n"], ["big"]), *summed("big")],
        {"n": np.array([1_000_000_000_000], np.int64)}),
    "the image a thousand times": (
        [helper.make_node("Expand", ["image", "n"], ["big"]), *summed("big")],
        {"n": np.array([16, 4096, 1, 1, 1], np.int64)}),
    "a range without end": (
        [helper.make_node("Range", ["a", "z", "d"], ["big"]), *summed("big")],
        {"a": np.float32(0), "z": np.float32(1e12), "d": np.float32(1)}),
    "an image resized": (
        [helper.make_node("Resize", ["image", "", "n"], ["big"], mode="nearest"), *summed("big")],
        {"n": np.array([1, 1, 99, 99, 99], np.float32)}),
    "layers that all stay": (
        [*(helper.make_node("Add", ["image", f"b{i}"], [f"l{i}"]) for i in range(12)),
         helper.make_node("Sum", [f"l{i}" for i in range(12)], ["all"]), *summed("all")],
        {f"b{i}": np.ones((1, 1500, 1, 1, 1), np.float32) for i in range(12)}),
}  # fmt: skip


@limited
@pytest.mark.parametrize(("nodes", "values"), GREEDY.values(), ids=GREEDY)
def test_a_network_that_wants_more_memory_than_its_share(tmp_path, nodes, values) -> None:
    """When it is opened or when it is run: an error of ours, and the process goes on."""
    with pytest.raises((ModelError, PredictError)) as caught:
        opened(foreign(tmp_path, nodes, **values))(head())
    assert "GB" in line_of(caught) or "bytes" in line_of(caught)
    assert opened(write_network(tmp_path))(head()).brain_mm.size  # still at work


@limited
def test_the_same_within_its_share(tmp_path: Path) -> None:
    """What is refused above is refused for its size alone."""
    nodes, values = GREEDY["a constant of 4 GB"]
    small = {**values, "n": np.array([1_000], np.int64)}
    assert opened(foreign(tmp_path, nodes, **small))(head()).brain_mm.size


@pytest.mark.parametrize("domain", ["my.ops", "com.microsoft", "ai.onnx.contrib"])
def test_operators_that_onnxruntime_has_not(tmp_path: Path, domain: str) -> None:
    """No library of operators is ever loaded: a file cannot name one."""
    node = helper.make_node("RunThis", ["image"], ["sdt"], domain=domain)
    with pytest.raises(ModelError) as caught:
        opened(foreign(tmp_path, [node], (domain,)))
    assert "foreign.onnx" in line_of(caught)


def test_onnxruntimes_own_format_does_not_pass_for_onnx(tmp_path: Path) -> None:
    """What was not looked through is not opened."""
    import onnxruntime as ort

    path = write_network(tmp_path, name="foreign")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "other.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    path.write_bytes((tmp_path / "other.ort").read_bytes())
    ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])  # it would
    write_card(path)
    with pytest.raises(ModelError, match=r"foreign\.onnx"):
        opened(path)


SHAPES = {
    "a channel too few": {"channel": 1},
    "flat": {"steps": [helper.make_node("Flatten", ["image"], ["sdt"])]},
    "another grid": {"steps": [helper.make_node("Concat", ["image", "image"], ["sdt"], axis=3)]},
}


@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES)
def test_outputs_that_do_not_fit_the_card(tmp_path: Path, case: dict[str, Any]) -> None:
    steps = case.get("steps", [helper.make_node("Neg", ["image"], ["sdt"])])
    path = foreign(tmp_path, steps)
    write_card(path, outputs=[{"name": "sdt", "channel": case.get("channel", 0),
                               "meaning": "sdt_mm", "role": "brain"}])  # fmt: skip
    with pytest.raises(PredictError, match="mend the card") as caught:
        opened(path)(head())
    line_of(caught)


@limited
def test_the_others_go_on(phantoms, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the command line: a failed run with its record, not a dead program."""
    nodes, values = GREEDY["the image a thousand times"]
    path = foreign(tmp_path, nodes, **values)
    out = tmp_path / "out"
    code = main([str(phantoms()), str(out), "participant", "--model", str(path), "--device", "cpu",
                 "--mem-gb", "2", "--nprocs", "1"])  # fmt: skip
    assert code == 1
    said = capsys.readouterr().err
    assert said.count("failed at predict") == 2
    assert "Traceback" not in said
    assert sorted(p.name for p in out.rglob("*_qc.json")) == [
        "sub-01_desc-brain_qc.json", "sub-02_desc-brain_qc.json"]  # fmt: skip
    assert os.path.getsize(next(out.rglob("*_qc.json")))  # noqa: PTH202
