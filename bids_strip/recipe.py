"""What to make of a run: everything that changes its outputs besides the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

BIAS_SMOOTHNESS_MM = 40.0
"""Half a wavelength: near SPM's cut-off of 60 mm full width, and what held-out maps ask for."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options that change what a run's outputs hold; small, so that it travels to a worker.

    Attributes
    ----------
    outputs
        Kinds of output to write, of `bids_strip.settings.OUTPUT_KINDS`; the mask always is.
    border_mm
        Shift of the surface, outwards if positive.
    no_csf
        True for the surface of the tissue instead of that of the brain.
    spaces
        Template spaces, spelled by `bids_strip.space.Space`.
    bias_smoothness_mm
        Half of the shortest wavelength of the bias field; 0 for none.
    """

    outputs: tuple[str, ...]
    border_mm: float = 0.0
    no_csf: bool = False
    spaces: tuple[str, ...] = ()
    bias_smoothness_mm: float = BIAS_SMOOTHNESS_MM

    def for_edited(self) -> Recipe:
        """The same for a mask that a rater edited: its surface is final, whatever is asked for."""
        return replace(self, border_mm=0.0, no_csf=False)

    def with_kinds(self, kinds: Iterable[str]) -> Recipe:
        """The same with other kinds of output beside those that are asked for."""
        return replace(self, outputs=tuple(dict.fromkeys((*self.outputs, *kinds))))

    @property
    def pictured(self) -> bool:
        """True if pictures and a page are wanted: not for masks alone, which are to be quick."""
        return bool({*self.outputs} - {"mask"})

    def differs_in_border_alone(self, options: Mapping[str, Any]) -> bool:
        """True if a record with these options is covered but for its border."""
        border_mm = options.get("border_mm")
        return (
            border_mm != self.border_mm
            and isinstance(border_mm, (int, float))
            and replace(self, border_mm=border_mm).is_covered_by(options)
            and set(self.spaces) == {*options.get("spaces", ())}
        )

    def adds_to(self, options: Mapping[str, Any]) -> bool:
        """True if what a record with these options has stays right beside what is asked for."""
        outputs, spaces = (tuple(options.get(name, ())) for name in ("outputs", "spaces"))
        return replace(self, outputs=outputs, spaces=spaces).is_covered_by(options)

    def to_options(self) -> dict[str, Any]:
        """As a record keeps it: plain values, the kinds sorted."""
        return {
            **asdict(self), "outputs": sorted(self.outputs), "spaces": sorted(self.spaces),
        }  # fmt: skip

    def is_covered_by(self, options: Mapping[str, Any]) -> bool:
        """True if a record with these options has all that is asked for, made the same way."""
        return not self.differences(options)

    def differences(self, options: Mapping[str, Any]) -> list[str]:
        """What a record with these options lacks or has otherwise, in words; none if covered."""
        asked = self.to_options()
        lacking = [
            f"{name} lack {' '.join(sorted(missing))}"
            for name in ("outputs", "spaces")
            if (missing := {*asked.pop(name)} - {*options.get(name, ()), "mask"})
        ]
        return lacking + [
            f"{name} {options.get(name, 'unknown')} -> {value}"
            for name, value in asked.items()
            if name not in options or options[name] != value
        ]
