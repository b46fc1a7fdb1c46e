"""Runs that a call had to do and that have no record: it works still, or was ended before."""

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
    manifests = unended(settings.output_dir)
    runs = {run_at(settings.output_dir, name): path for name, path in manifests.items()}
    missing = {
        run.name: path.name
        for run, path in runs.items()
        if run.suffix in settings.modality
        and (not participants or run.label("sub") in participants)
        and not (settings.output_dir / names_of(run)["qc"]).exists()
    }
    if not missing:
        return None
    first = min(missing)
    return (
        f"no result yet of {len(missing)} of the runs that calls had to do (for example {first}, "
        f"logs/{missing[first]}): the calls work still, or were ended before; the table lacks "
        "these runs: run the participant level again, or remove that file if they are gone"
    )
