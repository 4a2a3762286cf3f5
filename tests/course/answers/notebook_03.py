"""Answers to the exercises of notebook 03."""

from answers import wrong

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

wrong("03.1", [
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
])

wrong("03.2", [
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
])

wrong("03.3", [
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
])

wrong("03.4", [
    (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True"), "still goes back through all the steps"),
    (WALK_03_4.format(product="w * h", end="", keep=""), "an earlier step"),
    (WALK_03_4.format(product="w * h", end=".detach()", keep=""), "The loss has no history"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="retain_graph=True"), "still retained"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("loss.backward()", ""), "no gradient"),
    (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True").replace(
        "loss.backward(retain_graph=True)", "loss.backward(retain_graph=True); h = h.detach()"), "is still there"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("return h", "return loss"), "other numbers"),
])
