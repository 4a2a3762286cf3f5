"""Which line caused an error of autograd, in a sentence: one entry for each kind of error, in one table.

What is not known is not said: an empty sentence is a fine answer.
"""

import ast
import re
from collections.abc import Callable

from . import cases
from .diagram import short_name, short_names
from .history import History
from .snapshot import CHANGED, FREED, Edge, Node, Size
from .statements import (
    method_of_class,
    names_anywhere,
    names_read,
    names_written,
    paths_anywhere,
    start_of_backward,
    statement_at,
)
from .tracing import Failure, Place, Value


def cause_of(failure: Failure, history: History) -> str:
    """What caused an error, by which line, and how to fix it; an empty string where that is not known."""
    for pattern, tell in _CAUSES:
        if re.search(pattern, failure.message):
            return tell(_Scene(failure, history))
    return ""


def line_in_words(place: Place, history: History, here: Place | None = None) -> str:
    """A line as a reader finds it. here: the line from which it is spoken of."""
    code = history.sources[place.source]
    own = here is not None and here.source == place.source or here is None and place.source == 0
    line = f"the loop at line {place.line}" if place.is_loop else f"line {place.line}"
    return line if own or code.title == "this cell" else f"{line} of {code.title}"


def statement_of(place: Place | None, history: History) -> ast.stmt | None:
    """The innermost statement that stands on a line."""
    if place is None:
        return None
    code = history.sources[place.source]
    return statement_at("\n".join(code.lines), place.line - code.first + 1)


def names_of_line(place: Place | None, history: History) -> list[str]:
    """The names that stand in the statement of a line."""
    statement = statement_of(place, history)
    return [] if statement is None else names_anywhere(statement)


