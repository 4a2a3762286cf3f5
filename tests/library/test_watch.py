"""A watch tells which line did what: against an account of its own, against the same code without a watch, and by its words."""

import contextlib
import gc
import linecache
import sys
import threading
import weakref

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn

from random_programs import Program
from seegrad import watch
from seegrad.history import make_history
from seegrad.magic import Watcher, as_comment
from seegrad.statements import uses_and_makes
from seegrad.tracing import MOST_STEPS, Tracer
from seegrad.transcript import make_watch_transcript
from seegrad.watching import NOT_RECORDED, NOTHING, make_watch


def run(source, watched=True, **names):
    """Run a cell as `%%watch` does: its namespace, its history, and its error."""
    namespace = {"__name__": "__main__", "torch": torch, "nn": nn, **names}
    lines = source.splitlines()
    text = "\n".join(as_comment(source.splitlines()))
    name = f"<cell {abs(hash(source))}>"
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    code = compile(text, name, "exec")
    tracer, error = Tracer(namespace, tuple(lines), *uses_and_makes(text)) if watched else None, None
    if tracer:
        tracer.start()
    try:
        exec(code, namespace)
    except Exception as raised:
        error = raised
    history = make_history(tracer.stop(error)) if tracer else None
    return namespace, history, error


def told(source, **names):
    """What the watch of a cell says, line by line."""
    return make_watch_transcript(make_watch(run(f"%%watch\n{source}", **names)[1])).splitlines()


@pytest.fixture
def w():
    return torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


@pytest.fixture
def x():
    return torch.tensor([1.0, 2.0, 3.0])


@pytest.mark.parametrize("seed", range(300))
def test_the_lines_behind_a_graph_are_those_of_an_independent_account(seed):
    program = Program(seed, statements=4 + seed % 12)
    watched, history, error = run(program.source)
    assert error is None, program.source
    found = [(node.name, origin.made and origin.made.line, origin.let_go and origin.let_go.line,
              [slot_lines(history, i, k) for k in range(len(node.saved))])
             for i, (node, origin) in enumerate(zip(history.union.nodes, history.nodes)) if node.leaf is None]
    expected = [(node.name, node.line, node.let_go, [(saved.changed, saved.unnoticed, saved.freed) for saved in node.saved])
                for node in program.nodes]
    assert found == expected, program.source
    plain, _, _ = run(program.source, watched=False)
    assert state_of(watched) == state_of(plain)
    make_watch_transcript(make_watch(history))


def slot_lines(history, i, k):
    origin = history.slots.get((i, k))
    return (None, False, None) if origin is None else (
        origin.changed and origin.changed.line, origin.unnoticed, origin.freed and origin.freed.line)


def state_of(namespace):
    """What a program leaves behind, bit for bit."""
    with contextlib.suppress(RuntimeError):
        return {name: (tensor.tolist(), tensor.requires_grad, tensor._version, str(tensor.grad_fn).partition(" ")[0],
                       tensor.grad.tolist() if tensor.is_leaf and tensor.grad is not None else None)
                for name, tensor in namespace.items() if isinstance(tensor, torch.Tensor)}


UNNOTICED = "changes the numbers of h and not its version; ▲ [2] of line 2 has saved it, and PyTorch does not notice"
PROGRAMS = [
    "torch.manual_seed(3)\nd = nn.Dropout()(w)\nr = torch.rand(2)\nd.sum().backward()",
    "net = nn.Linear(3, 2)\nopt = torch.optim.Adam(net.parameters())\nfor _ in range(3):\n    opt.zero_grad()\n"
    "    net(x).pow(2).mean().backward()\n    opt.step()",
    "y = w.exp()\ny.add_(1)\ny.sum().backward()",
    "y = w * 2\ny.sum().backward()\ny.sum().backward()",
    "from torch.utils.checkpoint import checkpoint\ny = checkpoint(torch.sin, w, use_reentrant=False).sum()\ny.backward()",
    "g, = torch.autograd.grad((w ** 3).sum(), w, create_graph=True)\ng.sum().backward()",
    "y = w[:2]\ny.mul_(2)",
    "a = w * 2\na[0] = 5\na.sum().backward()",
    "f = torch.func.grad(lambda v: (v ** 2).sum())\ng = f(x)\nv = torch.vmap(torch.sin)(x)",
    "with torch.no_grad():\n    w.mul_(2)\ntry:\n    w.add_(1)\nexcept RuntimeError as error:\n    words = str(error)",
    "seen = []\nh = w * 2\nh.register_hook(lambda g: seen.append(g) or g * 3)\nh.sum().backward()",
]


