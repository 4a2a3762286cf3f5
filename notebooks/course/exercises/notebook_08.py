"""The checks of notebook 08, the error clinic."""

import copy
import sys

import numpy
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..checking import Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers, watched_backwards


class _WatchedData(TorchFunctionMode):
    """Sees whether the learner's code uses .data. PyTorch's own code may: a module does, in its method to."""

    used = False

    def __torch_function__(self, function, types, inputs=(), named=None):
        if function in (torch.Tensor.data.__get__, torch.Tensor.data.__set__):
            self.used |= sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] != "torch"
        return function(*inputs, **(named or {}))


def _mended(run, inputs, errors, kept=""):
    """What the answer returns. errors: words of a message -> the sentence for it. kept: the sentence for retain_graph."""
    with watched_backwards() as flags, _WatchedData() as data:
        try:
            result = quietly(run, *inputs)      # PyTorch warns of the .grad of a result; the sentences say it
        except Wrong as wrong:
            no_help = any(flags) and "inplace operation" in str(wrong)
            for words, sentence in errors.items():
                if words in str(wrong):
                    raise Wrong("retain_graph=True is no help against case 3: " * no_help + sentence) from None
            raise
    if any(flags) and kept:
        raise Wrong(kept)
    if data.used:
        raise Wrong("The error is gone, but .data also switches off the guard against later changes: use detach().")
    return result


def _same(net, other):
    return all(has_numbers(weight, expected.detach()) for weight, expected in zip(net.parameters(), other.parameters()))


@exercise("08.1")
def a_running_mean(run):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    batches, target = torch.randn(5, 4, 3), torch.tensor([2.0, -1.0])
    start, twin, expected, mean = copy.deepcopy(net), copy.deepcopy(net), [], torch.zeros(2)
    optimizer, other = (torch.optim.SGD(each.parameters(), lr=1.0) for each in (net, twin))
    for x in batches:
        mean = 0.9 * mean + 0.1 * twin(x).mean(dim=0)
        other.zero_grad()
        (mean - target).square().sum().backward()
        other.step()
        mean = mean.detach()
        expected.append(mean)
    path = _mended(run, (net, optimizer, batches, target), {
        "Can't call numpy()": "mean is still tracked where NumPy takes it: cut it between backward and NumPy.",
        "a second time": "The second step still goes back into the first: the mean that is carried on must be detached too.",
        "inplace operation": "step() has changed weights that the graph of an older step has saved.",
        "element 0 of tensors": "The loss is not tracked: the cut takes net(x) away too, or stands before backward.",
    }, "retain_graph=True keeps a graph that no later step should walk: cut the old mean, and leave it out.")
    if not isinstance(path, (list, tuple)) or len(path) != len(batches):
        raise Wrong("Return path, a list with one NumPy array for each step.")
    if any(map(is_tracked, path)):
        raise Wrong("The path holds tracked tensors, and each keeps its graph in memory: cut them, and take NumPy arrays.")
    if not all(isinstance(row, numpy.ndarray) for row in path):
        raise Wrong(f"The path holds something of type {type(path[0]).__name__}: NumPy arrays are expected.")
    if _same(net, start):
        raise Wrong("No error comes, but net does not learn: the loss must lead back to net(x), and step() must follow.")
    path = torch.stack([torch.tensor(row) for row in path])
    if has_numbers(path[-1], mean) and not has_numbers(path, torch.stack(expected)):
        raise Wrong("Only the last row is right: an array shares the memory of mean, and your code changes mean in place.")
    same_numbers(path, torch.stack(expected), "The path")
    if not _same(net, twin):
        raise Wrong("The path is right, but net has other weights after the last step: each step ends with its update.")


@exercise("08.2")
def two_networks_in_turn(run):
    torch.manual_seed(2)
    maker = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    nets, twins, runs = (maker, critic), (copy.deepcopy(maker), copy.deepcopy(critic)), []
    optimizers, others = ([torch.optim.SGD(net.parameters(), lr=0.5) for net in pair] for pair in (nets, twins))
    maker.register_forward_hook(lambda module, inputs, output: runs.append("forward"))
    maker[0].weight.register_hook(lambda gradient: runs.append("backward"))
    for turn in range(2):
        noise, real, before = torch.randn(6, 2), torch.randn(6, 2) + 1, copy.deepcopy(twins)
        early = copy.deepcopy(before[0])        # a maker that learns from the critic before its step
        (-before[1](early(noise)).mean()).backward()
        torch.optim.SGD(early.parameters(), lr=0.5).step()
        fake = twins[0](noise)
        others[1].zero_grad()
        (twins[1](fake.detach()).mean() - twins[1](real).mean()).backward()
        others[1].step()
        others[0].zero_grad()
        (-twins[1](fake).mean()).backward()
        others[0].step()
        _mended(run, (maker, critic, *optimizers, noise, real), {
            "a second time": "critic_loss goes back through fake into maker, and frees its graph: give it fake.detach().",
            "inplace operation": "maker_loss is older than the step of critic, which has changed what it saved, so compute "
                                 "it after that step.",
        }, "The error is gone, but with retain_graph=True critic_loss still goes back into maker: give it fake.detach().")
        if not all(weight.requires_grad for net in nets for weight in net.parameters()):
            raise Wrong("Your code leaves a network frozen: both must learn in the next turn.")
        if turn and not (_same(maker, twins[0]) and _same(critic, twins[1])):
            raise Wrong("The first turn is right, but the second is not: old gradients were not cleared.")
        if _same(critic, before[1]):
            raise Wrong("critic does not learn: call backward for critic_loss, and let its optimizer step.")
        if _same(maker, before[0]):
            gradient = maker[0].weight.grad
            if gradient is None:
                raise Wrong("No error comes, but maker gets no gradient: detach fake for critic_loss only.")
            if has_numbers(gradient, torch.zeros(3, 2)):
                raise Wrong("maker does not move: the two losses cancel there, so critic_loss must get fake.detach().")
            raise Wrong("maker gets a gradient, but does not move: let its optimizer step.")
        if _same(maker, early):
            raise Wrong("maker learns from the critic before its step: compute maker_loss after that step.")
        for name, net, twin in zip(("maker", "critic"), nets, twins):
            if not _same(net, twin):
                raise Wrong(f"{name} has other weights after the turn: it must learn from {name}_loss, and only from it.")
    if len(runs) > 4:
        raise Wrong("The weights are right, but in a turn maker ran more than once forward or backward: give critic_loss "
                    "fake.detach().")


