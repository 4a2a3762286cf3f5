"""Answers to the exercises of notebook 03."""

from answers import right, wrong

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

right("03.1", [("def run_backward(loss1, loss2, loss3): torch.autograd.backward([loss1, loss2, loss3])",
                "So one walk is enough for all losses: [2] ran once", "[2] PowBackward0 from [1]; self freed"),
               "def run_backward(loss1, loss2, loss3): torch.stack([loss1, loss2, loss3]).sum().backward()"])

wrong("03.1", [
    ("def run_backward(*losses):\n    total = sum(loss.detach() for loss in losses)\n    total.backward()",
     "what comes out is not tracked", "line 2: total = sum(loss.detach()"),
    ("def run_backward(loss1, loss2, loss3):\n    loss1.backward(retain_graph=True)\n    loss2.backward(retain_graph=True)\n"
     "    loss3.backward()", "The shared node [2] ran 3 times", "line 3: loss2.backward(retain_graph=True)",
     "[2] PowBackward0 from [1]; self freed; ✗ ran 3 times"),
    ("def run_backward(loss1, loss2, loss3):\n    (loss1 + loss2).backward(retain_graph=True)\n    loss3.backward()",
     "ran 2 times", "line 3: loss3.backward()"),
    ("def run_backward(loss1, loss2, loss3):\n    loss1.backward()\n    loss2.backward()\n    loss3.backward()",
     "a second time", "line 3: loss2.backward()", "✗ self: backward needs it, and it was freed\n"),
    ("def run_backward(loss1, loss2, loss3): ((loss1 + loss2 + loss3) / 3).backward()", "a third"),
    ("def run_backward(loss1, loss2, loss3): (loss1 + loss2).backward()", "no part from loss3",
     "loss3 from [5]; result (); ✗ no backward came from here"),
    ("def run_backward(loss1, loss2, loss3):\n    (loss1 + loss2 + loss3).backward(retain_graph=True)",
     "still holds", "line 2: (loss1 + loss2 + loss3)", "; ✗ self: still saved, and never used again"),
    ("def run_backward(loss1, loss2, loss3): return loss1 + loss2 + loss3", "no backward went to x",
     "\nx; leaf (3,); .grad None; ✗ no gradient came here"),
])

right("03.2", ["def gradients_of(loss1, loss2, weight):\n"
               "    second, = torch.autograd.grad(loss2, weight, retain_graph=True)\n"
               "    return torch.autograd.grad(loss1, weight)[0], second",
               ("def gradients_of(loss1, loss2, weight):\n"
                "    return tuple(torch.autograd.grad(torch.stack([loss1, loss2]), weight, torch.eye(2),\n"
                "                                     is_grads_batched=True)[0])", "The last walk has freed the shared part")])

wrong("03.2", [
    ("def gradients_of(loss1, loss2, weight):\n    loss1.backward(retain_graph=True, inputs=[weight])\n"
     "    first, weight.grad = weight.grad, None\n    loss2.backward(inputs=[weight])\n"
     "    second, weight.grad = weight.grad, None\n    return first, second", "The leaf weight has got a .grad",
     "line 2: loss1.backward", ".grad None; ✗ backward() has filled its .grad, and you have cleared it"),
    ("def gradients_of(loss1, loss2, weight):\n    weight.grad, = torch.autograd.grad(loss1 + loss2, weight)\n"
     "    return weight.grad, weight.grad", "The leaf weight has got a .grad", ".grad (3,); ✗ has a .grad"),
    ("def gradients_of(loss1, loss2, weight):\n    loss1.backward(retain_graph=True)\n    first = weight.grad.clone()\n"
     "    loss2.backward()\n    return first, weight.grad - first", "The leaf weight has got a .grad", "line 2: loss1.backward",
     "\nweight; leaf (3,); .grad (3,); ✗"),
    ("def gradients_of(loss1, loss2, weight): return (torch.autograd.grad(loss1, weight, retain_graph=True),\n"
     "    torch.autograd.grad(loss2, weight))", "An entry of the pair is a tuple"),
    ("def gradients_of(loss1, loss2, weight): return [torch.autograd.grad(loss, weight, retain_graph=True)[0]\n"
     "    for loss in (loss1, loss2)]", "still holds", "line 1: def gradients_of", "[4] TanhBackward0", "✗ result: still saved"),
    ("def gradients_of(loss1, loss2, weight): return [torch.autograd.grad(loss, weight)[0] for loss in (loss1, loss2)]",
     "a second time", "✗ result: backward needs it, and it was freed"),
    ("def gradients_of(loss1, loss2, weight): return torch.autograd.grad(loss1 + loss2, weight)[0]", "not a pair"),
    ("def gradients_of(loss1, loss2, weight): return torch.autograd.grad([loss1, loss2], [weight, weight])",
     "other numbers"),
    ("def gradients_of(loss1, loss2, weight): return torch.autograd.grad([loss1, loss2], weight)", "has one entry"),
    ("def gradients_of(loss1, loss2, weight):\n    first, = torch.autograd.grad(loss1, weight, create_graph=True)\n"
     "    second, = torch.autograd.grad(loss2, weight)\n    return first, second", "The gradient of loss1 is tracked: it holds",
     "line 2: first, = torch.autograd.grad", "; ✗ holds this graph"),
])

