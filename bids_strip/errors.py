"""The exception tree.

::

    BidsStripError            anything we name ourselves; carries an exit code
    ├── UsageError            64  options that contradict each other
    ├── LevelError            17  unknown analysis level
    ├── DatasetError          16  no readable dataset_description.json
    ├── SelectionError        18  filters matched nothing, or a named label is absent
    ├── MissingInputError     66  no file of the modality, no results at group level
    ├── OutputError           73  output cannot be made, or would lie in the raw data
    ├── ProviderError          1  the execution provider asked for did not load
    ├── ClusterError           1  the Dask scheduler or its workers cannot be worked with
    ├── ModelError            66  a network or its card is missing, altered or not understood
    ├── TemplateError         66  a template of --output-spaces is not to be had
    └── RunError               a single run failed; the others go on
        ├── MemoryLimitError  it needs more memory than there is
        ├── LoadError         (65 when every selected run is unreadable)
        ├── EditError         the mask edited by hand cannot be used
        ├── ConformError
        ├── PredictError
        ├── DeriveError
        ├── NormaliseError
        └── WriteError        (74 when every selected run failed so)

Each message is one line that names the file or option, the reason and the remedy.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the draft BIDS execution specification (src/outputs.md)."""

    OK = 0
    FAILED = 1
    INVALID_DATASET = 16
    UNKNOWN_LEVEL = 17
    NOTHING_SELECTED = 18
    USAGE = 64
    BAD_DATA = 65
    NO_INPUT = 66
    CANNOT_CREATE = 73
    IO_ERROR = 74
    INTERRUPTED = 130
    TERMINATED = 143


class BidsStripError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: ExitCode = ExitCode.FAILED


class UsageError(BidsStripError):
    """Options that contradict each other, or values that no option takes."""

    exit_code = ExitCode.USAGE


class LevelError(BidsStripError):
    """An analysis level that there is not."""

    exit_code = ExitCode.UNKNOWN_LEVEL


class DatasetError(BidsStripError):
    """BIDS_DIR is not a readable BIDS dataset."""

    exit_code = ExitCode.INVALID_DATASET


class SelectionError(BidsStripError):
    """The filters matched no file, or name a label that is absent."""

    exit_code = ExitCode.NOTHING_SELECTED


class MissingInputError(BidsStripError):
    """No file of the modality in the dataset; at group level no results, or some unread."""

    exit_code = ExitCode.NO_INPUT


class OutputError(BidsStripError):
    """OUTPUT_DIR cannot be made, would lie in the raw data, or two runs claim one name."""

    exit_code = ExitCode.CANNOT_CREATE


class ProviderError(BidsStripError):
    """The execution provider that was asked for did not load."""


class ClusterError(BidsStripError):
    """The Dask scheduler cannot be reached, or its workers cannot do the work."""


class ModelError(BidsStripError):
    """A network or its card is missing, altered or not understood."""

    exit_code = ExitCode.NO_INPUT


class TemplateError(BidsStripError):
    """A template of ``--output-spaces`` is absent, empty or not understood."""

    exit_code = ExitCode.NO_INPUT


class RunError(BidsStripError):
    """One run failed; it is recorded and the others go on."""

    stage = "run"


class MemoryLimitError(RunError):
    """The image needs more memory than a run may take; nothing of it was read."""

    stage = "memory"


class LoadError(RunError):
    """The image cannot be read, or holds nothing to work on."""

    stage = "load"
    exit_code = ExitCode.BAD_DATA


class EditError(RunError):
    """The mask that a rater edited is not one of this run."""

    stage = "edit"


class ConformError(RunError):
    """The image does not fit the network's grid."""

    stage = "conform"


class PredictError(RunError):
    """The network failed, or gave values that are not distances."""

    stage = "predict"


class DeriveError(RunError):
    """No brain in the prediction."""

    stage = "derive"


class NormaliseError(RunError):
    """Brightness that no field explains."""

    stage = "normalise"


class WriteError(RunError):
    """An output could not be written."""

    stage = "write"
    exit_code = ExitCode.IO_ERROR
