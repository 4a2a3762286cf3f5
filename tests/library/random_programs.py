"""Random programs, and an account of what each of their lines does to the graph, which asks neither PyTorch nor seegrad."""

import random
from dataclasses import dataclass, field

# What each operation saves, by the rules of PyTorch: inputs by their number, "result" for its result.
SAVES = {"MulBackward0": (0, 1), "TanhBackward0": ("result",), "SigmoidBackward0": ("result",), "PowBackward0": (0,),
         "NegBackward0": (), "CloneBackward0": (), "AddBackward0": (), "SumBackward0": ()}
UNARY = {"tanh": "TanhBackward0", "sigmoid": "SigmoidBackward0", "neg": "NegBackward0", "clone": "CloneBackward0"}
HELPER = ["def half(v):", "    u = v * 0.5", "    return u.tanh()"]
START = 1 + len(HELPER)      # the magic, and the function


@dataclass(eq=False)
class Memory:
    """Numbers somewhere. version: how often they were changed, as far as PyTorch counts it."""

    version: int = 0


@dataclass(eq=False)
class Value:
    """A tensor."""

    memory: Memory
    tracked: bool = False
    node: "Made | None" = None


@dataclass(eq=False)
class Saved:
    """A saved tensor: what became of it, and by which line."""

    memory: Memory
    holds: Value | None         # a saved input is held itself; a saved result is not
    version: int
    changed: int | None = None
    unnoticed: bool = False
    freed: int | None = None


@dataclass(eq=False)
class Made:
    """A node: the line that made it, and the one that let it go."""

    name: str
    line: int
    inputs: list["Made"]
    saved: list[Saved] = field(default_factory=list)
    let_go: int | None = None


