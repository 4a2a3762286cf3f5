"""Read a live autograd graph into plain frozen data. With `rules`, the only module that knows PyTorch's nodes by their names.

The modules that run a backward pass and watch it, `recording` and `measurement`, ask PyTorch too; those that draw and
tell ask only this data.

A :class:`GraphSnapshot` holds no tensor and no node, so it keeps nothing alive and can be compared with ``==``.
Taking one fires no hook, changes no tensor, and runs no operation that a mode or a hook could see.

Sources: ``torch/csrc/autograd/saved_variable.cpp`` (what a saved tensor is and when it may be unpacked) and
``torch/csrc/autograd/python_cpp_function.cpp`` (the attributes of a node).
"""

import bisect
import contextlib
import ctypes
import functools
import gc
import heapq
import itertools
import math
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch.autograd.graph import GradientEdge
from torch.autograd.graph import Node as Function
from torch.utils._python_dispatch import _disable_current_modes, is_traceable_wrapper_subclass

from .rules import are_few, few

LARGEST_CONTENT = 65_536        # bytes of a memory of which every change is seen
LEAST_WALK = 1000       # operations that a graph may be deep, whatever else was walked

STATES = ALIVE, FREED, CHANGED = "alive", "freed", "changed in place"

Size = tuple[int | str, ...]                    # of a tensor; a symbolic size is a string
Layout = tuple[int | torch.SymInt, Size | None, Size, str]      # offset, shape, strides, dtype

Owner = TypeVar("Owner")
Key = TypeVar("Key")

Output = torch.Tensor | GradientEdge            # what backward can start from

_HasShape = Any                                 # a tensor, or what a node knows of one: a torch._C._autograd._InputMetadata
_Raw = Any                                      # a torch._C._autograd.SavedTensor, which has no hints
_Inputs = tuple[tuple[Function | None, int], ...]       # the `next_functions` of a node
_Versions = tuple[int, int]                     # when saved, now
# A state, None where no tensor was saved; versions, where known; and whether the tensor is tracked, where known.
_Check = tuple[str | None, _Versions | None, bool | None]

_RAW, _SAVED = "_raw_saved_", "_saved_"
_ACCUMULATE, _TRANSPOSE, _WRITE_INTO_A_PART = "AccumulateGrad", "TBackward0", "CopySlices"
_COMPILED = "CompiledFunction"
_WITHOUT_ATTRIBUTES = "CppFunction"     # the Python type of nodes for which PyTorch has made none
_OWN_RESULT: _Check = "own result", None, True  # a slot that can be read only together with all others of its node
_NOT_CHECKED = "not checked"            # such a slot, where an earlier one stops PyTorch's check
_IN_PLACE = re.compile(r"modified (by an )?in-?place")
_VERSIONS = re.compile(r"is at version (\d+); expected version (\d+)")


@dataclass(frozen=True)
class SavedTensor:
    """One saved-tensor slot of a node.

    A tensor cannot be seen after it was freed, or when a saved-tensor hook packed it into another object.

    name: what PyTorch calls the slot, as in "self" or "saved_tensors[0]".
    state: ALIVE, FREED or CHANGED.
    shape: of the tensor, None where it cannot be seen or has no single shape. A symbolic size is a string.
    dtype: as in "float32", empty where the tensor cannot be seen.
    storages: the numbers of the storages that it keeps alive: one, several of a sparse tensor, none where that cannot be seen.
    is_part: whether its elements are only a part of its storage.
    storage: the number of the storage in which its layout lies, None where it has none.
    layout: (offset, shape, strides, dtype). Two slots of equal storage and layout hold the same values in the same memory.
    tracked: whether it required a gradient when the operation saved it, None where that cannot be seen.
    holds: the index of the drawn tensor that the slot holds.
    views: the index of a drawn tensor of which it holds another view.
    versions: (when saved, now) of a tensor changed in place, where known.
    packed: whether a saved-tensor hook holds it.
    checked: False where PyTorch does not tell whether it was changed in place: it is then called ALIVE.
    value: its numbers in words, where they are few and were asked for.
    content: tells whether its memory still holds the same bytes, where that was asked for, and is small and seen.
    """

    name: str
    state: str
    shape: Size | None = None
    dtype: str = ""
    storages: tuple[int, ...] = ()
    is_part: bool = False
    storage: int | None = None
    layout: Layout | None = None
    tracked: bool | None = None
    holds: int | None = None
    views: int | None = None
    versions: tuple[int, int] | None = None
    packed: bool = False
    checked: bool = True
    value: str = ""
    content: int | None = None


@dataclass(frozen=True)
class Edge:
    """Where a node sends gradient to.

    node: the index of a node.
    output: the number of that node's output.
    """

    node: int
    output: int


@dataclass(frozen=True)
class Node:
    """One node of the graph.

    name: of its type, as in "MulBackward0".
    inputs: where it sends gradient to, None for each input that needs none.
    saved: its slots.
    results: the shape of each result of the operation, None where it has no single shape.
    leaf: of an AccumulateGrad, the index of its leaf among the tensors; else None.
    transposes: whether its result is its input, transposed.
    hides_a_node: whether it wraps a second node, which PyTorch shows to nobody: a write into a part of a tensor does.
    hides_saved: whether it may hold saved tensors that PyTorch shows to nobody: such a node, and one written in C++ without
        attributes.
    is_compiled: whether it stands for all that torch.compile has made one operation of.
    call: the index of the innermost call of a module in which it was made; None outside of all, and where that is not known.
    """

    name: str
    inputs: tuple[Edge | None, ...]
    saved: tuple[SavedTensor, ...]
    results: tuple[Size | None, ...]
    leaf: int | None = None
    transposes: bool = False
    hides_a_node: bool = False
    hides_saved: bool = False
    is_compiled: bool = False
    call: int | None = None

    @property
    def outputs(self) -> int:
        """How many results the operation has."""
        return len(self.results)


