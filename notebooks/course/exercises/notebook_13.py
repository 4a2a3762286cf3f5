"""The checks of notebook 13, the clinic of training programs."""

import copy

import torch
from torch import nn

from seegrad import measure

from ..checking import Idea, Wrong, exercise, has_numbers, in_words, is_tracked, quietly, same_numbers


def _optimizer(*nets, rate=0.5):
    return torch.optim.SGD([p for net in nets for p in net.parameters()], lr=rate)


def _same(net, other):
    return all(has_numbers(weight, expected.detach()) for weight, expected in zip(net.parameters(), other.parameters()))


def _marked(view, name, words):
    """A picture of a pass, with a mark on a tensor where this one is in it. view: may be None, as that of a pass."""
    is_there = view is not None and any(name in tensor.names for tensor in view.snapshot.tensors)
    return view.mark(name, words) if is_there else view


def _without_retaining(run):
    """Refuse a graph that was retained for nobody: no pass came after that."""
    last = run.last_pass()
    if last.retained:
        raise Wrong("The numbers are right. But the last backward pass retained its graph, and nobody walks it again.",
                    last.view, last.line)


# 13.1

OLD = "old h", "old c"      # what comes into a batch from the one before


def _read(lstm, head, batches, targets, carry="both", is_cleared=True):
    """Train on copies, as the exercise asks or with a typical mistake. carry: "both", "h" or "". Returns the losses."""
    lstm, head = copy.deepcopy((lstm, head))
    optimizer, state, losses = _optimizer(lstm, head), None, []
    for x, target in zip(batches, targets):
        out, (h, c) = lstm(x, state)
        loss = (head(out) - target).square().mean()
        if is_cleared:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = (h.detach(), c.detach() if carry == "both" else torch.zeros_like(c)) if carry else None
        losses.append(loss.item())
    return losses


@exercise("13.1")
def a_state_that_is_carried(run):
    torch.manual_seed(1)
    numbers = {"dtype": torch.float64}
    lstm, head = nn.LSTM(2, 3, **numbers), nn.Linear(3, 1, **numbers)
    batches, targets = torch.randn(4, 5, 1, 2, **numbers), torch.randn(4, 5, 1, 1, **numbers)
    start = copy.deepcopy(lstm)
    expected, forgetful, without_c = (_read(lstm, head, batches, targets, carry) for carry in ("both", "", "h"))
    summed = _read(lstm, head, batches, targets, is_cleared=False)
    weights = run.names = dict(lstm.named_parameters(prefix="lstm"))

    def name_the_state(module, inputs, named):
        state = named.get("hx", inputs[1] if len(inputs) > 1 else None)
        run.names = weights | (dict(zip(OLD, state)) if isinstance(state, (tuple, list)) else {})

    lstm.register_forward_pre_hook(name_the_state, with_kwargs=True)
    try:
        losses = quietly(run, lstm, head, _optimizer(lstm, head), batches, targets)
    except Wrong as wrong:
        raise Wrong(str(wrong), _with_the_state_marked(wrong.picture), wrong.line) from wrong
    if losses is None:
        raise Wrong("Your function returns nothing: no return ends it.")
    if not isinstance(losses, list) or len(losses) != len(batches):
        raise Wrong(f"The result is not a list with {len(batches)} losses, one for each batch.")
    for number, loss in enumerate(losses):
        if not isinstance(loss, float):
            raise Wrong(f"losses[{number}] is of type {type(loss).__name__}, and not a float.")
    if len(run.passes) != len(batches):
        raise Wrong(f"There are {len(batches)} batches, and the number of backward passes is {len(run.passes)}.")
    if _same(lstm, start):
        raise Wrong("No error comes, and lstm has the weights that it had before the first batch.", run.last_pass().view)
    if has_numbers(losses, forgetful):
        raise Wrong("No error comes. But each batch begins with a state of zeros: nothing is remembered from the last batch.",
                    run.last_pass().view)
    if has_numbers(losses, without_c):
        raise Wrong("No error comes. But each batch begins with a c of zeros: only h goes on.", run.last_pass().view)
    if has_numbers(losses, summed):
        raise Wrong("No error comes. But each step goes by the sum of all gradients so far.", run.last_pass().view)
    same_numbers(losses, expected, "The list of losses")
    _without_retaining(run)
    view = run.last_pass().view
    return Idea("The state goes on as numbers: each backward walks the graph of its own batch.", view)


