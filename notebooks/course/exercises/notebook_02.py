"""The checks of notebook 02, how the graph is built, walked and freed."""

import copy

import torch
from torch import nn

from seegrad import show_graph
from seegrad.snapshot import Register

from ..checking import Idea, Wrong, exercise, is_tracked, same_numbers, telling_cuts, without_graphs


@exercise("02.1")
def a_loss_that_saves_nothing(run):
    x = torch.tensor([1.0, -2.0, 4.5, 0.5], requires_grad=True)
    loss = run(x)
    same_numbers(loss, 2.0, "The loss")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: no graph leads from it to x.")
    if x.grad is not None:
        raise Wrong("x has a gradient before the check called backward: your function calls it.")
    before, _ = run.show({"x": x, "loss": loss})
    saving = [number for number, node in enumerate(before.snapshot.nodes, 1) if node.saved]
    works = _runs_backward_twice(loss)
    view, lines = run.show({"x": x, "loss": loss})
    if saving:
        number = saving[-1]             # where backward comes first
        if works:
            slot = before.snapshot.nodes[number - 1].saved[0].name
            raise Wrong(f"Two backward calls work, and yet [{number}] saves a tensor. Its backward never asks for it.",
                        before.mark(number, "saved, and never used", slot=slot), lines.get(number, ""))
        slot = view.snapshot.nodes[number - 1].saved[0].name
        raise Wrong(f"The second backward fails at [{number}]: the first one has freed what this node had saved.",
                    view.mark(number, "saved, and freed by the first backward", slot=slot), lines.get(number, ""))
    if not works:
        raise Wrong("The second backward fails: a node holds something that cannot be seen.", view)
    if x.grad is None:
        raise Wrong("x gets no gradient: the loss is not computed from x.", view)
    if torch.allclose(x.grad, torch.full((4,), 0.5)):
        raise Wrong("The gradient of x is half of what it was: one of the ways from the loss back to x is cut off.", view)
    same_numbers(x.grad, torch.full((4,), 1.0), "The gradient of x after two backward calls")
    return Idea("No node here saves a tensor. So the first backward frees nothing, and the second one finds all that it needs.",
                before)


def _runs_backward_twice(loss):
    try:
        loss.backward()
        loss.backward()
    except RuntimeError:
        return False
    return True


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
    losses = without_graphs(run, _list(telling_cuts(run, net, optimizer, x, t, 4), 4), "losses", net)
    _changed(net, start, steps)
    same_numbers(losses[0], expected[0], "The first loss")
    last = run.last_pass()
    if all(_close(loss, losses[0]) for loss in losses):
        number = next(iter(last.lines))     # the first node that is none of a leaf
        raise Wrong("All losses are the same: each step goes back through the prediction of the old weights.",
                    last.view.mark(number, "made once, before all steps"), last.lines[number])
    _cleared(losses, _train(start, [(x, t)] * 4, clear=False))
    for number, (loss, number_expected) in enumerate(zip(losses, expected), 1):
        same_numbers(loss, number_expected, f"Loss number {number}")
    same_numbers(net.weight, reference.weight, "The weight after the last step")
    for prediction in walked:
        view, _ = run.show({"prediction": prediction, "net.weight": net.weight, "net.bias": net.bias})
        if view.snapshot.saved_bytes:
            number, slot = next((number, node.saved[0].name) for number, node in enumerate(view.snapshot.nodes, 1) if node.saved)
            raise Wrong(f"After backward, the graph of a step still holds {view.snapshot.saved_bytes} bytes: it was retained.",
                        view.mark(number, "still saved, and never used again", slot=slot), last.line)
    return Idea("Each step builds a graph of its own, from the weights of this step, and backward walks it once.", last.view)


@exercise("02.3")
def a_history_without_graphs(run):
    torch.manual_seed(3)
    xs, ts = torch.randn(4, 3, 2), torch.randn(4, 3, 1)
    net = nn.Linear(2, 1)
    start, reference = copy.deepcopy(net), copy.deepcopy(net)
    expected = _train(reference, zip(xs, ts))
    made, register = [], Register()
    alive = [0]         # how many graphs are in memory when a backward comes to a prediction

    def watch(module, inputs, prediction):
        if prediction.requires_grad:
            made.append(register.number_of_node(prediction.grad_fn))
            prediction.grad_fn.register_prehook(lambda gradients: alive.append(len(set(made) - register.freed)))

    net.register_forward_hook(watch)
    optimizer, steps = _counted(net)
    history = without_graphs(run, _list(telling_cuts(run, net, optimizer, xs, ts), 4), "history", net)
    _changed(net, start, steps)
    _cleared(history, _train(start, zip(xs, ts), clear=False))
    for number, (entry, number_expected) in enumerate(zip(history, expected), 1):
        same_numbers(entry, number_expected, f"Entry number {number}")
    same_numbers(net.weight, reference.weight, "The weight after the last step")
    left = set(made) - register.freed
    if left:
        raise Wrong(f"The list holds no graph, and {len(left)} of {len(made)} graphs {'is' if len(left) == 1 else 'are'} still "
                    "in memory.")
    if max(alive) > 1:
        first, step = run.passes[0], alive.index(max(alive))
        root = len(first.view.snapshot.nodes)
        raise Wrong(f"The list that comes back holds no graph. But in step {step}, {max(alive)} graphs were in memory together.",
                    first.view.mark(root, f"still in memory in step {step}"), first.lines.get(root, ""))
    return Idea(f"No entry of the list holds a graph. {len(made)} graphs were built, and none was kept: here is the last one, as "
                "it was before its backward.", run.last_pass().view)


