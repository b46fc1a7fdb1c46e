"""What an earlier call left of a run: all, all but the border, or nothing to rely on; and why."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from bids_strip.domain import Run
from bids_strip.fingerprint import other_input, same_input
from bids_strip.manual import same_manual
from bids_strip.naming import APP, IMAGE, manual_name, names_in, names_of
from bids_strip.recipe import Recipe
from bids_strip.record import OK, Record, read_record
from bids_strip.space import parse_space


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call wants of each run.

    Attributes
    ----------
    output_dir
        OUTPUT_DIR.
    recipe
        What to make.
    network
        SHA-256 of the network's file.
    software
        Name and version of the program, as records give it.
    """

    output_dir: Path
    recipe: Recipe
    network: str
    software: str


def asked_for(output_dir: Path, recipe: Recipe, *, network: str, version: str) -> Asked:
    """What a call of some version of the program wants."""
    return Asked(output_dir, recipe, network, f"{APP} {version}")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a run before it is done.

    Attributes
    ----------
    record
        Its record, where nothing but the options may differ from it; None otherwise.
    why
        Why it is to be done, "" if it is not.
    unseen
        True if it is done and its source cannot be read now, to be compared with the record.
    """

    record: Record | None
    why: str
    unseen: bool = False


class Listings:
    """Files of folders and their sizes, bytes; the last folder is remembered.

    A link to nothing is named without a size: what it stands for is away, not removed.

    A listing brings the sizes of a folder's files over a network file system in one answer; asking
    for every output of every run takes one each. Runs come in order, folder by folder.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._sizes: Mapping[str, int | None] = {}

    def __call__(self, folder: Path) -> Mapping[str, int | None]:
        """Names and sizes; none of a folder that is not there."""
        if folder != self._folder:
            self._folder, self._sizes = folder, _sizes(folder)
        return self._sizes


def known(run: Run, asked: Asked, listings: Listings) -> Known:
    """Compare what lies there of a run with what is asked for.

    A run is done if its record is of this input, network and program, has the options that are
    asked for, each kind in each space, and every file it names is there in its full size. A file of
    the right size is whole: it was flushed to the disk before it got its name, and its folder
    before the record got its own. A source that cannot be read now, as one that was dropped to make
    room, counts as the recorded one, unless something is to be made from it.
    """
    path = asked.output_dir / names_of(run)["qc"]
    sizes = listings(path.parent)
    if sizes.get(path.name) is None:
        return Known(None, "new")
    record = read_record(path)
    if record is None:
        return Known(None, "record damaged")
    if record.status != OK or record.input is None:
        return Known(None, f"failed before at {record.stage}")
    why = _changed(record, asked, listings)
    same = None if why else same_input(run, record.input)
    if not why:
        why = _other_sources(run, record, asked.output_dir, same=same, edit=_edit_in(run, sizes))
    if why:
        return Known(None, why)
    # no border shifts an edited mask
    recipe = asked.recipe.for_edited() if record.manual else asked.recipe
    lacking = [*recipe.differences(record.options), *_lacking_in_spaces(run, record, recipe)]
    if same is None and lacking:
        return Known(None, ", ".join([*lacking, "input not readable"]))
    return Known(record, ", ".join(lacking), unseen=same is None)


def _lacking_in_spaces(run: Run, record: Record, asked: Recipe) -> list[str]:
    """What template spaces lack of the kinds that are asked for, in words; none if nothing.

    The options name kinds and spaces apart: one call may have made the kind, another the space. A
    space that the run does not fit holds nothing, the mask neither, and lacks nothing.
    """
    written = {output.name for output in record.outputs}
    there = {space: names_in(run, parse_space(space)) for space in asked.spaces}
    return [
        f"{space} lacks {' '.join(missing)}"
        for space, names in there.items()
        if names["mask"] in written
        and (missing := [k for k in names if k in asked.outputs and names[k] not in written])
    ]


def _edit_in(run: Run, names: Container[str]) -> bool:
    """True if a mask edited by hand is among the names."""
    name = manual_name(run).rpartition("/")[2]
    return name in names or name.removesuffix(".gz") in names


def _changed(record: Record, asked: Asked, listings: Listings) -> str:
    """What else than options and sources differs from a record, "" if nothing does."""
    if record.network.get("sha256") != asked.network:
        return f"network was {record.network.get('name', 'unknown')} " \
               f"{record.network.get('version', '')}".rstrip()  # fmt: skip
    if record.software != asked.software:
        return f"program was {record.software or 'unknown'}"
    return _torn(record, asked.output_dir, listings)


def _other_sources(
    run: Run, record: Record, output_dir: Path, *, same: bool | None, edit: bool
) -> str:
    """Which source is another than the record's, "" if none is.

    Parameters
    ----------
    same
        Of `same_input`.
    edit
        True if there is a mask edited by hand.
    """
    if same is False:
        return "input changed"
    if (edit or record.manual) and not same_manual(run, output_dir, record.manual):
        return "edited mask changed"
    return ""


def _torn(record: Record, output_dir: Path, listings: Listings) -> str:
    """An output that is not there or of another size than recorded, "" if all are whole."""
    for output in record.outputs:
        folder, _, name = output.name.rpartition("/")
        size = listings(output_dir / folder).get(name)
        if size != output.size:
            wrong = "missing" if size is None else f"{size} bytes, not {output.size}"
            return f"{output.name}: {wrong}"
    return ""


def outlives(run: Run, record: Record | None, output_dir: Path) -> bool:
    """True if a result stays when a redo fails: it is whole, and its input not known to be another.

    An input that cannot be read now takes no result along: a disk may be away for a while.
    """
    return (
        record is not None
        and record.status == OK
        and record.input is not None
        and not _torn(record, output_dir, Listings())
        and not other_input(run, record.input)
    )


def done_but_for_border(run: Run, state: Known, asked: Asked) -> Record | None:
    """The record from whose stored distances a new border is made; None if all is to be made."""
    if state.why and state.record and needs_border_alone(run, state.record, asked.recipe):
        return state.record
    return None


def done_but_for_more(state: Known, asked: Asked) -> Record | None:
    """The record whose files stay while other kinds, or other spaces, are made beside them."""
    if state.why and state.record and asked.recipe.adds_to(state.record.options):
        return state.record
    return None


def kinds_there(run: Run, output_dir: Path, listings: Listings) -> tuple[str, ...]:
    """Kinds of output that lie there of a run, whichever call made them and whether they are whole.

    A redo makes them all: nothing of an earlier result stays that the new mask does not agree with,
    and nothing is lost. An image makes a kind; the table of its labels by itself is none.
    """
    images = {kind: name for kind, name in names_of(run).items() if name.endswith(IMAGE)}
    return tuple(
        dict.fromkeys(
            kind.split("_")[0]
            for kind, name in images.items()
            if PurePath(name).name in listings((output_dir / name).parent)
        )
    )


def needs_border_alone(run: Run, record: Record, asked: Recipe) -> bool:
    """True if what a record names is all that a new border needs."""
    needed = {"sdt", *(["preproc"] if "brain" in record.options.get("outputs", ()) else [])}
    written = {output.name for output in record.outputs}
    return (
        asked.differs_in_border_alone(record.options)
        and not _lacking_in_spaces(run, record, asked)
        and record.manual is None
        and all(names_of(run)[kind] in written for kind in needed)
        and not record.flags.get("template_mismatch", False)
    )


def _sizes(folder: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    found[entry.name] = None
                with contextlib.suppress(OSError):  # replaced just now, or a link to nothing
                    found[entry.name] = entry.stat().st_size
    except OSError:
        return {}
    return found
