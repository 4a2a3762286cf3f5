"""The checks of notebook 08, the error clinic."""

import copy
import sys

import numpy
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..checking import Idea, Wrong, exercise, has_numbers, quietly, same_numbers, without_graphs


class _WatchedData(TorchFunctionMode):
    """Notes each line at which the learner's code uses .data. PyTorch's own code may: a module does, in its method to."""

    def __init__(self, run):
        super().__init__()
        self._run, self.lines = run, []

    def __torch_function__(self, function, types, inputs=(), named=None):
        if function in (torch.Tensor.data.__get__, torch.Tensor.data.__set__):
            frame = sys._getframe(1)
            if frame.f_globals.get("__name__", "").partition(".")[0] != "torch":
                self.lines.append(self._run.line(frame.f_lineno))
        return function(*inputs, **(named or {}))


def _called(run, inputs):
    """What the answer returns, and the lines at which it used .data."""
    with _WatchedData(run) as data:
        return quietly(run, *inputs), data.lines        # PyTorch warns of the .grad of a result; a verdict says it


def _without_bandage(run, lines_of_data):
    """Refuse what only makes a message go away."""
    retained = next((one for one in run.passes if one.retained), None)
    if retained:
        raise Wrong("The numbers are right. But a backward pass retained its graph, and no other pass walks this graph.",
                    retained.view, retained.line)
    if lines_of_data:
        raise Wrong("The numbers are right. But .data was used: backward would not see a later change of these numbers.",
                    line=lines_of_data[0])


def _same(net, other):
    return all(has_numbers(weight, expected.detach()) for weight, expected in zip(net.parameters(), other.parameters()))


def _marked(view, name, words):
    """A picture of a pass, with a mark on a tensor where this one is in it. view: may be None, as that of a pass."""
    is_there = view is not None and any(name in tensor.names for tensor in view.snapshot.tensors)
    return view.mark(name, words) if is_there else view


@exercise("08.1")
def a_running_mean(run):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
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
    path, lines_of_data = _called(run, (net, optimizer, batches, target))
    if path is None:
        raise Wrong("Your function returns nothing: no return ends it.")
    if not isinstance(path, (list, tuple)):
        raise Wrong(f"The result is of type {type(path).__name__}, and not a list with one array for each step.")
    if len(path) != len(batches):
        raise Wrong(f"The list has the length {len(path)}, and there were {len(batches)} steps.")
    without_graphs(run, path, "path", net)
    for number, row in enumerate(path):
        if not isinstance(row, numpy.ndarray):
            raise Wrong(f"path[{number}] is of type {type(row).__name__}, and not a NumPy array.")
    if _same(net, start):
        last = run.last_pass()
        raise Wrong("No error comes, and net has the weights that it had before the first step.", last.view, last.line)
    path = torch.stack([torch.tensor(row) for row in path])
    if has_numbers(path[-1], mean) and not has_numbers(path, torch.stack(expected)):
        raise Wrong("The last row of path is right, and others are not: they changed after they came into the list.")
    same_numbers(path, torch.stack(expected), "The path")
    if not _same(net, twin):
        raise Wrong("The path is right, and net has other weights after the last step.")
    _without_bandage(run, lines_of_data)
    return Idea("The old mean comes in as numbers, so backward walks one step. NumPy gets numbers too.", run.last_pass().view)


@exercise("08.2")
def two_networks_in_turn(run):
    torch.manual_seed(2)
    maker, critic = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    nets, twins, forwards, walks = (maker, critic), (copy.deepcopy(maker), copy.deepcopy(critic)), [], []
    optimizers, others = ([torch.optim.SGD(net.parameters(), lr=0.5) for net in pair] for pair in (nets, twins))
    run.names = {"maker.weight": maker.weight}
    maker.register_forward_hook(lambda module, inputs, output: forwards.append(1))
    maker.weight.register_hook(lambda gradient: walks.append(run.passes[-1]))
    for turn in (1, 2):
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
        forwards.clear()
        walks.clear()
        _, lines_of_data = _called(run, (maker, critic, *optimizers, noise, real))
        _both_learn(run, turn, nets, twins, before, early)
        if len(walks) > 1:
            raise Wrong(f"The weights are right. But {len(walks)} backward passes of one turn went into maker. "
                        "This is the first of them.",
                        _marked(walks[0].view, "maker.weight", "a gradient comes here"), walks[0].line)
        if len(forwards) > 1:
            raise Wrong(f"The weights are right. But maker ran forward {len(forwards)} times in one turn.")
        _without_bandage(run, lines_of_data)
    return Idea("One backward pass goes into maker, after the step of critic. All that its graph has saved is as it was.",
                run.last_pass().view)


