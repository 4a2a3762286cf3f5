"""explain: which case an error is, and what is guilty. It is held against an account that asks neither PyTorch nor seegrad."""

import gc
import json
import linecache
import sys
import textwrap
import threading
import weakref

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from torch.utils.checkpoint import checkpoint

import seegrad
from random_programs import FailingProgram
from seegrad import explain, passes, show_graph
from seegrad.cases import CASES, cases_of
from seegrad.explaining import explain_error
from seegrad.magic import Explainer

SEEDS = range(300)


@pytest.fixture
def noted():
    """Passes are noted, as after %load_ext seegrad."""
    passes.begin()
    yield
    passes.end()


@pytest.fixture
def w():
    return torch.tensor([1.0, 2.0], requires_grad=True)


def failed(source, **names):
    """The error with which a cell ends."""
    namespace = {"__name__": "__main__", "torch": torch, "nn": nn, **names}
    source = textwrap.dedent(source).strip().replace("%%watch", "# watch") + "\n"
    name = f"<cell {abs(hash(source))}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    with pytest.raises(BaseException) as caught:
        exec(compile(source, name, "exec"), namespace)
    return caught.value


def told(source, **names):
    """The explanation of the error with which a cell ends: its cases, and its text."""
    explanation = explain_error(failed(source, **names))
    return [case.number for case in explanation.cases], repr(explanation)


def guilty_of(explanation):
    """The place of the marked node among the nodes of operations; None where none is marked."""
    nodes = [mark.node for mark in explanation.picture.marks if mark.node is not None]
    operations = [i for i, node in enumerate(explanation.picture.snapshot.nodes) if node.leaf is None]
    return operations.index(nodes[0]) if nodes else None


def explained(seed):
    """A random program, and the explanation of its error."""
    program = FailingProgram(seed, statements=3 + seed % 14)
    error = failed(program.source)
    assert program.failure.message in str(error), program.source
    return program, explain_error(error)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_guess_is_wrong(seed, noted):
    program, explanation = explained(seed)
    expected = program.failure
    if not expected.cases:
        assert explanation is None, program.source
        return
    assert explanation.cases[0].number in expected.cases, program.source
    if expected.guilty is not None:
        assert guilty_of(explanation) == expected.guilty, program.source        # small graphs are known whole
        if expected.by is not None:
            line = "this line" if expected.by == len(program.lines) else f"line {expected.by} of this cell"
            assert f"{line} has run backward through it before" in repr(explanation), program.source


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("marked", [None, 0, 2])        # how many nodes of a pass get its note: in a large graph, too few do
def test_where_little_is_known_of_passes_no_guess_is_wrong_either(seed, marked, monkeypatch):
    if marked is not None:
        monkeypatch.setattr(passes, "MOST_MARKED", marked)
        passes.begin()
    try:
        program, explanation = explained(seed)
    finally:
        passes.end()
    if program.failure.guilty is not None:
        assert guilty_of(explanation) in (None, program.failure.guilty), program.source


# Messages

OLDER = [
    (1, "Trying to backward through the graph a second time, but the saved intermediate results have already been freed. Specify "
        "retain_graph=True when calling .backward() or autograd.grad() the first time."),
    (2, "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.cuda.FloatTensor "
        "[64, 10]], which is output 0 of ExpBackward0, is at version 2; expected version 1 instead. Hint: the backtrace further "
        "above shows the operation that failed to compute its gradient."),
    (4, "element 1 of tensors does not require grad and does not have a grad_fn"),
    (5, "grad can be implicitly created only for scalar outputs but got torch.Size([2])"),
    (6, "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the "
        "desired behavior."),
    (7, "a leaf Variable that requires grad has been used in an in-place operation."),
    (7, "leaf variable has been moved into the graph interior"),
    (11, "only Tensors of floating point dtype can require gradients"),
    (14, "Function 'DivBackward0' returned nan values in its 1th output."),
    (19, "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"),
    (22, "Output 0 of SplitBackward0 is a view and is being modified inplace. This view is the output of a function that "
         "returns multiple views. Such functions do not allow the output views to be modified inplace."),
    (22, "Output 0 of BackwardHookFunctionBackward is a view and is being modified inplace."),
    (22, "A view was created in no_grad mode and its base or another view of its base has been modified inplace with grad mode "
         "enabled."),
    (24, "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation.\n"),
    (26, "Expected to mark a variable ready only once. This error is caused by one of the following reasons: 1) Use of a module"),
    (27, "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates"),
]