right("03.3", [
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(retain_graph=True); loss2.backward(); optimizer.step()"),
     "This is the graph of the last backward", "\nloss2 from ("),
    (STEP_03_3.format(lines="optimizer.zero_grad(); torch.autograd.backward([loss1, loss2]); optimizer.step()"),
     "This is the graph of both losses", "\nloss1 from (", "\nloss2 from ("),
    ("def train_step(net, optimizer, x, t):\n    optimizer.zero_grad()\n    (net(x) - t).square().mean().backward()\n"
     "    (net(x) - t).abs().mean().backward()\n    optimizer.step()", "First all of backward"),
])

wrong("03.3", [
    (STEP_03_3.format(lines="optimizer.zero_grad()\n    (loss1 + loss2).detach().backward()\n    optimizer.step()"),
     "what comes out is not tracked", "line 5: (loss1 + loss2).detach()"),
    ("def train_step(net, optimizer, x, t):\n    error = net(x) - t\n    optimizer.zero_grad()\n"
     "    (error.square().mean() + error.abs().mean()).backward(retain_graph=True)\n    optimizer.step()",
     "retained the graph", "line 4: (error.square()"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(retain_graph=True); optimizer.step()\n    loss2.backward()"),
     "modified by an inplace operation", "line 5: loss2.backward()", "✗ [9] mat2: changed in place after it was saved; made by"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(retain_graph=True); loss1.backward(); optimizer.step()"),
     "from loss1, taken twice", "line 4: optimizer.zero_grad(); loss1"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step()"), "from loss1 alone", "\nloss1 from ("),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss2.backward(); optimizer.step()"), "from loss2 alone", "\nloss2 from ("),
    (STEP_03_3.format(lines="optimizer.zero_grad(); ((loss1 + loss2) / 2).backward(); optimizer.step()"), "the mean of the"),
    (STEP_03_3.format(lines="(loss1 + loss2).backward(); optimizer.step()"), "old gradients are part"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); (loss1 + loss2).backward()"), "did not run"),
    (STEP_03_3.format(lines="(loss1 + loss2).backward(); optimizer.zero_grad(); optimizer.step()"), "had no gradient"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step(); optimizer.zero_grad(); "
                            "(net(x) - t).abs().mean().backward(); optimizer.step()"), "There were two steps"),
    (STEP_03_3.format(lines="optimizer.zero_grad(); loss1.backward(); optimizer.step(); "
                            "(net(x) - t).abs().mean().backward(); optimizer.step()"), "There were two steps"),
])

ONE_STEP = "So backward walks one step, however long the loop is"

right("03.4", [(WALK_03_4.format(product="w * h", end="", keep="").replace("backward()", "backward(); h = h.detach()"), ONE_STEP),
               (WALK_03_4.format(product="w * h.data", end="", keep=""), ONE_STEP),
               (WALK_03_4.format(product="w * h", end="", keep="").replace("tanh(w * h)", "sigmoid(2 * w * h.detach()) * 2 - 1"),
                ONE_STEP)])

wrong("03.4", [
    ("def walk(w, h, steps):\n    total = 0\n    for step in range(steps):\n        h = torch.tanh(w * h.detach())\n"
     "        total = total + h ** 2\n    total.backward()\n    return h",
     "With 4 steps, a backward goes through 17 nodes, and with 1 step through 5", "line 6: total.backward()", "✗ [2]: made in"),
    (WALK_03_4.format(product="w.detach() * h", end="", keep=""), "what comes out is not tracked", "line 3: h = torch.tanh(w.det",
     "loss; not tracked (); ✗ not tracked: no graph behind it"),
    (WALK_03_4.format(product="w * h", end="", keep="").replace("h = torch", "with torch.no_grad(): h = torch"),
     "what comes out is not tracked", "line 3: with torch.no_grad(): h ="),
    (WALK_03_4.format(product="w * h", end=".detach().requires_grad_()", keep=""), "no backward came to w",
     "line 5: loss.backward()", "[1] AccumulateGrad from h"),
    (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True"), "through 4, 6, 8, 10 nodes",
     "line 5: loss.backward(retain_graph=True)", "[2] MulBackward0 from w", "✗ made in step 1"),
    (WALK_03_4.format(product="w * h", end="", keep=""), "a second time", "line 5: loss.backward()",
     "[3] TanhBackward0", "✗ result: backward needs it, and it was freed; made by line 3"),
    (WALK_03_4.format(product="w * h", end=".detach()", keep=""), "what comes out is not tracked",
     "line 3: h = torch.tanh(w * h).detach()"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="retain_graph=True"), "retained the graph of each step",
     "line 5: loss.backward(retain_graph=True)"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("loss.backward()", ""), "no backward came to w"),
    (WALK_03_4.format(product="w * h", end="", keep="retain_graph=True").replace("graph=True)", "graph=True); h = h.detach()"),
     "retained the graph of each step"),
    (WALK_03_4.format(product="w * h.detach()", end="", keep="").replace("return h", "return loss"), "other numbers"),
    ("""def walk(w, h, steps):
    kept = h
    for step in range(steps):
        h = torch.tanh(w * h.detach())
        (h ** 2).backward()
        kept = torch.tanh(w * kept)
    return kept""", "still holds the graph of the earlier steps", "line 6: kept = torch.tanh", "✗ made in an earlier step"),
])
