"""A play does what a plain backward does, and tells it; the player shows what the diagrams say."""

import base64
import contextlib
import functools
import gc
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import threading
import warnings
import weakref
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import IPython.display
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from project import COURSE
from random_graphs import can_be_asked, each_graph, gradient_bytes, random_graph
from seegrad import play_backward, recording, show_graph, side_by_side, what_if
from seegrad.diagram import make_diagram
from seegrad.gradients import LARGEST_PART
from seegrad.looks import SLOTS
from seegrad.recording import words_for
from seegrad.snapshot import FREED, LiveGraph, SavedTensor
from test_drawing import PATHS
from test_input import assert_one_sentence
from test_snapshot import match

pytestmark = pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")

LEVELS = ["full", "compact", "folded"]
at_all_levels = pytest.mark.parametrize("detail", LEVELS)


# Random backward passes


@dataclass
class Pass:
    """One backward that can be run. Two of the same seed and steps are alike."""

    graph: object
    losses: list
    gradient: list
    options: dict
    named: dict

    def run_plainly(self):
        try:
            torch.autograd.backward(self.losses, self.gradient, **self.options)
        except RuntimeError as error:
            return str(error)

    def play(self, **options):
        return play_backward(*self.losses, self.named, gradient=self.gradient, raises=False, **self.options, **options)

    def snapshot(self):
        return show_graph(**self.named).snapshot

    def left_behind(self):
        tensors = [t for t in [*self.graph.tensors, *self.losses] if can_be_asked(t)]
        return [gradient_bytes(t) for t in tensors], self.snapshot(), dict(self.graph.fired)


def random_pass(seed, steps=None):
    draw, graph = random.Random(seed), random_graph(seed, steps)
    losses = [output * 1 if draw.random() < 0.3 else (output * output).sum() for output in graph.outputs]
    gradient = [torch.full_like(loss, 0.5 + k) for k, loss in enumerate(losses)] if draw.random() < 0.7 else None
    named = {**{f"loss{k}": loss for k, loss in enumerate(losses)}, **graph.named}
    options = {"retain_graph": draw.random() < 0.3 or None}
    if draw.random() < 0.2:
        options["create_graph"] = True
    tracked = [tensor for tensor in graph.named.values() if tensor.requires_grad]
    if tracked and draw.random() < 0.3:
        options["inputs"] = draw.sample(tracked, draw.randint(1, len(tracked)))
    return Pass(graph, losses, gradient, options, named)


@functools.cache
def played(seed, steps=None):
    return random_pass(seed, steps).play()


@each_graph(120)
def test_a_play_leaves_behind_what_a_plain_backward_leaves(seed, steps):
    one, twin = random_pass(seed, steps), random_pass(seed, steps)
    play = one.play()
    error = twin.run_plainly()
    assert (str(play.error) if play.error else None) == error
    assert one.left_behind() == twin.left_behind()


def without_contents(snapshot):
    """A snapshot of a play as one that does not ask what the memory holds."""
    return replace(snapshot, nodes=tuple(replace(node, saved=tuple(replace(slot, value="", content=None) for slot in node.saved))
                                         for node in snapshot.nodes))


def facts(snapshot):
    """A snapshot without the numbers of its storages, what its memory holds, and the slots of which a fresh one cannot know.

    PyTorch does not tell how many tensors were in a freed list, nor whether a custom Function saved any at all.
    """
    numbers = {None: None}

    def number(storage):
        return numbers.setdefault(storage, len(numbers))

    def of_slot(slot):
        if slot.state == FREED:
            return slot.name.partition("[")[0], FREED
        return replace(slot, storage=number(slot.storage), storages=tuple(map(number, slot.storages)), value="", content=None)

    tensors = [replace(tensor, storage=number(tensor.storage)) for tensor in snapshot.tensors]
    slots = [set(map(of_slot, node.saved)) - {("tensors", FREED)} for node in snapshot.nodes]
    return [replace(node, saved=()) for node in snapshot.nodes], slots, tensors, snapshot.bytes_of(snapshot.saved)


def snapshots(recording):
    """The graph before the first step, and after each."""
    nodes, tensors = list(recording.before.nodes), list(recording.before.tensors)
    found = [recording.before]
    for changed_nodes, changed_tensors in recording.updates():
        for i, node in changed_nodes.items():
            nodes[i] = node
        for i, tensor in changed_tensors.items():
            tensors[i] = tensor
        found.append(replace(recording.before, nodes=tuple(nodes), tensors=tuple(tensors)))
    assert found[-1] == recording.after
    return found


@each_graph(120)
def test_the_last_derived_snapshot_is_what_a_fresh_one_finds(seed, steps):
    one = random_pass(seed, steps)
    for tensor in one.options.get("inputs", ()):
        if not tensor.is_leaf:
            tensor.retain_grad()        # backward does this first
    before = one.snapshot()
    last = one.play().recording.after
    assert facts(last) == facts(one.snapshot())
    assert without_contents(played(seed, steps).recording.before) == before


@dataclass
class Seen:
    """What a hook of the test saw when a node began. grads: the `.grad` of each drawn tensor, in words."""

    node: int
    gradients: tuple
    snapshot: object
    grads: list


def watch(one):
    """Run plainly, watched by hooks of the test. Return what was seen, at the end too, and the nodes that finished."""
    before = one.snapshot()
    tensors, nodes = match(before, list({id(t): t for t in one.named.values()}.values()))
    seen, finished = [], []

    def look(i, gradients):
        grads = [words_for(t.grad) if t.is_leaf or t.retains_grad else None for t in tensors]
        seen.append(Seen(i, tuple(map(words_for, gradients)), one.snapshot(), grads))

    for i, node in enumerate(nodes):
        node.register_prehook(functools.partial(look, i))
        node.register_hook(lambda *_, i=i: finished.append(i))
    look(None, ())
    one.run_plainly()
    look(None, ())
    return seen, finished


@each_graph(120)
def test_a_recording_tells_what_hooks_of_the_test_see(seed, steps):
    one = random_pass(seed, steps)
    recording = played(seed, steps).recording
    (start, *begun, end), finished = watch(one)
    assert [(step.node, step.gradients) for step in recording.steps] == [(s.node, s.gradients) for s in begun]
    assert [step.node for step in recording.steps if step.finished] == finished
    for step, was, now in zip(recording.steps, snapshots(recording), snapshots(recording)[1:]):
        for k in step.freed:
            assert was.nodes[step.node].saved[k].state != FREED
            assert now.nodes[step.node].saved[k] == SavedTensor(was.nodes[step.node].saved[k].name, FREED)
    grads = list(start.grads)
    for step, derived, now in zip(recording.steps, snapshots(recording)[1:], [*begun[1:], end]):
        for k, was, filled in step.grads:
            assert grads[k] == was
            grads[k] = filled
        # PyTorch fills the .grad of a result just before its node begins.
        early = [k for k, t in enumerate(derived.tensors) if t.producer and t.producer.node == now.node]
        assert [words for k, words in enumerate(grads) if k not in early] == [
            words for k, words in enumerate(now.grads) if k not in early]
        assert step.held_bytes == derived.bytes_of(derived.saved) == now.snapshot.bytes_of(now.snapshot.saved)
        assert facts(derived)[:2] == facts(now.snapshot)[:2]


