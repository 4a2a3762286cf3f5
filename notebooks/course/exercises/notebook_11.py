"""The puzzles of notebook 11: the graphs that are to be drawn, and the checks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import Function

from seegrad import show_graph
from seegrad.snapshot import ALIVE, CHANGED, GraphSnapshot
from seegrad.view import GraphView

from ..checking import Idea, Wrong, exercise, has_numbers, in_words, is_tracked, quietly, same_numbers
from ..sameness import differences

MOST_NODES = 40         # of a graph that is compared with a target; those of the targets are small
MOST_TOLD = 3           # differences


# Draw this

@dataclass(frozen=True)
class Drawing:
    """A graph that is to be drawn.

    build: makes its results from its leaves.
    leaves: for the name of each leaf, how many numbers it has.
    results: the names of the results.
    """

    build: Callable[..., Any]
    leaves: dict[str, int]
    results: tuple[str, ...]


def _two_inputs(x, w):
    return ((x * w).exp() + x).sum()


def _one_arrow(x):
    return x * x.detach()


def _with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), (h * h).sum()
    a.backward()
    return a, b


def _written_into(x, w):
    h = 2 * w
    h[1:] = x
    return h.sum()


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return 2 * x * gradient


def _a_recorded_backward(x):
    y = Square.apply(x).sum()
    return y, *torch.autograd.grad(y, x, create_graph=True)


DRAWINGS = {
    "11.1": Drawing(_two_inputs, {"x": 3, "w": 3}, ("loss",)),
    "11.3": Drawing(_one_arrow, {"x": 3}, ("y",)),
    "11.6": Drawing(_with_a_past, {"x": 3, "w": 3}, ("a", "b")),
    "11.9": Drawing(_written_into, {"x": 2, "w": 3}, ("loss",)),
    "11.12": Drawing(_a_recorded_backward, {"x": 3}, ("y", "dy")),
}


def target(name: str) -> GraphView:
    """The picture that a puzzle asks for. name: as in "11.1"."""
    return _drawn(name, DRAWINGS[name].build)


def _drawn(name, build):
    drawing = DRAWINGS[name]
    leaves = {leaf: torch.linspace(1, 2, size).requires_grad_() for leaf, size in drawing.leaves.items()}
    answer = quietly(build, *leaves.values())
    results = answer if isinstance(answer, (tuple, list)) else (answer,)
    names = " and ".join(drawing.results)
    if len(results) != len(drawing.results) or not all(isinstance(result, torch.Tensor) for result in results):
        raise Wrong(f"Your function returns {_kinds(results)}: the tensor{'s' * (len(drawing.results) > 1)} {names} "
                    f"{'are' if len(drawing.results) > 1 else 'is'} to be drawn.")
    return show_graph(**leaves, **dict(zip(drawing.results, results)))


def _kinds(results):
    return "nothing" if results == (None,) else ", ".join("a tensor" if isinstance(result, torch.Tensor) else
                                                          f"an object of type {type(result).__name__}" for result in results)


def _draw(run, name, idea):
    """Compare the learner's graph with the target."""
    mine = _drawn(name, run)
    if len(mine.snapshot.nodes) > MOST_NODES:
        raise Wrong(f"Your graph has {len(mine.snapshot.nodes)} nodes, the target {len(target(name).snapshot.nodes)}.")
    found = differences(mine.snapshot, target(name).snapshot)
    if found:
        for difference in found:
            if difference.where is not None:
                mine = mine.mark(difference.where, difference.says)
        more = len(found) - MOST_TOLD
        told = [*map(str, found[:MOST_TOLD]), *([f"and {more} more"] if more > 0 else [])]
        raise Wrong(f"This is another graph: {'; '.join(told)}.", mine)
    return Idea(idea, mine)


@exercise("11.1")
def two_inputs(run):
    return _draw(run, "11.1", "A picture is a recipe: each box is one operation, and each arrow is one use of a tensor.")


@exercise("11.3")
def one_arrow(run):
    return _draw(run, "11.3", "The product saves a detached factor like any other, and sends no gradient to it.")


@exercise("11.6")
def a_graph_with_a_past(run):
    return _draw(run, "11.6", "backward frees all that it visits: what a and b share is gone, and what only b uses is left.")


@exercise("11.9")
def written_into(run):
    return _draw(run, "11.9", "To write into a part of a tensor is an operation with two inputs: what was there, and what comes "
                              "in.")


@exercise("11.12")
def a_recorded_backward(run):
    return _draw(run, "11.12", "With create_graph=True, the operations in a backward are recorded like those of a forward.")