def _both_learn(run, turn, nets, twins, before, early):
    maker, critic = nets
    for name, net in (("maker", maker), ("critic", critic)):
        if not net.weight.requires_grad:
            raise Wrong(f"After the turn, {name}.weight is not tracked any more.")
    # maker learns from critic: where both are wrong, critic is meant.
    different = next((name for name, net, twin in (("critic", critic, twins[1]), ("maker", maker, twins[0]))
                      if not _same(net, twin)), None)
    if turn == 2 and different:
        raise Wrong(f"The first turn is right. In the second, {different} moves by other gradients than those of this turn.")
    if _same(critic, before[1]):
        raise Wrong("After the turn, critic has the weights that it had before.")
    if _same(maker, before[0]):
        last, gradient = run.last_pass(), maker.weight.grad
        if gradient is None:
            raise Wrong("No error comes, and maker gets no gradient: maker.weight.grad is None.",
                        _marked(last.view, "fake", "no way leads from here to maker"), last.line)
        if has_numbers(gradient, torch.zeros(2, 2)):
            raise Wrong("maker gets the gradient 0: what comes from critic_loss and what comes from maker_loss cancel.",
                        _marked(last.view, "maker.weight", "the gradient here is 0"), last.line)
        raise Wrong("maker gets a gradient, and has the weights that it had before.")
    if _same(maker, early):
        raise Wrong("maker has learned from the critic as it was before its step.")
    if different:
        raise Wrong(f"{different} has other weights after the turn than {different}_loss alone would give it.")


@exercise("08.3")
def a_head_on_a_frozen_body(run):
    torch.manual_seed(3)
    body, steps, runs = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Tanh()).double(), 4, []
    x, target = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    with torch.no_grad():
        features, start, twin = body(x), torch.full((3,), 0.1, dtype=torch.float64), copy.deepcopy(body)
        w = start
        for _ in range(steps):
            w = w - 0.5 * 2 * features.T @ (features @ w - target) / len(target)
    body.register_forward_hook(lambda module, inputs, output: runs.append(1))
    run.names = {"body.0.weight": body[0].weight}
    answer, lines_of_data = _called(run, (body, x, target, steps))
    if has_numbers(answer, start):
        raise Wrong("w has the numbers that it had before the first step.")
    same_numbers(answer, w, "w")
    weight = body[0].weight
    if not weight.requires_grad:
        raise Wrong("The numbers are right. But body.0.weight is not tracked any more.")
    if weight.grad is not None or not _same(body, twin):
        last = run.last_pass()
        raise Wrong("The numbers are right. But backward went on into body.",
                    _marked(last.view, "body.0.weight", "a gradient came here"), last.line)
    if len(runs) > 1:
        raise Wrong(f"The numbers are right. But body ran {len(runs)} times, each time with the same result.")
    _without_bandage(run, lines_of_data)
    return Idea("No graph stands behind features, and w is a leaf: the way back ends at w.", run.last_pass().view)


def _programs():
    """For each program: w, the tensors by name, and the name of the first cut."""
    w, x, bias = torch.tensor([0.5, -0.5], requires_grad=True), torch.tensor([3.0, 1.0]), torch.ones(2, requires_grad=True)
    h = (w * x).relu()
    score = h.sum().sigmoid()
    hit = (score > 0.5).float()
    yield w, {"h": h, "score": score, "hit": hit, "loss": 1 - hit}, "hit"
    h = bias * w
    both = (h - 9).relu() + (3 * h).detach()
    yield w, {"h": h, "both": both, "loss": both.square().mean()}, None
    h = (w * x).exp()
    kept = h.detach().clone().requires_grad_()
    yield w, {"h": h, "kept": kept, "loss": kept.square().sum()}, "kept"
    kept = h.detach().clone().requires_grad_() * x
    yield w, {"h": h, "kept": kept, "loss": kept.sum()}, "kept"


@exercise("08.4")
def the_first_cut(run):
    for w, tensors, expected in _programs():
        run.names = {"w": w, **tensors}
        name = quietly(run, w, dict(tensors))
        view, _ = run.show(run.names)
        if not (name is None or isinstance(name, str) and name in tensors):
            raise Wrong(f"The result is of type {type(name).__name__}, and not one of the names in tensors, or None.", view)
        if expected is None and name is not None:
            raise Wrong(f"Your function returns {name!r}. But from this tensor, a way leads back to w.",
                        view.mark(name, "a way leads from here to w"))
        if name != expected:
            raise Wrong(f"Your function returns {name!r}. But {expected!r} is the first from which no way leads back to w.",
                        view.mark(expected, "no way leads from here to w"))
        if w.grad is not None:
            raise Wrong("The name is right. But w.grad is filled: a gradient came to w.", view.mark("w", "its .grad is filled"))
        try:
            torch.autograd.grad(tensors["h"].sum(), w, retain_graph=True)
        except RuntimeError:
            raise Wrong("The name is right. But the graph of h was freed, and the program still needs it.", view) from None
    return Idea("A tensor may be tracked, and have a grad_fn, and still lead to another leaf. Only a way back to w counts.",
                view)
