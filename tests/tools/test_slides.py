"""The notebooks as slides: their types, and the decks as files. A browser measures the slides in browser/test_decks.py."""

import re

import lecture
import nbformat
import pytest
import slides
from rules import MACHINE, NOTEBOOKS, PAYLOAD

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def kind(cell):
    return cell.metadata.slideshow.slide_type


@each_notebook
def test_a_claim_and_a_question_begin_a_slide_and_the_answer_is_not_on_it(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if kind(cell) != "notes"]
    for cell, following in zip(cells, cells[1:]):
        if cell.source.startswith("## ") and kind(cell) != "skip":
            assert kind(cell) == "slide", cell.id
        if "**Predict.**" in cell.source:
            assert kind(cell) in ("slide", "subslide") and kind(following) in ("slide", "subslide"), cell.id
        if cell.id.endswith(("-answers", "-solution")):
            assert kind(cell) == "subslide", cell.id


@each_notebook
def test_every_question_has_a_note_for_the_lecturer_which_readers_see_folded(path):
    cells = nbformat.read(path, as_version=4).cells
    for cell, following in zip(cells, cells[1:]):
        if "**Predict.**" in cell.source:
            assert kind(following) == "notes", cell.id
        if kind(following) == "notes":
            assert re.fullmatch(r"<details><summary>For the lecturer</summary>\n\n.+\n\n</details>", following.source, re.DOTALL)


@each_notebook
def test_a_deck_has_everything_in_itself(path):
    deck = slides.deck(path)
    notes = [cell for cell in nbformat.read(path, as_version=4).cells if kind(cell) == "notes"]
    assert deck.count('<aside class="notes">') == len(notes)
    assert deck.count("<details open=\"\"><summary>For the lecturer</summary>") == len(notes)
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"'](?!data:|[$])[^\"']*", deck)
    assert "@import" not in deck and not MACHINE.search(PAYLOAD.sub("", deck))
    assert deck == slides.deck(path)


def test_a_lecture_of_no_notebook():
    with pytest.raises(SystemExit, match="There is no notebook 42: the numbers are 00, 01, .*, as in make lecture N=03"):
        lecture.main("42")
    with pytest.raises(SystemExit, match="There is no notebook without a number"):
        lecture.main("")
