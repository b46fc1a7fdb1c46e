"""The recipes as data: stages of the Dockerfile, sections of the Singularity definition."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.container import sections

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "container"
PREFIX = "/opt/bids_strip"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SINGULARITY = (ROOT / "Singularity.def").read_text(encoding="utf-8")
INSTALL = (CONTAINER / "install.sh").read_text(encoding="utf-8")


def section(name: str) -> str:
    """A section of the Singularity definition; the header's name is empty."""
    return sections(SINGULARITY)[name]


def instructions(dockerfile: str = DOCKERFILE) -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined."""
    lines = [n for n in dockerfile.splitlines() if not n.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(i, " ".join(rest.split())) for i, _, rest in
            (line.partition(" ") for line in joined if line.strip())]  # fmt: skip


def stages(dockerfile: str = DOCKERFILE) -> dict[str, str]:
    """Name of each stage -> what it starts from, in order."""
    froms = [rest.split() for i, rest in instructions(dockerfile) if i == "FROM"]
    return {words[-1]: words[0] for words in froms}


def installed() -> set[str]:
    """The scripts that install.sh puts into the image."""
    found = re.search(r"for script in (.+); do", INSTALL)
    assert found
    return set(found[1].split())


def called(text: str) -> set[str]:
    """The installed scripts that a text names."""
    return set(re.findall(rf"{PREFIX}/container/([\w.-]+)", text))
