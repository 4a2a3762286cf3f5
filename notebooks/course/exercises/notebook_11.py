"""The puzzles of notebook 11: the graphs that are to be drawn, and the checks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import BackwardCFunction

from seegrad import show_graph
from seegrad.snapshot import ALIVE, CHANGED, FREED, GraphSnapshot, LiveGraph
from seegrad.view import GraphView

from ..checking import Idea, Wrong, exercise, has_numbers, in_words, quietly, same_numbers
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
    return show_graph(_tensors(name, DRAWINGS[name].build))


def _tensors(name, build):
    """Call what builds the graph of a puzzle with new leaves. Return the leaves and the results by their names."""
    drawing = DRAWINGS[name]
    leaves = {leaf: torch.linspace(1, 2, size).requires_grad_() for leaf, size in drawing.leaves.items()}
    answer = quietly(build, *leaves.values())
    results = answer if isinstance(answer, (tuple, list)) else (answer,)
    if len(results) != len(drawing.results) or not all(isinstance(result, torch.Tensor) for result in results):
        raise Wrong(f"Your function returns {_kinds(results)}. In the picture there is {' and '.join(drawing.results)}.")
    return {**leaves, **dict(zip(drawing.results, results))}


def _kinds(results):
    return "nothing" if results == (None,) else " and ".join("a tensor" if isinstance(result, torch.Tensor) else
                                                             f"an object of type {type(result).__name__}" for result in results)


def _draw(run, name, idea, build=None):
    """Compare the graph of the answer with the target. build: what builds it, where that is more than the answer."""
    tensors, wanted = _tensors(name, build or run), target(name).snapshot
    mine, (_, lines) = show_graph(tensors), run.show(tensors)
    if len(mine.snapshot.nodes) > MOST_NODES:
        raise Wrong(f"Your graph has {len(mine.snapshot.nodes)} nodes, the target {len(wanted.nodes)}.")
    found = differences(mine.snapshot, wanted)
    for difference in found:
        if difference.where is not None:
            mine = mine.mark(difference.where, difference.mark)
    if found:
        more = len(found) - MOST_TOLD
        told = [*(difference.words for difference in found[:MOST_TOLD]), *([f"and {more} more"] if more > 0 else [])]
        line = next(filter(None, (lines.get(difference.where) for difference in found)), "")
        if isinstance(found[0].where, str):     # a tensor whose .grad is otherwise: a backward made it, or none did
            line = run.passes[-1].line if run.passes else ""
        raise Wrong(f"This is another graph: {'; '.join(told)}.", mine, line)
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
    return _draw(run, "11.9", "To write into a part of a tensor is an operation with two inputs: the tensor and what comes in.")


@exercise("11.12")
def a_recorded_backward(run):
    def build(x):
        y = run(x)
        _tracked_result("y", y)
        same_numbers(y, x.square().sum(), "y")
        view, _ = run.show({"x": x, "y": y})
        dy, = _pass(run, lambda: torch.autograd.grad(y, x, create_graph=True, allow_unused=True),
                    "`torch.autograd.grad(y, x, create_graph=True)`", view)
        if dy is None:
            raise Wrong("dy is None: no gradient comes to x.", view.mark("x", "no gradient"))
        same_numbers(dy, 2 * x, "dy")
        _two_products(run, {"x": x, "y": y, "dy": dy})
        return y, dy

    return _draw(run, "11.12", "With create_graph=True, the operations in a backward are recorded like those of a forward.",
                 build)


def _two_products(run, tensors):
    """Raise Wrong for `gradient * 2 * x`: its first product is no node, because no factor of it is tracked."""
    view, lines = run.show(tensors)
    nodes = view.snapshot.nodes
    products = [number for number, node in enumerate(nodes, 1) if node.name == "MulBackward0"]
    if len(products) != 1:
        return
    number, = products
    inputs = [nodes[edge.node] for edge in nodes[number - 1].inputs if edge]
    factor = nodes[number - 1].saved[0]     # where there is one arrow: the factor that gets no gradient
    if len(inputs) == 1 and inputs[0].leaf is not None and factor.shape == inputs[0].results[0]:
        raise Wrong(f"dy comes from one MulBackward0, in the target from two: what [{number}] multiplies x by is not tracked.",
                    view.mark(number, "not tracked", slot=factor.name), lines.get(number, ""))


# Make it

def _tracked_result(name, tensor, one_number=True):
    """Raise Wrong unless this is a result of a graph."""
    if not isinstance(tensor, torch.Tensor):
        raise Wrong(f"Your function returns {_kinds((tensor,))}, and not {name}.")
    if not tensor.requires_grad:
        raise Wrong(f"{name} is not tracked: it has no graph.")
    if tensor.is_leaf:
        raise Wrong(f"{name} is a leaf: it was not computed.")
    if one_number and tensor.shape != ():
        raise Wrong(f"{name} has the shape {tuple(tensor.shape)}: backward starts from one number.")


def _two(answer, names):
    answer = answer if isinstance(answer, (tuple, list)) else (answer,)
    if len(answer) != 2 or not all(isinstance(one, torch.Tensor) for one in answer):
        raise Wrong(f"Your function returns {_kinds(answer)}, and not the two tensors {names}.")
    return answer


def _no_gradient_yet(**leaves):
    for name, leaf in leaves.items():
        if leaf.grad is not None:
            raise Wrong(f"{name}.grad is there before the check calls backward.")


def _pass(run, call, words, picture=None):
    """Run a backward pass that the check asks for, and return its result. Raises Wrong where it raises.

    It may go through code of the learner's, a hook or a backward: so that is followed. words: what the pass is called.
    """
    try:
        return quietly(run.follow, call, ())
    except Wrong:
        raise
    except Exception as error:
        called = " called your code, and that" if run.line_of_error(error) else ""
        raise Wrong(f"{words}{called} raised {in_words(error)}.", picture) from None


def _backward(run, name, result, gradient=None, picture=None, retain_graph=False):
    """Run the backward of a result. name: of the result. gradient: the number that comes in; None for 1, as ever."""
    start = None if gradient is None else torch.tensor(gradient)
    # Not result.backward: an answer may have put something else there.
    _pass(run, lambda: torch.autograd.backward(result, start, retain_graph=retain_graph),
          f"`{name}.backward({'retain_graph=True' * retain_graph})`", picture)


@exercise("11.2")
def nine_ways(run):
    y = torch.tensor(1.5, requires_grad=True)
    loss = run(y)
    _tracked_result("loss", loss)
    _no_gradient_yet(y=y)
    view, lines = run.show({"y": y, "loss": loss})
    _backward(run, "loss", loss, picture=view)
    if y.grad is None:
        raise Wrong("y.grad is None after backward: no way leads from y to loss.", view)
    ways, between = _ways(view.snapshot, "loss", "y"), len(view.snapshot.nodes) - 1
    found = f"y.grad is {y.grad.item():.4g}, and {'1 way leads' if ways == 1 else f'{ways} ways lead'} from y to loss"
    if ways != 9:
        both = "9 should" if has_numbers(y.grad, 9.0) else "both should be 9"
        raise Wrong(f"{found}: {both}.", view.mark("y", f"{ways} way{'s' * (ways != 1)} to loss"))
    if not has_numbers(y.grad, 9.0):
        raise Wrong(f"{found}: y.grad should be 9.", view)
    if between > 4:
        raise Wrong(f"{between} nodes stand between y and loss: at most 4 may.", view)
    return Idea("Each way from y to loss brings a gradient, and they add up: 9 ways, 9.", view)


def _ways(snapshot: GraphSnapshot, result: str, leaf: str) -> int:
    """How many ways along the arrows lead from a leaf to a result, both by name."""
    by_name = {name: i for i, tensor in enumerate(snapshot.tensors) for name in tensor.names}
    end = snapshot.tensors[by_name[result]].producer
    ways = Counter({end.node: 1} if end else {})
    for i in reversed(range(len(snapshot.nodes))):
        for edge in filter(None, snapshot.nodes[i].inputs):
            ways[edge.node] += ways[i]
    return sum(ways[i] for i, node in enumerate(snapshot.nodes) if node.leaf == by_name[leaf])


@exercise("11.4")
def a_cut_without_a_copy(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    h = 2 * x
    node = h.grad_fn
    cut = run(h)
    if not isinstance(cut, torch.Tensor):
        raise Wrong(f"Your function returns {_kinds((cut,))}, and not a tensor.")
    if h.grad_fn is not node:
        raise Wrong("h has lost its own graph: it is a leaf now.", show_graph(x=x, h=h).mark("h", "a leaf now"))
    view, lines = run.show({"x": x, "h": h, "cut": cut})
    tensors = {name: tensor for tensor in view.snapshot.tensors for name in tensor.names}
    if not cut.requires_grad:
        raise Wrong("Your tensor is not tracked.", view.mark("cut", "not tracked"))
    if not cut.is_leaf:
        made = tensors["cut"].producer.node + 1
        raise Wrong("Your tensor is a result: a gradient goes through it, on to x.", view.mark("cut", "a result"),
                    lines.get(made, ""))
    same_numbers(cut, h, "Your tensor")
    if cut.data_ptr() != h.data_ptr():
        raise Wrong("Your tensor lies in memory of its own: its numbers were copied.", view.mark("cut", "a copy"))
    if (tensors["cut"].storage, tensors["cut"].counter) != (tensors["h"].storage, tensors["h"].counter):
        raise Wrong("Your tensor has a version counter of its own: the graph of h does not see when you change it.",
                    view.mark("cut", "another version counter"))
    return Idea("A cut needs a new tensor, and no new memory: h keeps its graph, and a gradient stops at the leaf.", view)


@exercise("11.5")
def version_three(run):
    x = torch.tensor([0.5, 1.0, 1.5], requires_grad=True)
    y, loss = _two(run(x), "y and loss")
    _tracked_result("y", y, one_number=False)
    _tracked_result("loss", loss)
    view, (_, lines) = show_graph(x=x, y=y, loss=loss), run.show({"x": x, "y": y, "loss": loss})
    for number, node in enumerate(view.snapshot.nodes, 1):
        for slot in node.saved:
            if slot.state == CHANGED:
                raise Wrong(f"[{number}] {node.name} saved a tensor, and it was changed afterwards: backward will refuse it.",
                            view.mark(number, "changed afterwards", slot=slot.name), lines.get(number, ""))
            if slot.state == FREED:
                raise Wrong("A backward ran in your function: what the graph of loss saved is freed.",
                            view.mark(number, "freed", slot=slot.name), run.last_pass().line)
    if y._version != 3:
        raise Wrong(f"y is at version {y._version}.", view.mark("y", f"version {y._version}"))
    tensors = view.snapshot.tensors
    if not any(slot.holds is not None and "y" in tensors[slot.holds].names for slot in view.snapshot.saved):
        raise Wrong("No node in the graph of loss has saved y.", view)
    _backward(run, "loss", loss, picture=view)
    if not torch.autograd.gradcheck(lambda x: run(x)[1], x.detach().double().requires_grad_(), raise_exception=False):
        raise Wrong("x.grad is not the derivative of loss: the graph did not see every change.", view)
    return Idea("backward compares the version when a tensor was saved with the version now: earlier changes do no harm.", view)


@exercise("11.7")
def the_trunk_untouched(run):
    trunk, head1, head2 = (torch.tensor(numbers, requires_grad=True) for numbers in ([0.5, -1.0], [1.0, 2.0], [3.0, -0.5]))
    h = trunk.exp()
    loss1, loss2 = (h * head1).sum(), (h * head2).mean()
    wanted = torch.autograd.grad(loss1 + loss2, [head1, head2], retain_graph=True)
    visits = []
    h.grad_fn.register_prehook(lambda gradients: visits.append(1))
    run(loss1, loss2, head1, head2)
    view, _ = run.show({"trunk": trunk, "head1": head1, "head2": head2, "loss1": loss1, "loss2": loss2})
    if not run.passes:
        raise Wrong("No backward pass ran.", view)
    line = run.passes[-1].line
    if len(run.passes) > 1:
        raise Wrong(f"{len(run.passes)} backward passes ran.", view, line)
    if visits:
        raise Wrong("The pass went on into the trunk.", view.mark("trunk", "the pass came here"), line)
    for name, head, gradient in (("head1", head1, wanted[0]), ("head2", head2, wanted[1])):
        if head.grad is None:
            raise Wrong(f"{name}.grad is None.", view.mark(name, "no gradient"), line)
        same_numbers(head.grad, gradient, f"{name}.grad")
    return Idea("inputs= says where gradients are to arrive, and only the nodes on the ways there run.", view)


@exercise("11.8")
def three_that_survive(run):
    x, w = (torch.tensor(numbers, requires_grad=True) for numbers in ([1.0, 2.0], [0.5, -1.0]))
    loss = run(x, w)
    _tracked_result("loss", loss)
    _no_gradient_yet(x=x, w=w)

    def view():
        """With a mark on the first slot that is freed."""
        shown, _ = run.show({"x": x, "w": w, "loss": loss})
        freed = [(number, slot.name) for number, node in enumerate(shown.snapshot.nodes, 1)
                 for slot in node.saved if slot.state == FREED]
        return shown.mark(freed[0][0], "freed", slot=freed[0][1]) if freed else shown

    count = len(view().snapshot.saved)
    if count != 3:
        raise Wrong(f"The graph of loss has {count} saved tensor{'s' * (count != 1)}.", view())
    for number in ("first", "second"):
        try:
            # Not loss.backward: an answer may have put something else there.
            _pass(run, lambda: torch.autograd.backward(loss, inputs=[x]), f"The {number} backward")
        except Wrong as wrong:
            raise Wrong(str(wrong), view()) from None
        if x.grad is None:
            raise Wrong("x.grad is None after backward: no way leads from x to loss.", view())
    left = view().snapshot.states[ALIVE]
    if left != 3:
        raise Wrong(f"{left} of the three saved tensors are left.", view())
    return Idea("What is not visited is not freed: with inputs=[x], backward visits only what lies on a way from x.", view())


@exercise("11.10")
def a_second_derivative_of_zero(run):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    y = run(x)
    _tracked_result("y", y, one_number=False)
    same_numbers(y, 3 * x, "y")
    first, = _pass(run, lambda: torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True), "The first derivative")
    if first is None:
        raise Wrong("The first derivative is None: no way leads from x to y.", run.show({"x": x, "y": y})[0])
    view, _ = run.show({"x": x, "y": y, "first": first})
    same_numbers(first, torch.full((2,), 3.0), "The first derivative")
    if not first.requires_grad:
        raise Wrong("The first derivative is not tracked: asking for the second one raises an error.",
                    view.mark("first", "not tracked"))
    second, = _pass(run, lambda: torch.autograd.grad(first.sum(), x, allow_unused=True), "The second derivative", view)
    if second is None:
        raise Wrong("The second derivative is None: no way leads from x to the first one.", view)
    if not torch.equal(second, torch.zeros(2)):
        raise Wrong(f"The second derivative is {second.tolist()}.", view)
    return Idea("0 has come back along a way; None or an error says that there is no way.", view)


@exercise("11.11")
def before_the_change(run):
    for change_in_place in (torch.Tensor.sigmoid_, lambda h: h.mul_(3)):
        h, view, gradient, wanted, after = _asked_before(run, change_in_place)
        if gradient is None:
            raise Wrong("Your function returns None.", view)
        if has_numbers(gradient, after):
            number, = (tensor.producer.node + 1 for tensor in view.snapshot.tensors if "h" in tensor.names)
            raise Wrong("This is the gradient for h as it is after the change. Now h is the result of "
                        f"[{number}] {view.snapshot.nodes[number - 1].name}."
                        + " What retain_grad() asked for moved there, too." * h.retains_grad,
                        view.mark(number, "h is its result now"), run.passes[-1].line if run.passes else "")
        same_numbers(gradient, wanted, "The gradient")
    return Idea("A change in place gives h another node, and an edge or a hook stays at the old one.", view)


def _asked_before(run, change_in_place):
    """Return h, the picture, what the learner's function returns, and the gradients for h before and after the change."""
    x, w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True), torch.tensor([1.0, 3.0, -0.5], requires_grad=True)
    t = torch.tensor([1.0, 0.0, 2.0])
    made, losses = [], []

    def start():
        made.append(x * w)
        return made[-1]

    def change(h):
        if not made or h is not made[-1]:
            raise Wrong("change was given another tensor than h.")
        losses.append((change_in_place(h) - t).square().sum())
        return losses[-1]

    gradient = quietly(run, start, change)
    if not losses:
        raise Wrong("change was not called.")
    before = (x * w).detach().requires_grad_()
    result = change_in_place(before.clone())
    wanted, after = torch.autograd.grad((result - t).square().sum(), [before, result])
    view, _ = run.show({"x": x, "w": w, "h": made[-1], "loss": losses[-1]})
    return made[-1], view, gradient, wanted, after


