"""What the group page costs: to make, to open, to work with, for made-up groups.

``python -m benchmarks.page [--runs 1000 ...] [--repeats 5] [--keep DIR] [--json FILE]``

Makes an OUTPUT_DIR of records with every metric, a picture a run and the odd failure; runs
``group`` on it, opens the page from ``file://`` in Debian's Chromium and times that, a search, a
sort and the marking of a run. Opening is the median of the repeats, each in a fresh tab, from the
start of navigation until the page says that it is ready and its load event has ended; beside it
what the page's own thread computed, which a busy machine leaves as it is. Fails (1) if a group of
up to 1,000 runs needs 2 s or more to open, or making any page 60 s or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from benchmarks.browser import browser, missing
from benchmarks.processes import measure
from benchmarks.tables import text_table
from bids_strip.drawing.pictures import Picture, as_webp
from bids_strip.fingerprint import InputFile
from bids_strip.metrics import METRICS
from bids_strip.naming import figures_of
from bids_strip.record import FAILED, OK, Record, run_of
from bids_strip.text_file import to_json

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MOST_OPEN_S, MOST_MAKE_S, FEW_RUNS = 2.0, 60.0, 1000
PICTURE_PX = (1144, 104)
PICTURES = 8
"""Different ones; the runs share them."""
SCANNERS = (("Siemens", "Prisma", "3"), ("Siemens", "Trio", "3"), ("GE", "Signa", "1.5"))
_WORK = """
const timed = (work) => {
  const begun = performance.now();
  work();
  document.body.getBoundingClientRect(); // layout is part of it
  return performance.now() - begun;
};
const search = document.getElementById("search"), sort = document.getElementById("sort");
const send = (element, type) => element.dispatchEvent(new Event(type, {bubbles: true}));
const found = {};
found.search = timed(() => { search.value = "sub-00"; send(search, "input"); });
found.reset = timed(() => { search.value = ""; send(search, "input"); });
found.sort = timed(() => { sort.value = "0"; send(sort, "change"); });
const key = new KeyboardEvent("keydown", {key: "j", bubbles: true});
found.step = timed(() => document.body.dispatchEvent(key));
return found;
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one page costs: seconds, MB of the file and of the script's memory."""

    runs: int
    make_s: float
    make_memory_mb: float
    file_mb: float
    open_s: float
    open_cpu_s: float
    heap_mb: float
    search_ms: float
    sort_ms: float
    step_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[1000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what is made")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    reason = missing()
    if reason:
        parser.error(reason)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        costs = [cost_of(folder / f"group-{n}", n, repeats=args.repeats) for n in args.runs]
    rows = [[str(value) if name == "runs" else value for name, value in asdict(cost).items()]
            for cost in costs]  # fmt: skip
    print(text_table(list(Cost.__dataclass_fields__), rows))
    if args.json:
        args.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")
    slow = [c for c in costs if c.make_s >= MOST_MAKE_S
            or (c.runs <= FEW_RUNS and c.open_s >= MOST_OPEN_S)]  # fmt: skip
    return 1 if slow else 0


def cost_of(out: Path, runs: int, *, repeats: int) -> Cost:
    """Make a group and its page, and time them."""
    make_group(out, runs)
    made = measure([sys.executable, "-m", "bids_strip", str(out / "raw"), str(out), "group"])
    if made.code:
        raise SystemExit(made.output)
    page = out / "group_T1w.html"
    with browser() as chrome:
        opened = [_opened(chrome, page) for _ in range(repeats)]
        heap = chrome.execute_script("return performance.memory.usedJSHeapSize / 1e6")
        work = chrome.execute_script(_WORK)
    open_s, open_cpu_s = (statistics.median(seconds) for seconds in zip(*opened, strict=True))
    return Cost(
        runs, made.elapsed_s, made.peak_process_mb, page.stat().st_size / 1e6, open_s, open_cpu_s,
        heap, work["search"], work["sort"], work["step"],
    )  # fmt: skip


def _opened(chrome: Chrome, page: Path) -> tuple[float, float]:
    """Seconds until the page is ready, and of its thread, in a fresh tab."""
    chrome.switch_to.new_window("tab")
    chrome.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    chrome.get(page.as_uri())
    elapsed_s = chrome.execute_script(
        "const n = performance.getEntriesByType('navigation')[0];"
        "return document.body.dataset.ready ? n.loadEventEnd / 1000 : Infinity"
    )
    metrics = chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return elapsed_s, next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def make_group(out: Path, runs: int, *, seed: int = 20261121) -> None:
    """Write records and pictures of people that there are not.

    Parameters
    ----------
    out
        OUTPUT_DIR.
    runs
        How many; one in fifty failed, one in twenty has a metric that stands out, one in thirty
        a reason.
    seed
        Of what they say.
    """
    rng = np.random.default_rng(seed)
    pictures = [as_webp(_picture(rng), quality=60) for _ in range(PICTURES)]
    middles = {metric.key: abs(rng.normal(100, 60)) + 1 for metric in METRICS}
    for number in range(runs):
        record = _record(number, middles, rng)
        folder = out / f"sub-{record.entities['sub']}"
        (folder / "anat").mkdir(parents=True, exist_ok=True)
        name = f"{folder.name}_desc-brain_qc.json"
        (folder / "anat" / name).write_bytes(to_json(record.to_json()))
        if record.status == OK:
            figure = out / figures_of(run_of(record))["tile"]
            figure.parent.mkdir(exist_ok=True)
            figure.write_bytes(pictures[number % PICTURES])
        (out / f"{folder.name}.html").write_text(
            f"<!doctype html><title>{folder.name}</title><p>{folder.name}</p>\n"
        )


def _record(number: int, middles: dict[str, float], rng: np.random.Generator) -> Record:
    label = f"{number:05d}"
    source = InputFile(f"sub-{label}/anat/sub-{label}_T1w.nii.gz", 1, 1, f"{number:064x}")
    failed = number % 50 == 7
    values = {key: middle * (1 + 0.05 * rng.standard_normal()) for key, middle in middles.items()}
    if number % 20 == 3:
        values[list(values)[number % len(values)]] *= 1.9
    maker, model, field = SCANNERS[number % len(SCANNERS)]
    return Record(
        f"sub-{label}_T1w", "T1w", {"sub": label}, FAILED if failed else OK,
        stage="load" if failed else None,
        reason="sub.nii.gz: cut short; copy it again" if failed else None,
        input=source,
        metrics={} if failed else {key: round(float(v), 4) for key, v in values.items()},
        flags={} if failed else {"already_stripped": number % 30 == 11},
        scanner={"Manufacturer": maker, "ManufacturersModelName": model,
                 "MagneticFieldStrength": field},
    )  # fmt: skip


def _picture(rng: np.random.Generator) -> Picture:
    """Blobs with about as many bytes as slices of a head: 22 kB."""
    width, height = PICTURE_PX
    blobs = ndimage.gaussian_filter(rng.random((height, width)), 1.1)
    grey = np.interp(blobs, (blobs.min(), blobs.max()), (0, 255)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


if __name__ == "__main__":
    sys.exit(main())
