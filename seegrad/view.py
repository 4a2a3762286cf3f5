"""How a picture shows itself in a notebook. The only module that knows HTML.

Every display carries its sentences twice: `text/plain` is the transcript, which the regression run compares;
`text/html` is the picture with alt text. The picture is an <img>, because JupyterLab shows no other form of SVG in a
notebook that has not been run or trusted on this machine.
"""

import base64
import dataclasses
import functools
import html
import itertools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .cases import Case
from .diagram import LEVELS, ChangingDiagram, Diagram, Level, Mark, make_diagram, node_counts, printable
from .drawing import draw, draw_png, still
from .folding import modules_data, packed
from .history import History
from .layout import TOO_MUCH, LayoutError
from .looks import NO_SLOT, SLOTS, svg_look
from .nesting import EVERYTHING
from .play import Frame, Play, changes, make_play, rows, title_of, with_room
from .postmortem import Line
from .recording import Recording
from .saving import Shown, Writer
from .snapshot import GraphSnapshot, Tensor
from .summaries import gradients_of, saved_by_line, saved_by_module, saved_by_node
from .table import Table
from .transcript import (
    guilty_lines,
    make_alt,
    make_play_transcript,
    make_transcript,
    make_watch_transcript,
    place_in_words,
    sentence,
)
from .union import missing, unite, without

LEAST_BOXES = 4     # a coarser picture of fewer says nothing
PIXELS = 4 / 3      # in a point
SCALE = 0.7         # of a picture on the screen: the words in the boxes are about as large then as those around the picture
LEAST_TEXT = 12     # pixels
PADDING = 8         # pixels, around a picture
RECORD_MODULES = "run the forward pass again, in `with modules(net):`."
MOST_IN_FULL, MOST_IN_COMPACT = 5, 10       # nodes of a picture beside words: of more, it is coarser
MOST_BESIDE = 150   # boxes in it
HIGHEST = 470       # pixels, of a picture beside words: in JupyterLab on a screen of 1280 × 720, it is seen with its caption
LEAST_COLUMN = 220  # pixels, for the width of its caption
ERROR_COLOUR = "#c62828"        # white on it can be read, and it stands out from a light and from a dark page
MOST_OF_STILLS = 20_000     # characters, for the pictures of a watch where no scripts run


class Picture(Shown):
    """A picture that shows itself in Jupyter and has a text of its own.

    svg: the picture, an SVG string.
    alt: what the picture shows, in words.
    caption: a line under it.
    transcript: the text that stands for it where no picture can be shown; where it is empty, the alt text does.
    png: makes the same picture as PNG, where that can be done.
    """

    def __init__(self, svg: str, alt: str, caption: str = "", transcript: str = "", png: Writer | None = None) -> None:
        self._svg, self._alt, self._caption, self._transcript, self._png = svg, alt, caption, transcript or alt, png

    @property
    def svg(self) -> str:
        return self._svg

    @property
    def alt(self) -> str:
        return self._alt

    @property
    def caption(self) -> str:
        return self._caption

    @property
    def transcript(self) -> str:
        return self._transcript

    def _page_title(self) -> str:
        return self.caption or self.alt

    def _writers(self) -> dict[str, Writer]:
        return {".svg": lambda: self.svg, **({".png": self._png} if self._png else {}), ".html": self._page}

    def __repr__(self) -> str:
        return self.transcript

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": self.transcript, "text/html": self._figure()}

    def _figure(self) -> str:
        text = _details("The picture as text", self.transcript) if self.transcript != self.alt else ""
        return _figure(self.svg, self.alt, self.caption, text)


def _figure(svg: str, alt: str, caption: str, more: str = "") -> str:
    """A picture on a panel of its own, which is as wide as there is room, and scrolls where that is too little."""
    caption = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure style="margin: 0.5em 0">{_panel(svg, alt, *widths(svg))}{caption}{more}</figure>'


def _panel(svg: str, alt: str, width: int, least: int) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (f'<div class="picture" style="overflow-x: auto; padding: {PADDING}px; background: white; border-radius: 6px">'
            f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{data}" '
            f'style="display: block; width: {width}px; max-width: 100%; min-width: {least}px; --least: {least}px"></div>')


