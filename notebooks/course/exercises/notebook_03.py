"""The checks of notebook 03, several losses."""

import copy

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Wrong, exercise, is_tracked, same_numbers, watched_backwards


@exercise("03.1")
def one_walk_for_three_losses(run):
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = x ** 3
    runs = []
    y.grad_fn.register_prehook(lambda gradients: runs.append(1))
    run(y.sum(), y.mean(), y.max())
    if x.grad is None:
        raise Wrong("x has no gradient: no backward went to x.")
    square = 3 * x.detach() ** 2
    parts = [square, square / 3, square * torch.tensor([0.0, 0.0, 1.0])]
    expected = sum(parts)
    if torch.allclose(x.grad, expected / 3):
        raise Wrong("The gradient of x is a third of what it was: take the sum of the losses, not their mean.")
    for number, part in enumerate(parts, 1):
        if torch.allclose(x.grad, expected - part):
            raise Wrong(f"The gradient of x has no part from loss{number}: all three losses count.")
    same_numbers(x.grad, expected, "The gradient of x")
    if len(runs) > 1:
        raise Wrong(f"The shared node ran {len(runs)} times: one call of backward is enough for all the losses.")
    if show_graph(y).snapshot.saved_bytes:
        raise Wrong("The shared part still holds its saved tensors: a single call needs no retain_graph.")


@exercise("03.2")
def the_gradients_apart(run):
    weight = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    other = torch.tensor([1.0, 3.0, -2.0], requires_grad=True)
    h = (weight * other).tanh()
    loss1, loss2 = h.square().sum(), h.exp().sum()
    expected = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (loss1, loss2)]
    answer = run(loss1, loss2, weight)
    if weight.grad is not None or other.grad is not None:
        raise Wrong("A leaf has got a .grad: torch.autograd.grad returns the gradient, and leaves .grad alone.")
    if answer is None:
        raise Wrong("Your function returns nothing: end it with return.")
    if isinstance(answer, (list, tuple)) and len(answer) == 1:
        raise Wrong("The result has one entry: grad of several losses gives the gradient of their sum, so call it once for "
                    "each loss.")
    if not isinstance(answer, (list, tuple)) or len(answer) != 2:
        raise Wrong(f"The result is of type {type(answer).__name__}: a pair of two gradients is expected.")
    if any(isinstance(entry, (list, tuple)) for entry in answer):
        raise Wrong("An entry of the pair is a tuple: torch.autograd.grad returns one, so take its first entry.")
    same_numbers(answer[0], expected[0], "The gradient of loss1")
    same_numbers(answer[1], expected[1], "The gradient of loss2")
    if show_graph(h).snapshot.saved_bytes:
        raise Wrong("The shared part still holds its saved tensors: the last call needs no retain_graph.")


@exercise("03.3")
def one_step_on_two_losses(run):
    torch.manual_seed(3)
    x, t = torch.randn(4, 2), torch.randn(4, 1)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    start = copy.deepcopy(net)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)     # of an earlier step: it must be cleared
    optimizer, steps_taken = torch.optim.SGD(net.parameters(), lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: steps_taken.append(1))
    with watched_backwards() as retained:
        run(net, optimizer, x, t)
    if _same(net, start):
        if steps_taken:
            raise Wrong("optimizer.step() ran, but the parameters had no gradient: call zero_grad() before backward().")
        raise Wrong("The parameters of net did not change: the step is missing.")
    if len(steps_taken) > 1 and not any(_same(net, _stepped(start, x, t, [(1, 0), (0, 1)], clear))
                                        for clear in (True, "once")):
        raise Wrong(f"There were {len(steps_taken)} steps: take one step, after the last backward.")
    two_steps = "There were two steps: take one step, after the last backward."
    for sentence, steps, clear in (
            ("The step comes from loss1 alone: loss2 must run backward too.", [(1, 0)], True),
            ("The step comes from loss1, taken twice: the second backward must start at loss2.", [(2, 0)], True),
            ("The step comes from loss2 alone: loss1 must run backward too.", [(0, 1)], True),
            ("The step comes from the mean of the losses: take their sum.", [(0.5, 0.5)], True),
            ("Old gradients are part of the step: clear them first.", [(1, 1)], False),
            (two_steps, [(1, 0), (0, 1)], True),
            (two_steps, [(1, 0), (0, 1)], "once")):
        if _same(net, _stepped(start, x, t, steps, clear)):
            raise Wrong(sentence)
    right = _stepped(start, x, t, [(1, 1)])
    for (name, parameter), expected in zip(net.named_parameters(), right.parameters()):
        same_numbers(parameter, expected, f"The parameter {name}")
    if retained[-1]:
        raise Wrong("The last backward needs no retain_graph: nobody walks the graph after it.")


@exercise("03.4")
def a_state_that_is_cut_off(run):
    w, h = torch.tensor(0.8, requires_grad=True), torch.tensor(0.6)
    numbers, cut, full = _walk(w, h, 4)
    with watched_backwards() as retained:
        state = _run_cut(run, w, h)
    same_numbers(state, numbers, "The last state")
    if w.grad is None:
        raise Wrong("w has no gradient: each step must run backward.")
    if torch.allclose(w.grad, full):
        raise Wrong("backward still goes back through all the steps: cut the state off from its history.")
    same_numbers(w.grad, cut, "The gradient of w")
    if is_tracked(state):
        snapshot = show_graph(state).snapshot
        if sum(node.name.startswith("Tanh") for node in snapshot.nodes) > 1:
            raise Wrong("The last state still holds the graph of the earlier steps.")
        if snapshot.saved_bytes:
            raise Wrong("The graph of the last step is still retained: with a cut state, no node is walked twice.")
    if any(retained):
        raise Wrong("retain_graph=True is still there: with a cut state, no node is walked twice.")


def _run_cut(run, w, h):
    try:
        return run(w, h, 4)
    except Wrong as wrong:
        if "does not have a grad_fn" in str(wrong):
            raise Wrong("The loss has no history: cut only the old h, before the multiplication, or w is cut off too."
                        ) from None
        if "a second time" in str(wrong):
            raise Wrong("backward came into the graph of an earlier step: cut the old h off, and use what detach() "
                        "returns.") from None
        raise


def _same(net, other):
    return all(torch.allclose(p, q, rtol=1e-5, atol=1e-7) for p, q in zip(net.parameters(), other.parameters()))


def _stepped(start, x, t, steps, clear=True):
    """A copy of `start` after steps on the two losses. steps: the factors of the losses in each step.

    clear: whether the gradients are cleared before each step, before the first one ("once"), or never.
    """
    net = copy.deepcopy(start)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for number, (factor1, factor2) in enumerate(steps):
        if clear is True or clear == "once" and number == 0:
            optimizer.zero_grad()
        error = net(x) - t
        (factor1 * error.square().mean() + factor2 * error.abs().mean()).backward()
        optimizer.step()
    return net


def _walk(w, h, steps):
    """The last state, and the gradient of w with the state cut off in each step, and without."""
    w, h = w.detach(), h.detach()
    along, cut, full = torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.0)     # along: derivative of h for w
    for _ in range(steps):
        new = torch.tanh(w * h)
        slope = 1 - new ** 2
        cut = cut + 2 * new * slope * h
        along = slope * (h + w * along)
        full = full + 2 * new * along
        h = new
    return h, cut, full
