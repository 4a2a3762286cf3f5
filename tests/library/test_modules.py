"""Which module made which node, and the graph folded by modules."""

import contextlib
import gc
import json
import math
import pickle
import random
import re
import subprocess
import sys
import textwrap
import time
import weakref
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from graphlib import TopologicalSorter

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from random_nets import Account, RandomNet
from seegrad import modules, show_graph
from seegrad.modules import in_modules
from seegrad.snapshot import LiveGraph
from test_drawing import read_svg

NETS = 200
RECORDER = sys.modules["seegrad.modules"]        # in the package, the function has this name


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return x + self.second(torch.tanh(self.first(x)))


class Net(nn.Module):
    def __init__(self, blocks=2):
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(blocks)))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.blocks(x) * 2)


def loss_of(net, x=None):
    torch.manual_seed(0)
    with modules(net):
        return nn.CrossEntropyLoss()(net(torch.randn(4, 3) if x is None else x), torch.tensor([0, 1, 0, 1]))


def paths(view):
    """For each node with a call, its name and the path of the module."""
    calls = view.snapshot.modules.calls
    return [(node.name, "outside" if node.call is None else calls[node.call].path or calls[node.call].kind)
            for node in view.snapshot.nodes if node.leaf is None and node.name != "TBackward0"]


def test_each_node_belongs_to_the_innermost_module():
    block = [("AddmmBackward0", "blocks.{}.first"), ("TanhBackward0", "blocks.{}"), ("AddmmBackward0", "blocks.{}.second"),
             ("AddBackward0", "blocks.{}")]
    expected = [(name, path.format(i)) for i in range(2) for name, path in block]
    expected += [("MulBackward0", "Net"), ("AddmmBackward0", "head"), ("LogSoftmaxBackward0", "CrossEntropyLoss"),
                 ("NllLossBackward0", "CrossEntropyLoss"), ("MulBackward0", "outside")]
    assert paths(show_graph(loss_of(Net()) * 2)) == expected


def test_parameters_have_the_names_of_the_net():
    net = Net()
    loss = loss_of(net)
    view = show_graph(loss)
    assert sorted(name for tensor in view.snapshot.leaves for name in tensor.names) == sorted(dict(net.named_parameters()))


def test_parameters_that_are_not_reached_are_told_first():
    net = Net()
    net.unused = nn.Linear(1, 1)
    net.head.bias.requires_grad_(False)
    loss = loss_of(net)
    headline = show_graph(loss).caption
    assert headline.endswith("; 2 parameters are not reached: unused.weight, unused.bias; 1 parameter is not tracked")


def test_nothing_is_kept_alive_and_nothing_stays_behind():
    before = dict(vars(nn.Module))
    net = Net()
    loss = loss_of(net)
    show_graph(loss)
    assert dict(vars(nn.Module)) == before
    kept = [weakref.ref(thing) for thing in (net, net.head.weight, loss)]
    del net, loss
    gc.collect()
    assert [reference() for reference in kept] == [None] * 3


def test_a_call_is_numbered_where_a_module_is_called_again():
    net = nn.Linear(2, 2)
    with modules(net):
        loss = net(net(torch.ones(1, 2))).sum()
    calls = show_graph(loss).snapshot.modules.calls
    assert [(call.path, call.kind, call.number, call.calls) for call in calls] == [("", "Linear", 1, 2), ("", "Linear", 2, 2)]


@pytest.mark.parametrize("depth, boxes", [(0, ["Net", "CrossEntropyLoss", "loss"]),
                                          (1, ["blocks Sequential", "[21]", "head Linear", "[26]", "[27]", "loss"])])
def test_the_depth_decides_which_modules_are_open(depth, boxes):
    loss = loss_of(Net())
    view = show_graph(loss=loss, detail="modules", depth=depth)
    assert [box.name for box in view.diagram.boxes] == boxes


