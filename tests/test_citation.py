"""The methods paragraph: true to the options, the same bytes for the same call."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip import cli
from bids_strip.card import find_card
from bids_strip.citation import citation
from bids_strip.recipe import Recipe
from tests.fakes import CARD

EMBEDDED = find_card(None)


PLAIN = Recipe(())


def text(recipe: Recipe = PLAIN, card=EMBEDDED) -> str:
    return citation(recipe, card, version="1.2")


def test_it_names_program_network_and_surface() -> None:
    found = text()
    for words in ("bids_strip 1.2", f"{EMBEDDED.name} {EMBEDDED.version}", EMBEDDED.sha256,
                  "within 6 mm", "CC0"):  # fmt: skip
        assert words in found
    assert "reach_mm" not in found
    assert "shifted by" not in found


@pytest.mark.parametrize(("border", "words"), [(2.0, "2 mm outwards"), (-1.5, "1.5 mm inwards")])
def test_a_border_is_told(border: float, words: str) -> None:
    assert words in text(Recipe((), border))


def test_the_tissue_surface_is_told() -> None:
    found = text(Recipe((), no_csf=True))
    assert "surface is that of the tissue" in found
    assert "within 6 mm" not in found


def test_another_network_is_not_said_to_be_trained_as_ours() -> None:
    assert "synthetic" in text()
    found = text(card=CARD)
    assert "synthetic" not in found
    assert "fake 0" in found


@pytest.mark.parametrize(
    "recipe",
    [Recipe(()), Recipe((), 2.0), Recipe((), no_csf=True), Recipe((), spaces=("MNI",))],
)
@pytest.mark.parametrize("card", [EMBEDDED, CARD])
def test_numbers_and_references_agree(recipe: Recipe, card) -> None:
    """Counted from 1 in the order of use; each listed once, with its DOI."""
    methods, references = text(recipe, card).split("# References")
    used = list(dict.fromkeys(int(n) for n in re.findall(r"\[(\d+)\]", methods)))
    listed = re.findall(r"^(\d+)\. .+ doi:10\.\S+$", references, re.MULTILINE)
    assert used == [int(n) for n in listed] == list(range(1, len(used) + 1))
    assert "[@" not in methods


def test_the_same_call_gives_the_same_bytes(phantoms, network: Path, tmp_path: Path) -> None:
    """Wherever it runs, again, and whatever was done before."""
    root = phantoms()
    where = ("logs", "CITATION.md")
    written = []
    for out, label in (("a", "01"), ("b", "02"), ("a", "02")):
        folder = tmp_path / out
        assert cli.main([str(root), str(folder), "participant", "--model", str(network),
                         "--nprocs", "1", "--participant-label", label]) == 0  # fmt: skip
        written.append(folder.joinpath(*where).read_bytes())
    assert written[0] == written[1] == written[2]
    assert str(tmp_path).encode() not in written[0]


def test_a_card_without_words_for_its_surface() -> None:
    found = text(card=replace(EMBEDDED, definition=""))
    assert "the network calls brain" in found


def test_brightness_and_tissues_are_told() -> None:
    found = text(Recipe((), bias_smoothness_mm=60.0))
    assert "60 mm or more" in found
    assert "the network's tissues as prior" in found
    assert "field" not in text(Recipe((), bias_smoothness_mm=0.0)).split("Grey matter")[0]
    assert "depth below the surface as prior" in text(card=CARD)


def test_template_spaces_are_told() -> None:
    assert "TemplateFlow" not in text()
    assert "into MNI152NLin2009cAsym:res-1 of TemplateFlow" in text(
        Recipe((), spaces=("MNI152NLin2009cAsym:res-1",))
    )


def test_the_identity_check_is_told_where_it_was_asked_for() -> None:
    recipe, card = Recipe(("mask",)), find_card(None)
    assert "arXiv:2602.10043" not in citation(recipe, card, version="1")
    assert "arXiv:2602.10043" in citation(recipe, card, version="1", identity=True)
