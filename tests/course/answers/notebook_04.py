"""Answers to the exercises of notebook 04."""

from answers import wrong

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

wrong("04.1", [
    (HIDDEN.format(before="", options="", after="", returned="h.grad"), "call retain_grad() before backward"),
    (HIDDEN.format(before="", options="", after="h.retain_grad()", returned="h.grad"),
     "call retain_grad() before backward"),
    (HIDDEN.format(before="", options="", after="", returned="first.weight.grad"), "gradient of first.weight"),
    (HIDDEN.format(before="h.retain_grad()", options="retain_graph=True", after="loss.backward()", returned="h.grad"),
     "twice too large"),
    (HIDDEN.format(before="h.retain_grad()", options="", after="", returned="h"), "other numbers"),
])

wrong("04.2", [
    (TRAIN.format(first="", between="", kept="loss.item()", returned="losses"), "Old gradients still push"),
    (TRAIN.format(first="", between="optimizer.zero_grad()", kept="loss.item()", returned="losses"), "never changes"),
    (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss.item()", returned="losses[-1]"),
     "only the last loss"),
    (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss", returned="losses"), "keeps its graph"),
    (TRAIN.format(first="net = nn.Linear(2, 1)", between="", kept="loss.item()", returned="losses"), "other numbers"),
])

wrong("04.3", [
    (PARTS.format(first="", factor="1"), "sum of all means"),
    (PARTS.format(first="", factor="1 / len(parts)"), "small part count too much"),
    (PARTS.format(first="net.zero_grad()", factor="len(part_data) / len(data)"), "Only the last part"),
    (PARTS.format(first="", factor="len(part_data) / size"), "other numbers"),
    ("def gradient_in_parts(net, data, target, size):\n"
     "    nn.functional.mse_loss(net(data), target).backward()\n"
     "    return net.weight.grad", "went through net at once"),
    ("def gradient_in_parts(net, data, target, size):\n"
     "    parts = zip(data.split(size), target.split(size))\n"
     "    sum(nn.functional.mse_loss(net(d), t) * len(d) / len(data) for d, t in parts).backward()\n"
     "    return net.weight.grad", "in memory together"),
])
