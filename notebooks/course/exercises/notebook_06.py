"""The checks of notebook 06, one trunk and two branches."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Idea, Wrong, exercise, has_numbers, is_tracked, same_numbers


def _layers(inputs, outputs, branches):
    """A trunk, and that many branches: linear layers without a bias, so that their pictures are small."""
    return (nn.Linear(inputs, outputs, bias=False), *(nn.Linear(outputs, 1, bias=False) for _ in range(branches)))


def _watched(layers):
    """A list that gets ("forward", number) and ("backward", number) when one of the layers runs."""
    events = []
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda module, inputs, output, number=number: events.append(("forward", number)))
        layer.weight.register_hook(lambda gradient, number=number: events.append(("backward", number)))
    return events


def _the_trunk_ran_once(run, events):
    last = run.last_pass()
    for way in ("forward", "backward"):
        times = events.count((way, 0))
        if times > 1:
            raise Wrong(f"The gradient is right, and the trunk ran {way} {times} times.", last.view, last.line)


@exercise("06.1")
def two_losses_and_one_pass(run):
    torch.manual_seed(4)
    trunk, cat, car = _layers(3, 4, branches=2)
    data = torch.randn(5, 3)

    def gradients():
        features = trunk(data).tanh()
        losses = cat(features).square().mean(), car(features).square().mean()
        return [torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in losses]

    of_cat, of_car = gradients()
    events = _watched([trunk])
    gradient = run(trunk, cat, car, data)
    for name, alone in {"cat": of_cat, "car": of_car}.items():
        if has_numbers(gradient, alone):
            raise Wrong(f"This is the gradient of {name}_loss alone: from the other loss, nothing came to the trunk.",
                        run.last_pass().view)
    same_numbers(gradient, of_cat + of_car, "The gradient of trunk.weight")
    _the_trunk_ran_once(run, events)
    return Idea("One backward from one sum: at the fork, the gradients of both losses are added, and the trunk runs once.",
                run.last_pass().view)


@exercise("06.2")
def a_branch_that_only_reads_the_features(run):
    torch.manual_seed(5)
    trunk, cat, car = _layers(3, 4, branches=2)
    data = torch.randn(5, 3)
    features = trunk(data).tanh()
    cat_loss, car_loss = cat(features).square().mean(), car(features).square().mean()
    of_cat, of_car = (torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in (cat_loss, car_loss))
    weights = {"trunk.weight": trunk.weight, "cat.weight": cat.weight, "car.weight": car.weight}
    expected = {"trunk.weight": of_cat,
                **dict(zip(("cat.weight", "car.weight"), torch.autograd.grad(cat_loss + car_loss, (cat.weight, car.weight))))}
    read = {}       # what each branch was given
    for name, branch in {"cat": cat, "car": car}.items():
        branch.register_forward_pre_hook(lambda module, inputs, name=name: read.update({f"to {name}": inputs[0]}))
    loss = run(trunk, cat, car, data)
    same_numbers(loss, (cat_loss + car_loss).detach(), "The loss")
    for name, weight in weights.items():
        if not weight.requires_grad:
            raise Wrong(f"{name} is not tracked any more: your code freezes it.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: no graph leads from it to a layer.")
    view = show_graph({"loss": loss, **read, **weights}, detail="folded")
    try:
        found = dict(zip(weights, torch.autograd.grad(loss, tuple(weights.values()), allow_unused=True)))
    except RuntimeError:
        raise Wrong("backward fails on your loss: what its graph had saved is freed.", view) from None
    for name, gradient in found.items():
        if gradient is None:
            raise Wrong(f"{name} gets no gradient.", view.mark(name, "not reached"))
    if has_numbers(found["trunk.weight"], of_cat + of_car):
        raise Wrong('The branch "car?" trains the trunk: two ways lead from the loss to trunk.weight.',
                    view.mark("trunk.weight", "both losses come here"))
    if has_numbers(found["trunk.weight"], of_car):
        raise Wrong('The branch "car?" trains the trunk, and "cat?" does not.',
                    view.mark("trunk.weight", "only car? comes here"))
    for name, gradient in found.items():
        same_numbers(gradient, expected[name], f"The gradient of {name}")
    return Idea('Both branches learn, and one way leads to the trunk: the one through "cat?".', view)


@exercise("06.3")
def a_cut_at_the_fork_for_three(run):
    torch.manual_seed(6)
    trunk, *branches = _layers(4, 3, branches=3)
    data = torch.randn(5, 4)
    weights = [trunk.weight, *(branch.weight for branch in branches)]
    losses = [branch(trunk(data)).square().mean() for branch in branches]
    *alone, = (torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in losses)
    expected = torch.autograd.grad(sum(losses), weights)
    events = _watched([trunk, *branches])
    try:
        gradient = run(trunk, branches, data)
    except Wrong as wrong:
        if "implicitly created" in str(wrong):
            raise Wrong("This backward starts at a tensor of many numbers, and was given no gradient: it got None.") from None
        raise
    if gradient is None:
        raise Wrong("The result is None: no gradient came to trunk.weight.")
    if any(has_numbers(gradient, numbers) for numbers in alone):
        raise Wrong("This is the gradient of one branch alone.")
    same_numbers(gradient, expected[0], "The gradient of trunk.weight")
    _the_trunk_ran_once(run, events)
    for number, (branch, numbers) in enumerate(zip(branches, expected[1:])):
        if branch.weight.grad is None:
            raise Wrong(f"branches[{number}].weight has no gradient.")
        same_numbers(branch.weight.grad, numbers, f"The gradient of branches[{number}].weight")
    alive = set()
    for way, number in events:
        if way == "forward" and alive:
            raise Wrong(f"The gradient is right, and two branches were alive together: branches[{number - 1}] ran forward "
                        "before the one in front of it ran backward.", run.last_pass().view)
        if number:
            (alive.add if way == "forward" else alive.discard)(number)
    return Idea("The gradients of the branches were added at the fork, one after the other. This is the graph of the last "
                "backward: the trunk alone.", run.last_pass().view)
