"""The picture, its transcript and the snapshot say the same; the same input gives the same bytes; nothing leaks out."""

import base64
import functools
import hashlib
import html
import inspect
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import graphviz
import matplotlib
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import seegrad.view
from project import ROOT
from random_graphs import each_graph, random_graph
from seegrad import play_backward, show_graph, show_picture, side_by_side
from seegrad.drawing import _to_dot
from seegrad.layout import lay_out, lay_out_apart
from seegrad.snapshot import ALIVE, CHANGED, FREED

matplotlib.use("Agg")

PATHS = [str(ROOT), str(ROOT / "tools"), str(Path(__file__).parent)]
LEVELS = ["full", "compact", "folded"]
MARKS = {"●": ALIVE, "○": FREED, "▲": CHANGED}

at_all_levels = pytest.mark.parametrize("detail", LEVELS)


@functools.cache
def draw_once(seed, steps, detail):
    """The view of a random graph, and the picture as read from its SVG."""
    graph = random_graph(seed, steps)
    view = show_graph(*graph.outputs, **graph.named, detail=detail)
    return view, read_svg(view.svg)


def small_view(**options):
    x = torch.ones(2, 3, requires_grad=True)
    h = x.exp()
    changed = x.sigmoid()
    with torch.no_grad():
        changed.add_(1)
    x.sin().sum().backward()
    freed = x.cos()
    torch.autograd.grad(freed.sum(), x)
    return show_graph((h * h).sum(), x=x, h=h, changed=changed, freed=freed, apart=h.detach(), **options)


# Reading a picture and a transcript


@dataclass
class Row:
    """A text in a box. shapes: what is drawn around it, the attributes of each polygon or path."""

    text: str
    shapes: list = field(default_factory=list)

    @property
    def border(self):
        """The style of a slot's border."""
        outline = next(shape for shape in self.shapes if shape["stroke"] != "none")
        if outline.get("stroke-width") == "4":
            return "thick"
        return "dashed" if "stroke-dasharray" in outline else "plain"

    @property
    def heights(self):
        """How far down it begins and ends."""
        values = [float(point.split(",")[1]) for shape in self.shapes for point in shape["points"].split()]
        return min(values), max(values)


@dataclass
class Picture:
    """What is in an SVG.

    boxes: the rows of each, by key.
    outlines: the attributes of the outline of each, by key.
    arrows: how often there is (key, key, text).
    ties: how often there is (two ends, sorted, text); an end is a key, or (key, text of a slot).
    """

    boxes: dict
    outlines: dict
    arrows: Counter
    ties: Counter


def read_svg(svg):
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.split("}")[1]
    boxes, outlines, arrows, ties = {}, {}, Counter(), Counter()
    groups = {kind: [g for g in root.iter("g") if g.get("class") == kind] for kind in ("node", "edge")}
    for g in groups["node"]:
        key = g.find("title").text
        assert key not in boxes
        boxes[key] = read_rows(g)
        outlines[key] = next(e.attrib for e in g if e.tag in ("polygon", "path"))
    for g in groups["edge"]:
        ends = g.find("title").text.split("->")
        text = (g.findtext("text") or "").strip()
        path = g.find("path").attrib
        if path.get("stroke-dasharray") == "1,5":       # a tie has no arrow head, and white behind its text
            assert [shape.get("fill") for shape in g.findall("polygon")] == ["white"] * bool(text)
            numbers = re.findall(r"-?[\d.]+", path["d"])
            heights = float(numbers[1]), float(numbers[-1])
            found = [tie_end(boxes, *end) for end in zip(ends, heights)]
            ties[*sorted(found, key=str), text] += 1
        else:
            assert path.get("stroke-dasharray") == ("5,2" if text == "no gradient" else None)
            arrows[*ends, text] += 1
    return Picture(boxes, outlines, arrows, ties)


def read_rows(g):
    rows, shapes, last_y = [], [], None
    for element in g:
        if element.tag in ("polygon", "path"):
            shapes.append(element.attrib)
        elif element.tag == "text":
            text = (element.text or "").replace("\xa0", " ")
            if element.get("y") == last_y:      # a name and what follows it stand in one row
                rows[-1].text += text
            else:
                rows.append(Row(text, shapes))
            shapes, last_y = [], element.get("y")
    return rows


def tie_end(boxes, end, height):
    """Graphviz does not tell which row of a box a line ends at: see how far down it ends."""
    key, is_row, _ = end.partition(":")
    if not is_row:
        return key
    slot, = (row for row in boxes[key][1:] if row.shapes and row.heights[0] < height < row.heights[1])
    return key, slot.text[2:]


@dataclass
class Line:
    """A line of a transcript: a box. sources: (name, text) for each arrow. parts: all other words."""

    name: str
    sources: list
    parts: list

    @classmethod
    def read(cls, text):
        head, *parts = text.split("; ")
        head, _, sources = head.partition(" from ")
        pairs = [re.fullmatch(r"(.*?)(?: (output \d+|\(no gradient\)))?", source).groups("")
                 for source in filter(None, sources.split(", "))]
        return cls(head, pairs, parts)


def read_transcript(transcript, number_of_ties):
    headline, *lines = transcript.split("\n")
    middle = len(lines) - number_of_ties
    return headline, [Line.read(line) for line in lines[:middle]], lines[middle:]


def slot_rows(picture):
    return [row for rows in picture.boxes.values() for row in rows[1:] if row.shapes]


# The picture and its transcript


