"""Where outputs go: each file appears whole, under its final name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from bids_strip.errors import WriteError
from bids_strip.record import OutputFile


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
        unfinished = self.staging / f"{uuid.uuid4().hex[:8]}-{final.name}"
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            unfinished.replace(final)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise WriteError(
                f"{final}: cannot be written ({error.strerror or error}); is the disk full or "
                "read-only?"
            ) from error
        return OutputFile(name, len(content))
