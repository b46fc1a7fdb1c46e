"""The option table: every spelling, every refusal, one line each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bids_strip.cli import main, parse
from bids_strip.errors import UsageError
from bids_strip.settings import OPTIONS, OUTPUT_KINDS, Option, Settings, build_parser

PLACES = ["/raw", "/out", "participant"]
VALUES = {"text": ["cpu"], "texts": ["01", "02"], "path": ["some/where"], "number": ["1.5"],
          "count": ["2"], "flag": []}  # fmt: skip
CONTRACT = {
    # DESIGN.md's table: every spelling a user may type
    "--participant-label", "--participant_label", "--session-label", "--session_label",
    "--session-id", "--session_id", "--run-label", "--run_label", "--run-id", "--run_id",
    "--acquisition-label", "--acquisition_label", "--bids-filter-file", "--bids_filter_file",
    "--skip-bids-validation", "--skip_bids_validation", "--skip_bids_validator",
    "--bids-database-dir", "--bids_database_dir", "--notrack", "--modality", "--outputs",
    "--model", "--device", "--border", "--no-csf", "--no_csf", "--bias-smoothness",
    "--output-spaces", "--output_spaces", "--offline", "--nprocs", "--n-cpus", "--n_cpus",
    "--omp-nthreads", "--omp_nthreads", "--mem-gb", "--mem_gb", "--mem", "-w", "--work-dir",
    "--work_dir", "--dry-run", "--force", "--stop-on-first-crash", "--stop_on_first_crash",
    "--dask-scheduler", "--identity-check", "--bids-exec-spec", "--version", "-v", "-h", "--help",
    "--raw-uri", "--verbose",
}  # fmt: skip


def value_of(option: Option) -> list[str]:
    if option.dest == "bias_smoothness_mm":
        return ["60"]  # 1.5 mm would be refused
    if option.dest == "raw_uri":
        return ["doi:10.1/x"]  # and so would no URI
    return list(option.choices[:1]) or VALUES[option.kind]


def spellings(option: Option) -> list[str]:
    return [*option.flags, *("--" + f[2:].replace("-", "_") for f in option.flags if f[1] == "-")]


SPELLED = [(o, s) for o in OPTIONS for s in spellings(o)]


def test_the_contracts_spellings_are_known() -> None:
    known = {s for action in build_parser("1")._actions for s in action.option_strings}
    assert known >= CONTRACT


def test_the_help_names_every_kind_of_output() -> None:
    """The value's name, KIND, stands where argparse would list them."""
    told = next(option.help for option in OPTIONS if option.dest == "outputs")
    assert {*OUTPUT_KINDS} <= {*re.findall(r"\w+", told)}


