"""The group page: one self-contained HTML file that works from ``file://``."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bids_strip.judged import Judged
from bids_strip.metrics import METRICS, Metric
from bids_strip.record import OK, Record

TILES = 500
"""Runs beyond this many, the worst first, link to their picture instead of carrying it."""
TILE_PX = (1144, 104)


def page(runs: Sequence[Judged], *, suffix: str, software: str, output_dir: Path) -> bytes:
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
    """
    metrics = [m for m in METRICS if any(m.key in run.record.metrics for run in runs)]
    carried = _worst(runs)
    data = {
        "dataset": dataset_key(runs),
        "tile": TILE_PX,
        "metrics": [_metric(one) for one in metrics],
        "runs": [_run(run, metrics, output_dir, index in carried)
                 for index, run in enumerate(runs)],
    }  # fmt: skip
    fields = {
        "title": html.escape(f"bids_strip: {len(runs)} {suffix} runs"),
        "table": f"group_{suffix}.tsv",
        "software": html.escape(software),
        "style": _part("page.css"),
        "script": _part("page.js"),
        "data": json_in_html(data),
    }
    return _filled(_part("page.html"), fields).encode("utf-8", "backslashreplace")


def dataset_key(runs: Sequence[Judged]) -> str:
    """What ratings are kept under in a browser: the same for the same inputs, however named."""
    digest = hashlib.sha256()
    for run in sorted(runs, key=lambda one: one.record.bids_name):
        source = run.record.input.sha256 if run.record.input else ""
        digest.update(f"{run.record.bids_name}\t{source}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]


def json_in_html(value: Any) -> str:
    """JSON that may stand inside a script element: no ``<`` that could end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _worst(runs: Sequence[Judged]) -> set[int]:
    """Indices of the runs that carry their picture."""
    order = sorted(range(len(runs)), key=lambda i: (runs[i].verdict == "ok", -runs[i].rank, i))
    return set(order[:TILES])


def _metric(metric: Metric) -> dict[str, str]:
    unit = "" if metric.unit == "1" else metric.unit
    return {
        "key": metric.key,
        "title": metric.key.removesuffix(f"_{unit}").replace("_", " "),
        "unit": unit,
        "better": metric.better,
        "description": metric.description,
    }


def _run(run: Judged, metrics: Sequence[Metric], output_dir: Path, carries: bool) -> dict[str, Any]:
    record = run.record
    keys = [m.key for m in metrics]
    figure = figure_of(record)
    subject = f"sub-{record.entities.get('sub', '')}.html"
    return {
        "name": record.bids_name,
        "verdict": run.verdict,
        "rank": round(run.rank, 1),
        "reasons": [*_failure(record), *run.reasons,
                    *(f"{o.key.replace('_', ' ')} {'above' if o.z > 0 else 'below'} the group "
                      f"(z {o.z:+.1f})" for o in run.outliers)],
        "odd": [keys.index(o.key) for o in run.outliers if o.key in keys],
        "values": [_finite(record.metrics.get(key)) for key in keys],
        "rating": run.rating.rating,
        "note": run.rating.note,
        "page": subject if (output_dir / subject).exists() else None,
        "figure": figure if (output_dir / figure).exists() else None,
        "tile": _data_uri(output_dir / figure) if carries else None,
    }  # fmt: skip


def figure_of(record: Record) -> str:
    """Path of a run's row of slices below OUTPUT_DIR."""
    desc = "brain" if record.suffix == "T1w" else f"brain{record.suffix}"
    stem = record.bids_name.removesuffix(f"_{record.suffix}")
    return f"sub-{record.entities.get('sub', '')}/figures/{stem}_desc-{desc}_mask.webp"


def _failure(record: Record) -> list[str]:
    return [] if record.status == OK else [f"failed at {record.stage}: {record.reason}"]


def _finite(value: float | None) -> float | None:
    """A number as JSON has it, to seven significant digits."""
    return float(f"{value:.7g}") if value is not None and math.isfinite(value) else None


def _data_uri(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def _part(name: str) -> str:
    return resources.files("bids_strip.group").joinpath("page", name).read_text(encoding="utf-8")


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """A template with its ``{{name}}`` filled in, once each; what is filled in is not read."""
    parts = template.split("{{")
    return parts[0] + "".join(
        fields[name] + rest for name, _, rest in (part.partition("}}") for part in parts[1:])
    )
