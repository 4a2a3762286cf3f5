"""The checks of notebook 14, the clinic of views, checkpoints and compiled code."""

import copy
import re

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointError

from seegrad.snapshot import CHANGED, LiveGraph

from ..checking import Idea, Wrong, exercise, has_numbers, in_words, is_tracked, quietly, same_numbers


def _marked(view, name, words):
    """A picture with a mark on a tensor, where this one is in it."""
    is_there = any(name in tensor.names for tensor in view.snapshot.tensors)
    return view.mark(name, words) if is_there else view


def _changed(view):
    """A picture with a mark on the first saved tensor that was changed in place, or on the node that may hide it."""
    for number, node in enumerate(view.snapshot.nodes, 1):
        for slot in node.saved:
            if slot.state == CHANGED:
                return view.mark(number, "changed in place after it was saved", slot=slot.name)
    hidden = [number for number, node in enumerate(view.snapshot.nodes, 1) if node.name == "CopySlices"]
    return view.mark(hidden[0], "a hidden node saved its result here; then another part was changed") if hidden else view


def _calls_of(module, calls):
    """Note each call of a module in a list. At its beginning: where a checkpoint has all it needs, it leaves a module early."""
    module.register_forward_pre_hook(lambda module, inputs: calls.append(module))


@exercise("14.1")
def the_gradient_at_a_layer(run):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(inplace=True), nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 1))
    x, twin = torch.randn(5, 2), copy.deepcopy(net)
    h = twin[0](x)
    behind = h.clone().relu()
    (expected, after) = torch.autograd.grad(twin[2:](behind).sum(), (h, behind), retain_graph=True)
    twin.zero_grad()
    twin(x).sum().backward()
    run.names = dict(net.named_parameters(prefix="net"))
    gradient = quietly(run, net, x)
    if has_numbers(gradient, after) and not has_numbers(gradient, expected):
        raise Wrong("This is the gradient that arrives behind the relu: that of the tensor after its change in place.",
                    run.last_pass().view, run.last_pass().line)
    same_numbers(gradient, expected, "The gradient")
    for (name, weight), same in zip(net.named_parameters(), twin.parameters()):
        if weight.grad is None or not has_numbers(weight.grad, same.grad):
            found = "None" if weight.grad is None else "another gradient than usual"
            picture = run.passes[-1].view if run.passes else None
            picture = _marked(picture, f"net.{name}", "this one") if picture else None
            raise Wrong(f"The gradient is right. But net.{name}.grad is {found}.", picture)
    if any(module._forward_hooks or module._backward_hooks or module._forward_pre_hooks for module in net.modules()):
        raise Wrong("The gradient is right. But a hook is left on net, and will run at each later call.")
    return Idea("No node of a hook stands between the layer and the relu, or no relu changes what comes out of it.",
                run.last_pass().view)


@exercise("14.2")
def a_step_of_an_lstm(run):
    torch.manual_seed(2)
    w, c = torch.randn(3, 8, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    gates, old = 2 * w, 3 * c
    i, f, o, g = gates.chunk(4, dim=-1)
    new = f.sigmoid() * old + i.sigmoid() * g.tanh()
    h = o.sigmoid() * new.tanh()
    wanted = torch.autograd.grad((h * 2 + new).sum(), (w, c))
    gates, old = 2 * w, 3 * c
    answer = quietly(run, gates, old)
    if not (isinstance(answer, (tuple, list)) and len(answer) == 2 and all(isinstance(one, torch.Tensor) for one in answer)):
        raise Wrong("Your function does not return two tensors: the new h and the new c.")
    same_numbers(answer[0], h, "h")
    same_numbers(answer[1], new, "c")
    view, _ = run.show({"gates": gates, "c": old, "new_h": answer[0], "new_c": answer[1]})
    loss = (answer[0] * 2 + answer[1]).sum()
    try:
        found = torch.autograd.grad(loss, (w, c), allow_unused=True) if loss.requires_grad else (None, None)
    except RuntimeError as error:
        raise Wrong(f"The numbers are right. But backward raises {in_words(error)}.", _changed(view)) from None
    for name, gradient, expected in zip(("gates", "c"), found, wanted):
        if gradient is None:
            raise Wrong(f"The numbers are right. But no gradient comes to {name}.",
                        _marked(view, name, "no way leads back to here"))
        if not has_numbers(gradient, expected):
            raise Wrong(f"The numbers are right. But the gradient that comes to {name} has other numbers: a part is cut off.",
                        _marked(view, name, "the gradient here is wrong"))
    return Idea("No view that was made together with others is changed in place.", view)


class _Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)
        self.A, self.B = nn.Linear(3, 1, bias=False), nn.Linear(1, 3, bias=False)

    def forward(self, x):
        return (self.frozen(x) + self.B(self.A(x))).tanh()


