"""Random autograd graphs: the same seed and steps give the same graph, with the same values, in every process.

    graph = random_graph(7, ["split", "binary"])
    show_graph(*graph.outputs, **graph.named)
"""

import math
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass

import hypothesis
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

STEPS = ["elementwise", "binary", "matmul", "view", "select", "split", "listed", "several_results", "in_place",
         "unseen_change", "detach", "custom", "packed", "untracked", "hook", "odd"]

torch.set_num_threads(1)        # of six numbers a second thread only makes the first one wait


@dataclass
class RandomGraph:
    """A graph, and what a test needs of it.

    outputs: tensors to be given without a name.
    named: tensors to be given with one, by name: leaves, results, and tensors outside the graph.
    tensors: every tensor that was made on the way.
    leaves: those that are tracked.
    fired: how often each kind of hook has run so far.
    """

    outputs: list
    named: dict
    tensors: list
    leaves: list
    fired: Counter


def random_graph(seed, steps=None):
    """steps: names of STEPS. Without them, the seed chooses these too."""
    draw = random.Random(seed)
    return _Builder(seed).build(draw.choices(STEPS, k=draw.randint(2, 14)) if steps is None else steps)


@st.composite
def some_steps(draw):
    """The name of a step for each number but 0. To 0 hypothesis shrinks what a failure does not need."""
    names = [None, *STEPS]
    # Bytes, drawn at once: of numbers drawn one by one hypothesis copies some over others, and the graphs differ less.
    return tuple(filter(None, (names[n % len(names)] for n in draw(st.binary(min_size=3, max_size=14)))))


# A seed below 100: hypothesis strews in larger numbers from the modules at hand, which are not the same in each run.
GRAPHS = given(seed=st.integers(0, 99), steps=some_steps())
SETTINGS = settings(derandomize=True, deadline=None, database=None, print_blob=False, report_multiple_bugs=False,
                    phases=[Phase.generate, Phase.shrink])
set_hypothesis_home_dir(os.devnull)     # where it would write down the numbers of the modules


