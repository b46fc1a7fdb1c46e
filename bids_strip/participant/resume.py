"""What an earlier call left of a run: all, all but the border, or nothing to rely on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bids_strip.card import Card
from bids_strip.domain import Run
from bids_strip.manual import same_manual
from bids_strip.naming import names_of
from bids_strip.record import OK, Record, read_record, same_input
from bids_strip.settings import Settings


def standing(runs: Iterable[Run], settings: Settings, card: Card) -> dict[Run, Record]:
    """Records of the runs that this network did and of which nothing has changed since.

    The program's version is not compared: an update does not redo a dataset; ``--force`` does.
    """
    found = {run: read_record(settings.output_dir / names_of(run)["qc"]) for run in runs}
    return {
        run: record
        for run, record in found.items()
        if record is not None and _stands(run, record, settings.output_dir, card)
    }


def _stands(run: Run, record: Record, output_dir: Path, card: Card) -> bool:
    """True if a record says done and everything it names is there unchanged."""
    if record.status != OK or record.input is None:
        return False
    return (
        record.network.get("sha256") == card.sha256
        and all(_present(output_dir / o.name, o.size) for o in record.outputs)
        and same_input(run, record.input)
        and same_manual(run, output_dir, record.manual)
    )


def covers(record: Record, settings: Settings) -> bool:
    """True if a record has all that is asked for; no border shifts an edited mask."""
    recipe = settings.recipe.for_edited() if record.manual else settings.recipe
    return recipe.is_covered_by(record.options)


def needs_border_alone(run: Run, record: Record, settings: Settings) -> bool:
    """True if what a record names is all that a new border needs."""
    needed = {"sdt", *(["preproc"] if "brain" in record.options.get("outputs", ()) else [])}
    written = {output.name for output in record.outputs}
    return (
        settings.recipe.differs_in_border_alone(record.options)
        and record.manual is None
        and all(names_of(run)[kind] in written for kind in needed)
        and not record.flags.get("template_mismatch", False)
    )


def _present(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
