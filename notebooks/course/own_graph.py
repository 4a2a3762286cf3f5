"""The graph of our own autograd of notebook 12, drawn as seegrad draws that of PyTorch."""

import inspect

from seegrad.diagram import Level
from seegrad.snapshot import ALIVE, FREED, Edge, GraphSnapshot, Node, SavedTensor, Tensor
from seegrad.view import GraphView

from .own_autograd import AccumulateGrad, Value, order

DTYPE = "float32"       # of all values


def show_own(detail: Level = "full", **named: Value) -> GraphView:
    """Draw the graph that is reachable from values of ours. detail: as for `seegrad.show_graph`. named: each with its name."""
    return GraphView(_Reader(named).snapshot(), detail, max_boxes=150)


class _Reader:
    """nodes: as the forward pass came to them. values: those that are drawn, which are the named ones and the leaves."""

    def __init__(self, named):
        self.names = {id(value): name for name, value in named.items()}
        self.nodes = []
        roots = {value.grad_fn for value in named.values()} - {None}
        operations = {node for root in roots for node in order(root) if not _is_at_a_leaf(node)}
        for node in sorted(operations, key=lambda node: node.sequence_nr):
            new = [leaf for leaf in node.next_functions if _is_at_a_leaf(leaf) and leaf not in self.nodes]
            self.nodes += [*dict.fromkeys(new), node]
        leaves = [node.variable for node in self.nodes if _is_at_a_leaf(node)]
        self.values = list({id(value): value for value in [*named.values(), *leaves]}.values())
        self.storages = {}      # the address of each memory -> its number and its bytes

    def snapshot(self):
        tensors = tuple(map(self.tensor, self.values))
        nodes = tuple(map(self.node, self.nodes))
        return GraphSnapshot(nodes, tensors, tuple(size for _, size in self.storages.values()))

    def tensor(self, value):
        name, made = self.names.get(id(value)), value.grad_fn
        return Tensor(names=(name,) if name else (), given=bool(name), shape=tuple(value.data.shape), dtype=DTYPE, device="cpu",
                      requires_grad=value.requires_grad, is_leaf=made is None,
                      in_graph=made is not None or value.grad_accumulator in self.nodes,
                      producer=made and Edge(self.nodes.index(made), 0), base=None,
                      keeps_grad=value.requires_grad and made is None,
                      grad_shape=None if value.grad is None else tuple(value.grad.shape),
                      version=value.data._version, storage=self.storage(value.data), counter=0)

    def node(self, node):
        inputs = tuple(following and Edge(self.nodes.index(following), 0) for following in node.next_functions)
        leaf = self.index_of(node.variable.data) if _is_at_a_leaf(node) else None
        return Node(repr(node).strip("<>"), inputs, tuple(self.slots(node)), (tuple(node.shape),), leaf=leaf)

    def slots(self, node):
        """Named after the arguments of the rule, behind the gradient."""
        names = list(inspect.signature(node.rule).parameters)[1:] if node.rule else []
        if node.saved is None:
            return [SavedTensor(name, FREED) for name in names]
        if len(names) != len(node.saved):       # a rule of a reader may take them all as one
            names = [f"saved[{number}]" for number in range(len(node.saved))]
        return list(map(self.slot, names, node.saved))

    def slot(self, name, tensor):
        storage, holds, shape = self.storage(tensor), self.index_of(tensor), tuple(tensor.shape)
        return SavedTensor(name, ALIVE, shape, DTYPE, storages=(storage,), storage=storage,
                           layout=(0, shape, tensor.stride(), DTYPE), holds=holds,
                           tracked=None if holds is None else self.values[holds].requires_grad)

    def index_of(self, tensor):
        return next((i for i, value in enumerate(self.values) if value.data is tensor), None)

    def storage(self, tensor):
        memory = tensor.untyped_storage()
        return self.storages.setdefault(memory.data_ptr(), (len(self.storages), memory.nbytes()))[0]


def _is_at_a_leaf(node):
    return isinstance(node, AccumulateGrad)