def _with_the_state_marked(view):
    """The picture of a backward that failed, with a mark on each part of the old state that brings its graph along."""
    for tensor in view.snapshot.tensors if view else ():
        for name in OLD:
            if name in tensor.names and tensor.producer is not None:
                view = view.mark(name, "comes with the graph of the last batch")
    return view


# 13.2

def _gan_turn(G, D, losses, real, noise, order="GD", cut=torch.Tensor.detach, late=False, is_cleared=True):
    """One turn. order: "GD" or "DG". late: D judges what G makes after its step. is_cleared: D.grad, after the backward of G."""
    g_loss_of, d_loss_of = losses
    fake = G(noise)
    G.zero_grad()
    D.zero_grad()
    for network in order:
        if network == "D":
            if is_cleared:
                D.zero_grad()
            d_loss_of(D(real), D(cut(G(noise) if late else fake))).backward()
            _optimizer(D).step()
        else:
            g_loss_of(D(fake)).backward()
            _optimizer(G).step()


def _g_loss_of(score):
    return -score.mean()


def _d_loss_of(real_score, fake_score):
    return fake_score.square().mean() + (real_score - 1).square().mean()


@exercise("13.2")
def two_networks_in_turn(run):
    torch.manual_seed(2)
    G = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    D = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    G2, D2 = copy.deepcopy((G, D))
    optimizers, losses, walks = (_optimizer(G), _optimizer(D)), (_g_loss_of, _d_loss_of), []
    run.names = {**dict(G.named_parameters(prefix="G")), **dict(D.named_parameters(prefix="D"))}
    G[0].weight.register_hook(lambda gradient: walks.append(run.passes[-1]))
    for turn in (1, 2):
        real, noise, before = torch.randn(4, 2) + 1, torch.randn(4, 2), copy.deepcopy((G2, D2))
        others = {}
        for name, options in {"sum": {"is_cleared": False}, "late": {"late": True}, "D first": {"order": "DG"}}.items():
            others[name] = copy.deepcopy(before)
            _gan_turn(*others[name], losses, real, noise, **options)
        _gan_turn(G2, D2, losses, real, noise)
        walks.clear()
        quietly(run, G, D, *optimizers, *losses, real, noise)
        _each_from_its_own_loss(run, turn, (G, D), (G2, D2), before, others)
        if len(walks) > 1:
            raise Wrong(f"The weights are right. But {len(walks)} backward passes of one turn went into G. This is the last of "
                        "them.", _marked(walks[-1].view, "G.0.weight", "a gradient comes here"), walks[-1].line)
        _without_retaining(run)
    return Idea("What g_loss has left in .grad of D is cleared before d_loss comes.", run.last_pass().view)


