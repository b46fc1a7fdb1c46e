"""An OUTPUT_DIR in which every run of a dataset is done, made up: what resuming a large one meets.

``python -m benchmarks.finished BIDS_DIR OUTPUT_DIR``

Records as the program writes them, beside files of the recorded sizes that hold nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bids_strip import __version__
from bids_strip.card import find_card
from bids_strip.cli import parse
from bids_strip.dataset.selection import select
from bids_strip.domain import Run
from bids_strip.fingerprint import fingerprint
from bids_strip.metrics import METRICS
from bids_strip.naming import APP, names_of, sidecar_name
from bids_strip.record import OK, OutputFile, Record
from bids_strip.settings import Settings
from bids_strip.text_file import to_json

BYTES = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Write it."""
    raw, out = sys.argv[1:] if argv is None else argv
    make_finished(Path(raw), Path(out))
    return 0


def make_finished(raw: Path, out: Path) -> int:
    """Write records and outputs of all runs; return how many runs there are."""
    settings = parse([str(raw), str(out), "participant"])
    runs = select(settings).runs
    network = {"sha256": find_card(None).sha256}
    for run in runs:
        _finish(run, settings, network)
    return len(runs)


def _finish(run: Run, settings: Settings, network: dict[str, str]) -> None:
    kinds = names_of(run)
    images = [kinds[kind] for kind in settings.recipe.outputs]
    names = [*images, *map(sidecar_name, images)]
    (settings.output_dir / images[0]).parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        with (settings.output_dir / name).open("wb") as file:
            file.truncate(BYTES)
    record = Record(
        run.name,
        run.suffix,
        dict(run.entities),
        OK,
        input=fingerprint(run),
        options=settings.recipe.to_options(),
        network=network,
        software=f"{APP} {__version__}",
        metrics={metric.key: 1.0 for metric in METRICS},
        outputs=tuple(OutputFile(name, BYTES) for name in names),
        verdict="ok",
    )
    (settings.output_dir / kinds["qc"]).write_bytes(to_json(record.to_json()))


if __name__ == "__main__":
    sys.exit(main())
