"""The calls that a notebook makes. They check what they are given; the work is done in the modules beside this one."""

import functools
import io
import itertools
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import GradientEdge

from .diagram import LEVELS, Level, make_diagram, printable, short_name
from .drawing import draw_dot, draw_dot_png
from .explaining import explain_error, remember
from .layout import DENSITY
from .modules import in_modules
from .questions import explain_tensor
from .recording import Backward, Gradient, record
from .snapshot import GraphSnapshot, LiveGraph, Output, is_leaf
from .tracing import Trace, Tracer
from .view import (
    RECORD_MODULES,
    BackwardPlay,
    Explanation,
    GraphView,
    Picture,
    SideBySide,
    Watch,
    WhatIf,
    level_for,
    too_many_boxes,
)
from .watching import tell

if TYPE_CHECKING:
    import graphviz
    from matplotlib.figure import Figure

MOST_COMBINATIONS = 32

Names = Mapping[str, torch.Tensor]


def show_graph(*outputs: Output | Names, detail: Level | None = None, depth: int | None = None, max_boxes: int = 150,
               **named: torch.Tensor) -> GraphView:
    """Draw the graph that is reachable from the given tensors, from the live tensors and as it is now.

    outputs: tensors of any shape, or gradient edges, any number; and dicts of named tensors. named: tensors, with the name
    that each gets in the picture; leaves, results and tensors outside the graph alike. A name that is no Python word, or one of
    ours, goes in as a dict: ``show_graph(loss, {"fc1.weight": w})``.

    detail: "full" shows every node and every saved tensor; "compact" makes one box of a leaf with its AccumulateGrad
    node and counts the saved tensors of each node; "folded" shows the given tensors only, with one box for all nodes
    between them; "modules" makes one box of each module, and some are open: for a graph that was made in
    ``with modules(net):``. None for "full", and for "modules" where these are known and "full" has more than max_boxes.
    depth: at "modules", how many modules inside each other are open; None for as many as there is room for.
    max_boxes: where a picture would have more boxes, a summary with the counts is shown instead.

    Returns a :class:`seegrad.view.GraphView`: it shows itself as the last line of a cell, ``print`` gives its text,
    ``.save("graph.svg")`` writes the picture, ``.mark(4, "words")`` marks what is guilty in it, ``.saved`` is a table of the
    memory that it holds, ``.gradients`` one of the parameters' gradients, where modules are known, ``.snapshot`` holds the facts.
    The graph is read during the call. Nothing in it changes: no hook fires, no saved tensor is kept alive, no
    ``.grad`` appears.

    Raises TypeError for anything that is not a tensor, and where none is given, and ValueError for an unknown detail or
    limit, for a name that is given twice, for modules that are not known, and for a graph that is too deep to be walked.
    """
    tensors, names = _check_graph_arguments("show_graph", outputs, named, detail, max_boxes, depth)
    if not tensors and not names:
        raise TypeError("show_graph was given no tensor: give it the result whose graph you want to see, "
                        "as in show_graph(loss) or show_graph(loss=loss, x=x).")
    snapshot = in_modules(LiveGraph(tensors, names), gradients=True)
    _check_modules(snapshot, detail)
    return GraphView(snapshot, detail, max_boxes, depth)


