"""Answers to the exercises of notebook 13."""

from answers import right, wrong

READ = """
def read(lstm, head, optimizer, batches, targets):
    state, losses = None, []
    for x, target in zip(batches, targets):
        {first}
        out, {new} = lstm(x, {old})
        loss = (head(out) - target).square().mean()
        optimizer.zero_grad()
        loss.backward({options})
        optimizer.step()
        {carry}
        losses.append({kept})
    return losses
"""


def read(first="", new="(h, c)", old="state", options="", carry="state = (h.detach(), c.detach())", kept="loss.item()"):
    return READ.format(first=first, new=new, old=old, options=options, carry=carry, kept=kept)


right("13.1", [
    read(new="state", carry="state = tuple(part.detach() for part in state)"),
    read(new="state", carry="", first="state = state and [part.detach() for part in state]"),
    read(carry="with torch.no_grad(): state = (h.clone(), c.clone())"),
    read(carry="state = (h.data, c.data)", kept="float(loss.detach())"),
    read(new="state", carry="for part in state: part.detach_()"),
])

wrong("13.1", [
    (read(carry="state = (h.detach(), c)"), "a second time", "line 9: loss.backward()",
     "old c = state[1] from (1); result (1, 1, 3) float64; ✗ comes with the graph of the last batch"),
    (read(new="state", carry=""), "a second time", "old h from (", "✗ comes with the graph of the last batch"),
    (read(new="state", carry="for part in state: part.detach()"), "a second time"),
    (read(new="state", carry="state = state.detach()"), "'tuple' object has no attribute 'detach'", "line 11: state = "),
    (read(new="state", carry="", options="retain_graph=True"), "modified by an inplace operation",
     "✗ comes with the graph of the last batch"),
    (read(options="retain_graph=True"), "the last backward pass retained its graph", "line 9: loss.backward(retain_graph=True)"),
    (read(old="None"), "each batch begins with a state of zeros"),
    (read(kept="loss"), "losses[0] is of type Tensor, and not a float"),
    (read(first="optimizer.zero_grad()").replace("optimizer.step()", "pass"), "lstm has the weights that it had before"),
    (read().replace("    return losses", ""), "returns nothing"),
    (read().replace("return losses", "return losses[-1]"), "not a list with 4 losses"),
    (read(carry="state = (h.detach(), 0 * c.detach())"), "each batch begins with a c of zeros"),
    (read().replace("optimizer.zero_grad()", "pass"), "each step goes by the sum of all gradients so far"),
    (read(carry="with torch.no_grad(): _, state = lstm(x, state)"), "has other numbers"),
    ("""
def read(lstm, head, optimizer, batches, targets):
    state, losses = None, []
    for x, target in zip(batches, targets):
        out, state = lstm(x, state)
        losses.append((head(out) - target).square().mean())
    optimizer.zero_grad()
    sum(losses).backward()
    optimizer.step()
    return [loss.item() for loss in losses]
""", "There are 4 batches, and the number of backward passes is 1"),
])

TURN = """
def one_turn(G, D, g_optimizer, d_optimizer, g_loss_of, d_loss_of, real, noise):
    {top}
    fake = G(noise)
    g_loss_of(D(fake)).backward({g_options})
    g_optimizer.step()
    {between}
    d_loss_of(D(real), D({fake})).backward({d_options})
    d_optimizer.step()
    {end}
"""


def turn(top="g_optimizer.zero_grad()", g_options="", between="d_optimizer.zero_grad()", fake="fake.detach()", d_options="",
         end=""):
    return TURN.format(top=top, g_options=g_options, between=between, fake=fake, d_options=d_options, end=end)


right("13.2", [
    turn(between="D.zero_grad()"),
    turn(top="G.zero_grad(); D.requires_grad_(False)", between="D.requires_grad_(True); D.zero_grad()"),
    turn(top="g_optimizer.zero_grad(); d_optimizer.zero_grad()", between="", g_options="inputs=list(G.parameters())"),
    turn(top="", end="G.zero_grad()"),
    turn(between="fake = fake.detach(); d_optimizer.zero_grad(); g_optimizer.zero_grad()", fake="fake"),
])

BOTH_AT_THE_TOP = "g_optimizer.zero_grad(); d_optimizer.zero_grad()"

