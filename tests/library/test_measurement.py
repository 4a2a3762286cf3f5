"""What `measure` counts, against PyTorch's profiler, formulas, numbers counted by hand, and what a snapshot finds."""

import functools
import subprocess
import sys
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge, saved_tensors_hooks
from torch.autograd.profiler import profile
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils.checkpoint import checkpoint

from project import ROOT
from random_graphs import (
    SavesInputs,
    SavesResult,
    can_be_asked,
    each_graph,
    gradient_bytes,
    random_graph,
    run_backward,
)
from seegrad import measure, show_graph
from seegrad.measurement import Measurement
from test_input import assert_one_sentence
from test_snapshot import memory, reachable_nodes, read_slots


def leaf():
    return torch.linspace(-1, 1, 6).requires_grad_()


# Node runs. Two numbers stand against them: one counted by hand, and one from the profiler, which needs no hooks.


class RunsBackwardInside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            x.exp().backward(gradient)
        return x.grad


def twice(x):
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()


def two_consumers(x):
    y = x.exp()
    (y * y.sin()).sum().backward()


def twice_differentiated(x):
    gradient, = torch.autograd.grad(x.exp().sum(), x, create_graph=True)
    gradient.sum().backward()


def several_losses(x):
    y = x.exp()
    torch.autograd.backward([y.sum(), y.sin().sum()])


def through_the_same_nodes(x):
    y = x.exp()
    z, inner = y.sin(), y.sum()
    z.register_hook(lambda gradient: inner.backward(retain_graph=True))
    z.sum().backward()


def fails_on_the_way(x):
    y = x.exp()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="inplace"):
        y.sin().exp().sum().backward()


NODE_RUNS = {
    "no backward": (torch.exp, 0),
    "one": (lambda x: x.exp().sum().backward(), 3),
    "two": (twice, 6),
    "a node with two consumers": (two_consumers, 5),
    "grad does not run AccumulateGrad": (lambda x: torch.autograd.grad(x.exp().sum(), x), 2),
    "grad of a batch": (lambda x: torch.autograd.grad(x.exp().sin(), x, torch.eye(6), is_grads_batched=True), 2),
    "some inputs": (lambda x: (x.exp() * leaf().sin()).sum().backward(inputs=[x]), 4),
    "create_graph": (twice_differentiated, 2 + 4),
    "from a leaf": (lambda x: x.backward(torch.ones(6)), 1),
    "from a GradientEdge": (lambda x: torch.autograd.backward(get_gradient_edge(x.exp()), torch.ones(6)), 2),
    "from several losses": (several_losses, 5),
    "from a leaf and a result": (lambda x: torch.autograd.backward([x, x.exp()], [torch.ones(6)] * 2), 2),
    "from one loss twice": (lambda x: torch.autograd.backward([x.exp().sum()] * 2), 3),
    "a custom Function that runs backward": (lambda x: RunsBackwardInside.apply(x).sum().backward(), 3 + 2),
    "checkpoint": (lambda x: checkpoint(lambda x: x.exp().sin(), x, use_reentrant=True).sum().backward(), 3 + 3),
    "a hook that runs backward through the same nodes": (through_the_same_nodes, 4 + 3),
    "a node that fails": (fails_on_the_way, 5 - 1),
}


def runs_by_profiler(profiler):
    return sum(event.scope == torch._C._profiler.RecordScope.BACKWARD_FUNCTION.value
               and event.cpu_parent.name.startswith("autograd::engine")     # not what CopySlices runs inside
               and "GraphRoot" not in event.name for event in profiler.function_events)


@pytest.mark.parametrize("case", NODE_RUNS)
def test_node_runs(case):
    function, expected = NODE_RUNS[case]
    x = leaf()
    with profile() as profiler:
        measured = measure(lambda: function(x))
    assert measured.node_runs == runs_by_profiler(profiler) == expected


@each_graph(120)
def test_backward_through_random_graphs(seed, steps):
    graph, twin, left = random_graph(seed, steps), random_graph(seed, steps), []
    with profile() as profiler:
        measured = measure(lambda: left.append(run_backward(graph)))
    assert measured.node_runs == runs_by_profiler(profiler)
    assert left == [run_backward(twin)]
    assert graph.fired == twin.fired


