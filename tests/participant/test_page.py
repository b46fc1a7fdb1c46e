"""The participant's page in a real browser, from ``file://``: Debian's Chromium, no window."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.browser import browser, missing
from bids_strip.group.percentiles import percentiles
from bids_strip.judged import Judged
from bids_strip.naming import names_of
from bids_strip.output.place import Place
from bids_strip.participant.report import renew_page
from bids_strip.participant.write import write_record
from bids_strip.record import FAILED, record_in, run_of
from tests.fakes import FakePredictor, TrueSphere, attempt
from tests.participant.test_report import HOSTILE
from tests.test_pipeline import done, job_of

if reason := missing():
    pytest.skip(reason, allow_module_level=True)

FIRST, SECOND = "sub-01_ses-1_T1w", "sub-01_ses-2_T1w"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Session 1 is done, session 2 failed with a reason that is no friend of the page."""
    import nibabel as nib

    from tests.fakes import make_phantom

    root = tmp_path_factory.mktemp("raw")
    path = root / f"sub-01/ses-1/anat/{FIRST}.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(make_phantom().image, path)
    made = tmp_path_factory.mktemp("derived") / "out"
    job = job_of(path, root, made)
    record = done(attempt(job, FakePredictor(TrueSphere()))).record
    second = replace(job.run, entities=(("sub", "01"), ("ses", "2")))
    write_record(
        second,
        replace(record, bids_name=SECOND, entities=dict(second.entities), status=FAILED,
                stage="predict", reason=HOSTILE, metrics={}, verdict=None),
        job.place,
    )  # fmt: skip
    renew_page("01", job.place, software="bids_strip test")
    return made


@pytest.fixture(scope="module")
def chrome() -> Iterator[object]:
    with browser() as driver:
        yield driver


