"""The frames of a watch: code that ran line by line, as a reader sees it and is told of it.

Plain data, made from a history and drawn at one level of detail. Nothing here knows PyTorch, DOT or HTML.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .causes import cause_of, line_in_words, names_of_line
from .diagram import (
    LEVELS,
    ChangingDiagram,
    Level,
    Origins,
    bytes_in_words,
    count_in_words,
    headline,
    printable,
    short_name,
    short_names,
)
from .history import Event, History, make_history
from .play import Frame, Play, Row, frames_of, title_of
from .snapshot import CHANGED, FREED, Bytes, GraphSnapshot, Node, SavedTensor, Tensor
from .tracing import Place, Trace, Value

MOST_BOXES = 60     # of the finest level that is drawn
MOST_TOLD = 3       # nodes, names or slots that a sentence tells one by one
MOST_NAMES = 6      # that a sentence lists
MOST_ROWS = 12      # of the table of names
NOTHING = "changes nothing in a graph"
NOT_RECORDED = "nothing is recorded here"


def tell(trace: Trace, detail: Level | None = None) -> tuple[Play, History]:
    """Return what a reader sees of code that ran, and its facts. detail: None for the finest level that is not too large.

    At the coarsest level, the parameters of modules have no boxes of their own.
    """
    history = make_history(trace)
    level = detail or _finest(history)
    if level == LEVELS[-1]:
        history = make_history(trace, name_parameters=False)
    return make_watch(history, level), history


def make_watch(history: History, detail: Level = "full") -> Play:
    """Return the :class:`seegrad.play.Play` of code that was watched, drawn at one level of detail."""
    return _Watching(history, detail).play()


def _finest(history: History) -> Level:
    for level in LEVELS[:-1]:
        if len(ChangingDiagram(history.union, level).first.boxes) <= MOST_BOXES:
            return level
    return LEVELS[-1]


class _Watching:
    """Tells a history, event by event.

    changing: the diagram of all that there ever was.
    words: the words for each tensor that has a name.
    nodes, tensors: all that was seen so far, as it is now.
    alive: the nodes that are there now.
    present: the tensors that are there now.
    there: the keys of the boxes that the last frame left there.
    values: what each name stands for now.
    rows: the same in words, as the last frame left it.
    new: the nodes and the tensors that have changed since the last frame.
    freed: the nodes that were freed since then.
    runs: how many backward passes there were.
    filled: the tensors whose `.grad` the last step of a backward pass has told.
    """

    def __init__(self, history: History, detail: Level) -> None:
        self.history, self.union = history, history.union
        self.changing = ChangingDiagram(self.union, detail, self.versioned(), self.origins())
        short = short_names(self.union)
        self.words = {k: " = ".join(short[name] for name in tensor.names)
                      for k, tensor in enumerate(self.union.tensors) if tensor.names}
        self.nodes: dict[int, Node] = {}
        self.tensors: dict[int, Tensor] = {}
        self.alive: set[int] = set()
        self.present: set[int] = set()
        self.there: set[str] = set()
        self.values: dict[str, Value] = {}
        self.rows: dict[str, Row] = {}
        self.new: tuple[dict[int, Node], dict[int, Tensor]] = {}, {}
        self.freed: list[int] = []
        self.runs = 0
        self.filled: set[int] = set()

    def origins(self) -> Origins:
        """The lines of code behind the nodes and the slots."""
        nodes = {i: line_in_words(origin.made, self.history) for i, origin in enumerate(self.history.nodes)
                 if origin.made and self.union.nodes[i].leaf is None}
        slots = {}
        for (i, k), origin in self.history.slots.items():
            for state, place in ((CHANGED, origin.changed), (FREED, origin.freed)):
                if place:
                    slots[i, k, state] = f"by {line_in_words(place, self.history)}"
        return Origins(nodes, slots)

    def versioned(self) -> Iterator[int]:
        """The tensors that are changed in place."""
        for event in self.history.events:
            for k, tensor in event.tensors.items():
                if tensor.version != self.union.tensors[k].version:
                    yield k

    def play(self) -> Play:
        before = self.history.before
        self.changing.update({}, {}, range(len(self.union.nodes)))
        self.take(before)
        start = self.frame(before, "")
        first, held = replace(self.changing.first, headline=self.headline()), self.held()
        there = frozenset(self.there)
        frames: list[Frame] = []
        for event in self.history.events:
            parts = list(self.parts(event))
            self.take(event)
            frame = self.frame(event, "; ".join(parts) or (NOTHING if any(event.moment.records) else NOT_RECORDED))
            if parts or self.is_told(event) or not frames:
                frames.append(frame)
            else:       # a line goes on after a call, and does nothing that can be told
                frames[-1] = _and_then(frames[-1], frame)
            frames += self.steps(event)
        if frames:      # the first frame brings in the names that stood for something before it
            frames[0] = replace(frames[0], names={**start.names, **frames[0].names})
        sources = self.history.sources
        boxes = {box.key: box for box in first.boxes} | {box.key: box for frame in frames for box in frame.boxes}
        last = replace(first, headline=self.headline(), boxes=tuple(boxes.values()))
        title = f"{sources[0].title if sources else 'code'}: {len(frames)} step{'s' * (len(frames) != 1)}"
        return Play(title, first, held.known, tuple(frames), last, self.ending(), sources,
                    frozenset(box.key for box in first.boxes) - there)

    def is_told(self, event: Event) -> bool:
        """Whether a line is a step even if it did nothing: the beginning of one outside of the functions that are called."""
        outside = self.history.events[0].moment.place.function
        return event.moment.begins and (event.moment.place.function == outside or not any(event.moment.records))

    def steps(self, event: Event) -> Iterator[Frame]:
        """The frames of the backward pass that a line runs."""
        self.filled.clear()
        if event.backward is None:
            return
        self.runs += 1
        for frame in frames_of(event.backward, self.changing):
            yield replace(frame, run=self.runs, line=_line(event.moment.place))
        for nodes, tensors in event.backward.updates():
            self.nodes.update(nodes)
            self.tensors.update(tensors)
            self.filled |= set(tensors)

    def take(self, event: Event) -> None:
        """Let an event have happened."""
        self.nodes.update(event.nodes)
        self.tensors.update(event.tensors)
        self.new[0].update(event.nodes)
        self.new[1].update(event.tensors)
        self.freed += event.freed
        self.alive |= set(event.new_nodes)
        self.alive -= set(event.freed)
        self.present |= set(event.new_tensors)
        self.present -= set(event.lost)
        self.values = dict(event.moment.names)

    def frame(self, event: Event, says: str) -> Frame:
        rows = self.rows_of(event)
        changed = self.changing.update(*self.new, self.freed)
        self.new, self.freed = ({}, {}), []
        there = {self.changing.first.home[i] for i in self.alive}
        there |= {self.changing.home[k] for k in self.present if k in self.changing.home}
        comes, goes = there - self.there, self.there - there
        lit = comes | {box.key for box in changed} & there
        names: dict[str, Row | None] = {name: row for name, row in rows.items() if self.rows.get(name) != row}
        names |= dict.fromkeys(self.rows.keys() - rows.keys())
        self.there, self.rows = there, rows
        in_order = [box.key for box in self.changing.first.boxes]
        ordered = [tuple(key for key in in_order if key in keys) for keys in (lit, comes, goes)]
        return Frame("", (), {}, says, changed, self.held(), True, self.runs, _line(event.moment.place), ordered[0], ordered[1],
                     ordered[2], names)

    def rows_of(self, event: Event) -> dict[str, Row]:
        return {name: Row(value.words, value.requires_grad, value.grad or "None", value.version)
                for name, value in itertools.islice(event.moment.names.items(), MOST_ROWS)}

    def now(self) -> GraphSnapshot:
        """The nodes that are there."""
        tensors = tuple(self.tensors.get(k, tensor) for k, tensor in enumerate(self.union.tensors))
        return replace(self.union, nodes=tuple(self.nodes[i] for i in sorted(self.alive)), tensors=tensors)

    def headline(self) -> str:
        return headline(self.now()) if self.alive or not self.nodes else "no node is left"

    def held(self) -> Bytes:
        return self.union.bytes_of(slot for i in self.alive for slot in self.nodes[i].saved)

    def ending(self) -> str:
        failure, more = self.history.failure, self.history.more
        left = f"; {more} more lines ran, which are not shown" if more else ""
        left += "; what came then could not be read" * (not self.history.whole)
        if failure is None:
            return f"finished: {self.headline()}{left}"
        message = printable(failure.message.partition(". ")[0].partition("\n")[0]).rstrip(".")
        where = f"stopped at {line_in_words(failure.place, self.history)}" if failure.place else "stopped"
        article = "an" if failure.kind[0] in "AEIO" else "a"       # a UserWarning
        cause = cause_of(failure, self.history)
        return f"{where} by {article} {failure.kind}{': ' * bool(message)}{message}{left}." + f" Why: {cause}." * bool(cause)

    # What a line did, part by part.

    def parts(self, event: Event) -> Iterator[str]:
        moment = event.moment
        if moment.fold is not None:
            fold = moment.fold
            like = f"as {fold.first - 1}" if fold.alike else "not all alike"
            passes = count_in_words(fold.passes, "backward pass", "backward passes")
            yield f"iterations {fold.first}–{fold.last}, {like}: {count_in_words(fold.nodes, 'node')} made, {passes}"
        if moment.begins and moment.records[0] != moment.records[1] and not moment.calls and moment.fold is None:
            yield "operations are recorded again" if moment.records[1] else "from here on, operations are not recorded"
        yield from self.made(event)
        yield from self.bound(event)
        yield from self.changed(event)
        yield from self.graded(event)
        yield from self.let_go(event)
        if event.backward is not None:
            yield f"runs {title_of(event.backward)}" if moment.fills else f"asks for gradients: {title_of(event.backward)}"
        if moment.calls:
            yield f"calls {moment.calls}()"

    def made(self, event: Event) -> Iterator[str]:
        place = event.moment.place
        nodes = [i for i in event.new_nodes if event.nodes[i].leaf is None and self.history.nodes[i].made == place]
        if 0 < len(nodes) <= MOST_TOLD:
            yield f"makes {_listed([self.node(i, event.nodes[i]) for i in nodes])}"
            for i in nodes:
                slots = [slot for slot in event.nodes[i].saved if slot.state != FREED]
                if slots:
                    which = "it" if len(nodes) == 1 else f"[{i + 1}]"
                    words = dict.fromkeys(self.slot(i, slot) for slot in slots)
                    yield f"{which} saves {_listed(list(words))} ({bytes_in_words(self.union.bytes_of(slots))})"
        elif nodes:
            slots = [slot for i in nodes for slot in event.nodes[i].saved]
            size = f"{count_in_words(len(slots), 'tensor')} ({bytes_in_words(self.union.bytes_of(slots))})"
            saves = f", which save {size}" if slots else ""
            yield f"makes {len(nodes)} nodes, [{nodes[0] + 1}] to [{nodes[-1] + 1}]{saves}"
        for i in event.new_nodes:
            origin = self.history.nodes[i].made
            if event.nodes[i].leaf is None and origin is not None and origin != place and event.moment.fold is None:
                yield f"{self.node(i, event.nodes[i])} was made by {line_in_words(origin, self.history, place)}"
        # Not every number is a node that a reader could know of: a Function that is applied to untracked tensors takes one.
        if event.passing and any(name in self.values and self.values[name].requires_grad for name in
                                 names_of_line(place, self.history)) and not self.calls_functions(event):
            yield f"makes {count_in_words(event.passing, 'node')}{' more' * bool(nodes)} that no name leads to"

    def calls_functions(self, event: Event) -> bool:
        """Whether a line, which may go on after a call, runs watched functions."""
        return bool(event.moment.calls) or not event.moment.begins

    def node(self, i: int, node: Node) -> str:
        return f"[{i + 1}] {short_name(node.name)}"

    def slot(self, i: int, slot: SavedTensor) -> str:
        if slot.holds is None:
            return slot.name if slot.views not in self.words else f"a view of {self.words[slot.views]}"
        producer, words = self.union.tensors[slot.holds].producer, self.words.get(slot.holds, slot.name)
        return f"its result {words}" if producer is not None and producer.node == i else words

    def bound(self, event: Event) -> Iterator[str]:
        """The names that stand for another tensor now."""
        known = {value.tensor for value in self.values.values()}
        new: dict[tuple[int, str], list[str]] = {}
        gone = [name for name, value in self.values.items()
                if name not in event.moment.names and value.function == event.moment.place.function]
        for name, value in event.moment.names.items():
            if name not in self.values or self.values[name].tensor != value.tensor:
                again = value.tensor in known
                if not (again and event.moment.place.function):       # what a function calls its arguments
                    new.setdefault((value.tensor, self.what(event, name, value, again)), []).append(name)
        if len(new) <= MOST_TOLD:
            for (_, what), names in new.items():
                yield f"{names[0]} is {what}" if len(names) == 1 else f"{_listed(names)} are one tensor: {what}"
        else:
            names = [name for alike in new.values() for name in alike]
            yield f"{_listed(names) if len(names) <= MOST_NAMES else f'{len(names)} names'} stand for new tensors"
        if 0 < len(gone) <= MOST_NAMES:
            yield f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} gone"
        elif gone:
            yield f"{len(gone)} names are gone"

    def what(self, event: Event, name: str, value: Value, again: bool) -> str:
        """What a name stands for now."""
        if again:
            other = next(other for other, old in self.values.items() if old.tensor == value.tensor)
            return f"the tensor that {other} was" if other not in event.moment.names or other == name else f"{other} itself"
        k = event.names.get(name)
        tensor = None if k is None else event.tensors.get(k) or self.tensors.get(k)
        if tensor is None:
            return "a new tensor"
        if tensor.producer is not None:
            i = tensor.producer.node
            made = [j for j in event.new_nodes if event.nodes[j].leaf is None]
            alone = made == [i] and self.history.nodes[i].made == event.moment.place
            return "its result" if alone else f"the result of [{i + 1}]"
        words = "a leaf" if tensor.requires_grad else "outside the graph"
        others = [other for j, other in self.tensors.items() if j in self.present and j != k and j in self.words
                  and tensor.storage is not None and other.storage == tensor.storage]
        if others:
            first = others[0]
            counter = ("" if None in (tensor.counter, first.counter)
                       else " and version counter" if first.counter == tensor.counter else ", not the version counter,")
            words += f", and shares memory{counter} with {first.names[0]}"
        return words

    def changed(self, event: Event) -> Iterator[str]:
        """What was changed in place, and who had saved it."""
        told: list[str] = []
        groups: set[object] = set()
        written = names_of_line(event.moment.place, self.history)
        for name, value in sorted(event.moment.names.items(), key=lambda item: item[0] not in written):
            old = self.values.get(name)
            if old is None or old.tensor != value.tensor:
                continue
            tensor = self.tensors.get(event.names.get(name, -1)) or event.tensors.get(event.names.get(name, -1))
            counted = old.version != value.version
            if not counted and old.content == value.content:
                continue
            group = (tensor.storage, tensor.counter, counted) if tensor and tensor.storage is not None else name
            if group not in groups:
                groups.add(group)
                told.append(f"changes {name} in place: version {old.version} → {value.version}" if counted else
                            f"changes the numbers of {name} and not its version")
        counters = {self.tensors[k].counter for k in event.names.values() if k in self.tensors} - {None}
        others = [k for k, tensor in event.tensors.items() if k in self.tensors and k not in event.names.values()
                  and tensor.version != self.tensors[k].version and tensor.counter not in counters]
        named = [k for k in others if k in self.words]
        told += [f"changes {self.words[k]} in place: version {self.tensors[k].version} → {event.tensors[k].version}"
                 for k in named]
        if len(named) < len(others):
            told.append(f"changes {count_in_words(len(others) - len(named), 'tensor')} without a name in place")
        if len(told) <= MOST_TOLD:
            yield from told
        else:
            yield f"changes {len(told)} tensors in place"
        for i, k, unnoticed in self.newly_changed(event):
            made = self.history.nodes[i].made
            who = f"▲ [{i + 1}]" + (f" of {line_in_words(made, self.history, event.moment.place)}" if made else "")
            versions = event.nodes[i].saved[k].versions
            yield (f"{who} has saved it, and PyTorch does not notice" if unnoticed
                   else f"{who} has saved version {versions[0]}" if versions else f"{who} has saved it")

    def newly_changed(self, event: Event) -> list[tuple[int, int, bool]]:
        """The slots that this event changed: (index of a node, index of a slot, whether PyTorch does not notice)."""
        found = []
        for i, node in event.nodes.items():
            old = self.nodes.get(i)
            for k, slot in enumerate(node.saved):
                origin = self.history.slots.get((i, k))
                was = old.saved[k] if old is not None and k < len(old.saved) else None
                if origin is None or origin.changed != event.moment.place or was is None:
                    continue
                if slot.state == CHANGED != was.state:
                    found.append((i, k, False))
                elif origin.unnoticed and slot.content != was.content:
                    found.append((i, k, True))
        return found[:MOST_TOLD]

    def graded(self, event: Event) -> Iterator[str]:
        """What became of the flags and the gradients of tensors, other than by a backward pass."""
        told = []
        for name, value in event.moment.names.items():
            old = self.values.get(name)
            if old is None or old.tensor != value.tensor:
                continue
            if old.requires_grad != value.requires_grad:
                told.append(f"{name} is {'tracked from now on' if value.requires_grad else 'no longer tracked'}")
            if old.grad != value.grad and event.names.get(name) not in self.filled:
                told.append(f"{name}.grad: {old.grad} → {value.grad}")
        if len(told) <= MOST_TOLD:
            yield from told
        else:
            yield f"changes the gradients of {len(told)} tensors"

    def let_go(self, event: Event) -> Iterator[str]:
        nodes = [i for i in event.freed if event.nodes.get(i, self.nodes.get(i, _NO_NODE)).leaf is None]
        if not nodes:
            return
        before = self.held().known
        after = self.union.bytes_of(slot for i in self.alive - set(event.freed) for slot in self.nodes[i].saved).known
        which = (_listed([f"[{i + 1}]" for i in nodes]) if len(nodes) <= MOST_TOLD
                 else f"{len(nodes)} nodes, [{min(nodes) + 1}] to [{max(nodes) + 1}]")
        yield f"lets go of {which}" + (f": {before - after:,} B are free" if before > after else "")


def _and_then(frame: Frame, more: Frame) -> Frame:
    """A frame that has done what another one has done too."""
    boxes = {box.key: box for box in (*frame.boxes, *more.boxes)}
    return replace(frame, boxes=tuple(boxes.values()), held_bytes=more.held_bytes, comes=frame.comes + more.comes,
                   goes=frame.goes + more.goes, names={**frame.names, **more.names})


def _line(place: Place) -> tuple[int, int]:
    return place.source, place.line


def _listed(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


_NO_NODE = Node("", (), (), (None,))
