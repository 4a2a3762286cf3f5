"""What is refused and how, tensors of every kind, and names of every kind."""

import html
import re
import warnings
from xml.etree import ElementTree

import graphviz
import numpy
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from seegrad import modules, play_backward, show_graph, show_picture, side_by_side
from seegrad.view import Picture


def assert_one_sentence(error, *words):
    message = str(error.value)
    assert message.isprintable(), "one line that every terminal can show"
    assert message.endswith(".") and not message.endswith("..")
    assert len(message) < 250
    for word in words:
        assert word in message


# Not a tensor

class Output:
    """What a model returns: tensors and other things, as attributes."""

    def __init__(self):
        self.labels, self.logits, self.cache = torch.ones(1), torch.ones(1, requires_grad=True).exp(), None


PACKED = nn.utils.rnn.pack_sequence([torch.ones(2, requires_grad=True), torch.ones(1)])

NOT_A_TENSOR = {
    "a list": ([torch.ones(1)], "a list", "*"),
    "a tuple": ((torch.ones(1),), "a tuple", "*"),
    "a set": ({1}, "a set"),
    "None": (None, "None", "leave it out", "without a bias", ".grad"),
    "an output of a model": (Output(), "an Output", "show_graph(logits=result.logits)"),
    "a packed sequence": (PACKED, "a PackedSequence", "show_graph(data=result.data)"),
    "a named tuple": (torch.ones(2, 3, requires_grad=True).max(dim=1), "a max", "give its tensors"),
    "an int": (3, "3"),
    "a bool": (True, "True"),
    "a float": (float("nan"), "nan"),
    "a complex": (1j, "a complex"),
    "an array": (numpy.ones(3), "ndarray", "tensor"),
    "a number of numpy": (numpy.float32(3), "float32"),
    "a module": (nn.Linear(2, 2), "a Linear", "net(x)"),
    "a str": ("x", "'x'"),
    "a str of two lines": ("x\ny", r"'x\ny'"),
    "a long str": ("x" * 1000, "xxx"),
    "an empty str": ("", "''"),
    "bytes": (b"x", "a bytes"),
    "a class": (int, "a type"),
    "a function": (torch.exp, "function"),
    "a node": (torch.ones(1, requires_grad=True).exp().grad_fn, "ExpBackward0"),
    "a view": (show_graph(torch.ones(1)), "a GraphView"),
    "a huge number": (10 ** 5000, "not a tensor"),
}


@pytest.mark.parametrize("kind", NOT_A_TENSOR)
def test_not_a_tensor(kind):
    value, *words = NOT_A_TENSOR[kind]
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    with pytest.raises(TypeError) as error:
        show_graph(y, value, x=x)
    assert_one_sentence(error, "argument 2", "not a tensor", *words)
    with pytest.raises(TypeError) as error:
        show_graph(y, x=x, weight=value)
    assert_one_sentence(error, "weight=", "not a tensor", *words)
    assert (x.grad, x._version, y._version) == (None, 0, 0)


def test_nothing_given():
    with pytest.raises(TypeError) as error:
        show_graph()
    assert_one_sentence(error, "no tensor", "show_graph(loss)")


@pytest.mark.parametrize("detail", ["", "Full", "medium", 1, ["full"], "x" * 1000, "a\nb"])
def test_wrong_detail(detail):
    with pytest.raises(ValueError) as error:
        show_graph(torch.ones(1), detail=detail)
    assert_one_sentence(error, "detail=", "'full'", "'compact'", "'folded'", "'modules'")


@pytest.mark.parametrize("limit", [0, -1, 1.5, "150", None, True, -10 ** 5000, float("inf")],
                         ids=lambda limit: type(limit).__name__)
def test_wrong_max_boxes(limit):
    with pytest.raises(ValueError) as error:
        show_graph(torch.ones(1), max_boxes=limit)
    assert_one_sentence(error, "max_boxes=", "whole number")


