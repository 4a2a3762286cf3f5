"""What is drawn and said of a snapshot, at four levels of detail.

A :class:`Diagram` is plain data: boxes, arrows and ties, with their words. The picture and the transcript are both made
from it, so they cannot disagree. Nothing here knows PyTorch, DOT or HTML.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from .nesting import Group, group_by_modules, opened, walk
from .snapshot import (
    CHANGED,
    FREED,
    STATES,
    Bytes,
    Edge,
    GradientSize,
    GraphSnapshot,
    Layout,
    Modules,
    Node,
    SavedTensor,
    Size,
    Tensor,
)

Level = Literal["full", "compact", "folded", "modules"]
LEVELS = get_args(Level)

# Kinds of box.
LEAF, NODE, RESULT, BASE, UNTRACKED, GROUP = "leaf", "node", "result", "base", "not tracked", "group"

LONGEST_NAME = 40
MOST_SEEN = 50          # boxes at the level "modules": as many modules are open as there is room for
MOST_NAMES = 4          # of parameters that a headline lists
MOST_SHAPES = 2         # that the text of an arrow lists
MOST_USES = 8           # of a tensor as arrows; beyond it, each use is a line in the box that uses it
MOST_ALONE = 8          # tensors outside the graph that have a box each; beyond it, all of one kind are one box
NO_GRADIENT = "no gradient"
BYTES, AT_LEAST, NOT_KNOWN = "{} B", "at least {} B", "bytes not known"
NODES, LEAVES, HIDING = ("node", "nodes"), ("leaf", "leaves"), ("node saves", "nodes save")

_NAME_OF_NODES = re.compile(r"\[\d+\]|\(\d+\)")      # as the boxes of nodes and of groups are called


@dataclass(frozen=True)
class Slot:
    """One row of a box: a saved tensor, or in the coarser levels the sum of the saved tensors of one state.

    key: unique in the diagram; it begins with the key of its box.
    state: ALIVE, FREED or CHANGED.
    text: its words.
    guilty: whether a mark is on it.
    """

    key: str
    state: str
    text: str
    guilty: bool = False


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
    frame: the key of the frame in which it stands, "" where it stands in none.
    guilty: whether a mark is on it, and not only on one of its slots.
    blames: the words of the marks on it and on its slots.
    """

    key: str
    kind: str
    name: str
    title: str = ""
    lines: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    named: bool = False
    dashed: bool = False
    frame: str = ""
    guilty: bool = False
    blames: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModuleFrame:
    """What is drawn around the boxes of a module that is open.

    key: unique in the diagram, the same in every process.
    title: which module it is.
    frame: the key of the frame around it, "" where there is none.
    """

    key: str
    title: str
    frame: str


