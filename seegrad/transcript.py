"""A diagram as text: what a reader who sees no picture gets, and what the regression run compares."""

from collections.abc import Iterator, Mapping, Sequence

from .diagram import Diagram, ModuleFrame, Slot
from .looks import GUILTY
from .play import Frame, Play, Source

MOST_BOXES_IN_ALT = 12
INDENT = "    "


def make_transcript(diagram: Diagram) -> str:
    """The headline, then a line for each box in forward order, then a line for each tie."""
    return "\n".join([diagram.headline, *_box_lines(diagram), *_tie_lines(diagram)])


def make_alt(diagram: Diagram) -> str:
    """One paragraph for the picture's alt text. It names every box of a small graph, and counts those of a large one."""
    if len(diagram.boxes) > MOST_BOXES_IN_ALT:
        size = f"It is drawn as {len(diagram.boxes)} boxes"
        return "Computation graph: " + ". ".join([diagram.headline, size, *guilty_lines(diagram)]) + "."
    return "Computation graph: " + ". ".join([diagram.headline, *map(str.strip, _box_lines(diagram)), *_tie_lines(diagram)]) + "."


def guilty_lines(diagram: Diagram) -> Iterator[str]:
    """A line for each mark in a diagram that is too large to tell all its boxes."""
    for box in diagram.boxes:
        for words in box.blames:
            yield f"{GUILTY.mark} {box.name} {box.title}".rstrip() + f": {words}"


def make_play_transcript(play: Play) -> str:
    """The title, the graph before backward, a line for each step, and how it ended."""
    steps = [f"{number}. {frame.says}" for number, frame in enumerate(play.frames, 1)]
    return "\n".join([play.title, f"before: {play.first.headline}", *steps, play.ending])


def make_watch_transcript(play: Play) -> str:
    """The title, the graph before the code ran, a line for each step, and how it ended.

    The nodes that a backward runs stand indented under the line of code that called it.
    """
    steps: list[str] = []
    number, last = 0, None
    for frame in play.frames:
        if not frame.box:
            steps.append(sentence(frame, play.sources))
        else:
            if last is None or last.line != frame.line:
                steps.append(f"{place_in_words(frame, play.sources)}:")
            number = number + 1 if last and last.box and last.run == frame.run else 1
            steps.append(f"    {number}. {frame.says}")
        last = frame
    return "\n".join([play.title, f"before: {play.first.headline}", *steps, play.ending])


def sentence(frame: Frame, sources: Sequence[Source]) -> str:
    """What a step says, after the line of code that ran."""
    return frame.says if frame.box or frame.line is None else f"{place_in_words(frame, sources)}: {frame.says}"


def place_in_words(frame: Frame, sources: Sequence[Source]) -> str:
    """Where a step is in the code."""
    source, number = frame.line or (0, 0)
    return f"line {number}{f' of {sources[source].title}' * (len(sources) > 1)}"


def _box_lines(diagram: Diagram) -> Iterator[str]:
    """A line for each box. What stands in a frame is indented under the title of the frame."""
    boxes = {box.key: box for box in diagram.boxes}
    frames = {frame.key: frame for frame in diagram.frames}
    sources: dict[str, list[str]] = {box.key: [] for box in diagram.boxes}
    for arrow in diagram.arrows:
        source, target = boxes[arrow.source], boxes[arrow.target]
        where = f" of {frames[source.frame].title}" if source.frame not in ("", target.frame) and source.named else ""
        text = f"({arrow.text})" if arrow.cut else arrow.text
        sources[arrow.target].append(f"{source.name}{where} {text}".rstrip())
    around: list[str] = []
    for box in diagram.boxes:
        inside = _around(box.frame, frames)
        for depth, key in enumerate(inside):
            if around[depth: depth + 1] != [key]:
                around = inside[:depth]
                yield f"{INDENT * depth}{frames[key].title}:"
        around = inside
        line = " ".join(filter(None, (box.name, box.title)))
        if sources[box.key]:
            line += " from " + ", ".join(sources[box.key])
        blames = [f"{GUILTY.mark} {words}" for words in box.blames]
        yield INDENT * len(inside) + "; ".join([line, *box.lines, *map(_slot_in_words, box.slots), *blames])


def _slot_in_words(slot: Slot) -> str:
    return f"{GUILTY.mark} {slot.text}" if slot.guilty else slot.text


def _around(key: str, frames: Mapping[str, ModuleFrame]) -> list[str]:
    """The keys of a frame and of those around it, the outermost first."""
    return [*_around(frames[key].frame, frames), key] if key else []


def _tie_lines(diagram: Diagram) -> Iterator[str]:
    words = {box.key: box.name for box in diagram.boxes}
    words |= {slot.key: f"{slot.text.split()[0]} of {box.name}" for box in diagram.boxes for slot in box.slots}
    for tie in diagram.ties:
        yield f"{words[tie.first]} and {words[tie.second]}: {tie.text}"
