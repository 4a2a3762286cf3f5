"""All moments of code that was watched, as one graph that grows and goes: each node and each tensor has one place in it."""

import bisect
import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .recording import Recording
from .snapshot import ALIVE, CHANGED, FREED, Edge, GraphSnapshot, Node, SavedTensor, Tensor, in_forward_order
from .statements import Source
from .tracing import Failure, Graph, Moment, Place, Trace

_Appearance = tuple[int, tuple[int, int] | None, bool]      # number of a tensor; its producer: node and output; tracked


@dataclass(frozen=True)
class Event:
    """What one moment changed.

    moment: what happened.
    nodes, tensors: those that are new or changed, by their index in the union, as they are afterwards.
    new_nodes, new_tensors: those that are there from now on.
    freed: the nodes that were freed.
    lost: the tensors that no name leads to any more.
    passing: how many nodes the line made, outside of a backward pass, to which no name ever leads.
    names: for each name, the index of its tensor, where that is in the union.
    backward: the pass that the line runs in the end, in terms of the union; or None.
    """

    moment: Moment
    nodes: dict[int, Node]
    tensors: dict[int, Tensor]
    new_nodes: tuple[int, ...]
    new_tensors: tuple[int, ...]
    freed: tuple[int, ...]
    lost: tuple[int, ...]
    passing: int
    names: dict[str, int]
    backward: Recording | None


@dataclass(frozen=True)
class NodeOrigin:
    """What the code did with a node. Each line is None where none did, or where it is not known.

    made: the line that made it.
    let_go: the line that let its last holder go, so that PyTorch freed it.
    since: the number of the event in which it was seen first, -1 where it was there before.
    """

    made: Place | None
    let_go: Place | None
    since: int


@dataclass(frozen=True)
class SlotOrigin:
    """What the code did with a saved tensor, after it was saved. Each line is None where none did.

    changed: the line that changed it in place.
    unnoticed: whether PyTorch does not notice that: its version did not count it.
    freed: the line that freed it.
    event: the number of the event in which that was.
    """

    changed: Place | None = None
    unnoticed: bool = False
    freed: Place | None = None
    event: int = -1


@dataclass(frozen=True)
class History:
    """Code that was watched.

    sources: the code.
    union: all nodes and tensors that there ever were, each as it was seen first.
    before: what was there before the first line.
    events: what happened then, in order.
    nodes: the lines behind each node.
    slots: the lines behind each slot, by the index of its node and its own, where there are any.
    more: how many lines ran after the last event.
    failure: what ended the code, or None.
    whole: False where we failed to read what came after the last event.
    """

    sources: tuple[Source, ...]
    union: GraphSnapshot
    before: Event
    events: tuple[Event, ...]
    nodes: tuple[NodeOrigin, ...]
    slots: dict[tuple[int, int], SlotOrigin]
    more: int
    failure: Failure | None
    whole: bool


def make_history(trace: Trace, name_parameters: bool = True) -> History:
    """Return the :class:`History` of code that ran. name_parameters: whether those of modules are called by their names."""
    return _Union(trace, name_parameters).history()


