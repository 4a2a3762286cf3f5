"""The learner's code: which names it finds, and which of its lines did what."""

import functools
import sys

import pytest
import torch
from torch.autograd import Function
from torch.nn.functional import mse_loss

from cells import run_cells
from course import running
from course.checking import telling_cuts
from course.running import Run
from course.verdict import Wrong

SET_UP = """import math
from copy import *
from functools import partial
from math import pi as circle
from string import ascii_letters
import torch
from torch import float64, nn
from torch.nn.functional import mse_loss"""


def run_of(source, *cells, name="answer", **names):
    """A run of the answer in the last cell."""
    return Run(run_cells(SET_UP, *cells, source, **names)[name])


def refused(run, *inputs):
    with pytest.raises(Wrong) as caught:
        run(*inputs)
    return str(caught.value)


# Which names it finds

OWN = {
    "modules": "def answer(): return math.pi + torch.ones(1).item() + nn.Linear(1, 1).weight.numel()",
    "what was imported": "def answer(): return partial(mse_loss, deepcopy(torch.ones(1)))(torch.ones(1)), "
                         "circle, ascii_letters, float64",
    "builtins": "def answer(): return sum(map(len, [[], []]))",
    "a helper": "def helper(x): return 2 * x\ndef answer(): return helper(3)",
    "a helper below": "def answer(): return helper(3)\ndef helper(x): return 2 * x",
    "a class": "class Doubled:\n    factor = 2\n    def __call__(self, x): return Doubled.factor * x\n"
               "def answer(): return Doubled()(3)",
    "a closure": "def make(factor):\n    def inner(): return factor * 3\n    return inner\nanswer = make(2)",
    "a lambda": "answer = lambda: [number for number in range(3)]",
    "recursion": "def answer(n=3): return 1 if n == 0 else n * answer(n - 1)",
    "a constant": "RATE = 0.1\nfor i in range(2): last = i\ndef answer(): return RATE * last",
    "global": "count = 0\ndef answer():\n    global count, made\n    count += 1\n    made = count\n    return made",
    "a decorator": "def twice(function):\n    return lambda *inputs: 2 * function(*inputs)\n@twice\ndef answer(): return 3",
    "a decorator of PyTorch": "def helper(): return 3\n@torch.no_grad()\ndef answer(): return helper()",
    "a default": "def answer(x=variable): return x",
    "an import inside": "def answer():\n    from math import tau\n    return tau",
    "names of a class": "class Settings:\n    rate = 0.1\ndef answer(): return Settings.rate",
    "partial": "def helper(x): return x\nanswer = partial(helper, 3)",
    "an object": "class Doubled(nn.Module):\n    def forward(self): return helper()\ndef helper(): return 3\nanswer = Doubled()",
}


@pytest.mark.parametrize("source", OWN.values(), ids=OWN)
def test_the_code_of_the_cell_works_as_it_is(source):
    cells = "variable = 1\ncount = 100\nrate = 5"
    before = run_cells(SET_UP, cells, source)["answer"]()
    assert str(run_of(source, cells)()) == str(before)


HIDDEN = {
    "a variable": "net = 1",
    "a tensor": "net = torch.ones(1)",
    "a module": "net = nn.Linear(1, 1)",
    "a function": "def net(x): return x",
    "a class": "class net: pass",
    "an object of a library": "net = mse_loss",
    "an import that was replaced": "from math import e as net\nnet = 3",
    "a loop": "for net in range(3): pass",
    "an attribute of a class of this name": "net = 1",
}


@pytest.mark.parametrize("cell", HIDDEN.values(), ids=HIDDEN)
def test_a_name_of_another_cell_is_told_as_such_and_is_not_there(cell):
    run = run_of("class Other:\n    net = 2\n\ndef answer(x):\n    x = 2 * x\n    return net", cell)
    words = "`net` is not defined in your function. Another cell of the notebook defines it"
    with pytest.raises(Wrong, match=words) as caught:
        run(1)
    assert run.line_of_error(caught.value.__context__) == "line 6: return net"


def test_a_helper_does_not_find_a_name_of_another_cell_either():
    assert "`net` is not defined" in refused(run_of("def helper(): return net\ndef answer(): return helper()", "net = 1"))


@pytest.mark.parametrize("source, words", [
    ("def answer(): return undefined", "`undefined` is not defined in your function."),
    ("def answer():\n    total += 1\n    return total", "`total` is read before your function gives it a value."),
    ("def answer():\n    del math.nothing", "Your code raised AttributeError"),
])
def test_other_names_that_fail_are_told_as_what_they_are(source, words):
    assert words in refused(run_of(source)) and "Another cell" not in refused(run_of(source))


@pytest.mark.parametrize("source", ["def answer(): pass", "def answer(): raise KeyError", "def answer():\n    global net, new\n"
                                    "    net, new = 5, 6", "def answer():\n    while True: pass"])
