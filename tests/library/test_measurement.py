"""What `measure` counts, against PyTorch's profiler, formulas, numbers counted by hand, and what a snapshot finds."""

import functools
import subprocess
import sys
import threading
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge, save_on_cpu, saved_tensors_hooks
from torch.autograd.profiler import profile
from torch.nn import functional as F
from torch.testing._internal.two_tensor import TwoTensor
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
from test_play import backward_in_another_thread
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
    measured = measure(lambda: leaf().exp().sum().backward())
    assert (measured.flops, measured.not_counted) == (0, ())


def test_flops_of_attention():
    """Forward: q with k, and the weights with v. Backward: the weights once more, and the gradients of q, k, v and of them."""
    batch, heads, queries, keys, width = 2, 3, 5, 7, 4
    q, k, v = (torch.ones(batch, heads, n, width, requires_grad=True) for n in (queries, keys, keys))
    one = 2 * batch * heads * queries * keys * width
    assert measure(lambda: F.scaled_dot_product_attention(q, k, v)) == Measurement(
        0, 2 * one, measure(lambda: F.scaled_dot_product_attention(q, k, v)).saved_bytes)
    assert measure(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward()).flops == 2 * one + 5 * one


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_flops_of_an_lstm(layers, directions):
    """At each step four gates are made of x and the state; backward makes gradients of both, and of both weights."""
    steps, batch, width, hidden = 5, 3, 4, 6
    net = nn.LSTM(width, hidden, layers, bidirectional=directions == 2)
    x = torch.ones(steps, batch, width, requires_grad=True)
    widths = [width] + [hidden * directions] * (layers - 1)
    forward = sum(directions * steps * batch * 2 * 4 * hidden * (w + hidden) for w in widths)
    with torch.no_grad():
        assert measure(lambda: net(x)).flops == forward
    assert measure(lambda: net(x)[0].sum().backward()).flops == 3 * forward
    # In 64 bits PyTorch takes another way, made of matrix products. It spares the gradient of the first state.
    spared = layers * directions * batch * 2 * 4 * hidden * hidden
    assert measure(lambda: net.double()(x.double())[0].sum().backward()).flops == 3 * forward - spared


a, b, batch_a, batch_b = torch.ones(3, 4), torch.ones(4, 5), torch.ones(2, 3, 4), torch.ones(2, 4, 5)
PRODUCTS = {
    "matrix and vector": (lambda: a @ b[:, 0], 2 * 3 * 4),
    "vector and matrix": (lambda: a[0] @ b, 2 * 4 * 5),
    "two vectors": (lambda: a[0] @ b[:, 0], 2 * 4),
    "vdot": (lambda: torch.vdot(a[0], b[:, 0]), 2 * 4),
    "addmv": (lambda: torch.ones(3).addmv(a, b[:, 0]), 2 * 3 * 4),
    "addmv_": (lambda: torch.ones(3).addmv_(a, b[:, 0]), 2 * 3 * 4),
    "addmm_": (lambda: torch.ones(3, 5).addmm_(a, b), 2 * 3 * 4 * 5),
    "mm into a given tensor": (lambda: torch.mm(a, b, out=torch.ones(3, 5)), 2 * 3 * 4 * 5),
    "baddbmm_": (lambda: torch.ones(2, 3, 5).baddbmm_(batch_a, batch_b), 2 * 2 * 3 * 4 * 5),
    "addbmm": (lambda: torch.ones(3, 5).addbmm(batch_a, batch_b), 2 * 2 * 3 * 4 * 5),
    "addbmm_": (lambda: torch.ones(3, 5).addbmm_(batch_a, batch_b), 2 * 2 * 3 * 4 * 5),
    "einsum": (lambda: torch.einsum("nij,njk->nik", batch_a, batch_b), 2 * 2 * 3 * 4 * 5),
    "under vmap": (lambda: torch.vmap(torch.mm)(batch_a, batch_b), 2 * 2 * 3 * 4 * 5),
    "a cell": (lambda: nn.GRUCell(4, 6)(a), 3 * 2 * 3 * 6 * (4 + 6)),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_flops_of_a_product(case):
    function, expected = PRODUCTS[case]
    measured = measure(function)
    assert (measured.flops, measured.not_counted) == (expected, ())


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


def nested_rows(**options):
    return torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], **options)


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
    "an expanded tensor": (lambda x: x[:1].expand(60).sin(), [24]),
    "two of a list": (lambda x: torch._foreach_sin([x, x * 1]), [24, 48]),
    "CSR": (lambda x: torch.sparse_csr_tensor([0, 1, 2], [0, 1], [1., 1.], check_invariants=True) @ x.view(2, 3),
            [3 * 8 + 2 * 8 + 2 * 4]),
    "jagged": (lambda x: nested_rows(layout=torch.jagged, requires_grad=True).sin(), [5 * 4 * 4 + 3 * 8]),
    "nested": (lambda x: nested_rows(requires_grad=True).sin(), [5 * 4 * 4]),
    "a tensor of two": (lambda x: TwoTensor(x.detach(), x.detach() + 1).requires_grad_().sin(), [2 * 24]),
    "saved empty": (lambda x: x[:0].clone().sin(), []),
    "a sparse tensor": (lambda x: torch.eye(2).to_sparse() @ x.view(2, 3), [2 * 2 * 8 + 2 * 4]),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested tensors")
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


