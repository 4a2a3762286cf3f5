"""What is left when an error has come: the frames it came through, what their names stand for, and the graph as it is now.

Nothing is run again, and what is read is as it was. What cannot be known afterwards is None.
"""

import ast
import functools
import heapq
import linecache
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
from torch.autograd.graph import GradientEdge
from torch.autograd.graph import Node as Function

from .names import objects_in, tensors_in
from .passes import Pass, pass_through, was_run_by_none
from .snapshot import CHANGED, FREED, GraphSnapshot, LiveGraph, Output, TooDeepError, grad_fn_of, is_leaf, undisturbed
from .statements import function_around, globals_of, names_in, paths_anywhere, statement_at

MOST_NAMES = 200        # of tensors
MOST_RESULTS = 6        # that are drawn beside a loss without a graph

_ENGINE = torch.autograd.graph._engine_run_backward.__code__
_BACKWARD, _GRAD = torch.autograd.backward.__code__, torch.autograd.grad.__code__
_LIBRARIES = tuple({os.path.join(os.path.realpath(path), "") for path in (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    os.path.dirname(torch.__file__), os.path.dirname(__file__))})
_VERSIONS = re.compile(r"is at version (\d+); expected version (\d+)")
_OF_A_CUSTOM_FUNCTION = "saved_tensors"
_MODULE = "<module>"
_A_CELL = re.compile(r"ipykernel|<ipython-input|<cell")

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Line:
    """A line of the user's code.

    words: where it is, as in "line 3 of train()".
    text: the code on it; may be empty.
    in_cell: whether it stands in a cell of a notebook.
    """

    words: str
    text: str
    in_cell: bool


@dataclass(frozen=True)
class Call:
    """The backward pass that failed.

    roots: from where it started.
    retains: whether it was asked to retain the graph.
    inputs: those for which gradients were asked, None for all leaves.
    ran: whether PyTorch's engine began with it.
    """

    roots: tuple[Output, ...]
    retains: bool
    inputs: tuple[Output, ...] | None
    ran: bool


@dataclass(frozen=True)
class Guilty:
    """A node that could not run.

    node: its index.
    slot: the index of the slot that it needed, None where none is meant.
    earlier: the backward pass that had freed it, where one is known.
    """

    node: int
    slot: int | None
    earlier: Pass | None = None


