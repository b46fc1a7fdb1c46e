"""Aligned text tables."""

from __future__ import annotations

from collections.abc import Sequence

Cell = str | float | int | None


def text_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out rows below a header: the first column to the left, the others to the right."""
    lines = [list(header), *[[_text(cell) for cell in row] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *[c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)],
            ]
        ).rstrip()
        for line in lines
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out rows as Markdown."""
    lines = [list(header), ["---"] * len(header), *[[_text(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}"
    return str(cell)
