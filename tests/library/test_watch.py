"""A watch tells which line did what: against an account of its own, against the same code without a watch, and by its words."""

import gc
import linecache
import sys

import pytest
import torch
from random_programs import Program

from seegrad.history import make_history
from seegrad.statements import uses_and_makes
from seegrad.tracing import Tracer


def run(source, namespace=None, watched=True):
    """Run a cell as `%%watch` does: its namespace, its history, and its error."""
    namespace = {"__name__": "__main__", "torch": torch, **(namespace or {})}
    lines = source.splitlines()
    text = "\n".join(["#", *lines[1:]])
    name = f"<cell {abs(hash(source))}>"
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    code = compile(text, name, "exec")
    tracer, error = Tracer(namespace, tuple(lines), *uses_and_makes(text)) if watched else None, None
    if tracer:
        tracer.start()
    try:
        exec(code, namespace)
    except Exception as raised:
        error = raised
    history = make_history(tracer.stop(error)) if tracer else None
    return namespace, history, error


@pytest.mark.parametrize("seed", range(300))
def test_the_lines_behind_a_graph_are_those_of_an_independent_account(seed):
    program = Program(seed, statements=4 + seed % 12)
    _, history, error = run(program.source)
    assert error is None, program.source
    told = [(node.name, origin.made and origin.made.line, origin.let_go and origin.let_go.line,
             [slot_lines(history, i, k) for k in range(len(node.saved))])
            for i, (node, origin) in enumerate(zip(history.union.nodes, history.nodes)) if node.leaf is None]
    expected = [(node.name, node.line, node.let_go, [(saved.changed, saved.unnoticed, saved.freed) for saved in node.saved])
                for node in program.nodes]
    assert told == expected, program.source


def slot_lines(history, i, k):
    origin = history.slots.get((i, k))
    return (None, False, None) if origin is None else (
        origin.changed and origin.changed.line, origin.unnoticed, origin.freed and origin.freed.line)