def test_the_page_lists_the_modules_that_are_open_in_the_same_order_in_every_process():
    html = show_graph(loss_of(Net(blocks=3)), detail="modules", depth=3)._repr_mimebundle_()["text/html"]
    data = json.loads(html.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert data["open"] == list(range(len(data["groups"])))


def test_layers_that_are_alike_are_one_box():
    loss = loss_of(Net(blocks=9))
    view = show_graph(loss=loss, detail="modules")
    names = [box.name for box in view.diagram.boxes]
    assert "1 … 8: 8 × Block, alike" in names and "first Linear" in names
    box, = (box for box in view.diagram.boxes if "alike" in box.name)
    assert box.lines == ("80 nodes, 32 leaves",)


def test_a_graph_beyond_the_limit_is_folded_where_its_modules_are_known():
    net = Net(blocks=9)
    assert show_graph(loss_of(net), max_boxes=30).detail == "modules"
    assert show_graph(loss_of(net), max_boxes=1000).detail == "full"
    loss = nn.CrossEntropyLoss()(net(torch.ones(1, 3)), torch.tensor([0]))
    assert show_graph(loss, max_boxes=30).is_too_large


def test_a_view_that_gets_its_node_late_does_not_look_like_a_second_thread():
    class Views(nn.Module):
        def forward(self, x):
            first, second = x[0], x[1]
            x.mul_(2)
            return torch.stack([first, second]) * 3

    net = nn.Sequential(nn.Linear(3, 3), Views())
    with modules(net):
        loss = net(torch.ones(4, 3)).sum()
    assert ("AsStridedBackward0", "1") in paths(show_graph(loss))


# Random nets


def recorded(seed):
    """A random net, and its graph with the modules that are known."""
    net = RandomNet(seed)
    with modules(net.net):
        results = net.run()
    graph = LiveGraph(results, {})
    graph.snapshot = in_modules(graph)
    return net, results, graph


@pytest.mark.parametrize("seed", range(NETS))
def test_each_node_belongs_to_the_call_that_an_independent_account_says(seed):
    net = RandomNet(seed)
    account = Account(net.net)
    with account, modules(net.net):
        results = net.run()
    graph = LiveGraph(results, {})
    snapshot, same = in_modules(graph), {}
    calls = snapshot.modules.calls
    for node, function in zip(snapshot.nodes, graph.functions):
        if node.leaf is None:
            _, stack = account.found[id(function)]
            assert [[call.path if call.in_net else None, call.kind] for call in around(calls, node.call)] == list(stack)
            if stack:       # one call there is one call here, and the other way round
                assert same.setdefault(id(stack[-1]), node.call) == node.call
    assert len(set(same.values())) == len(same)
    for call in calls:
        numbers = [other.number for other in calls if other.in_net and (other.path, other.kind) == (call.path, call.kind)]
        assert numbers == sorted(set(numbers)) and all(1 <= number <= call.calls for number in numbers)


def around(calls, index):
    """A call, and those around it, the outermost first."""
    return [] if index is None else [*around(calls, calls[index].parent), calls[index]]


@pytest.mark.parametrize("seed", range(NETS))
def test_a_folded_graph(seed):
    net, results, graph = recorded(seed)
    draw = random.Random(seed)
    depth = draw.choice([None, 0, 1, 2, 3, 1000])
    view = show_graph(*results, detail="modules", depth=depth, max_boxes=10_000)
    diagram, nodes, functions = view.diagram, graph.snapshot.nodes, graph.functions
    boxes = {box.key: box for box in diagram.boxes}
    # What stands with a leaf: its AccumulateGrad, and a transpose of it that makes no result.
    ends = [result.grad_fn for result in results]
    leaf_of = {}
    for i, function in enumerate(functions):
        inner = function.next_functions[0][0] if type(function).__name__ == "TBackward0" and function not in ends else function
        if type(inner).__name__ == "AccumulateGrad":
            leaf_of[i] = inner.variable
    inside = {key: [] for key in boxes}
    for i, key in enumerate(diagram.home):
        if i not in leaf_of:
            inside[key].append(i)
    assert sum(map(len, inside.values())) == len(nodes) - len(leaf_of)
    TopologicalSorter({key: [arrow.source for arrow in diagram.arrows if arrow.target == key] for key in boxes}).prepare()
    drawn = [i for i in range(len(nodes)) if i not in leaf_of]
    place = {id(function): i for i, function in enumerate(functions)}
    for key, members in inside.items():
        if not members:
            continue
        assert drawn.index(members[-1]) - drawn.index(members[0]) + 1 == len(members)       # they lie side by side
        used = {id(leaf_of[place[id(other)]]) for i in members for other, _ in functions[i].next_functions
                if other is not None and place[id(other)] in leaf_of}
        box = boxes[key]
        if box.kind == "group":
            counts = re.match(r"(\d+) nodes?(?:, (\d+) lea(?:f|ves))?$", box.lines[0])
            assert (int(counts[1]), int(counts[2] or 0)) == (diagram.home.count(key), len(used))
        else:
            assert sum(bool(re.search(r" \(.*\)$", line)) for line in box.lines) == len(used)
        saved = [raw for i in members for raw in raw_slots(functions[i])]
        size = sum({raw.data.untyped_storage().data_ptr(): raw.data.untyped_storage().nbytes() for raw in saved}.values())
        assert [slot.text for slot in box.slots] == [f"{len(saved)} saved {size:,} B alive"] * bool(saved)
        if found := re.search(r": (\d+) × .*, alike$", box.name):
            names = [nodes[i].name for i in drawn]
            start, end, times = drawn.index(members[0]), drawn.index(members[-1]) + 1, int(found[1])
            assert any(names[start - length: end - length] == names[start: end]
                       for length in range(1, start + 1) if math.ceil((end - start) / length) == times)
    shapes = {}
    for i in drawn:
        for other, output in functions[i].next_functions:
            if other is not None:
                source, target = diagram.home[place[id(other)]], diagram.home[i]
                if place[id(other)] not in leaf_of and source != target:
                    shape = tuple(other._input_metadata[output].shape)
                    shapes.setdefault((source, target), set()).add((id(other), output, shape))
    said = {(arrow.source, arrow.target): arrow.text for arrow in diagram.arrows if "t" not in (arrow.source[0], arrow.target[0])}
    assert said.keys() == shapes.keys()
    for ends, text in said.items():
        expected = Counter(str(shape) for _, _, shape in shapes[ends])
        assert len(expected) > 2 or Counter({shape: int(times or 1) for shape, times in
                                             re.findall(r"(\([^)]*\))(?: ×(\d+))?", text)}) == expected


def raw_slots(function):
    """What a node has saved, asked of PyTorch itself."""
    slots = [getattr(function, name) for name in dir(function) if name.startswith("_raw_saved_")]
    slots = [slot for some in slots for slot in (some if isinstance(some, tuple) else [some])]
    return [slot for slot in slots if slot.data is not None]


@pytest.mark.parametrize("seed", range(0, NETS, 8))
def test_picture_and_transcript_of_a_folded_graph_name_the_same_boxes(seed):
    _, results, _ = recorded(seed)
    view = show_graph(*results, detail="modules")
    assert len(view.diagram.boxes) <= 70
    picture = read_svg(view.svg)
    drawn = Counter(" ".join(rows[0].text.split()) for rows in picture.boxes.values())
    titles = Counter(f"{frame.title}:" for frame in view.diagram.frames)
    told = Counter(" ".join(re.split(r"; | from ", line)[0].split()) for line in repr(view).splitlines()[1:])
    assert told == drawn + titles
    assert all(f">{frame.title}<" in view.svg for frame in view.diagram.frames)


def bits(tensors):
    return [None if tensor is None else tensor.detach().numpy().tobytes() for tensor in tensors]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("seed", range(0, NETS, 4))
def test_recording_changes_nothing(seed):
    def outcome(record):
        net = RandomNet(seed)
        with record(net.net):
            results = net.run()
            made = torch.rand(1)
        sum(result.sum() for result in results).backward()
        return bits([*results, made, torch.rand(1), *(tensor.grad for tensor in (*net.net.parameters(), *net.inputs))])

    assert outcome(modules) == outcome(contextlib.nullcontext)


# Kinds of code that may stand in the way


def owners(view):
    """The path or the class of the call of each node."""
    assert not view.snapshot.modules.doubt
    return [owner for _, owner in paths(view)]


def recorded_view(net, *inputs):
    with modules(net):
        return show_graph(net(*inputs).sum())


def test_a_long_chain_of_calls_can_be_freed():
    """A node that Python has seen is freed by recursion: 100,000 of them would crash."""
    code = """
        import torch
        from torch import nn
        from seegrad import modules
        cell, h = nn.Linear(2, 2), torch.ones(1, 2)
        with modules(cell):
            for _ in range(100_000):
                h = cell(h)
        del h
        print("freed")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout == "freed\n"


def test_a_cell_that_is_called_5000_times():
    cell, h = nn.Linear(2, 2), torch.ones(1, 2)
    with modules(cell):
        for _ in range(5000):
            h = torch.tanh(cell(h))
    view = show_graph(h=h, detail="modules")
    assert [call.number for call in view.snapshot.modules.calls] == list(range(1, 5001))
    assert owners(view) == ["Linear", "outside"] * 5000
    assert len(view.diagram.boxes) <= 60


def test_logs_end_with_their_graphs():
    net = Net()
    with modules(net):
        for _ in range(50):
            loss = net(torch.ones(1, 3)).sum()
            loss.backward()
    gc.collect()
    assert len(RECORDER._logs) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("when", ["before", "inside"])
@pytest.mark.parametrize("how", ["net", "method", "part", "function", "broken"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_nothing_is_compiled_again(backend, how, when):
    def frames(record):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        net = Net()
        run = net

        def compiled():
            nonlocal run
            match how:
                case "net":
                    run = torch.compile(net, backend=backend)
                case "method":
                    net.compile(backend=backend)
                case "part":
                    net.blocks[0] = torch.compile(net.blocks[0], backend=backend)
                case "function":
                    run = torch.compile(lambda x: net(x) * 2, backend=backend)
                case "broken":
                    net.blocks[1] = Broken()
                    run = torch.compile(net, backend=backend)
        if when == "before":
            compiled()
            run(torch.ones(1, 3))
        with record(net):
            if when == "inside":
                compiled()
            loss = run(torch.ones(1, 3)).sum()
        run(torch.ones(1, 3))
        counters = torch._dynamo.utils.counters
        return loss, [dict(counters[kind]) for kind in ("frames", "stats", "graph_break")]

    class Broken(nn.Module):
        def forward(self, x):
            x = torch.sin(x)
            torch._dynamo.graph_break()
            return torch.cos(x)

    plain, recorded = frames(contextlib.nullcontext), frames(modules)
    assert recorded[1] == plain[1]
    if (backend, how) == ("aot_eager", "part"):
        name, owner = paths(show_graph(recorded[0]))[0]
        assert name == "CompiledFunctionBackward" and owner.startswith("blocks.0")


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_not_recorded(reentrant):
    class Checkpointed(Net):
        def forward(self, x):
            return self.head(checkpoint(self.blocks, x, use_reentrant=reentrant))

    net, x = Checkpointed(), torch.ones(1, 3, requires_grad=True)
    with modules(net):
        first = net(x).sum()
        before = owners(show_graph(first))
        first.backward(retain_graph=True)
        assert owners(show_graph(first)) == before
        second = net(x).sum()
        assert owners(show_graph(second)) == before
        second.backward()
    assert before[-2:] == ["head", "outside"] and (len(before) == 3) == reentrant


def test_branches_in_threads_are_not_told_apart():
    class Threads(nn.Module):
        def __init__(self):
            super().__init__()
            self.branches = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

        def forward(self, x):
            with ThreadPoolExecutor(3) as pool:
                return sum(pool.map(lambda branch: branch(x).tanh(), self.branches))

    with modules(net := Threads()):
        loss = net(torch.ones(1, 2)).sum()
    assert show_graph(loss).snapshot.modules.doubt
    assert "its modules are not known" in show_graph(loss).caption


def test_a_thread_with_a_recording_of_its_own():
    nets = [Net() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda net: recorded_view(net, torch.ones(1, 3)), nets))
    assert all(owners(view)[:2] == ["blocks.0.first", "blocks.0"] for view in views)
    assert nn.Module._compiled_call_impl is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(error):
    class Fails(Net):
        def forward(self, x):
            super().forward(x)
            raise error

    with pytest.raises(error), modules(net := Fails()):
        net(torch.ones(1, 3))
    assert nn.Module._compiled_call_impl is None and RECORDER._here.log is None and not RECORDER._recorders
    assert owners(recorded_view(Net(), torch.ones(1, 3)))[-2:] == ["head", "outside"]


def test_a_graph_that_is_shown_while_its_modules_run():
    shown = []
    net = Net()
    net.blocks.register_forward_hook(lambda module, given, result: shown.append(show_graph(result)))
    with modules(net):
        net(torch.ones(1, 3))
    calls = shown[0].snapshot.modules.calls
    assert [(call.path, call.kind) for call in calls][:3] == [("", "Net"), ("blocks", "Sequential"), ("blocks.0", "Block")]
    assert all(call.finished for call in calls)


def test_a_forward_that_raised_and_was_caught():
    class Raises(nn.Linear):
        def forward(self, x):
            self.kept = super().forward(x)
            raise ValueError

    class Catches(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Raises(2, 2)

        def forward(self, x):
            with contextlib.suppress(ValueError):
                self.inner(x)
            return self.inner.kept * 2

    view = recorded_view(Catches(), torch.ones(1, 2))
    assert [call.finished for call in view.snapshot.modules.calls] == [True, False]


def test_two_recordings_and_a_module_of_both():
    first, second = nn.Linear(2, 2), nn.Tanh()
    with modules(first=first), modules(second=second):
        loss = nn.Sequential(first, second)(torch.ones(1, 2)).sum()
    view = show_graph(loss)
    assert owners(view) == ["first", "second", "outside"]
    assert {name for tensor in view.snapshot.leaves for name in tensor.names} == {"first.weight", "first.bias"}


def test_one_net_recorded_twice():
    net = Net()
    with modules(net), modules(net):
        inside = net(torch.ones(1, 3)).sum()
    assert owners(show_graph(inside)) == owners(recorded_view(net, torch.ones(1, 3)))


@dataclass
class Answer:
    logits: torch.Tensor
    loss: object = None


@pytest.mark.parametrize("answer", [Answer, lambda h: {"h": [h]}, lambda h: (None, h), namedtuple("Named", "logits")])
def test_what_a_module_returns(answer):
    class Returns(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x):
            self.result = self.weight * x
            return answer(self.result)

    net = Returns()
    with modules(net):
        net(torch.ones(2))
    assert owners(show_graph(net.result)) == ["Returns"]


@pytest.mark.parametrize("returned", [None, 3, "text", [], object()])
def test_a_module_that_returns_no_tensor(returned):
    class Returns(nn.Module):
        def forward(self, x):
            return returned

    with modules(net := Returns()):
        assert net(torch.ones(2)) is returned


def test_a_net_that_returns_what_it_was_given():
    x = torch.ones(2, requires_grad=True) * 2
    assert owners(recorded_view(nn.Identity(), x)) == ["outside", "outside"]


def test_a_view_that_is_changed_after_the_recording():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))

        def forward(self, x):
            return (self.weight * x)[0]

    net = Part()
    with modules(net):
        result = net(torch.ones(2, 2))
    result.mul_(2)
    assert owners(show_graph(result)) == ["Part", "outside", "outside"]


def test_modes_and_subclasses_see_nothing_of_a_recording():
    seen = []

    class Sees(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    class SeesOperations(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    def saw(record):
        seen.clear()
        with record(net), Sees(), SeesOperations():
            net(torch.ones(1, 3))
        return list(seen)

    net = Net()
    assert saw(modules) == saw(contextlib.nullcontext)


def test_the_fast_path_of_a_transformer_is_taken():
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()

    def calls(record):
        seen = []

        class Sees(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                seen.append(str(function))
                return function(*args, **(kwargs or {}))

        with record(net), torch.inference_mode(), Sees():
            net(torch.ones(1, 2, 8))
        return seen

    assert calls(modules) == calls(contextlib.nullcontext)
    assert any("_transformer_encoder_layer_fwd" in name for name in calls(modules))


@pytest.mark.filterwarnings("ignore")
def test_nets_that_are_copied_traced_and_called_by_functions():
    net, x = Net(), torch.ones(1, 3)
    with modules(net):
        copy = pickle.loads(pickle.dumps(deepcopy(net)))
        assert torch.equal(copy(x), net(x)) and copy.__dict__.keys() == net.__dict__.keys()
        traced = torch.fx.symbolic_trace(net)
        assert torch.equal(traced(x), net(x))
        called = torch.func.functional_call(net, {name: tensor * 2 for name, tensor in net.named_parameters()}, x)
        each = torch.func.vmap(net)(torch.ones(5, 3))
        slope = torch.func.grad(lambda x: net(x).sum())(x)
        _, tangent = torch.func.jvp(net, (x,), (x,))
        scripted = torch.jit.trace(net, x)
        assert torch.equal(scripted(x), net(x))
    expected = [owner for _, owner in paths(recorded_view(net, x))]
    assert owners(show_graph(called.sum()))[-len(expected):] == expected
    assert slope.shape == x.shape and tangent.shape == (1, 2)
    assert show_graph(each.sum()).snapshot.modules is None      # what vmap gives to the net shows no node


def test_a_lazy_module_has_its_later_class_and_its_parameters():
    net = nn.Sequential(nn.LazyLinear(3), nn.Tanh())
    view = recorded_view(net, torch.ones(1, 2))
    assert [call.kind for call in view.snapshot.modules.calls] == ["Sequential", "Linear", "Tanh"]
    with modules(net := nn.Sequential(nn.LazyLinear(3))):
        loss = net(torch.ones(1, 2)).sum()
    assert sorted(name for tensor in show_graph(loss).snapshot.leaves for name in tensor.names) == ["0.bias", "0.weight"]


def test_a_new_module_at_the_address_of_one_that_is_gone():
    net = nn.ModuleDict({"old": nn.Tanh()})
    with modules(net):
        del net["old"]
        others = [nn.Sigmoid() for _ in range(100)]
        weight = torch.ones(1, requires_grad=True)
        views = [show_graph(other(weight)) for other in others]
    assert {call.path for view in views for call in view.snapshot.modules.calls} == {""}


def test_shared_modules_and_weights_have_all_their_names():
    net = nn.ModuleDict({"a": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    net["b"], net["c"].weight = net["a"], net["a"].weight
    with modules(net):
        loss = net["c"](net["b"](torch.ones(1, 2))).sum()
    view = show_graph(loss, detail="modules", depth=0)
    assert [call.path for call in view.snapshot.modules.calls] == ["a = b", "c"]
    assert {"a.weight", "b.weight", "c.weight"} in [set(tensor.names) for tensor in view.snapshot.leaves]


@pytest.mark.parametrize("name", ["a b", 'a"b', "<b>&amp;", "a\\nb", "a\nb", "größe", "a = b", "\ud800", "x" * 300, "[1]", "t1"])
def test_a_module_with_an_odd_name(name):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module(name, nn.Sequential(nn.Linear(2, 2), nn.Tanh()))

        def forward(self, x):
            return getattr(self, name)(x) * 2

    for depth in (1, 2, 3):
        with modules(net := Odd()):
            loss = net(torch.ones(1, 2))
        view = show_graph(loss, detail="modules", depth=depth)
        picture = read_svg(view.svg)
        assert picture.boxes and len(repr(view).splitlines()) == 1 + len(picture.boxes) + len(view.diagram.frames)
        assert max(len(row.text) for rows in picture.boxes.values() for row in rows) < 100


# Large graphs


class Wide(nn.Module):
    """Layers of its own kinds, operations, and a cell that is called again and again."""

    def __init__(self, what):
        super().__init__()
        self.what = what
        kinds = [nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.ELU(), nn.GELU()]
        draw = random.Random(0)
        self.layers = nn.Sequential(*(deepcopy(draw.choice(kinds)) for _ in range(500)))
        self.cell = nn.RNNCell(4, 4)

    def forward(self, x):
        match self.what:
            case "layers":
                return self.layers(x)
            case "operations":
                for i in range(2000):
                    x = [torch.sin, torch.tanh, lambda x: x * 2, lambda x: x + self.cell.bias_hh.sum()][i * i * 7 % 11 % 4](x)
                return x
            case "steps":
                for _ in range(300):
                    x = self.cell(x, x)
                return x
            case "outputs":
                return [torch.sin(self.cell(x, x)) for _ in range(60)]


@pytest.mark.parametrize("what", ["layers", "operations", "steps", "outputs"])
def test_a_large_graph_is_shown(what):
    with modules(net := Wide(what)):
        result = net(torch.ones(2, 4))
    results = result if isinstance(result, list) else [result.sum()]
    start = time.perf_counter()
    view = show_graph(*results)
    assert not view.is_too_large and view.svg and 1 < len(view.diagram.boxes) <= 150
    assert time.perf_counter() - start < 30


def test_a_net_inside_data_parallel():
    net = nn.DataParallel(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    assert owners(recorded_view(net, torch.ones(2, 3))) == ["module.0", "module.1", "outside"]


def test_a_generator_that_calls_a_net_again_and_again():
    def steps():
        h = torch.ones(1, 3)
        while True:
            h = net(h)
            yield h

    net, head = nn.Linear(3, 3), nn.Linear(3, 1)
    with modules(net=net, head=head):
        more = steps()
        next(more)
        loss = head(next(more)).sum()
    view = show_graph(loss)
    assert owners(view) == ["net", "net", "head", "outside"]
    assert [call.number for call in view.snapshot.modules.calls] == [1, 2, 1]


def test_what_a_backward_inside_makes_stands_outside_of_the_modules():
    x, net = torch.ones(2, 3, requires_grad=True), nn.Linear(3, 3)
    with modules(net):
        gradient, = torch.autograd.grad(net(x).pow(2).sum(), x, create_graph=True)
        loss = gradient.pow(2).sum()
    view = show_graph(loss)
    assert not view.snapshot.modules.doubt
    assert [node.name for node in view.snapshot.nodes if node.call is not None] == ["TBackward0", "AddmmBackward0"]


def test_a_net_that_is_frozen_has_no_graph():
    net = nn.Linear(3, 3).requires_grad_(False)
    with modules(net):
        result = net(torch.ones(1, 3))
    assert show_graph(result=result, detail="modules").caption.startswith("no graph")


def test_the_page_of_an_encoder_of_12_layers_is_small():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    view = recorded_view(nn.TransformerEncoder(layer, 12), torch.randn(2, 5, 32))
    assert view.detail == "modules" and len(view.snapshot.nodes) > 900
    assert len(view._repr_mimebundle_()["text/html"].encode()) < 100_000


def test_layers_of_other_shapes_are_not_alike():
    net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(6)), nn.Linear(8, 1))
    with modules(net):
        loss = net(torch.ones(1, 8)).sum()
    names = [box.name for box in show_graph(loss, detail="modules").diagram.boxes]
    assert names[:3] == ["0 Linear", "1 … 5: 5 × Linear, alike", "6 Linear"]


def test_a_long_list_of_operations_is_cut_into_stretches():
    class Long(nn.Module):
        def forward(self, x):
            for _ in range(200):
                x = x.sin()
            return x

    with modules(net := Long()):
        loss = net(torch.ones(1, requires_grad=True)).sum()
    boxes = show_graph(loss, detail="modules").diagram.boxes
    assert len(boxes) <= 50 and sum("operations" in box.name for box in boxes) >= 10


def test_what_is_computed_again_inside_a_forward_is_no_second_call():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            y = checkpoint(self.layer, x, use_reentrant=False)
            torch.autograd.grad(y.sin().sum(), self.layer.weight, retain_graph=True)
            return y

    with modules(net := Inner()):
        loss = net(torch.ones(2, 3, requires_grad=True)).sum()
    assert [call.calls for call in show_graph(loss).snapshot.modules.calls] == [1, 1]
