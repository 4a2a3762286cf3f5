"""The checks of notebook 07, content and style losses."""

import torch
from torch import nn

from seegrad import show_graph

from ..checking import Wrong, exercise, has_numbers, is_tracked, quietly, same_numbers, watched_backwards

mse = nn.functional.mse_loss


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
    with watched_backwards() as retained:
        losses = _losses_of_the_answer(run, conv, photo, start, steps)
    entries = losses if isinstance(losses, (list, tuple)) else [losses]
    if any(is_tracked(entry) for entry in entries):
        raise Wrong("The losses are tracked tensors, and each of them keeps its graph: keep loss.item().")
    if has_numbers(losses, expected[-1]):
        raise Wrong("This is only the last loss: collect the loss of each step in a list.")
    if has_numbers(losses, forgotten):
        raise Wrong("Old gradients still push the picture: clear its gradient in each step.")
    if has_numbers(losses, expected[:1].expand(steps)):
        raise Wrong("The loss never changes: the picture must move in each step.")
    same_numbers(losses, expected, "The list of losses")
    if any(retained):
        raise Wrong("The losses are right, but retain_graph=True is still there: a target that is detached has no graph to "
                    "keep.")
    if not photo.requires_grad:
        raise Wrong("Your code switches the tracking of photo off: cut the target, and leave photo as it was.")
    if "photo" in got_a_gradient or photo.grad is not None:
        raise Wrong("The losses are right, but photo gets a gradient: detach the target.")
    if "conv" in got_a_gradient or any(p.grad is not None for p in conv.parameters()):
        raise Wrong("The losses are right, but the weight and the bias of conv get a gradient in each step: freeze "
                    "conv, with requires_grad_(False).")
    targets = sum(has_numbers(data, photo.detach()) for data in seen)
    if targets > 1:
        raise Wrong(f"The losses are right, but the target was computed {targets} times: compute it once, before the loop.")


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
            raise Wrong("The second step comes into a graph that the first step has freed: detach the target, which is "
                        "computed once before the loop.") from None
        if "does not require grad" in str(wrong):
            raise Wrong("The loss is not tracked, so backward has no way to the picture: cut only the target.") from None
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
            raise Wrong("Your code changed layer.pattern in place: compute a new tensor.")
        if picture.grad is not None:
            raise Wrong("Your code calls backward: a loss layer only keeps its loss, and the program calls backward.")
        _passes_on(passed_on, loss, picture, features)
        _has_the_numbers_of_a_style_loss(loss, features.detach(), kept.detach())
        _leads_to_the_picture_alone(loss, picture, pattern, gradient)


def _passes_on(passed_on, loss, picture, features):
    if passed_on is None:
        raise Wrong("Your function returns nothing: the next layer needs the features.")
    if has_numbers(passed_on, _gram(features.detach())):
        raise Wrong("You return the Gram matrix: the next layer needs the features as they are.")
    if passed_on is loss or isinstance(passed_on, torch.Tensor) and passed_on.dim() == 0:
        raise Wrong("You return one number: keep the loss in layer.loss, and return the features for the next layer.")
    same_numbers(passed_on, features.detach(), "What you return")
    if passed_on is features:
        return
    if not is_tracked(passed_on) or _gradients(passed_on.sum(), picture) == [None]:
        raise Wrong("The features that you return are cut off: the losses behind this layer cannot reach the picture.")


def _has_the_numbers_of_a_style_loss(loss, features, pattern):
    if loss is None:
        raise Wrong("Your function keeps no loss: put it into layer.loss.")
    for sentence, gram in (
            ("The Gram matrices are sums: divide by the number of places, so that the size of a picture does not count.",
             lambda maps: maps @ maps.mT),
            ("The Gram matrices are too small: divide by the number of places only.",
             lambda maps: maps @ maps.mT / maps[0].numel()),
            ("The loss compares the means of the channels: multiply the maps of each pair of channels first.",
             lambda maps: maps.mean(2))):
        if has_numbers(loss, mse(gram(features.flatten(2)), gram(pattern.flatten(2)))):
            raise Wrong(sentence)
    same_numbers(loss, mse(_gram(features), _gram(pattern)), "layer.loss")


def _leads_to_the_picture_alone(loss, picture, pattern, expected):
    if not isinstance(loss, torch.Tensor):
        raise Wrong("layer.loss is a Python number, which has no graph: keep the tensor, without item().")
    if not loss.requires_grad:
        raise Wrong("layer.loss is not tracked: cut only the target, and not the features of the picture.")
    gradient, of_pattern = _gradients(loss, picture, pattern)
    if gradient is None:
        raise Wrong("The cut is on the wrong side: the picture gets no gradient.")
    if of_pattern is not None:
        raise Wrong("The pattern gets a gradient too: its Gram matrix is the target, so detach it.")
    same_numbers(gradient, expected, "The gradient of the picture")


def _gradients(result, *leaves):
    try:
        return list(torch.autograd.grad(result, leaves, retain_graph=True, allow_unused=True))
    except RuntimeError:
        raise Wrong("The graph is freed already: keep the loss, and compute no gradient in the function.") from None


def _gram(features):
    maps = features.flatten(2)
    return maps @ maps.mT / maps.shape[2]


class _OldLoss(nn.Module):
    """A loss layer as in programs of 2017. change: what is compared with the target."""

    def __init__(self, change, target, loss_weight):
        super().__init__()
        self.change, self.target, self.loss_weight = change, change(target).detach(), loss_weight

    def forward(self, features):
        self.loss = mse(self.change(features), self.target)
        return features

    def backward(self):
        (self.loss_weight * self.loss).backward(retain_graph=True)
        return self.loss