@dataclass(frozen=True)
class Tensor:
    """One tensor that is drawn: given by the caller, a leaf of the graph, or the base of a given view.

    names: those that the caller gave it.
    given: whether the caller gave it.
    shape: None where the tensor has no single shape (a nested tensor). A symbolic size is a string.
    dtype: as in "float32".
    device: as in "cpu" or "cuda:0".
    requires_grad: as PyTorch tells it.
    is_leaf: as PyTorch tells it; False where PyTorch refuses to tell.
    in_graph: False for an island: no node of this graph leads to or from it.
    producer: the node that a result came from, and which of its outputs this is; else None.
    base: the index of the tensor of which this one is a view, or None.
    keeps_grad: whether backward leaves a `.grad` here: a tracked leaf, or after retain_grad().
    grad_shape: of `.grad`, None where there is none.
    version: None where no version is counted (inference mode).
    storage: the number of its storage in this snapshot, None where that cannot be seen (sparse).
    counter: the number of its version counter among those of its storage, None where the storage is None or it is not known.
    """

    names: tuple[str, ...]
    given: bool
    shape: Size | None
    dtype: str
    device: str
    requires_grad: bool
    is_leaf: bool
    in_graph: bool
    producer: Edge | None
    base: int | None
    keeps_grad: bool
    grad_shape: Size | None
    version: int | None
    storage: int | None
    counter: int | None = None


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module.

    path: the names that lead to the module in the net, as in "encoder.layers.3"; "" for the net itself, and for a module that is
        no part of it. A module with several such names has them all, with " = " between them.
    kind: the name of its class.
    number: which call of this module it is, from 1.
    calls: how often this module was called.
    parent: the index of the call in which it was made; None outside of all.
    in_net: whether the module is a part of the net.
    finished: False where its forward raised.
    """

    path: str
    kind: str
    number: int
    calls: int
    parent: int | None
    in_net: bool = True
    finished: bool = True


@dataclass(frozen=True)
class GradientSize:
    """How large a gradient is.

    norm: the square root of the sum of its squares, in 64 bits; None where it cannot be read.
    numbers: how many numbers it has.
    zeros, inf, nan: how many of them are zero, infinite, and not a number.
    """

    norm: float | None
    numbers: int = 0
    zeros: int = 0
    inf: int = 0
    nan: int = 0

    @classmethod
    def together(cls, sizes: Sequence["GradientSize"]) -> "GradientSize":
        """That of several gradients as one."""
        norms = [size.norm for size in sizes if size.norm is not None]
        return cls(math.hypot(*norms) if len(norms) == len(sizes) else None, sum(size.numbers for size in sizes),
                   sum(size.zeros for size in sizes), sum(size.inf for size in sizes), sum(size.nan for size in sizes))


@dataclass(frozen=True)
class Parameter:
    """One parameter of the net.

    names: those that lead to it in the net; one that several modules share has several.
    shape: None where it has no single one, as before a lazy module has made it.
    tracked: whether it requires a gradient.
    leaf: its index among the drawn tensors, None where no way leads to it in this graph.
    gradient: how large its `.grad` is, None where there is none, and where it was not asked for.
    """

    names: tuple[str, ...]
    shape: Size | None
    tracked: bool
    leaf: int | None
    gradient: GradientSize | None = None


@dataclass(frozen=True)
class Modules:
    """The modules that made a graph.

    calls: all calls that made a node of it, and those around them; each after the one around it.
    parameters: those of the net, in its order.
    doubt: why nothing is known of the calls, in words; "" where it is.
    """

    calls: tuple[ModuleCall, ...]
    parameters: tuple[Parameter, ...] = ()
    doubt: str = ""

    @property
    def not_reached(self) -> tuple[Parameter, ...]:
        """The tracked ones to which no way leads in this graph."""
        return tuple(one for one in self.parameters if one.tracked and one.leaf is None)

    @property
    def not_tracked(self) -> tuple[Parameter, ...]:
        """Those that need no gradient."""
        return tuple(one for one in self.parameters if not one.tracked)


@dataclass(frozen=True)
class Shared:
    """Two drawn tensors on one storage.

    first: the index of a tensor.
    second: the index of another one.
    one_counter: whether they share the version counter too, None where that is not known.
    """

    first: int
    second: int
    one_counter: bool | None


@dataclass(frozen=True)
class Bytes:
    """An amount of memory.

    known: the bytes that are known.
    all_known: False where there is memory whose size is not known.
    """

    known: int
    all_known: bool = True


@dataclass(frozen=True)
class GraphSnapshot:
    """A graph at one moment.

    nodes: all nodes, in the order in which the forward pass made them.
    tensors: all drawn tensors: first the given ones, then bases of given views, then leaves.
    storage_bytes: the size of each storage by its number, None where no slot holds it or its size is not known.
    modules: what is known of the modules in which its nodes were made; None where they were not recorded.
    """

    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    storage_bytes: tuple[int | None, ...]
    modules: Modules | None = None

    @property
    def saved_bytes(self) -> int:
        """The bytes that the slots of all nodes hold, as far as they are known."""
        return self.bytes_of(self.saved).known

    def bytes_of(self, slots: Iterable[SavedTensor]) -> Bytes:
        """What these slots hold: whole storages, each counted once. A freed slot holds nothing."""
        holding = [slot for slot in slots if slot.state != FREED]
        sizes = [self.storage_bytes[storage] for storage in {storage for slot in holding for storage in slot.storages}]
        return Bytes(sum(size for size in sizes if size is not None),
                     None not in sizes and all(slot.storages for slot in holding))

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """The tensors of this graph that own an AccumulateGrad node."""
        return tuple(self.tensors[i] for i in dict.fromkeys(node.leaf for node in self.nodes) if i is not None)

    @property
    def saved(self) -> tuple[SavedTensor, ...]:
        """Every saved-tensor slot of every node."""
        return tuple(slot for node in self.nodes for slot in node.saved)

    @property
    def states(self) -> Counter[str]:
        """How many slots are in each state: a Counter over ALIVE, FREED and CHANGED."""
        return Counter(slot.state for slot in self.saved)

    @property
    def shared(self) -> tuple[Shared, ...]:
        """The drawn tensors that share memory: see `shared_among`."""
        return self.shared_among(range(len(self.tensors)))

    def shared_among(self, indices: Iterable[int]) -> tuple[Shared, ...]:
        """Tie those of the given tensors that lie on one storage, each to one: to the first of its version counter, and the
        first of a counter to the first of all. A base comes before its views, and a tensor of the graph before others."""
        heads: dict[int, int] = {}
        heads_of_counters: dict[tuple[int, int | None], int] = {}
        ties = []
        for i in sorted(indices, key=lambda i: (self.tensors[i].base is not None, not self.tensors[i].in_graph, i)):
            storage, counter = self.tensors[i].storage, self.tensors[i].counter
            if storage is None:
                continue
            head = heads.setdefault(storage, i)
            head_of_counter = heads_of_counters.setdefault((storage, counter), i)
            if head_of_counter != i:
                ties.append(Shared(head_of_counter, i, None if counter is None else True))
            elif head != i:
                ties.append(Shared(head, i, False))     # all counters of a snapshot are known, or none is
        return tuple(ties)


def take_snapshot(outputs: Iterable[Output], names: Mapping[str, torch.Tensor]) -> GraphSnapshot:
    """Return the :class:`GraphSnapshot` of all that is reachable from the given tensors.

    outputs: tensors without a name, or gradient edges. names: a dict from name to tensor. Both may be empty.
    """
    return LiveGraph(outputs, names).snapshot


class LiveGraph:
    """A graph that is watched while it changes. It holds the nodes and the drawn tensors, but no saved tensor.

    Its methods are called in `undisturbed`.

    with_contents: whether the snapshot tells the numbers in the slots, where they are few, and what tells their memory apart.
    snapshot: the graph as it was at first.
    functions: its nodes, in the same order.
    tensors: its drawn tensors, in the same order.
    made: for each node, a number that grows as nodes are made in one thread.
    """

    def __init__(self, outputs: Iterable[Output], names: Mapping[str, torch.Tensor], with_contents: bool = False) -> None:
        with undisturbed():
            self._reader = _Reader(outputs, names, with_contents)
            self.snapshot = self._reader.read()
        self.functions, self.tensors = self._reader.functions, self._reader.tensors
        self.made = [self._reader.made[function] for function in self.functions]

    def place_of(self, output: Output) -> int | Edge | None:
        """The index of a drawn tensor, or the edge into a node; None where neither is here."""
        if isinstance(output, torch.Tensor):
            return self._reader.tensor_index.get(id(output))
        return next((Edge(i, output.output_nr) for i, node in enumerate(self.functions) if node is output.node), None)

    def freed_slots(self, i: int) -> list[int]:
        """The indices of those slots of node `i` that are freed now."""
        function, found = self.functions[i], list[int]()
        raw: dict[str, _Raw] = {}
        for k, slot in enumerate(self.snapshot.nodes[i].saved):
            name, is_one_of_many, number = slot.name.partition("[")
            if name not in raw:
                try:
                    raw[name] = getattr(function, _RAW + name)
                except RuntimeError:    # a list of saved tensors, freed: PyTorch no longer knows how many there were
                    raw[name] = None
            item = raw[name][int(number[:-1])] if is_one_of_many and raw[name] is not None else raw[name]
            if item is None or item.data is None and item.unpack_hook is None:      # a hook may have packed None
                found.append(k)
        return found

    def few_saved(self, i: int, most: int) -> dict[str, object]:
        """What node `i` has saved, by name, of its plain numbers, and of its tensors with at most so many numbers."""
        function, found = self.functions[i], dict[str, object]()
        packed = {slot.name for slot in self.snapshot.nodes[i].saved if slot.packed}
        for name in self._reader.attributes_of(type(function), _SAVED):
            if name in packed:      # reading it would call the hook of whoever packed it
                continue
            with contextlib.suppress(RuntimeError):     # freed, or changed in place
                value = getattr(function, _SAVED + name)
                if isinstance(value, (int, float)) or isinstance(value, torch.Tensor) and value.numel() <= most:
                    found[name] = value
        return found

    def tensors_with_grad(self) -> dict[int, list[int]]:
        """For each node whose run fills a `.grad`, the indices of these drawn tensors: a leaf, or results that keep it."""
        found: dict[int, list[int]] = {}
        for i, node in enumerate(self.snapshot.nodes):
            if node.leaf is not None:
                found[i] = [node.leaf]
        for k, tensor in enumerate(self.snapshot.tensors):
            if tensor.keeps_grad and tensor.producer:
                found.setdefault(tensor.producer.node, []).append(k)
        return found

    def outside_with_grad(self) -> list[int]:
        """The indices of the drawn tensors that keep a `.grad` and have no node here: a backward inside a node may fill it."""
        inside = {k for tensors in self.tensors_with_grad().values() for k in tensors}
        return [k for k, tensor in enumerate(self.snapshot.tensors) if tensor.keeps_grad and k not in inside]

    def grad(self, k: int) -> torch.Tensor | None:
        """The `.grad` of drawn tensor `k` now, or None."""
        tensor = self._reader.tensors[k]
        return tensor.grad if is_leaf(tensor) or tensor.retains_grad else None      # of other results, to read it warns

    def expect_grads(self, results: Iterable[int]) -> None:
        """Show these results as ones that keep a `.grad`: backward is about to be told so."""
        tensors = list(self.snapshot.tensors)
        for k in results:
            tensors[k] = replace(tensors[k], keeps_grad=True)
        self.snapshot = replace(self.snapshot, tensors=tuple(tensors))


class NumberLog(Generic[Owner]):
    """What was going on in a thread when PyTorch gave its nodes their numbers.

    Between two readings of PyTorch's counter in one thread, exactly the nodes with these numbers were made there. It holds no
    node, and no tensor.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._owners: list[Owner | None] = []

    def note(self, owner: Owner | None, number: int | None = None) -> None:
        """Let nodes be of this owner from a number on, the next one where none is given."""
        self._starts.append(torch.autograd._get_sequence_nr() if number is None else number)
        self._owners.append(owner)

    @property
    def first(self) -> int:
        """The first number of which anything is known."""
        return self._starts[0]

    def owner_of(self, number: float) -> Owner | None:
        """Whose a node with this number is."""
        at = bisect.bisect_right(self._starts, number) - 1
        return self._owners[at] if at >= 0 else None