@exercise("11.13")
def a_graph_that_frees_nothing(run):
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = run(x)
    _tracked_result("y", y)
    same_numbers(y, 14.0, "y")
    _no_gradient_yet(x=x)
    view, lines = run.show({"x": x, "y": y})
    saving = [number for number, node in enumerate(view.snapshot.nodes, 1) if node.saved]
    if saving:
        count = len(view.snapshot.saved)
        raise Wrong(f"The graph saves {count} tensor{'s' * (count > 1)}.", view.mark(saving[0], "saves"),
                    lines.get(saving[0], ""))
    own = [number for number, node in enumerate(LiveGraph((), {"x": x, "y": y}).functions, 1)
           if isinstance(node, BackwardCFunction)]
    if own:
        raise Wrong(f"[{own[0]}] {view.snapshot.nodes[own[0] - 1].name} is the node of a Function.",
                    view.mark(own[0], "of a Function"), lines.get(own[0], ""))
    for start in (1.0, 1.0, 10.0):
        x.grad = None
        _backward(run, "y", y, start, view)
        if x.grad is None:
            raise Wrong("x.grad is None after backward: no way leads from x to y.", view)
        same_numbers(x.grad, 2 * start * x, f"With a gradient of {start:.0f} at y, x.grad")
    return Idea("Only what lies in a slot is guarded and freed: what a hook holds is neither.", view)