class _Union:
    """Puts the graphs of all moments together.

    A tensor that becomes the result of another node is drawn a second time: an arrow leads to it from each of its nodes.
    """

    def __init__(self, trace: Trace, name_parameters: bool) -> None:
        self.trace = trace
        self.nameless = frozenset() if name_parameters else trace.parameters
        self.moments = [trace.before, *trace.moments]
        self.node_index: dict[int, int] = {}
        self.tensor_index: dict[_Appearance, int] = {}
        self.storages = _Steady()
        self.counters = _Steady()
        self.storage_bytes: dict[int, int | None] = {}

    def history(self) -> History:
        self.number_nodes()
        self.number_tensors()
        events = list(self.events())
        nodes: dict[int, Node] = {}
        tensors: dict[int, Tensor] = {}
        for event in events:
            nodes = event.nodes | nodes
            tensors = event.tensors | tensors
        union = GraphSnapshot(tuple(nodes[i] for i in range(len(nodes))), tuple(tensors[k] for k in range(len(tensors))),
                              tuple(map(self.storage_bytes.get, range(self.storages.count))))
        let_go = {i: event.moment.place for event in events for i in event.freed}
        since = {i: number for number, event in enumerate(events, -1) for i in event.new_nodes}
        makers = self.makers()
        origins = tuple(NodeOrigin(makers[i], let_go.get(i), since[i]) for i in range(len(nodes)))
        return History(self.trace.sources, union, events[0], tuple(events[1:]), origins, _slot_origins(events), self.trace.more,
                       self.trace.failure, self.trace.whole)

    def graphs(self) -> Iterator[tuple[Moment, Graph]]:
        for moment in self.moments:
            if moment.graph is not None:
                yield moment, moment.graph

    def number_nodes(self) -> None:
        """Put all nodes in forward order."""
        inputs: dict[int, list[int]] = {}
        made: dict[int, float] = {}
        for _, graph in self.graphs():
            for key, node, number in zip(graph.nodes, graph.snapshot.nodes, graph.made):
                if key not in inputs:
                    inputs[key] = [graph.nodes[edge.node] for edge in node.inputs if edge]
                    made[key] = number
        self.numbers = set(made.values())
        self.node_index = {key: i for i, key in enumerate(in_forward_order(inputs, made))}

    def called(self, tensor: Tensor) -> tuple[str, ...]:
        return tuple(name for name in tensor.names if name not in self.nameless)

    def number_tensors(self) -> None:
        """Give each tensor its place, and a name of its own: the one by which it is seen first."""
        names: dict[int, tuple[str, ...]] = {}
        lines: dict[int, Place | None] = {}
        self.given: set[int] = set()
        self.in_graph: set[int] = set()
        for moment, graph in self.graphs():
            for k, tensor in enumerate(graph.snapshot.tensors):
                i = self.tensor_index.setdefault(_appearance(graph, k), len(self.tensor_index))
                called = self.called(tensor)
                if not names.get(i):
                    names[i] = called
                    lines[i] = None if moment is self.trace.before else moment.place
                self.given |= {i} if tensor.given and (called or not tensor.names) else set()
                self.in_graph |= {i} if tensor.in_graph else set()
        self.names = _apart(names, lines)

    def events(self) -> Iterator[Event]:
        nodes: dict[int, Node] = {}
        tensors: dict[int, Tensor] = {}
        there: set[int] = set()
        freed: set[int] = set()
        for moment in self.moments:
            now_nodes, now_tensors = nodes, tensors
            if moment.graph is not None:
                now_nodes, now_tensors = self.read(moment.graph)
            gone = {self.node_index[key] for key in moment.freed if key in self.node_index} - freed
            freed |= gone
            backward = self.translate(moment, nodes | now_nodes, tensors | now_tensors)
            yield Event(
                moment,
                {i: node for i, node in now_nodes.items() if nodes.get(i) != node},
                {k: tensor for k, tensor in now_tensors.items() if tensors.get(k) != tensor},
                tuple(sorted(now_nodes.keys() - nodes.keys())), tuple(sorted(now_tensors.keys() - there)),
                tuple(sorted(gone)), tuple(sorted(there - now_tensors.keys())), self.passing(moment), self.named(moment),
                backward)
            there = set(now_tensors)
            nodes, tensors = nodes | now_nodes, tensors | now_tensors
            if backward is not None:
                for changed_nodes, changed_tensors in backward.updates():
                    nodes, tensors = nodes | changed_nodes, tensors | changed_tensors

    def passing(self, moment: Moment) -> int:
        first, end = moment.numbers
        return 0 if moment.backward else sum(number not in self.numbers for number in range(first, end))

    def named(self, moment: Moment) -> dict[str, int]:
        if moment.graph is None:
            return {}
        place = {key: self.tensor_index[_appearance(moment.graph, k)] for k, key in enumerate(moment.graph.tensors)}
        return {name: place[value.tensor] for name, value in moment.names.items() if value.tensor in place}

    def read(self, graph: Graph) -> tuple[dict[int, Node], dict[int, Tensor]]:
        """The nodes and tensors of a graph, by their places in the union."""
        tensor = [self.tensor_index[_appearance(graph, k)] for k in range(len(graph.tensors))]
        storage, counter = self.steady_storages(graph), self.steady_counters(graph)

        def edge(old: Edge | None) -> Edge | None:
            return None if old is None else Edge(self.node_index[graph.nodes[old.node]], old.output)

        def slot(old: SavedTensor) -> SavedTensor:
            return replace(old, storages=tuple(storage[s] for s in old.storages),
                           storage=None if old.storage is None else storage[old.storage],
                           holds=None if old.holds is None else tensor[old.holds],
                           views=None if old.views is None else tensor[old.views])

        nodes = {self.node_index[key]: replace(
            node, inputs=tuple(map(edge, node.inputs)), saved=tuple(map(slot, node.saved)),
            leaf=None if node.leaf is None else tensor[node.leaf]) for key, node in zip(graph.nodes, graph.snapshot.nodes)}
        tensors = {tensor[k]: replace(
            old, names=self.names[tensor[k]], given=tensor[k] in self.given, in_graph=tensor[k] in self.in_graph,
            producer=edge(old.producer), base=None if old.base is None else tensor[old.base],
            storage=None if old.storage is None else storage[old.storage], counter=counter[k])
            for k, old in enumerate(graph.snapshot.tensors)}
        return nodes, tensors

    def steady_storages(self, graph: Graph) -> dict[int, int]:
        holders: dict[int, list[Hashable]] = {}
        for key, tensor in zip(graph.tensors, graph.snapshot.tensors):
            if tensor.storage is not None:
                holders.setdefault(tensor.storage, []).append(key)
        for key, node in zip(graph.nodes, graph.snapshot.nodes):
            for slot in node.saved:
                for position, number in enumerate(slot.storages or [slot.storage]):
                    if number is not None:
                        holders.setdefault(number, []).append((key, slot.name, position))
        found = self.storages.numbers(holders)
        for local, size in enumerate(graph.snapshot.storage_bytes):
            if local in found and size is not None:
                self.storage_bytes[found[local]] = size
        return found

    def steady_counters(self, graph: Graph) -> list[int | None]:
        holders: dict[tuple[int, int], list[Hashable]] = {}
        tensors = graph.snapshot.tensors
        for key, tensor in zip(graph.tensors, tensors):
            if tensor.storage is not None and tensor.counter is not None:
                holders.setdefault((tensor.storage, tensor.counter), []).append(key)
        found = self.counters.numbers(holders)
        return [found.get((tensor.storage, tensor.counter)) for tensor in tensors]

    def translate(self, moment: Moment, nodes: dict[int, Node], tensors: dict[int, Tensor]) -> Recording | None:
        """The backward pass of a moment in terms of the union, which has all these nodes and tensors."""
        recording, graph = moment.backward, moment.graph
        if recording is None or graph is None:
            return None
        node = [self.node_index[key] for key in graph.nodes]
        tensor = [self.tensor_index[_appearance(graph, k)] for k in range(len(graph.tensors))]

        def place(old: int | Edge | None) -> int | Edge | None:
            if isinstance(old, Edge):
                return Edge(node[old.node], old.output)
            return None if old is None else tensor[old]

        # A tensor is called as the code calls it now; one that it no longer leads to has no name.
        now = {k: replace(tensors[k], names=()) for k in tensors}
        now |= {k: replace(tensors[k], names=self.called(graph.snapshot.tensors[old])) for old, k in enumerate(tensor)}
        before = GraphSnapshot(tuple(nodes.get(i, _NOT_YET) for i in range(len(self.node_index))),
                               tuple(now.get(k, _NO_TENSOR) for k in range(len(self.tensor_index))), ())
        call = replace(recording.call, losses=tuple(map(place, recording.call.losses)),
                       inputs=None if recording.call.inputs is None else tuple(map(place, recording.call.inputs)))
        steps = tuple(replace(step, node=node[step.node], grads=tuple((tensor[k], was, now) for k, was, now in step.grads))
                      for step in recording.steps)
        return replace(recording, call=call, before=before, steps=steps)

    def makers(self) -> dict[int, Place | None]:
        """For each node, the line in which PyTorch gave it its number."""
        made: dict[int, float] = {}
        seen: dict[int, Place | None] = {}
        doubtful: set[int] = set()      # of two nodes with one number, one was made in another thread
        for moment, graph in self.graphs():
            count = Counter(graph.made)
            for key, number in zip(graph.nodes, graph.made):
                made.setdefault(key, number)
                seen.setdefault(key, None if moment is self.trace.before else moment.place)
                if number == int(number) and count[number] > 1:
                    doubtful.add(key)
        found = {}
        for key, i in self.node_index.items():
            number = made[key]
            at = bisect.bisect_right(self.trace.log, number, key=lambda part: part[0]) - 1
            known = at >= 0 and number < self.trace.log[at][1] and seen[key] is not None and key not in doubtful
            if number != int(number):       # an AccumulateGrad has no number: it is made where its leaf is used first
                found[i] = seen[key]
            else:
                found[i] = self.trace.log[at][2] if known else None
        return found


