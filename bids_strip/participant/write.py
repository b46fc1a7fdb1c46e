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

from bids_strip.domain import (
    SDT_STEP_MM,
    Affine,
    Float3,
    Grid,
    Products,
    Registration,
    Run,
    Source,
    Volume,
)
from bids_strip.errors import WriteError
from bids_strip.geometry import Box, affine_resampled, bounding_box
from bids_strip.naming import (
    names_in,
    names_of,
    patterns_in_spaces,
    sidecar_name,
    to_json,
    transform_names,
)
from bids_strip.recipe import Recipe
from bids_strip.record import OutputFile, Record
from bids_strip.sidecars import sidecar, sidecar_in

_COMPRESSION = 3
_MNI = 4
"""NIfTI's code of template coordinates, as in TemplateFlow's own files."""
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
    for registration in products.registrations:
        if registration.plausible:
            written += _write_in_space(run, products, registration, recipe, network, version, place)
    return tuple(written)


def _write_in_space(
    run: Run, products: Products, registration: Registration, recipe: Recipe,
    network: Mapping[str, str], version: str, place: Place,
) -> list[OutputFile]:  # fmt: skip
    """Write a run's images in a template space, their sidecars, and the affine both ways."""
    space, written = registration.space, []
    makers: dict[str, Callable[[Products, Registration], bytes]] = {
        "mask": _mask_in_space,
        "brain": _brain_in_space,
        "preproc": _preproc_in_space,
    }
    for kind, content in makers.items():
        if kind != "mask" and kind not in recipe.outputs:
            continue
        name = names_in(run, space)[kind]
        native = sidecar(kind, run, recipe=recipe, version=version, network=network,
                         edited=products.brain.edited)  # fmt: skip
        written.append(place.put(name, content(products, registration)))
        metadata = to_json(sidecar_in(kind, run, space, native))
        written.append(place.put(sidecar_name(name), metadata))
    there, back = transform_names(run, space.anatomy)
    to_template = registration.to_template
    written.append(place.put(there, itk_affine(np.asarray(np.linalg.inv(to_template)))))
    written.append(place.put(back, itk_affine(to_template)))
    return written


def itk_affine(pull: Affine) -> bytes:
    """An ITK transform file.

    Parameters
    ----------
    pull : (4, 4) float64
        RAS mm of the image that is made -> RAS mm of the image that is moved: ITK's transforms
        map points that way, against the way of the image.

    Notes
    -----
    ITK counts in LPS mm: x and y change sign on both sides.
    """
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = turn @ pull @ turn
    numbers = " ".join(f"{value:.17g}" for value in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    return (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    ).encode()


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
    in_spaces = [
        path.relative_to(output_dir).as_posix()
        for pattern in patterns_in_spaces(run)
        for path in output_dir.glob(pattern)
    ]
    _remove(output_dir, (names["qc"], *images, *map(sidecar_name, images), *in_spaces))


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


def _mask_in_space(_products: Products, registration: Registration) -> bytes:
    return _template_nifti(registration.mask.astype(np.uint8), registration.grid)


def _brain_in_space(products: Products, registration: Registration) -> bytes:
    box = bounding_box(registration.mask, margin_mm=0.0, zooms=registration.grid.zooms)
    inside = np.zeros(registration.grid.shape, dtype=np.float32)
    inside[box] = _in_space(products.source.volume, registration, box) * registration.mask[box]
    return _template_nifti(_stored(inside, products.source.volume), registration.grid)


def _preproc_in_space(products: Products, registration: Registration) -> bytes:
    volume, shape = products.source.volume, registration.grid.shape
    whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    image = _in_space(volume, registration, whole)
    return _template_nifti(_stored(image, volume), registration.grid)


def _in_space(volume: Volume, registration: Registration, box: Box) -> Float3:
    """An image in a box of the template's grid: by a cubic spline, no value beyond its own."""
    corner = np.eye(4)
    corner[:3, 3] = [extent.start for extent in box]
    shape = np.empty(registration.grid.shape, dtype=bool)[box].shape
    pull = np.linalg.inv(registration.to_template) @ registration.grid.affine @ corner
    matrix = np.linalg.inv(volume.grid.affine) @ pull
    image = affine_resampled(volume.data, matrix, shape, order=3)
    return np.clip(image, min(volume.data.min(), 0.0), volume.data.max())


def _stored(image: Float3, volume: Volume) -> NDArray[np.generic]:
    """As int16 where the image that it comes from is of whole numbers, not few."""
    most = np.abs(volume.data).max()
    whole = 100 <= most <= np.iinfo(np.int16).max and not np.any(volume.data % 1)
    return np.rint(image).astype(np.int16) if whole else image


def _template_nifti(data: NDArray[np.generic], grid: Grid) -> bytes:
    """A compressed NIfTI-1 file on a template's grid."""
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm")
    header.set_sform(grid.affine, _MNI)
    header.set_qform(grid.affine, _MNI)
    header["descrip"] = b"bids_strip"
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    body = header.binaryblock + b"\0" * 4 + np.asarray(data).tobytes(order="F")
    return gzip.compress(body, _COMPRESSION, mtime=0)


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