def _each_from_its_own_loss(run, turn, nets, twins, before, others):
    G, D = nets
    for name, net in (("G", G), ("D", D)):
        if not all(p.requires_grad for p in net.parameters()):
            raise Wrong(f"After the turn, the weights of {name} are not tracked any more.")
    last = run.last_pass()
    for name, net, old in (("G", G, before[0]), ("D", D, before[1])):
        if _same(net, old):
            raise Wrong(f"After the turn, {name} has the weights that it had before.", last.view, last.line)
    if _same(G, others["D first"][0]) and _same(D, others["D first"][1]):
        raise Wrong("D has made its step before G learned from it.")
    if not _same(G, twins[0]):
        again = "In the second turn, " if turn == 2 else ""
        raise Wrong(f"{again}G moves by another gradient than that of g_loss in this turn.")
    if _same(D, others["late"][1]):
        raise Wrong("D has judged what G makes after its step, and not the fake from which G has learned.")
    if _same(D, others["sum"][1]):
        raise Wrong("D moves by a sum: the gradient of d_loss, and the one that g_loss has left in .grad of D.",
                    _marked(last.view, "D.0.weight", "its .grad was not empty"), last.line)
    if not _same(D, twins[1]):
        raise Wrong("D moves by another gradient than that of d_loss in this turn.")


# 13.3

def _update(body, actor, critic, x, target, way="both"):
    """One step of all three. way: "both", or what the typical wrong answers do."""
    features = body(x)
    advantage = target - critic(features.detach() if way == "actor only" else features)
    judged = advantage if way == "not detached" else advantage.detach()
    actor_loss = -(actor(features.detach() if way == "critic only" else features).log_softmax(dim=1)[:, :1] * judged).mean()
    for net in (body, actor, critic):
        net.zero_grad()
    (actor_loss + advantage.square().mean()).backward()
    _optimizer(body, actor, critic).step()


@exercise("13.3")
def two_optimizers(run):
    torch.manual_seed(3)
    body = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4))
    nets = body, nn.Linear(4, 2), nn.Linear(4, 1)
    twins, optimizers, forwards = copy.deepcopy(nets), (_optimizer(*nets[:2]), _optimizer(nets[2])), []
    run.names = {"body.0.weight": body[0].weight, "body.2.weight": body[2].weight}
    body.register_forward_hook(lambda module, inputs, output: forwards.append(1))
    for turn in (1, 2):
        x, target, before, others = torch.randn(5, 3), torch.randn(5, 1), copy.deepcopy(twins), {}
        for way in ("actor only", "critic only", "not detached"):
            others[way] = copy.deepcopy(before)
            _update(*others[way], x, target, way)
        _update(*twins, x, target)
        forwards.clear()
        quietly(run, *nets, *optimizers, x, target)
        if len(forwards) > 1:
            raise Wrong(f"body ran forward {len(forwards)} times in one call.")
        _all_three_learn(run, turn, nets, twins, before, others)
        _without_retaining(run)
    return Idea("Both losses have gone back before the first weight changes.", run.last_pass().view)


def _all_three_learn(run, turn, nets, twins, before, others):
    last = run.last_pass()
    for name, net, old in zip(("body", "actor", "critic"), nets, before):
        if _same(net, old):
            raise Wrong(f"{name} has the weights that it had before.", last.view, last.line)
    for way, loss in (("actor only", "actor_loss"), ("critic only", "critic_loss")):
        if _same(nets[0], others[way][0]):
            raise Wrong(f"body has learned from {loss} only.", _marked(last.view, "body.0.weight", f"moves by {loss} only"),
                        last.line)
    if _same(nets[2], others["not detached"][2]):
        raise Wrong("critic has learned from actor_loss too: the advantage is not detached there.", last.view, last.line)
    for name, net, twin in zip(("body", "actor", "critic"), nets, twins):
        if not _same(net, twin):
            when = "The first call is right. In the second, " if turn == 2 else ""
            raise Wrong(f"{when}{name} moves by other gradients than those of this call.")


# 13.4

def _called(run, name, method, *inputs):
    """Call a method that the learner wrote. Raises Wrong where it raises."""
    try:
        return quietly(run.follow, method, inputs)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"{name} raised {in_words(error)}.") from error


def _tracked_in(value, name):
    """The tracked tensors that an object or a list holds, by the names that lead to them."""
    if is_tracked(value):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for number, inside in enumerate(value):
            yield from _tracked_in(inside, f"{name}[{number}]")
    elif isinstance(value, dict):
        for key, inside in value.items():
            yield from _tracked_in(inside, f"{name}[{key!r}]")
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        for key, inside in vars(value).items():
            yield from _tracked_in(inside, f"{name}.{key}")


