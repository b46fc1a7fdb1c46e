"""Synthetic head images from label maps: draw the parameters, then render them.

`draw` turns a seeded generator into a `SynthesisDraw`, a value that can be stored; `render` makes
the image and its targets from a map and a draw, the same ones each time (noise included). In the
order of rendering: `space` moves the map into the window, `atrophy` draws tissue back, `anatomy`
paints and changes it, `scanner` acquires the image, `software` does what programs do to it
afterwards.
"""

from training.synthesis.draws import (
    Anatomy,
    Placement,
    Processing,
    Scan,
    SynthesisDraw,
    draw,
    stored,
    unstored,
)
from training.synthesis.ranges import FAR_MM, T1W_MEANS, ZOOM_MM, SynthesisRanges
from training.synthesis.render import Sample, Source, looked_up, on_device, render

__all__ = [
    "FAR_MM", "T1W_MEANS", "ZOOM_MM", "Anatomy", "Placement", "Processing", "Sample",
    "Scan", "Source", "SynthesisDraw", "SynthesisRanges", "draw", "looked_up", "on_device",
    "render", "stored", "unstored",
]  # fmt: skip