@pytest.mark.parametrize("source", PROGRAMS)
def test_code_does_under_a_watch_what_it_does_without(source):
    left = []
    for watched in (True, False):
        torch.manual_seed(0)
        namespace, _, error = run(f"%%watch\n{source}", watched, w=torch.tensor([1.0, 2.0, 3.0], requires_grad=True),
                                  x=torch.tensor([1.0, 2.0, 3.0]))
        net = namespace.get("net", nn.Identity())
        left.append((state_of(namespace), repr(error), [(p.tolist(), p.grad.tolist(), p._version) for p in net.parameters()],
                     torch.get_rng_state().tolist(), namespace.get("words")))
    assert left[0] == left[1]


def test_a_watch_leaves_nothing_behind(w, x):
    namespace, history, _ = run("%%watch\ny = w * x\nkept = [y.exp()]\nz = y.sum()\nz.backward(retain_graph=True)", w=w, x=x)
    nodes = [namespace["y"].grad_fn, namespace["kept"][0].grad_fn, namespace["z"].grad_fn]
    nodes += [following for following, _ in nodes[0].next_functions if following]
    assert [node.metadata for node in nodes] == [{}] * 4
    assert [node._raw_saved_self.unpack_hook if hasattr(node, "_raw_saved_self") and node._raw_saved_self else None
            for node in nodes[:1]] == [None]
    references = [weakref.ref(namespace[name]) for name in "yz"]
    del nodes
    namespace.clear()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
    assert history.union.nodes and sys.gettrace() is None


def test_an_outer_tracer_is_put_back_and_one_that_the_code_sets_stays(w):
    def outer(*_):
        return None

    old = sys.gettrace()
    try:
        sys.settrace(outer)
        run("%%watch\ny = w * 2", w=w)
        assert sys.gettrace() is outer
        run("%%watch\nimport sys\nsys.settrace(mine)", mine=(mine := lambda *_: None))
        assert sys.gettrace() is mine
    finally:
        sys.settrace(old)


def test_each_line_says_what_it_did(w, x):
    lines = told("y = w * x\ns = y.sigmoid()\ns.detach().add_(1)\ns.sum().backward()", w=w, x=x)
    assert lines[:7] == [
        "this cell: 6 steps",
        "before: no graph: no tensor here was computed from a tracked tensor",
        "line 2: makes [2] MulBackward0; it saves x (12 B); y is its result",
        "line 3: makes [3] SigmoidBackward0; it saves its result s (12 B); s is its result",
        "line 4: changes s in place: version 0 → 1; ▲ [3] of line 3 has saved version 0",
        "line 5: makes [4] SumBackward0; runs backward from [4] SumBackward0",
        "    1. [4] SumBackward0 receives 1; to s goes 1 in all of (3,); 24 B still saved"]
    assert lines[-1].endswith("Why: [3] SigmoidBackward0 of line 3 saved its result s; line 4 changed it in place (saved "
                              "at version 0, now 1). Fix: let line 4 make a new tensor, or run backward before it (error "
                              "clinic, case 2).")


