"""Answers to the exercises of notebook 08."""

from answers import right, wrong

MEAN = """
def path_of(net, optimizer, batches, target):
    mean, path = torch.zeros(2), []
    for x in batches:
        {mean}
        loss = (mean - target).square().sum()
        {loss}
        optimizer.zero_grad()
        loss.backward({options})
        optimizer.step()
        {after}
        path.append({kept})
    return path
"""
RUNNING = "mean = 0.9 * mean + 0.1 * net(x).mean(dim=0)"
IN_PLACE = "mean *= 0.9; mean += 0.1 * net(x).mean(dim=0)"


def mean(mean=RUNNING, loss="", options="", after="mean = mean.detach()", kept="mean.numpy()"):
    return MEAN.format(mean=mean, loss=loss, options=options, after=after, kept=kept)

TURN = """
def one_turn(maker, critic, maker_optimizer, critic_optimizer, noise, real):
    fake = maker(noise)
    critic_loss = critic({fake}).mean() - critic(real).mean()
    {early}
    {clear}
    critic_loss.backward({options})
    critic_optimizer.step()
    {late}
    {clear_maker}
    maker_loss.backward()
    maker_optimizer.step()
    {end}
"""
MAKER = "maker_loss = -critic(fake).mean()"


def turn(fake="fake.detach()", early="", clear="critic_optimizer.zero_grad()", options="", late=MAKER,
         clear_maker="maker_optimizer.zero_grad()", end=""):
    return TURN.format(fake=fake, early=early, clear=clear, options=options, late=late, clear_maker=clear_maker, end=end)

BOTH = """
def one_turn(maker, critic, maker_optimizer, critic_optimizer, noise, real):
    fake = maker(noise)
    critic_loss = critic({fake}).mean() - critic(real).mean()
    maker_loss = -critic(fake).mean()
    maker_optimizer.zero_grad()
    critic_optimizer.zero_grad()
    {backward}
    critic_optimizer.step()
    maker_optimizer.step()
"""

HEAD = """
def head_of(body, x, target, steps):
    {first}
    with {mode}:
        features = {features}
    {after}
    w = {w}
    {leaf}
    optimizer = torch.optim.SGD([w], lr=0.5)
    for step in range(steps):
        {each}
        optimizer.zero_grad()
        (features @ w - target).square().mean().backward({options})
        optimizer.step()
    return w
"""
RESULT = "torch.ones(3, requires_grad=True).to(x.dtype) * 0.1"
LEAF = "(torch.ones(3).to(x.dtype) * 0.1).requires_grad_()"


def head(mode="torch.no_grad()", features="body(x)", after="", w=LEAF, leaf="", each="", options="", first=""):
    return HEAD.format(mode=mode, features=features, after=after, w=w, leaf=leaf, each=each, options=options, first=first)

CUT = """
def first_cut(w, tensors):
    for name, tensor in tensors.items():
        if {condition}:
            return name
"""
ASKED = "not tensor.requires_grad or torch.autograd.grad({}, w{})[0] is None"

FIRST_PAIR = """
def first_cut(w, tensors):
    for name, tensor in tensors.items():
        node = tensor.grad_fn
        while node is not None and node.next_functions:
            node = node.next_functions[0][0]
        if getattr(node, "variable", None) is not w:
            return name
"""

WALK = """
def first_cut(w, tensors):
    def leads(node):
        return node is not None and (getattr(node, "variable", None) is w or any(leads(n) for n, _ in node.next_functions))
    for name, tensor in tensors.items():
        if not leads(tensor.grad_fn):
            return name
"""

BACKWARD = """
def first_cut(w, tensors):
    for name, tensor in tensors.items():
        w.grad = None
        if tensor.requires_grad:
            tensor.sum().backward(retain_graph=True)
        if w.grad is None:
            return name
    {end}
"""

right("08.1", [
    mean(mean=RUNNING.replace("* mean", "* mean.detach()"), after="", kept="mean.detach().numpy()"),
    mean(after="", kept="mean.detach_().numpy()"),
    mean(mean="mean = torch.tensor(path[-1]) if path else mean\n        " + RUNNING, after="",
         kept="mean.detach().numpy()"),
    mean(mean=IN_PLACE, after="mean = mean.detach().clone()", kept="mean.clone().numpy()"),
    mean(mean="mean = torch.lerp(mean, net(x).mean(0), 0.1)", kept="np.array(mean)")
    .replace("\ndef", "import numpy as np\ndef"),
    mean(mean="with torch.no_grad(): old = 0.9 * mean\n        mean = old + 0.1 * net(x).mean(0)", after="",
         kept="mean.detach().clone().numpy()"),
])