class Remains:
    """What an error has left. It holds tensors: let go of it before the user's code goes on.

    frames: those of the user's code that the error came through, the innermost first, with the line of each.
    named: what the names in these frames lead to, the innermost first; parameters: those that are parameters of modules.
    modules, optimizers: the same of these; of modules, those that are no part of another one.
    records: whether operations are recorded now.
    call: the backward pass that failed, None for an error that came elsewhere.
    graph: what is reachable from its roots, or else from the tensors of the line that failed; None where there is none, or where
        it is too deep to be walked.
    """

    def __init__(self, error: BaseException) -> None:
        self.error, self.message = error, str(error)
        self.records = torch.is_grad_enabled()
        everything = list(_frames(error.__traceback__))[::-1]
        self.frames = [(frame, line) for frame, line in everything if not _is_of_a_library(frame)]
        self.inner = [frame for frame, _ in everything]
        self.named: dict[str, torch.Tensor] = {}
        self.parameters: set[str] = set()
        with undisturbed():
            self._read_names()
            self.call = self._call()
            self.graph = self._graph()

    # What the code says

    @property
    def line(self) -> Line | None:
        """The innermost line of the user's code."""
        return line_at(*self.frames[0]) if self.frames else None

    @functools.cached_property
    def source(self) -> str:
        """The text of the file, or of the cell, in which that line stands; may be empty."""
        return _text_of(self.frames[0][0]) if self.frames else ""

    @functools.cached_property
    def within(self) -> tuple[int, int] | None:
        """The first and the last line of the function in which that line stands; None outside of all."""
        return function_around(self.source, self.frames[0][1]) if self.frames else None

    @functools.cached_property
    def statement(self) -> ast.stmt | None:
        """The statement on that line."""
        return statement_at(self.source, self.frames[0][1]) if self.frames else None

    @functools.cached_property
    def paths(self) -> list[str]:
        """The names in that statement, and what is read from them, as in "net.weight.grad"."""
        return [] if self.statement is None else paths_anywhere(self.statement)

    @functools.cached_property
    def mentioned(self) -> dict[str, torch.Tensor]:
        """The tensors that the statement names, or to which its objects and lists lead."""
        found: dict[str, torch.Tensor] = {}
        for path in self.paths:
            if path in self.own:
                found.setdefault(path, self.own[path])
            elif not any(name.startswith((f"{path}.", f"{path}[")) for name in found):
                found |= {name: tensor for name, tensor in self.own.items() if name.startswith((f"{path}.", f"{path}["))}
        return found

    def inner_value(self, function: str, name: str) -> object:
        """What a name stands for in the innermost frame of PyTorch's that runs a function of this name; None where none does."""
        return next((frame.f_locals.get(name) for frame in self.inner if frame.f_code.co_name == function
                     and frame.f_globals.get("__name__", "").startswith("torch.")), None)

    def _read_names(self) -> None:
        self.own: dict[str, torch.Tensor] = {}       # those of the innermost frame, a tensor under all its names
        self.modules: dict[str, torch.nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        known: set[int] = set()
        for number, (frame, _) in enumerate(self.frames):
            module, variables = frame.f_globals.get("__name__", ""), variables_of(frame)
            for variable, value in sorted(variables.items(), key=lambda item: not isinstance(item[1], torch.Tensor)):
                for name, tensor, is_parameter in tensors_in(variable, value, module):
                    if not number:
                        self.own.setdefault(name, tensor)
                    if id(tensor) in known or len(self.named) >= MOST_NAMES and name not in self.own:
                        continue
                    known.add(id(tensor))
                    free = name if name not in self.named else f"{name} in {_function_of(frame)}"
                    if free not in self.named:
                        self.named[free] = tensor
                        self.parameters |= {free} if is_parameter else set()
            self._add(self.modules, variables, module, torch.nn.Module)
            self._add(self.optimizers, variables, module, torch.optim.Optimizer)
        inside = {id(part) for net in self.modules.values() for part in net.modules() if part is not net}
        self.modules = {name: net for name, net in self.modules.items() if id(net) not in inside}

    def _add(self, found: dict[str, Kind], variables: Mapping[str, object], module: str, kind: type[Kind]) -> None:
        known = set(map(id, found.values()))
        for variable, value in variables.items():
            for name, one in objects_in(variable, value, module, kind):
                if id(one) not in known and name not in found:
                    known.add(id(one))
                    found[name] = one

    # The graph

    def _call(self) -> Call | None:
        ran = self._locals(_ENGINE)
        if ran is not None:
            roots, (_, retains, _, inputs, *_) = ran["t_outputs"], ran["args"]
            return Call(tuple(roots), bool(retains), tuple(inputs) or None, True)
        for code, name in ((_BACKWARD, "tensors"), (_GRAD, "outputs")):
            given = self._locals(code)
            if given is not None:
                roots = given[name] if isinstance(given[name], (list, tuple)) else [given[name]]
                if isinstance(given[name], GradientEdge):
                    roots = [given[name]]
                return Call(tuple(root for root in roots if isinstance(root, (torch.Tensor, GradientEdge))), False, None, False)
        return None

    def _locals(self, code: object) -> Mapping[str, Any] | None:
        """The variables of the innermost frame that runs some code of PyTorch's."""
        return next((frame.f_locals for frame in self.inner if frame.f_code is code), None)

    def _graph(self) -> LiveGraph | None:
        try:
            if self.call is None:
                named = {name: tensor for name, tensor in self.mentioned.items()
                         if name in self.paths or name not in self.parameters}
                return LiveGraph([], named) if named else None
            first = LiveGraph(self.call.roots, {})
            nodes, tensors = set(first.functions), set(map(id, first.tensors))
            if not nodes:       # then it matters which results have a graph
                results = [tensor for tensor in self.own.values() if tensor.requires_grad and not is_leaf(tensor)]
                tensors |= set(map(id, results[:MOST_RESULTS]))
            given = [id(tensor) for tensor in (*self.call.roots, *(self.call.inputs or ()))]
            named = {name: tensor for name, tensor in self.named.items()
                     if id(tensor) in tensors or id(tensor) in given or grad_fn_of(tensor) in nodes}
            known = set(map(id, named.values()))
            root = self.call.roots[0] if len(self.call.roots) == 1 else None
            if isinstance(root, torch.Tensor) and id(root) not in known:
                named["loss" if "loss" not in named else "the result"] = root
                known.add(id(root))
            return LiveGraph([one for one in (*self.call.roots, *(self.call.inputs or ())) if id(one) not in known], named)
        except TooDeepError:
            return None

    @functools.cached_property
    def order(self) -> list[int]:
        """The nodes in the order in which backward runs them, as their indices; empty where that is not known.

        Source: ``torch/csrc/autograd/engine.cpp``: of the nodes whose gradients have all come, the one made last. On several
        devices, each has a queue of its own.
        """
        if self.graph is None or self.call is None or len({tensor.device for tensor in self.graph.snapshot.tensors}) > 1:
            return []
        snapshot, made = self.graph.snapshot, self.graph.made
        roots = set(self.roots)
        needed = self._leading_to(snapshot)
        inside, pending = set(roots), list(roots)
        waiting = dict.fromkeys(range(len(snapshot.nodes)), 0)
        while pending:
            for edge in snapshot.nodes[pending.pop()].inputs:
                if edge is not None:
                    waiting[edge.node] += 1
                    if edge.node not in inside:
                        inside.add(edge.node)
                        pending.append(edge.node)
        ready = [(-made[i], i) for i in roots if not waiting[i]]
        heapq.heapify(ready)
        ordered = []
        while ready:
            _, i = heapq.heappop(ready)
            if i in needed:
                ordered.append(i)
            for edge in snapshot.nodes[i].inputs:
                if edge is not None:
                    waiting[edge.node] -= 1
                    if not waiting[edge.node]:
                        heapq.heappush(ready, (-made[edge.node], edge.node))
        return ordered

    def has_box(self, name: str) -> bool:
        """Whether a tensor of this name is drawn."""
        return self.graph is not None and any(name in tensor.names for tensor in self.graph.snapshot.tensors)

    @property
    def roots(self) -> list[int]:
        """The nodes in which the pass that failed began."""
        outputs = self.call.roots if self.call is not None else ()
        return [i for output in outputs if (i := self.node_of(output)) is not None]

    def reached(self, starts: Iterable[int]) -> set[int]:
        """These nodes, and those to which they lead."""
        assert self.graph is not None
        found = set(starts)
        pending = list(found)
        while pending:
            new = {edge.node for edge in self.graph.snapshot.nodes[pending.pop()].inputs if edge is not None} - found
            found |= new
            pending += new
        return found

    def node_of(self, output: Output) -> int | None:
        """The node of a result, or that which fills the `.grad` of a leaf; None where there is none."""
        if self.graph is None:
            return None
        if isinstance(output, torch.Tensor) and is_leaf(output):
            return next((i for i, node in enumerate(self.graph.snapshot.nodes)
                         if node.leaf is not None and self.graph.tensors[node.leaf] is output), None)
        function = grad_fn_of(output) if isinstance(output, torch.Tensor) else output.node
        return next((i for i, other in enumerate(self.graph.functions) if other is function), None)

    def _leading_to(self, snapshot: GraphSnapshot) -> set[int]:
        """The nodes that lead to what gradients were asked for."""
        everything = set(range(len(snapshot.nodes)))
        if self.call is None or self.call.inputs is None or self.graph is None:
            return everything
        ends = {i for one in self.call.inputs if (i := self.node_of(one)) is not None}
        found = {i for i in ends if snapshot.nodes[i].leaf is not None}
        for i, node in enumerate(snapshot.nodes):       # inputs come before those that need them
            if any(edge is not None and edge.node in found | ends for edge in node.inputs):
                found.add(i)
        return found

    def function_that_failed(self) -> Function | None:
        """The node of a custom Function in whose backward the error came."""
        for frame in self.inner:
            node = frame.f_locals.get("self") if frame.f_code.co_name in ("apply", "apply_boxed") else None
            if isinstance(node, torch.autograd.graph.Node) and frame.f_globals.get("__name__") == "torch.autograd.function":
                return node
        return None

    def freed(self) -> Guilty | None:
        """The node that could not run because what it had saved was freed; None where it is not known.

        A pass that fails has freed what it ran until then, too. So it has to be known of each node before the guilty one that no
        earlier pass had freed it.
        """
        if self.graph is None or self.call is None or not self.call.ran:
            return None
        failed = self.function_that_failed()
        maybe: list[Guilty] = []
        for i in self.order:
            node, function = self.graph.snapshot.nodes[i], self.graph.functions[i]
            if failed is not None and function is not failed:
                continue
            slot = next((k for k, slot in enumerate(node.saved) if slot.state == FREED), None)
            found = Guilty(i, slot, pass_through(function))
            if failed is not None:
                return found
            if slot is None:
                if node.hides_saved:
                    return None
                if node.saved and not self.call.retains:        # it has not run, or it would be freed
                    break
                continue
            if node.saved[slot].name.startswith(_OF_A_CUSTOM_FUNCTION):       # it has run, without reading them
                continue
            if self.call.retains or found.earlier:
                return found if not maybe else None
            if not was_run_by_none(function, self.graph.made[i]):
                maybe.append(found)
        return maybe[0] if len(maybe) == 1 else None

    def changed(self) -> Guilty | None:
        """The node that could not run because what it had saved was changed in place; None where it is not known."""
        versions = _VERSIONS.search(self.message)
        if self.graph is None or versions is None:
            return None
        failed = self.function_that_failed()
        for i in self.order:
            if self.graph.snapshot.nodes[i].hides_saved:        # it may be the guilty one
                return None
            changed = {k: slot.versions for k, slot in enumerate(self.graph.snapshot.nodes[i].saved) if slot.state == CHANGED}
            if changed and (failed is None or self.graph.functions[i] is failed):
                said = int(versions[2]), int(versions[1])
                return next((Guilty(i, k) for k, told in changed.items() if told == said), None)
        return None


def line_at(frame: FrameType, line: int) -> Line:
    return line_of(frame.f_code.co_filename, frame.f_code.co_name, line)


def line_of(file: str, function: str, line: int) -> Line:
    text = linecache.getline(file, line).strip()
    whole = function == _MODULE
    in_cell = bool(_A_CELL.search(file))
    if in_cell:
        where = "this cell" if whole else f"{function}()"
    else:
        where = os.path.basename(file) + ("" if whole else f", in {function}()")
    return Line(f"line {line} of {where}", text, in_cell)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_of_a_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if "__tracebackhide__" in frame.f_locals:       # so a helper says that it is none of the user's code, to IPython and pytest
        return True
    return file.startswith(("<frozen", *_LIBRARIES)) or os.path.realpath(file).startswith(_LIBRARIES)


def variables_of(frame: FrameType) -> dict[str, object]:
    """What the names stand for that the code of a frame reads or writes; of code outside of functions, those of its file."""
    code, outside = frame.f_code, frame.f_globals
    if code.co_name == _MODULE:     # IPython compiles each statement of a cell by itself
        return {name: outside[name] for name in names_in(_text_of(frame)) if name in outside}
    return {**{name: outside[name] for name in globals_of(code) if name in outside}, **frame.f_locals}


def variables_around(frame: FrameType) -> dict[str, object]:
    """All variables that code in a frame can see: its own, and those outside of functions."""
    outside = {name: value for name, value in frame.f_globals.items() if not name.startswith("_") and name not in ("In", "Out")}
    return {**outside, **frame.f_locals} if frame.f_code.co_name != _MODULE else outside


def _text_of(frame: FrameType) -> str:
    """The file, or the cell, in which the code of a frame stands; may be empty."""
    return "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))


def _function_of(frame: FrameType) -> str:
    return "the outermost code" if frame.f_code.co_name == _MODULE else f"{frame.f_code.co_name}()"
