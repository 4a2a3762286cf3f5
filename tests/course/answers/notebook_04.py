"""Answers to the exercises of notebook 04."""

from answers import right, wrong

HIDDEN = """
def gradient_at_h(first, last, data):
    h = first(data)
    {before}
    loss = last(h).square().mean()
    loss.backward({options})
    {after}
    return {returned}
"""

TRAIN = """
def train(net, data, target, steps):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for step in range(steps):
        {first}
        loss = nn.functional.mse_loss(net(data), target)
        loss.backward()
        {between}
        optimizer.step()
        losses.append({kept})
    return {returned}
"""

PARTS = """
def gradient_in_parts(net, data, target, size):
    parts = list(zip(data.split(size), target.split(size)))
    for part_data, part_target in parts:
        {first}
        loss = nn.functional.mse_loss(net(part_data), part_target) * {factor}
        loss.backward()
    return net.weight.grad
"""

USES = """
def gradient_of_each_use(w, h):
    uses = []
    for step in range(3):
        use = {use}
        {keep}
        uses.append(use)
        h = use * h + 1
    h.backward()
    return {returned}
"""

right("04.1", ["""
def gradient_at_h(first, last, data):
    h = first(data)
    return torch.autograd.grad(last(h).square().mean(), h)[0]""",
               """
def gradient_at_h(first, last, data):
    features, seen = first(data), []
    features.register_hook(seen.append)
    last(features).square().mean().backward()
    return seen[0]"""])

wrong("04.1", [
    (HIDDEN.format(before="", options="", after="", returned="h.grad"), "returns None: backward came through h",
     "line 6: loss.backward()", "\nh from [3]; result (5, 2); ✗ a result, its .grad is None"),
    (HIDDEN.format(before="", options="", after="h.retain_grad()", returned="h.grad"), "returns None: backward came through h"),
    (HIDDEN.format(before="", options="", after="", returned="first.weight.grad"), "gradient of first.weight",
     "first.weight; leaf (2, 3); used transposed; .grad (2, 3); ✗ this is its .grad"),
    (HIDDEN.format(before="h.retain_grad()", options="retain_graph=True", after="loss.backward()", returned="h.grad"),
     "twice as large as that of one backward: 2 of them", "line 7: loss.backward()"),
    (HIDDEN.format(before="h.retain_grad()", options="", after="", returned="h"), "other numbers"),
    (HIDDEN.format(before="h = h.detach()", options="", after="", returned="h.grad"), "backward did not come to h",
     "first.weight; leaf (2, 3); used transposed; .grad None"),
])

right("04.2", [TRAIN.format(first="net.zero_grad()", between="", kept="loss.item()", returned="losses"),
               (TRAIN.format(first="optimizer.zero_grad(set_to_none=False)", between="", kept="loss.detach()", returned="losses"),
                "the gradient of its own loss alone")])

wrong("04.2", [
    (TRAIN.format(first="", between="", kept="loss.item()", returned="losses"), "still held the gradient of the first step",
     "line 8: loss.backward()", "net.weight; leaf (1, 2); .grad (1, 2); ✗ still holds an old .grad"),
    (TRAIN.format(first="", between="", kept="loss.item()", returned="losses").replace("net", "network"),
     "still held the gradient of the first step", "network.weight; leaf (1, 2); .grad (1, 2)\n"),
    (TRAIN.format(first="", between="optimizer.zero_grad()", kept="loss.item()", returned="losses"), "never changes"),
    (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss.item()", returned="losses[-1]"),
     "only the last loss"),
    (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss", returned="losses"), "losses[0] is tracked",
     "line 7: loss = nn.functional", "losses[0] from [5]; result (); ✗ holds this graph"),
    (TRAIN.format(first="net = nn.Linear(2, 1)", between="", kept="loss.item()", returned="losses"), "other numbers"),
])

right("04.3", ["""
def gradient_in_parts(net, data, target, size):
    for part_data, part_target in zip(data.split(size), target.split(size)):
        total = nn.functional.mse_loss(net(part_data), part_target, reduction="sum")
        (total / len(data)).backward()
    return net.weight.grad""",
               (PARTS.format(first="", factor="len(part_data) / len(data)").replace("in parts", "in reversed(parts)"),
                "this last part counts 3/8")])

wrong("04.3", [
    (PARTS.format(first="", factor="1"), "sum of 3 means",
     "[6] MulBackward0 from [5]; 1 saved 8 B alive; ✗ the part has 3 of 11 samples"),
    (PARTS.format(first="", factor="1 / len(parts)"), "a sample of the last part counts 1/9, each other one 1/12",
     "✗ the part has 3 of 11 samples"),
    (PARTS.format(first="net.zero_grad()", factor="len(part_data) / len(data)"), "Only the gradient of the last part"),
    (PARTS.format(first="", factor="len(part_data) / size"), "other numbers"),
    ("def gradient_in_parts(net, data, target, size):\n"
     "    nn.functional.mse_loss(net(data), target).backward()\n"
     "    return net.weight.grad", "11 samples went through net at once"),
    ("def gradient_in_parts(net, data, target, size):\n"
     "    parts = zip(data.split(size), target.split(size))\n"
     "    sum(nn.functional.mse_loss(net(d), t) * len(d) / len(data) for d, t in parts).backward()\n"
     "    return net.weight.grad", "graphs of 3 parts were in memory together", "line 3: sum("),
])

EACH = "[use.grad for use in uses]"

right("04.4", [USES.format(use="w.view_as(w)", keep="use.retain_grad()", returned=EACH), """
def gradient_of_each_use(w, h):
    seen = []
    for step in range(3):
        use = 1 * w
        use.register_hook(seen.append)
        h = use * h + 1
    h.backward()
    return seen[::-1]"""])

wrong("04.4", [
    (USES.format(use="w", keep="", returned=EACH), "All three entries are 17", "✗ one .grad for three uses"),
    (USES.format(use="w", keep="use.retain_grad()", returned=EACH), "All three entries are 17"),
    (USES.format(use="w.clone()", keep="", returned=EACH), "Entry number 1 is None", "uses[0] from [2]; result ()"),
    (USES.format(use="w.detach().requires_grad_()", keep="", returned=EACH), "w.grad is None"),
    (USES.format(use="w.clone()", keep="", returned="torch.autograd.grad(h, uses)").replace("h.backward()", "pass"),
     "w.grad is None: no backward filled it", "\nw; leaf (); .grad None; ✗ its .grad is still None"),
    (USES.format(use="w.clone()", keep="use.retain_grad()", returned=EACH + "[::-1]"), "from the last to the first"),
    (USES.format(use="w.clone()", keep="use.retain_grad()", returned="w.grad"), "of type Tensor"),
    (USES.format(use="w.clone()", keep="use.retain_grad()", returned="[uses[0].grad]"), "has the length 1"),
    (USES.format(use="w.clone()", keep="use.retain_grad()", returned="[use * 2 for use in uses]"), "other numbers"),
])