class _Number:
    """The number of a node. It lies in the node's `metadata`, and is gone when the node is freed."""

    def __init__(self, number: int) -> None:
        self.number = number


class Register:
    """Gives each node and each tensor that it is shown a number that stays theirs. It keeps none of them alive.

    freed: the numbers of the nodes that PyTorch has freed.
    """

    def __init__(self) -> None:
        self.freed: set[int] = set()
        self._next = itertools.count()
        self._key = object()        # in the metadata of nodes: another register has numbers of its own
        self._types: set[type] = set()
        self._nodes: dict[int, weakref.ref[_Number]] = {}
        self._tensors: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}

    def number_of_node(self, function: Function) -> int:
        metadata: Any = function.metadata       # a dict: PyTorch's hints say that it is a method
        found = metadata.get(self._key)
        if found is None:
            found = metadata[self._key] = _Number(next(self._next))
            self._types.add(type(function))
            self._nodes[found.number] = weakref.ref(found, functools.partial(self._free, found.number))
        return int(found.number)

    def _free(self, number: int, _: object) -> None:
        self.freed.add(number)
        del self._nodes[number]

    def number_of_tensor(self, tensor: torch.Tensor) -> int:
        reference, number = self._tensors.get(id(tensor), (None, 0))
        if reference is None or reference() is not tensor:
            number = next(self._next)
            self._tensors[id(tensor)] = weakref.ref(tensor), number
        return number

    def close(self) -> None:
        """Take the numbers out of all nodes that are alive."""
        if self._nodes:
            for function in gc.get_objects():       # a node that Python has seen is one; nothing else leads to all of them
                if type(function) in self._types:
                    function.metadata.pop(self._key, None)
        self._nodes.clear()


