"""Typical wrong answers to the exercises of notebooks 04, 05 and 06, as in wrong_answers.py."""

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

SEQUENCE = """
def trunk_gradient(trunk, cat, car, data):
    features = trunk(data).tanh()
    cat_loss = cat(features).square().mean()
    {again}
    car_loss = car(features).square().mean()
    {backward}
    return trunk.weight.grad
"""

READER = """
def total_loss(trunk, cat, car, data):
    features = trunk(data).tanh(){after_trunk}
    return {cat} + {car}
"""
CAT, CAR = "cat(features).square().mean()", "car(features).square().mean()"
CAT_CUT, CAR_CUT = "cat(features.detach()).square().mean()", "car(features.detach()).square().mean()"

FORK = """
def at_the_fork(trunk, branches, data):
    features = trunk(data)
    j = {j}
    for branch in branches:
        {each}
    {end}
    return trunk.weight.grad
"""
EACH, END = "branch(j).square().mean().backward()", "features.backward(j.grad)"

WRONG_ANSWERS_456 = {
    "04.1": [
        (HIDDEN.format(before="", options="", after="", returned="h.grad"), "call retain_grad() before backward"),
        (HIDDEN.format(before="", options="", after="h.retain_grad()", returned="h.grad"),
         "call retain_grad() before backward"),
        (HIDDEN.format(before="", options="", after="", returned="first.weight.grad"), "gradient of first.weight"),
        (HIDDEN.format(before="h.retain_grad()", options="retain_graph=True", after="loss.backward()", returned="h.grad"),
         "twice too large"),
        (HIDDEN.format(before="h.retain_grad()", options="", after="", returned="h"), "other numbers"),
    ],
    "04.2": [
        (TRAIN.format(first="", between="", kept="loss.item()", returned="losses"), "Old gradients still push"),
        (TRAIN.format(first="", between="optimizer.zero_grad()", kept="loss.item()", returned="losses"), "never changes"),
        (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss.item()", returned="losses[-1]"),
         "only the last loss"),
        (TRAIN.format(first="optimizer.zero_grad()", between="", kept="loss", returned="losses"), "keeps its graph"),
        (TRAIN.format(first="net = nn.Linear(2, 1)", between="", kept="loss.item()", returned="losses"), "other numbers"),
    ],
    "04.3": [
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
    ],
    "05.1": [
        ("def gate(x):\n    y = x.sigmoid()\n    y *= x\n    return y", "sigmoid saved its result"),
        ("def gate(x):\n    y = x.sigmoid()\n    with torch.no_grad(): y *= x\n    return y", "sigmoid saved its result"),
        ("def gate(x):\n    y = x.sigmoid()\n    y.data.mul_(x)\n    return y", "a change through .data"),
        ("def gate(x):\n    y = x.sigmoid() * x\n    y.sum().backward()\n    return y", "already called backward"),
        ("def gate(x): return x.sigmoid().detach() * x", "A part of the gradient is missing"),
        ("def gate(x): return (x.sigmoid() * x).detach()", "not tracked"),
        ("def gate(x): return x.sigmoid()", "other numbers"),
    ],
    "05.2": [
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
    ],
    "05.3": [
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
    ],
    "06.1": [
        (SEQUENCE.format(again="", backward="cat_loss.backward(); car_loss.backward()"), "a second time"),
        (SEQUENCE.format(again="", backward="cat_loss.backward(retain_graph=True); car_loss.backward()"),
         "ran backward 2 times"),
        (SEQUENCE.format(again="features = trunk(data).tanh()", backward="cat_loss.backward(); car_loss.backward()"),
         "ran forward 2 times"),
        (SEQUENCE.format(again="", backward="car_loss.backward()"), "car_loss alone"),
        (SEQUENCE.format(again="", backward="(0.5 * (cat_loss + car_loss)).backward()"), "other numbers"),
    ],
    "06.2": [
        (READER.format(after_trunk="", cat=CAT, car=CAR), "still trains the trunk"),
        (READER.format(after_trunk="", cat=CAT, car=CAR + ".detach()"), "cut its input, and not its loss"),
        (READER.format(after_trunk="", cat=CAT + ".detach()", car=CAR_CUT), "do not cut its loss"),
        (READER.format(after_trunk=".detach()", cat=CAT, car=CAR), "The trunk learns nothing"),
        (READER.format(after_trunk="", cat=CAT_CUT, car=CAR), "wrong branch is cut"),
        (READER.format(after_trunk="; car.requires_grad_(False)", cat=CAT, car=CAR), "freezes a layer"),
        (READER.format(after_trunk="", cat=CAT, car="0"), "other numbers"),
        ("def total_loss(trunk, cat, car, data):\n"
         "    features = trunk(data).tanh()\n"
         f"    loss = {CAT} + {CAR_CUT}\n"
         "    loss.backward()\n"
         "    return loss", "do not call backward"),
    ],
    "06.3": [
        (FORK.format(j="features", each="branch(j).square().mean().backward(retain_graph=True)", end=""),
         "ran backward 3 times"),
        (FORK.format(j="features", each="branch(trunk(data)).square().mean().backward()", end=""), "ran forward 4 times"),
        (FORK.format(j="features.detach().requires_grad_()", each=EACH, end=""), "send j.grad through the trunk"),
        (FORK.format(j="features.detach()", each=EACH, end=END), "j.grad is filled"),
        (FORK.format(j="features.detach().requires_grad_()", each="j.grad = None; " + EACH, end=END), "one branch alone"),
        (FORK.format(j="features", each="pass", end="sum(branch(j).square().mean() for branch in branches).backward()"),
         "two branches were alive together"),
        (FORK.format(j="features.detach().requires_grad_()", each=EACH, end="features.backward(torch.ones_like(j))"),
         "other numbers"),
    ],
}