@exercise("11.14")
def a_leaf_outside_the_graph(run):
    x, w = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, -1.0], requires_grad=True)
    y = quietly(run, x, w)
    _tracked_result("y", y)
    same_numbers(y, 1.0, "y")
    view, lines = run.show({"x": x, "w": w, "y": y})
    if any(tensor.in_graph for tensor in view.snapshot.tensors if "w" in tensor.names):
        raise Wrong("w is in the graph of y.", view.mark("w", "in the graph"), lines.get(len(view.snapshot.nodes), ""))
    _no_gradient_yet(x=x, w=w)
    for number, start in (("first", 1.0), ("second", 10.0)):
        before = [torch.zeros(2) if leaf.grad is None else leaf.grad.clone() for leaf in (w, x)]
        _backward(run, "y", y, start, view, retain_graph=True)
        for name, leaf, other, old in (("w", w, x, before[0]), ("x", x, w, before[1])):
            if leaf.grad is None:
                raise Wrong(f"{name}.grad is None after backward.", view.mark(name, "no gradient"))
            same_numbers(leaf.grad - old, start * other,
                         f"With a gradient of {start:.0f} at y, what the {number} backward adds to {name}.grad")
    return Idea("What runs in a backward may build and walk another graph, and no picture of y shows that one.", view)


@exercise("11.15")
def two_accumulate_grad_nodes(run):
    x, y = _two(run(), "x and y")
    if not x.requires_grad or not x.is_leaf:
        raise Wrong("x is no tracked leaf.")
    _tracked_result("y", y, one_number=False)
    view = show_graph(x=x, y=y)
    mine = [number for number, node in enumerate(view.snapshot.nodes, 1)
            if node.leaf is not None and "x" in view.snapshot.tensors[node.leaf].names]
    if not mine:
        raise Wrong("x is not in the graph of y.", view.mark("x", "not in this graph"))
    if len(mine) == 1:
        other = ", and another leaf has one, too" * (len(view.snapshot.leaves) > 1)
        raise Wrong(f"x has one AccumulateGrad node, [{mine[0]}]{other}.", view.mark(mine[0], "the only one of x"))
    _backward(run, "y.sum()", y.sum(), picture=view)
    if x.grad is None:
        raise Wrong("x.grad is None after backward.", view)
    return Idea("A leaf whose dtype has changed gets a new AccumulateGrad node: so it is after net.double(), too.",
                view)