def play_backward(*losses: Output | Names, retain_graph: bool | None = None, create_graph: bool = False,
                  inputs: Output | Sequence[Output] | None = None, gradient: Gradient = None,
                  detail: Level | None = None, depth: int | None = None, max_boxes: int = 150, raises: bool = True,
                  **named: torch.Tensor) -> BackwardPlay:
    """Run backward, once and really, and return it as a play to step through.

    losses, retain_graph, create_graph, inputs, gradient: as for ``torch.autograd.backward``. A loss of more than one number
    needs a gradient, of the loss's own shape; with several losses, gradient is a list.
    detail, depth, max_boxes, named, and dicts among the losses: as for :func:`show_graph`; max_boxes limits the steps too. A loss
    that is not named is called "loss".

    Returns a :class:`seegrad.view.BackwardPlay`. Every ``.grad`` becomes what a plain backward makes of it, bit for
    bit; the hooks of the caller fire as usual, and none of ours stays behind.

    What backward raises is part of the play. With raises=True the play is shown, up to the node that failed, and the
    error is then raised; with raises=False the play is returned and holds it as ``.error``.
    Raises TypeError for anything that is not a tensor, and where no loss is given. Raises ValueError for a tracked leaf,
    from which there is nothing to walk, for a graph that is too large to draw or too deep to be walked, and for an unknown
    detail or limit. Then backward was not run.
    """
    roots, names = _check_graph_arguments("play_backward", losses, named, detail, max_boxes, depth)
    _check_flags(retain_graph=retain_graph, create_graph=create_graph, raises=raises)
    _check_gradient(gradient)
    play = _play(roots, names, Backward(roots, gradient, retain_graph, create_graph, _check_inputs(inputs)), detail, max_boxes,
                 depth)
    if play.error is not None and raises:
        _display(play)
        try:
            raise play.error
        finally:
            del play, losses, roots, named, names, inputs, gradient     # the traceback of the error holds this frame
    return play


def _play(roots: list[Output], names: Mapping[str, torch.Tensor], backward: Backward, detail: Level | None, max_boxes: int,
          depth: int | None) -> BackwardPlay:
    if not roots:
        raise TypeError("play_backward was given no loss: give it the result to start from, as in play_backward(loss, x=x).")
    for number, root in enumerate(roots, 1):
        if isinstance(root, torch.Tensor) and is_leaf(root) and root.requires_grad:
            raise ValueError(f"argument {number} of play_backward is a leaf, so there is no graph to walk: give a result "
                             "that was computed from it.")
    unnamed = {id(root): root for root in roots
               if isinstance(root, torch.Tensor) and not any(root is tensor for tensor in names.values())}
    words = ["loss"] if len(unnamed) == 1 else [f"loss {number}" for number in range(1, len(unnamed) + 1)]
    names = {**{_free_name(name, names): root for name, root in zip(words, unnamed.values())}, **names}
    inputs = backward.inputs or ()
    drawn = set(map(id, names.values()))
    outputs = [output for output in (*roots, *inputs) if id(output) not in drawn]
    graph = LiveGraph(outputs, names, with_contents=True)
    graph.snapshot = in_modules(graph)
    _check_modules(graph.snapshot, detail)
    detail = detail or level_for(graph.snapshot, max_boxes)
    boxes = len(make_diagram(graph.snapshot, detail, depth).boxes)
    if boxes > max_boxes:
        raise ValueError("play_backward did not run backward, and the graph is as it was. "
                         + too_many_boxes(graph.snapshot, boxes, detail, max_boxes))
    return BackwardPlay(record(graph, backward), detail, max_boxes, depth)


def watch(function: Callable[..., object], *args: object, **kwargs: object) -> Watch:
    """Call a function, once and really, and return what each of its lines did to the graph, to step through.

    function: one that is written in Python; other functions beside it are followed too, library code is not. args, kwargs: what
    it is called with. In a notebook, ``%%watch`` as the first line of a cell does the same for the cell.

    Returns a :class:`seegrad.view.Watch`: its ``.result`` is what the function returned, its ``.history`` holds the facts. All
    that the function does is done as without a watch; no hook, trace or metadata of ours stays behind.

    What the function raises is raised, after the play has been shown. Raises TypeError for what is no function, or is not
    written in Python.
    """
    code = getattr(function, "__func__", function)
    if not isinstance(code, FunctionType):
        raise TypeError(f"watch was given {_short(function)}, not a function that is written in Python: give one, as in "
                        "watch(step, x), or put %%watch above a cell.")
    tracer = Tracer(code.__globals__, function=code.__code__)
    tracer.start()
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        play = _watched(tracer.stop(error), None)
        if play.history is not None:
            remember(error, play.history)
        _display(play)
        raise
    return _watched(tracer.stop(result=result), result)


