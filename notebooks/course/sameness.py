"""Whether two graphs are the same, and where they differ: for the puzzles that ask for a graph.

Two graphs are the same when each node and each tensor of one has a partner in the other: of the same kind and shape, with the
same arrows and the same saved tensors. Named tensors are partners by name. No number counts, neither in a tensor nor in
brackets, and what is added or multiplied may stand in any order.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seegrad.diagram import ChangingDiagram, shape_in_words
from seegrad.snapshot import ALIVE, GraphSnapshot, Size
from seegrad.union import unite

COMMUTING = {"AddBackward0", "MulBackward0"}
NODE, TENSOR = "node", "tensor"

Part = tuple[str, int]          # NODE or TENSOR, and its index in the snapshot
Pairs = Mapping[Part, Part]     # from the parts of one graph to their partners in the other
Names = Mapping[Part, str]


@dataclass(frozen=True)
class Difference:
    """One thing in which a graph differs from the target.

    words: what is said of it, as in "[4] CloneBackward0 is too much".
    mark: the same in short, for the box in the picture.
    where: the number of its node, or the name of its tensor, in the graph; None where it is not there.
    """

    words: str
    mark: str = ""
    where: int | str | None = None


def same_graph(one: GraphSnapshot, other: GraphSnapshot) -> bool:
    """Whether two graphs are the same. For small graphs: each sum and each product may double the time."""
    if Counter(_label(one, part) for part in _parts(one)) != Counter(_label(other, part) for part in _parts(other)):
        return False
    roots: list[tuple[Part | None, Part | None]] = list(zip(_given(one), _given(other), strict=True))
    return any(_agree(one, other, pairs) for pairs in _pairings(one, other, roots, {}))


def differences(mine: GraphSnapshot, target: GraphSnapshot) -> list[Difference]:
    """What is too much and what is missing in a graph; where that is nothing, what is otherwise, a .grad first.

    Empty for the same graph. The tensors that the caller gave have the same names in both.
    """
    if same_graph(mine, target):
        return []
    pairs, names = _likely_pairs(target, mine), _names(mine)
    found = [Difference(f"{names[part]} is too much", "too much", _where(mine, part)) for part in _alone(mine, pairs.values())]
    # The number of what is missing stands in the other picture only.
    found += [Difference(f"{_names(target)[part].rpartition('] ')[2]} is missing") for part in _alone(target, pairs)]
    if found:
        return found
    told: list[tuple[str, Difference]] = []
    for theirs, own in sorted(pairs.items(), key=lambda pair: pair[1]):
        facts, wanted = _facts(mine, own, lambda part: part), _facts(target, theirs, _partners(pairs))
        for what, (verb, tell) in _TELLERS.items():
            if facts.get(what) != wanted.get(what):
                here, there = tell(facts[what], names), tell(wanted[what], names)
                words = f"{names[own]} {verb} {here}, in the target {there}"
                told.append((what, Difference(words, f"target: {there}", _where(mine, own))))
                break       # what else is otherwise here mostly follows from it
    # A backward that ran, or did not, is seen best at a leaf. What it frees is no longer shared, which need not be told.
    told.sort(key=lambda each: each[0] != "grad")
    freed = any(what == "states" for what, _ in told)
    return [difference for what, difference in told if not (freed and what == "together")]


def _parts(snapshot: GraphSnapshot) -> list[Part]:
    return [*((NODE, i) for i in range(len(snapshot.nodes))), *((TENSOR, i) for i in range(len(snapshot.tensors)))]


def _given(snapshot: GraphSnapshot) -> list[Part]:
    """The tensors that the caller gave, by their names."""
    given = [(tensor.names, i) for i, tensor in enumerate(snapshot.tensors) if tensor.given]
    return [(TENSOR, i) for _, i in sorted(given)]


def _facts(snapshot: GraphSnapshot, part: Part, at: Callable[[Part | None], Any]) -> dict[str, Any]:
    """All that counts of a part. at: gives what stands for another part, to which this one points."""
    def node(i: int) -> Any:
        return at((NODE, i))

    def tensor(i: int | None) -> Any:
        return at(None if i is None else (TENSOR, i))

    kind, index = part
    if kind == TENSOR:
        given = snapshot.tensors[index]
        beside = [i for i, other in enumerate(snapshot.tensors)
                  if i != index and given.storage is not None and other.storage == given.storage]
        return {"names": given.names, "role": (given.requires_grad, given.is_leaf), "shape": given.shape,
                "grad": given.grad_shape is not None, "base": tensor(given.base), "beside": _in_any_order(map(tensor, beside)),
                "maker": given.producer and (node(given.producer.node), given.producer.output)}
    this = snapshot.nodes[index]
    inputs = tuple(edge and (node(edge.node), edge.output) for edge in this.inputs)
    saved = tuple((slot.name, slot.state, slot.shape, tensor(slot.holds), tensor(slot.views)) for slot in this.saved)
    together = tuple(_in_any_order(map(node, _holders(snapshot, slot))) for slot in this.saved)
    if this.name in COMMUTING:      # "self" and "other" say only what came first
        saved = tuple(("", *slot[1:]) for slot in saved)
        inputs, saved, together = map(_in_any_order, (inputs, saved, together))
    states = _in_any_order(slot.state for slot in this.saved)
    return {"kind": this.name, "results": this.results, "leaf": tensor(this.leaf), "inputs": inputs, "states": states,
            "saved": saved, "together": together}


def _holders(snapshot, slot):
    """The nodes whose slots hold the same tensor: once for each slot."""
    return [i for i, node in enumerate(snapshot.nodes) for other in node.saved
            if slot.storage is not None and (other.storage, other.layout) == (slot.storage, slot.layout)]


def _in_any_order(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values, key=repr))


def _label(snapshot: GraphSnapshot, part: Part) -> Any:
    """What counts of a part, whatever parts it points to."""
    return tuple(_facts(snapshot, part, lambda other: other is not None).values())


def _agree(one: GraphSnapshot, other: GraphSnapshot, pairs: Pairs) -> bool:
    """Whether each part has one partner, of which the same can be said. Both graphs have as many parts."""
    return set(pairs.values()) == set(_parts(other)) and all(
        _facts(one, part, _partners(pairs)) == _facts(other, partner, lambda part: part) for part, partner in pairs.items())


def _partners(pairs: Pairs) -> Callable[[Part | None], Part | None]:
    return lambda part: None if part is None else pairs.get(part)


def _pairings(one: GraphSnapshot, other: GraphSnapshot, to_do: list[tuple[Part | None, Part | None]],
              pairs: dict[Part, Part]) -> Iterator[Pairs]:
    """Each way to pair the parts, from some pairs on and along the arrows. Of a pair, only the labels are compared."""
    if not to_do:
        yield pairs
        return
    (part, partner), *rest = to_do
    if part is None or part in pairs:
        if _partners(pairs)(part) == partner:
            yield from _pairings(one, other, rest, pairs)
    elif partner is not None and _label(one, part) == _label(other, partner):
        (ahead, *_), ways = _ahead(one, part), _ahead(other, partner)
        for way in ways:
            yield from _pairings(one, other, [*zip(ahead, way, strict=True), *rest], {**pairs, part: partner})


def _ahead(snapshot: GraphSnapshot, part: Part) -> list[tuple[Part | None, ...]]:
    """The parts to which a part points, in each order that counts as the same."""
    kind, index = part
    if kind == TENSOR:
        tensor = snapshot.tensors[index]
        maker = None if tensor.producer is None else (NODE, tensor.producer.node)
        return [(maker, None if tensor.base is None else (TENSOR, tensor.base))]
    node = snapshot.nodes[index]
    if node.leaf is not None:
        return [((TENSOR, node.leaf),)]
    inputs = tuple(None if edge is None else (NODE, edge.node) for edge in node.inputs)
    return list(dict.fromkeys(itertools.permutations(inputs))) if node.name in COMMUTING else [inputs]


def _likely_pairs(one: GraphSnapshot, other: GraphSnapshot) -> Pairs:
    """Partners for as many parts as have one: nodes as they share a place in one picture of both, tensors by their names."""
    changing = [ChangingDiagram(snapshot, "full") for snapshot in (one, other)]
    _, renamed = unite([each.first for each in changing])
    places: list[dict[str, Part]] = []
    for snapshot, before, after in zip((one, other), changing, renamed):
        new = {box.key: again.key for box, again in zip(before.first.boxes, after.boxes)}
        place = {key: (NODE, i) for i, key in enumerate(after.home)}
        place |= {str(tensor.names) if tensor.names else new[before.home[i]]: (TENSOR, i)
                  for i, tensor in enumerate(snapshot.tensors)}
        places.append(place)
    return {part: places[1][key] for key, part in places[0].items() if key in places[1]}


def _alone(snapshot: GraphSnapshot, paired: Iterable[Part]) -> list[Part]:
    """The parts without a partner. A leaf whose node has none either is told with it."""
    alone = set(_parts(snapshot)) - set(paired)
    return sorted(alone - {(TENSOR, node.leaf) for i, node in enumerate(snapshot.nodes) if (NODE, i) in alone})


def _where(snapshot: GraphSnapshot, part: Part) -> int | str | None:
    kind, index = part
    return index + 1 if kind == NODE else next(iter(snapshot.tensors[index].names), None)


def _names(snapshot: GraphSnapshot) -> Names:
    """What each part is called in the picture. An AccumulateGrad is called like its leaf."""
    drawn = ChangingDiagram(snapshot, "full")
    boxes = {box.key: box for box in drawn.first.boxes}
    names = {(TENSOR, i): boxes[key].name for i, key in drawn.home.items()}
    for i, (node, key) in enumerate(zip(snapshot.nodes, drawn.first.home)):
        names[NODE, i] = f"{boxes[key].name} {boxes[key].title}" if node.leaf is None else names[TENSOR, node.leaf]
    return names


def _these(words: Iterable[str]) -> str:
    return " and ".join(words) or "nothing"


def _tell_inputs(inputs: Iterable[tuple[Part, int] | None], names: Names) -> str:
    return "from " + _these(names[edge[0]] + f" output {edge[1]}" * bool(edge[1]) for edge in inputs if edge)


def _tell_states(states: Iterable[str], names: Names) -> str:
    return " and ".join(f"{count} saved {state}" for state, count in Counter(states).items()) or "nothing saved"


def _tell_saved(slots: Iterable[tuple[str, str, Size | None, Part | None, Part | None]], names: Names) -> str:
    return _these(_slot_in_words(*slot, names) for slot in slots)


def _slot_in_words(name: str, state: str, shape: Size | None, holds: Part | None, views: Part | None, names: Names) -> str:
    if holds is not None:
        what = f"{name} = " * bool(name) + names[holds]
    elif views is not None:
        what = f"{name} = " * bool(name) + f"a view of {names[views]}"
    else:
        what = f"{name or 'a tensor'} {shape_in_words(shape) if shape is not None else ''}".rstrip()
    return what if state == ALIVE else f"{what} ({state})"


def _tell_together(holders: Iterable[Iterable[Part]], names: Names) -> str:
    return "together with " + _these(dict.fromkeys(names[part] for parts in holders for part in parts))


def _tell_role(role: tuple[bool, bool], names: Names) -> str:
    tracked, is_leaf = role
    return "not tracked" if not tracked else "a leaf" if is_leaf else "a result"


# For each fact that is told, in this order: the verb, and what makes words of it.
_TELLERS: dict[str, tuple[str, Callable[[Any, Names], str]]] = {
    "role": ("is", _tell_role),
    "shape": ("has", lambda shape, names: f"the shape {shape_in_words(shape)}"),
    "results": ("has", lambda shapes, names: f"results of the shapes {_these(map(shape_in_words, shapes))}"),
    "leaf": ("belongs", lambda leaf, names: f"to {names.get(leaf)}"),
    "inputs": ("comes", _tell_inputs),
    "maker": ("comes", lambda maker, names: _tell_inputs([maker], names)),
    "states": ("has", _tell_states),
    "saved": ("saves", _tell_saved),
    "together": ("holds its saved tensors", _tell_together),
    "base": ("is", lambda base, names: f"a view of {names[base]}" if base else "no view"),
    "grad": ("has", lambda grad, names: "a .grad" if grad else "no .grad"),
    "beside": ("shares", lambda others, names: f"memory with {_these(names[other] for other in others)}"),
}
