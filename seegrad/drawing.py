"""A diagram as SVG. The only module that writes DOT: torchviz draws the graph, Graphviz lays it out."""

import html
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from .diagram import GROUP, NODE, Arrow, Box, Diagram, Slot, printable
from .layout import FONT, lay_out, lay_out_apart
from .looks import FILLS, SLOTS, SlotLook

if TYPE_CHECKING:
    from graphviz import Digraph

FALLBACK_FONTS = "Verdana, sans-serif"      # about as wide as ours, for readers who do not have it
LONGEST = 1500                              # levels that the lines of a picture cross; beyond it the layout may take long
LONGEST_DOT = 10_000                        # characters of a DOT source of others; beyond it the layout may take long

_TIE = {"style": "dotted", "dir": "none", "constraint": "false", "penwidth": "2"}


def draw(diagram: Diagram, label: str) -> str:
    """Return the SVG of a diagram as a string. label: the sentences for readers who do not see it.

    Raises LayoutError where the graph is too much for Graphviz.
    """
    dot = _to_dot(diagram)
    return _finish(lay_out(dot) if _total_length(diagram) <= LONGEST else lay_out_apart(dot), label)


def draw_dot(dot: str, label: str) -> str:
    """Return the SVG of a DOT source as a string. label: as for `draw`. Raises LayoutError as `draw` does."""
    # Graphviz crashes on a label whose first line is empty, and torchviz and others write such labels.
    dot = re.sub(r'(label=")(?=\\[nlr]|\n)', r"\1 ", dot)
    return _finish(lay_out(dot) if len(dot) <= LONGEST_DOT else lay_out_apart(dot), label)


def _finish(svg: str, label: str) -> str:
    svg = re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg"):], flags=re.DOTALL)
    svg = svg.replace(f'font-family="{FONT}"', f'font-family="{FONT}, {FALLBACK_FONTS}"')
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(printable(label))}" ', 1)


def _total_length(diagram: Diagram) -> int:
    """How many levels all lines of the picture cross together: what their layout costs grows with it, far more than in line."""
    targets: dict[str, list[str]] = {box.key: [] for box in diagram.boxes}
    sources: dict[str, list[str]] = {box.key: [] for box in diagram.boxes}
    for arrow in diagram.arrows:
        targets[arrow.source].append(arrow.target)
        sources[arrow.target].append(arrow.source)
    level: dict[str, int] = {}      # counted from below, because a leaf stands just above the box that uses it first
    for key in TopologicalSorter(targets).static_order():
        level[key] = max((level[target] + 1 for target in targets[key]), default=0)
    for key, above in sources.items():
        if above and not targets[key]:
            level[key] = min(level[source] for source in above) - 1
    home = {slot.key: box.key for box in diagram.boxes for slot in box.slots} | {key: key for key in level}
    lines = [(arrow.source, arrow.target) for arrow in diagram.arrows] + [(tie.first, tie.second) for tie in diagram.ties]
    return sum(abs(level[home[first]] - level[home[second]]) for first, second in lines)


def _to_dot(diagram: Diagram) -> str:
    graph, keys = _draw_with_torchviz(diagram)
    graph.body[:] = [*_arrows(graph.body, keys, diagram), *map(_box, diagram.boxes)]
    graph.graph_attr.clear()
    graph.graph_attr.update(ranksep="0.35", nodesep="0.3")
    graph.node_attr.clear()
    graph.node_attr.update(shape="box", style="filled", fontname=FONT, fontsize="15", margin="0.12,0.06", height="0.3")
    graph.edge_attr.update(fontname=FONT, fontsize="13")
    for island, neighbour in _islands_with_a_tie(diagram).items():
        with graph.subgraph() as level:
            level.attr(rank="same")
            level.node(neighbour)
            level.node(island)
    places = {slot.key: f"{box.key}:{slot.key}:e" for box in diagram.boxes for slot in box.slots}
    for tie in diagram.ties:
        graph.edge(places.get(tie.first, tie.first), places.get(tie.second, tie.second),
                   label="" if tie.first in places else _on_white(tie.text), **_TIE)
    return graph.source


def _arrows(body: Iterable[str], keys: dict[str, str], diagram: Diagram) -> Iterator[str]:
    """The arrows of torchviz's DOT, with our keys for its addresses, and with the text of those that have one.

    Its labels we leave out: ours say more.
    """
    arrows: dict[tuple[str, str], list[Arrow]] = {}
    for arrow in diagram.arrows:
        arrows.setdefault((arrow.source, arrow.target), []).append(arrow)
    for line in body:
        source, is_arrow, target = line.strip().partition(" -> ")
        if is_arrow:
            source, target = keys[source], keys[target]
            arrow = arrows[source, target].pop(0)
            label = f' label=" {arrow.text}"' if arrow.text else ""
            yield f"\t{source} -> {target} [{label}{' style=dashed' * arrow.cut}]\n"


