"""Run backward once and write down what it does to the graph, node by node.

The nodes are watched by hooks that PyTorch calls before and after it runs a node. A node frees its saved tensors after
its own hooks, so what it freed is read when the next node begins.
"""

import contextlib
import functools
import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .gradients import norm_of, wide_type
from .rules import MOST_VALUES, RULES, Reason, are_few, few, reasons, sum_in_words
from .snapshot import (
    FREED,
    Bytes,
    Edge,
    GraphSnapshot,
    LiveGraph,
    Node,
    Output,
    SavedTensor,
    Size,
    Tensor,
    undisturbed,
    version_of,
)

Gradient = torch.Tensor | Sequence[torch.Tensor | None] | None      # what torch.autograd.backward takes


@dataclass(frozen=True)
class Backward:
    """A backward pass, as ``torch.autograd.backward`` takes it.

    losses: what it starts from.
    gradient, retain_graph, create_graph: as there.
    inputs: what alone gets a `.grad`; None for all leaves.
    """

    losses: Sequence[Output]
    gradient: Gradient = None
    retain_graph: bool | None = None
    create_graph: bool = False
    inputs: Sequence[Output] | None = None

    def described(self, graph: LiveGraph) -> "Call":
        """The same, in terms of the snapshot before it."""
        keeps_graph = self.create_graph if self.retain_graph is None else self.retain_graph
        flags = [("retain_graph", keeps_graph)] * (keeps_graph != self.create_graph)
        flags += [("create_graph", True)] * self.create_graph
        inputs = None if self.inputs is None else tuple(map(graph.place_of, self.inputs))
        return Call(tuple(map(graph.place_of, self.losses)), inputs, tuple(flags), keeps_graph)

    def run(self) -> None:
        losses: Any = self.losses       # tensors and edges side by side, which works, and PyTorch's hints do not say
        inputs: Any = self.inputs
        torch.autograd.backward(losses, self.gradient, self.retain_graph, self.create_graph, inputs=inputs)


@dataclass(frozen=True)
class Step:
    """One node that backward ran.

    node: its index in the snapshot.
    gradients: what arrived for each of its outputs, in words; None where nothing did.
    sums: the same as a sum, where several of few numbers came together; else None.
    sent: what it sent to each of its inputs, where these are few numbers; else None.
    freed: the indices of the slots that it freed.
    grads: for each tensor whose `.grad` it filled, (index, words before or None, words after or None).
    held_bytes: what the saved tensors of the whole graph held afterwards.
    finished: False where it raised.
    readable: False where we failed to read what it did; freed and grads may then be incomplete.
    """

    node: int
    gradients: tuple[str | None, ...]
    sums: tuple[str | None, ...]
    sent: tuple["Sent | None", ...]
    freed: tuple[int, ...]
    grads: tuple[tuple[int, str | None, str | None], ...]
    held_bytes: Bytes
    finished: bool = True
    readable: bool = True


@dataclass(frozen=True)
class Sent:
    """A gradient of few numbers that a node sent to one of its inputs.

    number: the numbers; one where all are the same.
    words: the numbers, and of how many one stands.
    reason: the rule that gives them, None where none is known.
    """

    number: str
    words: str
    reason: Reason | None


@dataclass(frozen=True)
class Call:
    """How backward was called. A place is the index of a drawn tensor, or the edge into a node; None where it is not here.

    losses, inputs: the places of what it was given; inputs is None where it was given none.
    flags: name and value of those of its options that were not left as they are.
    keeps_graph: whether the saved tensors stay.
    """

    losses: tuple[int | Edge | None, ...]
    inputs: tuple[int | Edge | None, ...] | None
    flags: tuple[tuple[str, bool], ...]
    keeps_graph: bool


@dataclass(frozen=True)
class Recording:
    """A backward pass.

    call: how it was called.
    before: the graph before it.
    steps: what happened to the graph, in the order in which PyTorch ran the nodes.
    error: what ended it, without its traceback; None where it finished.
    """

    call: Call
    before: GraphSnapshot
    steps: tuple[Step, ...]
    error: Exception | None

    def updates(self) -> Iterator[tuple[dict[int, Node], dict[int, Tensor]]]:
        """For each step, the nodes and the drawn tensors that it changed, by their indices, as they are afterwards."""
        nodes, tensors = list(self.before.nodes), list(self.before.tensors)
        for step in self.steps:
            saved = list(nodes[step.node].saved)
            for k in step.freed:
                saved[k] = SavedTensor(saved[k].name, FREED)
            nodes[step.node] = replace(nodes[step.node], saved=tuple(saved))
            for k, _, now in step.grads:
                tensors[k] = replace(tensors[k], grad_shape=None if now is None else tensors[k].shape)
            yield {step.node: nodes[step.node]}, {k: tensors[k] for k, _, _ in step.grads}

    @property
    def after(self) -> GraphSnapshot:
        """The graph as the last step left it."""
        nodes, tensors = list(self.before.nodes), list(self.before.tensors)
        for changed_nodes, changed_tensors in self.updates():
            for i, node in changed_nodes.items():
                nodes[i] = node
            for k, tensor in changed_tensors.items():
                tensors[k] = tensor
        return replace(self.before, nodes=tuple(nodes), tensors=tuple(tensors))


