"""The group page as bytes; what it does in a browser is tested in `test_page`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bids_strip.fingerprint import InputFile
from bids_strip.group.percentiles import percentiles
from bids_strip.group.report import TILES, dataset_key, page
from bids_strip.judged import Judged, Outlier, Rating, mask_key
from bids_strip.naming import figures_of
from bids_strip.page.frame import json_in_html
from bids_strip.record import FAILED, OK, OutputFile, Record, run_of
from bids_strip.verdict import RULES

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028&amp;'\"{{data}}"


def record(label: str, **fields: object) -> Record:
    return Record(**{"bids_name": f"sub-{label}_T1w", "suffix": "T1w", "entities": {"sub": label},
                     "status": OK, "metrics": {"sdt_slope": 1.0, "brain_volume_ml": 1200.0},
                     **fields})  # fmt: skip


class Elements(HTMLParser):
    """Start tags, and the text of each script."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.texts.setdefault(self.tags[-1][1].get("id") or "script", data)


def made(tmp_path: Path, *runs: Judged, **options: object) -> Elements:
    return Elements(page(runs, suffix="T1w", software="bids_strip 1", output_dir=tmp_path,
                         **options))  # fmt: skip


def data_of(elements: Elements) -> dict:
    return json.loads(elements.texts["data"])


def test_it_asks_for_nothing_else(tmp_path: Path) -> None:
    tags = made(tmp_path, Judged(record("1"))).tags
    assert not [tag for tag, a in tags if tag in ("link", "iframe", "object") or "src" in a]
    policy = next(a["content"] for tag, a in tags if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("value", [HOSTILE, {"a": [HOSTILE]}, "\u2029<!--", "\udcff"])
def test_json_in_a_script_element_cannot_end_it(value: object) -> None:
    text = json_in_html(value)
    assert not set(text) & {"<", "\u2028", "\u2029"}
    assert json.loads(text) == value


def test_hostile_texts_add_no_element(tmp_path: Path) -> None:
    plain = made(tmp_path, Judged(record("1")))
    run = record("1", reason=HOSTILE, stage=HOSTILE, status=FAILED,
                 scanner={"StationName": HOSTILE}, bids_name=HOSTILE,
                 entities={"sub": HOSTILE})  # fmt: skip
    hostile = made(tmp_path, Judged(run, rating=Rating("edit", HOSTILE)),
                   ratings={HOSTILE * 2: Rating("edit", HOSTILE)})  # fmt: skip
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    told = data_of(hostile)["runs"][0]
    assert told["name"] == told["note"] == told["scanner"] == HOSTILE


def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = record("1", bids_name="../../secret_T1w", entities={"sub": "1/../../.."})
    picture = (out / figures_of(run_of(run))["tile"]).resolve()
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"x")
    (out / "sub-1").mkdir(parents=True)
    told = data_of(made(out, Judged(run)))["runs"][0]
    assert told["figure"] is told["page"] is None


def test_reasons_are_told_in_words(tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.reason == "already_stripped")
    flagged = replace(record("1"), flags={"already_stripped": True})
    found = (Outlier("sdt_deviation", 7.0), Outlier("brain_volume_ml", -6.0))
    reasons = data_of(made(tmp_path, Judged(flagged, found)))["runs"][0]["reasons"]
    assert rule.words in reasons[0]
    assert "above the group's" in reasons[1]
    assert "below the group's" in reasons[2]


def test_the_worst_carry_their_pictures_and_the_others_link(tmp_path: Path) -> None:
    runs = [Judged(record(f"{n:04d}")) for n in range(TILES + 5)]
    worst = replace(runs[-1], outliers=(Outlier("sdt_slope", 8.0),))
    for run in runs:
        path = tmp_path / figures_of(run_of(run.record))["tile"]
        path.parent.mkdir(parents=True)
        path.write_bytes(b"picture")
    elements = made(tmp_path, *runs[:-1], worst)
    carried = {int(index) for index in json.loads(elements.texts["tiles"])}
    assert carried == {*range(TILES - 1), TILES + 4}
    assert all(run["figure"] for run in data_of(elements)["runs"])


