"""What is drawn and said of a snapshot, at three levels of detail.

A :class:`Diagram` is plain data: boxes, arrows and ties, with their words. The picture and the transcript are both made
from it, so they cannot disagree. Nothing here knows PyTorch, DOT or HTML.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from .snapshot import CHANGED, FREED, STATES, Edge, GraphSnapshot, Layout, Node, SavedTensor, Size, Tensor

Level = Literal["full", "compact", "folded"]
LEVELS = get_args(Level)

# Kinds of box.
LEAF, NODE, RESULT, BASE, UNTRACKED, GROUP = "leaf", "node", "result", "base", "not tracked", "group"

LONGEST_NAME = 40


@dataclass(frozen=True)
class Slot:
    """One row of a box: a saved tensor, or in the coarser levels the sum of the saved tensors of one state.

    key: unique in the diagram; it begins with the key of its box.
    state: ALIVE, FREED or CHANGED.
    text: its words.
    """

    key: str
    state: str
    text: str


@dataclass(frozen=True)
class Box:
    """A tensor, a node, or a group of nodes.

    key: "t3", "n7" or "g2": unique in the diagram, the same in every process.
    kind: LEAF, NODE, RESULT, BASE, UNTRACKED or GROUP.
    name: what a reader calls it: "x", "[7]" or "(2)".
    title: what follows the name.
    lines: the lines below, in words.
    slots: the rows below these.
    named: whether the caller named it.
    dashed: whether it is no part of the graph.
    """

    key: str
    kind: str
    name: str
    title: str = ""
    lines: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    named: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Arrow:
    """From an input to what was computed from it, as the forward pass ran.

    source: the key of the box of the input.
    target: the key of the box of what was computed.
    text: which output of the source this is, where it has several.
    """

    source: str
    target: str
    text: str = ""


@dataclass(frozen=True)
class Tie:
    """A dotted line between two boxes or two slots that are the same memory.

    first: the key of a box or of a slot.
    second: the key of another one.
    text: what they share.
    """

    first: str
    second: str
    text: str = ""


@dataclass(frozen=True)
class Diagram:
    """A snapshot at one level of detail.

    headline: the counts, in one line.
    boxes: all boxes, in forward order.
    arrows: one for each use of an output, and at the level "folded" one between two boxes.
    ties: one for each pair of neighbours among those that share memory.
    home: for each node of the snapshot, the key of the box that it is drawn in.
    """

    headline: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    ties: tuple[Tie, ...]
    home: tuple[str, ...]


def make_diagram(snapshot: GraphSnapshot, detail: Level) -> Diagram:
    """Return the :class:`Diagram` of a snapshot. detail: one of LEVELS."""
    levels: dict[Level, type[_Full]] = {"full": _Full, "compact": _Compact, "folded": _Folded}
    return levels[detail](snapshot).make()


def headline(snapshot: GraphSnapshot) -> str:
    """The counts in one line."""
    if not snapshot.nodes:
        return "no graph: no tensor here was computed from a tracked tensor"
    parts = [_count(len(snapshot.nodes), "node"), _count(len(snapshot.leaves), "tracked leaf", "tracked leaves")]
    saved, hidden = len(snapshot.saved), sum(node.hides_saved for node in snapshot.nodes)
    more = f"; {_hidden(hidden)}" if hidden else ""
    if not saved:
        return ", ".join(parts + ["no saved tensors" + " to see" * bool(hidden)]) + more
    states = ", ".join(f"{snapshot.states[state]} {state}" for state in STATES if snapshot.states[state])
    held = f" ({_bytes(snapshot.saved_bytes)})" if snapshot.saved_bytes else ""
    return f"{', '.join(parts)}, {_count(saved, 'saved tensor')}: {states}{held}{more}"


def _hidden(count: int) -> str:
    return f"PyTorch does not show what {_count(count, 'node')} {'saves' if count == 1 else 'save'}"


def node_counts(snapshot: GraphSnapshot) -> list[tuple[str, int]]:
    """How often each kind of node occurs, the most frequent first: pairs of its name and a count."""
    return sorted(Counter(short_name(node.name) for node in snapshot.nodes).items(), key=lambda item: (-item[1], item[0]))


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _bytes(number: int) -> str:
    return f"{number:,} B"


def _shape(shape: Size | None) -> str:
    return "shape varies" if shape is None else f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _kind_of_data(tensor: Tensor | SavedTensor) -> str:
    return "" if tensor.dtype == "float32" else " " + tensor.dtype


def printable(text: str) -> str:
    """Any text as one line that every font and file can hold."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def short_name(name: str) -> str:
    """A name as one short line. A long one is cut in the middle: of a parameter's name, both ends say which it is."""
    name = printable(name) or "?"
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def short_names(snapshot: GraphSnapshot) -> dict[str, str]:
    """For each name that the caller gave, its short form. No two look alike: they are then whole, and if need be numbered."""
    names = dict.fromkeys(name for tensor in snapshot.tensors for name in tensor.names)
    alike = Counter(map(short_name, names))
    found: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for name in names:
        text = short_name(name)
        if alike[text] > 1:
            text = printable(name) or "?"
        taken[text] += 1
        found[name] = text if taken[text] == 1 else f"{text} ({taken[text]})"
    return found