# Make it

def _one_number(loss):
    if loss is None:
        raise Wrong("Your function returns nothing.")
    if not isinstance(loss, torch.Tensor):
        raise Wrong(f"Your function returns an object of type {type(loss).__name__}, and no tensor.")
    if not loss.requires_grad:
        raise Wrong("Your result is not tracked: it has no graph.")
    if loss.shape != ():
        raise Wrong(f"Your result has the shape {tuple(loss.shape)}: backward starts from one number.")


def _ways(snapshot: GraphSnapshot, result: str, leaf: str) -> int:
    """How many ways lead from a result to a leaf, both by name."""
    by_name = {name: i for i, tensor in enumerate(snapshot.tensors) for name in tensor.names}
    ways = Counter({snapshot.tensors[by_name[result]].producer.node: 1})
    for i in reversed(range(len(snapshot.nodes))):
        for edge in filter(None, snapshot.nodes[i].inputs):
            ways[edge.node] += ways[i]
    return sum(ways[i] for i, node in enumerate(snapshot.nodes) if node.leaf == by_name[leaf])


@exercise("11.2")
def nine_ways(run):
    y = torch.tensor(1.5, requires_grad=True)
    loss = run(y)
    _one_number(loss)
    view = show_graph(y=y, loss=loss)
    if y.grad is not None:
        raise Wrong("y.grad is there before the backward of the check.")
    if loss.is_leaf:
        raise Wrong("Your result is a leaf: nothing was computed.", view)
    loss.backward()
    if y.grad is None:
        raise Wrong("y gets no gradient: no way leads from loss to y.", view)
    if not has_numbers(y.grad, 9.0):
        raise Wrong(f"y.grad is {y.grad.item():.4g} after backward.", view)
    ways = _ways(view.snapshot, "loss", "y")
    if ways != 9:
        raise Wrong(f"y.grad is 9, but the ways from y to loss are {ways}, and not 9.", view)
    between = len(view.snapshot.nodes) - 1
    if between > 4:
        raise Wrong(f"{between} nodes stand between y and loss, and four are allowed.", view)
    return Idea("Each way from loss back to y brings a gradient, and they add up: 9 ways, 9.", view)