def test_a_loss_that_needs_no_gradient_raises_what_pytorch_raises():
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        measure(torch.ones(()).backward)


# FLOPs


def test_flops_of_linear_layers():
    net, x = nn.Sequential(nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 2)), torch.ones(5, 7)
    first, second = 2 * 5 * 7 * 3, 2 * 5 * 3 * 2
    forward = first + second
    assert measure(lambda: net(x)).flops == forward
    assert measure(lambda: net(x).sum().backward()).flops == forward + forward + second
    x.requires_grad_()
    assert measure(lambda: net(x).sum().backward()).flops == 3 * forward
    assert measure(lambda: checkpoint(net, x, use_reentrant=True).sum().backward()).flops == 4 * forward


def test_flops_of_a_convolution():
    x, weight = torch.ones(2, 3, 9, 8, requires_grad=True), torch.ones(4, 3, 3, 2, requires_grad=True)
    forward = 2 * (3 * 3 * 2) * (2 * 4 * 5 * 5)
    assert measure(lambda: F.conv2d(x, weight, stride=2, padding=1)).flops == forward
    assert measure(lambda: F.conv2d(x, weight, stride=2, padding=1).sum().backward()).flops == 3 * forward


def test_elementwise_operations_have_no_flops():
    assert measure(lambda: leaf().exp().sum().backward()).flops == 0


# Saved bytes. A leaf has 24.


def freed_in_order(x):
    h = x.sin()
    torch.cat([h, h]).exp().sum().backward()


def freed_by_del(x):
    y = x.exp()
    del y
    return x.sin()


def one_of_two_holders_goes(x):
    y, z = x.sin(), x.cos()
    del y
    return z


def dropped_modules(x):
    for _ in range(2):
        y = nn.Sequential(nn.Tanh(), nn.Tanh())(x)
        del y


def then_returned(x, **options):
    y = x.exp()
    y.sum().backward(**options)
    return y


def under_hooks_of_its_own(x):
    with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        return x.exp()


def resized_while_saved(x):
    factor = torch.ones(6)
    y = x * factor
    factor.resize_(60)
    del y