@at_all_levels
@each_graph(100)
def test_picture_and_transcript_say_the_same(seed, steps, detail):
    view, picture = draw_once(seed, steps, detail)
    headline, lines, ties = read_transcript(repr(view), sum(picture.ties.values()))
    boxes = Counter((rows[0].text, *(re.sub("^[●○▲] ", "", row.text) for row in rows[1:]))
                    for rows in picture.boxes.values())
    assert boxes == Counter((line.name, *line.parts) for line in lines)

    name = {key: rows[0].text for key, rows in picture.boxes.items()}
    short = {key: short_name(text) for key, text in name.items()}
    arrows = Counter()
    for (source, target, text), count in picture.arrows.items():
        arrows[short[source], text, name[target]] += count
    assert arrows == Counter((source, text.strip("()"), line.name) for line in lines for source, text in line.sources)

    drawn_ties = Counter()
    for (first, second, text), count in picture.ties.items():
        ends = (short[end] if isinstance(end, str) else f"{end[1].split()[0]} of {short[end[0]]}"
                for end in (first, second))
        drawn_ties[frozenset(ends), text or "one tensor"] += count
    assert drawn_ties == Counter((frozenset(ends.split(" and ")), text)
                                 for ends, text in (tie.split(": ", 1) for tie in ties))


def short_name(heading):
    """What an arrow's other end is called: "[3]" for "[3] MulBackward0", else the whole name."""
    found = re.match(r"(\[\d+\]|\(\d+\)) ", heading)
    return found[1] if found else heading


@each_graph(100)
def test_the_full_picture_has_every_node_edge_and_slot_of_the_snapshot(seed, steps):
    view, picture = draw_once(seed, steps, "full")
    snapshot = view.snapshot
    nodes = {key: rows for key, rows in picture.boxes.items() if key.startswith("n")}
    assert sorted(rows[0].text for rows in nodes.values()) == sorted(
        f"[{i}] {node.name}" for i, node in enumerate(snapshot.nodes, 1))
    crowded = sum(int(rows[0].text.split()[0]) - 1 for key, rows in picture.boxes.items() if key.endswith("s"))
    assert len(picture.boxes) == len(snapshot.nodes) + len(snapshot.tensors) - crowded
    for i, node in enumerate(snapshot.nodes, 1):
        slots = [row for row in nodes[f"n{i}"] if row.shapes][1:]
        assert [(row.text.split()[1], MARKS[row.text[0]]) for row in slots] == [
            (slot.name, slot.state) for slot in node.saved]
    expected = Counter()
    for i, node in enumerate(snapshot.nodes, 1):
        for edge in filter(None, node.inputs):
            text = f"output {edge.output}" if snapshot.nodes[edge.node].outputs > 1 else ""
            expected[f"n{edge.node + 1}", f"n{i}", text] += 1
    between_nodes = Counter({arrow: count for arrow, count in picture.arrows.items()
                             if arrow[0][0] == arrow[1][0] == "n"})
    lines = Counter((f"n{found[1]}", key, "") for key, rows in picture.boxes.items() for row in rows
                    if (found := re.fullmatch(r"uses .* through \[(\d+)\]", row.text)))
    uses = Counter()
    for (source, _, _), count in lines.items():
        uses[source] += count
    assert all(count > 8 for count in uses.values())
    assert not uses.keys() & {source for source, _, _ in between_nodes}
    between_nodes += lines
    assert between_nodes == expected
    results = [tensor for tensor in snapshot.tensors if tensor.producer]
    accumulators = [node for node in snapshot.nodes if node.leaf is not None]
    cut = {(i, slot.views if slot.holds is None else slot.holds) for i, node in enumerate(snapshot.nodes)
           for slot in node.saved if slot.tracked is False and None in node.inputs}
    cut = {(f"t{k}", f"n{i + 1}", "no gradient") for i, k in cut if k is not None and not snapshot.tensors[k].in_graph}
    assert {arrow for arrow in picture.arrows if arrow[2] == "no gradient"} == cut
    others = len(results) + len(accumulators) + len(cut)
    assert sum(picture.arrows.values()) + sum(lines.values()) == sum(expected.values()) + others


@at_all_levels
@each_graph(100)
def test_sums_over_boxes_are_the_totals(seed, steps, detail):
    view, picture = draw_once(seed, steps, detail)
    headline = repr(view).split("\n")[0]
    states, size = Counter(), Counter()
    for row in slot_rows(picture):
        state = MARKS[row.text[0]]
        number = 1 if detail == "full" else int(re.match(r". (\d+) saved", row.text)[1])
        states[state] += number
        size[state] += sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) B ", row.text))
    assert states == view.snapshot.states
    for state, number in states.items():
        assert f"{number} {state}" in headline
    assert size[FREED] == 0
    if detail == "folded":      # every node is in one group, or it is the AccumulateGrad of a given leaf
        nodes = [int((re.search(r"(\d+) nodes", rows[0].text) or [0, 1])[1])
                 for key, rows in picture.boxes.items() if key.startswith("g")]
        given = [node for node in view.snapshot.nodes if node.leaf is not None
                 and view.snapshot.tensors[node.leaf].given]
        assert sum(nodes) + len(given) == len(view.snapshot.nodes)
    if detail == "full":
        assert sum(size.values()) == sum(view.snapshot.bytes_of([slot]).known for slot in view.snapshot.saved)