def test_a_saved_tensor_whose_bytes_cannot_be_seen():
    class Saves(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.detach().to_mkldnn())
            return x * 1

    assert measure(lambda: Saves.apply(torch.ones(2, 2, requires_grad=True))) == Measurement(
        0, 0, (0,), ("saved _mkldnn tensors",))


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
    untouched = random_graph(seed, steps)
    nodes = reachable_nodes([tensor for tensor in untouched.tensors if can_be_asked(tensor)])
    if any(type(node).__name__ == "CppFunction" for node in nodes):     # it shows nobody what it saves
        assert measured.left_saved_bytes >= held_bytes(untouched)
    else:
        assert measured.left_saved_bytes == held_bytes(untouched)
    assert "tensors saved under other hooks" in measured.not_counted or not kept[0].fired["pack"]
    (errors, gradients), (twin_errors, twin_gradients) = run_backward(kept[0]), run_backward(twin)
    assert (len(errors), gradients) == (len(twin_errors), twin_gradients)
    assert kept[0].fired == twin.fired


# What is missing is said


class KeepsAnAttribute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.kept = {"x": [x]}
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.kept["x"][0].cos()


def backward_in_a_thread(x):
    thread = threading.Thread(target=x.exp().sum().backward)
    thread.start()
    thread.join()


