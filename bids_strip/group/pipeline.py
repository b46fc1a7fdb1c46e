"""The way of a group: gather -> judge -> propose -> tabulate -> page -> write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_strip import __version__
from bids_strip.dataset.words import counted
from bids_strip.group.best import best_runs
from bids_strip.group.gather import Gathered, gather
from bids_strip.group.heatmap import heatmap
from bids_strip.group.identity import identify
from bids_strip.group.identity_table import describe_columns, identity_table
from bids_strip.group.mixed import mixed, surfaces_of
from bids_strip.group.outliers import outliers
from bids_strip.group.percentiles import percentiles
from bids_strip.group.ratings import read_ratings
from bids_strip.group.report import page
from bids_strip.group.tables import tabulate
from bids_strip.group.unended import unended_note
from bids_strip.identity.compared import Identity
from bids_strip.judged import UNRATED, UNREADABLE, Judged, Rating
from bids_strip.metrics import ALL_METRICS
from bids_strip.naming import APP
from bids_strip.output.derivative_description import BIDSIGNORE
from bids_strip.output.place import Place, remove
from bids_strip.record import Record
from bids_strip.scanner import stratum_of
from bids_strip.settings import Settings
from bids_strip.text_file import to_json
from bids_strip.verdict import CHECK

_IDENTITY_FILES = ("group_identity.json", "group_identity.tsv", "group_identity.html")


@dataclass(frozen=True, slots=True)
class Group:
    """What a group is made of, all of it read.

    Attributes
    ----------
    gathered
        The records of each modality.
    ratings
        bids_name -> what a rater said.
    unended
        A line about runs that were begun and have no record.
    """

    gathered: Gathered
    ratings: Mapping[str, Rating]
    unended: str | None = None

    @property
    def left_out(self) -> str | None:
        """One line about modalities without results, None where each has some."""
        names = self.gathered.left_out
        if not names:
            return None
        return f"--modality {' '.join(names)}: no such results here, or none selected; left out"

    @property
    def unfiltered(self) -> str | None:
        """One line about a filter file that asks nothing of the modalities."""
        return self.gathered.unfiltered

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said before the work, a line each."""
        unlike = (mixed(records, suffix) for suffix, records in self.gathered.records.items())
        said = (
            self.left_out,
            self.unfiltered,
            self.gathered.misplaced,
            self.unended,
            *unlike,
            self.outdated,
        )
        return tuple(filter(None, said))

    @property
    def outdated(self) -> str | None:
        """One line about ratings that were given to other masks than lie here."""
        runs = (Judged(record, rating=self.ratings.get(record.bids_name, UNRATED))
                for records in self.gathered.records.values() for record in records)  # fmt: skip
        names = [run.record.bids_name for run in runs if run.rated_another]
        if not names:
            return None
        return (
            f"{counted(len(names), 'rating')} not counted, given to another mask of the run (for "
            f"example {names[0]}); rate again on the group page"
        )


def collect(settings: Settings) -> Group:
    """Read what the group is made of; nothing is written.

    Parameters
    ----------
    settings
        OUTPUT_DIR, labels, filter file, modality and ratings; BIDS_DIR is not opened.

    Raises
    ------
    MissingInputError, SelectionError, UsageError
        As `bids_strip.group.gather.gather`.
    UsageError
        As `bids_strip.group.ratings.read_ratings`.
    """
    ratings = read_ratings(settings.ratings, settings.output_dir)
    return Group(gather(settings), ratings, unended_note(settings))


def preview(settings: Settings, group: Group) -> list[str]:
    """What `summarize` would write: one line a modality."""
    return [
        *(f"to do\tgroup_{suffix}.tsv\t{counted(len(records), 'run')}"
          for suffix, records in group.gathered.records.items()),
        *(f"left out\tgroup_{suffix}.tsv\tno runs" for suffix in group.gathered.left_out),
        *(["to do\tgroup_identity.tsv"] if settings.identity_check else []),
    ]  # fmt: skip


