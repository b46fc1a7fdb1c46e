"""The group page in a real browser, from ``file://``: Debian's Chromium, without a window."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.browser import browser, missing
from bids_strip import cli
from bids_strip.fingerprint import InputFile
from bids_strip.judged import mask_key
from bids_strip.naming import figures_of
from bids_strip.record import FAILED, OK, Record, record_in, run_of
from bids_strip.text_file import to_json

if reason := missing():
    pytest.skip(reason, allow_module_level=True)

# a white pixel as WebP
PIXEL = bytes.fromhex(
    "524946461e000000574542505650384c110000002f0000000007d0fffef7bfff8188e87f0000"
)
RUNS = 24
HOSTILE = "</script><img src=x onerror=\"document.title='taken'\">"


def record(number: int, **fields: object) -> Record:
    label = f"{number:02d}"
    metrics = {
        "brain_volume_ml": 1200.0 + 7 * (number * 11 % RUNS),
        "sdt_slope": 0.95 + number / 1e3,
    }
    if number % 2:
        metrics["wm_cov"] = 0.08
    return Record(**{
        "bids_name": f"sub-{label}_T1w", "suffix": "T1w", "entities": {"sub": label}, "status": OK,
        "input": InputFile(f"sub-{label}.nii.gz", 1, 1, label * 32), "metrics": metrics,
        "scanner": {"Manufacturer": "GE" if number % 3 else "Philips"}, **fields,
    })  # fmt: skip


def put(out: Path, *records: Record) -> None:
    for one in records:
        folder = out / f"sub-{one.entities['sub']}"
        (folder / "anat").mkdir(parents=True)
        (folder / "anat" / f"{folder.name}_desc-brain_qc.json").write_bytes(to_json(one.to_json()))
        (out / f"{folder.name}.html").write_text(
            f"<!doctype html><title>page of {folder.name}</title><p>{folder.name}</p>"
        )
        if one.status == OK:
            figure = out / figures_of(run_of(one))["tile"]
            figure.parent.mkdir()
            figure.write_bytes(PIXEL)


def group(out: Path, *options: str) -> int:
    return cli.main(["/there/is/no/such/dataset", str(out), "group", *options])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group: most are fine, 03 is stripped already, 05 stands out, 07 failed."""
    out = tmp_path_factory.mktemp("page") / "out"
    runs = [record(n) for n in range(RUNS)]
    runs[3] = replace(runs[3], flags={"already_stripped": True})
    runs[5] = replace(runs[5], metrics={**runs[5].metrics, "brain_volume_ml": 3000.0})
    runs[7] = replace(runs[7], status=FAILED, stage="load", reason=f"07.nii: {HOSTILE}", metrics={})
    put(out, *runs)
    assert group(out) == 0
    return out


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    downloads = tmp_path_factory.mktemp("downloads")
    with browser(downloads=downloads) as driver:
        driver.downloads = downloads
        yield driver


class Page:
    """The open page, as a rater uses it."""

    def __init__(self, driver, out: Path, suffix: str = "T1w") -> None:
        self.driver, self.out, self.suffix = driver, out, suffix
        self.open()

    def open(self) -> None:
        self.driver.get((self.out / f"group_{self.suffix}.html").as_uri())
        assert self("return document.body.dataset.ready") == "true"

    def __call__(self, script: str, *arguments: object):
        return self.driver.execute_script(script, *arguments)

    def find(self, css: str):
        return self.driver.find_element("css selector", css)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def search(self, words: str) -> None:
        self.find("#search").clear()
        self.find("#search").send_keys(words)
        self("document.activeElement.blur()")

    def choose(self, select: str, words: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.find(select)).select_by_visible_text(words)

    @property
    def rows(self) -> list[str]:
        return self(
            "return [...document.querySelectorAll('#rows li')].map((li) => li.dataset.name)"
        )

    @property
    def lines(self) -> list[str]:
        return self(
            "return [...document.querySelectorAll('tbody tr')].map((tr) => tr.dataset.name)"
        )

    @property
    def marked(self) -> tuple[list[str], list[str], str]:
        """What is marked in masks and table, and what a plot says."""
        time.sleep(0.1)  # views turn with the next frame
        names = [self(f"return [...document.querySelectorAll('{css}')].map((e) => e.dataset.name)")
                 for css in ("#rows .marked", "tbody .marked")]  # fmt: skip
        return *names, self.find("canvas").get_attribute("aria-valuetext")

    def point_at(self, name: str, metric: int = 0) -> tuple[object, int, int]:
        """Pointer over a run's mark in a plot, where the page itself says that it lies."""
        from selenium.webdriver import ActionChains

        canvas = self.driver.find_elements("css selector", "canvas")[metric]
        self("arguments[0].scrollIntoView({block: 'center'})", canvas)
        time.sleep(0.2)
        left, top = place_of(self.out, name, canvas.size["width"])
        offset = (round(left - canvas.size["width"] / 2), round(top - canvas.size["height"] / 2))
        ActionChains(self.driver).move_to_element_with_offset(canvas, *offset).perform()
        return canvas, *offset


