"""The checks of notebook 01, requires_grad."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Idea, Wrong, exercise, has_numbers, in_words, is_tracked, same_numbers


@exercise("01.1")
def a_loss_without_a_node_for_the_subtraction(run):
    x = torch.tensor(1.5, requires_grad=True)
    w, b, t = torch.tensor(3.0), torch.tensor(0.5), torch.tensor(4.0)
    loss = run(w, x, b, t)
    if not isinstance(loss, torch.Tensor):
        raise Wrong(f"The result is of type {type(loss).__name__}, and not a tensor: no graph leads from it to x.")
    same_numbers(loss, (3.0 * 1.5 + 0.5 - 4.0) ** 2, "The loss")
    if not is_tracked(loss):
        raise Wrong("The loss is not tracked: no graph leads from it to x.")
    if x.grad is not None:
        raise Wrong("x has a gradient before the check called backward: your function calls it.")
    view, lines = run.show({"x": x, "loss": loss})
    nodes = view.snapshot.nodes
    added = [number for number, node in enumerate(nodes, 1) if node.name.startswith(("Add", "Sub", "Rsub"))]
    if len(added) > 1:
        *others, last = (f"[{number}]" for number in added)
        raise Wrong(f"{len(added)} nodes add or subtract, {', '.join(others)} and {last}. One is enough for w * x, b and t.",
                    view.mark(added[-1], "one node too many"), lines.get(added[-1], ""))
    if len(nodes) > 4:
        raise Wrong(f"The graph has {len(nodes)} nodes, and 4 are enough.", view)
    gradient, = torch.autograd.grad(loss, x, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise Wrong("x gets no gradient: the loss is not computed from x.", view)
    same_numbers(gradient, 2 * (3.0 * 1.5 + 0.5 - 4.0) * 3.0, "The gradient of x")
    if getattr(loss.grad_fn, "_saved_target", None) is t:
        return Idea(f"{loss.grad_fn.name()} subtracts t itself, so t has no node of its own. An operation of b and t alone would "
                    "have none either.", view)
    return Idea("b and t meet where no input is tracked, so that operation has no node. The graph begins where x comes in.", view)


@exercise("01.2")
def a_bias_that_learns(run):
    bias = run()
    same_numbers(bias, torch.full((3,), 0.5), "The bias")
    if not is_tracked(bias):
        raise Wrong("The bias is not tracked: no gradient comes to it.")
    loss = (2 * bias).sum()
    loss.backward()
    view, lines = run.show({"bias": bias, "loss": loss})
    if not bias.is_leaf:
        number = next(number for number, node in enumerate(view.snapshot.nodes, 1) if node.leaf is None)
        raise Wrong("The check called backward, and bias.grad is None: bias is a result.",
                    view.mark("bias", "a result, its .grad is None"), lines.get(number, ""))
    try:
        torch.optim.SGD([bias], lr=0.1).step()
    except RuntimeError as error:
        raise Wrong(f"bias has its .grad, and the step of an optimizer fails ({in_words(error)}).", view) from None
    return Idea("This bias is a leaf: the graph begins at it, and backward has filled its .grad.", view)


@exercise("01.3")
def the_layer_in_the_middle_is_frozen(run):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
    before = {name: parameter.detach().clone() for name, parameter in _parameters(net).items()}
    run(net)
    parameters = _parameters(net)
    for name, numbers in before.items():
        if name not in parameters:
            raise Wrong(f"There is no {name} any more.")
        if not torch.equal(parameters[name], numbers):
            raise Wrong(f"{name} holds other numbers than before.")
    out = net(torch.ones(1, 2))
    view, _ = run.show({**parameters, "out": out})
    for name in ("net[0].weight", "net[2].weight"):
        if not parameters[name].requires_grad:
            raise Wrong(f"{name} is not tracked: it belongs to another layer.", view.mark(name, "frozen too"))
    for name in ("net[1].weight", "net[1].bias"):
        if parameters[name].requires_grad:
            raise Wrong(f"{name} is still tracked.", view.mark(name, "still tracked"))
    out.sum().backward()
    view, _ = run.show({**parameters, "out": out})
    return Idea("A frozen layer gets no gradient, and passes it on: net[0].weight has its .grad.", view)


def _parameters(net):
    return {f"net[{name.replace('.', '].')}": parameter for name, parameter in net.named_parameters()}


@exercise("01.4")
def a_prediction_without_a_graph(run):
    torch.manual_seed(4)
    net, data = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 1)), torch.randn(2, 3)
    net.eval()
    expected = net(data).detach()
    net.train()
    made, trained = [], []

    def watch(module, inputs, output):
        made.append(output)

    net[-1].register_forward_hook(watch)
    net[1].register_forward_hook(lambda dropout, inputs, output: trained.append(dropout.training))
    prediction = run(net, data)
    if not all(parameter.requires_grad for parameter in net.parameters()):
        raise Wrong("Parameters of net are not tracked any more: net cannot go on training.")
    if any(trained) and not has_numbers(prediction, expected):
        raise Wrong("The dropout in net ran in training mode: it set some numbers to 0 by chance.")
    same_numbers(prediction, expected, "The prediction")
    if is_tracked(prediction):
        view, lines = run.show({"prediction": prediction})
        nodes = len(view.snapshot.nodes)
        raise Wrong(f"The prediction is tracked: it holds a graph of {nodes} nodes.", view.mark("prediction", "holds this graph"),
                    lines.get(nodes, ""))
    if made and is_tracked(made[-1]):
        view, lines = run.show({"net(data)": made[-1]})
        nodes = len(view.snapshot.nodes)
        raise Wrong(f"The prediction is not tracked, but on the way a graph of {nodes} nodes was built, and thrown away.",
                    view.mark("net(data)", "held this graph"), lines.get(nodes, ""))
    return Idea("What dropout does is one matter, and eval() changes it. What is recorded is another: here there is no node.",
                show_graph(prediction=prediction))
