"""Templates of ``--output-spaces``: names -> files -> values; the only use of templateflow.

A folder laid out as TemplateFlow lays out its own is read directly: importing templateflow writes
into it. The package is asked only to fetch what is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bids_strip.domain import Template
from bids_strip.errors import TemplateError
from bids_strip.printable import first_line
from bids_strip.space import Space, parse_space

HOME = "TEMPLATEFLOW_HOME"
_GET = """import sys
from templateflow.api import get
name, resolution, cohort = sys.argv[1:]
cohort = {"cohort": cohort} if cohort else {}
for desc, suffix in ((None, "T1w"), ("brain", "mask")):
    found = get(name, resolution=int(resolution), desc=desc, suffix=suffix, extension=".nii.gz",
                raise_empty=True, **cohort)
    print(found)"""
"""What fetches a template: its arguments are name, resolution, cohort."""
_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """Where a template lies; small, so that it can be sent to a worker.

    Attributes
    ----------
    space
        Which one.
    image, mask
        Its T1w and the mask of its brain; without a mask the image is a stripped one.
    """

    space: Space
    image: Path
    mask: Path | None


def find_templates(
    spaces: Iterable[str], *, offline: bool, home: Path | None = None
) -> tuple[TemplateFiles, ...]:
    """Find the files of each space in TEMPLATEFLOW_HOME; fetch what is missing.

    Parameters
    ----------
    spaces
        As on the command line.
    offline
        Never try a network.
    home
        Another TEMPLATEFLOW_HOME.

    Raises
    ------
    UsageError
        As `bids_strip.space.parse_space`.
    TemplateError
        If a template is absent, and cannot be fetched.
    """
    where = home.absolute() if home else template_home()
    return tuple(_found(where, space, offline) for space in map(parse_space, spaces))


def sound_templates(spaces: Iterable[str], *, offline: bool) -> tuple[TemplateFiles, ...]:
    """The files of `find_templates`, each read once: a damaged one costs no run its work.

    Raises
    ------
    UsageError, TemplateError
        As `find_templates` and `read_template`.
    """
    found = find_templates(spaces, offline=offline)
    for files in found:
        read_template(files)
    return found


def to_fetch_note(spaces: Iterable[str], home: Path | None = None) -> str | None:
    """One line about templates that whoever needs them would have to fetch.

    Raises
    ------
    UsageError
        As `bids_strip.space.parse_space`.
    """
    where = home.absolute() if home else template_home()
    absent = [str(space) for space in map(parse_space, spaces) if _look(where, space) is None]
    if not absent:
        return None
    return (
        f"--output-spaces {' '.join(absent)}: not in {where}, so that it will be fetched when it "
        "is needed; where there is no network then, fetch it before"
    )


def template_home() -> Path:
    """The folder that templateflow would use."""
    named = os.environ.get(HOME)
    if named:
        return Path(named).absolute()
    with contextlib.suppress(RuntimeError):  # a user whom nobody knows, without HOME
        return Path.home() / ".cache" / "templateflow"
    return Path("/templateflow")


def _may_write(folder: Path) -> bool:
    """True if a folder can be written, or made."""
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    except OSError:  # one on the way lets nobody look
        return False


def _found(home: Path, space: Space, offline: bool) -> TemplateFiles:
    """The files of a space, fetched where they are missing.

    Raises
    ------
    TemplateError
        If they are not there afterwards.
    """
    files = _look(home, space)
    why = "--offline"
    if files is None and not offline:
        why = _fetch(home, space)
        files = _look(home, space)
    if files is None:
        resolution = "" if space.resolution is None else f", resolution={space.resolution}"
        cohort = "" if space.cohort is None else f", cohort={space.cohort}"
        get = f"get('{space.name}'{resolution}{cohort}, desc={{}}, suffix={{}})"
        where, first = str(home), ""
        if not _may_write(home):
            where, first = "FOLDER", f"set {HOME} to a folder that you may write; "
        raise TemplateError(
            f"{_folder(home, space) / _stem(space)}_T1w.nii.gz: absent or empty, for "
            f"--output-spaces {space} ({HOME} is {home}; {why}); {first}with a network: "
            f'{HOME}={where} python -c "from templateflow.api import get; '
            f'{get.format("None", repr("T1w"))}; {get.format(repr("brain"), repr("mask"))}"'
        )
    return files


def _look(home: Path, space: Space) -> TemplateFiles | None:
    """The files of a space that are there and not empty.

    Without a resolution the finest (TemplateFlow's first); a template without resolutions has one
    file.
    """
    folder = _folder(home, space)
    for stem in _stems(folder, space):
        image = _present(folder / f"{stem}_T1w.nii.gz")
        mask = _present(folder / f"{stem}_desc-brain_mask.nii.gz")
        if image and mask:
            return TemplateFiles(space, image, mask)
        if stripped := _present(folder / f"{stem}_desc-brain_T1w.nii.gz"):
            return TemplateFiles(space, stripped, mask)
    return None


def _stems(folder: Path, space: Space) -> list[str]:
    """Starts of file names to look for, the best first."""
    if space.resolution is not None:
        return [_stem(space), _stem(space, padding=1)]
    names = sorted(path.name for path in folder.glob(f"{_stem(space)}_*T1w.nii.gz"))
    return [*dict.fromkeys(re.sub(r"(_desc-brain)?_T1w\.nii\.gz$", "", n) for n in names)]


def _folder(home: Path, space: Space) -> Path:
    folder = home / f"tpl-{space.name}"
    return folder if space.cohort is None else folder / f"cohort-{space.cohort}"


def _stem(space: Space, padding: int = 2) -> str:
    """Start of a file name, the resolution of two digits."""
    cohort = "" if space.cohort is None else f"_cohort-{space.cohort}"
    number = "" if space.resolution is None else f"_res-{space.resolution:0{padding}d}"
    return f"tpl-{space.name}{cohort}{number}"


def _present(path: Path) -> Path | None:
    """A file that holds something: TemplateFlow's skeleton is of empty ones."""
    try:
        return path if path.stat().st_size > 0 else None
    except OSError:
        return None


def _fetch(home: Path, space: Space) -> str:
    """Ask templateflow for a space; say why it did not come.

    In a process and a folder of its own: what it puts there beside the files wanted, empty ones of
    every template, goes with the folder.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-W", "ignore", "-c", _GET, space.name,
                   str(space.resolution or 1), str(space.cohort or "")]  # fmt: skip
        environment = {**os.environ, HOME: scratch, "TEMPLATEFLOW_AUTOUPDATE": "off"}
        try:
            done = subprocess.run(  # noqa: S603 - ourselves, and names that were checked
                command, env=environment, capture_output=True, text=True,
                                  timeout=_PATIENCE_S, check=False)  # fmt: skip
            for path in done.stdout.splitlines() if done.returncode == 0 else ():
                _keep(Path(path), home / Path(path).relative_to(scratch))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return f"it could not be fetched: {error}"
    said = done.stderr.strip().splitlines()
    return f"it could not be fetched: {said[-1][:200]}" if done.returncode and said else (
        "TemplateFlow has no T1w and brain mask of it"
    )  # fmt: skip


def _keep(fetched: Path, final: Path) -> None:
    """Put a fetched file in its place by rename."""
    if not _present(fetched):
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{os.getpid()}-{final.name}")
    try:
        shutil.copyfile(fetched, partial)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


@lru_cache(maxsize=2)
def read_template(files: TemplateFiles) -> Template:
    """Read a template; it is kept for the next run.

    Raises
    ------
    TemplateError
        If its files cannot be read, do not fit each other, or hold no brain.
    """
    import numpy as np

    from bids_strip.domain import Grid, Volume

    image, voxels = _read(files.image)
    data = np.nan_to_num(np.asarray(voxels, dtype=np.float32, order="C"))
    mask = data > 0
    if files.mask is not None:
        _, outline = _read(files.mask)
        mask = np.ascontiguousarray(outline > 0.5)  # as other masks lie
    if data.ndim != 3 or mask.shape != data.shape or not mask.any():
        raise TemplateError(f"{files.mask or files.image}: no brain mask of {files.image.name}; "
                            "fetch it anew")  # fmt: skip
    shape = data.shape[0], data.shape[1], data.shape[2]
    volume = Volume(data, Grid(shape, np.asarray(image.affine)))
    source = _folder(Path(), files.space) / files.image.name  # below the home
    return Template(files.space, volume, mask, source=source.as_posix())


def _read(path: Path) -> tuple[Any, Any]:
    """An image of a template, and its voxels.

    Raises
    ------
    TemplateError
        If it cannot be read.
    """
    import numpy as np

    from bids_strip.nifti import DAMAGED, quiet_headers, read_nifti

    try:
        with quiet_headers():
            image = read_nifti(path)
            return image, np.asarray(image.dataobj)
    except DAMAGED as error:
        raise TemplateError(
            f"{path}: cannot be read ({first_line(error)}); fetch it anew"
        ) from error