def place_of(out: Path, name: str, width: int) -> tuple[float, float]:
    """Where the mark of a run's brain volume lies: 9 px of room, heights by Knuth's product."""
    with (out / "group_T1w.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    values = [float(r["brain_volume_ml"]) for r in rows if r["brain_volume_ml"] != "n/a"]
    index = [r["bids_name"] for r in rows].index(name)
    share = (float(rows[index]["brain_volume_ml"]) - min(values)) / (max(values) - min(values))
    height = 27 + (((index * 2654435761) % 2**32) / 2**31 - 1) * 17
    return 9 + share * (width - 18), height


@pytest.fixture
def page(chrome, made: Path) -> Iterator[Page]:
    """The page as somebody opens it for the first time; at the end the console is empty."""
    chrome.get((made / "sub-00.html").as_uri())
    chrome.execute_script("localStorage.clear()")
    chrome.get_log("browser")
    yield Page(chrome, made)
    assert chrome.get_log("browser") == []


# opening -------------------------------------------------------------------------------------


def test_what_wants_eyes_comes_first(page: Page) -> None:
    assert page.rows[:4] == ["sub-03_T1w", "sub-05_T1w", "sub-07_T1w", "sub-00_T1w"]
    assert len(page.rows) == 10
    assert page.lines[:3] == page.rows[:3]
    assert len(page.lines) == RUNS
    assert "stripped" in page.find("#rows li").text
    assert "2 to check, 1 failed, 21 ok" in page.find("#counts").text


def test_pictures_are_shown(page: Page) -> None:
    time.sleep(0.3)
    sizes = page("return [...document.querySelectorAll('#rows img')].map((i) => i.naturalWidth)")
    assert len(sizes) >= 2
    assert set(sizes) == {1}
    assert "failed" in page.find("#rows li:nth-child(3) .absent").text


def test_hostile_texts_are_text(page: Page) -> None:
    time.sleep(0.2)
    assert page("return document.title").startswith("bids_strip: 24 T1w runs")
    assert HOSTILE in page.find("#rows li:nth-child(3) .why").text
    assert page("return document.querySelectorAll('[onerror]').length") == 0


def test_a_plot_a_metric_with_what_it_means(page: Page) -> None:
    titles = page("return [...document.querySelectorAll('canvas')].map((c) => c.dataset.metric)")
    assert titles == ["brain_volume_ml", "sdt_slope", "wm_cov"]
    ask = page.find("figure button")
    page("arguments[0].click()", ask)
    assert "voxel volume" in page.find("figure .meaning").text
    assert ask.get_attribute("aria-expanded") == "true"


# search, filter, sort ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sub-05", {"sub-05_T1w"}),
        ("stripped", {"sub-03_T1w"}),
        ("philips sub-0", {f"sub-0{n}_T1w" for n in (0, 3, 6, 9)}),
        ("brain_volume_ml>2000", {"sub-05_T1w"}),
        ("sdt_slope<=0.951", {"sub-00_T1w", "sub-01_T1w"}),
        ("brain_volume_ml>2e3", {"sub-05_T1w"}),
        ("brain_volume_ml  >= 2000", {"sub-05_T1w"}),
        ("brain_volume_ml > 2000 sub-04", set()),
        ("no such thing", set()),
    ],
)
def test_search(page: Page, words: str, expected: set[str]) -> None:
    page.search(words)
    assert set(page.rows) == set(page.lines) == expected
    assert page.find("#none").is_displayed() == (not expected)


def test_a_limit_that_is_none_is_told(page: Page) -> None:
    page.search("brain_volume > 1000")
    assert page.rows == []
    assert page.find("#counts").text.endswith("; no metric is called brain_volume")
    page.search("brain_volume_ml>1,000")
    assert page.find("#counts").text.endswith("; 1,000 is no number")
    page.search("brain_volume_ml>1000")
    assert page.find("#counts").text.endswith("ok")


def test_filter(page: Page) -> None:
    page.choose("#show", "to check")
    assert page.lines == ["sub-03_T1w", "sub-05_T1w"]
    page.choose("#show", "failed")
    assert page.lines == ["sub-07_T1w"]