def widths(svg: str, height: float = math.inf) -> tuple[int, int]:
    """How wide a picture is shown, in pixels, and how wide at least where there is less room: no text gets too small.

    One scale for all, so that what stands alone is not larger; only a picture with smaller text gets a larger one, up to 1.
    height: the pixels that it should not be higher than, as long as no text gets too small.
    """
    points, tall = map(float, re.findall(r'<svg\b[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', svg)[0])
    # In points: Graphviz says them, and draws the whole at a scale; matplotlib gives each text a scale.
    sizes = [float(size) * float(scale) for scale in re.findall(r"scale\(([\d.]+) \1\) rotate", svg)
             for size in re.findall(r'font-size="([\d.]+)"', svg)]
    sizes += [100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -\1\)", svg)]
    least = min(1, LEAST_TEXT / (PIXELS * min(sizes, default=math.inf)))
    width = PIXELS * points
    return math.ceil(width * max(min(SCALE, height / (PIXELS * tall)), least)), math.ceil(width * least)


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary><pre>{html.escape(text)}</pre></details>"


def _row(titled: Iterable[tuple[str, str, str]], name: str = "row") -> str:
    """Figures side by side, each under its title, as long as their text can be read; then the row breaks.

    titled: a title, a picture, and the HTML of the figure that shows it. name: of the row.
    """
    figures = "".join(f'<div style="flex: {_share(svg)}; min-width: 0; margin-right: 1em">'
                      f"<p><strong>{html.escape(title)}</strong></p>{figure}</div>" for title, svg, figure in titled)
    return f'<div class="{name}" style="display: flex; flex-wrap: wrap">{figures}</div>'


def _share(svg: str) -> str:
    """What a picture takes of a row: at least its least width, and of the rest so much that all have one scale."""
    if not svg:     # the words on a graph that is too large to draw
        return "1 1 480px"
    width, least = widths(svg)
    return f"{max(1, width - least)} 1 {max(240, least + 2 * PADDING)}px"