@exercise("14.3")
def an_adapter_in_a_checkpoint(run):
    torch.manual_seed(3)
    nets = nn.ModuleDict({"embed": nn.Embedding(6, 3).requires_grad_(False), "block": _Adapted(),
                          "head": nn.Linear(3, 1, bias=False)})
    tokens, twins, calls = torch.tensor([0, 3, 5, 1]), copy.deepcopy(nets), []
    expected = twins["head"](twins["block"](twins["embed"](tokens))).square().mean()
    expected.backward()
    _calls_of(nets["block"], calls)
    loss = quietly(run, nets["embed"], nets["block"], nets["head"], tokens)
    same_numbers(loss, expected, "The loss")
    tensors = dict(nets.named_parameters())
    for name, tensor in tensors.items():
        if tensor.requires_grad != twins.get_parameter(name).requires_grad:
            raise Wrong(f"{name} is tracked now, and was frozen before." if tensor.requires_grad else
                        f"{name} is not tracked any more.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: no way leads back from it.")
    view, _ = run.show({"loss": loss, **tensors})
    quietly(loss.backward)
    for name, twin in twins.named_parameters():
        gradient = tensors[name].grad
        if twin.grad is not None and gradient is None:
            raise Wrong(f"backward ran, and {name}.grad is None.", _marked(view, name, "no way leads back to here"))
        if twin.grad is not None and not has_numbers(gradient, twin.grad):
            raise Wrong(f"The gradient of {name} has other numbers.", _marked(view, name, "its gradient is wrong"))
    if not calls:
        raise Wrong("All gradients are right. But block itself was not called, so block is no checkpoint.", view)
    if len(calls) < 2:
        raise Wrong("All gradients are right. But block ran only once, so its tensors were kept until backward: it is no "
                    "checkpoint any more.", view)
    if len(calls) > 2:
        raise Wrong(f"All gradients are right. But block ran {len(calls)} times, and a checkpoint runs it twice.")
    return Idea("The weights inside the block get their gradients, and in backward it ran once more. The node of an old "
                "checkpoint hides them: it runs a backward of its own.", view)


def _attention(layers, x, cache):
    """What the exercise asks for, without a checkpoint."""
    for layer in layers:
        cache.append(layer(x).detach())
        keys = torch.cat(cache)
        x = (x @ keys.T).softmax(dim=-1) @ keys
    return x


@exercise("14.4")
def a_cache_and_checkpoints(run):
    torch.manual_seed(4)
    layers = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    twins, calls, first = copy.deepcopy(layers), [], torch.randn(2, 2)
    leaf = torch.randn(3, 2)
    x, other = leaf.clone().requires_grad_(), leaf.clone().requires_grad_()
    cache, wanted = [first], [first]
    expected = _attention(twins, other, wanted)
    expected.square().sum().backward()
    for layer in layers:
        _calls_of(layer, calls)
    y = quietly(run, layers, x, cache)
    same_numbers(y, expected)
    if len(cache) != len(wanted):
        raise Wrong(f"The result is right. But the cache has {len(cache)} entries after the call, and should have {len(wanted)}.")
    for number, (entry, right) in enumerate(zip(cache, wanted)):
        same_numbers(entry, right, f"cache[{number}]")
        if is_tracked(entry):
            view, _ = run.show({f"cache[{number}]": entry})
            raise Wrong(f"cache[{number}] is tracked: it holds a graph, and not only numbers.",
                        view.mark(f"cache[{number}]", "holds this graph"))
    if not is_tracked(y):
        raise Wrong("The result is not tracked: no gradient can come to x.")
    (view, lines), graph = run.show({"x": x, "y": y}), LiveGraph((), {"x": x, "y": y})
    try:
        quietly(y.square().sum().backward)
    except CheckpointError as error:
        number, slot = _place_of(error, graph)
        if number:
            view = view.mark(number, "another shape in the second run", slot=slot)
        raise Wrong(_difference(error), view, lines.get(number, "")) from None
    except RuntimeError as error:
        raise Wrong(f"A second run gave other tensors, and nothing compared them: backward raised {in_words(error)}.",
                    view) from None
    if len(cache) != len(wanted):
        raise Wrong(f"After backward, the cache has {len(cache)} entries, and had {len(wanted)} before: the second run "
                    "appended, too. No message came.", view)
    if not has_numbers(x.grad, other.grad):
        raise Wrong("The result is right. But x.grad has other numbers than without checkpoints.",
                    _marked(view, "x", "the gradient here is wrong"))
    if len(calls) < 2 * len(layers):
        raise Wrong(f"All gradients are right. But {len(layers)} layers ran {len(calls)} times in forward and backward: not each "
                    "one runs again, so not each one is in a checkpoint.", view)
    return Idea("Both runs of a block are given the same inputs, and so they are the same.", view)


