"""Watches made by hand, for the tests of what shows them: code of five lines, and code with a backward in it."""

from dataclasses import replace

import torch

from seegrad.diagram import Diagram
from seegrad.play import Frame, Play, Row, Source, make_play
from seegrad.show import play_backward, show_graph
from seegrad.snapshot import Bytes
from seegrad.view import Watch


def _line(number, says, bytes=0, boxes=(), **more):
    return Frame("", (), {}, says, tuple(boxes), Bytes(bytes), True, line=(0, number), **more)


def five_lines():
    """A sigmoid whose result is changed in place, and a name that is taken away."""
    x = torch.tensor([1.0, 2.0])
    w = torch.tensor([0.5, 0.25], requires_grad=True)
    y = w * x
    s = y.sigmoid()
    before = show_graph(x=x, w=w, y=y, s=s).diagram
    s.detach().add_(1)
    after = show_graph(x=x, w=w, y=y, s=s).diagram
    key = {box.name: box.key for box in before.boxes}
    node = {box.title: box.key for box in before.boxes}
    now = {box.key: box for box in after.boxes}
    first = replace(before, headline="no graph: no tensor here was computed from a tracked tensor", boxes=tuple(
        now[box.key] if box.key == key["s"] else box for box in before.boxes))
    there = {key["x"], key["w"]}
    product = (node["MulBackward0"], key["y"], node["AccumulateGrad"])
    sigmoid = (node["SigmoidBackward0"], key["s"])
    names = {"x": Row("[1, 2]", False, "None", 0), "w": Row("[0.5, 0.25]", True, "None", 0)}
    frames = (
        _line(1, "x and w are there", lit=(key["x"], key["w"]), names=names),
        _line(2, "[2] MulBackward0 and y are made", 8, lit=product, comes=product,
              names={"y": Row("[0.5, 0.5]", True, "None", 0)}),
        _line(3, "[3] SigmoidBackward0 and s are made; [3] saves its result", 16, lit=sigmoid, comes=sigmoid,
              names={"s": Row("[0.6225, 0.6225]", True, "None", 0)}),
        _line(4, "s is changed in place; what [3] saved is another value now", 16, lit=(key["s"], sigmoid[0]),
              boxes=[now[sigmoid[0]]], names={"s": Row("[1.622, 1.622]", True, "None", 1)}),
        _line(6, "the name x is gone", 16, goes=(key["x"],), names={"x": None}))
    code = ("x, w = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25], requires_grad=True)", "y = w * x", "s = y.sigmoid()",
            "s.detach().add_(1)", "", "del x")
    return Watch(Play("this cell", first, 0, frames, after, "4 nodes", (Source("this cell", 1, code),),
                      frozenset(box.key for box in before.boxes) - there))


def with_backward():
    """A loss, its backward opened into nodes, and a line after it."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    inside = make_play(play_backward(loss, w=w).recording, "full")
    key = {box.name: box.key for box in inside.first.boxes}
    rows = {"w": Row("[1, 2]", True, "None", 0), "loss": Row("5", True, "None", 0)}
    made = tuple(box.key for box in inside.first.boxes if box.key != key["w"])
    code = ("loss = (w * w).sum()", "loss.backward()", "del loss")
    frames = (
        _line(11, "three nodes are made", 16, lit=made, comes=made, names=rows),
        _line(12, "a backward begins", 16),
        *(replace(frame, run=1, line=(0, 12)) for frame in inside.frames[:-1]),
        replace(inside.frames[-1], run=1, line=(0, 12), names={"w": replace(rows["w"], grad="[2, 4]")}),
        _line(13, "the name loss is gone, and with it the graph", 0, goes=made, names={"loss": None}))
    return Watch(Play("step()", replace(inside.first, headline="no graph"), 0, frames, inside.last, "w.grad is filled",
                      (Source("step()", 11, code),), frozenset(made)))


def ten_lines():
    """A perceptron and its loss, of which each line makes some boxes; the last is a backward."""
    x, a, b, c = (torch.ones(2, 3), *(torch.ones(3, requires_grad=True) for _ in range(3)))
    h = (x * a).tanh()
    y = (h * b + c).exp()
    loss = y.mean()
    view = show_graph(x=x, a=a, b=b, c=c, h=h, y=y, loss=loss)
    boxes = [box.key for box in view.diagram.boxes]
    made = [tuple(boxes[2 * i: 2 * i + 2]) for i in range(9)]
    frames = [_line(i + 1, f"{' and '.join(keys)} are made", 24 * i, lit=keys, comes=keys) for i, keys in enumerate(made)]
    end = play_backward(loss, x=x, a=a, b=b, c=c, h=h, y=y)._play.last
    return Watch(Play("this cell", view.diagram, 0, (*frames, _line(10, "backward runs", boxes=end.boxes)), end, "it is done",
                      (Source("this cell", 1, tuple(f"line_{i}()" for i in range(10))),), frozenset(boxes)))


def without_boxes():
    """Code that makes no tensor."""
    empty = Diagram("no graph", (), (), (), ())
    return Watch(Play("this cell", empty, 0, (_line(1, "no tensor is made"), _line(2, "no tensor is made")), empty, "no graph",
                      (Source("this cell", 1, ("a = 1", "b = a + 1")),)))
