"""What a page needs to draw a graph whose modules open and fold: plain lists in an order of their own, so that they are short."""

from collections.abc import Mapping, Set
from typing import Any

from .diagram import (
    AT_LEAST,
    BYTES,
    HIDING,
    LEAVES,
    NODES,
    NOT_KNOWN,
    Box,
    ChangingDiagram,
    group_lines,
    saved_in_words,
    shape_in_words,
    short_name,
)
from .looks import FILLS, FRAME_BORDER, FRAMES, SLOTS, blame_in_lines, svg_look
from .nesting import walk
from .snapshot import STATES, GraphSnapshot


def modules_data(snapshot: GraphSnapshot, everything: ChangingDiagram, opened: Set[str]) -> dict[str, object]:
    """Return what the script modules.js draws. Its lists are described there.

    everything: the diagram with all modules open. opened: the keys of those groups that are open at first.
    """
    assert everything.folding is not None
    folding, texts = everything.folding, _Texts()
    groups = list(walk(folding.root))
    number = {group.key: at for at, group in enumerate(groups)}
    parent = {inner.key: number[outer.key] for outer in groups for inner in outer.groups}
    around = {item: number[group.key] for group in groups for item in group.items if isinstance(item, int)}
    drawn = sorted(around)
    place = {i: at for at, i in enumerate(drawn)}

    def node(i: int) -> list[object]:
        one, module = snapshot.nodes[i], folding.single.get(i)
        lines = [*folding.lines[i], *(group_lines(module) if module else [])]
        return [texts.of(short_name(one.name)), around[i],
                [[place[edge.node], edge.output] for edge in one.inputs if edge and edge.node in place],
                [texts.of(shape_in_words(shape)) for shape in one.results],
                [texts.of(line, leaf) for leaf, line in folding.leaves[i].items()],
                [[slot.state[0], list(slot.storages)] for slot in one.saved],
                list(map(texts.of, lines)), folding.counts[i], texts.of(module.title) if module else -1]

    def tensor(box: Box) -> list[object]:
        made = [snapshot.tensors[k].producer for k, key in everything.home.items() if key == box.key]
        consumers = [arrow.target for arrow in everything.first.arrows if arrow.source == box.key]
        return [box.key, box.kind, [f"{box.name} {box.title}".strip(), *box.lines], int(box.dashed),
                [[place[edge.node], edge.output] for edge in made if edge and edge.node in place],
                [place[int(key[1:]) - 1] for key in consumers], int(box.named)]

    nodes = list(map(node, drawn))
    return {
        "words": {"nodes": [f"{{}} {word}" for word in NODES], "leaves": [f"{{}} {word}" for word in LEAVES],
                  "hiding": [f"PyTorch does not show what {{}} {word}" for word in HIDING],
                  "size": [BYTES, AT_LEAST, f"({NOT_KNOWN})"], **{state[0]: _summed(state) for state in STATES}},
        "looks": {state[0]: svg_look(SLOTS[state]) for state in STATES},
        "fills": {**FILLS, "frames": FRAMES, "border": FRAME_BORDER},
        "groups": [[texts.of(group.label), texts.of(group.kind), parent.get(group.key, -1),
                    list(map(texts.of, folding.groups[group.key]))] for group in groups],
        "nodes": nodes,
        "numbers": [i + 1 for i in drawn],
        "hiding": [place[i] for i in drawn if snapshot.nodes[i].hides_saved],
        "storages": list(snapshot.storage_bytes),
        "tensors": [tensor(box) for box in everything.first.boxes if box.key.startswith("t")],
        "guilty": [[key, *map(blame_in_lines, words)] for key, *words in everything.blames],
        "open": sorted(number[key] for key in opened),
        "texts": texts.all,
        "same": texts.same,
    }


def packed(data: Mapping[str, Any]) -> dict[str, object]:
    """The same data with each node as a row of text, in a third of the room: most of a page is nodes.

    A row is: how much its number is larger than the last one, its name, its group, its inputs as (how many nodes back:output),
    the shapes of its results, its leaves, its slots as (state)(storage+storage), its lines, its count, its module.
    """
    rows, last = [], 0
    for at, (number, node) in enumerate(zip(data["numbers"], data["nodes"])):
        name, group, inputs, shapes, leaves, slots, lines, count, module = node
        edges = [f"{at - source}:{output}" if output else str(at - source) for source, output in inputs]
        held = [state + "+".join(map(str, storages)) for state, storages in slots]
        lists = [",".join(map(str, part)) for part in (edges, shapes, leaves, held, lines)]
        rows.append(";".join([str(number - last), str(name), str(group), *lists, str(count), str(module)]))
        last = number
    return {**{key: value for key, value in data.items() if key not in ("nodes", "numbers")}, "rows": rows}


def _summed(state: str) -> str:
    return f"{SLOTS[state].mark} {saved_in_words('{count}', '{size}', state)}"


class _Texts:
    """Texts, each once.

    all: the texts, in order.
    same: for the places of more lines of a leaf, which two modules call differently, the place of its first.
    """

    def __init__(self) -> None:
        self.all: list[str] = []
        self.same: dict[int, int] = {}
        self._places: dict[tuple[str, int | None], int] = {}
        self._first: dict[int, int] = {}

    def of(self, text: str, leaf: int | None = None) -> int:
        """The place of a text. leaf: of the line of a leaf, which has its own place, even if another leaf has the same words."""
        at = self._places.setdefault((text, leaf), len(self.all))
        if at == len(self.all):
            self.all.append(text)
            if leaf is not None and self._first.setdefault(leaf, at) != at:
                self.same[at] = self._first[leaf]
        return at
