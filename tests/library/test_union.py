"""Several graphs as one picture: what the switches show of it for a choice is what the picture of that choice shows."""

import itertools
import json
from collections import Counter
from graphlib import TopologicalSorter
from xml.etree import ElementTree

import pytest
import torch

from random_graphs import each_graph
from seegrad import show_graph, show_picture, what_if
from seegrad.diagram import Arrow, Box, Diagram
from seegrad.union import unite
from seegrad.view import WhatIf
from test_drawing import at_all_levels, draw_once, plot
from test_play import SVG, Reader


def told(view):
    """What the script of the switches is told."""
    return json.loads(Reader(view._repr_mimebundle_()["text/html"]).scripts[0][1])


def parts(svg):
    """The words of each box by its key, and the words of each line by its key, as the script finds them."""
    boxes, lines, count = {}, {}, Counter()
    for group in ElementTree.fromstring(svg).iter(SVG + "g"):
        title, words = group.findtext(SVG + "title"), [text.text.rstrip("\u2007 ") for text in group.iter(SVG + "text")]
        if group.get("class") == "node":
            boxes[title] = words
        elif group.get("class") == "edge":
            count[title] += 1
            lines[title if count[title] == 1 else f"{title} {count[title]}"] = [word.strip() for word in words]
    return boxes, lines


def seen(boxes, lines):
    """The words in a picture, whatever the keys are: those of each box, and of each line with those of its ends."""
    named = {key: " | ".join(filter(str.strip, words)) for key, words in boxes.items()}
    ends = [(*(named[end.partition(":")[0]] for end in key.partition(" ")[0].split("->")), *words)
            for key, words in lines.items()]
    return Counter(named.values()), Counter(ends)


def assert_each_choice_shows_its_picture(views):
    data = told(WhatIf({"n": list(range(len(views)))}, views))
    for view, shown in zip(views, data["shown"], strict=True):
        boxes, lines = parts(data["picture"]["svg"])
        for key, row, words, _ in shown["changes"]:
            assert boxes[key][row] != words
            boxes[key][row] = words
        assert set(shown["absent"]) <= boxes.keys() | lines.keys()
        boxes = {key: words for key, words in boxes.items() if key not in shown["absent"]}
        lines = {key: words for key, words in lines.items() if key not in shown["absent"]
                 and {end.partition(":")[0] for end in key.partition(" ")[0].split("->")} <= boxes.keys()}
        assert seen(boxes, lines) == seen(*parts(view.svg))
        assert shown["says"] == view.caption


@at_all_levels
@each_graph(5)
def test_what_is_shown_for_a_choice_is_the_picture_of_that_choice(seed, steps, detail):
    views = [draw_once(number, steps, detail)[0] for number in (seed, seed + 1, seed)]
    if "shown" in told(WhatIf({"n": [0, 1, 2]}, views)):
        assert_each_choice_shows_its_picture(views)


def three(x, w, b):
    x, w, b = (torch.ones(2, requires_grad=tracked) for tracked in (x, w, b))
    return show_graph(x=x, w=w, b=b, y=x * w + b, detail="compact")


def test_the_operations_of_all_choices_are_one_box_each():
    views = [three(*tracked) for tracked in itertools.product([True, False], repeat=3)]
    union, _ = unite([view.diagram for view in views])
    assert Counter(box.title or box.name for box in union.boxes) == Counter(
        ["MulBackward0", "AddBackward0", *"xwby", *"xwby"])      # each tensor tracked, and not tracked
    assert_each_choice_shows_its_picture(views)


def test_boxes_without_a_name_are_told_by_what_they_are_computed_from():
    x = torch.ones(2, requires_grad=True)
    one, other = show_graph(x.sin().exp(), x=x), show_graph(x.exp().sin(), x=x)
    union, _ = unite([one.diagram, other.diagram])
    titles = Counter(box.title for box in union.boxes if box.title)
    assert titles == {"AccumulateGrad": 1, "SinBackward0": 2, "ExpBackward0": 1} or titles["ExpBackward0"] == 2
    assert_each_choice_shows_its_picture([one, other])


def test_one_of_two_equal_arrows_may_be_missing():
    x, c = torch.ones(2, requires_grad=True), torch.ones(2)
    views = [show_graph((x * x).sum(), x=x), show_graph((x * c).sum(), x=x)]
    assert_each_choice_shows_its_picture(views)
    assert any(key.endswith(" 2") for key in told(WhatIf({"n": [0, 1]}, views))["shown"][1]["absent"])


def test_two_boxes_of_one_picture_stay_two():
    """Both were one box of the union in earlier pictures."""
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert_each_choice_shows_its_picture([show_graph(x * w, x=x, w=w), show_graph(x * 2, x=x, w=w),
                                          show_graph(x * w, x * 2, x=x, w=w)])


def chain(*titles):
    """Nodes in a row."""
    keys = [f"n{i}" for i in range(len(titles))]
    return Diagram("", tuple(Box(key, "node", "", title) for key, title in zip(keys, titles)),
                   tuple(Arrow(one, other) for one, other in zip(keys, keys[1:])), (), ())


@pytest.mark.parametrize("orders", [("ab", "ba"), ("abc", "cba", "bca"), ("aabb", "abab", "bbaa")])
def test_there_is_no_cycle(orders):
    diagrams = [chain(*order) for order in orders]
    union, renamed = unite(diagrams)
    TopologicalSorter({arrow.target: [other.source for other in union.arrows if other.target == arrow.target]
                       for arrow in union.arrows}).prepare()
    titles = {box.key: box.title for box in union.boxes}
    assert ["".join(titles[box.key] for box in one.boxes) for one in renamed] == list(orders)
    assert len(union.boxes) < sum(map(len, orders))


def test_a_tensor_with_two_makers_has_both_arrows():
    x = torch.ones(2, requires_grad=True)
    views = [show_graph(x=x, y=x.exp()), show_graph(x=x, y=x.sin())]
    assert_each_choice_shows_its_picture(views)
    _, lines = parts(told(WhatIf({"n": [0, 1]}, views))["picture"]["svg"])
    assert len(lines) == 5


def test_pictures_that_are_no_graphs_or_too_large_are_not_united():
    x = torch.ones(2, requires_grad=True)
    assert "shown" in told(what_if(lambda n: show_graph(x=x), n=[1]))
    assert "shown" not in told(what_if(lambda n: show_picture(plot(), "a plot") if n else show_graph(x=x), n=[0, 1]))
    assert "shown" not in told(what_if(lambda n: show_graph(x.exp(), x=x, max_boxes=2), n=[0, 1]))
    apart = what_if(lambda n: show_graph({"x" * n: torch.ones(n, requires_grad=True)}, max_boxes=1), n=[1, 2])
    assert all(picture.svg for picture in apart.pictures) and "shown" not in told(apart)
