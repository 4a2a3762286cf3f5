"""The checks of notebook 09, write your own node. They need 64 bits, and say so to each tensor that they make."""

import functools
import inspect
import re

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd.function import BackwardCFunction, Function
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from seegrad.snapshot import FREED

from ..checking import Idea, Wrong, bounded, exercise, has_numbers, in_words, is_tracked, quietly, same_numbers

MOST_PASSES = 3     # for H · v: two are enough, and PyTorch's own function hvp takes three


def _result_of_a_node(run, *inputs):
    y = quietly(run, *inputs)
    function = y if inspect.isclass(y) else type(y)
    if issubclass(function, Function):
        what = "the class" if inspect.isclass(y) else "an object of the class"
        raise Wrong(f"The result is {what} {function.__name__}, and no tensor.")
    return y


def _own_backward(y):
    """The backward of a node behind y that the learner has written, or None where there is no such node."""
    nodes = [y.grad_fn] if y.grad_fn is not None else []
    seen = set(nodes)
    for node in nodes:      # the list grows
        if isinstance(node, BackwardCFunction):
            return inspect.unwrap(node._forward_cls.backward)
        new = [following for following, _ in node.next_functions if following is not None and following not in seen]
        seen.update(new)
        nodes.extend(new)
    return None


def _marked(view, ends, words):
    """A picture with a mark on its last node whose name ends so, where there is one. PyTorch's own names end with a digit."""
    number = max((number for number, node in enumerate(view.snapshot.nodes, 1) if node.name.endswith(ends)), default=0)
    return view.mark(number, words) if number else view


def _backward(y, x, incoming, view):
    """The gradient of x, or None. An endless loop in the learner's backward is stopped, as one in their function is."""
    handed = incoming.clone()
    call = functools.partial(torch.autograd.grad, y, x, handed, allow_unused=True)
    gradient, = bounded(call, (), followed=_own_backward(y))
    if not torch.equal(handed, incoming):
        raise Wrong("Your backward changes the gradient that it gets in place.",
                    _marked(view, "Backward", "changes the gradient that it gets"))
    return gradient


def _gradient(y, x, incoming, view):
    """As _backward, and what the learner's backward raises becomes a sentence. view: the picture for it."""
    try:
        return _backward(y, x, incoming, view)
    except Wrong:
        raise
    except (Exception, SystemExit) as error:
        found = re.search(r"incorrect number of gradients \(expected (\d+), got (\d+)\)", str(error))
        sentence = f"Your backward raised {in_words(error)}."
        if found:
            sentence = f"forward has {found[1]} inputs, and backward returns {found[2]} of their gradients."
        if "corresponding forward input was not a Variable" in str(error):
            sentence = "backward returns a gradient for an input of forward that is no tensor."
        raise Wrong(sentence, _marked(view, "Backward", "its backward failed")) from None


@exercise("09.1")
def rounding_that_learns(run):
    x = torch.tensor([-1.3, 0.2, 0.9, 2.6], dtype=torch.float64, requires_grad=True)
    numbers, incoming = x.detach(), torch.tensor([2.0, -0.7, 0.3, 1.2], dtype=torch.float64)
    for step in (0.5, 0.3):
        y = _result_of_a_node(run, x, step)
        if has_numbers(y, numbers.round()):
            raise Wrong(f"With step = {step}, the result has whole numbers.")
        if has_numbers(y, (numbers / step).round()):
            raise Wrong(f"The result counts the steps: with step = {step}, {numbers[0]:.1f} became {y[0]:.0f}.")
        same_numbers(y, (numbers / step).round() * step, "The result")
        if not is_tracked(y):
            raise Wrong("The result is not tracked: no graph leads from it to x.")
        view, lines = run.show({"x": x, "y": y})
        gradient = _gradient(y, x, incoming, view)
        if gradient is None:
            raise Wrong("No gradient comes to x.", view.mark("x", "no gradient comes here"))
        if has_numbers(gradient, torch.zeros(4)):
            raise Wrong("The gradient of x is 0 everywhere.", _marked(view, "RoundBackward0", "sends 0 on"),
                        next((lines[number] for number, node in enumerate(view.snapshot.nodes, 1)
                              if node.name == "RoundBackward0" and number in lines), ""))
        if has_numbers(gradient, torch.ones(4)):
            raise Wrong("The gradient of x is 1 everywhere, whatever gradient comes in.",
                        _marked(view, "Backward", "sends 1 on"))
        if has_numbers(gradient, incoming / step) or has_numbers(gradient, incoming * step):
            raise Wrong("The gradient of x is that of the result, with a factor that comes from step.", view)
        if has_numbers(gradient, incoming.round()) or has_numbers(gradient, (incoming / step).round() * step):
            raise Wrong("The gradient of x is rounded.", _marked(view, "Backward", "rounds the gradient"))
        same_numbers(gradient, incoming, "The gradient of x")
    return Idea("Forward rounds, and backward hands the gradient on as it is.", view)


