"""What an earlier call left of a run, by its record and the files that are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip.domain import Run
from bids_strip.fingerprint import fingerprint
from bids_strip.naming import names_in, names_of
from bids_strip.participant.resume import (
    Asked,
    Known,
    Listings,
    done_but_for_border,
    done_but_for_more,
    kinds_there,
    known,
    outlives,
)
from bids_strip.recipe import Recipe
from bids_strip.record import OK, OutputFile, Record
from bids_strip.space import parse_space
from bids_strip.text_file import to_json

SPACE, OTHER = "Ball:res-2", "Pea"
KINDS = ("mask", "sdt", "brain", "preproc")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "raw" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an image")
    return Run(path, "sub-01/anat/sub-01_T1w.nii.gz", (("sub", "01"),), "T1w")


def left(run: Run, out: Path, *kinds: str, **in_spaces: tuple[str, ...]) -> None:
    """Files of a run and a record that names them: these kinds, and others in these spaces."""
    spaces = {SPACE: in_spaces.get("ball"), OTHER: in_spaces.get("pea")}
    found = {space: there for space, there in spaces.items() if there is not None}
    names = [names_of(run)[kind] for kind in kinds]
    names += [names_in(run, parse_space(s))[k] for s, there in found.items() for k in there]
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"whole")
    record = Record(
        run.name, "T1w", {"sub": "01"}, OK, input=fingerprint(run), software="bids_strip 1",
        options=Recipe(kinds, spaces=tuple(found)).to_options(), network={"sha256": "0"},
        outputs=tuple(OutputFile(name, 5) for name in names),
    )  # fmt: skip
    (out / names_of(run)["qc"]).write_bytes(to_json(record.to_json()))


def asked(out: Path, *kinds: str, spaces: tuple[str, ...] = (SPACE,), border=0.0) -> Asked:
    return Asked(out, Recipe(kinds, border, spaces=spaces), "0", "bids_strip 1")


def found(run: Run, wanted: Asked) -> Known:
    return known(run, wanted, Listings())


def test_a_kind_and_a_space_of_two_calls_are_no_kind_in_that_space(
    run: Run, tmp_path: Path
) -> None:
    """A mask in a space, then a brain without it: the brain was never written there."""
    left(run, tmp_path, "mask", "brain", ball=("mask",))
    wanted = asked(tmp_path, "brain")
    state = found(run, wanted)
    assert state.why == "Ball:res-2 lacks brain"
    assert done_but_for_more(state, wanted) is state.record is not None  # beside what is there
    assert found(run, asked(tmp_path, "mask")).why == ""
    assert found(run, asked(tmp_path, "brain", spaces=())).why == ""


def test_every_space_is_looked_at(run: Run, tmp_path: Path) -> None:
    left(run, tmp_path, "mask", "brain", ball=("mask", "brain"), pea=("mask",))
    assert found(run, asked(tmp_path, "brain")).why == ""
    assert found(run, asked(tmp_path, "brain", spaces=(SPACE, OTHER))).why == "Pea lacks brain"


def test_a_space_that_does_not_fit_lacks_nothing(run: Run, tmp_path: Path) -> None:
    """It would be tried again by each call, to no end."""
    left(run, tmp_path, "mask", "brain", ball=())
    assert found(run, asked(tmp_path, "mask", "brain")).why == ""


def test_another_border_does_not_hide_what_a_space_lacks(run: Run, tmp_path: Path) -> None:
    """The corrected image is not made from stored distances, there neither."""
    left(run, tmp_path, *KINDS, ball=("mask", "brain"))
    without = asked(tmp_path, "mask", "brain", border=2.0)
    assert done_but_for_border(run, found(run, without), without) is not None
    wanted = replace(without, recipe=replace(without.recipe, outputs=KINDS))
    assert done_but_for_border(run, found(run, wanted), wanted) is None


def test_a_table_without_its_labels_is_no_kind(run: Run, tmp_path: Path) -> None:
    left(run, tmp_path, "mask", "dseg", "dseg_table", "probseg_WM")
    assert kinds_there(run, tmp_path, Listings()) == ("mask", "dseg", "probseg")
    (tmp_path / names_of(run)["dseg"]).unlink()
    assert kinds_there(run, tmp_path, Listings()) == ("mask", "probseg")


def drop(path: Path, how: str) -> None:
    """What ``datalad drop`` leaves: a link to nothing or, of an unlocked file, a pointer."""
    path.unlink()
    if how == "a link":
        path.symlink_to("../../.git/annex/objects/a/b/c.nii.gz")
    else:
        path.write_text("/annex/objects/MD5E-s8--0.nii.gz\n")


@pytest.mark.parametrize("how", ["a link", "a pointer"])
def test_a_result_whose_source_is_away_is_done(run: Run, tmp_path: Path, how: str) -> None:
    """And known not to have been compared; what is to be made from the image cannot be."""
    left(run, tmp_path, *KINDS)
    wanted = asked(tmp_path, *KINDS, spaces=())
    assert not found(run, wanted).unseen
    record = found(run, wanted).record
    drop(run.path, how)
    state = found(run, wanted)
    assert (state.why, state.unseen) == ("", True)
    assert outlives(run, record, tmp_path)
    other = found(run, asked(tmp_path, *KINDS, spaces=(), border=2.0))
    assert other.record is None
    assert other.why == "border_mm 0.0 -> 2.0, input not readable"
    (tmp_path / names_of(run)["mask"]).unlink()
    assert found(run, wanted).why.endswith("mask.nii.gz: missing")


def test_another_source_is_no_result_of_ours(run: Run, tmp_path: Path) -> None:
    left(run, tmp_path, *KINDS)
    run.path.write_bytes(b"another image")
    assert found(run, asked(tmp_path, *KINDS, spaces=())).why == "input changed"