class GraphView(Picture):
    """A computation graph at the moment when :func:`seegrad.show_graph` was called.

    snapshot: the facts, a :class:`seegrad.snapshot.GraphSnapshot`.
    detail: the level of detail, one of :data:`seegrad.diagram.LEVELS`.
    max_boxes: the most boxes that are drawn.
    depth: at the level "modules", how many modules inside each other are open; None for as many as there is room for.
    marks: what is guilty in it, each a :class:`seegrad.diagram.Mark`.
    diagram: what is drawn, a :class:`seegrad.diagram.Diagram`.
    is_too_large: whether that has more boxes.
    svg: the picture, or an empty string where the graph is too large to draw, or too much for Graphviz. It is drawn when it
        is first asked for.
    alt: what the picture shows, in a paragraph.
    caption: the counts in one line.
    transcript: the picture as text, or a summary where the graph is too large to draw.
    """

    def __init__(self, snapshot: GraphSnapshot, detail: Level | None, max_boxes: int, depth: int | None = None,
                 marks: tuple[Mark, ...] = ()) -> None:
        self.snapshot = snapshot
        self.detail = detail or level_for(snapshot, max_boxes)
        self.max_boxes = max_boxes
        self.depth = depth
        self.marks = marks

    @functools.cached_property
    def _changing(self) -> ChangingDiagram:
        return ChangingDiagram(self.snapshot, self.detail, depth=self.depth, marks=self.marks)

    @property
    def diagram(self) -> Diagram:
        return self._changing.first

    @property
    def is_too_large(self) -> bool:
        return len(self.diagram.boxes) > self.max_boxes

    @functools.cached_property
    def svg(self) -> str:
        return "" if self.is_too_large else _drawn(self.diagram, self.alt)

    @property
    def alt(self) -> str:
        return make_alt(self.diagram)

    @property
    def caption(self) -> str:
        return self.diagram.headline

    @functools.cached_property
    def transcript(self) -> str:
        return self._summary() if self.is_too_large else make_transcript(self.diagram)

    def mark(self, where: int | str, words: str, slot: str = "") -> "GraphView":
        """The same view with a mark on what is guilty in it: the sign ✗, a thick border, and words beside it.

        where: the number of a node, as in [4]; or the name that a tensor was given. words: what it is guilty of, in one short
        line. slot: what PyTorch calls the saved tensor that is meant, as in "other"; "" for the node itself. A level of detail
        that does not show a node or a slot by itself marks the box in which it is.

        Returns a new :class:`GraphView`; several marks are put on one after the other. Raises TypeError where words are no text,
        and where `where` is neither a number nor a name, and ValueError for a node, a name or a slot that is not in this graph.
        """
        if not isinstance(words, str) or not words.strip():
            raise TypeError("mark() was given no words: say in one short line what is wrong there.")
        mark = replace(self._place(where, slot), words=printable(words))
        return GraphView(self.snapshot, self.detail, self.max_boxes, self.depth, (*self.marks, mark))

    def _place(self, where: int | str, slot: str) -> Mark:
        nodes, tensors = self.snapshot.nodes, self.snapshot.tensors
        if isinstance(where, str):
            names = {name: i for i, tensor in enumerate(tensors) for name in tensor.names}
            if where not in names:
                raise ValueError(f"mark() was given the name {where!r}, which no tensor of this picture has: its names are "
                                 f"{', '.join(map(repr, names)) or 'none'}.")
            if slot:
                raise ValueError("mark() was given a slot of a tensor: only nodes have slots, so give the number of a node.")
            return Mark("", tensor=names[where])
        if not isinstance(where, int):
            raise TypeError(f"mark() was given a {type(where).__name__}: give the number of a node, as in 4, or the name of a "
                            "tensor.")
        if not 1 <= where <= len(nodes):
            raise ValueError(f"mark() was given the node {where}: this graph has the nodes 1 to {len(nodes)}.")
        slots = [saved.name for saved in nodes[where - 1].saved]
        if slot and slot not in slots:
            raise ValueError(f"mark() was given the slot {slot!r}: [{where}] {nodes[where - 1].name} has "
                             f"{', '.join(map(repr, slots)) or 'no slot'}.")
        return Mark("", node=where - 1, slot=slots.index(slot) if slot else None)

    @property
    def gradients(self) -> Table:
        """The gradients of the net's parameters as they were: those that are missing, and why, then from large to small.

        The parameters to which no way leads from what was given stand in front. A norm is the square root of the sum of
        squares. Returns a :class:`seegrad.table.Table`. Raises ValueError where the modules are not known.
        """
        if self.snapshot.modules is None:
            raise ValueError(f"the names of the parameters of this graph are not known: {RECORD_MODULES}")
        return gradients_of(self.snapshot)

    @property
    def saved(self) -> Table:
        """What the graph holds for backward: at the level "modules" a row for each module, with those inside it; else for each
        node. The most bytes first. Returns a :class:`seegrad.table.Table`."""
        return saved_by_module(self.snapshot) if self.detail == "modules" else saved_by_node(self.snapshot)

    def _to_save(self) -> Diagram:
        if self.is_too_large:
            raise ValueError(self._too_large())
        return self.diagram

    def _writers(self) -> dict[str, Writer]:
        return _graph_writers(self._to_save) | {".html": self._page}

    def _too_large(self) -> str:
        return too_many_boxes(self.snapshot, len(self.diagram.boxes), self.detail, self.max_boxes)

    def _summary(self) -> str:
        kinds = [f"{count:>6} {name}" for name, count in node_counts(self.snapshot)]
        return "\n".join([self.diagram.headline, self._too_large(), *guilty_lines(self.diagram), *kinds])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """A picture; at the level "modules", one whose modules open and fold where scripts run."""
        bundle = super()._repr_mimebundle_()
        if self._changing.folding is None or not self.svg:
            return bundle
        folding = self._changing.folding
        everything = ChangingDiagram(self.snapshot, "modules", depth=EVERYTHING, folding=folding, marks=self.marks)
        modules = modules_data(self.snapshot, everything, folding.opened)
        data = {"style": _style("modules.css"), "title": self.caption, **packed(modules)}
        more = _details("The picture as text", self.transcript)
        short = still(self.svg, self.diagram, self.diagram, frozenset(), ())
        stills = f'<div class="stills">{_figure(short, self.alt, self.caption)}</div>'
        return bundle | {"text/html": _interactive("modules", stills, more, data, "modules.js")}

    def _figure(self) -> str:
        if self.svg:
            return super()._figure()
        return _as_text(self.transcript, "" if self.is_too_large else TOO_MUCH)