def _box(box: Box) -> str:
    """One box as a line of DOT. Plain labels where they will do: a table takes Graphviz three times as long."""
    shape = ' shape="box3d"' if box.kind == GROUP else ""
    style = ",".join(["filled", *["rounded"] * (box.kind == NODE), *["dashed"] * box.dashed])
    if not box.slots and not box.named:
        first = f"{box.name} {box.title}".strip()
        label = '"' + r"\n".join(map(_plain, (first, *box.lines))) + '"'
    else:
        label = f"<{_table(box)}>"
    return f'\t{box.key} [label={label} fillcolor="{FILLS[box.kind]}" style="{style}"{shape}]\n'


def _table(box: Box) -> str:
    first = _text(f"{box.name} {box.title}".strip())
    rows = [f"<TR><TD>{f'<B>{first}</B>' if box.named else first}</TD></TR>"]
    rows += [f"<TR><TD>{_text(line)}</TD></TR>" for line in box.lines]
    rows += [_row(slot, SLOTS[slot.state]) for slot in box.slots]
    return f'<TABLE BORDER="0" CELLSPACING="2" CELLPADDING="0">{"".join(rows)}</TABLE>'


def _row(slot: Slot, look: SlotLook) -> str:
    style = ' STYLE="dashed"' if look.dashed else ""
    return (f'<TR><TD PORT="{slot.key}" ALIGN="LEFT" CELLPADDING="{look.padding}" BORDER="{look.width}" '
            f'BGCOLOR="{look.fill}" COLOR="{look.border}"{style}>{look.mark} {_text(slot.text)}</TD></TR>')


def svg_look(look: SlotLook) -> tuple[dict[str, str], dict[str, str | int]]:
    """The attributes that Graphviz gives to the two shapes of a slot in its SVG: what is behind its words, its border."""
    dashes = "5,2" if look.dashed else "none"
    return {"fill": look.fill}, {"stroke": look.border, "stroke-width": look.width, "stroke-dasharray": dashes}


def _on_white(words: str) -> str:
    """A label that hides the lines behind it: ties are drawn last."""
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="2" BGCOLOR="white"><TR><TD>{_text(words)}</TD></TR></TABLE>>'


def _text(words: str) -> str:
    """Words for a table. A backslash would start one of DOT's own escapes."""
    return html.escape(words.replace("\\", "\\\\"))


def _plain(words: str) -> str:
    """Words for a plain label, in which DOT decodes HTML's names of characters too."""
    return words.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')


class _Function:
    """What torchviz reads of a node."""

    def __init__(self) -> None:
        self.next_functions: list[tuple[object, int]] = []


class _Tensor:
    """What torchviz reads of an output."""

    grad_fn: object = None

    def _is_view(self) -> bool:
        return False

    def size(self) -> tuple[int, ...]:
        return ()


def _draw_with_torchviz(diagram: Diagram) -> tuple["Digraph", dict[str, str]]:
    """Let torchviz draw stand-ins for the boxes: return its Digraph, and the key of the box behind each of its ids.

    Stand-ins, because a snapshot outlives its graph, one box may stand for many nodes, and torchviz fails on some live
    graphs (a custom Function after backward). Boxes with no arrow out are tensors, so torchviz takes them as outputs.
    """
    has_arrow_out = {arrow.source for arrow in diagram.arrows}
    stand_ins = {box.key: _Function() if box.key in has_arrow_out else _Tensor() for box in diagram.boxes}
    for arrow in diagram.arrows:
        source, target = stand_ins[arrow.source], stand_ins[arrow.target]
        if isinstance(target, _Tensor):
            target.grad_fn = source
        else:
            target.next_functions.append((source, 0))
    outputs = tuple(s for s in stand_ins.values() if isinstance(s, _Tensor))
    limit = sys.getrecursionlimit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # torchviz imports distutils
        from torchviz import make_dot
        try:
            sys.setrecursionlimit(limit + 4 * len(stand_ins))       # torchviz walks the graph by recursion
            graph = make_dot(outputs)
        finally:
            sys.setrecursionlimit(limit)
    return graph, {str(id(stand_in)): key for key, stand_in in stand_ins.items()}


def _islands_with_a_tie(diagram: Diagram) -> dict[str, str]:
    """Each box without an arrow that is tied to another, and that other: they should stand side by side."""
    boxes = {box.key for box in diagram.boxes}
    connected = {key for arrow in diagram.arrows for key in (arrow.source, arrow.target)}
    neighbours: dict[str, str] = {}
    for tie in diagram.ties:
        for island, other in ((tie.first, tie.second), (tie.second, tie.first)):
            if island in boxes and island not in connected and neighbours.get(other) != island:
                neighbours.setdefault(island, other)
    return neighbours