wrong("08.1", [
    (mean(after=""), "mean is still tracked where NumPy takes it"),
    (mean(after="", kept="mean.detach().numpy()"), "still goes back into the first"),
    (mean(after="", options="retain_graph=True", kept="mean.detach().numpy()"), "no help against case 3: step()"),
    (mean(mean=RUNNING + ".detach()"), "The loss is not tracked"),
    (mean(mean=RUNNING + ".detach()", loss="loss.requires_grad_()"), "net does not learn"),
    (mean(after="mean = mean.data"), "switches off the guard"),
    (mean(mean=IN_PLACE), "Only the last row is right"),
    (mean(options="retain_graph=True"), "keeps a graph that no later step should walk"),
    (mean(after="", kept="mean.data.numpy()", mean=RUNNING.replace("* mean", "* mean.data")), "switches off the guard"),
    (mean(mean="mean *= 0.9; mean = mean + 0.1 * net(x).mean(dim=0)"), "Only the last row is right"),
    (mean(kept="mean"), "NumPy arrays are expected"),
    (mean(mean=RUNNING.replace("* mean", "* mean.detach()"), after="", kept="mean"), "holds tracked tensors"),
    (mean(mean="mean = net(x).mean(dim=0)"), "other numbers"),
])

right("08.2", [
    turn(fake="fake", options="inputs=list(critic.parameters())"),
    turn(clear="maker_optimizer.zero_grad(); critic_optimizer.zero_grad()", clear_maker=""),
    turn(clear="", clear_maker="", end="critic.zero_grad(); maker.zero_grad()"),
    turn(late="critic.requires_grad_(False); " + MAKER, end="critic.requires_grad_(True)"),
    turn(late="maker_loss = -critic(fake).mean()", end="return critic_loss.item(), maker_loss.item()"),
    """
def one_turn(maker, critic, maker_optimizer, critic_optimizer, noise, real):
    fake = maker(noise)
    constant = fake.detach().requires_grad_()
    critic_optimizer.zero_grad()
    (critic(constant).mean() - critic(real).mean()).backward()
    critic_optimizer.step()
    constant.grad = None
    critic(constant).mean().neg().backward()
    maker_optimizer.zero_grad()
    fake.backward(constant.grad)
    maker_optimizer.step()
""",
])

wrong("08.2", [
    (turn(fake="fake"), "goes back through fake into maker"),
    (turn(fake="fake", early=MAKER, late="", options="retain_graph=True"), "no help against case 3: maker_loss"),
    (turn(fake="fake", options="retain_graph=True"), "still goes back into maker"),
    (turn(early="fake = fake.detach()"), "maker gets no gradient"),
    (turn(fake="fake.data"), "switches off the guard"),
    (turn(clear="", clear_maker=""), "old gradients were not cleared"),
    (BOTH.format(fake="fake.detach()", backward="critic_loss.backward(); maker_loss.backward()"),
     "from the critic before its step"),
    (turn(early=MAKER, late=""), "older than the step of critic"),
    (turn(early="fake = fake.detach().requires_grad_()"), "maker gets no gradient"),
    (turn().replace("maker_optimizer.step()", ""), "let its optimizer step"),
    (turn(late="maker_loss = -critic(fake.detach()).mean()"), "maker gets no gradient"),
    (turn(fake="fake", late="maker_loss = -critic(maker(noise)).mean()"), "maker ran more than once forward or backward"),
    (turn(clear="", clear_maker="maker_optimizer.zero_grad()"), "old gradients were not cleared"),
    (turn(late=MAKER + "; critic.requires_grad_(False)"), "leaves a network frozen"),
    (turn(fake="fake", options="create_graph=True"), "maker ran more than once forward or backward"),
    (turn(late="maker_loss = critic(fake).mean()"), "maker has other weights"),
    (BOTH.format(fake="fake.detach()", backward="critic_loss.backward(inputs=list(critic.parameters()))\n"
                 "    maker_loss.backward(inputs=list(maker.parameters()))"), "from the critic before its step"),
    (BOTH.format(fake="fake", backward="(critic_loss + maker_loss).backward()"), "the two losses cancel"),
])

