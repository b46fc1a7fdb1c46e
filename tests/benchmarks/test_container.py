"""What stands around the build of the image: engines, mounts, comparison."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import host_packages
from benchmarks.container import compare, main
from benchmarks.engines import find_engine, megabytes
from benchmarks.outputs import BenchmarkError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Factory of programs on an otherwise empty PATH: name -> exit code of ``info``."""

    def make(**codes: int) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, code in codes.items():
            (folder / name).write_text(f'#!/bin/sh\n[ "$1" = info ] && exit {code}\nexit 99\n')
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"docker": 0, "podman": 0, "buildah": 0}, "docker"),
        ({"docker": 1, "podman": 0, "buildah": 0}, "podman"),
        ({"docker": 1, "buildah": 0}, "buildah"),
        ({"docker": 1}, None),
        ({}, None),
    ],
)
def test_the_first_engine_that_answers(programs, codes, expected: str | None) -> None:
    programs(**codes)
    engine = find_engine()
    assert (None if engine is None else engine.name) == expected


def test_without_an_engine_the_check_fails_in_a_line(programs, capsys) -> None:
    programs()
    assert main([]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_build_that_fails_is_said(programs, capsys, tmp_path: Path) -> None:
    programs(podman=0)
    assert main([str(tmp_path)]) == 1
    assert "podman build" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "mb"), [("612 MB", 612), ("3.51 GB", 3510), ("812.5kB", 0.8125), ("17 B", 17e-6)]
)
def test_sizes_are_read(text: str, mb: float) -> None:
    assert megabytes(text) == pytest.approx(mb)


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not a size"):
        megabytes("large")


def write_mask(folder: Path, run: str, first: int) -> None:
    data = np.zeros((9, 9, 9), np.uint8)
    data[first : first + 4, 2:6, 2:6] = 1
    path = folder / "sub-01" / "anat" / f"{run}_desc-brain_mask.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


def test_masks_are_compared_by_name(tmp_path: Path) -> None:
    for folder, first in (("in", 1), ("out", 2)):
        write_mask(tmp_path / folder, "sub-01_run-1", 1)
        write_mask(tmp_path / folder, "sub-01_run-2", first)
    found = compare(tmp_path / "in", tmp_path / "out")
    assert list(found.values()) == [1.0, pytest.approx(0.75)]


@pytest.mark.parametrize("inside", [[], ["sub-01_run-1"]])
def test_absent_masks_are_no_agreement(tmp_path: Path, inside: list[str]) -> None:
    write_mask(tmp_path / "out", "sub-01_run-1", 1)
    write_mask(tmp_path / "out", "sub-01_run-2", 1)
    for run in inside:
        write_mask(tmp_path / "in", run, 1)
    with pytest.raises(BenchmarkError, match="masks inside"):
        compare(tmp_path / "in", tmp_path / "out")


LISTED = """\
:env:.cert='/etc/env.crt'
global.cert='/etc/file.crt'
global.extra-index-url='\\nfile://{here}/index/simple\\nhttps://example.org/simple'
install.find-links='{here}/wheels {here}/absent'
"""


def test_pips_settings_are_carried_over(tmp_path: Path) -> None:
    for name in ("index/simple", "wheels"):
        (tmp_path / name).mkdir(parents=True)
    settings = host_packages.pip_settings(LISTED.format(here=tmp_path))
    assert settings["global.cert"] == "/etc/env.crt"
    assert host_packages.local_folders(settings) == [tmp_path / "index", tmp_path / "wheels"]
    text = host_packages.pip_configuration(settings)
    assert f"cert = {host_packages.CERTIFICATE}" in text
    assert f"[install]\nfind-links = {tmp_path}/wheels {tmp_path}/absent" in text


@pytest.mark.parametrize(("codename", "taken"), [("bookworm", True), ("trixie", False)])
def test_another_release_keeps_its_package_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codename: str, taken: bool
) -> None:
    monkeypatch.setattr(host_packages, "_pip_config_list", lambda: "global.cert='/etc/x.crt'\n")
    monkeypatch.setattr(host_packages, "_codename", lambda: codename)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    mounts = host_packages.build_mounts(tmp_path)
    assert ("/etc/apt/sources.list:/etc/apt/sources.list" in mounts) == taken
    assert "/etc/apt/apt.conf.d:/etc/apt/apt.conf.d" in mounts
    assert f"/etc/x.crt:{host_packages.CERTIFICATE}" in mounts
    assert f"{tmp_path}/pip.conf:/etc/pip.conf" in mounts
