"""The frames of a play: a recorded backward pass, cut into what a reader sees and is told at each press of Step.

Plain data, made from a recording and drawn at one level of detail. Nothing here knows PyTorch, DOT or HTML.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from .diagram import GROUP, Box, Diagram, Level, headline, make_diagram, printable, short_names
from .looks import SLOTS
from .recording import Recording, Step
from .snapshot import GraphSnapshot

FIGURE_SPACE = "\u2007"         # as wide as a digit; a no-break space has only half the width of a letter


@dataclass(frozen=True)
class Frame:
    """One step of a play. In the coarser levels, the nodes of one box that run one after the other are one step.

    box: the key of the box that runs.
    arrows: (source, target) of the arrows along which its gradients arrive.
    says: what happens, in a sentence.
    diagram: the graph afterwards.
    held_bytes: what the saved tensors hold afterwards.
    finished: False where backward stopped with an error.
    """

    box: str
    arrows: tuple[tuple[str, str], ...]
    says: str
    diagram: Diagram
    held_bytes: int
    finished: bool


@dataclass(frozen=True)
class Play:
    """A recording as a reader sees it.

    title: which backward this was.
    first: the graph before it.
    first_bytes: what the saved tensors held before it.
    frames: its steps.
    ending: the last sentence.
    """

    title: str
    first: Diagram
    first_bytes: int
    frames: tuple[Frame, ...]
    ending: str


def make_play(recording: Recording, losses: Sequence[int], retain_graph: bool, detail: Level) -> Play:
    """Return the :class:`Play` of a recording. losses: the indices of the losses among its tensors."""
    first = make_diagram(recording.before, detail)
    home = first.home
    boxes = {box.key: box for box in first.boxes}
    given = {f"t{i}" for i in losses}
    frames: list[Frame] = []
    ran: set[str] = set()
    last = recording.before
    snapshots, short = recording.snapshots(), short_names(recording.before)
    next(snapshots)
    for key, together in groupby(recording.steps, key=lambda step: home[step.node]):
        steps = list(together)
        for _ in steps:
            last = next(snapshots)
        arrows = tuple(_arrows(first, key, ran, given))
        says = _says(boxes[key], steps, recording.before, short, retain_graph)
        ran.add(key)
        frames.append(Frame(key, arrows, says, make_diagram(last, detail), steps[-1].held_bytes,
                            steps[-1].finished))
    title = f"{title_of(recording, losses, retain_graph)}: {len(frames)} step{'s' * (len(frames) != 1)}"
    return Play(title, first, recording.before.saved_bytes, tuple(frames), _ending(recording, last, boxes, home))


def _arrows(diagram: Diagram, key: str, ran: set[str], given: set[str]) -> Iterable[tuple[str, str]]:
    """The arrows along which gradients come to a box: from boxes that ran, straight or through a named result."""
    leaving = [arrow for arrow in diagram.arrows if arrow.source == key]
    through = {arrow.target for arrow in leaving} - set(diagram.home)
    onward = [arrow for arrow in diagram.arrows if arrow.source in through and arrow.target in ran]
    ends = ran | given | {arrow.source for arrow in onward}
    return dict.fromkeys((arrow.source, arrow.target) for arrow in [*leaving, *onward]
                         if arrow.target in ends or arrow in onward)


def title_of(recording: Recording, losses: Sequence[int], retain_graph: bool) -> str:
    """Which backward this was. Every loss has a name."""
    short = short_names(recording.before)
    names = [short[recording.before.tensors[i].names[0]] for i in losses]
    return f"backward from {' and '.join(names)}{', retain_graph=True' * retain_graph}"


def _says(box: Box, steps: list[Step], snapshot: GraphSnapshot, short: dict[str, str], retain_graph: bool) -> str:
    """What happened in one box, as one sentence."""
    nodes = [snapshot.nodes[step.node] for step in steps]
    received = " and ".join(gradient or "nothing" for gradient in steps[0].gradients)
    if box.kind == GROUP and not box.name.startswith("["):      # it stands for many nodes
        parts = [f"{box.name} receives {received}", f"{len(nodes)} of its nodes run"]
    else:
        parts = [f"{box.name} {box.title}".rstrip() + f" receives {received}"]
    freed = [(node, k) for node, step in zip(nodes, steps) for k in step.freed]
    saved = sum(len(node.saved) for node in nodes)
    if len(steps) == 1 and len(freed) <= 3:
        words = ", ".join(node.saved[k].name for node, k in freed)
    else:
        words = f"{len(freed)} saved tensor{'s' * (len(freed) != 1)}"
    if freed:
        parts.append(f"frees {words}")
    elif saved and retain_graph and steps[-1].finished:
        parts.append("keeps what it saved")
    grads: dict[int, list[str | None]] = {}
    for step in steps:
        for k, before, now in step.grads:
            grads.setdefault(k, [before]).append(now)
    if len(grads) == 1:
        (k, fills), = grads.items()
        names = snapshot.tensors[k].names
        name = short[names[0]] + ".grad" if names else ".grad of a leaf without a name"
        parts.append(f"{name}: {' → '.join(map(str, fills))}")
    elif grads:
        parts.append(f".grad of {len(grads)} tensors filled")
    if not all(step.readable for step in steps):
        parts.append("what it did could not be read")
    if not steps[-1].finished:
        parts.append("stops here")
    parts.append(f"{steps[-1].held_bytes:,} B still saved")
    return "; ".join(parts)


def _ending(recording: Recording, last: GraphSnapshot, boxes: dict[str, Box], home: Sequence[str]) -> str:
    """The last line: how the graph is left, or the error and where it came from."""
    if recording.error is None:
        return f"finished: {headline(last)}"
    message = printable(str(recording.error).partition(". ")[0].partition(" (")[0])
    if not recording.steps:
        where = "before the first node"
    else:
        box = boxes[home[recording.steps[-1].node]]
        where = ("after" if recording.steps[-1].finished else "at") + f" {box.name} {box.title}".rstrip()
    kind = type(recording.error).__name__
    error = f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}{': ' * bool(message)}{message}"
    return f"stopped {where} by {error}; {headline(last)}"


def slot_rows(box: Box, count: int) -> list[tuple[str, str]]:
    """The slots of a box as `count` rows of (state, words). Slots beyond that share the last row; missing ones are empty."""
    rows = [(slot.state, f"{SLOTS[slot.state].mark} {slot.text}") for slot in box.slots]
    if len(rows) > count > 0:
        rows[count - 1:] = [(rows[count - 1][0], ", ".join(words for _, words in rows[count - 1:]))]
    return rows + [("", "")] * (count - len(rows))


def with_room(play: Play) -> Diagram:
    """The first diagram, each slot padded with spaces to the longest words that it shows during the play."""
    longest: dict[str, list[int]] = {}
    for first, *later in zip(play.first.boxes, *(frame.diagram.boxes for frame in play.frames)):
        for row in zip(*(slot_rows(box, len(first.slots)) for box in (first, *later))):
            longest.setdefault(first.key, []).append(max(len(words) for _, words in row) - len("● "))
    return replace(play.first, boxes=tuple(
        replace(box, slots=tuple(replace(slot, text=slot.text.ljust(width, FIGURE_SPACE))
                                 for slot, width in zip(box.slots, longest[box.key])))
        if box.slots else box for box in play.first.boxes))


def changes(play: Play) -> Iterator[list[tuple[str, int, str, str]]]:
    """For each frame, what it changes in the picture: (key of a box, number of a text in it, the text, state of a slot).

    The texts of a box count from 0, its name. The state is "" where the text is no slot, and where a slot is gone.
    """
    diagrams = [play.first, *(frame.diagram for frame in play.frames)]
    for before, after in zip(diagrams, diagrams[1:]):
        yield [(old.key, number, *row) for first, old, new in zip(play.first.boxes, before.boxes, after.boxes)
               for number, (was, row) in enumerate(zip(_texts(old, first), _texts(new, first)), 1) if row != was]


def _texts(box: Box, first: Box) -> list[tuple[str, str]]:
    return [(line, "") for line in box.lines] + [(words, state) for state, words in slot_rows(box, len(first.slots))]