class _Made(TorchDispatchMode):
    """Looks at what each operation makes: the largest tensor, and all the memory."""

    def __init__(self):
        super().__init__()
        self.largest, self.memory = 0, []

    def __torch_dispatch__(self, function, types, inputs=(), named=None):
        result = function(*inputs, **(named or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self.largest = max(self.largest, tensor.numel())
                self.memory.append(StorageWeakRef(tensor.untyped_storage()))
        return result


@exercise("09.2")
def a_node_that_is_guarded_and_freed(run):
    leaf = torch.tensor([-1.5, -0.4, 0.0, 0.8, 2.0], dtype=torch.float64, requires_grad=True)
    numbers, incoming = leaf.detach(), torch.tensor([2.0, -0.7, 0.3, 1.2, 0.6], dtype=torch.float64)
    slope = -2 * numbers / (1 + numbers ** 2) ** 2
    y = _result_of_a_node(run, leaf)
    same_numbers(y, 1 / (1 + numbers ** 2), "The result")
    if not is_tracked(y):
        raise Wrong("The result is not tracked: no graph leads from it to x.")
    view, _ = run.show({"x": leaf, "y": y})
    if not isinstance(y.grad_fn, BackwardCFunction):
        raise Wrong("The result comes from nodes of PyTorch, and not from a Function of yours.", view)
    gradient = _gradient(y, leaf, incoming, view)
    if gradient is None:
        raise Wrong("No gradient comes to x: backward returns None for it.", view.mark("x", "no gradient comes here"))
    if has_numbers(gradient, slope):
        raise Wrong("backward sends on the same numbers, whatever gradient comes in.",
                    _marked(view, "Backward", "does not use the gradient that it gets"))
    if gradient.shape == slope.shape and not has_numbers(gradient, slope * incoming):
        says = gradient / incoming
        i = (says - slope).abs().argmax()
        raise Wrong(f"At x = {numbers[i]:g}, the slope of forward is {slope[i]:.3g}. backward says {says[i]:.3g}.",
                    _marked(view, "Backward", "forward and backward do not fit"))
    same_numbers(gradient, slope * incoming, "The gradient of x")

    for name in ("x", "y"):
        x = leaf.clone()
        y = quietly(run, x)
        (x if name == "x" else y).detach().mul_(2)
        view, _ = run.show({"leaf": leaf, "x": x, "y": y})
        try:
            gradient = _backward(y, leaf, incoming, view)
        except RuntimeError as error:
            if "inplace" not in str(error):
                raise
        else:
            if not has_numbers(gradient, slope * incoming):
                raise Wrong(f"The formula is right. But the check changed {name} in place before backward: the gradient "
                            "was wrong, and no error came.", _marked(view, "Backward", f"has not noticed that {name} changed"))

    x = leaf.clone()
    made = _Made()
    with made:
        y = quietly(run, x)
    held = {*made.memory, StorageWeakRef(x.untyped_storage())}
    del x
    _backward(y, leaf, incoming, view)
    held = {memory for memory in held if not memory.expired()} - {StorageWeakRef(y.untyped_storage())}
    view, _ = run.show({"leaf": leaf, "y": y})
    if held:
        raise Wrong("The gradient is right. But after backward, a tensor of the forward pass is still in memory.",
                    _marked(view, "Backward", "still holds it"))
    return Idea("backward fits to forward. What the node saves is guarded by its version, and freed by backward.", view)


@exercise("09.3")
def a_penalty_that_the_weights_feel(run):
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 1, bias=False)).double()
    data, weights = torch.randn(5, 3, dtype=torch.float64), dict(net.named_parameters(prefix="net"))
    x = data.clone().requires_grad_()
    out = net(x)
    slope, = torch.autograd.grad(out.sum(), x, create_graph=True)
    fit, penalty = out.square().mean(), (slope.norm(dim=1) - 1).square().mean()
    of_fit, of_penalty = (torch.autograd.grad(part, list(weights.values()), retain_graph=True) for part in (fit, penalty))
    others = {
        "The loss is the mean square of the output alone.": fit,
        "The loss is the penalty alone.": penalty,
        "The penalty has one norm, over all rows together.": fit + (slope.norm() - 1) ** 2,
        "The penalty has a norm for each column.": fit + (slope.norm(dim=0) - 1).square().mean(),
        "The slopes are divided by the number of rows.": fit + (slope.norm(dim=1) / 5 - 1).square().mean(),
        "The penalties of the rows are added up.": fit + (slope.norm(dim=1) - 1).square().sum(),
        "The norms are averaged first, and squared after that.": fit + (slope.norm(dim=1).mean() - 1) ** 2,
    }
    others = {sentence: loss.detach() for sentence, loss in others.items()}
    expected = (fit + penalty).detach()
    filled, outputs = _filled(run, weights), []
    net.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    loss = quietly(run, net, data)
    _left_alone(weights, filled)
    for sentence, number in others.items():
        if has_numbers(loss, number):
            raise Wrong(sentence)
    same_numbers(loss, expected, "The loss")
    if not all(weight.requires_grad for weight in weights.values()):
        raise Wrong("The weights of net are not tracked any more.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked, so no weight can learn from it.")
    # In torch.func, net gets and makes tensors of other kinds.
    out = next((output for output in reversed(outputs) if is_tracked(output) and not is_functorch_wrapped_tensor(output)), loss)
    view, _ = run.show({"loss": loss, "out": out, **weights})
    try:
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise Wrong(f"backward from your loss raises {in_words(error)}.", view) from None
        number, slot = next((number, slot.name) for number, node in reversed([*enumerate(view.snapshot.nodes, 1)])
                            for slot in node.saved if slot.state == FREED)
        raise Wrong("backward from your loss fails: it comes to a node whose saved tensors were freed before.",
                    view.mark(number, "freed by an earlier backward", slot=slot), run.passes[0].line) from None
    if not any(isinstance(gradient, torch.Tensor) for gradient in gradients):
        raise Wrong("No way leads from the loss back to the weights.", view.mark("loss", "no way leads from here to net"))
    gradients = [torch.zeros_like(weight) if gradient is None else gradient
                 for weight, gradient in zip(weights.values(), gradients)]
    if all(map(has_numbers, gradients, of_fit)):
        raise Wrong("The penalty is in the loss, and no weight gets a gradient from it.",
                    view.mark("loss", "no way leads from here through the slope"))
    if all(map(has_numbers, gradients, of_penalty)):
        raise Wrong("The mean square is in the loss, and no weight gets a gradient from it.",
                    view.mark("loss", "no way leads from here through the mean square"))
    for name, gradient, fitted, penal in zip(weights, gradients, of_fit, of_penalty):
        same_numbers(gradient, fitted + penal, f"The gradient of {name}")
    return Idea("The slope was recorded. So two ways lead from the loss to the weights: the output, and the slope.",
                view)


