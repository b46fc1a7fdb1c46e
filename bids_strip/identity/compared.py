"""The runs of one modality, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bids_strip.identity.findings import Compared
from bids_strip.identity.likeness import Similarity
from bids_strip.record import Record


@dataclass(frozen=True, eq=False)
class Identity:
    """The runs of one modality, compared.

    Attributes
    ----------
    records
        All of them.
    compared
        Indices of those with a descriptor.
    similarity : (C, C) float32
        Of these.
    results
        One each of these; its indices count them, too.
    left_out
        Index of each other run -> why.
    """

    records: tuple[Record, ...]
    compared: tuple[int, ...]
    similarity: Similarity
    results: tuple[Compared, ...]
    left_out: Mapping[int, str]

    @property
    def findings(self) -> dict[str, tuple[str, ...]]:
        """Name of a run -> what was found of it, where anything was."""
        return {
            self.name(at): result.findings
            for at, result in enumerate(self.results)
            if result.findings
        }

    def name(self, at: int) -> str:
        """Name of a compared run."""
        return self.records[self.compared[at]].bids_name
