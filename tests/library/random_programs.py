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
            self.go_on()
        self.source = "\n".join(self.lines)

    def go_on(self) -> None:
        self.random.choice([self.unary, self.unary, self.product, self.product, self.sum, self.change, self.change_data,
                            self.detach, self.alias, self.delete, self.call, self.loop, self.backward])()

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


@dataclass
class Failure:
    """How a program ends.

    message: a part of what PyTorch says; cases: the numbers of the cases of the clinic that it may be, none where it has none.
    guilty: the node that cannot run, as its place among the nodes of the graph in the order in which they were made.
    by: the line that freed what it had saved.
    """

    message: str
    cases: tuple[int, ...]
    guilty: int | None = None
    by: int | None = None


class FailingProgram(Program):
    """A program whose last line raises."""

    def __init__(self, seed: int, statements: int) -> None:
        super().__init__(seed, statements)
        self.failure: Failure | None = None
        # In two of three, a backward fails: there is most to be known.
        end = self.backward_again if seed % 3 else self.random.choice([
            self.no_graph, self.no_scalar, self.leaf_in_place, self.flag, self.to_numpy, self.optimize, self.not_used, self.copy,
            self.retain, self.other])
        end()
        for _ in range(30):
            if self.failure is None:
                self.go_on()
                end()
        if self.failure is None:        # nothing is tracked any more, say
            self.other()
        self.source = "\n".join(self.lines)

    def ends(self, statement: str, failure: Failure) -> None:
        self.statement(statement)
        self.failure = failure

    def of_kind(self, wanted) -> str | None:
        names = sorted(name for name, value in self.names.items() if wanted(value))
        return self.random.choice(names) if names else None

    def backward_again(self) -> None:
        name = self.of_kind(lambda value: value.node is not None)
        if name is None:
            return
        reached: dict[Made, None] = {}
        pending = [self.names[name].node]
        while pending:
            node = pending.pop()
            reached[node] = None
            pending += [other for other in node.inputs if other not in reached]
        order = [node for node in self.nodes if node in reached]
        # Each node is newer than its inputs, so the engine takes the newest first.
        for place, node in reversed(list(enumerate(order))):
            freed = [saved.freed for saved in node.saved if saved.freed]
            changed = [saved for saved in node.saved if saved.version != saved.memory.version]
            if freed:
                message = Failure("a second time", (1,), place, freed[0])
            elif changed:
                message = Failure("modified by an inplace operation", (2, 3), place)
            else:
                continue
            retain = self.random.random() < 0.5
            self.ends(f"{name}.sum().backward({'retain_graph=True' if retain else ''})", message)
            return

    def no_graph(self) -> None:
        name = self.of_kind(lambda value: not value.tracked)
        if name is not None:
            self.ends(f"{name}.sum().backward()", Failure("does not require grad", (4,)))

    def no_scalar(self) -> None:
        name = self.of_kind(lambda value: value.tracked)
        if name is not None:
            self.ends(f"{name}.backward()", Failure("only for scalar outputs", (5,)))

    def leaf_in_place(self) -> None:
        name = self.of_kind(lambda value: value.tracked and value.node is None)
        if name is not None:
            self.ends(f"{name}.mul_(2)", Failure("a leaf Variable", (7,)))

    def flag(self) -> None:
        name = self.of_kind(lambda value: value.node is not None)
        if name is not None:
            self.ends(f"{name}.requires_grad_(False)", Failure("requires_grad flags of leaf", (10,)))

    def to_numpy(self) -> None:
        name = self.of_kind(lambda value: value.tracked)
        if name is not None:
            self.ends(f"{name}.numpy()", Failure("Can't call numpy()", (12,)))

    def optimize(self) -> None:
        name = self.of_kind(lambda value: value.node is not None)
        if name is not None:
            self.ends(f"torch.optim.SGD([{name}], lr=0.1)", Failure("can't optimize a non-leaf", (9,)))

    def not_used(self) -> None:
        name = self.of_kind(lambda value: value.node is not None)
        if name is not None:
            self.statement("unused = torch.zeros(3, requires_grad=True)")
            self.ends(f"torch.autograd.grad({name}.sum(), unused, retain_graph=True)", Failure("", (1, 2, 3, 6)))

    def copy(self) -> None:
        name = self.of_kind(lambda value: value.node is not None)
        if name is not None:
            self.ends(f"__import__('copy').deepcopy({name})", Failure("deepcopy", (19,)))

    def retain(self) -> None:
        name = self.of_kind(lambda value: not value.tracked)
        if name is not None:
            self.ends(f"{name}.retain_grad()", Failure("can't retain_grad", (20,)))

    def other(self) -> None:
        """An error that has nothing to do with autograd."""
        name = self.some()
        self.ends(self.random.choice([f"{name} @ torch.zeros(4)", f"{name}[7]", "undefined", f"{name}.no_such_method()",
                                      "raise ValueError('x is a view of y')", "None + 1", "int('backward')"]), Failure("", ()))