@pytest.mark.parametrize(("option", "spelling"), SPELLED, ids=[s for _, s in SPELLED])
def test_every_spelling_sets_its_option(option: Option, spelling: str) -> None:
    settings = parse([*PLACES, spelling, *value_of(option)])
    plain = parse(PLACES)
    if option.dest not in Settings.__dataclass_fields__:
        assert settings == plain  # accepted, without effect
        return
    expected = {
        "flag": True, "text": "auto" if option.choices else "cpu", "texts": ("01", "02"),
        "path": Path("some/where"), "number": 1.5, "count": 2,
    }[option.kind]  # fmt: skip
    if option.dest == "outputs":
        expected = ("mask",)
    if option.dest == "bias_smoothness_mm":
        expected = 60.0
    if option.dest == "raw_uri":
        expected = "doi:10.1/x"
    assert getattr(settings, option.dest) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--border", "wide"], ["--border", "nan"], ["--border", "inf"], ["--border", "15.1"],
        ["--border", "-16"], ["--border"], ["--nprocs", "0"], ["--nprocs", "-2"],
        ["--nprocs", "1.5"], ["--omp-nthreads", "0"], ["--omp-nthreads", "many"],
        ["--mem-gb", "0"], ["--mem-gb", "-1"], ["--mem-gb", "nan"], ["--mem-gb", "lots"],
        ["--bias-smoothness", "19"], ["--bias-smoothness", "-40"], ["--bias-smoothness", "nan"],
        ["--bias-smoothness", "inf"], ["--bias-smoothness", "smooth"],
        ["--device", "tpu"], ["--outputs", "skull"], ["--outputs"], ["--modality", "T1w/../x"],
        ["--modality", ""], ["--participant-label"], ["--no-such-option"], ["--partic", "01"],
        ["surplus"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_values_are_refused_in_a_line(arguments: list[str], capsys) -> None:
    assert main([*PLACES, *arguments]) == 64
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("bids_strip: ")
    assert captured.out == ""


def test_unbounded_memory_is_refused_or_taken(tmp_path: Path, capsys) -> None:
    """`inf` GB is no bound; it must not end in an internal error later on."""
    try:
        settings = parse([*PLACES, "--mem-gb", "inf"])
    except UsageError:
        return
    from bids_strip.machine.resources import share

    assert share(nprocs=None, threads=None, mem_gb=settings.mem_gb, runs=3)[0] >= 1


@pytest.mark.parametrize("arguments", [[], ["/raw"], ["/raw", "/out"]])
def test_missing_arguments(arguments: list[str], capsys) -> None:
    assert main(arguments) == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_an_option_that_took_the_places_is_told_where_to_go() -> None:
    with pytest.raises(UsageError, match="several values go behind them") as caught:
        parse(["--participant-label", "01", *PLACES])
    assert "BIDS_DIR" in str(caught.value)
    with pytest.raises(UsageError) as caught:
        parse([*PLACES, "--bordr", "1"])
    assert "several values" not in str(caught.value)


def test_an_unknown_level_is_17(capsys) -> None:
    assert main(["/raw", "/out", "session"]) == 17
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "participant" in error


def test_defaults() -> None:
    settings = parse(PLACES)
    assert settings.modality == ("T1w",)
    assert settings.outputs == ("mask", "sdt", "brain", "preproc", "dseg")
    assert settings.bias_smoothness_mm == 40.0
    assert settings.device == "auto"
    assert settings.border_mm == 0.0
    assert settings.nprocs is settings.omp_nthreads is settings.mem_gb is None
    assert not settings.force
    assert settings.command_line == tuple(PLACES)


@pytest.mark.parametrize("text", ["-2", "-0.5", "-.5", "15", "-15", "0"])
def test_negative_borders_are_no_options(text: str) -> None:
    assert parse([*PLACES, "--border", text]).border_mm == float(text)


def test_options_before_the_places() -> None:
    settings = parse(["--border", "1", "--force", *PLACES])
    assert (settings.bids_dir, settings.output_dir) == (Path("/raw"), Path("/out"))
    assert settings.border_mm == 1


@pytest.mark.parametrize("text", ["0", "20", "40", "1000"])
def test_scales_of_the_bias_field(text: str) -> None:
    assert parse([*PLACES, "--bias-smoothness", text]).recipe.bias_smoothness_mm == float(text)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        parse(PLACES).force = True  # type: ignore[misc]


def test_every_option_has_help_and_a_place() -> None:
    text = build_parser("1").format_help()
    for option in OPTIONS:
        assert option.help
        assert option.flags[0] in text
    dests = [o.dest for o in OPTIONS]
    assert len(set(dests)) == len(dests)
    given = {"bids_dir", "output_dir", "level", "command_line"}
    assert set(Settings.__dataclass_fields__) - given <= set(dests)


@pytest.mark.parametrize(
    "uri",
    ["http://[host/ds", "//[", "http://[::1", "foo bar", "https://example.org/a b", "doi:10.1/x ",
     "foo", "../..", "/data/ds", "", "file:///a\tb"],
)  # fmt: skip
def test_a_link_that_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="--raw-uri") as caught:
        Settings(Path("r"), Path("o"), "participant", raw_uri=uri)
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["http://[::1]/ds", "doi:10.1/x", "file:///data/ds", "https://example.org/a%20b"]
)
def test_links_that_are_uris(uri: str) -> None:
    assert Settings(Path("r"), Path("o"), "participant", raw_uri=uri).raw_uri == uri
