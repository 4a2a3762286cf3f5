"""Which call of a module made which node.

While modules are recorded, each call of one writes down which numbers PyTorch gives to nodes meanwhile, as a watch does for each
line of code. All that one call from outside of all modules writes down is a log. The nodes of what it returns hold the log, so it
is gone when its graph is; it holds numbers and words, and keeps no tensor, no node and no module alive.
"""

import bisect
import contextlib
import functools
import math
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import nn
from torch._C._dynamo.eval_frame import _FrameAction, _FrameExecStrategy, set_code_exec_strategy
from torch.autograd.graph import Node as Function
from torch.utils._pytree import tree_leaves

from .gradients import size_of_gradient
from .snapshot import (
    GraphSnapshot,
    LiveGraph,
    ModuleCall,
    Modules,
    NumberLog,
    Parameter,
    deepest_walk,
    grad_fn_of,
    numbers_of,
    shape_of,
    undisturbed,
)

MOST_REPLAYED = 4       # nodes that PyTorch makes for a view of what was changed in place

SEVERAL_THREADS = "its nodes were made in several threads, whose numbers PyTorch does not tell apart"


@contextlib.contextmanager
def modules(net: nn.Module | None = None, /, **named: nn.Module) -> Iterator[None]:
    """Record which module makes which node, while the code inside runs: ``with modules(net): loss = net(x).sum()``.

    net: a module; its parameters and modules get the names that they have in it. named: more modules, each under its name, as in
    ``modules(encoder=encoder, decoder=decoder)``.

    Every picture of a graph that is made inside knows its modules from then on, and the names of the parameters:
    ``show_graph(loss, detail="modules")``. A module that is called inside and is no part of the net is recorded by its class.
    Nothing is kept alive. What a backward pass computes again is not recorded; what torch.compile has compiled is one node.

    Raises TypeError for anything that is no module, and where none is given.
    """
    nets = dict(named) if net is None else {"": net, **named}
    if not nets:
        raise TypeError("modules was given no module: give it the net, as in `with modules(net): loss = net(x).sum()`.")
    for name, value in nets.items():
        if not isinstance(value, nn.Module):
            what = f"{name}=" if name else "the argument of modules"
            raise TypeError(f"{what} is an object of type {type(value).__name__}, not a module: give the net itself, as in "
                            "`with modules(net): loss = net(x).sum()`.")
    with recording(Recorder(lambda: nets)):
        yield


def in_modules(graph: LiveGraph, gradients: bool = False) -> GraphSnapshot:
    """The snapshot of a graph with what is known of its modules; the snapshot as it is where nothing is.

    gradients: whether the sizes of the parameters' gradients are read.
    """
    logs = logs_of(graph.functions, graph.made)
    if not logs:
        return graph.snapshot
    nodes, tensors = list(graph.snapshot.nodes), list(graph.snapshot.tensors)
    inputs = {i: [edge.node for edge in node.inputs if edge] for i, node in enumerate(nodes) if node.leaf is None}
    called, calls, doubt = calls_of(dict(enumerate(graph.made)), inputs, logs)
    for i, call in called.items():
        nodes[i] = replace(nodes[i], call=call)
    parameters = _parameters(dict.fromkeys(recorder for log in logs for recorder in log.recorders))
    taken = {name for tensor in tensors for name in tensor.names}
    reached = {node.leaf for node in nodes}
    for k, tensor in enumerate(graph.tensors):
        if not tensors[k].names and id(tensor) in parameters:
            free = []
            for name in parameters[id(tensor)][1]:
                while name in taken:        # the caller may call another tensor so
                    name += "'"
                free.append(name)
            taken |= set(free)
            tensors[k] = replace(tensors[k], names=tuple(free))
    leaves = {id(tensor): k for k, tensor in enumerate(graph.tensors) if k in reached}
    with undisturbed():
        described = tuple(Parameter(called, shape_of(parameter), parameter.requires_grad, leaves.get(key),
                                    size_of_gradient(parameter.grad) if gradients else None)
                          for key, (parameter, called) in parameters.items())
    return replace(graph.snapshot, nodes=tuple(nodes), tensors=tuple(tensors), modules=Modules(calls, described, doubt))


@dataclass(eq=False, slots=True)
class Call:
    """A call of a module, while it runs and afterwards.

    path, kind, parent, in_net, finished: as in ModuleCall.
    """

    path: str
    kind: str
    parent: int | None
    in_net: bool
    finished: bool = True


