"""The page of similarities: what it holds, and what it does in a real browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.browser import browser, missing
from bids_strip.group.heatmap import MOST, heatmap, shown_runs
from bids_strip.identity.compared import Identity
from bids_strip.identity.findings import Limits, compare
from bids_strip.record import OK, Record

HOSTILE = "sub-x</script><img src=x onerror=\"document.title='taken'\">"


def identity(truth: list[str], labels: list[str]) -> Identity:
    """Runs of people under labels, similar by who they are."""
    same = np.array([[a == b for b in truth] for a in truth], bool).reshape(len(truth), -1)
    similarity = np.where(same, 0.9, 0.1).astype(np.float32)
    similarity += np.float32(0.1) * np.eye(len(truth), dtype=np.float32)
    results = compare(similarity, labels, [""] * len(truth), Limits(0.6, 0.4))
    records = tuple(Record(f"sub-{label}_run-{n}_T1w", "T1w", {"sub": label}, OK)
                    for n, label in enumerate(labels))  # fmt: skip
    return Identity(records, tuple(range(len(truth))), similarity, results, {})


def data_of(page: bytes) -> dict:
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_the_picture_holds_the_similarities() -> None:
    group = data_of(heatmap([identity(list("ABAC"), list("AABC"))], software="x"))["groups"][0]
    steps = np.frombuffer(base64.b64decode(group["similarity"]), np.uint8).reshape(4, 4)
    assert steps[0].tolist() == [255, 26, 230, 26]
    assert [one["run"] for one in group["found"]] == [
        "sub-A_run-0_T1w", "sub-A_run-1_T1w", "sub-B_run-2_T1w"
    ]  # fmt: skip


def test_of_many_runs_those_with_a_finding_are_shown() -> None:
    people = [f"{n:04d}" for n in range(MOST + 200)]
    one = identity([*people[:-1], people[3]], people)
    shown = shown_runs(one)
    assert len(shown) == MOST
    assert {3, MOST + 199} <= set(shown)
    assert shown == sorted(shown)


def test_nothing_points_outside() -> None:
    page = heatmap([identity(list("AB"), list("AB"))], software="<b>").decode()
    assert "default-src &#39;none&#39;" in page
    assert "&lt;b&gt;" in page
    assert not re.search(r"https?://|src=|@import", page)


# in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chrome() -> Iterator[object]:
    if reason := missing():
        pytest.skip(reason)
    with browser() as driver:
        yield driver


def test_in_a_browser(chrome, tmp_path: Path) -> None:
    one = identity(list("ABABCCD"), list("AABBCCD"))
    records = (replace(one.records[0], bids_name=HOSTILE), *one.records[1:])
    path = tmp_path / "group_identity.html"
    path.write_bytes(heatmap([replace(one, records=records)], software="bids_strip"))
    chrome.get(path.as_uri())
    assert chrome.title == "bids_strip: identity"
    assert "7 runs compared, 4 do not fit" in chrome.page_source
    rows = chrome.find_elements("css selector", "table.found tbody tr")
    assert rows[0].text.startswith(HOSTILE)
    rows[1].find_element("tag name", "button").click()
    said = chrome.find_element("css selector", ".map output")
    assert "sub-A_run-1_T1w" in said.text
    assert "sub-B_run-3_T1w" in said.text
    assert "similarity 0.90: looks like one person; labelled as two participants" in said.text
    canvas = chrome.find_element("tag name", "canvas")
    chrome.execute_script("arguments[0].focus()", canvas)
    canvas.send_keys("\ue014")  # right arrow
    assert "sub-C_run-4_T1w" in said.text
    colours = chrome.execute_script(
        "const n = arguments[0].width, c = n / 7;"
        "const all = arguments[0].getContext('2d').getImageData(0, 0, n, n).data;"
        "return [[5, 4], [6, 0]].map(([x, y]) => {"
        "  const at = 4 * (Math.floor((y + .5) * c) * n + Math.floor((x + .5) * c));"
        "  return Array.from(all.slice(at, at + 3)); })",
        canvas,
    )
    assert sum(colours[0]) > 2 * sum(colours[1])  # alike is bright, unlike dark
    assert chrome.get_log("browser") == []


def test_a_thousand_runs_open_quickly(chrome, tmp_path: Path) -> None:
    people = [f"{n // 2:04d}" for n in range(MOST)]
    path = tmp_path / "group_identity.html"
    path.write_bytes(heatmap([identity(people, people)], software="bids_strip"))
    chrome.get(path.as_uri())
    loaded = chrome.execute_script(
        "const n = performance.getEntriesByType('navigation')[0]; return n.loadEventEnd"
    )
    assert loaded < 5000  # under a second on an idle machine
    assert chrome.find_element("css selector", "p.found").text.startswith("Nothing")