@pytest.mark.parametrize(("number", "message"), OLDER)
def test_messages_of_other_versions_lead_to_their_case(number, message):
    assert cases_of(message)[0].number == number
    assert explain_error(RuntimeError(message)).cases[0].number == number


@pytest.mark.parametrize("message", [
    "", "CUDA out of memory.", "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)", "x is a view of y", "backward",
    "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0", "list index out of range",
    "'NoneType' object has no attribute 'shape'", "Found dtype Double but expected Float"])
@pytest.mark.parametrize("kind", [RuntimeError, ValueError, TypeError, AttributeError, KeyError])
def test_of_other_errors_nothing_is_said(kind, message):
    assert explain_error(kind(message)) is None


def test_each_case_has_its_number():
    assert [case.number for case in CASES] == list(range(1, len(CASES) + 1))


# What is told of an error

def test_of_two_losses_the_node_is_the_one_that_both_share(noted):
    cases, text = told("""
        x = torch.ones(2, requires_grad=True)
        trunk = x.exp()
        first, second = (trunk * trunk).sum(), trunk.sigmoid().sum()
        first.backward()
        second.backward()""")
    assert cases == [1]
    assert "[2] ExpBackward0 needs what it had saved, and line 4 of this cell has run backward through it before" in text
    assert "Fix: one backward from the sum of both; or retain_graph=True in line 4 of this cell." in text
    assert "both lead to `trunk`" in text


def test_a_prediction_before_the_loop_is_told_from_a_result_that_is_used_twice(noted):
    loop = """
        w = torch.tensor(2.0, requires_grad=True)
        prediction = w.exp()
        for step in range(2):
            loss = (prediction - 3) ** 2
            loss.backward()"""
    assert "`prediction` is older than that backward" in told(loop)[1]
    assert "Fix: compute the result again before a second backward" in told("""
        w = torch.tensor(2.0, requires_grad=True)
        loss = w.exp()
        loss.backward()
        loss.backward()""")[1]


def test_a_pass_that_failed_has_not_run_what_comes_behind_the_guilty_node(noted):
    source = """
        w = torch.ones(2, requires_grad=True)
        a = w.exp()
        b = a.sigmoid()
        b.sum().backward()
        try:
            (b * 2).sum().backward()
        except RuntimeError:
            pass
        c = a.sigmoid()
        (c * 2).sum().backward()"""
    text = told(source)[1]      # the sigmoid of c is new, and runs
    assert "[2] ExpBackward0 needs what it had saved, and line 4 of this cell has run" in text


def test_without_notes_it_says_that_it_does_not_know_and_how_to_know():
    text = told("w = torch.ones(2, requires_grad=True)\nh = w.exp().sigmoid().sum()\nh.backward()\nh.backward()")[1]
    assert "Which node is not known" in text and "✗" not in text and "%load_ext seegrad" in text


def guilty_name(source, **names):
    """The name of the node that is marked; None where none is."""
    explanation = explain_error(failed(source, **names))
    marked = [mark.node for mark in explanation.picture.marks if mark.node is not None]
    return explanation.picture.snapshot.nodes[marked[0]].name if marked else None


@pytest.mark.parametrize("last", ["(a + b).sum().backward()", "torch.autograd.backward([a.sum(), b.sum()])"])
def test_of_two_nodes_that_cannot_run_the_one_made_last_is_guilty(last):
    source = f"""
        w = torch.ones(2, requires_grad=True)
        a = w.exp()
        b = w.sigmoid()
        a.detach().add_(1)
        b.detach().add_(1)
        {last}"""
    assert "output 0 of Sigmoid" in str(failed(source)) and guilty_name(source) == "SigmoidBackward0"


FREED = """
    v, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    a = v.exp()
    a.sum().backward()
"""


@pytest.mark.parametrize("source", [
    # What autograd.grad has run has no note: b is guilty here.
    "b = w.sigmoid()\n    torch.autograd.grad(b.sum(), w)\n    (a + b).sum().backward()",
    # A pass that failed has run b, and has no note either.
    "b = a.sigmoid()\n    try: b.sum().backward()\n    except RuntimeError: pass\n    b.tanh().sum().backward()",
    # Of a large pass, not all nodes have a note: that of deep has none, and is guilty.
    "h = w\n    for i in range(100):\n        h = h * w\n        deep = h if i == 10 else None if i < 10 else deep\n"
    "    h.sum().backward()\n    (deep.sin() + a).sum().backward()"])
