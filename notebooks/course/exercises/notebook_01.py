"""The checks of notebook 01, requires_grad."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Wrong, exercise, same_numbers


@exercise("01.1")
def the_loss_without_a_node_for_the_subtraction(run):
    x = torch.tensor(1.5, requires_grad=True)
    w, b, t = torch.tensor(3.0), torch.tensor(0.5), torch.tensor(4.0)
    loss = run(w, x, b, t)
    if not isinstance(loss, torch.Tensor):
        raise Wrong(f"The result is of type {type(loss).__name__}: return the loss itself, a tensor.")
    same_numbers(loss, (3.0 * 1.5 + 0.5 - 4.0) ** 2, "The loss")
    if not loss.requires_grad:
        raise Wrong("The loss is not tracked: x must still get a gradient.")
    if x.grad is not None:
        raise Wrong("Do not call backward in your function: only return the loss.")
    names = [node.name for node in show_graph(loss).snapshot.nodes]
    if "SubBackward0" in names:
        raise Wrong("There is still a node SubBackward0: subtract t from something that is not tracked.")
    if sum(name.startswith(("Add", "Rsub")) for name in names) > 1:
        raise Wrong("t is still subtracted in a node of its own, with another name: join t and b first.")
    same_numbers(torch.autograd.grad(loss, x)[0], 2 * (3.0 * 1.5 + 0.5 - 4.0) * 3.0, "The gradient of x")


@exercise("01.2")
def a_bias_that_learns(run):
    bias = run()
    same_numbers(bias, torch.full((3,), 0.5), "The bias")
    if not bias.requires_grad:
        raise Wrong("The bias is not tracked, so it cannot learn.")
    if not bias.is_leaf:
        raise Wrong("The bias is a result, not a leaf: compute its numbers first, and start tracking then.")


@exercise("01.3")
def the_layer_in_the_middle_is_frozen(run):
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
    run(net)
    if all(p.requires_grad for p in net.parameters()):
        if "requires_grad" in vars(net[1]):
            raise Wrong("All parameters are still tracked: net[1].requires_grad = False only gives the layer an attribute "
                        "of this name; call net[1].requires_grad_(False).")
        if not net[1].training:
            raise Wrong("All parameters are still tracked: eval() changes how a layer computes, it does not freeze.")
        raise Wrong("All parameters are still tracked: call net[1].requires_grad_(False).")
    if net[0].weight.requires_grad is False or net[2].weight.requires_grad is False:
        raise Wrong("The first or the last layer is frozen too: only net[1] should be.")
    if net[1].weight.requires_grad or net[1].bias.requires_grad:
        raise Wrong("Only one of the two parameters of net[1] is frozen: it has a weight and a bias.")
    net(torch.ones(1, 2)).sum().backward()
    if net[0].weight.grad is None:
        raise Wrong("The first layer gets no gradient: the middle layer must still pass it on.")