class _Scene:
    """What was so when an error came.

    events: all events up to it.
    values: what each name stood for.
    """

    def __init__(self, failure: Failure, history: History) -> None:
        self.failure, self.history = failure, history
        self.events = history.events
        # Not the last event: the names of a function are gone by then, through which the error came.
        here = [event for event in self.events if event.moment.place == failure.place]
        self.values = (here or self.events or [history.before])[-1].moment.names
        self.words = short_names(history.union)

    def line(self, place: Place | None, otherwise: str = "a line before this code") -> str:
        return otherwise if place is None else line_in_words(place, self.history, self.failure.place)

    def line_at(self, number: int) -> str:
        """The line of an event; of a line in a function, with the one that called it."""
        place = self.events[number].moment.place
        if place.function and self.failure.place and place.function != self.failure.place.function:
            for event in reversed(self.events[:number]):
                caller = event.moment.place
                if event.moment.calls == place.function != caller.function:     # two functions of one name cannot be told apart
                    return f"{self.line(place)} (called by {self.line(caller)})"
        return self.line(place)

    def node(self, i: int, node: Node) -> str:
        made = self.history.nodes[i].made
        return f"[{i + 1}] {short_name(node.name)}" + (f" of {self.line(made)}" if made else "")

    def guilty(self, state: str) -> tuple[int, Node, list[int]] | None:
        """The node at which backward stopped, and its slots that are in a state: (its index, itself, their indices)."""
        backward = next((event.backward for event in reversed(self.events) if event.backward), None)
        if backward is None or not backward.steps or backward.steps[-1].finished:
            return None
        i = backward.steps[-1].node
        node = backward.after.nodes[i]
        slots = [k for k, slot in enumerate(node.saved) if slot.state == state]
        return (i, node, slots) if slots else None

    def slot(self, i: int, node: Node, k: int) -> str:
        """What a slot holds, in words. It is told as it was seen first, because a freed one holds nothing."""
        saved = self.history.union.nodes[i].saved[k]
        held = saved.views if saved.holds is None else saved.holds
        tensor = None if held is None else self.history.union.tensors[held]
        name = self.words[tensor.names[0]] if tensor and tensor.names else node.saved[k].name
        if saved.holds is None and tensor and tensor.names:
            return f"a view of {name}"
        return f"its result {name}" if tensor and tensor.producer and tensor.producer.node == i else name

    def roots(self) -> list[int]:
        """The nodes in which the last backward began."""
        backward = next((event.backward for event in reversed(self.events) if event.backward), None)
        edges = [] if backward is None else [backward.before.tensors[place].producer if isinstance(place, int) else place
                                             for place in backward.call.losses]
        return [edge.node for edge in edges if edge is not None]

    def bridge(self, i: int, number: int) -> tuple[str, Place | None] | None:
        """Where the way to an old node leaves the nodes that were made after an event: (a name, or else a node; its line).

        None where no node on the way was made after it.
        """
        after = {j for j, origin in enumerate(self.history.nodes) if origin.since > number}
        pending, seen = [root for root in self.roots() if root in after], set[int]()
        while pending:
            new = pending.pop(0)
            for edge in self.history.union.nodes[new].inputs:
                if edge is None or edge.node in seen:
                    continue
                seen.add(edge.node)
                if edge.node in after:
                    pending.append(edge.node)
                elif self.leads_to(edge.node, i):
                    return self.name_of(edge), self.history.nodes[edge.node].made
        return None

    def name_of(self, edge: Edge) -> str:
        """How the code calls the result of a node, or once did: best by a name that keeps it, on an object or in a list."""
        names = [name for event in reversed(self.events) for name, k in event.names.items()
                 if self.history.union.tensors[k].producer == edge]
        return min(names, key=lambda name: ("." not in name, "[" not in name), default=f"[{edge.node + 1}]")

    def fix(self, name: str, made: Place | None, number: int) -> str:
        """How to part the graph of a loss from an older one, which it reaches through a tensor: that was made before an event."""
        if made is not None and not any(event.moment.place == made for event in self.events[number + 1:]):
            return (f"let {self.line(made)} run again after it, for a new graph; or detach {name}, if nothing is trained through "
                    "it")
        return f"detach {name}, so that the older graph is no part of this one"

    def leads_to(self, start: int, end: int) -> bool:
        pending, seen = [start], set[int]()
        while pending:
            node = pending.pop()
            if node == end:
                return True
            if node not in seen:
                seen.add(node)
                pending += [edge.node for edge in self.history.union.nodes[node].inputs if edge]
        return False

    def names(self) -> list[tuple[str, Value]]:
        """The names of tensors in the line that failed, and what they stood for; those that its objects and lists lead to too."""
        statement = statement_of(self.failure.place, self.history)
        found: dict[str, Value] = {}
        for path in [] if statement is None else paths_anywhere(statement):
            local = f"{path} in {self.failure.place.function}()" if self.failure.place else path
            if local in self.values or path in self.values:
                found.setdefault(path, self.values.get(local) or self.values[path])
            else:
                found |= {inside: value for inside, value in self.values.items()
                          if inside.startswith((f"{path}.", f"{path}[")) and inside not in found}
        return list(found.items())

    def shape(self, name: str) -> Size | None:
        k = next((event.names[name] for event in reversed(self.events) if name in event.names), None)
        return None if k is None else self.history.union.tensors[k].shape

    def other_name(self, value: Value) -> str:
        """How else a tensor is called, best as a parameter of a module."""
        graphs = [event.moment.graph for event in self.events if event.moment.graph is not None]
        names = [name for graph in reversed(graphs) for key, tensor in zip(graph.tensors, graph.snapshot.tensors)
                 if key == value.tensor for name in tensor.names]
        return max(names, key=lambda name: "." in name, default="")

    def returned(self) -> str:
        """The line that returned what the failing line has got from a function, or an empty string."""
        last = self.last_of_failing_line()
        before = self.events[last - 1].moment.place if last > 0 and not self.events[last].moment.begins else None
        return self.line(before) if before and before.function != self.events[last].moment.place.function else ""

    def last_of_failing_line(self) -> int:
        """The number of the last event of the line that failed, -1 where there is none. What comes behind it left functions."""
        return max((number for number, event in enumerate(self.events) if event.moment.place == self.failure.place), default=-1)

    def maker(self, name: str) -> str:
        """What a name is the result of, in words; "" where it is a leaf or has no graph."""
        for event in reversed(self.events):
            if name in event.names:
                producer = self.history.union.tensors[event.names[name]].producer
                return self.node(producer.node, self.history.union.nodes[producer.node]) if producer else ""
        return ""

    def bound(self, name: str) -> Place | None:
        """The line that gave a name its value last."""
        for event in reversed(self.events):
            statement = statement_of(event.moment.place, self.history)
            if statement is not None and name in names_written(statement):
                return event.moment.place
        return None

    def switch(self, number: int) -> str:
        """The line that switched recording off before an event, or an empty string."""
        for event in reversed(self.events[:number + 1]):
            if event.moment.records == (True, False) and not event.moment.calls:
                return self.line(event.moment.place)
        return ""

    def cut(self, number: int, reads: ast.stmt | None, on_any_way: bool = False) -> tuple[int, str] | None:
        """The event that left the graph on the way to what a statement reads after so many events, and what it read.

        on_any_way: whether there may be another way, through the graph.
        """
        for name in [] if reads is None else names_read(reads):
            wrote = [earlier for earlier, event in enumerate(self.events[:number])
                     if (other := statement_of(event.moment.place, self.history)) is not None and name in names_written(other)]
            if not wrote or not on_any_way and self.is_tracked(name, wrote[-1]):
                continue
            found = self.cut_at(wrote[-1], on_any_way)
            if found:
                return found
        return None

    def cut_at(self, number: int, on_any_way: bool) -> tuple[int, str] | None:
        """The same, where the statement of an event is on the way."""
        moment = self.events[number].moment
        inner = number - 1
        # Its value may come from a function that it called: what that returned is nearer to the cause.
        if not moment.begins and inner >= 0 and self.events[inner].moment.place.function != moment.place.function:
            found = self.cut_at(inner, on_any_way)
            if found:
                return found
        statement = statement_of(moment.place, self.history)
        if statement is None:
            return None
        tracked = [read for read in names_read(statement) if self.is_tracked(read, number - 1)]
        left = not any(self.is_tracked(name, number) for name in names_written(statement))
        return (number, tracked[0]) if tracked and left else self.cut(number, statement, on_any_way)

    def is_tracked(self, name: str, number: int) -> bool:
        """Whether after an event a name stands for a tracked tensor, or for an object with one."""
        event = self.events[number] if number >= 0 else self.history.before
        names, local = event.moment.names, f"{name} in {event.moment.place.function}()"
        if local in names or name in names:
            return names.get(local, names.get(name)).requires_grad      # type: ignore[union-attr]    # one of the two is there
        return any(value.requires_grad for other, value in names.items() if other.startswith((f"{name}.", f"{name}["))) or any(
            tensor.requires_grad for tensor in self.history.union.tensors
            for other in tensor.names if other.startswith(f"{name}."))