def _difference(error):
    """A sentence on what differs in the second run. error: a CheckpointError."""
    saved = re.search(r"saved metadata: {'shape': torch.Size\((.+?)\)", str(error))
    again = re.search(r"recomputed metadata: {'shape': torch.Size\((.+?)\)", str(error))
    if saved and again:
        return (f"In backward, a block ran again, and was not the same: where the shape was {saved[1]} in forward, it is "
                f"{again[1]} in the second run.")
    return "In backward, a block ran again, and was not the same: it saved another number of tensors."


def _place_of(error, graph):
    """The number of a node and the name of its slot, for the first tensor that another one came for; (0, "") if it is not found.

    The checkpoint has put a holder into each slot, and keeps a list of them, in the order in which they were filled.
    """
    traceback = error.__traceback__
    while traceback is not None and "nb_meta_different" not in traceback.tb_frame.f_locals:
        traceback = traceback.tb_next
    if traceback is not None and traceback.tb_frame.f_locals["nb_meta_different"]:
        inside = traceback.tb_frame.f_locals
        holder = inside["self"].weak_holders[inside["nb_meta_different"][0][0]]()
        for number, (function, node) in enumerate(zip(graph.functions, graph.snapshot.nodes), 1):
            for slot in node.saved:
                saved = getattr(function, f"_raw_saved_{slot.name}", None)
                if holder is not None and getattr(saved, "data", None) is holder:
                    return number, slot.name
    return 0, ""


@exercise("14.5")
def two_losses_and_a_compiled_net(run):
    torch.manual_seed(5)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    twin, x, target, calls = copy.deepcopy(plain), torch.randn(6, 3), torch.randn(6, 2), []
    torch.compiler.reset()      # networks of one structure share what was compiled, and what was donated in it
    net = torch.compile(plain, backend="aot_eager")
    optimizer, other = (torch.optim.SGD(each.parameters(), lr=0.5) for each in (plain, twin))
    net(x).mean().backward()        # the backward pass is compiled here, and a tensor is donated
    y = twin(x)
    (y.square().mean() + (y - target).abs().mean()).backward()
    other.step()
    net.register_forward_pre_hook(lambda module, inputs: calls.append(module))
    settings, before = torch._functorch.config, [weight.detach().clone() for weight in plain.parameters()]
    with settings.patch(donated_buffer=True):
        quietly(run, net, optimizer, x, target)
        is_donated = settings.donated_buffer
    last = run.last_pass()
    if all(map(has_numbers, plain.parameters(), before)):
        raise Wrong("No error comes, and net has the weights that it had before.", last.view, last.line)
    for weight, right in zip(plain.parameters(), twin.parameters()):
        if not has_numbers(weight, right.detach()):
            raise Wrong("net has other weights than after one step on the sum of both losses.", last.view, last.line)
    if not is_donated:
        raise Wrong("The weights are right. But donation is switched off now, for all that this program compiles.")
    if len(calls) != 1:
        raise Wrong(f"The weights are right. But net was called {len(calls)} times." if calls else
                    "The weights are right. But the compiled net was not called.")
    retained = next((one for one in run.passes if one.retained), None)
    if retained:
        raise Wrong("The weights are right. But a backward pass retained its graph.", retained.view, retained.line)
    return Idea("One backward walks the compiled node, and what it was given is not needed again.", last.view)