def test_the_notebook_has_its_names_back_whatever_happens(source):
    namespace = run_cells(SET_UP, "net, other = 1, [2]", source)
    before = dict(namespace)
    try:
        Run(namespace["answer"])()
    except Wrong:
        pass
    assert {**namespace, "new": 0} == {**before, "new": 0} and ("new" in namespace) == ("new" in source)


def test_an_import_in_a_cell_with_a_magic_counts():
    cell = "get_ipython().run_cell_magic('time', '', 'from math import tau\\n')"
    namespace = run_cells("def answer(): return tau", tau=__import__("math").tau)
    namespace["_ih"].append(cell)
    assert Run(namespace["answer"])() == __import__("math").tau


def test_classes_and_functions_of_libraries_are_there_where_cells_are_not_noted():
    """As under nbval, which runs cells that IPython does not note."""
    namespace = run_cells("def answer(): return partial(mse_loss, torch.ones(1))(torch.ones(1))", "net = 1",
                          partial=functools.partial, mse_loss=mse_loss, torch=torch)
    namespace["_ih"].clear()
    assert Run(namespace["answer"])() == 0


def test_what_the_notebook_has_made_since_the_first_call_stays():
    namespace = run_cells(SET_UP, "net = 1", "def answer(): return 2")
    run = Run(namespace["answer"])
    run()
    namespace["net"] = 3
    run()
    assert namespace["net"] == 3


def test_code_of_a_library_finds_its_own_names_and_is_never_open():
    run = Run(mse_loss)     # its file has many `...`
    assert not run.is_open() and run(torch.ones(1), torch.zeros(1)) == 1


def test_without_a_notebook_around_it_nothing_is_hidden():
    namespace = run_cells("net = 1", "def answer(): return net")
    del namespace["_ih"]
    assert Run(namespace["answer"])() == 1


# What is not written yet

GAPS = ["def answer(x):\n    ...", "def answer(x):\n    y = ...\n    return y", "answer = lambda x: ...", "answer = ...",
        "def helper(x): ...\ndef answer(x): return helper(x)", "def answer(x):\n    return [x[0], ...]",
        "class answer:\n    def forward(self, x):\n        return torch.cat(...)"]
NO_GAPS = ["def answer(x): return x[..., 0]", "def answer(x): return x[...]", "def answer(x):\n    x[1:, ...] = 0",
           "def answer(x: 'tuple[int, ...]') -> tuple[int, ...]: return x", "def answer(x): return '...'     # ...", "answer = 3"]


@pytest.mark.parametrize("source", GAPS)
def test_dots_are_a_gap(source):
    assert run_of(source).is_open()


@pytest.mark.parametrize("source", NO_GAPS)
def test_dots_as_an_index_or_in_words_are_none(source):
    assert not run_of(source).is_open()


def test_a_function_of_nothing_but_dots_is_known_without_its_text():
    namespace = {"__name__": "__main__"}
    exec("def answer(x):\n    ...\ndef other(x):\n    return 1", namespace)
    assert Run(namespace["answer"]).is_open() and not Run(namespace["other"]).is_open()


# Which line did what

def names_and_lines(run, **named):
    view, lines = run.show(named)
    return [(node.name, lines.get(number, "").partition(":")[0]) for number, node in enumerate(view.snapshot.nodes, 1)]


MADE = {
    "plain": ("def answer(x):\n    y = x * 2\n    z = (y\n         .exp())\n    return z",
              [("AccumulateGrad", ""), ("MulBackward0", "line 2"), ("ExpBackward0", "line 4")]),
    "a helper": ("def helper(x):\n    return x.exp()\n\ndef answer(x):\n    return helper(x * 2) + 1",
                 [("AccumulateGrad", ""), ("MulBackward0", "line 5"), ("ExpBackward0", "line 2"), ("AddBackward0", "line 5")]),
    "a loop": ("def answer(x):\n    for i in range(2):\n        x = x.exp()\n    return x.sum()",
               [("AccumulateGrad", ""), ("ExpBackward0", "line 3"), ("ExpBackward0", "line 3"), ("SumBackward0", "line 4")]),
    "one line": ("answer = lambda x: x.exp().sum()",
                 [("AccumulateGrad", ""), ("ExpBackward0", "line 1"), ("SumBackward0", "line 1")]),
    "a generator": ("def powers(x):\n    yield x.exp()\n    yield x.sin()\n\ndef answer(x):\n    return sum(powers(x))",
                    [("AccumulateGrad", ""), ("ExpBackward0", "line 2"), ("AddBackward0", "line 6"), ("SinBackward0", "line 3"),
                     ("AddBackward0", "line 6")]),
    "code of PyTorch": ("def answer(x):\n    layer = nn.Softplus()\n    return layer(\n        x)",
                        [("AccumulateGrad", ""), ("SoftplusBackward0", "line 3")]),
    "after an error": ("def answer(x):\n    try:\n        y = x.exp()\n        y = helper(y)\n    except ValueError:\n"
                       "        y = y.sin()\n    return y\ndef helper(y):\n    y.cos()\n    raise ValueError",
                       [("AccumulateGrad", ""), ("ExpBackward0", "line 3"), ("SinBackward0", "line 6")]),
    "a second derivative, after a hook": (
        "def answer(x):\n    y = x.exp()\n    y.register_hook(lambda g:\n        g * x)\n"
        "    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]", None),
}


