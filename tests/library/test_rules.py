"""What a play says of the numbers that a node sends is what PyTorch sends, and what a reader's calculator says."""

import math
import re

import pytest
import torch

from random_graphs import each_graph
from seegrad import play_backward, recording
from seegrad.rules import RULES, Reason, few, reasons
from test_play import random_pass

# For each rule, an operation whose node has it, of one tensor or two, and the numbers at which it is asked.
OPERATIONS = {
    "AbsBackward0": (torch.abs, -2, 2),
    "CosBackward0": (torch.cos, -2, 2),
    "DivBackward0": (torch.div, 0.5, 2),
    "DotBackward0": (torch.dot, -2, 2),
    "ExpBackward0": (torch.exp, -2, 2),
    "LogBackward0": (torch.log, 0.5, 2),
    "MeanBackward0": (torch.mean, -2, 2),
    "MulBackward0": (torch.mul, -2, 2),
    "NegBackward0": (torch.neg, -2, 2),
    "PowBackward0": (lambda x: x ** 3, -2, 2),
    "ReciprocalBackward0": (torch.reciprocal, 0.5, 2),
    "ReluBackward0": (torch.relu, -2, 2),
    "SigmoidBackward0": (torch.sigmoid, -2, 2),
    "SinBackward0": (torch.sin, -2, 2),
    "SqrtBackward0": (torch.sqrt, 0.5, 2),
    "SubBackward0": (torch.sub, -2, 2),
    "TanhBackward0": (torch.tanh, -2, 2),
}
OF_TWO = {"DivBackward0", "DotBackward0", "MulBackward0", "SubBackward0"}