@pytest.mark.parametrize("name", ["a\nb", "\ud800", "\0", "x" * 1000, ""])
def test_a_message_is_one_line_whatever_the_name(name):
    with pytest.raises(TypeError) as error:
        show_graph(**{name: 3})
    assert_one_sentence(error, "3", "not a tensor")
    with pytest.raises(TypeError) as error:
        side_by_side(**{name: 3})
    assert_one_sentence(error, "3", "not a picture")


def test_side_by_side_of_something_else():
    with pytest.raises(TypeError) as error:
        side_by_side()
    assert_one_sentence(error, "nothing")
    with pytest.raises(TypeError) as error:
        side_by_side(before=show_graph(torch.ones(1)), after=torch.ones(1))
    assert_one_sentence(error, "after=", "a Tensor")


@pytest.mark.parametrize("alt", ["", " ", None, 3])
def test_show_picture_wants_alt_text(alt):
    with pytest.raises(ValueError) as error:
        show_picture(Figure(), alt=alt)
    assert_one_sentence(error, "alt")


@pytest.mark.parametrize("source", [None, "digraph { a }", 3, torch.ones(1), numpy.ones(3), pyplot, Figure],
                         ids=lambda source: type(source).__name__)
def test_show_picture_of_something_else(source):
    with pytest.raises(TypeError) as error:
        show_picture(source, alt="a picture")
    assert_one_sentence(error, "matplotlib figure", "graphviz.Digraph")


@pytest.mark.parametrize("alt", ["a\ud800b", "a\0b", '"><script>', "a\nb", "<!-- a -->"])
def test_every_alt_text_can_be_shown(alt):
    picture = show_picture(graphviz.Digraph(body=["a"]), alt=alt)
    ElementTree.fromstring(picture.svg)
    assert "<script" not in picture._repr_mimebundle_()["text/html"]


def test_a_picture_needs_no_transcript():
    assert repr(Picture("<svg/>", alt="nothing")) == "nothing"


# Tensors of every kind. For each: a call that makes the named tensors, the nodes of their graph, and what the
# line of x says after its name.


def tracked(**options):
    return torch.ones(2, 3, requires_grad=True, **options)


def sparse(layout):
    x = getattr(torch.eye(3), layout)().requires_grad_()
    return {"y": x @ torch.ones(3, 1), "x": x}


def inference():
    with torch.inference_mode():
        x = torch.ones(2)
        return {"x": x, "y": x.view(1, 2)}


def quantised():
    return {"x": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}


def nested(layout):
    x = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True, layout=layout)
    return {"y": x * 2, "x": x}


def fake(**options):
    mode = FakeTensorMode(**options)
    x = mode.from_tensor(tracked())
    with mode:
        return {"y": x.exp(), "x": x}


class Untouchable(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function} was called")


def untouchable():
    with torch._C.DisableTorchFunctionSubclass():
        return simple(torch.Tensor._make_subclass(Untouchable, torch.ones(2, 3), True))


def freed():
    x = tracked()
    y = x.exp()
    y.sum().backward()
    return {"y": y, "x": x}


def simple(x):
    return {"y": x.exp(), "x": x}


