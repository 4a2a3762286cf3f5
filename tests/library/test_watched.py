"""How a watch shows itself: its text, what its player is told, and what remains where no scripts run."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import seegrad.view
import watched
from seegrad import looks
from seegrad.layout import LayoutError
from seegrad.play import Source
from seegrad.snapshot import CHANGED
from seegrad.view import Watch
from test_play import SVG, Reader

MAKERS = [watched.five_lines, watched.with_backward, watched.without_boxes]
each_watch = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def told(watch):
    """What the script is told, and the stills."""
    bundle = watch._repr_mimebundle_()
    assert bundle["text/plain"] == watch.transcript == repr(watch)
    reader = Reader(bundle["text/html"])
    assert reader.open == []
    return json.loads(reader.scripts[0][1]), reader.images


def drawn(still):
    """The words in a still, those that are struck through, and the words of the boxes with a thick border."""
    groups = [group for group in ElementTree.fromstring(still).find(SVG + "g") if group.tag == SVG + "g"]
    words = [(["".join(text.itertext()).strip() for text in group.findall(SVG + "text")], group) for group in groups]
    return ([" ".join(" ".join(lines).split()) for lines, _ in words if lines],
            [" ".join(lines) for lines, group in words if lines and group.get("text-decoration") == "line-through"],
            [lines[0] for lines, group in words if group[0].get("stroke-width") == "4"])


def test_the_text_numbers_the_nodes_of_a_backward_under_their_line():
    assert watched.with_backward().transcript.splitlines() == [
        "step()", "before: no graph", "line 11: three nodes are made", "line 12: a backward begins",
        "    1. [3] SumBackward0 receives 1; to [2] goes 1 in all of (2,); 8 B still saved",
        "    2. [2] MulBackward0 receives 1 in all of (2,); to w goes 1 × w = 1 × [1, 2] = [1, 2]; "
        "to w goes 1 × w = 1 × [1, 2] = [1, 2]; frees self, other; 0 B still saved",
        "    3. [1] AccumulateGrad receives [1, 2] + [1, 2] = [2, 4]; w.grad: None → [2, 4]; 0 B still saved",
        "line 13: the name loss is gone, and with it the graph", "w.grad is filled"]


def test_a_second_backward_of_the_same_line_is_numbered_anew_and_a_line_without_a_sentence_is_named():
    play = watched.with_backward().play
    nodes = play.frames[2:5]
    again = replace(play, frames=(play.frames[0], *nodes, *(replace(frame, run=2) for frame in nodes)))
    lines = Watch(again).transcript.splitlines()
    assert [line.partition(" receives")[0] for line in lines[3:]] == [
        "line 12:", "    1. [3] SumBackward0", "    2. [2] MulBackward0", "    3. [1] AccumulateGrad",
        "    1. [3] SumBackward0", "    2. [2] MulBackward0", "    3. [1] AccumulateGrad", "w.grad is filled"]


def test_a_line_is_told_with_its_source_where_there_are_several():
    play = watched.five_lines().play
    several = Watch(replace(play, sources=(*play.sources, Source("step()", 7, ("pass",)))))
    assert "line 2 of this cell: [2] MulBackward0 and y are made" in several.transcript
    assert told(several)[0]["frames"][1]["says"].startswith("line 2 of this cell: ")


@each_watch
def test_the_player_is_told_what_the_text_says(make):
    watch = make()
    data, _ = told(watch)
    lines = [line.strip().partition(". ")[2] if line.startswith("    ") else line for line in watch.transcript.splitlines()]
    assert lines == [data["title"], f"before: {data['start']}", *(frame["says"] for frame in data["frames"]), data["end"]]
    assert data["sources"] == [{"title": source.title, "first": source.first, "lines": list(source.lines)}
                               for source in watch.play.sources]
    for frame, made in zip(data["frames"], watch.play.frames, strict=True):
        assert frame["line"] == list(made.line) and frame["run"] == made.run
        assert [tuple(frame.get(name, ())) for name in ("lit", "comes", "goes")] == [made.lit, made.comes, made.goes]
        assert frame.get("names", {}) == {name: row and [row.value, row.requires_grad, row.grad, row.version]
                                          for name, row in made.names.items()}
    assert set(data["absent"]) == watch.play.absent


def test_the_stills_show_each_moment():
    _, images = told(watched.five_lines())
    made, second, changed, gone = map(drawn, images)
    product = ["[1] AccumulateGrad", "[2] MulBackward0 ● other = x (2,) 8 B alive", "y result (2,)",
               "w leaf (2,) .grad None", "x not tracked (2,)", "no gradient"]
    sigmoid = "[3] SigmoidBackward0 ● result = s (2,) 8 B alive"
    now = sigmoid.replace("● result = s (2,) 8 B alive", "▲ result = s (2,) 8 B changed in place (saved at version 0, now 1)")
    assert sorted(made[0]) == sorted(product)
    assert made[1:] == ([], ["[1] AccumulateGrad", "[2] MulBackward0", "y"])
    assert set(second[0]) == {*product, sigmoid, "s result (2,) version 1"} and second[2] == ["[3] SigmoidBackward0", "s"]
    assert set(changed[0]) == set(gone[0]) == {*product, now, "s result (2,) version 1"}
    assert changed[1] == [] and gone[1] == ["x not tracked (2,)", "no gradient"]
    assert f'stroke="{looks.SLOTS[CHANGED].border}"' in images[2] and looks.SLOTS[CHANGED].border not in images[1]


def test_the_nodes_of_a_backward_have_one_still_and_each_still_has_a_text():
    html = watched.with_backward()._repr_mimebundle_()["text/html"]
    assert re.findall("<summary>(.*?)</summary>", html) == [
        "The graph after line 11", "The graph after this backward", "The graph after line 13", "The steps as text"]
    after, last = re.findall('<img alt="(.*?)"', html)[1:]
    assert after.startswith("Computation graph: the graph after this backward. w; leaf (2,); .grad (2,). [1] AccumulateGrad")
    assert "[2] MulBackward0 from [1], [1]; self freed; other freed" in after


def test_without_a_picture_there_are_the_code_and_the_steps(monkeypatch):
    def refuse(*_):
        raise LayoutError("too much")

    data, images = told(watched.without_boxes())
    assert "picture" not in data and images == []
    monkeypatch.setattr(seegrad.view, "draw", refuse)
    watch = watched.five_lines()
    html = watch._repr_mimebundle_()["text/html"]
    data, images = told(watch)
    assert "picture" not in data and images == [] and len(data["frames"]) == 5
    assert re.search("<pre>s.detach\\(\\).add_\\(1\\)</pre><p[^>]*>line 4: s is changed in place;", html)
    assert "Graphviz could not lay out this graph" in html


def twice():
    """The five lines, and once more: each makes, changes or takes boxes away."""
    play = watched.five_lines().play
    return Watch(replace(play, frames=2 * tuple(replace(frame, boxes=frame.boxes or play.first.boxes[:1])
                                                for frame in play.frames)))


def test_the_size_of_ten_lines():
    for watch in (watched.ten_lines(), twice()):
        assert len(watch._repr_mimebundle_()["text/html"].encode()) < 60_000


def test_where_the_stills_are_many_some_are_left_out_and_not_the_last():
    play = twice().play
    html = Watch(replace(play, frames=3 * play.frames))._repr_mimebundle_()["text/html"]
    assert 1 < html.count("<img") < 10 and len(re.findall("<img", html.rpartition("<pre>del x</pre>")[2])) == 1
    assert "<p>Some lines have no picture here, " in html
    assert "Some lines" not in watched.five_lines()._repr_mimebundle_()["text/html"]


def edges(shape):
    """Where a shape is: left, top, right and bottom."""
    if shape.tag == SVG + "rect":
        x, y, width, height = (float(shape.get(name, 0)) for name in ("x", "y", "width", "height"))
        return x, y, x + width, y + height
    numbers = list(map(float, re.findall(r"-?[\d.]+", shape.get("points") or shape.get("d"))))
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def test_the_shapes_of_a_still_are_where_they_are_in_the_picture_of_all():
    data, images = told(twice())
    whole, still = ElementTree.fromstring(data["picture"]["svg"]), ElementTree.fromstring(images[-2])
    assert whole.get("viewBox") == still.get("viewBox")
    pairs = list(zip(whole.find(SVG + "g").findall(SVG + "g"), still.find(SVG + "g").findall(SVG + "g"), strict=True))
    assert len(pairs) == 13
    for one, other in pairs:
        shapes = [shape for shape in one if shape.tag != SVG + "title" and shape.get("stroke") != "none"]
        assert len(shapes) == len(other)
        for shape, small in zip(shapes, other):
            if shape.tag != SVG + "text":
                assert edges(small) == pytest.approx(edges(shape), abs=0.5)       # numbers are rounded
            elif shape.text == small.text:
                assert float(small.get("y")) == pytest.approx(float(shape.get("y")), abs=0.5)
