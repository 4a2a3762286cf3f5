"""Typical wrong answers to the exercises of notebooks 02 and 03, and words of the sentence that must refuse each."""

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

STEP_03_3 = """def train_step(net, optimizer, x, t):
    error = net(x) - t
    loss1, loss2 = error.square().mean(), error.abs().mean()
    {lines}"""

WALK_03_4 = """def walk(w, h, steps):
    for step in range(steps):
        h = torch.tanh({product}){end}
        loss = h ** 2
        loss.backward({keep})
    return h"""

WRONG_ANSWERS_23 = {
    "02.1": [
        ("def loss_of(x): return (2 * x).mean()", "still saves 1 tensor:"),
        ("def loss_of(x): return x.mean() * x.new_tensor(2.0)", "still saves"),
        ("def loss_of(x): return (x + x.detach()).mean()", "half as large"),
        ("def loss_of(x): return (x.detach() + x.detach()).mean()", "not tracked"),
        ("def loss_of(x): return (x + x).mean().item()", "not tracked"),
        ("def loss_of(x): return (x + 2).mean()", "other numbers"),
        ("def loss_of(x): return x + x", "shape"),
        ("def loss_of(x): return torch.tensor(2.0, requires_grad=True)", "must be computed from x"),
    ],
    "02.2": [
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
    ],
    "02.3": [
        (TRAIN_02_3.format(end="", result="history"), "holds its graph"),
        (TRAIN_02_3.format(end=".clone()", result="history"), "holds its graph"),
        (TRAIN_02_3.format(end=".item()", result="total"), "a list with one loss for each step"),
        (TRAIN_02_3.format(end=".item()", result="history[-1:]"), "has the length 1"),
        (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.step()", ""), "did not change"),
        (TRAIN_02_3.format(end=".item()", result="history").replace("optimizer.zero_grad()", ""), "zero_grad() in each"),
        (TRAIN_02_3.format(end=".item()", result="history").replace("loss = (net(x)", "loss = (net(x).detach()"),
         "does not require grad"),
    ],
    "02.4": [
        (LEAVES_02_4.format(entry="node.variable", pairs="[:1]", returned="leaves"), "every pair"),
        (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves"), "more than once"),
        (LEAVES_02_4.format(entry="node", pairs="", returned="leaves"), "of type AccumulateGrad"),
        (LEAVES_02_4.format(entry="node.variable.detach()", pairs="", returned="leaves"), "no tracked leaf"),
        (LEAVES_02_4.format(entry="node.variable", pairs="", returned="len(leaves)"), "a list of leaves"),
        (LEAVES_02_4.format(entry="node.variable", pairs="", returned="leaves").replace("if node is None", "if node == 0"),
         "raised AttributeError"),
    ],
    "03.1": [
        ("def run_backward(loss1, loss2, loss3):\n    loss1.backward(retain_graph=True)\n    loss2.backward(retain_graph=True)\n"
         "    loss3.backward()", "ran 3 times"),
        ("def run_backward(loss1, loss2, loss3):\n    (loss1 + loss2).backward(retain_graph=True)\n    loss3.backward()",
         "ran 2 times"),
        ("def run_backward(loss1, loss2, loss3):\n    loss1.backward()\n    loss2.backward()\n    loss3.backward()",
         "a second time"),
        ("def run_backward(loss1, loss2, loss3): ((loss1 + loss2 + loss3) / 3).backward()", "a third"),
        ("def run_backward(loss1, loss2, loss3): (loss1 + loss2).backward()", "no part from loss3"),
        ("def run_backward(loss1, loss2, loss3): (loss1 + loss2 + loss3).backward(retain_graph=True)", "needs no retain_graph"),
        ("def run_backward(loss1, loss2, loss3): return loss1 + loss2 + loss3", "no backward went to x"),
    ],
    "03.2": [
        ("def gradients_of(loss1, loss2, weight):\n    loss1.backward(retain_graph=True)\n    first = weight.grad.clone()\n"
         "    loss2.backward()\n    return first, weight.grad - first", "leaves .grad alone"),
        ("def gradients_of(loss1, loss2, weight): return (torch.autograd.grad(loss1, weight, retain_graph=True),\n"
         "    torch.autograd.grad(loss2, weight))", "take its first entry"),
        ("def gradients_of(loss1, loss2, weight): return [torch.autograd.grad(loss, weight, retain_graph=True)[0]\n"
         "    for loss in (loss1, loss2)]", "the last call needs no retain_graph"),
        ("def gradients_of(loss1, loss2, weight): return [torch.autograd.grad(loss, weight)[0] for loss in (loss1, loss2)]",
         "a second time"),
        ("def gradients_of(loss1, loss2, weight): return torch.autograd.grad(loss1 + loss2, weight)[0]", "a pair"),
        ("def gradients_of(loss1, loss2, weight): return torch.autograd.grad([loss1, loss2], [weight, weight])",
         "other numbers"),
    ],
    "03.3": [
        ("def train_step(net, optimizer, x, t):\n    error = net(x) - t\n    optimizer.zero_grad()\n"
         "    (error.square().mean() + error.abs().mean()).backward(retain_graph=True)\n    optimizer.step()",
         "The last backward needs no retain_graph"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(retain_graph=True); optimizer.step(); loss2.backward()"),
         "modified by an inplace operation"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(retain_graph=True); loss1.backward(); optimizer.step()"),
         "must start at loss2"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step()"), "from loss1 alone"),
        (STEP_03_3.format(lines="(loss1 + loss2).backward(); optimizer.step()"), "clear them first"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); (loss1 + loss2).backward()"), "the step is missing"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step(); optimizer.zero_grad(); "
                                "(net(x) - t).abs().mean().backward(); optimizer.step()"), "There were two steps"),
        (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step(); "
                                "(net(x) - t).abs().mean().backward(); optimizer.step()"), "There were two steps"),
    ],
    "03.4": [
        (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True"), "still goes back through all the steps"),
        (WALK_03_4.format(product="w * h", end="", keep=""), "an earlier step"),
        (WALK_03_4.format(product="w * h", end=".detach()", keep=""), "The loss has no history"),
        (WALK_03_4.format(product="w * h.detach()", end="", keep="retain_graph=True"), "still retained"),
        (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("loss.backward()", ""), "no gradient"),
        (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True").replace(
            "loss.backward(retain_graph=True)", "loss.backward(retain_graph=True); h = h.detach()"), "is still there"),
        (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("return h", "return loss"), "other numbers"),
    ],
}
