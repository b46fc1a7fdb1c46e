"""Template spaces by name: what ``--output-spaces`` takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bids_strip.errors import UsageError

_NO_TEMPLATES = {
    "T1w": "the native grid is always written",
    "anat": "the native grid is always written",
    "fsnative": "no surface is made",
    "fsaverage": "no surface is made",
    "func": "no functional image is read",
    "run": "no functional image is read",
}
"""What fMRIPrep knows beside templates, and why it is refused."""
_ENTITY = re.compile(r"(res|cohort)-0*([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Space:
    """A template space as it is asked for.

    Attributes
    ----------
    name
        TemplateFlow's, for example ``MNI152NLin2009cAsym``.
    cohort, resolution
        TemplateFlow's numbers; None where the user gave none.
    """

    name: str
    cohort: int | None = None
    resolution: int | None = None

    def __str__(self) -> str:
        """As on the command line: ``MNI152NLin2009cAsym:res-1``."""
        parts = (("cohort", self.cohort), ("res", self.resolution))
        return ":".join([self.name, *(f"{key}-{n}" for key, n in parts if n is not None)])

    @property
    def anatomy(self) -> str:
        """What a transform leads to, whatever the resolution: ``MNIPediatricAsym+2``."""
        return self.name if self.cohort is None else f"{self.name}+{self.cohort}"


def parse_space(text: str) -> Space:
    """``NAME[:cohort-N][:res-N]``, as fMRIPrep spells it; leading zeros do not count.

    Raises
    ------
    UsageError
        If it is not understood, or no template.
    """
    name, *rest = text.split(":")
    if name in _NO_TEMPLATES:
        raise UsageError(
            f"--output-spaces {text}: no template ({_NO_TEMPLATES[name]}); give names of "
            "TemplateFlow, for example MNI152NLin2009cAsym:res-1"
        )
    found = [_ENTITY.fullmatch(part) for part in rest]
    numbers = {match[1]: int(match[2]) for match in found if match}
    if not re.fullmatch(r"[A-Za-z0-9]+", name) or len(numbers) != len(rest):
        raise UsageError(
            f"--output-spaces {text}: not understood; NAME, NAME:res-N or NAME:cohort-N:res-N, "
            "for example MNI152NLin2009cAsym:res-1"
        )
    return Space(name, cohort=numbers.get("cohort"), resolution=numbers.get("res"))
