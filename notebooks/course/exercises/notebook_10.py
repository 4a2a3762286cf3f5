"""The checks of notebook 10, your own network."""

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from seegrad import modules, show_graph
from seegrad.view import Picture

from ..checking import Idea, Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers


def _net(**parts):
    """A network with these parts, which has no forward."""
    net = nn.Module()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


def _marked(view, kind, words):
    """A view with a mark on each node of a kind."""
    for number, node in enumerate(view.snapshot.nodes, 1):
        if node.name == kind:
            view = view.mark(number, words)
    return view


def _still(view):
    """A view as a picture in which nothing opens: it is a tenth as large in the notebook."""
    return Picture(view.svg, view.alt, view.caption, view.transcript)


def _number_of(view, parameter):
    """The number of the node of a parameter."""
    nodes, tensors = view.snapshot.nodes, view.snapshot.tensors
    return next(number for number, node in enumerate(nodes, 1)
                if node.leaf is not None and parameter in tensors[node.leaf].names)


@exercise("10.1")
def a_forward_that_reaches_all(run):
    torch.manual_seed(10)
    net = _net(first=nn.Linear(3, 4), second=nn.Linear(4, 4), shortcut=nn.Linear(3, 4), last=nn.Linear(4, 1))
    x = torch.randn(5, 3)
    first = net.first(x).relu()
    second, shortcut = net.second(first), net.shortcut(x)
    others = {
        "The shortcut is added in front of the second layer.": net.last(net.second(first + shortcut).relu()),
        "The numbers of the second layer go on without a relu.": net.last(second + shortcut),
        "The shortcut goes through the second relu too.": net.last((second + shortcut).relu()),
        "The shortcut has a relu of its own.": net.last(second.relu() + shortcut.relu()),
    }
    others = {sentence: numbers.detach() for sentence, numbers in others.items()}
    expected = net.last(second.relu() + shortcut).detach()
    with modules(net):
        out = run(net, x)
    if not is_tracked(out):
        raise Wrong("The result is not tracked: no graph leads from it to the layers.")
    view = show_graph(out=out, detail="modules", depth=1)
    picture = _still(view)
    gradients = torch.autograd.grad(out.sum(), list(net.parameters()), allow_unused=True)
    missing = [name for (name, _), gradient in zip(net.named_parameters(), gradients) if gradient is None]
    if missing:
        raise Wrong(f"The result does not lead back to {', '.join(missing)}.", picture)
    for sentence, numbers in others.items():
        if has_numbers(out, numbers):
            raise Wrong(sentence, _still(_marked(view, "AddBackward0", "here the shortcut is added")))
    same_numbers(out, expected)
    return Idea("Each layer is a box, and two ways lead to the last addition. No parameter is missing.", picture)


@exercise("10.2")
def all_frozen_but_the_head(run):
    torch.manual_seed(11)
    net = _net(stem=nn.Linear(3, 4), blocks=nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), head=nn.Linear(4, 2))
    optimizer = run(net)
    with modules(net):
        out = net.head(net.blocks(net.stem(torch.randn(5, 3))))
    tracked = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    if not tracked:
        raise Wrong("No parameter is tracked: the head is frozen too, and the result has no graph.")
    view = show_graph(out=out, detail="modules", depth=0)
    picture = _still(view)
    others = [name for name in tracked if not name.startswith("head.")]
    if others:
        raise Wrong(f"{len(tracked)} of 8 parameters are tracked, also {', '.join(others)}.",
                    _still(view.mark(_number_of(view, others[0]), "still tracked")))
    if len(tracked) < 2:
        raise Wrong(f"A part of the head is frozen: only {tracked[0]} is tracked.", picture)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise Wrong(f"The right parameters are frozen. The result is of type {type(optimizer).__name__}, and no optimizer.")
    if not isinstance(optimizer, torch.optim.SGD) or any(group["lr"] != 0.1 for group in optimizer.param_groups):
        rates = ", ".join(f"lr={group['lr']}" for group in optimizer.param_groups)
        raise Wrong(f"The right parameters are frozen. The optimizer is {type(optimizer).__name__} with {rates}.")
    given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    of_head = set(map(id, net.head.parameters()))
    if not of_head <= given:
        raise Wrong(f"The right parameters are frozen. The optimizer holds {len(given)} parameters, and not both of the head.")
    if len(given) > 2:
        raise Wrong(f"The right parameters are frozen. The optimizer holds {len(given)} parameters, {len(given - of_head)} of "
                    "them are frozen.")
    return Idea("Nothing in front of the head is tracked, so the graph begins there. The optimizer holds the two parameters "
                "that learn.", picture)


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
        "The layers have no sigmoid any more.": out_of(lambda layer, x: x + layer(x)),
        "The way around ends in front of the sigmoid, and not behind it.": out_of(lambda layer, x: (x + layer(x)).sigmoid()),
    }
    others = {sentence: numbers.detach() for sentence, numbers in others.items()}
    out = run(layers, x)
    if not is_tracked(out):
        raise Wrong("The result is not tracked: no graph leads from it to the layers.")
    gradients = torch.autograd.grad(out.square().mean(), list(layers.parameters()), allow_unused=True)
    missing = sum(gradient is None for gradient in gradients)
    if missing:
        raise Wrong(f"The result does not lead back to {missing} of the {len(gradients)} parameters.")
    size = f"The gradient of the first layer has a norm of {gradients[0].norm():.1e}"
    view = _first_layer(run, layers[:1], x.clone().requires_grad_())
    picture = view and _still(view)
    if has_numbers(out, around_all):
        raise Wrong(f"{size}. One way leads around all layers together, and none around each.")
    for sentence, numbers in others.items():
        if has_numbers(out, numbers):
            raise Wrong(sentence, picture)
    if not all(map(has_numbers, gradients, wanted)) and has_numbers(out, expected.detach()):
        raise Wrong(f"{size}. The numbers of the result are right, and a way back is cut off.", picture)
    if gradients[0].norm() < 0.01:
        alone = view and _still(_marked(view, "SigmoidBackward0", "no way leads around it"))
        raise Wrong(f"{size}. Each way back goes through all 12 sigmoids.", alone)
    same_numbers(out, expected.detach())
    return Idea(f"{size}: a way with the factor 1 leads around each layer. The picture has the first one.", picture)