def _slot_origins(events: Sequence[Event]) -> dict[tuple[int, int], SlotOrigin]:
    found: dict[tuple[int, int], SlotOrigin] = {}
    before, *events = events
    nodes = dict(before.nodes)
    for number, event in enumerate(events):
        updates = [event.nodes]
        if event.backward is not None:
            updates += [changed for changed, _ in event.backward.updates()]
        for changed in updates:
            for i, node in changed.items():
                for k, slot in enumerate(node.saved):
                    was = nodes[i].saved[k] if i in nodes and k < len(nodes[i].saved) else None
                    origin = found.get((i, k), SlotOrigin())
                    state = None if was is None else was.state
                    if slot.state == FREED != state:
                        found[i, k] = replace(origin, freed=event.moment.place, event=number)
                    elif slot.state == CHANGED != state:
                        found[i, k] = replace(origin, changed=event.moment.place, unnoticed=False, event=number)
                    elif was is not None and _changed_unnoticed(was, slot) and origin.changed is None:
                        found[i, k] = replace(origin, changed=event.moment.place, unnoticed=True, event=number)
            nodes |= changed
    return found


def _changed_unnoticed(was: SavedTensor, slot: SavedTensor) -> bool:
    """Whether the memory of a slot has changed, and its version has not."""
    return slot.state == ALIVE and slot.checked and None not in (was.content, slot.content) and was.content != slot.content