def _slot_text(slot: SavedTensor, names: list[str]) -> str:
    words = [slot.name]
    if slot.holds is not None:
        words.append("= " + names[slot.holds])
    elif slot.views is not None:
        words.append("views " + names[slot.views])
    if slot.shape is not None:
        words.append(_shape(slot.shape) + _kind_of_data(slot))
    if slot.packed:
        words.append("packed by a hook")
    if slot.nbytes is not None:
        words.append(_bytes(slot.nbytes))
    words.append(slot.state)
    if slot.versions:
        words.append("(saved at version {}, now {})".format(*slot.versions))
    return " ".join(words)


class _Full:
    """Every node and every slot.

    snapshot: what is drawn.
    leaves: the indices of the tensors that own an AccumulateGrad.
    names: the words for each drawn tensor.
    versioned: the tensors whose version a reader needs: their memory is shared, or was changed after a node saved it.
    placed: the leaves that have a box.
    home: for the index of each node, the key of the box that it is drawn in.
    """

    def __init__(self, snapshot: GraphSnapshot) -> None:
        self.snapshot = snapshot
        self.leaves = {node.leaf for node in snapshot.nodes}
        self.names = self.tensor_names()
        self.versioned: set[int | None] = {i for tie in snapshot.shared for i in (tie.first, tie.second)}
        self.versioned |= {i for slot in snapshot.saved if slot.state == CHANGED for i in (slot.holds, slot.views)}
        self.placed: set[int] = set()
        self.home: dict[int, str] = {}

    def make(self) -> Diagram:
        boxes: list[Box] = []
        arrows: list[Arrow] = []
        self.place(boxes, arrows)
        drawn = {box.key for box in boxes}
        tensors = [i for i in range(len(self.snapshot.tensors)) if f"t{i}" in drawn]
        ties = (*self.tensor_ties(tensors), *self.slot_ties())
        home = tuple(self.home[i] for i in range(len(self.snapshot.nodes)))
        return Diagram(headline(self.snapshot), tuple(boxes), tuple(arrows), ties, home)

    def tensor_names(self) -> list[str]:
        """The words for each drawn tensor: the caller's names, else its role and a number."""
        names: list[str] = []
        seen: Counter[str] = Counter()
        given = short_names(self.snapshot)
        taken = set(given.values())
        roles = {LEAF: "leaf", RESULT: "result", BASE: "base", UNTRACKED: "tensor"}
        for i, tensor in enumerate(self.snapshot.tensors):
            if tensor.names:
                names.append(" = ".join(given[name] for name in tensor.names))
                continue
            role = roles[self.kind_of(i)]
            seen[role] += 1
            while f"{role} {seen[role]}" in taken:      # the caller may call a tensor "leaf 1"
                seen[role] += 1
            names.append(f"{role} {seen[role]}")
        return names

    def kind_of(self, i: int) -> str:
        tensor = self.snapshot.tensors[i]
        if i in self.leaves or tensor.requires_grad and tensor.is_leaf:
            return LEAF
        if not tensor.requires_grad:
            return UNTRACKED
        return RESULT if tensor.given else BASE

    def place(self, boxes: list[Box], arrows: list[Arrow]) -> None:
        """Put the boxes of this level in forward order, and the arrows between them."""
        for i, node in enumerate(self.snapshot.nodes):
            self.home[i] = f"n{i + 1}"
            if node.leaf is not None:
                self.place_leaf(node.leaf, boxes)
                arrows.append(Arrow(f"t{node.leaf}", f"n{i + 1}"))
            boxes.append(self.node_box(i, node))
            arrows += self.arrows_into(i)
        self.place_results(boxes, arrows)

    def place_leaf(self, i: int, boxes: list[Box], *more_lines: str) -> None:
        if i not in self.placed:        # one leaf may have two AccumulateGrad nodes
            self.placed.add(i)
            boxes.append(self.tensor_box(i, *more_lines))

    def place_results(self, boxes: list[Box], arrows: list[Arrow]) -> None:
        drawn = {box.key for box in boxes}
        for i, tensor in enumerate(self.snapshot.tensors):
            if f"t{i}" in drawn or not self.stands_alone(tensor):
                continue
            boxes.append(self.tensor_box(i))
            if tensor.producer:
                arrows.append(Arrow(self.home[tensor.producer.node], f"t{i}", self.output_text(tensor.producer)))

    def stands_alone(self, tensor: Tensor) -> bool:
        return True

    def arrows_into(self, i: int) -> list[Arrow]:
        return [Arrow(self.home[edge.node], self.home[i], self.output_text(edge))
                for edge in self.snapshot.nodes[i].inputs if edge]

    def output_text(self, edge: Edge) -> str:
        return f"output {edge.output}" if self.snapshot.nodes[edge.node].outputs > 1 else ""

    def node_box(self, i: int, node: Node) -> Box:
        return Box(f"n{i + 1}", NODE, f"[{i + 1}]", short_name(node.name), _node_lines(node), self.slots(i, node))

    def slots(self, i: int, node: Node) -> tuple[Slot, ...]:
        return tuple(Slot(f"n{i + 1}s{k}", slot.state, _slot_text(slot, self.names))
                     for k, slot in enumerate(node.saved))

    def tensor_box(self, i: int, *more_lines: str) -> Box:
        tensor = self.snapshot.tensors[i]
        kind = self.kind_of(i)
        on = "" if tensor.device == "cpu" else f" on {tensor.device}"
        lines = [f"{kind} {_shape(tensor.shape)}{_kind_of_data(tensor)}{on}", *more_lines]
        if kind == LEAF or tensor.keeps_grad or tensor.grad_shape is not None:
            lines.append(".grad " + ("None" if tensor.grad_shape is None else _shape(tensor.grad_shape)))
        if kind == LEAF and not tensor.requires_grad:
            lines.append("no longer tracked")
        if kind != UNTRACKED and not tensor.in_graph:
            lines.append("not in this graph" if tensor.is_leaf else "PyTorch does not tell its node")
        if tensor.version is not None and i in self.versioned:
            lines.append(f"version {tensor.version}")
        return Box(f"t{i}", kind, self.names[i], lines=tuple(lines), named=bool(tensor.names),
                   dashed=not tensor.in_graph)

    def tensor_ties(self, drawn: Iterable[int]) -> Iterable[Tie]:
        for shared in self.snapshot.shared_among(drawn):
            first, second = sorted((shared.first, shared.second))
            tensors = self.snapshot.tensors
            view = tensors[first].base == second or tensors[second].base == first
            counter = "one version counter" if shared.one_counter else "two version counters"
            yield Tie(f"t{first}", f"t{second}", f"{'a view: ' if view else ''}one storage, {counter}")

    def slot_ties(self) -> Iterable[Tie]:
        """Tie the slots that hold one tensor, each to the next."""
        last: dict[tuple[int, Layout | None], str] = {}
        for i, node in enumerate(self.snapshot.nodes):
            for k, slot in enumerate(node.saved):
                if slot.storage is None:
                    continue
                key = f"n{i + 1}s{k}"
                if (slot.storage, slot.layout) in last:
                    yield Tie(last[slot.storage, slot.layout], key, "one tensor")
                last[slot.storage, slot.layout] = key