class Recorder:
    """What is known of the nets that are recorded.

    nets: finds them, by name.
    grows: whether there may be more of them later.
    thread: the one that records them.
    """

    def __init__(self, nets: Callable[[], Mapping[str, nn.Module]], grows: bool = False) -> None:
        self.nets = nets
        self.grows = grows
        self.thread = threading.get_ident()
        self._parameters: list[tuple[weakref.ref[torch.Tensor], tuple[str, ...]]] | None = None
        self._paths: dict[int, tuple[weakref.ref[nn.Module], str]] = {}     # by ids, which others may have later
        self.read_modules()

    def path_of(self, module: nn.Module) -> str | None:
        """The names that lead to a module, None where it is a part of none of the nets."""
        known = self._paths.get(id(module))
        return known[1] if known is not None and known[0]() is module else None

    def read_modules(self) -> None:
        self._paths.clear()
        for prefix, net in self.nets().items():
            for path, module in net.named_modules(prefix=prefix, remove_duplicate=False):
                known = self.path_of(module)
                self._paths[id(module)] = weakref.ref(module), path if known is None else f"{known} = {path}"

    def parameters(self) -> list[tuple[weakref.ref[torch.Tensor], tuple[str, ...]]]:
        """The parameters, and the names that lead to each."""
        if self._parameters is not None:
            return self._parameters
        found: dict[int, tuple[torch.Tensor, list[str]]] = {}
        for prefix, net in self.nets().items():
            for name, parameter in net.named_parameters(prefix=prefix, remove_duplicate=False):
                found.setdefault(id(parameter), (parameter, []))[1].append(name)
        return [(weakref.ref(parameter), tuple(names)) for parameter, names in found.values()]

    def end(self) -> None:
        """Let go of the nets."""
        self._parameters = self.parameters()        # a lazy module has made its own meanwhile
        self.nets = lambda: {}
        self._paths.clear()


