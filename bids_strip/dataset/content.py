"""Files whose name is here and whose content is not: broken links, pointers, refusals."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from bids_strip.dataset.description import DESCRIPTION

_ANNEX_POINTER = b"/annex/objects/"
_LFS_POINTER = b"version https://git-lfs"
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_AWAY = (
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT,
)  # fmt: skip
"""What disks and networks say that fail; a damaged file has others raised (``EINVAL``)."""


def describe_missing(path: Path) -> str | None:
    """Reason and remedy where only a file's name is here, not its content.

    Parameters
    ----------
    path : Path
        An image of the dataset.

    Returns
    -------
    str or None
        One line for a broken link, a pointer file of git-annex or Git LFS, and where the system
        lets nobody look: as `describe_refusal`. None where there is content, or no such name at
        all.
    """
    try:
        return _missing(path)
    except OSError as error:
        return describe_refusal(error)


def describe_refusal(error: Exception) -> str | None:
    """Reason and remedy where the system gives no content, whatever the file holds.

    Parameters
    ----------
    error : Exception
        What reading it raised.

    Returns
    -------
    str or None
        One line; None where the file itself may be at fault.
    """
    if not isinstance(error, OSError):
        return None
    if error.errno in _FORBIDDEN:
        return (
            f"cannot be read ({error.strerror}); give yourself the right to read it and to enter "
            "its folders"
        )
    if error.errno in _AWAY:
        return (
            f"cannot be read ({error.strerror}); the disk or network it lies on failed, the file "
            "itself may be sound: call again when that is mended"
        )
    return None


def _missing(path: Path) -> str | None:
    """As `describe_missing`, of what the system lets one look at.

    Raises
    ------
    OSError
        If it does not.
    """
    if _leads_nowhere(path):
        target = Path(os.readlink(path))  # noqa: PTH115 - text, as it stands in the link
        remedy = _datalad_get(path)
        if "annex" in target.parts:
            return f"content is not here; run: {remedy}"
        return (
            f"content is not here; run: {remedy}, or give access to {target}, which the link "
            "points to (in a container: bind-mount it)"
        )
    head = _head(path)
    if head.startswith(_ANNEX_POINTER):
        return f"content is not here; run: {_datalad_get(path)}"
    if head.startswith(_LFS_POINTER):
        return "content is not here, a pointer of Git LFS is; run in its dataset: git lfs pull"
    return None


def _leads_nowhere(path: Path) -> bool:
    """Tell whether a name is a link to nothing, or to itself.

    Raises
    ------
    OSError
        If the system does not let one look.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        return os.path.islink(path)  # noqa: PTH114 - pathlib's own raises in a closed folder
    return False


def _datalad_get(path: Path) -> str:
    """Command that fetches a file, to be run at the root of its dataset."""
    roots = (parent for parent in path.parents if (parent / DESCRIPTION).exists())
    root = next(roots, path.parent)
    return f"datalad get {shlex.quote(path.relative_to(root).as_posix())}"


def _head(path: Path) -> bytes:
    """The bytes by which the text is known that stands in for a file's content."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return b""
        with path.open("rb") as file:
            return file.read(max(len(_ANNEX_POINTER), len(_LFS_POINTER)))
    except OSError:
        return b""
