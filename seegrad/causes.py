"""Which line caused an error of autograd, in a sentence: one entry for each kind of error, in one table.

What is not known is not said: an empty sentence is a fine answer.
"""

import ast
import re
from collections.abc import Callable

from .diagram import short_name, short_names
from .history import History
from .snapshot import CHANGED, FREED, Node
from .statements import loops, names_anywhere, names_read, names_written, statement_at
from .tracing import Failure, Place, Value


def cause_of(failure: Failure, history: History) -> str:
    """What caused an error, by which line, and how to mend it; an empty string where that is not known."""
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
        self.values = self.events[-1].moment.names if self.events else history.before.moment.names
        self.words = short_names(history.union)

    def line(self, place: Place | None, otherwise: str = "a line before this code") -> str:
        return otherwise if place is None else line_in_words(place, self.history, self.failure.place)

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
        held = self.history.union.nodes[i].saved[k].holds
        tensor = None if held is None else self.history.union.tensors[held]
        name = self.words[tensor.names[0]] if tensor and tensor.names else node.saved[k].name
        return f"its result {name}" if tensor and tensor.producer and tensor.producer.node == i else name

    def names(self) -> list[tuple[str, Value]]:
        """The names of tensors in the line that failed, and what they stood for."""
        return [(name, self.values[name]) for name in names_of_line(self.failure.place, self.history) if name in self.values]

    def loop(self, place: Place | None) -> tuple[int, int] | None:
        """The first and the last line of the innermost loop around a line."""
        if place is None:
            return None
        code = self.history.sources[place.source]
        spans = [(code.first - 1 + first, code.first - 1 + last) for first, last in loops("\n".join(code.lines)).items()]
        return max((span for span in spans if span[0] <= place.line <= span[1]), default=None)

    def maker(self, name: str) -> str:
        """What a name is the result of, in words; "" where it is a leaf or has no graph."""
        for event in reversed(self.events):
            if name in event.names:
                producer = self.history.union.tensors[event.names[name]].producer
                return self.node(producer.node, self.history.union.nodes[producer.node]) if producer else ""
        return ""

    def cut(self, place: Place | None, before: int | None = None) -> tuple[Place, str] | None:
        """The line that left the graph on the way to what another line reads: (the line, what it read that is tracked)."""
        statement = statement_of(place, self.history)
        for name in [] if statement is None else names_read(statement):
            wrote = [number for number, event in enumerate(self.events[:before])
                     if (other := statement_of(event.moment.place, self.history)) is not None and name in names_written(other)]
            if not wrote or self.is_tracked(name, wrote[-1]):
                continue
            line = self.events[wrote[-1]].moment.place
            other = statement_of(line, self.history)
            tracked = [read for read in names_read(other) if self.is_tracked(read, wrote[-1] - 1)] if other else []
            further = (line, tracked[0]) if tracked else self.cut(line, wrote[-1])
            if further:
                return further
        return None

    def is_tracked(self, name: str, number: int) -> bool:
        """Whether after an event a name stands for a tracked tensor, or for a module with one."""
        names = (self.events[number] if number >= 0 else self.history.before).moment.names
        if name in names:
            return names[name].requires_grad
        return any(tensor.requires_grad for tensor in self.history.union.tensors
                   for other in tensor.names if other.startswith((f"{name}.", f"{name}[")))


def _changed_in_place(scene: _Scene) -> str:
    guilty = scene.guilty(CHANGED)
    if guilty is None:
        return ""
    i, node, slots = guilty
    origin = scene.history.slots.get((i, slots[0]))
    slot, held = node.saved[slots[0]], scene.history.union.nodes[i].saved[slots[0]].holds
    versions = " (version {} → {})".format(*slot.versions) if slot.versions else ""
    changed = scene.line(origin.changed if origin else None, "a line that is not known")
    mend = f"let {changed} make a new tensor, or run backward before it (error clinic, case 2)"
    if held is not None and scene.history.union.tensors[held].is_leaf:      # a parameter, which a step of the optimizer changes
        mend = f"run backward before {changed}, or compute the loss again after it (error clinic, case 3)"
    return (f"{scene.node(i, node)} saved {scene.slot(i, node, slots[0])}; {changed} changed it in place{versions}. "
            f"Mend: {mend}")


def _freed(scene: _Scene) -> str:
    guilty = scene.guilty(FREED)
    if guilty is None:
        return ""
    i, node, slots = guilty
    origin, made, failed = scene.history.slots.get((i, slots[0])), scene.history.nodes[i].made, scene.failure.place
    place = origin.freed if origin else None
    freed = scene.line(place, "a backward before this code")
    if place is None or failed is None or place.line != failed.line:
        return (f"{freed} ran backward through {scene.node(i, node)} and freed what it had saved. Mend: one backward from the "
                f"sum, or retain_graph=True in {freed}; or compute the result again, for a new graph (error clinic, case 1)")
    says = f"{freed} has run backward through {scene.node(i, node)} before, and freed what it had saved. Mend: "
    loop = scene.loop(failed)
    if made and loop and made.source == failed.source and loop[0] <= made.line <= loop[1]:
        return says + ("detach what one iteration hands to the next, so that each has a graph of its own (error clinic, case 1)")
    again = f"let {scene.line(made)} run again before it" if made else "compute the result again before it"
    return says + f"{again}, which makes a new graph (error clinic, case 1)"