OTHER_HOOKS, IN_CTX = ("tensors saved under other hooks",), ("tensors kept in a ctx",)
MISSING = {
    "nothing": (lambda x: nn.Linear(6, 2)(x).relu().sum().backward(), ()),
    "Bilinear": (lambda x: nn.Bilinear(6, 6, 2)(x, x), ("FLOPs of _trilinear",)),
    "a distance": (lambda x: torch.cdist(x.view(3, 2), x.view(3, 2)), ("FLOPs of _cdist_forward",)),
    "an inverse": (lambda x: torch.linalg.inv(torch.eye(2) * x[0]), ("FLOPs of linalg_inv_ex",)),
    "a Fourier transform": (torch.fft.fft, ("FLOPs of _fft_r2c",)),
    "COO": (lambda x: torch.eye(2).to_sparse() @ x.view(2, 3), ("FLOPs of mm of sparse_coo tensors",)),
    "CSR": (lambda x: torch.eye(2).to_sparse_csr() @ x.view(2, 3), ("FLOPs of mm of sparse_csr tensors",)),
    "nested": (lambda x: nn.Linear(4, 2)(nested_rows()), ("FLOPs of linear of nested tensors",)),
    "jagged": (lambda x: nn.Linear(4, 2)(nested_rows(layout=torch.jagged)), ("FLOPs of linear of nested tensors",)),
    "an encoder": (lambda x: torch.no_grad()(nn.TransformerEncoderLayer(6, 2, 2, batch_first=True).eval())(x.view(1, 1, 6)),
                   ("FLOPs of _transformer_encoder_layer_fwd",)),
    "names that look like products": (lambda x: [x.lgamma(), torch.linalg.vector_norm(x), F.interpolate(x.view(1, 1, 6), 3,
                                      mode="linear"), torch.linalg.cross(x[:3], x[3:])], ()),
    "hooks of its own": (under_hooks_of_its_own, OTHER_HOOKS),
    "checkpoint": (lambda x: checkpoint(torch.sin, x, use_reentrant=False), OTHER_HOOKS),
    "on the CPU": (lambda x: [save_on_cpu().__enter__(), x.sin(), save_on_cpu().__exit__()], OTHER_HOOKS),
    "measure inside": (lambda x: measure(lambda: x.exp()), OTHER_HOOKS),
    "in a ctx, returned": (KeepsAnAttribute.apply, IN_CTX),
    "in a ctx, in a list": (lambda x: [{"y": KeepsAnAttribute.apply(x).sin()}], IN_CTX),
    "in a ctx, backward": (lambda x: KeepsAnAttribute.apply(x).sum().backward(), IN_CTX),
    "not tensors in a ctx": (lambda x: checkpoint(torch.sin, x, use_reentrant=True, preserve_rng_state=False), ()),
    "another thread": (backward_in_a_thread, ("backward in another thread",)),
    "two of them": (lambda x: under_hooks_of_its_own(KeepsAnAttribute.apply(x)), IN_CTX + OTHER_HOOKS),
    "a part of a split that was changed": (lambda x: [parts := (x * 1).split(3), parts[0]._base.add_(1)][0], ()),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_counted(case):
    function, expected = MISSING[case]
    assert measure(lambda: function(leaf())).not_counted == expected


def test_what_cannot_be_counted_has_no_flops():
    assert measure(lambda: torch.eye(2).to_sparse() @ torch.ones(2, 3)).flops == 0
    assert measure(lambda: torch.eye(2).to_sparse() @ torch.ones(2, 3) + torch.ones(2, 2) @ torch.ones(2, 3)).flops == 2 * 12


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
    assert torch.autograd._engine_run_backward is ENGINE


def in_threads(*functions):
    """Run them at once, and wait for them."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_measure_in_two_threads_that_overlap():
    """The first one to begin is the first one to end."""
    begun, ended, measured = threading.Event(), threading.Event(), {}

    def first():
        measured["first"] = measure(lambda: (leaf().exp().sum().backward(), begun.set(), inside.wait(60)))
        ended.set()

    def step():
        inside.set()
        ended.wait(60)
        leaf().exp().sin().sum().backward()

    def second():
        begun.wait(60)
        measured["second"] = measure(step)

    inside = threading.Event()
    in_threads(first, second)
    assert measured == {"first": measure(lambda: leaf().exp().sum().backward()),
                        "second": measure(lambda: leaf().exp().sin().sum().backward())}
    assert_nothing_is_registered(nn.Tanh()(leaf()).sum())


def test_measure_in_many_threads():
    def measure_often(number):
        for _ in range(20):
            x = torch.ones(3, 3, requires_grad=True)
            measured[number].append(measure(lambda: torch.linalg.multi_dot([x] * (number + 2)).sum().backward()))

    measured = {number: [] for number in range(4)}
    in_threads(*(functools.partial(measure_often, number) for number in measured))
    for number, found in measured.items():
        x = torch.ones(3, 3, requires_grad=True)
        assert set(found) == {measure(lambda: torch.linalg.multi_dot([x] * (number + 2)).sum().backward())}, number
    assert_nothing_is_registered(nn.Tanh()(leaf()).sum())


# Compiled functions


def weighted(weight, x):
    return torch.sin(x @ weight).sum()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("compiled_before", [True, False])
@pytest.mark.parametrize("kind", ["function", "module", "in a function"])
def test_a_compiled_function_is_counted_as_it_runs(backend, compiled_before, kind):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    weight, x, net = torch.ones(6, 6, requires_grad=True), torch.ones(6, 6), nn.Linear(6, 6, bias=False)
    run = {"function": lambda: compiled(weight, x), "module": lambda: compiled(x).sin().sum(),
           "in a function": lambda: (compiled(weight, x * 1) * 1)}[kind]
    compiled = torch.compile(net if kind == "module" else weighted, backend=backend)
    if compiled_before:
        run()
    first, *more = (measure(lambda: run().backward()) for _ in range(10))       # more than it may be compiled anew
    assert set(more) <= {first}
    assert (first.flops, first.not_counted, first.left_saved_bytes) == (2 * 2 * 6 ** 3, (), 0)
    nodes = [node.name() for node in reachable_nodes([run()])]
    assert first.node_runs == len(nodes)
    assert ("CompiledFunctionBackward" in nodes) == (backend == "aot_eager")
    assert measure(run).node_runs == 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    torch.compiler.reset()


def test_compiling_inside_runs_no_node():
    torch.compiler.reset()
    weight, x = torch.ones(6, 6, requires_grad=True), torch.ones(6, 6)
    compiled = torch.compile(weighted, backend="aot_eager")
    assert (measured := measure(lambda: compiled(weight, x))) == measure(lambda: compiled(weight, x))
    assert (measured.node_runs, measured.flops, measured.not_counted) == (0, 2 * 6 ** 3, ())
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_kernels_of_inductor_are_not_looked_into():
    torch.compiler.reset()
    weight, x = torch.ones(6, 6, requires_grad=True), torch.ones(6, 6)
    compiled = torch.compile(lambda: x @ weight)        # no kernel is made for a product alone: no C++ compiler is needed
    for _ in range(2):
        measured = measure(lambda: compiled().sum().backward())
        assert (measured.node_runs, measured.flops) == (3, 2 * 2 * 6 ** 3)
        assert measured.not_counted == ("FLOPs inside kernels of torch.compile",)
    assert compiled().grad_fn.name() == "CompiledFunctionBackward"
    torch.compiler.reset()


def test_kernels_of_inductor_are_named_where_the_first_is_compiled_inside():
    code = ("import torch; from seegrad import measure; weight = torch.ones(6, 6, requires_grad=True);"
            "compiled = torch.compile(lambda: weight @ weight); print(measure(compiled).not_counted)")
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "('FLOPs inside kernels of torch.compile',)\n"


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_scripted_function_is_counted():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(6, 6), nn.Tanh()))
    for _ in range(3):      # from the second call on, it runs nodes of its own
        measured = measure(lambda: scripted(leaf().view(1, 6)).sum().backward())
        assert (measured.flops, measured.not_counted) == (3 * 2 * 6 * 6, ())


def test_a_transform_that_allows_no_hooks():
    with pytest.raises(RuntimeError) as error:
        measure(lambda: torch.func.grad(lambda x: x.sin().sum())(leaf()))
    assert_one_sentence(error, "torch.func", "torch.autograd.grad")
    assert_nothing_is_registered(nn.Tanh()(leaf()).sum())


def test_two_measurements_of_one_thing_are_equal():
    assert len({measure(lambda: OPERATIONS["module"](leaf()).sum().backward()) for _ in range(2)}) == 1


def test_what_a_measurement_says():
    assert repr(Measurement(1000, 2000, (0, 4000, 3000))) == (
        "1,000 node runs, 2,000 FLOPs, 4,000 bytes saved at the peak, 3,000 at the end")
    assert repr(Measurement(1, 2, (0, 3), ("FLOPs of mv", "x"))).endswith("3 at the end; not counted: FLOPs of mv, x")


class KeepsACycle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.kept = [1]
        ctx.kept.append(ctx.kept)
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class RefusesEverything(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise ValueError("no")


def test_what_a_function_keeps_or_returns_does_not_disturb():
    x = leaf()
    measured = measure(lambda: KeepsACycle.apply(x).sum().backward())
    assert (measured.node_runs, measured.not_counted) == (3, ())
    assert measure(lambda: torch.Tensor._make_subclass(RefusesEverything, torch.ones(2))).node_runs == 0


def test_meta_tensors_hold_no_memory():
    x = torch.ones(10, device="meta", requires_grad=True)
    assert measure(lambda: x.exp()).saved_bytes == (0,)


def test_node_runs_of_another_thread_through_a_shared_leaf_are_not_counted():
    w = torch.ones(50, requires_grad=True)
    with backward_in_another_thread(lambda: (w * 2).sin().sum().backward()) as errors:
        assert {measure(lambda: (w * 3).cos().sum().backward()).node_runs for _ in range(100)} == {4}
    assert errors == []


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
