"""The checks of notebook 04, gradient accumulation."""

import torch
from torch import nn

from ..checking import Idea, Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers, without_graphs

mse = nn.functional.mse_loss


@exercise("04.1")
def the_gradient_of_a_result(run):
    torch.manual_seed(1)
    first, last, data = nn.Linear(3, 2, bias=False), nn.Linear(2, 1, bias=False), torch.randn(5, 3)
    h = first(data)
    expected, of_the_weight = torch.autograd.grad(last(h).square().mean(), (h, first.weight))
    results = []
    first.register_forward_hook(lambda layer, inputs, result: results.append(result))
    last.register_forward_hook(lambda layer, inputs, result: results.append(result))
    gradient = quietly(run, first, last, data)      # PyTorch warns of h.grad; the sentence below says it
    shown = [result for result in results if is_tracked(result)]
    names = {"first.weight": first.weight, **dict(zip(("h", "last(h)"), shown))}
    view, _ = run.show(names)
    line = run.passes[-1].line if run.passes else ""
    if gradient is None:
        if first.weight.grad is not None:
            raise Wrong("Your function returns None: backward came through h, and h has kept nothing.",
                        view.mark("h", "a result, its .grad is None"), line)
        raise Wrong("Your function returns None, and first.weight has no gradient: backward did not come to h.", view, line)
    if has_numbers(gradient, of_the_weight):
        raise Wrong("This is the gradient of first.weight, and not that of h.", view.mark("first.weight", "this is its .grad"))
    if has_numbers(gradient, 2 * expected):
        raise Wrong(f"The gradient is twice as large as that of one backward: {len(run.passes)} of them came through h.", view,
                    line)
    same_numbers(gradient, expected, "The gradient")
    return Idea("The gradient came through h all the time. Nobody had asked to keep it.", view)


@exercise("04.2")
def a_loop_that_clears_the_gradients(run):
    torch.manual_seed(2)
    data, target = torch.randn(6, 2), torch.randn(6, 1)
    weight, bias = torch.randn(1, 2), torch.randn(1)

    def net():
        made = nn.Linear(2, 1)
        made.load_state_dict({"weight": weight, "bias": bias})
        return made

    def losses_of(net, clear, steps=5):
        optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.1), []
        for _ in range(steps):
            loss = mse(net(data), target)
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return torch.tensor(losses)

    expected, trained = losses_of(net(), clear=True), net()
    losses = run(trained, data, target, 5)
    if isinstance(losses, (list, tuple)):
        losses = without_graphs(run, list(losses), "losses", trained)
    if has_numbers(losses, losses_of(net(), clear=False)):
        second = run.passes[1]
        raise Wrong("When the second backward began, net.weight still held the gradient of the first step: the two were added.",
                    _marked(second.view, "net.weight", "still holds an old .grad"), second.line)
    if has_numbers(losses, expected[:1].expand(5)):
        raise Wrong("The loss never changes: each .grad was empty when optimizer.step() came.")
    if has_numbers(losses, expected[-1]):
        raise Wrong("This is only the last loss, and not a list with the loss of each step.")
    same_numbers(losses, expected, "The list of losses")
    return Idea("Each step used the gradient of its own loss alone. Here is the last graph, before its backward.",
                run.last_pass().view)


def _marked(view, name, words):
    """The view with a mark on the tensor of this name; without one where the learner has another name for it."""
    if view is None or not any(name in tensor.names for tensor in view.snapshot.tensors):
        return view
    return view.mark(name, words)


@exercise("04.3")
def parts_of_different_size(run):
    _parts(run, 11, 4)
    return _parts(run, 8, 3)


def _parts(run, samples, size):
    torch.manual_seed(samples)
    net, data, target = nn.Linear(3, 1), torch.randn(samples, 3), torch.randn(samples, 1)
    expected, = torch.autograd.grad(mse(net(data), target), net.weight)
    parts = [torch.autograd.grad(mse(net(d), t), net.weight)[0] for d, t in zip(data.split(size), target.split(size))]
    sizes, lengths, before = [len(part) for part in data.split(size)], [], len(run.passes)
    net.register_forward_hook(lambda module, inputs, output: lengths.append(len(inputs[0])))
    gradient = run(net, data, target, size)
    passes = run.passes[before:]
    view = passes[-1].view if passes else None
    last = lengths[-1] if lengths else 0        # samples of the part that went through net last
    marked = view.mark(len(view.snapshot.nodes), f"the part has {last} of {samples} samples") if view else None
    if has_numbers(gradient, sum(parts)):
        raise Wrong(f"The gradient is that of the sum of {len(parts)} means: each part counts 1.", marked)
    if has_numbers(gradient, sum(parts) / len(parts)):
        raise Wrong(f"The parts have {', '.join(map(str, sizes[:-1]))} and {sizes[-1]} samples, and each counts 1/{len(parts)}: "
                    f"a sample of the last part counts 1/{len(parts) * sizes[-1]}, each other one 1/{len(parts) * size}.", marked)
    if any(has_numbers(gradient, factor * parts[-1]) for factor in (1, 1 / len(parts), sizes[-1] / samples)):
        raise Wrong("Only the gradient of the last part is there: those of the other parts are gone.")
    same_numbers(gradient, expected, "The gradient")
    if max(lengths, default=0) > size:
        raise Wrong(f"The numbers are right, but {max(lengths)} samples went through net at once: a part has at most {size}.")
    if len(passes) < len(parts):
        raise Wrong(f"The numbers are right, but the graphs of {len(parts)} parts were in memory together.",
                    line=passes[-1].line if passes else "")
    return Idea(f"Every sample counts 1/{samples}, in a small part too: this last part counts {last}/{samples}.", view)


@exercise("04.4")
def the_gradient_of_each_use(run):
    w, h = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0)
    gradients = quietly(run, w, h)      # PyTorch warns of the .grad of a result; the sentence below says it
    expected = [4.0, 6.0, 7.0]
    view = run.passes[-1].view if run.passes else None
    if not isinstance(gradients, (list, tuple)):
        raise Wrong(f"The result is of type {type(gradients).__name__}, and not a list of three gradients.")
    if len(gradients) != 3:
        raise Wrong(f"The list has the length {len(gradients)}, and w is used in 3 steps.")
    for number, gradient in enumerate(gradients, 1):
        if gradient is None:
            raise Wrong(f"Entry number {number} is None: this tensor has kept no gradient.", view)
    if all(has_numbers(gradient, sum(expected)) for gradient in gradients):
        raise Wrong("All three entries are 17: each is w.grad, the sum over all uses.",
                    _marked(view, "w", "one .grad for three uses"))
    if w.grad is None:
        if view and any("w" in tensor.names for tensor in view.snapshot.tensors):
            raise Wrong("w.grad is None: no backward filled it.", view.mark("w", "its .grad is still None"))
        raise Wrong("w.grad is None: no arrow leads from the loss to w.", view)
    if all(has_numbers(*pair) for pair in zip(gradients, reversed(expected))):
        raise Wrong("The three gradients are those of the uses from the last to the first.")
    for number, pair in enumerate(zip(gradients, expected), 1):
        same_numbers(*pair, f"Entry number {number}")
    same_numbers(w.grad, sum(expected), "w.grad")
    return Idea("Each use has a tensor of its own, and its gradient comes there alone: 4 + 6 + 7 = 17, which is w.grad. (The "
                "picture is from before backward.)", view)