wrong("13.2", [
    (turn(top=BOTH_AT_THE_TOP, between=""), "D moves by a sum", "line 8: d_loss_of",
     "D.0.weight; leaf (3, 2); .grad (3, 2); ✗ its .grad was not empty"),
    (turn(between="", end="d_optimizer.zero_grad()"), "D moves by a sum"),
    (turn(fake="fake"), "a second time", "line 8: d_loss_of", "backward needs it, and it was freed"),
    (turn(fake="fake", g_options="retain_graph=True"), "modified by an inplace operation", "changed in place after it was saved"),
    (turn(fake="G(noise)"), "D has judged what G makes after its step"),
    (turn(fake="G(noise).detach()"), "D has judged what G makes after its step"),
    (turn(top=""), "In the second turn, G moves by another gradient than that of g_loss"),
    (turn(g_options="retain_graph=True").replace("d_loss_of(D(real)", "fake.sum().mul(0).item(); d_loss_of(D(real)")
     .replace("backward()\n    d_opt", "backward(retain_graph=True)\n    d_opt"), "retained its graph"),
    (turn(end="D.requires_grad_(False)"), "the weights of D are not tracked any more"),
    (turn().replace("g_loss_of(D(fake))", "g_loss_of(D(fake.detach()))"), "G has the weights that it had before"),
    (turn().replace("d_optimizer.step()", "pass"), "D has the weights that it had before"),
    ("""
def one_turn(G, D, g_optimizer, d_optimizer, g_loss_of, d_loss_of, real, noise):
    fake = G(noise)
    d_optimizer.zero_grad()
    d_loss_of(D(real), D(fake.detach())).backward()
    d_optimizer.step()
    g_optimizer.zero_grad()
    g_loss_of(D(fake)).backward()
    g_optimizer.step()
""", "D has made its step before G learned from it"),
    ("""
def one_turn(G, D, g_optimizer, d_optimizer, g_loss_of, d_loss_of, real, noise):
    fake = G(noise)
    G.zero_grad()
    D.zero_grad()
    g_loss_of(D(fake)).backward(inputs=list(G.parameters()), retain_graph=True)
    d_loss_of(D(real), D(fake)).backward()
    d_optimizer.step()
    g_optimizer.step()
""", "G moves by another gradient than that of g_loss"),
    ("""
def one_turn(G, D, g_optimizer, d_optimizer, g_loss_of, d_loss_of, real, noise):
    fake = G(noise)
    G.zero_grad()
    D.zero_grad()
    d_loss_of(D(real), D(fake)).backward(retain_graph=True)
    G.zero_grad()
    kept = [p.grad.clone() for p in D.parameters()]
    g_loss_of(D(fake)).backward()
    g_optimizer.step()
    for p, gradient in zip(D.parameters(), kept): p.grad = gradient
    d_optimizer.step()
""", "2 backward passes of one turn went into G", "line 9: g_loss_of"),
])

UPDATE = """
def update(body, actor, critic, actor_optimizer, critic_optimizer, x, target):
    features = body(x)
    advantage = target - critic({features})
    actor_loss = -(actor({for_actor}).log_softmax(dim=1)[:, :1] * {judged}).mean()
    {clear}
    {backward}
    actor_optimizer.step()
    critic_optimizer.step()
    {end}
"""
SUM = "(actor_loss + advantage.square().mean()).backward()"
CLEAR = "actor_optimizer.zero_grad(); critic_optimizer.zero_grad()"


def update(features="features", for_actor="features", judged="advantage.detach()", clear=CLEAR, backward=SUM, end=""):
    return UPDATE.format(features=features, for_actor=for_actor, judged=judged, clear=clear, backward=backward, end=end)


right("13.3", [
    update(backward="actor_loss.backward(retain_graph=True); advantage.square().mean().backward()"),
    update(backward="advantage.square().mean().backward(retain_graph=True); actor_loss.backward()"),
    update(backward="torch.autograd.backward([actor_loss, advantage.square().mean()])"),
    update(clear="", end=CLEAR),
])

STEP_BETWEEN = "actor_loss.backward({}); actor_optimizer.step(); advantage.square().mean().backward()"