class undisturbed:
    """Tensor subclasses and modes may run code of their own on every attribute that is read: not while we look. What we compute
    is not recorded. A hook enters it at each node that backward runs, so it does nothing that it need not do."""

    def __enter__(self) -> None:
        self._functions = torch._C.DisableTorchFunction()
        self._functions.__enter__()
        self._records = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        are_some = torch._C._len_torch_dispatch_stack() or torch._ops._len_torch_dispatch_stack_pre_dispatch()
        self._modes = _disable_current_modes() if are_some else None
        if self._modes is not None:
            self._modes.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._modes is not None:
            self._modes.__exit__(None, None, None)
        torch._C._set_grad_enabled(self._records)
        self._functions.__exit__(None, None, None)


class TooDeepError(ValueError):
    """A graph is too deep to be walked."""


def reachable(functions: Iterable[Function | None]) -> list[Function]:
    """Return the nodes that can be reached from the given ones (a None among them is passed over), the given ones too.

    Raises TooDeepError before it has walked so deep that the graph could not be freed later: a node that was seen from Python
    is freed inside the freeing of the node before it, and thousands of these inside each other crash the process.
    """
    return list(_walk(functions))


def _walk(functions: Iterable[Function | None]) -> dict[Function, _Inputs]:
    """The same, with the inputs of each node. While they are held here, PyTorch makes no new Python objects for them."""
    roots = [function for function in functions if function is not None]
    others = sum(mark not in map(_mark_of, roots) for mark in _deep_walks)
    deepest = max(deepest_walk() >> others, LEAST_WALK)
    found: dict[Function, _Inputs] = {}
    depth: dict[Function, int] = {}     # of a node behind which all is walked: the length of the longest way from it
    length = longest = 0                # of the way to where we are, and of the longest one
    pending = roots[::-1]
    while pending:
        function = pending[-1]
        if function not in found:
            found[function] = function.next_functions
            inputs = [other for other, _ in found[function] if other is not None]
            pending += reversed(inputs)     # so that the first input is found first
            length += 1
            longest = max(longest, length + max([depth.get(other, 0) for other in inputs], default=0))
            if longest >= deepest:
                _mark(roots)
                raise TooDeepError(f"This graph is at least {longest:,} operations deep, and to walk it would crash Python "
                                   "when the graph is freed: look at a shorter one, as of fewer steps of a loop.")
        else:
            pending.pop()
            if function not in depth:       # we come back to it
                length -= 1
                depth[function] = 1 + max([depth[other] for other, _ in found[function] if other is not None], default=0)
                longest = max(longest, length + depth[function])
    if longest > deepest // 2:
        _mark(roots)
    return found