def test_where_a_node_may_have_been_run_without_a_note_none_is_called_guilty(noted, source):
    assert guilty_name(FREED + "    " + source) is None


def test_the_carried_state_of_a_recurrent_net_is_case_15(noted):
    cases, text = told("""
        net = nn.GRU(2, 3)
        state = None
        for batch in range(3):
            out, state = net(torch.ones(4, 1, 2), state)
            out.sum().backward()""")
    assert cases == [15, 1] and "`net.weight_ih_l0` was used on both sides" in text
    assert "Fix: detach all parts of the state" in text


NETS = """
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    of_g, of_d = (torch.optim.SGD(net.parameters(), lr=0.1) for net in (G, D))
    fake = G(torch.ones(1, 2))
"""


def test_a_fake_that_was_not_detached_is_case_16(noted):
    cases, text = told(NETS + "    D(fake).square().sum().backward()\n    (D(fake) - 1).square().sum().backward()")
    assert cases == [16, 1] and "trained by `of_g`, and what is newer by `of_d`" in text
    assert "Fix: detach `fake` for the loss of line 4 of this cell, if that one shall not train it" in text


def test_a_state_that_is_carried_with_retain_graph_is_case_15(noted):
    cases, text = told("""
        net = nn.GRU(2, 3).double()
        adam, state = torch.optim.Adam(net.parameters()), None
        for batch in range(3):
            out, state = net(torch.ones(4, 1, 2).double(), state)
            out.sum().backward(retain_graph=True)
            adam.step()""")
    assert cases[0] == 15 and "other nodes of this graph have saved it after that change".capitalize() in text
    assert "Fix: detach all parts of the state" in text


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
@pytest.mark.parametrize(("source", "says"), [
    ("net = nn.utils.weight_norm(nn.Linear(2, 2))\nnet(torch.ones(1, 2))", "`weight` is computed anew before each forward, by a"),
    ("net = torch.ones(2, requires_grad=True) * 2", "Fix: copy its numbers: `net.detach().clone()`"),
    ("net = nn.Linear(2, 2)\nnet.register_buffer('mean', net.weight.mean(0))", "`net.mean` is no leaf"),
    ("net = nn.Linear(2, 2)\nnet.kept = net(torch.ones(2))", "Fix: let the network keep detach() of the result")])
def test_what_cannot_be_copied_is_named_with_its_own_fix(source, says):
    cases, text = told(f"import copy\n{source}\ncopy.deepcopy(net)")
    assert cases == [19] and says in text


def test_the_owner_of_a_parameter_that_was_changed_is_named():
    cases, text = told("""
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        adam = torch.optim.Adam(net.parameters())
        loss = net(torch.ones(1, 2)).sum()
        loss.backward(retain_graph=True)
        adam.step()
        loss.backward()""")
    assert cases == [3] and "saved a view of net.1.weight at version 1, and it is at version 2 now" in text
    assert "It is a parameter of `adam`" in text


@pytest.mark.parametrize(("line", "says"), [
    ("h = out.detach()", "Line 4 left the graph: it computed `h` from `out`, which is tracked, and `h` is not"),
    ("h = out.argmax(1).float()", "Line 4 left the graph: it computed `h` from `out`"),
    ("with torch.no_grad(): h = out * 2", "Line 4 gave `h` its value, and stands inside of `torch.no_grad()`"),
    ("h = out; h = h.detach()", "Fix: find the first result that is not tracked")])
def test_the_line_that_left_the_graph_is_named_where_the_code_tells_it(line, says):
    cases, text = told(f"net = nn.Linear(2, 2)\nx = torch.ones(1, 2)\nout = net(x)\n{line}\nloss = h.sum()\nloss.backward()")
    assert cases == [4] and says in text and "loss; not tracked (); ✗ not tracked" in text
    assert ("left the graph: it computed" in text) == (";" not in line and "with" not in line)