_NOT_YET = Node("", (), (), (None,))
_NO_TENSOR = Tensor((), False, (), "", "", False, False, False, None, None, False, None, None, None)


class _Steady:
    """Numbers for what has another number in each snapshot: it is the same as long as one of its holders is.

    count: how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self.known: dict[Hashable, int] = {}

    def numbers(self, holders: Mapping[Any, Sequence[Hashable]]) -> dict[Any, int]:
        """Number what has these numbers in one snapshot. holders: for each of them, what holds it, at least one."""
        found: dict[Any, int] = {}
        taken: set[int] = set()
        for local, keys in holders.items():
            same = next((self.known[key] for key in keys if key in self.known), None)
            if same is None or same in taken:
                same, self.count = self.count, self.count + 1
            taken.add(same)
            found[local] = same
        self.known = {key: found[local] for local, keys in holders.items() for key in keys}
        return found


def _appearance(graph: Graph, k: int) -> _Appearance:
    tensor = graph.snapshot.tensors[k]
    producer = None if tensor.producer is None else (graph.nodes[tensor.producer.node], tensor.producer.output)
    return graph.tensors[k], producer, tensor.requires_grad


def _apart(names: Mapping[int, tuple[str, ...]], lines: Mapping[int, Place | None]) -> dict[int, tuple[str, ...]]:
    """The names of all tensors, so that no two are alike: a second tensor of one name is called by its line too."""
    taken: set[str] = set()
    found = {}
    for i, alike in names.items():
        place = lines.get(i)
        words: list[str] = []
        for name in alike:
            free, times = name, itertools.count(2)
            if free in taken and place is not None:
                free = line = f"{name} of line {place.line}"
                while free in taken:
                    free = f"{line} ({next(times)})"
            while free in taken:
                free = f"{name} ({next(times)})"
            words.append(free)
        taken |= set(words)
        found[i] = tuple(words)
    return found