@pytest.mark.parametrize("source, expected", MADE.values(), ids=MADE)
def test_the_line_that_made_a_node_is_known(source, expected):
    x = torch.ones((), requires_grad=True)
    run = run_of(source)
    found = names_and_lines(run, result=run(x), x=x)
    if expected:
        assert found == expected
    else:       # what the hook made, and what the engine made before and after it
        assert {line for name, line in found if name.startswith("Mul")} == {"line 4", "line 5"}
        assert ("ExpBackward0", "line 2") in found


def test_the_node_of_a_leaf_has_no_line():
    """Many lines may use a leaf, and it has one node."""
    x, w = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
    run = run_of("def answer(x, w):\n    y = x.exp()\n    return y * w")
    assert [line for name, line in names_and_lines(run, y=run(x, w)) if name == "AccumulateGrad"] == ["", ""]


def test_a_node_that_is_not_the_learners_has_no_line():
    x = torch.ones((), requires_grad=True)
    before, run = x.exp(), run_of("def answer(y):\n    return y.sin()")
    between = run(before).cos()
    after = run(between).tan()
    assert names_and_lines(run, after=after, x=x)[1:] == [
        ("ExpBackward0", ""), ("SinBackward0", "line 2"), ("CosBackward0", ""), ("SinBackward0", "line 2"), ("TanBackward0", "")]


def test_without_a_text_no_line_is_told():
    namespace = {"__name__": "__main__"}
    exec("def answer(x):\n    return x.exp()", namespace)
    x, run = torch.ones((), requires_grad=True), Run(namespace["answer"])
    assert run.show({"y": run(x)})[1] == {}


ERRORS = {
    "plain": ("def answer():\n    x = 1\n    return x / 0", "line 3: return x / 0"),
    "a helper": ("def helper():\n    raise KeyError\n\ndef answer():\n    return helper()", "line 2: raise KeyError"),
    "code of PyTorch": ("def answer():\n    layer = nn.Linear(2, 2)\n    return layer(torch.ones(3))",
                        "line 3: return layer(torch.ones(3))"),
    "a loop without end": ("def answer():\n    while True:\n        x = 1", ("line 2: while True:", "line 3: x = 1")),
    "too many arguments": ("def answer(x): return x", ""),
    "an error that is caught": ("def answer():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        pass\n"
                                "    return [][1]", "line 6: return [][1]"),
    "the end of Python": ("def answer():\n    exit()", "line 2: exit()"),
}


@pytest.mark.parametrize("source, line", ERRORS.values(), ids=ERRORS)
def test_the_line_through_which_an_error_came_is_known(source, line):
    run = run_of(source)
    with pytest.raises(Wrong) as caught:
        run()
    found = next(filter(None, map(run.line_of_error, (caught.value, caught.value.__context__ or caught.value))), "")
    assert found in line if isinstance(line, tuple) else found == line


# Its backward passes

TWICE = """def answer(x):
    h = x * x
    h.sum().backward(retain_graph=True)
    loss = 2 * h.sum()
    torch.autograd.grad(loss, x)
    return h"""


def test_each_backward_pass_is_known_with_its_line_its_flag_and_the_graph_before_it():
    x, run = torch.ones(2, requires_grad=True), run_of(TWICE)
    run(x)
    assert [(one.line.partition(":")[0], one.retained) for one in run.passes] == [("line 3", True), ("line 5", False)]
    first, last = run.passes
    assert [tensor.names for tensor in last.view.snapshot.tensors] == [("x",), ("h",), ("loss",)]
    assert last.lines[2] == "line 2: h = x * x" and last.view.snapshot.states["freed"] == 0
    assert first.view.snapshot.tensors[0].grad_shape is None and last.view.snapshot.tensors[0].grad_shape == (2,)


def test_an_answer_without_a_backward_pass_has_no_last_one():
    run = run_of("def answer(): pass")
    run()
    with pytest.raises(Wrong, match="No backward pass ran"):
        run.last_pass()


