"""The checks of notebook 01, requires_grad."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Idea, Wrong, exercise, is_tracked, same_numbers


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
    added = [number for number, node in enumerate(view.snapshot.nodes, 1) if node.name.startswith(("Add", "Sub", "Rsub"))]
    if len(added) > 1:      # one addition is needed: that of w * x
        raise Wrong(f"Two nodes add or subtract, [{added[0]}] and [{added[-1]}]: b and t have a node each.",
                    view.mark(added[-1], "one node too many"), lines.get(added[-1], ""))
    if added and view.snapshot.nodes[added[0] - 1].name != "AddBackward0":
        number = added[0]
        raise Wrong(f"There is a node for a subtraction, [{number}].", view.mark(number, "subtracts"), lines.get(number, ""))
    gradient, = torch.autograd.grad(loss, x, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise Wrong("x gets no gradient: the loss is not computed from x.", view)
    same_numbers(gradient, 2 * (3.0 * 1.5 + 0.5 - 4.0) * 3.0, "The gradient of x")
    return Idea("b - t has no tracked input, so it has no node. The graph begins where x comes in.", view)


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
    return Idea("This bias is a leaf: nothing was recorded before it, and backward has filled its .grad.", view)


@exercise("01.3")
def the_layer_in_the_middle_is_frozen(run):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
    run(net)
    out = net(torch.ones(1, 2))
    parameters = {f"net[{name.replace('.', '].')}": parameter for name, parameter in net.named_parameters()}
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
        trained.append(module.training)

    net.register_forward_hook(watch)
    prediction = run(net, data)
    same_shape = isinstance(prediction, torch.Tensor) and prediction.shape == expected.shape
    if not all(parameter.requires_grad for parameter in net.parameters()):
        raise Wrong("Parameters of net are not tracked any more: net cannot go on training.")
    if same_shape and trained and trained[-1]:
        raise Wrong("net ran in training mode: its dropout set some numbers to 0 by chance.")
    same_numbers(prediction, expected, "The prediction")
    if is_tracked(prediction):
        view, lines = run.show({"prediction": prediction})
        nodes = len(view.snapshot.nodes)
        raise Wrong(f"The prediction is tracked: it holds a graph of {nodes} nodes.", view.mark("prediction", "holds this graph"),
                    lines.get(nodes, ""))
    if is_tracked(made[-1]):
        view, lines = run.show({"net(data)": made[-1]})
        nodes = len(view.snapshot.nodes)
        raise Wrong(f"The prediction is not tracked, but on the way a graph of {nodes} nodes was built, and thrown away.",
                    view.mark("net(data)", "held this graph"), lines.get(nodes, ""))
    return Idea("eval() changes what dropout does. That nothing was recorded is another matter: there is no node.",
                show_graph(prediction=prediction))
