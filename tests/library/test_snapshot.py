"""The facts of a snapshot, against a second reading of the live graph that shares no code with the package."""

import ast
import dataclasses
import functools
import gc
import itertools
import re
import subprocess
import sys
import threading
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

import seegrad
from random_graphs import (
    SavesInputs,
    SavesResult,
    can_be_asked,
    each_graph,
    gradient_bytes,
    random_graph,
    run_backward,
)
from seegrad import show_graph
from seegrad.snapshot import ALIVE, CHANGED, FREED, Bytes, take_snapshot


def snapshot_of(graph):
    return take_snapshot(graph.outputs, graph.named)


@functools.cache
def taken(seed, steps):
    """A random graph and its snapshot, for tests that only read."""
    graph = random_graph(seed, steps)
    return graph, snapshot_of(graph)


# The second reading


def given_tensors(graph):
    """What the caller gives, each once, in the caller's order."""
    return list({id(t): t for t in [*graph.outputs, *graph.named.values()]}.values())


def reachable_nodes(tensors):
    """Every node behind the tensors and behind the bases of those that are views, in any order."""
    roots = [t for tensor in tensors for t in (tensor, tensor._base) if t is not None]
    found, pending = {}, [t.grad_fn for t in roots if t.grad_fn is not None]
    for node in pending:        # grows while it is walked
        if node not in found:
            found[node] = True
            pending += [other for other, _ in node.next_functions if other is not None]
    return list(found)


def match(snapshot, given):
    """Walk the snapshot and the live graph side by side; return the live tensor and node behind each index."""
    tensors, nodes = dict(enumerate(given)), {}
    for i, tensor in enumerate(given):
        base = snapshot.tensors[i].base
        assert (base is None) == (tensor._base is None)
        if base is not None:
            assert tensors.setdefault(base, tensor._base) is tensor._base
    pending = []
    for i, tensor in tensors.items():
        producer = snapshot.tensors[i].producer
        assert (producer is None) == (tensor.grad_fn is None)
        if producer:
            assert producer.output == tensor.output_nr
            pending.append((producer.node, tensor.grad_fn))
    while pending:
        i, node = pending.pop()
        if i in nodes:
            assert nodes[i] is node
            continue
        nodes[i] = node
        assert len(snapshot.nodes[i].inputs) == len(node.next_functions)
        for edge, (other, number) in zip(snapshot.nodes[i].inputs, node.next_functions):
            assert (edge is None) == (other is None)
            if edge:
                assert edge.output == number
                pending.append((edge.node, other))
        if snapshot.nodes[i].leaf is not None:
            assert tensors.setdefault(snapshot.nodes[i].leaf, node.variable) is node.variable
    assert sorted(nodes) == list(range(len(snapshot.nodes)))
    assert sorted(tensors) == list(range(len(snapshot.tensors)))
    assert len({id(t) for t in tensors.values()}) == len(tensors)
    assert set(nodes.values()) == set(reachable_nodes(given))
    return [tensors[i] for i in range(len(tensors))], [nodes[i] for i in range(len(nodes))]


@dataclasses.dataclass
class Slot:
    """What the second reading finds in one slot. tensor: what it holds, where that is a tensor and can be seen.

    kept: the object that PyTorch keeps. tracked: whether what PyTorch gives back is tracked, None where it gives nothing.
    """

    state: str
    tensor: torch.Tensor | None = None
    versions: tuple | None = None
    packed: bool = False
    kept: object = None
    tracked: bool | None = None