def _changed_in_place(scene: _Scene) -> str:
    guilty = scene.guilty(CHANGED)
    if guilty is None:
        return ""
    i, node, slots = guilty
    origin = scene.history.slots.get((i, slots[0]))
    slot, first = node.saved[slots[0]], scene.history.union.nodes[i].saved[slots[0]]
    held = first.views if first.holds is None else first.holds
    known = origin is not None and origin.changed is not None
    changed = scene.line_at(origin.event) if origin and known else "a line that is not known"
    short = scene.line(origin.changed) if origin and known else "that line"
    versions = f" (saved at version {slot.versions[0]}, now {slot.versions[1]})" if slot.versions else ""
    says = f"{scene.node(i, node)} saved {scene.slot(i, node, slots[0])}; {changed} changed it in place{versions}. "
    if held is not None and scene.history.union.tensors[held].is_leaf:      # a parameter, which a step of the optimizer changes
        bridge = scene.bridge(i, origin.event) if origin and known else None
        if origin and bridge:
            name, made = bridge
            return says + (f"The way there leads through {name} of {scene.line(made)}, which is older than that change. Fix: "
                           f"{scene.fix(name, made, origin.event)} (error clinic, case 3)")
        return says + f"Fix: run backward before {short}, or compute the loss again after it (error clinic, case 3)"
    return says + f"Fix: let {short} make a new tensor, or run backward before it (error clinic, case 2)"