def opened(driver, address: str) -> None:
    """Open a page and wait for the group's figures, which come after it."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(address)
    ready = "return document.body?.dataset.ready === 'true'"
    WebDriverWait(driver, 30).until(lambda one: one.execute_script(ready))


class Page:
    """The open page, as a rater uses it."""

    def __init__(self, driver, out: Path, group: dict | None = None, anchor: str = "") -> None:
        self.driver = driver
        text = f"window.bidsStripGroups={{T1w: {json.dumps(group)}}};"
        if group is None:
            (out / "group_T1w.js").unlink(missing_ok=True)
        else:
            (out / "group_T1w.js").write_text(text, encoding="utf-8")
        driver.get_log("browser")
        driver.get("about:blank")
        opened(driver, (out / "sub-01.html").as_uri() + anchor)

    def __call__(self, script: str):
        return self.driver.execute_script(f"return {script}")

    def press(self, key: str) -> None:
        self.driver.switch_to.active_element.send_keys(key)

    def seen(self, layer: str) -> bool:
        return self(f"getComputedStyle(document.querySelector('.stack .{layer}')).visibility"
                    ) == "visible"  # fmt: skip

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


def group_of(**metrics: list[float]) -> dict:
    return {"n": 40, "metrics": metrics}


def test_it_opens_without_complaint(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of())
    assert page("document.body.dataset.ready") == "true"
    assert page.errors() == []
    assert page("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page("document.images.length") >= 6
    assert page("[...document.images].every(i => i.hasAttribute('alt'))")
    sizes = page("[...document.querySelectorAll('.stack img')].map(i => [i.naturalWidth, "
                 "i.naturalHeight].join())")  # fmt: skip
    assert set(sizes) == {"1104,418"}


def test_without_a_group_the_column_says_what_to_do(chrome, out: Path) -> None:
    page = Page(chrome, out)
    assert page("document.querySelector('td.place').textContent") == "run the group level"
    assert all("group_T1w.js" in message for message in page.errors())


def test_no_other_script_runs(chrome, out: Path) -> None:
    """Neither in the page nor from an address: what the policy lets in lies beside the page."""
    page = Page(chrome, out, group_of())
    chrome.execute_script(
        "const inline = document.createElement('script');"
        "inline.textContent = 'window.taken = 1';"
        "const other = document.createElement('script');"
        "other.src = 'data:text/javascript,window.taken = 2';"
        "document.head.append(inline, other);"
    )
    assert page("window.taken") is None
    refused = [message for message in page.errors() if "Content Security Policy" in message]
    assert len(refused) == 2


def test_keys_swap_what_is_seen(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of())
    assert (page.seen("contour"), page.seen("curtain")) == (True, False)
    page.press(" ")
    assert (page.seen("contour"), page.seen("curtain")) == (False, True)
    assert page("document.getElementById('strip').getAttribute('aria-pressed')") == "true"
    page.press(" ")
    page.press("c")
    assert (page.seen("contour"), page.seen("curtain")) == (False, False)
    page.press("c")
    assert (page.seen("contour"), page.seen("curtain")) == (True, False)
    assert page("scrollY") == 0


def test_flicker_is_off_until_it_is_asked_for(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of())
    assert page("document.getElementById('flicker').checked") is False
    changes = (
        "new Promise(done => {{ let n = 0; const seen = new MutationObserver(() => n++);"
        "seen.observe(document.body, {{attributes: true}});"
        "setTimeout(() => done(n), {ms}); }})"
    )
    assert page(changes.format(ms=1000)) == 0
    page("document.getElementById('flicker').click()")
    assert page(changes.format(ms=2000)) >= 1
    page("document.getElementById('flicker').click()")
    assert page(changes.format(ms=1000)) == 0


def test_less_motion_means_no_flicker(chrome, out: Path) -> None:
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [still]})
    try:
        page = Page(chrome, out, group_of())
        assert page("document.getElementById('flicker').disabled") is True
    finally:
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_place_in_the_group(chrome, out: Path) -> None:
    record = json.loads((out / names_of(run_of_page(out))["qc"]).read_text())
    volume = record["metrics"]["brain_volume_ml"]
    cases = {
        30: [volume - 30 + n for n in range(101)],  # strictly between
        100: [volume - 200 + n for n in range(101)],  # beyond all
        0: [volume + 1 + n for n in range(101)],
        50: [volume] * 101,  # ties: the middle
    }
    for expected, steps in cases.items():
        page = Page(chrome, out, group_of(brain_volume_ml=steps))
        said = page("document.querySelector('td[data-key=brain_volume_ml]').textContent")
        assert said == f"{expected}th percentile of 40"
        other = page("document.querySelector('td[data-key=mask_pieces]').textContent")
        assert other == "not in the group"


def test_each_run_stands_among_those_of_its_modality(chrome, out: Path, tmp_path: Path) -> None:
    """A T1w and a FLAIR of the same volume, the largest of the one and the least of the other."""
    there = tmp_path / "out"
    shutil.copytree(out, there)
    t1w = record_in(there / names_of(run_of_page(out))["qc"])
    flair = replace(t1w, bids_name="sub-01_ses-1_FLAIR", suffix="FLAIR")
    place = Place(there, tmp_path)
    write_record(run_of(flair), flair, place)
    renew_page("01", place, software="bids_strip test")
    for record, sign in ((t1w, -1), (flair, 1)):
        volume = record.metrics["brain_volume_ml"]
        group = [Judged(replace(record, metrics={"brain_volume_ml": volume + sign * n}))
                 for n in range(11)]  # fmt: skip
        (there / f"group_{record.suffix}.js").write_bytes(percentiles(group, record.suffix))
    opened(chrome, (there / "sub-01.html").as_uri())
    said = {
        suffix: chrome.execute_script(
            f"return document.querySelector('table[data-suffix={suffix}] "
            "td[data-key=brain_volume_ml]').textContent"
        )
        for suffix in ("T1w", "FLAIR")
    }
    assert said == {"T1w": "100th percentile of 11", "FLAIR": "0th percentile of 11"}
    assert chrome.get_log("browser") == []


def run_of_page(out: Path) -> object:
    from bids_strip.domain import Run

    assert out.is_dir()
    return Run(Path("x"), "x", (("sub", "01"), ("ses", "1")), "T1w")


def test_links_of_the_group_page_lead_to_the_run(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of(), anchor=f"#{SECOND}")
    top = f"document.getElementById('{SECOND}').getBoundingClientRect().top"
    assert page("scrollY") > 0
    assert 0 <= page(top) < page("innerHeight")


def test_a_metric_is_told_where_its_name_has_the_focus(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of())
    page("document.querySelector('a.term').focus()")
    assert "voxel" in page("document.getElementById('tip').textContent")
    assert page("document.getElementById('tip').hidden") is False


def test_what_is_hostile_is_inert(chrome, out: Path) -> None:
    page = Page(chrome, out, group_of())
    assert page("document.title") == "sub-01"
    assert HOSTILE in page("document.querySelector('.failure').textContent")
    assert not page("document.querySelector('img[src=x]')")


def test_it_fits_a_narrow_window(chrome, out: Path) -> None:
    size = {"width": 500, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page = Page(chrome, out, group_of())
        assert page("document.documentElement.scrollWidth") <= 500
    finally:
        chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
