"""Answers to the exercises of notebook 07."""

from answers import right, wrong

LOSSES = """
def losses_of(conv, photo, start, steps):
    {before}
    target = {target}
    picture = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([picture], lr=10)
    losses = []
    for step in range(steps):
        {first}
        loss = nn.functional.mse_loss({features}, target)
        loss.backward({options})
        optimizer.step()
        losses.append({kept})
    {after}
    return {returned}
"""



def _losses(before="conv.requires_grad_(False)", target="conv(photo).detach()", first="optimizer.zero_grad()",
            features="conv(picture)", options="", kept="loss.item()", after="", returned="losses"):
    return LOSSES.format(**locals())

LAYER = """
def forward(layer, features):
    def gram(features):
        maps = features.flatten(2)
        return {gram}

    {before}
    layer.loss = {loss}
    {after}
    return {returned}
"""



def _layer(gram="maps @ maps.mT / maps.shape[2]", before="",
           loss="nn.functional.mse_loss(gram(features), gram(layer.pattern).detach())", after="", returned="features"):
    return LAYER.format(**locals())



def _gradient(*lines):
    return "\n    ".join(("def picture_gradient(net, picture):", *lines))

WEIGHTED = "layer.loss_weight * layer.loss for layer in net if hasattr(layer, 'loss')"
PLAIN = "layer.loss for layer in net if hasattr(layer, 'loss')"

REPAINT = """
def repaint(net, target, start, steps):
    picture = {picture}
    {optimizer}
    for step in range(steps):
        {first}
        loss = nn.functional.mse_loss(net(picture), target)
        loss.backward()
        optimizer.step()
        {clamp}
    {after}
    return {returned}
"""
ADAM = "optimizer = torch.optim.Adam([picture], lr=0.2)"


def _repaint(picture="start.clone().requires_grad_()", optimizer=ADAM, first="optimizer.zero_grad()",
             clamp="with torch.no_grad(): picture.clamp_(0, 1)", after="", returned="picture.detach()"):
    return REPAINT.format(**locals())

right("07.1", [
    _losses(target="conv(photo.detach())"),
    _losses(target="conv(photo).data"),
    _losses(target="conv(photo).detach().clone()", kept="loss.detach()", returned="torch.stack(losses)"),
    _losses(after="conv.requires_grad_(True)"),
    _losses(before="for p in conv.parameters(): p.requires_grad = False"),
    (_losses(before="", options="inputs=[picture]"), "only the picture gets a gradient"),
    _losses(first="picture.grad = None", returned="tuple(losses)"),
    """
def losses_of(conv, photo, start, steps):
    with torch.no_grad():
        target = conv(photo)
    picture, losses = start.clone().requires_grad_(), []
    for step in range(steps):
        loss = nn.functional.mse_loss(conv(picture), target)
        gradient, = torch.autograd.grad(loss, picture)
        with torch.no_grad():
            picture -= 10 * gradient
        losses.append(float(loss))
    return losses
""",
])

wrong("07.1", [
    (_losses(before="", target="conv(photo)"), "In step 2, backward comes into a part", "line 11: loss.backward()",
     "backward needs it, and it was freed; made by line 4", "photo; leaf"),
    (_losses(target="conv(photo)"), "In step 2, backward comes into a part", "made by line 4"),
    (_losses(before="", target="conv(photo)", options="retain_graph=True"), "asked to retain",
     "line 11: loss.backward(retain_graph=True)", "✗ its graph is retained, and walked in each step"),
    (_losses(options="retain_graph=True"), "asked to retain", "line 11: loss.backward"),
    (_losses(before=""), "the weight and the bias of conv get a gradient",
     "conv.weight; leaf", "✗ gets a gradient", "line 11: loss.backward()"),
    (_losses(before="", after="conv.zero_grad()"), "the weight and the bias of conv get a gradient"),
    (_losses(before="", target="conv(photo.detach())", options="None, True"), "asked to retain"),
    (_losses(target="None", first="optimizer.zero_grad(); target = conv(photo)"), "photo gets a gradient", "✗ gets a gradient"),
    (_losses(target="None", first="optimizer.zero_grad(); target = conv(photo).detach()"), "was computed 4 times"),
    (_losses(before="conv.requires_grad_(False); photo.requires_grad_(False)", target="conv(photo)"),
     "photo is not tracked after"),
    (_losses(features="conv(picture).detach()"), "no graph leads from it"),
    (_losses(features="conv(picture.detach())"), "no graph leads from it"),
    (_losses(kept="loss"), "losses[0] is tracked: it holds a graph of", "line 10: loss = ", "✗ holds this graph"),
    (_losses(first=""), "gradients that add up"),
    (_losses(options="); optimizer.zero_grad("), "does not move"),
    (_losses(returned="losses[-1]"), "only the loss of the last step"),
    (_losses(after="losses.pop()"), "shape"),
    (_losses(target="conv(start).detach()"), "other numbers"),
])

