"""Small random programs that run twice, by PyTorch and by our own autograd of notebook 12, until the two differ."""

import contextlib
import html
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import get_gradient_edge

from seegrad import show_graph
from seegrad.saving import Shown
from seegrad.table import Table

from . import own_autograd
from .checking import Wrong, in_words
from .own_autograd import AccumulateGrad, Node, Value

RESULTS = "abdefgh"         # what a program calls its results, but the last one; its constant is c
NUMBERS = 2.0, 3.0, 5.0, -2.0
LARGEST = 10_000            # of all numbers of a program: the gradients of such whole numbers are exact too
STATEMENTS = {
    "add": "{name} = {a} + {b}",
    "mul": "{name} = {a} * {b}",
    "detach": "{name} = {a}.detach()",
    "no_grad": "with no_grad(): {name} = {a} * {b}",
    "nested": "with no_grad():\n    with no_grad(): {name} = {a} * {b}\n    {name} = {name} + {a}",
    "matmul": "{name} = {a} @ {b}",
}
CAPTION = "The two differ at this program. The graph is PyTorch's."
SHAPES = (), (2,), (1, 2), (3, 1), (2, 2), (3, 2)

PYTORCH = {"leaf": lambda data: torch.tensor(data, requires_grad=True), "constant": torch.tensor, "no_grad": torch.no_grad}
OURS = {"leaf": lambda data: Value(data, requires_grad=True), "constant": Value,
        "no_grad": contextlib.contextmanager(lambda: own_autograd.no_grad())}


# Making programs

def programs(seed: int, kinds: Sequence[str], count: int = 100, endings: Sequence[Sequence[str]] = (["loss.backward()"],),
             shapes: bool = False) -> list["Program"]:
    """Programs that are all different, from the shortest to the longest.

    kinds: of STATEMENTS, those that are used. endings: lines that may stand at the end. shapes: whether there are other shapes
    than those of single numbers; then the loss is a mean.
    """
    chance = random.Random(seed)
    made: dict[Program, None] = {}
    while len(made) < count:
        size = 1 + 6 * len(made) // count
        program = _Writer(chance, kinds, shapes).write(size, chance.choice(endings))
        if program:
            made[program] = None
    return sorted(made, key=lambda program: len(program.lines))


@dataclass(frozen=True)
class Program:
    """lines: its statements. leaves: the names of its leaves."""

    lines: tuple[str, ...]
    leaves: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def without_what_is_not_used(self) -> "Program":
        """The same program without the lines that name what no other line uses."""
        for line in self.lines:
            name, makes, _ = line.partition(" = ")
            others = tuple(other for other in self.lines if other != line)
            if makes and name.isidentifier() and not any(re.search(rf"\b{name}\b", other) for other in others):
                leaves = tuple(leaf for leaf in self.leaves if leaf != name)
                return Program(others, leaves).without_what_is_not_used()
        return self


class _Writer:
    """Writes one program, and runs each line by PyTorch as it is written."""

    def __init__(self, chance, kinds, shapes):
        self.chance, self.kinds, self.shapes = chance, kinds, shapes
        self.lines, self.namespace, self.names = [], dict(PYTORCH), []

    def write(self, size, ending):
        """The program, or None where it has gone wrong."""
        leaves = ["x", "y", "w"][:self.chance.randint(1, 3)]
        for name in leaves:
            self.add(name, f"{name} = leaf({self.numbers()})")
        if self.chance.random() < 0.4:
            self.add("c", f"c = constant({self.numbers()})")
        results = [*RESULTS[:size - 1], "loss"]
        if self.shapes:
            results[-1] = RESULTS[size - 1]
        try:
            for name in results:
                self.add(name, self.statement(name))
            if self.shapes:
                self.add("loss", f"loss = {results[-1]}.mean()")
        except RuntimeError:        # shapes that do not fit
            return None
        tensors = [self.namespace[name] for name in self.names]
        if not self.namespace["loss"].requires_grad or max(tensor.abs().max() for tensor in tensors) > LARGEST:
            return None
        return Program((*self.lines, *(line.format(*leaves, *leaves, *leaves) for line in ending)), tuple(leaves))

    def add(self, name, line):
        exec(line, self.namespace)
        self.lines.append(line)
        self.names.append(name)

    def numbers(self):
        shape = self.chance.choice(SHAPES) if self.shapes else ()
        count = torch.Size(shape).numel()
        return torch.tensor([self.chance.choice(NUMBERS) for _ in range(count)]).reshape(shape).tolist()

    def statement(self, name):
        kind = self.chance.choice(self.kinds)
        names = [name for name in self.names if kind != "matmul" or self.namespace[name].dim() == 2]
        if not names:
            raise RuntimeError("there is no matrix yet")
        return STATEMENTS[kind].format(name=name, a=self.pick(names), b=self.pick(names))

    def pick(self, names):
        return self.chance.choice(names if self.chance.random() < 0.5 else names[-2:])


