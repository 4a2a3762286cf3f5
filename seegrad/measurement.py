"""Exact prices of a computation: what is counted is the same in every run and on every machine, unlike seconds.

Sources: ``torch.utils.flop_counter`` counts the FLOPs; ``torch.autograd.graph.saved_tensors_hooks`` tells what is saved;
the nodes are counted as ``torch.autograd.graph._register_logging_hooks_on_whole_graph`` does it, by prehooks.
"""

import contextlib
import functools
import inspect
import itertools
import math
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import torch
from torch._guards import TracingContext
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks
from torch.autograd.graph import Node as Function
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode, flop_registry, shape_wrapper

from .modules import Call, calls_behind, running
from .recording import is_in_another_thread
from .snapshot import ModuleCall, TooDeepError, reachable, size_of, storages_behind, undisturbed
from .table import Table, Value

_Owner = Call | ModuleCall | None       # while a call runs, its class is not known yet: a lazy module becomes another

aten = torch.ops.aten
MOST_LOOKED_AT = 100    # things in a list that a custom Function keeps


@dataclass(frozen=True)
class ModuleCost:
    """What one module cost, without the modules inside it.

    path: the names that lead to it in the net; "" for the net itself, and for a module that is no part of it.
    kind: the name of its class; "" for all that lies outside of modules.
    forward_flops, backward_flops: the FLOPs of its operations, and of the nodes that these made.
    node_runs: how often backward ran one of these nodes.
    peak_saved_bytes: what it had saved when the most bytes were saved. Memory that several have saved is that of the first.
    """

    path: str
    kind: str
    forward_flops: int = 0
    backward_flops: int = 0
    node_runs: int = 0
    peak_saved_bytes: int = 0


@dataclass(frozen=True)
class Measurement:
    """What a computation cost. Made by :func:`seegrad.measure`.

    node_runs: how often backward ran a node.
    flops: the floating point operations of products of matrices and vectors, convolutions and attention, forward and
    backward, as PyTorch counts them. Elementwise operations have none.
    saved_bytes: the bytes that saved tensors held: 0 at first, and then after each change.
    not_counted: in words, what was seen on the way and is missing in these numbers.
    modules: the cost of each module, and of what lies outside of all; empty where none was recorded.
    doubt: why the modules of some nodes are not known, or "".
    """

    node_runs: int
    flops: int
    saved_bytes: tuple[int, ...]
    not_counted: tuple[str, ...] = ()
    modules: tuple[ModuleCost, ...] = ()
    doubt: str = ""

    @property
    def peak_saved_bytes(self) -> int:
        """The most bytes that saved tensors held at one time."""
        return max(self.saved_bytes)

    @property
    def left_saved_bytes(self) -> int:
        """The bytes that saved tensors still held at the end, while what the function returned was alive."""
        return self.saved_bytes[-1]

    @property
    def by_module(self) -> Table:
        """What each module cost, those with the most FLOPs first: a :class:`seegrad.table.Table`.

        Each number is that of the module without the modules inside it, so that the numbers of a column add up to the whole.
        Raises ValueError where no module was recorded.
        """
        if not self.modules:
            raise ValueError("no module was recorded while measure ran: call it in `with modules(net):`.")
        return _by_module(self)

    def __repr__(self) -> str:
        missing = f"; not counted: {', '.join(self.not_counted)}" if self.not_counted else ""
        return (f"{self.node_runs:,} node runs, {self.flops:,} FLOPs, "
                f"{self.peak_saved_bytes:,} bytes saved at the peak, {self.left_saved_bytes:,} at the end{missing}")


def _by_module(measured: Measurement) -> Table:
    columns = "module", "class", "forward FLOPs", "backward FLOPs", "node runs", "saved bytes at the peak"
    rows: list[dict[str, Value]] = []
    for cost in sorted(measured.modules, key=lambda cost: (not cost.kind, -cost.forward_flops - cost.backward_flops)):
        name = cost.path or cost.kind or "outside of all modules" + ", or not known" * bool(measured.doubt)
        rows.append(dict(zip(columns, (name, *astuple(cost)[1:]))))
    notes = ["Each number is that of the module without the modules inside it.",
             "Memory that several modules have saved is that of the first."]
    if measured.doubt:
        notes.append(f"The modules of some nodes are not known: {measured.doubt}.")
    if measured.not_counted:
        notes.append(f"Not counted: {', '.join(measured.not_counted)}.")
    title = (f"{measured.flops:,} FLOPs, {measured.node_runs:,} node runs and {measured.peak_saved_bytes:,} bytes saved at the "
             "peak, by module")
    return Table(title, columns, rows, notes)


