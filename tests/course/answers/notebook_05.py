"""Answers to the exercises of notebook 05."""

from answers import right, wrong

PATH = """def path_of(start, steps):
    w = start.{leaf}.requires_grad_()
    path = []
    for step in range(steps):
        ((w - 3) ** 2).sum().backward()
        {early}
        {update}
        {clear}
        {late}
    return {returned}
"""


def _path(leaf="clone()", early="", update="with torch.no_grad(): w -= 0.1 * w.grad", clear="w.grad = None",
          late="path.append(w.detach().clone())", returned="path"):
    return PATH.format(**locals())


def _gate(*lines):
    return "\n    ".join(("def gate(x):", *lines))


def _goal(loss):
    return f"def loss_of(net, picture, model):\n    return {loss}"


right("05.1", [
    (_gate("return x * x.sigmoid()"), "Whatever the nodes have saved is as it was", "\ny from [3]; result (4,)"),
    (_gate("y = x.sigmoid().clone()", "y *= x", "return y"), "Whatever the nodes have saved is as it was"),
    (_gate("return nn.functional.silu(x)"), "Whatever the nodes have saved is as it was"),
    _gate("y = x.clone()", "y *= x.sigmoid()", "return y"),
])

wrong("05.1", [
    (_gate("y = x.sigmoid()", "y *= x", "return y"), "refuses at [2]", "line 3: y *= x",
     "[2] SigmoidBackward0 from [1]; ✗ result = y (4,) 16 B changed in place"),
    (_gate("y = torch.sigmoid(x)", "y.mul_(x)", "return y + 0"), "refuses at [2]", "✗ result: saved first"),
    (_gate("y = x.sigmoid()", "with torch.no_grad(): y *= x", "return y"), "refuses at [2]", "✗ result = y"),
    (_gate("y = x.sigmoid()", "y.detach().mul_(x.detach())", "return y"), "refuses at [2]"),
    (_gate("y = x.sigmoid()", "y.data.mul_(x)", "return y"), "no error comes",
     "[2] SigmoidBackward0 from [1]; ✗ result = y (4,) 16 B alive; ✗ result: other numbers"),
    (_gate("y = x.sigmoid() * x", "y.sum().backward()", "return y"), "before the check called backward"),
    (_gate("y = x.sigmoid() * x", "torch.autograd.grad(y.sum(), x)", "return y"), "the graph is freed"),
    (_gate("return x.sigmoid().detach() * x"), "one is cut off", "[2] MulBackward0 from [1]; self (4,)"),
    (_gate("return x.sigmoid() * x.detach()"), "one is cut off", "[3] MulBackward0 from [2]; other"),
    (_gate("return (x.sigmoid() * x).detach()"), "not tracked"),
    (_gate("return x.sigmoid()"), "other numbers"),
    (_gate("x *= x.sigmoid()", "return x"), "raised RuntimeError: a leaf Variable", "line 2: x *="),
])

right("05.2", [
    (_path(late="path.append(w.clone().detach())"), "no dotted line joins these two"),
    _path(late="path.append(torch.tensor(w.tolist()))"),
    _path(late="path.append(w.detach() + 0)"),
    (_path(leaf="detach().clone()", clear="w.grad.zero_()", returned="torch.stack(path)"), "a place of its own in memory"),
    _path(update="w = (w - 0.1 * w.grad).detach().requires_grad_()", clear="", late="path.append(w.detach())"),
    _path(update="w.data = w.data - 0.1 * w.grad", late="path.append(w.data)", returned="tuple(path)"),
])

wrong("05.2", [
    (_path(late="path.append(w.detach())"), "lie in one memory", "path[0] and path[1]: one storage, one version counter"),
    (_path(late="path.append(w.data)"), "lie in one memory", "path[0] and path[1]: one storage, "),
    (_path(late="path.append(w.detach().view(3))"), "lie in one memory"),
    (_path(late="", returned="[w.detach().clone() for step in range(steps)]"), "those of one step"),
    (_path(late="path.append(w.clone())"), "it holds a graph of 2 nodes", "line 9: path.append(w.clone())",
     "✗ holds this graph"),
    (_path(late="path.append(w)"), "the parameter itself"),
    (_path(update="w = w - 0.1 * w.grad"), "w is a result there", "line 7: w = w - 0.1", "w from [2]; result"),
    (_path(update="w -= 0.1 * w.grad"), "raised RuntimeError: a leaf Variable", "line 7: w -="),
    (_path(clear=""), "gradients that add up"),
    (_path(early="path.append(w.detach().clone())", late=""), "one step too early"),
    (_path(leaf="detach()"), "changed its input number 1"),
    (_path(returned="path[1:]"), "has 3 rows"),
    (_path(returned="path[-1]"), "not a list"),
    (_path(late="path.append(w.tolist())"), "type list"),
    (_path(late="path.append(w.detach().clone() + 1)"), "other numbers"),
])

right("05.3", [
    _goal("((net(picture) - net(model).data) ** 2).mean()"),
    _goal("nn.functional.mse_loss(net(picture), net(model).detach())"),
    _goal("(net(model).detach() - net(picture)).square().mean()"),
    "def loss_of(net, picture, model):\n"
    "    with torch.no_grad():\n"
    "        goal = net(model)\n"
    "    return (net(picture) - goal).square().mean()",
])

wrong("05.3", [
    (_goal("((net(picture).detach() - net(model)) ** 2).mean()"), "The goal learns", "line 2: return",
     "net.weight, model (no gradient); 1 saved 48 B alive; ✗ computes the goal"),
    (_goal("((net(picture) - net(model)) ** 2).mean()"), "Two ways lead back", "line 2: return",
     "net.weight, model (no gradient); 1 saved 48 B alive; ✗ computes the goal"),
    (_goal("((net(picture) - net(model.detach())) ** 2).mean()"), "Two ways lead back"),
    (_goal("((net(picture) - net(model)) ** 2).mean().detach()"), "not tracked"),
    (_goal("((net(picture).detach() - net(model).detach()) ** 2).mean()"), "not tracked"),
    (_goal("((net(picture) - net(model)) ** 2).mean().detach().requires_grad_()"), "No gradient comes to net.weight"),
    (_goal("((net(picture) - net.requires_grad_(False)(model)) ** 2).mean()"), "net is frozen"),
    ("def loss_of(net, picture, model):\n"
     "    loss = ((net(picture) - net(model).detach()) ** 2).mean()\n"
     "    loss.backward()\n"
     "    return loss", "the graph is freed"),
    (_goal("((net(picture) - model[:, :2]) ** 2).mean()"), "other numbers"),
])
