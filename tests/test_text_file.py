"""Text files of others: what they may not be, and what their words may not do to a terminal."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from bids_strip.cli import main
from bids_strip.manifest import HEADER, Entry
from bids_strip.printable import first_line, one_line
from bids_strip.text_file import MOST_BYTES, read_json, read_text, to_json

NESTED = "[" * 200_000


def test_text_and_json_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": "ü"}', encoding="utf-8")
    assert read_json(path) == {"a": "ü"}
    assert read_text(path) == '{"a": "ü"}'


def test_json_keeps_order_and_ends_with_a_newline() -> None:
    assert to_json({"b": 1, "a": ["\N{DEGREE SIGN}"]}) == (
        '{\n  "b": 1,\n  "a": [\n    "\N{DEGREE SIGN}"\n  ]\n}\n'.encode()
    )


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json(float("nan"))


def huge(path: Path) -> None:
    """Two gigabytes of spaces that the disk does not hold, and a value at their end."""
    with path.open("wb") as file:
        file.truncate(2_000_000_000)


BAD = {
    "two gigabytes": (huge, "larger than 16 MB"),
    "nested": (lambda p: p.write_text(NESTED), "nested too deep"),
    "a pipe": (os.mkfifo, "not a plain file"),
    "a folder": (Path.mkdir, "not a plain file"),
    "bytes": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "decode"),
    "text": (lambda p: p.write_text("{"), "Expecting"),
}


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_json_is_a_value_error(tmp_path: Path, make, reason: str) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(ValueError, match=reason):
        read_json(tmp_path / "a.json")


def test_the_limit_is_inclusive(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b" " * MOST_BYTES)
    assert len(read_text(tmp_path / "a")) == MOST_BYTES


@pytest.mark.parametrize("make", [make for make, _ in BAD.values()], ids=BAD)
@pytest.mark.parametrize("where", ["dataset_description.json", "filter", "labels.txt"])
def test_each_is_one_line_of_the_program(tmp_path: Path, phantoms, capsys, where, make) -> None:
    if where == "labels.txt" and make in (BAD["nested"][0], BAD["text"][0]):
        pytest.skip("a label")
    raw = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    path = raw / where
    path.unlink(missing_ok=True)
    make(path)
    options = {"filter": ["--bids-filter-file", str(path)],
               "labels.txt": ["--participant-label", str(path)]}.get(where, [])  # fmt: skip
    code = main([str(raw), str(tmp_path / "out"), "participant", "--dry-run", *options])
    said = capsys.readouterr().err
    assert code in (16, 64)
    assert said.count("\n") == 1
    assert where in said
    assert "internal" not in said


@pytest.mark.parametrize("make", [make for make, _ in BAD.values()], ids=BAD)
def test_a_sidecar_or_a_record_that_is_none_stops_nothing(
    tmp_path: Path, phantoms, network: Path, make
) -> None:
    raw, out = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"]), tmp_path / "out"
    make(raw / "sub-01" / "anat" / "sub-01_T1w.json")
    command = [str(raw), str(out), "participant", "--model", str(network), "--outputs", "mask"]
    assert main([*command, "--device", "cpu"]) == 0
    (record,) = out.rglob("*_qc.json")
    assert json.loads(record.read_text())["scanner"] == {}
    if make is Path.mkdir:
        return
    record.unlink()
    make(record)
    assert main([*command, "--device", "cpu"]) == 0
    assert json.loads(record.read_text())["status"] == "ok"


HOSTILE = "a\nb\r\x1b[2Jc\x07d\u2028e\u202ef\x9bg\udc80h"


def test_a_line_stays_a_line() -> None:
    """No control, format, separator or half of a character is left, by Unicode's own table."""
    shown = one_line(HOSTILE)
    assert not [c for c in shown if unicodedata.category(c)[0] in "CZ" and c != " "]
    for spelled in ("\\n", "\\r", "\\x1b[2J", "\\x07", "\\u2028", "\\u202e", "\\x9b", "\\udc80"):
        assert spelled in shown


@pytest.mark.parametrize("text", ["plain words, ü, 脳, 🧠 and \\ too", ""])
def test_what_can_be_read_stays(text: str) -> None:
    assert one_line(text) == text


def test_names_of_files_do_nothing_to_the_terminal_or_the_log(
    tmp_path: Path, phantoms, network: Path, capsys
) -> None:
    raw = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], name="raw\x1b[2J\nINFO forged\u202e")
    (raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"broken")
    out = tmp_path / "out"
    main([str(raw), str(out), "participant", "--model", str(network), "--device", "cpu"])
    main([str(raw / "absent"), str(out), "participant"])
    said = capsys.readouterr().err
    (log, *_) = (out / "logs").glob("*.log")
    kept = log.read_text(encoding="utf-8")
    lines = [line for line in kept.splitlines() if "failed at load" in line]
    assert len(lines) == 1
    assert "\\x1b[2J" in said
    for text in (said, lines[0]):
        assert not {"\x1b", "\u202e"} & set(text)
    assert not any(line.startswith("INFO forged") for line in said.splitlines())


def test_a_row_of_the_manifest_stays_a_row() -> None:
    row = str(Entry("sub-01_T1w.nii.gz", "failed", "new", "load", HOSTILE))
    assert len(row.splitlines()) == 1
    assert row.count("\t") == HEADER.count("\t")
    assert {"\x1b", "\u202e", "\udc80"}.isdisjoint(row)


def test_the_first_line_does_nothing_to_the_terminal(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    main([str(tmp_path / "raw\x1b[2J\n\u202e"), str(tmp_path / "out"), "participant"])
    said = capsys.readouterr().err
    assert "reading " in said
    assert "\\x1b[2J\\n" in said
    assert {"\x1b", "\u202e"}.isdisjoint(said)


@pytest.mark.parametrize(
    ("said", "expected"), [("one\ntwo", "one"), ("one", "one"), ("", "ValueError")]
)
def test_an_error_is_told_by_its_first_line_or_its_name(said: str, expected: str) -> None:
    assert first_line(ValueError(said)) == expected