def test_the_random_passes_are_of_every_kind():
    plays = []
    each_graph(120)(lambda seed, steps: plays.append(played(seed, steps)))()
    assert sum(play.error is None for play in plays) > 40
    assert sum(play.error is not None and bool(play.recording.steps) for play in plays) > 15
    assert sum(play.error is not None and not play.recording.steps for play in plays) > 2
    assert sum(len(step.grads) > 0 and step.grads[0][1] is not None for play in plays for step in play.recording.steps) > 20


@each_graph(120)
def test_the_ending_names_the_node_that_failed(seed, steps):
    play = played(seed, steps)
    (_, *begun, _), finished = watch(random_pass(seed, steps))
    ending = play.transcript.splitlines()[-1]
    failed = [s.node for s in begun if s.node not in finished]
    if play.error is None:
        assert failed == [] and ending.startswith("finished: ")
    elif failed:
        name = play.recording.before.nodes[failed[0]].name
        assert ending.startswith(f"stopped at [{failed[0] + 1}] {name} by a {type(play.error).__name__}: ")
    else:
        assert ending.startswith("stopped before the first node by a ")


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_grad_that_a_backward_inside_a_node_fills_is_seen_at_that_node(reentrant):
    layer, x = nn.Linear(3, 3), torch.ones(2, 3, requires_grad=True)
    loss = (checkpoint(layer, x * 2, use_reentrant=reentrant) * 3).sum()
    play = play_backward(loss, weight=layer.weight, x=x)
    node = "CheckpointFunctionBackward" if reentrant else "AccumulateGrad"
    filled, = (line for line in play.transcript.splitlines() if "weight.grad: None → 12 in all of (3, 3)" in line)
    assert node in filled
    last = play._play.last
    assert ".grad (3, 3)" in next(box for box in last.boxes if box.name == "weight").lines
    assert torch.equal(layer.weight.grad, torch.full((3, 3), 12.0))


# Words for a gradient


