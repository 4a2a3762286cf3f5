"""The checks of notebook 04, gradients add up."""

import torch
from torch import nn

from ..checking import Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers

mse = nn.functional.mse_loss


@exercise("04.1")
def the_gradient_of_a_result(run):
    torch.manual_seed(1)
    first, last, data = nn.Linear(3, 2), nn.Linear(2, 1), torch.randn(5, 3)
    h = first(data)
    expected, of_the_weight = torch.autograd.grad(last(h).square().mean(), (h, first.weight))
    gradient = quietly(run, first, last, data)      # PyTorch warns of h.grad; the sentence below says it
    if gradient is None:
        raise Wrong("Your function returns None: a result keeps its gradient only when you call retain_grad() before "
                    "backward.")
    if has_numbers(gradient, of_the_weight):
        raise Wrong("This is the gradient of first.weight: the gradient of h is asked for, which is a result.")
    if has_numbers(gradient, 2 * expected):
        raise Wrong("The gradient is twice too large: each backward adds to what is kept, so call it once.")
    same_numbers(gradient, expected, "The gradient")


@exercise("04.2")
def a_loop_that_clears_the_gradients(run):
    torch.manual_seed(2)
    data, target = torch.randn(6, 2), torch.randn(6, 1)
    weight, bias = torch.randn(1, 2), torch.randn(1)

    def net():
        made = nn.Linear(2, 1)
        made.load_state_dict({"weight": weight, "bias": bias})
        return made

    def losses_of(net, clear, steps=5):
        optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.1), []
        for _ in range(steps):
            loss = mse(net(data), target)
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return torch.tensor(losses)

    expected = losses_of(net(), clear=True)
    losses = run(net(), data, target, 5)
    if isinstance(losses, list) and any(map(is_tracked, losses)):
        raise Wrong("The list holds tracked tensors, and each of them keeps its graph: keep loss.item().")
    if has_numbers(losses, losses_of(net(), clear=False)):
        raise Wrong("Old gradients still push the parameters: clear them in each step, before backward adds new ones.")
    if has_numbers(losses, expected[:1].expand(5)):
        raise Wrong("The loss never changes: each step needs the new gradients, so do not clear them between backward "
                    "and step.")
    if has_numbers(losses, expected[-1]):
        raise Wrong("This is only the last loss: collect the loss of each step in a list.")
    same_numbers(losses, expected, "The list of losses")


@exercise("04.3")
def parts_of_different_size(run):
    for samples, size in ((8, 3), (11, 4)):
        torch.manual_seed(samples)
        net, data, target = nn.Linear(3, 1), torch.randn(samples, 3), torch.randn(samples, 1)
        expected, = torch.autograd.grad(mse(net(data), target), net.weight)
        parts = [torch.autograd.grad(mse(net(d), t), net.weight)[0] for d, t in zip(data.split(size), target.split(size))]
        lengths, passes = [], []
        hooks = [net.register_forward_hook(lambda module, inputs, output: lengths.append(len(inputs[0]))),
                 net.weight.register_hook(lambda gradient: passes.append(1))]
        gradient = run(net, data, target, size)
        for hook in hooks:
            hook.remove()
        if has_numbers(gradient, sum(parts)):
            raise Wrong("The gradient is that of the sum of all means: multiply the mean of each part by its share of the "
                        "samples.")
        if has_numbers(gradient, sum(parts) / len(parts)):
            raise Wrong("The samples of the small part count too much: divide by the number of parts only when all have the "
                        "same size.")
        last_share = len(data.split(size)[-1]) / samples
        if any(has_numbers(gradient, factor * parts[-1]) for factor in (1, 1 / len(parts), last_share)):
            raise Wrong("Only the last part is in the gradient: do not clear it between the parts.")
        same_numbers(gradient, expected, "The gradient")
        if max(lengths, default=0) > size:
            raise Wrong(f"The numbers are right, but {max(lengths)} samples went through net at once: a part has at most "
                        f"{size}.")
        if len(passes) < len(parts):
            raise Wrong("The numbers are right, but the graphs of all parts were in memory together: call backward for each "
                        "part.")
