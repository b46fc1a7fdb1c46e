"""What an ONNX file points to, against onnx's own descriptors of its messages."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import Descriptor
from onnx import TensorProto, numpy_helper

from bids_strip.card import find_card
from bids_strip.errors import ModelError
from bids_strip.network_file import _INSIDE, fields, points_outside, read_network
from tests.fakes import write_card, write_network

NAMES = {
    "ModelProto": "model", "TrainingInfoProto": "training", "FunctionProto": "function",
    "GraphProto": "graph", "NodeProto": "node", "AttributeProto": "attribute",
    "SparseTensorProto": "sparse", "TensorProto": "tensor",
}  # fmt: skip


def leads_to_a_tensor(message: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    if message.name == "TensorProto":
        return True
    inner = [f.message_type for f in message.fields if f.message_type]
    return any(m.name not in seen and leads_to_a_tensor(m, seen | {message.name}) for m in inner)


def known_ways(message: Descriptor, found: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
    """By onnx itself: message type -> field number -> message type, on every way to a tensor."""
    if NAMES[message.name] not in found:
        ways = {f.number: f.message_type for f in message.fields
                if f.message_type and leads_to_a_tensor(f.message_type)}  # fmt: skip
        found[NAMES[message.name]] = {n: NAMES[m.name] for n, m in ways.items()}
        for inner in ways.values():
            known_ways(inner, found)
    return found


def test_every_way_to_a_tensor_is_walked() -> None:
    expected = known_ways(onnx.ModelProto.DESCRIPTOR, {})
    assert {kind: dict(ways) for kind, ways in _INSIDE.items()} == expected


def outside(*, entries: bool = True) -> TensorProto:
    """A tensor whose values are in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    if entries:
        tensor.external_data.add(key="location", value="/etc/passwd")
    else:
        tensor.data_location = TensorProto.EXTERNAL
    return tensor


def in_graph(tensor: TensorProto) -> onnx.ModelProto:
    return onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))


def in_attribute(**field: Any) -> onnx.ModelProto:
    node = onnx.NodeProto(attribute=[onnx.AttributeProto(name="a", **field)])
    return onnx.ModelProto(graph=onnx.GraphProto(node=[node]))


def in_branch(tensor: TensorProto, depth: int) -> onnx.ModelProto:
    """In the innermost of graphs within one another."""
    graph = onnx.GraphProto(initializer=[tensor])
    for _ in range(depth):
        attribute = onnx.AttributeProto(name="then_branch", g=graph)
        graph = onnx.GraphProto(node=[onnx.NodeProto(op_type="If", attribute=[attribute])])
    return onnx.ModelProto(graph=graph)


def in_function(tensor: TensorProto) -> onnx.ModelProto:
    node = onnx.NodeProto(attribute=[onnx.AttributeProto(name="value", t=tensor)])
    return onnx.ModelProto(functions=[onnx.FunctionProto(name="f", node=[node])])


SPARSE = onnx.SparseTensorProto
PLACES = {
    "initializer": in_graph(outside()),
    "marked only": in_graph(outside(entries=False)),
    "sparse values": onnx.ModelProto(
        graph=onnx.GraphProto(sparse_initializer=[SPARSE(values=outside())])),
    "sparse indices": onnx.ModelProto(
        graph=onnx.GraphProto(sparse_initializer=[SPARSE(indices=outside())])),
    "attribute": in_attribute(t=outside()),
    "attribute's list": in_attribute(tensors=[outside()]),
    "attribute's sparse": in_attribute(sparse_tensor=SPARSE(values=outside())),
    "attribute's sparse list": in_attribute(sparse_tensors=[SPARSE(values=outside())]),
    "attribute's graphs": in_attribute(graphs=[onnx.GraphProto(initializer=[outside()])]),
    "branch": in_branch(outside(), 1),
    "branch of branches": in_branch(outside(), 9),
    "function": in_function(outside()),
    "training": onnx.ModelProto(training_info=[
        onnx.TrainingInfoProto(initialization=onnx.GraphProto(initializer=[outside()]))]),
}  # fmt: skip


@pytest.mark.parametrize("model", PLACES.values(), ids=PLACES)
def test_values_in_other_files_are_found(model: onnx.ModelProto) -> None:
    assert points_outside(model.SerializeToString())


@pytest.mark.parametrize("model", PLACES.values(), ids=PLACES)
def test_the_same_with_its_values_inside_passes(model: onnx.ModelProto) -> None:
    """Nothing else in these files is taken for it: each is emptied of just that."""
    own = onnx.ModelProto()
    own.CopyFrom(model)
    keep_inside(own)
    assert not points_outside(own.SerializeToString())


def keep_inside(message: Any) -> None:
    if isinstance(message, TensorProto):
        message.ClearField("external_data")
        message.ClearField("data_location")
    for field, value in message.ListFields():
        if field.message_type:
            for one in value if hasattr(value, "append") else [value]:
                keep_inside(one)


