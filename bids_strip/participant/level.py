"""Participant level: which runs are to do, and the files of the dataset as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bids_strip.card import Card
from bids_strip.dataset.description import read_description
from bids_strip.dataset.selection import select
from bids_strip.domain import Run
from bids_strip.errors import OutputError
from bids_strip.naming import (
    APP,
    BIDSIGNORE,
    check_collisions,
    dataset_description,
    names_of,
    to_json,
)
from bids_strip.participant.write import Place
from bids_strip.record import OK, read_record, same_input
from bids_strip.settings import Settings


@dataclass(frozen=True, slots=True)
class Worklist:
    """Runs of an invocation: to do, and done already; names that were left out."""

    to_do: tuple[Run, ...]
    done: tuple[Run, ...]
    not_bids: tuple[str, ...] = ()


def plan(settings: Settings, card: Card) -> Worklist:
    """Select the runs and leave out those that are done.

    Raises
    ------
    BidsStripError
        As `bids_strip.dataset.selection.select` and `bids_strip.naming.check_collisions`.
    """
    found = select(settings)
    runs = found.runs
    check_collisions(runs)
    done = tuple(r for r in runs if not settings.force and is_done(r, settings, card))
    left = set(runs) - set(done)
    return Worklist(tuple(r for r in runs if r in left), done, found.not_bids)


def is_done(run: Run, settings: Settings, card: Card) -> bool:
    """True if a record says so and everything it names is there unchanged.

    The program's version is not compared: an update does not redo a dataset; ``--force`` does.
    """
    record = read_record(settings.output_dir / names_of(run)["qc"])
    if record is None or record.status != OK or record.input is None:
        return False
    return (
        settings.recipe.is_covered_by(record.options)
        and record.network.get("sha256") == card.sha256
        and all(_present(settings.output_dir / o.name, o.size) for o in record.outputs)
        and same_input(run, record.input)
    )


def _present(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def check_owner(output_dir: Path) -> None:
    """Refuse a folder that holds another program's results.

    Raises
    ------
    OutputError
        If its ``dataset_description.json`` is not ours.
    """
    owner = _owner(output_dir)
    if owner not in (None, APP):
        raise OutputError(
            f"{output_dir}: holds results of {owner}; give a folder of its own, for example "
            f"{output_dir / APP}"
        )


def write_dataset_files(settings: Settings, place: Place, version: str) -> None:
    """Write ``dataset_description.json`` and ``.bidsignore``, the same bytes whoever does."""
    description = dataset_description(
        settings.bids_dir,
        settings.output_dir,
        version=version,
        source=read_description(settings.bids_dir),
        raw_uri=settings.raw_uri,
    )
    place.put("dataset_description.json", to_json(description))
    place.put(".bidsignore", BIDSIGNORE.encode())


def _owner(output_dir: Path) -> str | None:
    """Who wrote what is in OUTPUT_DIR, None if nobody did."""
    if not (output_dir / "dataset_description.json").exists():
        return None
    try:
        return str(read_description(output_dir)["GeneratedBy"][0]["Name"])
    except Exception:  # noqa: BLE001 - whatever it is, it is not ours
        return "another program"
