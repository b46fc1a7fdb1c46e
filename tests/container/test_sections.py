"""The sections of the Singularity definition, run without Singularity and without environment.

Their scripts are copied below another folder than /opt/bids_strip, beside a venv that finds the
packages of this one; nothing else of a container is there.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from bids_strip import __version__
from tests.conftest import TinyBids
from tests.container.recipes import CONTAINER, PREFIX, ROOT, installed, section

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux containers")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What install.sh leaves, but for the packages."""
    folder = tmp_path_factory.mktemp("opt") / "bids_strip"
    (folder / "container").mkdir(parents=True)
    (folder / "templateflow").mkdir()
    for name in installed():
        text = (CONTAINER / name).read_text(encoding="utf-8").replace(PREFIX, str(folder))
        (folder / "container" / name).write_text(text, encoding="utf-8")
        (folder / "container" / name).chmod(0o755)
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    paths = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (packages / "these.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    return folder


def run(
    prefix: Path, script: str, *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of sh with no environment but the one given."""
    pairs = [f"{name}={value}" for name, value in environment.items()]
    command = ["/usr/bin/env", "-i", *pairs, "/bin/sh", "-c",
               script.replace(PREFIX, str(prefix)), "section", *map(str, arguments)]  # fmt: skip
    return subprocess.run(command, check=False, text=True, capture_output=True, cwd=cwd)


def test_runscript_is_the_command(prefix: Path) -> None:
    done = run(prefix, section("runscript"), "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"bids_strip {__version__}")
    assert run(prefix, section("runscript"), "--no-such-option").returncode == 64


def test_runscript_works_through_both_levels(
    prefix: Path, phantoms: TinyBids, network: Path, tmp_path: Path
) -> None:
    raw, out = phantoms(), tmp_path / "out put"
    for level in ("participant", "group"):
        more = ("--model", network, "--nprocs", "2") if level == "participant" else ()
        done = run(prefix, section("runscript"), raw, out, level, *more)
        assert done.returncode == 0, done.stderr
    assert len(list(out.glob("sub-*/anat/*_desc-brain_mask.nii.gz"))) == 2
    assert (out / "group_T1w.tsv").is_file()
    assert not (out / ".work").exists()


def test_nothing_of_the_users_python_gets_in(prefix: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    for folder in (own, own / "lib" / "python3.11" / "site-packages"):
        for name in ("numpy", "bids_strip", "sitecustomize", "argparse"):
            (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    done = run(prefix, section("runscript"), "--version", cwd=own, PYTHONPATH=str(own),
               PYTHONHOME=str(own), PYTHONUSERBASE=str(own), PYTHONSTARTUP=str(own / "numpy.py"),
               HOME=str(own))  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_test_runs_the_network(prefix: Path) -> None:
    done = run(prefix, section("test"))
    assert done.returncode == 0, done.stderr
    assert "network strip-" in done.stdout


def test_the_image_for_gpus_fails_without_cuda(prefix: Path) -> None:
    """The variant is handed on; whether it passes depends on what is installed here."""
    done = run(prefix, f"{PREFIX}/container/selftest.sh gpu")
    try:
        version("nvidia-cudnn-cu12")
    except PackageNotFoundError:
        assert done.returncode == 1
        assert "selftest:" in done.stderr
    else:
        assert "libraries load" in done.stdout


def test_test_fails_without_the_network(prefix: Path, tmp_path: Path) -> None:
    """The scripts pass a failure of Python on."""
    broken = tmp_path / "broken"
    (broken / "container").mkdir(parents=True)
    (broken / "venv").symlink_to(prefix / "venv")
    for name in installed():
        text = (prefix / "container" / name).read_text(encoding="utf-8")
        text = text.replace(str(prefix), str(broken))
        text = text.replace("find_card(None)", "find_card('no-such-network')")
        (broken / "container" / name).write_text(text, encoding="utf-8")
        (broken / "container" / name).chmod(0o755)
    assert run(broken, section("test")).returncode != 0


def test_environment_is_set(prefix: Path) -> None:
    done = run(prefix, f"{section('environment')}\n/usr/bin/env", PYTHONPATH="/x")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found["PYTHONNOUSERSITE"] == "1"
    assert found["TEMPLATEFLOW_HOME"] == f"{prefix}/templateflow"
    assert "PYTHONPATH" not in found
    assert "HOME" not in found


def test_templates_that_are_bound_come_before_the_images_own(prefix: Path, tmp_path: Path) -> None:
    script = f"{section('environment')}\necho $TEMPLATEFLOW_HOME"
    bound = run(prefix, script, TEMPLATEFLOW_HOME=str(tmp_path))
    assert bound.stdout.strip() == str(tmp_path)
    absent = run(prefix, script, TEMPLATEFLOW_HOME=str(tmp_path / "of-the-host"))
    assert absent.stdout.strip() == f"{prefix}/templateflow"


def test_labels_name_the_version(prefix: Path) -> None:
    done = run(prefix, f"sh {PREFIX}/container/labels.sh")
    assert done.stdout == f"org.opencontainers.image.version {__version__}\n"