wrong("13.3", [
    (update(backward=STEP_BETWEEN.format("retain_graph=True")), "modified by an inplace operation", "line 7: actor_loss.backward",
     "changed in place after it was saved"),
    (update(backward=STEP_BETWEEN.format("")), "a second time", "backward needs it, and it was freed"),
    (update(backward="actor_loss.backward(); advantage.square().mean().backward()"), "a second time"),
    (update(features="features.detach()"), "body has learned from actor_loss only",
     "body.0.weight; leaf (4, 3); .grad None; ✗ moves by actor_loss only"),
    (update(for_actor="features.detach()"), "body has learned from critic_loss only"),
    (update(backward="actor_loss.backward(retain_graph=True); actor_optimizer.zero_grad(); advantage.square().mean().backward()"),
     "actor has the weights that it had before"),
    (update(judged="advantage"), "critic has learned from actor_loss too"),
    (update(clear="actor_optimizer.zero_grad()"), "In the second, critic moves by other gradients"),
    (update(clear="critic_optimizer.zero_grad()"), "In the second, body moves by other gradients"),
    (update(backward=SUM.replace("backward()", "backward(retain_graph=True)")), "retained its graph"),
    (update(backward="actor_loss.backward(); actor_optimizer.step(); (target - critic(body(x))).square().mean().backward()"),
     "body ran forward 2 times"),
    (update(backward="actor_loss.backward()"), "critic has the weights that it had before"),
    (update(backward=SUM.replace("actor_loss +", "actor_loss + 0.5 *")), "moves by other gradients than those of this call"),
])

METER = """
class Meter:
    {shared}
    def __init__(self):
        self.losses, self.total, self.count = [], 0.0, 0

    def update(self, loss):
        {update}

    def mean(self):
        return {mean}

    def worst(self):
        return {worst}

def new_meter():
    return Meter()
"""


def meter(update="self.losses.append(loss.item())", mean="sum(self.losses) / len(self.losses)", worst="max(self.losses)",
          shared="pass"):
    return METER.format(update=update, mean=mean, worst=worst, shared=shared)


TENSORS = {"mean": "(sum(self.losses) / len(self.losses)).item()", "worst": "max(self.losses).item()"}

right("13.4", [
    meter("self.losses.append(loss.detach())", **TENSORS),
    meter("self.losses.append(loss.detach().clone())", **TENSORS),
    meter("self.losses.append(float(loss))"),
    """
class Meter:
    def __init__(self):
        self.total, self.count, self.largest = 0.0, 0, float("-inf")

    @torch.no_grad()
    def update(self, loss):
        self.total += loss
        self.count += 1
        self.largest = max(self.largest, loss.item())

    def mean(self):
        return float(self.total) / self.count

    def worst(self):
        return self.largest

def new_meter():
    return Meter()
""",
])

wrong("13.4", [
    (meter("self.losses.append(loss)", **TENSORS), "meter.losses[3] is tracked: it holds a graph of 6 nodes",
     "meter.losses[3] from [6]; result (); ✗ holds this graph"),
    (meter("self.total += loss; self.losses.append(loss.item())", mean="(self.total / len(self.losses)).item()"),
     "meter.total is tracked: it holds a graph of 22 nodes"),
    (meter("with torch.no_grad(): self.losses.append(loss)", **TENSORS), "meter.losses[3] is tracked"),
    (meter("self.losses.append(loss.detach_())", **TENSORS), "has lost its graph"),
    (meter("self.losses.append(loss.detach())"), "mean() gives Tensor, and not a float"),
    (meter("loss.backward(); self.losses.append(loss.item())"), "update has run backward"),
    (meter(shared="losses = []").replace("self.losses, self.total", "self.unused, self.total"), "mean() gives"),
    (meter(worst="self.losses[-1]"), "worst() gives"),
    (meter("loss.data *= 1.5; self.losses.append(loss.item())"), "has changed the number of a loss"),
    (meter("self.kept = loss.sum; self.losses.append(loss.item())").replace("pass", "kept = None")
     .replace("self.kept = loss.sum", "self.kept = [*(self.kept or []), lambda: loss]"), "their graphs are still there"),
    (meter("self.losses.append(copy.deepcopy(loss))", **TENSORS), "update raised RuntimeError: Only Tensors created explicitly",
     "line 8: self.losses.append"),
    (meter("self.losses.append(loss.numpy())"), "update raised RuntimeError: Can't call numpy()"),
    (meter().replace("def worst", "def largest"), "has no method worst"),
    (meter("self.total = max(self.total, loss.item()); self.losses.append(loss.item())", worst="self.total"),
     "worst() gives 0 after one loss, and not -"),
    (meter().replace("return Meter()", "return Meter"), "returns the class Meter, and not an object of it: Meter()"),
    ("""
class Meter:
    def __init__(self):
        self.total, self.count, self.largest = None, 0, float("-inf")

    def update(self, loss):
        value = loss.detach()
        if self.total is None: self.total = value
        else: self.total += value
        self.count += 1
        self.largest = max(self.largest, value.item())

    def mean(self):
        return (self.total / self.count).item()

    def worst(self):
        return self.largest

def new_meter():
    return Meter()
""", "update has changed the number of a loss that it was given, in batch 1"),
])

