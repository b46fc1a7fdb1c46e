"""Names of files as pybids reads them; its only use.

It is imported when names are read, not before.

Words:

image
    A run together with what pybids reads from its path.
entity
    In pybids' long names (``session``); the key is the short one of file names (``ses``).
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_strip.domain import Run


@dataclass(frozen=True, slots=True)
class Image:
    """A run and its entities as pybids reads them: long name -> label, ``run`` a number."""

    run: Run
    entities: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NameReader:
    """Reads relative paths as pybids does.

    Attributes
    ----------
    root
        BIDS_DIR, absolute.
    entities
        Those of pybids for raw data.
    keys
        Long name -> key in file names; suffix, datatype and the like are not in it.
    parse
        pybids' parser of names.
    """

    root: Path
    entities: tuple[Any, ...]
    keys: Mapping[str, str]
    parse: Callable[..., dict[str, Any]]

    @classmethod
    def of_pybids(cls, root: Path) -> NameReader:
        """Take entities and parser from pybids."""
        entities = pybids_entities()
        from bids.layout import parse_file_entities

        found = {one.name: re.search(r"([a-z]+)-\(", one.pattern or "") for one in entities}
        keys = {name: match[1] for name, match in found.items() if match and name != "space"}
        return cls(root, entities, keys, parse_file_entities)

    def __call__(self, relative: str) -> Image | None:
        """Read a name; None where it is not raw BIDS or disagrees with its folder.

        Each ``key-label`` of the name has to be what pybids reads from the path, and the other
        way round: ``desc`` and ``space`` do not pass, nor another session than the folder's.
        """
        run = run_at(self.root, relative)
        found = self.image(run).entities
        read = {key: str(found[name]) for name, key in self.keys.items() if name in found}
        if read != dict(run.entities) or len(read) != len(run.entities):
            return None
        if relative.rpartition("/")[0] != run.folder:  # pybids takes sub-01_old for sub-01
            return None
        return Image(run, found)

    def image(self, run: Run) -> Image:
        """Read the relative path of a run that is known to be one."""
        return Image(run, self.parse(f"/{run.relative}", entities=self.entities))


def run_at(root: Path, relative: str) -> Run:
    """The run of a relative path, its entities as its name spells them."""
    name = relative.rpartition("/")[2]
    stem, suffix = name.removesuffix(".gz").removesuffix(".nii").rsplit("_", 1)
    pairs = tuple((key, label) for key, _, label in (p.partition("-") for p in stem.split("_")))
    return Run(root / relative, relative, pairs, suffix)


def pybids_entities() -> tuple[Any, ...]:
    """Load the entities that pybids knows for raw data, without its warnings."""
    with warnings.catch_warnings(), _some_home():
        warnings.simplefilter("ignore")
        from bids.layout.models import Config

        return tuple(Config.load("bids").entities.values())


@contextlib.contextmanager
def _some_home() -> Iterator[None]:
    """Name a home folder for the time of a block if there is none: pybids asks at its import.

    In a container a user may have neither HOME nor an entry in /etc/passwd.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield
