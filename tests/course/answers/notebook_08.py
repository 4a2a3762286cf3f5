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
    (mean(after=""), "Can't call numpy() on Tensor that requires grad", "line 12: path.append(mean.numpy())"),
    (mean(after="", kept="mean.detach().numpy()"), "Trying to backward through the graph a second time",
     "line 9: loss.backward()", "✗ [8] other: backward needs it, and it was freed; made by line 5"),
    (mean(after="", options="retain_graph=True", kept="mean.detach().numpy()"), "modified by an inplace operation",
     "line 9: loss.backward(retain_graph=True)", "✗ [6] mat2: changed in place after it was saved; made by line 5"),
    (mean(mean=RUNNING + ".detach()"), "element 0 of tensors does not require grad", "line 9: loss.backward()",
     "\nloss; not tracked"),
    (mean(mean=RUNNING + ".detach()", loss="loss.requires_grad_()"), "net has the weights that it had before",
     "line 9: loss.backward()", "\nloss; leaf ()"),
    (mean(after="mean = mean.data"), ".data was used", "line 11: mean = mean.data"),
    (mean(mean=IN_PLACE), "others are not: they changed after they came into the list"),
    (mean(options="retain_graph=True"), "a backward pass retained its graph", "line 9: loss.backward(retain_graph=True)",
     "12 nodes, 2 tracked leaves"),
    (mean(after="", kept="mean.data.numpy()", mean=RUNNING.replace("* mean", "* mean.data")), ".data was used",
     "line 5: mean = "),
    (mean(mean="mean *= 0.9; mean = mean + 0.1 * net(x).mean(dim=0)"), "others are not: they changed"),
    (mean(kept="mean"), "path[0] is of type Tensor, and not a NumPy array"),
    (mean(mean=RUNNING.replace("* mean", "* mean.detach()"), after="", kept="mean"),
     "path[0] is tracked: it holds a graph of 9 nodes", "line 5: mean = ", "path[0] from [9]; result (2,); ✗ holds this graph"),
    (mean(mean="mean = net(x).mean(dim=0)"), "other numbers"),
    (mean().replace("return path", "return path[-1]"), "of type ndarray, and not a list with one array for each step"),
    (mean().replace("return path", "return path[1:]"), "has the length 4, and there were 5 steps"),
    (mean().replace("return path", ""), "returns nothing"),
    (mean().replace("optimizer.step()", "if len(path) < 4: optimizer.step()"), "net has other weights after the last step"),
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

CHANGED = "✗ mat2: changed in place after it was saved; made by line 5"

wrong("08.2", [
    (turn(fake="fake", early=MAKER, late=""), "modified by an inplace operation", "line 11: maker_loss.backward()",
     "[6] MmBackward0 from [3], critic.weight", CHANGED),
    (turn(fake="fake"), "Trying to backward through the graph a second time", "line 11: maker_loss.backward()",
     "[3] MmBackward0 from maker.weight; 1 saved freed; ✗ self: backward needs it, and it was freed; made by line 3"),
    (turn(fake="fake", early=MAKER, late="", options="retain_graph=True"), "modified by an inplace operation", CHANGED),
    (turn(early=MAKER, late=""), "modified by an inplace operation", CHANGED),
    (turn(fake="fake", options="retain_graph=True"), "2 backward passes of one turn went into maker",
     "line 7: critic_loss.backward(retain_graph=True)", "maker.weight; leaf (2, 2); .grad None; ✗ a gradient comes here",
     "critic_loss from"),
    (turn(options="retain_graph=True"), "a backward pass retained its graph",
     "line 7: critic_loss.backward(retain_graph=True)"),
    (turn(early="fake = fake.detach()"), "maker gets no gradient", "line 11: maker_loss.backward()"),
    (turn(fake="fake.data"), ".data was used", "line 4: critic_loss = "),
    (turn(clear="", clear_maker=""), "In the second, critic moves by other gradients"),
    (turn(clear_maker=""), "In the second, maker moves by other gradients"),
    (BOTH.format(fake="fake.detach()", backward="critic_loss.backward(); maker_loss.backward()"),
     "learned from the critic as it was before its step"),
    (turn(early="fake = fake.detach().requires_grad_()"), "maker gets no gradient",
     "\nfake; leaf (6, 2); .grad None; ✗ no way leads from here to maker"),
    (turn().replace("maker_optimizer.step()", ""), "maker gets a gradient, and has the weights that it had before"),
    (turn().replace("critic_optimizer.step()", ""), "critic has the weights that it had before"),
    (turn(late="maker_loss = -critic(fake.detach()).mean()"), "maker gets no gradient"),
    (turn(fake="fake", late="maker_loss = -critic(maker(noise)).mean()"), "2 backward passes of one turn went into maker",
     "line 7: critic_loss.backward()"),
    (turn(late="maker_loss = -critic(maker(noise)).mean()"), "maker ran forward 2 times in one turn"),
    (turn(clear="", clear_maker="maker_optimizer.zero_grad()"), "In the second, critic moves by other gradients"),
    (turn(late=MAKER + "; critic.requires_grad_(False)"), "critic.weight is not tracked any more"),
    (turn(fake="fake", options="create_graph=True"), "2 backward passes of one turn went into maker"),
    (turn().replace("- critic(real)", "+ critic(real)"), "critic has other weights after the turn than critic_loss alone"),
    (turn(late="maker_loss = critic(fake).mean()"), "maker has other weights after the turn than maker_loss alone"),
    (BOTH.format(fake="fake.detach()", backward="critic_loss.backward(inputs=list(critic.parameters()))\n"
                 "    maker_loss.backward(inputs=list(maker.parameters()))"),
     "learned from the critic as it was before its step"),
    (BOTH.format(fake="fake", backward="(critic_loss + maker_loss).backward()"), "maker gets the gradient 0",
     "line 8: (critic_loss", "maker.weight; leaf (2, 2); .grad None; ✗ the gradient here is 0"),
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

BACK_TO_BODY = "body.0.weight; leaf (3, 2) float64; used transposed; .grad (3, 2); ✗ a gradient came here"

wrong("08.3", [
    (head(mode="torch.inference_mode()"), "Inference tensors cannot be saved for backward", "line 13: (features @ w"),
    (head(w=RESULT), "can't optimize a non-leaf Tensor", "line 9: optimizer = "),
    (head(w=RESULT, leaf="w.retain_grad()"), "a second time", "line 13: (features @ w",
     "[3] MulBackward0 from [2]; 1 saved freed; ✗ other: backward needs it, and it was freed; made by line 7"),
    (head(mode="torch.enable_grad()"), "a second time", "line 13: (features @ w",
     "[4] TanhBackward0 from [3]; 1 saved freed; ✗ result: backward needs it, and it was freed; made by line 5"),
    (head(mode="torch.enable_grad()", options="retain_graph=True"), "backward went on into body", "line 13: (features @ w",
     BACK_TO_BODY),
    (head(mode="torch.enable_grad()", features="body(x).data"), ".data was used", "line 5: features = body(x).data"),
    (head(w="torch.full((3,), 0.1, requires_grad=True)"), "must have the same dtype", "line 13: (features @ w"),
    (head(mode="torch.inference_mode()", features="body(x).clone()"), "Inference tensors cannot be saved"),
    (head(w=RESULT, leaf="w.requires_grad_()"), "can't optimize a non-leaf Tensor"),
    (head(w=RESULT, leaf="w = w.detach()"), "element 0 of tensors does not require grad", "\nloss; not tracked"),
    (head(w=RESULT, leaf="w.retain_grad()", options="retain_graph=True"), "a backward pass retained its graph",
     "[3] MulBackward0 from [2]", "w from [3]"),
    (head(mode="torch.enable_grad()", each="features = body(x)"), "backward went on into body", BACK_TO_BODY),
    (head(each="features = body(x).detach()"), "body ran 5 times"),
    (head(first="body.requires_grad_(False)"), "body.0.weight is not tracked any more"),
    (head(w="torch.ones(3, dtype=x.dtype, requires_grad=True)"), "other numbers"),
    (head().replace("optimizer.step()", "pass"), "w has the numbers that it had before the first step"),
])

right("08.4", [
    WALK,
    CUT.format(condition="not tensor.requires_grad or "
               "torch.autograd.grad(tensor, w, torch.ones_like(tensor), True, allow_unused=True)[0] is None"),
    BACKWARD.format(end="").replace("        if w.grad is None:", "        found, w.grad = w.grad, None\n"
                                    "        if found is None:"),
])

NO_WAY = "; ✗ no way leads from here to w"

wrong("08.4", [
    (CUT.format(condition="not tensor.requires_grad"), "returns None. But 'kept' is the first", "\nkept; leaf (2,)", NO_WAY),
    (CUT.format(condition="tensor.grad_fn is None"), "returns None. But 'kept' is the first",
     "kept from [5]; result (2,)" + NO_WAY),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", allow_unused=True")), "a second time", "line 4: if not",
     "[3] ReluBackward0 from [2]; 1 saved freed; ✗ result: backward needs it", "h from [3]"),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", retain_graph=True")), "appears to not have been used",
     "line 4: if not", "\nkept = tensor; leaf"),
    (FIRST_PAIR, "returns 'h'. But from this tensor", "h from [3]; result (2,); ✗ a way leads from here to w"),
    (BACKWARD.format(end=""), "w.grad is filled", "\nw; leaf (2,); .grad (2,); ✗ its .grad is filled"),
    (CUT.format(condition=ASKED.format("tensor.sum()", ", retain_graph=name != list(tensors)[-1], allow_unused=True")),
     "the graph of h was freed", "4 saved tensors: 4 freed"),
    (CUT.format(condition="tensor.is_leaf"), "returns None. But 'kept' is the first"),
    (CUT.format(condition=ASKED.format("tensor", ", retain_graph=True, allow_unused=True")),
     "implicitly created only for scalar outputs", "line 4: if not"),
    (CUT.format(condition="torch.autograd.grad(tensor.sum(), w, retain_graph=True, allow_unused=True)[0] is None"),
     "element 0 of tensors does not require grad", "line 4: if torch"),
    (CUT.format(condition="not tensor.requires_grad or not "
                "torch.autograd.grad(tensor.sum(), w, retain_graph=True, materialize_grads=True)[0].any()"),
     "returns 'both'. But from this tensor", "both from [6]; result (2,); ✗ a way leads from here to w"),
    (CUT.format(condition="tensor.requires_grad"), "returns 'h'. But 'hit' is the first", "\nhit; not tracked ()" + NO_WAY),
    (CUT.format(condition="not tensor.requires_grad").replace("return name", "return tensor"),
     "of type Tensor, and not one of"),
    (CUT.format(condition="not tensor.requires_grad").replace("return name", "last = name") + "    return last",
     "returns 'loss'. But 'hit' is the first", "\nhit; not tracked ()" + NO_WAY),
])
