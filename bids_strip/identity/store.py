"""Where descriptors are kept, and of what: ``logs/identity``, one file a run."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from bids_strip.identity.brain import VERSION, Descriptor
from bids_strip.record import Record, digest_of

FOLDER = "logs/identity"
_HEAD_BYTES = 2 * (hashlib.sha256().digest_size * 2 + 1)
"""Of a file: the key and the values' hash, a line each; the values follow as they are."""
_MADE_BY = ("border_mm", "no_csf", "bias_smoothness_mm")
"""Options that the stripped image and its surface depend on."""


def descriptor_name(bids_name: str) -> str:
    """Name of a run's descriptor below OUTPUT_DIR, whatever a damaged record calls the run."""
    return f"{FOLDER}/{re.sub('[^A-Za-z0-9_-]', '_', bids_name)[:200]}.bin"


def key_of(record: Record) -> str:
    """What a descriptor is of: another input, surface or brightness gives another key."""
    made_of = {
        "version": VERSION,
        "run": record.bids_name,
        "input": record.input.sha256 if record.input else None,
        "manual": record.manual.sha256 if record.manual else None,
        "network": record.network.get("sha256"),
        "surface": record.surface.get("origin"),
        **{name: record.options.get(name) for name in _MADE_BY},
    }
    return digest_of(made_of)


def to_bytes(descriptor: Descriptor, key: str) -> bytes:
    """Bytes of a descriptor's file."""
    values = descriptor.tobytes()
    return f"{key}\n{hashlib.sha256(values).hexdigest()}\n".encode("ascii") + values


def read_descriptor(path: Path, key: str, points: int) -> Descriptor | None:
    """The descriptor in a file; None if there is none, it is damaged, or of something else.

    Parameters
    ----------
    path
        Where it is.
    key
        From `key_of`: what it has to be of.
    points
        How many values it has to hold.
    """
    size = _HEAD_BYTES + points
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError:
        return None
    found = np.frombuffer(content[_HEAD_BYTES:], np.int8)
    return found if len(content) == size and content == to_bytes(found, key) else None
