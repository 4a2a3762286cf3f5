"""Answers to the exercises of notebook 01."""

from answers import right, wrong

right("01.1", ["def loss_of(w, x, b, t): return torch.square(b - t + x * w)"])

wrong("01.1", [
    ("def loss_of(w, x, b, t): return (w * x + b - t) ** 2", "still a node SubBackward0"),
    ("def loss_of(w, x, b, t): return (w * x.detach() + (b - t)) ** 2", "not tracked"),
    ("def loss_of(w, x, b, t): return (w * x + (t - b)) ** 2", "other numbers"),
    ("def loss_of(w, x, b, t): return ((w * x + (b - t)) ** 2).item()", "return the loss itself"),
    ("def loss_of(w, x, b, t):\n    loss = (w * x + (b - t)) ** 2\n    loss.backward()\n    return loss", "Do not call"),
    ("def loss_of(w, x, b, t): return (w * x + b + (-t)) ** 2", "with another name"),
])

right("01.2", ["def make_bias(): return torch.nn.Parameter(torch.ones(3) / 2)"])

wrong("01.2", [
    ("def make_bias(): return torch.zeros(3, requires_grad=True) + 0.5", "a result, not a leaf"),
    ("def make_bias(): return torch.full((3,), 0.5)", "not tracked"),
    ("def make_bias(): return torch.full((1, 3), 0.5, requires_grad=True)", "shape"),
])

right("01.3", ["def freeze_the_middle(net):\n    for p in net[1].parameters(): p.requires_grad = False"])

wrong("01.3", [
    ("def freeze_the_middle(net): net[1].requires_grad = False", "only gives the layer an attribute"),
    ("def freeze_the_middle(net): net.requires_grad_(False)", "the last layer is frozen too"),
    ("def freeze_the_middle(net): net[1].weight.requires_grad_(False)", "a weight and a bias"),
    ("def freeze_the_middle(net): net[1].eval()", "it does not freeze"),
    ("def freeze_the_middle(net):\n    with torch.no_grad(): net[1]", "call net[1].requires_grad_(False)"),
])