@each_graph(100)
def test_the_bytes_of_a_box_count_a_tensor_once(seed, steps):
    """In the coarser levels: what is held by two slots of one box is counted once."""
    view, picture = draw_once(seed, steps, "compact")
    for i, node in enumerate(view.snapshot.nodes, 1):
        for row in [row for row in picture.boxes.get(f"n{i}", []) if row.text[0] in MARKS]:
            slots = [slot for slot in node.saved if slot.state == MARKS[row.text[0]]]
            held = {storage: view.snapshot.storage_bytes[storage] for slot in slots for storage in slot.storages}
            if MARKS[row.text[0]] != FREED:
                assert (f" {sum(held.values()):,} B " if held else " (bytes not known) ") in row.text
                assert ("at least" in row.text) == (bool(held) and not all(slot.storages for slot in slots))


class Keeps(torch.autograd.Function):
    """Saves a tensor of any kind, and returns its input."""

    @staticmethod
    def forward(ctx, x, kept):
        ctx.save_for_backward(kept)
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


# For each kind of tensor, the bytes in memory, in words.
KINDS_OF_MEMORY = {
    "whole": (lambda: torch.ones(10), "40 B"),
    "part": (lambda: torch.ones(10)[2:4], "part of 40 B"),
    "part of what is expanded": (lambda: torch.ones(100)[:1].expand(100), "part of 400 B"),
    "expanded": (lambda: torch.ones(1).expand(1000, 1000), "4 B"),
    "coo": (lambda: torch.eye(4).to_sparse(), "80 B"),              # 2 x 4 indices of 8 bytes, 4 numbers
    "csr": (lambda: torch.sparse_csr_tensor(torch.arange(5), torch.arange(4), torch.ones(4)), "88 B"),
    "csc": (lambda: torch.sparse_csc_tensor(torch.arange(5), torch.arange(4), torch.ones(4)), "88 B"),
    "bsr": (lambda: torch.sparse_bsr_tensor(torch.arange(3), torch.arange(2), torch.ones(2, 2, 2)), "72 B"),
    "bsc": (lambda: torch.sparse_bsc_tensor(torch.arange(3), torch.arange(2), torch.ones(2, 2, 2)), "72 B"),
    "jagged": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(4)], layout=torch.jagged), "48 B"),  # 3 offsets
    "meta": (lambda: torch.ones(10, device="meta"), "0 B"),
    "mkldnn": (lambda: torch.ones(10).to_mkldnn(), "bytes not known"),
    "fake": (lambda: FakeTensorMode().from_tensor(torch.ones(10)), "bytes not known"),
}


@pytest.mark.parametrize("kind", KINDS_OF_MEMORY)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested", "ignore:Sparse (CSR|CSC|BSR|BSC|inv)")
def test_the_bytes_of_a_saved_tensor_are_those_in_memory(kind):
    """The same in the headline, in the box at each level, and in a play."""
    build, words = KINDS_OF_MEMORY[kind]
    kept = build()
    loss = Keeps.apply(torch.ones(3, requires_grad=True), kept).sum()
    total = words.removeprefix("part of ")
    for detail in LEVELS:
        text = repr(show_graph(loss, detail=detail))
        assert f"1 saved tensor: 1 alive{f' ({total})' * (total != '0 B')}\n" in text
        assert re.search(rf" \(?{words}\)? alive" if detail == "full" else rf"1 saved \(?{total}\)? alive", text)
    play = play_backward(loss, retain_graph=True)
    assert f"; {total} still saved" in play.transcript


def test_the_bytes_of_a_packed_tensor_are_not_known():
    x = torch.ones(3, requires_grad=True)
    with saved_tensors_hooks(lambda tensor: "packed", lambda packed: torch.ones(3)):
        y = x.exp()
    loss = (y * y).sum()
    view = show_graph(loss)
    assert "(at least 12 B)" in repr(view)
    assert "result packed by a hook (bytes not known) alive" in repr(view)
    assert "1 saved (bytes not known) alive" in repr(show_graph(loss, detail="compact"))
    assert "3 saved at least 12 B alive" in repr(show_graph(loss, detail="folded"))
    lines = play_backward(loss).transcript.splitlines()
    assert [re.search(r"; ([^;]*) still saved", line)[1] for line in lines[2:-1]] == [
        "at least 12 B", "bytes not known", "0 B", "0 B"]


# What is held, and gets no gradient


def arrows_without_gradient(view):
    name = {box.key: " ".join(filter(None, (box.name, box.title))) for box in view.diagram.boxes}
    drawn = {(source, target) for source, target, text in read_svg(view.svg).arrows if text == "no gradient"}
    assert drawn == {(arrow.source, arrow.target) for arrow in view.diagram.arrows if arrow.cut}
    return {(name[source], name[target]) for source, target in drawn}


@pytest.mark.parametrize("detail", ["full", "compact"])
def test_a_detached_tensor_is_joined_to_the_node_that_used_it(detail):
    x = torch.ones(3, requires_grad=True)
    h = x.exp()
    d = h.detach()
    loss = (h * d).sum()
    expected = {("d", "[3] MulBackward0")}
    for tensors in ({"h": h, "d": d}, {"d": d, "h": h}):
        view = show_graph(loss, detail=detail, **tensors)
        assert arrows_without_gradient(view) == expected
        assert "MulBackward0 from [2], d (no gradient)" in repr(view)
    if detail == "full":        # which of the two tensors on one memory each slot holds
        assert "; result = h (3,) " in repr(view) and "; other = d (3,) " in repr(view)
    with torch.no_grad():
        d.add_(1)
    assert arrows_without_gradient(show_graph(loss, h=h, d=d, detail=detail)) == expected