right("08.3", [
    head(mode="torch.enable_grad()", features="body(x).detach()"),
    head(mode="torch.inference_mode()", after="features = features.clone()"),
    head(w="torch.full((3,), 0.1, dtype=x.dtype, requires_grad=True)"),
    head(w="nn.Parameter(torch.ones(3).to(x.dtype) * 0.1)"),
    head(w=RESULT, leaf="w = w.detach().requires_grad_()"),
    head(first="body.requires_grad_(False)", mode="torch.enable_grad()", after="body.requires_grad_(True)"),
    head(w="torch.full((3,), 0.1, requires_grad=True)", after="features = features.float(); target = target.float()"),
    head().replace("return w", "return w.detach()"),
    """
def head_of(body, x, target, steps):
    with torch.no_grad():
        features = body(x)
    layer = nn.Linear(3, 1, bias=False).to(x.dtype)
    nn.init.constant_(layer.weight, 0.1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        (layer(features)[:, 0] - target).square().mean().backward()
        optimizer.step()
    return layer.weight[0]
""",
])

wrong("08.3", [
    (head(mode="torch.inference_mode()"), "an inference tensor"),
    (head(w=RESULT), "and no leaf"),
    (head(w=RESULT, leaf="w.retain_grad()"), "does not make it a leaf"),
    (head(mode="torch.enable_grad()"), "Now features has a graph"),
    (head(mode="torch.enable_grad()", options="retain_graph=True"), "keeps an old graph"),
    (head(mode="torch.enable_grad()", features="body(x).data"), "switches off the guard"),
    (head(w="torch.full((3,), 0.1, requires_grad=True)"), "the dtype of x"),
    (head(mode="torch.inference_mode()", features="body(x).clone()"), "an inference tensor"),
    (head(w=RESULT, leaf="w.requires_grad_()"), "and no leaf"),
    (head(w=RESULT, leaf="w = w.detach()"), "The loss is not tracked"),
    (head(w=RESULT, leaf="w.retain_grad()", options="retain_graph=True"), "keeps an old graph"),
    (head(mode="torch.enable_grad()", each="features = body(x)"), "body got a gradient"),
    (head(each="features = body(x).detach()"), "body ran 5 times"),
    (head(first="body.requires_grad_(False)"), "freezes body"),
    (head(w="torch.ones(3, dtype=x.dtype, requires_grad=True)"), "other numbers"),
    (head().replace("optimizer.step()", "pass"), "w does not learn"),
])

right("08.4", [
    WALK,
    CUT.format(condition="not tensor.requires_grad or "
               "torch.autograd.grad(tensor, w, torch.ones_like(tensor), True, allow_unused=True)[0] is None"),
    BACKWARD.format(end="").replace("        if w.grad is None:", "        found, w.grad = w.grad, None\n"
                                    "        if found is None:"),
])

wrong("08.4", [
    (CUT.format(condition="not tensor.requires_grad"), "it is tracked, but it is a leaf of its own"),
    (CUT.format(condition="tensor.grad_fn is None"), "begins at another leaf"),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", allow_unused=True")), "retain_graph=True is right here"),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", retain_graph=True")), "allow_unused=True is right here"),
    (FIRST_PAIR, "along any input"),
    (BACKWARD.format(end=""), "w.grad is filled"),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", retain_graph=name != list(tensors)[-1], allow_unused=True")),
     "has freed the graph"),
    (CUT.format(condition="tensor.is_leaf"), "begins at another leaf"),
    (CUT.format(condition=ASKED.format("tensor", ", retain_graph=True, allow_unused=True")), "take the sum"),
    (CUT.format(condition="torch.autograd.grad(tensor.sum(), w, retain_graph=True, allow_unused=True)[0] is None"),
     "look at requires_grad first"),
    (CUT.format(condition="not tensor.requires_grad or not "
                "torch.autograd.grad(tensor.sum(), w, retain_graph=True, materialize_grads=True)[0].any()"),
     "even where the gradient is 0"),
    (CUT.format(condition="tensor.requires_grad"), "the first tensor that is cut off from w is 'hit'"),
    (CUT.format(condition="not tensor.requires_grad").replace("return name", "return tensor"), "one of the names"),
    (CUT.format(condition="not tensor.requires_grad").replace("return name", "last = name") + "    return last",
     "'loss', but the first tensor"),
])
