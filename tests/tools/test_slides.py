"""The decks as files. Which cell begins a slide is a rule for notebooks, and browser/test_decks.py measures the slides."""

import re
from pathlib import Path

import pytest

import lecture
import slides
from project import PICTURE, kind, notebooks, read
from rules import MACHINE


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_deck_has_everything_in_itself(path):
    deck = slides.deck(path)
    notes = [cell for cell in read(path).cells if kind(cell) == "notes"]
    assert deck.count('<aside class="notes">') == len(notes)
    assert deck.count('<details class="lecturer" open=""><summary>For the lecturer</summary>') == len(notes)
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"'](?!data:|[$])[^\"']*", deck)
    assert "@import" not in deck and not MACHINE.search(PICTURE.sub("", deck))


def test_a_link_to_a_notebook_leads_to_its_deck():
    deck = slides.deck(notebooks()[0])
    assert ".ipynb" not in "".join(re.findall(r'href="[^"]*"', deck))
    anchor, = set(re.findall(r'href="00_start_here.html#(cell-id=00-leaf)"', deck))
    assert f'id="{anchor}"' in deck


def test_a_second_deck_has_the_same_bytes():
    path = notebooks()[3]
    assert slides.deck(path) == slides.deck(path)


def test_a_lecture_of_no_notebook():
    with pytest.raises(SystemExit, match="There is no notebook 42: the numbers are 00, 01, .*, as in make lecture N=03"):
        lecture.main(["42"])
    with pytest.raises(SystemExit, match="There is no notebook without a number"):
        lecture.main([""])


def test_a_lecture_has_the_settings_of_make_lab(monkeypatch):
    started = []
    monkeypatch.setattr(lecture.subprocess, "run", lambda *command, **options: None)
    monkeypatch.setattr(lecture.subprocess, "call", lambda command, env, **options: started.append((command, env)))
    with pytest.raises(SystemExit):
        lecture.main(["03"])
    (command, variables), = started
    assert f"--LabApp.default_url=/rise/notebooks/{notebooks()[3].name}" in command
    assert Path(variables["JUPYTER_CONFIG_PATH"], "jupyter_server_config.py").exists()
