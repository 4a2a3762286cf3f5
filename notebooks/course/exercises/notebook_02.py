"""The checks of notebook 02, how the graph is built, walked and freed."""

import copy

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Wrong, exercise, is_tracked, same_numbers


@exercise("02.1")
def a_loss_that_saves_nothing(run):
    x = torch.tensor([1.0, -2.0, 4.5, 0.5], requires_grad=True)
    loss = run(x)
    same_numbers(loss, 2.0, "The loss")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: x must still get a gradient.")
    saved = show_graph(loss).snapshot.saved
    if saved:
        raise Wrong(f"The graph still saves {len(saved)} tensor{'s' * (len(saved) > 1)}: use only operations whose backward "
                    "formula needs no number.")
    try:
        loss.backward()
        loss.backward()
    except RuntimeError:
        raise Wrong("The second backward still fails: a node holds something that cannot be seen.") from None
    if x.grad is None:
        raise Wrong("x gets no gradient: the loss must be computed from x.")
    if torch.allclose(x.grad, torch.full((4,), 0.5)):
        raise Wrong("The gradient of x is half as large as before: one of the ways back to x is cut off.")
    if torch.allclose(x.grad, torch.full((4,), 2.0)) or torch.allclose(x.grad, torch.full((4,), 1.5)):
        raise Wrong("Do not call backward in your function: the check calls it twice.")
    same_numbers(x.grad, torch.full((4,), 1.0), "The gradient of x after two backward calls")


@exercise("02.2")
def a_new_prediction_for_each_step(run):
    torch.manual_seed(2)
    x, t = torch.randn(5, 2), torch.randn(5, 1)
    net = nn.Linear(2, 1)
    start, reference = copy.deepcopy(net), copy.deepcopy(net)
    expected = _train(reference, [(x, t)] * 4)
    walked = []         # the predictions that backward came through

    def watch(module, inputs, prediction):
        if prediction.requires_grad:
            prediction.grad_fn.register_prehook(lambda gradients: walked.append(prediction))

    net.register_forward_hook(watch)
    optimizer, steps = _counted(net)
    losses = run(net, optimizer, x, t, 4)
    losses = [entry.detach() if isinstance(entry, torch.Tensor) else entry for entry in _list(losses, 4)]
    _changed(net, start, steps)
    same_numbers(losses[0], expected[0], "The first loss")
    if all(_close(loss, losses[0]) for loss in losses):
        raise Wrong("All losses are the same: each step needs its own prediction, from the new weights.")
    _cleared(losses, _train(start, [(x, t)] * 4, clear=False))
    for number, (loss, number_expected) in enumerate(zip(losses, expected), 1):
        same_numbers(loss, number_expected, f"Loss number {number}")
    same_numbers(net.weight, reference.weight, "The weight after the last step")
    if any(show_graph(prediction).snapshot.saved_bytes for prediction in walked):
        raise Wrong("A graph is still retained: with a new graph in each step, no graph is walked twice.")


@exercise("02.3")
def a_history_without_graphs(run):
    torch.manual_seed(3)
    xs, ts = torch.randn(4, 3, 2), torch.randn(4, 3, 1)
    net = nn.Linear(2, 1)
    start, reference = copy.deepcopy(net), copy.deepcopy(net)
    expected = _train(reference, zip(xs, ts))
    optimizer, steps = _counted(net)
    history = _list(run(net, optimizer, xs, ts), 4)
    if any(is_tracked(entry) for entry in history):
        raise Wrong("An entry of the history is still tracked, so it holds its graph: append the plain number.")
    _changed(net, start, steps)
    _cleared(history, _train(start, zip(xs, ts), clear=False))
    for number, (entry, number_expected) in enumerate(zip(history, expected), 1):
        same_numbers(entry, number_expected, f"Entry number {number}")
    same_numbers(net.weight, reference.weight, "The weight after the last step")


@exercise("02.4")
def all_leaves_of_a_graph(run):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], requires_grad=True)
    c = torch.tensor(5.0, requires_grad=True)
    fixed = torch.tensor([6.0, 7.0])
    _all_leaves(run((a.exp() + fixed).sum()), [a])
    _all_leaves(run(((a * b + fixed) * a + c).sum()), [a, b, c])
    _all_leaves(run(torch.stack([b.sum(), c * c, (fixed * b).sum()])), [b, c])


def _all_leaves(found, expected):
    if found is None:
        raise Wrong("Your function returns nothing: end it with return.")
    if not isinstance(found, (list, tuple)):
        raise Wrong(f"The result is of type {type(found).__name__}: a list of leaves is expected.")
    if not found:
        raise Wrong("The list is empty: no AccumulateGrad node was recognised. Its name() is longer than in the pictures, "
                    "so ask for its attribute variable.")
    for entry in found:
        if not isinstance(entry, torch.Tensor):
            raise Wrong(f"The list holds an object of type {type(entry).__name__}: a leaf is the variable of its "
                        "AccumulateGrad node.")
        if not any(entry is leaf for leaf in expected):
            raise Wrong("The list holds a tensor that is no tracked leaf of this graph.")
    if not all(any(entry is leaf for entry in found) for leaf in expected):
        raise Wrong("A leaf is missing: follow every pair of next_functions, not only the first.")
    if len(found) > len(expected):
        raise Wrong("A leaf is in the list more than once: two ways may lead to one node, so note the nodes that you have "
                    "seen.")


def _list(answer, length):
    if answer is None:
        raise Wrong("Your function returns nothing: end it with return.")
    if not isinstance(answer, (list, tuple)):
        raise Wrong(f"The result is of type {type(answer).__name__}: a list with one loss for each step is expected.")
    if len(answer) != length:
        raise Wrong(f"The list has the length {len(answer)}: {length} losses are expected, one for each step.")
    return list(answer)


def _counted(net):
    """An optimizer, and a list that gets an entry for each of its steps."""
    optimizer, steps = torch.optim.SGD(net.parameters(), lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    return optimizer, steps


def _changed(net, start, steps):
    if torch.equal(net.weight, start.weight):
        if steps:
            raise Wrong("optimizer.step() ran, but the weight had no gradient: call zero_grad() before backward(), and do "
                        "not detach the prediction.")
        raise Wrong("The weight of net did not change: each step ends with optimizer.step().")


def _cleared(losses, added):
    if all(map(_close, losses, added)):
        raise Wrong("The gradients of all steps add up: call optimizer.zero_grad() in each step.")


def _close(answer, expected):
    try:
        return torch.allclose(torch.as_tensor(answer, dtype=torch.float32), torch.as_tensor(expected, dtype=torch.float32))
    except (TypeError, ValueError, RuntimeError):
        return False


def _train(net, batches, clear=True):
    """Take one step for each batch, and return the losses. clear: whether each step starts with empty gradients."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for x, t in batches:
        loss = (net(x) - t).square().mean()
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
