"""Runs, judged -> the group table and its dictionary."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from bids_strip.judged import Judged, reason_words
from bids_strip.metrics import ALL_METRICS, BEST_RUN, FLAGS, Metric
from bids_strip.record import Record, made_with

NOT_AVAILABLE = "n/a"
_ENTITY_COLUMNS = {
    "participant_id": ("sub", "participant"),
    "session_id": ("ses", "session"),
    "acquisition_id": ("acq", "acquisition"),
    "run_id": ("run", "run"),
}
"""No column has the name of an entity: by the inheritance principle the dictionary is a sidecar of
every ``*_<suffix>`` image below, and pybids refuses one that contradicts the image's name."""
_SCANNER_COLUMNS = {
    "manufacturer": ("Manufacturer", "maker of the scanner"),
    "scanner_model": ("ManufacturersModelName", "model of the scanner"),
    "field_strength_t": ("MagneticFieldStrength", "field strength of the scanner"),
    "station": ("StationName", "what the institution calls the scanner"),
    "protocol": ("ProtocolName", "what the institution calls the protocol"),
}
"""The terms of `bids_strip.scanner`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text.

    Attributes
    ----------
    columns
        Names, in order.
    rows
        One a run, values as text.
    dictionary
        BIDS description of each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    dictionary: dict[str, dict[str, Any]]

    def to_tsv(self) -> bytes:
        """Tab-separated, with a header line."""
        lines = ["\t".join(line) for line in (self.columns, *self.rows)]
        return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def tabulate(runs: Sequence[Judged], *, best: Container[str] = ()) -> Table:
    """One row a run, failed ones too, in the order given.

    Parameters
    ----------
    runs
        Their records, and what is thought of them.
    best
        Names of the runs that are proposed.
    """
    rows = [{**_row(run.record), **_judgement(run), "best_run": int(run.record.bids_name in best)}
            for run in runs]  # fmt: skip
    dictionary = describe_columns()
    return Table(
        columns=tuple(dictionary),
        rows=tuple(tuple(_text(row.get(column)) for column in dictionary) for row in rows),
        dictionary=dictionary,
    )


def describe_columns() -> dict[str, dict[str, Any]]:
    """BIDS dictionary of all columns, in order."""
    columns: dict[str, dict[str, Any]] = {
        "bids_name": {"Description": "file name of the source without extension"},
    }
    for column, (_, word) in _ENTITY_COLUMNS.items():
        columns[column] = {"Description": f"{word} of the source"}
    columns |= {
        "status": {"Description": "outcome of the run",
                   "Levels": {"ok": "all outputs written", "failed": "none written"}},
        "stage": {"Description": "stage at which the run failed"},
        "reason": {"Description": "why it failed, and the remedy"},
        "best_run": {"Description": BEST_RUN},
        "verdict": {"Description": "whether the mask wants eyes",
                    "Levels": {"ok": "no reason to look", "check": "look at it: see reasons and "
                               "outliers", "failed": "there is no mask"}},
        "reasons": {"Description": "rules that hold, joined by ', '; see Rules",
                    "Rules": reason_words()},
        "outliers": {"Description": "metrics that stand out from the group in the direction that "
                     "is worse, joined by ', ', the farthest first: robust z-scores among the runs "
                     "of the same surface (border_mm, no_csf), and of the same manufacturer, "
                     "model, field strength and station where these are told of enough of them"},
        "rating": {"Description": "what a rater said of the mask, from ratings.tsv; n/a where "
                   "it was said of another mask of the run (another border, network or edit)",
                   "Levels": {"accept": "good as it is", "edit": "to be edited by hand",
                              "reject": "not to be used"}},
        "note": {"Description": "what a rater noted"},
    }  # fmt: skip
    for column, (term, words) in _SCANNER_COLUMNS.items():
        units = {"Units": "T"} if column == "field_strength_t" else {}
        columns[column] = {"Description": f"{words}: {term} of the source's sidecars", **units}
    for metric in ALL_METRICS:
        units = {} if metric.unit == "1" else {"Units": metric.unit}
        better = {} if metric.better == "none" else {"Better": metric.better}
        columns[metric.key] = {"Description": metric.description, **units, **better,
                               **_range_and_source(metric)}  # fmt: skip
    for flag, description in FLAGS.items():
        columns[flag] = {"Description": description}
    columns |= {
        "provider": {"Description": "onnxruntime execution provider that ran the network"},
        "threads": {"Description": "threads of the network"},
        "elapsed_s": {"Description": "wall time of the run", "Units": "s"},
        "peak_memory_mb": {"Description": "most memory the process had held by then",
                           "Units": "MB"},
        "network": {"Description": "name and version of the network"},
        "software": {"Description": "program and version"},
        "border_mm": {"Description": "shift of the mask's surface, outwards if positive: --border",
                      "Units": "mm"},
        "no_csf": {"Description": "1 where the mask's surface is that of the tissue: --no-csf"},
        "bias_smoothness_mm": {"Description": "scale of the bias field: --bias-smoothness",
                               "Units": "mm"},
    }  # fmt: skip
    return columns


def _range_and_source(metric: Metric) -> dict[str, Any]:
    """What its definition allows and where it comes from, where there is something to say."""
    said = {"Minimum": metric.least, "Maximum": metric.most, "Source": metric.source or None}
    return {key: value for key, value in said.items() if value is not None}


def _row(record: Record) -> dict[str, Any]:
    return {
        "bids_name": record.bids_name,
        **{
            column: f"{key}-{record.entities[key]}"
            for column, (key, _) in _ENTITY_COLUMNS.items()
            if key in record.entities
        },
        "status": record.status,
        "stage": record.stage,
        "reason": record.reason,
        **{column: record.scanner.get(term) for column, (term, _) in _SCANNER_COLUMNS.items()},
        **record.metrics,
        **{flag: int(value) for flag, value in record.flags.items()},
        "provider": record.provider,
        "threads": record.threads,
        "elapsed_s": record.elapsed_s,
        "peak_memory_mb": record.peak_memory_mb,
        **made_with(record),
    }  # fmt: skip


def _judgement(run: Judged) -> dict[str, str]:
    return {
        "verdict": run.verdict,
        "reasons": ", ".join(run.reasons),
        "outliers": ", ".join(one.key for one in run.outliers),
        "rating": "" if run.rated_another else run.rating.rating,
        "note": run.rating.note,
    }


def _text(value: Any) -> str:
    if isinstance(value, float):  # first: most values are
        return f"{value:z.4f}".rstrip("0").rstrip(".")
    if value is None or value == "":
        return NOT_AVAILABLE
    return " ".join(str(value).split())