def record(graph: LiveGraph, backward: Backward) -> Recording:
    """Run a backward pass through a graph and return its :class:`Recording`.

    An error of backward is part of the recording; a KeyboardInterrupt passes through. No hook stays behind.
    """
    recorder = BackwardRecorder(graph, backward)
    error = None
    with recorder.hooks():
        try:
            backward.run()
        except Exception as raised:
            error = raised
            _drop_frames(error)
        return recorder.end(error)


def _drop_frames(error: BaseException | None) -> None:
    """Take the tracebacks from an error and from those that it names: their frames would keep the graph alive."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        _drop_frames(error.__cause__)
        error = error.__context__


def is_in_another_thread(thread: int) -> bool:
    """Whether a hook was called in another thread of Python than this one, and not in one of PyTorch's own, for a device."""
    here = threading.get_ident()
    return here != thread and here in (other.ident for other in threading.enumerate())


@dataclass
class _Running:
    """A step that is not written down yet.

    node: its index in the snapshot.
    gradients, sums: what arrived, in words.
    received: a copy of what arrived, where that is one gradient of few numbers, and a rule is known.
    saved: copies of what it had saved then, by name, where that is few numbers.
    sent: what it sent.
    finished: whether PyTorch came out of it.
    """

    node: int
    gradients: tuple[str | None, ...]
    sums: tuple[str | None, ...]
    received: torch.Tensor | None = None
    saved: dict[str, object] = field(default_factory=dict)
    sent: tuple[Sent | None, ...] = ()
    finished: bool = False