@dataclass(frozen=True)
class Arrow:
    """From an input to what was computed from it, as the forward pass ran.

    source: the key of the box of the input.
    target: the key of the box of what was computed.
    text: which output of the source this is, where it has several; at the level "modules", the shapes of what goes along it.
    cut: whether no gradient comes back along it: the source is a tensor outside the graph, of which the target holds values.
    """

    source: str
    target: str
    text: str = ""
    cut: bool = False


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
    arrows: one for each use of an output, and at the levels "folded" and "modules" one between two boxes. The uses of a tensor
        that has many are lines in the boxes that use it, and no arrows.
    ties: one for each pair of neighbours among those that share memory.
    home: for each node of the snapshot, the key of the box that it is drawn in.
    frames: around boxes of one module, each after the one around it.
    """

    headline: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    ties: tuple[Tie, ...]
    home: tuple[str, ...]
    frames: tuple[ModuleFrame, ...] = ()


def make_diagram(snapshot: GraphSnapshot, detail: Level, depth: int | None = None) -> Diagram:
    """Return the :class:`Diagram` of a snapshot. detail: one of LEVELS. depth: as for `ChangingDiagram`."""
    return ChangingDiagram(snapshot, detail, depth=depth).first


@dataclass(frozen=True)
class Mark:
    """What is guilty in a graph: a node, one of its slots, or a tensor.

    words: what it is guilty of.
    node: the index of a node, None where a tensor is meant.
    slot: the index of one of its slots, None where the node itself is meant.
    tensor: the index of a given tensor, None where a node is meant.
    """

    words: str
    node: int | None = None
    slot: int | None = None
    tensor: int | None = None


@dataclass(frozen=True)
class Origins:
    """Where the parts of a graph come from, in words.

    nodes: what made a node, by its index.
    slots: what brought a slot into a state, by the index of its node, its own, and the state.
    """

    nodes: Mapping[int, str]
    slots: Mapping[tuple[int, int, str], str]


@dataclass(frozen=True)
class Folding:
    """A graph at the level "modules", as it can be opened and folded.

    root: the tree of its groups.
    opened: the keys of those that are open.
    single: the modules that made one node, by these nodes.
    leaves: for each node that has a box, the leaves that are lines in it, with these lines.
    lines: for each of them, what is said of it besides.
    counts: for each of them, how many nodes it stands for, with those that lead from its leaves to it.
    groups: for the key of each group, what is said of it where it is folded.
    """

    root: Group
    opened: frozenset[str]
    single: Mapping[int, Group]
    leaves: Mapping[int, Mapping[int, str]]
    lines: Mapping[int, tuple[str, ...]]
    counts: Mapping[int, int]
    groups: Mapping[str, tuple[str, ...]]


class ChangingDiagram:
    """The diagram of a graph that changes, as in a backward pass: only the boxes that change are made again.

    versioned: the tensors whose version will change.
    origins: what made the nodes, and changed their slots, in words.
    depth: at the level "modules", how many modules inside each other are open; None for as many as there is room for.
    marks: what is guilty. A slot that has no row of its own is marked with its box.
    first: the :class:`Diagram` of the snapshot.
    home: for the index of each tensor that is drawn, the key of its box.
    folding: at the level "modules", how it can be opened and folded; else None. Where that of the same snapshot to another depth
        is given, it is not grouped again.
    blames: for each mark, the key of its box, its words, and those in a box that stands for many nodes.
    """

    def __init__(self, snapshot: GraphSnapshot, detail: Level, versioned: Iterable[int] = (),
                 origins: Origins | None = None, depth: int | None = None, folding: Folding | None = None,
                 marks: Iterable[Mark] = ()) -> None:
        levels: dict[Level, type[_Full]] = {"full": _Full, "compact": _Compact, "folded": _Folded}
        self._level = _Modules(snapshot, depth, folding) if detail == "modules" else levels[detail](snapshot)
        self._level.versioned |= set(versioned)
        self._level.origins = origins or self._level.origins
        self._level.marks = tuple(marks)
        self.first = self._level.make()
        self.home = self._level.places
        self.folding = self._level.folding() if isinstance(self._level, _Modules) else None
        self.blames = [(self._level.key_of(mark), *(self._level.blame(mark, folded) for folded in (False, True)))
                       for mark in self._level.marks]

    def update(self, nodes: Mapping[int, Node], tensors: Mapping[int, Tensor], absent: Iterable[int] = ()) -> tuple[Box, ...]:
        """The boxes of these nodes and tensors, by their indices in the snapshot, as they are from now on.

        absent: nodes that are not there yet, or no longer: a box that stands for many leaves them out.
        """
        return self._level.update(nodes, tensors, absent)


def headline(snapshot: GraphSnapshot) -> str:
    """The counts in one line, and what is to be said first of the modules."""
    return "; ".join([_counts(snapshot), *_notes(snapshot.modules)])


def _notes(modules: Modules | None) -> Iterator[str]:
    if modules is None:
        return
    if modules.not_reached:
        count = count_in_words(len(modules.not_reached), "parameter is", "parameters are")
        yield f"{count} not reached: {_some([one.names[0] for one in modules.not_reached])}"
    if modules.not_tracked:
        yield f"{count_in_words(len(modules.not_tracked), 'parameter is', 'parameters are')} not tracked"
    if modules.doubt:
        yield f"its modules are not known: {modules.doubt}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:MOST_NAMES])} and {more} more"


def _counts(snapshot: GraphSnapshot) -> str:
    if not snapshot.nodes:
        return "no graph: no tensor here was computed from a tracked tensor"
    parts = [count_in_words(len(snapshot.nodes), "node"), count_in_words(len(snapshot.leaves), "tracked leaf", "tracked leaves")]
    saved, hidden = len(snapshot.saved), sum(node.hides_saved for node in snapshot.nodes)
    more = f"; {_hidden(hidden)}" if hidden else ""
    if not saved:
        return ", ".join(parts + ["no saved tensors" + " to see" * bool(hidden)]) + more
    states = ", ".join(f"{snapshot.states[state]} {state}" for state in STATES if snapshot.states[state])
    held = snapshot.bytes_of(snapshot.saved)
    size = f" ({bytes_in_words(held)})" if held != Bytes(0) else ""
    return f"{', '.join(parts)}, {count_in_words(saved, 'saved tensor')}: {states}{size}{more}"


def _hidden(count: int) -> str:
    return f"PyTorch does not show what {count_in_words(count, *HIDING)}"


def node_counts(snapshot: GraphSnapshot) -> list[tuple[str, int]]:
    """How often each kind of node occurs, the most frequent first: pairs of its name and a count."""
    return sorted(Counter(short_name(node.name) for node in snapshot.nodes).items(), key=lambda item: (-item[1], item[0]))


def count_in_words(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def bytes_in_words(amount: Bytes) -> str:
    if amount.all_known:
        return BYTES.format(f"{amount.known:,}")
    return AT_LEAST.format(f"{amount.known:,}") if amount.known else NOT_KNOWN


def saved_in_words(count: object, size: str, state: str) -> str:
    """The words for some slots of one state. size: what they hold."""
    return f"{count} saved {state}" if state == FREED else f"{count} saved {size} {state}"


def gradient_in_words(size: GradientSize) -> str:
    """How large a gradient is. What is not a number is said in its place."""
    if size.norm is None:
        return "its numbers cannot be read"
    if size.inf or size.nan:
        return " and ".join(f"{count} {word}" for count, word in ((size.inf, "inf"), (size.nan, "nan")) if count)
    return "all zero" if 0 < size.numbers == size.zeros else f"norm {size.norm:.4g}"


def shape_in_words(shape: Size | None) -> str:
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
    """For each name that the caller gave, its short form. No two look alike: they are then whole, and if need be numbered.

    One that looks like the name of a node is quoted.
    """
    names = dict.fromkeys(name for tensor in snapshot.tensors for name in tensor.names)
    alike = Counter(map(short_name, names))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        text = short_name(name)
        if alike[text] > 1:
            text = printable(name) or "?"
        if _NAME_OF_NODES.fullmatch(text):
            text = repr(text)
        numbers = itertools.count(2)
        found[name] = text
        while found[name] in taken:
            found[name] = f"{text} ({next(numbers)})"
        taken.add(found[name])
    return found


class _Full:
    """Every node and every slot.

    nodes: the nodes, as they are now.
    tensors: the drawn tensors, as they are now.
    snapshot: the graph as it was at first.
    leaves: the indices of the tensors that own an AccumulateGrad.
    names: the words for each drawn tensor.
    versioned: the tensors whose version a reader needs: their memory is shared, or was changed after a node saved it.
    origins: what made the nodes, and changed their slots, where that is known.
    marks: what is guilty.
    gradients: for the index of each leaf that is a parameter with a gradient, how large that is.
    absent: the nodes that are not there yet, or no longer.
    makers: for the key of each box, in forward order, what makes it.
    uses: for the key of a box, the lines that say which leaves it uses.
    home: for the index of each node, the key of the box that it is drawn in.
    places: for the index of each tensor that is drawn, the key of its box: one box may stand for many outside the graph.
    """

    def __init__(self, snapshot: GraphSnapshot) -> None:
        self.snapshot = snapshot
        self.nodes, self.tensors = list(snapshot.nodes), list(snapshot.tensors)
        self.leaves = {node.leaf for node in snapshot.nodes}
        self.names = self.tensor_names()
        self.versioned: set[int | None] = {i for tie in snapshot.shared for i in (tie.first, tie.second)}
        self.versioned |= {i for slot in snapshot.saved if slot.state == CHANGED for i in (slot.holds, slot.views)}
        self.origins = Origins({}, {})
        self.marks: tuple[Mark, ...] = ()
        parameters = snapshot.modules.parameters if snapshot.modules else ()
        self.gradients = {one.leaf: one.gradient for one in parameters if one.gradient}
        self.absent: set[int] = set()
        self.makers: dict[str, Callable[[], Box]] = {}
        self.uses: dict[str, list[str]] = {}
        self.home: dict[int, str] = {}
        self.places: dict[int, str] = {}

    def make(self) -> Diagram:
        arrows: list[Arrow] = []
        self.place(arrows)
        self.place_others(arrows)
        arrows = self.without_many_uses(arrows)
        ties = (*self.tensor_ties(i for i, key in self.places.items() if key == f"t{i}"), *self.slot_ties())
        home = tuple(self.home[i] for i in range(len(self.nodes)))
        return Diagram(headline(self.snapshot), tuple(map(self.box, self.makers)), tuple(arrows), ties, home)

    def update(self, nodes: Mapping[int, Node], tensors: Mapping[int, Tensor], absent: Iterable[int]) -> tuple[Box, ...]:
        self.absent = self.absent - nodes.keys() | set(absent)
        for i, node in nodes.items():
            self.nodes[i] = node
        for i, tensor in tensors.items():
            self.tensors[i] = tensor
        keys = [self.home[i] for i in (*nodes, *absent)] + [self.places[i] for i in tensors if i in self.places]
        return tuple(map(self.box, dict.fromkeys(keys)))

    def box(self, key: str) -> Box:
        box = self.makers[key]()
        if key in self.uses:
            box = replace(box, lines=(*self.uses[key], *box.lines))
        marks = [mark for mark in self.marks if self.key_of(mark) == key]
        return self.marked(box, marks) if marks else box

    def key_of(self, mark: Mark) -> str:
        if mark.tensor in self.places:
            return self.places[mark.tensor]
        if mark.tensor is not None:     # a parameter inside the box of a module
            return self.home[next(i for i, node in enumerate(self.nodes) if node.leaf == mark.tensor)]
        assert mark.node is not None    # it is on one of the two
        return self.home[mark.node]

    def marked(self, box: Box, marks: Sequence[Mark]) -> Box:
        """A box with the marks on it and on its slots."""
        slots = {"" if mark.slot is None else f"{box.key}s{mark.slot}" for mark in marks}
        return replace(box, guilty=not slots <= {slot.key for slot in box.slots},
                       slots=tuple(replace(slot, guilty=slot.key in slots) for slot in box.slots),
                       blames=tuple(self.blame(mark, box.kind == GROUP) for mark in marks))

    def blame(self, mark: Mark, folded: bool) -> str:
        """The words of a mark. folded: whether its box stands for many nodes: then the words say which of them is meant."""
        which = []
        if mark.tensor is not None and mark.tensor not in self.places:
            which.append(self.snapshot.tensors[mark.tensor].names[0])
        if mark.node is not None and folded:
            which.append(f"[{mark.node + 1}]")
        if mark.node is not None and mark.slot is not None:
            which.append(self.nodes[mark.node].saved[mark.slot].name)
        return f"{' '.join(which)}: {mark.words}" if which else mark.words

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

    def place(self, arrows: list[Arrow]) -> None:
        """Put the boxes of this level's nodes and leaves in forward order, and the arrows between them."""
        for i, node in enumerate(self.nodes):
            self.home[i] = f"n{i + 1}"
            if node.leaf is not None:
                self.place_tensor(node.leaf)
                arrows.append(Arrow(f"t{node.leaf}", f"n{i + 1}"))
            self.makers[f"n{i + 1}"] = functools.partial(self.node_box, i)
            arrows += self.arrows_into(i)

    def place_tensor(self, i: int, *more_lines: str) -> None:
        if i not in self.places:        # one leaf may have two AccumulateGrad nodes
            self.places[i] = f"t{i}"
            self.makers[f"t{i}"] = functools.partial(self.tensor_box, i, *more_lines)

    def place_others(self, arrows: list[Arrow]) -> None:
        """Put the boxes of the results, and of the tensors outside the graph.

        Many of one kind that nothing joins to the graph, as the weights of a frozen network, are one box.
        """
        holders = self.holders()
        joined = holders.keys() | {i for tie in self.snapshot.shared for i in (tie.first, tie.second)}
        alone: dict[str, list[int]] = {}
        for i, tensor in enumerate(self.tensors):
            if not tensor.in_graph and i not in joined and self.stands_alone(tensor):
                alone.setdefault(self.kind_of(i), []).append(i)
        crowds = {members[0]: members for members in alone.values() if len(members) > MOST_ALONE}
        for first, members in crowds.items():
            self.places.update(dict.fromkeys(members, f"t{first}s"))
        for i, tensor in enumerate(self.tensors):
            if i in crowds:
                self.makers[f"t{i}s"] = functools.partial(self.crowd_box, f"t{i}s", self.kind_of(i), crowds[i])
            elif i not in self.places and self.stands_alone(tensor):
                self.place_tensor(i)
                if tensor.producer:
                    arrows.append(Arrow(self.home[tensor.producer.node], f"t{i}", self.output_text(tensor.producer)))
                arrows += [Arrow(f"t{i}", key, NO_GRADIENT, cut=True) for key in holders.get(i, ())]

    def holders(self) -> dict[int, dict[str, None]]:
        """For each tensor outside the graph, the keys of the boxes whose nodes hold its values, and send it no gradient."""
        found: dict[int, dict[str, None]] = {}
        for i, node in enumerate(self.nodes):
            if None not in node.inputs:     # all its inputs get a gradient: what it holds besides is a result of its own
                continue
            for slot in node.saved:
                k = slot.views if slot.holds is None else slot.holds
                if k is not None and slot.tracked is False and not self.tensors[k].in_graph:
                    found.setdefault(k, {})[self.home[i]] = None
        return found

    def stands_alone(self, tensor: Tensor) -> bool:
        return True

    def arrows_into(self, i: int) -> list[Arrow]:
        return [Arrow(self.home[edge.node], self.home[i], self.output_text(edge)) for edge in self.nodes[i].inputs if edge]

    def without_many_uses(self, arrows: list[Arrow]) -> list[Arrow]:
        """Say the uses of a tensor that has many in lines: so many long arrows would hide the picture, and slow its layout."""
        words = {f"t{i}": self.names[i] for i in self.places}
        words |= {f"n{i + 1}": f"{self.names[node.leaf]} through [{i + 1}]" for i, node in enumerate(self.nodes)
                  if node.leaf is not None}
        count = Counter(arrow.source for arrow in arrows if arrow.source in words)
        kept = []
        for arrow in arrows:
            if count[arrow.source] <= MOST_USES:
                kept.append(arrow)
            else:
                line = f"uses {words[arrow.source]}{f' ({NO_GRADIENT})' * arrow.cut}"
                self.uses.setdefault(arrow.target, []).append(line)
        return kept

    def output_text(self, edge: Edge) -> str:
        return f"output {edge.output}" if self.nodes[edge.node].outputs > 1 else ""

    def node_box(self, i: int) -> Box:
        node = self.nodes[i]
        made = self.origins.nodes.get(i)
        lines = (*_node_lines(node), *([made] if made else []))
        return Box(f"n{i + 1}", NODE, f"[{i + 1}]", short_name(node.name), lines, self.slots(i))

    def slots(self, i: int) -> tuple[Slot, ...]:
        by = [self.origins.slots.get((i, k, slot.state), "") for k, slot in enumerate(self.nodes[i].saved)]
        return tuple(Slot(f"n{i + 1}s{k}", slot.state, f"{self.slot_text(slot)} {by[k]}".rstrip())
                     for k, slot in enumerate(self.nodes[i].saved))

    def slot_text(self, slot: SavedTensor) -> str:
        words = [slot.name]
        if slot.holds is not None:
            words.append("= " + self.names[slot.holds])
        elif slot.views is not None:
            words.append("views " + self.names[slot.views])
        if slot.value:
            words.append("= " + slot.value)
        if slot.shape is not None:
            words.append(shape_in_words(slot.shape) + _kind_of_data(slot))
        if slot.packed:
            words.append("packed by a hook")
        if slot.state != FREED:
            words.append("part of " * slot.is_part + self.size_of([slot]))
        words.append(slot.state)
        if not slot.checked:
            words.append("(or changed in place: not known)")
        if slot.versions:
            words.append("(saved at version {}, now {})".format(*slot.versions))
        return " ".join(words)

    def size_of(self, slots: list[SavedTensor]) -> str:
        held = self.snapshot.bytes_of(slots)
        return bytes_in_words(held) if held.all_known or held.known else f"({bytes_in_words(held)})"

    def tensor_box(self, i: int, *more_lines: str) -> Box:
        tensor = self.tensors[i]
        kind = self.kind_of(i)
        on = "" if tensor.device == "cpu" else f" on {tensor.device}"
        lines = [f"{kind} {shape_in_words(tensor.shape)}{_kind_of_data(tensor)}{on}", *more_lines]
        if kind == LEAF or tensor.keeps_grad or tensor.grad_shape is not None:
            size = f": {gradient_in_words(self.gradients[i])}" if i in self.gradients else ""
            lines.append(".grad " + ("None" if tensor.grad_shape is None else shape_in_words(tensor.grad_shape) + size))
        if kind == LEAF and not tensor.requires_grad:
            lines.append("no longer tracked")
        if kind != UNTRACKED and not tensor.in_graph:
            lines.append("not in this graph" if tensor.is_leaf else "PyTorch does not tell its node")
        if tensor.version is not None and i in self.versioned:
            lines.append(f"version {tensor.version}")
        return Box(f"t{i}", kind, self.names[i], lines=tuple(lines), named=bool(tensor.names),
                   dashed=not tensor.in_graph)

    def crowd_box(self, key: str, kind: str, members: list[int]) -> Box:
        title = count_in_words(len(members), kind, "leaves" if kind == LEAF else f"tensors, {kind}")
        lines = [*(self.names[i] for i in members[:2]), f"and {len(members) - 2} more"]
        with_grad = sum(self.tensors[i].grad_shape is not None for i in members)
        if kind == LEAF or with_grad:
            lines.append(f"{with_grad} with a .grad")
        lines.append("not in this graph")
        return Box(key, kind, title, lines=tuple(lines), dashed=True)

    def tensor_ties(self, drawn: Iterable[int]) -> Iterable[Tie]:
        for shared in self.snapshot.shared_among(drawn):
            first, second = sorted((shared.first, shared.second))
            tensors = self.snapshot.tensors
            view = tensors[first].base == second or tensors[second].base == first
            counter = {True: "one version counter", False: "two version counters", None: "version counters not known"}
            words = counter[shared.one_counter]
            if tensors[first].version is None and tensors[second].version is None:
                words = "no versions are counted"       # of inference tensors
            yield Tie(f"t{first}", f"t{second}", f"{'a view: ' if view else ''}one storage, {words}")

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

    def place(self, arrows: list[Arrow]) -> None:
        leaf_of, transposed = self.nodes_of_leaves()
        for i, node in enumerate(self.nodes):
            if i in leaf_of:
                self.home[i] = f"t{leaf_of[i]}"
                if node.leaf is not None:
                    self.place_tensor(node.leaf, *["used transposed"] * (node.leaf in transposed))
            else:
                self.home[i] = f"n{i + 1}"
                self.makers[f"n{i + 1}"] = functools.partial(self.node_box, i)
                arrows += self.arrows_into(i)

    def nodes_of_leaves(self) -> tuple[dict[int, int], set[int]]:
        """For each node that is drawn with a leaf, this leaf; and the leaves that are used transposed."""
        producers = {tensor.producer.node for tensor in self.tensors if tensor.producer}
        leaf_of: dict[int, int] = {}
        transposed = set()
        for i, node in enumerate(self.nodes):
            if node.leaf is not None:
                leaf_of[i] = node.leaf
            elif node.transposes and i not in producers and (edge := node.inputs[0]) and self.nodes[edge.node].leaf is not None:
                leaf_of[i] = leaf_of[edge.node]
                transposed.add(leaf_of[i])
        return leaf_of, transposed

    def slots(self, i: int) -> tuple[Slot, ...]:
        return self.summed_slots(f"n{i + 1}", self.nodes[i].saved)

    def summed_slots(self, key: str, saved: Iterable[SavedTensor]) -> tuple[Slot, ...]:
        """One slot for each state that occurs, with the number of saved tensors and their bytes."""
        summed = []
        for state in STATES:
            slots = [slot for slot in saved if slot.state == state]
            if slots:
                summed.append(Slot(f"{key}{state[0]}", state, saved_in_words(len(slots), self.size_of(slots), state)))
        return tuple(summed)

    def slot_ties(self) -> Iterable[Tie]:
        return ()


