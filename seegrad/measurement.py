"""Exact prices of a computation: what is counted is the same in every run and on every machine, unlike seconds.

Sources: ``torch.utils.flop_counter`` counts the FLOPs; ``torch.autograd.graph.saved_tensors_hooks`` tells what is saved;
the nodes are counted as ``torch.autograd.graph._register_logging_hooks_on_whole_graph`` does it, by prehooks.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks
from torch.autograd.graph import Node as Function
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from .snapshot import reachable, storage_behind


@dataclass(frozen=True)
class Measurement:
    """What a computation cost. Made by :func:`seegrad.measure`.

    node_runs: how often backward ran a node.
    flops: the floating point operations of matrix products and convolutions, forward and backward, as PyTorch counts them
    (a product with a single vector is not counted).
    saved_bytes: the bytes that saved tensors held: 0 at first, and then after each change.
    """

    node_runs: int
    flops: int
    saved_bytes: tuple[int, ...]

    @property
    def peak_saved_bytes(self) -> int:
        """The most bytes that saved tensors held at one time."""
        return max(self.saved_bytes)

    @property
    def left_saved_bytes(self) -> int:
        """The bytes that saved tensors still held at the end, while what the function returned was alive."""
        return self.saved_bytes[-1]

    def __repr__(self) -> str:
        return (f"{self.node_runs:,} node runs, {self.flops:,} FLOPs, "
                f"{self.peak_saved_bytes:,} bytes saved at the peak, {self.left_saved_bytes:,} at the end")


def measure(fn: Callable[[], object]) -> Measurement:
    """Call ``fn()`` once and return its :class:`Measurement`.

    fn: a function without arguments; what it raises is raised here too. The graphs that it builds and the backward
    passes that it runs are counted. Bytes are those of the tensors that ``fn`` makes PyTorch save, whole storages, each
    counted once; a leaf that is saved counts too. Not counted: plain Python numbers (the 3 of ``x * 3``), what was saved
    before the call, and what ``fn`` saves under saved-tensor hooks of its own or in another thread. ``torch.func``
    allows no saved-tensor hooks, so its transforms raise here.

    Raises TypeError for anything that cannot be called without arguments.
    """
    _check_function(fn)
    _warm_up()
    saved = _SavedBytes()
    runs: list[int] = []
    flops = _flop_counter()
    with flops, _count_node_runs(runs), saved.hooks():
        result = fn()
    measured = Measurement(len(runs), flops.get_total_flops(), tuple(saved.history))
    del result      # until here, it held its graph
    return measured


class _NoModules(ModuleTracker):
    """In place of FlopCounterMode's tracker of modules, whose hooks would keep every graph alive until the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _flop_counter() -> FlopCounterMode:
    flops = FlopCounterMode(display=False)
    flops.mod_tracker = _NoModules()
    return flops


@functools.cache
def _warm_up() -> None:
    """The first operation in such a mode imports half of PyTorch, and leaves a cycle that would hold the frame of `fn`."""
    with _flop_counter():
        torch.ones(1).exp()


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


@contextlib.contextmanager
def _count_node_runs(runs: list[int]) -> Iterator[None]:
    """Append an entry to `runs` each time when backward runs a node."""
    run_backward = torch.autograd._engine_run_backward
    hooked: dict[int, Function] = {}        # a backward may start another one inside: each node is counted by one hook only

    def run(t_outputs: Sequence[torch.Tensor | GradientEdge], *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        roots = [_root(output) for output in t_outputs]
        new = [node for node in reachable(roots) if id(node) not in hooked]
        handles = [node.register_prehook(lambda gradients: runs.append(1)) for node in new]
        hooked.update((id(node), node) for node in new)
        try:
            return run_backward(t_outputs, *args, **kwargs)
        finally:
            for handle, node in zip(handles, new):
                handle.remove()
                del hooked[id(node)]

    torch.autograd._engine_run_backward = run       # the one door through which backward() and grad() go
    try:
        yield
    finally:
        torch.autograd._engine_run_backward = run_backward


def _root(output: torch.Tensor | GradientEdge) -> Function | None:
    """The node where backward starts, or None: then PyTorch will refuse."""
    if isinstance(output, GradientEdge):
        return output.node
    if not output.requires_grad or output.grad_fn is not None:
        return output.grad_fn
    with torch.inference_mode(False):
        return get_gradient_edge(output).node


class _SavedBytes:
    """The bytes that saved tensors hold: each storage counts from the first save to the last release.

    history: these bytes, at first and after each change.
    holders: for each storage, how many saved tensors hold it, and its size in bytes when the first of them came.
    """

    def __init__(self) -> None:
        self.history = [0]
        self.holders: dict[int, tuple[int, int]] = {}

    def hooks(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(lambda tensor: _Packed(tensor, self), _Packed.unpack)

    def change(self, tensor: torch.Tensor, step: int) -> None:
        storage = storage_behind(tensor)
        if storage is None:
            return
        holders, size = self.holders.get(storage._cdata, (0, storage.nbytes()))
        self.holders[storage._cdata] = holders + step, size
        if holders + step == 0:
            del self.holders[storage._cdata]
            self.history.append(self.history[-1] - size)
        elif holders == 0:
            self.history.append(self.history[-1] + size)


class _Packed:
    """What PyTorch keeps in place of a saved tensor while we count: it is released when PyTorch frees the tensor."""

    def __init__(self, tensor: torch.Tensor, count: _SavedBytes) -> None:
        # Detached, or a saved result would hold its own node. The version counter stays shared.
        self.tensor, self.version, self.count = tensor.detach(), tensor._version, count
        count.change(self.tensor, +1)

    def unpack(self) -> torch.Tensor:
        if self.tensor._version != self.version:        # PyTorch leaves this check to those who pack
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: it is "
                f"at version {self.tensor._version}; expected version {self.version} instead.")
        return self.tensor

    def __del__(self) -> None:
        self.count.change(self.tensor, -1)
