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


_BETTER = {
    "lower": "lower is better",
    "higher": "higher is better",
    "one": "1 is best",
    "none": "",
}


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

    @property
    def title(self) -> str:
        """The key as people read it, without the unit."""
        ending = "_" + self.unit.replace("/", "_per_")
        return self.key.removesuffix(ending).replace("_", " ")

    @property
    def unit_words(self) -> str:
        """The unit as people read it, "" for a ratio or count."""
        return "" if self.unit == "1" else self.unit

    @property
    def range_words(self) -> str:
        """The values that the definition allows, "" where all are."""
        least, most = self.least, self.most
        if least is None:
            return "" if most is None else f"{most:g} or less"
        return f"{least:g} or more" if most is None else f"{least:g} to {most:g}"

    @property
    def better_words(self) -> str:
        """Which values are good, "" where the metric has no direction."""
        return _BETTER[self.better]
