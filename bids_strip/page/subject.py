"""A participant's page: every run with its pictures, numbers, provenance and errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_strip.card import Card, find_card
from bids_strip.citation import citation
from bids_strip.errors import BidsStripError
from bids_strip.judged import Judged
from bids_strip.metrics import ALL_METRICS, FLAGS, Metric
from bids_strip.naming import figure_pattern_in_spaces, figures_of
from bids_strip.page.frame import filled, part
from bids_strip.recipe import Recipe
from bids_strip.record import OK, Record, run_of
from bids_strip.verdict import words_of_reasons

MOST_BYTES = 4_000_000
"""Of a page."""
_RUN_BYTES = 40_000
"""Set aside for the words and numbers of a run."""
_TYPES = {".webp": "image/webp", ".svg": "image/svg+xml"}
_ARROWS = {"lower": "↓ ", "higher": "↑ ", "one": "→ ", "none": ""}


@dataclass(frozen=True, slots=True)
class Pictures:
    """What shows a run: addresses to embed or to link.

    Attributes
    ----------
    native
        Kind of `bids_strip.naming.FIGURES` -> address, of those that are there.
    spaces
        Template space and address.
    linked
        True if the files stay beside the page.
    """

    native: Mapping[str, str]
    spaces: tuple[tuple[str, str], ...]
    linked: bool


def subject_page(
    subject: str, records: Sequence[Record], *, output_dir: Path, software: str
) -> bytes:
    """Make the page.

    Parameters
    ----------
    subject
        Label.
    records
        Of all its runs, in the order of the page.
    output_dir
        OUTPUT_DIR, where the pictures lie.
    software
        Name and version, for the foot of the page.
    """
    pictures = _all_pictures(records, output_dir)
    shown = [_run(record, one) for record, one in zip(records, pictures, strict=True)]
    measured = {key for record in records for key in record.metrics}
    return filled(
        "subject.html",
        subject=subject,
        style=part("base.css") + part("subject.css"),
        script=part("subject.js"),
        loads_scripts=True,
        runs=shown,
        failed=sum(record.status != OK for record in records),
        methods=_methods(records),
        terms=[_term(one) for one in ALL_METRICS if one.key in measured],
        software=software,
    )


def _run(record: Record, pictures: Pictures) -> dict[str, Any]:
    """What the page says of a run."""
    words = words_of_reasons()
    failure = {"stage": record.stage, "reason": record.reason} if record.status != OK else None
    judged = Judged(record)  # by the rules of now, as the group page
    reasons = [words[reason] for reason in judged.reasons]
    return {
        "name": record.bids_name,
        "suffix": record.suffix,
        "verdict": judged.verdict,
        "failure": failure,
        "reasons": reasons,
        "notes": [f"{flag}: {FLAGS.get(flag, '')}".replace(": 1 if ", ": ")
                  for flag, holds in record.flags.items() if holds and flag not in judged.reasons],
        "pictures": pictures.native,
        "templates": pictures.spaces,
        "linked": pictures.linked,
        "metrics": [_row(one, record.metrics[one.key]) for one in ALL_METRICS
                    if one.key in record.metrics],
        "facts": list(_facts(record)),
    }  # fmt: skip


def _row(metric: Metric, value: float) -> dict[str, str]:
    """A metric of a run."""
    return {
        "key": metric.key,
        "title": metric.title,
        "value": f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}",
        "raw": repr(value),
        "unit": metric.unit_words,
        "better": _ARROWS[metric.better] + metric.better_words,
        "range": metric.range_words,
    }


def _term(metric: Metric) -> dict[str, str]:
    return {
        "key": metric.key,
        "title": metric.title,
        "description": metric.description,
        "source": metric.source,
    }


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    """Where a run comes from and what was done, as pairs of a term and what it is."""
    for term, file in (("input", record.input), ("edited mask", record.manual)):
        if file is not None:
            yield term, f"{file.path}, {file.size} bytes, SHA-256 {file.sha256}"
    yield "software", record.software
    if record.network:
        said = (record.network.get(key, "") for key in ("name", "version", "sha256"))
        yield "network", "{} {}, SHA-256 {}".format(*said)
    if record.surface:
        yield "distances of", ", made by ".join(record.surface.values())
    yield "options", json.dumps(record.options, ensure_ascii=False)
    yield from record.scanner.items()
    if record.provider:
        yield "ran on", f"{record.provider}, {record.threads} threads"
    if record.elapsed_s is not None:
        stages = ", ".join(f"{stage} {s:g}" for stage, s in record.stage_seconds.items())
        yield "seconds", f"{record.elapsed_s:g} ({stages})"
    if record.outputs:
        yield "outputs", ", ".join(f"{one.name} ({one.size} bytes)" for one in record.outputs)


def _methods(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Methods paragraphs, each with the runs that were made so."""
    runs: dict[str, list[str]] = {}
    for record in records:
        said = _methods_of(record)
        if said:
            runs.setdefault(said, []).append(record.bids_name)
    return [{"runs": names, "paragraphs": _paragraphs(said)} for said, names in runs.items()]