@exercise("11.4")
def a_cut_without_a_copy(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = 2 * x
    node = h.grad_fn
    cut = run(h)
    if not isinstance(cut, torch.Tensor):
        raise Wrong("Your function returns nothing." if cut is None else
                    f"Your function returns an object of type {type(cut).__name__}, and no tensor.")
    if h.grad_fn is not node:
        raise Wrong("h has lost its own node: no gradient can come to x any more.", show_graph(x=x, h=h))
    view = show_graph(x=x, h=h) if cut is h else show_graph(x=x, h=h, cut=cut)
    if not cut.requires_grad:
        raise Wrong("Your tensor is not tracked.", view)
    if not cut.is_leaf:
        raise Wrong("Your tensor is a result: a gradient goes through it, on to x.", view)
    same_numbers(cut, h, "Your tensor")
    tensors = {name: tensor for tensor in view.snapshot.tensors for name in tensor.names}
    if cut.data_ptr() != h.data_ptr():
        raise Wrong("Your tensor lies in memory of its own: its numbers were copied.", view)
    if (tensors["cut"].storage, tensors["cut"].counter) != (tensors["h"].storage, tensors["h"].counter):
        raise Wrong("Your tensor has a version counter of its own: the graph of h does not see when you change it.", view)
    return Idea("A cut needs a new tensor, and no new memory: h keeps its graph, and a gradient stops at the leaf.", view)


@exercise("11.5")
def version_three(run):
    x = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    y, loss = _pair(run(x), "y and loss")
    _one_number(loss)
    if not is_tracked(y) or y is x:
        raise Wrong("y is not computed from x.")
    if y._version != 3:
        raise Wrong(f"y is at version {y._version}.")
    view = show_graph(x=x, y=y, loss=loss)
    for number, node in enumerate(view.snapshot.nodes, 1):
        for slot in node.saved:
            if slot.state == CHANGED:
                raise Wrong(f"[{number}] {node.name} has saved a tensor that was changed afterwards: backward refuses it.",
                            view.mark(number, "changed after it was saved", slot=slot.name))
    held = [slot for slot in view.snapshot.saved if slot.holds is not None and "y" in view.snapshot.tensors[slot.holds].names]
    if not held:
        raise Wrong("No node of the graph of loss has saved y.", view)
    loss.backward()
    if not torch.autograd.gradcheck(lambda x: run(x)[1], x, raise_exception=False):
        raise Wrong("x.grad is not the derivative of loss: the graph did not see every change.", view)
    return Idea("backward compares the version when a tensor was saved with the version now: what was changed before does no "
                "harm.", view)


def _pair(answer, names):
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not all(isinstance(one, torch.Tensor) for one in answer):
        raise Wrong(f"Your function returns {_kinds(answer if isinstance(answer, (tuple, list)) else (answer,))}: "
                    f"two tensors are wanted, {names}.")
    return answer


@exercise("11.7")
def the_trunk_untouched(run):
    trunk, head1, head2 = (torch.tensor(numbers, requires_grad=True) for numbers in ([0.5, -1.0], [1.0, 2.0], [3.0, -0.5]))
    h = (trunk * torch.tensor([2.0, 1.0])).tanh()
    loss1, loss2 = (h * head1).sum(), (h * head2).square().sum()
    wanted = torch.autograd.grad(loss1 + loss2, [head1, head2], retain_graph=True)
    passes, visits = set(), []
    for loss in (loss1, loss2):
        loss.grad_fn.register_prehook(lambda gradients: passes.add(torch._C._current_graph_task_id()))
    h.grad_fn.register_prehook(lambda gradients: visits.append(1))
    run(loss1, loss2, head1, head2)
    view = show_graph(trunk=trunk, head1=head1, head2=head2, loss1=loss1, loss2=loss2)
    if not passes:
        raise Wrong("No backward pass ran.")
    if len(passes) > 1:
        raise Wrong(f"{len(passes)} backward passes ran.", view)
    if visits:
        raise Wrong(f"The pass went on into the trunk{', and trunk.grad is there now' * (trunk.grad is not None)}.", view)
    for name, head, gradient in (("head1", head1, wanted[0]), ("head2", head2, wanted[1])):
        if head.grad is None:
            raise Wrong(f"{name}.grad is None.", view)
        same_numbers(head.grad, gradient, f"{name}.grad")
    return Idea("inputs= says where gradients are to arrive, and only the nodes on the ways there run.", view)


@exercise("11.8")
def three_that_survive(run):
    x, w = (torch.tensor(numbers, requires_grad=True) for numbers in ([1.0, 2.0], [0.5, -1.0]))
    loss = run(x, w)
    _one_number(loss)
    if x.grad is not None:
        raise Wrong("x.grad is there before the backward of the check.")

    def view():
        return show_graph(x=x, w=w, loss=loss)

    count = len(view().snapshot.saved)
    if count != 3:
        raise Wrong(f"The graph of loss has {count} saved tensor{'s' * (count != 1)}.", view())
    for number in ("first", "second"):
        try:
            loss.backward(inputs=[x])
        except RuntimeError as error:
            raise Wrong(f"The {number} backward raised {in_words(error)}.", view()) from None
        if x.grad is None:
            raise Wrong("x gets no gradient: no way leads from loss to x.", view())
    left = view().snapshot.states[ALIVE]
    if left != 3:
        raise Wrong(f"{left} of the three saved tensors are left.", view())
    return Idea("What is not visited is not freed: with inputs=[x], backward visits only what lies on a way to x.", view())


@exercise("11.10")
def a_second_derivative_of_zero(run):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    y = run(x)
    same_numbers(y, 3 * x, "y")
    if not is_tracked(y) or y.is_leaf:
        raise Wrong("y is not computed from x.")
    first, = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
    if first is None:
        raise Wrong("The first derivative is None: no way leads from y to x.", show_graph(x=x, y=y))
    view = show_graph(x=x, y=y, first=first)
    same_numbers(first, torch.full((2,), 3.0), "The first derivative")
    if not first.requires_grad:
        raise Wrong("The first derivative is not tracked: asking for the second one raises an error.", view)
    second, = torch.autograd.grad(first.sum(), x, allow_unused=True)
    if second is None:
        raise Wrong("The second derivative is None: no way leads from the first one to x.", view)
    if not torch.equal(second, torch.zeros(2)):
        raise Wrong(f"The second derivative is {second.tolist()}.", view)
    return Idea("0 has come back along a way; None or an error says that there is no way.", view)


@exercise("11.11")
def before_the_change(run):
    for change_in_place in (torch.Tensor.sigmoid_, lambda h: h.mul_(3)):
        view, gradient, wanted, after = _asked_before(run, change_in_place)
        if gradient is None:
            raise Wrong("Your function returns None.", view)
        if has_numbers(gradient, after) and not has_numbers(gradient, wanted):
            raise Wrong("This is the gradient for h after the change.", view)
        same_numbers(gradient, wanted, "The gradient")
    return Idea("A change in place gives h another node, and an edge or a hook stays at the old one.", view)


def _asked_before(run, change_in_place):
    """Return the picture, what the learner's function returns, and the gradients for h before and after the change."""
    x, w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True), torch.tensor([1.0, 3.0, -0.5], requires_grad=True)
    t = torch.tensor([1.0, 0.0, 2.0])
    made, losses = [], []

    def start():
        made.append(x * w)
        return made[-1]

    def change(h):
        if not made or h is not made[-1]:
            raise Wrong("change was given another tensor than h: the memory of a copy is not there.")
        losses.append((change_in_place(h) - t).square().sum())
        return losses[-1]

    gradient = quietly(run, start, change)
    if not losses:
        raise Wrong("change was not called.")
    before = (x * w).detach().requires_grad_()
    result = change_in_place(before.clone())
    wanted, after = torch.autograd.grad((result - t).square().sum(), [before, result])
    return show_graph(x=x, w=w, h=made[-1], loss=losses[-1]), gradient, wanted, after