def _filled(run, leaves):
    """Fill the .grad of leaves. A list that gets, for each gradient added to one, the name, and the line that did it."""
    found = []
    for name, leaf in leaves.items():
        leaf.grad = torch.full_like(leaf, 0.5)
        leaf.register_post_accumulate_grad_hook(lambda leaf, name=name: found.append((name, run.passes[-1].line)))
    return found


def _left_alone(leaves, filled):
    """Refuse what has changed the .grad of leaves. filled: as _filled gives it."""
    for name, line in filled:
        raise Wrong(f"A gradient was added to the .grad of {name}.", line=line)
    for name, leaf in leaves.items():
        if not has_numbers(leaf.grad, torch.full_like(leaf, 0.5)):
            raise Wrong(f"The .grad of {name} is not what it was before.")


@exercise("09.4")
def the_hessian_times_a_vector(run):
    torch.manual_seed(8)
    size, calls = 60, []
    w = (torch.randn(4, size, dtype=torch.float64) / 10).requires_grad_()
    x, v = torch.randn(size, dtype=torch.float64, requires_grad=True), torch.randn(size, dtype=torch.float64)

    def f(x):
        calls.append(1)
        if len(calls) > 3 * size:
            raise Wrong(f"f was called more than {3 * size} times.")
        return (w @ x).tanh().square().sum()

    gradient, = torch.autograd.grad(f(x), x, create_graph=True)
    expected, = torch.autograd.grad(gradient, x, v, retain_graph=True)
    row_sums, = torch.autograd.grad(gradient.sum(), x)
    gradient = gradient.detach()
    calls.clear()
    leaves = {"x": x, "a weight in f": w}
    filled = _filled(run, leaves)
    before = x.grad.clone()
    run.names = {"x": x, "w": w, "v": v}
    with _Made() as made:
        product = quietly(run, f, x, v)
    for sentence, numbers in {
            "The result is the gradient of f.": [gradient],
            "The result is the gradient of f, times v.": [gradient * v, gradient @ v],
            "The result is H · (1, 1, …, 1), and not H · v.": [row_sums],
            "The result is H · (1, 1, …, 1), and then times v.": [row_sums * v],
            "The result is H · v, and what was in x.grad before is added to it.": [before + expected,
                                                                                   before + gradient + expected],
    }.items():
        if any(has_numbers(product, number) for number in numbers):
            raise Wrong(sentence)
    same_numbers(product, expected, "The result")
    _left_alone(leaves, filled)
    if len(calls) > 1:
        raise Wrong(f"The numbers are right. But f was called {len(calls)} times.")
    if len(run.passes) > MOST_PASSES:
        second = run.passes[1]
        raise Wrong(f"The numbers are right. But {len(run.passes)} backward passes ran. This is the graph of the second one.",
                    second.view, second.line)
    if made.largest >= size ** 2:
        raise Wrong(f"The numbers are right. But a tensor with {made.largest:,} numbers was in memory: that is all of H.")
    return Idea("A backward pass may start with any vector. Started with v, it gives H · v, and no row of H.",
                run.last_pass().view)