def test_a_tensor_that_only_shares_the_memory_of_a_result_is_not_joined_to_its_node():
    h = torch.ones(3, requires_grad=True).exp()
    d = h.detach()
    view = show_graph(h.sum(), d=d)
    assert "result = d" in repr(view) and not arrows_without_gradient(view)
    d.add_(1)
    view = show_graph(h.sum(), d=d)
    assert "changed in place" in repr(view) and not arrows_without_gradient(view)


@pytest.mark.parametrize("operation", [lambda x: x.max(0), lambda x: x.sort(0), lambda x: torch.native_dropout(x, 0.5, True)],
                         ids=["max", "sort", "dropout"])
def test_an_untracked_result_is_not_joined_to_its_node(operation):
    result, other = operation(torch.ones(3, requires_grad=True))
    view = show_graph(result, other=other)
    assert " = other (" in repr(view) and not arrows_without_gradient(view)


def test_another_part_of_one_storage_is_not_held():
    data, w = torch.randn(10, 3), torch.ones(3, requires_grad=True)
    train, test = data[:5], data[5:]
    view = show_graph(w * train, test=test)
    assert "views test" not in repr(view)
    assert arrows_without_gradient(view) == {("tensor 1", "[2] MulBackward0")}      # the base of both, which is drawn too
    view = show_graph(w * train[1:], test=test, train=train)
    assert "other views train (4, 3) part of 120 B" in repr(view)
    assert arrows_without_gradient(view) == {("train", "[2] MulBackward0")}
    view = show_graph(w * data[3:7], test=test, train=train)        # a piece of both
    assert arrows_without_gradient(view) == {("tensor 1", "[2] MulBackward0")}


def test_a_tensor_that_was_detached_in_place_is_no_input_of_its_own():
    w = torch.ones(3, requires_grad=True)
    h = w * 2
    z = h * w
    h.detach_()
    assert not arrows_without_gradient(show_graph(z, h=h))


def test_data_and_its_views_are_joined_to_the_nodes_that_hold_them():
    x, layer = torch.ones(2, 3, 4), nn.Linear(4, 1)
    assert arrows_without_gradient(show_graph(layer(x).sum(), x=x)) == {("x", "[4] AddmmBackward0")}
    assert not arrows_without_gradient(show_graph((layer.weight + x).sum(), x=x))       # nothing is saved


@pytest.mark.parametrize("detail", ["compact", "folded"])
def test_a_tensor_that_is_saved_twice_counts_once(detail):
    h = torch.ones(2, 3, requires_grad=True) * torch.ones(())
    picture = read_svg(show_graph(h * h, h=h, detail=detail).svg)
    assert "● 2 saved 24 B alive" in [row.text for row in slot_rows(picture)]


@at_all_levels
@each_graph(100)
def test_no_cycle(seed, steps, detail):
    view, picture = draw_once(seed, steps, detail)
    order = TopologicalSorter()
    for source, target, _ in picture.arrows:
        order.add(target, source)
    order.prepare()     # raises for a cycle


@at_all_levels
@each_graph(100)
def test_drawn_tensors_on_one_storage_are_tied(seed, steps, detail):
    view, picture = draw_once(seed, steps, detail)
    tensors = {f"t{i}": tensor for i, tensor in enumerate(view.snapshot.tensors)}
    group = {key: {key} for key in tensors}
    for first, second, text in picture.ties:
        if first in tensors:
            assert "one storage" in text
            group[first] |= group[second]
            for key in group[first]:
                group[key] = group[first]
    for a in picture.boxes.keys() & tensors:
        for b in picture.boxes.keys() & tensors:
            assert (a in group[b]) == (tensors[a].storage == tensors[b].storage), (a, b)


@each_graph(100)
def test_slots_that_hold_one_tensor_are_tied(seed, steps):
    view, picture = draw_once(seed, steps, "full")
    keys = {}       # (box, text of the row) -> what it holds
    for i, node in enumerate(view.snapshot.nodes, 1):
        rows = [row for row in picture.boxes[f"n{i}"][1:] if row.shapes]
        for row, slot in zip(rows, node.saved, strict=True):
            keys[f"n{i}", row.text[2:]] = slot.storage is not None and (slot.storage, slot.layout)
    ties = [(first, second) for first, second, _ in picture.ties if first in keys]
    assert all(keys[first] and keys[first] == keys[second] for first, second in ties)
    # As few lines as will do: one less than there are slots on each tensor.
    slots = Counter(filter(None, keys.values()))
    assert Counter(keys[first] for first, _ in ties) == Counter({key: n - 1 for key, n in slots.items() if n > 1})


def test_what_shares_the_memory_of_a_result_is_tied_to_it():
    """Each to the first of its version counter, and that one to the result: not to whatever stands beside it."""
    r = torch.ones(3, requires_grad=True) * 2
    data = r.data
    tensors = {"copy": data.detach(), "detached": r.detach(), "view": r[1:], "data": data, "r": r}
    view = show_graph(**tensors)
    name = {box.key: box.name for box in view.diagram.boxes}
    assert {(frozenset((name[tie.first], name[tie.second])), tie.text) for tie in view.diagram.ties} == {
        (frozenset({"r", "view"}), "a view: one storage, one version counter"),
        (frozenset({"r", "detached"}), "one storage, one version counter"),
        (frozenset({"r", "copy"}), "one storage, two version counters"),
        (frozenset({"copy", "data"}), "one storage, one version counter")}