class _Compact(_Full):
    """One box for a leaf, its AccumulateGrad and its transpose; the slots of a node are a line per state."""

    def place(self, boxes: list[Box], arrows: list[Arrow]) -> None:
        producers = {tensor.producer.node for tensor in self.snapshot.tensors if tensor.producer}
        leaf_of: dict[int, int] = {}
        transposed = set()
        for i, node in enumerate(self.snapshot.nodes):
            if node.leaf is not None:
                leaf_of[i] = node.leaf
            elif node.transposes and i not in producers and (edge := node.inputs[0]) and edge.node in leaf_of:
                leaf_of[i] = leaf_of[edge.node]
                transposed.add(leaf_of[i])
        for i, node in enumerate(self.snapshot.nodes):
            if i in leaf_of:
                self.home[i] = f"t{leaf_of[i]}"
                if node.leaf is not None:
                    self.place_leaf(node.leaf, boxes, *["used transposed"] * (node.leaf in transposed))
            else:
                self.home[i] = f"n{i + 1}"
                boxes.append(self.node_box(i, node))
                arrows += self.arrows_into(i)
        self.place_results(boxes, arrows)

    def slots(self, i: int, node: Node) -> tuple[Slot, ...]:
        return _summed_slots(f"n{i + 1}", node.saved)

    def slot_ties(self) -> Iterable[Tie]:
        return ()


