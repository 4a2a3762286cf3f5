"""The checks of notebook 05, detach, clone and .data."""

import torch
from torch import nn

from ..checking import Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers


@exercise("05.1")
def a_saved_result_that_must_not_change(run):
    x = torch.tensor([-1.0, 0.5, 2.0, 3.0], requires_grad=True)
    y = run(x)
    numbers, s = x.detach(), x.detach().sigmoid()
    same_numbers(y, numbers * s, "The result")
    if not is_tracked(y):
        raise Wrong("The result is not tracked: x must still get a gradient.")
    try:
        gradient, = torch.autograd.grad(y.sum(), x, allow_unused=True)
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise Wrong("Your code has already called backward: return the result, and the check calls it.") from None
        raise Wrong("backward refuses: sigmoid saved its result, and your code has changed it in place.") from None
    changed = numbers * s
    if gradient is not None and has_numbers(gradient, changed * (1 - changed)):
        raise Wrong("The gradient is wrong and no error comes: PyTorch does not see a change through .data.")
    if gradient is None or has_numbers(gradient, s) or has_numbers(gradient, numbers * s * (1 - s)):
        raise Wrong("A part of the gradient is missing: x comes into the product twice, and a cut takes one of them away.")
    same_numbers(gradient, s + numbers * s * (1 - s), "The gradient of x")


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
        if "NoneType" in str(wrong):
            raise Wrong("There is no w.grad in the second step: w = w - ... makes a result, so change the leaf in place, "
                        "under no_grad.") from None
        raise
    if has_numbers(path, w.expand(steps, 3)):
        raise Wrong("All rows are the same: detach() shares the memory of w, so each later step changes the rows too.")
    if has_numbers(path, torch.stack(forgotten)):
        raise Wrong("Old gradients are still in w.grad: clear it in each step.")
    if has_numbers(path, torch.stack([start, *expected[:-1]])):
        raise Wrong("The rows come one step too early: keep w after its update.")
    same_numbers(path, torch.stack(expected), "The path")
    if is_tracked(path):
        raise Wrong("The rows are right, but they are tracked: clone() stays inside the graph, and a plot refuses that.")


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
        raise Wrong("Your code freezes net: it must still learn from the picture.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked, so net learns nothing: cut only the goal, and not the loss.")
    try:
        gradient, = torch.autograd.grad(loss, net.weight, allow_unused=True)
    except RuntimeError:
        raise Wrong("backward fails on your loss: return it, and do not call backward in the function.") from None
    if gradient is None:
        raise Wrong("No gradient comes to net: only the goal should be cut.")
    if has_numbers(gradient, other_side):
        raise Wrong("The cut is on the wrong side: the goal learns here, and the result for the picture does not.")
    if has_numbers(gradient, right + other_side):
        raise Wrong("The goal still sends a gradient to net: detach its result, after it went through net.")
    same_numbers(gradient, right, "The gradient of net.weight")
