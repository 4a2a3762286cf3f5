"""What a reader asks of a whole network, as tables: its gradients, and the memory that it holds for backward."""

import math
from collections.abc import Sequence

from .causes import line_in_words
from .diagram import bytes_in_words, count_in_words, shape_in_words, short_name
from .history import History
from .snapshot import FREED, GraphSnapshot, Node, Parameter, SavedTensor
from .table import Table, Value

_SHARED = "Memory that several of them have saved is counted once in each, so the rows may add up to more than the whole."


def gradients_of(snapshot: GraphSnapshot) -> Table:
    """The gradients of all parameters of the net: those that are missing first, then from the largest to the smallest."""
    parameters = snapshot.modules.parameters if snapshot.modules else ()
    return Table(_about_gradients(parameters), ("parameter", "shape", "norm", "zeros", "inf", "nan", "note"),
                 [_gradient_row(one) for one in sorted(parameters, key=_by_gradient)])


def _by_gradient(one: Parameter) -> tuple[int, float]:
    if not one.tracked:
        return 4, 0
    if one.leaf is None:
        return 0, 0
    if one.gradient is None:
        return 1, 0
    norm = one.gradient.norm
    return (2, 0) if norm is None or math.isnan(norm) else (3, -norm)


def _gradient_row(one: Parameter) -> dict[str, Value]:
    size, known = one.gradient, one.gradient is not None and one.gradient.norm is not None
    counts = {"zeros": size.zeros, "inf": size.inf, "nan": size.nan} if size and known else {}
    return {"parameter": " = ".join(one.names), "shape": shape_in_words(one.shape), "norm": size.norm if size else None,
            **{column: counts.get(column) for column in ("zeros", "inf", "nan")}, "note": _note_on_gradient(one)}


def _note_on_gradient(one: Parameter) -> str:
    size = one.gradient
    notes = []
    if not one.tracked:
        notes.append("frozen: requires_grad is False")
    elif one.leaf is None:
        notes.append("not reached")
    elif size is None:
        notes.append("no gradient: backward was not run for it, or it was cleared")
    if size is not None and (not one.tracked or one.leaf is None):
        notes.append("its gradient is of another backward")
    if size is not None and size.norm is None:
        notes.append("its numbers cannot be read")
    elif size is not None and 0 < size.numbers == size.zeros:
        notes.append("all zero")
    return "; ".join(notes)


def _about_gradients(parameters: tuple[Parameter, ...]) -> str:
    """What the table says, in a sentence."""
    whole = f"Gradients of {count_in_words(len(parameters), 'parameter')}"
    norms = {one.names[0]: one.gradient.norm for one in parameters
             if one.leaf is not None and one.gradient is not None and one.gradient.norm is not None}
    finite = {name: norm for name, norm in norms.items() if math.isfinite(norm)}
    parts = []
    if finite:
        largest, smallest = max(finite, key=finite.__getitem__), min(finite, key=finite.__getitem__)
        parts += [f"the largest norm is {finite[largest]:.4g} ({largest})",
                  f"the smallest is {finite[smallest]:.4g} ({smallest})"]
    if len(finite) < len(norms):
        parts.append(f"{count_in_words(len(norms) - len(finite), 'of them has', 'of them have')} inf or nan")
    none = sum(one.gradient is None for one in parameters)
    if none:
        parts.append("none has a gradient" if none == len(parameters) else f"{count_in_words(none, 'has', 'have')} none")
    return f"{whole}: {', '.join(parts)}" if parts else whole


def saved_by_module(snapshot: GraphSnapshot) -> Table:
    """What the nodes of each module hold for backward, with the modules inside it; the most first."""
    calls = snapshot.modules.calls if snapshot.modules else ()
    members: dict[tuple[str, str], list[Node]] = {}
    outside: list[Node] = []
    for node in snapshot.nodes:
        call, around = node.call, set[tuple[str, str]]()
        while call is not None:
            around.add((calls[call].path, calls[call].kind))
            call = calls[call].parent
        for module in around:
            members.setdefault(module, []).append(node)
        if not around:
            outside.append(node)
    # In the order of the calls: where two hold as much, the outer one stands first.
    modules = dict.fromkeys((call.path, call.kind) for call in calls)
    rows = [{"module": path or kind, "class": kind, **_held(snapshot, members[path, kind])} for path, kind in modules]
    rows.append({"module": "outside of all modules", "class": "", **_held(snapshot, outside)})
    return _saved_table(snapshot, "module", rows, ["In the row of a module are the modules inside it too."])


def saved_by_node(snapshot: GraphSnapshot) -> Table:
    """What each node holds for backward; the most first."""
    calls = snapshot.modules.calls if snapshot.modules else ()
    rows = []
    for i, node in enumerate(snapshot.nodes):
        row: dict[str, Value] = {"node": f"[{i + 1}] {short_name(node.name)}"}
        if calls:
            row["module"] = "" if node.call is None else calls[node.call].path or calls[node.call].kind
        rows.append(row | _held(snapshot, [node]))
    return _saved_table(snapshot, "node", rows)


def saved_by_line(history: History) -> Table:
    """What the nodes that each line of code made have saved, whether or not it was freed later; the most first."""
    union = history.union
    places = [None if origin.made is None else (origin.made.source, origin.made.line) for origin in history.nodes]
    rows = []
    for place in sorted(dict.fromkeys(places), key=lambda place: place or (-1, 0)):
        origin = next(origin.made for origin, where in zip(history.nodes, places) if where == place)
        row: dict[str, Value] = {"line": "before the code, or not known", "code": ""}
        if origin is not None:
            source = history.sources[origin.source]
            row = {"line": line_in_words(origin, history), "code": source.lines[origin.line - source.first].strip()}
        rows.append(row | _held(union, [node for node, where in zip(union.nodes, places) if where == place]))
    notes = ["What was freed later is counted too, and all that a line has saved each time when it ran."]
    if any(event.moment.fold for event in history.events):
        notes.append("Of a long loop, what its iterations in the middle made and let go again is not counted.")
    return _saved_table(union, "line", rows, notes)


def _held(snapshot: GraphSnapshot, nodes: Sequence[Node]) -> dict[str, Value]:
    slots = [slot for node in nodes for slot in node.saved]
    held = snapshot.bytes_of(slots)
    notes = ["at least: not all sizes are known"] * (not held.all_known)
    notes += ["PyTorch does not show all that is saved"] * any(node.hides_saved for node in nodes)
    return {**_counts(slots), "bytes": held.known, "note": "; ".join(notes)}


def _counts(slots: Sequence[SavedTensor]) -> dict[str, Value]:
    freed = sum(slot.state == FREED for slot in slots)
    return {"saved tensors": len(slots) - freed, "freed": freed}


def _saved_table(snapshot: GraphSnapshot, by: str, rows: Sequence[dict[str, Value]], notes: Sequence[str] = ()) -> Table:
    """The rows that say something, the most bytes first. by: the first of their columns."""
    kept = [row for row in rows if row["saved tensors"] or row["freed"] or row["note"]]
    kept.sort(key=lambda row: -int(row["bytes"] or 0))
    slots = snapshot.saved
    freed = sum(slot.state == FREED for slot in slots)
    title = f"{count_in_words(len(slots) - freed, 'saved tensor')}, {bytes_in_words(snapshot.bytes_of(slots))}, by {by}"
    return Table(f"{title}; {freed} freed" if freed else title, list(kept[0]) if kept else [by], kept,
                 [_SHARED, *notes] if kept else [])