TRAIN = """
def train(net, optimizer, batches):
    {copy}
    for x, target in batches:
        out = net(x)
        loss = (out - target).square().mean() + {features}.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        {follow}
    return {ema}
"""
FOLLOW = "for slow, new in zip(ema.parameters(), net.parameters()): slow.mul_(0.9).add_(0.1 * new)"
UNTRACKED = FOLLOW.replace("): ", "):\n            with torch.no_grad(): ")


def train(copied="net.features = None; ema = copy.deepcopy(net)", features="net.features", follow=UNTRACKED, ema="ema"):
    return TRAIN.format(copy=copied, features=features, follow=follow, ema=ema)


right("13.5", [
    train("del net.features; ema = copy.deepcopy(net)"),
    train("net.features = net.features.detach(); ema = copy.deepcopy(net)"),
    train("ema = type(net)(); ema.load_state_dict(net.state_dict())"),
    train("with torch.no_grad(): net(batches[0][0])\n    ema = copy.deepcopy(net).requires_grad_(False)"),
    train(follow="for slow, new in zip(ema.parameters(), net.parameters()): slow.data.lerp_(new.data, 0.1)"),
])

wrong("13.5", [
    (train("ema = copy.deepcopy(net)"), "Only Tensors created explicitly by the user", "line 3: ema = copy.deepcopy(net)",
     "net.features from [5]; result (4, 3); ✗ a result, with a graph"),
    (train(follow=FOLLOW), "a leaf Variable that requires grad is being used in an in-place operation"),
    (train("net.features = None; ema = copy.deepcopy(net).requires_grad_(False)", follow=FOLLOW),
     "ema.body.weight is a result: its graph grows with each step", "ema.body.weight from [9]", "✗ no leaf any more"),
    (train("ema = copy.copy(net)"), "ema has the very weights of net"),
    (train("ema = net"), "ema has the very weights of net"),
    (train(ema="net"), "ema has the very weights of net"),
    (train(features="net.features.detach()"), "net has other weights than after a training with this loss",
     "net.body.weight; leaf (3, 2); .grad None; ✗ gets another gradient"),
    (train(follow="for slow, new in zip(ema.parameters(), net.parameters()): slow = 0.9 * slow + 0.1 * new"),
     "it does not follow net"),
    (train("ema = type(net)()"), "net is right, and ema has other weights"),
    (train(follow=UNTRACKED.replace("0.9", "0.1").replace("0.1 * new", "0.9 * new")), "net is right, and ema has other weights"),
    (train(follow="net.features = None; ema = copy.deepcopy(net)"), "ema has the weights that net has in the end"),
    (train(follow=UNTRACKED + "\n        ema(x)"), "ema.features holds a graph"),
    (train().replace("optimizer.step()", "pass"), "net has the weights that it had before the first step"),
    (train(ema="ema.state_dict()"), "The result is of type OrderedDict, and not a network"),
    (train("ema = type(net)()\n    for slow, new in zip(ema.parameters(), net.parameters()): slow.data = new.data"),
     "share the memory of their weights"),
])

LOOK = """
def step_and_look(body, head, optimizer, x, target):
    h = body(x)
    {relu}
    {early}
    loss = (head(h) - target).square().mean()
    optimizer.zero_grad()
    loss.backward({options})
    {late}
    optimizer.step()
    return {gradient}
"""


def look(relu="h = h.relu()", early="h.retain_grad()", options="", late="", gradient="h.grad"):
    return LOOK.format(relu=relu, early=early, options=options, late=late, gradient=gradient)


UNRECORDED = """
def step_and_look(body, head, optimizer, x, target):
    with torch.no_grad():
        h = body(x).relu()
    {leaf}
    loss = (head(h) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return h.grad
"""

right("13.6", [
    look(early="with torch.no_grad(): h.retain_grad()"),
    look(early="kept = []; h.register_hook(kept.append)", gradient="kept[0]"),
    """
def step_and_look(body, head, optimizer, x, target):
    h = body(x).relu()
    loss = (head(h) - target).square().mean()
    optimizer.zero_grad()
    gradient, = torch.autograd.grad(loss, h, retain_graph=True)
    loss.backward()
    optimizer.step()
    return gradient
""",
])

