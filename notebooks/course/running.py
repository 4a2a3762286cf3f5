"""Run the learner's code: on its own, not without end, and so that it is known which of its lines did what.

On its own: of the notebook's names, only modules and what was imported are there, and what the cell of the answer defines itself.
"""

import ast
import contextlib
import dis
import functools
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import torch

from seegrad.snapshot import CHANGED, FREED, LiveGraph, NumberLog, Output
from seegrad.view import GraphView, readable

from .processes import in_processes
from .verdict import Wrong

MOST_INSTRUCTIONS = 1_000_000   # of the learner's Python code in one call; counted, because a clock would judge differently
MOST_MEMBERS = 20               # of a list, whose tensors get names

_ENGINE = torch.autograd.graph._engine_run_backward.__code__       # every backward pass that Python calls goes through it


@dataclass(frozen=True)
class Pass:
    """A backward pass that the learner's code ran.

    line: the line that ran it.
    retained: whether it was asked to retain the graph.
    view: the graph before it, with the names that the learner's function gives to tensors; None where it could not be read.
    lines: for the number of each of its nodes, the line that made it, where that is known.
    """

    line: str
    retained: bool
    view: GraphView | None
    lines: Mapping[int, str]


class Run:
    """The learner's answer, to be called with inputs. An answer that is a value is returned as it is.

    passes: the backward passes that it has run.
    names: what their graphs call tensors that the answer has no name for.
    """

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self._function = _function_of(answer)
        self._file = self._function.__code__.co_filename if self._function else ""
        is_written_here = self._function is not None and self._function.__globals__.get("__name__") == "__main__"
        self._source = linecache.getlines(self._file) if is_written_here else []       # of the cell
        self.passes: list[Pass] = []
        self.names: Mapping[str, torch.Tensor] = {}
        self._log = NumberLog[int]()        # of nodes, by the number of the line that made them
        self._line: int | None = None       # that runs
        self._number = self._instructions = 0

    def is_open(self) -> bool:
        """Whether the answer is not written yet: `...` stands in its cell, other than as an index, as in x[..., 0]."""
        return self._answer is ... or _is_empty(self._function) or _has_a_gap("".join(self._source))

    def __call__(self, *inputs: Any) -> Any:
        """Call the answer. Raises Wrong where it raises, changes an input in place, or leaves recording switched off."""
        if not callable(self._answer):
            return self._answer
        recorded = torch.is_grad_enabled()
        before = [(number, tensor, tensor._version, tensor.detach().clone())
                  for number, tensor in enumerate(inputs, 1) if isinstance(tensor, torch.Tensor)]
        try:
            result = self.follow(self._answer, inputs)
        except Wrong:
            raise
        except (Exception, SystemExit) as error:
            raise Wrong(self._in_a_sentence(error), self._picture_of(error)) from None
        for number, tensor, version, values in before:
            if tensor._version != version or not torch.equal(tensor, values):
                raise Wrong(f"Your code changed its input number {number} in place.")
        if torch.is_grad_enabled() != recorded:
            torch.set_grad_enabled(recorded)
            raise Wrong("Your function has switched recording off, and it is still off after it: no later operation gets a node.")
        return result

    def follow(self, call: Callable[..., Any], inputs: Iterable[Any]) -> Any:
        """Call what runs the learner's code. Raises Wrong after MOST_INSTRUCTIONS: an endless loop must not stop the notebook."""
        self._instructions, self._line, self._number = 0, None, torch.autograd._get_sequence_nr()
        previous = sys.gettrace()
        with self._alone():
            sys.settrace(self._trace)
            try:
                return call(*inputs)
            finally:
                sys.settrace(previous)
                self._note(None)

    def in_processes(self, count: int, job: Callable[..., Any], *inputs: Any) -> Any:
        """Call `job(rank, answer, *inputs)` in several processes, as `course.processes` does.
        Raises Wrong where a job does, and where it does not come to its end.

        job: of a module; it runs the answer there by a `Run` of its own.
        """
        with self._alone():
            try:
                return in_processes(count, job, self._answer, *inputs)
            except TimeoutError as error:
                raise Wrong(f"No end comes: {error}") from None

    def show(self, named: Mapping[str, torch.Tensor], *outputs: Output) -> tuple[GraphView, dict[int, str]]:
        """The graph of these tensors now; and for the number of each node, the line of the learner's code that made it.

        A node of which that is not known has none.
        """
        graph = LiveGraph(outputs, named)
        lines = {number: line for number, (node, made) in enumerate(zip(graph.snapshot.nodes, graph.made), 1)
                 if node.leaf is None and (line := self.line(self._log.owner_of(made) or 0))}
        return readable(graph.snapshot), lines

    def last_pass(self) -> Pass:
        """The last backward pass. Raises Wrong where there was none."""
        if not self.passes:
            raise Wrong("No backward pass ran in your function.")
        return self.passes[-1]

    @property
    def here(self) -> str:
        """The line of the learner's code that runs."""
        return self.line(self._line or 0)

    def line(self, number: int) -> str:
        """A line of the learner's cell in words, as in "line 5: loss.backward()"; "" where there is none."""
        text = self._source[number - 1].strip() if 1 <= number <= len(self._source) else ""
        return f"line {number}: {text}" if text else ""

    def line_of_error(self, error: BaseException) -> str:
        """The innermost line of the learner's code through which an error came."""
        number, traceback = 0, error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self._file:
                number = traceback.tb_lineno
            traceback = traceback.tb_next
        return self.line(number)

    # What it may use

    @functools.cached_property
    def _hidden(self) -> dict[str, object]:
        """The names that are not there for the answer, and what they stand for: the variables of the notebook's other cells."""
        namespace = self._function.__globals__ if self._function and self._source else {}
        cells = namespace.get("_ih")        # where IPython keeps the cells that ran
        if not isinstance(cells, list):
            return {}
        own = _names_made("".join(self._source))
        imports = {found for cell in cells for found in _imports(cell)}

        def is_there(name: str, value: object) -> bool:
            return (name in own or name.startswith("__") or isinstance(value, ModuleType) or _is_of_a_library(name, value)
                    or any(_is_imported(value, name, *found) for found in imports))

        return {name: value for name, value in namespace.items() if not is_there(name, value)}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Take the hidden names away. They come back whatever happens."""
        namespace = self._function.__globals__ if self._hidden and self._function else {}
        taken = {name: namespace.pop(name) for name in self._hidden if name in namespace}
        try:
            yield
        finally:
            namespace.update(taken)

    # What it does

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        """Python calls it where a function begins; and in the learner's own code before each instruction, and where one ends."""
        if frame.f_code is _ENGINE:
            with contextlib.suppress(Exception):        # of ours: the learner's code goes on
                self._begin_pass(frame)
        # Only the learner's own code is followed: PyTorch's Python code would cost time, and ends by itself.
        if frame.f_code.co_filename != self._file:
            return None
        frame.f_trace_opcodes = True        # a loop on one line gives no other events
        self._instructions += 1
        if self._instructions > MOST_INSTRUCTIONS:
            raise Wrong(f"Your code was stopped after {MOST_INSTRUCTIONS:,} instructions: is there a loop that does not end?")
        if event != "opcode":
            running = self._learners_frame(frame.f_back) if event == "return" else frame
            self._note(running.f_lineno if running else None)
        return self._trace

    def _learners_frame(self, frame: FrameType | None) -> FrameType | None:
        while frame is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        return frame

    def _note(self, line: int | None) -> None:
        """Let the nodes that were made since the last call be of the line that ran, and another one run from now on."""
        number = torch.autograd._get_sequence_nr()
        if number != self._number:
            self._log.note(self._line, self._number)
            self._log.note(None, number)
            self._number = number
        self._line = line

    def _begin_pass(self, frame: FrameType) -> None:
        caller = self._learners_frame(frame)
        self._note(self._line)
        roots, arguments = frame.f_locals["t_outputs"], frame.f_locals["args"]
        line = self.line(caller.f_lineno) if caller else ""
        self.passes.append(Pass(line, bool(arguments[1]), None, {}))        # where the graph cannot be read
        view, lines = self.show(*_with_names(roots, {**self.names, **(caller.f_locals if caller else {})}))
        self.passes[-1] = Pass(line, bool(arguments[1]), view, lines)

    # What it raised

    def _in_a_sentence(self, error: BaseException) -> str:
        if isinstance(error, NameError):
            name = error.name or "".join(re.findall(r"'(\w+)'", str(error))[:1])
            if name in self._hidden:
                return (f"`{name}` is not defined in your function. Another cell of the notebook defines it, but the check calls "
                        "your function without the other cells: what it needs comes in its arguments, or stands in its own cell.")
            if isinstance(error, UnboundLocalError):
                return f"`{name}` is read before your function gives it a value."
            if name:
                return f"`{name}` is not defined in your function."
        return f"Your code raised {in_words(error)}."

    def _picture_of(self, error: BaseException) -> GraphView | None:
        """The graph in which a backward pass failed, with the slot that is guilty, where that is known."""
        traceback, codes = error.__traceback__, []
        while traceback is not None:
            codes.append(traceback.tb_frame.f_code)
            traceback = traceback.tb_next
        if _ENGINE not in codes or not self.passes or self.passes[-1].view is None:
            return None
        view, lines = self.passes[-1].view, self.passes[-1].lines
        if "does not require grad" in str(error):
            for tensor in view.snapshot.tensors:
                if tensor.names and not tensor.requires_grad:
                    view = view.mark(tensor.names[0], "not tracked: no graph behind it")
            return view
        for words, state, says in (("a second time", FREED, "backward needs it, and it was freed"),
                                   ("modified by an inplace operation", CHANGED, "changed in place after it was saved")):
            # The engine goes from the last node to the first one.
            failed = [number for number, node in enumerate(view.snapshot.nodes, 1)
                      if any(slot.state == state for slot in node.saved)]
            if words in str(error) and failed:
                slot = next(slot for slot in view.snapshot.nodes[failed[-1] - 1].saved if slot.state == state)
                made = f"; made by {lines[failed[-1]].partition(':')[0]}" if failed[-1] in lines else ""
                return view.mark(failed[-1], says + made, slot=slot.name)
        return view


