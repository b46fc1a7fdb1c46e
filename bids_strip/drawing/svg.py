"""Small drawings with text, as SVG that a page may show as an image."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

_STYLE = (
    "text{font:12px system-ui,'Liberation Sans',sans-serif;fill:#333}"
    ".dim{fill:#666;font-size:11px}.axis{stroke:#888;fill:none}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.dim{fill:#aaa}}"
)


def svg(width: float, height: float, parts: Iterable[str], *, label: str) -> bytes:
    """A drawing of its parts; text follows the reader's choice of light or dark."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(label)}">'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    ).encode()


def text(x: float, y: float, said: str, *, anchor: str = "middle", dim: bool = False) -> str:
    """A line of text."""
    kind = ' class="dim"' if dim else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(said)}</text>'


def image(x: float, y: float, width: float, height: float, webp: bytes) -> str:
    """A picture inside the drawing."""
    data = base64.b64encode(webp).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'href="data:image/webp;base64,{data}"/>'
    )


def scale(
    x: float, y: float, width: float, palette: Sequence[tuple[int, int, int]],
    marks: Sequence[str], *, name: str,
) -> str:  # fmt: skip
    """A bar of colours with marks at equal steps below it."""
    share = 100 / (len(palette) - 1)
    stops = "".join(f'<stop offset="{n * share:g}%" stop-color="rgb{colour}"/>'
                    for n, colour in enumerate(palette))  # fmt: skip
    apart = width / (len(marks) - 1)
    said = "".join(text(x + n * apart, y + 22, mark, dim=True) for n, mark in enumerate(marks))
    return (
        f'<linearGradient id="{name}">{stops}</linearGradient>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="10" fill="url(#{name})"/>{said}'
    )


@dataclass(frozen=True, slots=True)
class Look:
    """How a curve is drawn.

    Attributes
    ----------
    colour
        CSS.
    dashes
        As ``stroke-dasharray``; "" for a line without gaps.
    """

    colour: str
    dashes: str = ""


def histograms(
    curves: Mapping[str, tuple[Look, NDArray[np.floating]]], edges: NDArray[np.floating], *,
    below: str, beside: str, label: str,
) -> bytes:  # fmt: skip
    """Draw curves over bins, each named at its peak.

    Parameters
    ----------
    curves
        Name -> look and height of each bin, (N,).
    edges
        (N + 1,) of the bins.
    below, beside
        What the axes are, with unit.
    label
        Of the whole, for those who hear it.
    """
    width, height, left, floor, top = 520.0, 220.0, 46.0, 180.0, 26.0
    most = max((float(values.max()) for _, values in curves.values()), default=0.0) or 1.0
    low, high = float(edges[0]), float(edges[-1])
    across = (width - left - 12) / (high - low)
    centres = left + ((edges[:-1] + edges[1:]) / 2 - low) * across
    parts = []
    for name, (look, values) in curves.items():
        heights = floor - (floor - top) * np.asarray(values, dtype=float) / most
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(centres, heights, strict=True))
        parts.append(
            f'<polygon points="{left:g},{floor:g} {points} {centres[-1]:.1f},{floor:g}" '
            f'fill="{look.colour}" fill-opacity=".18"/>'
            f'<polyline points="{points}" fill="none" stroke="{look.colour}" stroke-width="2" '
            f'stroke-dasharray="{look.dashes}"/>'
        )
        peak = int(np.argmin(heights))
        parts.append(text(float(centres[peak]), float(heights[peak]) - 6, name))
    ticks = [text(left + (value - low) * across, floor + 15, f"{value:g}", dim=True)
             for value in _round_steps(low, high)]  # fmt: skip
    frame = f'<path class="axis" d="M{left:g} {top:g}V{floor:g}H{width - 12:g}"/>'
    return svg(width, height, [
        frame, *parts, *ticks,
        text(left - 5, top + 4, f"{most:.3g}", anchor="end", dim=True),
        text(left - 5, floor, "0", anchor="end", dim=True),
        text((left + width) / 2, height - 6, below, dim=True),
        text(4, 12, beside, anchor="start", dim=True),
    ], label=label)  # fmt: skip


def _round_steps(low: float, high: float) -> NDArray[np.floating]:
    """Round numbers, four to nine of them, from low to high."""
    rough = (high - low) / 6
    unit = 10.0 ** np.floor(np.log10(rough))
    step = min((1 * unit, 2 * unit, 5 * unit, 10 * unit), key=lambda s: abs(s - rough))
    return np.asarray(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step)