def measure(fn: Callable[[], object]) -> Measurement:
    """Call ``fn()`` once and return its :class:`Measurement`.

    fn: a function without arguments; what it raises is raised here too. The graphs that it builds and the backward
    passes that it runs are counted. Bytes are those of the tensors that ``fn`` makes PyTorch save, whole storages, each
    counted once; a leaf that is saved counts too. What ``torch.compile`` has compiled is counted as it runs, compiled.

    In ``with modules(net):``, or where ``fn`` has that inside, ``.by_module`` says what each module cost. What a backward
    computes again, as with checkpoints, is a cost of the node for which it does.

    While PyTorch is watched like this it may compute in another order: results can differ from a plain call in their last bits.

    Not counted: plain Python numbers (the 3 of ``x * 3``), what was saved before the call, and what ``fn`` does in other
    threads. What else is missing, as far as it can be seen, stands in ``not_counted``.

    Raises TypeError for anything that cannot be called without arguments, and RuntimeError where ``fn`` calls a transform
    of ``torch.func`` that allows no saved-tensor hooks.
    """
    _check_function(fn)
    _warm_up()
    counts = _Counts()
    with counts.flops, counts.saved.hooks(), _counting(counts):
        try:
            result = fn()
        except RuntimeError as error:
            if "support saved tensor hooks" in str(error):
                raise RuntimeError("measure was given a function that calls grad, vjp, jacrev or hessian of torch.func, which "
                                   "allow no saved-tensor hooks, and measure needs them: give it one that uses "
                                   "torch.autograd.grad.") from None
            raise
        # A type may refuse to tell its node, and so does a part of a split of what was changed.
        with contextlib.suppress(Exception), undisturbed():
            counts.look_at(t.grad_fn for t in tree_leaves(result) if isinstance(t, torch.Tensor))
    measured = Measurement(counts.node_runs, counts.flops.total(), tuple(counts.saved.history), tuple(sorted(counts.missing)),
                           counts.of_modules(), "; ".join(sorted(counts.doubts)))
    del result      # until here, it held its graph
    return measured


def _check_function(fn: object) -> None:
    if not callable(fn) or isinstance(fn, torch.nn.Module):
        raise TypeError(f"measure was given an object of type {type(fn).__name__}: give it a function without arguments, "
                        "as in measure(lambda: net(x).sum().backward()).")
    try:
        inspect.signature(fn).bind()
    except ValueError:      # a built-in function that does not tell its arguments
        return
    except TypeError as error:
        raise TypeError(f"measure calls its function without arguments, and this one cannot be called so ({error}): wrap "
                        "it, as in measure(lambda: step(x)).") from None


