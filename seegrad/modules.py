"""Which call of a module made which node.

While modules are recorded, each call of one writes down which numbers PyTorch gives to nodes meanwhile, as a watch does for each
line of code. All that one call from outside of all modules writes down is a log. The nodes of what it returns hold the log, so it
is gone when its graph is; it holds numbers and words, and keeps no tensor, no node and no module alive.
"""

import bisect
import contextlib
import functools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch._C._dynamo.eval_frame import _FrameAction, _FrameExecStrategy, set_code_exec_strategy
from torch.utils._pytree import tree_leaves

from .snapshot import GraphSnapshot, LiveGraph, ModuleCall, Modules, NumberLog, deepest_walk, grad_fn_of, undisturbed

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
    recorder = _Recorder(nets)
    with _recording(recorder):
        yield
        recorder.read_parameters()      # a lazy module has made its own meanwhile


def in_modules(graph: LiveGraph) -> GraphSnapshot:
    """The snapshot of a graph with what is known of its modules; the snapshot as it is where nothing is."""
    logs = _logs_of(graph)
    if not logs:
        return graph.snapshot
    nodes, tensors = list(graph.snapshot.nodes), list(graph.snapshot.tensors)
    called, calls, doubt = _called(graph, logs)
    for i, call in called.items():
        nodes[i] = replace(nodes[i], call=call)
    names, tracked, untracked = _parameters(dict.fromkeys(recorder for log in logs for recorder in log.recorders))
    taken = {name for tensor in tensors for name in tensor.names}
    reached = {node.leaf for node in nodes}
    for k, tensor in enumerate(graph.tensors):
        if not tensors[k].names and id(tensor) in names:
            free = []
            for name in names[id(tensor)]:
                while name in taken:        # the caller may call another tensor so
                    name += "'"
                free.append(name)
            taken |= set(free)
            tensors[k] = replace(tensors[k], names=tuple(free))
    drawn = {id(tensor) for k, tensor in enumerate(graph.tensors) if k in reached}
    not_reached = tuple(name for key, name in tracked.items() if key not in drawn)
    return replace(graph.snapshot, nodes=tuple(nodes), tensors=tuple(tensors),
                   modules=Modules(calls, not_reached, untracked, doubt))


@dataclass(slots=True)
class _Call:
    """A call of a module, while it runs and afterwards.

    path, kind, parent, in_net, finished: as in ModuleCall.
    """

    path: str
    kind: str
    parent: int | None
    in_net: bool
    finished: bool = True


class _Recorder:
    """The nets that are recorded.

    thread: the one that records them.
    modules: each of their modules: as long as they are held here, no other object has the id of one.
    paths: for the id of each of them, the names that lead to it; empty when the recording has ended.
    parameters: the parameters, and the names that lead to each.
    """

    def __init__(self, nets: Mapping[str, nn.Module]) -> None:
        self.nets = nets
        self.thread = threading.get_ident()
        self.modules: list[nn.Module] = []
        self.paths: dict[int, str] = {}
        for prefix, net in nets.items():
            for path, module in net.named_modules(prefix=prefix, remove_duplicate=False):
                known = self.paths.get(id(module))
                self.paths[id(module)] = path if known is None else f"{known} = {path}"
                self.modules.append(module)
        self.read_parameters()

    def read_parameters(self) -> None:
        found: dict[int, tuple[torch.Tensor, list[str]]] = {}
        for prefix, net in self.nets.items():
            for name, parameter in net.named_parameters(prefix=prefix, remove_duplicate=False):
                found.setdefault(id(parameter), (parameter, []))[1].append(name)
        self.parameters = [(weakref.ref(parameter), tuple(names)) for parameter, names in found.values()]

    def end(self) -> None:
        """Let go of the modules."""
        self.nets, self.modules, self.paths = {}, [], {}