EXP = ["AccumulateGrad", "ExpBackward0"]
KINDS = {
    "without a graph": (lambda: {"x": torch.ones(2, 3)}, [], "not tracked (2, 3)"),
    "a leaf alone": (lambda: {"x": tracked()}, [], "leaf (2, 3)"),
    "a parameter": (lambda: simple(nn.Parameter(torch.ones(2, 3))), EXP, "leaf (2, 3)"),
    "a parameter without a shape yet": (lambda: {"x": nn.LazyLinear(3).weight}, [], "leaf"),
    "coo": (lambda: sparse("to_sparse"), ["AccumulateGrad", "MmBackward0"], "leaf (3, 3)"),
    "csr": (lambda: sparse("to_sparse_csr"), ["AccumulateGrad", "MmBackward0"], "leaf (3, 3)"),
    "complex": (lambda: simple(tracked(dtype=torch.complex64)), EXP, "leaf (2, 3) complex64"),
    "integer": (lambda: {"x": torch.arange(3)}, [], "not tracked (3,) int64"),
    "boolean": (lambda: {"x": torch.tensor(True)}, [], "not tracked () bool"),
    "a single number": (lambda: simple(torch.tensor(1.0, requires_grad=True)), EXP, "leaf ()"),
    "empty": (lambda: simple(torch.ones(0, 3, requires_grad=True)), EXP, "leaf (0, 3)"),
    "meta": (lambda: simple(tracked(device="meta")), EXP, "leaf (2, 3) on meta"),
    "inference": (inference, [], "not tracked (2,)"),
    "quantised": (quantised, [], "not tracked (2,) qint8"),
    "nested": (lambda: nested(torch.strided), ["AccumulateGrad", "MulBackward0"], "leaf shape varies"),
    "nested, jagged": (lambda: nested(torch.jagged), ["AccumulateGrad", "MulBackward0"], "leaf (2, "),
    "expanded": (lambda: simple(torch.ones(1, requires_grad=True).expand(2, 3)),
                 ["AccumulateGrad", "ExpandBackward0", "ExpBackward0"], "result (2, 3)"),
    "a subclass that refuses all calls": (untouchable, EXP, "leaf (2, 3)"),
    "fake": (fake, EXP, "leaf (2, 3)"),
    "fake, with unknown sizes": (lambda: fake(shape_env=ShapeEnv()), EXP, "leaf ("),
    "freed": (freed, EXP, "leaf (2, 3); .grad (2, 3)"),
    "mkldnn": (lambda: {"x": torch.ones(2, 3).to_mkldnn()}, [], "not tracked (2, 3)"),
}


def assert_drawn(view, nodes, words):
    assert [node.name for node in view.snapshot.nodes] == nodes
    line, = (line for line in repr(view).split("\n") if re.match(r"x(;| from )", line))
    assert words in line
    boxes = [g for g in ElementTree.fromstring(view.svg).iter() if g.get("class") == "node"]
    assert len(boxes) == len(view.diagram.boxes)


@pytest.mark.parametrize("detail", ["full", "compact", "folded"])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_kind(kind, detail):
    make, nodes, words = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # that some kinds are not finished in PyTorch
        tensors = make()
    view = show_graph(**tensors, detail=detail)
    assert_drawn(view, nodes, words)
    assert show_graph(**tensors).snapshot == view.snapshot


@pytest.mark.parametrize("inside", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta"),
                                    torch.autograd.detect_anomaly], ids=["no_grad", "inference", "device", "anomaly"])
def test_drawn_inside(inside):
    tensors = simple(tracked())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # that anomaly detection is slow
        context = inside()
    with context:
        view = show_graph(**tensors)
        assert_drawn(view, EXP, "leaf (2, 3)")


def test_inside_grad():
    def function(x):
        y = x.exp()
        assert_drawn(show_graph(y, x=x), EXP, "leaf (2, 3)")
        return y.sum()

    assert torch.equal(torch.func.grad(function)(torch.zeros(2, 3)), torch.ones(2, 3))


def test_inside_vmap():
    def function(x):
        y = x.exp()
        assert_drawn(show_graph(y, x=x), [], "not tracked (3,)")
        return y

    assert torch.equal(torch.func.vmap(function)(torch.zeros(2, 3)), torch.ones(2, 3))


def test_inside_vmap_of_grad():
    def function(x):
        y = x.exp().sum()
        assert_drawn(show_graph(y, x=x), [*EXP, "SumBackward0"], "leaf (3,)")
        return y

    assert torch.equal(torch.func.vmap(torch.func.grad(function))(torch.zeros(2, 3)), torch.ones(2, 3))


def test_a_tensor_given_twice_is_one_box_with_both_names():
    x = tracked()
    y = x.exp()
    view = show_graph(y, x=x, weight=x, y=y)
    assert view.snapshot.tensors[1].names == ("x", "weight")
    assert len(view.diagram.boxes) == 4
    assert "x = weight; leaf" in repr(view)


# Names of every kind: as given, and as shown