def test_four_slots_on_two_tensors_are_tied_pair_by_pair():
    x = torch.ones(3, requires_grad=True)
    h = x.exp()
    picture = read_svg(show_graph(h * h + x.sin() + x.cos(), x=x, h=h).svg)
    ends = sorted([first[0], second[0]] for first, second, _ in picture.ties)
    # h is the result of exp and both factors of the product; x is saved by sin and by cos.
    assert ends == [["n2", "n3"], ["n3", "n3"], ["n4", "n6"]]


@at_all_levels
@pytest.mark.parametrize("operation, kind", [(torch._foreach_sin, "ForeachSinBackward0"),
                                             (torch._foreach_exp, "ForeachExpBackward0")])
def test_a_node_that_does_not_show_what_it_saves_is_told_in_headline_and_box(operation, kind, detail):
    x = torch.ones(1000, requires_grad=True)
    view = show_graph(sum(operation([x, x])), x=x, detail=detail)
    assert view.diagram.headline.endswith("no saved tensors to see; PyTorch does not show what 1 node saves")
    if detail == "folded":
        assert "1 node saves" in " ".join(line for box in view.diagram.boxes for line in box.lines)
    else:
        box, = (box for box in view.diagram.boxes if box.title == kind)
        assert box.lines == ("PyTorch does not show what it saves",)


def test_two_views_of_a_base_that_is_not_drawn_are_tied():
    h = torch.ones(4, requires_grad=True) * 2
    view = show_graph(v=h.view(2, 2), d=h.data, detail="folded")
    assert "v and d: one storage, two version counters" in repr(view)


# What a reader sees


@at_all_levels
def test_state_is_told_by_text_mark_and_border(detail):
    borders = {ALIVE: "plain", FREED: "dashed", CHANGED: "thick"}
    seen = set()
    for row in slot_rows(read_svg(small_view(detail=detail).svg)):
        state = MARKS[row.text[0]]
        assert state in row.text
        assert row.border == borders[state]
        seen.add(state)
    assert seen == set(borders)


def test_kinds_of_boxes_are_told_apart_without_colour():
    picture = read_svg(small_view().svg)
    second_line = {rows[0].text: rows[1].text for key, rows in picture.boxes.items() if key.startswith("t")}
    assert second_line["x"].startswith("leaf")
    assert second_line["h"].startswith("result")
    assert second_line["apart"].startswith("not tracked")
    dashed = [picture.boxes[key][0].text for key, outline in picture.outlines.items() if "stroke-dasharray" in outline]
    assert dashed == ["apart"]


def test_torchviz_colours():
    picture = read_svg(small_view().svg)
    fill = {rows[0].text: picture.outlines[key]["fill"] for key, rows in picture.boxes.items()}
    assert (fill["x"], fill["h"]) == ("lightblue", "#caff70")       # darkolivegreen1
    assert {fill for name, fill in fill.items() if name.startswith("[")} == {"lightgrey"}
    assert {row.shapes[0]["fill"] for row in slot_rows(picture) if row.text[0] == "●"} == {"orange"}


def test_every_use_of_a_tensor_is_an_arrow():
    x = torch.ones(3, requires_grad=True)
    h = x.sin()
    picture = read_svg(show_graph(h * h).svg)
    assert picture.arrows["n2", "n3", ""] == 2


def test_which_of_several_results_goes_where():
    a, b = torch.ones(2, 3, requires_grad=True).unbind()
    picture = read_svg(show_graph(b - a, a=a).svg)
    assert picture.arrows["n2", "n3", "output 1"] == picture.arrows["n2", "n3", "output 0"] == 1
    assert picture.arrows["n2", "t1", "output 0"] == 1


def test_compact_puts_a_weight_and_its_transpose_into_one_box():
    layer = torch.nn.Linear(3, 2)
    view = show_graph(layer(torch.ones(4, 3)), weight=layer.weight, bias=layer.bias, detail="compact")
    picture = read_svg(view.svg)
    assert sorted(rows[0].text for rows in picture.boxes.values()) == ["[4] AddmmBackward0", "bias", "result 1", "weight"]
    assert "used transposed" in [row.text for rows in picture.boxes.values() for row in rows if rows[0].text == "weight"]


def test_only_the_first_transpose_of_a_weight_is_in_its_box():
    w = torch.ones(2, 3, requires_grad=True)
    lines = repr(show_graph(w.t().t().exp(), w=w, detail="compact")).splitlines()
    assert lines[1:3] == ["w; leaf (2, 3); used transposed; .grad None", "[3] TBackward0 from w"]


def test_a_tensor_that_is_called_like_a_node():
    w = torch.ones(2, requires_grad=True)
    text = repr(show_graph(w.exp(), {"[1]": w, "(1)": w}))
    assert "'[1]' = '(1)'; leaf (2,)" in text and "[1] AccumulateGrad from '[1]' = '(1)'" in text


def test_folded_shows_the_fork():
    x = torch.ones(3, requires_grad=True)
    trunk = x.sin().cos()
    left, right = trunk.exp().sum(), trunk.tanh().sum()
    picture = read_svg(show_graph(x=x, trunk=trunk, left=left, right=right, detail="folded").svg)
    name = {key: rows[0].text for key, rows in picture.boxes.items()}
    arrows = {(name[a], name[b]) for a, b, _ in picture.arrows}
    assert arrows == {("x", "(1) 2 nodes"), ("(1) 2 nodes", "trunk"), ("trunk", "(2) 2 nodes"), ("(2) 2 nodes", "left"),
                      ("trunk", "(3) 2 nodes"), ("(3) 2 nodes", "right")}


