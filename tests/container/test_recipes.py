"""Dockerfile, Singularity definition and their scripts, read and not run."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from benchmarks.container import context_names
from bids_strip import __version__
from tests.container.recipes import (
    CONTAINER,
    DOCKERFILE,
    PREFIX,
    ROOT,
    called,
    installed,
    instructions,
    section,
    stages,
)

SCRIPTS = sorted(CONTAINER.glob("*.sh"))


def pins(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_no_syntax_that_needs_buildkit() -> None:
    assert "<<" not in DOCKERFILE
    assert not re.search(r"^#\s*(syntax|escape)\s*=", DOCKERFILE, re.M | re.I)
    flags = [f for _, rest in instructions() for f in re.findall(r"(?:^| )--([\w-]+)", rest)]
    assert flags == []
    known = {"FROM", "ARG", "LABEL", "ENV", "ENTRYPOINT", "CMD", "COPY", "RUN"}
    assert {i for i, _ in instructions()} <= known


def test_a_plain_build_is_the_cpu_image_and_every_stage_stands_on_debian() -> None:
    found = stages()
    assert list(found)[-1] == "cpu"
    assert {"cpu", "gpu"} <= set(found)
    assert set(found.values()) - set(found) == {"debian:bookworm-slim"}
    header = section("").splitlines()
    assert header == ["Bootstrap: docker", "From: debian:bookworm-slim"]


def test_one_script_installs() -> None:
    runs = [rest for i, rest in instructions() if i == "RUN"]
    assert len(runs) == 2
    assert all(run.startswith("sh /src/container/install.sh ") for run in runs)
    assert section("post").startswith("sh /src/container/install.sh cpu")


def test_versions_agree() -> None:
    assert f"ARG VERSION={__version__}" in DOCKERFILE
    all_pins = pins(ROOT / "constraints.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = dict(
        re.split(r"==", d.partition(";")[0]) for d in project["optional-dependencies"]["gpu"]
    )
    assert all_pins["onnxruntime-gpu"].startswith(extra["onnxruntime-gpu"].rstrip("*"))
    others = set(extra) - {"onnxruntime-gpu"}
    assert all(name.startswith("nvidia-") and name.endswith("-cu12") for name in others)
    assert not others & set(all_pins)  # they would bind torch's own
    assert extra["nvidia-cudnn-cu12"].startswith("9.")


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_each_stage_installs_and_checks_its_own_variant(variant: str) -> None:
    stage = DOCKERFILE.partition(f" AS {variant}\n")[2].partition("FROM ")[0]
    assert f"install.sh {variant} " in stage
    install = (CONTAINER / "install.sh").read_text(encoding="utf-8")
    assert 'gpu) set -- "${scratch}[gpu]"' in install
    assert 'selftest.sh" "$variant"' in install
    assert 'selftest.py "$@"' in (CONTAINER / "selftest.sh").read_text(encoding="utf-8")


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[><=;]", d)[0].strip() for d in project["dependencies"]}
    assert names <= set(pins(ROOT / "constraints.txt"))


def test_the_cpu_image_takes_one_runtime_for_another(tmp_path: Path) -> None:
    copy = tmp_path / "pyproject.toml"
    shutil.copy(ROOT / "pyproject.toml", copy)
    before = tomllib.loads(copy.read_text())["project"].pop("dependencies")
    subprocess.run(["/bin/sh", CONTAINER / "cpu-runtime.sh", copy], check=True)
    after = tomllib.loads(copy.read_text())["project"].pop("dependencies")
    assert "onnxruntime>=1.22" in after
    assert not [d for d in after if d.startswith("onnxruntime-gpu")]
    assert set(after) - {"onnxruntime>=1.22"} == {
        d for d in before if not d.startswith("onnxruntime")
    }


def test_a_project_without_the_runtime_stops_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "pyproject.toml"
    copy.write_text('dependencies = ["onnxruntime-gpu>=1.22",\n]\n')
    done = subprocess.run(["/bin/sh", CONTAINER / "cpu-runtime.sh", copy], check=False)
    assert done.returncode != 0


def test_both_recipes_take_the_same_sources() -> None:
    names = set(context_names())
    assert all((ROOT / name).exists() for name in names)
    copied = [line.split() for line in section("files").splitlines()]
    assert {source for source, _ in copied} == names
    assert all(target == f"/src/{source}" for source, target in copied)


def test_both_recipes_say_the_same_of_the_image() -> None:
    labels = dict(
        re.findall(r'([\w.]+)="([^"]*)"', next(r for i, r in instructions() if i == "LABEL"))
    )
    names = {f"org.opencontainers.image.{n}" for n in ("title", "description", "licenses",
                                                       "version", "revision")}  # fmt: skip
    assert names <= set(labels)
    for line in section("labels").splitlines():
        name, value = line.split(maxsplit=1)
        assert labels[name] == value


@pytest.mark.parametrize("name", ["environment", "runscript", "test", "post"])
def test_sections_call_scripts_that_are_installed(name: str) -> None:
    names = called(section(name))
    assert names
    assert names <= installed()
    assert all((CONTAINER / script).is_file() for script in installed())


def test_installed_scripts_call_installed_scripts() -> None:
    for name in installed():
        assert called((CONTAINER / name).read_text(encoding="utf-8")) <= installed()


def test_the_environment_is_the_same_in_both() -> None:
    text = (CONTAINER / "environment.sh").read_text(encoding="utf-8")
    environment = next(rest for i, rest in instructions() if i == "ENV").split()
    assert f"TEMPLATEFLOW_HOME={PREFIX}/templateflow" in environment
    for pair in environment:
        assert pair in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_posix(script: Path) -> None:
    subprocess.run(["/bin/sh", "-n", script], check=True)
    text = script.read_text(encoding="utf-8")
    sourced = script.name == "environment.sh"
    assert text.startswith("#!/bin/sh\n") != sourced
    assert sourced or re.search(r"^set -e?u$", text, re.M)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--shell=sh", "--severity=warning", script], check=True)


def test_help_names_options_that_close_the_container() -> None:
    for option in ("--cleanenv", "--containall", "--no-home", "--nv"):
        assert option in section("help")