def test_all_frozen_is_told_from_one_tracked_parameter():
    source = ("net = nn.Linear(2, 2)\nnet.requires_grad_(False)\nnet.bias.requires_grad_({})\n"
              "net(torch.ones(2)).detach().sum().backward()")
    assert told(source.format(False))[0] == [21, 4]
    assert told(source.format(True))[0] == [4]
    assert told(f"w = torch.ones(2, requires_grad=True)\n{source.format(False)}; w")[0] == [4]       # w may have to learn
    assert told("net = nn.Linear(2, 2).requires_grad_(False)\ntorch.optim.SGD([], lr=1)")[0] == [21]
    assert explain_error(failed("net = nn.Linear(2, 2)\ntorch.optim.SGD([], lr=1)")) is None


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=True)


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize(("line", "cases"), [
    ("net(x).sum().backward()", [23, 4]), ("out = plain(x)\nh = out.detach()\nh.sum().backward()", [4]),
    ("plain(x).detach().sum().backward()", [4, 23])])
def test_the_warning_of_a_checkpoint_is_not_taken_for_the_cause_of_another_cut(line, cases, monkeypatch):
    monkeypatch.setattr("seegrad.explaining.a_checkpoint_has_warned", lambda: True)      # pytest hides the warning
    names = {"net": Block()} if "net(" in line else {"plain": nn.Linear(2, 2)}
    assert told(line, x=torch.ones(1, 2), **names)[0] == cases


def test_recording_that_is_switched_off_is_told():
    text = told("w = torch.ones(2, requires_grad=True)\ntorch.set_grad_enabled(False)\n(w * 2).sum().backward()")[1]
    torch.set_grad_enabled(True)
    error = failed("w = torch.ones(2, requires_grad=True)\n(w.detach() * 2).sum().backward()")
    with torch.no_grad():
        assert "recording is switched off here".capitalize() in repr(explain_error(error)) and "Fix" in text


@pytest.mark.parametrize(("line", "cases", "says"), [
    ("p = 0.1 * net.weight.grad", [], "`net.weight` is a tracked leaf, and nothing has filled its .grad"),
    ("p = 0.1 * h.grad", [8, 20], "`h` has no gradient: it is a result"),
    ("p = 0.1 * x.grad", [], "`x` has no gradient: it is not tracked"),
    ("for p in net.parameters(): p.grad.zero_()", [], "`p` (`net.weight`) is a tracked leaf")])
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_grad_that_is_none_is_explained(line, cases, says):
    found, text = told(f"net = nn.Linear(2, 2)\nx = torch.ones(1, 2)\nh = net(x)\n{line}")
    assert says in text and found == cases


def test_an_error_inside_of_another_one_is_found():
    source = """
        w = torch.ones(2, requires_grad=True)
        try:
            w.backward()
        except RuntimeError as error:
            raise SystemError("the trainer has stopped") from error"""
    assert told(source)[0] == [5]
    assert explain_error(failed(source.replace("from error", "from None"))) is None


def test_an_error_in_a_function_is_told_with_the_names_there_and_around_it():
    cases, text = told("""
        class Trainer:
            def __init__(self):
                self.net = nn.Linear(2, 2)
            def step(self, batch):
                losses = self.net(batch).square()
                losses.backward()
        trainer = Trainer()
        trainer.step(torch.ones(1, 2))""")
    assert cases == [5] and "line 6 of step(): losses.backward()" in text
    assert "`losses` has the shape (1, 2): 2 numbers" in text and "self.net.weight; leaf" in text


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_a_backward_hook_and_the_layer_behind_it_are_named():
    cases, text = told("""
        net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
        net[0].register_full_backward_hook(lambda *_: None)
        net(torch.ones(1, 2, requires_grad=True))""")
    assert cases == [22] and "full backward hook on net.0 (Linear)" in text and "`inplace=True` stands in net.1 (ReLU)" in text


# What it must not do

class Mean(Exception):
    def __str__(self):
        raise ValueError("no words")


def test_it_never_raises():
    assert explain_error(Mean()) is None
    assert "Not known" in repr(explain(Mean()))
    error = failed("w = torch.ones(2, requires_grad=True)\nw.backward()")
    error.__traceback__ = None
    assert explain_error(error).cases[0].number == 5


