"""Networks that people use, with random weights. They run where tests/benchmarks/requirements.txt is installed."""

import graphlib

import pytest
import torch

from cost_of_real_networks import NETWORKS, result
from random_nets import Account
from seegrad import modules, show_graph
from seegrad.modules import in_modules
from seegrad.snapshot import LiveGraph

MOST_BYTES = 100_000        # of a page with BERT


@pytest.mark.parametrize("name", NETWORKS)
def test_a_real_net_is_folded_by_its_modules(name):
    torch.manual_seed(0)
    try:
        net, inputs = NETWORKS[name]()
    except ImportError as error:
        pytest.skip(f"{name} is not tested here: {error}")
    account = Account(net)
    with account, modules(net):
        loss = result(net, inputs)
    graph = LiveGraph([], {"loss": loss})
    snapshot = in_modules(graph)
    calls = snapshot.modules.calls
    for node, function in zip(snapshot.nodes, graph.functions):
        if node.leaf is None:
            _, stack = account.found[id(function)]
            innermost = None if node.call is None else calls[node.call]
            expected = stack[-1] if stack else None
            assert (innermost and [innermost.path if innermost.in_net else None, innermost.kind]) == expected
    named = dict(net.named_parameters(remove_duplicate=False))
    for k, tensor in enumerate(snapshot.tensors):
        assert all(named[name] is graph.tensors[k] for name in tensor.names if name != "loss")

    view = show_graph(loss=loss)
    assert view.detail == "modules" and 4 <= len(view.diagram.boxes) <= 60 and view.svg
    sources = {box.key: [] for box in view.diagram.boxes}
    for arrow in view.diagram.arrows:
        sources[arrow.target].append(arrow.source)
    graphlib.TopologicalSorter(sources).prepare()
    if name.startswith("BERT"):
        assert len(view._repr_mimebundle_()["text/html"].encode()) < MOST_BYTES