@pytest.mark.parametrize("source, says", [
    ("h = w.exp()\nh.data.mul_(2)", UNNOTICED),
    ("h = w.exp()\nn = h.detach().numpy()\nn[0] = 7", UNNOTICED),
    ("h = w.exp()\nh.view(3)[0] = 5", "changes h in place: version 0 → 1"),
    ("c = w.exp().detach()", "makes 1 node that no name leads to; c is outside the graph"),
    ("h = w.exp()\nc = h.detach()", "c is outside the graph, and shares memory and version counter with h"),
    ("h = w.exp()\nc = h.data", "c is outside the graph, and shares memory, not the version counter, with h"),
    ("h = w.exp()\nb = h", "b is h itself"),
    ("h = w.exp()\ndel h", "h is gone; lets go of [2]: 12 B are free"),
    ("h = w.exp()\nh = 3", "h is gone; lets go of [2]: 12 B are free"),
    ("h = w * 2\nh.sum().backward()\nw.grad = None", "w.grad: 2 in all of (3,) → None"),
    ("w.requires_grad_(False)", "w is no longer tracked"),
    ("opt = torch.optim.SGD([w], lr=1.0)\nw.grad = x\nopt.step()", "changes w in place: version 0 → 1"),
    ("with torch.no_grad():\n    y = w * 2", "from here on, operations are not recorded"),
    ("with torch.no_grad():\n    y = 2\nk = 1", NOT_RECORDED),
    ("with torch.no_grad():\n    y = 2\nk = 1", "operations are recorded again"),
    ("a = b = w * 2", "a and b are one tensor: its result"),
    ("l = (w * 2).sum()\nl.backward()\nl = (w * 3).sum()\nl.backward()", "runs backward from l"),
    ("def f():\n    return 1\nk = 5", NOTHING),
    ("g, = torch.autograd.grad(w.sum(), w)", "asks for gradients: backward from [2] SumBackward0, inputs=[w]"),
])
def test_what_a_line_did_is_told_in_words(source, says, w, x):
    assert any(line.endswith(f": {says}") or f"{says};" in line or f"; {says}" in line for line in told(source, w=w, x=x)), \
        told(source, w=w, x=x)


def test_a_write_into_one_half_of_a_storage_is_no_change_of_what_is_saved_in_the_other():
    lines = told("b = torch.ones(4)\ny = w * b[:2]\nb.data[2] = 9", w=torch.ones(2, requires_grad=True))
    assert "▲" not in "".join(lines)


def test_the_picture_says_which_line_made_changed_and_freed_what(w, x):
    _, history, _ = run("%%watch\nh = w.exp()\ny = h * x\ny.sum().backward(retain_graph=True)\ng = h.detach()\ng += 1\n"
                        "k = (w * x).sum()\nk.backward()", w=w, x=x)
    last = {box.name: box for box in make_watch(history).last.boxes}
    exp, product = last["[2]"], last["[5]"]
    assert exp.lines == ("line 2",) and product.lines == ("line 7",)
    assert [slot.text.partition(" changed")[2] for slot in exp.slots] == [" in place (saved at version 0, now 1) by line 6"]
    assert [slot.text for slot in product.slots] == ["other freed by line 8"]


def test_a_number_that_two_threads_gave_is_not_traced_to_a_line(w):
    def other():
        namespace["made"] = w.exp() * 1

    namespace = {}

    def both():
        y = w * 2
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return y + namespace["made"]

    before = torch.autograd._get_sequence_nr()
    history = watch(both).history
    lines = {node.name: origin.made for node, origin in zip(history.union.nodes, history.nodes)}
    assert lines["AddBackward0"] is not None
    assert before > 2 or lines["ExpBackward0"] is None


