"""An autograd of our own, with PyTorch's names: two classes, and the functions that notebook 12 lets its reader write.

Each of these functions is the course's answer to one exercise. In `plugged`, those of a reader take their places. The names are
those of PyTorch wherever it has one.
"""

import contextlib
import functools
import itertools

import torch


class Value:
    """A tensor of ours: PyTorch does not track it.

    data: its numbers, an untracked tensor.
    requires_grad: whether it is tracked.
    grad: what backward has left here: a tensor, or None.
    grad_fn: the node of the operation that made it, or None.
    grad_accumulator: the node that adds to its `grad`.
    """

    def __init__(self, data, requires_grad=False):
        self.data = torch.as_tensor(data, dtype=torch.float32)
        self.requires_grad = requires_grad
        self.grad, self.grad_fn = None, None
        self.grad_accumulator = AccumulateGrad(self)

    def __add__(self, other):
        return operation(add_backward, self.data + other.data, [self, other], saved=[])

    def __mul__(self, other):
        return operation(mul_backward, self.data * other.data, [self, other], saved=[self.data, other.data])

    def __matmul__(self, other):
        return operation(matmul_backward, self.data @ other.data, [self, other], saved=[self.data, other.data])

    def tanh(self):
        result = self.data.tanh()
        return operation(tanh_backward, result, [self], saved=[result])

    def mean(self):
        return operation(functools.partial(mean_backward, self.data.shape), self.data.mean(), [self], saved=[])

    def gradient_edge(self):
        return gradient_edge(self)

    def detach(self):
        return detach(self)

    def backward(self, retain_graph=False):
        run_backward(order(self.grad_fn), torch.ones_like(self.data), retain_graph)


class Node:
    """An operation that was recorded. Called with the gradient of its result, it returns one for each input.

    rule: how it does so, a function of the gradient and of what was saved.
    next_functions: for each input, the node that its gradient goes to, or None.
    saved: the tensors that the rule needs; None when they were freed.
    shape: of its result.
    sequence_nr: grows from node to node as they are made.
    """

    count = itertools.count()

    def __init__(self, rule, next_functions, saved, shape):
        self.rule, self.next_functions, self.saved, self.shape = rule, next_functions, saved, shape
        self.sequence_nr = next(Node.count)

    def __call__(self, gradient, retain_graph=True):
        sent = evaluate(self, gradient, retain_graph)
        return [None if to is None else sum_to(gradient, to.shape) for to, gradient in zip(self.next_functions, sent)]

    def __repr__(self):
        return f"<{getattr(self.rule, 'func', self.rule).__name__}>"


class AccumulateGrad(Node):
    """The node of a leaf. It sends nothing on. variable: the leaf."""

    def __init__(self, variable):
        super().__init__(None, [], [], variable.data.shape)
        self.variable = variable

    def __call__(self, gradient, retain_graph=True):
        accumulate(self.variable, gradient)
        return []

    def __repr__(self):
        return "<AccumulateGrad>"


class grad_mode:
    """enabled: whether operations are recorded."""

    enabled = True


def operation(rule, result, inputs, saved):
    return record(rule, result, inputs, saved) if grad_mode.enabled else Value(result)


def add_backward(gradient):
    return gradient, gradient


def tanh_backward(gradient, result):
    return gradient * (1 - result * result),


def mean_backward(shape, gradient):
    return gradient.expand(shape) / shape.numel(),


def gradient_edge(value):
    if value.grad_fn is not None:
        return value.grad_fn
    return value.grad_accumulator if value.requires_grad else None


def record(rule, result, inputs, saved):
    value = Value(result, any(value.requires_grad for value in inputs))
    if value.requires_grad:
        value.grad_fn = Node(rule, [value.gradient_edge() for value in inputs], saved, result.shape)
    return value


def mul_backward(gradient, a, b):
    return gradient * b, gradient * a


def order(root):
    nodes = [root]
    for node in nodes:
        for following in node.next_functions:
            if following is not None and following not in nodes:
                nodes.append(following)
    return sorted(nodes, key=lambda node: node.sequence_nr, reverse=True)


def run_backward(nodes, gradient, retain_graph):
    arrived = {nodes[0]: gradient}
    for node in nodes:
        sent = node(arrived[node], retain_graph)
        for following, gradient in zip(node.next_functions, sent):
            if following in arrived:
                arrived[following] = arrived[following] + gradient
            elif following is not None:
                arrived[following] = gradient


def accumulate(leaf, gradient):
    leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient


def evaluate(node, gradient, retain_graph):
    if node.saved is None:
        raise RuntimeError("this graph was freed: use retain_graph=True the first time")
    sent = node.rule(gradient, *node.saved)
    if node.saved and not retain_graph:
        node.saved = None
    return sent


def detach(value):
    return Value(value.data)


def no_grad():
    before = grad_mode.enabled
    grad_mode.enabled = False
    try:
        yield
    finally:
        grad_mode.enabled = before


def matmul_backward(gradient, a, b):
    return gradient @ b.T, a.T @ gradient


def sum_to(gradient, shape):
    while gradient.dim() > len(shape):
        gradient = gradient.sum(0)
    for dim, size in enumerate(shape):
        if size < gradient.shape[dim]:
            gradient = gradient.sum(dim, keepdim=True)
    return gradient


def step(loss, parameters, lr):
    loss.backward()
    for parameter in parameters:
        parameter.data -= lr * parameter.grad
        parameter.grad = None


yours: set[str] = set()       # the names of those functions that a reader has written, and that the last check has found right


@contextlib.contextmanager
def plugged(**parts):
    """Within it, these functions stand in the place of those of the same name above."""
    before = {name: globals()[name] for name in parts}
    globals().update(parts)
    try:
        yield
    finally:
        globals().update(before)
