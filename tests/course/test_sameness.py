"""Whether two graphs are the same: on random graphs against trying all ways to pair their nodes, and on real ones in words."""

import itertools
import random
from dataclasses import replace

import pytest
import torch

from course.sameness import COMMUTING, differences, same_graph
from seegrad import show_graph
from seegrad.snapshot import ALIVE, FREED, Edge, GraphSnapshot, Node, SavedTensor, Tensor

SEEDS = range(150)
# For each kind of node: how many inputs it has, what it saves (an input by its number, or its result), how many results.
KINDS = {"ExpBackward0": (1, {"result": None}, 1), "MulBackward0": (2, {"self": 0, "other": 1}, 1), "AddBackward0": (2, {}, 1),
         "SubBackward0": (2, {}, 1), "DivBackward0": (2, {"self": 0, "other": 1}, 1), "UnbindBackward0": (1, {}, 2)}
SHAPE = (3,)
LAYOUT = (0, SHAPE, (1,), "float32")


def tensor(names, leaf=False, producer=None, storage=None):
    return Tensor(names, bool(names), SHAPE, "float32", "cpu", True, leaf, True, producer, None, leaf, None, 0, storage, 0)


def a_graph(seed):
    """A random graph of three leaves, one without a name, and of three operations. What no operation uses is a result with a
    name; leaves that none uses are stacked."""
    draw = random.Random(seed)
    leaves = [tensor(("x",), leaf=True, storage=0), tensor(("w",), leaf=True, storage=1), tensor((), leaf=True, storage=2)]
    nodes = [Node("AccumulateGrad", (), (), (SHAPE,), leaf=i) for i in range(3)]
    for i in range(3, 6):
        name = draw.choice(list(KINDS))
        count, saves, results = KINDS[name]
        before = draw.choices(range(i), k=count)
        edges = [Edge(node, draw.randrange(nodes[node].outputs)) for node in before]
        slots = []
        for slot, number in saves.items():
            edge = Edge(i, 0) if number is None else edges[number]
            slots.append(SavedTensor(slot, ALIVE, SHAPE, "float32", storage=10 * edge.node + edge.output, layout=LAYOUT,
                                     holds=nodes[edge.node].leaf if edge.node < i else None))
        nodes.append(Node(name, tuple(edges), tuple(slots), (SHAPE,) * results))
    used = {edge.node for node in nodes for edge in node.inputs}
    if unused := set(range(3)) - used:
        nodes.append(Node("StackBackward0", tuple(Edge(i, 0) for i in sorted(unused)), (), (SHAPE,)))
    results = [tensor((f"result of {i}",), producer=Edge(i, 0)) for i in range(3, len(nodes)) if i not in used]
    return GraphSnapshot(tuple(nodes), (*leaves, *results), ())


def renumbered(graph, nodes, tensors, storages=None):
    """The same graph with other numbers. nodes, tensors, storages: the new number for each old one."""
    def at(number, new):
        return None if number is None else new[number]

    def edge(old):
        return old and Edge(nodes[old.node], old.output)

    storages = storages or {i: i for i in range(100)}
    new_nodes, new_tensors = [None] * len(nodes), [None] * len(tensors)
    for i, node in enumerate(graph.nodes):
        saved = tuple(replace(slot, holds=at(slot.holds, tensors), storage=at(slot.storage, storages)) for slot in node.saved)
        new_nodes[nodes[i]] = replace(node, inputs=tuple(map(edge, node.inputs)), saved=saved, leaf=at(node.leaf, tensors))
    for i, one in enumerate(graph.tensors):
        new_tensors[tensors[i]] = replace(one, producer=edge(one.producer), storage=at(one.storage, storages))
    return GraphSnapshot(tuple(new_nodes), tuple(new_tensors), ())


def turned(node):
    """A sum or a product with its two inputs the other way round."""
    names = {"self": "other", "other": "self"}
    saved = tuple(replace(slot, name=names[slot.name]) for slot in node.saved[::-1])
    return replace(node, inputs=node.inputs[::-1], saved=saved)


def shuffled(graph, seed):
    draw = random.Random(seed)
    numbers = [draw.sample(range(count), count) for count in (len(graph.nodes), len(graph.tensors), 100)]
    other = renumbered(graph, *numbers)
    return replace(other, nodes=tuple(turned(node) if node.name in COMMUTING and draw.random() < 0.5 else node
                                      for node in other.nodes))


