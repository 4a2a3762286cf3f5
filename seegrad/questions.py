"""What can be asked of a tensor: why it is tracked, why it has no gradient, who keeps its memory, what it reaches."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

import torch
from torch import nn

from .cases import case
from .diagram import bytes_in_words, count_in_words, gradient_in_words, short_name
from .explaining import code, listed, reentrant_checkpoints
from .gradients import size_of_gradient
from .modules import in_modules
from .names import objects_in, tensors_in
from .postmortem import variables_around
from .snapshot import FREED, Bytes, LiveGraph, TooDeepError, grad_fn_of, is_leaf, storage_behind, undisturbed
from .view import Explanation, readable

MOST_RESULTS = 20       # of the caller's variables, whose graphs are looked through


def explain_tensor(tensor: torch.Tensor, frame: FrameType, nets: Sequence[nn.Module]) -> Explanation:
    """Return what is known of a tensor. frame: whose variables are looked through. nets: whose parameters it may not reach."""
    with undisturbed():
        return _Asked(tensor, frame, nets).answer()


class _Asked:
    """A tensor, and the variables around it.

    named: what the variables lead to. name: one of the tensor's own. whole: its graph; drawn: the same with names; None where it
    is too deep. cases: the numbers of those of the clinic that are told of it, filled as it answers.
    """

    def __init__(self, tensor: torch.Tensor, frame: FrameType, nets: Sequence[nn.Module]) -> None:
        module, variables = frame.f_globals.get("__name__", ""), variables_around(frame)
        self.tensor, self.named, self.parameters = tensor, dict[str, torch.Tensor](), set[str]()
        for variable, value in sorted(variables.items(), key=lambda item: not isinstance(item[1], torch.Tensor)):
            for name, other, is_parameter in tensors_in(variable, value, module):
                self.named.setdefault(name, other)
                self.parameters |= {name} if is_parameter else set()
        self.own = [name for name, other in self.named.items() if other is tensor]
        self.name = next(iter(self.own), "the tensor")
        found = [one for variable, value in variables.items() for one in objects_in(variable, value, module, nn.Module)]
        inside = {id(part) for _, net in found for part in net.modules() if part is not net}
        self.nets: Mapping[str, nn.Module] = (
            {next((name for name, other in found if other is net), ""): net for net in nets} if nets
            else {name: net for name, net in found if id(net) not in inside})
        self.asked_for_nets = bool(nets)
        self.cases: list[int] = []
        self.read()

    def read(self) -> None:
        """Walk the graph of the tensor, and that which is drawn: with the names of what is in it, or shares its memory."""
        self.whole: LiveGraph | None = None
        self.drawn: LiveGraph | None = None
        try:
            self.whole = LiveGraph([self.tensor], {})
            nodes, tensors = set(self.whole.functions), set(map(id, self.whole.tensors))
            self.drawn = LiveGraph([], {self.name: self.tensor} | {
                name: other for name, other in self.named.items() if other is not self.tensor and (
                    id(other) in tensors or grad_fn_of(other) in nodes or self.shares_memory(other))})
        except TooDeepError:
            return

    @property
    def results(self) -> list[tuple[str, torch.Tensor]]:
        """The first of the variables that are tracked results."""
        found = ((name, other) for name, other in self.named.items() if other.requires_grad and not is_leaf(other))
        return list(itertools.islice(found, MOST_RESULTS))

    def name_of(self, tensor: torch.Tensor) -> str:
        """How the code calls a tensor; "" where no variable leads to it."""
        return next((name for name, other in self.named.items() if other is tensor), "")

    def shares_memory(self, other: torch.Tensor) -> bool:
        mine, its = storage_behind(self.tensor), storage_behind(other)
        return mine is not None and its is not None and mine._cdata == its._cdata

    def answer(self) -> Explanation:
        facts = [*self.why_tracked(), *self.why_no_grad(), *self.who_keeps_it(), *self.what_is_not_reached(),
                 *self.what_is_not_finite()]
        view = None if self.drawn is None else readable(in_modules(self.drawn), self.parameters)
        cases = [case(number) for number in self.cases]
        return Explanation(f"What is known of {self.name}", None, facts, cases=cases, picture=view)

    def why_tracked(self) -> Iterator[str]:
        tensor, name = self.tensor, self.name
        if not tensor.requires_grad:
            yield (f"`{name}` is not tracked (requires_grad is False): nothing that it was computed from was tracked, or it was "
                   "made where nothing is recorded, or cut off by detach(). Which of these is not known afterwards")
            return
        if is_leaf(tensor):
            yield f"`{name}` is tracked because it is a leaf whose requires_grad was set" + (
                ": a parameter has that from birth" if isinstance(tensor, nn.Parameter) else "")
            return
        function = grad_fn_of(tensor)
        made = f"it is the result of {short_name(type(function).__name__)}" if function is not None else "it is a result"
        if self.whole is None:
            yield f"`{name}` is tracked because {made}, and its graph is too deep to be walked"
            return
        behind = [self.name_of(leaf) for leaf in self.leaves]
        leaves = count_in_words(len(behind), "tracked leaf", "tracked leaves")
        named = [leaf for leaf in behind if leaf]
        yield f"`{name}` is tracked because {made}, with {leaves} behind it" + (f": {code(named)}" if named else "")

    @property
    def leaves(self) -> list[torch.Tensor]:
        """The leaves to which the tensor leads."""
        if self.whole is None:
            return []
        places = dict.fromkeys(node.leaf for node in self.whole.snapshot.nodes if node.leaf is not None)
        return [self.whole.tensors[place] for place in places]

    def why_no_grad(self) -> Iterator[str]:
        tensor, name = self.tensor, self.name
        filled = is_leaf(tensor) or tensor.retains_grad
        if filled and tensor.grad is not None:
            return
        if not tensor.requires_grad:
            yield f"`{name}.grad` is None because backward brings gradients to tracked tensors only"
        elif not is_leaf(tensor) and not tensor.retains_grad:
            if self.asked_for_nets and tensor.numel() == 1:
                return      # of a loss, another question is asked
            self.cases += [20, 8]
            yield (f"`{name}.grad` is None because it is a result, and backward fills the .grad of leaves; "
                   f"`{name}.retain_grad()` before backward keeps it here too")
        elif not is_leaf(tensor):
            yield f"`{name}.grad` is None because no backward has run through it since retain_grad()"
        else:
            yield f"`{name}.grad` is None because nothing has filled it since it was made or cleared. {self.ways_here()}"

    def ways_here(self) -> str:
        """The results among the variables that lead to a leaf, and whether backward has run through them."""
        alive: list[str] = []
        freed: list[str] = []
        for name, other in self.results:
            try:
                graph = LiveGraph([other], {})
            except TooDeepError:
                continue
            if any(self.tensor is live for live in graph.tensors):
                states = graph.snapshot.states
                (freed if states[FREED] else alive).append(name)
        if freed:
            return (f"Backward has run in the graph of {code(freed)}, from which a way leads to it: then the .grad was cleared, "
                    "or that backward began elsewhere")
        if alive:
            return (f"In the graph of {code(alive)}, from which a way leads to it, nothing is freed: perhaps no backward "
                    "has run there")
        return "No result among the variables here leads to it"

    def who_keeps_it(self) -> Iterator[str]:
        storage = storage_behind(self.tensor)
        if storage is None:
            return
        sharing = [name for name, other in self.named.items() if other is not self.tensor and self.shares_memory(other)]
        if len(self.own) > 1:
            yield f"{code(self.own)} are names of this one tensor"
        if sharing:
            yield f"its memory is also that of {code(sharing)}"
        holders = list(self.holders(storage._cdata))
        if holders:
            yield f"its memory is saved for backward by {listed(holders)}"
        if self.whole is not None and not is_leaf(self.tensor):
            held = self.whole.snapshot.bytes_of(self.whole.snapshot.saved)
            if held != Bytes(0):
                nodes = count_in_words(len(self.whole.snapshot.nodes), "node")
                yield f"as long as it is there, its graph is: {nodes}, which hold {bytes_in_words(held)}"
                if self.whole.snapshot.states[FREED]:
                    self.cases.insert(0, 18)
                    yield "a part of that graph has been run by an earlier backward: it holds more than what the next one needs"

    def holders(self, storage: int) -> Iterator[str]:
        """The nodes that have saved this memory, in the graphs of the variables."""
        seen: set[object] = set()
        for name, other in self.results:
            if grad_fn_of(other) in seen:
                continue
            try:
                graph = LiveGraph([other], {"": self.tensor})
            except TooDeepError:
                continue
            mine = next(t.storage for t, live in zip(graph.snapshot.tensors, graph.tensors) if live is self.tensor)
            for node, live in zip(graph.snapshot.nodes, graph.functions):
                if live not in seen and any(mine in slot.storages and slot.state != FREED for slot in node.saved):
                    yield f"{short_name(node.name)} in the graph of `{name}`"
            seen |= set(graph.functions)

    def what_is_not_reached(self) -> Iterator[str]:
        if self.whole is None or not self.tensor.requires_grad or is_leaf(self.tensor):
            return
        reached = set(map(id, self.leaves))
        for name, net in self.nets.items():
            parameters = list(net.named_parameters())
            missed = [path for path, parameter in parameters if parameter.requires_grad and id(parameter) not in reached]
            frozen = sum(not parameter.requires_grad for _, parameter in parameters)
            if parameters and frozen == len(parameters):
                self.cases.insert(0, 21)
                yield f"all {frozen} parameters{f' of `{name}`' if name else ''} are frozen: none is tracked"
                continue
            if len(missed) == len(parameters) - frozen and not self.asked_for_nets:
                continue        # a net that has nothing to do with it
            called = f" of `{name}`" if name else ""
            left = f" ({count_in_words(frozen, 'parameter')} are frozen)" if frozen else ""
            if missed:
                checkpoints = reentrant_checkpoints([(name, net)])
                if checkpoints:
                    self.cases.insert(0, 23)
                    yield (f"the forward of {code(checkpoints)} has a checkpoint with use_reentrant=True: where no input of that "
                           "is tracked, no way leads into it")
                count = count_in_words(len(missed), "tracked parameter")
                yield f"no way leads from `{self.name}` to {count}{called}: {code(missed)}{left}"
            elif parameters:
                yield f"ways lead from `{self.name}` to all tracked parameters{called}{left}"

    def what_is_not_finite(self) -> Iterator[str]:
        """The leaves behind the tensor whose gradients are inf or nan."""
        for leaf in self.leaves:
            size = size_of_gradient(leaf.grad)
            if size is not None and size.inf + size.nan:
                self.cases += [number for number in (30, 14) if number not in self.cases]
                yield f"the gradient of `{self.name_of(leaf) or 'a leaf'}` has {gradient_in_words(size)} in it"
