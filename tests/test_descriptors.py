"""The descriptors: Boutiques judges them, and our own parser reads what it makes of them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boutiques
import pytest

from bids_strip import __version__
from bids_strip.cli import main, parse
from bids_strip.descriptors.__main__ import main as print_boutiques
from bids_strip.descriptors.boutiques import descriptor as platforms
from bids_strip.descriptors.execspec import descriptor as execspec
from bids_strip.descriptors.execspec import input_id
from bids_strip.errors import ExitCode, UsageError
from bids_strip.settings import OPTIONS, Option, Settings, spellings

ROOT = Path(__file__).parents[1]
PLACES = {"bids_dir": "/data", "output_dir_name": "out", "analysis_level": "participant"}
DRAFT = {"InputDataset": ["/data"], "OutputLocation": "/out", "AnalysisLevel": "subject"}

Render = Callable[[], dict[str, Any]]
both = pytest.mark.parametrize(
    ("render", "name"),
    [(platforms, lambda o: o.dest), (execspec, input_id)],
    ids=["boutiques", "execspec"],
)


def command_of(tmp_path: Path, made: dict[str, Any], invocation: dict[str, Any]) -> str:
    """The command that Boutiques makes of an invocation."""
    descriptor, values = tmp_path / "d.json", tmp_path / "i.json"
    descriptor.write_text(json.dumps(made))
    values.write_text(json.dumps(invocation))
    shown = boutiques.execute("simulate", str(descriptor), "-i", str(values)).stdout
    return str(shown).strip().splitlines()[-1]


def settings_of(tmp_path: Path, invocation: dict[str, Any]) -> Settings:
    """What our parser reads of a platform's command."""
    made, command = command_of(tmp_path, platforms(), invocation).split("; ", 1)
    assert made == "mkdir -p out"
    program, *arguments = shlex.split(command)
    assert program == "bids_strip"
    return parse(arguments)


# both ----------------------------------------------------------------------------------------


@both
def test_boutiques_accepts_it(tmp_path: Path, render: Render, name: object) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps(render()))
    boutiques.validate(str(path))
    broken = render()
    del broken["tool-version"]
    path.write_text(json.dumps(broken))
    with pytest.raises(Exception, match="'tool-version' is a required property"):
        boutiques.validate(str(path))


@both
def test_every_option_of_this_version_is_in_it_once(
    render: Render, name: Callable[[Option], str]
) -> None:
    flagged = [one for one in render()["inputs"] if "command-line-flag" in one]
    own = {"Help", "ToolVersion"} if render is execspec else set()
    assert sorted(one["id"] for one in flagged) == sorted({name(o) for o in OPTIONS} | own)
    for option in OPTIONS:
        (one,) = (one for one in flagged if one["id"] == name(option))
        assert one["command-line-flag"] in spellings(option)
        assert one["command-line-flag"].startswith("--")
        assert one["optional"] is True
        assert one.get("list", False) == (option.kind == "texts")
        assert (one["type"] == "Flag") == (option.kind == "flag")
        assert (one["type"] == "Number") == (option.kind in ("number", "count"))
        assert one.get("integer", False) == (option.kind == "count")
        choices = list(option.choices)
        assert one.get("value-choices", []) == choices
        assert one["value-key"] in render()["command-line"].split()


@both
def test_every_exit_code_is_in_it(render: Render, name: object) -> None:
    assert {one["code"] for one in render()["error-codes"]} == {int(c) for c in ExitCode} - {0}


def codes_of_the_page() -> dict[int, str]:
    """The table of exit codes, one code a meaning, without 0 and without marks of Markdown."""
    text = (ROOT / "docs/FAILURES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d[\d, ]*) \| (.+) \|$", text.partition("| exit code |")[2], re.M)
    told = {}
    for codes, meaning in rows:
        numbers = codes.split(", ")
        meanings = meaning.split(", ") if len(numbers) > 1 else [meaning]
        told |= dict(zip(map(int, numbers), meanings, strict=True))
    return {code: words.replace("`", "") for code, words in told.items() if code}


