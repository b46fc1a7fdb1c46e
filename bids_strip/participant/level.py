"""Participant level: which runs are to do, and the files of the dataset as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bids_strip import __version__
from bids_strip.card import Card
from bids_strip.citation import citation
from bids_strip.dataset.description import read_description
from bids_strip.dataset.selection import select
from bids_strip.dataset.words import counted
from bids_strip.domain import Run
from bids_strip.errors import ModelError
from bids_strip.manual import seems_edited
from bids_strip.naming import check_collisions
from bids_strip.output.derivative_description import BIDSIGNORE, dataset_description
from bids_strip.output.linked import given_link, other_dataset
from bids_strip.output.place import Place
from bids_strip.participant.resume import Known, Listings, asked_for, done_but_for_border, known
from bids_strip.settings import Settings
from bids_strip.text_file import to_json


@dataclass(frozen=True, slots=True)
class Worklist:
    """Runs of an invocation.

    Attributes
    ----------
    to_do, done
        Runs to do, and those that are done already.
    not_bids
        Names that were left out.
    opens_network
        True if any run seems to need more than its stored distances: another call may change that.
    why
        Why each of the runs to do is to be done.
    closed
        A line for each participant whose folders cannot be opened.
    notes
        Lines on what was asked for and has no effect, on participants without an image, and on
        images that cannot be compared with what was made of them.
    """

    to_do: tuple[Run, ...]
    done: tuple[Run, ...]
    not_bids: tuple[str, ...] = ()
    opens_network: bool = True
    why: Mapping[Run, str] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(settings: Settings, card: Card) -> Worklist:
    """Select the runs and leave out those that are done.

    Raises
    ------
    BidsStripError
        As `bids_strip.dataset.selection.select` and `bids_strip.naming.check_collisions`.
    ModelError
        If the network does not give the surface that is asked for.
    """
    _check_surface(card, settings)
    found = select(settings)
    runs = found.runs
    check_collisions(runs)
    asked = asked_for(settings.output_dir, settings.recipe, network=card.sha256,
                      version=__version__)  # fmt: skip
    listings = Listings()
    states = {
        run: Known(None, "forced") if settings.force else known(run, asked, listings)
        for run in runs
    }
    why = {run: state.why for run, state in states.items() if state.why}
    done = tuple(run for run in runs if run not in why)
    opens_network = any(done_but_for_border(run, states[run], asked) is None for run in why)
    unseen = [run for run in done if states[run].unseen]
    uncompared = _uncompared(unseen, done) if unseen else None
    notes = (*found.notes, *filter(None, [uncompared, _gone(settings)]))
    return Worklist(tuple(why), done, found.not_bids, opens_network, why, found.closed, notes)


def _gone(settings: Settings) -> str | None:
    """One line about results of participants whom the dataset does not hold any more."""
    if settings.participant_label:
        return None
    there = {path.name for path in settings.bids_dir.glob("sub-*")}
    results = (path for path in settings.output_dir.glob("sub-*") if path.is_dir())
    gone = sorted(path.name for path in results if path.name not in there)
    if not gone:
        return None
    return (
        f"results of {counted(len(gone), 'participant')} not in {settings.bids_dir} stay and count "
        f"in the group (for example {gone[0]}); to take one out, remove from {settings.output_dir} "
        f"{gone[0]}, {gone[0]}.html and what logs/identity has of it, and call the group level "
        '(docs/FAILURES.md, "Taking a participant out")'
    )


def _uncompared(unseen: Sequence[Run], done: Sequence[Run]) -> str:
    """One line about runs that are done as far as can be said."""
    return (
        f"{len(unseen)} of {counted(len(done), 'run')} done before not compared with the image, "
        f"which cannot be read now (for example {unseen[0].relative}); get its content to have it "
        "compared"
    )


def shift_note(settings: Settings, runs: Worklist) -> str | None:
    """One line if another surface is asked for where a rater's mask is final."""
    asked = [f"--border {settings.border_mm:g}"] if settings.border_mm else []
    asked += ["--no-csf"] if settings.no_csf else []
    if not asked:
        return None
    every = (*runs.to_do, *runs.done)
    edited = sum(seems_edited(run, settings.output_dir) for run in every)
    if not edited:
        return None
    return (
        f"{' '.join(asked)}: not applied to {counted(edited, 'run')} with a mask edited by hand; "
        "an edited mask is final"
    )


def _check_surface(card: Card, settings: Settings) -> None:
    """Refuse a surface that the network does not give, before any work.

    Raises
    ------
    ModelError
        Then.
    """
    if settings.no_csf and card.output("brain_no_csf") is None:
        raise ModelError(
            f"--no-csf: the network {card.name} gives no surface of the tissue (role brain_no_csf "
            "in its card); leave the option out, or take the embedded network"
        )


def mixed_note(settings: Settings) -> str | None:
    """One line if the results that lie there are of another raw dataset."""
    description = _described(settings, settings.raw_uri)
    return other_dataset(settings.bids_dir, settings.output_dir, description)


def write_dataset_files(settings: Settings, card: Card, place: Place) -> None:
    """Write the dataset's description and the methods paragraph, the same bytes whoever does.

    Where the raw dataset lies is what this call was told, else what an earlier one was.
    """
    raw_uri = settings.raw_uri or given_link(settings.output_dir)
    methods = citation(settings.recipe, card, version=__version__, identity=settings.identity_check)
    place.put("dataset_description.json", to_json(_described(settings, raw_uri)))
    place.put(".bidsignore", BIDSIGNORE.encode())
    place.put("logs/CITATION.md", methods.encode())


def _described(settings: Settings, raw_uri: str | None) -> dict[str, Any]:
    """The description of OUTPUT_DIR."""
    return dataset_description(
        settings.bids_dir,
        settings.output_dir,
        version=__version__,
        source=read_description(settings.bids_dir),
        raw_uri=raw_uri,
    )