class _Counts:
    """What one call of `measure` has counted so far.

    thread: that in which it counts.
    missing: what it saw and does not count, in words.
    hooked: the nodes that have a hook, by id: a backward may start another one inside, and each node is counted by one hook.
    ran: for each backward that runs, one inside the other, the call of a module that made the node that runs.
    spent: what the operations of each call cost, and what is outside of all, by the name of a field of ModuleCost.
    doubts: why the modules of some nodes are not known.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.node_runs = 0
        self.missing: set[str] = set()
        self.hooked: dict[int, Function] = {}
        self.ran: list[_Owner] = []
        self.spent = {field: Counter[_Owner]() for field in ("forward_flops", "backward_flops", "node_runs")}
        self.doubts: set[str] = set()
        self.flops = _Flops(self.missing, self.spend_flops)
        self.saved = _SavedBytes(self.missing, self.owner)

    @contextlib.contextmanager
    def of_backward(self, roots: Iterable[Function | None]) -> Iterator[None]:
        """Count each time when backward runs a node."""
        new = [node for node in self.look_at(roots) if id(node) not in self.hooked]
        calls, doubt = calls_behind(new)
        self.doubts |= {doubt} - {""}
        handles = []
        for node in new:
            handles.append(node.register_prehook(functools.partial(self.node_begins, calls.get(id(node)))))
            if calls:       # after a node, hooks of the caller may run
                handles.append(node.register_hook(self.node_ends))
        self.hooked.update((id(node), node) for node in new)
        self.ran.append(None)
        try:
            yield
        finally:
            self.ran.pop()
            for handle in handles:
                handle.remove()
            for node in new:
                del self.hooked[id(node)]

    def node_begins(self, owner: _Owner, _: object) -> None:
        if not is_in_another_thread(self.thread):       # its backward goes through a node that both graphs have
            self.node_runs += 1
            self.spent["node_runs"][owner] += 1
            self.ran[-1] = owner

    def node_ends(self, *_: object) -> None:
        if not is_in_another_thread(self.thread):
            self.ran[-1] = None

    def owner(self) -> _Owner:
        """The call that is to pay now: the one that runs, and in a backward the one that made the node that runs."""
        return self.ran[-1] if self.ran else running()

    def spend_flops(self, number: int) -> None:
        self.spent["backward_flops" if self.ran else "forward_flops"][self.owner()] += number

    def of_modules(self) -> tuple[ModuleCost, ...]:
        found: dict[tuple[str, str], ModuleCost] = {}
        for field, spent in (*self.spent.items(), ("peak_saved_bytes", self.saved.at_peak())):
            for owner, number in spent.items():
                what = ("", "") if owner is None else (owner.path, owner.kind)
                cost = found.get(what, ModuleCost(*what))
                found[what] = replace(cost, **{field: getattr(cost, field) + number})
        return tuple(found.values()) if found.keys() - {("", "")} else ()

    def look_at(self, roots: Iterable[Function | None]) -> list[Function]:
        """Return the nodes behind these. What a custom Function keeps in attributes, PyTorch does not know as saved."""
        try:
            nodes = reachable(roots)
        except TooDeepError:
            self.missing.add("node runs of a graph too deep to be walked")
            return []
        if any(_keeps_a_tensor(value) for node in nodes for value in getattr(node, "__dict__", {}).values()):
            self.missing.add("tensors kept in a ctx")
        return nodes


def _keeps_a_tensor(value: object, depth: int = 3) -> bool:
    """Whether an attribute is a tensor, or a list or dict with one in it: not too far in, because it may hold itself."""
    if isinstance(value, dict):
        value = list(itertools.islice(value.values(), MOST_LOOKED_AT))
    if isinstance(value, (list, tuple)) and depth:
        return any(_keeps_a_tensor(item, depth - 1) for item in value[:MOST_LOOKED_AT])
    return isinstance(value, torch.Tensor)


class _Here(threading.local):
    """counts: of the calls of `measure` that run in this thread, one inside the other."""

    def __init__(self) -> None:
        self.counts: list[_Counts] = []


_INDUCTOR = "torch._inductor.output_code"       # takes long to import, so we look whether others have done it
_IN_KERNELS = "FLOPs inside kernels of torch.compile"

_here = _Here()
_running: list[_Counts] = []        # in all threads
_doors = contextlib.ExitStack()     # closing it puts back what was there
_lock = threading.Lock()


@contextlib.contextmanager
def _counting(counts: _Counts) -> Iterator[None]:
    """Let what this thread does be counted.

    PyTorch has no hook for the start of a backward, for hooks that take the place of ours, nor for compiled code. So three
    of its functions are replaced while `measure` runs in any thread: by the first call that begins, until the last one ends.
    """
    with _lock:
        if not _running:
            _open_doors()
        _running.append(counts)
    _here.counts.append(counts)
    compiles_first = _INDUCTOR not in sys.modules
    try:
        yield
    finally:
        if compiles_first and _INDUCTOR in sys.modules and torch._dynamo.utils.counters["inductor"]:
            _note(_IN_KERNELS, _here.counts)
        _here.counts.pop()
        with _lock:
            _running.remove(counts)
            if not _running:
                _doors.close()


def _open_doors() -> None:
    doors: list[tuple[Any, str, Callable[..., Any]]] = [
        (torch.autograd, "_engine_run_backward", _door_to_backward),
        (torch._C._autograd, "_push_saved_tensors_default_hooks", _door_to_hooks)]
    if _INDUCTOR in sys.modules:
        doors.append((sys.modules[_INDUCTOR].CompiledFxGraph, "__call__", _door_to_kernels))
    for owner, name, door in doors:
        original = getattr(owner, name)
        setattr(owner, name, door(original))
        _doors.callback(setattr, owner, name, original)


def _door_to_backward(run_backward: Callable[..., Any]) -> Callable[..., Any]:
    """Both backward() and grad() go through it."""
    def run(t_outputs: Sequence[torch.Tensor | GradientEdge], *args: Any, **kwargs: Any) -> Any:
        if TracingContext.try_get() is not None:        # torch.compile compiles, and computes nothing
            return run_backward(t_outputs, *args, **kwargs)
        if not _here.counts:
            _note("backward in another thread", _running)
        with contextlib.ExitStack() as counted:
            roots = [_root(output) for output in t_outputs] if _here.counts else []
            for counts in _here.counts:
                counted.enter_context(counts.of_backward(roots))
            return run_backward(t_outputs, *args, **kwargs)
    return run


def _door_to_hooks(push: Callable[..., None]) -> Callable[..., None]:
    def push_others(*hooks: Callable[..., Any]) -> None:
        if TracingContext.try_get() is None:
            _note("tensors saved under other hooks", _here.counts)
        push(*hooks)
    return push_others


def _door_to_kernels(call: Callable[..., Any]) -> Callable[..., Any]:
    def call_kernels(graph: object, inputs: Sequence[Any]) -> Any:
        _note(_IN_KERNELS, _here.counts)
        return call(graph, inputs)
    return call_kernels


def _note(missing: str, for_counts: Iterable[_Counts]) -> None:
    for counts in tuple(for_counts):
        counts.missing.add(missing)


def _root(output: torch.Tensor | GradientEdge) -> Function | None:
    """The node where backward starts, or None: then PyTorch will refuse."""
    if isinstance(output, GradientEdge):
        return output.node
    if not output.requires_grad or output.grad_fn is not None:
        return output.grad_fn
    with torch.inference_mode(False):
        return get_gradient_edge(output).node


# In a name, the words for what multiplies and adds in more than one place; these three do not.
_PRODUCT = re.compile(r"(?:^|[._])(\w*m[mv]|\w*matmul|v?dot|(bi|tri)?linear|conv(olution|\dd)?|attention|encoder|rnn|lstm|gru"
                      r"|cdist|linalg|cholesky|triangular|solve|ormqr|geqrf|[rc]2[rc])(?=[._]|$)")
_NO_PRODUCT = {"linalg_cross", "linalg_vector_norm", "_linalg_check_errors"}


def _matrix_vector_flop(a: Sequence[int], b: Sequence[int], **_: Any) -> int:
    return 2 * math.prod(a)


def _rnn_flop(x: Sequence[int], input_weight: Sequence[int], state_weight: Sequence[int], *_: Any, **__: Any) -> int:
    """One layer in one direction: at each of its places, x and the state are multiplied with their weights."""
    return 2 * math.prod(x[:-1]) * (math.prod(input_weight) + math.prod(state_weight))


# For operations for which PyTorch has no formula: that of a twin, where there is one.
_FORMULAS: dict[Any, Callable[..., int]] = {
    aten.addmm_: flop_registry[aten.addmm],
    aten._addmm_activation: flop_registry[aten.addmm],
    aten.baddbmm_: flop_registry[aten.baddbmm],
    aten.addbmm: flop_registry[aten.baddbmm],
    aten.addbmm_: flop_registry[aten.baddbmm],
    aten._int_mm: flop_registry[aten.mm],
    aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[aten._scaled_dot_product_flash_attention],
    aten._scaled_dot_product_flash_attention_for_cpu_backward:
        flop_registry[aten._scaled_dot_product_flash_attention_backward],
    aten.mv: shape_wrapper(_matrix_vector_flop),
    aten.dot: shape_wrapper(_matrix_vector_flop),
    aten.vdot: shape_wrapper(_matrix_vector_flop),
    aten.addmv: shape_wrapper(lambda total, a, b, **_: _matrix_vector_flop(a, b)),
    aten.addmv_: shape_wrapper(lambda total, a, b, **_: _matrix_vector_flop(a, b)),
    aten.mkldnn_rnn_layer: shape_wrapper(_rnn_flop),
    # The gradients of x and the state, and those of the weights: each as much again.
    aten.mkldnn_rnn_layer_backward: shape_wrapper(lambda *shapes, **_: 2 * _rnn_flop(*shapes)),
}


class _FlopTable(FlopCounterMode):
    """PyTorch's counter, with formulas for more operations; those that have none are noted as missing."""

    def __init__(self, missing: set[str], spend: Callable[[int], None]) -> None:
        super().__init__(display=False)
        self.flop_registry = self.flop_registry | _FORMULAS
        self.missing = missing
        self.spend = spend

    def _count_flops(self, operation: Any, out: Any, args: Any, kwargs: Any) -> Any:
        name = str(operation).removeprefix("aten.")
        if operation in self.flop_registry or _PRODUCT.search(name) and name not in _NO_PRODUCT:
            tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
            layouts = {"nested" if _is_nested(tensor) else _layout_name(tensor) for tensor in tensors} - {"strided"}
            if layouts:     # a formula takes them for dense ones
                self.missing.add(f"FLOPs of {name} of {' and '.join(sorted(layouts))} tensors")
            elif operation in self.flop_registry:
                before = self.get_total_flops()
                super()._count_flops(operation, out, args, kwargs)
                self.spend(self.get_total_flops() - before)
            else:
                self.missing.add(f"FLOPs of {name}")
        return out


