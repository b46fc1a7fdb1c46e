"""Find the masks of an OUTPUT_DIR, their sources and what to compare them with."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

REFERENCE = "folder of <dataset>_<run>_mask.nii.gz; may be given again"
DATASET = "name of the references' dataset (default: the raw folder's)"
RAW = "the BIDS dataset (default: DatasetLinks of OUTPUT_DIR)"

_MASK = re.compile(r"(?P<stem>.+)_desc-brain(?P<suffix>[A-Za-z0-9]*)_mask\.nii\.gz")


class BenchmarkError(Exception):
    """What a benchmark needs is not there; the message is one line."""


@dataclass(frozen=True, slots=True)
class Result:
    """A mask that the App wrote.

    Attributes
    ----------
    mask
        Path of the mask.
    folder
        Its folder relative to OUTPUT_DIR, and so of its source relative to BIDS_DIR.
    stem
        File name of the source without suffix and extension, for example ``sub-01_ses-1``.
    suffix
        For example ``T1w``.
    desc
        For example ``brain``, ``brainT2w``.
    """

    mask: Path
    folder: Path
    stem: str
    suffix: str
    desc: str

    @property
    def name(self) -> str:
        """File name of the source without extension."""
        return f"{self.stem}_{self.suffix}"

    def sibling(self, ending: str) -> Path:
        """Path of another file of the same run, for example ``sdt.nii.gz``."""
        return self.mask.with_name(f"{self.stem}_desc-{self.desc}_{ending}")

    def source(self, raw: Path) -> Path:
        """Path of the image below BIDS_DIR; raise `BenchmarkError` if it is not there."""
        for extension in (".nii.gz", ".nii"):
            path = raw / self.folder / f"{self.name}{extension}"
            if path.exists():
                return path
        raise BenchmarkError(f"{raw / self.folder / self.name}.nii[.gz]: not found; give --raw DIR")


def find_results(output_dir: Path) -> list[Result]:
    """All native-grid masks below a folder, in the order of their names.

    Raises
    ------
    BenchmarkError
        If there is none.
    """
    results = []
    for path in sorted(output_dir.glob("sub-*/**/*_mask.nii.gz")):
        match = _MASK.fullmatch(path.name)
        if match is None or "_space-" in path.name:
            continue
        folder = path.parent.relative_to(output_dir)
        suffix = match["suffix"]
        results.append(Result(path, folder, match["stem"], suffix or "T1w", f"brain{suffix}"))
    if not results:
        raise BenchmarkError(
            f"{output_dir}: holds no *_desc-brain_mask.nii.gz; run bids_strip first"
        )
    return results


def raw_folder(output_dir: Path, given: Path | None) -> Path:
    """BIDS_DIR of the results: the one given, or what ``DatasetLinks`` says.

    Raises
    ------
    BenchmarkError
        If the link is absent, or is not a folder on this machine.
    """
    if given is not None:
        return given.resolve()
    description = output_dir / "dataset_description.json"
    try:
        link = json.loads(description.read_text(encoding="utf-8"))["DatasetLinks"]["raw"]
    except (OSError, KeyError, TypeError, ValueError):
        raise BenchmarkError(f"{description}: has no DatasetLinks raw; give --raw DIR") from None
    parts = urlsplit(str(link))
    if parts.scheme not in ("", "file"):
        raise BenchmarkError(f"{description}: raw data are at {link}; give --raw DIR")
    return (output_dir.resolve() / unquote(parts.path)).resolve()


def dataset_name(output_dir: Path, given: str | None, raw: Path | None = None) -> str:
    """Name that reference masks are filed under: the one given, or the folder of the raw data."""
    return given or raw_folder(output_dir, raw).name


def reference_masks(result: Result, folders: Sequence[Path], dataset: str) -> dict[str, Path]:
    """Find the reference masks of a run that exist, by the name of their folder."""
    paths = {f.name: f / f"{dataset}_{result.name}_mask.nii.gz" for f in folders}
    return {name: path for name, path in paths.items() if path.exists()}


def truth_mask(result: Result, truth: Path) -> dict[str, Path]:
    """Find the known mask of a run of the drawn example, under the name ``truth``."""
    path = truth / result.folder / f"{result.stem}_desc-truth_mask.nii.gz"
    return {"truth": path} if path.exists() else {}