def _as_text(transcript: str, why: str) -> str:
    """A transcript in the place of a picture. why: there is none, where the transcript does not say it."""
    words = f"{why}, so here it is as text.\n\n{transcript}" if why else transcript
    return f"<pre>{html.escape(words)}</pre>"


def _graph_writers(to_save: Callable[[], Diagram]) -> dict[str, Writer]:
    """How the picture of a graph is written to a file. to_save: raises ValueError where there is none."""
    def writer(drawn: Callable[[Diagram], str | bytes]) -> Writer:
        def write() -> str | bytes:
            try:
                return drawn(to_save())
            except LayoutError as error:
                raise ValueError(f"{error}.") from None
        return write
    return {".svg": writer(lambda diagram: draw(diagram, make_alt(diagram))), ".png": writer(draw_png)}


def _drawn(diagram: Diagram, alt: str) -> str:
    """The picture, or an empty string where it is too much for Graphviz."""
    try:
        return draw(diagram, alt)
    except LayoutError:
        return ""


def level_for(snapshot: GraphSnapshot, max_boxes: int) -> Level:
    """The level of detail at which a graph is shown where none is asked for."""
    if snapshot.modules is None:
        return "full"
    boxes = len(snapshot.nodes) + len(snapshot.leaves)      # at least
    too_large = boxes > max_boxes or len(make_diagram(snapshot, "full").boxes) > max_boxes
    return "modules" if too_large else "full"


def readable(snapshot: GraphSnapshot, parameters: Collection[str] = ()) -> GraphView:
    """A graph beside words, on one screen: at the finest level at which it fits. parameters: names that need no boxes where it is
    large."""
    nodes = len(snapshot.nodes)
    if nodes <= MOST_IN_COMPACT:
        return GraphView(snapshot, "full" if nodes <= MOST_IN_FULL else "compact", MOST_BESIDE)

    def without_box(tensor: Tensor) -> Tensor:
        has_other_names = not tensor.names or not set(parameters).issuperset(tensor.names)
        return tensor if has_other_names or not tensor.in_graph else replace(tensor, given=False)

    snapshot = replace(snapshot, tensors=tuple(map(without_box, snapshot.tensors)))
    return GraphView(snapshot, "modules" if snapshot.modules else "folded", MOST_BESIDE)


def too_many_boxes(snapshot: GraphSnapshot, boxes: int, detail: Level, max_boxes: int) -> str:
    by_modules = "" if snapshot.modules else "; of a network that ran in `with modules(net):`, each module is one box"
    return (f"This graph has {boxes} boxes at detail={detail!r}, too many to draw (the limit is max_boxes={max_boxes}): "
            f"{_coarser(snapshot, detail, max_boxes)}, or a larger max_boxes{by_modules}.")


def _coarser(snapshot: GraphSnapshot, detail: Level, max_boxes: int) -> str:
    """What to try where a picture is too large: the levels that are small enough, and say something."""
    coarser = [level for level in LEVELS[LEVELS.index(detail) + 1:] if level != "modules" or snapshot.modules]
    sizes = {level: len(make_diagram(snapshot, level).boxes) for level in coarser}
    fitting = [f'detail="{level}" ({size} boxes)' for level, size in sizes.items() if LEAST_BOXES <= size <= max_boxes]
    if fitting:
        return "try " + " or ".join(fitting)
    if all(size > max_boxes for size in sizes.values()):
        return "name fewer tensors"
    return 'name the tensors that matter, as in show_graph(loss, h=h), and try detail="folded"'


class SideBySide(Shown):
    """Pictures in a row, each under its title. Made by :func:`seegrad.side_by_side`.

    pictures: a dict from title to picture.
    """

    def __init__(self, pictures: dict[str, Picture]) -> None:
        self.pictures = pictures

    def __repr__(self) -> str:
        return "\n\n".join(f"{title}\n{picture!r}" for title, picture in self.pictures.items())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        row = _row((title, picture.svg, picture._figure()) for title, picture in self.pictures.items())
        return {"text/plain": repr(self), "text/html": row}


