"""The frames of a play: a recorded backward pass, cut into what a reader sees and is told at each press of Step.

Plain data, made from a recording and drawn at one level of detail. Nothing here knows PyTorch, DOT or HTML.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby

from .diagram import GROUP, Arrow, Box, ChangingDiagram, Diagram, Level, bytes_in_words, headline, printable, short_names
from .folding import modules_data
from .looks import SLOTS
from .nesting import EVERYTHING
from .recording import Recording, Step
from .snapshot import Bytes, Edge, GraphSnapshot, Node
from .statements import Source

MOST_INSIDE = 1_000             # steps of a play in which modules open: of a longer one, a page shows the folded modules only
STOPS = "stops here"            # what is said of the node that failed
FIGURE_SPACE = "\u2007"         # as wide as a digit; a no-break space has only half the width of a letter


@dataclass(frozen=True)
class Row:
    """What a name of the code stands for.

    value: its numbers where they are few, else its shape and norm.
    requires_grad: as PyTorch tells it.
    grad: its `.grad` in words.
    version: None where no version is counted.
    """

    value: str
    requires_grad: bool
    grad: str
    version: int | None


@dataclass(frozen=True)
class Frame:
    """One step of a play. In the coarser levels, the nodes of one box that run one after the other are one step.

    box: the key of the box that runs; "" where a line of code ran.
    arrows: (source, target) of the arrows along which its gradients arrive.
    numbers: for such an arrow, the gradient that came along it, where that is few numbers; for several side by side, their sum.
    says: what happens, in a sentence.
    boxes: those that it may have changed, as they are afterwards.
    held_bytes: what the saved tensors hold afterwards.
    finished: False where backward stopped with an error, or the code did.
    run: the number of the backward pass that it belongs to.
    line: where the code is: the index of a source, and a number of a line in it; None where no code is shown.
    lit: the keys of the boxes that a line of code made or changed.
    comes, goes: the keys of the boxes that are there from now on, and of those that are gone from now on.
    names: for each name of the code that has changed, what it stands for now; None where it is gone.
    nodes: the nodes that it changed, by their indices, as they are afterwards.
    """

    box: str
    arrows: tuple[tuple[str, str], ...]
    numbers: dict[tuple[str, str], str]
    says: str
    boxes: tuple[Box, ...]
    held_bytes: Bytes
    finished: bool
    run: int = 0
    line: tuple[int, int] | None = None
    lit: tuple[str, ...] = ()
    comes: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()
    names: Mapping[str, Row | None] = field(default_factory=dict)
    nodes: Mapping[int, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Inside:
    """A play in which modules open and fold.

    play: the same with all modules open.
    modules: what a page needs to draw the graph, as `modules_data` gives it.
    """

    play: "Play"
    modules: Mapping[str, object]


@dataclass(frozen=True)
class Play:
    """A recording as a reader sees it.

    title: which backward this was, or which code.
    first: the graph before it. Of code, all boxes that there will be.
    first_bytes: what the saved tensors held before it, as far as it is known.
    frames: its steps.
    last: the graph as it left it, with a mark on the node that failed.
    ending: the last sentence.
    sources: the code that ran.
    absent: the keys of the boxes that are not there before it.
    inside: at the level "modules", unless that is too long for a page: the same, with all that the modules hide.
    """

    title: str
    first: Diagram
    first_bytes: int
    frames: tuple[Frame, ...]
    last: Diagram
    ending: str
    sources: tuple[Source, ...] = ()
    absent: frozenset[str] = frozenset()
    inside: Inside | None = None


def make_play(recording: Recording, detail: Level, depth: int | None = None) -> Play:
    """Return the :class:`Play` of a recording. depth: as for `ChangingDiagram`."""
    changing = ChangingDiagram(recording.before, detail, depth=depth)
    play = _play(recording, changing)
    if changing.folding is None or len(recording.steps) > MOST_INSIDE:
        return play
    everything = ChangingDiagram(recording.before, detail, depth=EVERYTHING, folding=changing.folding)
    modules = modules_data(recording.before, everything, changing.folding.opened)
    return replace(play, inside=Inside(_play(recording, everything), modules))


def _play(recording: Recording, changing: ChangingDiagram) -> Play:
    first = changing.first
    frames = tuple(frames_of(recording, changing))
    left = headline(recording.after)
    boxes = {box.key: box for box in first.boxes}
    ending = _ending(recording, left, boxes, first.home)
    afterwards = boxes | {box.key: box for frame in frames for box in frame.boxes}
    if recording.steps and not recording.steps[-1].finished:
        key = first.home[recording.steps[-1].node]
        afterwards[key] = replace(afterwards[key], guilty=True, blames=(STOPS,))
    last = replace(first, headline=left, boxes=tuple(afterwards.values()))
    title = f"{title_of(recording)}: {len(frames)} step{'s' * (len(frames) != 1)}"
    return Play(title, first, recording.before.saved_bytes, frames, last, ending)


def frames_of(recording: Recording, changing: ChangingDiagram) -> Iterator[Frame]:
    """The steps of a backward pass in a diagram, which is changed by them."""
    diagram = changing.first
    home = diagram.home
    boxes = {box.key: box for box in diagram.boxes}
    leaving: dict[str, list[Arrow]] = {}
    for arrow in diagram.arrows:
        if not arrow.cut:
            leaving.setdefault(arrow.source, []).append(arrow)
    no_nodes = boxes.keys() - set(home)
    given = {f"t{i}" for i in recording.call.losses if isinstance(i, int)}
    ran: set[str] = set()
    sent: dict[tuple[str, str], dict[int, list[str]]] = {}      # along each arrow, by each node, when it ran last
    updates, short = recording.updates(), short_names(recording.before)
    for key, together in groupby(recording.steps, key=lambda step: home[step.node]):
        steps = list(together)
        changed_nodes, changed_tensors = {}, {}
        for nodes, tensors in itertools.islice(updates, len(steps)):
            changed_nodes.update(nodes)
            changed_tensors.update(tensors)
        changed = changing.update(changed_nodes, changed_tensors)
        arrows = tuple(_arrows(leaving, no_nodes, key, ran, given))
        drawn = len(steps) if changing.folding is None else sum(step.node in changing.folding.leaves for step in steps)
        says = _says(boxes[key], steps, drawn, recording.before, short, recording.call.keeps_graph)
        ran.add(key)
        numbers = dict(_numbers(arrows, sent))
        for step in steps:
            for way, words in _sent_along(step, recording.before, home).items():
                sent.setdefault(way, {})[step.node] = words
        yield Frame(key, arrows, numbers, says, changed, steps[-1].held_bytes, steps[-1].finished, nodes=changed_nodes)


def _arrows(leaving: dict[str, list[Arrow]], no_nodes: Set[str], key: str, ran: set[str],
            given: set[str]) -> Iterable[tuple[str, str]]:
    """The arrows along which gradients come to a box: from boxes that ran, straight or through a named result.

    leaving: the arrows that leave each box. no_nodes: the keys of the boxes in which no node is drawn.
    """
    found: dict[tuple[str, str], None] = {}
    for arrow in leaving.get(key, ()):
        through = leaving.get(arrow.target, ()) if arrow.target in no_nodes else ()
        onward = [(other.source, other.target) for other in through if other.target in ran]
        if arrow.target in ran or arrow.target in given or onward:
            found[arrow.source, arrow.target] = None
        found.update(dict.fromkeys(onward))
    return found


def _sent_along(step: Step, snapshot: GraphSnapshot, home: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """What a node sent along each arrow that leads to its box, "" where it is not few numbers."""
    along: dict[tuple[str, str], list[str]] = {}
    for edge, sent in zip(snapshot.nodes[step.node].inputs, step.sent):
        if edge is not None:
            along.setdefault((home[edge.node], home[step.node]), []).append(sent.number if sent else "")
    return along


def _numbers(arrows: Iterable[tuple[str, str]],
             sent: dict[tuple[str, str], dict[int, list[str]]]) -> Iterator[tuple[tuple[str, str], str]]:
    for arrow in arrows:
        words = list(itertools.chain.from_iterable(sent.get(arrow, {}).values()))
        if words and all(words):
            yield arrow, " + ".join(words)


def title_of(recording: Recording) -> str:
    """Which backward this was."""
    call, before = recording.call, recording.before
    short = short_names(before)

    def words(place: int | Edge | None) -> str:
        if isinstance(place, Edge):
            return f"[{place.node + 1}] {before.nodes[place.node].name}"
        names = () if place is None else before.tensors[place].names
        return short[names[0]] if names else "a tensor without a name"

    options = [f", {name}={value}" for name, value in call.flags]
    if call.inputs is not None:
        options.append(f", inputs=[{', '.join(map(words, call.inputs))}]")
    return f"backward from {' and '.join(map(words, call.losses))}{''.join(options)}"


def _says(box: Box, steps: list[Step], drawn: int, snapshot: GraphSnapshot, short: dict[str, str], keeps_graph: bool) -> str:
    """What happened in one box, as one sentence. drawn: how many of the nodes that ran are not drawn with a leaf."""
    nodes = [snapshot.nodes[step.node] for step in steps]
    received = " and ".join(total or gradient or "nothing" for total, gradient in zip(steps[0].sums, steps[0].gradients))
    if box.kind == GROUP and not box.name.startswith("["):      # it stands for many nodes
        parts = [f"{box.name} receives {received}", f"{len(steps)} of its nodes run"]
    else:
        parts = [f"{box.name} {box.title}".rstrip() + f" receives {received}"]
    if drawn == 1:
        parts += _sent(nodes[0], steps[0], snapshot, short)
    freed = [(node, k) for node, step in zip(nodes, steps) for k in step.freed]
    saved = sum(len(node.saved) for node in nodes)
    if drawn == 1 and len(freed) <= 3:
        words = ", ".join(node.saved[k].name for node, k in freed)
    else:
        words = f"{len(freed)} saved tensor{'s' * (len(freed) != 1)}"
    if freed:
        parts.append(f"frees {words}")
    elif saved and keeps_graph and steps[-1].finished:
        parts.append("keeps what it saved")
    grads: dict[int, list[str | None]] = {}
    for step in steps:
        for k, before, now in step.grads:
            grads.setdefault(k, [before]).append(now)
    if len(grads) == 1:
        (k, fills), = grads.items()
        tensor = snapshot.tensors[k]
        kind = "leaf" if tensor.is_leaf else "result"
        name = short[tensor.names[0]] + ".grad" if tensor.names else f".grad of a {kind} without a name"
        parts.append(f"{name}: {' → '.join(map(str, fills))}")
    elif grads:
        parts.append(f".grad of {len(grads)} tensors filled")
    if not all(step.readable for step in steps):
        parts.append("what it did could not be read")
    if not steps[-1].finished:
        parts.append(STOPS)
    parts.append(f"{bytes_in_words(steps[-1].held_bytes)} still saved")
    return "; ".join(parts)


def _sent(node: Node, step: Step, snapshot: GraphSnapshot, short: dict[str, str]) -> Iterator[str]:
    """What a node sent to each of its inputs, and by which rule, where that is few numbers."""
    names = {slot.name: short[snapshot.tensors[slot.holds].names[0]] for slot in node.saved
             if slot.holds is not None and snapshot.tensors[slot.holds].names}
    for edge, sent in zip(node.inputs, step.sent):
        if edge is not None and sent is not None:
            words = sent.reason.in_words(names, sent.words) if sent.reason else sent.words
            yield f"to {_receiver(edge, snapshot, short)} goes {words}"


def _receiver(edge: Edge, snapshot: GraphSnapshot, short: dict[str, str]) -> str:
    """Who gets what is sent along an edge: a tensor that has a name, or a node."""
    leaf = snapshot.nodes[edge.node].leaf
    for tensor in snapshot.tensors if leaf is None else [snapshot.tensors[leaf]]:
        if tensor.names and (leaf is not None or tensor.producer == edge):
            return short[tensor.names[0]]
    return f"[{edge.node + 1}]"


def _ending(recording: Recording, left: str, boxes: dict[str, Box], home: Sequence[str]) -> str:
    """The last line: how the graph is left, or the error and where it came from. left: the counts of the graph."""
    if recording.error is None:
        return f"finished: {left}"
    message = printable(str(recording.error).partition(". ")[0].partition(" (")[0])
    if not recording.steps:
        where = "before the first node"
    else:
        box = boxes[home[recording.steps[-1].node]]
        where = ("after" if recording.steps[-1].finished else "at") + f" {box.name} {box.title}".rstrip()
    kind = type(recording.error).__name__
    error = f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}{': ' * bool(message)}{message}"
    return f"stopped {where} by {error}; {left}"


def slot_rows(box: Box, count: int) -> list[tuple[str, str]]:
    """The slots of a box as `count` rows of (state, words). Slots beyond that share the last row; missing ones are empty."""
    rows = [(slot.state, f"{SLOTS[slot.state].mark} {slot.text}") for slot in box.slots]
    if len(rows) > count > 0:
        rows[count - 1:] = [(rows[count - 1][0], ", ".join(words for _, words in rows[count - 1:]))]
    return rows + [("", "")] * (count - len(rows))


def rows(box: Box, room: Box) -> list[tuple[str, str]]:
    """The texts of a box as (words, state of a slot), as many as there are in the box that is drawn with room for them.

    A missing line is a space, because Graphviz leaves out what is empty.
    """
    lines = [f"{box.name} {box.title}".strip(), *box.lines]
    return ([(words, "") for words in lines + [FIGURE_SPACE] * (1 + len(room.lines) - len(lines))]
            + [(words, state) for state, words in slot_rows(box, len(room.slots))])


def with_room(play: Play) -> Diagram:
    """The first diagram, with room for all that its boxes show during the play: as many lines, and slots as wide."""
    lines: dict[str, int] = {}
    longest: dict[str, list[int]] = {}
    slots = {box.key: len(box.slots) for box in play.first.boxes}
    for box in itertools.chain(play.first.boxes, *(frame.boxes for frame in play.frames)):
        widths = [len(words) - len("● ") for _, words in slot_rows(box, slots[box.key])]
        longest[box.key] = list(map(max, longest.get(box.key, widths), widths))
        lines[box.key] = max(lines.get(box.key, 0), len(box.lines))
    return replace(play.first, boxes=tuple(
        replace(box, lines=(*box.lines, *[FIGURE_SPACE] * (lines[box.key] - len(box.lines))),
                slots=tuple(replace(slot, text=slot.text.ljust(width, FIGURE_SPACE))
                            for slot, width in zip(box.slots, longest[box.key])))
        for box in play.first.boxes))


def changes(play: Play) -> Iterator[list[tuple[str, int, str, str]]]:
    """For each frame, what it changes in the picture: (key of a box, number of a text in it, the text, state of a slot).

    The texts of a box count from 0, its name. The state is "" where the text is no slot, and where a slot is gone.
    """
    room = {box.key: box for box in with_room(play).boxes}
    now = {box.key: box for box in play.first.boxes}
    for frame in play.frames:
        changed = []
        for box in frame.boxes:
            before, now[box.key] = now[box.key], box
            texts = zip(rows(before, room[box.key]), rows(box, room[box.key]))
            changed += [(box.key, number, *row) for number, (was, row) in enumerate(texts) if row != was]
        yield changed
