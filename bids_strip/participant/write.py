"""Put a run's outputs on disk: checked, written beside, renamed; the record last."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import SDT_STEP_MM, Products, Run, Source
from bids_strip.errors import WriteError
from bids_strip.naming import names_of, sidecar_name, to_json
from bids_strip.recipe import Recipe
from bids_strip.record import OutputFile, Record
from bids_strip.sidecars import sidecar

_COMPRESSION = 3
_GEOMETRY = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where outputs go.

    Attributes
    ----------
    output_dir
        OUTPUT_DIR.
    staging
        Folder on the same file system for files that are not finished.
    """

    output_dir: Path
    staging: Path

    def put(self, name: str, content: bytes) -> OutputFile:
        """Write a file under its final name by rename.

        Parameters
        ----------
        name
            Relative to OUTPUT_DIR.
        content
            All of it.

        Raises
        ------
        WriteError
            If the file system refuses.
        """
        final = self.output_dir / name
        # a name of its own: workers of several machines share the folder
        partial = self.staging / f"{uuid.uuid4().hex[:8]}-{final.name}"
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(final)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise WriteError(
                f"{final}: cannot be written ({error.strerror or error}); is the disk full or "
                "read-only?"
            ) from error
        return OutputFile(name, len(content))


def write(
    run: Run, products: Products, *, recipe: Recipe, network: Mapping[str, str], version: str,
    place: Place, only: Container[str] | None = None,
) -> tuple[OutputFile, ...]:  # fmt: skip
    """Write the images of a run and their sidecars.

    Parameters
    ----------
    run
        Which one.
    products
        What was made of it; native-grid files keep the source header's geometry.
    recipe
        Which outputs are asked for; the mask is always written.
    network
        Name, version, sha256: for the sidecars.
    version
        Of this program.
    place
        Where to.
    only
        Kinds to write of those; None writes all.

    Raises
    ------
    WriteError
        If an image does not fit its source, or the file system refuses.
    """
    shape = products.brain.mask.shape
    if shape != products.source.volume.grid.shape:
        raise WriteError(f"mask {shape} is not on the grid of {run.relative}")
    names = names_of(run)
    makers: dict[str, Callable[[Products], bytes]] = {
        "mask": _mask_bytes,
        "sdt": _sdt_bytes,
        "brain": _brain_bytes,
    }
    written: list[OutputFile] = []
    for kind, content in makers.items():
        if kind != "mask" and kind not in recipe.outputs:
            continue
        if only is not None and kind not in only:
            continue
        name = names[kind]
        written.append(place.put(name, content(products)))
        metadata = sidecar(kind, run, recipe=recipe, version=version, network=network,
                           edited=products.brain.edited)  # fmt: skip
        written.append(place.put(sidecar_name(name), to_json(metadata)))
    return tuple(written)


def write_record(run: Run, record: Record, place: Place) -> None:
    """Write the record: after everything else, a run with one is done."""
    place.put(names_of(run)["qc"], to_json(record.to_json()))


def remove_outputs(run: Run, output_dir: Path) -> None:
    """Remove what an earlier attempt left, the record first.

    A mask edited by hand is not ours and stays.

    Raises
    ------
    WriteError
        If something is in the way that is no file, or the file system refuses.
    """
    names = names_of(run)
    images = [name for kind, name in names.items() if kind != "qc"]
    _remove(output_dir, (names["qc"], *images, *map(sidecar_name, images)))


def remove_record(run: Run, output_dir: Path) -> None:
    """Remove the record alone: what changes a run's files in place does this first.

    Raises
    ------
    WriteError
        As `remove_outputs`.
    """
    _remove(output_dir, (names_of(run)["qc"],))


def _remove(output_dir: Path, names: Iterable[str]) -> None:
    for name in names:
        path = output_dir / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(
                f"{path}: cannot be replaced ({error.strerror or error}); move it away"
            ) from error


def _mask_bytes(products: Products) -> bytes:
    return _nifti(products.brain.mask.astype(np.uint8), products.source)


def _sdt_bytes(products: Products) -> bytes:
    return _nifti(products.brain.sdt_steps, products.source, slope=SDT_STEP_MM)


def _brain_bytes(products: Products) -> bytes:
    """Input intensities inside the mask, 0 outside; int16 where that loses nothing."""
    source = products.source
    inside = np.where(products.brain.mask, source.volume.data, np.float32(0))
    whole = np.abs(inside).max() <= np.iinfo(np.int16).max and not np.any(inside % 1)
    return _nifti(inside.astype(np.int16) if whole else inside, source)


def _nifti(data: NDArray[np.generic], source: Source, slope: float | None = None) -> bytes:
    """A compressed NIfTI-1 file on the source's grid."""
    header = native_header(data, source)
    header["scl_slope"] = slope if slope is not None else np.nan
    header["scl_inter"] = 0 if slope is not None else np.nan
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    body = header.binaryblock + b"\0" * 4 + np.asarray(data).tobytes(order="F")
    return gzip.compress(body, _COMPRESSION, mtime=0)


def native_header(data: NDArray[np.generic], source: Source) -> nib.Nifti1Header:
    """A header for an array on the source's grid: its geometry, field by field."""
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    for name in _GEOMETRY:
        header[name] = source.header[name]
    header["pixdim"][4:] = 0
    header["descrip"] = b"bids_strip"
    return header
