"""Several diagrams as one: what is alike in them is one box, so that it keeps its place when they are shown in turn."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence, Set
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import zip_longest

from .diagram import NODE, Arrow, Box, Diagram, Slot, Tie


def unite(diagrams: Sequence[Diagram]) -> tuple[Diagram, list[Diagram]]:
    """Return one diagram with room for all of these, and these same diagrams with its keys.

    Of two diagrams, those boxes are one that are tensors of one kind and one name, or come from the same boxes by the same
    operation. What is left of one operation is taken pairwise, those first that share an input, as long as the whole has no
    cycle. The texts of a box are the longest that it has in any of the diagrams.
    """
    union = _Union()
    renamed = [union.add(diagram) for diagram in diagrams]
    boxes = tuple(_with_room(key, [box for one in renamed for box in one.boxes if box.key == key]) for key in union.alike)
    arrows, ties = Counter[Arrow](), Counter[Tie]()
    for one in renamed:
        arrows |= Counter(one.arrows)
        ties |= Counter(one.ties)
    return Diagram("", boxes, tuple(arrows.elements()), tuple(ties.elements()), ()), renamed


def missing(union: Diagram, one: Diagram) -> Iterator[str]:
    """What a united diagram has not: the keys of boxes, and of arrows and ties the titles that Graphviz gives them.

    Of several arrows and ties with one title, the second has " 2" behind it. Those to a missing box are not told.
    """
    there = {box.key for box in one.boxes}
    yield from (box.key for box in union.boxes if box.key not in there)
    home = {slot.key: box.key for box in union.boxes for slot in box.slots}
    left, seen = Counter[Arrow | Tie]([*one.arrows, *one.ties]), Counter[str]()
    lines: list[Arrow | Tie] = [*union.arrows, *union.ties]
    for line in lines:
        ends = (line.source, line.target) if isinstance(line, Arrow) else (line.first, line.second)
        title = "->".join(f"{home[end]}:e" if end in home else end for end in ends)
        seen[title] += 1
        if left[line]:
            left[line] -= 1
        elif {home.get(end, end) for end in ends} <= there:
            yield title if seen[title] == 1 else f"{title} {seen[title]}"


def without(diagram: Diagram, keys: Set[str]) -> Diagram:
    """A diagram without some of its boxes, and without the arrows and ties that lead to them."""
    boxes = tuple(box for box in diagram.boxes if box.key not in keys)
    left = {key for box in boxes for key in (box.key, *(slot.key for slot in box.slots))}
    return replace(diagram, boxes=boxes,
                   arrows=tuple(arrow for arrow in diagram.arrows if {arrow.source, arrow.target} <= left),
                   ties=tuple(tie for tie in diagram.ties if {tie.first, tie.second} <= left))


class _Union:
    """The boxes of the diagrams so far.

    alike: for each key, what boxes must have in common to be taken pairwise; None of a box with a name.
    known: for what makes a box the same in another diagram, its key.
    sources: for each key, the keys of the boxes that it was computed from in any of the diagrams.
    """

    def __init__(self) -> None:
        self.alike: dict[str, Hashable] = {}
        self.known: dict[Hashable, str] = {}
        self.sources: dict[str, set[str]] = {}

    def add(self, diagram: Diagram) -> Diagram:
        """Take a diagram up, and return it with the keys that its boxes have here."""
        boxes = {box.key: box for box in diagram.boxes}
        sources: dict[str, list[str]] = {key: [] for key in boxes}
        for arrow in diagram.arrows:
            sources[arrow.target].append(arrow.source)
        order = [boxes[key] for key in TopologicalSorter(sources).static_order()]
        same: dict[str, Hashable] = {}
        count = Counter[Hashable]()
        for box in order:
            what = (_kind(box), box.name) if box.named else (_kind(box), tuple(same[source] for source in sources[box.key]))
            count[what] += 1
            same[box.key] = (what, count[what])
        kept = {self.known[what] for what in same.values() if what in self.known}
        keys: dict[str, str] = {}
        for box in order:
            inputs = {keys[source] for source in sources[box.key]}
            before = self._before(inputs)
            key = next((key for key in self._candidates(box, same[box.key], inputs, kept)
                        if key not in before and key not in keys.values()), f"b{len(self.alike) + 1}")
            self.alike.setdefault(key, None if box.named else _kind(box))
            self.known.setdefault(same[box.key], key)
            self.sources.setdefault(key, set()).update(inputs)
            keys[box.key] = key
        return _renamed(diagram, keys)

    def _candidates(self, box: Box, same: Hashable, inputs: set[str], kept: set[str]) -> list[str]:
        """The keys that a box may have, the best first. kept: those for boxes that are the same."""
        found = [self.known[same]] if same in self.known else []
        if not box.named:
            alike = [key for key, what in self.alike.items() if what == _kind(box) and key not in kept]
            found += sorted(alike, key=lambda key: -len(self.sources[key] & inputs))
        return found

    def _before(self, keys: set[str]) -> set[str]:
        """These boxes and all that they were computed from: an arrow from one of them back to one of these closes a cycle."""
        found, left = set(keys), list(keys)
        while left:
            new = self.sources[left.pop()] - found
            found |= new
            left += new
        return found


def _kind(box: Box) -> tuple[str, str, bool]:
    return box.kind, box.title if box.kind == NODE else "", box.dashed


def _renamed(diagram: Diagram, keys: dict[str, str]) -> Diagram:
    slots = {slot.key: f"{keys[box.key]}s{i}" for box in diagram.boxes for i, slot in enumerate(box.slots)}
    ends = keys | slots
    return Diagram(
        diagram.headline,
        tuple(replace(box, key=keys[box.key], slots=tuple(replace(slot, key=slots[slot.key]) for slot in box.slots))
              for box in diagram.boxes),
        tuple(replace(arrow, source=keys[arrow.source], target=keys[arrow.target]) for arrow in diagram.arrows),
        tuple(replace(tie, first=ends[tie.first], second=ends[tie.second]) for tie in diagram.ties),
        tuple(keys[key] for key in diagram.home))


def _with_room(key: str, boxes: list[Box]) -> Box:
    """One box with the longest of each text."""
    longest = max(boxes, key=lambda box: len(f"{box.name} {box.title}"))
    lines = zip_longest(*(box.lines for box in boxes), fillvalue="")
    slots = zip_longest(*(box.slots for box in boxes), fillvalue=Slot("", "", ""))
    return replace(longest, key=key, lines=tuple(max(texts, key=len) for texts in lines),
                   slots=tuple(max(alike, key=lambda slot: len(slot.text)) for alike in slots))
