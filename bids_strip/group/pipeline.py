"""The way of a group: gather -> propose -> tabulate -> write."""

from __future__ import annotations

from pathlib import Path

from bids_strip.group.best import best_runs
from bids_strip.group.gather import gather
from bids_strip.group.tables import tabulate
from bids_strip.naming import to_json
from bids_strip.place import Place
from bids_strip.record import FAILED
from bids_strip.settings import Settings


def preview(settings: Settings) -> list[str]:
    """What `summarize` would write: one line a modality.

    Raises
    ------
    MissingInputError, SelectionError
        As `summarize`.
    """
    return [
        f"to do\tgroup_{suffix}.tsv\t{len(gather(settings, suffix))} runs"
        for suffix in settings.modality
    ]


def summarize(settings: Settings, staging: Path) -> str:
    """Write ``group_<suffix>.tsv`` and its dictionary for each modality.

    Parameters
    ----------
    settings
        OUTPUT_DIR, labels and modality; BIDS_DIR is not opened.
    staging
        Folder for unfinished files.

    Returns
    -------
    str
        One line that says what was found.

    Raises
    ------
    MissingInputError, SelectionError
        As `bids_strip.group.gather.gather`.
    """
    place = Place(settings.output_dir, staging)
    lines = []
    for suffix in settings.modality:
        records = gather(settings, suffix)
        table = tabulate(records, best=best_runs(records))
        place.put(f"group_{suffix}.json", to_json(table.dictionary))
        place.put(f"group_{suffix}.tsv", table.to_tsv())
        failed = sum(r.status == FAILED for r in records)
        path = settings.output_dir / f"group_{suffix}.tsv"
        lines.append(f"{len(records)} {suffix} runs, {failed} of them failed: {path}")
    return "; ".join(lines)