def test_nothing_changes_and_nothing_is_kept(noted, w):
    hooked = []
    w.register_hook(hooked.append)
    error = failed("h = w.exp()\nloss = h.sum()\nloss.backward()\nloss.backward()", w=w)
    before = w.grad.clone(), w._version, len(hooked)
    explanation = explain_error(error)
    assert torch.equal(w.grad, before[0]) and (w._version, len(hooked)) == before[1:]
    reference = weakref.ref(error.__traceback__.tb_next.tb_frame.f_globals["h"])
    error.__traceback__.tb_next.tb_frame.f_globals.clear()
    del error
    gc.collect()
    assert reference() is None and "ExpBackward0" in repr(explanation)


def test_of_what_is_no_error_and_no_tensor_one_sentence_is_said(w):
    with pytest.raises(TypeError, match=r"explain was given 3: give it an error, a tensor, or nothing for the last error\."):
        explain(3)
    with pytest.raises(TypeError, match=r"explain was given a list, not a module, after the tensor: give nets, as in"):
        explain(w, [])


def test_without_an_argument_it_takes_the_error_at_hand_or_the_last_one(monkeypatch):
    monkeypatch.delattr(sys, "last_exc", raising=False)
    monkeypatch.delattr(sys, "last_value", raising=False)
    assert "none has come" in repr(explain())
    try:
        torch.ones(2).backward()
    except RuntimeError:
        assert explain().cases[0].number == 4
    monkeypatch.setattr(sys, "last_value", RuntimeError("can't optimize a non-leaf Tensor"), raising=False)
    assert explain().cases[0].number == 9


# Notes of passes

def test_notes_leave_gradients_and_pytorch_as_they_are():
    def gradients():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 1))
        loss = net(torch.randn(8, 3)).square().mean()
        loss.backward(retain_graph=True)
        norm = sum(g.square().sum() for g in torch.autograd.grad(loss, list(net.parameters()), create_graph=True))
        norm.backward()
        return [parameter.grad.tolist() for parameter in net.parameters()]

    engine, plain = torch.autograd._engine_run_backward, gradients()
    passes.begin()
    passes.begin()
    assert gradients() == plain
    passes.end()
    assert torch.autograd._engine_run_backward is engine
    passes.end()


def test_notes_keep_nothing_alive(noted, w):
    h = w.exp()
    h.sum().backward()
    node, leaf = weakref.ref(h.grad_fn.metadata[passes._KEY].__class__), weakref.ref(w)
    del h, w
    gc.collect()
    assert leaf() is None or gc.get_referrers(leaf()) and node() is not None


def test_an_error_of_ours_does_not_come_into_a_backward(noted, w, monkeypatch):
    monkeypatch.setattr(passes, "_mark", lambda *_: 1 / 0)
    w.exp().sum().backward()
    assert w.grad is not None
    assert not passes.was_run_by_none(w.exp().grad_fn, 10**9)       # nothing is known any more


def test_passes_of_several_threads_cannot_be_compared(noted, w):
    thread = threading.Thread(target=lambda: w.exp().sum().backward())
    thread.start()
    thread.join()
    assert not passes.was_run_by_none(w.exp().grad_fn, 10**9)


# Questions

def facts(explanation):
    return "\n".join(explanation.facts)


def test_why_a_tensor_is_tracked_and_has_no_gradient(w):
    x, h = torch.ones(2), w * 2
    assert "`w` is tracked because it is a leaf" in facts(explain(w))
    assert "In the graph of `h`, from which a way leads to it, nothing is freed" in facts(explain(w))
    assert "`x` is not tracked" in facts(explain(x)) and "backward brings gradients to tracked tensors only" in facts(explain(x))
    assert "it is the result of MulBackward0, with 1 tracked leaf behind it: `w`" in facts(explain(h))
    assert "backward fills the .grad of leaves" in facts(explain(h))
    loss = h.exp().sum()
    loss.backward()
    assert "`w.grad`" not in facts(explain(w))
    w.grad = None
    assert "Backward has run in the graph of `h` and `loss`, from which a way leads to it: then the" in facts(explain(w))


def test_who_keeps_the_memory_of_a_tensor(w):
    h = w.exp()
    cut, product = h.detach(), h * h
    assert "its memory is also that of `cut`" in facts(explain(h))
    saved = "its memory is saved for backward by ExpBackward0 in the graph of `h` and MulBackward0 in the graph of `product`"
    assert saved in facts(explain(h))
    assert "its graph is: 3 nodes, which hold 8 B" in facts(explain(product)) and cut is not None