def in_any_order(graph):
    """A graph as it is compared: sums and products in one order, and for each storage the places of those who hold it."""
    holders = {}
    for i, node in enumerate(graph.nodes):
        for slot in node.saved:
            holders.setdefault(slot.storage, []).append(i)
    nodes = []
    for node in graph.nodes:
        saved = tuple(replace(slot, storage=tuple(sorted(holders[slot.storage]))) for slot in node.saved)
        node = replace(node, saved=saved)
        if node.name in COMMUTING:
            slots = tuple(sorted((replace(slot, name="") for slot in saved), key=repr))
            node = replace(node, inputs=tuple(sorted(node.inputs, key=repr)), saved=slots)
        nodes.append(node)
    return tuple(nodes), tuple(replace(one, storage=None) for one in graph.tensors)


def all_ways_tried(one, other):
    """Whether some way to pair the nodes makes two graphs equal. Tensors with a name keep to their name."""
    if len(one.tensors) != len(other.tensors):
        return False
    wanted, places = in_any_order(other), {each.names: i for i, each in enumerate(other.tensors)}
    if set(places) != {each.names for each in one.tensors}:
        return False
    tensors = [places[each.names] for each in one.tensors]
    for nodes in itertools.permutations(range(len(other.nodes))):
        if all(one.nodes[i].name == other.nodes[nodes[i]].name for i in range(len(nodes))):
            if in_any_order(renumbered(one, nodes, tensors)) == wanted:
                return True
    return False


def changed(graph, seed):
    """The graph with one thing changed: an edge, a node, a slot, a leaf or a result. None where there is no such thing."""
    draw = random.Random(seed)
    nodes, tensors = list(graph.nodes), list(graph.tensors)
    i = draw.randrange(3, 6)
    node = nodes[i]
    what = draw.choice(["edge", "no edge", "output", "kind", "shape", "slot", "state", "holds", "storage", "leaf", "result",
                        "grad"])
    if what in ("edge", "no edge"):
        k, target = draw.randrange(len(node.inputs)), draw.randrange(i)
        edge = Edge(target, draw.randrange(nodes[target].outputs)) if what == "edge" else None
        nodes[i] = replace(node, inputs=(*node.inputs[:k], edge, *node.inputs[k + 1:]))
    elif what == "output":
        nodes[i] = replace(node, inputs=tuple(replace(edge, output=nodes[edge.node].outputs - 1 - edge.output)
                                              for edge in node.inputs))
    elif what == "kind":
        nodes[i] = replace(node, name="SinBackward0")
    elif what == "shape":
        nodes[i] = replace(node, results=((7,), *node.results[1:]))
    elif what in ("slot", "state", "holds", "storage") and node.saved:
        slot = {"slot": [], "state": [replace(node.saved[0], state=FREED)], "holds": [replace(node.saved[0], holds=None)],
                "storage": [replace(node.saved[0], storage=99)]}[what]
        nodes[i] = replace(node, saved=(*slot, *node.saved[1:]))
    elif what == "leaf":
        first, second = draw.sample(range(3), 2)
        nodes[first], nodes[second] = (replace(nodes[a], leaf=nodes[b].leaf) for a, b in ((first, second), (second, first)))
    elif what == "result":
        k = draw.randrange(3, len(tensors))
        tensors[k] = replace(tensors[k], producer=Edge(draw.randrange(3, 6), 0))
    elif what == "grad":
        tensors[0] = replace(tensors[0], grad_shape=SHAPE)
    return GraphSnapshot(tuple(nodes), tuple(tensors), ())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_renumbered_graph_with_its_sums_and_products_turned_is_the_same(seed):
    graph = a_graph(seed)
    other = shuffled(graph, seed)
    assert same_graph(graph, other) and same_graph(other, graph) and differences(other, graph) == []


def test_a_graph_with_one_thing_changed_is_another_one_as_far_as_all_ways_tell():
    same = 0
    for seed in range(200):
        graph = a_graph(seed)
        other = changed(graph, seed)
        wanted = all_ways_tried(graph, other)
        same += wanted
        assert same_graph(graph, other) == same_graph(other, graph) == same_graph(graph, shuffled(other, seed)) == wanted, seed
        found = differences(other, graph)
        assert bool(found) != wanted, seed
        for difference in found:
            assert "None" not in difference.words and bool(difference.mark) == (difference.where is not None), seed
    assert 10 < same < 80       # a change that changes nothing, as an edge to where it led before


