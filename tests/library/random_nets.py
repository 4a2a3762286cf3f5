"""Random nets: the same seed gives the same net, and an account of which call of a module made which node.

The account asks neither seegrad nor PyTorch's numbers. It keeps a stack of the modules that run, and after each operation it
gives the nodes that are new to the innermost of them.
"""

import random

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.overrides import TorchFunctionMode

WIDTH = 4


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


def first(result):
    """The first tensor of what a module returns."""
    while not isinstance(result, torch.Tensor):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return result


class Part(nn.Module):
    """It takes one tensor or two, and does its steps, which are pairs of a method and a number."""

    def __init__(self, draw, depth, shared):
        super().__init__()
        self.layers = nn.ModuleList(self.layer(draw, depth, shared) for _ in range(draw.randint(1, 3)))
        self.loose = [nn.Linear(WIDTH, WIDTH)]      # in a list of Python: no part of the net
        self.returns = draw.choice(["tensor", "tensor", "tuple", "dict"])
        kinds = ["call"] * 4 + ["again", "function", "residual", "in_place", "in_a_view", "view", "without", "custom",
                                "not_in_net"]
        self.steps = [(draw.choice(kinds), draw.randrange(9)) for _ in range(draw.randint(2, 6))]

    @staticmethod
    def layer(draw, depth, shared):
        kinds = ["linear", "linear", "small", "shared", "normed", "dropout"] + ["part", "row"] * 2 * (depth > 0)
        kind = draw.choice(kinds)
        match kind:
            case "linear":
                layer = nn.Linear(WIDTH, WIDTH, bias=draw.random() < 0.7)
            case "small":
                layer = draw.choice([nn.Tanh, nn.Identity, lambda: nn.LayerNorm(WIDTH)])()
            case "shared":
                layer = draw.choice(shared)
            case "normed":
                layer = parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))
            case "dropout":
                layer = nn.Dropout(0.3)
            case "part":
                layer = Part(draw, depth - 1, shared)
            case "row":
                layer = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(draw.randint(1, 7))))
        if draw.random() < 0.15:
            layer.register_forward_pre_hook(lambda module, given: (given[0] * 1.5, *given[1:]))
        if draw.random() < 0.15:
            layer.register_forward_hook(lambda module, given, result: result + 1 if isinstance(result, torch.Tensor) else None)
        if kind != "part" and draw.random() < 0.1:      # PyTorch warns where a dict is returned
            layer.register_full_backward_hook(lambda module, inputs, outputs: None)
        return layer

    def forward(self, x, other=None):
        h = x if other is None else x + other
        for kind, number in self.steps:
            h = getattr(self, kind)(h, number)
        return {"tensor": h, "tuple": (h, h * 3), "dict": {"h": h, "number": 7}}[self.returns]

    def call(self, h, number):
        return first(self.layers[number % len(self.layers)](h))

    def again(self, h, number):
        for _ in range(2 + number % 5):
            h = self.call(h, number)
        return h

    def function(self, h, number):
        return [torch.tanh, torch.sin, lambda h: h.softmax(-1), lambda h: h @ h.t() @ h, lambda h: h * h.sum()][number % 5](h)

    def residual(self, h, number):
        return h + self.call(h, number)

    def in_place(self, h, number):
        h = h * 1
        return [h.add_, h.mul_][number % 2](0.5)

    def in_a_view(self, h, number):
        h = h * 1
        part = [h[0], h.view(-1), h[:, 1:]][number % 3]
        (part.detach() if number > 7 else part).mul_(0.5)
        return h + part.sum()

    def view(self, h, number):
        return [lambda: h.view(-1).view(h.shape), lambda: h.t().t(), lambda: torch.stack(h.unbind(0))][number % 3]()

    def without(self, h, number):
        with torch.no_grad():
            factor = self.call(h, number)
        return h * factor

    def custom(self, h, number):
        return Double.apply(h)

    def not_in_net(self, h, number):
        return self.loose[0](h)


class Net(nn.Module):
    def __init__(self, draw):
        super().__init__()
        shared = [nn.Linear(WIDTH, WIDTH), nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())]
        self.trunk = Part(draw, 2, shared)
        self.branches = nn.ModuleDict({name: Part(draw, 1, shared) for name in draw.sample(["left", "right", "1"], 2)})
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, a, b):
        h = first(self.trunk(a, b))
        return [self.head(first(branch(h))) for branch in self.branches.values()]


class RandomNet:
    """A net, and what is done with it.

    net: the module.
    inputs: two tensors.
    """

    def __init__(self, seed):
        self.draw = random.Random(seed)
        torch.manual_seed(seed)
        self.net = Net(self.draw)
        for parameter in self.net.parameters():
            parameter.requires_grad_(self.draw.random() < 0.85)
        self.net.head.weight.requires_grad_(True)
        self.inputs = [torch.randn(3, WIDTH, requires_grad=self.draw.random() < 0.3) for _ in range(2)]
        self.ending = self.draw.randrange(3)

    def run(self):
        """The results: one loss by modules of its own, or by functions, or what the net returns."""
        left, right = self.net(*self.inputs)
        match self.ending:
            case 0:
                return [nn.MSELoss()(left * 2, right.detach()) + nn.L1Loss()(right, torch.zeros(3, WIDTH))]
            case 1:
                return [(left * right).sum()]
        return [left, right]


class Account(TorchFunctionMode):
    """What the modules make, while it runs.

    found: for the id of a node, the node, and the calls in which it was made, the outermost first: each a list of the path in the
        net, None where it is no part of the net, and the class.
    """

    def __init__(self, net):
        super().__init__()
        self.paths, self.stack, self.found = {}, [], {}
        for path, module in net.named_modules(remove_duplicate=False):
            self.paths.setdefault(module, []).append(path)

    def __enter__(self):
        self.call = call = nn.Module.__call__

        def counted(module, *args, **kwargs):
            with torch._C.DisableTorchFunction():
                self.see(args)
            paths = self.paths.get(module)
            self.stack.append([paths and " = ".join(paths), type(module).__name__])
            try:
                result = call(module, *args, **kwargs)
                with torch._C.DisableTorchFunction():
                    self.see(result)
                return result
            finally:
                self.stack.pop()

        nn.Module.__call__ = counted
        return super().__enter__()

    def __exit__(self, *error):
        nn.Module.__call__ = self.call
        return super().__exit__(*error)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.see((args, result))
        return result

    def see(self, values):
        if isinstance(values, (list, tuple)):
            for value in values:
                self.see(value)
        elif isinstance(values, dict):
            self.see(list(values.values()))
        elif isinstance(values, torch.Tensor):
            pending = [values.grad_fn]
            while pending:
                node = pending.pop()
                if node is not None and id(node) not in self.found:
                    self.found[id(node)] = node, tuple(self.stack)
                    pending += [other for other, _ in node.next_functions]
