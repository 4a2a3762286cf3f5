"""Answers to the exercises of notebook 02."""

from answers import right, wrong

DOUBLE_02_1 = """class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        {save}
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        {use}
        return 2 * gradient

def loss_of(x):
    return Double.apply(x).mean()"""

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

WALK_02_4 = """def leaves_of(result):
    nodes, leaves = [result.grad_fn], []
    for node in nodes:
        if hasattr(node, "variable"){single}:
            leaves.append(node.variable)
        for following, number in node.next_functions:
            if {follow}:
                nodes.append(following)
    return leaves"""

right("02.1", [(DOUBLE_02_1.format(save="", use=""), "No node here saves a tensor", "[2] DoubleBackward from [1]\n"),
               ("def loss_of(x): return x.mean() + x.mean()", "No node here saves a tensor")])

wrong("02.1", [
    (DOUBLE_02_1.format(save="ctx.save_for_backward(x)", use=""), "work, and yet [2] saves a tensor", "line 13: return Double",
     "; ✗ tensors[0]: saved, and never used"),
    (DOUBLE_02_1.format(save="ctx.save_for_backward(x)", use="x, = ctx.saved_tensors"), "fails at [2]", "line 13: return Double",
     "✗ tensors: saved, and freed by the first backward"),
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
    (TRAIN_02_2.format(in_loop="prediction = net(x).detach()", clear="optimizer.zero_grad()", keep="", step="optimizer.step()"),
     "what comes out is not tracked", "line 5: prediction = net(x).detach()", "loss; not tracked (); ✗"),
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

ONE_LOSS_02_3 = """def train(net, optimizer, xs, ts):
    history = []
    for x, t in zip(xs, ts):
        loss = (net(x) - t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        {step}
        history.append({entry})
    return {result}"""

ALL_FREED = "4 graphs were built, and none was kept: here is the last one, as it was before its backward"

right("02.3", [(ONE_LOSS_02_3.format(step="optimizer.step()", entry="loss.detach()", result="history"), ALL_FREED),
               (ONE_LOSS_02_3.format(step="optimizer.step()", entry="float(loss)", result="tuple(history)"), ALL_FREED),
               (ONE_LOSS_02_3.format(step="with torch.no_grad():\n            for p in net.parameters(): p -= 0.1 * p.grad",
                                     entry="loss.item()", result="history"), ALL_FREED)])

wrong("02.3", [
    (ONE_LOSS_02_3.format(step="optimizer.step()", entry="loss", result="[loss.item() for loss in history]"),
     "in step 4, 4 graphs were in memory together", "line 4: loss = ", "[7] MeanBackward0 from [6]; ✗ still in memory in step 4"),
    (TRAIN_02_3.format(end=".item()", result="history"), "in step 4, 4 graphs were in memory together"),
    (TRAIN_02_3.format(end="", result="history"), "history[0] is tracked: it holds a graph of 7 nodes", "line 4: loss = ",
     "history[0] from [7]; result (); ✗ holds this graph"),
    (TRAIN_02_3.format(end=".clone()", result="history"), "it holds a graph of 8 nodes", "line 8: history.append(loss.clone())"),
    (TRAIN_02_3.format(end=".item()", result="total"), "not a list with one loss for each step"),
    (TRAIN_02_3.format(end=".item()", result="history[-1:]"), "has the length 1"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.step()", ""), "did not run"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.zero_grad()", ""), "add up from step to step"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("loss = (net(x)", "loss = (net(x).detach()"),
     "what comes out is not tracked", "line 4: loss = (net(x).detach()", "loss; not tracked (); ✗"),
    (TRAIN_02_3.format(end=".item()", result="history").replace("total = total + loss", "net.last = loss"),
     "1 of 4 graphs is still in memory"),
])

right("02.4", [(LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves")
                .replace("leaves = []", "leaves, seen = [], set()").replace("is None:", "is None or node in seen:")
                .replace("if hasattr", "seen.add(node)\n        if hasattr"), "It goes on from each node once")])

wrong("02.4", [
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves")
     .replace('"variable")', '"variable") and not any(node.variable is leaf for leaf in leaves)'),
     "In one with 30 additions there are 1,073,741,824 ways", "leaf; leaf (); .grad None; ✗ 8 ways lead here"),
    (WALK_02_4.format(single=" and not any(node.variable is leaf for leaf in leaves)", follow="following is not None"),
     "there are 1,073,741,824 ways"),
    (WALK_02_4.format(single="", follow="following not in nodes"),
     "came to a None and went on: an input of [3] is not tracked", "line 6: for following", "[3] AddBackward0 from [2]; ✗"),
    (WALK_02_4.format(single=" and node.variable not in leaves", follow="following and following not in nodes"),
     "compared by their numbers", "line 4: if hasattr"),
    ("from seegrad import show_graph\ndef leaves_of(result): return list(show_graph(result).snapshot.leaves)",
     "of type seegrad.snapshot.Tensor, which is no torch.Tensor"),
    (LEAVES_02_4.format(entry="node.variable", pairs="[:1]", returned="leaves"), "The leaf b of this graph is not in your list",
     "\nb; leaf (2,); .grad None; ✗ not in your list"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves"), "The leaf a of this graph is 2 times in your list",
     "\na; leaf (2,); .grad None; ✗ 2 times"),
    (LEAVES_02_4.format(entry="node", pairs="", returned="leaves"), "of type AccumulateGrad"),
    (LEAVES_02_4.format(entry="node.variable.detach()", pairs="", returned="leaves"), "no tracked leaf"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="len(leaves)"), "not a list of leaves"),
    (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves").replace("if node is None", "if node == 0"),
     "came to a None", "line 8: for following", "[2] ExpBackward0"),
])
