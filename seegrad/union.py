"""Several diagrams as one: what is alike in them is one box, so that it keeps its place when they are shown in turn."""

from collections.abc import Set
from dataclasses import replace

from .diagram import Box, Diagram
from .play import slot_rows


def without(diagram: Diagram, keys: Set[str]) -> Diagram:
    """A diagram without some of its boxes, and without the arrows and ties that lead to them."""
    boxes = tuple(box for box in diagram.boxes if box.key not in keys)
    left = {key for box in boxes for key in (box.key, *(slot.key for slot in box.slots))}
    return replace(diagram, boxes=boxes,
                   arrows=tuple(arrow for arrow in diagram.arrows if {arrow.source, arrow.target} <= left),
                   ties=tuple(tie for tie in diagram.ties if {tie.first, tie.second} <= left))


def rows(box: Box, room: Box) -> list[tuple[str, str]]:
    """The texts of a box as (words, state of a slot), as many as there are in the box that is drawn with room for them."""
    lines = [f"{box.name} {box.title}".strip(), *box.lines]
    return ([(words, "") for words in lines + [""] * (1 + len(room.lines) - len(lines))]
            + [(words, state) for state, words in slot_rows(box, len(room.slots))])