def test_random_graphs_are_mostly_others():
    graphs = [a_graph(seed) for seed in SEEDS]
    pairs = list(itertools.combinations(graphs, 2))[:600]
    found = [same_graph(one, other) for one, other in pairs]
    assert found == [all_ways_tried(one, other) for one, other in pairs]


# Real graphs: what is said of them, and where.

def drawn(build):
    x = torch.ones(3, requires_grad=True)
    w = torch.ones(3, requires_grad=True)
    return show_graph(x=x, w=w, y=build(x, w)).snapshot


def told(mine, target):
    return [(difference.words, difference.where) for difference in differences(drawn(mine), drawn(target))]


def test_a_node_that_no_result_leads_to_is_no_partner():
    twins = drawn(lambda x, w: x.exp() + x.exp())
    *others, total = twins.nodes
    lonely = replace(twins, nodes=(*others, replace(total, inputs=total.inputs[:1] * 2)))
    assert same_graph(twins, twins) and not same_graph(twins, lonely) and not same_graph(lonely, twins)


@pytest.mark.parametrize("mine, target, words", [
    (lambda x, w: x * w, lambda x, w: w * x, []),
    (lambda x, w: x - w, lambda x, w: w - x,
     [("[3] SubBackward0 comes from x and w, in the target from w and x", 3)]),
    (lambda x, w: (x * w).clone(), lambda x, w: w * x, [("[4] CloneBackward0 is too much", 4)]),
    (lambda x, w: x * w, lambda x, w: (w * x).clone(), [("CloneBackward0 is missing", None)]),
    (lambda x, w: x + x, lambda x, w: w + x, [("w is missing", None)]),
    (lambda x, w: x.unbind()[0] - w.unbind()[1], lambda x, w: x.unbind()[0] - w.unbind()[2],
     [("[5] SubBackward0 comes from [2] UnbindBackward0 and [4] UnbindBackward0 output 1, in the target "
       "from [2] UnbindBackward0 and [4] UnbindBackward0 output 2", 5)]),
    (lambda x, w: (x * w).unbind()[0], lambda x, w: (x * w).unbind()[1],
     [("y comes from [4] UnbindBackward0, in the target from [4] UnbindBackward0 output 1", "y")]),
    (lambda x, w: x * w.exp(), lambda x, w: x * w.exp().detach(), [("w is too much", 1), ("[2] ExpBackward0 is too much", 2)]),
    (lambda x, w: x / 2, lambda x, w: x / torch.ones(3),
     [("[2] DivBackward0 saves other (), in the target other (3,)", 2)]),
    (lambda x, w: (x * w).sum(), lambda x, w: (x * w).sum(0, keepdim=True),
     [("[4] SumBackward0 is too much", 4), ("SumBackward1 is missing", None)]),
    (lambda x, w: x, lambda x, w: x.exp(),
     [("x = y is too much", "x"), ("x is missing", None), ("ExpBackward0 is missing", None), ("y is missing", None)]),
    (lambda x, w: (x * w).expand(2, 3), lambda x, w: (x * w).expand(4, 3), [
        ("[4] ExpandBackward0 has results of the shapes (2, 3), in the target results of the shapes (4, 3)", 4),
        ("y has the shape (2, 3), in the target the shape (4, 3)", "y")]),
    (lambda x, w: (x * w)[:], lambda x, w: x * w, [("[4] SliceBackward0 is too much", 4), ("base 1 is too much", None)]),
])
def test_what_is_said_of_a_difference(mine, target, words):
    assert told(mine, target) == words


def test_a_missing_grad_comes_first_and_what_only_follows_from_freeing_is_not_told():
    """[3] MulBackward0 shares what it saves with [2] ExpBackward0, as long as that has it."""
    def walked(x, w):
        h = x.exp()
        (h + w).sum().backward()
        return h * h

    fresh = [("x has no .grad, in the target a .grad", "x"), ("w has no .grad, in the target a .grad", "w"),
             ("[2] ExpBackward0 has 1 saved alive, in the target 1 saved freed", 2)]
    assert told(lambda x, w: (h := x.exp()) * h, walked) == fresh
