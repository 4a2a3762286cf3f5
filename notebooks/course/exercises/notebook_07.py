"""The checks of notebook 07, content and style losses."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Idea, Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers, without_graphs

mse = nn.functional.mse_loss


def _marked(view, name, words):
    """A view with a mark on a tensor, where the learner's code has left it this name."""
    named = view is not None and any(name in tensor.names for tensor in view.snapshot.tensors)
    return view.mark(name, words) if named else view


@exercise("07.1")
def the_target_is_a_constant(run):
    torch.manual_seed(1)
    conv, steps = nn.Conv2d(2, 3, 3), 4
    photo, start = torch.rand(1, 2, 6, 6, requires_grad=True), torch.rand(1, 2, 6, 6)
    expected, forgotten = (_losses_of_a_picture(conv, photo, start, steps, clear) for clear in (True, False))
    seen, got_a_gradient = [], set()
    conv.register_forward_hook(lambda module, inputs, output: seen.extend(inputs))
    for name, leaf in (("conv", conv.weight), ("conv", conv.bias), ("photo", photo)):
        leaf.register_hook(lambda gradient, name=name: got_a_gradient.add(name))
    losses = _losses_of_the_answer(run, conv, photo, start, steps)
    if isinstance(losses, (list, tuple)):
        without_graphs(run, losses, "losses", conv)
    if has_numbers(losses, expected[-1]):
        raise Wrong("This is only the loss of the last step, and no list.")
    if has_numbers(losses, forgotten):
        raise Wrong("The losses are those of gradients that add up from step to step.")
    if has_numbers(losses, expected[:1].expand(steps)):
        raise Wrong("The loss is the same in each step: the picture does not move.")
    same_numbers(losses, expected, "The list of losses")
    last = run.last_pass()
    if any(one.retained for one in run.passes):
        raise Wrong("The losses are right, and each backward was asked to retain its graph.",
                    _marked(last.view, "target", "its graph is retained, and walked in each step"), last.line)
    if not photo.requires_grad:
        raise Wrong("photo is not tracked after your function, and it was before.")
    if "photo" in got_a_gradient or photo.grad is not None:
        raise Wrong("The losses are right, and photo gets a gradient.", _marked(last.view, "photo", "gets a gradient"),
                    last.line)
    if "conv" in got_a_gradient or any(p.grad is not None for p in conv.parameters()):
        raise Wrong("The losses are right, and the weight and the bias of conv get a gradient in each step.",
                    _marked(last.view, "conv.weight", "gets a gradient"), last.line)
    targets = sum(has_numbers(data, photo.detach()) for data in seen)
    if targets > 1:
        raise Wrong(f"The losses are right, and the target was computed {targets} times.")
    return Idea("The target is a constant: no step goes back into its graph, and only the picture gets a gradient.", last.view)


def _losses_of_a_picture(conv, photo, start, steps, clear):
    target, picture = conv(photo).detach(), start.clone().requires_grad_()
    losses, old = [], torch.zeros_like(start)
    for _ in range(steps):
        loss = mse(conv(picture), target)
        gradient, = torch.autograd.grad(loss, picture)
        old = gradient if clear else old + gradient
        with torch.no_grad():
            picture -= 10 * old
        losses.append(loss.detach())
    return torch.stack(losses)


def _losses_of_the_answer(run, *inputs):
    try:
        return quietly(run, *inputs)
    except Wrong as wrong:
        if "a second time" in str(wrong):
            raise Wrong(f"In step {len(run.passes)}, backward comes into a part of the graph that an earlier step has freed."
                        ) from None
        if "does not require grad" in str(wrong):
            raise Wrong("The loss is not tracked: no graph leads from it to the picture.") from None
        raise


@exercise("07.2")
def a_style_loss_that_passes_its_input_on(run):
    torch.manual_seed(2)
    conv, pattern = nn.Conv2d(2, 3, 3).requires_grad_(False), torch.rand(1, 2, 7, 6, requires_grad=True)
    layer = nn.Module()
    layer.pattern = kept = 6 * conv(pattern).relu()
    goal, before, version, pictures = _gram(kept).detach(), kept.detach().clone(), kept._version, []
    for width in (8, 5):
        picture = torch.rand(1, 2, 6, width, requires_grad=True)
        features = 6 * conv(picture).relu()
        pictures.append((picture, features, *_gradients(mse(_gram(features), goal), picture)))
    for picture, features, gradient in pictures:
        layer.loss = None           # of an earlier forward pass: it must not be taken for the new one
        passed_on = quietly(run, layer, features)
        loss = getattr(layer, "loss", None)
        if kept._version != version or not torch.equal(kept, before):
            raise Wrong("layer.pattern holds other numbers now: your function changed it in place.")
        if picture.grad is not None:
            raise Wrong("The picture has a gradient before the program called backward: your function calls it.")
        _passes_on(passed_on, loss, picture, features)
        _has_the_numbers_of_a_style_loss(loss, features.detach(), kept.detach())
        view = _leads_to_the_picture_alone(loss, layer, picture, features, pattern, gradient)
    return Idea("The features go on as they came in, and the loss hangs at the side. Its target is a constant.", view)