HISTORIES = {
    "resized while it is saved": (resized_while_saved, [24, 0]),
    "returned": (torch.exp, [24]),
    "not returned": (lambda x: [x.exp()].clear(), [24, 0]),
    "freed by backward": (lambda x: x.exp().sum().backward(), [24, 0]),
    "freed node by node": (freed_in_order, [24, 72, 24, 0]),
    "freed by backward, then returned": (then_returned, [24, 0]),
    "retained and returned": (functools.partial(then_returned, retain_graph=True), [24]),
    "retained and not returned": (twice, [24, 0]),
    "freed by del": (freed_by_del, [24, 0, 24]),
    "modules, freed by del": (dropped_modules, [24, 48, 24, 0, 24, 48, 24, 0]),
    "one after the other": (lambda x: [x.sin().sum().backward() for _ in "ab"], [24, 0, 24, 0]),
    "two graphs": (lambda x: [x.exp(), x.exp()], [24, 48]),
    "two slots, one storage": (lambda x: x.exp().sin(), [24]),
    "two slots, one storage, one of them goes": (one_of_two_holders_goes, [24]),
    "two views of one storage": (lambda x: x[:2].sin() + x.view(2, 3).t()[1].cos(), [24]),
    "a slice holds the whole": (lambda x: x[:2].sin(), [24]),
    "saved by backward": (lambda x: torch.autograd.grad(x.exp().sum(), x, create_graph=True), [24, 28]),
    "no_grad": (torch.no_grad()(torch.exp), []),
    "a plain number": (lambda x: x * 3, []),
    "hooks of its own": (under_hooks_of_its_own, []),
    "a sparse tensor": (lambda x: torch.eye(2).to_sparse() @ x.view(2, 3), []),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_the_history_of_saved_bytes(case):
    function, expected = HISTORIES[case]
    x = leaf()
    assert measure(lambda: function(x)).saved_bytes == (0, *expected)


def test_the_first_call_in_a_process_needs_no_garbage_collector():
    lines = ("import gc, sys, torch", f"sys.path.insert(0, {str(ROOT)!r})",
             "from seegrad import measure", "gc.disable()", "x = torch.ones(6, requires_grad=True)",
             "def function():", "    y = x.exp()", "print(measure(function).saved_bytes)")
    printed = subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "(0, 24, 0)"


def test_a_leaf_in_inference_mode():
    x = leaf()
    with torch.inference_mode():
        assert measure(lambda: x.backward(torch.ones(6))).node_runs == 1


def test_what_was_saved_before_is_not_counted():
    y = leaf().exp()
    assert measure(y.sum().backward).saved_bytes == (0,)


OPERATIONS = {
    "matmul": lambda x: x.view(2, 3) @ x.view(3, 2),
    "softmax": lambda x: F.softmax(x, 0).log(),
    "sort": lambda x: x.sort().values.sin(),
    "index": lambda x: x[torch.tensor([0, 1])].exp(),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "conv": lambda x: F.conv1d(x.view(1, 1, 6), torch.ones(1, 1, 3)).tanh(),
    "in place": lambda x: x.sin().sigmoid_(),
    "module": lambda x: nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Linear(4, 4))(x),
    "custom": lambda x: SavesInputs.apply(SavesResult.apply(x), x),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_saved_bytes_at_the_turn_and_at_the_end(operation):
    operation = OPERATIONS[operation]
    saved = show_graph(operation(leaf())).snapshot.saved_bytes
    assert saved > 0
    forward, both = measure(lambda: operation(leaf())), measure(lambda: operation(leaf()).sum().backward())
    assert forward.peak_saved_bytes == forward.left_saved_bytes == saved
    assert (both.peak_saved_bytes, both.left_saved_bytes) == (saved, 0)


def held_bytes(graph):
    """What the slots of a graph hold that no hook packed, each storage once, without the plain Python numbers."""
    nodes = reachable_nodes([tensor for tensor in graph.tensors if can_be_asked(tensor)])
    held = [slot.tensor for node in nodes for slot in read_slots(node, graph.fired).values()
            if slot.tensor is not None and not slot.packed]
    return sum({memory(t): t.untyped_storage().nbytes() for t in held if not is_plain_number(t)}.values())


def is_plain_number(tensor):
    """Only beside a plain number does a single float16 stay one."""
    return tensor.dim() == 0 and torch.result_type(torch.ones((), dtype=torch.float16), tensor) == torch.float16


@each_graph(120)
def test_random_graphs_that_outlive_measure(seed, steps):
    kept, twin = [], random_graph(seed, steps)
    measured = measure(lambda: kept.append(random_graph(seed, steps)))
    assert measured.left_saved_bytes == held_bytes(random_graph(seed, steps))
    (errors, gradients), (twin_errors, twin_gradients) = run_backward(kept[0]), run_backward(twin)
    assert (len(errors), gradients) == (len(twin_errors), twin_gradients)
    assert kept[0].fired == twin.fired


# What else measure does, and does not


def test_gradients_are_the_same_bit_for_bit():
    def gradients(run):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(),
                            nn.Flatten(2), nn.TransformerEncoderLayer(36, 4, 9, batch_first=True), nn.Linear(36, 2))
        x = torch.randn(2, 1, 8, 8, requires_grad=True)
        run(lambda: net(x).pow(2).mean().backward())
        return [gradient_bytes(tensor) for tensor in [x, *net.parameters()]]

    assert gradients(measure) == gradients(lambda fn: fn())


def changed_result(x):
    y = x.exp()
    y.detach().add_(1)
    return y


def changed_input(x):
    h = x * 1
    y = h.pow(3)
    h.detach().add_(1)
    return y


@pytest.mark.parametrize("changed", [changed_result, changed_input])
def test_the_in_place_check_still_raises(changed):
    kept = []
    with pytest.raises(RuntimeError, match="modified by an inplace operation.* is at version 1; expected version 0"):
        measure(lambda: changed(leaf()).sum().backward())
    measure(lambda: kept.append(changed(leaf())))
    with pytest.raises(RuntimeError, match="modified by an inplace operation.* is at version 1; expected version 0"):
        kept[0].sum().backward()


ENGINE = torch.autograd.graph._engine_run_backward


