"""The checks of notebook 09, write your own node. They need 64 bits, and say so to each tensor that they make."""

import functools
import inspect

import torch
from torch import nn
from torch.autograd.function import BackwardCFunction, Function
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from ..checking import Wrong, bounded, exercise, has_numbers, in_words, is_tracked, quietly, same_numbers


def _result_of_a_node(run, *inputs):
    y = quietly(run, *inputs)
    function = y if inspect.isclass(y) else type(y)
    if issubclass(function, Function):
        raise Wrong(f"Your function returns a Function, and not its result: call {function.__name__}.apply.")
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


def _backward(y, x, incoming):
    """The gradient of x, or None. An endless loop in the learner's backward is stopped, as one in their function is."""
    handed = incoming.clone()
    call = functools.partial(torch.autograd.grad, y, x, handed, allow_unused=True)
    gradient, = bounded(call, (), followed=_own_backward(y))
    if not torch.equal(handed, incoming):
        raise Wrong("Your backward changes the gradient that it gets in place: compute a new tensor.")
    return gradient


def _gradient(y, x, incoming):
    """As _backward, and what the learner's backward raises becomes a sentence."""
    try:
        return _backward(y, x, incoming)
    except Wrong:
        raise
    except (Exception, SystemExit) as error:
        words = str(error)
        if "incorrect number of gradients" in words:
            raise Wrong("backward must return one thing for each input of forward, with None for what has no gradient."
                        ) from None
        if "corresponding forward input was not a Variable" in words:
            raise Wrong("backward returns its gradients in the order of forward's inputs, with None for a plain number."
                        ) from None
        if "'tuple'" in words:
            raise Wrong("ctx.saved_tensors is a tuple, even of one tensor: write x, = ctx.saved_tensors with a comma."
                        ) from None
        raise Wrong(f"Your backward raised {in_words(error)}.") from None


@exercise("09.1")
def rounding_that_learns(run):
    x = torch.tensor([-1.3, 0.2, 0.9, 2.6], dtype=torch.float64, requires_grad=True)
    numbers, incoming = x.detach(), torch.tensor([2.0, -0.7, 0.3, 1.2], dtype=torch.float64)
    for step in (0.5, 0.3):
        y = _result_of_a_node(run, x, step)
        if has_numbers(y, numbers.round()):
            raise Wrong("These are whole numbers: round to multiples of step.")
        if has_numbers(y, (numbers / step).round()):
            raise Wrong("These numbers are counted in steps: multiply them by step again.")
        same_numbers(y, (numbers / step).round() * step, "The result")
        if not is_tracked(y):
            raise Wrong("The result is not tracked: x must still get a gradient.")
        gradient = _gradient(y, x, incoming)
        if gradient is None:
            raise Wrong("No gradient comes to x: backward must hand on the gradient that it gets.")
        if has_numbers(gradient, torch.zeros(4)):
            raise Wrong("The gradient is 0 everywhere: round is flat, and its own backward lets nothing through.")
        if has_numbers(gradient, torch.ones(4)):
            raise Wrong("The gradient is 1 everywhere: backward must hand on the gradient that it gets, and not make one.")
        if has_numbers(gradient, incoming / step) or has_numbers(gradient, incoming * step):
            raise Wrong("The gradient comes with a factor from step: hand it on as it is.")
        if has_numbers(gradient, incoming.round()) or has_numbers(gradient, (incoming / step).round() * step):
            raise Wrong("The gradient is rounded too: only the result should be.")
        same_numbers(gradient, incoming, "The gradient of x")