class BackwardPlay(Shown):
    """A backward pass, to be stepped through. Made by :func:`seegrad.play_backward`.

    recording: the facts, a :class:`seegrad.recording.Recording`.
    detail: the level of detail, one of :data:`seegrad.diagram.LEVELS`.
    max_boxes: the most boxes, and the most steps, that are shown.
    error: what backward raised, or None.
    transcript: the steps as text.
    """

    def __init__(self, recording: Recording, detail: Level, max_boxes: int, depth: int | None = None) -> None:
        self.recording, self.detail, self.max_boxes, self.depth = recording, detail, max_boxes, depth

    @property
    def error(self) -> Exception | None:
        return self.recording.error

    @functools.cached_property
    def _too_large(self) -> str:
        """The sentence to show in place of a play with too many steps, or an empty string."""
        home = make_diagram(self.recording.before, self.detail, self.depth).home
        steps = sum(1 for _ in itertools.groupby(home[step.node] for step in self.recording.steps))
        if steps <= self.max_boxes:
            return ""
        return (f"{title_of(self.recording)}: {len(self.recording.steps)} nodes ran. This play has {steps} steps, too many to "
                f"show (the limit is max_boxes={self.max_boxes}): try fewer named tensors, or a larger max_boxes.")

    @functools.cached_property
    def _play(self) -> Play:
        return make_play(self.recording, self.detail, self.depth)

    @property
    def transcript(self) -> str:
        return self._too_large or make_play_transcript(self._play)

    def __repr__(self) -> str:
        return self.transcript

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": self.transcript, "text/html": _as_text(self.transcript, "") if self._too_large else self._player()}

    def _to_save(self) -> Diagram:
        if self._too_large:
            raise ValueError(self._too_large)
        return self._play.last

    def _writers(self) -> dict[str, Writer]:
        return _graph_writers(self._to_save) | {".html": self._page}

    def _player(self) -> str:
        """Two stills and the steps as text; where scripts run, a player takes the place of the stills."""
        play = self._play
        first, end = "before backward", "where it stopped" if self.error else "after backward"
        first_alt, last_alt = make_alt(play.first), make_alt(play.last)
        pictures = _drawn(with_room(play), first_alt), _drawn(play.last, last_alt)
        if not all(pictures):
            return _as_text(self.transcript, TOO_MUCH)
        stills = _row([(first, pictures[0], _figure(pictures[0], first_alt, play.first.headline)),
                       (end, pictures[1], _figure(pictures[1], last_alt, play.ending))], "stills")
        return _player(play, pictures[0], stills, self.transcript)


class Watch(Shown):
    """Code that ran, to be stepped through line by line. Made by :func:`seegrad.watch` and by ``%%watch``.

    play: what happened, a :class:`seegrad.play.Play` with code.
    history: the facts, which line did what, a :class:`seegrad.history.History`; None where the play was not made from one.
    result: what a function returned.
    transcript: the steps as text.
    """

    def __init__(self, play: Play, history: History | None = None, result: object = None) -> None:
        self.play, self.history, self.result = play, history, result

    @functools.cached_property
    def transcript(self) -> str:
        return make_watch_transcript(self.play)

    def __repr__(self) -> str:
        return self.transcript

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": self.transcript, "text/html": self._player()}

    @property
    def saved(self) -> Table:
        """What the nodes that each line made have saved for backward, the most bytes first: a :class:`seegrad.table.Table`.

        Raises ValueError where no history is known.
        """
        if self.history is None:
            raise ValueError("it is not known which line saved what: this play was not made from code that ran.")
        return saved_by_line(self.history)

    def _to_save(self) -> Diagram:
        if not self.play.last.boxes:
            raise ValueError("there was no graph while this code ran, so there is no picture to save: let the path end in .html.")
        return self.play.last

    def _writers(self) -> dict[str, Writer]:
        return _graph_writers(self._to_save) | {".html": self._page}

    def _player(self) -> str:
        """The lines that ran, and a picture after each that changed the graph; where scripts run, a player in their place."""
        play = self.play
        svg = _drawn(with_room(play), f"All boxes of {play.title}") if play.first.boxes else ""
        stills = _steps_as_stills(play, svg)
        why = f"<p>{TOO_MUCH}, so there is no picture.</p>" if play.first.boxes and not svg else ""
        return _player(play, svg, f'<div class="stills">{stills}</div>{why}', self.transcript)