class _Mark:
    """It lies in a node, and is gone when the node is."""


# For each graph that is alive and was walked deep: another walk, further up in it, may go less deep. So all together stay below
# what crashes.
_deep_walks: "weakref.WeakSet[_Mark]" = weakref.WeakSet()


def _mark_of(root: Function) -> object:
    metadata: Any = root.metadata       # a dict: PyTorch's hints say that it is a method
    return metadata.get(__name__)


def _mark(roots: Iterable[Function]) -> None:
    mark = _Mark()
    for root in roots:
        metadata: Any = root.metadata
        if metadata.setdefault(__name__, mark) is mark:
            _deep_walks.add(mark)


@functools.cache
def deepest_walk() -> int:
    """How deep the first walk may go: a third of the depth at which freeing was measured to crash on the stack that there is."""
    largest = 8 * 2**20
    try:
        import resource
    except ImportError:     # on Windows, Python has a stack of 2 MB
        stack = largest // 4
    else:
        limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
        stack = min(limit, largest) if limit != resource.RLIM_INFINITY else largest
    return stack // 600


def numbers_of(inputs: Mapping[Function, _Inputs]) -> dict[Function, float]:
    """For each of these nodes a number that grows as nodes are made in one thread: the one that PyTorch gives it.

    An AccumulateGrad has none of its own: its number is half a one less than that of the first of these that needs it.
    """
    # Not told by its attribute `variable`: a custom Function's context may have one too.
    made: dict[Function, float] = {f: f._sequence_nr() for f in inputs if _name(f) != _ACCUMULATE}
    before: dict[Function, float] = {}
    for function in made:
        for other, _ in inputs[function]:
            if other is not None and other not in made:
                before[other] = min(made[function], before.get(other, made[function]))
    return made | {f: before.get(f, 0) - 0.5 for f in inputs if f not in made}


def in_forward_order(inputs: Mapping[Key, Sequence[Key]], made: Mapping[Key, float]) -> list[Key]:
    """Put nodes, given by any keys, in order: inputs before consumers, otherwise as they were made.

    inputs: for each node, its inputs, each as often as it is one. made: a number for each node, which grows as nodes are made.
    """
    consumers: dict[Key, list[Key]] = {}
    for key, sources in inputs.items():
        for source in sources:
            consumers.setdefault(source, []).append(key)
    waiting = {key: len(sources) for key, sources in inputs.items()}
    position = {key: i for i, key in enumerate(inputs)}         # settles ties between threads
    ready = [(made[key], position[key], key) for key, count in waiting.items() if not count]
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, _, key = heapq.heappop(ready)
        ordered.append(key)
        for consumer in consumers.get(key, ()):
            waiting[consumer] -= 1
            if not waiting[consumer]:
                heapq.heappush(ready, (made[consumer], position[consumer], consumer))
    return ordered