class _Made(TorchDispatchMode):
    """Looks at each operation and at what it makes: the products of a matrix, the largest tensor, and all the memory."""

    def __init__(self):
        super().__init__()
        self.products, self.largest, self.memory = 0, 0, []

    def __torch_dispatch__(self, function, types, inputs=(), named=None):
        result = function(*inputs, **(named or {}))
        self.products += function.overloadpacket in (torch.ops.aten.mv, torch.ops.aten.mm)
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
        raise Wrong("The result is not tracked: call the class by its method apply.")
    if not isinstance(y.grad_fn, BackwardCFunction):
        raise Wrong("The result does not come from your Function: mend the class, and return Bump.apply(x).")
    gradient = _gradient(y, leaf, incoming)
    if gradient is None:
        raise Wrong("No gradient comes to x: backward returns None for it.")
    if has_numbers(gradient, -2 * numbers / (1 + numbers ** 2) * incoming):
        raise Wrong("The formula still has its slip: with u = 1 + x², the derivative of 1 / u is -1 / u², times that of u.")
    if has_numbers(gradient, slope):
        raise Wrong("backward does not use the gradient that it gets: multiply by it.")
    if has_numbers(gradient, -slope * incoming):
        raise Wrong("The gradient has the wrong sign: the curve falls where x is positive.")
    same_numbers(gradient, slope * incoming, "The gradient of x")

    for name in ("x", "the result"):
        x = leaf.clone()
        y = quietly(run, x)
        (x if name == "x" else y).detach().mul_(2)
        try:
            gradient = _backward(y, leaf, incoming)
        except RuntimeError as error:
            if "inplace" not in str(error):
                raise
        else:
            if not has_numbers(gradient, slope * incoming):
                raise Wrong(f"The gradient is right, but not guarded: the check changed {name} in place before backward, and "
                            "got a wrong gradient without an error.")

    x = leaf.clone()
    made = _Made()
    with made:
        y = quietly(run, x)
    held = [*made.memory, StorageWeakRef(x.untyped_storage())]
    del x
    _backward(y, leaf, incoming)
    of_the_result = StorageWeakRef(y.untyped_storage())
    if not all(memory == of_the_result or memory.expired() for memory in held):
        raise Wrong("The gradient is right, but a tensor of the forward pass is still in memory after backward: give it to "
                    "save_for_backward.")


@exercise("09.3")
def a_penalty_that_the_weights_feel(run):
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    data, weights = torch.randn(5, 3, dtype=torch.float64), list(net.parameters())
    x = data.clone().requires_grad_()
    out = net(x)
    slope, = torch.autograd.grad(out.sum(), x, create_graph=True)
    fit, penalty = out.square().mean(), (slope.norm(dim=1) - 1).square().mean()
    of_fit = torch.autograd.grad(fit, weights, retain_graph=True)
    of_penalty = torch.autograd.grad(penalty, weights, retain_graph=True, materialize_grads=True)
    others = {
        "The penalty is missing: add it to the loss.": fit,
        "This is the penalty alone: add it to the mean square of the output.": penalty,
        "This is one norm over all rows: each row has a norm of its own, slope.norm(dim=1).": fit + (slope.norm() - 1) ** 2,
        "The norms go down the columns: each row has a norm of its own, slope.norm(dim=1).":
            fit + (slope.norm(dim=0) - 1).square().mean(),
        "The slopes are divided by the number of rows: take them from out.sum(), and not from a mean.":
            fit + (slope.norm(dim=1) / 5 - 1).square().mean(),
        "The penalties of the rows are added up: take their mean.": fit + (slope.norm(dim=1) - 1).square().sum(),
        "Take the square of each row first, and then the mean.": fit + (slope.norm(dim=1).mean() - 1) ** 2,
    }
    others = {sentence: loss.detach() for sentence, loss in others.items()}
    expected = (fit + penalty).detach()
    old = [torch.full_like(weight, 0.5) for weight in weights]
    for weight, gradient in zip(weights, old):
        weight.grad = gradient.clone()
    try:
        loss = quietly(run, net, data)
    except Wrong as wrong:
        if "not have been used" in str(wrong):
            raise Wrong("The output does not depend on what you differentiate by: send x through net, and not data.") from None
        if "differentiated Tensors does not require grad" in str(wrong):
            raise Wrong("data is not tracked: make x = data.clone().requires_grad_(), and send x through net.") from None
        if "scalar outputs" in str(wrong):
            raise Wrong("The output has one number for each row, and a gradient starts at one number: use out.sum().") from None
        raise
    if not all(map(has_numbers, (weight.grad for weight in weights), old)):
        raise Wrong("Your code changes the .grad of the weights: take the slope with torch.autograd.grad, and do not call "
                    "backward.")
    for sentence, number in others.items():
        if has_numbers(loss, number):
            raise Wrong(sentence)
    same_numbers(loss, expected, "The loss")
    if not all(weight.requires_grad for weight in weights):
        raise Wrong("Your code freezes net: it must learn from the loss.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked, so net learns nothing: return it as a tensor with its graph.")
    try:
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    except RuntimeError as error:
        if "second time" not in str(error):
            raise Wrong(f"backward fails on your loss: {in_words(error)}.") from None
        raise Wrong("The graph of your loss is freed: the slope was taken without create_graph=True, which keeps it.") from None
    if not any(isinstance(gradient, torch.Tensor) for gradient in gradients):
        raise Wrong("The loss does not lead back to the weights of net: no part of it may be cut off.")
    gradients = [torch.zeros_like(weight) if gradient is None else gradient for weight, gradient in zip(weights, gradients)]
    if all(map(has_numbers, gradients, of_fit)):
        raise Wrong("No weight feels the penalty: record the slope, with create_graph=True.")
    if all(map(has_numbers, gradients, of_penalty)):
        raise Wrong("The weights feel the penalty only: the mean square of the output is cut off.")
    for (name, _), gradient, fitted, penal in zip(net.named_parameters(), gradients, of_fit, of_penalty):
        same_numbers(gradient, fitted + penal, f"The gradient of net's {name}")