class Explanation(Shown):
    """What an error means, or why a tensor is as it is. Made by :func:`seegrad.explain`, and by ``%load_ext seegrad``.

    title: what this is, in a line: of an error, the case.
    line: the line of the user's code through which an error came, a :class:`seegrad.postmortem.Line`, or None.
    facts: what is known, a sentence each, without its full stop.
    fix: what to do; may be empty.
    hint: how more can be known; may be empty.
    cases: those of the error clinic that it is of, each a :class:`seegrad.cases.Case`, the nearest first; may be empty.
    picture: the graph as it was left, with a mark on what is guilty, or None.
    transcript: all of it as text.
    """

    def __init__(self, title: str, line: Line | None, facts: Sequence[str], fix: str = "", hint: str = "",
                 cases: Sequence[Case] = (), picture: GraphView | None = None) -> None:
        self.title, self.line, self.facts, self.fix, self.hint = title, line, tuple(facts), fix, hint
        self.cases, self.picture = tuple(cases), picture

    @property
    def transcript(self) -> str:
        more = f"More: {'; '.join(map(_where, self.cases))}." if self.cases else ""
        lines = [self.title, f"{self.line.words}: {self.line.text}" if self.line else "", *self._sentences(), more]
        return "\n".join([*map(printable, filter(None, lines)), *([repr(self.picture)] if self.picture else [])])

    def __repr__(self) -> str:
        return self.transcript

    def _sentences(self) -> Iterator[str]:
        """All that is said, a sentence each; an empty one where there is nothing to say."""
        yield from (f"{fact[0].upper()}{fact[1:]}." for fact in self.facts)
        yield f"Fix: {self.fix}." if self.fix else ""
        yield f"{self.hint}." if self.hint else ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        words = [f'<p style="margin: 0.2em 0 0.6em"><strong>{html.escape(self.title)}</strong></p>']
        if self.line:
            words.append(f"<p>{html.escape(self.line.words)}: <code>{html.escape(self.line.text)}</code></p>")
        for said in filter(None, self._sentences()):
            shown = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(said))
            shown = re.sub("^Fix:", "<strong>Fix:</strong>", shown)
            words.append(f'<p style="margin: 0.4em 0">{shown}</p>')
        if self.cases:
            words.append(f'<p style="margin: 0.4em 0">More: {"; ".join(map(_link, self.cases))}.</p>')
        return {"text/plain": self.transcript, "text/html": beside("".join(words), self.picture, ERROR_COLOUR, "explanation")}

    def _writers(self) -> dict[str, Writer]:
        return {".html": self._page}


def _where(case: Case) -> str:
    return f"error clinic, case {case.number} ({case.notebook})"


def _link(case: Case) -> str:
    """Where a case stands; a link where the clinic is in this folder."""
    words = html.escape(f"case {case.number}, {case.title}")
    try:
        cells = json.loads(Path(case.notebook).read_text(encoding="utf-8"))["cells"]
        # JupyterLab jumps to a cell of another notebook, and not always to a heading.
        place = next(cell["id"] for cell in cells if "".join(cell["source"]).startswith(f"## {case.heading}"))
    except (OSError, ValueError, LookupError, StopIteration):
        return f"error clinic, {words}"
    return f'<a href="{html.escape(case.notebook)}#cell-id={html.escape(place)}">{words}</a>'


def beside(words: str, picture: Shown | None, colour: str, name: str) -> str:
    """Words, and a picture beside them where there is room, behind a line of some colour.

    words: HTML. picture: it becomes no wider than it should be, and so no higher than fits on a screen of 1280 × 720 with its
    caption and the words. name: the class of the element.
    """
    column = ""
    if picture is not None:
        room = ""
        if isinstance(picture, Picture) and picture.svg:
            width, _ = widths(picture.svg, HIGHEST)
            room = f"; max-width: {max(LEAST_COLUMN, width + 2 * PADDING)}px"
        shown = picture._repr_mimebundle_()["text/html"]
        column = f'<div style="flex: 2 1 400px; min-width: 0; overflow-x: auto{room}">{shown}</div>'
    return (f'<div class="{name}" style="display: flex; flex-wrap: wrap; gap: 0 1.5em; margin: 0.3em 0; padding: 0 0.8em; '
            f'border-left: 5px solid {colour}"><div style="flex: 1 1 300px; min-width: 0">{words}</div>{column}</div>')