def _first_layer(run, layers, x):
    """What the answer makes of one layer: all twelve are too much for a picture. None where it needs more of them."""
    try:
        with modules(layers=layers):
            out = run(layers, x)
    except Wrong:
        return None
    return show_graph(out=out, x=x, detail="modules")


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
    with modules(net):
        picture = _still(show_graph(out=quietly(run, net, x), detail="modules", depth=0))
    calls = dict.fromkeys(("stem", "middle", "head"), 0)
    for name in calls:
        def count(module, inputs, name=name):
            calls[name] += 1
        net.get_submodule(name).register_forward_pre_hook(count)
    with _Saved(net) as saved:
        out = quietly(run, net, x)
    same_numbers(out, expected.detach())
    if not is_tracked(out):
        raise Wrong("The result is not tracked: no graph leads from it to the layers.")
    gradients = torch.autograd.grad(out.sum(), parameters, allow_unused=True)
    if any(gradient is None for gradient in gradients):
        names = [name for (name, _), gradient in zip(net.named_parameters(), gradients) if gradient is None]
        raise Wrong(f"{len(names)} parameters get no gradient: {', '.join(names)}.", picture)
    again = [name for name, times in calls.items() if times > 1]
    if not again:
        raise Wrong(f"backward runs no part again: {plain.numbers:,} numbers are saved, as without a checkpoint.", picture)
    if again != ["stem"]:
        raise Wrong(f"backward runs {' and '.join(again)} again: {saved.numbers:,} numbers are saved, and without a checkpoint "
                    f"{plain.numbers:,}.", picture)
    if saved.numbers >= plain.numbers / 2:
        raise Wrong(f"backward runs the right part again, and {saved.numbers:,} numbers are saved: its first run is in the "
                    "graph too.", picture)
    for (name, _), gradient, numbers in zip(net.named_parameters(), gradients, wanted):
        same_numbers(gradient, numbers, f"The gradient of {name}")
    return Idea(f"{saved.numbers:,} numbers are saved, and without a checkpoint {plain.numbers:,}. backward computes the stem "
                "again.", picture)


@exercise("10.5")
def a_sum_that_is_clipped_once(run):
    # Their gradients are [-6, 0] and [0, -8].
    parts = [(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0]])), (torch.tensor([[0.0, 4.0]]), torch.tensor([[1.0]]))]
    step, turned = _step_on(run, parts), _step_on(run, parts[::-1])
    if not torch.allclose(step, turned):
        raise Wrong(f"The step is {_rounded(step)} for the parts in one order, and {_rounded(turned)} in the other.")
    if not step.any():
        raise Wrong("The weights are as before: no step was taken, or on gradients of 0.")
    if has_numbers(step, torch.tensor([-6.0, 13.0])):
        raise Wrong("The gradients of an earlier step are part of this one, and nothing was clipped.")
    if step.norm() > 1.001:
        raise Wrong(f"The step is {_rounded(step)}, its length is {step.norm():.4g}: so long was the gradient when the step "
                    "came.")
    same_numbers(step, torch.tensor([0.6, 0.8]), "The step")
    return Idea("The sum [-6, -8] was clipped to [-0.6, -0.8] when it was complete. So the direction stays, and the order does "
                "not matter.")


def _step_on(run, parts):
    """What a step with the learning rate 1 adds to the weights of a new network."""
    net = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(net.weight)
    net.weight.grad = torch.tensor([[12.0, -5.0]])      # of an earlier step: it must be cleared
    run(net, torch.optim.SGD(net.parameters(), lr=1.0), parts)
    return net.weight.detach()[0]


def _rounded(tensor):
    return [round(number, 2) for number in tensor.tolist()]