def test_sort_by_a_metric(page: Page) -> None:
    def volumes() -> list[float]:
        cells = page("return [...document.querySelectorAll('tbody td:nth-child(6)')]"
                     ".map((cell) => cell.textContent)")  # fmt: skip
        assert cells[-1] == "n/a"  # whatever the direction
        return [float(cell) for cell in cells[:-1]]

    heading = page.driver.find_element("xpath", "//th[contains(., 'brain volume')]")
    button = heading.find_element("css selector", "button")
    page("arguments[0].click()", button)
    assert volumes() == sorted(volumes())
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.rows == page.lines[:10]
    assert "brain volume" in page.find("#rows li .value").text
    page("arguments[0].click()", button)
    assert volumes() == sorted(volumes(), reverse=True)
    assert page.lines[0] == page.rows[0] == "sub-05_T1w"
    assert heading.get_attribute("aria-sort") == "descending"


def test_pages_of_the_list(page: Page) -> None:
    first = page.rows
    page("document.querySelector('#mask-pages button:nth-of-type(2)').click()")
    assert len(page.rows) == 10
    assert not set(first) & set(page.rows)
    assert "11 to 20 of 24" in page.find("#mask-pages").text


# going and coming back -----------------------------------------------------------------------


def view_of(page: Page) -> list[object]:
    """What the controls say, what is shown, which row is marked and where it is in the window."""
    time.sleep(0.3)
    return page("""
        const value = (id) => document.getElementById(id).value;
        const marked = document.querySelector('#rows .marked');
        const text = (id) => document.getElementById(id).textContent;
        return [...['search', 'show', 'sort'].map(value), text('reverse'), text('counts'),
                marked.dataset.name, Math.round(marked.getBoundingClientRect().top),
                [...document.querySelectorAll('#rows li')].map((li) => li.dataset.name)];""")


@pytest.mark.parametrize("way", ["back", "refresh"])
def test_the_page_is_found_again_as_it_was_left(page: Page, way: str) -> None:
    page.search("sub")
    page.choose("#show", "ok")
    page.choose("#sort", "brain volume")
    page("document.querySelector('#reverse').click(); document.activeElement.blur()")
    page.press(*("j" * 16))  # on the second page of the list
    left = view_of(page)
    assert left[3:6] == ["largest first", "21 shown of 24: 2 to check, 1 failed, 21 ok", left[7][5]]
    if way == "back":
        page.press("o")
        assert page.driver.title.startswith("page of")
    getattr(page.driver, way)()
    assert view_of(page) == left
    page.press("j")
    assert page.marked[0] == [left[7][6]]


def test_the_place_below_the_masks_is_found_again(page: Page) -> None:
    canvas = page.point_at("sub-05_T1w")[0]
    top = "return Math.round(arguments[0].getBoundingClientRect().top)"
    left = page(top, canvas)
    page.press("o")
    page.driver.back()
    time.sleep(0.5)
    assert page.marked[0] == ["sub-05_T1w"]
    assert page(top, page.find("canvas")) == pytest.approx(left, abs=40)


def test_a_page_that_is_opened_anew_shows_all(page: Page) -> None:
    page.choose("#show", "failed")
    page.driver.get((page.out / "sub-00.html").as_uri())
    page.open()
    assert len(page.lines) == RUNS
    assert page.marked[0] == []


# marking -------------------------------------------------------------------------------------


def test_a_mark_in_a_plot_is_seen_everywhere_and_leads_to_the_page(page: Page) -> None:
    from selenium.webdriver import ActionChains

    canvas, *offset = page.point_at("sub-05_T1w")
    assert page.marked == (["sub-05_T1w"], ["sub-05_T1w"], "sub-05_T1w: 3000")
    assert "sub-05_T1w" in page.find("#dock").text
    ActionChains(page.driver).move_to_element_with_offset(canvas, *offset).click().perform()
    assert page.driver.title == "page of sub-05"


def test_a_row_of_the_table_marks_too(page: Page) -> None:
    from selenium.webdriver import ActionChains

    page.find("#table").location_once_scrolled_into_view  # noqa: B018 - it scrolls
    line = page.find("tbody tr:nth-child(2)")
    ActionChains(page.driver).move_to_element(line).move_by_offset(3, 0).perform()
    assert page.marked[:2] == (["sub-05_T1w"], ["sub-05_T1w"])


def test_a_plot_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = page.find("canvas")
    canvas.send_keys(Keys.END)
    assert page.marked[2] == "sub-05_T1w: 3000"
    canvas.send_keys(Keys.ARROW_LEFT)
    assert page.marked[2].endswith(f": {1200 + 7 * (RUNS - 1)}")
    canvas.send_keys(Keys.END, Keys.ENTER)
    assert page.driver.title == "page of sub-05"


# rating --------------------------------------------------------------------------------------


def ratings_of(page: Page) -> list[str]:
    return page("return [...document.querySelectorAll('#rows li')].map((li) => li.dataset.rating)")


