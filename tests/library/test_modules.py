"""Which module made which node, and the graph folded by modules."""

import gc
import weakref

import pytest
import torch
from torch import nn

from seegrad import modules, show_graph


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
    call = nn.Module.__call__
    net = Net()
    loss = loss_of(net)
    show_graph(loss)
    assert nn.Module.__call__ is call
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
