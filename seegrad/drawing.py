"""A diagram as SVG. The only module that writes DOT: torchviz draws the graph, Graphviz lays it out."""

import html
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence, Set
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .diagram import GROUP, NODE, Arrow, Box, Diagram, Slot, printable
from .layout import FONT, lay_out, lay_out_apart
from .looks import FILLS, FRAME_BORDER, FRAMES, GUILTY, NO_SLOT, SLOTS, SlotLook, blame_in_lines, svg_look
from .play import rows

if TYPE_CHECKING:
    from graphviz import Digraph

FALLBACK_FONTS = "Verdana, sans-serif"      # about as wide as ours, for readers who do not have it
FONT_SIZE = "15.00"
LONGEST = 1500                              # levels that the lines of a picture cross; beyond it the layout may take long
LONGEST_DOT = 10_000                        # characters of a DOT source of others; beyond it the layout may take long

_FRAME = "cluster_"      # Graphviz takes what is called so for a frame
_SVG = "{http://www.w3.org/2000/svg}"
ElementTree.register_namespace("", _SVG.strip("{}"))
_TIE = {"style": "dotted", "dir": "none", "constraint": "false", "penwidth": "2"}


def draw(diagram: Diagram, label: str) -> str:
    """Return the SVG of a diagram as a string. label: the sentences for readers who do not see it.

    Raises LayoutError where the graph is too much for Graphviz.
    """
    return _finish(_lay_out_diagram(diagram, "svg"), label)


def draw_png(diagram: Diagram) -> bytes:
    """Return the same picture of a diagram as PNG. Raises LayoutError as `draw` does."""
    return _lay_out_diagram(diagram, "png")


def draw_dot(dot: str, label: str) -> str:
    """Return the SVG of a DOT source as a string. label: as for `draw`. Raises LayoutError as `draw` does."""
    return _finish(_lay_out_dot(dot, "svg"), label)


def draw_dot_png(dot: str) -> bytes:
    """Return the same picture of a DOT source as PNG. Raises LayoutError as `draw` does."""
    return _lay_out_dot(dot, "png")


def _lay_out_diagram(diagram: Diagram, form: str) -> bytes:
    dot = _to_dot(diagram)
    return lay_out(dot, form) if _total_length(diagram) <= LONGEST else lay_out_apart(dot, form)


def _lay_out_dot(dot: str, form: str) -> bytes:
    # Graphviz crashes on a label whose first line is empty, and torchviz and others write such labels.
    dot = re.sub(r'(label=")(?=\\[nlr]|\n)', r"\1 ", dot)
    return lay_out(dot, form) if len(dot) <= LONGEST_DOT else lay_out_apart(dot, form)


def _finish(laid_out: bytes, label: str) -> str:
    svg = laid_out.decode()
    svg = re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg"):], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*" ', "<g ", svg)
    svg = re.sub(r'(?<= d="M)([^"C]+)C([^"]+)', _with_straight_lines, svg)
    if "xlink:href" not in svg:
        svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "", 1)
    shared: dict[str, str] = {}     # what all texts have in common stands once
    for name, value, instead in (("xml:space", "preserve", ""), ("font-family", FONT, f"{FONT}, {FALLBACK_FONTS}"),
                                 ("font-size", FONT_SIZE, "")):
        if f' {name}="{value}"' in svg:
            svg = svg.replace(f' {name}="{value}"', "")
            shared[name] = instead or value
    attributes = {"role": "img", "aria-label": html.escape(printable(label)), **shared}
    return svg.replace("<svg", "<svg" + "".join(f' {name}="{value}"' for name, value in attributes.items()), 1)


def _with_straight_lines(found: re.Match[str]) -> str:
    """A path of Graphviz in fewer characters: it writes the straight sides of a rounded box as curves."""
    path, at = found[1], found[1]
    points = found[2].split(" ")
    for first, second, end in zip(points[::3], points[1::3], points[2::3]):
        path += f"L{end}" if (first, second) == (at, end) else f"C{first} {second} {end}"
        at = end
    return path


