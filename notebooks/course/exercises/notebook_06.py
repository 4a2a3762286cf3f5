"""The checks of notebook 06, one trunk and two branches."""

import torch
from torch import nn

from ..checking import Wrong, exercise, has_numbers, is_tracked, same_numbers


def _watched(layers):
    """A list that gets ("forward", number) and ("backward", number) when one of the layers runs."""
    events = []
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda module, inputs, output, number=number: events.append(("forward", number)))
        layer.weight.register_hook(lambda gradient, number=number: events.append(("backward", number)))
    return events


def _the_trunk_ran_once(events):
    for way in ("forward", "backward"):
        times = events.count((way, 0))
        if times > 1:
            raise Wrong(f"The gradient is right, but the trunk ran {way} {times} times: once is enough.")


@exercise("06.1")
def two_losses_and_one_pass(run):
    torch.manual_seed(4)
    trunk, cat, car, data = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 1), torch.randn(5, 3)

    def gradients():
        features = trunk(data).tanh()
        losses = cat(features).square().mean(), car(features).square().mean()
        return [torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in losses]

    of_cat, of_car = gradients()
    events = _watched([trunk])
    gradient = run(trunk, cat, car, data)
    for name, alone in {"cat": of_cat, "car": of_car}.items():
        if has_numbers(gradient, alone):
            raise Wrong(f"This is the gradient of {name}_loss alone: both losses train the trunk.")
    same_numbers(gradient, of_cat + of_car, "The gradient of trunk.weight")
    _the_trunk_ran_once(events)


@exercise("06.2")
def a_branch_that_only_reads_the_features(run):
    torch.manual_seed(5)
    trunk, cat, car, data = nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(4, 1), torch.randn(5, 3)
    features = trunk(data).tanh()
    cat_loss, car_loss = cat(features).square().mean(), car(features).square().mean()
    of_cat, of_car = (torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in (cat_loss, car_loss))
    weights = cat.weight, car.weight
    expected = [of_cat, *torch.autograd.grad(cat_loss + car_loss, weights)]
    loss = run(trunk, cat, car, data)
    same_numbers(loss, (cat_loss + car_loss).detach(), "The loss")
    if not all(layer.weight.requires_grad for layer in (trunk, cat, car)):
        raise Wrong("Your code freezes a layer: all three must learn, each from the right loss.")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: nothing learns from it.")
    try:
        of_trunk, of_cat_branch, of_car_branch = torch.autograd.grad(loss, (trunk.weight, *weights), allow_unused=True)
    except RuntimeError:
        raise Wrong("backward fails on your loss: return it, and do not call backward in the function.") from None
    if of_car_branch is None:
        raise Wrong('The branch "car?" learns nothing: cut its input, and not its loss.')
    if of_cat_branch is None:
        raise Wrong('The branch "cat?" learns nothing: do not cut its loss.')
    if of_trunk is None:
        raise Wrong('The trunk learns nothing: cut the features for "car?" only.')
    if has_numbers(of_trunk, of_cat + of_car):
        raise Wrong('The branch "car?" still trains the trunk: nothing is cut between them.')
    if has_numbers(of_trunk, of_car):
        raise Wrong('The wrong branch is cut: "cat?" must train the trunk.')
    for name, gradient, numbers in zip(("trunk", "cat", "car"), (of_trunk, of_cat_branch, of_car_branch), expected):
        same_numbers(gradient, numbers, f"The gradient of {name}.weight")


@exercise("06.3")
def a_cut_at_the_fork_for_three(run):
    torch.manual_seed(6)
    trunk, branches, data = nn.Linear(4, 3), [nn.Linear(3, 1) for _ in range(3)], torch.randn(5, 4)
    weights = [trunk.weight, *(branch.weight for branch in branches)]
    losses = [branch(trunk(data)).square().mean() for branch in branches]
    *alone, = (torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in losses)
    expected = torch.autograd.grad(sum(losses), weights)
    events = _watched([trunk, *branches])
    try:
        gradient = run(trunk, branches, data)
    except Wrong as wrong:
        if "implicitly created" in str(wrong):
            raise Wrong("features.backward got no gradient: j must be a leaf that is tracked, so that j.grad is "
                        "filled.") from None
        raise
    if gradient is None:
        raise Wrong("Your function returns None: send j.grad through the trunk, and return trunk.weight.grad.")
    if any(has_numbers(gradient, numbers) for numbers in alone):
        raise Wrong("This is the gradient of one branch alone: let j.grad add up over all three.")
    same_numbers(gradient, expected[0], "The gradient of trunk.weight")
    _the_trunk_ran_once(events)
    for branch, numbers in zip(branches, expected[1:]):
        if branch.weight.grad is None:
            raise Wrong("A branch has no gradient: each branch must learn too.")
        same_numbers(branch.weight.grad, numbers, "The gradient of a branch")
    alive = set()
    for way, number in events:
        if way == "forward" and alive:
            raise Wrong("The gradient is right, but two branches were alive together: call backward for each loss before the "
                        "next branch runs forward.")
        if number:
            (alive.add if way == "forward" else alive.discard)(number)