def test_a_leaf_with_two_accumulators_is_one_box():
    x = torch.ones(3, requires_grad=True)
    y = x * x
    x.data = x.data.double()        # as net.double() does: the next use gets a new AccumulateGrad
    view = show_graph(y, x * x, x=x)
    assert len([line for line in repr(view).split("\n") if line.startswith("x;")]) == 1


# Long graphs


def chain(length):
    y = torch.ones((), requires_grad=True)
    for _ in range(length):
        y = y * 1
    return y


def test_a_chain_of_5000_operations():
    limit = sys.getrecursionlimit()
    y = chain(5000)
    summary = show_graph(y)
    assert summary.svg == ""
    assert re.search(r"\b5000 MulBackward0\b", repr(summary)) and re.search(r"\b1 AccumulateGrad\b", repr(summary))
    assert "max_boxes" in repr(summary)
    assert "<img" not in summary._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="max_boxes"):
        summary.save("chain.svg")
    picture = read_svg(show_graph(y, max_boxes=10_000, detail="compact").svg)
    assert sum(key.startswith("n") for key in picture.boxes) == 5000
    assert show_graph(y, detail="folded").svg
    assert sys.getrecursionlimit() == limit


# What is large, or looks so


def many_uses(number, tracked=True):
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=tracked)
    for _ in range(number):
        x = x * w
    return x.sum(), w


@pytest.mark.parametrize("detail, words", [("full", "uses w through [2]"), ("compact", "uses w")])
def test_each_use_of_a_leaf_that_has_many_is_a_line(detail, words):
    loss, w = many_uses(9)
    view = show_graph(loss, w=w, detail=detail)
    picture = read_svg(view.svg)
    users = [rows for rows in picture.boxes.values() if "MulBackward0" in rows[0].text]
    assert len(users) == 9 and all(words in [row.text for row in rows] for rows in users)
    assert not [arrow for arrow in picture.arrows if arrow[0] in ("t1", "n2") and "Mul" in picture.boxes[arrow[1]][0].text]
    assert repr(view).count(f"; {words};") == 9
    loss, w = many_uses(8)
    assert "uses w" not in repr(show_graph(loss, w=w, detail=detail))


def test_each_use_of_a_tensor_outside_the_graph_that_has_many_is_a_line():
    loss, w = many_uses(9, tracked=False)
    view = show_graph(loss, w=w)
    assert repr(view).count("; uses w (no gradient); ") == 9 and "from w" not in repr(view)


def test_a_player_of_a_leaf_with_many_uses():
    loss, w = many_uses(9)
    play = play_backward(loss, w=w)
    assert "12. [2] AccumulateGrad receives" in play.transcript
    assert all(frame.arrows for frame in play._play.frames if frame.box.startswith("n") and frame.box != "n2")


def test_a_frozen_network_is_one_box():
    net = nn.Sequential(*[nn.Linear(2, 2) for _ in range(60)]).requires_grad_(False)
    head = nn.Linear(2, 1)
    loss = head(net(torch.ones(1, 2))).sum()
    view = show_graph(loss, **dict(net.named_parameters()), head=head.weight)
    assert len(view.diagram.boxes) == 9
    assert repr(view).endswith("\n120 tensors, not tracked; 0.weight; 0.bias; and 118 more; not in this graph")
    unreached = show_graph(loss, **{f"w{i}": torch.ones(1, requires_grad=True) for i in range(9)})
    assert "9 leaves; w0; w1; and 7 more; 0 with a .grad; not in this graph" in repr(unreached)
    few = show_graph(loss, **dict(list(net.named_parameters())[:8]))
    assert "tensors, not tracked" not in repr(few) and "0.weight; not tracked" in repr(few)


def test_a_leaf_among_many_outside_the_graph_gets_its_grad_during_a_play():
    layers = nn.Sequential(*[nn.Linear(2, 2) for _ in range(5)])
    x = torch.ones(2, 2, requires_grad=True)
    play = play_backward(checkpoint(layers, x, use_reentrant=True).sum(), **dict(layers.named_parameters()))
    assert "10 with a .grad" in " ".join(line for box in play._play.last.boxes for line in box.lines)
    assert "0 with a .grad" in " ".join(line for box in play._play.first.boxes for line in box.lines)


def every_earlier_one(number):
    """Each operation takes all results before it: as many long arrows as there can be."""
    results = [torch.ones(2, requires_grad=True) * 1]
    for _ in range(number):
        results.append(torch.cat(results)[:2])
    return results[-1].sum()


def test_a_graph_that_is_too_much_for_graphviz_is_shown_as_text(monkeypatch, tmp_path):
    monkeypatch.setattr("seegrad.layout.MOST_SECONDS", 0.5)
    loss = every_earlier_one(30)
    view = show_graph(loss)
    shown = view._repr_mimebundle_()
    assert shown["text/html"].startswith("<pre>Graphviz could not lay out this graph in ")
    assert html.escape(shown["text/plain"]) in shown["text/html"] and shown["text/plain"].startswith("63 nodes, ")
    with pytest.raises(ValueError, match="^Graphviz could not lay out this graph in [^.]*\\.$"):
        view.save(tmp_path / "graph.svg")
    assert list(tmp_path.iterdir()) == []
    play = play_backward(loss)
    assert "Graphviz could not" in play._repr_mimebundle_()["text/html"] and play.error is None


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system cannot send a signal to a thread")
def test_a_layout_that_may_take_long_can_be_interrupted(monkeypatch):
    """It runs in a process of its own, which ends with the wait for it."""
    waited_for, killed = [], []

    class Popen(subprocess.Popen):
        def communicate(self, *args, **options):        # the process waits for its graph, so it does not end by itself
            waited_for.append(self)
            signal.raise_signal(signal.SIGINT)

        def kill(self):
            super().kill()
            killed.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    view = show_graph(every_earlier_one(40))
    with pytest.raises(KeyboardInterrupt):
        assert not view.svg
    process, = waited_for
    assert killed == [process] and process.wait() == -signal.SIGKILL