def assert_nothing_is_registered(loss):
    """loss: of a graph from before the call, retained."""
    files = set()
    sys.setprofile(lambda frame, *_: files.add(Path(frame.f_code.co_filename).name))
    try:
        loss.backward(retain_graph=True)
        show_graph(nn.Tanh()(leaf()))
    finally:
        sys.setprofile(None)
    assert not files & {"measure.py", "flop_counter.py", "module_tracker.py"}
    assert torch.autograd._engine_run_backward is ENGINE
    assert _get_current_dispatch_mode_stack() == []
    assert torch._C._autograd._top_saved_tensors_default_hooks(False) is None


def test_nothing_stays_registered():
    loss = nn.Tanh()(leaf()).sum()
    measure(lambda: loss.backward(retain_graph=True))
    assert_nothing_is_registered(loss)


@pytest.mark.parametrize("error", [ValueError("no"), TypeError("no"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_what_the_function_raises_passes_through(error, where):
    def fail(*_):
        raise error

    def function():
        called.append(where)
        if where == "before":
            fail()
        loss.backward(retain_graph=True)
        fail()

    called, h = [], nn.Tanh()(leaf())
    loss = h.sum()
    hook = h.register_hook(fail) if where == "inside" else None
    with pytest.raises(type(error)) as raised:
        measure(function)
    assert raised.value is error
    assert called == [where]
    if hook:
        hook.remove()
    assert_nothing_is_registered(loss)


def test_the_function_is_called_once_and_its_result_let_go():
    called = []

    def function():
        y = leaf().exp()
        called.append(weakref.ref(y))
        return y

    measure(function)
    reference, = called
    assert reference() is None


def test_hooks_fire_as_often_as_without():
    def fired(run):
        fired, net, x = Counter(), nn.Linear(6, 6), leaf()

        def count(kind):
            return lambda *_: fired.update([kind])

        net.register_forward_pre_hook(count("module before"))
        net.register_forward_hook(count("module after"))
        net.register_full_backward_hook(count("module backward"))
        x.register_hook(count("leaf"))
        x.register_post_accumulate_grad_hook(count("accumulated"))

        def step():
            y = net(x.exp())
            y.register_hook(count("tensor"))
            y.grad_fn.register_prehook(count("before"))
            y.grad_fn.register_hook(count("after"))
            with saved_tensors_hooks(lambda t: count("pack")() or t, lambda t: count("unpack")() or t):
                z = y.exp()
            z.sum().backward()

        run(step)
        return fired

    assert fired(measure) == fired(lambda fn: fn())
    assert len(fired(measure)) == 10


def test_measure_inside_measure():
    inner = []
    step = functools.partial(NODE_RUNS["one"][0], leaf())
    outer = measure(lambda: inner.append(measure(step)))
    assert inner == [measure(step)]
    assert outer.node_runs == 3


def test_two_measurements_of_one_thing_are_equal():
    assert len({measure(lambda: OPERATIONS["module"](leaf()).sum().backward()) for _ in range(2)}) == 1


def test_what_a_measurement_says():
    assert repr(Measurement(1000, 2000, (0, 4000, 3000))) == (
        "1,000 node runs, 2,000 FLOPs, 4,000 bytes saved at the peak, 3,000 at the end")


# Bad input


@pytest.mark.parametrize("value", [leaf(), None, 3, nn.Linear(2, 2)], ids=lambda value: type(value).__name__)
def test_not_a_function(value):
    with pytest.raises(TypeError) as error:
        measure(value)
    assert_one_sentence(error, type(value).__name__, "a function without arguments", "measure(lambda: ")


@pytest.mark.parametrize("function", [lambda wanted: 1, lambda *, wanted: 1, functools.partial(lambda a, wanted: 1, 2)])
def test_a_function_that_wants_an_argument(function):
    with pytest.raises(TypeError) as error:
        measure(function)
    assert_one_sentence(error, "'wanted'", "without arguments", "measure(lambda: ")
    assert (error.value.__cause__, error.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize("function", [dict, functools.partial(torch.exp, leaf()), lambda x=1, *args, **options: x,
                                      leaf().exp().sum().backward])
def test_all_that_can_be_called_without_arguments(function):
    measure(function)
