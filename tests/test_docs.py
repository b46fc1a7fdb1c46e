"""Links of the documentation: every page and heading that is named is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from bids_strip.settings import build_parser
from bids_strip.slurm.arguments import _parser as slurm_parser

ROOT = Path(__file__).parents[1]
TOP = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")]
FOLDERS = [ROOT / name / "README.md" for name in ("benchmarks", "training")]
PAGES = sorted((ROOT / "docs").glob("*.md"))


OTHERS = {
    "--derivatives", "--parts", "--host-packages", "--base-from-debootstrap", "--cleanenv", "--nv",
    "--containall", "--no-home", "--container-option", "--imagepath", "--dependency", "--qos",
    "--gpus", "--isolation", "--memory-limit", "--nthreads", "--no-index", "-e",
}  # fmt: skip
"""Options of other programs that stand alone in the text."""


def without_code(text: str) -> str:
    """Fenced blocks hold comments that look like headings, and brackets that look like links."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """GitHub's: small letters, hyphens for spaces, no other marks; a repeated one is numbered."""
    seen: Counter[str] = Counter()
    found = set()
    for title in re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title.strip())
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(page: Path) -> list[str]:
    """Targets inside this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    return [target for target in found if "://" not in target]


@pytest.mark.parametrize(
    "page", [*TOP, *FOLDERS, *PAGES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_resolve(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_readme_leads_to_every_page() -> None:
    named = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    assert named >= {page.resolve() for page in [*PAGES, *FOLDERS]}


def test_the_readme_stays_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 20_000


def options_named(text: str) -> set[str]:
    """In code spans that begin with an option or the program, and in its own lines of blocks."""
    spans = [
        span
        for span in re.findall(r"`([^`]+)`", without_code(text))
        if span.startswith(("-", "bids_strip "))
    ]
    blocks = "\n".join(re.findall(r"^```.*?^```", text, flags=re.M | re.S)).replace("\\\n", " ")
    calls = re.findall(r"\bbids_strip(?:\.sif|:gpu)? (?:slurm-script )?/data ([^#\n]*)", blocks)
    return {
        option for said in (*spans, *calls)
        for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", said)
    }  # fmt: skip


@pytest.mark.parametrize("page", [TOP[0], TOP[1], *PAGES], ids=lambda page: page.name)
def test_options_are_the_programs(page: Path) -> None:
    parsers = (build_parser(""), slurm_parser())
    known = {flag for parser in parsers for one in parser._actions for flag in one.option_strings}
    assert options_named(page.read_text(encoding="utf-8")) <= known | OTHERS


def test_options_are_found() -> None:
    named = options_named((ROOT / "README.md").read_text(encoding="utf-8"))
    assert named >= {"--border", "--container", "--dry-run", "-w"}


def test_what_messages_name_is_there() -> None:
    """Lines that a user sees, and docstrings, may name a page, and a heading of it in quotes."""
    named = 0
    for module in [*ROOT.glob("bids_strip/**/*.py"), *ROOT.glob("benchmarks/*.py")]:
        text = module.read_text(encoding="utf-8")
        for heading, page in re.findall(r'(?:"([^"\n]+)" in )?(docs/\w+\.md)', text):
            named += 1
            assert (ROOT / page).is_file(), (module, page)
            if heading:
                titles = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.M)
                assert heading in titles, (module, heading)
    assert named >= 3