class _Reader:
    """One walk. It holds tensors and nodes while it runs, because their identities are compared by `id`.

    edges: the given gradient edges.
    tensors: the drawn tensors, in order.
    tensor_index: for the id of each of them, its index.
    tensor_names: for each of them, the names that the caller gave it.
    given: how many of them the caller gave; these are the first.
    functions: the nodes, in order.
    storages: for the address of each storage, its number in this snapshot.
    storage_bytes: for the number of each storage that an alive slot holds, its size in bytes, None where it is not known.
    holding: for each (storage, layout), and for each of these and whether it is tracked, the index of the first drawn tensor
        there.
    extents: for each storage, the indices of the drawn tensors there, and which bytes each has.
    counters: for each storage, the addresses of its version counters.
    attributes: for each type of a node and each prefix, the names of its attributes that begin so.
    made: for each node, a number that grows as nodes are made in one thread.
    """

    def __init__(self, outputs: Iterable[Output], names: Mapping[str, torch.Tensor], with_contents: bool) -> None:
        self.with_contents = with_contents
        self.made: dict[Function, float] = {}
        self.edges: list[GradientEdge] = []
        self.tensors: list[torch.Tensor] = []
        self.tensor_index: dict[int, int] = {}
        self.tensor_names: list[list[str]] = []
        self.functions: list[Function] = []
        self.storages: dict[int, int] = {}
        self.storage_bytes: dict[int, int | None] = {}
        self.holding: dict[tuple[object, ...], int] = {}
        self.extents: dict[int, list[tuple[int, range | None]]] = {}
        self.counters: dict[int, list[int]] = {}
        self.attributes: dict[tuple[type[Function], str], list[str]] = {}
        for output in outputs:
            if isinstance(output, GradientEdge):
                self.edges.append(output)
            else:
                self.add_tensor(output)
        for name, tensor in names.items():
            self.tensor_names[self.add_tensor(tensor)].append(name)
        self.given = len(self.tensors)
        for tensor in self.tensors[: self.given]:
            base = _base(tensor)
            if base is not None:
                self.add_tensor(base)

    def add_tensor(self, tensor: torch.Tensor) -> int:
        index = self.tensor_index.setdefault(id(tensor), len(self.tensors))
        if index == len(self.tensors):
            self.tensors.append(tensor)
            self.tensor_names.append([])
        return index

    def read(self) -> GraphSnapshot:
        inputs = _walk([*map(grad_fn_of, self.tensors), *(edge.node for edge in self.edges)])
        names = {function: _name(function) for function in inputs}
        self.functions = functions = self.in_order(inputs, names)
        index = {function: i for i, function in enumerate(functions)}
        edges = [tuple([None if other is None else Edge(index[other], number) for other, number in inputs[function]])
                 for function in functions]
        leaf = [self.add_tensor(_leaf(f)) if names[f] == _ACCUMULATE else None for f in functions]
        for i, tensor in reversed(list(enumerate(self.tensors))):     # reversed: the first of several wins
            storage = self.storage_of(tensor)
            if storage is not None:
                layout = _layout(tensor)
                for place in ((storage, layout), (storage, layout, tensor.requires_grad)):
                    self.holding[place] = i
                self.extents.setdefault(storage, []).insert(0, (i, _extent(tensor, layout)))
        nodes = tuple(
            Node(names[function], edges[i], tuple(self.slots(function)),
                 tuple(map(shape_of, function._input_metadata)),      # what comes in backward is what went out forward
                 leaf[i], names[function] == _TRANSPOSE, names[function] == _WRITE_INTO_A_PART,
                 type(function).__name__ in (_WRITE_INTO_A_PART, _WITHOUT_ATTRIBUTES),
                 names[function].startswith(_COMPILED))
            for i, function in enumerate(functions))
        leaves = set(leaf)
        tensors = tuple(self.describe(i, tensor, index, leaves) for i, tensor in enumerate(self.tensors))
        return GraphSnapshot(nodes, tensors, tuple(map(self.storage_bytes.get, range(len(self.storages)))))

    def in_order(self, inputs: Mapping[Function, _Inputs], names: Mapping[Function, str]) -> list[Function]:
        """All nodes, inputs before consumers, otherwise in the order in which they were made."""
        self.made = numbers_of(inputs)
        return in_forward_order({f: [other for other, _ in inputs[f] if other is not None] for f in inputs}, self.made)

    def slots(self, function: Function) -> Iterator[SavedTensor]:
        for name in self.attributes_of(type(function), _RAW):
            try:
                raw = getattr(function, _RAW + name)
            except RuntimeError:        # a list of saved tensors, freed: PyTorch no longer knows how many there were
                yield SavedTensor(name, FREED)
                continue
            if isinstance(raw, tuple):
                checks = [_check(item, item.unpack) for item in raw]
                if _OWN_RESULT in checks:
                    checks = _check_own_results(function, raw, checks)
                slots = [self.slot(f"{name}[{i}]", item, check) for i, (item, check) in enumerate(zip(raw, checks))]
            else:
                slots = [self.slot(name, raw, _check(raw, functools.partial(getattr, function, _SAVED + name)))]
            yield from filter(None, slots)      # None: the node saved no tensor there

    def slot(self, name: str, raw: _Raw, check: _Check) -> SavedTensor | None:
        state, versions, tracked = check
        if state in (None, FREED):
            return None if state is None else SavedTensor(name, state)
        data, packed, checked = raw.data, raw.unpack_hook is not None, state != _NOT_CHECKED
        if not checked:
            state = ALIVE
        if not isinstance(data, torch.Tensor):
            return SavedTensor(name, state, packed=packed)
        storage, layout = self.storage_of(data), _layout(data)
        storages = storages_behind(data)
        numbers = tuple(map(self.number_of, storages))
        for number, behind in zip(numbers, storages):
            if number not in self.storage_bytes:
                self.storage_bytes[number] = size_of(behind)
        extent = _extent(data, layout)
        size = self.storage_bytes[numbers[0]] if numbers == (storage,) else None
        is_part = size is not None and extent is not None and len(extent) < size
        itself = self.tensor_index.get(id(data))
        if itself is not None or data.requires_grad:
            tracked = data.requires_grad        # PyTorch has saved the very tensor
        holds = itself
        for place in ((storage, layout, tracked), (storage, layout)):
            holds = self.holding.get(place) if holds is None else holds
        views = self.view_of(storage, extent) if holds is None else None
        value, content = (few_in_words(data), content_of(data)) if self.with_contents else ("", None)
        shape, dtype = (layout[1], layout[3]) if layout else (shape_of(data), _dtype(data.dtype))
        return SavedTensor(name, state, shape, dtype, numbers, is_part,
                           storage, layout, tracked, holds, views, versions, packed, checked, value, content)

    def view_of(self, storage: int | None, extent: range | None) -> int | None:
        """The first drawn tensor that has all of these bytes of a storage, or else some of them: other parts do not matter."""
        others = [(i, other) for i, other in self.extents.get(storage, ()) if other] if storage is not None and extent else []
        containing = [i for i, other in others if extent and extent.start in other and extent[-1] in other]
        sharing = [i for i, other in others if extent and max(extent.start, other.start) < min(extent.stop, other.stop)]
        return next(iter(containing + sharing), None)

    def attributes_of(self, function_type: type[Function], prefix: str) -> list[str]:
        """What a type of node calls its attributes that begin so, without the prefix: "self" first."""
        if (function_type, prefix) not in self.attributes:
            names = [name.removeprefix(prefix) for name in dir(function_type) if name.startswith(prefix)]
            self.attributes[function_type, prefix] = sorted(names, key=lambda name: (name != "self", name))
        return self.attributes[function_type, prefix]

    def storage_of(self, tensor: torch.Tensor) -> int | None:
        storage = storage_behind(tensor)
        return None if storage is None else self.number_of(storage)

    def number_of(self, storage: torch.UntypedStorage) -> int:
        return self.storages.setdefault(storage._cdata, len(self.storages))

    def describe(self, i: int, tensor: torch.Tensor, index: dict[Function, int], leaves: set[int | None]) -> Tensor:
        # A leaf of this graph that was made a result later has a node that is not of this graph.
        function = grad_fn_of(tensor)
        node = None if function is None else index.get(function)
        producer = None if node is None else Edge(node, tensor.output_nr)
        # Reading `.grad` of a result warns, and finds nothing unless the caller asked for it.
        leaf = is_leaf(tensor)
        grad = tensor.grad if leaf or tensor.retains_grad else None
        keeps_grad = tensor.requires_grad and leaf or tensor.retains_grad
        return Tensor(
            names=tuple(self.tensor_names[i]), given=i < self.given, shape=shape_of(tensor), dtype=_dtype(tensor.dtype),
            device=str(tensor.device), requires_grad=tensor.requires_grad, is_leaf=leaf,
            in_graph=producer is not None or i in leaves, producer=producer,
            base=self.tensor_index.get(id(_base(tensor))) if i < self.given else None,
            keeps_grad=keeps_grad, grad_shape=None if grad is None else shape_of(grad), version=version_of(tensor),
            storage=self.storage_of(tensor), counter=self.counter_of(tensor))

    def counter_of(self, tensor: torch.Tensor) -> int | None:
        """Number the version counter of a tensor among those of its storage."""
        storage, counter = self.storage_of(tensor), _version_counter(tensor)
        if storage is None or counter is None:
            return None
        counters = self.counters.setdefault(storage, [])
        if not counter or counter not in counters:      # 0: an inference tensor has none
            counters.append(counter)
            return len(counters) - 1
        return counters.index(counter)


