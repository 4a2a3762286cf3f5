"""Answers to the exercises of notebook 02."""

from answers import right, wrong

TRAIN_02_2 = """def train(net, optimizer, x, t, steps):
    losses = []
    prediction = net(x)
    for step in range(steps):
        {in_loop}
        loss = (prediction - t).square().mean()
        {clear}
        loss.backward({keep})
        {step}
        losses.append(loss.item())
    return losses"""

TRAIN_02_3 = """def train(net, optimizer, xs, ts):
    history, total = [], 0
    for x, t in zip(xs, ts):
        loss = (net(x) - t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss{end})
        total = total + loss
    return {result}"""

LEAVES_02_4 = """def leaves_of(result):
    leaves = []
    def walk(node):
        if node is None:
            return
        if hasattr(node, "variable"):
            leaves.append({entry})
        for following, number in node.next_functions{pairs}:
            walk(following)
    walk(result.grad_fn)
    return {returned}"""

wrong("02.1", [
    ("def loss_of(x): return (2 * x).mean()", "still saves 1 tensor:"),
    ("def loss_of(x): return x.mean() * x.new_tensor(2.0)", "still saves"),
    ("def loss_of(x): return (x + x.detach()).mean()", "half as large"),
    ("def loss_of(x): return (x.detach() + x.detach()).mean()", "not tracked"),
    ("def loss_of(x): return (x + x).mean().item()", "not tracked"),
    ("def loss_of(x): return (x + 2).mean()", "other numbers"),
    ("def loss_of(x): return x + x", "shape"),
    ("def loss_of(x): return torch.tensor(2.0, requires_grad=True)", "must be computed from x"),
])

right("02.2", ["""def train(net, optimizer, x, t, steps):
    losses, prediction = [], net(x)
    for step in range(steps):
        loss = (prediction - t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        prediction = net(x)
    return losses"""])

wrong("02.2", [
    (TRAIN_02_2.format(in_loop="", clear="optimizer.zero_grad()", keep="", step="optimizer.step()"), "a second time"),
    (TRAIN_02_2.format(in_loop="", clear="optimizer.zero_grad()", keep="retain_graph=True", step="optimizer.step()"),
     "its own prediction"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="retain_graph=True",
                       step="optimizer.step()"), "still retained"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="", keep="", step="optimizer.step()"), "zero_grad() in each"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step=""), "did not change"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace("return losses", "return losses[-1]"), "a list with one loss for each step"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace("range(steps)", "range(3)"), "has the length 3"),
])

wrong("02.3", [
    (TRAIN_02_3.format(end="", result="history"), "holds its graph"),
    (TRAIN_02_3.format(end=".clone()", result="history"), "holds its graph"),
    (TRAIN_02_3.format(end=".item()", result="total"), "a list with one loss for each step"),
    (TRAIN_02_3.format(end=".item()", result="history[-1:]"), "has the length 1"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.step()", ""), "did not change"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.zero_grad()", ""), "zero_grad() in each"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("loss = (net(x)", "loss = (net(x).detach()"),
     "does not require grad"),
])

wrong("02.4", [
    (LEAVES_02_4.format(entry="node.variable", pairs="[:1]", returned="leaves"), "every pair"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves"), "more than once"),
    (LEAVES_02_4.format(entry="node", pairs="", returned="leaves"), "of type AccumulateGrad"),
    (LEAVES_02_4.format(entry="node.variable.detach()", pairs="", returned="leaves"), "no tracked leaf"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="len(leaves)"), "a list of leaves"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves").replace("if node is None", "if node == 0"),
     "raised AttributeError"),
])
