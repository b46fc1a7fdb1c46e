"""The Boutiques descriptor: Boutiques judges it, and our own parser reads what it makes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import boutiques
import pytest

from bids_strip import __version__
from bids_strip.cli import parse
from bids_strip.descriptors import boutiques as rendered
from bids_strip.settings import LATER_KINDS, OPTIONS

ROOT = Path(__file__).parents[1]


def command_of(tmp_path: Path, invocation: dict[str, Any]) -> list[str]:
    """Arguments of the command that Boutiques makes of an invocation."""
    descriptor, values = tmp_path / "d.json", tmp_path / "i.json"
    descriptor.write_text(json.dumps(rendered()))
    values.write_text(json.dumps(invocation))
    line = boutiques.execute("simulate", str(descriptor), "-i", str(values)).stdout
    made, command = line.strip().splitlines()[-1].split("; ", 1)
    assert made == "mkdir -p out"
    program, *arguments = shlex.split(command)
    assert program == "bids_strip"
    return arguments


def test_the_file_is_the_table() -> None:
    assert json.loads((ROOT / "boutiques.json").read_text()) == rendered()


@pytest.mark.parametrize("arguments", [[], ["--bids"]])
def test_boutiques_accepts_it(tmp_path: Path, arguments: list[str]) -> None:
    descriptor = tmp_path / "d.json"
    descriptor.write_text(json.dumps(rendered()))
    boutiques.validate(str(descriptor), *arguments)
    broken = rendered()
    broken["command-line"] = "bids_strip"
    descriptor.write_text(json.dumps(broken))
    with pytest.raises(Exception, match=r"Invalid|Validation|not|match"):
        boutiques.validate(str(descriptor), *arguments)


def test_every_option_of_this_version_is_in_it() -> None:
    found = {one["id"] for one in rendered()["inputs"]}
    assert {o.dest for o in OPTIONS if not o.later} <= found
    assert not found & {o.dest for o in OPTIONS if o.later}
    outputs = next(one for one in rendered()["inputs"] if one["id"] == "outputs")
    assert not set(outputs["value-choices"]) & set(LATER_KINDS)


def test_what_cbrain_asks_for() -> None:
    descriptor = rendered(image="somewhere/bids_strip:7")
    assert descriptor["container-image"] == {
        "type": "singularity",
        "image": "somewhere/bids_strip:7",
    }
    assert descriptor["tool-version"] == __version__
    ids = [one["id"] for one in descriptor["inputs"]]
    for needed in ("bids_dir", "output_dir_name", "analysis_level", "participant_label"):
        assert needed in ids
    assert [one["id"] for one in descriptor["output-files"]] == ["output_dir"]


def test_our_parser_reads_its_commands(tmp_path: Path) -> None:
    places = {"bids_dir": "/data", "output_dir_name": "out", "analysis_level": "participant"}
    plain = parse(command_of(tmp_path, places))
    assert (plain.bids_dir, plain.output_dir, plain.level) == (
        Path("/data"), Path("out"), "participant",
    )  # fmt: skip
    many = {
        **places, "participant_label": ["01", "02"], "session_label": ["a"], "outputs": ["mask"],
        "border_mm": -1.5, "nprocs": 3, "mem_gb": 7.5, "force": True, "device": "cpu",
        "bids_filter_file": "filter.json", "model": "net.onnx",
    }  # fmt: skip
    found = parse(command_of(tmp_path, many))
    assert found.participant_label == ("01", "02")
    assert found.session_label == ("a",)
    assert found.outputs == ("mask",)
    assert (found.border_mm, found.nprocs, found.mem_gb) == (-1.5, 3, 7.5)
    assert (found.force, found.device, found.model) == (True, "cpu", "net.onnx")
    assert found.bids_filter_file is not None
    assert found.bids_filter_file.name == "filter.json"