class _Folded(_Compact):
    """Only the given tensors stand alone. All nodes that lead to the same next given tensors are one box."""

    def place(self, arrows: list[Arrow]) -> None:
        nodes, tensors = self.nodes, self.tensors
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
                self.place_tensor(node.leaf)
            else:
                groups.setdefault(frozenset(reaches[i]), []).append(i)
        for number, members in enumerate(groups.values(), 1):
            for i in members:
                self.home[i] = f"g{number}"
            self.makers[f"g{number}"] = functools.partial(self.group_box, number, members)
        given = {tensor.producer: f"t{k}" for k, tensor in enumerate(tensors) if tensor.given and tensor.producer}
        between = (Arrow(given.get(edge, self.home[edge.node]), self.home[i])
                   for i, node in enumerate(nodes) for edge in node.inputs if edge)
        arrows += dict.fromkeys(arrow for arrow in between if arrow.source != arrow.target)

    def stands_alone(self, tensor: Tensor) -> bool:
        return tensor.given

    def output_text(self, edge: Edge) -> str:
        return ""

    def group_box(self, number: int, members: list[int]) -> Box:
        members = [i for i in members if i not in self.absent] or members
        nodes = [self.nodes[i] for i in members]
        leaves, hidden = sum(node.leaf is not None for node in nodes), sum(node.hides_saved for node in nodes)
        slots = self.summed_slots(f"g{number}", [slot for node in nodes for slot in node.saved])
        if len(nodes) == 1:
            return Box(f"g{number}", GROUP, f"[{members[0] + 1}]", short_name(nodes[0].name), _node_lines(nodes[0]), slots)
        lines = []
        if leaves:
            lines.append(count_in_words(leaves, "leaf", "leaves"))
        if hidden:
            lines.append(_hidden(hidden))
        return Box(f"g{number}", GROUP, f"({number})", count_in_words(len(nodes), "node"), tuple(lines), slots)


