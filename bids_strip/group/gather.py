"""Find the records of all runs in OUTPUT_DIR."""

from __future__ import annotations

from pathlib import Path

from bids_strip.dataset.filters import labels_of
from bids_strip.errors import MissingInputError, SelectionError
from bids_strip.record import Record, record_in
from bids_strip.settings import Settings


def gather(settings: Settings, suffix: str) -> tuple[Record, ...]:
    """All records of a modality that the labels select, sorted by name.

    Parameters
    ----------
    settings
        OUTPUT_DIR and labels; records that lack an entity stay in.
    suffix
        Of the modality.

    Raises
    ------
    MissingInputError
        If OUTPUT_DIR holds no record of the modality.
    SelectionError
        If the labels select none of them, or a participant named has none.
    """
    paths = sorted(_record_paths(settings.output_dir), key=str)
    records = [record for path in paths if (record := record_in(path)).suffix == suffix]
    if not records:
        raise MissingInputError(
            f"{settings.output_dir}: no {suffix} results here; run the participant level first"
        )
    wanted = {
        "sub": labels_of(settings.participant_label, "sub"),
        "ses": labels_of(settings.session_label, "ses"),
        "run": labels_of(settings.run_label, "run"),
        "acq": labels_of(settings.acquisition_label, "acq"),
    }
    present = {r.entities.get("sub") for r in records}
    absent = [label for label in wanted["sub"] if label not in present]
    if absent:
        raise SelectionError(
            f"--participant-label {', '.join(absent)}: no results of it in {settings.output_dir}; "
            "run the participant level for it, or check the label"
        )
    selected = [r for r in records if _selected(r, wanted)]
    if not selected:
        raise SelectionError(
            f"{settings.output_dir}: the labels given select none of {len(records)} results"
        )
    return tuple(sorted(selected, key=lambda r: r.bids_name))


def _record_paths(output_dir: Path) -> list[Path]:
    return [
        path
        for pattern in ("sub-*/anat/*_qc.json", "sub-*/ses-*/anat/*_qc.json")
        for path in output_dir.glob(pattern)
    ]


def _selected(record: Record, wanted: dict[str, tuple[str, ...]]) -> bool:
    return all(
        not labels or key not in record.entities or _among(record.entities[key], labels, key)
        for key, labels in wanted.items()
    )


def _among(value: str, labels: tuple[str, ...], key: str) -> bool:
    """Runs compare as numbers, as pybids does; other labels as they stand."""
    if key == "run" and value.isdecimal():
        return any(label.isdecimal() and int(label) == int(value) for label in labels)
    return value in labels