wrong("13.6", [
    (UNRECORDED.format(leaf="h.retain_grad()"), "can't retain_grad on Tensor that has requires_grad=False",
     "line 5: h.retain_grad()"),
    (UNRECORDED.format(leaf="h.requires_grad_()"), "body has the weights that it had before",
     "\nh; leaf (4, 3); .grad None; ✗ the way back ends here"),
    (look(early=""), "returns None: no gradient was kept", "h from (1); result (4, 3); ✗ its .grad is None"),
    (look(early="", late="h.retain_grad()"), "returns None: no gradient was kept", "line 8: loss.backward()"),
    (look(relu="h.retain_grad(); h = h.relu()", early=""), "returns None: no gradient was kept"),
    (look(relu="before = h; h.retain_grad(); h = h.relu()", early="", gradient="before.grad"),
     "the gradient that came to body(x), before relu"),
    (look(early="h[0].retain_grad()"), "returns None: no gradient was kept"),
    (look(options="retain_graph=True"), "retained its graph", "line 8: loss.backward(retain_graph=True)"),
    (look(early="h = h.detach().requires_grad_()"), "body has the weights that it had before",
     "✗ the way back ends here"),
    (look().replace("optimizer.step()", "pass"), "body has the weights that it had before"),
    (look(early="h.register_hook(lambda gradient: 2 * gradient); h.retain_grad()", gradient="h.grad / 2"),
     "body has other weights than after one step"),
    (look(gradient="h"), "The gradient has other numbers"),
    (look(gradient="body.weight.grad"), "has the shape (3, 2): (4, 3) is expected"),
])

PREPARE = """
def prepare(net, classes):
    {first}
    {head}
    {last}
    return {optimizer}
"""
HEAD = "net.head = nn.Linear(net.head.in_features, classes)"


def prepare(first="net.requires_grad_(False)", head=HEAD, last="",
            optimizer="torch.optim.SGD(net.head.parameters(), lr=0.1)"):
    return PREPARE.format(first=first, head=head, last=last, optimizer=optimizer)


right("13.7", [
    prepare(optimizer="torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)"),
    prepare(first="", last="net.requires_grad_(False); net.head.requires_grad_(True)"),
    prepare(first="", last='for name, p in net.named_parameters(): p.requires_grad = name.startswith("head.")'),
    prepare(first="net.body.requires_grad_(False); net.neck.requires_grad_(False)"),
])

wrong("13.7", [
    (prepare(first="", last="net.requires_grad_(False)"), "Nothing is tracked, not even the new head",
     "head.weight; not tracked (2, 4); ✗ frozen, and should learn"),
    (prepare(first="optimizer = torch.optim.SGD(net.head.parameters(), lr=0.1); net.requires_grad_(False)",
             optimizer="optimizer"),
     "The optimizer has 2 parameters that net does not have any more", "✗ no optimizer has it"),
    (prepare(first=""), "body.0.weight is not frozen", "✗ not frozen"),
    (prepare(first="net.body.requires_grad_(False)"), "neck.weight is not frozen"),
    (prepare(first="net.requires_grad = False"), "net.requires_grad = False gives the network an attribute"),
    (prepare(first="[p.data.zero_() for p in net.parameters()]; net.requires_grad_(False)"), "what was trained is lost"),
    (prepare(optimizer="torch.optim.SGD(net.parameters(), lr=0.1)"), "The optimizer has frozen parameters, too: body.0.weight"),
    (prepare(first="", last="net.requires_grad_(False); net.head.weight.requires_grad = True"),
     "head.bias is frozen, and should learn"),
    (prepare(optimizer="torch.optim.SGD([net.head.weight], lr=0.1)"), "The optimizer does not have head.bias"),
    (prepare(head=""), "net.head is the old layer"),
    (prepare(head="net.head = nn.Sequential(nn.Linear(net.head.in_features, classes))"), "net.head is of type Sequential"),
    (prepare(head="net.head = nn.Linear(3, classes)"), "an nn.Linear from 4 to 2 is expected"),
    (prepare(optimizer="torch.optim.SGD(net.head.parameters(), lr=1.0)"), "another learning rate than 0.1"),
    (prepare(optimizer="torch.optim.Adam(net.head.parameters(), lr=0.1)"), "is of type Adam, and not an SGD optimizer"),
    (prepare(optimizer="None"), "returns nothing"),
])
