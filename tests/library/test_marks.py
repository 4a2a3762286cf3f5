"""Marks: what is guilty in a graph is found by sign, border and words: in the picture, as text, and in the alt text."""

import json

import pytest
import torch
from torch import nn

from seegrad import modules, play_backward, show_graph, what_if
from seegrad.looks import GUILTY
from test_drawing import read_svg

NEEDED = "a second backward needs this number"


def doubled(**options):
    x = torch.ones(2, requires_grad=True)
    return show_graph(x=x, loss=(2.0 * x).mean(), **options)


def guilty_boxes(view):
    """The keys of the boxes with a thick border in the colour of guilt."""
    outlines = read_svg(view.svg).outlines
    return [key for key, outline in outlines.items()
            if (outline["stroke"], outline.get("stroke-width")) == (GUILTY.border, str(GUILTY.width))]


def rows(view, key):
    return [row.text for row in read_svg(view.svg).boxes[key]]


def line(view, name):
    found, = (line for line in repr(view).splitlines() if line.startswith(name))
    return found


def test_a_node_is_marked_with_a_border_a_sign_and_words_in_picture_text_and_alt():
    view = doubled().mark(2, NEEDED)
    assert guilty_boxes(view) == ["n2"]
    assert line(view, "[2]").endswith(f"; ✗ {NEEDED}") and f"✗ {NEEDED}" in view.alt
    assert " ".join(rows(view, "n2")).endswith(f"✗ {NEEDED}")
    assert repr(view).count("✗") == view.alt.count("✗") == view.svg.partition(">")[2].count("✗") == 1


def test_a_slot_is_marked_and_not_its_box():
    plain, view = doubled(), doubled().mark(2, NEEDED, slot="other")
    assert guilty_boxes(view) == []
    slot, words = read_svg(view.svg).boxes["n2"][1:3]
    assert slot.text.startswith("✗ ● other") and slot.border == "thick" and words.text.startswith("✗ other: a second")
    assert read_svg(plain.svg).boxes["n2"][1].border == "plain"
    assert line(view, "[2]").endswith(f"; ✗ other () float64 8 B alive; ✗ other: {NEEDED}")


def test_a_tensor_is_marked_by_its_name():
    view = doubled().mark("loss", "holds three nodes")
    loss, = (key for key, box in read_svg(view.svg).boxes.items() if box[0].text == "loss")
    assert guilty_boxes(view) == [loss]
    assert line(view, "loss").endswith("; ✗ holds three nodes")


@pytest.mark.parametrize("detail, words", [("compact", f"✗ other: {NEEDED}"), ("folded", f"✗ [2] other: {NEEDED}")])
def test_a_coarser_level_marks_the_box_in_which_the_slot_is(detail, words):
    view = doubled(detail=detail).mark(2, NEEDED, slot="other")
    assert len(guilty_boxes(view)) == 1 and repr(view).count(words) == 1


def test_several_marks_are_on_one_picture_and_the_first_view_stays_as_it_was():
    plain = doubled()
    view = plain.mark(2, NEEDED).mark("loss", "holds three nodes").mark(2, "and once more")
    assert len(guilty_boxes(view)) == 2 and repr(view).count("✗") == 3
    assert view.snapshot == plain.snapshot and "✗" not in repr(plain) + plain.svg


def test_long_words_are_broken_into_lines_and_keep_their_meaning():
    words = "a < b & c: " + "very long words " * 8
    view = doubled().mark(3, words)
    assert len(rows(view, "n3")) > 4 and " ".join(rows(view, "n3")).endswith(words.strip())
    assert words.strip() in repr(view)


def test_the_alt_text_of_a_large_graph_and_the_summary_of_a_huge_one_tell_the_marks():
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(20):
        y = y.exp()
    view = show_graph(y=y, x=x).mark(7, NEEDED)
    assert view.alt.endswith(f"boxes. ✗ [7] ExpBackward0: {NEEDED}.")
    assert f"\n✗ [7] ExpBackward0: {NEEDED}\n" in repr(show_graph(y=y, x=x, max_boxes=10).mark(7, NEEDED))


def test_what_if_shows_marked_graphs_as_they_are():
    html = what_if(lambda node: doubled().mark(node, NEEDED), node=[2, 3])._repr_mimebundle_()["text/html"]
    assert '"shown"' not in html        # no union of them, in which a mark would be lost
    assert '"shown"' in what_if(lambda node: doubled(), node=[2, 3])._repr_mimebundle_()["text/html"]


def test_a_page_of_modules_is_told_the_marks_with_words_for_a_folded_module_too():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 1))
    with modules(net):
        loss = net(torch.ones(1, 2)).sum()
    view = show_graph(loss=loss, detail="modules", depth=1)
    tanh, = (number for number, node in enumerate(view.snapshot.nodes, 1) if node.name.startswith("Tanh"))
    view = view.mark(tanh, NEEDED, slot="result").mark("loss", "one number")
    assert f"; ✗ [{tanh}] result: {NEEDED}" in line(view, "    0 Sequential")       # it is folded
    folded = ["✗ [5] result: a second backward", "needs this number"]
    assert tanh == 5 and data_of(view)["guilty"] == [
        ["n5", ["✗ result: a second backward needs", "this number"], folded], ["t0", ["✗ one number"], ["✗ one number"]]]
    assert '"guilty":[["n5",["✗ result' in view._repr_mimebundle_()["text/html"]


def test_a_parameter_inside_the_box_of_a_module_is_marked_there_by_its_name():
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    with modules(net):
        loss = net(torch.ones(1, 2)).sum()
    view = show_graph(loss=loss, detail="modules", depth=0).mark("0.weight", "gets no gradient")
    assert "; ✗ 0.weight: gets no gradient" in line(view, "Sequential")
    assert "✗ 0.weight" in view.alt and "✗ 0.weight" in view.svg


def data_of(view):
    html = view._repr_mimebundle_()["text/html"]
    return json.loads(html.partition('<script type="application/json">')[2].partition("</script>")[0])


def test_the_still_of_a_play_that_failed_marks_the_node_where_it_stopped():
    x = torch.ones(2, requires_grad=True)
    loss = x.exp().sum()
    loss.backward()
    html = play_backward(loss, x=x, raises=False)._repr_mimebundle_()["text/html"]
    assert html.count("✗ stops here") == 1
    loss = x.exp().sum()
    assert "✗ stops here" not in play_backward(loss, x=x)._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("where, slot, words", [
    (0, "", "the node 0: this graph has the nodes 1 to 3"),
    (4, "", "the node 4"),
    (2, "result", r"the slot 'result': \[2\] MulBackward0 has 'other'"),
    (3, "self", r"\[3\] MeanBackward0 has no slot"),
    ("y", "", "the name 'y', which no tensor of this picture has: its names are 'x', 'loss'"),
    ("x", "other", "only nodes have slots"),
])
def test_a_mark_on_what_is_not_there_is_refused(where, slot, words):
    with pytest.raises(ValueError, match=words):
        doubled().mark(where, NEEDED, slot=slot)


def test_a_mark_without_words_is_refused():
    with pytest.raises(TypeError, match="say in one short line"):
        doubled().mark(2, " ")


def test_a_mark_is_on_a_number_or_a_name():
    with pytest.raises(TypeError, match="was given a Tensor: give the number of a node, as in 4, or the name of a tensor"):
        doubled().mark(torch.ones(2), NEEDED)