def read_slots(node, fired):
    """Every slot of a node by name, from `_saved_*`, from the error that this raises, and from what the test noted.

    It lets unpack hooks fire: so it learns which slot is packed.
    """
    slots = {}
    for attribute in dir(node):
        if not attribute.startswith("_raw_saved_"):
            continue
        name, fired_before, error, values = attribute.removeprefix("_raw_saved_"), fired["unpack"], "", None
        try:
            values = node.saved_tensors if name == "tensors" else getattr(node, "_saved_" + name)
        except RuntimeError as caught:
            error = str(caught)
        if "second time" in error:
            slots[name] = Slot(FREED)
            continue
        raw = getattr(node, attribute)
        several = isinstance(raw, tuple)
        packed = fired["unpack"] > fired_before
        for i, item in enumerate(raw if several else [raw]):
            held = item.data if packed or error else values[i] if several else values
            if held is None:
                continue
            slot = Slot(ALIVE, held if isinstance(held, torch.Tensor) else None, packed=packed, kept=item.data)
            if not packed and not error:
                slot.tracked = held.requires_grad
            if error:
                slot.state, slot.versions = state_after_error(node, i, held, error)
            slots[f"{name}[{i}]" if several else name] = slot
    return slots


def state_after_error(node, i, held, error):
    assert "inplace" in error
    if hasattr(node, "versions"):       # a custom Function: the error is about one of its slots, no matter which
        before, now = node.versions[i], held._version
        return (ALIVE, None) if now == before else (CHANGED, (before, now))
    found = re.search(r"is at version (\d+); expected version (\d+)", error)
    return CHANGED, found and (int(found[2]), int(found[1]))


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


def place(tensor):
    return memory(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def elements(tensor):
    """The places of its elements in memory."""
    numbers = torch.arange(tensor.untyped_storage().nbytes())
    one = tensor.element_size()
    places = numbers[::one].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()) * one
    return {int(place) + k for place in numbers[places].flatten() for k in range(one)} if tensor.numel() else set()


def bytes_used(tensor):
    """From the first of them to the last."""
    used = elements(tensor)
    return max(used) - min(used) + 1 if used else 0


def first(indices):
    return next(iter(indices), None)


# Random graphs


@each_graph(240)
def test_nodes_and_tensors(seed, steps):
    graph, snapshot = taken(seed, steps)
    given = given_tensors(graph)
    tensors, nodes = match(snapshot, given)
    assert [node.name for node in snapshot.nodes] == [node.name().split("::")[-1] for node in nodes]
    for described, node in zip(snapshot.nodes, nodes):
        assert (described.leaf is not None) == hasattr(node, "variable")
    for i, (described, tensor) in enumerate(zip(snapshot.tensors, tensors)):
        assert list(described.names) == [name for name, t in graph.named.items() if t is tensor]
        assert described.given == (i < len(given))
        assert described.shape == tuple(tensor.shape)
        assert "torch." + described.dtype == str(tensor.dtype)
        assert described.device == "cpu"
        assert described.requires_grad == tensor.requires_grad
        assert described.is_leaf == tensor.is_leaf
        assert described.version == tensor._version
        assert (described.grad_shape is None) == (gradient_bytes(tensor) is None)
        assert described.grad_shape in (None, described.shape)
        is_accumulated = any(hasattr(node, "variable") and node.variable is tensor for node in nodes)
        assert described.in_graph == (tensor.grad_fn is not None or is_accumulated)
    assert {id(t) for t in tensors} == {id(t) for t in [
        *given, *(t._base for t in given if t._base is not None),
        *(node.variable for node in nodes if hasattr(node, "variable"))]}


@each_graph(240)
def test_how_many_results_take_part_in_the_graph(seed, steps):
    several = {"UnbindBackward0": 2, "SplitBackward0": 2, "SplitWithSizesBackward0": 2, "VarMeanBackward0": 2,
               "ThreeResultsBackward": 3}
    _, snapshot = taken(seed, steps)
    for node in snapshot.nodes:
        assert node.outputs == several.get(node.name, 1), node.name


@each_graph(240)
def test_nodes_stand_in_the_order_in_which_they_were_made(seed, steps):
    graph, snapshot = taken(seed, steps)
    _, nodes = match(snapshot, given_tensors(graph))
    for i, node in enumerate(snapshot.nodes):
        assert all(edge is None or edge.node < i for edge in node.inputs)
    # A view whose base was changed gets a new node when it is next used: after the node that uses it.
    if not any("AsStrided" in node.name for node in snapshot.nodes):
        made = [node._sequence_nr() for node in nodes if not hasattr(node, "variable")]
        assert made == sorted(made)