class _Flops(_FlopCounterMode):
    """The mode in which they are counted. Entered by itself, and not by its counter, which would hook every module: such
    hooks keep every graph alive until the end."""

    def __init__(self, missing: set[str], spend: Callable[[int], None]) -> None:
        super().__init__(_FlopTable(missing, spend))

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Or torch.compile would not compile while we count, and never again."""
        return True

    def total(self) -> int:
        return self.counter.get_total_flops()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(map(_is_nested, tree_leaves((args, kwargs)))):       # PyTorch's counter fails on them
            return self.counter._count_flops(getattr(func, "overloadpacket", func), func(*args, **kwargs), args, kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)


def _is_nested(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_nested


def _layout_name(tensor: torch.Tensor) -> str:
    return str(tensor.layout).removeprefix("torch.")


@functools.cache
def _warm_up() -> None:
    """The first operation in such a mode imports half of PyTorch, and leaves a cycle that would hold the frame of `fn`."""
    with _Flops(set(), lambda _: None):
        torch.ones(1).exp()


class _SavedBytes:
    """The bytes that saved tensors hold: each storage counts from the first save to the last release.

    history: these bytes, at first and after each change.
    missing: what was saved and is not counted, in words.
    owner: tells the call of a module that saves now.
    holders: for each storage, how many saved tensors hold it, its size in bytes when the first of them came, and whose that
        was.
    """

    def __init__(self, missing: set[str], owner: Callable[[], _Owner]) -> None:
        self.history = [0]
        self.missing = missing
        self.owner = owner
        self.holders: dict[int, tuple[int, int, _Owner]] = {}
        self._peak, self._at_peak = 0, Counter[_Owner]()

    def hooks(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(lambda tensor: _Packed(tensor, self), _Packed.unpack)

    def change(self, storages: Iterable[torch.UntypedStorage], step: int) -> None:
        """A saved tensor that lies in these comes (step 1) or goes (step -1)."""
        held = self.history[-1]
        if step < 0:
            self.at_peak()
        for storage in storages:
            known = self.holders.get(storage._cdata)
            holders, size, owner = known or (0, size_of(storage) or 0, self.owner())
            self.holders[storage._cdata] = holders + step, size, owner
            if holders + step == 0:
                del self.holders[storage._cdata]
                held -= size
            elif holders == 0:
                held += size
        if held != self.history[-1]:
            self.history.append(held)

    def at_peak(self) -> Counter[_Owner]:
        """What was held when the most was held, by who had saved it. Before anything is released, it is written down."""
        if self.history[-1] > self._peak:
            self._peak, self._at_peak = self.history[-1], Counter()
            for _, size, owner in self.holders.values():
                self._at_peak[owner] += size
        return self._at_peak


class _Packed:
    """What PyTorch keeps in place of a saved tensor while we count: it is released when PyTorch frees the tensor."""

    def __init__(self, tensor: torch.Tensor, count: _SavedBytes) -> None:
        # Detached, or a saved result would hold its own node. The version counter stays shared.
        self.tensor, self.version, self.count = tensor.detach(), tensor._version, count
        with undisturbed():
            self.storages = storages_behind(self.tensor)
        if not self.storages:
            count.missing.add(f"saved {_layout_name(tensor)} tensors")
        count.change(self.storages, +1)

    def unpack(self) -> torch.Tensor:
        if self.tensor._version != self.version:        # PyTorch leaves this check to those who pack
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: it is "
                f"at version {self.tensor._version}; expected version {self.version} instead.")
        return self.tensor

    def __del__(self) -> None:
        self.count.change(self.storages, -1)