class _Log:
    """What one call from outside of all modules did.

    recorders: those that know a module of which it has a call.
    thread: where it ran.
    calls: itself, and all calls in it.
    numbers: which of these calls ran when PyTorch gave a number to a node.
    marks: the numbers of the nodes that hold this log.
    room: how many nodes may hold it because a call inside returned them. A node that Python has seen is freed by recursion.
    later: logs that no node holds, because too many others are held.
    """

    def __init__(self, recorder: _Recorder, room: int) -> None:
        self.recorders = [recorder]
        self.thread = threading.get_ident()
        self.calls: list[_Call] = []
        self.numbers = NumberLog[int]()
        self.marks: set[int] = set()
        self.room = room
        self.later: list[_Log] = []
        self.current: int | None = None

    def run(self, call: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Call a module, and write down that it runs."""
        path, outer, index = self.recorders[0].paths.get(id(module)), self.current, len(self.calls)
        if path is None:
            path = self.path_elsewhere(module)
        this = _Call(path or "", type(module).__name__, outer, path is not None)
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
            if id(module) in recorder.paths:
                if recorder not in self.recorders:
                    self.recorders.append(recorder)
                return recorder.paths[id(module)]
        return None

    def mark(self, result: object) -> None:
        """Let the nodes of a result hold this log."""
        if self.room < 0:
            return
        try:
            # What is changed in place later loses its node, if it is a view: its base then leads here.
            with undisturbed():
                for one in [result] if isinstance(result, torch.Tensor) else _tensors_in(result):
                    for function in map(grad_fn_of, (one,) if one._base is None else (one, one._base)):
                        if function is not None:
                            metadata: Any = function.metadata       # a dict: PyTorch's hints say that it is a method
                            if metadata.setdefault(__name__, self) is self:
                                self.marks.add(function._sequence_nr())
        except Exception:       # we are in the forward pass of the caller
            pass


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

    log: _Log | None = None
    last: "Callable[[], _Log | None]" = staticmethod(lambda: None)


_here = _Here()
_recorders: list[_Recorder] = []        # in all threads
_logs: "weakref.WeakSet[_Log]" = weakref.WeakSet()      # those that a node may hold
_lock = threading.Lock()


@contextlib.contextmanager
def _recording(recorder: _Recorder) -> Iterator[None]:
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


def _log_of(recorder: _Recorder) -> _Log:
    """A log for a call from outside. Where there are many, a node holds the last of them, and this one holds the next ones."""
    most, last = deepest_walk() // 4, _here.last()
    if len(_logs) >= most and last is not None:
        last.later.append(_Log(recorder, -1))
        return last.later[-1]
    log = _Log(recorder, most // (10 * (1 + len(_logs))))
    _here.last = weakref.ref(log)
    _logs.add(log)
    return log


def _recorder_of(module: nn.Module) -> _Recorder | None:
    """Who records a call from outside: the last recording that knows the module, or else that of this thread."""
    recorders = _recorders[::-1]
    known = [recorder for recorder in recorders if id(module) in recorder.paths]
    here = [recorder for recorder in recorders if recorder.thread == threading.get_ident()]
    return next(iter(known + here), None)


def _leave_alone(functions: Iterable[Any], inside: _FrameAction) -> None:
    """Let torch.compile leave our functions as they are, where it breaks code into parts. inside: what it does with what they
    call."""
    for function in functions:
        set_code_exec_strategy(function.__code__, _FrameExecStrategy(_FrameAction.SKIP, inside))


_leave_alone([_run, _Log.run], _FrameAction.DEFAULT)
_leave_alone([_Door.__get__, _recorder_of, _log_of, _Call.__init__, _Log.mark, _Log.path_elsewhere, NumberLog.note],
             _FrameAction.SKIP)


def _logs_of(graph: LiveGraph) -> list[_Log]:
    """The logs that the nodes of a graph hold, in the order of their calls."""
    if not _logs or not graph.functions:
        return []
    marks = set().union(*(log.marks for log in list(_logs)))
    held: dict[_Log, None] = {}
    for function, number in zip(graph.functions, graph.made):
        if number in marks:
            metadata: Any = function.metadata
            if log := metadata.get(__name__):
                held.update(dict.fromkeys([log, *log.later]))
    return sorted(held, key=lambda log: (log.thread, log.numbers.first))


def _called(graph: LiveGraph, logs: list[_Log]) -> tuple[dict[int, int], tuple[ModuleCall, ...], str]:
    """For each node that a call made, the index of the innermost call; these calls; and a doubt."""
    nodes, made = graph.snapshot.nodes, graph.made
    numbers = [number for node, number in zip(nodes, made) if node.leaf is None]
    # An input is older than its consumer; a view of what was changed in place gets its new node only when it is used.
    in_order = all(made[edge.node] <= made[i] + len(node.inputs) for i, node in enumerate(nodes) for edge in node.inputs
                   if edge and nodes[edge.node].leaf is None)
    if len({log.thread for log in logs}) > 1 or len(numbers) != len(set(numbers)) or not in_order:
        return {}, (), SEVERAL_THREADS
    owners: dict[int, tuple[int, int]] = {}
    firsts = [log.numbers.first for log in logs]
    for i, number in enumerate(graph.made):
        k = bisect.bisect_right(firsts, number) - 1
        if graph.snapshot.nodes[i].leaf is None and k >= 0:
            owner = logs[k].numbers.owner_of(number)
            if owner is not None:
                owners[i] = k, owner
    used: set[tuple[int, int]] = set()
    for k, owner in owners.values():
        around: int | None = owner
        while around is not None and (k, around) not in used:
            used.add((k, around))
            around = logs[k].calls[around].parent
    calls = [(k, j, call) for k, log in enumerate(logs) for j, call in enumerate(log.calls)]
    total, seen = Counter((call.path, call.kind) for _, _, call in calls if call.in_net), Counter[tuple[str, str]]()
    index: dict[tuple[int, int], int] = {}
    found: list[ModuleCall] = []
    for k, j, call in calls:
        seen[call.path, call.kind] += 1
        if (k, j) in used:
            index[k, j] = len(found)
            parent = None if call.parent is None else index[k, call.parent]
            number, of = (seen[call.path, call.kind], total[call.path, call.kind]) if call.in_net else (1, 1)
            found.append(ModuleCall(call.path, call.kind, number, of, parent, call.in_net, call.finished))
    return {i: index[owner] for i, owner in owners.items()}, tuple(found), ""


def _parameters(recorders: Iterable[_Recorder]) -> tuple[dict[int, tuple[str, ...]], dict[int, str], tuple[str, ...]]:
    """The parameters that are alive, by id: the names of each; the tracked ones, with a name of each; and those that are not."""
    names: dict[int, tuple[str, ...]] = {}
    tracked: dict[int, str] = {}
    untracked: list[str] = []
    for recorder in recorders:
        for reference, called in recorder.parameters:
            parameter = reference()
            if parameter is not None and id(parameter) not in names:
                names[id(parameter)] = called
                if parameter.requires_grad:
                    tracked[id(parameter)] = called[0]
                else:
                    untracked.append(called[0])
    return names, tracked, tuple(untracked)