LONG = "layer" * 100
NAMES = {
    "fc1.weight": "fc1.weight",
    '"quoted"': '"quoted"',
    "it's": "it's",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "<b>": "<b>",
    "&amp;": "&amp;",
    "&#92;": "&#92;",
    "-->": "-->",
    "]]>": "]]>",
    "two\nlines": "two lines",
    "tab\tbed": "tab bed",
    LONG: LONG[:19] + "…" + LONG[-20:],
    "x" * 40: "x" * 40,
    "": "?",
    " ": "?",
    "nul\0": "nul",
    "\ud800lone": "lone",
    "a\u202eb": "a b",      # would turn round what follows
    r"\N\G\l": r"\N\G\l",
    r"\n": r"\n",
    "\\": "\\",
    "back\\": "back\\",
    "{a|b}": "{a|b}",
    "%s %(x)s {}": "%s %(x)s {}",
    "🙂": "🙂",
    "张量": "张量",
    "é": "é",
    "n1": "n1",
    "t0": "t0",
    "n2s0": "n2s0",
    "leaf 1": "leaf 1",
    "[2]": "'[2]'",
    "node": "node",
    "self": "self",
    "outputs": "outputs",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_names_arrive_unchanged(name):
    x = tracked()
    y = x.exp()
    view = show_graph(y, **{name: x})
    z = show_graph(x.sin(), **{name: x})        # has a slot too that says the name
    shown = NAMES[name]
    texts = [element.text for element in ElementTree.fromstring(view.svg).iter() if element.tag.endswith("}text")]
    assert shown in texts
    texts = [element.text for element in ElementTree.fromstring(z.svg).iter() if element.tag.endswith("}text")]
    assert f"● self = {shown} (2, 3) 24 B alive" in texts
    assert any(line.startswith(f"{shown}; leaf") for line in repr(view).split("\n"))
    assert len(repr(view).split("\n")) == 5
    page = view._repr_mimebundle_()["text/html"]
    assert shown in html.unescape(page)
    assert "<script" not in page and "<b>" not in page
    arrows = [element.text for element in ElementTree.fromstring(view.svg).iter()
              if element.tag.endswith("}title") and "->" in element.text]
    assert sorted(arrows) == ["n1->n2", "n2->t0", "t1->n1"]


LAYER = "encoder.layers.{}.attention.self.very_long_name_of_a_part.{}.weight"
ALIKE = {
    "the ends of a parameter's name": ([LAYER.format(0, "query"), LAYER.format(11, "query"), LAYER.format(0, "value")],
                                       ["encoder.layers.0.at…_a_part.query.weight", "encoder.layers.11.a…_a_part.query.weight",
                                        "encoder.layers.0.at…_a_part.value.weight"]),
    "different in the middle only": ([f"{'a' * 30}{letter}{'b' * 30}" for letter in "xy"],
                                     [f"{'a' * 30}{letter}{'b' * 30}" for letter in "xy"]),
    "the same when printed": (["a\nb", "a b", "a\tb"], ["a b", "a b (2)", "a b (3)"]),
    "nothing to print": (["", " ", "\0"], ["?", "? (2)", "? (3)"]),
    "the name of one that has none": (["leaf 1", "leaf 3"], ["leaf 1", "leaf 3"]),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_two_boxes_never_have_one_name(kind):
    given, shown = ALIKE[kind]
    leaves = [tracked() for _ in given]
    unnamed = [tracked(), tracked()]
    loss = sum(leaf.sum() for leaf in (*leaves, *unnamed))
    names = [box.name for box in show_graph(loss, **dict(zip(given, leaves, strict=True))).diagram.boxes]
    assert [name for name in names if name in shown] == shown
    assert len(set(names)) == len(names)
    assert shown[0] + ".grad: None → 1 in all of (2, 3)" in repr(play_backward(loss, **dict(zip(given, leaves, strict=True))))


@pytest.mark.parametrize("name", ['a"b', "<b>", "&amp;", r"\N\G", "张量", "a\nb"], ids=ascii)
def test_names_of_custom_functions_arrive_unchanged(name):
    function = type(name, (torch.autograd.Function,), {
        "forward": staticmethod(lambda ctx, x: x * 2), "backward": staticmethod(lambda ctx, gradient: gradient * 2)})
    view = show_graph(function.apply(tracked()))
    texts = [element.text for element in ElementTree.fromstring(view.svg).iter() if element.tag.endswith("}text")]
    shown = f"[2] {name}Backward".replace("\n", " ")
    assert shown in texts
    assert f"{shown} from [1]" in repr(view).split("\n")


# Names that are ours, and other things that backward takes


@pytest.mark.parametrize("name", ["detail", "max_boxes", "gradient", "inputs", "raises", "losses", "fc1.weight", "1"])
def test_a_dict_gives_any_name(name):
    w = torch.ones(2, requires_grad=True)
    loss = w.exp().sum()
    assert f"\n{name}; leaf (2,); .grad None" in repr(show_graph(loss, {name: w}))
    assert f"{name}.grad: None → 2.718 in all of (2,)" in repr(play_backward(loss, {name: w}))


@pytest.mark.parametrize("call, name", [(show_graph, "detail"), (show_graph, "max_boxes"), (play_backward, "retain_graph"),
                                        (play_backward, "create_graph"), (play_backward, "raises")])
def test_a_tensor_in_place_of_an_option(call, name):
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError) as error:
        call(w.exp().sum(), **{name: w})
    assert_one_sentence(error, f"{name}=", "a Tensor", f'show_graph(loss, {{"{name}": tensor}})')
    assert w.grad is None


def test_a_dict_that_is_none_of_names():
    loss = torch.ones(2, requires_grad=True).sum()
    with pytest.raises(TypeError) as error:
        show_graph(loss, {3: loss})
    assert_one_sentence(error, "the key 3", "as strings")
    with pytest.raises(TypeError) as error:
        show_graph(loss, {"w": 3})
    assert_one_sentence(error, "w=", "3", "not a tensor")
    with pytest.raises(ValueError) as error:
        show_graph(loss, {"w": loss}, w=loss)
    assert_one_sentence(error, "'w'", "twice")
    with pytest.raises(TypeError) as error:
        show_graph(loss, weights={"w": loss})
    assert_one_sentence(error, "weights=", "a dict", "show_graph(loss, tensors)")
    with pytest.raises(TypeError) as error:
        show_graph({})
    assert_one_sentence(error, "no tensor")


def test_a_gradient_edge_is_a_place_to_start_from():
    x = torch.ones(2, requires_grad=True)
    first, second = (x * x).unbind()
    edge = get_gradient_edge(second)
    del second
    names = ["AccumulateGrad", "MulBackward0", "UnbindBackward0"]
    assert [node.name for node in show_graph(edge, x=x).snapshot.nodes] == names
    assert [tensor.names for tensor in show_graph(edge, x=x).snapshot.tensors] == [("x",)]
    play = play_backward(edge, x=x, gradient=torch.tensor(3.0))
    assert play.transcript.startswith("backward from [3] UnbindBackward0: 3 steps\n")
    assert "1. [3] UnbindBackward0 receives nothing and 3; " in play.transcript
    assert x.grad.tolist() == [0, 6]


def test_inputs_alone_get_a_gradient():
    x, w = torch.ones(2, requires_grad=True), torch.full((2,), 3.0, requires_grad=True)
    h = x * w
    loss = (h * h).sum()
    play = play_backward(loss, inputs=w, retain_graph=True, x=x, w=w)
    assert play.transcript.startswith("backward from loss, retain_graph=True, inputs=[w]: 4 steps\n")
    assert (x.grad, w.grad.tolist()) == (None, [6, 6]) and "x.grad" not in play.transcript
    play = play_backward(loss, inputs=[h, get_gradient_edge(x)], retain_graph=True, h=h, x=x)
    assert "; h.grad: None → 6 in all of (2,); " in play.transcript and "inputs=[h, [1] AccumulateGrad]" in play.transcript
    assert h.grad.tolist() == [6, 6] and x.grad.tolist() == [18, 18]
    play = play_backward(loss, inputs={"h": h})
    assert "inputs=[a tensor without a name]" in play.transcript
    assert ".grad of a result without a name: 6 in all of (2,) → 12 in all of (2,)" in play.transcript
    assert h.grad.tolist() == [12, 12]


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_create_graph_leaves_a_gradient_with_a_graph():
    x = torch.full((2,), 3.0, requires_grad=True)
    loss = (x ** 3).sum()
    play = play_backward(loss, create_graph=True, x=x)
    assert play.transcript.startswith("backward from loss, create_graph=True: 3 steps") and "keeps what it saved" in str(play)
    grad, x.grad = x.grad, None
    grad.sum().backward()
    assert x.grad.tolist() == [18, 18]
    play = play_backward((x ** 3).sum(), create_graph=True, retain_graph=False)
    assert play.transcript.startswith("backward from loss, retain_graph=False, create_graph=True: ")


@pytest.mark.parametrize("inputs, words", [([], ["inputs=", "empty"]), (3, ["inputs=", "3"]), (["x"], ["inputs=", "'x'"]),
                                           ([torch.ones(1), None], ["inputs[1]", "None"]), ("x", ["inputs=", "'x'"])])
def test_bad_inputs(inputs, words):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises((TypeError, ValueError)) as error:
        play_backward(x.sum(), inputs=inputs)
    assert_one_sentence(error, *words)
    assert x.grad is None


@pytest.mark.parametrize("flag", ["retain_graph", "create_graph", "raises"])
def test_an_option_that_is_neither_true_nor_false(flag):
    with pytest.raises(TypeError) as error:
        play_backward(torch.ones(2, requires_grad=True).sum(), **{flag: 1})
    assert_one_sentence(error, f"{flag}=1", "True", "False")


@pytest.mark.parametrize("edge", [GradientEdge("a", 0), GradientEdge(None, 0), "too far"], ids=str)
def test_an_edge_that_leads_nowhere(edge):
    loss = torch.ones(2, requires_grad=True).sum()
    if edge == "too far":
        edge = GradientEdge(loss.grad_fn, 7)
    for call in (show_graph, play_backward):
        with pytest.raises(ValueError) as error:
            call(edge)
        assert_one_sentence(error, "argument 1", "GradientEdge", "get_gradient_edge(tensor)")


@pytest.mark.parametrize("gradient", [3.0, "x", [torch.ones(()), 3]], ids=str)
def test_a_gradient_that_is_no_tensor(gradient):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError) as error:
        play_backward(x.sum(), gradient=gradient)
    assert_one_sentence(error, "gradient=", "not a tensor", "a list of these")
    assert x.grad is None