class _Folded(_Compact):
    """Only the given tensors stand alone. All nodes that lead to the same next given tensors are one box."""

    def place(self, boxes: list[Box], arrows: list[Arrow]) -> None:
        nodes, tensors = self.snapshot.nodes, self.snapshot.tensors
        # For each node, the given tensors that its results reach first. Crossing an arrow between two groups takes a
        # tensor away from this set, or passes a given tensor: so the groups cannot form a cycle.
        reaches: list[set[int]] = [set() for _ in nodes]
        for i, tensor in enumerate(tensors):
            if tensor.producer and tensor.given:
                reaches[tensor.producer.node].add(i)
        is_end = [bool(reached) for reached in reaches]
        for i in reversed(range(len(nodes))):
            for edge in nodes[i].inputs:
                if edge and not is_end[edge.node]:
                    reaches[edge.node] |= reaches[i]
        groups: dict[frozenset[int], list[int]] = {}
        for i, node in enumerate(nodes):
            if node.leaf is not None and tensors[node.leaf].given:
                self.home[i] = f"t{node.leaf}"
                self.place_leaf(node.leaf, boxes)
            else:
                groups.setdefault(frozenset(reaches[i]), []).append(i)
        for number, members in enumerate(groups.values(), 1):
            for i in members:
                self.home[i] = f"g{number}"
            boxes.append(self.group_box(number, members))
        given = {tensor.producer: f"t{k}" for k, tensor in enumerate(tensors) if tensor.given and tensor.producer}
        between = (Arrow(given.get(edge, self.home[edge.node]), self.home[i])
                   for i, node in enumerate(nodes) for edge in node.inputs if edge)
        arrows += dict.fromkeys(arrow for arrow in between if arrow.source != arrow.target)
        self.place_results(boxes, arrows)

    def stands_alone(self, tensor: Tensor) -> bool:
        return tensor.given

    def output_text(self, edge: Edge) -> str:
        return ""

    def group_box(self, number: int, members: list[int]) -> Box:
        nodes = [self.snapshot.nodes[i] for i in members]
        leaves, hidden = sum(node.leaf is not None for node in nodes), sum(node.hides_saved for node in nodes)
        slots = _summed_slots(f"g{number}", [slot for node in nodes for slot in node.saved])
        if len(nodes) == 1:
            return Box(f"g{number}", GROUP, f"[{members[0] + 1}]", short_name(nodes[0].name), _node_lines(nodes[0]), slots)
        lines = []
        if leaves:
            lines.append(_count(leaves, "leaf", "leaves"))
        if hidden:
            lines.append(_hidden(hidden))
        return Box(f"g{number}", GROUP, f"({number})", _count(len(nodes), "node"), tuple(lines), slots)


def _node_lines(node: Node) -> tuple[str, ...]:
    if node.hides_a_node:
        return ("wraps a node that cannot be seen",)
    return ("PyTorch does not show what it saves",) if node.hides_saved else ()


def _summed_slots(key: str, saved: Iterable[SavedTensor]) -> tuple[Slot, ...]:
    """One slot for each state that occurs, with the number of saved tensors and their bytes."""
    summed = []
    for state in STATES:
        slots = [slot for slot in saved if slot.state == state]
        if slots:
            sizes = {(slot.storage, slot.layout) if slot.storage is not None else i: slot.nbytes or 0
                     for i, slot in enumerate(slots)}
            held = "" if state == FREED else " " + _bytes(sum(sizes.values()))
            summed.append(Slot(f"{key}{state[0]}", state, f"{len(slots)} saved{held} {state}"))
    return tuple(summed)