# Running them

@dataclass
class Run:
    """What a program did.

    namespace: what its lines have named.
    nodes: by the name of each result, its node; by that of each leaf, its AccumulateGrad.
    received: by the same names, the gradients that came to these nodes.
    grads: the `.grad` of the leaves, as it was after the last line that went well.
    changed: the names of those nodes to which a gradient came that had been changed in place.
    failed: the number of the line that raised, or None.
    error: what it raised.
    """

    namespace: dict[str, Any]
    nodes: dict[str, Any] = field(default_factory=dict)
    received: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    grads: dict[str, torch.Tensor | None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    failed: int | None = None
    error: Exception | None = None

    def name_of(self, node: object) -> str:
        """What is known of a thing that stands among the next functions of a node."""
        for name, known in self.nodes.items():
            if node is known:
                return f"AccumulateGrad of {name}" if name in self.grads else f"node of {name}"
        for name, known in self.namespace.items():
            if node is known:
                return f"{name} itself"
            if isinstance(node, AccumulateGrad) and node.variable is known:
                return f"AccumulateGrad of {name}"
        return _kind(node)


def run_pytorch(program: Program) -> Run:
    """Run a program by PyTorch, and watch what comes to its nodes."""
    def node_of(tensor):
        return get_gradient_edge(tensor).node if tensor.requires_grad else None

    def watch(name, node):
        node.register_prehook(lambda gradients: run.received[name].append(gradients[0].clone()))

    run = Run(dict(PYTORCH))
    _run(program, run, node_of, watch)
    return run


def run_ours(program: Program) -> Run:
    """Run a program by our autograd, with the parts that are plugged in, and watch what comes to its nodes."""
    names = {}

    def node_of(value):
        if not isinstance(value, Value):
            return None
        return value.grad_fn or (value.grad_accumulator if value.requires_grad else None)

    def watch(name, node):
        names[id(node)] = name

    def seen(node, gradient):
        if id(node) in names and isinstance(gradient, torch.Tensor):
            run.received[names[id(node)]].append(gradient.clone())
            run.changed |= {names[id(node)]} if gradient._version else set()

    def evaluate(node, gradient, retain_graph, plain=own_autograd.evaluate):
        seen(node, gradient)
        return plain(node, gradient, retain_graph)

    def accumulate(leaf, gradient, plain=own_autograd.accumulate):
        seen(leaf.grad_accumulator, gradient)
        return plain(leaf, gradient)

    run = Run(dict(OURS))
    try:
        with own_autograd.plugged(evaluate=evaluate, accumulate=accumulate):
            _run(program, run, node_of, watch)
    finally:
        own_autograd.grad_mode.enabled = True
    return run


def _run(program, run, node_of, watch):
    known = set(run.namespace)
    for number, line in enumerate(program.lines):
        try:
            exec(line, run.namespace)
        except Exception as error:
            run.failed, run.error = number, error
            return
        for name in run.namespace.keys() - known - {"__builtins__"}:
            known.add(name)
            node = node_of(run.namespace[name])
            if node is not None:
                run.nodes[name], run.received[name] = node, []
                watch(name, node)
        run.grads = {name: _copy(run.namespace[name].grad) for name in program.leaves if name in run.namespace}


def _copy(grad):
    return grad.clone() if isinstance(grad, torch.Tensor) else grad


# Comparing

@dataclass(frozen=True)
class Difference:
    """Where our autograd and PyTorch part.

    sentence: what is seen.
    program: with which it is seen.
    ours, theirs: what it did.
    name: of the tensor at which it is seen first, where that is known.
    """

    sentence: str
    program: Program
    ours: Run
    theirs: Run
    name: str = ""


def difference(program: Program) -> Difference | None:
    """Run a program twice, and return where the two differ first; None where they agree."""
    ours, theirs = run_ours(program), run_pytorch(program)
    for find in (_in_graph, _in_errors, _in_gradients):
        sentence, name = find(ours, theirs)
        if sentence:
            return Difference(sentence, program, ours, theirs, name)
    return None


def agree(made: Sequence[Program]) -> None:
    """Raise Wrong at the first of these programs at which the two differ, without the lines that do not matter."""
    for program in made:
        found = difference(program)
        if found:
            found = difference(program.without_what_is_not_used()) or found
            wrong = Wrong(found.sentence, Played(found))
            wrong.__context__ = found.ours.error        # it tells the line of the learner's code
            raise wrong


def _in_graph(ours, theirs):
    for name, tensor in theirs.namespace.items():
        value = ours.namespace.get(name)
        if not isinstance(tensor, torch.Tensor):
            continue
        if name not in ours.namespace:      # a line before this one has raised
            break
        if not isinstance(value, Value):
            return f"The operation that makes {name} returns {_kind(value)}, and not a Value.", name
        if not _same(value.data, tensor.detach()):
            return f"{name} holds {words(value.data)}, and in PyTorch {words(tensor)}.", name
        if value.requires_grad != tensor.requires_grad:
            return f"{name}.requires_grad is {value.requires_grad}, and in PyTorch {tensor.requires_grad}.", name
        if (value.grad_fn is None) != (tensor.grad_fn is None):
            theirs_is = "None" if tensor.grad_fn is None else f"a {tensor.grad_fn.name()}"
            return f"{name}.grad_fn is {_kind(value.grad_fn)}, and in PyTorch {theirs_is}.", name
        if tensor.grad_fn is not None:
            if not isinstance(value.grad_fn, Node):
                return f"{name}.grad_fn is {_kind(value.grad_fn)}, and not a Node.", name
            if not isinstance(value.grad_fn.next_functions, (list, tuple)):
                return f"{name}.grad_fn.next_functions is {_kind(value.grad_fn.next_functions)}, and not a list.", name
            led = [ours.name_of(node) for node in value.grad_fn.next_functions]
            wanted = [theirs.name_of(node) for node, _ in tensor.grad_fn.next_functions]
            if led != wanted:
                return f"{name}.grad_fn.next_functions holds {_list(led)}, and in PyTorch {_list(wanted)}.", name
    return "", ""


def _in_errors(ours, theirs):
    if ours.failed is None and theirs.failed is not None:
        return "Where PyTorch raises a RuntimeError, yours raises nothing.", ""
    if ours.failed is None or ours.failed == theirs.failed and _is_runtime_error(ours.error):
        return "", ""
    if isinstance(ours.error, Wrong):
        return str(ours.error), ""
    return f"With your function, our autograd raises {in_words(ours.error)}.", ""


def _is_runtime_error(error):
    return isinstance(error.__context__ if isinstance(error, Wrong) else error, RuntimeError)


def _in_gradients(ours, theirs):
    came, at = ("", "") if theirs.error else _in_received(ours, theirs)
    wrong = [name for name, grad in theirs.grads.items() if not _same(ours.grads[name], grad)]
    if not wrong:
        return (f"{came[0].upper()}{came[1:]}.", at) if came else ("", "")
    name = at if at in wrong else wrong[0]
    one, other = versus(ours.grads[name], theirs.grads[name])
    seen = f"{name}.grad {one}, and in PyTorch {other}"
    grad = ours.namespace[name].grad
    shared = [other for other in theirs.grads if other != name and grad is not None and ours.namespace[other].grad is grad]
    if shared:
        return f"{seen}: {name}.grad and {shared[0]}.grad are one tensor.", name
    return (f"{seen}: {came}.", at) if came and at != name else (f"{seen}.", name)


def _in_received(ours, theirs):
    """On the way back, what differs first in what came to a node."""
    for name in reversed(theirs.nodes):
        mine, wanted = ours.received[name], theirs.received[name]
        node = theirs.name_of(theirs.nodes[name])
        if len(mine) != len(wanted):
            return f"the {node} ran {_times(len(mine))}, and in PyTorch {_times(len(wanted))}", name
        for pair in zip(mine, wanted):
            if not _same(*pair):
                one, other = versus(*pair)
                changed = ", changed in place" * (name in ours.changed)
                return f"what came to the {node} {one}{changed}, and in PyTorch {other}", name
    return "", ""


def _same(ours, theirs):
    if not isinstance(ours, torch.Tensor) or theirs is None:
        return ours is theirs
    return ours.shape == theirs.shape and torch.allclose(ours, theirs)


def words(numbers: object) -> str:
    """A gradient in a few words."""
    if not isinstance(numbers, torch.Tensor):
        return repr(numbers) if isinstance(numbers, (int, float)) else _kind(numbers)
    if numbers.dim() == 0:
        return f"{numbers.item():.4g}"
    if numbers.numel() > 6:
        return f"a tensor of shape {tuple(numbers.shape)}"
    return str(_rounded(numbers.tolist()))


def versus(ours: object, theirs: object) -> tuple[str, str]:
    """What is told of a gradient of ours, with the verb, and of PyTorch's: the numbers, or where they differ, the shapes."""
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor) and ours.shape != theirs.shape:
        return f"has the shape {tuple(ours.shape)}", str(tuple(theirs.shape))
    return f"is {words(ours)}", words(theirs)