def _leaf(accumulate: Function) -> torch.Tensor:
    return accumulate.variable      # type: ignore[attr-defined]    # only this type of node has it


def _name(function: Function) -> str:
    name = type(function).__name__
    return function.name().rpartition("::")[2] if name == _WITHOUT_ATTRIBUTES else name


def _check(raw: _Raw, unpack: Callable[[], torch.Tensor | None]) -> _Check:
    """What is known of one slot without its data. unpack: what reads the slot."""
    if raw.unpack_hook is not None:     # unpacking would call the hook of whoever packed it
        return ALIVE, None, None
    try:
        tensor = unpack()
    except RuntimeError as error:
        if raw.data is None:
            return FREED, None, None
        return _in_place_check(error) or _OWN_RESULT
    return (None, None, None) if tensor is None else (ALIVE, None, tensor.requires_grad)


def _in_place_check(error: RuntimeError) -> _Check | None:
    """What PyTorch's in-place check says: CHANGED, (version when saved, version now) where it tells; or None."""
    versions = _VERSIONS.search(str(error))
    if not versions:
        return (CHANGED, None, None) if _IN_PLACE.search(str(error)) else None
    return CHANGED, (int(versions[2]), int(versions[1])), None


def _check_own_results(function: Function, raw: tuple[_Raw, ...], checks: list[_Check]) -> list[_Check]:
    """Check the results that a custom Function saved of itself. Only all its slots together can be unpacked.

    PyTorch then checks them in order, and stops at the first one that was changed. The two versions that its message names
    tell which one this may be. Those before it are unchanged; those behind it are known only where they are at version 0,
    or have a version counter with it. To set versions back while we look would tell all, and break a backward in another
    thread.
    """
    own = [i for i, check in enumerate(checks) if check == _OWN_RESULT]
    packed = any(item.unpack_hook is not None for item in raw)      # whoever packed it: we may not call the hook
    stop = None if packed else _first_change(function)
    if not packed and stop is None:
        return [(ALIVE, None, True) if i in own else check for i, check in enumerate(checks)]
    version = {i: raw[i].data._version for i in own}
    suspects: list[int] = []
    if stop is not None:
        end = next((i for i, (state, _, _) in enumerate(checks) if state == CHANGED), len(raw))    # it stops there at the latest
        suspects = [i for i in own if i < end and stop[1] and version[i] == stop[1][1]]
        if stop in checks[end:end + 1]:
            suspects.append(end)
    counter = {i: _version_counter(raw[i].data) or ~i for i in {*own, *suspects}}   # where not known, as if none were shared
    changed = {counter[i] for i in suspects}
    for i in own:
        if stop is not None and changed == {counter[i]}:
            checks[i] = *stop[:2], True
        elif version[i] == 0 or i < min(suspects, default=0):
            checks[i] = ALIVE, None, True
        else:
            checks[i] = _NOT_CHECKED, None, True
    return checks


