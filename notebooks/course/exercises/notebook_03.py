"""The checks of notebook 03, several losses."""

import copy

import torch
from torch import nn

from ..checking import Idea, Wrong, exercise, is_tracked, same_numbers, telling_cuts


@exercise("03.1")
def one_walk_for_three_losses(run):
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = x ** 3
    walks = []
    y.grad_fn.register_prehook(lambda gradients: walks.append(len(run.passes)))
    losses = {"loss1": y.sum(), "loss2": y.mean(), "loss3": y.max()}
    run.names = {"x": x, "y": y}
    telling_cuts(run, *losses.values())
    view, _ = run.show({"x": x, "y": y, **losses})
    if x.grad is None:
        raise Wrong("x has no gradient: no backward went to x.", view.mark("x", "no gradient came here"))
    square = 3 * x.detach() ** 2
    parts = [square, square / 3, square * torch.tensor([0.0, 0.0, 1.0])]
    expected = sum(parts)
    if torch.allclose(x.grad, expected / 3):
        raise Wrong("The gradient of x is a third of what it was: it is that of the mean of the losses.")
    for name, part in zip(losses, parts):
        if torch.allclose(x.grad, expected - part):
            raise Wrong(f"The gradient of x has no part from {name}.", view.mark(name, "no backward came from here"))
    same_numbers(x.grad, expected, "The gradient of x")
    shared = 1 + next(tensor.producer.node for tensor in view.snapshot.tensors if "y" in tensor.names)
    if len(walks) > 1:
        raise Wrong(f"The shared node [{shared}] ran {len(walks)} times, once for each walk.",
                    view.mark(shared, f"ran {len(walks)} times"), run.passes[walks[1] - 1].line)
    if view.snapshot.saved_bytes:
        slot = view.snapshot.nodes[shared - 1].saved[0].name
        raise Wrong(f"After the last walk, the graph still holds {view.snapshot.saved_bytes} bytes: it was retained.",
                    view.mark(shared, "still saved, and never used again", slot=slot), run.last_pass().line)
    return Idea(f"The gradient of a sum is the sum of the gradients. So one walk is enough for all losses: [{shared}] ran once.",
                view)


@exercise("03.2")
def the_gradients_apart(run):
    weight = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    other = torch.tensor([1.0, 3.0, -2.0], requires_grad=True)
    h = (weight * other).tanh()
    loss1, loss2 = h.square().sum(), h.exp().sum()
    expected = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (loss1, loss2)]
    filled = {}         # leaf -> the line that filled its .grad
    leaves = {"weight": weight, "other": other}

    def note(leaf):
        filled.setdefault(leaf, run.passes[-1].line)

    for leaf in leaves.values():
        leaf.register_post_accumulate_grad_hook(note)
    answer = run(loss1, loss2, weight)
    view, _ = run.show({"weight": weight, "other": other, "h": h, "loss1": loss1, "loss2": loss2})
    for name, leaf in leaves.items():
        if leaf in filled:
            words = "backward() has filled its .grad" + ", and you have cleared it" * (leaf.grad is None)
            raise Wrong(f"The leaf {name} has got a .grad.", view.mark(name, words), filled[leaf])
        if leaf.grad is not None:
            raise Wrong(f"The leaf {name} has got a .grad.", view.mark(name, "has a .grad"))
    if answer is None:
        raise Wrong("Your function returns nothing.")
    if isinstance(answer, (list, tuple)) and len(answer) == 1:
        raise Wrong("The result has one entry: the gradient of the sum of the losses.")
    if not isinstance(answer, (list, tuple)) or len(answer) != 2:
        raise Wrong(f"The result is of type {type(answer).__name__}, and not a pair of two gradients.")
    if any(isinstance(entry, (list, tuple)) for entry in answer):
        raise Wrong("An entry of the pair is a tuple, and not a tensor.")
    for number, (entry, gradient) in enumerate(zip(answer, expected), 1):
        same_numbers(entry, gradient, f"The gradient of loss{number}")
        if is_tracked(entry):
            made, lines = run.show({f"gradient {number}": entry})
            raise Wrong(f"The gradient of loss{number} is tracked: it holds a graph of {len(made.snapshot.nodes)} nodes.",
                        made.mark(f"gradient {number}", "holds this graph"), lines.get(len(made.snapshot.nodes), ""))
    shared, _ = run.show({"weight": weight, "other": other, "h": h})
    if shared.snapshot.saved_bytes:
        raise Wrong(f"After the last call, the shared part still holds {shared.snapshot.saved_bytes} bytes: it was retained.",
                    shared.mark(len(shared.snapshot.nodes), "still saved, and never used again", slot="result"),
                    run.last_pass().line)
    return Idea("`autograd.grad` returns a gradient, and no leaf gets a .grad. The last walk has freed the shared part.", shared)


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
    telling_cuts(run, net, optimizer, x, t)
    if _same(net, start):
        if steps_taken:
            raise Wrong("optimizer.step() ran, and the parameters of net are as before: they had no gradient when the step came.")
        raise Wrong("The parameters of net are as before: optimizer.step() did not run.")
    last = run.last_pass()
    if len(steps_taken) > 1 and not any(_same(net, _stepped(start, x, t, [(1, 0), (0, 1)], clear))
                                        for clear in (True, "once")):
        raise Wrong(f"There were {len(steps_taken)} steps on the weights, and not one.")
    two_steps = "There were two steps on the weights, and not one."
    for sentence, steps, clear in (
            ("The step comes from loss1 alone.", [(1, 0)], True),
            ("The step comes from loss1, taken twice.", [(2, 0)], True),
            ("The step comes from loss2 alone.", [(0, 1)], True),
            ("The step comes from the mean of the losses, and not from their sum.", [(0.5, 0.5)], True),
            ("The old gradients are part of the step.", [(1, 1)], False),
            (two_steps, [(1, 0), (0, 1)], True),
            (two_steps, [(1, 0), (0, 1)], "once")):
        if _same(net, _stepped(start, x, t, steps, clear)):
            raise Wrong(sentence, last.view if "alone" in sentence or "twice" in sentence else None,
                        last.line if "twice" in sentence else "")
    right = _stepped(start, x, t, [(1, 1)])
    for (name, parameter), expected in zip(net.named_parameters(), right.parameters()):
        same_numbers(parameter, expected, f"The parameter {name}")
    if last.retained:
        raise Wrong("The last backward retained the graph, and nobody walks it after that.", None, last.line)
    whose = "both losses" if len(run.passes) == 1 else "the last backward"
    return Idea(f"First all of backward, for both losses, and then one step. This is the graph of {whose}, just before it.",
                last.view)