def still(svg: str, room: Diagram, moment: Diagram, gone: Set[str], lit: Iterable[str]) -> str:
    """The SVG of a diagram at one moment: without the boxes that are not there, and with the words as they are then.

    svg: the diagram `room`, drawn. moment: what is there of it. gone: the keys of boxes that are faded. lit: of those that have
    a thick border. It is written in few characters: a page has many, they are looked at only, and no script changes them.
    """
    root = ElementTree.fromstring(svg)
    del root.attrib["aria-label"], root.attrib["role"]      # it is told beside the picture
    drawn, = root.findall(_SVG + "g")
    drawn.attrib = {"transform": drawn.attrib["transform"].replace("scale(1 1) rotate(0) ", ""), "stroke": "black"}
    drawn.remove(drawn[0])      # the white behind all: its page has it
    boxes, first = {box.key: box for box in moment.boxes}, {box.key: box for box in room.boxes}
    for group in drawn.findall(_SVG + "g"):
        title = group.findtext(_SVG + "title", "")
        if title.startswith(_FRAME):
            group.remove(group[0])
            group.attrib = {}
            _shrink(group)
            continue
        ends = {end.partition(":")[0] for end in title.split("->")}
        if not ends <= boxes.keys():
            drawn.remove(group)
            continue
        group.remove(group[0])
        if title in boxes:
            _tell(group, rows(boxes[title], first[title]), 1 + len(first[title].lines))
            if title in lit:
                group[0].set("stroke-width", "4")
        group.attrib = {"opacity": "0.4", "text-decoration": "line-through"} if ends & gone else {}
        _shrink(group)
    ElementTree.SubElement(root, "style").text = "text{stroke:none}path,polyline{fill:none}"
    for element in root.iter():
        element.tail = None
        if element.tag in (_SVG + "svg", _SVG + "g"):
            element.text = None
    return ElementTree.tostring(root, encoding="unicode")


def _tell(group: Element, told: Sequence[tuple[str, str]], lines: int) -> None:
    """Write the words of a box into its drawing, as the player does. lines: how many of them are no slots."""
    xs, _ = _places(group[0])
    shapes = list(group)
    for number, (text, (words, state)) in enumerate(zip(group.findall(_SVG + "text"), told)):
        if number >= lines:
            at = shapes.index(text)
            for shape, look in zip(shapes[at - 2: at], svg_look(SLOTS.get(state, NO_SLOT))):
                shape.attrib.update({name: str(value) for name, value in look.items()})
        elif words != text.text:
            text.attrib.update({"text-anchor": "middle", "x": str((min(xs) + max(xs)) / 2)})
        text.text = words


