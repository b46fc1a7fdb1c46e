"""Where the label maps may call a dural sinus cerebellum.

A sinus is a tube without gaps. In many maps the label of veins breaks off along the sigmoid sinus,
with cerebellar cortex in its place, and goes on below (in held-out map 20 for 10 mm on both sides).
A network that knows sinuses leaves such a part out of the brain, and is right. What is found is
doubtful, not wrong: true cortex in the bend of a sinus is found too.
"""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Bool3
from bids_strip.geometry import bounding_box, closed
from training.maps import GROUP_INDEX, UNIT, TrainingMap

GAP_MM = 16
"""The longest gap in a sinus' label that is bridged; a sinus is some 10 mm wide."""


def called_cerebellum(source: TrainingMap) -> Bool3:
    """Cerebellar cortex in a gap of the veins' label: within their closing by half of `GAP_MM`.

    Parameters
    ----------
    source
        The map.

    Returns
    -------
    (I, J, K) bool
        At 1 mm.
    """
    found = np.zeros(source.groups.shape, dtype=bool)
    cortex = source.groups == GROUP_INDEX["cerebellar_cortex"]
    if cortex.any():
        box = bounding_box(cortex, margin_mm=GAP_MM, zooms=UNIT)
        vein = source.groups[box] == GROUP_INDEX["vein"]
        found[box] = cortex[box] & closed(vein, zooms=UNIT, radius_mm=GAP_MM / 2)
    return found