@exercise("07.3")
def one_backward_for_all_loss_layers(run):
    torch.manual_seed(3)
    photo, pattern, picture = torch.rand(3, 1, 2, 8, 8)
    picture.requires_grad_()
    conv1, conv2 = (nn.Conv2d(2, 2, 3).requires_grad_(False) for _ in range(2))
    first, second = nn.Sequential(conv1, nn.ReLU()), nn.Sequential(conv2, nn.ReLU())
    losses = (_OldLoss(_gram, first(pattern), 50.0), _OldLoss(_gram, second(first(pattern)), 500.0),
              _OldLoss(nn.Identity(), second(first(photo)), 3.0))
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
        raise Wrong("Your function returns None: return the gradient of the picture, after backward.")
    if has_numbers(gradient, sum(alone)):
        raise Wrong("All losses count the same here: multiply each of them by its loss_weight.")
    if has_numbers(gradient, sum(parts) / len(parts)):
        raise Wrong("This is the gradient of the mean of the losses: take their sum.")
    if any(has_numbers(gradient, of_layer) for of_layer in alone + parts):
        raise Wrong("This is the gradient of one loss alone: the losses of all three layers count.")
    if any(has_numbers(gradient, sum(parts) - part) for part in parts):
        raise Wrong("The loss of one layer is missing: the losses of all three layers count.")
    same_numbers(gradient, sum(parts), "The gradient of the picture")
    if len(forwards) > 1:
        raise Wrong(f"The gradient is right, but net ran forward {len(forwards)} times: one forward pass makes all losses.")
    if len(backwards) > 1:
        raise Wrong(f"The gradient is right, but the first convolution ran backward {len(backwards)} times: add the losses, "
                    "and call backward once.")
    kept = [layer.loss for layer in losses if isinstance(getattr(layer, "loss", None), torch.Tensor)]
    if kept and show_graph(*kept).snapshot.saved_bytes:
        raise Wrong("The gradient is right, but the saved tensors are still there: a single backward needs no retain_graph.")


def _gradient_of_the_answer(run, net, picture):
    try:
        return quietly(run, net, picture)
    except Wrong as wrong:
        if "a second time" in str(wrong):
            raise Wrong("The first loss has freed the layers that it shares with the others: add the losses, and call "
                        "backward once.") from None
        if "'int' object has no attribute 'backward'" in str(wrong) or "no attribute 'loss'" in str(wrong):
            raise Wrong("No loss was found: call net(picture) first, and then take the layers that have a loss.") from None
        if "scalar outputs" in str(wrong):
            raise Wrong("backward starts at a tensor of many numbers: it must start at the losses, which are in the layers."
                        ) from None
        raise


@exercise("07.4")
def pixels_that_stay_in_range(run):
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh()).requires_grad_(False)
    target, start, steps = net(3 * torch.rand(1, 2, 6, 6) - 1), torch.rand(1, 2, 6, 6), 6
    pictures = _pictures_on_the_way(net, target, start, steps)
    others = {
        "Old gradients still push the picture: clear its gradient in each step.":
            _pictures_on_the_way(net, target, start, steps, clear=False)[-1],
        "The picture is clamped only at the end: clamp it after each step, so that the next step starts in the range.":
            _pictures_on_the_way(net, target, start, steps, clamped=False)[-1].clamp(0, 1),
        "Adam starts again in each step and forgets the steps before: make the optimizer once, before the loop.":
            _pictures_on_the_way(net, target, start, steps, anew=True)[-1],
        "The picture has not changed: the optimizer needs the tensor that goes through net, and its new gradient.": start,
    } | {
        f"This is the picture after {number} of {steps} steps: return it after the loop, and change the leaf in place, "
        "because the optimizer does not know a new tensor.": earlier
        for number, earlier in enumerate(pictures[:-1], 1)
    }
    forwards = []
    net.register_forward_hook(lambda module, inputs, output: forwards.append(1))
    picture = _picture_of_the_answer(run, forwards, net, target, start, steps)
    for sentence, numbers in others.items():
        if has_numbers(picture, numbers):
            raise Wrong(sentence)
    if isinstance(picture, torch.Tensor) and picture.shape == start.shape and ((picture < 0) | (picture > 1)).any():
        raise Wrong("The picture has numbers outside of the range from 0 to 1: clamp it after each step.")
    same_numbers(picture, pictures[-1], "The picture")
    if start.requires_grad:
        raise Wrong("The picture is right, but start is tracked now: track a clone of it.")
    if not isinstance(picture, torch.Tensor):
        raise Wrong(f"The numbers are right, but they come as type {type(picture).__name__}: return a tensor.")
    if picture.requires_grad:
        raise Wrong("The picture is right, but it is tracked: return it without its history.")
    if any(p.requires_grad or p.grad is not None for p in net.parameters()):
        raise Wrong("The picture is right, but net is not frozen any more: leave it as it was.")


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
        words = ("a second time", "does not require grad", "modified by an inplace operation")
        if len(forwards) == 1 and words[1] in str(wrong):
            raise Wrong("The loss is not tracked: the picture must be a tracked leaf, so call requires_grad_() on it."
                        ) from None
        if len(forwards) > 1 and any(part in str(wrong) for part in words):
            raise Wrong("After the first step, the picture is not the tracked leaf any more: picture = ... makes another "
                        "tensor, so change the leaf in place, under no_grad.") from None
        if "non-leaf" in str(wrong):
            raise Wrong("The optimizer was given a result, not a leaf: call requires_grad_() after clone().") from None
        raise