def test_lines_of_functions_and_of_loops_are_followed(w):
    lines = told("def step(v):\n    a = v * 2\n    return a.exp()\nfor i in range(2):\n    t = step(w).sum()", w=w)
    assert [line.partition(":")[0] for line in lines[2:-1]] == [
        "line 2", "line 5", "line 6", "line 3", "line 4", "line 6", "line 5", "line 6", "line 3", "line 4", "line 6", "line 5"]
    assert lines[4] == "line 6: calls step()" and lines[6] == "line 4: makes [3] ExpBackward0; it saves result (12 B)"


def test_a_name_that_is_local_to_a_function_is_no_name_of_the_cell(w):
    uses, makes = uses_and_makes("def f(v):\n    a = v * scale\n    return [a for _ in range(2)]\na = 1\nscale = 2\nt = f(a)")
    assert uses == ["scale", "range"] and makes == ["f", "a", "t"]


def test_a_line_of_a_called_function_is_told_if_it_does_something(w):
    lines = told("def f(v):\n    k = 2\n    return v * k\nk = 3\ny = f(w)", w=w)
    assert [line.partition(":")[0] for line in lines[2:-1]] == ["line 2", "line 5", "line 6", "line 4", "line 6"]


def test_an_attribute_is_no_name(w):
    assert "; tensor is" not in "".join(told("plain = torch.tensor([1.0])\ny = w * plain", w=w, tensor=torch.ones(1)))


def test_a_graph_that_is_too_large_is_told_at_a_coarser_level():
    layers = nn.Sequential(*[nn.Linear(2, 2) for _ in range(40)])
    x = torch.ones(1, 2)

    def step():
        out = layers(x)
        return out.sum()

    seen = watch(step)
    names = [box.name for box in seen.play.first.boxes]
    assert len(names) < 10 and "makes 80 nodes" in seen.transcript
    assert "0 Linear" in names and "1 … 39: 39 × Linear, alike" in names
    assert not any(name.startswith("layers.") for name in names), "a parameter is a line in the box that uses it"
    inside = [box.name for box in seen.play.inside.play.first.boxes]
    assert len(inside) > 40 and "39 Linear" in inside


def test_a_box_of_many_nodes_counts_those_that_are_there():
    _, history, _ = run("%%watch\nt = w * 1\nfor i in range(3):\n    t = t + w.exp()\ndel t", w=torch.ones(2, requires_grad=True))
    play = make_watch(history, "folded")
    counts = [box.title for frame in play.frames for box in frame.boxes if box.kind == "group"]
    assert "2 nodes" in counts


def test_the_middle_of_a_long_loop_is_folded():
    source = "%%watch\nfor i in range(99):\n    l = (w * 2).sum()\n    l.backward()\n    w.grad = None"
    _, history, _ = run(source, w=torch.ones(3, requires_grad=True))
    play = make_watch(history)
    assert len(play.frames) < 60
    folds = [frame.says for frame in play.frames if frame.says.startswith("iterations")]
    assert len(folds) == 1 and folds[0].startswith("iterations 4–98, as 3: 190 nodes made, 95 backward passes")
    _, history, _ = run(source.replace("w * 2", "w * (2 if i != 50 else w)"), w=torch.ones(3, requires_grad=True))
    assert any("not all alike" in frame.says for frame in make_watch(history).frames)
    _, history, _ = run(source.replace("99", "20"), w=torch.ones(3, requires_grad=True))
    frames = make_watch(history).frames
    assert len(frames) <= MOST_STEPS and not any(frame.says.startswith("iterations") for frame in frames)