def _freed(scene: _Scene) -> str:
    guilty = scene.guilty(FREED)
    if guilty is None:
        return ""
    i, node, slots = guilty
    origin, made, failed = scene.history.slots.get((i, slots[0])), scene.history.nodes[i].made, scene.failure.place
    if origin is None or origin.freed is None:
        return (f"a backward before this code ran through {scene.node(i, node)} and freed what it had saved. Fix: compute the "
                "result again, for a new graph (error clinic, case 1)")
    freed = scene.line(origin.freed)
    bridge = scene.bridge(i, origin.event)
    if bridge:
        name, place = bridge
        return (f"{freed} ran backward through {scene.node(i, node)} before, and freed what it had saved. The way there leads "
                f"through {name} of {scene.line(place)}, which is older than that backward. Fix: "
                f"{scene.fix(name, place, origin.event)} (error clinic, case 1)")
    if failed is not None and origin.freed.line == failed.line:
        again = f"let {scene.line(made)} run again before it" if made else "compute the result again before it"
        return (f"{freed} has run backward through {scene.node(i, node)} before, and freed what it had saved. Fix: {again}, "
                "for a new graph (error clinic, case 1)")
    return (f"{freed} ran backward through {scene.node(i, node)} and freed what it had saved. Fix: one backward from the sum, "
            f"or retain_graph=True in {freed}; or compute the result again, for a new graph (error clinic, case 1)")


def _no_graph(scene: _Scene) -> str:
    failing = statement_of(scene.failure.place, scene.history)
    last = scene.last_of_failing_line()
    found = scene.cut(last, failing) if last >= 0 else None
    if found:
        number, read = found
        cut = scene.line_at(number)
        off = "" if scene.events[number].moment.records[1] else scene.switch(number)
        if off:
            return f"{cut} was not recorded: {off} switched recording off. Fix: run it outside of that (error clinic, case 4)"
        return (f"{cut} left the graph: it read {read}, which is tracked, and its result is not. Fix: no detach(), .data, "
                "item(), torch.tensor(…), comparison or argmax on the way (error clinic, case 4)")
    off = "" if last < 0 or scene.events[last].moment.records[1] else scene.switch(last)
    if off:
        return f"{off} switched recording off, so there is no graph here. Fix: torch.enable_grad() (error clinic, case 4)"
    untracked = [name for name, value in scene.names() if not value.requires_grad]
    if untracked:
        return (f"{untracked[0]} has no graph: nothing that it was computed from is tracked. Fix: requires_grad=True where the "
                "leaf is made (error clinic, case 4)")
    return ""


def _no_scalar(scene: _Scene) -> str:
    failing = statement_of(scene.failure.place, scene.history)
    option = "grad_outputs=" if failing is not None and re.search(r"\bgrad\(", ast.unparse(failing)) else "gradient="
    fix = f"Fix: take the sum() or the mean() first, or give {option} (error clinic, case 5)"
    name = "" if failing is None else start_of_backward(failing)
    shape, maker = scene.shape(name), scene.maker(name)
    if shape is not None and maker:
        return f"{name} is more than one number: it is the result of {maker}, of shape {shape}. {fix}"
    returned = "" if name else scene.returned()
    if returned:
        return f"what {returned} returned is more than one number. {fix}"
    return f"backward needs one number to start from, and got more. {fix}"


def _not_used(scene: _Scene) -> str:
    index = re.search(r"at index (\d+)", scene.failure.message)
    end = f"[{index[1]}]" if index else ""
    for name, value in scene.names():
        if end and name.endswith(end) and value.requires_grad:
            other = scene.other_name(value)
            called = f" ({other})" if other and other != name else ""
            return (f"{name}{called} has no way to it: nothing that was computed from it is used. Fix: leave it out, or give "
                    "allow_unused=True and expect None (error clinic, case 6)")
    tracked = [name for name, value in scene.names() if value.requires_grad]
    words = f"of {' and '.join(tracked[:3])}, one" if len(tracked) > 1 else "what was given"
    return (f"{words} does not lead to the other: no way goes through the graph. Fix: look where the name was given a new "
            "tensor (a copy is one), or give allow_unused=True and expect None (error clinic, case 6)")


def _leaf_in_place(scene: _Scene) -> str:
    leaves = [name for name, value in scene.names() if value.requires_grad and not scene.maker(name)]
    name = leaves[0] if leaves else "the tensor, or that of which it is a view,"
    return (f"{name} is a leaf, and {scene.line(scene.failure.place)} changes it in place where it is tracked. Fix: do it under "
            "torch.no_grad() (error clinic, case 7)")


def _no_leaf(scene: _Scene) -> str:
    for name, value in scene.names():
        maker = scene.maker(name)
        if value.requires_grad and maker:
            return (f"{name} is no leaf: it is the result of {maker}. Fix: compute it untracked and track it last, by "
                    "requires_grad_(); or keep its detach() only (error clinic, cases 8 to 10)")
    return ""