def _first_change(function: Function) -> _Check | None:
    """What PyTorch's in-place check says when it goes through all slots of a custom Function."""
    try:
        _ = function.saved_tensors      # type: ignore[attr-defined]    # only the node of a custom Function has it
    except RuntimeError as error:
        return _in_place_check(error)
    return None


def grad_fn_of(tensor: torch.Tensor) -> Function | None:
    """The node of a tensor, or None; None too for a part of a split of which another part was changed in place."""
    try:
        return tensor.grad_fn
    except RuntimeError:
        return None


def is_leaf(tensor: torch.Tensor) -> bool:
    try:
        return tensor.is_leaf
    except RuntimeError:    # as in grad_fn_of
        return False


def storage_behind(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """The storage in which a tensor lies, or None where it cannot be seen: sparse, nested, or wrapped by torch.func."""
    try:
        return tensor.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return None


def storages_behind(tensor: torch.Tensor) -> list[torch.UntypedStorage]:
    """Every storage in which a tensor lies: those of its parts where it is made of parts. Empty where one cannot be seen.

    Called in `undisturbed`.
    """
    try:
        return [part.untyped_storage() for part in _parts(tensor)]
    except Exception:       # a type that refuses, by code of its own
        return []


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    if type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout == torch.strided:       # most are
        return [tensor]
    if is_traceable_wrapper_subclass(tensor):
        return [part for name in tensor.__tensor_flatten__()[0] for part in _parts(getattr(tensor, name))]
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise NotImplementedError       # its storage need not be where its numbers are
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor]


def _base(tensor: torch.Tensor) -> torch.Tensor | None:
    return tensor._base if tensor._is_view() else None


def shape_of(tensor: _HasShape) -> Size | None:
    """The shape of a tensor, None where it has no single one."""
    try:
        return _sizes(tensor.shape)
    except RuntimeError:
        return None


def _sizes(sizes: Iterable[int | torch.SymInt]) -> Size:
    return tuple([n if type(n) is int else str(n) for n in sizes])


def size_of(storage: torch.UntypedStorage) -> int | None:
    """The bytes of a storage. None where they are a symbol; a meta tensor has a size, and no memory."""
    size = storage.nbytes()
    if not isinstance(size, int):
        return None
    return 0 if storage.device.type == "meta" else size


def few_in_words(tensor: torch.Tensor) -> str:
    """The numbers of a tensor, or an empty string where they are not few and plain. Called in `undisturbed`."""
    try:
        return few(tensor.detach()) if are_few(tensor) else ""
    except Exception:       # a type that refuses, by code of its own
        return ""


def content_of(tensor: torch.Tensor) -> int | None:
    """A number that tells whether its memory still holds the same bytes; None where that is not small, or cannot be seen."""
    storage, extent = storage_behind(tensor), _extent(tensor, _layout(tensor))
    if storage is None or storage.device.type != "cpu" or type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return None
    try:
        address = storage.data_ptr()
    except RuntimeError:        # there are no numbers behind it
        return None
    if extent is None or len(extent) > LARGEST_CONTENT or not address:
        return None
    return hash(ctypes.string_at(address + extent.start, len(extent)))


def _extent(tensor: torch.Tensor, layout: Layout | None) -> range | None:
    """The bytes of its storage from its first element to its last; None where that cannot be seen. layout: its own."""
    if layout is None or layout[1] is None:
        return None
    start, last, item = layout[0], 0, tensor.element_size()
    for size, stride in zip(layout[1], layout[2]):
        if not isinstance(size, int) or not isinstance(stride, int):
            return None
        last += (size - 1) * stride
    if not isinstance(start, int):
        return None
    return range(start * item, (start + last + 1) * item) if 0 not in layout[1] else range(0)


def _layout(tensor: torch.Tensor) -> Layout | None:
    try:
        return tensor.storage_offset(), shape_of(tensor), _sizes(tensor.stride()), _dtype(tensor.dtype)
    except (RuntimeError, NotImplementedError):
        return None


@functools.cache
def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def version_of(tensor: torch.Tensor) -> int | None:
    try:
        return tensor._version
    except RuntimeError:    # inference tensors count no versions
        return None


def _version_counter(tensor: torch.Tensor) -> int | None:
    """The address of the version counter of a tensor: 0 where it has none, None where it cannot be found.

    PyTorch does not tell it. To count up and look which other tensor follows would disturb a backward in another thread.
    """
    offset = _counter_offset()
    return None if offset is None else _word(tensor, offset)


@functools.cache
def _counter_offset() -> int | None:
    """Where the address of the version counter lies in PyTorch's object of a tensor.

    It is the word that is the same in a tensor and its detach(), and another in its .data, which has a counter of its own.
    """
    with torch.inference_mode(False):
        first, second = torch.ones(1, device="cpu"), torch.ones(1, device="cpu")
        with_one_counter = [(t, t.detach(), t.view(1)) for t in (first, first.data, second)]
    for offset in range(8, 96, 8):      # the object is larger than that
        words = [{_word(tensor, offset) for tensor in tensors} for tensors in with_one_counter]
        if all(len(same) == 1 for same in words) and len(set[int]().union(*words)) == len(words):
            return offset
    return None


def _word(tensor: torch.Tensor, offset: int) -> int:
    return ctypes.c_size_t.from_address(tensor._cdata + offset).value