def test_a_loop_of_many_thousand_lines_ends_with_what_it_left():
    _, history, _ = run("%%watch\nt = 0\nfor i in range(3000):\n    t = t + i\nz = w * t", w=torch.ones(2, requires_grad=True))
    play = make_watch(history)
    assert any(frame.says.startswith("iterations 4–2999") for frame in play.frames)
    assert play.frames[-1].says.startswith("makes [2] MulBackward0") and history.more == 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("source, why", [
    ("y = w * 2\ny.sum().backward()\ny.exp().sum().backward()", "line 3 ran backward through [2] MulBackward0 of line 2"),
    ("p = (w * x).detach()\nl = (p - 1).sum()\nl.backward()", "line 2 left the graph: it read w, which is tracked"),
    ("with torch.no_grad():\n    p = w * x\nl = p.sum()\nl.backward()", "line 3 was not recorded: line 2 switched recording off"),
    ("l = x.sum()\nl.backward()", "l has no graph: nothing that it was computed from is tracked"),
    ("p = w * 2\nfor i in range(3):\n    l = (p - i).pow(2).sum()\n    l.backward()",
     "through p of line 2, which is older than that backward. Fix: let line 2 run again after it, for a new graph"),
    ("h = w\nfor i in range(3):\n    h = (h * 2).tanh()\n    h.sum().backward()",
     "through h of line 4, which is older than that backward. Fix: detach h, so that the older graph is no part of this one"),
    ("y = w * x\ny.backward()", "y is more than one number: it is the result of [2] MulBackward0 of line 2, of shape (3,)"),
    ("def f(v):\n    return v * 2\nf(w).backward()", "what line 3 returned is more than one number"),
    ("for p in [w]:\n    p.data -= p.grad.data", "p.grad (w) is None: no backward has run"),
    ("net = nn.Linear(3, 1)\nh = net(x).argmax()\nl = (h * w).sum()\nl.backward()\nfor p in net.parameters():\n    p.grad.data",
     "p.grad (net.weight) is None: the backward of line 5 has not reached it; line 3 left the graph: it read net"),
    ("import numpy\nn = numpy.sum([w, w])", "NumPy is asked to compute with it. Fix: PyTorch's own function"),
    ("ws = [w, x.clone().requires_grad_()]\ntorch.autograd.grad(w.sum(), ws)", "ws[1] has no way to it"),
    ("ps = [{'params': [w * 2]}]\nopt = torch.optim.SGD(ps, lr=1.0)", "ps[0]['params'][0] is no leaf"),
    ("w += 1", "w is a leaf, and line 2 changes it in place"),
    ("v = w * 2\nopt = torch.optim.SGD([v], lr=1.0)", "v is no leaf: it is the result of [2] MulBackward0 of line 2"),
    ("v = w * 2\nv.sum().backward()\nv -= v.grad * 0.1", "v.grad is None: v is the result of [2] MulBackward0 of line 2"),
    ("v = w * 2\nv.requires_grad_(False)", "v is no leaf: it is the result of [2] MulBackward0 of line 2"),
    ("n = w.numpy()", "w is tracked, and an array has no graph"),
    ("u = x.clone().requires_grad_()\nz = w.sum()\ntorch.autograd.grad(z, u)", "of z and u, one does not lead to the other"),
    ("a, b = w.exp().chunk(2)\na.add_(1)", "a is a view: the result of [3] SplitBackward0 of line 2"),
    ("opt = torch.optim.SGD([w], lr=1.0)\nl = (w * w).sum()\nl.backward(retain_graph=True)\nopt.step()\nl.backward()",
     "[2] MulBackward0 of line 3 saved w; line 5 changed it in place (saved at version 0, now 1). Fix: run backward before"),
    ("def f(v):\n    h = v.exp()\n    h += 1\n    return h\nl = f(w).sum()\nl.backward()",
     "[2] ExpBackward0 of line 3 saved its result h; line 4 (called by line 6) changed it in place"),
    ("opt = torch.optim.SGD([w], lr=1.0)\nh = w * w\nfor i in range(2):\n    h = h.cos() * w\n"
     "    h.sum().backward(retain_graph=True)\n    opt.step()",
     "through h of line 5, which is older than that change. Fix: detach h"),
    ("def hard(v):\n    return (v > 1).float()\ndef loss_of(v):\n    h = hard(v * 2)\n    return h.sum()\nl = loss_of(w)\n"
     "l.backward()",
     "line 3 (called by line 5) left the graph: it read v, which is tracked"),
    ("torch.set_grad_enabled(False)\nl = (w * 2).sum()\ntorch.set_grad_enabled(True)\nl.backward()",
     "line 3 was not recorded: line 2 switched recording off"),
    ("class Net(nn.Module):\n    def forward(self, v):\n        self.kept = v * w\n        return self.kept\nnet = Net()\n"
     "net(x)\nimport copy\ncopy.deepcopy(net)", "net.kept is no leaf: it is the result of [2] MulBackward0 of line 4"),
    ("for part in w.exp():\n    part.mul_(2)", "part is a view: "),
    ("y = w * x\ntorch.autograd.grad(y, w)", "or give grad_outputs="),
    ("class F(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, v):\n        return v * 2\n    @staticmethod\n"
     "    def backward(ctx, g):\n        return g[:2]\ny = F.apply(w)\ny.sum().backward()",
     "[2] FBackward of line 9 returned it, from its backward in lines 7 to 8"),
    ("m = nn.Linear(3, 2)\nt = m(w)\nopt = torch.optim.SGD(m.parameters(), lr=1.0)\nt.sum().backward(retain_graph=True)\n"
     "def act():\n    opt.step()\nact()\nt.sum().backward()",
     "saved a view of m.weight; line 7 (called by line 8) changed it in place (saved at version"),
    ("class A(nn.Module):\n    def forward(self, v):\n        return v.exp()\nclass B(nn.Module):\n    def forward(self, v):\n"
     "        h = A()(v)\n        h += A()(v)\n        return h\nl = B()(w).sum()\nl.backward()",
     "line 8 (called by line 10) changed it in place"),
    ("1 / 0", ""),
])
def test_an_error_is_traced_to_the_line_that_caused_it(source, why, w, x):
    ending = told(source, w=w, x=x)[-1]
    assert ending.startswith("stopped at line")
    assert why in ending and (" Why: " in ending) == bool(why)