def _player(play: Play, svg: str, stills: str, transcript: str) -> str:
    """The HTML of a play. svg: its picture, empty where there is none. stills: what is shown where no scripts run."""
    opens = play.inside is not None
    shown = play.inside.play if play.inside else play
    data: dict[str, object] = {
        "title": shown.title, "start": play.first.headline, "bytes": play.first_bytes, "end": play.ending,
        "style": _style(*["modules.css"] * opens), "absent": sorted(shown.absent),
        "sources": [dataclasses.asdict(source) for source in play.sources], "frames": list(_frames(shown, opens))}
    if play.inside:
        data["modules"] = packed(play.inside.modules)
    elif svg:
        data["picture"] = _picture(svg) | ({"svg": svg} if play.sources else {})        # of a backward, it is the first still
    return _interactive("play", stills, _details("The steps as text", transcript), data, *["modules.js"] * opens, "player.js")


def _frames(play: Play, by_slots: bool) -> Iterator[dict[str, object]]:
    """What the player needs of each step. by_slots: whether a change of a node is told by the states of its slots."""
    for frame, changed in zip(play.frames, changes(play)):
        shown: dict[str, object] = {
            "box": frame.box, "arrows": [["->".join(arrow), frame.numbers.get(arrow, "")] for arrow in frame.arrows],
            "says": sentence(frame, play.sources), "bytes": frame.held_bytes.known, "stops": not frame.finished,
            "changes": _by_slots(frame, changed) if by_slots else changed, "run": frame.run}
        of_code = {"line": frame.line, "lit": frame.lit, "comes": frame.comes, "goes": frame.goes, "names": {
            name: row and [row.value, row.requires_grad, row.grad, row.version] for name, row in frame.names.items()}}
        yield shown | {key: value for key, value in of_code.items() if value}


def _by_slots(frame: Frame, changed: Iterable[tuple[str, int, str, str]]) -> list[Iterable[object]]:
    """The changes of tensors as they are; of each node the states of its slots, a letter for each."""
    return [*(change for change in changed if change[0].startswith("t")),
            *((f"n{i + 1}", "".join(slot.state[0] for slot in node.saved)) for i, node in frame.nodes.items() if node.saved)]


def _picture(svg: str) -> dict[str, object]:
    """What a script needs to change a picture."""
    width, least = widths(svg)
    return {"width": width, "least": least,
            "looks": {state: svg_look(look) for state, look in {**SLOTS, "": NO_SLOT}.items()}}


def _steps_as_stills(play: Play, svg: str) -> str:
    """The lines of code as they ran, and what is said of each; the graph after those that changed it, folded.

    svg: the picture of all boxes, empty where there is none.
    """
    parts, folds = [f"<p><strong>{html.escape(play.title)}</strong></p><p>before: {html.escape(play.first.headline)}</p>"], {}
    room, changed = with_room(play), False
    for frame, then, (moment, gone) in zip(play.frames, (*play.frames[1:], None), _moments(play)):
        words = html.escape(sentence(frame, play.sources))
        code = "" if frame.box else f"<pre>{html.escape(_code(frame, play))}</pre>"
        parts.append(f'{code}<p style="margin-left: {2 * bool(frame.box)}em">{words}</p>')
        changed |= bool(frame.boxes or frame.comes or frame.goes)
        if svg and changed and not (frame.box and then and then.box and then.run == frame.run):     # one for all its nodes
            changed = False
            title = f"the graph after {'this backward' if frame.box else place_in_words(frame, play.sources)}"
            panel = _panel(still(svg, room, moment, gone, frame.lit), make_alt(replace(moment, headline=title)), *widths(svg))
            folds[len(parts) - 1] = f"<details><summary>{title[0].upper()}{title[1:]}</summary>{panel}</details>"
    kept = list(folds)
    while sum(len(folds[place]) for place in kept) > MOST_OF_STILLS and len(kept) > 1:
        kept = kept[::-2][::-1]     # the last stays
    for place in kept:
        parts[place] += folds[place]
    if len(kept) < len(folds):
        parts.append("<p>Some lines have no picture here, so that the notebook stays small. Run the cell to see them all.</p>")
    return "".join([*parts, f"<p>{html.escape(play.ending)}</p>"])


