"""Answers to the exercises of notebook 05."""

from answers import wrong

PATH = """
def path_of(start, steps):
    w = start.{leaf}.requires_grad_()
    path = []
    for step in range(steps):
        ((w - 3) ** 2).sum().backward()
        {early}
        {update}
        {clear}
        {late}
    return torch.stack(path)
"""
UPDATE = "with torch.no_grad(): w -= 0.1 * w.grad"
COPY = "path.append(w.detach().clone())"
GOAL = "def loss_of(net, picture, model): return {}"

wrong("05.1", [
    ("def gate(x):\n    y = x.sigmoid()\n    y *= x\n    return y", "sigmoid saved its result"),
    ("def gate(x):\n    y = x.sigmoid()\n    with torch.no_grad(): y *= x\n    return y", "sigmoid saved its result"),
    ("def gate(x):\n    y = x.sigmoid()\n    y.data.mul_(x)\n    return y", "a change through .data"),
    ("def gate(x):\n    y = x.sigmoid() * x\n    y.sum().backward()\n    return y", "already called backward"),
    ("def gate(x): return x.sigmoid().detach() * x", "A part of the gradient is missing"),
    ("def gate(x): return (x.sigmoid() * x).detach()", "not tracked"),
    ("def gate(x): return x.sigmoid()", "other numbers"),
])

wrong("05.2", [
    (PATH.format(leaf="clone()", early="", update=UPDATE, clear="w.grad = None", late="path.append(w.detach())"),
     "shares the memory of w"),
    (PATH.format(leaf="clone()", early="", update=UPDATE, clear="w.grad = None", late="path.append(w.clone())"),
     "they are tracked"),
    (PATH.format(leaf="clone()", early="", update="w = w - 0.1 * w.grad", clear="w.grad = None", late=COPY),
     "change the leaf in place"),
    (PATH.format(leaf="clone()", early="", update="w -= 0.1 * w.grad", clear="w.grad = None", late=COPY),
     "raised RuntimeError: a leaf Variable"),
    (PATH.format(leaf="clone()", early="", update=UPDATE, clear="", late=COPY), "Old gradients are still in w.grad"),
    (PATH.format(leaf="clone()", early=COPY, update=UPDATE, clear="w.grad = None", late=""), "one step too early"),
    (PATH.format(leaf="detach()", early="", update=UPDATE, clear="w.grad = None", late=COPY),
     "changed its input number 1"),
])

wrong("05.3", [
    (GOAL.format("((net(picture).detach() - net(model)) ** 2).mean()"), "on the wrong side"),
    (GOAL.format("((net(picture) - net(model)) ** 2).mean()"), "still sends a gradient"),
    (GOAL.format("((net(picture) - net(model.detach())) ** 2).mean()"), "still sends a gradient"),
    (GOAL.format("((net(picture) - net(model)) ** 2).mean().detach()"), "cut only the goal"),
    (GOAL.format("((net(picture) - net.requires_grad_(False)(model)) ** 2).mean()"), "freezes net"),
    ("def loss_of(net, picture, model):\n"
     "    loss = ((net(picture) - net(model).detach()) ** 2).mean()\n"
     "    loss.backward()\n"
     "    return loss", "do not call backward"),
    (GOAL.format("((net(picture) - model[:, :2]) ** 2).mean()"), "other numbers"),
])