class BackwardRecorder:
    """Writes the steps down while backward runs.

    graph: what is watched.
    backward: how it is called.
    thread: that in which backward is called.
    steps: those that are written down.
    running: those that are not: several where a node runs a backward of its own.
    freed: (index of a node, index of a slot) of all slots that are freed.
    held: what the saved tensors hold.
    unknown: (index of a node, index of a slot) of the saved tensors that hold memory whose size is not known.
    holders: for the number of each storage, how many slots hold it.
    with_grad: for each node that fills a `.grad`, the indices of its tensors.
    outside: the indices of the tensors that no node of the graph fills. A backward inside a node may, as in a checkpoint,
        and PyTorch itself where backward was given a result as an input.
    grads: for each of all these tensors, its `.grad` in words.
    tells: for each node, whether it may send few numbers, which are told.
    arrived: for each output of each node, the gradients that were sent to it so far; None for one of many numbers.
    marks: for each tensor outside, what tells whether its `.grad` is still the same.
    """

    def __init__(self, graph: LiveGraph, backward: Backward) -> None:
        self.graph, self.backward = graph, backward
        self.thread = threading.get_ident()
        self.steps: list[Step] = []
        self.running: list[_Running] = []
        nodes, sizes = graph.snapshot.nodes, graph.snapshot.storage_bytes
        slots = {(i, k): slot for i, node in enumerate(nodes) for k, slot in enumerate(node.saved)}
        self.freed = {place for place, slot in slots.items() if slot.state == FREED}
        self.unknown = {place for place, slot in slots.items() if place not in self.freed
                        and (not slot.storages or None in [sizes[storage] for storage in slot.storages])}
        self.held = Bytes(graph.snapshot.saved_bytes, not self.unknown)
        self.holders = Counter(storage for slot in slots.values() for storage in slot.storages)
        self.tells = [any(edge and _may_be_few(nodes[edge.node].results[edge.output]) for edge in node.inputs) for node in nodes]
        self.with_grad = graph.tensors_with_grad()
        # A result among the inputs gets its `.grad` where its node would run, and does not.
        places = [place for place in map(graph.place_of, backward.inputs or ()) if isinstance(place, int)]
        results = {k for k in places if graph.snapshot.tensors[k].producer}
        graph.expect_grads(results)
        self.with_grad = {i: [k for k in tensors if k not in results] for i, tensors in self.with_grad.items()}
        self.arrived: dict[tuple[int, int], list[torch.Tensor | None]] = {}
        self.outside = [*graph.outside_with_grad(), *results]
        inside = [k for tensors in self.with_grad.values() for k in tensors]
        with undisturbed():
            self.grads = {k: self.words_for_grad(k) for k in (*inside, *self.outside)}
            self.marks = {k: self.mark(k) for k in self.outside}

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        try:
            for i, function in enumerate(self.graph.functions):
                handles.append(function.register_prehook(functools.partial(self.begin_step, i)))
                handles.append(function.register_hook(functools.partial(self.finish, i)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin_step(self, i: int, gradients: Sequence[torch.Tensor | None]) -> None:
        if is_in_another_thread(self.thread):       # its backward goes through a node that both graphs have
            return
        with contextlib.suppress(Exception), undisturbed():     # backward goes on, whatever we cannot read
            self.end_finished()
            words = tuple([words_for(gradient) for gradient in gradients])
            sums = tuple([self.sum_of(i, k, gradient, words[k]) for k, gradient in enumerate(gradients)])
            step = _Running(i, words, sums)
            if self.graph.snapshot.nodes[i].name in RULES and len(gradients) == 1:
                with contextlib.suppress(Exception):
                    self.look_before(step, gradients[0])
            self.running.append(step)

    def look_before(self, step: _Running, gradient: torch.Tensor | None) -> None:
        """Keep copies of the few numbers that a rule needs: PyTorch does otherwise with a gradient that somebody else holds."""
        if are_few(gradient):
            step.received = gradient.clone()
            step.saved = {name: value.clone() if isinstance(value, torch.Tensor) else value
                          for name, value in self.graph.few_saved(step.node, MOST_VALUES).items()}

    def finish(self, i: int, sent: Sequence[torch.Tensor | None], received: object) -> None:
        if is_in_another_thread(self.thread):
            return
        if self.running and self.running[-1].node == i and not self.tells[i]:       # there is nothing to read
            self.running[-1].finished = True
            return
        with contextlib.suppress(Exception), undisturbed():
            self.end_finished()
            if not any(step.node == i for step in self.running):
                return
            while self.running[-1].node != i:       # a backward inside, which failed, and whoever ran it has caught the error
                self.end_step()
            self.running[-1].finished = True
            self.running[-1].sent = self.send(self.running[-1], sent)

    def send(self, step: _Running, sent: Sequence[torch.Tensor | None]) -> tuple[Sent | None, ...]:
        node = self.graph.snapshot.nodes[step.node]
        why = [None] * len(sent) if step.received is None else reasons(node.name, step.received, step.saved, sent)
        told: list[Sent | None] = []
        for edge, tensor, reason in zip(node.inputs, sent, why):
            is_few = edge is not None and are_few(tensor)
            if edge is not None and tensor is not None:
                self.arrived.setdefault((edge.node, edge.output), []).append(tensor.clone() if is_few else None)
            told.append(Sent(few(tensor), words_for(tensor) or "", reason) if is_few else None)
        return tuple(told)

    def sum_of(self, i: int, output: int, gradient: torch.Tensor | None, words: str | None) -> str | None:
        arrived = self.arrived.pop((i, output), [])
        if len(arrived) > 1 and gradient is not None and words is not None:
            parts = [part for part in arrived if part is not None]
            if len(parts) == len(arrived):
                with contextlib.suppress(Exception):
                    return sum_in_words(parts, gradient, words)
        return None

    def end_finished(self) -> None:
        while self.running and self.running[-1].finished:
            self.end_step()

    def end(self, error: Exception | None = None) -> Recording:
        """Write down what ran last. error: what ended backward."""
        with undisturbed():
            while self.running:
                self.end_step()
            # A hook of the caller may have stopped backward between a `.grad` and the node.
            left = [(k, was, now) for k, was in self.grads.items() if (now := self.words_for_grad(k)) != was]
        if left and self.steps:
            self.steps[-1] = replace(self.steps[-1], grads=(*self.steps[-1].grads, *left))
        return Recording(self.backward.described(self.graph), self.graph.snapshot, tuple(self.steps), error)

    def end_step(self) -> None:
        """Write down the step that ran last: what it freed can be seen only now."""
        step = self.running.pop()
        i, finished, readable = step.node, step.finished, True
        freed: list[int] = []
        grads: list[tuple[int, str | None, str | None]] = []
        try:
            freed = [k for k in self.graph.freed_slots(i) if (i, k) not in self.freed]
            if freed:
                self.free(i, freed)
            grads = [(k, was, now) for k, was, now in self.filled_grads(i) if finished or was != now]
        except Exception:
            readable = False
        self.steps.append(
            Step(i, step.gradients, step.sums, step.sent, tuple(freed), tuple(grads), self.held, finished, readable))

    def free(self, i: int, freed: Sequence[int]) -> None:
        bytes_freed = 0
        for k in freed:
            for storage in self.graph.snapshot.nodes[i].saved[k].storages:
                self.holders[storage] -= 1
                if not self.holders[storage]:
                    bytes_freed += self.graph.snapshot.storage_bytes[storage] or 0
        self.freed.update((i, k) for k in freed)
        self.held = Bytes(self.held.known - bytes_freed, self.unknown <= self.freed)

    def words_for_grad(self, k: int) -> str | None:
        try:
            return words_for(self.graph.grad(k))
        except Exception:
            return "a .grad that cannot be read"

    def mark(self, k: int) -> tuple[int, int | None] | None:
        grad = self.graph.grad(k)
        return None if grad is None else (id(grad), version_of(grad))

    def changed_outside(self) -> Iterator[int]:
        for k in self.outside:
            before, self.marks[k] = self.marks[k], self.mark(k)
            if before != self.marks[k]:
                yield k

    def filled_grads(self, i: int) -> Iterator[tuple[int, str | None, str | None]]:
        for k in (*self.with_grad.get(i, ()), *self.changed_outside()):
            before, self.grads[k] = self.grads[k], self.words_for_grad(k)
            if (before, self.grads[k]) != (None, None):     # a hook of the caller may take the gradient away
                yield k, before, self.grads[k]


def _may_be_few(shape: Size | None) -> bool:
    """Whether a gradient of this shape can be told number by number. The engine lets no other shape through."""
    sizes = [size for size in shape or () if isinstance(size, int)]
    return shape is None or len(sizes) < len(shape) or math.prod(sizes) <= MOST_VALUES


def words_for(tensor: torch.Tensor | None) -> str | None:
    """A gradient in words: its numbers where they are few or all the same, else its norm. None where there is none.

    Where its type refuses to tell them, the words say which type it is. Nothing is raised: we are in a hook of backward.
    """
    if tensor is None:
        return None
    try:
        return _words(tensor)
    except Exception:
        return f"a {type(tensor).__name__} that cannot be read"


def _words(tensor: torch.Tensor) -> str:
    if tensor.is_nested and tensor.layout == torch.strided:
        return "nested, its shape varies"
    shape = str(tuple(tensor.shape))
    if tensor.layout != torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.')} {shape}"
    if tensor.numel() == 0:
        return f"no numbers {shape}"
    try:
        return _numbers(tensor, shape)
    except Exception:       # of a meta tensor, of a dtype that can hardly be computed with, of a type that refuses
        return f"{str(tensor.dtype).removeprefix('torch.')} {shape}"


def _numbers(tensor: torch.Tensor, shape: str) -> str:
    whole = tensor.numel()
    if 1 < whole <= MOST_VALUES and len(set(tensor.flatten().tolist())) > 1:
        return f"[{', '.join(f'{value:.4g}' for value in tensor.flatten().tolist())}]"
    times = 1
    if 0 in tensor.stride():        # what is expanded is not in memory, and shall not come there
        for dim, stride in enumerate(tensor.stride()):
            if stride == 0:
                tensor = tensor.narrow(dim, 0, 1)
        times = whole // tensor.numel()
    first = tensor.as_strided((), ())
    if whole == 1:
        return f"{first.item():.4g}"
    norm = norm_of(tensor)
    # Where all numbers are the same, the norm follows from one of them: only then it is worth while to compare them all.
    if not math.isfinite(norm) or math.isclose(norm, abs(first.item()) * math.sqrt(tensor.numel()), rel_tol=1e-6):
        if bool((tensor == first).all()):
            return f"{first.item():.4g} in all of {shape}"
    if not math.isfinite(norm):
        numbers = tensor.to(wide_type(tensor))
        nan, infinite = times * int(numbers.isnan().sum()), times * int(numbers.isinf().sum())
        counts = [f"{count} {name}" for count, name in ((infinite, "inf"), (nan, "nan")) if count]
        if counts:
            return f"{shape} with {' and '.join(counts)}"
    return f"{shape} of norm {math.sqrt(times) * norm:.3g}"