def test_a_layout_apart_is_the_same_picture():
    view = small_view()
    dot = _to_dot(view.diagram)
    settings = {"nslimit": "1", "nslimit1": "1"}
    assert lay_out_apart(dot) == lay_out(dot, **settings)


def test_max_boxes_is_the_largest_number_drawn():
    y = chain(3)        # with its leaf: 6 boxes
    assert show_graph(y, max_boxes=6).svg
    assert show_graph(y, max_boxes=5).svg == ""


# The same bytes, and no trace


def hashes():
    """One for all that each of some views displays. The source of this function also runs in other processes."""
    found = []
    for seed in range(1000, 1010):
        for detail in ("full", "compact", "folded"):
            graph = random_graph(seed)
            bundle = show_graph(*graph.outputs, **graph.named, detail=detail)._repr_mimebundle_()
            found.append(hashlib.sha256(repr(bundle).encode()).hexdigest())
    return found


SCRIPT = f"""
import hashlib, json, os, sys
sys.path[:0] = sys.argv[2:]
from seegrad import show_graph
from random_graphs import random_graph
{inspect.getsource(hashes)}
settings = dict(os.environ)
found = hashes()
assert dict(os.environ) == settings
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


def test_the_same_bytes_in_every_process(tmp_path):
    elsewhere = tmp_path / "elsewhere ü"
    elsewhere.mkdir()
    (tmp_path / "fonts.conf").write_text("not <xml")
    garbage = {"FONTCONFIG_FILE": str(tmp_path / "fonts.conf"), "FONTCONFIG_PATH": str(tmp_path / "nowhere"),
               "HOME": str(elsewhere), "XDG_CACHE_HOME": str(elsewhere)}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FONTCONFIG")}
    runs = [({"PYTHONHASHSEED": "1"}, tmp_path), ({"PYTHONHASHSEED": "2", **garbage}, elsewhere)]
    processes = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / f"{i}.json"), *PATHS], cwd=folder,
                                  env={**plain, **settings}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                 for i, (settings, folder) in enumerate(runs)]
    here = hashes()
    for i, process in enumerate(processes):
        assert process.communicate() == (b"", b"")      # nothing on either descriptor, from Python or from C
        assert process.returncode == 0
        assert json.loads((tmp_path / f"{i}.json").read_text()) == here
    assert list(elsewhere.iterdir()) == []      # no font cache left behind


@at_all_levels
def test_the_same_bytes_twice(detail):
    assert small_view(detail=detail)._repr_mimebundle_() == small_view(detail=detail)._repr_mimebundle_()


# Displays and files


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@at_all_levels
def test_what_a_view_displays(detail):
    view = small_view(detail=detail)
    bundle = view._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == repr(view) == str(view) == view.transcript
    page = Page(bundle["text/html"])
    image, = (attributes for tag, attributes in page.tags if tag == "img")
    assert image["alt"] == view.alt and "Computation graph" in view.alt
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data, validate=True).decode() == view.svg
    assert view.transcript in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "style", "link", "iframe", "svg"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert ElementTree.fromstring(view.svg).get("aria-label") == view.alt


def test_nothing_of_this_machine_or_process_is_shown():
    x = torch.ones(2, 3, requires_grad=True)
    h = x.exp()
    view = show_graph(h, x=x, apart=h.detach())
    for text in (view.svg, repr(view), view.alt, re.sub("base64,[^\"]*", "", view._repr_mimebundle_()["text/html"])):
        for number in (id(x), id(h), id(h.grad_fn), x.data_ptr(), h.untyped_storage()._cdata, os.getpid()):
            assert f"{number}" not in text and f"{number:x}" not in text
        assert str(Path(torch.__file__).parent) not in text and str(Path(__file__).parent) not in text
        assert not re.search(r"0x[0-9a-f]{6}|/(tmp|home|usr|lib)/", text)


def test_side_by_side():
    both = side_by_side(before_it=small_view(), after=small_view(detail="folded"))
    bundle = both._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == repr(both) == f"before it\n{small_view()!r}\n\nafter\n{small_view(detail='folded')!r}"
    page = Page(bundle["text/html"])
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == [small_view().alt, small_view(detail="folded").alt]
    assert page.text.index("before it") < page.text.index("after")


@pytest.mark.parametrize("name", ["graph.svg", "a graph.svg", "grafiek – 图 ü.svg"])
def test_save(tmp_path, name):
    view = small_view()
    path = view.save(tmp_path / name)
    assert path == tmp_path / name
    assert path.read_bytes().decode() == view.svg
    assert view.save(str(path)) == path


@pytest.mark.parametrize("name", ["graph.pdf", "graph", "graph.SVG", "graph.svg.gz"])
def test_save_refuses_other_endings(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.svg\b.*\.$") as caught:
        small_view().save(tmp_path / name)
    assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_save_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "folder.svg").mkdir()
    for path in (tmp_path / "missing" / "graph.svg", tmp_path / "file" / "graph.svg", tmp_path / "folder.svg"):
        with pytest.raises(OSError):
            small_view().save(path)


def test_save_in_a_locked_folder(tmp_path):
    old = tmp_path / "graph.svg"
    old.write_text("old")
    old.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        for name in ("graph.svg", "new.svg"):
            with pytest.raises(OSError):
                small_view().save(tmp_path / name)
        assert old.read_text() == "old"
    finally:
        tmp_path.chmod(0o755)


def test_a_file_stays_when_the_picture_cannot_be_drawn(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no layout")

    old = tmp_path / "graph.svg"
    old.write_text("old")
    monkeypatch.setattr(seegrad.view, "draw", fail)
    with pytest.raises(RuntimeError):
        small_view().save(old)
    assert old.read_text() == "old"


def test_a_file_stays_when_the_disk_is_full(tmp_path):
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of a file")
    old = tmp_path / "graph.svg"
    old.write_text("old")
    view = small_view()
    assert len(view.svg) > 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError):
            view.save(old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_text() == "old"


def plot():
    from matplotlib import pyplot
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3], label="loss")
    axes.legend()
    return figure


def test_show_picture_of_a_plot():
    from matplotlib import pyplot
    figure = plot()
    picture = show_picture(figure, alt='It falls from "3" to <1>.')
    assert not pyplot.fignum_exists(figure.number)
    assert picture._repr_mimebundle_() == show_picture(plot(), alt='It falls from "3" to <1>.')._repr_mimebundle_()
    bundle = picture._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html"]
    assert bundle["text/plain"] == 'It falls from "3" to <1>.'
    image, = (attributes for tag, attributes in Page(bundle["text/html"]).tags if tag == "img")
    assert image["alt"] == 'It falls from "3" to <1>.'
    assert base64.b64decode(image["src"].partition(",")[2]).decode() == picture.svg
    assert ElementTree.fromstring(picture.svg).tag.endswith("svg")
    assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib v", picture.svg)


def test_show_picture_of_a_plot_that_pyplot_does_not_know():
    figure = Figure()
    figure.subplots().plot([1, 2])
    assert show_picture(figure, alt="two points").svg.startswith("<svg")


def test_show_picture_of_a_graph_in_dot(tmp_path):
    graph = graphviz.Digraph()
    graph.node("a", "first\\nsecond")
    graph.edge("a", "b", label="then")
    picture = show_picture(graph, alt="a, then b")
    assert picture.svg == show_picture(graph, alt="a, then b").svg
    texts = [element.text for element in ElementTree.fromstring(picture.svg).iter() if element.tag.endswith("}text")]
    assert sorted(texts) == ["b", "first", "second", "then"]
    assert picture.save(tmp_path / "dot.svg").read_text() == picture.svg


def in_dot(**attributes):
    graph = graphviz.Digraph(graph_attr=attributes, edge_attr={"fontsize": "20"}, node_attr={"fontsize": "20"})
    graph.edge("a", "b", label="then")
    return graph


def in_small_print():
    figure = plot()
    figure.axes[0].set_title("about the year", fontsize=6)
    return figure


TRACKED = torch.ones(2, requires_grad=True)
# A picture, its smallest text in points, and the scale at which it is shown.
PICTURES = {
    "a graph": (lambda: show_graph((TRACKED * 2).sum()), 15, 0.7),
    "a graph with labels at its ties": (lambda: show_graph(x=TRACKED, view=TRACKED.detach()), 13, 0.7),
    "DOT": (lambda: show_picture(in_dot(), "a, then b"), 20, 0.7),
    "DOT, drawn small": (lambda: show_picture(in_dot(size="0.8,0.8"), "a, then b"), None, 1),
    "a plot": (lambda: show_picture(plot(), "a plot"), 10, 0.9),
    "a plot with a small title": (lambda: show_picture(in_small_print(), "a plot"), 6, 1),
    "a plot without words": (lambda: show_picture(Figure(), "nothing"), None, 0.7),
}


@pytest.mark.parametrize("make, points, scale", PICTURES.values(), ids=PICTURES)
def test_all_pictures_have_one_scale_and_no_small_text(make, points, scale):
    picture = make()
    width = float(picture.svg.partition('width="')[2].partition("pt")[0]) * 4 / 3
    html = picture._repr_mimebundle_()["text/html"]
    shown, least = (int(html.partition(f"{name}: ")[2].partition("px")[0]) for name in ("width", "min-width"))
    assert shown == pytest.approx(width * scale, abs=1)
    if points:
        assert least == pytest.approx(width * min(1, 12 / (points * 4 / 3)), abs=1)
    assert least <= shown <= math.ceil(width)


def test_show_picture_of_what_torchviz_draws():
    """In a process of its own: Graphviz crashes on a label whose first line is empty, and torchviz writes such labels."""
    code = ("import sys; sys.path[:0] = sys.argv[1:]\n"
            "import warnings; warnings.simplefilter('ignore')\n"
            "import torch, torchviz\n"
            "from seegrad import show_picture\n"
            "dot = torchviz.make_dot(torch.ones(3, requires_grad=True).exp())\n"
            "for _ in range(3):\n"
            "    assert 'ExpBackward0' in show_picture(dot, alt='drawn by torchviz').svg\n")
    run = subprocess.run([sys.executable, "-c", code, *PATHS], capture_output=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