@exercise("08.3")
def a_head_on_a_frozen_body(run):
    torch.manual_seed(3)
    body, steps, runs = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).double(), 4, []
    x, target = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    with torch.no_grad():
        features, start, twin = body(x), torch.full((3,), 0.1, dtype=torch.float64), copy.deepcopy(body)
        w = start
        for _ in range(steps):
            w = w - 0.5 * 2 * features.T @ (features @ w - target) / len(target)
    body.register_forward_hook(lambda module, inputs, output: runs.append(1))
    try:
        answer = _mended(run, (body, x, target, steps), {
            "Inference tensors": "features is an inference tensor, and no node may save it: make it under no_grad.",
            "non-leaf": "w is the result of .to(...) and of * 0.1, and no leaf: compute first, call requires_grad_() last.",
            "element 0 of tensors": "The loss is not tracked: w must be a tracked leaf, and the loss outside of no_grad.",
            "same dtype": "w and the features have different types: w needs the dtype of x.",
        }, "The error is gone, but retain_graph=True keeps an old graph, which each step walks again: neither features nor "
           "w may have one.")
    except Wrong as wrong:
        if "a second time" not in str(wrong):
            raise
        if any(weight.grad is not None for weight in body.parameters()):
            raise Wrong("Now features has a graph, which step 1 has freed: make features under no_grad.") from None
        raise Wrong("w is still a result, and step 1 has freed its graph: retain_grad() does not make it a leaf.") from None
    if has_numbers(answer, start):
        raise Wrong("w does not learn: it still has its first numbers.")
    same_numbers(answer, w, "w")
    if not all(weight.requires_grad for weight in body.parameters()):
        raise Wrong("The numbers are right, but your code freezes body for everyone: make only features under no_grad.")
    if any(weight.grad is not None for weight in body.parameters()) or not _same(body, twin):
        raise Wrong("The numbers are right, but body got a gradient: make features under no_grad.")
    if len(runs) > 1:
        raise Wrong(f"The numbers are right, but body ran {len(runs)} times: its features do not change, so once is enough.")


def _programs():
    """For each program: w, the tensors by name, the name of the first cut, and the sentence for an answer of None."""
    w, x, bias = torch.tensor([0.5, -0.5], requires_grad=True), torch.tensor([3.0, 1.0]), torch.ones(2, requires_grad=True)
    h = (w * x).relu()
    score = h.sum().sigmoid()
    hit = (score > 0.5).float()
    yield w, {"h": h, "score": score, "hit": hit, "loss": 1 - hit}, "hit", "a comparison has cut it off"
    h = bias * w
    both = (h - 9).relu() + (3 * h).detach()
    yield w, {"h": h, "both": both, "loss": both.square().mean()}, None, ""
    h = (w * x).exp()
    kept = h.detach().requires_grad_()
    yield w, {"h": h, "kept": kept, "loss": kept.square().sum()}, "kept", "it is tracked, but it is a leaf of its own"
    kept = h.detach().requires_grad_() * x
    yield w, {"h": h, "kept": kept, "loss": kept.sum()}, "kept", "it has a grad_fn, but its graph begins at another leaf"


@exercise("08.4")
def the_first_cut(run):
    for w, tensors, expected, why in _programs():
        name = _mended(run, (w, dict(tensors)), {
            "a second time": "Each call frees a graph that the next tensor needs: retain_graph=True is right here, because "
                             "one forward pass has several backwards.",
            "not have been used": "A tensor that w has no part in is what you look for: allow_unused=True is right here.",
            "does not require grad": "A tensor that is not tracked has no gradient to ask for: look at requires_grad first.",
            "scalar outputs": "A tensor may have several numbers, and a gradient starts at one: take the sum.",
        })
        if name is None and expected is not None:
            raise Wrong(f"Your function returns None, but the graph of {expected} does not lead back to w: {why}.")
        if not (name is None or isinstance(name, str) and name in tensors):
            raise Wrong("Your function must return one of the names in tensors, or None.")
        if expected is None and name is not None:
            raise Wrong(f"Your function returns {name!r}, but this tensor comes from w: one way back is enough, along any "
                        "input, and even where the gradient is 0.")
        if name != expected:
            raise Wrong(f"Your function returns {name!r}, but the first tensor that is cut off from w is {expected!r}.")
        if w.grad is not None:
            raise Wrong("The name is right, but w.grad is filled: torch.autograd.grad leaves it alone, backward does not.")
        try:
            torch.autograd.grad(tensors["h"].sum(), w, retain_graph=True)
        except RuntimeError:
            raise Wrong("The name is right, but your code has freed the graph, and the program still needs it.") from None