@exercise("11.13")
def a_graph_that_frees_nothing(run):
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = run(x)
    same_numbers(y, 14.0, "y")
    _one_number(y)
    if x.grad is not None:
        raise Wrong("x.grad is there before the backward of the check.")
    view = show_graph(x=x, y=y)
    saved = len(view.snapshot.saved)
    if saved:
        raise Wrong(f"The graph saves {saved} tensor{'s' * (saved > 1)}.", view)
    for number, start in enumerate((1.0, 1.0, 10.0), 1):
        x.grad = None
        try:
            y.backward(torch.tensor(start))
        except RuntimeError as error:
            raise Wrong(f"backward number {number} raised {in_words(error)}.", view) from None
        if x.grad is None:
            raise Wrong("x gets no gradient: no way leads from y to x.", view)
        same_numbers(x.grad, 2 * start * x, f"With a gradient of {start:.0f} at y, x.grad")
    return Idea("Only what lies in a slot is guarded and freed: not an attribute of ctx, a plain number, or what a hook holds.",
                view)


@exercise("11.14")
def a_leaf_that_is_not_in_the_picture(run):
    x, w = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, -1.0], requires_grad=True)
    y = quietly(run, x, w)
    same_numbers(y, 1.0, "y")
    _one_number(y)
    view = show_graph(x=x, w=w, y=y)
    if any(tensor.in_graph for tensor in view.snapshot.tensors if "w" in tensor.names):
        raise Wrong("w is in the graph of y.", view.mark("w", "is in the graph"))
    if w.grad is not None:
        raise Wrong("w.grad is there before backward.")
    for number, start in (("first", 1.0), ("second", 10.0)):
        if number == "second":
            y = quietly(run, x, w)
            x.grad = None
        before = torch.zeros(2) if w.grad is None else w.grad.clone()
        y.backward(torch.tensor(start))
        if w.grad is None:
            raise Wrong("w.grad is None after backward.", view)
        if x.grad is None:
            raise Wrong("x.grad is None after backward.", view)
        same_numbers(w.grad - before, start * x,
                     f"With a gradient of {start:.0f} at y, what the {number} backward adds to w.grad")
        same_numbers(x.grad, start * w, f"With a gradient of {start:.0f} at y, x.grad")
    return Idea("What runs in a backward may build and walk another graph, and no picture of y shows that one.", view)


@exercise("11.15")
def two_accumulate_grad_nodes(run):
    x, y = _pair(run(), "x and y")
    if not x.requires_grad or not x.is_leaf:
        raise Wrong("x is no tracked leaf.")
    if not is_tracked(y) or y.is_leaf:
        raise Wrong("y is not computed from x.")
    view = show_graph(x=x, y=y)
    mine = [number for number, node in enumerate(view.snapshot.nodes, 1)
            if node.leaf is not None and "x" in view.snapshot.tensors[node.leaf].names]
    if not mine:
        raise Wrong("x is not in the graph of y.", view)
    if len(mine) == 1:
        others = len(view.snapshot.leaves) - 1
        raise Wrong(f"x has one AccumulateGrad node, [{mine[0]}]" + ", and the other one belongs to another leaf" * (others == 1)
                    + ".", view)
    y.sum().backward()
    if x.grad is None:
        raise Wrong("x gets no gradient.", view)
    return Idea("A leaf whose dtype has changed gets a new AccumulateGrad node: net.double() between two forward passes does so "
                "too.", view)
