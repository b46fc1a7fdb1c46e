"""What a metric is, and the words that metrics share."""

from __future__ import annotations

from dataclasses import dataclass

FACES = {
    "L": "left", "R": "right", "P": "posterior", "A": "anterior", "I": "inferior", "S": "superior",
}  # fmt: skip


TISSUES = {"gm": "grey matter", "wm": "white matter", "csf": "fluid"}
"""In the order of the labels of a dseg, from 1 on."""

AXES = {"x": "left-right", "y": "posterior-anterior", "z": "inferior-superior"}
"""Of a head; a voxel axis goes by the nearest."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a run.

    Attributes
    ----------
    key
        Name in the record and column of the table, unit included; what MRIQC defines keeps
        MRIQC's name.
    description
        What it is and how it is computed.
    unit
        ``ml``, ``mm``, ``cm2``, ``deg``, ``voxels``, ``percent/cm``, ``1`` (a ratio or count).
    better
        ``lower``, ``higher``, ``one`` (nearest to 1) or ``none`` (no direction).
    least, most
        The range that the definition allows; None where it is open.
    source
        Paper or program that defines it, "" where it is our own.
    """

    key: str
    description: str
    unit: str
    better: str
    least: float | None = None
    most: float | None = None
    source: str = ""