right("07.2", [
    _layer(loss="nn.functional.mse_loss(gram(features), gram(layer.pattern.detach()))"),
    _layer(gram="torch.bmm(maps, maps.transpose(1, 2)).div(features.shape[2] * features.shape[3])"),
    _layer(gram="torch.einsum('bchw,bdhw->cd', features, features) / maps.shape[2]"),
    _layer(before="with torch.no_grad(): target = gram(layer.pattern)",
           loss="(gram(features) - target).square().mean()", returned="features.clone()"),
    """
def forward(layer, features):
    maps, goal = features[0].flatten(1), layer.pattern[0].flatten(1).detach()
    layer.loss = nn.MSELoss()(maps @ maps.T / maps.shape[1], goal @ goal.T / goal.shape[1])
    return features
""",
    """
def forward(layer, features):
    means = lambda f: (f.unsqueeze(1) * f.unsqueeze(2)).mean((3, 4))
    if not hasattr(layer, "target"):
        layer.target = means(layer.pattern).detach()
    layer.loss = nn.functional.mse_loss(means(features), layer.target)
    return features
""",
])

wrong("07.2", [
    (_layer(loss="nn.functional.mse_loss(gram(features), gram(layer.pattern))"), "one of them to the pattern",
     "✗ gets a gradient"),
    (_layer(loss="nn.functional.mse_loss(gram(features).detach(), gram(layer.pattern))"), "The picture gets no gradient",
     "✗ gets the gradient"),
    (_layer(loss="nn.functional.mse_loss(gram(features), gram(layer.pattern)).detach()"), "layer.loss is not tracked"),
    (_layer(loss="nn.functional.mse_loss(gram(features), gram(layer.pattern)).item()"), "a Python number"),
    (_layer(returned="layer.loss"), "The next layer gets one number"),
    (_layer(returned="gram(features)"), "The next layer gets the Gram matrix"),
    (_layer(returned="features.detach()"), "are cut off", "✗ no way leads back"),
    (_layer(returned="features.detach().requires_grad_()"), "are cut off"),
    (_layer(returned="None"), "returns nothing"),
    (_layer(gram="maps @ maps.mT"), "sums over the places"),
    (_layer(gram="maps @ maps.mT / maps.numel()"), "number of channels, too"),
    (_layer(gram="maps.mean(2)"), "the means of the channels"),
    (_layer(loss="nn.functional.mse_loss(features, layer.pattern.detach())"), "raised RuntimeError"),
    (_layer(gram="maps.mT @ maps / maps.shape[1]"), "raised RuntimeError"),
    (_layer(gram="maps @ maps.mT / features.shape[2]"), "other numbers"),
    (_layer(after="layer.loss.backward()"), "before the program called backward"),
    (_layer(after="layer.loss.backward(retain_graph=True)"), "before the program called backward"),
    ("def forward(layer, features): return features", "no layer.loss"),
])

right("07.3", [
    _gradient("net(picture)", "total = 0", "for layer in net:", "    if hasattr(layer, 'loss'):",
              "        total += layer.loss_weight * layer.loss", "total.backward()", "return picture.grad"),
    (_gradient("net(picture)", f"torch.autograd.backward([{WEIGHTED}])", "return picture.grad"),
     "One backward for all losses: their gradients meet"),
    _gradient("net(picture)", f"return torch.autograd.grad(sum({WEIGHTED}), picture)[0]"),
    _gradient("net(picture)", f"torch.stack([{WEIGHTED}]).sum().backward()", "return picture.grad.clone()"),
    _gradient("losses, out = [], picture", "for layer in net:", "    out = layer(out)", "    if hasattr(layer, 'loss'):",
              "        losses.append(layer.loss_weight * layer.loss)", "sum(losses).backward()", "return picture.grad"),
    _gradient("net.requires_grad_(False)(picture)", "layers = [l for l in net.children() if hasattr(l, 'backward')]",
              "torch.autograd.backward([l.loss for l in layers], [torch.tensor(l.loss_weight) for l in layers])",
              "return picture.grad"),
])

