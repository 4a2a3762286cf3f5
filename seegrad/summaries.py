"""What a reader asks of a whole network, as tables: its gradients, and the memory that it holds for backward."""

import math

from .diagram import count_in_words, shape_in_words
from .snapshot import GraphSnapshot, Parameter
from .table import Table, Value


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
