"""What to make of a run: everything that changes its outputs besides the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options that change what a run's outputs hold; small, so that it travels to a worker.

    Attributes
    ----------
    outputs
        Kinds of output to write, of `bids_strip.settings.OUTPUT_KINDS`; the mask always is.
    border_mm
        Shift of the surface, outwards if positive.
    """

    outputs: tuple[str, ...]
    border_mm: float = 0.0

    def to_options(self) -> dict[str, Any]:
        """As a record keeps it: plain values, the kinds sorted."""
        return {**asdict(self), "outputs": sorted(self.outputs)}

    def is_covered_by(self, options: Mapping[str, Any]) -> bool:
        """True if a record with these options has all that is asked for, made the same way."""
        asked = self.to_options()
        kinds = {*asked.pop("outputs"), "mask"}
        return kinds <= {*options.get("outputs", ()), "mask"} and all(
            name in options and options[name] == value for name, value in asked.items()
        )
