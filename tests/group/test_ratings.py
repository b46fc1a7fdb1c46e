"""Ratings as the page saves them, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_strip.errors import UsageError
from bids_strip.group.ratings import read_ratings
from bids_strip.judged import Rating
from tests.fakes import put_away

HEAD = "bids_name\trating\tnote\n"


def given(folder: Path, content: str | bytes, name: str = "ratings.tsv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_file_of_the_page(tmp_path: Path) -> None:
    given(tmp_path, HEAD + 'sub-1_T1w\taccept\tn/a\nsub-2_T1w\tn/a\tlook "here"\n')
    assert read_ratings(None, tmp_path) == {
        "sub-1_T1w": Rating("accept"),
        "sub-2_T1w": Rating("", 'look "here"'),
    }


def test_a_spreadsheet_may_have_saved_it(tmp_path: Path) -> None:
    """Byte order mark, CRLF, other columns, another order, none of note."""
    path = given(tmp_path, b"\xef\xbb\xbfrater\trating\tbids_name\r\nX\t edit \tsub-1_T1w\r\n", "a")
    assert read_ratings(path, tmp_path) == {"sub-1_T1w": Rating("edit")}


@pytest.mark.parametrize(
    ("saved", "note"),
    [
        ('"dark, ""rim"""', 'dark, "rim"'),
        ('"""dark"" rim"', '"dark" rim'),
        # as the page saves what raters type
        ('"dark rim"', '"dark rim"'),
        ('the "rim"', 'the "rim"'),
        ('"dark" "rim"', '"dark" "rim"'),
        ('"dark, blurry rim"', "dark, blurry rim"),
        ('"dark', '"dark'),
        ('"', '"'),
        ('""', '""'),
    ],
)
def test_quotes_of_a_spreadsheet_are_no_part_of_a_note(
    tmp_path: Path, saved: str, note: str
) -> None:
    given(tmp_path, f"{HEAD}sub-1_T1w\tedit\t{saved}\n")
    assert read_ratings(None, tmp_path) == {"sub-1_T1w": Rating("edit", note)}


def test_the_mask_that_was_rated(tmp_path: Path) -> None:
    """Files of before have no such column, and speak of whatever mask is there."""
    rows = "sub-1_T1w\taccept\tn/a\t0123456789ab\nsub-2_T1w\tedit\tn/a\tn/a\n"
    given(tmp_path, HEAD.replace("note", "note\tmask_key") + rows)
    assert read_ratings(None, tmp_path) == {
        "sub-1_T1w": Rating("accept", "", "0123456789ab"),
        "sub-2_T1w": Rating("edit"),
    }


def test_capitals_and_empty_rows_are_no_error(tmp_path: Path) -> None:
    given(tmp_path, HEAD + "sub-1_T1w\tAccept\tN/A\n\t\t\n\nn/a\tn/a\t\nsub-2_T1w\tEDIT\tEye\n\t\t")
    assert read_ratings(None, tmp_path) == {
        "sub-1_T1w": Rating("accept"),
        "sub-2_T1w": Rating("edit", "Eye"),
    }


def test_the_file_named_goes_before_that_of_the_folder(tmp_path: Path) -> None:
    given(tmp_path, HEAD + "sub-1_T1w\taccept\t\n")
    other = given(tmp_path, HEAD + "sub-1_T1w\treject\t\n", "other.tsv")
    assert read_ratings(other, tmp_path)["sub-1_T1w"].rating == "reject"


def test_no_file_is_no_ratings(tmp_path: Path) -> None:
    assert read_ratings(None, tmp_path) == {}
    given(tmp_path, HEAD)
    assert read_ratings(None, tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("bids_name,rating\nsub-1_T1w,accept\n", "bids_name, rating"),
        ("", "bids_name, rating"),
        (HEAD + "sub-1_T1w\taccept\t\nsub-2_T1w\tgood\t\n", "line 3: 'good'"),
        (HEAD + "\taccept\t\n", "line 2"),
        (HEAD + "sub-1_T1w\tedit\t\n\t\t\nsub-1_T1w\tedit\t\n", "line 4: sub-1_T1w .* line 2"),
        (HEAD + "sub-1_T1w\t" + "x" * 9000 + "\n", "line 2"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a table"),
        (HEAD + "x" * 200_000 + "\taccept\n", "not a table"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = given(tmp_path, content)
    with pytest.raises(UsageError, match=said) as caught:
        read_ratings(None, tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 160
    assert caught.value.exit_code == 64


@pytest.mark.parametrize("name", ["absent.tsv", "."])
def test_a_file_named_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ratings\.tsv that the group page saved"):
        read_ratings(tmp_path / name, tmp_path)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("where", [".git/annex/objects/a/b/c.tsv", "/nowhere/c.tsv", None])
def test_a_file_whose_content_is_away_is_not_taken_for_none(
    tmp_path: Path, where: str | None, named: bool
) -> None:
    """A link to nothing, or a pointer: somebody has rated, and what cannot be told."""
    path = tmp_path / "ratings.tsv"
    put_away(path, where)
    with pytest.raises(UsageError) as caught:
        read_ratings(path if named else None, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path}: content is not here; run: datalad get ratings.tsv")
    assert "\n" not in said
    assert caught.value.exit_code == 64