class _Modules(_Compact):
    """Frames and boxes by module. A leaf is a line in the box that uses it, unless it was given.

    root: the tree of all groups.
    single: the modules that made one node, by these nodes.
    groups: all of them, by their keys.
    opened: the keys of those that are open.
    frames: for the key of each box, the key of the frame in which it stands.
    leaf_of: for each node that is drawn with a leaf, this leaf.
    with_leaf: for each other node, those that lead from its leaves to it: they are counted with it.
    """

    def __init__(self, snapshot: GraphSnapshot, depth: int | None, folding: Folding | None) -> None:
        super().__init__(snapshot)
        consumers = {edge.node for node in self.nodes for edge in node.inputs if edge}
        self.leaf_of = {i: leaf for i, leaf in self.nodes_of_leaves()[0].items() if i in consumers}
        user: dict[int, int] = {}
        for i in reversed(range(len(self.nodes))):      # a leaf stands with the first node that uses it
            for edge in self.nodes[i].inputs:
                if edge and edge.node in self.leaf_of:
                    user[edge.node] = user.get(i, i)
        self.with_leaf: dict[int, list[int]] = {}
        for i in sorted(user):
            if not self.tensors[self.leaf_of[i]].given:
                self.with_leaf.setdefault(user[i], []).append(i)
        self.root: Group
        self.single: Mapping[int, Group]
        if folding is None:
            self.root, self.single = group_by_modules(snapshot, self.leaf_of.keys(), short_name)
        else:
            self.root, self.single = folding.root, folding.single
        self.groups = {group.key: group for group in walk(self.root)}
        self.opened = opened(self.root, MOST_SEEN, depth)
        self.frames: dict[str, str] = {}

    def make(self) -> Diagram:
        around = {inner.key: outer.key for outer in self.groups.values() for inner in outer.groups}
        shown = [group for group in self.groups.values() if group.key in self.opened and group is not self.root]
        frames = [ModuleFrame(group.key, group.title, self.frame_of(around[group.key])) for group in shown]
        return replace(super().make(), frames=tuple(frames))

    def frame_of(self, group: str) -> str:
        return "" if group == self.root.key else group

    def place(self, arrows: list[Arrow]) -> None:
        for i, leaf in self.leaf_of.items():
            if self.tensors[leaf].given:
                self.place_tensor(leaf)
                self.home[i] = f"t{leaf}"
        self.place_group(self.root)
        for user, nodes in self.with_leaf.items():
            self.home.update(dict.fromkeys(nodes, self.home[user]))
        along: dict[tuple[str, str], dict[Edge, None]] = {}
        for i, node in enumerate(self.nodes):
            for edge in node.inputs:
                if edge is not None and i not in self.leaf_of and self.home[edge.node] != self.home[i]:
                    if edge.node not in self.leaf_of or self.leaf_of[edge.node] in self.places:
                        along.setdefault((self.home[edge.node], self.home[i]), {})[edge] = None
        arrows += [Arrow(*ends, "" if ends[0].startswith("t") else self.shapes_of(edges)) for ends, edges in along.items()]

    def place_group(self, group: Group) -> None:
        """Put the boxes of what is in an open group."""
        for item in group.items:
            if isinstance(item, int):
                key, self.home[item] = f"n{item + 1}", f"n{item + 1}"
                self.makers[key] = functools.partial(self.node_box, item)
            elif item.key in self.opened:
                self.place_group(item)
                continue
            else:
                key = item.key
                self.home.update(dict.fromkeys(item.members(), key))
                self.makers[key] = functools.partial(self.module_box, item)
            self.frames[key] = self.frame_of(group.key)

    def box(self, key: str) -> Box:
        return replace(super().box(key), frame=self.frames.get(key, ""))

    def stands_alone(self, tensor: Tensor) -> bool:
        return tensor.given

    def output_text(self, edge: Edge) -> str:
        return ""

    def shapes_of(self, edges: Iterable[Edge]) -> str:
        """The shapes of some results."""
        count = Counter(shape_in_words(self.nodes[edge.node].results[edge.output]) for edge in edges)
        words = [f"{shape} ×{times}" if times > 1 else shape for shape, times in count.items()]
        more = len(words) - MOST_SHAPES
        return ", ".join(words) if more <= 0 else f"{', '.join(words[:MOST_SHAPES])} and {more} more"

    def leaves_of(self, i: int) -> dict[int, str]:
        """The leaves that are lines in the box of a node, with these lines."""
        call = self.nodes[i].call
        path = self.snapshot.modules.calls[call].path if self.snapshot.modules and call is not None else ""
        prefixes = [f"{name}." for name in path.split(" = ")]
        leaves = dict.fromkeys(self.leaf_of[edge.node] for edge in self.nodes[i].inputs if edge and edge.node in self.leaf_of)
        return {leaf: f"{self.name_inside(leaf, prefixes)} {shape_in_words(self.tensors[leaf].shape)}{self.gradient_of(leaf)}"
                for leaf in leaves if leaf not in self.places}

    def gradient_of(self, leaf: int) -> str:
        return f", gradient: {gradient_in_words(self.gradients[leaf])}" if leaf in self.gradients else ""

    def name_inside(self, leaf: int, prefixes: Sequence[str]) -> str:
        """What a leaf is called in a module: without the names that lead to the module."""
        for name in self.tensors[leaf].names:
            for prefix in prefixes:
                if name.startswith(prefix):
                    return short_name(name.removeprefix(prefix))
        return self.names[leaf]

    def node_box(self, i: int) -> Box:
        box = super().node_box(i)
        lines = (*self.leaves_of(i).values(), *box.lines)
        if i not in self.single:
            return replace(box, lines=lines)
        module = self.single[i]
        lines = (f"{box.name} {box.title}", *lines, *group_lines(module))
        return replace(box, name=module.title, title="", lines=lines, named=True)

    def module_box(self, group: Group) -> Box:
        members = [i for i in group.members() if i not in self.absent] or list(group.members())
        nodes = [self.nodes[i] for i in members]
        leaves = {leaf for i in members for leaf in self.leaves_of(i)}
        count = len(members) + sum(len(self.with_leaf.get(i, ())) for i in members)
        lines = [count_in_words(count, *NODES) + f", {count_in_words(len(leaves), *LEAVES)}" * bool(leaves)]
        lines += self.group_lines(group)
        hidden = sum(node.hides_saved for node in nodes)
        if hidden:
            lines.append(_hidden(hidden))
        slots = self.summed_slots(group.key, [slot for node in nodes for slot in node.saved])
        return Box(group.key, GROUP, group.title, "", tuple(lines), slots, named=True)

    def group_lines(self, group: Group) -> tuple[str, ...]:
        """What is said of a folded module, whatever is there of its nodes."""
        leaves = {leaf for i in group.members() for leaf in self.leaves_of(i)} if self.gradients else ()
        sizes = [self.gradients[leaf] for leaf in sorted(leaves) if leaf in self.gradients]
        words = [f"gradients: {gradient_in_words(GradientSize.together(sizes))}"] if sizes else []
        return *group_lines(group), *words

    def folding(self) -> Folding:
        others = {i: super(_Modules, self).node_box(i).lines for i in self.root.members()}
        return Folding(self.root, frozenset(self.opened), self.single, {i: self.leaves_of(i) for i in others}, others,
                       {i: 1 + len(self.with_leaf.get(i, ())) for i in others},
                       {group.key: self.group_lines(group) for group in self.groups.values()})


def group_lines(group: Group) -> list[str]:
    return [] if group.finished else ["its forward raised"]


def _node_lines(node: Node) -> tuple[str, ...]:
    if node.is_compiled:
        return ("compiled: what is inside cannot be seen",)
    if node.hides_a_node:
        return ("wraps a node that cannot be seen",)
    return ("PyTorch does not show what it saves",) if node.hides_saved else ()