@each_graph(240)
def test_slots(seed, steps):
    graph, snapshot = taken(seed, steps)
    tensors, nodes = match(snapshot, given_tensors(graph))
    places = [place(t) for t in tensors]
    numbers = {}            # the snapshot's number of each storage
    for tensor, described in zip(tensors, snapshot.tensors):
        assert numbers.setdefault(memory(tensor), described.storage) == described.storage
    held = {}
    for described, node in zip(snapshot.nodes, nodes):
        expected = read_slots(node, graph.fired)
        assert [slot.name for slot in described.saved] == sorted(expected, key=lambda n: (n != "self", n))
        for slot in described.saved:
            other = expected[slot.name]
            if slot.checked:
                assert (slot.state, slot.versions) == (other.state, other.versions)
            else:       # a result that a custom Function saved of itself, and something that it saved was changed
                assert hasattr(node, "versions") and (slot.state, slot.versions) == (ALIVE, None)
                assert CHANGED in [saved.state for saved in expected.values()]
            assert slot.packed == other.packed
            tensor = other.tensor
            if tensor is None:
                assert (slot.shape, slot.storages, slot.storage, slot.holds, slot.views) == (None, (), None, None, None)
                assert not slot.is_part
                continue
            assert slot.shape == tuple(tensor.shape)
            assert "torch." + slot.dtype == str(tensor.dtype)
            size = tensor.untyped_storage().nbytes()
            assert slot.is_part == (bytes_used(tensor) < size)
            assert slot.storages == (slot.storage,) and snapshot.bytes_of([slot]) == Bytes(size)
            assert slot.storage == numbers.setdefault(memory(tensor), slot.storage)
            same = [i for i, p in enumerate(places) if p == place(tensor)]
            itself = [i for i in same if tensors[i] is other.kept]
            alike = [i for i in same if tensors[i].requires_grad == slot.tracked]
            assert slot.holds == first([*itself, *alike, *same])
            if other.tracked is not None:
                assert slot.tracked == other.tracked
            if slot.holds is None:
                here = [(i, elements(other) & elements(tensor)) for i, other in enumerate(tensors)
                        if memory(other) == memory(tensor)]
                assert slot.views in [None, *(i for i, both in here if both)]
                whole = [i for i, both in here if both == elements(tensor)]
                assert not whole or slot.views == whole[0]
            else:
                assert slot.views is None
            held[memory(tensor)] = size
    assert len(set(numbers.values())) == len(numbers)       # two storages, two numbers
    assert snapshot.saved_bytes == sum(held.values())
    assert snapshot.bytes_of(snapshot.saved).all_known == all(slot.storages for slot in snapshot.saved if slot.state != FREED)
    assert snapshot.states == Counter(slot.state for node in snapshot.nodes for slot in node.saved)


@each_graph(240)
def test_two_slots_with_one_storage_and_layout_hold_the_same_values(seed, steps):
    graph, snapshot = taken(seed, steps)
    _, nodes = match(snapshot, given_tensors(graph))
    keys, places = [], []
    for described, node in zip(snapshot.nodes, nodes):
        slots = read_slots(node, graph.fired)
        for slot in described.saved:
            if slot.storage is not None:
                keys.append((slot.storage, slot.layout))
                places.append(place(slots[slot.name].tensor))
    for a in range(len(keys)):
        for b in range(a):
            assert (keys[a] == keys[b]) == (places[a] == places[b])


@each_graph(240)
def test_ties_of_storage_and_version_counter(seed, steps):
    """Brute force: change each tensor in place, and see whose version moves."""
    graph = random_graph(seed, steps)
    snapshot = snapshot_of(graph)
    tensors, _ = match(snapshot, given_tensors(graph))
    moves_with = []
    for tensor in tensors:
        before = [t._version for t in tensors]
        with torch.no_grad():
            tensor.mul_(1)
        moves_with.append([t._version != b for t, b in zip(tensors, before)])
    tied = groups(len(tensors), [(tie.first, tie.second) for tie in snapshot.shared])
    one_counter = groups(len(tensors), [(t.first, t.second) for t in snapshot.shared if t.one_counter])
    for tie in snapshot.shared:
        assert tie.first != tie.second
        assert tie.one_counter == moves_with[tie.first][tie.second]
    for a in range(len(tensors)):
        for b in range(len(tensors)):
            assert (tied[a] == tied[b]) == (memory(tensors[a]) == memory(tensors[b]))
            assert (one_counter[a] == one_counter[b]) == moves_with[a][b]