def test_absent_metrics_are_null_and_those_of_nobody_are_left_out(tmp_path: Path) -> None:
    data = data_of(made(tmp_path, Judged(record("1", metrics={"sdt_slope": 0.91234567})),
                        Judged(record("2", metrics={"wm_cov": 0.1}))))  # fmt: skip
    assert [m["key"] for m in data["metrics"]] == ["sdt_slope", "wm_cov"]
    assert [run["values"] for run in data["runs"]] == [[0.912346, None], [None, 0.1]]


def test_ratings_of_other_runs_are_passed_on(tmp_path: Path) -> None:
    """Saving the page of one participant loses nobody's rating."""
    ratings = {"sub-1_T1w": Rating("accept"), "sub-9_T2w": Rating("edit", "eye", "ab")}
    data = data_of(made(tmp_path, Judged(record("1"), rating=ratings["sub-1_T1w"]),
                        ratings=ratings))  # fmt: skip
    assert data["runs"][0]["rating"] == "accept"
    assert data["others"] == {"sub-9_T2w": ["edit", "eye", "ab"]}


def test_masks_of_other_pages_are_told(tmp_path: Path) -> None:
    masks = {"sub-1_T1w": "aa", "sub-9_T2w": "bb"}
    data = data_of(made(tmp_path, Judged(record("1")), masks=masks))
    assert data["beside"] == {"sub-9_T2w": "bb"}


def test_the_key_of_a_dataset_is_that_of_its_inputs() -> None:
    one, two = (Judged(record(n, input=InputFile("a", 1, 1, n * 64))) for n in "12")
    assert dataset_key([one, two]) == dataset_key([two, one])
    judged = replace(one, outliers=(Outlier("wm_cov", 9.0),))
    assert dataset_key([judged, two]) == dataset_key([one, two])
    other = Judged(record("2", input=InputFile("a", 1, 1, "3" * 64)))
    assert dataset_key([one, other]) != dataset_key([one, two])


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"software": "2", "elapsed_s": 9.0, "options": {"border_mm": 0.0, "outputs": []}}, True),
        ({"options": {"border_mm": 2.0}}, False),
        ({"options": {"border_mm": 0.0, "no_csf": True}}, False),
        ({"network": {"sha256": "b"}}, False),
        ({"surface": {"origin": "outline", "software": "1"}}, False),
        ({"manual": InputFile("a", 1, 1, "c")}, False),
        ({"input": InputFile("a", 1, 1, "d")}, False),
        ({"outputs": (OutputFile("sub-1/anat/sub-1_desc-brain_mask.nii.gz", 7),)}, False),
        ({"outputs": (OutputFile("sub-1/anat/sub-1_desc-brain_T1w.nii.gz", 7),)}, True),
        ({"outputs": (OutputFile("sub-1/anat/sub-1_space-X_desc-brain_mask.nii.gz", 7),)}, True),
    ],
)
def test_the_key_of_a_mask_is_that_of_what_made_it(fields: dict[str, object], same: bool) -> None:
    one = record("1", options={"border_mm": 0.0}, network={"sha256": "a"},
                 surface={"origin": "network", "software": "1"})  # fmt: skip
    assert (mask_key(replace(one, **fields)) == mask_key(one)) == same


def test_percentiles_of_the_runs_that_are_done(rng: np.random.Generator) -> None:
    values = rng.normal(1200, 100, 37)
    runs = [Judged(record(f"{n}", metrics={"brain_volume_ml": v})) for n, v in enumerate(values)]
    failed = Judged(record("x", status=FAILED, metrics={}))
    script = percentiles([*runs, failed], "T1w").decode()
    start, text = re.fullmatch(r"(.*)\[\"T1w\"\]=(.*);\n", script).groups()
    assert start == "(window.bidsStripGroups=window.bidsStripGroups||{})"
    group = json.loads(text)
    assert (group["n"], list(group["metrics"])) == (37, ["brain_volume_ml"])
    expected = np.quantile(values, np.arange(101) / 100)
    np.testing.assert_allclose(group["metrics"]["brain_volume_ml"], expected, rtol=1e-5)
    assert "sub-" not in script


def test_percentiles_of_none() -> None:
    failed = Judged(record("1", status=FAILED, metrics={}))
    assert b'"n":0,"metrics":{}' in percentiles([failed], "T1w")