def _passes_on(passed_on, loss, picture, features):
    if passed_on is None:
        raise Wrong("Your function returns nothing, and the next layer gets nothing.")
    if has_numbers(passed_on, _gram(features.detach())):
        raise Wrong("The next layer gets the Gram matrix: that is what you return.")
    if passed_on is loss or isinstance(passed_on, torch.Tensor) and passed_on.dim() == 0:
        raise Wrong("The next layer gets one number: that is what you return.")
    same_numbers(passed_on, features.detach(), "What you return")
    if passed_on is features:
        return
    if not is_tracked(passed_on) or _gradients(passed_on.sum(), picture) == [None]:
        view = show_graph({"returned": passed_on, "features": features, "picture": picture}, detail="folded")
        raise Wrong("The features that you return are cut off: no gradient comes back through them to the picture.",
                    view.mark("returned", "no way leads back to the picture"))


def _has_the_numbers_of_a_style_loss(loss, features, pattern):
    if loss is None:
        raise Wrong("There is no layer.loss after your function.")
    for sentence, gram in (
            ("layer.loss grows with the size of the pictures: the Gram matrices are sums over the places, and no means.",
             lambda maps: maps @ maps.mT),
            ("The Gram matrices are too small: they are divided by the number of channels, too.",
             lambda maps: maps @ maps.mT / maps[0].numel()),
            ("layer.loss compares the means of the channels, and not which of them occur together.",
             lambda maps: maps.mean(2))):
        if has_numbers(loss, mse(gram(features.flatten(2)), gram(pattern.flatten(2)))):
            raise Wrong(sentence)
    same_numbers(loss, mse(_gram(features), _gram(pattern)), "layer.loss")


def _leads_to_the_picture_alone(loss, layer, picture, features, pattern, expected):
    """Return the graph of the loss, which is the proof."""
    if not isinstance(loss, torch.Tensor):
        raise Wrong("layer.loss is a Python number: it has no graph.")
    if not loss.requires_grad:
        raise Wrong("layer.loss is not tracked: no graph leads from it to the picture.")
    view = show_graph({"layer.loss": loss, "features": features, "picture": picture, "layer.pattern": layer.pattern,
                       "pattern": pattern}, detail="folded")
    gradient, of_pattern = _gradients(loss, picture, pattern)
    if gradient is None:
        raise Wrong("The picture gets no gradient from layer.loss: the only way back leads to the pattern.",
                    view.mark("pattern", "gets the gradient"))
    if of_pattern is not None:
        raise Wrong("Two ways lead back from layer.loss, and one of them to the pattern: it gets a gradient, too.",
                    view.mark("pattern", "gets a gradient"))
    same_numbers(gradient, expected, "The gradient of the picture")
    return view


def _gradients(result, *leaves):
    try:
        return list(torch.autograd.grad(result, leaves, retain_graph=True, allow_unused=True))
    except RuntimeError:
        raise Wrong("backward from layer.loss fails: the graph is freed already.") from None


def _gram(features):
    maps = features.flatten(2)
    return maps @ maps.mT / maps.shape[2]


class _OldLoss(nn.Module):
    """A loss layer as in programs of 2017."""

    def __init__(self, target, loss_weight):
        super().__init__()
        self.target, self.loss_weight = target.detach(), loss_weight

    def forward(self, features):
        self.loss = mse(features, self.target)
        return features

    def backward(self):
        (self.loss_weight * self.loss).backward(retain_graph=True)
        return self.loss


@exercise("07.3")
def one_backward_for_all_loss_layers(run):
    torch.manual_seed(3)
    photo, pattern, picture = (torch.rand(1, 2, 8, 8) for _ in range(3))
    picture.requires_grad_()
    conv1, conv2 = (nn.Conv2d(2, 2, 3).requires_grad_(False) for _ in range(2))
    first, second = nn.Sequential(conv1, nn.ReLU()), nn.Sequential(conv2, nn.ReLU())
    losses = (_OldLoss(first(pattern), 5.0), _OldLoss(second(first(pattern)), 50.0), _OldLoss(second(first(photo)), 30.0))
    net = nn.Sequential(*first, losses[0], *second, *losses[1:])
    net(picture)
    alone = [torch.autograd.grad(layer.loss, picture, retain_graph=True)[0] for layer in losses]
    parts = [layer.loss_weight * gradient for layer, gradient in zip(losses, alone)]
    for layer in losses:
        del layer.loss
    forwards, backwards = [], []

    def watch(module, inputs, output):
        forwards.append(1)
        if output.requires_grad:
            output.register_hook(lambda gradient: backwards.append(1))

    conv1.register_forward_hook(watch)
    gradient = _gradient_of_the_answer(run, net, picture)
    if gradient is None:
        raise Wrong("Your function returns None, and no gradient.")
    if has_numbers(gradient, sum(alone)):
        raise Wrong("All losses count the same here, and each of them has another loss_weight.")
    if has_numbers(gradient, sum(parts) / len(parts)):
        raise Wrong("This is the gradient of the mean of the losses, and not of their sum.")
    if any(has_numbers(gradient, of_layer) for of_layer in alone + parts):
        raise Wrong("This is the gradient of one loss alone, and there are three.")
    if any(has_numbers(gradient, sum(parts) - part) for part in parts):
        raise Wrong("The loss of one layer is missing in this gradient.")
    same_numbers(gradient, sum(parts), "The gradient of the picture")
    if len(forwards) > 1:
        raise Wrong(f"The gradient is right, and net ran forward {len(forwards)} times.")
    last = run.last_pass()
    if len(backwards) > 1:
        raise Wrong(f"The gradient is right, and the first convolution ran backward {len(backwards)} times.",
                    _graph_of(losses, picture), last.line)
    if last.retained:
        raise Wrong("The gradient is right, and what the graph saved is still there: its only backward retained it.",
                    _graph_of(losses, picture), last.line)
    return Idea("One backward for all losses: their gradients meet in the layers that they share.",
                _graph_of(losses, picture))


