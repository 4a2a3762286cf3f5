"""The checks of notebook 05, detach, clone and .data."""

import torch
from torch import nn

from seegrad.snapshot import CHANGED

from ..checking import Idea, Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers, without_graphs


@exercise("05.1")
def a_saved_result_that_must_not_change(run):
    x = torch.tensor([-1.0, 0.5, 2.0, 3.0], requires_grad=True)
    y = run(x)
    numbers, s = x.detach(), x.detach().sigmoid()
    same_numbers(y, numbers * s, "The result")
    if not is_tracked(y):
        raise Wrong("The result is not tracked: no graph leads from it to x.")
    if x.grad is not None:
        raise Wrong("x has a gradient before the check called backward: your function calls it.")
    view, lines = run.show({"x": x, "y": y})
    nodes = view.snapshot.nodes
    try:
        gradient, = torch.autograd.grad(y.sum(), x, allow_unused=True)
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise Wrong("backward from the result fails: the graph is freed already.", view) from None
        number, slot = next((number, slot.name) for number, node in reversed(list(enumerate(nodes, 1)))
                            for slot in node.saved if slot.state == CHANGED)
        writer = lines.get(len(nodes), "") if number < len(nodes) else ""
        raise Wrong(f"backward refuses at [{number}]: the tensor that this node has saved has other numbers now.",
                    view.mark(number, "saved first, and changed in place later", slot=slot), writer) from None
    changed = numbers * s
    if gradient is not None and has_numbers(gradient, changed * (1 - changed)):
        number = next((number for number, node in enumerate(nodes, 1) if node.name == "SigmoidBackward0"), 0)
        raise Wrong("The gradient of x is wrong, and no error comes: a saved result was changed, and its version was not.",
                    view.mark(number, "other numbers than when it was saved", slot="result") if number else view)
    if gradient is None or has_numbers(gradient, s) or has_numbers(gradient, numbers * s * (1 - s)):
        raise Wrong("A part of the gradient of x is missing: of the two ways from the result back to x, one is cut off.", view)
    same_numbers(gradient, s + numbers * s * (1 - s), "The gradient of x")
    return Idea("Whatever the nodes have saved is as it was when they saved it. So backward can use it.", view)


@exercise("05.2")
def the_path_of_a_parameter(run):
    start, steps = torch.tensor([5.0, -1.0, 0.5]), 4
    expected, forgotten, w, v, old = [], [], start.clone(), start.clone(), torch.zeros(3)
    for _ in range(steps):
        w = w - 0.1 * 2 * (w - 3)
        old = old + 2 * (v - 3)
        v = v - 0.1 * old
        expected.append(w)
        forgotten.append(v)
    try:
        path = quietly(run, start, steps)       # PyTorch warns of the .grad of a result; the sentence below says it
    except Wrong as wrong:
        if "NoneType" in str(wrong) and run.passes:
            raise Wrong(f"In step {len(run.passes)}, there is no gradient of w: w is a result there, and no leaf.",
                        run.passes[-1].view) from None
        raise
    rows = without_graphs(run, _rows(path, steps), "path", nn.Module())
    path = torch.stack([torch.as_tensor(row) for row in rows])
    view, _ = run.show({"path[0]": rows[0], "path[1]": rows[1]})
    if has_numbers(path, path[0].expand(steps, 3)):
        shared = rows[0].untyped_storage().data_ptr() == rows[1].untyped_storage().data_ptr()
        raise Wrong(f"All {steps} rows hold the same numbers" + ": path[0] and path[1] lie in one memory." * shared
                    + ", those of one step." * (not shared), view)
    if has_numbers(path, torch.stack(forgotten)):
        raise Wrong("The rows are those of gradients that add up from step to step.")
    if has_numbers(path, torch.stack([start, *expected[:-1]])):
        raise Wrong("The rows come one step too early: path[0] is the start.")
    same_numbers(path, torch.stack(expected), "The path")
    if any(tensor.base is not None for tensor in view.snapshot.tensors):
        return Idea("Each row has a place of its own in memory, so no later step changes it.", view)
    return Idea("Each row has memory of its own, so no later step changes it: no dotted line joins these two.", view)


def _rows(path, steps):
    if path is None:
        raise Wrong("Your function returns nothing.")
    if not isinstance(path, (list, tuple, torch.Tensor)) or isinstance(path, torch.Tensor) and path.dim() != 2:
        raise Wrong(f"The result is of type {type(path).__name__}, and not a list with one row for each step.")
    rows = list(path)
    if len(rows) != steps:
        raise Wrong(f"The path has {len(rows)} rows, and there were {steps} steps.")
    for i, row in enumerate(rows):
        if not isinstance(row, torch.Tensor) or row.shape != (3,):
            raise Wrong(f"path[{i}] is of type {type(row).__name__}, and not a tensor of the shape of w.")
        if is_tracked(row) and row.is_leaf:
            raise Wrong(f"path[{i}] is a tracked leaf: the parameter itself, and not its numbers at this step.")
    return rows


@exercise("05.3")
def the_goal_is_a_constant(run):
    torch.manual_seed(3)
    net, picture, model = nn.Linear(3, 2), torch.randn(4, 3), torch.randn(4, 3)

    def gradient_of(picture_result, model_result):
        return torch.autograd.grad((picture_result - model_result).square().mean(), net.weight)[0]

    right = gradient_of(net(picture), net(model).detach())
    other_side = gradient_of(net(picture).detach(), net(model))
    loss = run(net, picture, model)
    same_numbers(loss, (net(picture) - net(model)).square().mean(), "The loss")
    if not net.weight.requires_grad:
        raise Wrong("net.weight is not tracked after your function: net is frozen, and learns nothing.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: no graph leads from it to net.")
    view, lines = run.show({"loss": loss, **dict(net.named_parameters(prefix="net")), "picture": picture, "model": model})
    try:
        gradient, = torch.autograd.grad(loss, net.weight, allow_unused=True)
    except RuntimeError:
        raise Wrong("backward from the loss fails: the graph is freed already.", view) from None
    if gradient is None:
        raise Wrong("No gradient comes to net.weight.", view)
    number = next((number for number, node in enumerate(view.snapshot.nodes, 1) for slot in node.saved
                   if slot.holds is not None and "model" in view.snapshot.tensors[slot.holds].names), 0)
    of_the_goal = view.mark(number, "computes the goal") if number else view
    if has_numbers(gradient, other_side):
        raise Wrong("The goal learns, and the result for the picture does not: the only way back leads through the goal.",
                    of_the_goal, lines.get(number, ""))
    if has_numbers(gradient, right + other_side):
        raise Wrong("Two ways lead back from the loss to net.weight: one through the picture, and one through the goal.",
                    of_the_goal, lines.get(number, ""))
    same_numbers(gradient, right, "The gradient of net.weight")
    return Idea("A goal is a constant: the only way back leads through the result for the picture.", view)

