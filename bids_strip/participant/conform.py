"""Bring a run onto the network's grid: its axes, its zooms, its intensities.

The conformed grid shares the native grid's axes, so that each axis is resampled by one small
matrix; an oblique scan keeps its own axes and is not turned.
"""

from __future__ import annotations

from collections.abc import Iterator

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.card import Card, Intensity
from bids_strip.domain import Bool3, Conformed, Float3, Frame, Prediction, Volume
from bids_strip.errors import ConformError
from bids_strip.geometry import Box, every_nth, resampled, resampling_matrix, shape_multiple

_LARGEST_MM = 700.0
_SMALLEST_MM = 2.0
_APART_MM = 4.0
"""Of the voxels that are looked at for the head."""
_DARK_BRIGHT = (1.0, 98.0)
"""Percentiles taken for the darkest and the brightest."""
_LIT = 0.1
"""Of the way between them: above the noise and the ghosts of most scans, below any scalp."""
_LIT_MM2 = 400.0
"""A plane with less than this lit holds no head: specks, the tip of a nose."""
_ROOM_MM = 12.0
"""Around the head: more than a scalp that is not lit is thick."""
_NEAR_MM = 6.0
"""A brain lies deeper in its head than that, let alone in the room around it."""
_LEAST_ML = 200.0
_SLACK = 0.01
"""Part of a conformed voxel that the rounding of an affine may add to an extent."""


def conform(native: Volume, card: Card, *, whole: bool = False) -> Conformed:
    """Resample and scale a run for a network.

    Parameters
    ----------
    native
        The run on its own grid.
    card
        The network's.
    whole : bool
        True keeps the whole field of view: what was cut away held brain.

    Raises
    ------
    ConformError
        If the field of view is too large or too small for a head.
    """
    frame, shape = frame_of(native, card, whole=whole)
    data = oriented(native.data, frame)
    matrices = tuple(
        resampling_matrix(n_in, n_out, first=first, step=step)
        for n_in, n_out, first, step in zip(
            data.shape, shape, frame.firsts, frame.steps, strict=True
        )
    )
    seen = _outer([m.sum(axis=1) > 0 for m in matrices])
    data = scaled(resampled(data, matrices), seen, card.intensity)
    return Conformed(data=data, zooms=card.zooms, frame=frame)


def frame_of(
    native: Volume, card: Card, *, whole: bool = False
) -> tuple[Frame, tuple[int, int, int]]:
    """Where the conformed grid lies, centred on the head, and its shape.

    The field of view is cut to the head along axes where that saves voxels.
    """
    wanted = nib.orientations.axcodes2ornt(card.axis_codes)
    found = nib.orientations.io_orientation(native.grid.affine)
    to_card = nib.orientations.ornt_transform(found, wanted)
    axes = tuple(int(np.flatnonzero(to_card[:, 0] == a)[0]) for a in range(3))
    flips = tuple(bool(to_card[a, 1] < 0) for a in axes)
    sizes = [native.grid.shape[a] for a in axes]
    zooms = [native.grid.zooms[a] for a in axes]
    extent = [n * z for n, z in zip(sizes, zooms, strict=True)]
    if max(extent) > _LARGEST_MM:
        raise ConformError(
            f"field of view {' x '.join(f'{e:.0f}' for e in extent)} mm is larger than a head "
            f"scan's ({_LARGEST_MM:.0f} mm): are the voxel sizes in mm? crop it or mend the header"
        )
    if min(extent) < _SMALLEST_MM:
        raise ConformError(
            f"field of view {' x '.join(f'{e:.3g}' for e in extent)} mm holds no head (less than "
            f"{_SMALLEST_MM:.0f} mm): are the voxel sizes in mm? mend the header"
        )
    steps = tuple(z / own for z, own in zip(card.zooms, zooms, strict=True))
    field = tuple(slice(0, n) for n in native.grid.shape)
    held = field if whole else head_box(native)
    shape, firsts = [], []
    for own, flip, step in zip(axes, flips, steps, strict=True):
        (count, first), (fewer, nearer) = (
            _axis(box[own], native.grid.shape[own], step, card.multiple, flip=flip)
            for box in (field, held)
        )
        shape.append(min(count, fewer))
        firsts.append(nearer if fewer < count else first)
    frame = Frame(axes, flips, native.grid.shape, tuple(firsts), steps)  # type: ignore[arg-type]
    return frame, tuple(shape)  # type: ignore[return-value]


