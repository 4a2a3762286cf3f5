"""Which backward passes ran: noted as each begins, so that after an error it is known what earlier ones have freed.

A note costs about as much as the run of one small node. It holds numbers and words; the nodes hold the notes, and no node is
kept alive.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch.autograd.graph import Node as Function

from .snapshot import Output, grad_fn_of

MOST_MARKED = 64        # nodes of a pass, those next to its start first: beyond it, a pass is not known whole

_PYTORCH = torch.__name__
_KEY = object()         # in the metadata of nodes


class Pass(NamedTuple):     # a backward waits for it to be made
    """A backward pass that came to its end and freed what it used.

    number: what PyTorch's counter of nodes stood at when it began.
    file, line: the place that ran it, outside of PyTorch.
    function: the name of the code there.
    """

    number: int
    file: str
    line: int
    function: str


class _Noting:
    """What is known of all passes.

    known_from: nodes with this number or a larger one were run by no pass but the last one, or have a note.
    last_failed: what the counter stood at when the last pass began, where that one has failed; else -1.
    thread: in which all of them ran; None where there were several, whose numbers cannot be compared.
    """

    def __init__(self, engine: Callable[..., Any]) -> None:
        self.engine = engine
        self.known_from = torch.autograd._get_sequence_nr()
        self.last_failed = -1
        self.thread: int | None = threading.get_ident()

    def run(self, outputs: Sequence[Output], *args: Any, **kwargs: Any) -> Any:
        """Run the engine as PyTorch calls it."""
        __tracebackhide__ = True        # IPython and pytest leave this frame out
        number = torch.autograd._get_sequence_nr()
        self.known_from = max(self.known_from, self.last_failed)
        self.last_failed = number
        result = self.engine(outputs, *args, **kwargs)
        self.last_failed = -1
        try:
            if not args[1]:     # else it has retained all
                self.note(outputs, number, whole=not args[3])
        except Exception:       # of ours: then nothing is known of what was there before
            self.known_from = sys.maxsize
        return result

    def note(self, outputs: Sequence[Output], number: int, whole: bool) -> None:
        """Note a pass that came to its end. whole: whether it has run all nodes that it could reach."""
        if threading.get_ident() != self.thread:
            self.thread = None
        if not whole or not _mark([_root(output) for output in outputs], _pass(number)):
            self.known_from = max(self.known_from, number)


_noting: _Noting | None = None


def begin() -> None:
    """Note all passes from now on. A second time changes nothing."""
    global _noting
    if _noting is None:
        _noting = _Noting(torch.autograd._engine_run_backward)
        torch.autograd._engine_run_backward = _noting.run       # type: ignore[assignment]    # called in the same way


def end() -> None:
    """Leave PyTorch as it was."""
    global _noting
    if _noting is not None and torch.autograd._engine_run_backward == _noting.run:
        torch.autograd._engine_run_backward = _noting.engine
        _noting = None


def pass_through(function: Function) -> Pass | None:
    """The first pass that is known to have run a node and freed what it had saved; None where none is known."""
    metadata: Any = function.metadata      # a dict: PyTorch's hints say that it is a method
    found: Pass | None = metadata.get(_KEY)
    return found


def was_run_by_none(function: Function, number: float) -> bool:
    """Whether it is known that no pass before the last one has run a node. number: that of the node."""
    return (_noting is not None and _noting.thread == threading.get_ident() and pass_through(function) is None
            and number >= _noting.known_from)


def are_noted() -> bool:
    return _noting is not None


def _root(output: Output) -> Function | None:
    return grad_fn_of(output) if isinstance(output, torch.Tensor) else output.node


def _pass(number: int) -> Pass:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (_PYTORCH, __package__):
        frame = frame.f_back
    return Pass(number, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def _mark(roots: Iterable[Function | None], noted: Pass) -> bool:
    """Let the nodes of a pass hold its note, and return whether all do that can have saved something."""
    pending = [root for root in roots if root is not None]
    seen = set(pending)
    for function in pending:        # it grows
        inputs = function.next_functions
        if not inputs:      # that of a leaf
            continue
        metadata: Any = function.metadata
        metadata.setdefault(_KEY, noted)
        for other, _ in inputs:
            if other is not None and other not in seen:
                if len(seen) >= MOST_MARKED:
                    return False
                seen.add(other)
                pending.append(other)
    return True