def _places(shape: Element) -> tuple[list[float], list[float]]:
    """The x and the y of the points of a polygon or a path."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", shape.get("points") or shape.get("d") or "")]
    return numbers[::2], numbers[1::2]


def _shrink(group: Element) -> None:
    """Write a box or a line in few characters: boxes as rectangles, numbers rounded, and not what is usual."""
    for shape, border in zip(list(group), list(group)[1:]):
        if shape.get("stroke") == "none" and border.get("points") == shape.get("points"):       # the two shapes of a slot
            border.set("fill", shape.attrib["fill"])
            group.remove(shape)
    for shape in group:
        xs, ys = _places(shape)
        if "L" in shape.get("d", "") or len(set(xs)) == len(set(ys)) == 2:
            left, top, right, bottom = map(round, (min(xs), min(ys), max(xs), max(ys)))
            place = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            if shape.tag == _SVG + "path":
                place["rx"] = round(min(max(xs) - xs[0], xs[0] - min(xs)))      # it starts where a corner does
            shape.tag = _SVG + "rect"
            shape.attrib = {name: value for name, value in shape.attrib.items() if name not in ("d", "points")}
            shape.attrib |= {name: str(value) for name, value in place.items() if value}
        usual = {"stroke": "black", "text-anchor": "start", "stroke-width": "1", "stroke-dasharray": "none"}
        if shape.tag != _SVG + "rect":
            usual["fill"] = "black" if shape.tag == _SVG + "polygon" else "none"
        shape.attrib = {name: re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.0f}", value)
                        for name, value in shape.attrib.items() if usual.get(name) != value}


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
    graph.node_attr.update(shape="box", style="filled", fontname=FONT, fontsize=FONT_SIZE, margin="0.12,0.06", height="0.3")
    graph.edge_attr.update(fontname=FONT, fontsize="13")
    _add_frames(graph, diagram)
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


def _add_frames(graph: "Digraph", diagram: Diagram) -> None:
    """Put the boxes of each module that is open into a frame, which Graphviz calls a cluster."""
    from graphviz import Digraph
    drawn, depth = {"": graph}, {"": 0}
    for frame in diagram.frames:
        depth[frame.key] = depth[frame.frame] + 1
        look = {"bgcolor": FRAMES[depth[frame.key] % len(FRAMES)], "style": "rounded", "color": FRAME_BORDER}
        drawn[frame.key] = Digraph(_FRAME + frame.key, graph_attr={
            "label": _plain(frame.title), "labeljust": "l", "fontname": FONT, "fontsize": FONT_SIZE, **look})
    for box in diagram.boxes:
        if box.frame:
            drawn[box.frame].node(box.key)
    for frame in reversed(diagram.frames):
        drawn[frame.frame].subgraph(drawn[frame.key])


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
    if not box.slots and not box.named and not box.blames:
        first = f"{box.name} {box.title}".strip()
        label = '"' + r"\n".join(map(_plain, (first, *box.lines))) + '"'
    else:
        label = f"<{_table(box)}>"
    border = f' color="{GUILTY.border}" penwidth={GUILTY.width}' if box.guilty else ""
    return f'\t{box.key} [label={label} fillcolor="{FILLS[box.kind]}" style="{style}"{shape}{border}]\n'


def _table(box: Box) -> str:
    first = _text(f"{box.name} {box.title}".strip())
    rows = [f"<TR><TD>{f'<B>{first}</B>' if box.named else first}</TD></TR>"]
    rows += [f"<TR><TD>{_text(line)}</TD></TR>" for line in box.lines]
    rows += [_row(slot, SLOTS[slot.state]) for slot in box.slots]
    rows += map(_blame, box.blames)
    return f'<TABLE BORDER="0" CELLSPACING="2" CELLPADDING="0">{"".join(rows)}</TABLE>'


def _row(slot: Slot, look: SlotLook) -> str:
    sign = f"{GUILTY.mark} {look.mark}" if slot.guilty else look.mark
    border = GUILTY if slot.guilty else look
    style = ' STYLE="dashed"' if border.dashed else ""
    return (f'<TR><TD PORT="{slot.key}" ALIGN="LEFT" CELLPADDING="{look.padding}" BORDER="{border.width}" '
            f'BGCOLOR="{look.fill}" COLOR="{border.border}"{style}>{sign} {_text(slot.text)}</TD></TR>')


def _blame(words: str) -> str:
    """The row with the words of a mark, in lines."""
    lines = '<BR ALIGN="LEFT"/>'.join(map(_text, blame_in_lines(words)))
    return (f'<TR><TD ALIGN="LEFT" BALIGN="LEFT" BGCOLOR="{GUILTY.fill}">'
            f'<FONT COLOR="{GUILTY.border}"><B>{lines}</B></FONT></TD></TR>')


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
    keys = {str(id(stand_in)): key for key, stand_in in stand_ins.items()}
    outputs = [s for s in stand_ins.values() if isinstance(s, _Tensor)]
    for arrow in diagram.arrows:
        source, target = stand_ins[arrow.source], stand_ins[arrow.target]
        if isinstance(target, _Function):
            target.next_functions.append((source, 0))
            continue
        if target.grad_fn is not None:      # one of several that compute it, each at its time: for torchviz, a tensor of its own
            target = _Tensor()
            keys[str(id(target))] = arrow.target
            outputs.append(target)
        target.grad_fn = source
    limit = sys.getrecursionlimit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # torchviz imports distutils
        from torchviz import make_dot
        try:
            sys.setrecursionlimit(limit + 4 * len(stand_ins))       # torchviz walks the graph by recursion
            graph = make_dot(tuple(outputs))
        finally:
            sys.setrecursionlimit(limit)
    return graph, keys


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