def test_which_parameters_a_loss_does_not_reach():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    loss = net[0](torch.ones(1, 2)).sum()
    said = "no way leads from `loss` to 2 tracked parameters of `net`: `1.weight` and `1.bias`"
    assert said in facts(explain(loss)) and said in facts(explain(loss, net))
    other = nn.Linear(2, 2)
    assert "other" not in facts(explain(loss))           # it has nothing to do with it
    assert "of `other`: `weight` and `bias`" in facts(explain(loss, other))
    net.requires_grad_(False)
    assert "all 4 parameters of `net` are frozen" in facts(explain(torch.ones(1, requires_grad=True) * 2, net))


def test_gradients_that_are_not_finite_are_told(w):
    loss = (w - w).sqrt().sum()
    loss.backward()
    assert "the gradient of `w` has 2 nan in it" in facts(explain(loss))
    assert {30, 14} <= {case.number for case in explain(loss).cases}


# What is shown

def test_the_display_has_words_picture_and_alt_text_and_the_page_has_them_too(noted, tmp_path):
    error = failed("w = torch.ones(2, requires_grad=True)\nlosses = w < 1\n(w * 2).backward()")
    bundle = explain_error(error)._repr_mimebundle_()
    assert 'class="explanation"' in bundle["text/html"] and "<img alt=" in bundle["text/html"]
    assert "Case 5 of the error clinic" in bundle["text/plain"] and "<strong>Fix:</strong>" in bundle["text/html"]
    page = explain_error(error).save(tmp_path / "error.html").read_text()
    assert "Case 5 of the error clinic" in page and "<title>Case 5" in page


def test_a_case_is_a_link_where_the_clinic_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explanation = explain_error(RuntimeError("can't optimize a non-leaf Tensor"))
    assert "<a " not in explanation._repr_mimebundle_()["text/html"]
    notebook = {"cells": [{"id": "nine", "source": ["## Case 9: can't optimize a non-leaf Tensor\n", "> …"]}]}
    (tmp_path / "08_error_clinic.ipynb").write_text(json.dumps(notebook))
    assert '<a href="08_error_clinic.ipynb#cell-id=nine">case 9, ' in explanation._repr_mimebundle_()["text/html"]
    (tmp_path / "08_error_clinic.ipynb").write_text("half a not")
    assert "<a " not in explanation._repr_mimebundle_()["text/html"]


def test_words_of_the_user_are_no_html():
    html = explain_error(failed("w = torch.ones(2, requires_grad=True)\n(w < 3, w.backward())"))._repr_mimebundle_()["text/html"]
    assert "<code>(w &lt; 3, w.backward())</code>" in html


# IPython

@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    yield shell
    seegrad.unload_ipython_extension(shell)
    InteractiveShell.clear_instance()


FAILS = "import torch\nloss = torch.ones(2, requires_grad=True).exp().sum()\nloss.backward()\nloss.backward()"


def test_after_load_ext_each_error_of_autograd_is_explained_under_its_traceback(shell, capsys):
    shell.run_cell(FAILS)
    assert "error clinic" not in capsys.readouterr().out
    seegrad.load_ipython_extension(shell)
    seegrad.load_ipython_extension(shell)
    shell.run_cell(FAILS)
    out = capsys.readouterr().out
    assert out.count("Case 1 of the error clinic") == 1 and "passes.py" not in out
    assert out.index("Trying to backward through the graph") < out.index("Case 1 of the error clinic")
    shell.run_cell("1 / 0")
    assert "error clinic" not in capsys.readouterr().out
    shell.run_cell("%%watch\n" + FAILS)
    out = capsys.readouterr().out
    assert "Why: line 4 ran backward through" in out
    seegrad.unload_ipython_extension(shell)
    shell.run_cell(FAILS)
    assert "error clinic" not in capsys.readouterr().out


def test_an_error_of_ours_stays_ours(shell, capsys, monkeypatch):
    seegrad.load_ipython_extension(shell)
    monkeypatch.setattr("seegrad.magic.explain_error", lambda error: 1 / 0)
    result = shell.run_cell(FAILS)
    assert "ZeroDivisionError" not in capsys.readouterr().out and isinstance(result.error_in_exec, RuntimeError)
    assert Explainer(shell).explain(result) is None
    assert shell.run_cell("2").result == 2
    assert show_graph is seegrad.show_graph
