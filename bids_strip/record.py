"""The record of a run, ``*_desc-brain_qc.json``: written last, read by resume and group level."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_strip.dataset.content import describe_missing, describe_refusal
from bids_strip.domain import Run
from bids_strip.fingerprint import InputFile
from bids_strip.text_file import read_text

NAMES = r".*_qc\.json"
"""Pattern of a record's name."""
OK = "ok"
FAILED = "failed"
_MISMATCH = "template_mismatch"
_WORSE: Mapping[str, Callable[[Iterable[float]], float]] = MappingProxyType(
    {"template_dice": min, "template_stretch_min": min, "template_stretch_max": max}
)
"""Metrics that are of the template space that fits least, and which value is that."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Name of an output relative to OUTPUT_DIR, and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """One run: what went in, what was done, what came out.

    Attributes
    ----------
    bids_name
        The source's file name without extension.
    suffix
        For example ``T1w``.
    entities
        BIDS entity keys and labels of the source.
    status
        ``ok`` or ``failed``.
    stage, reason
        Where and why it failed; None if it did not.
    input
        The source file; None if there was none to read.
    options
        What changed the outputs: border, kinds of output.
    network
        Name, version and sha256.
    software
        Version of bids_strip.
    provider, threads
        Where the network ran.
    elapsed_s, peak_memory_mb
        Wall time, and the most memory the process had held by then.
    stage_seconds
        Wall time of each stage.
    flags
        Findings that are true or false.
    metrics
        See `bids_strip.metrics`.
    outputs
        Every file written beside this one.
    manual
        The mask edited by hand that was followed, below OUTPUT_DIR; None if there was none.
    surface
        What the stored distances are of (``network``, ``outline`` of a stripped input, ``manual``)
        and the program that measured them: an earlier one where only the border was changed since.
    verdict, reasons
        ``ok`` or ``check``, and the names of the rules of `bids_strip.verdict` that say so; None
        and none for a run that failed.
    scanner
        What the source's sidecars say of the scanner, by a whitelist that holds no names, dates
        or identifiers of persons.
    """

    bids_name: str
    suffix: str
    entities: dict[str, str]
    status: str
    stage: str | None = None
    reason: str | None = None
    input: InputFile | None = None
    options: dict[str, Any] = field(default_factory=dict)
    network: dict[str, str] = field(default_factory=dict)
    software: str = ""
    provider: str | None = None
    threads: int | None = None
    elapsed_s: float | None = None
    peak_memory_mb: float | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    outputs: tuple[OutputFile, ...] = ()
    manual: InputFile | None = None
    surface: dict[str, str] = field(default_factory=dict)
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    scanner: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def read_record(path: Path) -> Record | None:
    """The record in a file, None if it is absent, cannot be read, or is not one."""
    try:
        return _parsed(read_text(path, encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _parsed(text: str) -> Record | None:
    """The record that a text spells, None if it is not one."""
    try:
        data = json.loads(text, object_pairs_hook=_table)
        source, manual = data.pop("input"), data.pop("manual", None)
        outputs = tuple(OutputFile(**_known(OutputFile, o)) for o in data.pop("outputs"))
        found = tuple(data.pop("reasons", ()))
        record = Record(
            **_known(Record, data),
            input=InputFile(**_known(InputFile, source)) if source else None,
            outputs=outputs,
            reasons=found,
            manual=InputFile(**_known(InputFile, manual)) if manual else None,
        )
        return record if _is_sound(record) else None
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        return None


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What this version knows of a JSON object: a later one may say more."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; thousands of records share the names of their fields and metrics."""
    return {sys.intern(key): value for key, value in pairs}


def joined(record: Record, earlier: Record) -> Record:
    """A record that also names what an earlier one of the same run has beyond it.

    What it says of template spaces is of those of both: of the one that fits least.
    """
    beyond = {
        name: sorted({*record.options.get(name, ()), *earlier.options.get(name, ())})
        for name in ("outputs", "spaces")
    }
    outputs = {output.name: output for output in (*earlier.outputs, *record.outputs)}
    both = (record, earlier)
    return replace(
        record,
        options={**record.options, **beyond},
        outputs=tuple(outputs.values()),
        flags={**record.flags, _MISMATCH: any(one.flags.get(_MISMATCH, False) for one in both)},
        metrics={**record.metrics, **_least_fit([one.metrics for one in both])},
    )


