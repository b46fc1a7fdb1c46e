"""The group page: one self-contained HTML file that works from ``file://``."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from bids_strip.dataset.words import counted
from bids_strip.judged import Judged, Outlier, Rating, reason_words
from bids_strip.metrics import ALL_METRICS, Metric
from bids_strip.naming import page_name, tile_of
from bids_strip.page.frame import filled, json_in_html, part
from bids_strip.record import OK, Record, run_of

TILES = 500
"""Runs beyond this many, the worst first, link to their picture instead of carrying it."""
SCRIPTS = ("state", "ratings", "pager", "masks", "plots", "table", "keys", "back", "begin")
"""Parts of the page's script, in order: they share one scope."""
_DIGITS = 6
_NO_RATINGS: Mapping[str, Rating] = MappingProxyType({})
_NO_MASKS: Mapping[str, str] = MappingProxyType({})


def page(
    runs: Sequence[Judged], *, suffix: str, software: str, output_dir: Path,
    ratings: Mapping[str, Rating] = _NO_RATINGS, masks: Mapping[str, str] = _NO_MASKS,
) -> bytes:  # fmt: skip
    """Make the page.

    Parameters
    ----------
    runs
        In the order of the table.
    suffix
        Of the modality.
    software
        Name and version, for the foot of the page.
    output_dir
        Where pictures and the runs' own pages lie.
    ratings
        All that was read: those of other runs are saved again with these.
    masks
        bids_name -> `mask_key` of all that lie in OUTPUT_DIR: what the browser keeps of those that
        other pages show is saved with these.
    """
    metrics = [m for m in ALL_METRICS
               if any(m.key in run.record.metrics for run in runs)]  # fmt: skip
    names = {run.record.bids_name for run in runs}
    words = reason_words()
    figures = [_existing(tile_of(run_of(run.record)), output_dir) for run in runs]
    data = {
        "dataset": dataset_key(runs),
        "metrics": [_metric(one) for one in metrics],
        "runs": [_run(run, metrics, figure, words, output_dir)
                 for run, figure in zip(runs, figures, strict=True)],
        "others": {name: [one.rating, one.note, one.mask] for name, one in ratings.items()
                   if name not in names},
        "beside": {name: mask for name, mask in masks.items() if name not in names},
    }  # fmt: skip
    tiles = {index: _tile(output_dir, figures[index]) for index in _worst(runs)}
    scripts = (part(f"group/{name}.js").strip("\n") for name in SCRIPTS)
    script = "\n".join(['"use strict";', "(() => {", *scripts, "})();"])
    return filled(
        "group.html",
        title=f"bids_strip: {counted(len(runs), f'{suffix} run')}",
        table=f"group_{suffix}.tsv",
        software=software,
        style=part("base.css") + part("group.css"),
        script=script,
        data=json_in_html(data),
        tiles=json_in_html({index: tile for index, tile in tiles.items() if tile}),
    )


def dataset_key(runs: Sequence[Judged]) -> str:
    """What ratings are kept under in a browser: the same for the same inputs, however named."""
    digest = hashlib.sha256()
    for run in sorted(runs, key=lambda one: one.record.bids_name):
        source = run.record.input.sha256 if run.record.input else ""
        digest.update(f"{run.record.bids_name}\t{source}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]


def _worst(runs: Sequence[Judged]) -> list[int]:
    """Indices of the runs that carry their picture."""
    order = sorted(range(len(runs)), key=lambda i: (runs[i].verdict == "ok", -runs[i].rank, i))
    return sorted(order[:TILES])


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "key": metric.key,
        "title": metric.title,
        "unit": metric.unit_words,
        "better": metric.better_words,
        "description": metric.description,
        "range": metric.range_words,
        "source": metric.source,
    }


def _run(
    run: Judged, metrics: Sequence[Metric], figure: str | None, words: Mapping[str, str],
    output_dir: Path,
) -> dict[str, Any]:  # fmt: skip
    record = run.record
    keys = [m.key for m in metrics]
    subject = _existing(page_name(record.entities.get("sub", "")), output_dir)
    return {
        "name": record.bids_name,
        "verdict": run.verdict,
        "rank": round(run.rank, 1),
        "reasons": [*_failure(record), *_words(run, words)],
        "odd": [keys.index(one.key) for one in run.outliers if one.key in keys],
        "values": [_finite(record.metrics.get(key)) for key in keys],
        "scanner": " ".join(record.scanner.values()),
        "rating": run.rating.rating,
        "note": run.rating.note,
        "rated": run.rating.mask,
        "mask": run.mask,
        "page": f"{quote(subject)}#{record.bids_name}" if subject else None,
        "figure": quote(figure) if figure else None,
    }


def _failure(record: Record) -> list[str]:
    return [] if record.status == OK else [f"failed at {record.stage}: {record.reason}"]


def _words(run: Judged, known: Mapping[str, str]) -> list[str]:
    """Reasons and outliers as a rater reads them."""
    return [
        *(f"{reason.replace('_', ' ')}: {known[reason]}" for reason in run.reasons),
        *(f"{one.key.replace('_', ' ')} {_side(one)} (z {one.z:+.1f})" for one in run.outliers),
    ]


def _side(outlier: Outlier) -> str:
    """How a metric stands out."""
    return "above the group's" if outlier.z > 0 else "below the group's"


def _finite(value: float | None) -> float | None:
    """A number as JSON has it, to some significant digits."""
    return float(f"{value:.{_DIGITS}g}") if value is not None and math.isfinite(value) else None


def _existing(name: str, output_dir: Path) -> str | None:
    """A name below OUTPUT_DIR, None where there is no such file or the name leads elsewhere."""
    if ".." in Path(name).parts or not name.isprintable():
        return None
    try:
        return name if (output_dir / name).is_file() else None
    except OSError:  # a name longer than the file system has
        return None


def _tile(output_dir: Path, figure: str | None) -> str | None:
    """A picture as base64."""
    try:
        return base64.b64encode((output_dir / figure).read_bytes()).decode() if figure else None
    except OSError:
        return None