@exercise("13.4")
def a_meter(run):
    torch.manual_seed(4)
    net, batches = nn.Linear(3, 1), torch.randn(4, 5, 3)
    meter = _new_meter(run)
    numbers = _validate(run, meter, net, batches)
    held = list(_tracked_in(meter, "meter"))
    if held:
        name, tensor = held[-1]
        view, _ = run.show({name: tensor, **dict(net.named_parameters(prefix="net"))})
        raise Wrong(f"After four batches, {name} is tracked: it holds a graph of {len(view.snapshot.nodes)} nodes.",
                    view.mark(name, "holds this graph"))
    other = _new_meter(run)
    left = measure(lambda: _validate(run, other, net, batches)).left_saved_bytes
    if left:        # where it cannot be seen, as in a function inside
        raise Wrong(f"After four batches, their graphs are still there: they hold {left} bytes.")
    if any(p.grad is not None for p in net.parameters()):
        raise Wrong("update has run backward: the parameters of the net have a gradient.")
    _tells(run, meter, numbers)
    loss = net(batches[0]).square().mean() + 10
    _called(run, "update", meter.update, loss)
    loss.backward()                                     # it must still have its graph
    _tells(run, meter, [*numbers, loss.item()])
    _tells(run, other, numbers)
    third, loss = _new_meter(run), net(batches[0]).square().mean() - 10     # below zero, as a loss may be
    _called(run, "update", third.update, loss)
    _tells(run, third, [loss.item()])
    return Idea("The meter keeps numbers. So the graph of a batch can go when the next batch comes.")


def _new_meter(run):
    meter = quietly(run)
    if isinstance(meter, type):
        raise Wrong(f"Your function returns the class {meter.__name__}, and not an object of it: {meter.__name__}().")
    missing = [name for name in ("update", "mean", "worst") if not callable(getattr(meter, name, None))]
    if missing:
        raise Wrong(f"What your function returns has no method {missing[0]}.")
    return meter


def _validate(run, meter, net, batches):
    """Give the meter the loss of each batch. Returns the losses as numbers."""
    numbers, given = [], []
    for x in batches:
        loss = net(x).square().mean()
        numbers.append(loss.item())
        given.append(loss.detach())                     # in the same memory, without the graph
        _called(run, "update", meter.update, loss)
        if not is_tracked(loss):
            raise Wrong("The loss that update was given has lost its graph.")
        changed = next((i for i, (seen, number) in enumerate(zip(given, numbers), 1) if seen.item() != number), None)
        if changed:
            raise Wrong(f"update has changed the number of a loss that it was given, in batch {changed}.")
    return numbers


def _tells(run, meter, numbers):
    for name, expected in (("mean", sum(numbers) / len(numbers)), ("worst", max(numbers))):
        found = _called(run, name, getattr(meter, name))
        if not isinstance(found, float):
            raise Wrong(f"{name}() gives {type(found).__name__}, and not a float.")
        if not has_numbers(found, expected):
            given = f"{len(numbers)} losses" if len(numbers) > 1 else "one loss"
            raise Wrong(f"{name}() gives {found:.4g} after {given}, and not {expected:.4g}.")


# 13.5

