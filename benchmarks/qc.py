"""Does quality control find the bad mask: failures put into heads, and heads left as they are.

``python -m benchmarks.qc [--data BIDS_DIR ...] [--labels LABELS CACHE] [--json FILE]``
``python -m benchmarks.qc --again FILE ...``

Each head goes through the App's own stages as it is, then once for each failure of
`benchmarks.faults`; the table says how often `bids_strip.verdict` asks to check, and how often by a
reason that fits. LABELS and CACHE as for ``training.evaluate``: heads are drawn from the held-out
maps. ``--again`` judges the metrics of earlier FILEs by the rules of now.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np

from benchmarks.faults import (
    BESIDE,
    FAULTS,
    HALVED,
    INWARDS,
    NOISE,
    OUTWARDS,
    STRIPPED,
    TURNED,
    Fault,
    Image,
    ImageFault,
    found_in,
)
from bids_strip import __version__
from bids_strip.card import Card, find_card
from bids_strip.dataset.selection import select
from bids_strip.domain import Conformed, Prediction, Run
from bids_strip.errors import BidsStripError
from bids_strip.machine.resources import available_cpus
from bids_strip.naming import names_of
from bids_strip.output.place import Place
from bids_strip.participant.attempt import attempt
from bids_strip.participant.job import Done, Job
from bids_strip.participant.load import load
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.recipe import Recipe
from bids_strip.registration.reference import Reference, load_reference
from bids_strip.settings import Settings
from bids_strip.verdict import reasons

UNTOUCHED = "untouched"
DRAWN = "drawn"
CAUGHT, ALARMS = 0.95, 0.10
"""Least share of failures found by a fitting reason, most of untouched heads to check."""
NO_BRAIN = "failed"
"""The run fails in a line that says that there is no brain: nobody takes it for a good one."""

FITTING: Mapping[str, tuple[str, ...]] = MappingProxyType({
    OUTWARDS: ("leak", "too_large", "at_tissue", "lower_edge"),
    INWARDS: ("loss", "too_small", "at_tissue"),
    BESIDE: ("at_tissue", "leak", "loss", "unlike_a_brain", "turned"),
    HALVED: ("beside_nothing", "loss", "unlike_a_brain", NO_BRAIN),
    TURNED: ("turned", "unlike_a_brain", NO_BRAIN),
    NOISE: ("unlike_a_brain", "beside_nothing", NO_BRAIN),
    STRIPPED: ("already_stripped",),
})  # fmt: skip
"""Reasons that tell a rater what is wrong, by kind of failure."""


@dataclass(frozen=True, slots=True)
class Case:
    """A head, untouched or with one failure, and what quality control measured.

    Attributes
    ----------
    dataset
        Where the head comes from: a folder's name, or ``drawn``.
    head
        Name of the run.
    fault, kind
        Which failure; ``untouched`` and "" for none.
    failed
        The line a user sees where the run failed, else "".
    metrics, flags
        Of the record.
    seconds
        Of the stages ``match`` and ``qc``.
    """

    dataset: str
    head: str
    fault: str
    kind: str
    failed: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why someone should look, by the rules of now."""
        return (NO_BRAIN,) if self.failed else reasons(self.metrics, self.flags)

    @property
    def fits(self) -> bool:
        """True if one of the reasons fits the failure."""
        return bool({*self.reasons} & {*FITTING.get(self.kind, ())})

    @property
    def group(self) -> str:
        """Row block of the tables."""
        return f"{self.dataset}, {'T1w' if self.head.endswith('_T1w') else 'other contrasts'}"


@dataclass
class Listening:
    """A network whose last answer is kept: what a failure starts from."""

    network: Predictor
    conformed: Conformed | None = None
    prediction: Prediction | None = None

    @property
    def card(self) -> Card:
        """The network's card."""
        return self.network.card

    @property
    def provider(self) -> str:
        """Where it runs."""
        return self.network.provider

    def __call__(self, conformed: Conformed) -> Prediction:
        """Predict one head."""
        self.conformed, self.prediction = conformed, self.network(conformed)
        return self.prediction


@dataclass(frozen=True, eq=False)
class Saying:
    """A network with one answer, whatever the head."""

    card: Card
    provider: str
    answer: Prediction

    def __call__(self, conformed: Conformed) -> Prediction:
        """Give the answer."""
        return self.answer


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share: the network, the reference, where files may lie."""

    network: Predictor
    reference: Reference
    folder: Path

    def measured(self, run: Run, predictor: Predictor, case: Case) -> Case:
        """The case with what the App's own stages measured."""
        place = Place(self.folder / "out", self.folder / "staging")
        job = Job(run, Recipe(outputs=("mask",)), place, __version__, available_cpus())
        outcome = attempt(job, lambda: predictor)
        if not isinstance(outcome, Done):
            return replace(case, failed=outcome.reason)
        record = outcome.record
        seconds = sum(record.stage_seconds.get(stage, 0.0) for stage in ("match", "qc"))
        return replace(case, metrics=record.metrics, flags=record.flags, seconds=seconds)

    def image_of(self, run: Run) -> Image:
        """A head that was measured just now, and its mask."""
        mask = nib.Nifti1Image.from_filename(self.folder / "out" / names_of(run)["mask"])
        return Image(load(run.path).volume, np.asarray(mask.dataobj) > 0)