@exercise("09.4")
def the_hessian_times_a_vector(run):
    torch.manual_seed(8)
    size, calls = 60, []
    w = (torch.randn(4, size, dtype=torch.float64) / 10).requires_grad_()
    x, v = torch.randn(size, dtype=torch.float64, requires_grad=True), torch.randn(size, dtype=torch.float64)

    def f(x):
        calls.append(1)
        if len(calls) > 3 * size:
            raise Wrong(f"f was called more than {3 * size} times: once is enough.")
        return (w @ x).tanh().square().sum()

    gradient, = torch.autograd.grad(f(x), x, create_graph=True)
    expected, = torch.autograd.grad(gradient, x, v, retain_graph=True)
    row_sums, = torch.autograd.grad(gradient.sum(), x)
    gradient = gradient.detach()
    calls.clear()
    old = torch.full_like(gradient, 0.5)
    x.grad = old.clone()
    made = _Made()
    try:
        with made:
            product = quietly(run, f, x, v)
    except Wrong as wrong:
        if "differentiated Tensors does not require grad" in str(wrong):
            raise Wrong("What you differentiate by is not tracked: take x itself.") from None
        if "element 0 of tensors does not require grad" in str(wrong):
            raise Wrong("The gradient has no graph, so the second backward cannot start: ask for it with create_graph=True."
                        ) from None
        if "scalar outputs" in str(wrong):
            raise Wrong("The gradient has many numbers, and backward must start at one, or get v to start with.") from None
        raise
    if has_numbers(product, gradient):
        raise Wrong("This is the gradient of f: a second backward is missing.")
    if has_numbers(product, gradient * v) or has_numbers(product, gradient @ v):
        raise Wrong("This is the gradient times v: go backward through it once more.")
    if has_numbers(product, row_sums):
        raise Wrong("v is missing: start the second backward with it.")
    if has_numbers(product, row_sums * v):
        raise Wrong("v comes too late: the second backward must start with it.")
    if has_numbers(product, old + expected) or has_numbers(product, old + gradient + expected):
        raise Wrong("The result is added to what was in x.grad before: use torch.autograd.grad, which leaves .grad alone.")
    same_numbers(product, expected, "The result")
    if not has_numbers(x.grad, old) or w.grad is not None:
        raise Wrong("The numbers are right, but .grad of x or of a weight in f is changed: use torch.autograd.grad.")
    if len(calls) > 1:
        raise Wrong(f"The numbers are right, but f was called {len(calls)} times: once is enough.")
    if made.largest >= size ** 2:
        raise Wrong("The numbers are right, but the whole Hessian was in memory: start the second backward with v.")
    if made.products >= size:
        raise Wrong("The numbers are right, but each row of the Hessian took a pass of its own: start one pass with v.")
