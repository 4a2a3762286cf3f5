"""Run code line by line, and write down after each line how the graph stands.

`sys.settrace` tells when a line of the watched code begins, a function of it is called or returns, and PyTorch's engine begins
and ends a backward pass. What happens between two of these belongs to the innermost line. Calls of modules are recorded too.
Nothing that is written down keeps a tensor, a node or a frame alive.
"""

import contextlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

import torch
from torch.autograd.graph import GradientEdge

from .modules import Log, Recorder, logs_of, recording
from .names import tensors_in
from .recording import Backward, BackwardRecorder, Recording, words_for
from .snapshot import (
    GraphSnapshot,
    LiveGraph,
    NumberLog,
    Output,
    Register,
    TooDeepError,
    content_of,
    is_leaf,
    undisturbed,
    version_of,
)
from .statements import Source, globals_of, loops, names_of

MOST_VALUES = 40        # names whose values are told
MOST_STEPS = 200        # that are told; beyond it, the middle of a loop is folded
MOST_MOMENTS = 2000     # that are written down; beyond it, loops are folded as they run, or else lines are counted only
KEPT_ITERATIONS = 3     # at the beginning of a folded loop; and the last one

_ENGINE = torch.autograd.graph._engine_run_backward.__code__       # every backward pass that Python calls goes through it
_MODULE = "<module>"
_NO_FUNCTIONS = {"<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}      # they belong to the line around them


@dataclass(frozen=True)
class Place:
    """A line of the code.

    source: the index of the source.
    line: the number of the line in it, from 1.
    function: the name of the function that it is in; "" outside.
    is_loop: whether the whole loop is meant that begins there.
    """

    source: int
    line: int
    function: str
    is_loop: bool = False


@dataclass(frozen=True)
class Value:
    """What a name stands for.

    tensor: the number of the tensor in the register.
    words: its numbers where they are few, else its shape and norm.
    requires_grad: as PyTorch tells it.
    grad: its `.grad` in words; None where it has none.
    version: None where no version is counted.
    content: changes when its memory does, where that is small.
    function: the function whose name it is, "" for names outside.
    """

    tensor: int
    words: str
    requires_grad: bool
    grad: str | None
    version: int | None
    content: int | None
    function: str


@dataclass(frozen=True)
class Graph:
    """The graph at one moment, with numbers that stay the same from moment to moment.

    snapshot: what is reachable from all names.
    nodes, tensors: for each of its nodes and tensors, its number in the register.
    made: for each node, a number that grows as nodes are made in one thread.
    """

    snapshot: GraphSnapshot
    nodes: tuple[int, ...]
    tensors: tuple[int, ...]
    made: tuple[float, ...]


@dataclass(frozen=True)
class Fold:
    """Iterations of a loop that are not told one by one.

    first, last: their numbers, from 1.
    alike: whether each did what the one before the first did.
    nodes: how many nodes they made.
    passes: how many backward passes they ran.
    """

    first: int
    last: int
    alike: bool
    nodes: int
    passes: int


@dataclass(frozen=True)
class Moment:
    """What one line did, up to a call of a watched function, to a backward pass, or to its end.

    place: the line.
    begins: False where the line goes on after a call.
    calls: the function that it calls in the end, "" for none.
    graph: the graph afterwards; None where it could not be walked.
    numbers: (first, after the last) of the numbers that PyTorch gave to nodes meanwhile.
    freed: the numbers of the nodes that were freed so far.
    names: what each name stands for afterwards.
    backward: the pass that it runs in the end, or None.
    fills: whether that pass fills `.grad`; torch.autograd.grad returns what it finds.
    fold: the iterations that it stands for, or None.
    records: whether operations were recorded when it began, and when it ended.
    """

    place: Place
    begins: bool
    calls: str
    graph: Graph | None
    numbers: tuple[int, int]
    freed: frozenset[int]
    names: Mapping[str, Value]
    backward: Recording | None = None
    fills: bool = True
    fold: Fold | None = None
    records: tuple[bool, bool] = (True, True)


@dataclass(frozen=True)
class Failure:
    """What ended the code.

    place: the line, None where it is none of the watched code.
    kind: of the error, as in "RuntimeError".
    message: its words.
    """

    place: Place | None
    kind: str
    message: str


@dataclass(frozen=True)
class Trace:
    """Code that ran.

    sources: its parts.
    before: how the graph stood, and the names, before the first line.
    moments: what happened, in order.
    parameters: the names that are those of parameters of modules.
    log: which line ran when PyTorch gave a number to a node.
    calls: the same of calls of modules, as the nodes hold it, in order.
    more: how many lines ran after the last one that was written down.
    failure: what ended it, None where it came to its end.
    whole: False where we failed to read what came after the last moment.
    """

    sources: tuple[Source, ...]
    before: Moment
    moments: tuple[Moment, ...]
    parameters: frozenset[str]
    log: NumberLog[Place]
    calls: tuple[Log, ...]
    more: int
    failure: Failure | None
    whole: bool


@dataclass
class _Scope:
    """A watched frame that runs.

    frame: itself.
    place: its line.
    runs: whether its first line has begun.
    begins: whether nothing was written down of this line.
    """

    frame: FrameType
    place: Place
    runs: bool = False
    begins: bool = True


@dataclass
class _Pass:
    """A backward pass that runs.

    recorder: what writes it down.
    hooks: what takes the hooks of that away again.
    moment: when it began.
    fills: as in Moment.
    """

    recorder: BackwardRecorder
    hooks: contextlib.ExitStack
    moment: Moment
    fills: bool


class Tracer:
    """Watches the code that runs between `start` and `stop` in this thread.

    namespace: the globals of the code that is watched.
    cell: the lines of the cell that is watched, or None where only functions are.
    uses: those names of the namespace that the cell reads before it gives them a value. Those that a function reads are found
        when it is called.
    makes: those to which the cell gives a value first: what they stand for before that is of no interest.
    function: a function that is watched even if it is one that would belong to the line around it.
    """

    def __init__(self, namespace: dict[str, Any], cell: tuple[str, ...] | None = None, uses: Iterable[str] = (),
                 makes: Iterable[str] = (), function: CodeType | None = None) -> None:
        self._namespace, self._cell, self._cell_file, self._function = namespace, cell, "", function
        self._module = namespace.get("__name__", "")
        self._names = dict.fromkeys((*uses, *makes))
        self._old = {name: id(namespace[name]) for name in makes if name in namespace and name not in uses}
        self._sources: list[Source] = [] if cell is None else [Source("this cell", 1, cell)]
        self._source_of: dict[CodeType, int] = {}
        self._register = Register()
        self._scopes: list[_Scope] = []
        self._moments: list[Moment] = []
        self._log = NumberLog[Place]()
        self._calls: dict[Log, None] = {}
        self._recording = contextlib.ExitStack()
        self._parameters: set[str] = set()
        self._told: set[str] = set()
        self._more = 0
        self._pass: _Pass | None = None
        self._result: object = None
        self._failed = False
        self._outer: Callable[..., Any] | None = None
        self._number = torch.autograd._get_sequence_nr()
        self._records = _records()
        self._before = self._look(Place(0, 0, ""), True, "")[0]

    def start(self) -> None:
        self._recording.enter_context(recording(Recorder(self._nets, grows=True)))
        self._number = torch.autograd._get_sequence_nr()
        self._outer = sys.gettrace()
        sys.settrace(self._trace)

    def stop(self, error: BaseException | None = None, result: object = None) -> Trace:
        """End the watch, and leave nothing behind. error: what the code raised. result: what a function returned."""
        if sys.gettrace() == self._trace:       # the code may have set another one
            sys.settrace(self._outer)
        self._recording.close()
        self._end_pass()
        if self._moments and self._cell is None:        # the names inside the function are gone now
            self._result = result
            self._add(self._moments[-1].place, begins=False)
        failure = None if error is None else Failure(self._place_of(error), type(error).__name__, str(error))
        self._register.close()
        self._result, self._outer, self._scopes = None, None, []
        self._fold(MOST_STEPS)
        return Trace(tuple(self._sources), self._before, tuple(self._moments), frozenset(self._parameters), self._log,
                     tuple(sorted(self._calls, key=Log.order)), self._more, failure, not self._failed)

    def _trace(self, frame: FrameType, _: str, __: object) -> Callable[..., Any] | None:
        """Python calls it where a function begins."""
        with self._guarded():
            return self._begin(frame)
        return None

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Python raises in the watched code what is raised here: let the watch end instead, and the code go on."""
        try:
            yield
        except Exception:
            self._failed = True
            sys.settrace(self._outer)

    def _begin(self, frame: FrameType) -> Callable[..., Any] | None:
        if self._pass is not None:      # what a backward pass calls belongs to the line that runs it
            return None
        if frame.f_code is _ENGINE:
            self._begin_pass(frame)
            return self._trace_engine
        if not self._is_watched(frame):
            return None
        function = _function_of(frame.f_code)
        self._end_part(calls=function)
        self._names |= dict.fromkeys(globals_of(frame.f_code) if function else names_of(frame.f_code))
        self._scopes.append(_Scope(frame, Place(self._source(frame.f_code), frame.f_lineno, function)))
        return self._trace_lines

    def _trace_lines(self, frame: FrameType, event: str, value: object) -> Callable[..., Any] | None:
        """Python calls it in a watched function, before each line and at its end. value: what a function returns."""
        if self._failed:
            return None
        with self._guarded():
            if self._pass is None and event in ("line", "return"):
                self._end_part(returned=value)
                if event == "return":
                    self._scopes.pop()
                else:
                    scope = self._scopes[-1]
                    scope.place = Place(scope.place.source, frame.f_lineno, scope.place.function)
                    scope.begins = scope.runs = True
                self._records = _records()
        return self._trace_lines

    def _trace_engine(self, _: FrameType, event: str, __: object) -> Callable[..., Any]:
        if event == "return":
            with self._guarded():
                self._end_pass()
        return self._trace_engine

    def _is_watched(self, frame: FrameType) -> bool:
        code = frame.f_code
        if frame.f_globals is not self._namespace:
            return False
        if code.co_name == _MODULE:
            self._cell_file = self._cell_file or code.co_filename
            return self._cell is not None and code.co_filename == self._cell_file
        if code is self._function:
            return True
        return bool(code.co_flags & inspect.CO_OPTIMIZED) and code.co_name not in _NO_FUNCTIONS     # and no body of a class

    def _source(self, code: CodeType) -> int:
        """The index of the source in which code stands."""
        if code.co_filename == self._cell_file:
            return 0
        if code not in self._source_of:
            lines = inspect.getblock(linecache.getlines(code.co_filename)[code.co_firstlineno - 1:])
            lines = [line.rstrip("\n") for line in lines]
            self._source_of[code] = len(self._sources)
            self._sources.append(Source(f"{_function_of(code)}()", code.co_firstlineno, tuple(lines)))
        return self._source_of[code]

    def _place_of(self, error: BaseException) -> Place | None:
        """The innermost watched line that an error came through."""
        place, traceback = None, error.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if self._is_watched(traceback.tb_frame):
                place = Place(self._source(code), traceback.tb_lineno, _function_of(code))
            traceback = traceback.tb_next
        return place

    def _end_part(self, calls: str = "", returned: object = None) -> None:
        """Write down what was done since the last look: it belongs to the line that runs innermost."""
        if self._scopes and self._scopes[-1].runs:
            scope = self._scopes[-1]
            results = [_edge(tensor) for _, tensor, _ in tensors_in("", returned, self._module)]
            self._add(scope.place, scope.begins, calls, [result for result in results if isinstance(result, GradientEdge)])
            scope.begins = False

    def _add(self, place: Place, begins: bool, calls: str = "", outputs: Iterable[Output] = ()) -> None:
        if self._has_room():
            self._keep(self._look(place, begins, calls, outputs)[0])
        else:
            self._more += begins
        self._number = torch.autograd._get_sequence_nr()

    def _keep(self, moment: Moment) -> None:
        self._moments.append(moment)
        if moment.numbers[0] < moment.numbers[1]:
            self._log.note(moment.place, moment.numbers[0])
            self._log.note(None, moment.numbers[1])

    def _has_room(self) -> bool:
        if len(self._moments) >= MOST_MOMENTS:
            self._fold(MOST_MOMENTS // 2)
        return len(self._moments) < MOST_MOMENTS

    def _fold(self, most: int) -> None:
        """Fold the middle of long loops where there are more steps than that, or some are folded."""
        steps = sum(1 + len(moment.backward.steps if moment.backward else ()) for moment in self._moments)
        if steps > most or any(moment.fold for moment in self._moments):
            self._moments = fold_loops(self._moments, self._sources)

    def _look(self, place: Place, begins: bool, calls: str, outputs: Iterable[Output] = ()) -> tuple[Moment, LiveGraph | None]:
        numbers = self._number, torch.autograd._get_sequence_nr()
        records = self._records, _records()
        with undisturbed():
            drawn, told = self._named_tensors()
            known = set(map(id, drawn.values()))
            live = numbered = None
            with contextlib.suppress(TooDeepError):
                live = LiveGraph([output for output in outputs if id(output) not in known], drawn, with_contents=True)
                numbered = Graph(live.snapshot, tuple(map(self._register.number_of_node, live.functions)),
                                 tuple(map(self._register.number_of_tensor, live.tensors)), tuple(live.made))
                self._calls.update(dict.fromkeys(logs_of(live.functions, live.made)))
            values = {name: self._value(*found) for name, found in told.items()}
        return Moment(place, begins, calls, numbered, numbers, frozenset(self._register.freed), values, records=records), live

    def _named_tensors(self) -> tuple[dict[str, torch.Tensor], dict[str, tuple[torch.Tensor, str]]]:
        """The tensors by those names that a picture gives them; and by all names whose values are told, with the function
        whose names these are.

        A picture gives a tensor those names only that it has in the outermost scope: inside a function it has others.
        """
        scopes = self._variables()
        if self._result is not None:
            scopes.append(("", {"what it returns": self._result}))
        drawn: dict[str, torch.Tensor] = {}
        told: dict[str, tuple[torch.Tensor, str]] = {}
        for function, variables in scopes:
            known = set(map(id, drawn.values()))
            # Names of tensors come before those of objects that lead to one.
            for variable, value in sorted(variables.items(), key=lambda item: not isinstance(item[1], torch.Tensor)):
                for name, tensor, is_parameter in tensors_in(variable, value, self._module):
                    free = name if name not in told and name not in drawn else f"{name} in {function}()"
                    if id(tensor) not in known:
                        drawn[free] = tensor
                    if is_parameter:
                        self._parameters.add(free)
                    elif len(self._told) < MOST_VALUES or free in self._told:
                        self._told.add(free)        # what was told once is told again, or it would seem to be gone
                        told[free] = tensor, function
        return drawn, told

    def _variables(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The names of the code and what they stand for: those outside, and those of each function that runs."""
        functions = [(scope.place.function, scope.frame.f_locals) for scope in self._scopes if scope.place.function]
        return [("", self._globals()), *functions]

    def _nets(self) -> dict[str, torch.nn.Module]:
        """The modules by those names that the code gives them first."""
        found: dict[int, tuple[str, torch.nn.Module]] = {}
        for _, variables in self._variables():
            for name, value in variables.items():
                if isinstance(value, torch.nn.Module) and "_modules" in vars(value):        # else it is only being made
                    found.setdefault(id(value), (name, value))
        inside = {id(part) for _, net in found.values() for part in net.modules() if part is not net}
        return {name: net for name, net in found.values() if id(net) not in inside}

    def _globals(self) -> dict[str, Any]:
        """What the names of the namespace stand for that the code uses or has given a value."""
        for name, old in list(self._old.items()):
            if name not in self._namespace or id(self._namespace[name]) != old:
                del self._old[name]
        return {name: self._namespace[name] for name in self._names if name in self._namespace and name not in self._old}

    def _value(self, tensor: torch.Tensor, function: str) -> Value:
        grad = tensor.grad if is_leaf(tensor) or tensor.retains_grad else None
        return Value(self._register.number_of_tensor(tensor), words_for(tensor) or "", tensor.requires_grad, words_for(grad),
                     version_of(tensor), content_of(tensor), function)

    def _begin_pass(self, frame: FrameType) -> None:
        """Watch the backward pass that begins, node by node."""
        if not self._scopes or not self._has_room():
            return
        scope, arguments = self._scopes[-1], frame.f_locals
        gradients, retain_graph, create_graph, inputs = arguments["args"][:4]
        known = set(map(id, self._named_tensors()[0].values()))
        outputs = [_edge(output) if id(output) not in known else output for output in arguments["t_outputs"]]
        moment, graph = self._look(scope.place, scope.begins, "", [*outputs, *inputs])
        if graph is None:
            return
        backward = Backward(outputs, gradients, retain_graph, create_graph, list(inputs) or None)
        recorder, hooks = BackwardRecorder(graph, backward), contextlib.ExitStack()
        hooks.enter_context(recorder.hooks())
        self._pass = _Pass(recorder, hooks, moment, bool(arguments["kwargs"].get("accumulate_grad")))
        scope.begins = False

    def _end_pass(self) -> None:
        if self._pass is not None:
            with self._pass.hooks:
                recording = self._pass.recorder.end()
            moment, self._number = self._pass.moment, torch.autograd._get_sequence_nr()
            self._keep(replace(moment, numbers=(moment.numbers[0], self._number), backward=recording, fills=self._pass.fills))
            self._pass = None


def fold_loops(moments: Sequence[Moment], sources: Sequence[Source]) -> list[Moment]:
    """The same with one moment for the middle of each long loop. Of loops inside each other, the outer one is folded."""
    spans = {(number, code.first - 1 + first): (code.first - 1 + last) for number, code in enumerate(sources)
             for first, last in loops("\n".join(code.lines)).items()}
    folded: list[Moment] = []
    i = 0
    while i < len(moments):
        place = moments[i].place
        last = spans.get((place.source, place.line))
        if last is None or not moments[i].begins:
            folded.append(moments[i])
            i += 1
            continue
        end = i
        while end < len(moments) and not _is_behind(moments[end].place, place, last):
            end += 1
        folded += _fold_loop(moments[i:end])
        i = end
    return folded


def _is_behind(other: Place, loop: Place, last: int) -> bool:
    """Whether a line is outside of a loop, and in the same function. last: the last line of the loop."""
    return other.source == loop.source and other.function == loop.function and not loop.line <= other.line <= last


def _fold_loop(moments: Sequence[Moment]) -> list[Moment]:
    """The moments of one loop, the middle of which becomes one."""
    head = moments[0].place
    heads = [i for i, moment in enumerate(moments) if moment.begins and replace(moment.place, is_loop=False) == head]
    iterations = [moments[first:end] for first, end in zip(heads, [*heads[1:], len(moments)])]
    ends_with_head = len(iterations[-1]) == 1       # Python comes to the first line once more, and the loop is over
    kept_at_end = 1 + ends_with_head
    middle = iterations[KEPT_ITERATIONS:-kept_at_end]
    if len(middle) < 2:
        return list(moments)
    alike = all(map(_is_alike(iterations[KEPT_ITERATIONS - 1]), middle))
    whole = [moment for iteration in middle for moment in iteration]
    before = [moment.fold for moment in whole if moment.fold]
    count = sum(fold.last - fold.first + 1 for fold in before) + len(middle) - len(before)
    nodes = sum(fold.nodes for fold in before) + sum(
        moment.numbers[1] - moment.numbers[0] for moment in whole if not moment.fold)
    passes = sum(fold.passes for fold in before) + sum(moment.backward is not None for moment in whole)
    fold = Fold(KEPT_ITERATIONS + 1, KEPT_ITERATIONS + count, alike, nodes, passes)
    one = replace(whole[-1], place=replace(head, is_loop=True), begins=True, calls="", backward=None, fold=fold,
                  numbers=(whole[-1].numbers[1],) * 2)
    return [moment for iteration in (*iterations[:KEPT_ITERATIONS], [one], *iterations[-kept_at_end:]) for moment in iteration]


def _is_alike(model: Sequence[Moment]) -> Callable[[Sequence[Moment]], bool]:
    """What tells whether an iteration did what another one did: the same lines, as many nodes, as many steps of backward."""
    def deeds(iteration: Sequence[Moment]) -> list[object]:
        return [(moment.place, moment.calls, moment.numbers[1] - moment.numbers[0],
                 moment.backward and [step.freed for step in moment.backward.steps]) for moment in iteration]

    known = deeds(model)
    return lambda iteration: iteration[0].fold.alike if iteration[0].fold else deeds(iteration) == known


def _edge(output: Output) -> Output:
    """A tensor without a name as the edge into its node: nothing has to be drawn for it."""
    if isinstance(output, GradientEdge) or output.grad_fn is None:
        return output
    return torch.autograd.graph.get_gradient_edge(output)


def _records() -> bool:
    """Whether operations on tracked tensors make nodes now."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def _function_of(code: CodeType) -> str:
    return "" if code.co_name == _MODULE else code.co_name
