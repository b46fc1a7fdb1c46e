"""NIfTI files: read whole, what damaged ones raise, and arrays as the bytes of compressed ones."""

from __future__ import annotations

import contextlib
import logging
import math
import stat
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError
from nibabel import imageglobals
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from bids_strip.domain import Grid, Source

T = TypeVar("T", bound=np.generic)
DAMAGED: tuple[type[Exception], ...] = (
    ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, OSError, ValueError,
    OverflowError, cast("type[Exception]", IsalError),  # its stub calls it a value
)  # fmt: skip
"""What reading a damaged image raises, whichever part of it is."""
_COMPRESSION = 2
"""ISA-L's, of 0 to 3: a fifth of zlib's time at level 3, 2 to 5 % more bytes."""
_GZIP = 31
"""``wbits`` of a gzip stream."""
_GZIP_MAGIC = b"\x1f\x8b"
_MOST_PACKED = 1032
"""No stream of deflate holds more than this many times its own bytes (RFC 1951)."""
_LEAST_HEADER = 348
_BEFORE_HEADER = 1 << 17
"""Packed bytes that hold a header, whatever gzip's own fields hold before it."""
_MOST_OFFSET = 1 << 26
"""Where voxels may begin: extensions hold a scanner's own header, some MB."""
_SPARE_BYTES = 1 << 20
"""What a file may hold behind its voxels."""
_TEMPLATE_CODE = 4
"""NIfTI's code of template coordinates, as in TemplateFlow's own files."""
_GEOMETRY = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip


class NotCompressedError(ImageFileError):
    """A file is named as if it were compressed."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a header says of its voxels.

    Attributes
    ----------
    shape
        Voxels along the axes.
    stored_bytes
        What all of them take in the file, unpacked.
    """

    shape: tuple[int, ...]
    stored_bytes: int


