"""Container engines: build an image, and run commands in it shut off from all but /out.

docker and podman run it themselves. buildah only builds: the image's root is mounted and entered
with ``container/isolated.sh``, which needs the right to mount (root).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.outputs import BenchmarkError

BASE = "docker.io/library/debian:bookworm-slim"
USER = 12345
_SCRIPTS = Path(__file__).parents[1] / "container"
_NAMES = ("docker", "podman", "buildah")
_DEFAULTS = {"BUILDAH_ISOLATION": "chroot"}
"""What works where containers cannot be nested; the environment's own values come first."""
_LONGEST_S = 2400.0
"""A build that takes longer hangs."""
_UNITS_MB = {"B": 1e-6, "KB": 1e-3, "MB": 1.0, "GB": 1e3}


class EngineError(BenchmarkError):
    """An engine's command failed; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended.

    Attributes
    ----------
    code
        Exit code.
    output
        Standard output and error together.
    """

    code: int
    output: str


class Shut(Protocol):
    """An image, ready to run commands: read-only, without network, without HOME."""

    def __call__(self, *command: str) -> Finished:
        """Run a command; /data and /out are bound."""


class Engine(Protocol):
    """What the check of an image asks of an engine."""

    @property
    def name(self) -> str:
        """The program."""

    def has(self, image: str) -> bool:
        """True if the engine holds an image of this name."""

    def build(self, context: Path, image: str, *, options: Sequence[str]) -> None:
        """Build the Dockerfile of a folder."""

    def size_mb(self, image: str) -> float:
        """Size of all layers, MB."""

    def opened(self, image: str, data: Path, out: Path) -> AbstractContextManager[Shut]:
        """Run commands in the image for the time of a block."""

    def remove(self, image: str) -> None:
        """Remove an image."""


def find_engine(names: Sequence[str] = _NAMES) -> Engine | None:
    """Find the first engine whose ``info`` succeeds.

    Parameters
    ----------
    names
        Programs to try, of docker, podman and buildah.
    """
    for name in names:
        program = shutil.which(name)
        if program is None:
            continue
        engine = Buildah() if name == "buildah" else Docker(name)
        if _call([program, "info"]).code == 0:
            return engine
    return None


@dataclass(frozen=True, slots=True)
class Docker:
    """docker or podman."""

    name: str

    def has(self, image: str) -> bool:
        """Ask for the image."""
        return _call([self.name, "image", "inspect", image]).code == 0

    def build(self, context: Path, image: str, *, options: Sequence[str]) -> None:
        """Build; docker takes no mounts, podman does."""
        _done([self.name, "build", *options, "--tag", image, str(context)])

    def size_mb(self, image: str) -> float:
        """Size as the engine counts it."""
        said = _done([self.name, "image", "inspect", "--format", "{{.Size}}", image])
        return int(said) / 1e6

    @contextmanager
    def opened(self, image: str, data: Path, out: Path) -> Iterator[Shut]:
        """Start a container for each command."""
        shut = [self.name, "run", "--rm", "--read-only", f"--user={USER}:{USER}", "--network=none",
                "--cap-drop=ALL", "--tmpfs=/tmp:size=64m,mode=1777", f"--volume={data}:/data:ro",
                f"--volume={out}:/out", "--entrypoint=/usr/bin/env"]  # fmt: skip

        def run(*command: str) -> Finished:
            return _call([*shut, image, "-u", "HOME", *command])

        yield run

    def remove(self, image: str) -> None:
        """Remove it."""
        _done([self.name, "image", "rm", image])


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, isolating with chroot unless the environment says otherwise."""

    name: str = "buildah"

    def has(self, image: str) -> bool:
        """Ask for the image."""
        return _call(["buildah", "inspect", "--type=image", image]).code == 0

    def build(self, context: Path, image: str, *, options: Sequence[str]) -> None:
        """Build, from a base that is there if there is one."""
        _done(["buildah", "build", "--pull=missing", *options, "--tag", image, str(context)])

    def size_mb(self, image: str) -> float:
        """Size as the engine prints it."""
        return megabytes(_done(["buildah", "images", "--format", "{{.Size}}", image]))

    @contextmanager
    def opened(self, image: str, data: Path, out: Path) -> Iterator[Shut]:
        """Mount the image's root and enter it for each command."""
        container = _done(["buildah", "from", "--pull-never", image])
        try:
            root = _done(["buildah", "mount", container])
            environment = _environment(image)

            def run(*command: str) -> Finished:
                return _call(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                              str(_SCRIPTS / "isolated.sh"), root, str(USER), str(data), str(out),
                              "/usr/bin/env", "--ignore-environment", *environment,
                              *command])  # fmt: skip

            yield run
        finally:
            _call(["buildah", "umount", container])
            _done(["buildah", "rm", container])

    def remove(self, image: str) -> None:
        """Remove it."""
        _done(["buildah", "rmi", image])


def make_base(engine: Engine) -> None:
    """Make the Dockerfile's base image from Debian's packages; see ``container/debian-base.sh``."""
    _done([str(_SCRIPTS / "debian-base.sh"), engine.name])


def megabytes(text: str) -> float:
    """Read a size such as ``612 MB``.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = re.fullmatch(r"([0-9.]+) ?([KMG]?B)", text.strip().upper())
    if found is None:
        raise ValueError(f"not a size: {text!r}")
    return float(found[1]) * _UNITS_MB[found[2]]


def _environment(image: str) -> list[str]:
    """The image's own variables, as docker would set them."""
    said = json.loads(_done(["buildah", "inspect", "--type=image", image]))
    found: list[str] = said["OCIv1"]["config"].get("Env") or []
    return found


def _done(command: Sequence[str]) -> str:
    """Run a command; what it printed, without its messages.

    Raises
    ------
    EngineError
        If it fails.
    """
    finished, messages = _run(command, subprocess.PIPE)
    if finished.code:
        said = f"{finished.output}\n{messages}".strip().splitlines()[-30:]
        raise EngineError("\n".join([f"{' '.join(command)}: exit {finished.code}", *said]))
    return finished.output.strip()


def _call(command: Sequence[str]) -> Finished:
    """Run a command, whatever becomes of it."""
    finished, _ = _run(command, subprocess.STDOUT)
    return finished


def _run(command: Sequence[str], errors: int) -> tuple[Finished, str]:
    """Run a command; what it said, and its messages where they are kept apart."""
    try:
        done = subprocess.run(
            list(command), env=_surroundings(), stdin=subprocess.DEVNULL, check=False, text=True,
            stdout=subprocess.PIPE, stderr=errors, timeout=_LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{' '.join(command)}: not done after {_LONGEST_S:.0f} s") from error
    return Finished(done.returncode, done.stdout), done.stderr or ""


def _surroundings() -> Mapping[str, str]:
    return {**_DEFAULTS, **os.environ}
