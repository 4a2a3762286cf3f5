"""Run backward once and write down what it does to the graph, node by node.

The nodes are watched by hooks that PyTorch calls before and after it runs a node. A node frees its saved tensors after
its own hooks, so what it freed is read when the next node begins.
"""

import contextlib
import functools
from collections import Counter
from dataclasses import dataclass, replace

import torch

from .snapshot import FREED, GraphSnapshot, LiveGraph, undisturbed

MOST_VALUES = 4     # a gradient with more numbers is told by its norm


@dataclass(frozen=True)
class Step:
    """One node that backward ran.

    node: its index in the snapshot. gradients: what arrived for each of its outputs, in words; None where nothing did.
    freed: the indices of the slots that it freed. grads: for each tensor whose `.grad` it filled, (index, words before
    or None, words after). held_bytes: what the saved tensors of the whole graph held afterwards. finished: False where
    it raised.
    """

    node: int
    gradients: tuple[str | None, ...]
    freed: tuple[int, ...]
    grads: tuple[tuple[int, str | None, str], ...]
    held_bytes: int
    finished: bool = True


@dataclass(frozen=True)
class Recording:
    """A backward pass: the graph before it, what happened to it, and the error that ended it, or None."""

    before: GraphSnapshot
    steps: tuple[Step, ...]
    error: Exception | None

    def snapshots(self):
        """Yield the graph as it was before the first step, and then after each step."""
        snapshot = self.before
        yield snapshot
        for step in self.steps:
            nodes, tensors = list(snapshot.nodes), list(snapshot.tensors)
            saved = list(nodes[step.node].saved)
            for k in step.freed:
                saved[k] = replace(saved[k], state=FREED, shape=None, dtype="", nbytes=None, storage=None, layout=None,
                                   holds=None, views=None, versions=None, packed=False)
            nodes[step.node] = replace(nodes[step.node], saved=tuple(saved))
            for k, _, _ in step.grads:
                tensors[k] = replace(tensors[k], grad_shape=tensors[k].shape)
            snapshot = GraphSnapshot(tuple(nodes), tuple(tensors), step.held_bytes)
            yield snapshot


def record(losses, names, retain_graph, gradient):
    """Run ``torch.autograd.backward(losses, gradient, retain_graph)`` and return its :class:`Recording`.

    losses: a list of tensors. names: a dict from name to tensor, in which every loss occurs. An error of backward is part
    of the recording; a KeyboardInterrupt passes through. No hook stays behind.
    """
    graph = LiveGraph((), names)
    watch = _Watch(graph)
    error = None
    with watch.hooks():
        try:
            torch.autograd.backward(losses, gradient, retain_graph=retain_graph)
        except Exception as raised:
            error = raised.with_traceback(None)     # its frames would keep the graph alive
        watch.end_step()
    return Recording(graph.snapshot, tuple(watch.steps), error)


class _Watch:
    """Writes the steps down while backward runs."""

    def __init__(self, graph):
        self.graph = graph
        self.steps = []
        self.running = None         # (index of a node, what arrived) of the step that is not written down yet
        self.finished = True        # whether PyTorch came out of that node
        self.freed = {(i, k) for i, node in enumerate(graph.snapshot.nodes)
                      for k, slot in enumerate(node.saved) if slot.state == FREED}
        self.held_bytes = graph.snapshot.saved_bytes
        self.holders = Counter(slot.storage for slot in graph.snapshot.saved if slot.storage is not None)
        self.with_grad = graph.tensors_with_grad()
        self.grads = {k: words_for(graph.grad(k)) for tensors in self.with_grad.values() for k in tensors}

    @contextlib.contextmanager
    def hooks(self):
        handles = []
        try:
            for i, function in enumerate(self.graph.functions):
                handles.append(function.register_prehook(functools.partial(self.begin_step, i)))
                handles.append(function.register_hook(self.finish))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin_step(self, i, gradients):
        self.end_step()
        self.running, self.finished = (i, tuple(map(words_for, gradients))), False

    def finish(self, *gradients):
        self.finished = True

    def end_step(self):
        """Write down the step that ran last: what it freed can be seen only now."""
        if self.running is None:
            return
        (i, gradients), self.running = self.running, None
        freed = tuple(k for k in self.graph.freed_slots(i) if (i, k) not in self.freed)
        for k in freed:
            self.free(i, k)
        grads = tuple(self.filled_grads(i)) if self.finished else ()
        self.steps.append(Step(i, gradients, freed, grads, self.held_bytes, self.finished))

    def free(self, i, k):
        self.freed.add((i, k))
        storage = self.graph.snapshot.nodes[i].saved[k].storage
        if storage is not None:
            self.holders[storage] -= 1
            if not self.holders[storage]:
                self.held_bytes -= self.graph.storage_bytes[storage]

    def filled_grads(self, i):
        for k in self.with_grad.get(i, ()):
            before, self.grads[k] = self.grads[k], words_for(self.graph.grad(k))
            if self.grads[k] is not None:       # a leaf may have been given a tensor hook that takes the gradient away
                yield k, before, self.grads[k]


def words_for(tensor):
    """A gradient in words: its numbers where they are few or all the same, else its norm. None where there is none."""
    if tensor is None:
        return None
    with torch.no_grad(), undisturbed():
        shape = f"({', '.join(map(str, tensor.shape))}{',' * (tensor.dim() == 1)})"
        if tensor.layout != torch.strided or tensor.is_nested:
            return f"{str(tensor.layout).removeprefix('torch.')} {shape}"
        if tensor.numel() == 0:
            return f"no numbers {shape}"
        first = tensor.flatten()[0]
        if tensor.numel() == 1:
            return f"{first.item():.4g}"
        if bool((tensor == first).all()):
            return f"{first.item():.4g} in all of {shape}"
        if tensor.numel() <= MOST_VALUES:
            return f"[{', '.join(f'{value:.4g}' for value in tensor.flatten().tolist())}]"
        return f"{shape} of norm {torch.linalg.vector_norm(tensor).item():.3g}"