def _least_fit(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The least good of what some metrics say of template spaces; nothing where none does."""
    known = {name: [metrics[name] for metrics in found if name in metrics] for name in _WORSE}
    return {name: _WORSE[name](values) for name, values in known.items() if values}


def record_in(path: Path) -> Record:
    """The record in a file; one that is damaged or cannot be read becomes a failure saying so."""
    try:
        found, refused = _parsed(read_text(path, encoding="utf-8")), None
    except (OSError, ValueError) as error:
        found, refused = None, describe_refusal(error)
    if found is not None:
        return found
    damaged = "not a record (damaged or cut short); run the participant level again"
    why = refused or describe_missing(path) or damaged
    stem, _, desc = path.name.removesuffix("_qc.json").partition("_desc-brain")
    pairs = (part.partition("-") for part in stem.split("_"))
    suffix = desc or "T1w"
    return Record(
        bids_name=f"{stem}_{suffix}",
        suffix=suffix,
        entities={key: label for key, _, label in pairs},
        status=FAILED,
        stage="gather",
        reason=f"{path.name}: {why}",
    )


def _is_sound(record: Record) -> bool:
    """True if every field that others rely on holds what its type says."""
    tables: tuple[tuple[object, type | tuple[type, ...]], ...] = (
        (record.entities, str),
        (record.network, str),
        (record.surface, str),
        (record.scanner, str),
        (record.flags, bool),
        (record.metrics, object),
        (record.stage_seconds, object),
        (record.options, object),
    )
    texts = (record.bids_name, record.suffix, record.software, *record.reasons)
    told = (record.stage, record.reason, record.provider, record.verdict)
    numbers = (record.threads, record.elapsed_s, record.peak_memory_mb)
    return (
        record.status in (OK, FAILED)
        and all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in told)
        and all(number is None or _is_number(number) for number in numbers)
        and all(
            isinstance(table, dict) and all(isinstance(value, kind) for value in table.values())
            for table, kind in tables
        )
        and all(map(_is_number, (*record.metrics.values(), *record.stage_seconds.values())))
        and _are_options(record.options)
    )


def _is_number(value: object) -> bool:
    """True for a finite number; JSON's ``true`` is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _are_options(options: Mapping[str, Any]) -> bool:
    """True if what stands among the options has the type that a recipe gives it; any may lack."""
    lengths = (options.get(name, 0.0) for name in ("border_mm", "bias_smoothness_mm"))
    lists = (options.get(name, []) for name in ("outputs", "spaces"))
    return all(map(_is_number, lengths)) and all(
        isinstance(some, list) and all(isinstance(one, str) for one in some) for some in lists
    )


def run_of(record: Record) -> Run:
    """The run that a record is of, as far as names go: where its source lies is not known."""
    return Run(Path(), "", tuple(record.entities.items()), record.suffix)


def without_places(reason: str, run: Run, output_dir: Path) -> str:
    """A reason without the folders of this machine: records, pages and manifests travel."""
    raw = str(run.path).removesuffix(run.relative)
    for folder in (f"{output_dir}/", raw):
        reason = reason.replace(folder, "")
    return reason


def made_with(record: Record) -> dict[str, str | float | None]:
    """Columns of the group table: network, program, border, surface, bias field.

    None where a record does not tell.
    """
    options = record.options
    return {
        "network": " ".join(record.network.get(k, "") for k in ("name", "version")).strip() or None,
        "software": record.software or None,
        **{name: options.get(name) for name in ("border_mm", "bias_smoothness_mm")},
        "no_csf": int(bool(options["no_csf"])) if "no_csf" in options else None,
    }


def digest_of(fields: Mapping[str, object]) -> str:
    """SHA-256 of what something is made of, as text; the order of the fields does not count."""
    text = json.dumps(fields, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