@exercise("02.4")
def all_leaves_of_a_graph(run):
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    b = torch.tensor([3.0, 4.0], requires_grad=True)
    c = torch.tensor(5.0, requires_grad=True)
    fixed = torch.tensor([6.0, 7.0])
    _all_leaves(run, (a.exp() + fixed).sum(), {"a": a})
    _all_leaves(run, ((a * b + fixed) * a + c).sum(), {"a": a, "b": b, "c": c})
    view = _all_leaves(run, torch.stack([b.sum(), c * c, (fixed * b).sum()]), {"b": b, "c": c})
    _each_node_once(run)
    return Idea("The walk follows every pair of every node, so it comes to all leaves. It goes on from each node once.", view)


def _each_node_once(run, additions=30):
    """In a graph where each node has two ways to the node before it, a walk that goes both ways each time never ends."""
    leaf = torch.tensor(1.0, requires_grad=True)
    results = [leaf]
    for _ in range(additions):
        results.append(results[-1] + results[-1])
    try:
        run(results[-1])
        return
    except Wrong as wrong:
        if "was stopped" not in str(wrong):
            raise
    # Out of the handler: the line where the walk was stopped tells nothing.
    raise Wrong(f"This graph has 3 additions, and 8 ways lead to its leaf. In one with {additions} additions there are "
                f"{2 ** additions:,} ways, and your walk goes them all: it was stopped.",
                show_graph({"leaf": leaf, "result": results[3]}).mark("leaf", "8 ways lead here"))


def _all_leaves(run, result, expected):
    view = show_graph({"result": result, **expected})
    try:
        found = run(result)
    except Wrong as wrong:
        raise _in_other_words(wrong, view) from None
    if found is None:
        raise Wrong("Your function returns nothing.")
    if not isinstance(found, (list, tuple)):
        raise Wrong(f"The result is of type {type(found).__name__}, and not a list of leaves.")
    if not found:
        raise Wrong("The list is empty: no AccumulateGrad node was recognised. (Its name() is longer than in the picture.)", view)
    for entry in found:
        if not isinstance(entry, torch.Tensor):
            raise Wrong(f"The list holds an object of type {_full_name(type(entry))}, which is no torch.Tensor.", view)
        if not any(entry is leaf for leaf in expected.values()):
            raise Wrong("The list holds a tensor that is no tracked leaf of this graph.", view)
    for name, leaf in expected.items():
        times = sum(entry is leaf for entry in found)
        if times != 1:
            words = "not in your list" if times == 0 else f"{times} times in your list"
            raise Wrong(f"The leaf {name} of this graph is {words}.", view.mark(name, words))
    return view


def _in_other_words(wrong, view):
    """What a walk raised, told as what it means in this graph."""
    untracked = next((number for number, node in enumerate(view.snapshot.nodes, 1) if None in node.inputs), 0)
    if "'NoneType' object has no attribute" in str(wrong) and untracked:
        return Wrong(f"The walk came to a None and went on: an input of [{untracked}] is not tracked, and has None for its node.",
                     view.mark(untracked, "one of its pairs has None for a node"))
    if "Boolean value of Tensor" in str(wrong):
        return Wrong("Two tensors were compared by their numbers, as == and `in` do. That does not tell whether both are one "
                     "tensor.", view)
    return Wrong(str(wrong), view)


def _full_name(kind):
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _list(answer, length):
    if answer is None:
        raise Wrong("Your function returns nothing.")
    if not isinstance(answer, (list, tuple)):
        raise Wrong(f"The result is of type {type(answer).__name__}, and not a list with one loss for each step.")
    if len(answer) != length:
        raise Wrong(f"The list has the length {len(answer)}, and there were {length} steps.")
    return list(answer)


def _counted(net):
    """An optimizer, and a list that gets an entry for each of its steps."""
    optimizer, steps = torch.optim.SGD(net.parameters(), lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    return optimizer, steps


def _changed(net, start, steps):
    if torch.equal(net.weight, start.weight):
        if steps:
            raise Wrong("optimizer.step() ran, and the weight of net is as before: it had no gradient when the step came.")
        raise Wrong("The weight of net is as before: optimizer.step() did not run.")


def _cleared(losses, added):
    if all(map(_close, losses, added)):
        raise Wrong("The losses are those of gradients that add up from step to step.")


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
