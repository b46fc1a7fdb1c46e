"""Runs that a call began and that have no record: it works still, or was killed."""

from __future__ import annotations

from bids_strip.dataset.filters import labels_of
from bids_strip.dataset.names import run_at
from bids_strip.manifest import unended
from bids_strip.naming import names_of
from bids_strip.settings import Settings


def unended_note(settings: Settings) -> str | None:
    """One line about them, None where there are none: the table would lack them unsaid.

    Parameters
    ----------
    settings
        OUTPUT_DIR, modality and participants; other filters are not asked.
    """
    participants = labels_of(settings.participant_label, "sub")
    runs = (run_at(settings.output_dir, name) for name in unended(settings.output_dir))
    names = sorted(
        run.name
        for run in runs
        if run.suffix in settings.modality
        and (not participants or run.label("sub") in participants)
        and not (settings.output_dir / names_of(run)["qc"]).exists()
    )
    if not names:
        return None
    return (
        f"no result yet of {len(names)} of the runs that calls began (for example {names[0]}): "
        "they work still, or were killed; the table lacks these runs until the participant level "
        "is run again"
    )