def _no_graph(scene: _Scene) -> str:
    place = scene.failure.place
    cut = scene.cut(place)
    if cut:
        return (f"{scene.line(cut[0])} left the graph: it read {cut[1]}, which is tracked, and its result is not. Mend: keep "
                "tensors, without detach(), .data, item(), a comparison or no_grad() on the way (error clinic, case 4)")
    untracked = [name for name, value in scene.names() if not value.requires_grad]
    if untracked:
        return (f"{untracked[0]} has no graph: nothing that it was computed from is tracked. Mend: requires_grad=True where the "
                "leaf is made (error clinic, case 4)")
    return ""


def _no_scalar(scene: _Scene) -> str:
    return ("backward needs one number to start from, and got more. Mend: take the sum() or the mean() first, or give gradient= "
            "(error clinic, case 5)")


def _not_used(scene: _Scene) -> str:
    tracked = [name for name, value in scene.names() if value.requires_grad]
    words = f"of {' and '.join(tracked[:3])}, one" if len(tracked) > 1 else "what was given"
    return (f"{words} does not lead to the other: no way goes through the graph. Mend: look where the name was given a new "
            "tensor, or give allow_unused=True (error clinic, case 6)")


def _leaf_in_place(scene: _Scene) -> str:
    leaves = [name for name, value in scene.names() if value.requires_grad and not scene.maker(name)]
    name = leaves[0] if leaves else "the tensor"
    return (f"{name} is a leaf, and {scene.line(scene.failure.place)} changes it in place where it is tracked. Mend: do it under "
            "torch.no_grad() (error clinic, case 7)")


def _no_leaf(scene: _Scene) -> str:
    for name, value in scene.names():
        maker = scene.maker(name)
        if value.requires_grad and maker:
            return (f"{name} is no leaf: it is the result of {maker}. Mend: compute it untracked, and track it last, by "
                    "requires_grad_() (error clinic, cases 8 to 10)")
    return ""


def _no_grad_yet(scene: _Scene) -> str:
    for name, value in scene.names():
        if value.grad is None:
            maker = scene.maker(name)
            if value.requires_grad and maker:
                return (f"{name}.grad is None: {name} is the result of {maker}, and backward fills leaves. Mend: retain_grad(), "
                        "or make it a leaf (error clinic, case 8)")
            why = "no backward has reached it" if value.requires_grad else "it is not tracked"
            return f"{name}.grad is None: {why}"
    return ""


def _numpy(scene: _Scene) -> str:
    tracked = [name for name, value in scene.names() if value.requires_grad]
    name = tracked[0] if tracked else "the tensor"
    return f"{name} is tracked, and an array has no graph. Mend: {name}.detach().numpy() (error clinic, case 12)"


def _view_in_place(scene: _Scene) -> str:
    for name, _ in scene.names():
        maker = scene.maker(name)
        if maker:
            return (f"{name} is a view: the result of {maker}. {scene.line(scene.failure.place)} changes it in place, and "
                    "PyTorch refuses that for such a view. Mend: change a clone() of it")
    return ""


def _wrong_result(scene: _Scene) -> str:
    backward = next((event.backward for event in reversed(scene.events) if event.backward), None)
    if backward is None or not backward.steps:
        return ""
    i = backward.steps[-1].node
    return f"it is the backward of {scene.node(i, backward.before.nodes[i])} that returned it"


_CAUSES: tuple[tuple[str, Callable[[_Scene], str]], ...] = (
    (r"is a view and (is being|its base or another view of its base has been) modified in-?place", _view_in_place),
    (r"modified (by an )?in-?place", _changed_in_place),
    (r"backward through the graph a second time", _freed),
    (r"does not require grad and does not have a grad_fn", _no_graph),
    (r"grad can be implicitly created only for scalar", _no_scalar),
    (r"appears to not have been used in the graph", _not_used),
    (r"leaf Variable that requires grad is being used in an in-place", _leaf_in_place),
    (r"can't optimize a non-leaf|only change requires_grad flags of leaf|support the deepcopy protocol", _no_leaf),
    (r"NoneType", _no_grad_yet),
    (r"Can't call numpy\(\) on Tensor that requires grad", _numpy),
    (r"returned (an incorrect number of gradients|an invalid gradient|nan values)", _wrong_result),
)