def test_rating_by_keyboard_goes_on_and_is_undone(page: Page) -> None:
    page.press("j", "e", "a")
    assert ratings_of(page)[:3] == ["edit", "accept", ""]
    assert page.marked[0] == ["sub-07_T1w"]
    assert "2 of 24 rated, 2 of 2 to check" in page.find("#rated").text
    page.press("u")
    assert ratings_of(page)[:3] == ["edit", "", ""]
    assert page.marked[0] == ["sub-05_T1w"]


def hold(page: Page, key: str, repeats: int = 5) -> None:
    """Keep a key down until the keyboard has repeated it."""
    for n in range(repeats + 1):
        pressed = {"type": "keyDown", "key": key, "text": key, "autoRepeat": n > 0}
        page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", pressed)
    page.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": key})


def test_a_key_held_down_rates_one_mask(page: Page) -> None:
    page.press("j")
    hold(page, "a")
    assert ratings_of(page)[:3] == ["accept", "", ""]
    hold(page, "r")
    hold(page, "u")
    assert ratings_of(page)[:3] == ["accept", "", ""]
    hold(page, "j", repeats=2)
    assert page.marked[0] == [page.rows[4]]


def test_the_last_run_is_told(page: Page) -> None:
    page.search("sub-03")
    page.press("j", "a")
    assert page.find("#said").text == "That was the last run shown."
    page.press("a")
    assert page.find("#said").text == "Taken back: the rating of sub-03_T1w."
    assert ratings_of(page) == [""]
    page.press("n")
    page.press("x")
    assert page.find("#said").text == ""


def test_what_was_saved_is_told_to_have_changed(page: Page) -> None:
    page.press("j", "e", "k")
    assert len(saved_ratings(page)) == 1
    assert page.find("#said").text.startswith("Saved. Put ratings.tsv into OUTPUT_DIR")
    page.press("j")
    assert page.find("#said").text.startswith("Saved.")
    page.press("a")
    changed = "Changed since ratings.tsv was saved: save it again."
    assert page.find("#said").text == changed
    page.press("k", "a")
    assert page.find("#said").text == f"{changed} Taken back: the rating of sub-05_T1w."
    assert len(saved_ratings(page)) == 1
    assert page.find("#said").text.startswith("Saved.")