def each_graph(number):
    """Run a test with the `seed` and the `steps` of so many graphs, and some more. A failure names a graph of few steps.

    One hypothesis.seed for all tests: they get the same graphs, and find in a cache what another drew or played.
    """
    more = settings(SETTINGS, max_examples=number * 11 // 10)       # it begins with some that have no steps
    return lambda test: hypothesis.seed(2)(more(GRAPHS(test)))


def run_backward(graph):
    """Backward from every output. Return what is left behind: the errors, and the gradient of every leaf as bytes."""
    errors = []
    for output in graph.outputs:
        try:
            output.sum().backward(retain_graph=True)
        except RuntimeError as error:
            errors.append(str(error))
    return errors, [gradient_bytes(leaf) for leaf in graph.leaves]


def gradient_bytes(tensor):
    """Its .grad to the last bit, or None. Where only a leaf may be asked without a warning, others have none."""
    gradient = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    return None if gradient is None else gradient.detach().numpy().tobytes()


def _remember(ctx, *tensors):
    """Save tensors, and note the version of each, so that a test knows later which one was changed in place."""
    ctx.save_for_backward(*tensors)
    ctx.versions = [t if t is None else t._version for t in tensors]


class SavesNothing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 3


class SavesInputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        _remember(ctx, x, y)
        return x * y

    @staticmethod
    def backward(ctx, gradient):
        x, y = ctx.saved_tensors
        return gradient * y, gradient * x


class SavesResult(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x.tanh()
        _remember(ctx, result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        result, = ctx.saved_tensors
        return gradient * (1 - result * result)


class SavesWithNone(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x.sin()
        _remember(ctx, x, None, result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        x, _, _ = ctx.saved_tensors
        return gradient * x.cos()


class ThreeResults(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, number):
        up, whole = x * number, x.round()
        ctx.mark_non_differentiable(whole)
        ctx.number = number
        _remember(ctx, up)
        return up, whole, x - 1

    @staticmethod
    def backward(ctx, gradient, _, other):
        return gradient * ctx.number + other, None


class ChangesItsInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class _Builder:
    """Tensors to compute with have six elements, so that any two fit together after a reshape."""

    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.pool, self.aside, self.leaves, self.tensors = [], [], [], []
        self.cut = set()        # storages of which a view from a split is alive: PyTorch guards them against change
        self.fired = Counter()

    def build(self, steps):
        for _ in range(self.random.randint(1, 3)):
            self.leaf()
        whole, done = self.random, Counter()
        for step in steps:
            # Each step chooses by itself: where others are left out, it stays as it was.
            self.random = random.Random(f"{self.seed} {step} {done[step]}")
            done[step] += 1
            getattr(self, step)()
        self.random = whole
        if self.random.random() < 0.5:
            self.seen_change()
        outputs = [self.output() for _ in range(self.random.randint(1, 2))]
        # In a thread of its own: the thread of a backward that failed holds the nodes that still had to run.
        ending = threading.Thread(target=self.end, args=[outputs])
        ending.start()
        ending.join()
        candidates = [t for t in self.tensors if can_be_asked(t)]
        named = {f"{self.random.choice('xywh')}{i}": self.random.choice(candidates)
                 for i in range(self.random.randint(0, 6))}
        if named and self.random.random() < 0.7:
            named["alias"] = self.alias(self.random.choice(list(named.values())))
            self.tensors.append(named["alias"])
        return RandomGraph(outputs, named, self.tensors, self.leaves, self.fired)

    def end(self, outputs):
        """Leave the graph whole, free a part of it, free all of it, or run through it and retain it."""
        try:
            match self.random.randrange(4):
                case 1:
                    torch.autograd.grad(self.pick().sum(), self.random.choice(self.leaves), allow_unused=True)
                case 2:
                    for output in outputs:
                        output.sum().backward()
                case 3:
                    outputs[0].sum().backward(retain_graph=True)
        except RuntimeError:
            pass        # freed or changed in place: the backward stops on its way, and leaves such a graph behind

    # What the steps are made of

    def pick(self):
        return self.random.choice(self.pool if self.random.random() < 0.4 else self.pool[-3:])

    def rows(self):
        return self.pick().reshape(2, 3)

    def keep(self, tensor):
        self.tensors.append(tensor)
        if tensor.numel() == 6 and tensor.is_floating_point():
            self.pool.append(tensor)
        else:
            self.aside.append(tensor)
        return tensor

    def random_tensor(self, *shape):
        return torch.randn(*shape, generator=self.generator)

    def leaf(self, *shape):
        leaf = self.random_tensor(*shape or self.random.choice([(2, 3), (3, 2), (6,), (1, 6)]))
        if self.random.random() < 0.15:
            leaf = leaf.double()
        if self.random.random() < 0.3:
            leaf = nn.Parameter(leaf)
        self.leaves.append(leaf.requires_grad_())
        return self.keep(leaf)

    # The steps

    def elementwise(self):
        operation = self.random.choice([torch.sin, torch.tanh, torch.sigmoid, torch.relu, torch.abs, torch.square,
                                        F.softplus, torch.clone, lambda x: (-x.abs()).exp(), lambda x: 2 * x + 1,
                                        lambda x: x.to(torch.float64), lambda x: x.softmax(-1), lambda x: x.cumsum(-1)])
        return self.keep(operation(self.pick()))

    def binary(self):
        a, b = self.pick(), self.pick()
        if a.shape != b.shape:
            b = b.reshape(a.shape)
        operation = self.random.choice([torch.add, torch.sub, torch.mul, torch.mul, torch.minimum, torch.atan2,
                                        lambda a, b: torch.where(a > 0, a, b), lambda a, b: a * a.detach() + b])
        return self.keep(operation(a, b))

    def matmul(self):
        a = self.rows().float()
        weight = self.leaf(3, 3).float()
        match self.random.randrange(3):
            case 0:
                self.keep(a @ weight)
            case 1:
                self.keep(F.linear(a, weight, self.leaf(3).float()))
            case 2:
                self.keep(F.linear(a, weight))

    def view(self):
        a = self.pick()
        operation = self.random.choice([lambda x: x.reshape(3, 2), lambda x: x.reshape(6), lambda x: x.reshape(2, 3).t(),
                                        lambda x: x.reshape(2, 3).transpose(0, 1), lambda x: x.unsqueeze(0),
                                        lambda x: x.squeeze(), lambda x: x.reshape(2, 3).view(torch.Size([1, 6]))
                                        if x.is_contiguous() else x[...], lambda x: x.view_as(x)])
        return self.keep(operation(a))

    def select(self):
        rows = self.rows()
        row = self.keep(self.random.choice([lambda: rows.select(0, 1), lambda: rows[0], lambda: rows.narrow(0, 1, 1)])())
        self.keep(torch.stack([row.reshape(3), rows[0]]))

    def split(self):
        rows = self.rows()
        parts = self.random.choice([lambda: rows.unbind(0), lambda: rows.chunk(2), lambda: rows.split([1, 1]),
                                    lambda: rows.tensor_split(2)])()
        self.cut.add(rows.untyped_storage().data_ptr())
        first, second = map(self.keep, parts)
        if self.random.random() < 0.7:
            self.keep(torch.cat([first * second, second]))

    def listed(self):
        a, b = self.pick().reshape(6), self.pick().reshape(6)
        index = torch.tensor([self.random.randrange(6) for _ in range(6)])
        self.aside.append(index)
        self.tensors.append(index)
        operation = self.random.choice([lambda: torch.cat([a[:3], b[3:]]), lambda: torch.stack([a[:3], b[:3]]),
                                        lambda: a[index], lambda: a.reshape(2, 3)[index % 2, index % 3],
                                        lambda: a.index_select(0, index), lambda: a.gather(0, index),
                                        lambda: a.clone().index_put((index[:2] // 2 * 2 + torch.arange(2),), b[:2].to(a))])
        self.keep(operation())

    def several_results(self):
        a = self.rows()
        match self.random.randrange(4):
            case 0:
                values, places = a.sort(dim=1, descending=True)
                self.keep(places)
                self.keep(values)
            case 1:
                values, places = a.max(dim=1)
                self.keep(places)
                self.keep(a - values[:, None])
            case 2:
                self.keep(F.layer_norm(a, (3,), self.leaf(3).to(a), None))
            case 3:
                variance, mean = torch.var_mean(a)
                self.keep(mean)
                self.keep(a * variance)

    def in_place(self):
        """Changes that autograd follows."""
        a = self.pick().reshape(2, 3) * 2
        operation = self.random.choice([lambda: a.add_(1), lambda: a.mul_(self.rows().detach().to(a)),
                                        lambda: a.sigmoid_(), lambda: a[0].mul_(2), lambda: a.view(-1).add_(1),
                                        lambda: a[:, 1].copy_(self.rows()[:, 0]), lambda: ChangesItsInput.apply(a)])
        operation()
        self.keep(a)

    def unseen_change(self):
        """Changes behind autograd's back, midway: of a result, of a leaf, through detach() and through .data."""
        a = self.pick()
        if a.untyped_storage().data_ptr() in self.cut:
            return
        match self.random.randrange(3):
            case 0:
                with torch.no_grad():
                    a.mul_(0.5)
            case 1:
                self.keep(a.detach()).add_(0.5)
            case 2:
                self.keep(a.data).mul_(0.5)

    def seen_change(self):
        """At the end also of what a split is a view of, and of an index."""
        with torch.no_grad():
            for tensor in (self.pick(), self.pick(), self.random.choice(self.aside or self.pool)):
                tensor.mul_(1)

    def detach(self):
        a = self.pick()
        match self.random.randrange(5):
            case 0:
                self.aside.append(a.detach())
                self.tensors.append(self.aside[-1])
            case 1:
                self.leaves.append(self.keep(a.detach().clone().requires_grad_()))
            case 2:
                self.leaves.append(self.keep(a.detach().requires_grad_()))
            case 3:
                with torch.no_grad():
                    self.keep(a * 2)
            case 4:
                self.keep((a * 2).detach_())

    def alias(self, a):
        return self.random.choice([lambda: a, lambda: a.data, lambda: a.detach(), lambda: a.view_as(a)])()

    def custom(self):
        a = self.pick()
        match self.random.randrange(5):
            case 0:
                self.keep(SavesNothing.apply(a))
            case 1:
                self.keep(SavesInputs.apply(a, self.pick().reshape(a.shape)))
            case 2:
                self.keep(SavesResult.apply(a))
            case 3:
                self.keep(SavesWithNone.apply(a))
            case 4:
                for result in ThreeResults.apply(a, 0.5):
                    self.keep(result)

    def packed(self):
        """What the next step saves goes through hooks: into an array, a tuple, or another tensor."""
        pack, unpack = self.random.choice([(lambda t: t.detach().numpy().copy(), torch.from_numpy),
                                           (lambda t: ("kept", t.detach().clone()), lambda pair: pair[1]),
                                           (lambda t: t.detach().clone(), lambda t: t)])
        fired = self.fired

        def counting_pack(tensor):
            fired["pack"] += 1
            return pack(tensor)

        def counting_unpack(packed):
            fired["unpack"] += 1
            return unpack(packed)

        with saved_tensors_hooks(counting_pack, counting_unpack):
            self.random.choice([self.elementwise, self.binary, self.custom, self.listed])()

    def untracked(self):
        a = self.rows()
        numbers = torch.arange(6).reshape(2, 3)
        self.keep(numbers)
        operation = self.random.choice([lambda: a * numbers, lambda: a + self.random_tensor(3),
                                        lambda: F.embedding(numbers[:, 0], self.leaf(4, 3)),
                                        lambda: a.masked_fill(numbers > 3, 0.0)])
        self.keep(operation())

    def odd(self):
        """A node without attributes, memory that is read again and again, 16 bits, a leaf with many uses, a backward inside."""
        a, w = self.pick(), self.leaf(6)
        operation = self.random.choice([lambda: torch._foreach_sin([a])[0], lambda: a.reshape(6)[:1].expand(6) * w,
                                        lambda: a.half().exp().float(), lambda: math.prod([w] * 10, start=a.reshape(6)),
                                        lambda: self.checkpointed(a.reshape(6), w)])
        self.keep(operation())

    def checkpointed(self, *inputs):
        result = checkpoint(torch.mul, *inputs, use_reentrant=True)
        result.grad_fn.versions = [tensor._version for tensor in inputs]        # as in _remember
        return result

    def hook(self):
        a = self.pick() * 1
        fired = self.fired
        kind = self.random.choice(["tensor", "before", "after", "retain"])

        def count(*_):
            fired[kind] += 1

        if a.grad_fn is not None:
            {"tensor": a.register_hook, "before": a.grad_fn.register_prehook, "after": a.grad_fn.register_hook,
             "retain": lambda _: a.retain_grad()}[kind](count)
        self.keep(a)

    def output(self):
        a, b = (self.random.choice([t for t in self.pool if t.requires_grad][-5:]) for _ in range(2))
        operation = self.random.choice([lambda: a.sum() + b.sum(), lambda: a.mean(), lambda: a,
                                        lambda: a.reshape(6)[1:] * b.sum()])
        try:
            output = operation()
        except RuntimeError:        # a part of a split of what was changed: PyTorch computes no further with it
            output = None
        if output is None or not can_be_asked(output):
            output = self.leaves[0] * 2
        self.tensors.append(output)
        return output


def can_be_asked(tensor):
    """PyTorch refuses to tell the grad_fn of one part of a split whose whole was changed in place."""
    try:
        return tensor.grad_fn is not False
    except RuntimeError:
        return False