@exercise("03.4")
def a_state_that_is_cut_off(run):
    w, h = torch.tensor(0.8, requires_grad=True), torch.tensor(0.6)
    numbers, cut, full = _walk(w, h, 4)
    state = telling_cuts(run, w, h, 4)
    same_numbers(state, numbers, "The last state")
    if w.grad is None:
        last = run.passes[-1] if run.passes else None
        raise Wrong("w has no gradient: no backward came to w.", last and last.view, last.line if last else "")
    passes, last = list(run.passes), run.last_pass()
    short = run(w.detach().requires_grad_(), h, 1)
    longest = max(len(one.view.snapshot.nodes) for one in run.passes[len(passes):])     # of a loop of one step
    if torch.allclose(w.grad, full):
        walked = ", ".join(str(len(one.view.snapshot.nodes)) for one in passes)
        second = passes[:2][-1]
        raise Wrong(f"The backward passes go through {walked} nodes: each goes back through all the steps before it.",
                    second.view.mark(_oldest(second.view), "made in step 1"), second.line)
    same_numbers(w.grad, cut, "The gradient of w")
    for one in passes:
        nodes = len(one.view.snapshot.nodes)
        if nodes > longest:
            raise Wrong(f"With 4 steps, a backward goes through {nodes} nodes, and with 1 step through {longest}: the graph "
                        "grows with the loop.", one.view.mark(_oldest(one.view), "made in an earlier step"), one.line)
    if is_tracked(state):
        view, lines = run.show({"w": w, "h": state})
        if len(view.snapshot.nodes) > len(run.show({"h": short})[0].snapshot.nodes):
            first = _oldest(view)
            raise Wrong("The last state still holds the graph of the earlier steps.",
                        view.mark(first, "made in an earlier step"), lines.get(first, ""))
    for one in passes:
        if one.retained:
            raise Wrong("backward retained the graph of each step, and nobody walks it a second time.", one.view, one.line)
    return Idea("The old state comes in as a number without history. So backward walks one step, however long the loop is.",
                last.view)


def _oldest(view):
    """The number of the node that was made first; that of a leaf is none."""
    return next(number for number, node in enumerate(view.snapshot.nodes, 1) if node.leaf is None)


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