def _rounded(numbers):
    return [_rounded(number) if isinstance(number, list) else float(f"{number:.4g}") for number in numbers]


def _kind(thing):
    return "None" if thing is None else f"a thing of type {type(thing).__name__}"


def _list(names):
    return f"[{', '.join(names)}]"


def _times(count):
    return {0: "not at all", 1: "once"}.get(count, f"{count} times")


def _place(graph, name):
    """Where a result is marked: at its node, which has a number in the picture. A tensor without one: at its name."""
    tensor = next(tensor for tensor in graph.snapshot.tensors if name in tensor.names)
    return name if tensor.producer is None else tensor.producer.node + 1


class Played(Shown):
    """A program at which the two differ: its code, the gradients of both where they are others, and PyTorch's graph."""

    def __init__(self, found: Difference) -> None:
        raised = {found.theirs.failed: "    # PyTorch raises", found.ours.failed: "    # yours raises"}
        self.code = "\n".join(line + raised.get(number, "") for number, line in enumerate(found.program.lines))
        rows = list(_gradients(found.ours, found.theirs))
        table = Table("Gradients, on the way back", ("of", "yours", "PyTorch"), rows)
        graph = show_graph({name: made for name, made in found.theirs.namespace.items() if isinstance(made, torch.Tensor)})
        graph = graph.mark(_place(graph, found.name), "they differ here") if found.name else graph
        self.parts = [table, graph] if any(row["yours"] != row["PyTorch"] for row in rows) else [graph]

    def __repr__(self) -> str:
        return "\n\n".join([CAPTION, self.code, *map(repr, self.parts)])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        *tables, graph = (part._repr_mimebundle_()["text/html"] for part in self.parts)
        code = f'<p style="margin: 0.2em 0">{CAPTION}</p><pre style="white-space: pre">{html.escape(self.code)}</pre>'
        # Beside each other; where there is no room for the graph in its smallest size, it stands below.
        shown = (f'<div style="display: flex; flex-wrap: wrap; gap: 0 1em"><div style="flex: 1 1 170px">{code}{"".join(tables)}'
                 f'</div><div style="flex: 2 1 min-content; max-width: 100%">{graph}</div></div>')
        return {"text/plain": repr(self), "text/html": shown}


def _gradients(ours, theirs):
    def came(run, name):
        return " then ".join(map(words, run.received.get(name, ()))) or "nothing came"

    for name in reversed(theirs.nodes):
        if name in theirs.grads:
            yield {"of": f"{name}.grad", "yours": words(ours.grads.get(name)), "PyTorch": words(theirs.grads[name])}
        else:
            yield {"of": name, "yours": came(ours, name), "PyTorch": came(theirs, name)}
