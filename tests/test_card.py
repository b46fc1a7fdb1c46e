"""The network card: parsed, checked against its file, refused in a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bids_strip.card import find_card, parse_card
from bids_strip.errors import ModelError
from tests.fakes import write_network


def plain() -> dict[str, Any]:
    return {
        "name": "n", "version": "1", "sha256": "ab", "licence": "free", "parameters": 5,
        "input": {
            "zooms_mm": [2, 2, 2.5], "multiple": 16, "axis_codes": "RAS",
            "intensity": {"percentiles": [1, 99.5], "clip": [0, 1.3]},
        },
        "outputs": [
            {"name": "sdt", "channel": 0, "meaning": "sdt_mm", "role": "brain"},
            {"name": "tissue", "channel": None, "meaning": "logits", "role": "tissue"},
        ],
    }  # fmt: skip


def test_a_card() -> None:
    card = parse_card(plain(), Path("n.onnx"))
    assert card.zooms == (2.0, 2.0, 2.5)
    assert card.multiple == 16
    assert card.intensity.percentiles == (1.0, 99.5)
    assert card.intensity.clip == (0.0, 1.3)
    brain = card.output("brain")
    assert brain is not None
    assert (brain.name, brain.sign, brain.offset_mm) == ("sdt", 1, 0.0)
    assert card.output("brain_no_csf") is None


def test_the_card_of_training_is_understood() -> None:
    """Tuples and extra fields, as `training.export` writes them, after JSON."""
    data = json.loads(json.dumps({**plain(), "training": {"draws": 1}, "surface": {}}))
    assert parse_card(data, Path("n.onnx")).name == "n"


def broken(change) -> dict[str, Any]:
    data = plain()
    change(data)
    return data


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("sha256"),
        lambda d: d.pop("input"),
        lambda d: d["input"].pop("intensity"),
        lambda d: d["input"].update(zooms_mm=[2, 2]),
        lambda d: d["input"].update(zooms_mm="fine"),
        lambda d: d["input"]["intensity"].update(clip=[0]),
        lambda d: d["outputs"][0].update(meaning="guess"),
        lambda d: d["outputs"][0].update(role="bone"),
        lambda d: d["outputs"][0].update(unknown=1),
        lambda d: d.update(outputs=[]),
    ],
)
def test_a_card_that_is_not_understood(change) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_card(broken(change), Path("n.onnx"))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["input"].update(axis_codes="XYZ"),
        lambda d: d["input"].update(axis_codes="RAL"),
        lambda d: d["input"].update(multiple=0),
        lambda d: d["input"].update(zooms_mm=[2, 2, 0]),
        lambda d: d["input"].update(zooms_mm=[2, 2, -1]),
        lambda d: d["input"]["intensity"].update(percentiles=[99, 1]),
        lambda d: d["input"]["intensity"].update(percentiles=[-5, 120]),
        lambda d: d["outputs"][0].update(sign=0),
        lambda d: d["input"].update(multiple=10**9),
        lambda d: d["input"].update(zooms_mm=[2, 2, float("inf")]),
        lambda d: d["input"].update(zooms_mm=[2, 2, float("nan")]),
        lambda d: d["input"]["intensity"].update(clip=[0, float("inf")]),
        lambda d: d["outputs"][0].update(offset_mm=float("nan")),
        lambda d: d["outputs"][0].update(band_mm=float("inf")),
        lambda d: d["outputs"][0].update(channel=-1),
        lambda d: d["outputs"][0].update(channel=10**6),
        lambda d: d["outputs"][0].update(channel=True),
        lambda d: d["outputs"][0].update(channel="0"),
        lambda d: d["outputs"][0].update(name=["sdt"]),
        lambda d: d["outputs"][1].update(labels=[{"a": 1}]),
        lambda d: d.update(name="two\nlines"),
        lambda d: d.update(name="\x1b[2Jcleared"),
        lambda d: d.update(version="v" * 10_000),
        lambda d: d.update(name={"a": 1}),
        lambda d: d.update(surface={"definition": "a\u2028b"}),
    ],
    ids=["codes", "codes twice", "multiple", "zero zooms", "negative zooms", "order", "range",
         "sign", "huge multiple", "endless zooms", "zooms no number", "endless clip", "offset",
         "band", "channel before the first", "far channel", "channel true", "channel text",
         "names", "labels", "lines", "escapes", "long version", "name no text", "separator"],
)  # fmt: skip
def test_values_that_no_network_can_have_are_refused(change) -> None:
    """A foreign card is written by hand: its slips are not internal errors of every run."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_card(broken(change), Path("n.onnx"))


def test_a_file_beside_its_card(network: Path) -> None:
    card = find_card(str(network))
    assert card.path == network
    assert card.version == "7"


def refused(model: str) -> str:
    with pytest.raises(ModelError) as caught:
        find_card(model)
    assert caught.value.exit_code == 66
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_name_lists_what_there_is() -> None:
    assert "no-such-net" in refused("no-such-net")


def test_a_missing_card_or_file(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    assert "a.onnx" in refused(str(path))
    path.write_bytes(b"x")
    assert "a.json" in refused(str(path))


def test_a_file_that_is_not_its_cards(tmp_path: Path) -> None:
    path = write_network(tmp_path, name="a")
    assert find_card(str(path)).name == "a"
    path.write_bytes(path.read_bytes()[:-1])
    assert "sha256" in refused(str(path))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '"x"', "{}", "null", '{"input": {}}', "[" * 200_000,
     '{"input": {"zooms_mm": [1, 1, 1e999], "multiple": 1e999}}', " " * 2_000_000],
    ids=["empty", "brace", "list", "text", "object", "null", "input", "nested", "endless", "large"],
)  # fmt: skip
def test_a_card_that_is_no_card(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"x")
    (tmp_path / "a.json").write_text(content)
    told = refused(str(path))
    assert "a.json" in told
    example = Path(told.rpartition("; ")[2].removesuffix(" is one"))
    assert example.is_file()
    assert parse_card(json.loads(example.read_text()), example).name


def test_a_copy_of_our_own_is_a_foreign_one(tmp_path: Path) -> None:
    """Its file is looked through as any other's."""
    ours = find_card(None)
    assert ours.embedded
    for path in (ours.path, ours.path.with_suffix(".json")):
        shutil.copy(path, tmp_path)
    assert not find_card(str(tmp_path / ours.path.name)).embedded