def summarize(settings: Settings, group: Group, staging: Path) -> str:
    """Write the table, its dictionary, the page and the percentiles of each modality.

    Parameters
    ----------
    settings
        OUTPUT_DIR, identity check and bounds.
    group
        Of `collect`.
    staging
        Folder for unfinished files.

    Returns
    -------
    str
        One line that says what was found.

    Raises
    ------
    WriteError
        If the file system refuses.
    """
    place = Place(settings.output_dir, staging)
    ratings = group.ratings
    place.put(".bidsignore", BIDSIGNORE.encode())  # an older version's lacks names of this one's
    lines = []
    identities = []
    for suffix, records in group.gathered.records.items():
        identity: dict[str, tuple[str, ...]] = {}
        if settings.identity_check:
            identities.append(
                identify(records, place, nprocs=settings.nprocs, mem_gb=settings.mem_gb)
            )
            identity = identities[-1].findings
        runs = judge(records, ratings, identity)
        write_group(runs, suffix, ratings, group.gathered.masks, place)
        found = Counter(run.verdict for run in runs)
        path = settings.output_dir / f"group_{suffix}.html"
        of_them = " of them" if len(runs) > 1 else ""
        lines.append(f"{counted(len(runs), f'{suffix} run')}, {found[UNREADABLE]}{of_them} "
                     f"failed, {found[CHECK]} to check: {path}")  # fmt: skip
    if identities:
        lines.append(write_identity(identities, place))
    else:
        remove_identity(settings.output_dir)
    return "; ".join(lines)


def judge(
    records: Sequence[Record],
    ratings: Mapping[str, Rating],
    identity: Mapping[str, tuple[str, ...]],
) -> tuple[Judged, ...]:
    """Compare each run with the group, and with what was said and found of it."""
    found = outliers(
        [record.metrics for record in records],
        ALL_METRICS,
        [stratum_of(record.scanner) for record in records],
        surfaces_of(records),
    )
    return tuple(
        Judged(
            record,
            standing_out,
            ratings.get(record.bids_name, UNRATED),
            identity.get(record.bids_name, ()),
        )
        for record, standing_out in zip(records, found, strict=True)
    )


def write_group(
    runs: Sequence[Judged], suffix: str, ratings: Mapping[str, Rating], masks: Mapping[str, str],
    place: Place,
) -> None:  # fmt: skip
    """Write what is made of a modality's runs; the page last."""
    table = tabulate(runs, best=best_runs(runs))
    place.put(f"group_{suffix}.json", to_json(table.dictionary))
    place.put(f"group_{suffix}.tsv", table.to_tsv())
    place.put(f"group_{suffix}.js", percentiles(runs, suffix))
    html = page(runs, suffix=suffix, software=f"{APP} {__version__}", output_dir=place.output_dir,
                ratings=ratings, masks=masks)  # fmt: skip
    place.put(f"group_{suffix}.html", html)


def remove_identity(output_dir: Path) -> None:
    """Remove what an earlier call found of whose brain is whose: the table no longer says so."""
    for name in _IDENTITY_FILES:
        remove(output_dir / name)


def write_identity(identities: Sequence[Identity], place: Place) -> str:
    """Write what was found of whose brain is whose; one line that says it."""
    contents = (
        to_json(describe_columns()),
        identity_table(identities),
        heatmap(identities, software=f"{APP} {__version__}"),
    )
    for name, content in zip(_IDENTITY_FILES, contents, strict=True):
        place.put(name, content)
    compared = sum(len(one.compared) for one in identities)
    runs = sum(len(one.records) for one in identities)
    found = [name for one in identities for name in one.findings]
    told = f"do not fit ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
    return (
        f"identity: {compared} of {counted(runs, 'run')} compared, {len(found)} "
        f"{told if found else 'do not fit'}: {place.output_dir / 'group_identity.html'}"
    )