def bounded(call: Callable[..., Any], inputs: Iterable[Any], followed: Callable[..., Any] | None = None) -> Any:
    """Call what leads to code of the learner, as `Run` calls an answer; what it raises is raised.

    followed: the function whose cell is followed; that is what is called, unless the call goes through PyTorch.
    """
    return Run(followed or call).follow(call, inputs)


def in_words(error: BaseException) -> str:
    """The type of an error, and the beginning of its message: the first sentence, up to details in brackets or a list."""
    message = re.split(r"\n|\. | \(|: \[", str(error))[0].rstrip(".")
    return f"{type(error).__name__}{': ' * bool(message)}{message}"


def _function_of(answer: object) -> FunctionType | None:
    """A function of the learner's in an answer: itself, or what it wraps, or of a class a method; None where there is none."""
    while isinstance(answer, functools.partial):
        answer = answer.func
    answer = inspect.unwrap(getattr(answer, "__func__", answer)) if callable(answer) else answer
    if isinstance(answer, FunctionType):
        return answer
    inside = vars(answer if isinstance(answer, type) else type(answer)).values()
    methods = [getattr(method, "__func__", method) for method in inside]
    return next((method for method in methods if isinstance(method, FunctionType)), None)


def _is_empty(function: FunctionType | None) -> bool:
    """Whether there is nothing but `...` in a function, as far as that is seen without its text."""
    def nothing():
        ...

    def compiled(code: CodeType) -> object:     # since Python 3.14, only a constant tells `return 1` from `...`
        return code.co_code, code.co_consts

    return function is not None and compiled(function.__code__) == compiled(nothing.__code__)