def _no_grad_yet(scene: _Scene) -> str:
    for name, value in scene.names():
        if value.grad is None:
            maker = scene.maker(name)
            if value.requires_grad and maker:
                return (f"{name}.grad is None: {name} is the result of {maker}, and backward fills leaves. Fix: retain_grad(), "
                        "or make it a leaf (error clinic, case 8)")
            other = scene.other_name(value)
            called = f"{name}.grad" + (f" ({other})" if other and other != name else "")
            if not value.requires_grad:
                return f"{called} is None: it is not tracked, so backward gives it none. Fix: leave out what has no gradient"
            ran = [number for number, event in enumerate(scene.events) if event.backward]
            found = scene.cut(ran[-1], statement_of(scene.events[ran[-1]].moment.place, scene.history), True) if ran else None
            if not ran:
                return f"{called} is None: no backward has run. Fix: run backward first"
            says = f"{called} is None: the backward of {scene.line_at(ran[-1])} has not reached it"
            if found:
                return f"{says}; {scene.line_at(found[0])} left the graph: it read {found[1]}, and its result is not tracked"
            return f"{says}. Fix: leave out what has no gradient"
    return ""


def _numpy(scene: _Scene) -> str:
    tracked = [name for name, value in scene.names() if value.requires_grad]
    failing = statement_of(scene.failure.place, scene.history)
    if failing is None or ".numpy(" not in ast.unparse(failing):
        what = f"{tracked[0]} is tracked" if tracked else "a tensor here is tracked"
        return (f"{what}, and NumPy is asked to compute with it. Fix: PyTorch's own function, after torch.stack() for a list; "
                "or detach() where no gradient is wanted (error clinic, case 12)")
    if not tracked:
        return "a tensor here is tracked, and an array has no graph. Fix: detach() before numpy() (error clinic, case 12)"
    maker = scene.maker(tracked[0])
    result = f", the result of {maker}," if maker else ""
    return f"{tracked[0]}{result} is tracked, and an array has no graph. Fix: detach() before numpy() (error clinic, case 12)"


def _view_in_place(scene: _Scene) -> str:
    here = scene.line(scene.failure.place)
    if "BackwardHook" in scene.failure.message:
        return (f"a full backward hook hands out a view of what a module returned, and {here} leads to a change of it in place. "
                "Fix: no inplace=True behind such a hook")
    for name, value in scene.names():
        maker, bound = scene.maker(name), scene.bound(name)
        made = f"the result of {maker}" if maker else f"made by {scene.line(bound)}" if bound else ""
        if made and value.requires_grad:
            return (f"{name} is a view: {made}; {here} changes it in place, and PyTorch refuses that for one of several views "
                    "that were made at once. Fix: out of place, or change a clone()")
    return ""


def _wrong_result(scene: _Scene) -> str:
    backward = next((event.backward for event in reversed(scene.events) if event.backward), None)
    if backward is None or not backward.steps:
        return ""
    i = backward.steps[-1].node
    node = backward.before.nodes[i]
    for code in scene.history.sources:
        lines = method_of_class("\n".join(code.lines), node.name.removesuffix("Backward"), "backward")
        if lines:
            first, last = (code.first - 1 + line for line in lines)
            return (f"{scene.node(i, node)} returned it, from its backward in lines {first} to {last}. Fix: let it return one "
                    "gradient for each input of forward, each of that input's shape (09 shows how)")
    return f"{scene.node(i, node)} returned it"


_CAUSES: tuple[tuple[str, Callable[[_Scene], str]], ...] = (
    (cases.CHANGED_VIEW, _view_in_place),
    (cases.IN_PLACE, _changed_in_place),
    (cases.SECOND_TIME, _freed),
    (cases.NO_GRAPH, _no_graph),
    (cases.NO_SCALAR, _no_scalar),
    (cases.NOT_USED, _not_used),
    (cases.LEAF_IN_PLACE, _leaf_in_place),
    ("|".join((cases.NO_OPTIMIZED_LEAF, cases.NO_LEAF_FLAG, cases.NO_LEAF_COPY)), _no_leaf),
    (cases.NONE_TYPE, _no_grad_yet),
    (cases.NUMPY, _numpy),
    (cases.WRONG_RESULT, _wrong_result),
)