def promise_of(header: Any) -> Promise:
    """What a header promises, by its fields ``dim`` and ``bitpix``, whether it is kept or not."""
    shape = tuple(max(int(n), 0) for n in header["dim"][1 : int(header["dim"][0]) + 1])
    return Promise(shape, math.prod(shape) * max(int(header["bitpix"]), 8) // 8)


def stored_type(header: Any) -> np.dtype[Any]:
    """The type of a header's voxels.

    Raises
    ------
    ImageFileError
        If it is none of NIfTI's.
    """
    try:
        kind: np.dtype[Any] = header.get_data_dtype()
    except KeyError as error:
        raise ImageFileError(f"its data type {error} is none of NIfTI's") from error
    return kind


def volume_shape(shape: Sequence[int]) -> tuple[int, int, int] | None:
    """A shape without last dimensions of 1; None if it is not that of one volume."""
    if len(shape) < 3 or min(shape[:3]) < 2 or any(n != 1 for n in shape[3:]):
        return None
    i, j, k = (int(n) for n in shape[:3])
    return i, j, k


def are_intensities(kind: np.dtype[Any]) -> bool:
    """False for the types of colours and complex numbers."""
    return kind.fields is None and not np.issubdtype(kind, np.complexfloating)


def read_nifti(path: Path) -> Any:
    """The image in a NIfTI file.

    A compressed file is read to its end, so that its checksum is checked, and never beyond what its
    header promises; what the file cannot hold is not allocated.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``; what has another name is nibabel's to open.

    Raises
    ------
    one of `DAMAGED`
        If it is damaged.
    """
    if not is_nifti(path):
        return nib.load(path)
    header = read_header(path)
    if not path.name.endswith(".gz"):
        return nib.load(path)
    most = promise_of(header).stored_bytes + max(int(header["vox_offset"]), 0) + _SPARE_BYTES
    content = _unpacked(path.read_bytes(), most)
    return _kind(content[:540]).from_bytes(content)


def is_nifti(path: Path) -> bool:
    """True if a file is NIfTI by its name."""
    return path.name.endswith((".nii", ".nii.gz"))


def read_header(path: Path) -> Any:
    """The header of a NIfTI file, of which no more is read.

    Raises
    ------
    one of `DAMAGED`
        If there is none, or it promises more than the file holds.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise ImageFileError("it is not a plain file")
    with path.open("rb") as file:
        head = file.read(_BEFORE_HEADER)
    most = status.st_size
    packed = head.startswith(_GZIP_MAGIC)
    if not path.name.endswith(".gz"):
        if packed:
            raise ImageFileError("it is compressed: its name has to end in .nii.gz")
    else:
        if len(head) >= _LEAST_HEADER and not packed:
            raise NotCompressedError("it is not compressed: its name has to end in .nii")
        head, most = isal_zlib.decompressobj(_GZIP).decompress(head, 540), most * _MOST_PACKED
    if len(head) < _LEAST_HEADER:
        raise ImageFileError(f"{len(head)} bytes hold no header")
    header = _bare_header(head)
    _check_promise(promise_of(header), most)
    if int(header["vox_offset"]) > _MOST_OFFSET:
        raise ImageFileError(
            f"its header has the voxels begin at byte {int(header['vox_offset'])}, beyond any "
            "header's extensions"
        )
    return header


@contextlib.contextmanager
def quiet_headers() -> Iterator[None]:
    """Keep nibabel from printing what it mends in headers and finds odd in them.

    Its own ``LoggingOutputSuppressor`` takes the handlers away for good, and Python then prints.
    """
    imageglobals.logger.addFilter(_drop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        imageglobals.logger.removeFilter(_drop)


def _drop(_record: logging.LogRecord) -> bool:
    return False


def _kind(head: bytes) -> type[nib.Nifti1Image]:
    second = b"\x1c\x02" in (head[:2], head[2:4][::-1])  # sizeof_hdr is 540
    return nib.Nifti2Image if second else nib.Nifti1Image


def _bare_header(head: bytes) -> nib.Nifti1Header:
    """A header without its extensions, of which only the beginning may be at hand."""
    kind: Any = _kind(head).header_class
    header: nib.Nifti1Header = kind(head[: kind.sizeof_hdr], check=False)
    return header


def _check_promise(promise: Promise, most: int) -> None:
    """Refuse a header that promises more than its file holds.

    Raises
    ------
    ImageFileError
        Then.
    """
    if promise.stored_bytes > most:
        raise ImageFileError(
            f"its header promises {'x'.join(map(str, promise.shape))} voxels, "
            f"{promise.stored_bytes / 1e9:.3g} GB; the file holds at most {most / 1e9:.3g} GB"
        )


def _unpacked(packed: bytes, most: int) -> bytes:
    """What a gzip file holds, member by member, each checked to its end.

    Raises
    ------
    ImageFileError
        If that is more than `most` bytes, or something else stands behind the last member.
    EOFError, isal.isal_zlib.error
        If it is cut short or damaged.
    """
    members: list[bytes] = []
    while packed.lstrip(b"\0"):
        if members and not packed.startswith(_GZIP_MAGIC):
            raise ImageFileError(f"{len(packed)} bytes behind its gzip stream are no part of it")
        member = isal_zlib.decompressobj(_GZIP)
        held = sum(map(len, members))
        members.append(member.decompress(packed, most - held + 1))
        if held + len(members[-1]) > most:
            raise ImageFileError(f"it holds more than the {most / 1e9:.3g} GB of its header")
        if not member.eof:
            raise EOFError("cut short")
        packed = member.unused_data
    return members[0] if len(members) == 1 else b"".join(members)


def in_rows(data: NDArray[Any], dtype: type[T]) -> NDArray[T]:
    """A file's voxels, first axis fastest, as an array whose last axis is, of another type.

    Plane by plane: the whole turned at once meets a new page of memory at every voxel.
    """
    turned = np.empty(data.shape, dtype=dtype)
    _turn(data, turned)
    return turned


def _turn(data: NDArray[Any], turned: NDArray[Any]) -> None:
    """Copy between the two orders of voxels, each plane by way of one that the cache holds."""
    for plane in range(data.shape[1]):
        turned[:, plane] = data[:, plane].copy()


def on_source(data: NDArray[np.generic], source: Source, *, slope: float | None = None) -> bytes:
    """A file on a run's own grid.

    Parameters
    ----------
    data : (I, J, K)
        As stored.
    source
        Its header's geometry is kept, field by field.
    slope
        What stored values are multiplied by; None for none.
    """
    return _packed(data, native_header(data, source), slope)


def on_template(data: NDArray[np.generic], grid: Grid, *, slope: float | None = None) -> bytes:
    """A file on a template's grid; the rest as in `on_source`."""
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm")
    header.set_sform(grid.affine, _TEMPLATE_CODE)
    header.set_qform(grid.affine, _TEMPLATE_CODE)
    header["descrip"] = b"bids_strip"
    return _packed(data, header, slope)


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


def _packed(data: NDArray[np.generic], header: nib.Nifti1Header, slope: float | None) -> bytes:
    header["scl_slope"] = slope if slope is not None else np.nan
    header["scl_inter"] = 0 if slope is not None else np.nan
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    body = bytearray(352 + data.nbytes)
    body[:348] = header.binaryblock
    _turn(data, np.ndarray(data.shape, data.dtype, body, 352, order="F"))
    return igzip.compress(body, _COMPRESSION, mtime=0)