class _Net(nn.Module):
    """The network of the case: it keeps a result."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, x):
        self.features = self.body(x).tanh()
        return self.head(self.features)


@exercise("13.5")
def a_copy_that_follows(run):
    torch.manual_seed(5)
    net, slow, start = _Net(), _Net(), _Net()
    for other in (slow, start):
        other.load_state_dict(net.state_dict())
    twin = copy.deepcopy(net)
    batches = [(torch.randn(4, 2), torch.randn(4, 1)) for _ in range(3)]
    for x, target in batches:
        out = twin(x)
        twin.zero_grad()
        ((out - target).square().mean() + twin.features.square().mean()).backward()
        _optimizer(twin).step()
        with torch.no_grad():
            for p, new in zip(slow.parameters(), twin.parameters()):
                p.mul_(0.9).add_(0.1 * new)
    net(batches[0][0])                                  # it has already run forward
    run.names = {"net.features": net.features, "net.body.weight": net.body.weight}
    before, _ = run.show(run.names)
    try:
        ema = quietly(run, net, _optimizer(net), batches)
    except Wrong as wrong:
        picture = before.mark("net.features", "a result, with a graph") if "created explicitly" in str(wrong) else wrong.picture
        raise Wrong(str(wrong), picture, wrong.line) from wrong
    if not isinstance(ema, nn.Module):
        raise Wrong(f"The result is of type {type(ema).__name__}, and not a network.")
    if ema is net or any(p is q for p, q in zip(ema.parameters(), net.parameters())):
        raise Wrong("ema has the very weights of net: it is no copy of them.")
    if any(p.data_ptr() == q.data_ptr() for p, q in zip(ema.parameters(), net.parameters())):
        raise Wrong("ema and net share the memory of their weights.")
    if _same(net, start):
        raise Wrong("net has the weights that it had before the first step.")
    if not _same(net, twin):
        last = run.last_pass()
        raise Wrong("net has other weights than after a training with this loss: from the features, backward has to go on into "
                    "body.", _marked(last.view, "net.body.weight", "gets another gradient"), last.line)
    if _same(ema, start):
        raise Wrong("ema has the weights with which it began: it does not follow net.")
    if _same(ema, net):
        raise Wrong("ema has the weights that net has in the end, and not an average.")
    if not _same(ema, slow):
        raise Wrong("net is right, and ema has other weights: 0.9 of the old one and 0.1 of the new one, beginning with those "
                    "that net had at first.")
    weight = next((name for name, p in ema.named_parameters() if not p.is_leaf), None)
    if weight:
        view, _ = run.show({f"ema.{weight}": ema.get_parameter(weight)})
        raise Wrong(f"The numbers are right. But ema.{weight} is a result: its graph grows with each step.",
                    view.mark(f"ema.{weight}", "no leaf any more"))
    kept = next(((name, value) for name, value in _tracked_in(ema, "ema") if value.grad_fn is not None), None)
    if kept:
        view, _ = run.show(dict([kept]))
        raise Wrong(f"The weights are right. But {kept[0]} holds a graph.", view.mark(kept[0], "holds this graph"))
    return Idea("Only leaves are copied: parameters and buffers. The features belong to the last forward pass.",
                run.last_pass().view)


# 13.6

@exercise("13.6")
def a_gradient_inside(run):
    torch.manual_seed(6)
    body, head = nn.Linear(2, 3), nn.Linear(3, 1)
    twins, start = copy.deepcopy((body, head)), copy.deepcopy(body)
    x, target = torch.randn(4, 2), torch.randn(4, 1)
    early = twins[0](x)
    h = early.relu()
    early.retain_grad()
    h.retain_grad()
    (twins[1](h) - target).square().mean().backward()
    _optimizer(*twins).step()
    run.names = {"body.weight": body.weight, "head.weight": head.weight}
    gradient = quietly(run, body, head, _optimizer(body, head), x, target)
    last = run.last_pass()
    if gradient is None:
        raise Wrong("Your function returns None: no gradient was kept.", _marked(last.view, "h", "its .grad is None"), last.line)
    if has_numbers(gradient, early.grad):
        raise Wrong("This is the gradient that came to body(x), before relu.", last.view, last.line)
    same_numbers(gradient, h.grad, "The gradient")
    if _same(body, start):
        raise Wrong("The gradient is right. But body has the weights that it had before: no gradient came to it.",
                    _marked(last.view, "h", "the way back ends here"), last.line)
    for name, net, twin in (("body", body, twins[0]), ("head", head, twins[1])):
        if not _same(net, twin):
            raise Wrong(f"The gradient is right. But {name} has other weights than after one step.", last.view, last.line)
    _without_retaining(run)
    return Idea("The gradient goes through h on its way to body, and h keeps a copy of it.", last.view)


# 13.7

class _Trained(nn.Module):
    """A network with a last layer that can be put in anew."""

    def __init__(self):
        super().__init__()
        self.body, self.neck, self.head = nn.Sequential(nn.Linear(2, 3), nn.Tanh()), nn.Linear(3, 4), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.neck(self.body(x)).tanh())


@exercise("13.7")
def only_the_head(run):
    torch.manual_seed(7)
    net, classes = _Trained(), 2
    old, start = net.head, copy.deepcopy(net)
    optimizer = quietly(run, net, classes)
    if net.head is old:
        raise Wrong("net.head is the old layer.")
    if not isinstance(net.head, nn.Linear) or net.head.weight.shape != (classes, old.in_features):
        found = net.head if isinstance(net.head, nn.Linear) else f"of type {type(net.head).__name__}"
        raise Wrong(f"net.head is {found}: an nn.Linear from {old.in_features} to {classes} is expected.")
    names = dict(net.named_parameters())
    try:
        loss = net(torch.ones(3, 2)).square().mean()
    except RuntimeError as error:
        raise Wrong(f"net does not run any more: {in_words(error)}.") from None
    view, _ = run.show({**names, "loss": loss})
    frozen = [name for name, p in names.items() if name.startswith("head.") and not p.requires_grad]
    tracked = [name for name, p in names.items() if not name.startswith("head.") and p.requires_grad]
    if not loss.requires_grad:
        raise Wrong("Nothing is tracked, not even the new head: backward would raise an error.",
                    view.mark(frozen[0], "frozen, and should learn"))
    if frozen:
        raise Wrong(f"{frozen[0]} is frozen, and should learn.", view.mark(frozen[0], "frozen, and should learn"))
    if tracked:
        attribute = " net.requires_grad = False gives the network an attribute, and changes no parameter."
        raise Wrong(f"{tracked[0]} is not frozen.{attribute if 'requires_grad' in vars(net) else ''}",
                    view.mark(tracked[0], "not frozen"))
    if not (_same(net.body, start.body) and _same(net.neck, start.neck)):
        raise Wrong("The rest has other weights than before: what was trained is lost.")
    _has_the_head(optimizer, net, view)
    return Idea("The new head is tracked from birth, and the optimizer has it. The rest is as it was.", view)


def _has_the_head(optimizer, net, view):
    if optimizer is None:
        raise Wrong("Your function returns nothing: no return ends it.")
    if not isinstance(optimizer, torch.optim.SGD):
        raise Wrong(f"The result is of type {type(optimizer).__name__}, and not an SGD optimizer.")
    given = [p for group in optimizer.param_groups for p in group["params"]]
    known = {id(p): name for name, p in net.named_parameters()}
    lost = [p for p in given if id(p) not in known]
    if lost:
        raise Wrong(f"The optimizer has {len(lost)} parameters that net does not have any more.",
                    view.mark("head.weight", "no optimizer has it"))
    names = [known[id(p)] for p in given]
    missing = [name for name in ("head.weight", "head.bias") if name in known.values() and name not in names]
    if missing:
        raise Wrong(f"The optimizer does not have {missing[0]}.", view.mark(missing[0], "no optimizer has it"))
    others = [name for name in names if not name.startswith("head.")]
    if others:
        raise Wrong(f"The optimizer has frozen parameters, too: {', '.join(others)}.")
    if any(group["lr"] != 0.1 for group in optimizer.param_groups):
        raise Wrong("The optimizer has another learning rate than 0.1.")