class Log:
    """What one call from outside of all modules did.

    recorders: those that know a module of which it has a call.
    thread: where it ran.
    calls: itself, and all calls in it.
    numbers: which of these calls ran when PyTorch gave a number to a node.
    marks: the numbers of the nodes that hold this log.
    room: how many nodes may hold it because a call inside returned them. A node that Python has seen is freed by recursion.
    later: logs that no node holds, because too many others are held.
    """

    def __init__(self, recorder: Recorder, room: int) -> None:
        self.recorders = [recorder]
        self.thread = threading.get_ident()
        self.calls: list[Call] = []
        self.numbers = NumberLog[int]()
        self.marks: set[int] = set()
        self.room = room
        self.later: list[Log] = []
        self.current: int | None = None

    def run(self, call: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Call a module, and write down that it runs."""
        path, outer, index = self.recorders[0].path_of(module), self.current, len(self.calls)
        if path is None:
            path = self.path_elsewhere(module)
        this = Call(path or "", type(module).__name__, outer, path is not None)
        self.calls.append(this)
        self.current = index
        self.numbers.note(index)
        try:
            result = call(*args, **kwargs)
            if outer is None or len(self.marks) < self.room:
                self.mark(result)
            return result
        except BaseException:
            this.finished = False
            raise
        finally:
            this.kind = type(module).__name__       # a lazy module becomes another class when it is called
            self.current = outer
            self.numbers.note(outer)

    def path_elsewhere(self, module: nn.Module) -> str | None:
        """The names of a module in the nets of another recording."""
        for recorder in reversed(_recorders):
            path = recorder.path_of(module)
            if path is not None:
                if recorder not in self.recorders:
                    self.recorders.append(recorder)
                return path
        return None

    def order(self) -> tuple[int, int]:
        return self.thread, self.numbers.first

    def mark(self, result: object) -> None:
        """Let the nodes of a result hold this log."""
        if self.room < 0:
            return
        try:
            if type(result) is torch.Tensor and not torch._C._is_torch_function_mode_enabled():     # nobody sees that we look
                self.mark_nodes_of(result)
            else:
                with undisturbed():
                    for one in [result] if isinstance(result, torch.Tensor) else _tensors_in(result):
                        self.mark_nodes_of(one)
        except Exception:       # we are in the forward pass of the caller
            pass

    def mark_nodes_of(self, tensor: torch.Tensor) -> None:
        # What is changed in place later loses its node, if it is a view: its base then leads here.
        for one in (tensor,) if tensor._base is None else (tensor, tensor._base):
            function = grad_fn_of(one)
            if function is not None:
                metadata: Any = function.metadata       # a dict: PyTorch's hints say that it is a method
                if metadata.setdefault(__name__, self) is self:
                    self.marks.add(function._sequence_nr())


def _tensors_in(result: object) -> list[torch.Tensor]:
    """The tensors in what a module returns: in lists, dicts and the like, and in the fields of an object."""
    found = [leaf for part in tree_leaves(result) for leaf in ([part] if isinstance(part, torch.Tensor) else
                                                              tree_leaves(getattr(part, "__dict__", None)))]
    return [leaf for leaf in found if isinstance(leaf, torch.Tensor)]


class _Here(threading.local):
    """What this thread records.

    log: of the call from outside that runs.
    last: the last one that a node may hold.
    """

    log: Log | None = None
    last: "Callable[[], Log | None]" = staticmethod(lambda: None)


_here = _Here()
_recorders: list[Recorder] = []        # in all threads
_logs: "weakref.WeakSet[Log]" = weakref.WeakSet()      # those that a node may hold
_lock = threading.Lock()


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let the calls of modules be recorded.

    A global forward hook of PyTorch runs before the hooks of a module, and what these make would be counted outside. So the call
    itself is recorded, from the first recording that begins until the last one ends, in any thread: at the place where PyTorch
    looks for a module that was compiled. Where torch.compile looks for changes of a module, there is none.
    """
    with _lock:
        if not _recorders:
            nn.Module._compiled_call_impl = _Door()        # type: ignore[assignment]
        _recorders.append(recorder)
    try:
        yield
    finally:
        with _lock:
            _recorders.remove(recorder)
            if not _recorders:
                nn.Module._compiled_call_impl = None
        recorder.end()


class _Door:
    """What runs when a module is called. No property: TorchScript would compile it."""

    def __get__(self, module: nn.Module | None, owner: object = None) -> Callable[..., Any] | None:
        if module is None:
            return None
        return functools.partial(_run, module.__dict__.get("_compiled_call_impl") or module._call_impl, module)

    def __set__(self, module: nn.Module, call: Callable[..., Any]) -> None:
        module.__dict__["_compiled_call_impl"] = call


def _run(call: Callable[..., Any], module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
    # While torch.compile compiles, nothing runs; and what a backward pass computes again belongs to no new graph.
    if torch.compiler.is_compiling() or torch._C._current_graph_task_id() != -1:
        return call(*args, **kwargs)
    if _here.log is not None:
        return _here.log.run(call, module, args, kwargs)
    recorder = _recorder_of(module)
    if recorder is None:
        return call(*args, **kwargs)
    try:
        _here.log = _log_of(recorder)
        return _here.log.run(call, module, args, kwargs)
    finally:
        _here.log = None


def _log_of(recorder: Recorder) -> Log:
    """A log for a call from outside. Where there are many, a node holds the last of them, and this one holds the next ones."""
    most, last = deepest_walk() // 4, _here.last()
    if len(_logs) >= most and last is not None:
        last.later.append(Log(recorder, -1))
        return last.later[-1]
    log = Log(recorder, most // (10 * (1 + len(_logs))))
    _here.last = weakref.ref(log)
    _logs.add(log)
    return log


def _recorder_of(module: nn.Module) -> Recorder | None:
    """Who records a call from outside: the last recording that knows the module, or else that of this thread."""
    recorders = _recorders[::-1]
    here = [recorder for recorder in recorders if recorder.thread == threading.get_ident()]
    for recorder in here:
        if recorder.grows and recorder.path_of(module) is None:
            recorder.read_modules()
    known = [recorder for recorder in recorders if recorder.path_of(module) is not None]
    return next(iter(known + here), None)


def _leave_alone(functions: Iterable[Any], inside: _FrameAction) -> None:
    """Let torch.compile leave our functions as they are, where it breaks code into parts. inside: what it does with what they
    call."""
    for function in functions:
        set_code_exec_strategy(function.__code__, _FrameExecStrategy(_FrameAction.SKIP, inside))


_leave_alone([_run, Log.run], _FrameAction.DEFAULT)
_leave_alone([_Door.__get__, _recorder_of, _log_of, Call.__init__, Log.mark, Log.mark_nodes_of, Log.path_elsewhere,
              Recorder.path_of, NumberLog.note], _FrameAction.SKIP)


def running() -> Call | None:
    """The innermost call that runs in this thread now."""
    log = _here.log
    return None if log is None or log.current is None else log.calls[log.current]


def calls_behind(functions: Sequence[Function]) -> tuple[dict[int, ModuleCall], str]:
    """For each node that a call made, by its id, this call; and why nothing is known of them, or "".

    The node of a leaf is that of the first call that uses it.
    """
    edges = {function: function.next_functions for function in functions}
    made = numbers_of(edges)
    logs = logs_of(functions, list(map(made.__getitem__, functions)))
    inputs = {function: [source for source, _ in edges[function] if source is not None]
              for function in functions if made[function] == int(made[function])}       # an AccumulateGrad has none
    called, calls, doubt = calls_of(made, inputs, logs)
    by_number = {made[function]: calls[at] for function, at in called.items()}
    return {id(function): by_number[math.ceil(number)] for function, number in made.items()
            if math.ceil(number) in by_number}, doubt


def logs_of(functions: Sequence[Function], made: Sequence[float]) -> list[Log]:
    """The logs that nodes hold, in the order of their calls. made: the numbers of these nodes."""
    if not _logs or not functions:
        return []
    marks = set().union(*(log.marks for log in list(_logs)))
    held: dict[Log, None] = {}
    for function, number in zip(functions, made):
        if number in marks:
            metadata: Any = function.metadata
            if log := metadata.get(__name__):
                held.update(dict.fromkeys([log, *log.later]))
    return sorted(held, key=Log.order)


Key = TypeVar("Key")


def calls_of(made: Mapping[Key, float], inputs: Mapping[Key, Sequence[Key]],
             logs: Sequence[Log]) -> tuple[dict[Key, int], tuple[ModuleCall, ...], str]:
    """For each node that a call made, the index of the innermost call; these calls; and why nothing is known of them, or "".

    made: the numbers of all nodes. inputs: of those nodes that got one from PyTorch, the inputs. logs: those that these nodes
    hold, in order.
    """
    # A view whose base was changed in place gets its node when it is used, and so just after the node that uses it.
    in_order = all(made[source] < made[key] + MOST_REPLAYED * len(sources)
                   for key, sources in inputs.items() for source in sources if source in inputs)
    if len({log.thread for log in logs}) > 1 or len(inputs) != len({made[key] for key in inputs}) or not in_order:
        return {}, (), SEVERAL_THREADS
    starts = [log.numbers.first for log in logs]
    owners: dict[Key, tuple[int, int]] = {}
    for key in inputs:
        at = bisect.bisect_right(starts, made[key]) - 1
        owner = logs[at].numbers.owner_of(made[key]) if at >= 0 else None
        if owner is not None:
            owners[key] = at, owner
    used: set[tuple[int, int]] = set()
    for at, owner in owners.values():
        around: int | None = owner
        while around is not None and (at, around) not in used:
            used.add((at, around))
            around = logs[at].calls[around].parent
    total = Counter((call.path, call.kind, call.in_net) for log in logs for call in log.calls)
    seen = Counter[tuple[str, str, bool]]()
    index: dict[tuple[int, int], int] = {}
    found: list[ModuleCall] = []
    for at, log in enumerate(logs):
        for j, call in enumerate(log.calls):
            what = call.path, call.kind, call.in_net
            seen[what] += 1
            if (at, j) in used:
                index[at, j] = len(found)
                parent = None if call.parent is None else index[at, call.parent]
                # Two modules outside of the net may be one, or alike.
                number, times = (seen[what], total[what]) if call.in_net else (1, 1)
                found.append(ModuleCall(call.path, call.kind, number, times, parent, call.in_net, call.finished))
    return {key: index[owner] for key, owner in owners.items()}, tuple(found), ""


def _parameters(recorders: Iterable[Recorder]) -> dict[int, tuple[torch.Tensor, tuple[str, ...]]]:
    """The parameters that are alive, by id, with the names of each."""
    found: dict[int, tuple[torch.Tensor, tuple[str, ...]]] = {}
    for recorder in recorders:
        for reference, called in recorder.parameters():
            parameter = reference()
            if parameter is not None:
                found.setdefault(id(parameter), (parameter, called))
    return found
