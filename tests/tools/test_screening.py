"""What an answer may use: exercises need nothing else, and each way out that is known is noticed."""

import ast
import functools
import re

import pytest

import answers
from project import notebooks, read
from rules import CHECK, SOLUTION
from screening import beyond

RIGHT, WRONG = answers.load()
NEED_A_READER = {"08.4": "getattr", "13.5": "type"}        # one right answer of each, and most are without


@functools.cache
def set_up_of(path):
    return next(cell.source for cell in read(path).cells if cell.cell_type == "code").replace("%xmode Minimal\n", "")


@pytest.mark.parametrize("path", notebooks()[1:], ids=lambda path: path.stem)
def test_right_answers_use_what_exercises_need(path):
    cells, set_up = read(path).cells, set_up_of(path)
    for cell, following in zip(cells, cells[1:]):
        for name, _ in CHECK.findall(cell.source):
            assert beyond(SOLUTION.findall(following.source)[0], set_up) == [] == beyond(cell.source, set_up)
            for other in RIGHT.get(name, []):
                found = beyond(other if isinstance(other, str) else other[0], set_up)
                assert found == [] or found == [NEED_A_READER.get(name)]


SET_UP = "import torch\nfrom torch import nn, Tensor\nfrom course import check"


@pytest.mark.parametrize("code, found", [
    ("import os", "import os"),
    ("import torch.hub", "import torch.hub"),
    ("from course.checking import _checks", "from course.checking import _checks"),
    ("from torch import os", "from torch import os"),
    ("from . import checking", "from . import checking"),
    ("from torch import *", "from torch import *"),
    ("open('file')", "open"),
    ("getattr(torch, 'o' + 's')", "getattr"),
    ("type(x)", "type"),
    ("__builtins__", "__builtins__"),
    ("torch.utils.data.os.listdir()", ".os"),
    ("nn.modules.module.warnings.sys", ".sys"),
    ("torch.load('file')", ".load"),
    ("().__class__", ".__class__"),
    ("'{0.__class__}'.format(x)", ".format"),
    ("error.__traceback__.tb_frame", ".__traceback__"),
    ("(i for i in x).gi_frame", ".gi_frame"),
    ("torch.allclose = f", "torch.allclose ="),
    ("nn.Linear.forward = f", "nn.Linear.forward ="),
    ("Tensor.sum = f", "Tensor.sum ="),
    ("del torch.equal", "torch.equal ="),
    ("f(x).backward = f", "f(x).backward ="),
    ("t = torch", "torch as a value"),
    ("T = torch.Tensor", "torch.Tensor as a value"),
    ("f(Tensor)", "Tensor as a value"),
    ("for T in (nn.Module,): pass", "(nn.Module,) as a value"),
    ("{}[Tensor]", "Tensor as a value"),
    ("check = f", "check ="),
    ("def check(name, answer): pass", "a definition of check"),
    ("def isinstance(x, kind): pass", "a definition of isinstance"),
    ("f = lambda isinstance: 0", "isinstance="),
    ("class Right:\n    def __eq__(self, other): return True", "a definition of __eq__"),
    ("class T(Tensor):\n    def __torch_function__(*_): return True", "a definition of __torch_function__"),
    ("match x:\n    case object(__class__=c): pass", "match"),
    ("def f():\n    global check", "global"),
    ("f(_hidden=1)", "_hidden="),
])
def test_a_way_out_is_noticed(code, found):
    assert found in beyond(code, SET_UP)


def test_what_is_no_python_is_not_right_anyway():
    assert beyond("def f(:") == [] and beyond("x = " + "(" * 10_000) == []


def test_wrong_answers_are_mostly_without_too():
    """Who is asked to read does so for few answers only."""
    codes = [(path, code[0]) for path in notebooks()[1:] for name, all_of in WRONG.items() if name[:2] == path.name[:2]
             for code in all_of]
    found = [code for path, code in codes if beyond(code, set_up_of(path))]
    assert len(codes) > 800 and len(found) < len(codes) / 50
    assert not re.search("allclose =", "".join(found))


def test_code_that_this_python_cannot_read_is_no_failure_of_ours(monkeypatch):
    def miscounted(*_):
        raise SystemError("AST constructor recursion depth mismatch (before=42, after=32)")     # as Python 3.11 does
    monkeypatch.setattr(ast, "parse", miscounted)
    assert beyond("x = 1") == []