FAILING = {
    "freed": ("def answer(x):\n    h = x.exp()\n    h.sum().backward()\n    (3 * h).sum().backward()",
              "a second time",
              "[2] ExpBackward0 from [1]; ✗ result freed; ✗ result: backward needs it, and it was freed; made by line 2\n"),
    "two that are freed": ("def answer(x):\n    y = x.exp().sin()\n    y.sum().backward()\n    (2 * y).sum().backward()",
                           "a second time", "[2] ExpBackward0 from [1]; result freed\n[3] SinBackward0 from [2]; ✗ self freed"),
    "changed": ("def answer(x):\n    h = x.exp()\n    loss = (h * h).sum()\n    h.add_(1)\n    loss.backward()",
                "modified by an inplace operation", "✗ self: changed in place after it was saved; made by line 3"),
    "untracked": ("def answer(x):\n    loss = x.detach().sum()\n    loss.backward()", "does not require grad",
                  "loss; not tracked (); ✗ not tracked: no graph behind it"),
}


@pytest.mark.parametrize("source, words, picture", FAILING.values(), ids=FAILING)
def test_a_backward_that_fails_shows_its_graph_with_the_slot_that_is_guilty(source, words, picture):
    with pytest.raises(Wrong, match=words) as caught:
        run_of(source)(torch.ones(2, requires_grad=True))
    assert picture in repr(caught.value.picture)


def test_an_error_outside_of_backward_has_no_picture():
    with pytest.raises(Wrong) as caught:
        run_of("def answer(x):\n    x.exp().sum().backward()\n    x.numpy()")(torch.ones(2, requires_grad=True))
    assert caught.value.picture is None


def test_a_graph_that_cannot_be_read_does_not_stop_the_answer(monkeypatch):
    monkeypatch.setattr(running, "LiveGraph", None)
    x, run = torch.ones(2, requires_grad=True), run_of("def answer(x):\n    x.exp().sum().backward()")
    run(x)
    assert x.grad is not None and run.last_pass().view is None and run.last_pass().line == "line 2: x.exp().sum().backward()"


CUTS = {
    "detach": ("def answer(x):\n    y = x.exp()\n    y = y.detach()\n    y.sum().backward()", "line 3: y = y.detach()"),
    "no_grad": ("def answer(x):\n    with torch.no_grad():\n        y = x.exp()\n        y = y * 2\n"
                "    y.sum().backward()",
                "line 3: y = x.exp()"),
    "data": ("def answer(x):\n    loss = x.data.sum()\n    loss.backward()", "line 2: loss = x.data.sum()"),
    "a module": ("def answer(x):\n    net = nn.Linear(2, 1)\n    with torch.no_grad():\n        y = net(x.detach())\n"
                 "    y.sum().backward()", "line 4: y = net(x.detach())"),
    "a .grad": ("def answer(x):\n    x.sum().backward()\n    loss = x.detach().sum()\n    x.grad\n    loss.backward()",
                "line 3: loss = x.detach()"),
}


@pytest.mark.parametrize("source, line", CUTS.values(), ids=CUTS)
def test_the_line_that_cut_off_the_graph_is_known(source, line):
    with pytest.raises(Wrong, match="what comes out is not tracked") as caught:
        telling_cuts(run_of(source), torch.ones(2, requires_grad=True))
    assert caught.value.line.startswith(line)


def test_where_no_line_cut_anything_off_the_error_stays():
    with pytest.raises(Wrong, match="does not require grad"):
        telling_cuts(run_of("def answer(x): x.sum().backward()"), torch.ones(2))
    with pytest.raises(Wrong, match="a second time"):
        telling_cuts(run_of("def answer(x):\n    x.detach()\n    y = x.exp().sum()\n    y.backward(); y.backward()"),
                     torch.ones(2, requires_grad=True))


# Nothing stays behind

def test_recording_that_is_left_switched_off_is_refused_and_on_again():
    assert "still off after it" in refused(run_of("def answer(): torch.set_grad_enabled(False)"))
    assert torch.is_grad_enabled()
    run_of("@torch.no_grad()\ndef answer(): return torch.ones(1)")()       # and this leaves nothing behind


def test_the_trace_of_who_traces_is_set_again():
    def tracing(*_):
        return None

    before = sys.gettrace()
    sys.settrace(tracing)
    try:
        run_of("def answer(): pass")()
        assert sys.gettrace() is tracing
    finally:
        sys.settrace(before)


def test_a_backward_of_the_learner_that_pytorch_calls_is_followed_too():
    source = """class Square(Function):
    @staticmethod
    def forward(ctx, x): return x * x
    @staticmethod
    def backward(ctx, gradient):
        while True: pass

def answer(x): return Square.apply(x)"""
    run = run_of(source, Function=Function)
    y = run(torch.ones(1, requires_grad=True))
    with pytest.raises(Wrong, match="does not end"):
        running.bounded(y.backward, (), followed=run._function)