def _axis(side: slice, size: int, step: float, multiple: int, *, flip: bool) -> tuple[int, float]:
    """Conformed voxels that hold a part of a native axis, and where the first lies."""
    low, high = (size - side.stop, size - side.start) if flip else (side.start, side.stop)
    count, _, _ = shape_multiple((int(np.ceil((high - low) / step - _SLACK)), 1, 1), multiple)
    return count, (low + high - 1) / 2 - step * (count - 1) / 2


def cut_short(prediction: Prediction, conformed: Conformed) -> bool:
    """True if the predicted brain comes near a face at which the field of view was cut.

    Also if there is hardly any and something was cut: a strong bias, or an artefact brighter than
    the head, can leave part of it as dark as air.
    """
    faces = list(_cut_faces(conformed.frame, conformed.data.shape))
    if not faces:
        return False
    inside = np.count_nonzero(prediction.brain_mm <= 0)
    if inside * float(np.prod(conformed.zooms)) / 1000 < _LEAST_ML:
        return True
    return any(float(prediction.brain_mm.take(at, axis).min()) < _NEAR_MM for axis, at in faces)


def _cut_faces(frame: Frame, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Axis and index, 0 or -1, of the outermost planes beyond which the field of view goes on."""
    for axis, (own, first, step) in enumerate(
        zip(frame.axes, frame.firsts, frame.steps, strict=True)
    ):
        last = first + step * (shape[axis] - 1)
        if first > step:
            yield axis, 0
        if last < frame.native_shape[own] - 1 - step:
            yield axis, -1


def head_box(native: Volume) -> Box:
    """The part of the field of view that is not empty air, with room around it.

    Returns
    -------
    Box
        From the first to the last plane on which 4 cm^2 are lit, `_ROOM_MM` wider, along each
        native axis; the whole field where the air is not dark.

    Notes
    -----
    Lit is what lies a tenth of the way from the darkest to the brightest. Noise, ghosts or an
    inverted contrast light the air up: then nothing is cut.
    """
    zooms = native.grid.zooms
    window = every_nth(zooms, _APART_MM)
    few = native.data[window]
    dark, bright = np.percentile(few, _DARK_BRIGHT)
    lit = few > dark + _LIT * (bright - dark)
    apart = [side.step * zoom for side, zoom in zip(window, zooms, strict=True)]
    found = []
    for axis, (size, zoom) in enumerate(zip(native.grid.shape, zooms, strict=True)):
        others = tuple(a for a in range(3) if a != axis)
        area = np.count_nonzero(lit, axis=others) * float(np.prod([apart[a] for a in others]))
        planes = np.flatnonzero(area >= _LIT_MM2) * window[axis].step
        if not planes.size:
            planes = np.array([0, size - 1])
        room = int(np.ceil((_ROOM_MM + apart[axis]) / zoom))
        found.append(slice(max(int(planes[0]) - room, 0), min(int(planes[-1]) + room + 1, size)))
    return found[0], found[1], found[2]


def oriented(data: Float3, frame: Frame) -> Float3:
    """Native array -> the conformed grid's order and directions of axes."""
    turned = data.transpose(frame.axes)
    return turned[tuple(slice(None, None, -1) if f else slice(None) for f in frame.flips)]


def scaled(data: Float3, seen: Bool3, rule: Intensity) -> Float3:
    """Percentiles of the field of view to 0 and 1, clipped; 0 outside it."""
    low, high = np.percentile(data[seen], rule.percentiles)
    if high <= low:
        low, high = float(data[seen].min()), float(data[seen].max())
    data = np.clip((data - low) / (high - low or 1.0), *rule.clip)
    return np.where(seen, data, 0).astype(np.float32)


def _outer(sides: list[NDArray[np.bool_]]) -> Bool3:
    i, j, k = sides
    return np.asarray(i[:, None, None] & j[None, :, None] & k[None, None, :])