def _methods_of(record: Record) -> str | None:
    """The paragraph of a run; None where what was run is not known here."""
    card, recipe = _card_of(record), _recipe_of(record)
    if record.status != OK or card is None or recipe is None:
        return None
    return citation(recipe, card, version=record.software.rpartition(" ")[2])


def _recipe_of(record: Record) -> Recipe | None:
    lists = {key: tuple(value) for key, value in record.options.items() if isinstance(value, list)}
    try:
        return Recipe(**{**record.options, **lists})
    except TypeError:  # of another version of the program
        return None


def _card_of(record: Record) -> Card | None:
    """The embedded network's card if that one was run; of another the file may be gone."""
    try:
        card = find_card(record.network.get("name", ""))
    except BidsStripError:
        return None
    return card if card.sha256 == record.network.get("sha256") else None


def _paragraphs(markdown: str) -> list[dict[str, Any]]:
    """Headings and the lines below them, of the little Markdown that a citation uses."""
    blocks = [block.split("\n") for block in markdown.strip().split("\n\n")]
    found: list[dict[str, Any]] = []
    heading = ""
    for lines in blocks:
        if lines[0].startswith("# "):
            heading = lines[0].removeprefix("# ")
            continue
        found.append({"heading": "" if heading == "Methods" else heading, "lines": lines})
        heading = ""
    return found


def _all_pictures(records: Sequence[Record], output_dir: Path) -> list[Pictures]:
    """Pictures of each run, embedded while the page has room for all those of a run."""
    left = MOST_BYTES - _RUN_BYTES * (len(records) + 1)
    found = []
    for record in records:
        embedded = _pictures(record, output_dir, embed=True)
        size = sum(map(len, (*embedded.native.values(), *(one for _, one in embedded.spaces))))
        left -= size
        found.append(embedded if left >= 0 else _pictures(record, output_dir, embed=False))
        left += 0 if left >= 0 else size
    return found


def _pictures(record: Record, output_dir: Path, *, embed: bool) -> Pictures:
    run = run_of(record)
    native = {kind: name for kind, name in figures_of(run).items() if (output_dir / name).is_file()}
    spaces = [path.relative_to(output_dir).as_posix() for path in
              sorted(output_dir.glob(figure_pattern_in_spaces(run)))]  # fmt: skip
    address = _embedded if embed else _linked
    return Pictures(
        {kind: address(output_dir, name) for kind, name in native.items()},
        tuple((_space_of(name), address(output_dir, name)) for name in spaces),
        linked=not embed and bool(native),
    )


def _space_of(name: str) -> str:
    """``MNI152NLin2009cAsym, res-1`` of a picture's name."""
    parts = Path(name).name.split("_")
    start = next(n for n, part in enumerate(parts) if part.startswith("space-"))
    numbers = [part for part in parts[start + 1 :] if part.startswith(("cohort-", "res-"))]
    return ", ".join([parts[start].removeprefix("space-"), *numbers])


def _linked(_output_dir: Path, name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _embedded(output_dir: Path, name: str) -> str:
    """A file as a ``data:`` address; "" if it has gone since."""
    try:
        content = (output_dir / name).read_bytes()
    except OSError:
        return ""
    return f"data:{_TYPES[Path(name).suffix]};base64,{base64.b64encode(content).decode()}"