wrong("07.3", [
    (_gradient("net(picture)", "for layer in net:", "    if hasattr(layer, 'loss'):", "        layer.backward()",
               "return picture.grad"), "ran backward 3 times", "line 5: layer.backward()", "loss 3 from [8]"),
    (_gradient("net(picture)", "for layer in net:", "    if hasattr(layer, 'loss'):",
               "        (layer.loss_weight * layer.loss).backward()", "return picture.grad"),
     "Backward number 2 comes into layers", "line 5: (layer.loss_weight", "backward needs it, and it was freed"),
    (_gradient("for layer in net:", "    net(picture)", "    if hasattr(layer, 'loss'):",
               "        (layer.loss_weight * layer.loss).backward()", "return picture.grad"), "ran forward"),
    (_gradient("net(picture)", f"sum({PLAIN}).backward()", "return picture.grad"), "has another loss_weight"),
    (_gradient("net(picture)", f"(sum({WEIGHTED}) / 3).backward()", "return picture.grad"), "the mean of the losses"),
    (_gradient("net(picture)", f"sum({WEIGHTED}).backward(retain_graph=True)", "return picture.grad"),
     "its only backward retained it"),
    (_gradient("net(picture)", f"[{WEIGHTED}][-1].backward()", "return picture.grad"), "one loss alone"),
    (_gradient("net(picture)", "net[-1].backward()", "return picture.grad"), "one loss alone"),
    (_gradient("net(picture)", f"sum([{WEIGHTED}][:2]).backward()", "return picture.grad"), "The loss of one layer is missing"),
    (_gradient(f"total = sum({WEIGHTED})", "net(picture)", "total.backward()", "return picture.grad"),
     "No loss was found"),
    (_gradient("net(picture)", "class ContentLoss(nn.Module): pass",
               "sum(layer.loss for layer in net if isinstance(layer, ContentLoss)).backward()", "return picture.grad"),
     "No loss was found"),
    (_gradient("net(picture)", "sum(layer.loss for layer in net).backward()", "return picture.grad"),
     "No loss was found"),
    (_gradient("net(picture)", f"return torch.autograd.grad(sum({WEIGHTED}), picture, retain_graph=True)[0]"),
     "its only backward retained it"),
    (_gradient("net(picture).backward()", "return picture.grad"), "at no loss"),
    (_gradient("net(picture).sum().backward()", "return picture.grad"), "other numbers"),
    (_gradient("net(picture)", f"sum({WEIGHTED}).backward()", "return picture"), "other numbers"),
    (_gradient("net(picture)", f"total = sum({WEIGHTED})", "return picture.grad"), "returns None"),
])

right("07.4", [
    _repaint(picture="start.detach().clone().requires_grad_(True)", returned="picture.data"),
    _repaint(picture="nn.Parameter(start.clone())", clamp="picture.data.clamp_(0, 1)"),
    _repaint(clamp="with torch.no_grad(): picture.copy_(picture.clamp(0, 1))"),
    _repaint(clamp="picture.data = picture.data.clamp(0, 1)"),
    _repaint(first="picture.grad = None", returned="picture.requires_grad_(False)"),
    _repaint(first="", clamp="optimizer.zero_grad(); picture.detach().clamp_(0, 1)",
             returned="picture.detach().clone()"),
])

wrong("07.4", [
    (_repaint(picture="start.requires_grad_()"), "changed its input number 3 in place"),
    (_repaint(picture="start.requires_grad_().detach().clone().requires_grad_()"), "start is tracked now"),
    (_repaint(picture="start.requires_grad_().clone()"), "was given a result", "line 4: optimizer ="),
    (_repaint(first=""), "gradients that add up"),
    (_repaint(clamp="picture = picture.clamp(0, 1)"), "In step 3, backward goes back into an earlier step",
     "line 8: loss.backward()", "✗ "),
    (_repaint(clamp="with torch.no_grad(): picture = picture.clamp(0, 1)"), "In step 2, the loss is not tracked",
     "line 8: loss.backward()"),
    (_repaint(clamp="picture = picture.clamp(0, 1).detach().requires_grad_()"), "after 1 of 6 steps"),
    (_repaint(clamp="with torch.no_grad(): picture.clamp_(0, 1)\n        return picture.detach()"),
     "after 1 of 6 steps"),
    (_repaint(picture="start.clone()"), "In step 1, the loss is not tracked"),
    (_repaint(clamp="picture.clamp_(0, 1)"), "raised RuntimeError: a leaf Variable"),
    (_repaint(clamp="", after="picture = picture.clamp(0, 1)"), "clamped only at the end"),
    (_repaint(clamp=""), "outside of the range"),
    (_repaint(clamp="picture.clamp(0, 1)"), "outside of the range"),
    (_repaint(returned="picture"), "and it is tracked", "✗ tracked"),
    (_repaint(returned="picture.clone()"), "and it is tracked"),
    (_repaint(optimizer="", first="optimizer = torch.optim.Adam([picture], lr=0.2); optimizer.zero_grad()"),
     "Adam starts again"),
    (_repaint(optimizer="optimizer = torch.optim.Adam([picture.detach()], lr=0.2)"), "The picture has not changed"),
    (_repaint(optimizer="net.requires_grad_(); " + ADAM), "not frozen any more"),
    (_repaint(first="pass", optimizer="optimizer = torch.optim.SGD([picture], lr=0.2)"), "other numbers"),
    ("def repaint(net, target, start, steps):\n"
     "    picture = start.requires_grad_()\n"
     "    optimizer = torch.optim.Adam([picture], lr=0.2)\n"
     "    for step in range(steps):\n"
     "        loss = nn.functional.mse_loss(net(picture), target)\n"
     "        loss.backward()\n"
     "        optimizer.step()\n"
     "        picture = picture.clamp(0, 1)\n"
     "    return picture", "backward goes back into an earlier step", "line 6: loss.backward()"),
])
