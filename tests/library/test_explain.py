"""explain: which case an error is, and what is guilty. Against an account that asks neither PyTorch nor seegrad; against the clinic;
and what it must not do."""

import contextlib
import copy
import gc
import linecache
import subprocess
import sys
import textwrap
import weakref

import pytest
import torch
from torch import nn

from random_programs import FailingProgram
from seegrad import explain, passes, watch
from seegrad.cases import CASES, cases_of
from seegrad.explaining import explain_error

SEEDS = range(300)


@pytest.fixture
def noted():
    """Passes are noted, as after %load_ext seegrad."""
    passes.begin()
    yield
    passes.end()


def failed(source, **names):
    """The error with which a cell ends."""
    namespace = {"__name__": "__main__", "torch": torch, "nn": nn, **names}
    source = textwrap.dedent(source).strip().replace("%%watch", "# watch") + "\n"
    name = f"<cell {abs(hash(source))}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    with pytest.raises(BaseException) as caught:
        exec(compile(source, name, "exec"), namespace)
    return caught.value


def guilty_of(explanation):
    """The place of the marked node among the nodes of operations; None where none is marked."""
    nodes = [mark.node for mark in explanation.picture.marks if mark.node is not None]
    operations = [i for i, node in enumerate(explanation.picture.snapshot.nodes) if node.leaf is None]
    return operations.index(nodes[0]) if nodes else None


def explained(seed):
    """A random program, and the explanation of its error."""
    program = FailingProgram(seed, statements=3 + seed % 14)
    error = failed(program.source)
    assert program.failure.message in str(error), program.source
    return program, explain_error(error)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_guess_is_wrong(seed, noted):
    program, explanation = explained(seed)
    expected = program.failure
    if not expected.cases:
        assert explanation is None, program.source
        return
    assert explanation.cases[0].number in expected.cases, program.source
    if expected.guilty is not None:
        assert guilty_of(explanation) == expected.guilty, program.source        # small graphs are known whole
        if expected.by is not None:
            line = "this line" if expected.by == len(program.lines) else f"line {expected.by} of this cell"
            assert f"{line} has run backward through it before" in repr(explanation), program.source


@pytest.mark.parametrize("seed", SEEDS)
def test_without_notes_of_passes_no_guess_is_wrong_either(seed):
    program, explanation = explained(seed)
    if program.failure.guilty is not None:
        assert guilty_of(explanation) in (None, program.failure.guilty), program.source