def _graph_of(losses, picture):
    kept = {f"loss {k}": layer.loss for k, layer in enumerate(losses, 1) if hasattr(layer, "loss")}
    return show_graph({"picture": picture, **kept}, detail="compact")


def _gradient_of_the_answer(run, net, picture):
    try:
        return quietly(run, net, picture)
    except Wrong as wrong:
        if "a second time" in str(wrong):
            raise Wrong(f"Backward number {len(run.passes)} comes into layers that an earlier one has freed.") from None
        if "'int' object has no attribute 'backward'" in str(wrong) or "no attribute 'loss'" in str(wrong):
            raise Wrong("No loss was found in the layers.") from None
        if "scalar outputs" in str(wrong):
            raise Wrong("backward starts at a tensor of many numbers, and at no loss.") from None
        raise


@exercise("07.4")
def pixels_that_stay_in_range(run):
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh()).requires_grad_(False)
    target, start, steps = net(3 * torch.rand(1, 2, 6, 6) - 1), torch.rand(1, 2, 6, 6), 6
    pictures = _pictures_on_the_way(net, target, start, steps)
    others = {
        "The picture is that of gradients that add up from step to step.":
            _pictures_on_the_way(net, target, start, steps, clear=False)[-1],
        "The picture left the range on its way: it was clamped only at the end.":
            _pictures_on_the_way(net, target, start, steps, clamped=False)[-1].clamp(0, 1),
        "Adam starts again in each step, and knows nothing of the steps before.":
            _pictures_on_the_way(net, target, start, steps, anew=True)[-1],
        "The picture has not changed: it is the start.": start,
    } | {
        f"This is the picture after {number} of {steps} steps.": earlier
        for number, earlier in enumerate(pictures[:-1], 1)
    }
    forwards = []
    net.register_forward_hook(lambda module, inputs, output: forwards.append(1))
    picture = _picture_of_the_answer(run, forwards, net, target, start, steps)
    for sentence, numbers in others.items():
        if has_numbers(picture, numbers):
            raise Wrong(sentence)
    if isinstance(picture, torch.Tensor) and picture.shape == start.shape and ((picture < 0) | (picture > 1)).any():
        raise Wrong("The picture has numbers outside of the range from 0 to 1.")
    same_numbers(picture, pictures[-1], "The picture")
    if start.requires_grad:
        raise Wrong("The picture is right, and start is tracked now: it was not, before.")
    if not isinstance(picture, torch.Tensor):
        raise Wrong(f"The numbers are right, but they come as type {type(picture).__name__}, and not as a tensor.")
    if picture.requires_grad:
        raise Wrong("The picture is right, and it is tracked.", run.show({"returned": picture})[0].mark("returned", "tracked"))
    if any(p.requires_grad or p.grad is not None for p in net.parameters()):
        raise Wrong("The picture is right, and net is not frozen any more.")
    return Idea("The picture is the same leaf in all steps: the optimizer knows it, and each graph begins at it.",
                run.last_pass().view)


def _pictures_on_the_way(net, target, start, steps, clear=True, clamped=True, anew=False):
    """The picture after each of the steps."""
    picture, pictures = start.clone().requires_grad_(), []
    optimizer = torch.optim.Adam([picture], lr=0.2)
    for _ in range(steps):
        if clear:
            optimizer.zero_grad()
        if anew:
            optimizer = torch.optim.Adam([picture], lr=0.2)
        mse(net(picture), target).backward()
        optimizer.step()
        if clamped:
            with torch.no_grad():
                picture.clamp_(0, 1)
        pictures.append(picture.detach().clone())
    return pictures


def _picture_of_the_answer(run, forwards, *inputs):
    try:
        return quietly(run, *inputs)
    except Wrong as wrong:
        if "does not require grad" in str(wrong):
            raise Wrong(f"In step {len(forwards)}, the loss is not tracked: no graph leads from it to a leaf.") from None
        if "a second time" in str(wrong) or "modified by an inplace operation" in str(wrong):
            raise Wrong(f"In step {len(forwards)}, backward goes back into an earlier step: picture is a result there, and no "
                        "leaf.") from None
        if "non-leaf" in str(wrong):
            raise Wrong("The optimizer was given a result, and no leaf.") from None
        raise
