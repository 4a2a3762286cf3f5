"""The checks of notebook 10, your own network."""

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from ..checking import Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers


def _net(**parts):
    """A network with these parts, which has no forward."""
    net = nn.Module()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


@exercise("10.1")
def a_forward_that_reaches_all(run):
    torch.manual_seed(10)
    net = _net(first=nn.Linear(3, 4), second=nn.Linear(4, 4), shortcut=nn.Linear(3, 4), last=nn.Linear(4, 1))
    x = torch.randn(5, 3)
    first = net.first(x).relu()
    second, shortcut = net.second(first), net.shortcut(x)
    others = {
        "The shortcut comes too early: add it behind the second relu.": net.last(net.second(first + shortcut).relu()),
        "The second layer needs its relu too.": net.last(second + shortcut),
        "The shortcut is added before the second relu: add it behind.": net.last((second + shortcut).relu()),
        "The shortcut needs no relu.": net.last(second.relu() + shortcut.relu()),
    }
    others = {sentence: numbers.detach() for sentence, numbers in others.items()}
    expected = net.last(second.relu() + shortcut).detach()
    out = run(net, x)
    if not is_tracked(out):
        raise Wrong("The result is not tracked: return what net.last returns, with its graph.")
    gradients = torch.autograd.grad(out.sum(), list(net.parameters()), allow_unused=True)
    missing = [name for (name, _), gradient in zip(net.named_parameters(), gradients) if gradient is None]
    if missing:
        raise Wrong(f"The result does not lead back to {', '.join(missing)}: use all four layers.")
    for sentence, numbers in others.items():
        if has_numbers(out, numbers):
            raise Wrong(sentence)
    same_numbers(out, expected)


@exercise("10.2")
def all_frozen_but_the_head(run):
    torch.manual_seed(11)
    net = _net(stem=nn.Linear(3, 4), blocks=nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), head=nn.Linear(4, 2))
    tracked_before = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    optimizer = run(net)
    tracked = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    if tracked == tracked_before:
        raise Wrong("All parameters are tracked as before: use requires_grad_(False), with an underscore and brackets.")
    if not tracked:
        raise Wrong("All is frozen, the head too: it must learn.")
    if any(not name.startswith("head.") for name in tracked):
        raise Wrong(f"These are still tracked: {', '.join(name for name in tracked if not name.startswith('head.'))}.")
    if len(tracked) < 2:
        raise Wrong("A part of the head is frozen: its weight and its bias must learn.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise Wrong("The right parameters are frozen. Return an optimizer too.")
    if not isinstance(optimizer, torch.optim.SGD) or any(group["lr"] != 0.1 for group in optimizer.param_groups):
        raise Wrong("The right parameters are frozen. Return torch.optim.SGD with lr=0.1.")
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not set(map(id, net.head.parameters())) <= given:
        raise Wrong("The right parameters are frozen. The optimizer must get those of the head.")
    if len(given) > 2:
        raise Wrong("The right parameters are frozen. The optimizer gets the frozen ones too: give it net.head.parameters().")


@exercise("10.3")
def a_way_around_each_layer(run):
    torch.manual_seed(12)
    layers, x = nn.ModuleList(nn.Linear(8, 8) for _ in range(12)), torch.randn(4, 8)

    def out_of(step):
        out = x
        for layer in layers:
            out = step(layer, out)
        return out

    expected = out_of(lambda layer, x: x + layer(x).sigmoid())
    wanted = torch.autograd.grad(expected.square().mean(), list(layers.parameters()))
    around_all = (x + out_of(lambda layer, x: layer(x).sigmoid())).detach()
    others = {
        "The sigmoid is missing: add the sigmoid of the layer to x.": out_of(lambda layer, x: x + layer(x)),
        "The sigmoid goes around x too: add x behind it.": out_of(lambda layer, x: (x + layer(x)).sigmoid()),
    }
    others = {sentence: numbers.detach() for sentence, numbers in others.items()}
    out = run(layers, x)
    if not is_tracked(out):
        raise Wrong("The result is not tracked, so the layers learn nothing: return x at the end, with its graph.")
    gradients = torch.autograd.grad(out.square().mean(), list(layers.parameters()), allow_unused=True)
    if any(gradient is None for gradient in gradients):
        raise Wrong("The result does not lead back to all layers: call each of them, and cut nothing off.")
    size = f"The gradient of the first layer has a norm of {gradients[0].norm():.1e}"
    if has_numbers(out, around_all):
        raise Wrong(f"{size}: your skip connection goes around all layers together. Put one around each.")
    for sentence, numbers in others.items():
        if has_numbers(out, numbers):
            raise Wrong(sentence)
    if not all(map(has_numbers, gradients, wanted)) and has_numbers(out, expected.detach()):
        raise Wrong(f"{size}. The numbers are right, and a way back is cut off: leave out the detach.")
    if gradients[0].norm() < 0.01:
        raise Wrong(f"{size}: add x to what each layer makes.")
    same_numbers(out, expected.detach())


class _Saved:
    """Counts the numbers that a forward pass saves, without those of parameters."""

    def __init__(self, net):
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
        self.numbers = 0

    def __enter__(self):
        self.hooks = saved_tensors_hooks(self.pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def pack(self, tensor):
        if tensor.untyped_storage().data_ptr() not in self.parameters:
            self.numbers += tensor.numel()
        return tensor

    def __exit__(self, *error):
        self.hooks.__exit__(*error)


@exercise("10.4")
def a_checkpoint_where_most_is_saved(run):
    torch.manual_seed(13)
    net = _net(stem=nn.Sequential(nn.Linear(4, 200), nn.Tanh(), nn.Linear(200, 4)),
               middle=nn.Sequential(nn.Linear(4, 25), nn.Tanh(), nn.Linear(25, 25), nn.Tanh(), nn.Linear(25, 4)),
               head=nn.Linear(4, 1))
    x, parameters = torch.randn(10, 4), list(net.parameters())
    with _Saved(net) as plain:
        expected = net.head(net.middle(net.stem(x)))
    wanted = torch.autograd.grad(expected.sum(), parameters)
    calls = dict.fromkeys(("stem", "middle", "head"), 0)
    for name in calls:
        def count(module, inputs, name=name):
            calls[name] += 1
        net.get_submodule(name).register_forward_pre_hook(count)
    with _Saved(net) as saved:
        out = quietly(run, net, x)
    same_numbers(out, expected.detach())
    if not is_tracked(out):
        raise Wrong("The result is not tracked: forward must run with gradients.")
    gradients = torch.autograd.grad(out.sum(), parameters, allow_unused=True)
    if any(gradient is None for gradient in gradients):
        raise Wrong("A part of net gets no gradient: x is not tracked, and with use_reentrant=True or no_grad() its weights are "
                    "lost. Use use_reentrant=False.")
    again = [name for name, times in calls.items() if times > 1]
    if not again:
        raise Wrong(f"No part was run again in backward: {plain.numbers:,} numbers are saved, as without a checkpoint.")
    if again != ["stem"]:
        raise Wrong(f"Run again in backward: {', '.join(again)}. Make a checkpoint of the part that saves most, and of no other.")
    if saved.numbers >= plain.numbers / 2:
        raise Wrong("The right part is run again, and most is still saved: return what the checkpoint returns.")
    for (name, _), gradient, numbers in zip(net.named_parameters(), gradients, wanted):
        same_numbers(gradient, numbers, f"The gradient of {name}")