def groups(number, pairs):
    """Number the groups that pairs tie together."""
    group = list(range(number))
    for a, b in pairs:
        group = [group[a] if g == group[b] else g for g in group]
    return group


# Taking a snapshot, and drawing, change nothing


def fingerprint(graph):
    """All of a graph that could change, without firing a hook."""
    nodes = reachable_nodes(given_tensors(graph))
    tensors = [t for t in graph.tensors if can_be_asked(t)]
    return ([(t._version, t.requires_grad, t.is_leaf, t.retains_grad, memory(t), t.detach().numpy().tobytes(),
              gradient_bytes(t)) for t in tensors],
            [(node.name(), *node.next_functions) for node in nodes],
            [raw_slots(node) for node in nodes],
            dict(graph.fired))


def raw_slots(node):
    """Whether each slot is there."""
    there = {}
    for attribute in dir(node):
        if attribute.startswith("_raw_saved_"):
            try:
                raw = getattr(node, attribute)
                there[attribute] = [item.data is None for item in (raw if isinstance(raw, tuple) else [raw])]
            except RuntimeError:
                there[attribute] = "freed"
    return there


@each_graph(240)
def test_drawing_leaves_the_graph_as_it_was(seed, steps):
    graph = random_graph(seed, steps)
    before = fingerprint(graph)
    view = show_graph(*graph.outputs, **graph.named, detail=("full", "compact", "folded")[seed % 3])
    view._repr_mimebundle_()
    assert fingerprint(graph) == before
    twin = random_graph(seed, steps)
    assert run_backward(graph) == run_backward(twin)
    assert graph.fired == twin.fired


def test_nothing_is_kept_alive():
    views, references = [], []

    @each_graph(240)
    def draw(seed, steps):
        graph = random_graph(seed, steps)
        views.append(show_graph(*graph.outputs, **graph.named, max_boxes=1))
        references.extend(((seed, steps), weakref.ref(tensor)) for tensor in graph.tensors)

    draw()
    gc.collect()
    assert {graph for graph, reference in references if reference() is not None} == set()
    assert len(views) >= 240


@each_graph(240)
def test_two_snapshots_of_one_graph_are_equal(seed, steps):
    graph = random_graph(seed, steps)
    assert snapshot_of(graph) == snapshot_of(graph) == snapshot_of(random_graph(seed, steps))


@each_graph(240)
def test_a_snapshot_is_plain_data(seed, steps):
    _, snapshot = taken(seed, steps)
    assert plain(snapshot) <= {int, str, bool, type(None)}


def plain(value):
    """The types of all values in nested frozen dataclasses and tuples."""
    if dataclasses.is_dataclass(value):
        assert value.__dataclass_params__.frozen
        return set().union(*(plain(getattr(value, field.name)) for field in dataclasses.fields(value)))
    if type(value) is tuple:
        return set().union(*map(plain, value))
    return {type(value)}


# Single facts


def only_slot(tensor):
    slot, = take_snapshot([tensor], {}).saved
    return slot


def test_the_three_states_of_a_slot():
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    assert only_slot(y).state == ALIVE
    with torch.no_grad():
        y.add_(1).add_(1)
    assert (only_slot(y).state, only_slot(y).versions) == (CHANGED, (0, 2))
    z = x.exp()
    z.sum().backward()
    assert only_slot(z).state == FREED


def test_a_change_through_data_is_not_seen():
    y = torch.ones(3, requires_grad=True).exp()
    y.data.zero_()
    assert only_slot(y).state == ALIVE