def _watched(trace: Trace, result: object) -> Watch:
    return Watch(*tell(trace), result)


def _display(play: BackwardPlay | Watch) -> None:
    """Show a play now, and not as the last line of a cell. Without IPython there is no cell: its text is printed."""
    try:
        from IPython.display import display
    except ImportError:
        print(play)
    else:
        display(play)


def explain(what: BaseException | torch.Tensor | None = None, *nets: torch.nn.Module) -> Explanation:
    """Say what an error of autograd means, or why a tensor is as it is.

    what: an error; nothing for the one that is being handled, or else for the last one that came; or a tensor of any shape.
    nets: of these modules it is told which parameters the tensor does not reach; without them, of those that the caller has.

    Of an error: which case of the error clinic it is, the line, the graph as the error left it, with the names of the variables
    there and a mark on what is guilty, and the fix. Of a tensor: why it requires a gradient, or why not; why its ``.grad`` is
    None; who keeps its memory; which parameters it does not reach. What cannot be known afterwards is called not known.
    ``%load_ext seegrad`` explains each error by itself, and knows more of earlier backward passes.

    Returns a :class:`seegrad.view.Explanation`: it shows itself, prints as text, and has ``.cases`` and ``.save("error.html")``.
    Nothing is run again, and the graph stays as it is. Raises TypeError for anything else.
    """
    for net in nets:
        if not isinstance(net, torch.nn.Module):
            raise TypeError(f"explain was given {_short(net)}, not a module, after the tensor: give nets, as in "
                            "explain(loss, net).")
    if isinstance(what, torch.Tensor):
        return explain_tensor(what, sys._getframe(1), nets)
    if what is None:
        what = sys.exc_info()[1] or getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if what is None:
            return Explanation("There is no error to explain: none has come.", None, ())
    if not isinstance(what, BaseException):
        raise TypeError(f"explain was given {_short(what)}: give it an error, a tensor, or nothing for the last error.")
    unknown = f"Not known: the error clinic has no case for this {type(what).__name__}."
    return explain_error(what) or Explanation(unknown, None, ())


def what_if(build: Callable[..., Picture], **choices: Sequence[object]) -> WhatIf:
    """Show a picture for each combination of choices, one at a time, with a switch for each name.

    build: a function that returns a picture (of show_graph, say) and takes the names as keywords. choices: for each name,
    a list of values: ``what_if(build, x=[True, False], w=[True, False])``. All pictures are drawn now: the switches need
    no kernel. Returns a :class:`seegrad.view.WhatIf`.

    Raises TypeError where build returns something else or is no function, and where choices are no list. Raises
    ValueError for no choices, or more than 32 combinations. What build raises is raised here too.
    """
    values = {name: list(options) for name, options in choices.items() if _is_list(name, options)}
    combinations = list(itertools.product(*values.values()))
    if not values or not combinations:
        raise ValueError("what_if was given nothing to choose from: give each name a list of values, as in "
                         "what_if(build, x=[True, False]).")
    if len(combinations) > MOST_COMBINATIONS:
        raise ValueError(f"what_if was given {len(combinations)} combinations, more than {MOST_COMBINATIONS}: give fewer "
                         "names, or fewer values.")
    if not callable(build):
        raise TypeError(f"what_if was given {_short(build)}, not a function: give a function that returns a picture.")
    pictures = [build(**dict(zip(values, combination))) for combination in combinations]
    for picture in pictures:
        if not isinstance(picture, Picture):
            raise TypeError(f"the function given to what_if returned {_short(picture)}, not a picture: let it end in "
                            "return show_graph(...).")
    return WhatIf(values, pictures)


def _is_list(name: str, options: object) -> bool:
    if isinstance(options, (list, tuple, range)):
        return True
    raise TypeError(f"{short_name(name)}= is {_short(options)}, not a list of values: give a list, as in "
                    f"{short_name(name)}=[True, False].")