def test_the_watch_of_a_function(w):
    def step(v):
        h = v.exp()
        return h.sum()

    seen = watch(step, w)
    assert torch.equal(seen.result, step(w)) and "saves its result h (12 B)" in seen.transcript
    assert watch(lambda v: v * 2, w).result.tolist() == [2, 4, 6]
    assert seen.history.nodes[1].made.line == step.__code__.co_firstlineno + 1
    for wrong in (torch.sin, None, nn.Linear(1, 1), "step"):
        with pytest.raises(TypeError, match="watch was given .*, not a function that is written in Python: give one"):
            watch(wrong, w)


def test_a_module_that_is_only_being_made_does_not_end_the_watch():
    _, history, error = run("%%watch\nclass Base(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
                            "class Net(Base):\n    def __init__(self):\n        super().__init__()\n"
                            "        self.layer = nn.Linear(1, 1)\nnet = Net()\ny = net.layer(torch.ones(1, 1))")
    assert error is None and history.whole and "[4] AddmmBackward0" in make_watch(history).frames[-1].says


def test_a_function_that_raises_is_shown_up_to_there(w, capsys):
    def step(v):
        h = v.exp()
        h += 1
        h.sum().backward()

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        watch(step, w)
    assert "Why: [2] ExpBackward0" in capsys.readouterr().out


def test_what_we_fail_to_read_ends_the_watch_and_not_the_code(w, monkeypatch):
    monkeypatch.setattr(Tracer, "_value", lambda *_: 1 / 0 if torch.is_grad_enabled() else None)
    calls = []
    old = Tracer._look

    def fail_later(self, *args):
        calls.append(1)
        if len(calls) > 3:
            raise ValueError
        return old(self, *args)

    monkeypatch.setattr(Tracer, "_look", fail_later)
    monkeypatch.undo()
    monkeypatch.setattr(Tracer, "_look", fail_later)
    namespace, history, error = run("%%watch\na = w * 2\nb = a * 2\nc = b * 2\nd = c.sum()\nd.backward()", w=w)
    assert error is None and w.grad.tolist() == [8, 8, 8] and not history.whole
    assert "could not be read" in make_watch(history).ending and sys.gettrace() is None


