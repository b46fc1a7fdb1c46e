"""An ONNX file as bytes, looked through before onnxruntime sees them.

ONNX lets a tensor keep its values in another file (``TensorProto.external_data``), which
onnxruntime would open. A network here is one file: where such a tensor stands, anywhere in it, the
file is refused. The bytes that were looked through are those that the session gets.

What is read is protobuf's wire format (protobuf.dev/programming-guides/encoding) and the message
types of onnx.proto3 that hold tensors; everything else is passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from bids_strip.errors import ModelError

MOST_BYTES = 2**31 - 1
"""Protobuf's own limit for a message."""
_MOST_DEPTH = 100
"""Protobuf's own limit for messages within messages."""
_MOST_MESSAGES = 300_000
"""Nodes, attributes and tensors; large networks have some ten thousand."""
_INSIDE: Mapping[str, Mapping[int, str]] = MappingProxyType({
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
})  # fmt: skip
"""Message type -> field number -> message type of the field, on every way to a tensor."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_network(path: Path, sha256: str, *, ours: bool = False) -> bytes:
    """The bytes of a network that holds all its values itself.

    Parameters
    ----------
    path
        The ONNX file.
    sha256
        What its card says.
    ours : bool
        True for a network that was installed with its card: then the card is proof enough.

    Raises
    ------
    ModelError
        If it is another file, too large for one message, no protobuf, or points to other files.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ModelError(f"{path}: larger than 2 GB, which no ONNX file can be; give another")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ModelError(
            f"{path}: sha256 {digest[:12]}... is not its card's {sha256[:12]}...; the file "
            "was changed or cut short: install or copy it again"
        )
    try:
        outside = not ours and points_outside(content)
    except ValueError as error:
        raise ModelError(f"{path}: not an ONNX file ({error}); give an ONNX network") from error
    if outside:
        raise ModelError(
            f"{path}: keeps values in other files (external data), which are not read; save it as "
            "one file: onnx.save_model(onnx.load(FILE), FILE, save_as_external_data=False)"
        )
    return content


def points_outside(content: bytes) -> bool:
    """True if any tensor of a model has its values in another file, or says so.

    Parameters
    ----------
    content
        A serialised ModelProto.

    Raises
    ------
    ValueError
        If it is not protobuf's wire format.
    """
    open_ones = [("model", fields(memoryview(content)))]  # each inside the one before
    seen = 0
    while open_ones:
        kind, rest = open_ones[-1]
        number, value = next(rest, (0, 0))
        if number == 0:
            open_ones.pop()
            continue
        if kind == "tensor" and number == _EXTERNAL_DATA:
            return True
        if kind == "tensor" and number == _DATA_LOCATION and value != 0:
            return True
        inner = _INSIDE[kind].get(number)
        if inner is not None and isinstance(value, memoryview):
            open_ones.append((inner, fields(value)))
            seen += 1
        if len(open_ones) > _MOST_DEPTH or seen > _MOST_MESSAGES:
            raise ValueError("messages nested too deep, or more than a network has")
    return False


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of a message in the order they stand: number, and a varint's value or the bytes.

    Raises
    ------
    ValueError
        If a field is cut short, or of a kind that ONNX does not use.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0 or key >= 2**32:  # protobuf would take its lower half
            raise ValueError("no field has such a number")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(message):
            raise ValueError("a field is cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it.

    Raises
    ------
    ValueError
        If it does not end within ten bytes.
    """
    value = 0
    for i in range(10):
        if at + i >= len(message):
            raise ValueError("a number is cut short")
        byte = message[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & (2**64 - 1), at + i + 1
    raise ValueError("a number is too long")