WORDS = {
    "none": (None, None),
    "a number": (torch.tensor(2.5), "2.5"),
    "a number in a row": (torch.tensor([1 / 3]), "0.3333"),
    "the same number everywhere": (torch.full((2, 3), 0.25), "0.25 in all of (2, 3)"),
    "a vector of the same number": (torch.ones(3), "1 in all of (3,)"),
    "zeros of both signs": (torch.tensor([0.0, -0.0]), "0 in all of (2,)"),
    "four numbers": (torch.tensor([[1.0, 2.0], [3.0, -4.0]]), "[1, 2, 3, -4]"),
    "five numbers": (torch.tensor([3.0, 4.0, 0, 0, 0]), "(5,) of norm 5"),
    "empty": (torch.ones(0, 2), "no numbers (0, 2)"),
    "nan": (torch.tensor(float("nan")), "nan"),
    "nan everywhere": (torch.full((2,), float("nan")), "[nan, nan]"),
    "inf": (torch.full((2,), float("inf")), "inf in all of (2,)"),
    "complex": (torch.tensor([1 + 2j, 3 + 0j]), "[1+2j, 3+0j]"),
    "many complex": (torch.tensor([3j, 4, 0, 0, 0]), "(5,) of norm 5"),
    "half": (torch.tensor([3, 4, 0, 0, 0], dtype=torch.float16), "(5,) of norm 5"),
    "half, the norm of which is too large": (torch.tensor([3e4, 4e4, 5e4, 0, 0], dtype=torch.float16), "(5,) of norm 7.07e+04"),
    "float32, the square of which is too large": (torch.tensor([3e30, 4e30, 0, 0, 0]), "(5,) of norm 5e+30"),
    "more than is taken at once": (torch.tensor([3.0, *[0.0] * LARGEST_PART, 4.0]), f"({LARGEST_PART + 2},) of norm 5"),
    "many of the same number": (torch.full((5, LARGEST_PART), -2.0), f"-2 in all of (5, {LARGEST_PART})"),
    "the same numbers, and nearly": (torch.tensor([1.0, 1, 1, 1, 1.0000001]), "(5,) of norm 2.24"),
    "numbers of the same size": (torch.tensor([1.0, 1, 1, 1, -1]), "(5,) of norm 2.24"),
    "the same number, the square of which is too large": (torch.full((5,), 1e200, dtype=torch.float64), "1e+200 in all of (5,)"),
    "8 bits": (torch.tensor([3.0, 4, 0, 0, 0]).to(torch.float8_e5m2), "(5,) of norm 5"),
    "whole numbers": (torch.tensor([3, 4, 0, 0, 0]), "(5,) of norm 5"),
    "one inf": (torch.tensor([float("inf"), 1, 2, 3, 4]), "(5,) with 1 inf"),
    "inf and nan": (torch.tensor([float("nan"), -float("inf"), 2, float("inf"), 4]), "(5,) with 2 inf and 1 nan"),
    "complex with nan": (torch.tensor([complex("nanj"), 1, 2, 3, 4]), "(5,) with 1 nan"),
    "expanded": (torch.ones(()).expand(2, 2), "1 in all of (2, 2)"),
    "tracked": (torch.ones(2, requires_grad=True), "1 in all of (2,)"),
    "sparse": (torch.eye(3).to_sparse(), "sparse_coo (3, 3)"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_gradient_in_words(kind):
    gradient, words = WORDS[kind]
    assert words_for(gradient) == words


class Wrapped(torch.Tensor):
    """A tensor around another one that refuses whatever one would ask to tell its numbers."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Wrapped({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function.overloadpacket in (torch.ops.aten.view, torch.ops.aten.eq, torch.ops.aten._local_scalar_dense):
            raise TypeError(f"{function} is refused")
        result = function(*(arg.inner if isinstance(arg, Wrapped) else arg for arg in args), **(kwargs or {}))
        return Wrapped(result) if isinstance(result, torch.Tensor) else result


def nested(layout):
    layer = nn.Linear(3, 2).double()
    rows = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], dtype=torch.float64, layout=layout)
    return torch.nested.to_padded_tensor(layer(rows), 0.0).sum(), layer.weight


def masked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # masked tensors are a prototype
        x = torch.masked.masked_tensor(torch.ones(3), torch.tensor([True, False, True]), requires_grad=True)
        return (x * 2).sum(), x


def wrapped():
    x = Wrapped(torch.ones(3)).requires_grad_()
    return (x * 2).sum(), x


ODD_TYPES = {
    "nested": (lambda: nested(torch.strided), "receives nested, its shape varies"),
    "jagged": (lambda: nested(torch.jagged), "receives jagged (2, "),
    "masked": (masked, "receives float32 (3,)"),
    "wrapped": (wrapped, "receives float32 (3,)"),
}


@pytest.mark.parametrize("kind", ODD_TYPES)
@pytest.mark.filterwarnings("ignore:The PyTorch API of (nested|Masked)", "ignore::UserWarning:torch.masked")
def test_a_type_that_refuses_to_tell_its_numbers_does_not_stop_backward(kind):
    build, words = ODD_TYPES[kind]
    torch.manual_seed(0)
    loss, leaf = build()
    play = play_backward(loss, leaf=leaf)
    torch.manual_seed(0)
    twin_loss, twin = build()
    twin_loss.backward()
    assert words in play.transcript and play.transcript.splitlines()[-1].startswith("finished: ")
    assert repr(leaf.grad) == repr(twin.grad) and leaf.grad is not None


@pytest.mark.parametrize("owner, name", [(LiveGraph, "freed_slots"), (LiveGraph, "grad"), (recording, "_words")])
def test_where_we_cannot_read_a_step_backward_is_as_without_us_and_the_play_says_so(owner, name, monkeypatch):
    original, calls = getattr(owner, name), []

    def fails(*inputs):
        calls.append(name)
        if len(calls) == 3:
            raise ZeroDivisionError("ours")
        return original(*inputs)

    monkeypatch.setattr(owner, name, fails)
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    play = play_backward((x.exp() * x).sum(), x=x)
    assert "could not be read" in play.transcript or "cannot be read" in play.transcript
    assert "ours" not in play.transcript and play.error is None and "x.grad: " in play.transcript
    assert torch.equal(x.grad, (torch.tensor([1.0, 2.0, 3.0]).exp() * torch.tensor([2.0, 3.0, 4.0])))


WITHOUT_NUMBERS = {
    "meta": lambda: torch.ones(2, 3, device="meta"),
    "fake": lambda: FakeTensorMode().from_tensor(torch.ones(2, 3)),
    "a float of 8 bits": lambda: torch.arange(6).reshape(2, 3).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("kind", WITHOUT_NUMBERS)
def test_backward_runs_where_the_numbers_cannot_be_told(kind):
    gradient = WITHOUT_NUMBERS[kind]()
    x = torch.empty_like(gradient).requires_grad_()
    play = play_backward(x.view(3, 2), gradient=gradient.view(3, 2), x=x, raises=False)
    assert play.error is None
    assert x.grad.shape == (2, 3)
    assert "(2, 3)" in words_for(gradient)


def test_a_mode_sees_what_it_sees_of_a_plain_backward():
    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            called.append(operation)
            return operation(*args, **kwargs or {})

    seen = []
    for run in (torch.Tensor.backward, play_backward):
        called, x = [], torch.arange(6.0, requires_grad=True)
        loss = x.sin().sum()
        with Log():
            run(loss)
        assert (x.grad._version, x.grad.grad_fn) == (0, None)
        seen.append(called)
    assert seen[0] == seen[1] != []


# Hooks of the user


class Refused(Exception):
    pass


def hooked(fail="", error=Refused):
    """A small graph with a hook of every kind: its loss, its tensors, and the log that the hooks write."""
    log = []

    def hook(name, answer=None):
        def write(*arguments):
            log.append((name, str(arguments)))
            if name == fail:
                raise error(name)
            return answer and answer(*arguments)
        return write

    w, x = torch.tensor([2.0, 3.0], requires_grad=True), torch.tensor([0.5, 1.0], requires_grad=True)
    y = x * w
    y.retain_grad()
    loss = y.exp().sum()
    x.register_hook(hook("leaf", lambda gradient: gradient * 2))
    w.register_post_accumulate_grad_hook(hook("accumulated"))
    y.register_hook(hook("result", lambda gradient: gradient + 1))
    y.grad_fn.register_prehook(hook("before", lambda gradients: (gradients[0] * 3,)))
    y.grad_fn.register_hook(hook("after", lambda out, _: (out[0] - 1, out[1])))
    loss.register_hook(hook("loss"))
    accumulate = y.grad_fn.next_functions[0][0]
    accumulate.register_prehook(hook("before accumulate"))
    accumulate.register_hook(hook("after accumulate"))
    return loss, dict(x=x, w=w, y=y), log


HOOKS = ["loss", "result", "before", "after", "leaf", "before accumulate", "after accumulate", "accumulated"]


@pytest.mark.parametrize("fail", ["", *HOOKS])
def test_hooks_of_the_user_fire_as_in_a_plain_backward(fail):
    loss, tensors, log = hooked(fail)
    twin, twins, twin_log = hooked(fail)
    play = play_backward(loss, raises=False, **tensors)
    try:
        twin.backward()
    except Refused as error:
        assert repr(play.error) == repr(error)
    else:
        assert play.error is None
    assert log == twin_log
    assert fail in [name for name, _ in log] or sorted(name for name, _ in log) == sorted(HOOKS)
    assert [gradient_bytes(t) for t in tensors.values()] == [gradient_bytes(t) for t in twins.values()]


@pytest.mark.parametrize("fail", HOOKS)
def test_where_a_hook_of_the_user_stops_backward(fail):
    loss, tensors, _ = hooked(fail)
    play = play_backward(loss, raises=False, **tensors)
    where = {"loss": "before the first node", "result": "after [4] ExpBackward0", "before": "after [4] ExpBackward0",
             "after": "at [3] MulBackward0", "after accumulate": "at [1] AccumulateGrad",
             "accumulated": "at [2] AccumulateGrad"}
    ending = play.transcript.splitlines()[-1]
    assert ending.startswith(f"stopped {where.get(fail, 'after [')}")
    assert f"by a Refused: {fail}; 5 nodes" in ending
    assert play._repr_mimebundle_()["text/html"].count("<img") == 2


@pytest.mark.parametrize("fail", HOOKS)
def test_what_a_backward_leaves_that_a_hook_stopped(fail):
    loss, tensors, _ = hooked(fail)
    last = play_backward(loss, raises=False, **tensors).recording.after
    assert facts(last) == facts(show_graph(loss=loss, **tensors).snapshot)


def test_the_grad_of_a_result_whose_node_fails():
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    y.retain_grad()
    loss = y.sum()
    with torch.no_grad():
        y.add_(1)
    play = play_backward(loss, y=y, raises=False)
    assert y.grad is not None
    assert "y.grad: None → 1 in all of (2,)" in play.transcript


def test_a_leaf_that_is_filled_twice_in_one_step():
    x = torch.ones(3, requires_grad=True)
    y = (x * 2).sum()
    x.data = x.data.double()        # as net.double() does: the next use gets a new AccumulateGrad
    play = play_backward(y + (x * 4).sum(), detail="folded")
    assert ".grad of a leaf without a name: None → 4 in all of (3,) → 6 in all of (3,); " in play.transcript


def test_a_hook_that_takes_the_grad_away():
    x = torch.ones(2, requires_grad=True)
    x.exp().sum().backward()
    x.register_post_accumulate_grad_hook(lambda leaf: setattr(leaf, "grad", None))
    loss = x.exp().sum()
    last = play_backward(loss, x=x).recording.after
    assert x.grad is None
    assert facts(last) == facts(show_graph(loss=loss, x=x).snapshot)


@contextlib.contextmanager
def backward_in_another_thread(step):
    stop, errors = threading.Event(), []

    def run():
        while not stop.is_set():
            try:
                step()
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


def test_a_backward_of_another_thread_through_a_shared_node_is_no_step():
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    other, loss = (w * 5).sum(), (x * w).sum()

    def run_other(gradient):
        thread = threading.Thread(target=other.backward)
        thread.start()
        thread.join()

    loss.register_hook(run_other)
    play = play_backward(loss, x=x, w=w)
    assert play.transcript.count("[2] AccumulateGrad receives") == 1
    assert " → 6 in all of (3,)" in play.transcript and w.grad.tolist() == [6, 6, 6]


def test_backwards_in_two_threads_through_one_leaf():
    w = torch.ones(50, requires_grad=True)
    with backward_in_another_thread(lambda: (w * 2).sin().sum().backward()) as errors:
        for _ in range(150):
            play = play_backward((w * 3).cos().sum(), w=w)
            assert [step.node for step in play.recording.steps] == [3, 2, 1, 0]
    assert errors == []


class FailsWhenAsked(torch.autograd.Function):
    fails = False

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        if FailsWhenAsked.fails:
            raise Refused
        return gradient


def test_a_backward_inside_that_fails_and_is_caught(monkeypatch):
    x = torch.ones(2, requires_grad=True)
    y = FailsWhenAsked.apply(x.exp())
    loss = y.sum()

    def run_inside(*_):
        monkeypatch.setattr(FailsWhenAsked, "fails", True)
        with contextlib.suppress(Refused):
            torch.autograd.grad(y, x, torch.ones(2), retain_graph=True)
        monkeypatch.setattr(FailsWhenAsked, "fails", False)

    loss.grad_fn.register_hook(run_inside)      # before ours: in the middle of this node
    recorded = play_backward(loss, x=x).recording
    assert [(recorded.before.nodes[step.node].name, step.finished) for step in recorded.steps] == [
        ("FailsWhenAskedBackward", False), ("SumBackward0", True), ("FailsWhenAskedBackward", True), ("ExpBackward0", True),
        ("AccumulateGrad", True)]


def test_an_expanded_gradient_is_told_from_what_is_in_memory():
    numbers = torch.arange(6.0)
    wide = numbers.expand(4, 6)
    assert words_for(wide) == words_for(wide.contiguous()) == f"(4, 6) of norm {torch.linalg.vector_norm(wide).item():.3g}"
    wide = torch.tensor([1.0, float("inf"), float("nan"), 2, 3]).expand(3, 5)
    assert words_for(wide) == words_for(wide.contiguous()) == "(3, 5) with 3 inf and 3 nan"
    assert words_for(torch.arange(2.0).expand(2, 2)) == "[0, 1, 0, 1]"
    assert words_for(torch.ones(1).expand(10**6, 10**6)) == "1 in all of (1000000, 1000000)"
    huge = torch.arange(6.0).expand(10**9, 6)       # 24 GB, were it in memory
    assert words_for(huge) == f"(1000000000, 6) of norm {55 ** 0.5 * 10 ** 4.5:.3g}"


def test_a_slot_for_which_a_hook_packed_none_is_freed_when_pytorch_frees_it():
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda packed: torch.ones(2)):
        loss = torch.ones(2, requires_grad=True).exp().sum()
    freed = [[step.freed for step in play_backward(loss, retain_graph=keeps).recording.steps] for keeps in (True, False)]
    assert freed == [[(), (), ()], [(), (0,), ()]]


def test_inputs_of_a_backward_that_does_not_begin_stay_as_they_were():
    y = torch.ones(2, requires_grad=True).exp()
    play = play_backward(y, inputs=[y], raises=False)
    assert type(play.error) is RuntimeError and not y.retains_grad
    z = (y * 1).sum()
    play = play_backward(z, inputs=[y], y=y)
    assert y.retains_grad and y.grad.tolist() == [1, 1] and "y.grad: None → 1 in all of (2,)" in play.transcript


def test_two_results_of_one_node_keep_their_grads():
    first, second = torch.ones(2, 2, requires_grad=True).unbind()
    first.retain_grad()
    second.retain_grad()
    play = play_backward((first * second.exp()).sum(), first=first, second=second)
    last = play.recording.after
    assert [last.tensors[k].grad_shape for k in (1, 2)] == [(2,), (2,)]


class BackwardInside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, inside):
        ctx.inside = inside
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            (ctx.inside[0] * 3).backward(gradient)
        return gradient * 2, None


def test_a_node_that_runs_a_backward_of_its_own():
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    loss = (BackwardInside.apply(x, [w]) * w).sum()
    play = play_backward(loss, x=x, w=w)
    assert play.error is None
    assert "stops here" not in play.transcript
    assert all(step.finished for step in play.recording.steps)
    assert w.grad.tolist() == [5, 5]


# Nothing stays behind


def assert_nothing_is_registered(loss):
    files = set()
    sys.setprofile(lambda frame, *_: files.add(Path(frame.f_code.co_filename).name))
    try:
        loss.backward(retain_graph=True)
    finally:
        sys.setprofile(None)
    assert "recording.py" not in files


def fails_once(error):
    """A graph whose first backward is stopped by a hook."""
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    loss = (y * y).sum()

    def fail(_):
        handle.remove()
        raise error("no")

    handle = y.register_hook(fail)
    return x, y, loss


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_error_passes_through_and_is_not_played(error):
    x, _, loss = fails_once(error)
    with pytest.raises(error, match="no"):
        play_backward(loss, x=x, raises=False)


@pytest.mark.parametrize("error", [None, Refused, KeyboardInterrupt, SystemExit])
def test_no_hook_of_ours_is_left(error):
    x, y, loss = fails_once(error or Refused)
    if error is None:
        y._backward_hooks.clear()
    try:
        assert play_backward(loss, x=x, retain_graph=True).error is None
    except BaseException as raised:
        assert type(raised) is error
    assert_nothing_is_registered(loss)


def in_a_thread(function):
    """The thread of a backward that failed holds the nodes that still had to run."""
    errors = []

    def run():
        try:
            function()
        except BaseException as error:
            errors.append(error.with_traceback(None))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def raises_in_turn(_):
    try:
        raise KeyError("first")
    except KeyError:
        raise Refused("second")     # noqa: B904


@pytest.mark.parametrize("how", ["finished", "stopped", "raised", "interrupted", "error of an error"])
def test_nothing_is_kept_alive(how, monkeypatch):
    monkeypatch.setattr(IPython.display, "display", lambda play: None)
    kept, references = [], []

    def run():
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        loss = (y * y).sum()
        loss.retain_grad()
        if how == "interrupted":
            y.register_hook(lambda _: sys.exit())
        elif how == "error of an error":
            y.register_hook(raises_in_turn)
        elif how != "finished":
            with torch.no_grad():
                y.add_(1)
        references.extend(map(weakref.ref, (x, y, loss)))
        try:
            kept.append(play_backward(loss, x=x, y=y, raises=how == "raised"))
            kept[0]._repr_mimebundle_()
        except (RuntimeError, SystemExit):
            assert how in ("raised", "interrupted")

    gc.collect()
    gc.disable()
    try:
        in_a_thread(run)
        assert [reference() is None for reference in references] == [True] * 3
    finally:
        gc.enable()


# Errors


def leaf():
    return torch.ones(2, requires_grad=True)


def without_a_graph():
    return dict(losses=[torch.ones(2).sum()]), "element 0 of tensors does not require grad"


def already_freed():
    loss = leaf().exp().sum()
    loss.backward()
    return dict(losses=[loss]), "Trying to backward through the graph a second time"


def a_vector():
    return dict(losses=[leaf().exp()]), "grad can be implicitly created only for scalar outputs"


def a_gradient_of_another_shape():
    return dict(losses=[leaf().exp()], gradient=torch.ones(3)), "Mismatch in shape"


def one_gradient_for_two():
    return dict(losses=[leaf().exp(), leaf().sin()], gradient=[torch.ones(2)]), "got 2 tensors and 1 gradients"


BAD = [without_a_graph, already_freed, a_vector, a_gradient_of_another_shape, one_gradient_for_two]


@pytest.mark.parametrize("bad", BAD)
def test_what_torch_refuses_is_played(bad, monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    options, words = bad()
    losses = options.pop("losses")
    play = play_backward(*losses, raises=False, **options)
    assert str(play.error).startswith(words)
    assert f"{type(play.error).__name__}: {words}" in play.transcript.splitlines()[-1]
    assert play._repr_mimebundle_()["text/html"].count("<img") == 2
    assert shown == []
    options, _ = bad()
    losses = options.pop("losses")
    with pytest.raises(type(play.error)) as error:
        play_backward(*losses, **options)
    assert [play.error for play in shown] == [error.value]


@pytest.mark.parametrize("error", [Refused("no. More of it"), AssertionError(), ValueError("a\nb"), KeyError("</script>")],
                         ids=repr)
def test_the_very_error_is_raised(error, monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    y = leaf().exp()

    def fail(_):
        raise error

    y.register_hook(fail)
    with pytest.raises(type(error)) as raised:
        play_backward(y.sum())
    assert raised.value is error
    ending = shown[0].transcript.splitlines()[-1]
    assert "More of it" not in ending and ": ;" not in ending
    assert not re.search(r"\ba [AEIOU]", ending)


def test_without_ipython_the_play_is_printed(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "IPython", None)       # as if it were not installed
    options, words = already_freed()
    loss, = options["losses"]
    with pytest.raises(RuntimeError, match=words) as error:
        play_backward(loss)
    assert error.value.__context__ is None
    assert capsys.readouterr().out == play_backward(loss, raises=False).transcript + "\n"


def test_a_list_of_bad_losses():
    x = leaf()
    with pytest.raises(ValueError) as error:
        play_backward(x.sum(), x)
    assert_one_sentence(error, "argument 2 of play_backward", "leaf")
    with pytest.raises(TypeError) as error:
        play_backward()
    assert_one_sentence(error, "no loss", "play_backward(loss, x=x)")
    with pytest.raises(TypeError) as error:
        play_backward(x.sum(), 3)
    assert_one_sentence(error, "argument 2 of play_backward", "3", "not a tensor")
    with pytest.raises(TypeError) as error:
        play_backward(x.sum(), x=3)
    assert_one_sentence(error, "x=", "3", "not a tensor")
    with pytest.raises(ValueError) as error:
        play_backward(x.sum(), detail="fine")
    assert_one_sentence(error, "detail=", "'full'")
    with pytest.raises(ValueError) as error:
        play_backward(x.sum(), max_boxes=0)
    assert_one_sentence(error, "max_boxes=")
    assert x.grad is None


def test_a_part_of_a_split_whose_whole_was_changed():
    h = leaf().exp()
    part, _ = h.chunk(2)
    with torch.no_grad():
        h.add_(1)
    play = play_backward(part, raises=False)
    assert type(play.error) is RuntimeError


def test_the_same_loss_twice():
    x = leaf()
    loss = x.sum()
    play = play_backward(loss, loss, x=x)
    assert x.grad.tolist() == [2, 2]
    assert play.transcript.startswith("backward from loss and loss: 2 steps")


def test_how_losses_are_called():
    def title(*losses, **options):
        return play_backward(*losses, **options).transcript.splitlines()[0]

    x = leaf()
    a, b = x.sum(), x.exp().sum()
    assert title(x.sum()) == "backward from loss: 2 steps"
    assert title(a, b) == "backward from loss 1 and loss 2: 4 steps"
    a, b = x.sum(), x.exp().sum()
    assert title(b, a, cost=a, x=x) == "backward from loss and cost: 4 steps"
    assert title(x.sum(), loss=x) == "backward from loss': 2 steps"
    assert title(x.sum(), retain_graph=True) == "backward from loss, retain_graph=True: 2 steps"
    assert title(x.sum(), detail="folded") == "backward from loss: 1 step"


# What a play says


def test_the_sentences_of_the_four_nodes():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    play = play_backward((3 * y * y).mean(), x=x)
    assert play.transcript.splitlines() == [
        "backward from loss: 5 steps",
        "before: 5 nodes, 1 tracked leaf, 3 saved tensors: 3 alive (40 B)",
        "1. [5] MeanBackward0 receives 1; to [4] goes 1 / 4 = 0.25 in all of (2, 2); 40 B still saved",
        "2. [4] MulBackward0 receives 0.25 in all of (2, 2); to [3] goes 0.25 × 3 = 0.75 in all of (2, 2); "
        "to [2] goes 0.25 × 9 = 2.25 in all of (2, 2); frees self, other; 8 B still saved",
        "3. [3] MulBackward0 receives 0.75 in all of (2, 2); to [2] goes 0.75 × 3 = 2.25 in all of (2, 2); frees other; "
        "0 B still saved",
        "4. [2] AddBackward0 receives 2.25 + 2.25 = 4.5 in all of (2, 2); to x goes 4.5 in all of (2, 2); 0 B still saved",
        "5. [1] AccumulateGrad receives 4.5 in all of (2, 2); x.grad: None → 4.5 in all of (2, 2); 0 B still saved",
        "finished: 5 nodes, 1 tracked leaf, 3 saved tensors: 3 freed"]


def test_the_sentences_of_a_second_backward_that_accumulates():
    x, w = torch.tensor(3.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    loss = x * w
    play_backward(loss, retain_graph=True)
    play = play_backward(loss, retain_graph=True, gradient=torch.tensor(10.0), x=x)
    assert play.transcript.splitlines()[2:] == [
        "1. [3] MulBackward0 receives 10; to x goes 10 × 2 = 20; to [2] goes 10 × x = 10 × 3 = 30; keeps what it saved; "
        "8 B still saved",
        "2. [1] AccumulateGrad receives 20; x.grad: 2 → 22; 8 B still saved",
        "3. [2] AccumulateGrad receives 30; .grad of a leaf without a name: 3 → 33; 8 B still saved",
        "finished: 3 nodes, 2 tracked leaves, 2 saved tensors: 2 alive (8 B)"]


def test_the_sentences_of_the_coarser_levels():
    x = torch.ones(2, 2)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    loss = net(x).sum()
    said = play_backward(loss, detail="compact", **dict(net.named_parameters())).transcript.splitlines()
    assert any(re.match(r"\d\. 0\.weight receives .*; 0\.weight\.grad: None → ", line) for line in said)
    said = play_backward(net(x).sum(), detail="folded").transcript.splitlines()
    assert re.fullmatch(r"1\. \(1\) receives 1; 6 of its nodes run; frees 2 saved tensors; "
                        r"\.grad of 2 tensors filled; 0 B still saved", said[2])


def test_a_node_that_frees_nothing():
    y = leaf().exp()
    loss = y.sum()
    with torch.no_grad():
        y.add_(1)
    said = play_backward(loss, retain_graph=True, raises=False).transcript.splitlines()[3]
    assert said == "2. [2] ExpBackward0 receives 1 in all of (2,); stops here; 8 B still saved"
    said = play_backward(leaf().exp().sum(), detail="folded").transcript.splitlines()[2]
    assert said.startswith("1. (1) receives 1; 3 of its nodes run; frees 1 saved tensor; ")


# Frames


def without_repeats(items):
    return [item for item, _ in itertools.groupby(items)]


@at_all_levels
@each_graph(20)
def test_every_step_is_in_one_frame_in_order(seed, steps, detail):
    play = random_pass(seed, steps).play(detail=detail)
    home = make_diagram(play.recording.before, detail).home
    frames = play._play.frames
    assert [frame.box for frame in frames] == without_repeats([home[step.node] for step in play.recording.steps])
    if frames:
        assert frames[-1].held_bytes == play.recording.steps[-1].held_bytes
    lines = play.transcript.splitlines()
    assert len(lines) == len(frames) + 3
    assert lines[0].endswith(f"{len(frames)} step{'s' * (len(frames) != 1)}")
    last = play.recording.after
    drawn = make_diagram(last, detail)
    assert replace(play._play.last, boxes=()) == replace(drawn, boxes=(), ties=play._play.last.ties)
    assert [without_version(words_of(box)) for box in play._play.last.boxes] == [
        without_version(words_of(box)) for box in drawn.boxes]
    assert {step.finished for step in play.recording.steps[:-1]} <= {True}
    assert [frame.finished for frame in frames[-1:]] == [step.finished for step in play.recording.steps[-1:]]


@pytest.mark.parametrize("detail", ["full", "compact"])
@each_graph(20)
def test_the_arrows_of_a_frame_are_those_along_which_gradients_came(seed, steps, detail):
    one = random_pass(seed, steps)
    play = one.play(detail=detail)
    before = play.recording.before
    home = make_diagram(before, detail).home
    ran = []
    for frame in play._play.frames:
        expected = set()
        here = [n for n in (step.node for step in play.recording.steps) if home[n] == frame.box]
        for node in here:
            expected |= {(frame.box, home[c]) for c in ran if any(e and e.node == node for e in before.nodes[c].inputs)}
            expected |= {(frame.box, f"t{i}") for i in range(len(one.losses))
                         if before.tensors[i].producer and before.tensors[i].producer.node == node}
        assert set(frame.arrows) == {pair for pair in expected if pair[0] != pair[1]}
        assert len(set(frame.arrows)) == len(frame.arrows)
        ran += here


@at_all_levels
@each_graph(20)
def test_the_arrows_of_a_frame_exist_and_come_from_what_ran_or_from_a_loss(seed, steps, detail):
    one = random_pass(seed, steps)
    play = one.play(detail=detail)
    # At the folded level, a gradient passes through a named result.
    results = {arrow.source for arrow in play._play.first.arrows} - set(play._play.first.home)
    drawn = {(arrow.source, arrow.target) for arrow in play._play.first.arrows}
    known = {f"t{i}" for i in range(len(one.losses))}
    for frame in play._play.frames:
        assert set(frame.arrows) <= drawn
        for source, target in frame.arrows:
            assert source == frame.box or source in results
            assert target in known or target in results
        known.add(frame.box)


def test_a_gradient_arrives_through_a_named_result_of_the_folded_level():
    x = leaf()
    f = x.exp()
    play = play_backward((f.sin() * f.cos()).sum(), x=x, f=f, detail="folded")
    assert all(frame.arrows for frame in play._play.frames)


# The player


@dataclass
class Page:
    """What a browser finds in the HTML of a play."""

    data: dict
    first: ElementTree.Element
    last: ElementTree.Element


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.scripts, self.inside, self.open = [], [], None, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            assert attributes["alt"]
            self.images.append(base64.b64decode(attributes["src"].removeprefix("data:image/svg+xml;base64,")).decode())
        else:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((attributes.get("type"), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = kind, text + data


def read_page(play):
    bundle = play._repr_mimebundle_()
    assert bundle["text/plain"] == play.transcript
    reader = Reader(bundle["text/html"])
    assert reader.open == []
    (kind, data), (_, script) = reader.scripts
    assert kind == "application/json" and script.startswith("(() => {") and script.endswith("})();")
    return Page(json.loads(data), *map(ElementTree.fromstring, reader.images))


SVG = "{http://www.w3.org/2000/svg}"


def groups(picture):
    """The elements of each box by its key."""
    return {g.find(SVG + "title").text: list(g.iter()) for g in picture.iter(SVG + "g") if g.get("class") == "node"}


def texts(elements):
    return [element.text.rstrip() for element in elements if element.tag == SVG + "text"]


def words_of(box):
    name = f"{box.name} {box.title}".strip()
    slots = ", ".join(f"{SLOTS[slot.state].mark} {slot.text}" for slot in box.slots)
    return " | ".join(" ".join(s.split()) for s in [name, *box.lines, slots] if s)


def without_version(words):
    """A version that a reader needed at first is shown to the end, also where the slot that was changed is freed."""
    return re.sub(r" \| version \d+", "", words)


@at_all_levels
@each_graph(10)
def test_the_player_shows_what_the_diagrams_say(seed, steps, detail):
    play = random_pass(seed, steps).play(detail=detail, max_boxes=1000)
    page = read_page(play)
    shown = {key: texts(elements) for key, elements in groups(page.first).items()}
    slots_of = {box.key: len(box.slots) for box in play._play.first.boxes}
    assert len(page.data["frames"]) == len(play._play.frames)
    now, home = snapshots(play.recording), play._play.first.home
    ends = [i + 1 for i, step in enumerate(play.recording.steps)
            if step is play.recording.steps[-1] or home[step.node] != home[play.recording.steps[i + 1].node]]
    for data, snapshot in zip([{"changes": []}, *page.data["frames"]], [now[0], *(now[end] for end in ends)], strict=True):
        for key, number, words, state in data["changes"]:
            assert shown[key][number] != words
            shown[key][number] = words
            assert (state, words[:1]) in [("", ""), *((s, look.mark) for s, look in SLOTS.items())] or state == ""
            assert bool(state) == (number >= len(shown[key]) - slots_of[key]) or words == ""
        for box in make_diagram(snapshot, detail).boxes:
            rows, slots = shown[box.key][:], slots_of[box.key]
            cut = len(rows) - slots
            said = [*rows[:cut], ", ".join(filter(None, rows[cut:]))]
            assert without_version(" | ".join(" ".join(s.split()) for s in said if s)) == without_version(words_of(box))
    # The second still is where the player ends, with a mark on the node that failed.
    failed = [home[step.node] for step in play.recording.steps[-1:] if not step.finished]
    for key, found in groups(page.last).items():
        cut = len(shown[key]) - slots_of[key]
        assert texts(found)[:cut] == shown[key][:cut]
        assert ", ".join(texts(found)[cut:]) == ", ".join([*filter(None, shown[key][cut:]), *["✗ stops here"] * (key in failed)])


def test_what_the_player_is_told():
    x = leaf()
    y = x.exp()
    loss = (y * x).sum()
    with torch.no_grad():
        y.add_(1)
    play = play_backward(loss, x=x, raises=False)
    data = read_page(play).data
    assert (data["title"], data["bytes"]) == ("backward from loss: 2 steps", 16)
    assert [data["start"]] + [frame["says"] for frame in data["frames"]] + [data["end"]] == [
        line.partition(" ")[2] if k < 3 else line for k, line in enumerate(play.transcript.splitlines()[1:])]
    assert [(frame["box"], frame["arrows"], frame["bytes"], frame["stops"]) for frame in data["frames"]] == [
        ("n4", [["n4->t0", ""]], 16, False), ("n3", [["n3->n4", "1"]], 16, True)]
    assert ".seegrad" in data["style"]


def test_the_numbers_on_the_arrows_are_what_was_sent():
    x, w = torch.tensor([1.0, 2.0], requires_grad=True), torch.ones(9, requires_grad=True)
    play = play_backward((x * x).sum() + w.sum(), x=x, w=w)
    assert [arrow for frame in read_page(play).data["frames"] for arrow in frame["arrows"]] == [
        ["n6->t0", ""], ["n5->n6", "1"], ["n4->n5", ""], ["n3->n6", "1"], ["n2->n3", "1"], ["n1->n2", "[1, 2] + [1, 2]"]]


def test_what_a_backward_inside_sent_is_not_on_the_arrows_of_this_one():
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    loss = y * y
    loss.register_hook(lambda gradient: torch.autograd.grad(y, x, torch.tensor(100.0), retain_graph=True) and None)
    play = play_backward(loss, x=x)
    *_, last = read_page(play).data["frames"]
    assert last["arrows"] == [["n1->n2", "36"]] and "receives 36; x.grad: None → 36; " in last["says"]


def test_no_words_of_the_player_are_wider_than_their_room():
    x = leaf()
    page = read_page(play_backward((x.exp() * x).sum(), x=x))
    room = {key: [len(e.text) for e in elements if e.tag == SVG + "text"] for key, elements in groups(page.first).items()}
    slots = [(key, number, words) for frame in page.data["frames"]
             for key, number, words, state in frame["changes"] if state]
    assert slots and all(len(words) <= room[key][number] for key, number, words in slots)


NAMES = ["</script><b>", "<!--<script>", "<!--", "</SCRIPT >", "\"'&<>", "\\", "\u2028", "\0", "\ud800", "a\nb", "", "t0",
         "x" * 1000]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_goes_into_the_page(name):
    x = leaf()
    play = play_backward(x.exp().sum(), **{name: x})
    page = read_page(play)
    assert "None → 2.718 in all of (2,)" in page.data["frames"][-1]["says"]
    html = play._repr_mimebundle_()["text/html"]
    html.encode()
    data = html.partition('<script type="application/json">')[2].partition("</script>")[0]
    assert "<!--" not in data and "<script" not in data      # or the next </script> would not end the element


def two_branches():
    """The network of notebook 06 and its two losses."""
    notebook = json.loads((COURSE / "06_two_branch_network.ipynb").read_text(encoding="utf-8"))
    source, = ("".join(cell["source"]) for cell in notebook["cells"] if "class TwoBranches(" in "".join(cell["source"]))
    names = {"torch": torch, "nn": nn}
    exec(source, names)
    net = names["make_net"]().double()
    pictures = torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(3)).double()
    features = net.trunk(pictures)
    cat_loss, car_loss = net.losses(features, torch.ones(40, 2).double())
    return dict(cat_loss=cat_loss, car_loss=car_loss, features=features, **dict(net.named_parameters()))


@pytest.mark.parametrize("detail", ["compact", "folded"])
def test_the_size_of_the_page_of_the_two_branches(detail):
    tensors = two_branches()
    play = play_backward(tensors["cat_loss"], tensors["car_loss"], detail=detail, **tensors)
    read_page(play)
    assert len(play._repr_mimebundle_()["text/html"].encode()) < 200_000


@at_all_levels
def test_the_size_of_the_page_of_the_four_nodes(detail):
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    play = play_backward((3 * y * y).mean(), detail=detail, x=x, y=y)
    assert len(play._repr_mimebundle_()["text/html"].encode()) < 45_000


def pages():
    yield played(2007)._repr_mimebundle_()
    yield random_pass(2011).play(detail="compact")._repr_mimebundle_()
    yield what_if(lambda a, b: show_graph(x=leaf().exp()), a=[True, False], b=["</script>", None])._repr_mimebundle_()


def digests():
    return [hashlib.sha256(page["text/html"].encode()).hexdigest() for page in pages()]


def test_two_processes_write_the_same_bytes():
    code = f"import sys; sys.path[:0] = {PATHS}; import test_play; print(*test_play.digests())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == digests()


def test_no_address_and_no_path_in_a_page():
    for page in pages():
        said = "".join([page["text/plain"], re.sub("base64,[^\"]*", "", page["text/html"]),
                        *Reader(page["text/html"]).images])
        assert not re.search(r"0x[0-9a-f]{5}|/work|/home|/tmp|/usr|\d{12}", said)


def no_picture(*_):
    raise AssertionError("it is not needed")


def chain(length):
    y = x = torch.ones((), requires_grad=True)
    for _ in range(length):
        y = y.exp()
    return x, y


@pytest.mark.parametrize("detail, advice", [
    ("full", 'name the tensors that matter, as in show_graph(loss, h=h), and try detail="folded"'),
    ("compact", 'name the tensors that matter, as in show_graph(loss, h=h), and try detail="folded"')])
def test_a_graph_that_is_too_large_is_refused_before_backward_runs(detail, advice):
    x, y = chain(400)
    with pytest.raises(ValueError) as error:
        play_backward(y, detail=detail)
    assert str(error.value) == (
        f"play_backward did not run backward, and the graph is as it was. This graph has {403 if detail == 'full' else 402} "
        f"boxes at detail='{detail}', too many to draw (the limit is max_boxes=150): {advice}, or a larger max_boxes; "
        "of a network that ran in `with modules(net):`, each module is one box.")
    assert x.grad is None and not y.retains_grad
    y.backward()


def test_advice_names_levels_that_are_small_enough_and_say_something():
    x, y = chain(100)
    weights = [torch.ones((), requires_grad=True) for _ in range(30)]
    loss = y + sum(w.sin() for w in weights)
    assert re.search(r': try detail="compact" \(\d+ boxes\), or a larger', repr(show_graph(loss, max_boxes=200)))
    both = repr(show_graph(loss, max_boxes=200, y=y, x=x, **{"a": weights[0]}))
    assert re.search(r': try detail="compact" \(\d+ boxes\) or detail="folded" \(\d boxes\), or a larger', both)
    named = {f"w{i}": w for i, w in enumerate(weights)}
    assert ': try detail="folded" (' in repr(show_graph(loss, named, max_boxes=100))
    assert ": name fewer tensors, or a larger max_boxes; " in repr(show_graph(loss, named, max_boxes=20))


def test_the_limit_of_boxes_is_the_last_that_is_drawn():
    x = leaf()
    assert "<img" in play_backward(x.sum(), max_boxes=4)._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="did not run backward"):
        play_backward(x.sum(), max_boxes=3)


def test_more_steps_than_can_be_shown():
    """Two chains that were made in turn: at the folded level there are six boxes, and a step for each node."""
    a, b = u, v = leaf(), leaf()
    for _ in range(150):
        u, v = u.sin(), v.cos()
    play = play_backward(u.sum(), v.sum(), detail="folded", a=a, b=b)
    assert len(play.recording.steps) == 304
    bundle = play._repr_mimebundle_()
    assert "<img" not in bundle["text/html"]
    assert len(bundle["text/plain"].splitlines()) == 1


# what_if


def test_the_pictures_stand_in_the_order_of_the_product():
    calls = []

    def build(x, w, n):
        calls.append((x, w, n))
        return show_graph(**{f"{x}{w}{n}": leaf()})

    view = what_if(build, x=[True, False], w=("a", "b", "c"), n=range(2))
    assert calls == list(itertools.product([True, False], "abc", range(2)))
    assert [picture.snapshot.tensors[0].names[0] for picture in view.pictures] == ["".join(map(str, call)) for call in calls]
    assert view.titles[1] == "x: True, w: a, n: 1"
    reader = Reader(view._repr_mimebundle_()["text/html"])
    assert [f"{x}{w}{n}" in image for (x, w, n), image in zip(calls, reader.images, strict=True)] == [True] * 12
    assert json.loads(reader.scripts[0][1])["choices"] == [
        ["x", ["True", "False"]], ["w", ["a", "b", "c"]], ["n", ["0", "1"]]]
    assert repr(view).split("\n\n") == [f"{title}\n{picture!r}" for title, picture in zip(view.titles, view.pictures)]
    assert view._repr_mimebundle_()["text/plain"] == repr(view)


def picture(**_):
    return show_graph(x=leaf())


@pytest.mark.parametrize("error, words, build, choices", [
    (ValueError, ["nothing to choose"], picture, {}),
    (ValueError, ["nothing to choose"], picture, {"x": []}),
    (ValueError, ["33", "32"], picture, {"x": range(33)}),
    (TypeError, ["x=", "True", "list"], picture, {"x": True}),
    (TypeError, ["x=", "'ab'", "list"], picture, {"x": "ab"}),
    (TypeError, ["x=", "a dict", "list"], picture, {"x": {1: 2}}),
    (TypeError, ["None", "not a picture", "return show_graph"], lambda x: None, {"x": [1]}),
    (TypeError, ["a SideBySide", "not a picture"], lambda x: side_by_side(a=picture()), {"x": [1]}),
    (TypeError, ["a Tensor", "not a picture"], lambda x: leaf(), {"x": [1, 2]}),
], ids=itertools.count())
def test_bad_input_of_what_if(error, words, build, choices):
    with pytest.raises(error) as raised:
        what_if(build, **choices)
    assert_one_sentence(raised, *words)


@pytest.mark.parametrize("build", [None, 3, show_graph(torch.ones(1))], ids=lambda value: type(value).__name__)
def test_what_if_wants_a_function(build):
    with pytest.raises(TypeError) as error:
        what_if(build, x=[1])
    assert_one_sentence(error, "function")


def test_32_combinations_are_not_too_many():
    assert len(what_if(picture, x=range(8), y=range(4)).pictures) == 32


def test_an_error_of_the_function_passes_through():
    with pytest.raises(Refused):
        what_if(raises_in_turn, _=[1])


@pytest.mark.parametrize("value", [torch.relu, leaf, nn.ReLU, nn.Linear(1, 1), object()],
                         ids=lambda value: type(value).__name__)
def test_a_choice_has_no_address(value):
    view = what_if(picture, f=[value])
    assert "0x" not in repr(view)
    assert "0x" not in re.sub("base64,[^\"]*", "", view._repr_mimebundle_()["text/html"])


@pytest.mark.parametrize("name", NAMES)
def test_any_name_and_value_goes_into_what_if(name):
    html = what_if(lambda **_: picture(), **{name: [name, 1]})._repr_mimebundle_()["text/html"]
    html.encode()
    reader = Reader(html)
    assert len(reader.images) == len(reader.scripts) == 2
    data = html.partition('<script type="application/json">')[2].partition("</script>")[0]
    assert "<!--" not in data and "<script" not in data
