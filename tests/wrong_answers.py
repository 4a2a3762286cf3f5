"""Typical wrong answers to the exercises, and words of the sentence with which each must be refused."""

from wrong_answers_7 import RIGHT_ANSWERS_7, WRONG_ANSWERS_7
from wrong_answers_8 import RIGHT_ANSWERS_8, WRONG_ANSWERS_8
from wrong_answers_9 import RIGHT_ANSWERS_9, WRONG_ANSWERS_9
from wrong_answers_23 import WRONG_ANSWERS_23
from wrong_answers_456 import WRONG_ANSWERS_456

WRONG_ANSWERS = {
    "01.1": [
        ("def loss_of(w, x, b, t): return (w * x + b - t) ** 2", "still a node SubBackward0"),
        ("def loss_of(w, x, b, t): return (w * x.detach() + (b - t)) ** 2", "not tracked"),
        ("def loss_of(w, x, b, t): return (w * x + (t - b)) ** 2", "other numbers"),
        ("def loss_of(w, x, b, t): return ((w * x + (b - t)) ** 2).item()", "return the loss itself"),
        ("def loss_of(w, x, b, t):\n    loss = (w * x + (b - t)) ** 2\n    loss.backward()\n    return loss", "Do not call"),
        ("def loss_of(w, x, b, t): return (w * x + b + (-t)) ** 2", "with another name"),
    ],
    "01.2": [
        ("def make_bias(): return torch.zeros(3, requires_grad=True) + 0.5", "a result, not a leaf"),
        ("def make_bias(): return torch.full((3,), 0.5)", "not tracked"),
        ("def make_bias(): return torch.full((1, 3), 0.5, requires_grad=True)", "shape"),
    ],
    "01.3": [
        ("def freeze_the_middle(net): net[1].requires_grad = False", "only gives the layer an attribute"),
        ("def freeze_the_middle(net): net.requires_grad_(False)", "the last layer is frozen too"),
        ("def freeze_the_middle(net): net[1].weight.requires_grad_(False)", "a weight and a bias"),
        ("def freeze_the_middle(net): net[1].eval()", "it does not freeze"),
        ("def freeze_the_middle(net):\n    with torch.no_grad(): net[1]", "call net[1].requires_grad_(False)"),
    ],
} | WRONG_ANSWERS_23 | WRONG_ANSWERS_456 | WRONG_ANSWERS_7 | WRONG_ANSWERS_8 | WRONG_ANSWERS_9

# Answers that are not those of the solutions, and right as well.
RIGHT_ANSWERS = {
    "01.1": ["def loss_of(w, x, b, t): return torch.square(b - t + x * w)"],
    "01.2": ["def make_bias(): return torch.nn.Parameter(torch.ones(3) / 2)"],
    "01.3": ["def freeze_the_middle(net):\n    for p in net[1].parameters(): p.requires_grad = False"],
    "02.2": ["""def train(net, optimizer, x, t, steps):
    losses, prediction = [], net(x)
    for step in range(steps):
        loss = (prediction - t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        prediction = net(x)
    return losses"""],
} | RIGHT_ANSWERS_7 | RIGHT_ANSWERS_8 | RIGHT_ANSWERS_9
