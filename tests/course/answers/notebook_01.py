"""Answers to the exercises of notebook 01."""

from answers import right, wrong

PREDICT = """def predict(net, data):
    {mode}
    {frozen}
    with {block}:
        return net(data){end}"""

right("01.1", ["def loss_of(w, x, b, t): return torch.square(b - t + x * w)",
               "def loss_of(w, x, b, t): return ((t - b) * -1 + w * x) ** 2",
               ("def loss_of(w, x, b, t): return (w * x - (t - b)) ** 2", "b and t meet where no input is tracked",
                "[3] SubBackward0 from [2]\n"),
               "def loss_of(w, x, b, t): return torch.addcmul(b - t, w, x) ** 2",
               ("def loss_of(w, x, b, t): return nn.functional.mse_loss(w * x, t - b)", "b and t meet"),
               ("def loss_of(w, x, b, t): return nn.functional.mse_loss(w * x + b, t)", "MseLossBackward0 subtracts t itself"),
               "def loss_of(w, x, b, t):\n    with torch.no_grad(): rest = b - t\n    return (w * x + rest) ** 2"])

wrong("01.1", [
    ("def loss_of(w, x, b, t): return (w * x + b - t) ** 2", "2 nodes add or subtract, [3] and [4]", "line 1: def loss_of",
     "[4] SubBackward0 from [3]; ✗ one node too many"),
    ("def loss_of(w, x, b, t):\n    y = w * x - t\n    return (y + b) ** 2", "2 nodes", "line 3: return (y + b) ** 2",
     "[4] AddBackward0 from [3]; ✗"),
    ("def loss_of(w, x, b, t): return (w * x + b + (-t)) ** 2", "2 nodes", "[4] AddBackward0 from [3]; ✗"),
    ("def loss_of(w, x, b, t): return (torch.addcmul(b, w, x) - t) ** 2", "2 nodes add or subtract, [2] and [3]",
     "[3] SubBackward0 from [2]; ✗"),
    ("def loss_of(w, x, b, t):\n    y = w * x + b\n    return y * y - 2 * y * t + t * t",
     "3 nodes add or subtract, [3], [7] and [8]", "line 3: return y * y", "[8] AddBackward0 from [7]; ✗"),
    ("def loss_of(w, x, b, t): return ((w * x + (b - t)) ** 2).mean()", "has 5 nodes, and 4 are enough"),
    ("def loss_of(w, x, b, t): return (w * x.detach() + (b - t)) ** 2", "no graph leads from it to x"),
    ("def loss_of(w, x, b, t): return (w * x + (t - b)) ** 2", "other numbers"),
    ("def loss_of(w, x, b, t): return ((w * x + (b - t)) ** 2).item()", "of type float"),
    ("def loss_of(w, x, b, t):\n    loss = (w * x + (b - t)) ** 2\n    loss.backward()\n    return loss",
     "before the check called backward"),
    ("def loss_of(w, x, b, t): return torch.tensor(1.0, requires_grad=True)", "not computed from x"),
])

right("01.2", ["def make_bias(): return torch.nn.Parameter(torch.ones(3) / 2)",
               "def make_bias(): return (torch.zeros(3) + 0.5).requires_grad_()",
               ("def make_bias(): return (torch.zeros(3, requires_grad=True) + 0.5).detach().requires_grad_()",
                "the graph begins at it")])

wrong("01.2", [
    ("def make_bias():\n    return torch.zeros(3, requires_grad=True) + 0.5", "bias.grad is None",
     "line 2: return torch.zeros(3", "bias from [2]; result (3,); ✗ a result"),
    ("def make_bias():\n    bias = torch.zeros(3, requires_grad=True)\n    return bias.add(0.5)", "bias.grad is None",
     "line 3: return bias.add(0.5)"),
    ("def make_bias(): return torch.full((3,), 0.5)", "not tracked"),
    ("def make_bias(): return torch.tensor(0.5).expand(3).requires_grad_()", "the step of an optimizer fails (RuntimeError",
     "a view: one storage"),
    ("def make_bias(): return torch.full((1, 3), 0.5, requires_grad=True)", "shape"),
    ("def make_bias():\n    bias = torch.zeros(3, requires_grad=True)\n    bias += 0.5\n    return bias",
     "a leaf Variable that requires grad is being used in an in-place operation", "line 3: bias += 0.5"),
])

right("01.3", ["def freeze_the_middle(net):\n    for p in net[1].parameters(): p.requires_grad = False"])

wrong("01.3", [
    ("def freeze_the_middle(net): net[1].requires_grad = False", "net[1].weight is still tracked",
     "\nnet[1].weight; leaf (2, 2); used transposed; .grad None; ✗ still tracked"),
    ("def freeze_the_middle(net): net.requires_grad_(False)", "net[0].weight is not tracked",
     "net[0].weight; not tracked (2, 2); ✗ frozen too"),
    ("def freeze_the_middle(net): net[1:].requires_grad_(False)", "net[2].weight is not tracked"),
    ("def freeze_the_middle(net): net[1].weight.requires_grad_(False)", "net[1].bias is still tracked",
     "net[1].bias; leaf (2,); .grad None; ✗ still tracked"),
    ("def freeze_the_middle(net): net[1] = nn.Linear(2, 2).requires_grad_(False)", "net[1].weight holds other numbers"),
    ("def freeze_the_middle(net): net[1].requires_grad_(False).bias.zero_()", "net[1].bias holds other numbers"),
    ("def freeze_the_middle(net): net[1] = nn.Identity()", "There is no net[1].weight any more"),
    ("def freeze_the_middle(net): net[1].eval()", "net[1].weight is still tracked"),
    ("def freeze_the_middle(net):\n    with torch.no_grad(): net[1]", "net[1].weight is still tracked"),
])

right("01.4", [PREDICT.format(mode="net.eval()", frozen="", block="torch.inference_mode()", end=""),
               """def predict(net, data):
    was = net.training
    with torch.no_grad():
        prediction = net.eval()(data)
    net.train(was)
    return prediction""",
               PREDICT.format(mode="net[1].eval()", frozen="", block="torch.no_grad()", end=""),
               "def predict(net, data):\n    with torch.no_grad(): return net[2](net[0](data))"])

wrong("01.4", [
    ("def predict(net, data):\n    net.eval()\n    return net(data)", "it holds a graph of 8 nodes", "line 3: return net(data)",
     "prediction from [8]; result (2, 1); ✗ holds this graph"),
    (PREDICT.format(mode="", frozen="", block="torch.no_grad()", end=""), "in training mode"),
    ("def predict(net, data): return net(data)", "in training mode"),
    ("def predict(net, data):\n    net.eval()\n    torch.set_grad_enabled(False)\n    return net(data)", "still off after it"),
    ("def predict(net, data): return net[2](net[0](data)).detach()", "on the way a graph of 8 nodes was built"),
    ("def predict(net, data):\n    net.eval()\n    return net(data).detach()", "on the way a graph of 8 nodes was built",
     "line 3: return net(data).detach()", "net(data) from [8]; result (2, 1); ✗ held this graph"),
    (PREDICT.format(mode="net.eval()", frozen="net.requires_grad_(False)", block="torch.no_grad()", end=""),
     "not tracked any more"),
    (PREDICT.format(mode="net.eval()", frozen="", block="torch.no_grad()", end=".sum()"), "shape"),
    (PREDICT.format(mode="net.eval()", frozen="", block="torch.no_grad()", end=" + 1"), "other numbers"),
])