def cases_of(
    run: Run, dataset: str, bench: Bench, faults: Sequence[Fault] = FAULTS
) -> Iterator[Case]:
    """One head as it is, then with each failure that can be had in it."""
    listening = Listening(bench.network)
    untouched = bench.measured(run, listening, Case(dataset, run.name, UNTOUCHED, ""))
    yield untouched
    if not faults or untouched.failed or listening.conformed is None:
        return
    assert listening.prediction is not None
    image = bench.image_of(run)
    found = found_in(listening.conformed, listening.prediction, bench.reference)
    for fault in faults:
        case = Case(dataset, run.name, fault.name, fault.kind)
        if isinstance(fault, ImageFault):
            changed = _with_fault(run, fault, image, bench)
            yield bench.measured(changed, bench.network, case)
            changed.path.unlink()
        elif answer := fault.make(found, _draw(run, fault)):
            saying = Saying(bench.network.card, bench.network.provider, answer)
            yield bench.measured(run, saying, case)


def _draw(run: Run, fault: Fault) -> np.random.Generator:
    """The same one for a head and a failure each time."""
    return np.random.default_rng(zlib.crc32(f"{run.name} {fault.name}".encode()))


def _with_fault(run: Run, fault: ImageFault, image: Image, bench: Bench) -> Run:
    """The run of a head with a failure of the image."""
    volume = fault.make(image, _draw(run, fault))
    folder = bench.folder / "faulty"
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.name}.nii"
    stored = nib.Nifti1Image(volume.data, volume.grid.affine)
    stored.header.set_xyzt_units("mm", "sec")
    nib.save(stored, path)
    return replace(run, path=path, relative=path.name)


def judged(cases: Sequence[Case]) -> list[str]:
    """Both tables as markdown: failures caught, and untouched heads left alone, by group."""
    groups = list(dict.fromkeys(case.group for case in cases))
    faults = list(dict.fromkeys(case.fault for case in cases if case.kind))
    said = ["| failure | " + " | ".join(groups) + " | all |", "|---" * (len(groups) + 2) + "|"]
    for fault in [*faults, ""]:
        rows = [case for case in cases if case.kind and fault in ("", case.fault)]
        columns = [[case for case in rows if case.group == group] for group in groups]
        cells = [_caught(column) for column in [*columns, rows]]
        said.append(f"| {fault or 'all'} | " + " | ".join(cells) + " |")
    said += ["", "| untouched heads | to check | of | reasons |", "|---|---|---|---|"]
    for group in groups:
        said.append(_alarms(group, [c for c in cases if not c.kind and c.group == group]))
    said.append(_alarms("all", [case for case in cases if not case.kind]))
    return said


def _caught(cases: Sequence[Case]) -> str:
    """``check`` / with a fitting reason / of."""
    if not cases:
        return "-"
    return f"{sum(bool(c.reasons) for c in cases)} / {sum(c.fits for c in cases)} / {len(cases)}"


def _alarms(group: str, cases: Sequence[Case]) -> str:
    named = [f"{c.head}: {', '.join(c.reasons)}" for c in cases if c.reasons]
    return f"| {group} | {len(named)} | {len(cases)} | {'; '.join(named) or '-'} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; return 1 if a target is missed, 2 if there is nothing to read."""
    args = _parser().parse_args(argv)
    try:
        cases = _stored(args.again) if args.again else list(_measured(args))
    except BidsStripError as error:
        print(f"benchmarks.qc: {error}", file=sys.stderr)
        return 2
    print("\n".join(judged(cases)))
    faulty = [case for case in cases if case.kind]
    untouched = [case for case in cases if not case.kind]
    caught = sum(case.fits for case in faulty) >= CAUGHT * len(faulty)
    calm = sum(bool(case.reasons) for case in untouched) <= ALARMS * len(untouched)
    return 0 if caught and calm else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.qc",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="BIDS_DIR")
    parser.add_argument(
        "--modality",
        nargs="+",
        default=["T1w"],
        metavar="SUFFIX",
        help="other suffixes than T1w are left untouched: false alarms alone",
    )
    parser.add_argument("--labels", type=Path, nargs=2, metavar=("LABELS", "CACHE"))
    parser.add_argument("--drawn", type=int, default=8, help="T1w-like heads drawn from the maps")
    parser.add_argument("--contrasts", type=int, default=4, help="heads of any contrast beside")
    parser.add_argument(
        "--faulty", type=int, default=1000, metavar="N", help="put failures into the first N alone"
    )
    parser.add_argument(
        "--again", type=Path, nargs="+", metavar="FILE", help="files of --json, instead of heads"
    )
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a line a case is appended to it")
    return parser  # fmt: skip


def _measured(args: argparse.Namespace) -> Iterator[Case]:
    network = load_predictor(find_card(args.model), device="cpu", threads=available_cpus())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(network, load_reference(), Path(folder))
        for number, (dataset, run) in enumerate(_heads(args, Path(folder) / "drawn")):
            asked = number < args.faulty and (dataset == DRAWN or run.suffix == "T1w")
            for case in cases_of(run, dataset, bench, FAULTS if asked else ()):
                print(f"{dataset} {run.name} {case.fault}: {', '.join(case.reasons) or 'ok'}",
                      file=sys.stderr)  # fmt: skip
                if args.json:
                    _kept(case, args.json)
                yield case


def _heads(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Run]]:
    """Datasets' names and their runs."""
    for root in args.data:
        asked = Settings(root, folder, "participant", modality=tuple(args.modality))
        yield from ((root.name, run) for run in select(asked).runs)
    if args.labels:
        from benchmarks.drawn import drawn_heads  # the generator needs torch

        labels, cache = args.labels
        runs = drawn_heads(labels, cache, folder, heads=args.drawn, others=args.contrasts)
        yield from ((DRAWN, run) for run in runs)


def _kept(case: Case, path: Path) -> None:
    """Append a line, so that what was measured stays if the rest is not."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(case)) + "\n")


def _stored(paths: Sequence[Path]) -> list[Case]:
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [Case(**json.loads(line)) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
