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
    ("def loss_of(x): return (2 * x).mean()", "fails at [2]", "line 1: def loss_of", "✗ other freed; ✗ other: saved, and freed"),
    ("def loss_of(x):\n    y = x.mean()\n    return y * x.new_tensor(2.0)", "fails at [3]", "line 3: return y",
     "[3] MulBackward0 from [2]; ✗ other freed"),
    ("def loss_of(x): return (x + x.detach()).mean()", "half of what it was", "[2] AddBackward0 from [1]\n"),
    ("def loss_of(x): return (x.detach() + x.detach()).mean()", "not tracked"),
    ("def loss_of(x): return (x + x).mean().item()", "not tracked"),
    ("def loss_of(x): return (x + 2).mean()", "other numbers"),
    ("def loss_of(x): return x + x", "shape"),
    ("def loss_of(x): return torch.tensor(2.0, requires_grad=True)", "not computed from x"),
    ("def loss_of(x):\n    loss = (x + x).mean()\n    loss.backward()\n    return loss", "before the check called backward"),
    ("""def loss_of(x):
    y = x.clone()
    y[0] = x[0]
    return (y + y).mean()""", "cannot be seen", "CopySlices"),
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
    return losses""",
               """def train(net, optimizer, x, t, steps):
    return [step_of(net, optimizer, x, t) for step in range(steps)]

def step_of(net, optimizer, x, t):
    loss = (net(x) - t).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()"""])

wrong("02.2", [
    (TRAIN_02_2.format(in_loop="", clear="optimizer.zero_grad()", keep="", step="optimizer.step()"), "a second time",
     "line 8: loss.backward()", "[4] AddmmBackward0", "✗ mat1: backward needs it, and it was freed; made by line 3"),
    (TRAIN_02_2.format(in_loop="", clear="optimizer.zero_grad()", keep="retain_graph=True", step="optimizer.step()"),
     "All losses are the same", "line 3: prediction = net(x)", "✗ made once, before all steps"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="retain_graph=True",
                       step="optimizer.step()"), "still holds 40 bytes", "line 8: loss.backward(retain_graph=True)", "✗ mat1"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="", keep="", step="optimizer.step()"), "add up from step to step"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step=""), "did not run"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace("return losses", "return losses[-1]"), "not a list with one loss for each step"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace("range(steps)", "range(3)"), "has the length 3"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace(".item()", ""), "losses[0] is tracked: it holds a graph of 7 nodes", "line 6: loss = ",
     "losses[0] from [7]; result (); ✗ holds this graph"),
    (TRAIN_02_2.format(in_loop="prediction = net(x)", clear="optimizer.zero_grad()", keep="", step="optimizer.step()")
     .replace("losses.append(loss.item())", "losses.append(loss if step else loss.item())"), "losses[1] is tracked"),
])

wrong("02.3", [
    (TRAIN_02_3.format(end="", result="history"), "history[0] is tracked: it holds a graph of 7 nodes", "line 4: loss = ",
     "history[0] from [7]; result (); ✗ holds this graph"),
    (TRAIN_02_3.format(end=".clone()", result="history"), "it holds a graph of 8 nodes", "line 8: history.append(loss.clone())"),
    (TRAIN_02_3.format(end=".item()", result="total"), "not a list with one loss for each step"),
    (TRAIN_02_3.format(end=".item()", result="history[-1:]"), "has the length 1"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.step()", ""), "did not run"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.zero_grad()", ""), "add up from step to step"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("loss = (net(x)", "loss = (net(x).detach()"),
     "does not require grad", "line 6: loss.backward()"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("total = total + loss", "net.last = loss"),
     "1 of 4 graphs is still in memory"),
])

wrong("02.4", [
    (LEAVES_02_4.format(entry="node.variable", pairs="[:1]", returned="leaves"), "The leaf b of this graph is not in your list",
     "\nb; leaf (2,); .grad None; ✗ not in your list"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves"), "The leaf a of this graph is 2 times in your list",
     "\na; leaf (2,); .grad None; ✗ 2 times"),
    (LEAVES_02_4.format(entry="node", pairs="", returned="leaves"), "of type AccumulateGrad"),
    (LEAVES_02_4.format(entry="node.variable.detach()", pairs="", returned="leaves"), "no tracked leaf"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="len(leaves)"), "not a list of leaves"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves").replace("if node is None", "if node == 0"),
     "raised AttributeError", "line 8: for following", "[2] ExpBackward0"),
])