def _code(frame: Frame, play: Play) -> str:
    """The line of code that ran."""
    if frame.line is None:
        return ""
    source, number = play.sources[frame.line[0]], frame.line[1]
    return source.lines[number - source.first]


def _moments(play: Play) -> Iterator[tuple[Diagram, frozenset[str]]]:
    """After each frame, what is there of the picture of all boxes, and the keys of those of it that are gone."""
    now = {box.key: box for box in play.first.boxes}
    absent, gone = set(play.absent), set[str]()
    for frame in play.frames:
        now.update((box.key, box) for box in frame.boxes)
        absent -= {*frame.comes}
        gone = gone - {*frame.comes} | {*frame.goes}
        yield without(replace(play.first, boxes=tuple(now.values())), absent), frozenset(gone)


def _words(value: object) -> str:
    """A choice in words: a function by its name, because its address is another one in each run."""
    return printable(getattr(value, "__name__", None) or re.sub(r" at 0x[0-9a-f]+", "", str(value)))


class WhatIf(Shown):
    """A picture for each combination of choices, of which a reader sees one at a time. Made by :func:`seegrad.what_if`.

    choices: a dict from name to its values.
    pictures: a picture for each combination, in the order of itertools.product.
    titles: what was chosen for each picture, in words.
    """

    def __init__(self, choices: dict[str, list[object]], pictures: list[Picture]) -> None:
        self.choices, self.pictures = choices, pictures

    @property
    def titles(self) -> list[str]:
        return [", ".join(f"{printable(name)}: {_words(value)}" for name, value in zip(self.choices, values))
                for values in itertools.product(*self.choices.values())]

    def __repr__(self) -> str:
        return "\n\n".join(f"{title}\n{picture!r}" for title, picture in zip(self.titles, self.pictures))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        stills = _row(((title, picture.svg, picture._figure()) for title, picture in zip(self.titles, self.pictures)), "stills")
        data = {"style": _style(), "titles": self.titles, **self._united(),
                "choices": [[printable(name), list(map(_words, values))] for name, values in self.choices.items()]}
        return {"text/plain": repr(self), "text/html": _interactive("what-if", stills, "", data, "what_if.js")}

    def _united(self) -> dict[str, object]:
        """The graphs as one picture in which their boxes keep their places, and for each graph how it differs from that.

        Nothing where not all pictures are graphs, where one has a mark, or where that picture would be too large.
        """
        graphs = [picture for picture in self.pictures if isinstance(picture, GraphView) and picture.svg]
        if len(graphs) < len(self.pictures) or any(graph.marks for graph in graphs):
            return {}
        union, diagrams = unite([graph.diagram for graph in graphs])
        svg = _drawn(union, "All graphs") if len(union.boxes) <= max(graph.max_boxes for graph in graphs) else ""
        if not svg:
            return {}
        room = {box.key: box for box in union.boxes}
        shown = []
        for one in diagrams:
            changed = [(box.key, number, *row) for box in one.boxes
                       for number, (row, usual) in enumerate(zip(rows(box, room[box.key]), rows(room[box.key], room[box.key])))
                       if row != usual]
            shown.append({"says": one.headline, "absent": list(missing(union, one)), "changes": changed})
        return {"picture": _picture(svg) | {"svg": svg}, "shown": shown}


def _interactive(kind: str, stills: str, more: str, data: Mapping[str, object], *scripts: str) -> str:
    """Stills that scripts, where scripts run, make into something to play with.

    kind: of the figure, by which the scripts find it. data: what they need.
    """
    # "</" would end the script element, and "<!--" keep it open, wherever they stand.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")
    code = "\n".join(map(_inlined, ("interactive.js", *scripts)))
    return (f'<figure class="seegrad {kind}" style="margin: 0.5em 0">{stills}{more}'
            f'<script type="application/json">{text}</script><script>(() => {{\n{code}\n}})();</script></figure>')


def _style(*more: str) -> str:
    """What all figures look like. more: files with what only this one needs."""
    return "\n".join(map(_inlined, ("player.css", *more)))


@functools.cache
def _inlined(name: str) -> str:
    """A file of this package, without its comments and indentation."""
    lines = (line.strip() for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines())
    return "\n".join(line.partition("      // ")[0] for line in lines if line and not line.startswith("//"))