def test_keys_reach_no_run_that_is_not_shown(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press("j", "a")
    page.press("k")
    page.find("#search").send_keys("sub-05", Keys.ESCAPE)
    assert page.marked == ([], [], "no run marked")
    assert not page.find("#dock").is_displayed()
    page.press("o", "a")  # nothing is marked: the first run shown is
    assert page.marked[0] == ["sub-05_T1w"]
    assert ratings_of(page) == [""]
    page.press("u")  # of a run that is not shown
    assert "sub-03_T1w, which is not shown" in page.find("#said").text
    assert page.marked[0] == ["sub-05_T1w"]
    page.search("no such thing")
    page.press("a", "n", "o", "u")
    page.open()
    assert set(ratings_of(page)) == {""}
    assert page.driver.title.startswith("bids_strip")


def test_a_mask_on_another_page_of_the_list_is_seen_before_it_is_rated(page: Page) -> None:
    page.press("j")
    page("document.querySelector('#mask-pages button:nth-of-type(2)').click()")
    page("document.activeElement.blur()")
    page.press("r")
    assert page.marked[0] == ["sub-03_T1w"]
    assert set(ratings_of(page)) == {""}
    page.press("r")
    assert ratings_of(page)[0] == "reject"


def test_keys_are_listed(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press("?")
    assert "undo" in page.find("#keys").text
    page.press("a")  # rates nothing while the list is open
    page.press(Keys.ESCAPE)
    assert not page.find("#keys").is_displayed()
    assert set(ratings_of(page)) == {""}


def test_a_rating_lasts_as_long_as_the_browser(page: Page) -> None:
    page.press("j", "r")
    page.open()
    assert ratings_of(page)[0] == "reject"
    page.choose("#show", "rejected")
    assert page.lines == ["sub-03_T1w"]


def test_saved_ratings_are_read_back_by_the_group_level(
    page: Page, chrome, tmp_path: Path, capsys
) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press("j", "e", "k", "n")
    page.press("leaks  into the <b>eye</b> ", Keys.ENTER)
    page.find("#rows li:nth-child(2)").send_keys("a")
    page.press("s")
    saved = waited(chrome.downloads / "ratings.tsv")
    out = tmp_path / "out"
    shutil.copytree(page.out, out)
    shutil.move(saved, out / "ratings.tsv")
    assert group(out) == 0
    with (out / "group_T1w.tsv").open(newline="") as file:
        rows = {r["bids_name"]: r for r in csv.DictReader(file, delimiter="\t")}
    first, second = rows["sub-03_T1w"], rows["sub-05_T1w"]
    assert (first["rating"], first["note"]) == ("edit", "leaks into the <b>eye</b>")
    assert (second["rating"], second["note"]) == ("accept", "n/a")
    assert {rows[f"sub-{n:02d}_T1w"]["rating"] for n in range(RUNS) if n not in (3, 5)} == {"n/a"}
    page("localStorage.clear()")
    again = Page(chrome, out)  # a browser that knows nothing
    assert ratings_of(again)[:3] == ["edit", "accept", ""]
    assert again("return document.querySelector('.note').value") == "leaks into the <b>eye</b>"


def waited(path: Path) -> Path:
    """A file once it is whole."""
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return path


def test_ratings_are_loaded_from_a_file(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("bids_name\trating\tnote\nsub-05_T1w\treject\tn/a\nsub-99_T1w\taccept\t\n"
                    "sub-03_T1w\tperfect\t\n")  # fmt: skip
    page.find("#import").send_keys(str(path))
    time.sleep(0.2)
    assert ratings_of(page)[:2] == ["", "reject"]
    said = page.find("#said").text
    assert said.startswith("2 ratings read; 1 of them of runs that this page does not show: kept")
    assert said.endswith("1 damaged row left out.")
    path.write_text("no\ttable\n")
    page.find("#import").send_keys(str(path))
    time.sleep(0.2)
    assert "needs the columns" in page.find("#said").text
    assert ratings_of(page)[:2] == ["", "reject"]


def test_notes_that_a_spreadsheet_quoted_are_read_as_they_were_typed(
    page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text('bids_name\trating\tnote\nsub-05_T1w\tedit\t"dark, ""rim"""\n'
                    'sub-03_T1w\tedit\t"dark rim"\n')  # fmt: skip
    page.find("#import").send_keys(str(path))
    time.sleep(0.2)
    notes = page("return [...document.querySelectorAll('.note')].map((field) => field.value)")
    assert {'dark, "rim"', '"dark rim"'} <= set(notes)


def test_a_note_is_kept_with_each_letter_and_undone_at_once(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press("j", "n")
    page.press("leaks")
    page.open()  # the field was never left
    assert page("return document.querySelector('.note').value") == "leaks"
    page.press("j", "n")
    page.press(" here", Keys.ENTER)
    page.press("u")
    assert page("return document.querySelector('.note').value") == "leaks"


@pytest.mark.parametrize(
    "stored", ["null", "7", "[1]", '{"sub-03_T1w": null}', '{"sub-03_T1w": 1}']
)
def test_a_store_that_holds_something_else(page: Page, stored: str) -> None:
    page.press("j", "a")
    page("localStorage.setItem(Object.keys(localStorage)[0], arguments[0])", stored)
    page.open()
    assert set(ratings_of(page)) == {""}


def test_a_rating_of_another_mask_says_so(page: Page, chrome, tmp_path: Path) -> None:
    page.press("j", "a", "a")
    out = tmp_path / "out"
    shutil.copytree(page.out, out)
    path = out / "sub-03/anat/sub-03_desc-brain_qc.json"
    path.write_text(path.read_text().replace('"options": {}', '"options": {"border_mm": 2}'))
    assert group(out) == 0
    other = Page(chrome, out)
    told = [e.is_displayed() for e in other.driver.find_elements("css selector", "#rows .another")]
    assert told[:3] == [True, False, False]
    assert other.find("#rows .another").text == "rated on another mask"
    assert other.find("tbody .rating").text == "accept (rated on another mask)"
    assert "1 of 24 rated, 1 of 2 to check" in other.find("#rated").text
    other.press("s")
    saved = waited(chrome.downloads / "ratings.tsv")
    lines = [line.split("\t") for line in saved.read_text().splitlines()]
    saved.unlink()
    assert lines[0] == ["bids_name", "rating", "note", "mask_key"]
    keys = {line[0]: line[3] for line in lines[1:]}
    assert keys == {f"sub-{n}_T1w": mask_key(read(page.out, n)) for n in ("03", "05")}
    assert keys["sub-03_T1w"] != mask_key(read(out, "03"))
    assert "1 rating given to another mask: saved as such" in other.find("#said").text
    other.press("j", "a")  # the same again, of this mask
    assert "2 of 24 rated, 2 of 2 to check" in other.find("#rated").text
    assert not other.find("#rows .another").is_displayed()
    assert ratings_of(other)[:2] == ["accept", "accept"]


def test_what_was_not_saved_outlives_a_run_that_is_added(
    page: Page, chrome, tmp_path: Path
) -> None:
    page.press("j", "e", "a", "j", "n")
    page.press("later")  # on one that is not rated
    out = tmp_path / "out"
    shutil.copytree(page.out, out)
    put(out, record(RUNS))
    assert group(out) == 0
    more = Page(chrome, out)
    assert len(more.lines) == RUNS + 1
    assert ratings_of(more)[:2] == ["edit", "accept"]
    assert f"2 of {RUNS + 1} rated, 2 of 2 to check" in more.find("#rated").text
    notes = "return [...document.querySelectorAll('#rows .note')].map((field) => field.value)"
    assert more(notes)[:5] == ["", "", "", "later", ""]
    # each has one place: what was said before never comes back over what is said later
    assert more("return Object.keys(localStorage).length") == 1
    more.press("j", "r")
    back = Page(chrome, page.out)
    assert ratings_of(back)[:2] == ["reject", "accept"]
    back.press("j", "r")  # taken back
    again = Page(chrome, out)
    assert ratings_of(again)[:2] == ["", "accept"]


@pytest.mark.parametrize(("later_s", "shown"), [(60, "reject"), (-60, "accept")])
def test_of_two_pages_that_are_open_the_later_word_counts(
    page: Page, later_s: int, shown: str
) -> None:
    """Another page of the same masks, with a run more, keeps what it is told meanwhile."""
    page.press("j", "a")
    page(
        """const [[key, kept]] = Object.entries(localStorage);
        const [[name, one]] = Object.entries(JSON.parse(kept));
        const other = { ...one, rating: "reject", at: one.at + 1000 * arguments[0] };
        localStorage.setItem("bids_strip ratings other", JSON.stringify({ [name]: other }));""",
        later_s,
    )
    page.open()
    assert ratings_of(page)[0] == shown
    assert page("return Object.keys(localStorage).length") == 1


def test_another_scan_or_mask_under_the_name_is_not_rated_by_it(
    page: Page, chrome, tmp_path: Path
) -> None:
    """Another dataset calls its participants 03 and 05 as well; here 03 has another border."""
    page.press("j", "e", "a", "r")  # the third has failed: no mask is there to tell it by
    out = tmp_path / "out"
    runs = [record(n, input=InputFile("x", 1, 1, "f" * 64), flags={"already_stripped": True})
            if n == 5 else record(n) for n in range(RUNS + 1)]  # fmt: skip
    runs[3] = replace(runs[3], options={"border_mm": 2.0})
    runs[7] = replace(runs[7], status=FAILED, stage="load", reason="cut short", metrics={})
    put(out, *runs)
    assert group(out) == 0
    other = Page(chrome, out)
    assert f"0 of {RUNS + 1} rated" in other.find("#rated").text
    assert set(ratings_of(other)) == {""}
    assert ratings_of(Page(chrome, page.out))[:3] == ["edit", "accept", "reject"]  # not lost


@pytest.mark.parametrize("kept", ["null", "[", "7", '{"sub-03_T1w": null, "sub-05_T1w": 7}'])
def test_a_store_beside_that_holds_something_else(page: Page, kept: str) -> None:
    page("localStorage.setItem('bids_strip ratings beside', arguments[0])", kept)
    page.open()
    assert set(ratings_of(page)) == {""}
    assert page.find("#said").text == ""
    page.press("j", "a")
    page.open()
    assert ratings_of(page)[0] == "accept"


@pytest.fixture
def second(page: Page) -> Iterator[object]:
    """Handle of a second tab, of the same page; the first is in front."""
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open()
    handle = page.driver.current_window_handle
    page.driver.switch_to.window(first)
    yield handle
    page.driver.switch_to.window(handle)
    page.driver.close()
    page.driver.switch_to.window(first)


def test_two_tabs_lose_nobodys_rating(page: Page, second) -> None:
    first = page.driver.current_window_handle
    page.press("j", "a")
    page.driver.switch_to.window(second)
    time.sleep(0.3)
    assert ratings_of(page)[:2] == ["accept", ""]  # what the other tab kept meanwhile
    assert "1 of 24 rated" in page.find("#rated").text
    page.press("j", "j", "r")
    page.driver.switch_to.window(first)
    time.sleep(0.3)
    assert ratings_of(page)[:2] == ["accept", "reject"]
    page.press("k", "a")  # taken back
    page.open()
    assert ratings_of(page)[:2] == ["", "reject"]
    page.driver.switch_to.window(second)
    page.open()
    assert ratings_of(page)[:2] == ["", "reject"]


def test_a_tab_that_does_not_hear_of_the_other_overwrites_nothing(page: Page) -> None:
    key = page("return Object.keys(localStorage)[0]")
    theirs = '{"sub-05_T1w": {"rating": "edit", "note": "", "mask": "", "at": 1}}'
    page("localStorage.setItem(arguments[0], arguments[1])", key, theirs)  # tells no one here
    page.press("j", "a")
    page.open()
    assert ratings_of(page)[:2] == ["accept", "edit"]


FILL = """
let size = 1e6, n = 0;
while (size >= 1) {
  try { localStorage.setItem(`filled ${n}`, "x".repeat(size)); n += 1; }
  catch { size = Math.floor(size / 2); }
}"""


def test_a_store_that_is_full_is_told_until_there_is_room(page: Page) -> None:
    page.press("j")
    page(FILL)
    page.press("a")
    assert "save ratings.tsv now" in page.find("#unkept").text
    assert ratings_of(page)[0] == "accept"
    page("Object.keys(localStorage).filter((key) => key.startsWith('filled'))"
         ".forEach((key) => localStorage.removeItem(key))")  # fmt: skip
    page.press("e")
    assert not page.find("#unkept").is_displayed()
    page.open()
    assert ratings_of(page)[:2] == ["accept", "edit"]  # the one that had found no room too


def read(out: Path, label: str) -> Record:
    return record_in(out / f"sub-{label}/anat/sub-{label}_desc-brain_qc.json")


def test_a_rating_on_file_of_another_mask_says_so(page: Page, chrome, tmp_path: Path) -> None:
    """Another browser, or another rater: nothing but the file knows which mask was seen."""
    out = tmp_path / "out"
    shutil.copytree(page.out, out)
    rows = f"sub-03_T1w\taccept\teye\t000\nsub-05_T1w\tedit\tn/a\t{mask_key(read(out, '05'))}\n"
    (out / "ratings.tsv").write_text(f"bids_name\trating\tnote\tmask_key\n{rows}")
    assert group(out) == 0
    other = Page(chrome, out)
    assert other.find("tbody .rating").text == "accept (rated on another mask)"
    assert "1 of 24 rated, 1 of 2 to check" in other.find("#rated").text
    other.press("s")
    saved = waited(chrome.downloads / "ratings.tsv")
    text = saved.read_text()
    saved.unlink()
    assert rows.splitlines() == text.splitlines()[1:]  # nobody's rating is lost
    other.press("j", "a")  # the same again, of this mask
    assert not other.find("#rows .another").is_displayed()
    other.open()
    assert "2 of 24 rated, 2 of 2 to check" in other.find("#rated").text
    assert other.find("#said").text == ""


def test_a_file_of_another_mask_that_is_loaded_says_so(page: Page, tmp_path: Path) -> None:
    page.press("j", "k", "e")
    head = "bids_name\trating\tnote\tmask_key\n"
    rows = "sub-03_T1w\taccept\tn/a\t000\nsub-05_T1w\taccept\tn/a\t000\n"
    said = loaded(page, tmp_path / "theirs.tsv", head + rows)
    assert said == "2 ratings read; 2 of them rated on another mask: not counted."
    assert ratings_of(page)[:2] == ["edit", "accept"]  # what was said of this mask stays
    told = [e.is_displayed() for e in page.driver.find_elements("css selector", "#rows .another")]
    assert told[:2] == [False, True]
    own = f"sub-05_T1w\treject\tn/a\t{mask_key(read(page.out, '05'))}\n"
    assert loaded(page, tmp_path / "own.tsv", head + own) == "1 rating read."
    assert ratings_of(page)[:2] == ["edit", "reject"]
    assert "2 of 24 rated, 2 of 2 to check" in page.find("#rated").text


def loaded(page: Page, path: Path, content: str) -> str:
    """What the page says of a file."""
    path.write_bytes(content.encode())
    page.find("#import").send_keys(str(path))
    time.sleep(0.2)
    return page.find("#said").text


def test_ratings_of_several_pages_are_saved_in_one_file(page: Page, chrome, tmp_path: Path) -> None:
    page.press("j", "a")
    loaded(page, tmp_path / "one.tsv", "bids_name\trating\tnote\nsub-99_T2w\tedit\teye\n")
    page.open()  # the browser keeps what the page does not show
    loaded(page, tmp_path / "two.tsv", "bids_name\trating\nsub-98_T2w\treject\n")
    page.press("s")
    saved = waited(chrome.downloads / "ratings.tsv")
    lines = [line.rpartition("\t")[0] for line in saved.read_text().splitlines()[1:]]
    saved.unlink()
    assert lines == [
        "sub-03_T1w\taccept\tn/a", "sub-99_T2w\tedit\teye", "sub-98_T2w\treject\tn/a",
    ]  # fmt: skip


def saved_ratings(page: Page) -> list[tuple[str, str]]:
    """Names and ratings of the file that the page saves."""
    page("document.activeElement.blur()")
    page.press("s")
    path = waited(page.driver.downloads / "ratings.tsv")
    lines = path.read_text().splitlines()[1:]
    path.unlink()
    return [tuple(line.split("\t")[:2]) for line in lines]


def test_each_page_saves_what_was_rated_on_the_others(page: Page, tmp_path: Path) -> None:
    """Made by calls of their own, one a modality, before any rating was saved."""
    out = tmp_path / "out"
    shutil.copytree(page.out, out)
    t2w = record(30, bids_name="sub-30_T2w", suffix="T2w")
    put(out, t2w)
    (out / "ratings.tsv").write_text(
        f"bids_name\trating\tnote\tmask_key\nsub-05_T1w\taccept\tn/a\t{mask_key(read(out, '05'))}\n"
    )
    assert group(out) == group(out, "--modality", "T2w") == 0
    first = Page(page.driver, out)
    first.press("j", "e", "r")  # the second is on file as another rating
    second = Page(page.driver, out, "T2w")
    second.press("j", "a")
    expected = [("sub-30_T2w", "accept"), ("sub-03_T1w", "edit"), ("sub-05_T1w", "reject")]
    assert sorted(saved_ratings(second)) == sorted(expected)
    first.open()
    assert sorted(saved_ratings(first)) == sorted(expected)


def test_a_page_saves_nothing_of_another_output_folder(page: Page, tmp_path: Path) -> None:
    page.press("j", "a", "a")
    out = tmp_path / "out"  # of the same scans; 03 has another mask, 05 is not there
    put(out, replace(record(3), options={"border_mm": 2.0}),
        record(30, bids_name="sub-30_T2w", suffix="T2w"))  # fmt: skip
    assert group(out, "--modality", "T2w") == 0
    other = Page(page.driver, out, "T2w")
    other.press("j", "e")
    assert saved_ratings(other) == [("sub-30_T2w", "edit")]


def test_a_file_that_a_spreadsheet_saved(page: Page, tmp_path: Path) -> None:
    head = "bids_name\trating\tnote\r\n"
    content = head + "sub-03_T1w\t Accept\tN/A\r\n\t\t\r\n\r\nn/a\tn/a\t\r\n\t\t"
    assert loaded(page, tmp_path / "a.tsv", content) == "1 rating read."
    assert ratings_of(page)[0] == "accept"
    twice = "sub-05_T1w\tedit\t\r\n\t\t\r\nsub-05_T1w\treject\t\r\n"
    said = loaded(page, tmp_path / "b.tsv", head + twice)
    assert said.startswith("Not read: line 4: sub-05_T1w stands in line 2 already")
    assert ratings_of(page)[:2] == ["accept", ""]
    assert "needs the columns" in loaded(page, tmp_path / "c.tsv", "\n")


# on paper ------------------------------------------------------------------------------------


def test_all_that_is_shown_is_printed(page: Page) -> None:
    blank = """return [...document.querySelectorAll('canvas')].filter((canvas) => {
        const empty = document.createElement('canvas');
        [empty.width, empty.height] = [canvas.width, canvas.height];
        return empty.toDataURL() === canvas.toDataURL(); }).length"""
    assert page(blank) > 0  # drawn when they come into sight
    page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert page(blank) == 0
    assert page("return document.querySelectorAll('#rows img').length") == 9
    assert page("return document.querySelectorAll('#rows li').length") == 10


# other sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open()
        assert page("return document.documentElement.scrollWidth") <= width
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_marked_row_is_below_the_header(page: Page) -> None:
    """In a narrow window, where the header has many lines, and more with each thing said."""
    metrics = {"width": 770, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    places = """const bottom = document.querySelector('header').getBoundingClientRect().bottom;
        return [bottom, document.querySelector('#rows .marked').getBoundingClientRect().top];"""
    try:
        page.open()
        page.press(*"jjjja")
        for key in "kkksku":
            page.press(key)
            if key != "s":
                header, row = page(places)
                assert header <= row + 1, key
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        waited(page.driver.downloads / "ratings.tsv").unlink()


def test_one_run(chrome, tmp_path: Path) -> None:
    put(tmp_path, record(1))
    assert group(tmp_path) == 0
    chrome.get_log("browser")
    page = Page(chrome, tmp_path)
    assert page.rows == page.lines == ["sub-01_T1w"]
    page.press("j", "a")
    assert "1 of 1 rated" in page.find("#rated").text
    assert chrome.get_log("browser") == []


def test_failed_runs_alone(chrome, tmp_path: Path) -> None:
    put(tmp_path, record(1, status=FAILED, stage="load", reason="cut short", metrics={}))
    assert group(tmp_path) == 0
    chrome.get_log("browser")
    page = Page(chrome, tmp_path)
    assert page.rows == ["sub-01_T1w"]
    assert page("return document.querySelectorAll('canvas').length") == 0
    assert chrome.get_log("browser") == []
