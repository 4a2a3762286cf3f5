"""How a slot looks stands in one place, the table of looks: pictures and player follow it, and no script names a colour."""

import re
from dataclasses import replace

import pytest
import torch
from matplotlib.colors import CSS4_COLORS

from project import ROOT
from seegrad import looks, play_backward, show_graph
from seegrad.snapshot import ALIVE, CHANGED, FREED, STATES
from test_drawing import read_svg, slot_rows
from test_play import read_page

SCRIPTS = sorted([*ROOT.glob("seegrad/*.js"), *ROOT.glob("tools/pages/*.js")])      # tools/deck holds those of others
COLOUR = re.compile(rf"\b(?:{'|'.join(CSS4_COLORS)})\b|#[0-9a-f]{{3,8}}\b|\b(?:rgb|hsl|hwb|lab|lch|oklab|oklch|color)a?\(",
                    re.IGNORECASE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_names_a_colour(script):
    assert COLOUR.findall(script.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line", ['fill("orange")', "'#b00020'", "fill: #FFF;", "rgb(1, 2, 3)", "hsla(0, 0%, 0%)", "Black"])
def test_a_colour_is_found(line):
    assert COLOUR.search(line)


@pytest.mark.parametrize("kind", looks.FILLS)
def test_a_browser_knows_the_colour_of_each_kind_of_box(kind):
    assert looks.FILLS[kind] in CSS4_COLORS or COLOUR.fullmatch(looks.FILLS[kind])


def freed_graph():
    x = torch.ones(2, requires_grad=True)
    loss = x.exp().sum()
    loss.backward()
    return show_graph(loss, x=x).svg


def played():
    x = torch.ones(2, requires_grad=True)
    return read_page(play_backward(x.exp().sum(), x=x))


def test_the_look_of_a_freed_slot_is_changed_in_one_place(monkeypatch):
    look = replace(looks.SLOTS[FREED], mark="!", fill="#123456", border="#654321", width=3, dashed=False)
    before, data_before = freed_graph(), played().data
    monkeypatch.setitem(looks.SLOTS, FREED, look)
    after, page = freed_graph(), played()
    assert "#123456" not in before

    row, = slot_rows(read_svg(after))
    inside, border = row.shapes
    assert row.text.startswith("! result freed")
    assert (inside["fill"], border["stroke"], border["stroke-width"]) == ("#123456", "#654321", "3")
    assert "stroke-dasharray" not in border

    assert page.data["picture"]["looks"].pop(FREED) == [{"fill": "#123456"},
                                             {"stroke": "#654321", "stroke-width": 3, "stroke-dasharray": "none"}]
    del data_before["picture"]["looks"][FREED]
    assert page.data["picture"]["looks"] == data_before["picture"]["looks"]
    changes = [change for frame in page.data["frames"] for change in frame["changes"] if change[3] == FREED]
    assert changes and all(words.startswith("! ") for _, _, words, _ in changes)


def in_all_states():
    """A graph with a slot in each state."""
    x = torch.ones(2, requires_grad=True)
    freed, changed = x.exp(), x.sigmoid()
    freed.sum().backward()
    with torch.no_grad():
        changed.add_(1)
    return show_graph(freed, changed, x.sin(), x=x)


def test_the_player_draws_a_slot_as_graphviz_does():
    of_the_player = played().data["picture"]["looks"]
    assert set(of_the_player) == {*STATES, ""}      # "": a slot that is gone
    rows = slot_rows(read_svg(in_all_states().svg))
    for state, mark in {ALIVE: "●", FREED: "○", CHANGED: "▲"}.items():
        row, = (row for row in rows if row.text.startswith(mark))
        drawn = ({"stroke-width": "1", "stroke-dasharray": "none", **shape} for shape in row.shapes)
        for shape, attributes in zip(drawn, of_the_player[state], strict=True):
            assert {name: shape[name] for name in attributes} == {name: str(value) for name, value in attributes.items()}