def _has_a_gap(source: str) -> bool:
    tree = _parsed(source)
    indices = {inside for node in ast.walk(tree) if isinstance(node, ast.Subscript) for inside in ast.walk(node.slice)}
    return any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree) if node not in indices)


@functools.lru_cache(maxsize=256)
def _parsed(source: str) -> ast.Module:
    """The tree of a cell; an empty one where it is no Python."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _names_made(source: str) -> set[str]:
    """The names to which a cell gives a value itself. What its functions make by `global` is not there before they run."""
    code = compile(_parsed(source), "", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_NAME", "STORE_GLOBAL")}


@functools.lru_cache(maxsize=256)
def _imports(cell: str) -> tuple[tuple[str, str, str], ...]:
    """What a cell imports from modules, as (module, name there, name here). In a cell with a magic such as %%time too."""
    found = []
    for node in ast.walk(_parsed(cell)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run_cell_magic":
            found += [inside for given in node.args[2:] if isinstance(given, ast.Constant) for inside in _imports(given.value)]
    return tuple(found)


def _is_of_a_library(name: str, value: object) -> bool:
    """Whether a name is that of a class or a function which no cell has made."""
    kinds = (type, FunctionType, BuiltinFunctionType)
    return isinstance(value, kinds) and value.__name__ == name and value.__module__ != "__main__"


def _is_imported(value: object, name: str, module: str, there: str, here: str) -> bool:
    """Whether a name still stands for what an import gave it."""
    if there == "*":
        there = here = name
    missing = object()
    return name == here and getattr(sys.modules.get(module), there, missing) is value


def _with_names(roots: Iterable[Output], variables: Mapping[str, object]) -> tuple[Any, ...]:
    """The tensors of the graph of some roots that variables lead to, by their names; and the roots that have no name.

    A single root without one is called "loss".
    """
    graph = LiveGraph(roots, {})
    nodes, tensors = set(graph.functions), set(map(id, graph.tensors))
    named = {name: tensor for name, tensor in _tensors_in(variables)
             if id(tensor) in tensors or tensor.requires_grad and not tensor.is_leaf and tensor.grad_fn in nodes}
    known = set(map(id, named.values()))
    others = [root for root in roots if id(root) not in known]
    if len(others) == 1 and isinstance(others[0], torch.Tensor) and "loss" not in named:
        return named | {"loss": others[0]},
    return named, *others


def _tensors_in(variables: Mapping[str, object]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in variables.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, torch.nn.Module):
            yield from value.named_parameters(prefix=name)
        elif isinstance(value, (list, tuple)):
            yield from ((f"{name}[{i}]", inside) for i, inside in enumerate(value[:MOST_MEMBERS])
                        if isinstance(inside, torch.Tensor))