def test_three_names_of_which_two_look_alike_and_one_is_numbered():
    a, b, c = (torch.ones(1, requires_grad=True) for _ in range(3))
    names = [box.name for box in show_graph(a * b * c, {"a\n": a, "a": b, "a (2)": c}).diagram.boxes if box.kind == "leaf"]
    assert sorted(names) == ["a", "a (2)", "a (2) (2)"]


def test_tensors_of_which_no_versions_are_counted():
    with torch.inference_mode():
        a = torch.ones(2)
        b = a.view(2)
    tie, = show_graph(a=a, b=b).diagram.ties
    assert tie.text == "one storage, no versions are counted"


@pytest.mark.parametrize("depth", [-1, 1.5, "2", True])
def test_wrong_depth(depth):
    with pytest.raises(ValueError) as error:
        show_graph(torch.ones(1), depth=depth)
    assert_one_sentence(error, "depth=", "at least 0")


def test_modules_that_are_not_known():
    loss = nn.Linear(2, 1)(torch.ones(1, 2)).sum()
    for draw in (show_graph, play_backward):
        with pytest.raises(ValueError) as error:
            draw(loss, detail="modules")
        assert_one_sentence(error, "'modules'", "not known", "with modules(net):")


@pytest.mark.parametrize("given, words", [((), "no module"), ((3,), "type int"), ((nn.Linear,), "type type")])
def test_modules_of_what_is_no_module(given, words):
    with pytest.raises(TypeError) as error:
        with modules(*given):
            pass
    assert_one_sentence(error, words, "with modules(net)")