def test_fields_that_stand_twice_are_both_seen() -> None:
    """Protobuf joins them: the second graph adds to the first."""
    clean = in_graph(numpy_helper.from_array(np.ones(3, np.float32), "w")).SerializeToString()
    assert points_outside(clean + in_graph(outside()).SerializeToString())
    assert points_outside(in_graph(outside()).SerializeToString() + clean)


def test_a_location_that_is_said_to_be_here_passes() -> None:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "w")
    tensor.data_location = TensorProto.DEFAULT
    assert not points_outside(in_graph(tensor).SerializeToString())


def test_the_embedded_network_and_the_tests_own_pass(network: Path) -> None:
    assert not points_outside(find_card(None).path.read_bytes())
    assert not points_outside(network.read_bytes())


def test_fields_are_onnxs(network: Path) -> None:
    """Numbers, order and values of the top message, as onnx's parser has them."""
    content = network.read_bytes()
    model = onnx.load_from_string(content)
    found = dict(fields(memoryview(content)))
    assert found[1] == model.ir_version
    assert bytes(found[7]) == model.graph.SerializeToString()
    assert set(found) == {field.number for field, _ in model.ListFields()}


@pytest.mark.parametrize("content", [
    b"not a network", b"\x3a\xff\xff\xff\xff\x0f", b"\x80" * 12, b"\x3b\x3c", b"\x08",
    b"\xba\x80\x80\x80\x10\x00",  # the graph's number, with a bit that protobuf drops
], ids=["text", "length", "number", "group", "cut short", "overlong key"])  # fmt: skip
def test_what_is_no_message_is_said_so(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        points_outside(content)


def test_bytes_changed_at_random_never_hide_a_pointer(rng: np.random.Generator) -> None:
    """Whatever protobuf still reads as pointing outside is refused: by its own parser."""
    whole = bytearray(in_branch(outside(), 2).SerializeToString())
    read = pointing = 0
    for _ in range(4000):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 3)):
            changed[at] = rng.integers(0, 256)
        try:
            model = onnx.load_from_string(bytes(changed))
        except Exception:  # noqa: BLE001 - protobuf refuses it
            continue
        read += 1
        expected = points(model)
        pointing += expected
        try:
            found = points_outside(bytes(changed))
        except ValueError:
            continue  # refused as well
        assert found or not expected
    assert read > 1000
    assert pointing > 500


def points(message: Any) -> bool:
    """By reflection over all that protobuf read."""
    if isinstance(message, TensorProto) and (
        message.external_data or message.data_location == TensorProto.EXTERNAL
    ):
        return True
    return any(
        points(one)
        for field, value in message.ListFields()
        if field.message_type
        for one in (value if hasattr(value, "append") else [value])
    )


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        find_card(str(path))
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("place", ["w.bin", "../w.bin", "/etc/passwd"])
def test_a_network_with_external_data_is_refused_with_a_remedy(tmp_path: Path, place: str) -> None:
    """Also where the other file lies beside it: a network is one file with one hash."""
    path = write_network(tmp_path / "nets")
    model = onnx.load_from_string(path.read_bytes())
    for where in (tmp_path / "w.bin", tmp_path / "nets" / "w.bin"):
        where.write_bytes(np.float32(3).tobytes())
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    path.write_bytes(model.SerializeToString())
    write_card(path)
    assert "save_as_external_data=False" in refused(path)


def test_the_remedy_works(tmp_path: Path) -> None:
    """What the message names makes one file of it."""
    path = write_network(tmp_path)
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="w.bin",
                    size_threshold=0)  # fmt: skip
    write_card(path)
    refused(path)
    onnx.save_model(onnx.load(path), path, save_as_external_data=False)
    write_card(path)
    assert find_card(str(path)).path == path


def test_bytes_are_those_of_the_hash(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    content = path.read_bytes()
    assert read_network(path, hashlib.sha256(content).hexdigest()) == content
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelError, match="sha256"):
        read_network(path, hashlib.sha256(content).hexdigest())


def test_a_file_larger_than_a_message_is_not_read(tmp_path: Path) -> None:
    """Sparse: three gigabytes that the disk does not hold."""
    path = write_network(tmp_path)
    with path.open("r+b") as file:
        file.truncate(3_000_000_000)
    with pytest.raises(ModelError, match="2 GB"):
        read_network(path, "00")


def test_more_parts_than_any_network_has_are_refused_in_little_memory() -> None:
    """Two bytes a node: each that waits to be looked at would cost a hundred times as much."""
    node = b"\x0a\x00"
    size = 2 * 310_000
    length = b""
    while size:
        length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
        size >>= 7
    content = b"\x3a" + length + node * 310_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than a network has"):
            points_outside(content)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