@pytest.fixture
def shell(w, monkeypatch):
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shown = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, **_: shown.append(data["text/plain"]))
    Watcher(shell).load()
    Watcher(shell).load()
    shell.push({"w": w, "torch": torch})
    shell.shown = shown
    yield shell
    InteractiveShell.clear_instance()


def test_the_magic_runs_a_cell_in_the_notebook(shell, capsys):
    result = shell.run_cell("%%watch\ny = w * 2\nprint('printed')\ny.sum()")
    assert result.success and result.result.item() == 12 and shell.user_ns["y"].tolist() == [2, 4, 6]
    assert len(shell.shown) == 1 and "line 2: makes [2] MulBackward0" in shell.shown[0]
    assert "printed" in capsys.readouterr().out and sys.gettrace() is None


def test_the_magic_ends_with_the_error_of_the_cell_as_it_is_without(shell, capsys):
    shell.run_cell("h = w.exp()\nh += 1\nh.sum().backward()")
    plain = capsys.readouterr().out
    result = shell.run_cell("%%watch\nh = w.exp()\nh += 1\nh.sum().backward()")
    assert isinstance(result.error_in_exec, RuntimeError) and "Why: [2] ExpBackward0 of line 2" in shell.shown[0]
    watched = capsys.readouterr().out
    assert watched.splitlines()[-1] == plain.splitlines()[-1] and "seegrad" not in watched
    shell.run_cell("1 / 0")
    assert len(shell.shown) == 1 and shell.custom_exceptions == ()


def test_a_cell_runs_twice_alike(shell):
    for _ in range(2):
        shell.run_cell("%%watch\ny = w * 2\nl = y.exp().sum()\ng, = torch.autograd.grad(l, w)")
    assert shell.shown[0] == shell.shown[1]


@pytest.mark.parametrize("cell, says", [
    ("%%watch", "%%watch saw no tensor in this cell."),
    ("%%watch\nprint(1)", "1\n%%watch saw no tensor in this cell."),
    ("%%watch coarse\nprint(1)", "1\n%%watch does not know 'coarse': give it nothing, or one of full, compact, folded, modules. "
                                 "The cell was not watched."),
    ("%%watch\nimport asyncio\nawait asyncio.sleep(0)",
     "%%watch cannot watch a cell that waits (await). The cell was not watched."),
    ("%%watch\n%%capture\nprint(1)", "%%watch cannot watch what %%capture runs. The cell was not watched."),
])
def test_what_cannot_be_watched_runs_and_says_so_in_a_sentence(shell, capsys, cell, says):
    assert shell.run_cell(cell).success
    assert capsys.readouterr().out.strip() == says and shell.shown == []


def test_a_syntax_error_is_the_one_of_python(shell, capsys):
    assert isinstance(shell.run_cell("\n%%watch\ndef f(:").error_before_exec, SyntaxError)
    assert "line 3" in capsys.readouterr().out and shell.shown == []
    assert shell.run_cell("%%watch\ny = w * 2").success and len(shell.shown) == 1


def test_other_magics_inside_a_cell_run(shell):
    assert shell.run_cell("%%watch\n%matplotlib --list\nv = !echo 1\ny = w * 2").success
    assert "line 4: makes [2] MulBackward0" in shell.shown[0]


def test_lines_keep_their_numbers():
    assert as_comment(["\n", "%%watch compact\n", "a = 1\n"]) == ["#\n", "#%%watch compact\n", "a = 1\n"]
    assert as_comment(["a = 1\n", "%%watch\n"]) == ["a = 1\n", "%%watch\n"] and as_comment([]) == []
    assert Watcher.__module__ == as_comment.__module__