@both
def test_exit_codes_tell_no_less_than_the_page(render: Render, name: object) -> None:
    """A platform's user sees these lines alone."""
    told = {one["code"]: one["description"] for one in render()["error-codes"]}
    expected = codes_of_the_page()
    assert expected.keys() == told.keys()
    assert {code: told[code][: len(words)] for code, words in expected.items()} == expected


@both
def test_nothing_claims_to_be_published(render: Render, name: object) -> None:
    """No registry, no address: the image is whoever builds it to name."""
    text = json.dumps(render())
    assert "://" not in text
    assert "docker" not in text


# Boutiques and CBRAIN ------------------------------------------------------------------------


def test_the_file_is_the_table(capsys) -> None:
    written = (ROOT / "boutiques.json").read_text()
    assert json.loads(written) == platforms()
    assert print_boutiques([]) == 0
    assert capsys.readouterr().out == written


def test_the_image_is_a_parameter() -> None:
    options = ["--image", "somewhere/bids_strip:7", "--container-option=--nv"]
    printed = subprocess.run(
        [sys.executable, "-m", "bids_strip.descriptors", *options],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert json.loads(printed)["container-image"] == {
        "type": "singularity",
        "image": "somewhere/bids_strip:7",
        "container-opts": ["--nv"],
    }
    rest = {**json.loads(printed), "container-image": None}
    assert rest == {**platforms(), "container-image": None}


def test_boutiques_takes_it_for_a_bids_app(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps(platforms()))
    boutiques.validate(str(path), "--bids")
    broken = platforms()
    broken["command-line"] = broken["command-line"].removeprefix("mkdir -p [OUTPUT_DIR]; ")
    path.write_text(json.dumps(broken))
    with pytest.raises(Exception, match="Invalid BIDS app descriptor"):
        boutiques.validate(str(path), "--bids")


def test_what_cbrain_asks_for() -> None:
    """The checks of its BidsAppHandler when it loads a descriptor."""
    made = platforms()
    assert made["container-image"]["type"] == "singularity"
    assert made["tool-version"] == __version__
    inputs = {one["id"]: one for one in made["inputs"]}
    for needed in ("bids_dir", "output_dir_name", "analysis_level", "participant_label"):
        assert needed in inputs
    assert inputs["bids_dir"]["type"] == "File"
    assert inputs["participant_label"]["list"]
    assert inputs["session_label"]["list"]
    assert inputs["analysis_level"]["value-choices"] == ["participant", "group"]
    assert [one["id"] for one in made["output-files"]] == ["output_dir"]
    (group,) = made["groups"]  # it takes this one away by its members
    assert sorted(group["members"]) == ["output_dir_name", "participant_level_analysis_dir"]


def test_our_parser_reads_its_commands(tmp_path: Path) -> None:
    plain = settings_of(tmp_path, PLACES)
    assert (plain.bids_dir, plain.output_dir, plain.level) == (
        Path("/data"), Path("out"), "participant",
    )  # fmt: skip
    many = {
        **PLACES, "participant_label": ["01", "02"], "session_label": ["a"], "outputs": ["mask"],
        "border_mm": -1.5, "nprocs": 3, "mem_gb": 7.5, "force": True, "device": "cpu",
        "bids_filter_file": "filter.json", "model": "net.onnx", "dry_run": False,
    }  # fmt: skip
    found = settings_of(tmp_path, many)
    assert found.participant_label == ("01", "02")
    assert found.session_label == ("a",)
    assert found.outputs == ("mask",)
    assert (found.border_mm, found.nprocs, found.mem_gb) == (-1.5, 3, 7.5)
    assert (found.force, found.device, found.model) == (True, "cpu", "net.onnx")
    assert not found.dry_run
    assert found.bids_filter_file is not None
    assert found.bids_filter_file.name == "filter.json"


def test_the_group_level_is_simulated(tmp_path: Path) -> None:
    invocation = {**PLACES, "analysis_level": "group", "participant_label": ["01", "02"]}
    found = settings_of(tmp_path, invocation)
    assert (found.level, found.output_dir) == ("group", Path("out"))
    assert found.participant_label == ("01", "02")


def test_a_command_without_its_folder_is_refused(tmp_path: Path) -> None:
    """Boutiques drops [OUTPUT_DIR] where its second input alone has a value."""
    invocation = {"bids_dir": "/data", "participant_level_analysis_dir": "out",
                  "analysis_level": "group"}  # fmt: skip
    made, command = command_of(tmp_path, platforms(), invocation).split("; ", 1)
    assert made == "mkdir -p"
    with pytest.raises(UsageError):
        parse(shlex.split(command)[1:])


def test_an_unknown_level_is_not_simulated(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="analysis_level"):
        settings_of(tmp_path, {**PLACES, "analysis_level": "session"})


def test_odd_names_survive_the_shell(tmp_path: Path) -> None:
    found = settings_of(tmp_path, {**PLACES, "bids_dir": "/a b/it's; $(x)"})
    assert found.bids_dir == Path("/a b/it's; $(x)")


# the draft execution specification -----------------------------------------------------------


@pytest.mark.parametrize("flag", ["--bids-exec-spec", "--bids_exec_spec"])
def test_it_is_printed_without_places(flag: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == execspec()
    assert captured.err == ""


def test_printing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; from bids_strip.cli import main\n"
        "try:\n    main(['--bids-exec-spec'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('numpy' in sys.modules, 'bids' in sys.modules, file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert json.loads(found.stdout)["name"] == "bids_strip"
    assert found.stderr == "False False\n"


def test_what_the_draft_requires() -> None:
    """Its tables of REQUIRED fields, ids and their types."""
    made = execspec()
    for field in ("command-line", "custom", "inputs", "name", "output-files", "schema-version",
                  "tool-version"):  # fmt: skip
        assert made[field], field
    assert isinstance(made["custom"]["BIDSAppSpecVersion"], str)
    inputs = {one["id"]: one for one in made["inputs"]}
    levels = inputs["AnalysisLevel"]["value-choices"]
    assert levels
    assert set(levels) <= {"run", "session", "subject", "dataset", "meta"}
    assert inputs["InputDataset"]["list"]
    assert inputs["Help"]["type"] == inputs["ToolVersion"]["type"] == "Flag"
    assert "OutputLocation" in inputs
    for one in made["inputs"]:
        assert one["id"].isalnum()
        assert one["id"][0].isupper()
        assert one["name"]


def test_ids_of_entities_are_used_for_entities_alone() -> None:
    """`<entity>Label`, `<entity>Index` are reserved."""
    ids = {input_id(o): o.dest for o in OPTIONS}
    reserved = {name: dest for name, dest in ids.items() if name.endswith(("Label", "Index"))}
    assert reserved == {
        "SubjectLabel": "participant_label", "SessionLabel": "session_label",
        "RunIndex": "run_label", "AcquisitionLabel": "acquisition_label",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "ours"), [("subject", "participant"), ("dataset", "group")]
)  # fmt: skip
def test_its_commands_are_read_as_they_are(tmp_path: Path, level: str, ours: str) -> None:
    many = {**DRAFT, "AnalysisLevel": level, "SubjectLabel": ["01", "02"], "RunIndex": ["1"],
            "Border": 2, "Outputs": ["mask"]}  # fmt: skip
    program, *arguments = shlex.split(command_of(tmp_path, execspec(), many))
    assert program == "bids_strip"
    found = parse(arguments)
    assert (found.bids_dir, found.output_dir, found.level) == (Path("/data"), Path("/out"), ours)
    assert (found.participant_label, found.run_label) == (("01", "02"), ("1",))
    assert (found.border_mm, found.outputs) == (2.0, ("mask",))


@pytest.mark.parametrize("flag", ["Help", "ToolVersion"])
def test_its_flags_print_and_stop(tmp_path: Path, flag: str, capsys) -> None:
    command = command_of(tmp_path, execspec(), {**DRAFT, flag: True})
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(command)[1:])
    assert caught.value.code == 0
    assert "bids_strip" in capsys.readouterr().out