def test_only_the_changed_one_of_two_indices_is_changed():
    rows, columns = torch.tensor([0, 1]), torch.tensor([1, 0])
    y = torch.ones(2, 2, requires_grad=True)[rows, columns]
    columns.add_(0)
    saved = take_snapshot([y], {}).saved
    assert [(slot.name, slot.state) for slot in saved] == [("indices[0]", ALIVE), ("indices[1]", CHANGED)]


class SavesInputAndChangedResult(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp().add_(1)        # at version 1 when it is saved
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_an_unchanged_result_of_a_function_whose_input_was_changed():
    h = torch.ones(3, requires_grad=True) * 2
    y = SavesInputAndChangedResult.apply(h)
    with torch.no_grad():
        h.add_(1)
    saved = take_snapshot([y], {}).nodes[-1].saved
    assert [slot.state for slot in saved] == [CHANGED, ALIVE]


def test_a_function_whose_input_and_result_were_both_changed():
    h = torch.ones(3, requires_grad=True) * 2
    y = SavesInputAndChangedResult.apply(h)
    with torch.no_grad():
        h.add_(1)
        y.add_(1).add_(1)
    saved = take_snapshot([y], {}).nodes[-1].saved
    assert [(slot.state, slot.checked) for slot in saved] == [(CHANGED, True), (ALIVE, False)]


class SavesResultTwice(SavesResult):
    @staticmethod
    def forward(ctx, x):
        result = x.sin()
        ctx.save_for_backward(result, x, result)
        return result


def test_two_slots_of_one_function_that_hold_one_changed_result():
    y = SavesResultTwice.apply(torch.ones(3, requires_grad=True))
    with torch.no_grad():
        y.add_(1)
    assert [slot.state for slot in take_snapshot([y], {}).saved] == [CHANGED, ALIVE, CHANGED]
    assert y._version == 1


class SavesTwoResults(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, order, changes):
        tensors = [x, x.exp(), x.sin()]
        for tensor, count in zip(tensors[1:], changes):
            add_times(tensor, count)
        ctx.save_for_backward(*(tensors[i] for i in order))
        ctx.versions = [tensors[i]._version for i in order]
        return tuple(tensors[1:])

    @staticmethod
    def backward(ctx, first, second):
        return first + second, None, None


def add_times(tensor, count):
    with torch.no_grad():
        for _ in range(count):
            tensor.add_(1)


def test_what_is_said_of_two_results_that_their_function_saved():
    """Every order of an input and two results, each changed or not, before it is saved and after."""
    said = Counter()
    for order in itertools.permutations(range(3)):
        for before in itertools.product(range(2), repeat=2):
            for after in itertools.product(range(3), repeat=3):
                x = torch.ones(3, requires_grad=True) * 1
                tensors = [x, *SavesTwoResults.apply(x, order, before)]
                for tensor, count in zip(tensors, after):
                    add_times(tensor, count)
                slots = take_snapshot(tensors[1:], {}).nodes[-1].saved
                versions = tensors[1].grad_fn.versions
                changed = [after[i] > 0 for i in order]
                for i, slot, version, is_changed in zip(order, slots, versions, changed):
                    if slot.checked:
                        assert (slot.state == CHANGED) == is_changed
                        assert slot.versions == ((version, tensors[i]._version) if is_changed else None)
                    else:
                        assert (slot.state, slot.versions) == (ALIVE, None)
                        assert i > 0 and any(changed)
                if sum(changed) <= 1 and before == (0, 0):      # the plain case
                    assert all(slot.checked for slot in slots)
                said.update(slot.checked for slot in slots)
    assert said[True] > said[False] > 0


def test_a_version_counter_that_cannot_be_found_is_not_known(monkeypatch):
    monkeypatch.setattr("seegrad.snapshot._counter_offset", lambda: None)
    x = torch.ones(3)
    pictured = show_graph(x=x, y=x.detach())
    tie, = pictured.snapshot.shared
    assert (tie.one_counter, [tensor.counter for tensor in pictured.snapshot.tensors]) == (None, [None, None])
    assert "one storage, version counters not known" in repr(pictured)
    first, second = SavesTwoResults.apply(x.requires_grad_(), (1, 2, 0), (0, 0))
    add_times(first, 1)
    assert [slot.state for slot in take_snapshot([first], {}).saved] == [CHANGED, ALIVE, ALIVE]


def test_a_result_that_is_not_checked_says_so():
    y = SavesInputAndChangedResult.apply(x := torch.ones(3, requires_grad=True) * 2)
    add_times(x, 1)
    assert "(3,) 12 B alive (or changed in place: not known)" in repr(show_graph(y))


def test_a_snapshot_writes_no_version(monkeypatch):
    """Not even for a moment: a backward in another thread would see it."""
    def refuse(*_):
        raise AssertionError("a version was written")

    x = torch.ones(3, requires_grad=True) * 1
    first, second = SavesTwoResults.apply(x, (0, 1, 2), (0, 0))
    add_times(first, 1)
    monkeypatch.setattr(torch.autograd.graph, "increment_version", refuse)
    monkeypatch.setattr(torch._C, "_increment_version", refuse)
    monkeypatch.setattr(torch._C._autograd, "_unsafe_set_version_counter", refuse)
    snapshot = take_snapshot([second], {"x": x, "first": first, "view": first.view(3), "detached": x.detach()})
    assert [tie.one_counter for tie in snapshot.shared] == [True, True]


def test_backward_runs_in_another_thread_while_snapshots_are_taken():
    x = torch.ones(10, requires_grad=True) * 1
    aliases = {f"alias{i}": x.detach() for i in range(50)}
    z = x
    for _ in range(2000):       # long, and each node checks the version of x
        z = z * x
    loss, errors, done = z.sum(), [], threading.Event()

    def run():
        try:
            while not done.is_set():
                loss.backward(retain_graph=True)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(300):
        if errors:
            break
        take_snapshot([x], aliases)
    done.set()
    thread.join()
    assert not errors


@pytest.mark.parametrize("operation", [torch.exp, torch.sin, SavesResult.apply, lambda x: SavesInputs.apply(x, x),
                                       lambda x: x[torch.tensor([0, 1])]])
def test_a_packed_slot_is_read_without_its_hook_and_known_when_freed(operation):
    fired = []
    x = torch.ones(3, requires_grad=True)
    with saved_tensors_hooks(lambda t: [t], lambda box: fired.append(box) or box[0]):
        y = operation(x)
    saved = take_snapshot([y], {}).saved
    assert saved and all(slot.packed and slot.state == ALIVE for slot in saved)
    assert not fired
    y.sum().backward()
    assert all(slot.state == FREED and not slot.packed for slot in take_snapshot([y], {}).saved)


class SavesInputAndResult(SavesResult):
    @staticmethod
    def forward(ctx, x):
        result = x.sin()
        ctx.save_for_backward(x, result)
        return result


def test_no_hook_fires_where_only_one_of_two_slots_is_packed():
    fired = []
    y = SavesInputAndResult.apply(torch.ones(3, requires_grad=True))
    y.grad_fn._raw_saved_tensors[0].register_hooks(lambda t: [t], lambda box: fired.append(box) or box[0])
    saved = take_snapshot([y], {}).saved
    assert [(slot.state, slot.packed) for slot in saved] == [(ALIVE, True), (ALIVE, False)]
    assert not fired


def test_which_aliases_share_storage_and_counter():
    x = torch.ones(3, requires_grad=True) * 1
    aliases = {"view": x.view(3), "detach": x.detach(), "data": x.data}
    for name, alias in aliases.items():
        tie, = take_snapshot([], {"x": x, name: alias}).shared
        assert tie.one_counter == (name != "data")
    assert take_snapshot([], {"x": x, "copy": x.detach().clone()}).shared == ()


def test_versions_that_are_equal_by_chance_are_not_one_counter():
    x = torch.ones(3)
    x.add_(1)
    data = x.data
    data.add_(1)
    assert x._version == data._version == 1
    tie, = take_snapshot([x, data], {}).shared
    assert not tie.one_counter
    assert (x._version, data._version) == (1, 1)


def test_the_same_bits_read_as_another_type_are_not_the_same_tensor():
    x = torch.ones(3, requires_grad=True)
    bits = x.detach().view(torch.int32)
    y = x.sin()
    snapshot = take_snapshot([], {"bits": bits, "x": x, "y": y})
    slot, = snapshot.saved
    assert snapshot.tensors[slot.holds].names == ("x",)


def test_a_view_has_its_base_beside_it():
    h = torch.ones(4, requires_grad=True) * 2
    view, base = take_snapshot([h.view(2, 2)[0]], {}).tensors[:2]
    assert (view.base, base.base, base.given, base.shape) == (1, None, False, (4,))


def test_saved_bytes_count_a_whole_storage_once():
    x = torch.ones(10, requires_grad=True) * 2
    snapshot = take_snapshot([x[:2] * x[:2].clone() + x[:2].exp()], {"x": x})
    a, b, c = (slot for slot in snapshot.saved if slot.shape == (2,))
    assert [snapshot.bytes_of([slot]).known for slot in (a, b, c)] == [40, 8, 8]
    number, = (slot for slot in snapshot.saved if slot.shape == ())     # the 2
    # x is saved through a view of it: its 40 bytes stay in memory.
    assert snapshot.saved_bytes == 40 + 8 + 8 + snapshot.bytes_of([number]).known


def test_the_sweep_of_backward_seen_from_a_hook():
    """In the middle of backward the later node is freed, and the earlier one is not."""
    x = torch.ones(3, requires_grad=True)
    y = x.sin()
    z = y.cos().sum()
    seen = []
    y.register_hook(lambda gradient: seen.append([slot.state for slot in take_snapshot([z], {}).saved]))
    z.backward()
    assert seen == [[ALIVE, FREED]]


def test_a_graph_built_in_several_threads():
    x = torch.ones(3, requires_grad=True)
    parts = []
    threads = [threading.Thread(target=lambda: parts.append(x.sin().cos().exp())) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    y = parts[0] * parts[1] + parts[2]
    snapshot = take_snapshot([y], {})
    match(snapshot, [y])
    assert all(edge.node < i for i, node in enumerate(snapshot.nodes) for edge in node.inputs)
    assert take_snapshot([y], {}) == snapshot


def test_a_long_chain_needs_no_recursion():
    y = torch.ones((), requires_grad=True)
    for _ in range(5000):
        y = y * 1
    assert len(take_snapshot([y], {}).nodes) == 5001


VERY_DEEP = """
import torch
from seegrad import measure, play_backward, show_graph
for step in (lambda before, y: y + 1, lambda before, y: before + y):
    x = torch.ones(1, requires_grad=True)
    before, y = x * 1, x * 2
    for _ in range(60_000):
        before, y = y, step(before, y)
    for look in (show_graph, play_backward, lambda y: print(measure(lambda: y.backward(retain_graph=True)))):
        try:
            look(y)
        except ValueError as error:
            print(error)
    y.backward()
    del before, y
    print("freed", x.grad is not None)
"""


def test_a_very_deep_graph_is_refused_and_does_not_crash_when_it_is_freed():
    ran = subprocess.run([sys.executable, "-c", VERY_DEEP], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert len(lines) == 8
    for shown, played, measured, freed in (lines[:4], lines[4:]):
        assert re.fullmatch(r"This graph is at least [\d,]+ operations deep, .*\.", shown) and played == shown
        assert measured.endswith("; not counted: node runs of a graph too deep to be walked") and freed == "freed True"


GROWS_DEEP = """
import torch
from seegrad import show_graph
x = torch.ones(1, requires_grad=True)
for size, rounds in ((20_000, 4), (6_000, 10), (5_000, 1), (5_000, 1), (5_000, 1)):
    y = x
    for _ in range(rounds):
        for _ in range(size):
            y = y * 1.0
        try:
            show_graph(y)
            print("shown", size)
        except ValueError as error:
            pass
    del y       # and the next graph may be as deep as this one
"""


def test_a_graph_that_is_looked_at_while_it_grows_deep_does_not_crash():
    """Each look goes a part of the way down: all together they must not go too deep."""
    ran = subprocess.run([sys.executable, "-c", GROWS_DEEP], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = ran.stdout.splitlines()
    assert "shown 20000" not in shown and "shown 6000" in shown and shown.count("shown 5000") == 3


def test_large_graphs_that_are_not_deep_do_not_count_as_deep_ones():
    x = torch.ones(1, requires_grad=True)
    alive = [torch.stack([x + 1 for _ in range(8_000)]) for _ in range(5)]
    assert all(len(take_snapshot([result], {}).nodes) == 8_002 for result in alive)
    y = x
    for _ in range(4_000):
        y = y + 1
    assert len(take_snapshot([y], {}).nodes) == 4_001


def test_a_large_graph_that_is_not_deep_is_read():
    x = torch.ones(1, requires_grad=True)
    assert len(take_snapshot([torch.stack([x + 1 for _ in range(30_000)])], {}).nodes) == 30_002


def test_taking_a_snapshot_runs_no_operation():
    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            operations.append(str(operation))
            return operation(*args, **kwargs or {})

    operations = []
    x = torch.ones(3, requires_grad=True)
    y = SavesInputs.apply(x.exp(), x.sin()) * x
    detached = y.detach()
    with Log():
        take_snapshot([y], {"x": x, "detached": detached})
    assert operations == []


def test_a_leaf_that_became_a_result():
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    y = x.exp()
    x.requires_grad_(False).mul_(w)     # y's graph still ends in x
    snapshot = take_snapshot([y], {})
    assert [node.name for node in snapshot.nodes if node.name == "ExpBackward0"] == ["ExpBackward0"]


def test_a_leaf_with_two_accumulators_is_one_leaf():
    x = torch.ones(3, requires_grad=True)
    y = x * x
    x.data = x.data.double()        # as net.double() does: the next use gets a new AccumulateGrad
    snapshot = take_snapshot([y, x * x], {})
    assert [node.name for node in snapshot.nodes].count("AccumulateGrad") == 2
    assert len(snapshot.leaves) == 1


def test_a_part_of_a_split_whose_whole_was_changed():
    """PyTorch refuses to tell the grad_fn of `part`; the rest can be drawn all the same."""
    h = torch.ones(4, requires_grad=True).exp()
    part, _ = h.chunk(2)
    with torch.no_grad():
        h.add_(1)
    snapshot = take_snapshot([h], {"part": part})
    assert [slot.state for slot in snapshot.saved] == [CHANGED]


def test_what_a_diagram_needs_to_know_of_a_node():
    x = torch.ones(2, 3, requires_grad=True)
    h = x.t().exp()
    h[0] = h[1] * 2
    many = sum(torch._foreach_sin([h, h]))
    nodes = {node.name: (node.transposes, node.hides_a_node, node.hides_saved) for node in take_snapshot([many], {}).nodes}
    assert nodes.pop("TBackward0") == (True, False, False)
    assert nodes.pop("CopySlices") == (False, True, True)
    assert nodes.pop("ForeachSinBackward0") == (False, False, True)     # has no Python type of its own
    assert nodes.keys() >= {"AccumulateGrad", "ExpBackward0", "MulBackward0"}
    assert set(nodes.values()) == {(False, False, False)}


NAME_OF_A_NODE = re.compile(r"\w+Backward\d*\b|CopySlices|AccumulateGrad")
PACKAGE = Path(seegrad.__file__).parent


def names_of_nodes(source):
    """The string constants of a module, docstrings excepted, that name a node of PyTorch."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node.value for node in constants if id(node) not in said and NAME_OF_A_NODE.search(node.value)]


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda module: module.name)
def test_only_the_snapshot_and_the_rules_know_nodes_by_their_names(module):
    assert bool(names_of_nodes(module.read_text(encoding="utf-8"))) == (module.name in ("snapshot.py", "rules.py"))
