"""The calls that a notebook makes. They check what they are given; the work is done in the modules beside this one."""

import io

import torch

from .diagram import LEVELS, printable, short_name
from .drawing import lay_out
from .snapshot import take_snapshot
from .view import GraphView, Picture, SideBySide


def show_graph(*outputs, detail="full", max_boxes=150, **named):
    """Draw the graph that is reachable from the given tensors, from the live tensors and as it is now.

    outputs: tensors, any number. named: tensors, with the name that each gets in the picture; leaves, results and
    tensors outside the graph alike. A name that is no Python word goes in as ``**{"fc1.weight": w}``.

    detail: "full" shows every node and every saved tensor; "compact" makes one box of a leaf with its AccumulateGrad
    node and counts the saved tensors of each node; "folded" shows the given tensors only, with one box for all nodes
    between them. max_boxes: where a picture would have more boxes, a summary with the counts is shown instead.

    Returns a :class:`graphlens.view.GraphView`: it shows itself as the last line of a cell, ``print`` gives its text,
    ``.save("graph.svg")`` writes the picture, ``.snapshot`` holds the facts. The graph is read during the call. Nothing
    in it changes: no hook fires, no saved tensor is kept alive, no ``.grad`` appears.

    Raises TypeError for anything that is not a tensor, and ValueError for an unknown detail or limit.
    """
    for number, output in enumerate(outputs, 1):
        _check_tensor(output, f"argument {number} of show_graph")
    if not isinstance(detail, str) or detail not in LEVELS:
        raise ValueError(f"detail={_short(detail)} is not a level of detail: choose one of {', '.join(map(repr, LEVELS))}.")
    if isinstance(max_boxes, bool) or not isinstance(max_boxes, int) or max_boxes < 1:
        raise ValueError(f"max_boxes={_short(max_boxes)} is not a limit: give a whole number of at least 1.")
    for name, tensor in named.items():
        _check_tensor(tensor, f"{short_name(name)}=")
    if not outputs and not named:
        raise TypeError("show_graph was given no tensor: give it the result whose graph you want to see, "
                        "as in show_graph(loss) or show_graph(loss=loss, x=x).")
    return GraphView(take_snapshot(outputs, named), detail, max_boxes)


def side_by_side(**pictures):
    """Show pictures in one row, each under its keyword: ``side_by_side(before=..., after=...)``.

    pictures: what show_graph or show_picture returned. Underscores in a keyword are shown as spaces.
    Raises TypeError for anything else, and where nothing is given.
    """
    if not pictures:
        raise TypeError("side_by_side was given nothing: give it pictures, as in side_by_side(before=view, after=view).")
    for title, picture in pictures.items():
        if not isinstance(picture, Picture):
            raise TypeError(f"{short_name(title)}= is {_short(picture)}, not a picture: give what show_graph returned.")
    return SideBySide({title.replace("_", " "): picture for title, picture in pictures.items()})


def show_picture(source, alt):
    """Show a matplotlib figure, or a graph written in DOT, with a text for readers who do not see it.

    source: a ``matplotlib.figure.Figure`` or a ``graphviz.Digraph``. alt: what the picture shows, in words, with the
    numbers that matter; it is required. Returns a :class:`graphlens.view.Picture`.
    Raises TypeError for another source and ValueError for an empty alt text.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("show_picture was given no alt text: say in words what the picture shows.")
    import graphviz
    from matplotlib.figure import Figure
    alt = printable(alt)
    if isinstance(source, Figure):
        return Picture(_plot_to_svg(source), alt)
    if isinstance(source, (graphviz.Graph, graphviz.Digraph)):
        return Picture(lay_out(source.source, alt), alt)
    raise TypeError(f"show_picture was given {_short(source)}: give a matplotlib figure or a graphviz.Digraph.")


def _plot_to_svg(figure):
    from matplotlib import pyplot, rc_context
    buffer = io.StringIO()
    # Fixed ids and no date: the same figure gives the same bytes.
    with rc_context({"svg.hashsalt": "graphlens"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)    # or Jupyter would show it a second time, without alt text
    svg = buffer.getvalue()
    return svg[svg.index("<svg"):]


def _check_tensor(value, what):
    if isinstance(value, torch.Tensor):
        return
    advice = "give tensors only"
    if value is None:
        advice = "it may be a .grad that backward has not filled yet"
    elif isinstance(value, torch.nn.Module):
        advice = "give the tensor that it returns, as in show_graph(net(x))"
    elif isinstance(value, dict):
        advice = "give its tensors by name, as in show_graph(**tensors)"
    elif isinstance(value, (list, tuple, set)):
        advice = "give its tensors one by one, as in show_graph(*tensors)"
    elif type(value).__module__.split(".")[0] == "numpy":
        advice = "an array has no graph; make it a tensor before you compute with it"
    raise TypeError(f"{what} is {_short(value)}, not a tensor: {advice}.")


def _short(value):
    if value is None or isinstance(value, (bool, float, str)) or type(value) is int and abs(value) < 10**40:
        text = repr(value)
        return text if len(text) <= 40 else text[:39] + "…"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
