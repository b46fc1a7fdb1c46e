"""Keep a run's descriptor for the identity check; only ``--identity-check`` asks for it."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Products
from bids_strip.identity.brain import described
from bids_strip.identity.store import descriptor_name, key_of, to_bytes
from bids_strip.output.place import Place
from bids_strip.record import Record
from bids_strip.registration.reference import load_reference


def keep(products: Products, record: Record, place: Place) -> None:
    """Describe a run's brain and write that to ``logs/identity``.

    Nothing is kept where no corrected image was made, or no brain is there to describe: the group
    level makes up for the one from what is stored, and tells of the other.

    Parameters
    ----------
    products
        What was made of the run; the descriptor is that of its stripped image as it is stored.
    record
        What the descriptor is of.
    place
        Where to.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    if products.preproc is None:
        return
    image = np.where(products.brain.mask, products.preproc.steps, 0).astype(np.float32)
    grid = products.source.volume.grid
    found = described(image, products.brain.sdt_steps, grid, load_reference())
    if found is not None:
        place.put(descriptor_name(record.bids_name), to_bytes(found, key_of(record)))
