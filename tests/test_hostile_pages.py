"""Pages of a hostile dataset in a real browser: what it says is shown, and nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import browser, missing
from bids_strip import cli
from bids_strip.fingerprint import InputFile
from bids_strip.output.place import Place
from bids_strip.participant.report import renew_page
from bids_strip.record import FAILED, OK, OutputFile, Record, read_record
from bids_strip.text_file import to_json

if reason := missing():
    pytest.skip(reason, allow_module_level=True)

TAKE = "document.title='taken'"
EVIL = (
    f'</script><script>{TAKE}</script><img src=x onerror="{TAKE}"><svg/onload={TAKE}>'
    f"'\"><a href=\"javascript:{TAKE}\">a</a><base href='https://example.org/'>"
    f"<link rel=stylesheet href='https://example.org/x.css'><!--<style>\u2028{TAKE}\u2029"
    "{{ 7 * 7 }}{% raw %}]]>&#60;script&#62;</textarea></title></template>"
)


def hostile(label: str, **fields: Any) -> Record:
    """A record that somebody edited: the text stands wherever a record takes text."""
    made = Record(
        bids_name=f"sub-{label}_T1w", suffix="T1w", entities={"sub": label}, status=OK,
        input=InputFile(EVIL, 1, 1, EVIL), options={"border_mm": 0.0, "outputs": [EVIL],
                                                    EVIL: EVIL, "spaces": [EVIL]},
        network={"name": EVIL, "version": EVIL, "sha256": EVIL}, software=EVIL, provider=EVIL,
        stage_seconds={EVIL: 1.0}, flags={EVIL: True, "already_stripped": True},
        metrics={"brain_volume_ml": 1200.0, EVIL: 3.0}, outputs=(OutputFile(EVIL, 3),),
        surface={"origin": EVIL, "software": EVIL}, verdict="check", reasons=(EVIL,),
        scanner={"Manufacturer": EVIL, "ManufacturersModelName": EVIL, EVIL: EVIL},
    )  # fmt: skip
    return replace(made, **fields)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a hostile dataset, with hostile ratings; both levels have made their pages."""
    out = tmp_path_factory.mktemp("hostile") / "out"
    records = [
        hostile("01"),
        hostile("02", status=FAILED, stage=EVIL, reason=EVIL, metrics={}, verdict=None, reasons=()),
        hostile("03", entities={"sub": "03", "acq": "x", "ses": "y"}),
    ]
    for record in records:
        name = record.bids_name.removesuffix("_T1w")
        path = out / name / "anat" / f"{name}_desc-brain_qc.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(to_json(record.to_json()))
        assert read_record(path) == record  # as sound as any: nothing else keeps it out
        renew_page(record.entities["sub"], Place(out, out / ".work"), software=EVIL)
    note = EVIL.replace("\u2028", " ").replace("\u2029", " ")
    table = f"bids_name\trating\tnote\nsub-01_T1w\treject\t{note}\n{note}\taccept\t{note}\n"
    (out / "ratings.tsv").write_text(table, encoding="utf-8")
    assert cli.main(["/no/such/dataset", str(out), "group"]) == 0
    return out


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as driver:
        yield driver


@pytest.mark.parametrize("page", ["sub-01.html", "sub-02.html", "group_T1w.html"])
def test_nothing_runs_and_nothing_is_fetched(out: Path, chrome: Any, page: str) -> None:
    chrome.get((out / page).as_uri())
    for field in chrome.find_elements("css selector", "details"):
        chrome.execute_script("arguments[0].open = true", field)
    said = chrome.execute_script(
        """const all = [...document.querySelectorAll('*')];
        return {
          title: document.title,
          text: document.body.textContent,
          handlers: all.flatMap((e) => [...e.attributes]).filter((a) => /^on/i.test(a.name)).length,
          links: all.filter((e) => /^\\s*javascript:/i.test(e.getAttribute('href') || '')).length,
          strange: document.querySelectorAll('base, link[rel=stylesheet], img[src=x]').length,
          loaded: performance.getEntriesByType('resource').map((e) => e.name),
        };"""
    )
    assert said["title"] != "taken"
    assert "document.title='taken'" in said["text"]
    assert (said["handlers"], said["links"], said["strange"]) == (0, 0, 0)
    assert all(name.startswith(("file:", "data:")) for name in said["loaded"])
    asked = [line["message"] for line in chrome.get_log("browser")]
    assert not [line for line in asked if "example.org" in line or "Refused" in line]


def test_tables_keep_their_cells(out: Path) -> None:
    """One line a run, as many cells as the header: no tab or line end of a text gets through."""
    lines = (out / "group_T1w.tsv").read_text(encoding="utf-8").split("\n")
    assert len(lines) == 5
    assert len({line.count("\t") for line in lines[:-1]}) == 1
    assert json.loads((out / "group_T1w.json").read_text(encoding="utf-8"))