def random_inputs(node, seed):
    operation, low, high = OPERATIONS[node]
    generator = torch.Generator().manual_seed(seed)
    inputs = [low + (high - low) * torch.rand(3, generator=generator, dtype=torch.float64) for _ in range(1 + (node in OF_TWO))]
    return operation, [tensor.requires_grad_() for tensor in inputs], torch.randn(3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("node", RULES)
def test_each_rule_gives_what_pytorch_sends(node):
    """PyTorch's own numbers, from autograd.grad, are found again by the rule alone."""
    for seed in range(20):
        operation, inputs, gradient = random_inputs(node, seed)
        result = operation(*inputs)
        assert result.grad_fn.name() == node
        gradient = gradient if result.dim() else gradient[0]
        saved = {name.removeprefix("_saved_"): getattr(result.grad_fn, name)
                 for name in dir(result.grad_fn) if name.startswith("_saved_")}
        sent = torch.autograd.grad(result, inputs, gradient, retain_graph=True)
        found = reasons(node, gradient, saved, sent)
        assert [reason and reason.rule for reason in found] == [None if rule == "g" else rule for rule in RULES[node]]
        assert reasons(node, gradient, saved, [tensor + 0.001 for tensor in sent]) == [None] * len(sent)


@pytest.mark.parametrize("node", RULES)
def test_a_play_tells_the_rule_with_its_numbers(node):
    operation, inputs, gradient = random_inputs(node, 0)
    inputs = [tensor.detach()[:1].requires_grad_() for tensor in inputs]
    result = operation(*inputs)
    named = dict(zip("xw", inputs)) | {"y": result}
    line = play_backward(result, gradient=gradient[:1] if result.dim() else gradient[0], **named).transcript.splitlines()[2]
    received = re.search(r"receives (\S+);", line)[1]
    told = [clause for clause in line.split("; ") if clause.startswith("to ")]
    assert len(told) == len(inputs)
    for clause, (name, tensor), rule in zip(told, named.items(), RULES[node]):
        words = clause.removeprefix(f"to {name} goes ")
        *how, value = re.split(" [=≈] ", words)
        assert value == f"{tensor.grad.item():.4g}"
        assert bool(how) == (rule != "g")
        if how:
            assert received in how[-1]
            functions = {"cos": math.cos, "sin": math.sin, "sign": lambda number: math.copysign(1, number)}
            computed = eval(how[-1].replace("×", "*").replace("^", "**"), functions)
            assert computed == pytest.approx(tensor.grad.item(), rel=2e-3)
            assert ("=" in words.split(value)[-2][-3:]) == (f"{computed:.4g}" == value)


def test_names_stand_in_a_rule_before_the_numbers():
    x, w = torch.tensor(3.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    y = x * w
    s = y.sigmoid()
    text = play_backward(s, gradient=torch.tensor(4.0), x=x, w=w, y=y, s=s).transcript
    # ≈, because a calculator gives 0.009868 for the four digits that are shown.
    assert "to y goes 4 × s × (1 - s) = 4 × 0.002473 × (1 - 0.002473) ≈ 0.009866; " in text
    assert "to x goes 0.009866 × w = 0.009866 × (-2) = -0.01973; to w goes 0.009866 × x = 0.009866 × 3 = 0.0296; " in text


def test_what_comes_together_is_a_sum():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    text = play_backward((x * x + x * 3).sum(), x=x).transcript
    assert "AccumulateGrad receives 3 + [1, -2] + [1, -2] = [5, -1]; x.grad: None → [5, -1]; " in text


def test_a_gradient_that_a_hook_changed_is_no_sum_and_has_no_rule():
    x = torch.tensor(3.0, requires_grad=True)
    y = x * 1
    y.register_hook(lambda gradient: gradient * 10)
    z = y.exp()
    z.grad_fn.register_hook(lambda sent, received: (sent[0] * 2,))
    lines = play_backward(z + y * y, x=x, y=y).transcript.splitlines()
    received, = (line for line in lines if "[2] MulBackward0 receives" in line)
    assert " + " not in received and f"receives {(math.exp(3) * 2 + 6) * 10:.4g}; " in received
    sent, = (line for line in lines if "ExpBackward0 receives" in line)
    assert f"to y goes {math.exp(3) * 2:.4g}; " in sent


def test_many_numbers_are_not_told_one_by_one():
    x = torch.ones(5, requires_grad=True)
    text = play_backward((x.exp() + x).sum(), x=x).transcript
    assert "goes" not in "".join(line for line in text.splitlines() if "ExpBackward0" in line or "AccumulateGrad" in line)


@pytest.mark.parametrize("number", [0.0, math.inf, math.nan])
def test_numbers_that_are_hard_to_tell(number):
    x = torch.tensor(number, requires_grad=True)
    play = play_backward((x * x).exp().log(), x=x, raises=False)
    assert f"x.grad: None → {x.grad.item():.4g}; " in play.transcript


def test_a_long_rule_is_told_without_its_numbers():
    words = {"x": "[1.111, 2.222, 3.333, 4.444]"}
    reason = Reason("g * self", (("g", words["x"]), ("self", words["x"])))
    assert reason.in_words({"self": "x"}, "y") == "[1.111, 2.222, 3.333, 4.444] × x ≈ y"
    assert reason.in_words({"self": "x" * 70}, "y") == "y"


def test_a_rule_that_fails_does_not_stop_backward(monkeypatch):
    monkeypatch.setattr(recording, "reasons", lambda *_: 1 / 0)
    x = torch.tensor(3.0, requires_grad=True)
    play = play_backward(x * x, x=x)
    assert x.grad == 6 and "goes" not in play.transcript and play.error is None


@each_graph(60)
def test_what_is_told_of_random_graphs_is_what_was_sent(seed, steps):
    """What one node alone sends to another arrives there, unless a hook of the test changes it on its way."""
    played = random_pass(seed, [step for step in steps if step != "hook"]).play().recording
    arrived = {}
    for step in played.steps:
        for output, words in enumerate(step.gradients):
            parts = arrived.get((step.node, output), [])
            total = step.sums[output]
            assert total is None or len(parts) > 1 and total.endswith(f" {words}")
            assert len(parts) != 1 or parts == [words] or parts == [None]
        for edge, sent in zip(played.before.nodes[step.node].inputs, step.sent):
            if edge is not None:
                arrived.setdefault((edge.node, edge.output), []).append(sent and sent.words)


def test_few_numbers_in_words():
    assert few(torch.tensor([1.0, 1.0])) == "1" and few(torch.tensor([1.0, -2.5])) == "[1, -2.5]" and few(3) == "3"