def side_by_side(**pictures: Picture) -> SideBySide:
    """Show pictures in one row, each under its keyword: ``side_by_side(before=..., after=...)``.

    pictures: what show_graph or show_picture returned. Underscores in a keyword are shown as spaces. Returns a
    :class:`seegrad.view.SideBySide`.
    Raises TypeError for anything else, and where nothing is given.
    """
    if not pictures:
        raise TypeError("side_by_side was given nothing: give it pictures, as in side_by_side(before=view, after=view).")
    for title, picture in pictures.items():
        if not isinstance(picture, Picture):
            raise TypeError(f"{short_name(title)}= is {_short(picture)}, not a picture: give what show_graph returned.")
    return SideBySide({title.replace("_", " "): picture for title, picture in pictures.items()})


def show_picture(source: "Figure | graphviz.Graph | graphviz.Digraph", alt: str) -> Picture:
    """Show a matplotlib figure, or a graph written in DOT, with a text for readers who do not see it.

    source: a ``matplotlib.figure.Figure`` or a ``graphviz.Digraph``. alt: what the picture shows, in words, with the
    numbers that matter; it is required. Returns a :class:`seegrad.view.Picture`; where that is saved as PNG, a figure is drawn
    again, as it is then.
    Raises TypeError for another source, ValueError for an empty alt text, and LayoutError for a graph that is too much for
    Graphviz.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("show_picture was given no alt text: say in words what the picture shows.")
    import graphviz
    from matplotlib.figure import Figure
    alt = printable(alt)
    if isinstance(source, Figure):
        return Picture(_plot_to_svg(source), alt, png=functools.partial(_plot_to_png, source))
    if isinstance(source, (graphviz.Graph, graphviz.Digraph)):
        dot = source.source
        return Picture(draw_dot(dot, alt), alt, png=functools.partial(draw_dot_png, dot))
    raise TypeError(f"show_picture was given {_short(source)}: give a matplotlib figure or a graphviz.Digraph.")


def _plot_to_svg(figure: "Figure") -> str:
    from matplotlib import pyplot, rc_context
    buffer = io.StringIO()
    # Fixed ids and no date: the same figure gives the same bytes.
    with rc_context({"svg.hashsalt": "seegrad"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)    # or Jupyter would show it a second time, without alt text
    svg = buffer.getvalue()
    return svg[svg.index("<svg"):]


def _plot_to_png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", dpi=int(DENSITY), metadata={"Software": None})
    return buffer.getvalue()


def _free_name(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "'"
    return name


def _check_graph_arguments(caller: str, outputs: Iterable[object], named: Mapping[str, object], detail: object,
                           max_boxes: object, depth: object) -> tuple[list[Output], dict[str, torch.Tensor]]:
    """Return the tensors and gradient edges without a name, and the tensors with one."""
    tensors: list[Output] = []
    names: dict[str, torch.Tensor] = {}
    for number, output in enumerate(outputs, 1):
        if isinstance(output, Mapping):
            _add_names(output, names)
        else:
            tensors.append(_output(output, f"argument {number} of {caller}"))
    for keyword, value in (("detail", detail), ("max_boxes", max_boxes), ("depth", depth)):
        _check_no_tensor(keyword, value)
    if detail is not None and (not isinstance(detail, str) or detail not in LEVELS):
        raise ValueError(f"detail={_short(detail)} is not a level of detail: choose one of {', '.join(map(repr, LEVELS))}.")
    if isinstance(max_boxes, bool) or not isinstance(max_boxes, int) or max_boxes < 1:
        raise ValueError(f"max_boxes={_short(max_boxes)} is not a limit: give a whole number of at least 1.")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth={_short(depth)} is not a depth: give a whole number of at least 0.")
    _add_names(named, names)
    return tensors, names


def _check_modules(snapshot: GraphSnapshot, detail: Level | None) -> None:
    if detail == "modules" and snapshot.modules is None and snapshot.nodes:
        raise ValueError(f"detail='modules' was given, and the modules of this graph are not known: {RECORD_MODULES}")


def _add_names(more: Mapping[str, object], names: dict[str, torch.Tensor]) -> None:
    for name, tensor in more.items():
        if not isinstance(name, str):
            raise TypeError(f"a dict was given with the key {_short(name)}, not a name: give names as strings, as in "
                            '{"w": w}.')
        if name in names:
            raise ValueError(f"the name {short_name(name)!r} was given twice: give each tensor a name of its own.")
        names[name] = _tensor(tensor, f"{short_name(name)}=")


def _check_no_tensor(keyword: str, value: object) -> None:
    if isinstance(value, torch.Tensor):
        raise TypeError(f"{keyword}= is {_short(value)}, and is an option: a tensor of that name goes in as a dict, as in "
                        f'show_graph(loss, {{"{keyword}": tensor}}).')


def _check_flags(**flags: object) -> None:
    for name, value in flags.items():
        _check_no_tensor(name, value)
        if not isinstance(value, bool) and not (value is None and name == "retain_graph"):
            raise TypeError(f"{name}={_short(value)} is neither True nor False: give one of these.")


def _check_inputs(inputs: object) -> list[Output] | None:
    if inputs is None:
        return None
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    several = list(inputs) if isinstance(inputs, (list, tuple)) and not isinstance(inputs, GradientEdge) else [inputs]
    if not several:
        raise ValueError("inputs= is empty: leave it out, and every leaf gets its gradient, or give the tensors that shall get "
                         "theirs.")
    return [_output(value, "inputs=" if len(several) == 1 else f"inputs[{i}]") for i, value in enumerate(several)]


def _output(value: object, what: str) -> Output:
    if not isinstance(value, GradientEdge):
        return _tensor(value, what)
    if not isinstance(value.node, torch.autograd.graph.Node) or value.output_nr not in range(len(value.node._input_metadata)):
        raise ValueError(f"{what} is a GradientEdge to an output that no node has: give what get_gradient_edge(tensor) returns.")
    return value


def _check_gradient(gradient: object) -> None:
    several = gradient if isinstance(gradient, (list, tuple)) else [gradient]
    for one in several:
        if one is not None and not isinstance(one, torch.Tensor):
            raise TypeError(f"gradient= has {_short(one)} in it, not a tensor: give a tensor of the loss's own shape, and with "
                            "several losses a list of these.")


def _tensor(value: object, what: str) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    advice = "give tensors only"
    fields = _tensor_fields(value)
    if value is None:
        advice = "leave it out; a layer without a bias has None there, and so has a .grad before backward"
    elif isinstance(value, torch.nn.Module):
        advice = "give the tensor that it returns, as in show_graph(net(x))"
    elif fields:        # the output of a model, a packed sequence, a named tuple
        advice = f"give its tensors, as in show_graph({fields[0]}=result.{fields[0]})"
    elif isinstance(value, Mapping):
        advice = "give the dict itself, as in show_graph(loss, tensors)"
    elif isinstance(value, (list, tuple, set)):
        advice = "give its tensors one by one, as in show_graph(*tensors)"
    elif type(value).__module__.split(".")[0] == "numpy":
        advice = "an array has no graph; make it a tensor before you compute with it"
    raise TypeError(f"{what} is {_short(value)}, not a tensor: {advice}.")


def _tensor_fields(value: object) -> list[str]:
    """The attributes of an object, as it holds them or declares them, that are tracked tensors, or else all that are tensors."""
    names = [*getattr(type(value), "_fields", ()), *getattr(value, "__dict__", ())]
    tensors = {name: found for name in names if isinstance(found := getattr(value, name, None), torch.Tensor)}
    return [name for name, tensor in tensors.items() if tensor.requires_grad] or list(tensors)


def _short(value: object) -> str:
    if value is None or isinstance(value, (bool, float, str)) or type(value) is int and abs(value) < 10**40:
        text = repr(value)
        return text if len(text) <= 40 else text[:39] + "…"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