class Program:
    """A program that is drawn at random. Each statement is written, and carried out in the account.

    lines: of the cell, the magic first.
    nodes: all nodes that it makes, in order.
    """

    def __init__(self, seed: int, statements: int) -> None:
        self.random = random.Random(seed)
        self.lines = ["%%watch", *HELPER]
        self.nodes: list[Made] = []
        self.names: dict[str, Value] = {}
        for name in "pq":
            self.statement(f"{name} = torch.tensor([0.5, 0.25, 0.75], requires_grad=True)")
            self.names[name] = Value(Memory(), True)
        self.statement("r = torch.tensor([0.25, 0.5, 1.0])")
        self.names["r"] = Value(Memory())
        while len(self.lines) < START + 3 + statements:
            self.random.choice([self.unary, self.unary, self.product, self.product, self.sum, self.change, self.change_data,
                                self.detach, self.alias, self.delete, self.call, self.loop, self.backward])()
        self.source = "\n".join(self.lines)

    def statement(self, text: str) -> None:
        self.lines.append(text)

    @property
    def line(self) -> int:
        return len(self.lines)

    def some(self) -> str:
        return self.random.choice(sorted(self.names))

    def new_name(self) -> str:
        return self.random.choice(["a", "b", "c", "d", "p", "q", "r"])

    def make(self, name: str, line: int, *inputs: Value) -> Value:
        """The result of an operation; with its node, where an input is tracked."""
        result = Value(Memory())
        if any(value.tracked for value in inputs):
            result.tracked = True
            result.node = Made(name, line, [value.node for value in inputs if value.node])
            for what in SAVES[name]:
                if what == "result":
                    result.node.saved.append(Saved(result.memory, None, 0))
                elif name != "MulBackward0" or inputs[1 - what].tracked:       # a factor is needed for the other one
                    result.node.saved.append(Saved(inputs[what].memory, inputs[what], inputs[what].memory.version))
            self.nodes.append(result.node)
        return result

    def bind(self, name: str, value: Value, line: int) -> None:
        self.names[name] = value
        self.sweep(line)

    def sweep(self, line: int) -> None:
        """Let go what no name leads to."""
        alive: set[Made] = set()
        pending = [value.node for value in self.names.values()]
        while pending:
            node = pending.pop()
            if node is not None and node not in alive:
                alive.add(node)
                pending += node.inputs
                pending += [saved.holds.node for saved in node.saved if saved.holds is not None and saved.freed is None]
        for node in self.nodes:
            if node not in alive and node.let_go is None:
                node.let_go = line

    def unary(self) -> None:
        operation, source, target = self.random.choice(list(UNARY)), self.some(), self.new_name()
        self.statement(f"{target} = {source}.{operation}()")
        self.bind(target, self.make(UNARY[operation], self.line, self.names[source]), self.line)

    def product(self) -> None:
        first, second, target = self.some(), self.some(), self.new_name()
        self.statement(f"{target} = {first} * {second}")
        self.bind(target, self.make("MulBackward0", self.line, self.names[first], self.names[second]), self.line)

    def sum(self) -> None:
        first, second, target = self.some(), self.some(), self.new_name()
        self.statement(f"{target} = {first} + {second}")
        self.bind(target, self.make("AddBackward0", self.line, self.names[first], self.names[second]), self.line)

    def detach(self) -> None:
        source, target = self.some(), self.new_name()
        self.statement(f"{target} = {source}.detach()")
        self.bind(target, Value(self.names[source].memory), self.line)

    def alias(self) -> None:
        source, target = self.some(), self.new_name()
        self.statement(f"{target} = {source}")
        self.bind(target, self.names[source], self.line)

    def delete(self) -> None:
        name = self.some()
        if len(self.names) > 3:
            self.statement(f"del {name}")
            del self.names[name]
            self.sweep(self.line)

    def change(self) -> None:
        name = self.some()
        value = self.names[name]
        if value.tracked and value.node is None:        # PyTorch refuses it
            return
        self.statement(f"{name}.add_(1)")
        if value.tracked:
            value.node = Made("AddBackward0", self.line, [value.node])
            self.nodes.append(value.node)
        value.memory.version += 1
        for saved in self.saved_in(value.memory):
            if saved.changed is None or saved.unnoticed:
                saved.changed, saved.unnoticed = self.line, False
        self.sweep(self.line)

    def change_data(self) -> None:
        name = self.some()
        self.statement(f"{name}.data.sub_(0.125)")
        for saved in self.saved_in(self.names[name].memory):
            if saved.changed is None:
                saved.changed, saved.unnoticed = self.line, True

    def saved_in(self, memory: Memory) -> list[Saved]:
        return [saved for node in self.nodes if node.let_go is None for saved in node.saved
                if saved.memory is memory and saved.freed is None]

    def call(self) -> None:
        source, target = self.some(), self.new_name()
        self.statement(f"{target} = half({source})")
        half = self.half(self.names[source])
        self.bind(target, self.make("TanhBackward0", 4, half), self.line)

    def half(self, value: Value) -> Value:
        """v * 0.5, which saves the number as a tensor that nobody else has."""
        result = Value(Memory())
        if value.tracked:
            inputs = [value.node] if value.node else []
            result.tracked, result.node = True, Made("MulBackward0", 3, inputs, [Saved(Memory(), None, 0)])
            self.nodes.append(result.node)
        return result

    def loop(self) -> None:
        source, target = self.some(), self.new_name()
        self.statement("for _ in range(3):")
        self.statement(f"    {target} = {source} * {source}")
        for _ in range(3):
            self.bind(target, self.make("MulBackward0", self.line, self.names[source], self.names[source]), self.line)

    def backward(self) -> None:
        name, retain = self.some(), self.random.random() < 0.5
        value = self.names[name]
        reached: dict[Made, None] = {}
        pending = [value.node] if value.node else []
        while pending:
            node = pending.pop()
            reached[node] = None
            pending += [other for other in node.inputs if other not in reached]
        slots = [saved for node in reached for saved in node.saved]
        if not value.tracked or any(saved.freed or saved.version != saved.memory.version for saved in slots):
            return      # it would raise
        self.statement(f"{name}.sum().backward({'retain_graph=True' if retain else ''})")
        self.make("SumBackward0", self.line, value)
        for saved in slots:
            saved.freed = saved.freed or (None if retain else self.line)
        self.sweep(self.line)
