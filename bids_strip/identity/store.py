"""Where descriptors are kept, and of what: ``logs/identity``, one file a run."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np

from bids_strip.identity.brain import VERSION, Descriptor
from bids_strip.record import Record

FOLDER = "logs/identity"
_MADE_BY = ("border_mm", "no_csf", "bias_smoothness_mm")
"""Options that the stripped image and its surface depend on."""


def descriptor_name(record: Record) -> str:
    """Name of a run's descriptor below OUTPUT_DIR, whatever a damaged record calls the run."""
    return f"{FOLDER}/{re.sub('[^A-Za-z0-9_-]', '_', record.bids_name)[:200]}.npz"


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
    text = json.dumps(made_of, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def to_bytes(descriptor: Descriptor, key: str) -> bytes:
    """Bytes of a descriptor's file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, descriptor=descriptor, key=np.array(key))
    return buffer.getvalue()


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
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            found, own = stored["descriptor"], str(stored["key"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = own == key and found.dtype == np.int8 and found.shape == (points,)
    return found if sound else None
