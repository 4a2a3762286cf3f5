"""Answers to the exercises of notebook 15."""

from answers import right, wrong

STEP = """
def one_step(net, optimizer, x):
    optimizer.zero_grad()
    {forward}
    {backward}
    optimizer.step()
"""
LOSSES = "cat_loss, car_loss = net(x)"


def step(backward, forward=LOSSES):
    return STEP.format(forward=forward, backward=backward)


right("15.1", [
    step("torch.autograd.backward([cat_loss, car_loss])"),
    step("torch.stack(net(x)).sum().backward()", forward=""),
    step("cat_loss.backward(torch.ones(()), inputs=list(net.parameters()))", forward="cat_loss = sum(net(x))"),
])

wrong("15.1", [
    (step("cat_loss.backward(retain_graph=True); car_loss.backward()"), "Expected to mark a variable ready only once",
     "line 5: cat_loss.backward(", "body.weight"),
    (step("cat_loss.backward(); car_loss.backward()"), "Trying to backward through the graph a second time", "it was freed"),
    (step("cat_loss.backward(retain_graph=True); car_loss.backward()", forward="cat_loss, car_loss = net.module(x)"),
     "have other weights: one number of net.module.body.weight is", "✗ its numbers are not as they should be"),
    (step("cat_loss.backward()"), "Expected to have finished reduction in the prior iteration"),
    (step("cat_loss.backward(); car_loss.backward()", forward="cat_loss, car_loss = net(x)[0], net(x)[1]"),
     "Expected to mark a variable ready only once"),
    (step("net(x)[0].backward(); net(x)[1].backward()", forward=""), "Expected to have finished reduction"),
    (step("with net.no_sync(): sum(net(x)).backward()", forward=""), "the processes have other weights"),
    (step("(cat_loss + car_loss).div(2).backward()"), "but net.module.body.weight has other numbers than the mean"),
    (step("(cat_loss + car_loss).backward()").replace("optimizer.step()", "pass"),
     "The processes agree, but net.module.body.weight has the numbers that it had before"),
])

TRAIN = """
def train_in_turn(net, batches):
    ddp = DistributedDataParallel(net{options})
    optimizer = SGD(net.parameters(), lr=0.1)
    for x, task in batches:
        optimizer.zero_grad()
        {loss}
        loss.backward()
        optimizer.step()
"""


def train(options="", loss="loss = ddp(x)[task]"):
    return TRAIN.format(options=options, loss=loss)


right("15.2", [
    train(loss="losses = ddp(x); loss = losses[task] + 0 * losses[1 - task]"),
    train(", find_unused_parameters=True", "losses = ddp(x); loss = losses[task]"),
    train(loss="loss = ddp(x)[task] + 0 * sum(weight.sum() for weight in net.parameters())"),
])

wrong("15.2", [
    (train(), "Expected to have finished reduction in the prior iteration", "line 7: loss = ddp(x)[task]",
     "[10] MeanBackward0 from [9]; ✗ no way leads from here to net.cars.weight"),
    (train(", static_graph=True"), "Expected to have finished reduction in the prior iteration"),
    (train(loss="loss = net(x)[task]"), "the processes have other weights"),
    (train(loss="loss = sum(ddp(x))"), "The processes agree, but net.body.weight has other numbers"),
    (train(", find_unused_parameters=True", "loss = ddp.module(x)[task]"), "the processes have other weights"),
    (train().replace("ddp = ", "net.cars.requires_grad_(False); ddp = "), "Expected to have finished reduction",
     "cats.weight"),
])

ACCUMULATE = """
def accumulate(net, optimizer, batches):
    optimizer.zero_grad()
    {first}
    {last}
    optimizer.step()
"""
INSIDE = "with net.no_sync():\n        for x in batches[:-1]: (net(x).mean() / len(batches)).backward()"
LAST = "(net(batches[-1]).mean() / len(batches)).backward()"

right("15.3", [
    ACCUMULATE.format(first=INSIDE, last=LAST),
    ACCUMULATE.format(first="", last="(sum(net(x).mean() for x in batches) / len(batches)).backward()"),
    ACCUMULATE.format(first="net.require_backward_grad_sync = False\n    for x in batches[:-1]: net(x).mean().div(3).backward()",
                      last="net.require_backward_grad_sync = True; " + LAST),
])

wrong("15.3", [
    (ACCUMULATE.format(first="for x in batches: (net(x).mean() / len(batches)).backward()", last=""),
     "the processes talked 3 times in one step"),
    (ACCUMULATE.format(first="with net.no_sync():\n        for x in batches: (net(x).mean() / len(batches)).backward()", last=""),
     "the processes have other weights", "✗ its numbers are not as they should be"),
    (ACCUMULATE.format(first=INSIDE + "\n        loss = net(batches[-1]).mean() / 3", last="loss.backward()"),
     "the processes have other weights"),
    (ACCUMULATE.format(first=INSIDE, last="net(batches[-1]).mean().backward()"), "0.weight has other numbers than the mean"),
    (ACCUMULATE.format(first="", last=LAST), "0.weight has other numbers than the mean"),
    (ACCUMULATE.format(first="for x in batches[:-1]:\n        with net.no_sync(): net(x)", last=LAST), "other numbers"),
    (ACCUMULATE.format(first="for x in batches: (net.module(x).mean() / len(batches)).backward()", last=""),
     "the processes have other weights"),
])

SCALED = """
def scaled_step(net, optimizer, scaler, batches):
    optimizer.zero_grad()
    for x in batches:
        loss = net(x).square().mean() / len(batches)
        {backward}
        {each}
    {end}
"""
BACKWARD = "scaler.scale(loss).backward()"
CLIP = "nn.utils.clip_grad_norm_(net.parameters(), max_norm=1)"
END = f"scaler.unscale_(optimizer); {CLIP}; scaler.step(optimizer); scaler.update()"


def scaled(each="", end=END, backward=BACKWARD):
    return SCALED.format(backward=backward, each=each, end=end)


right("15.4", [
    scaled(end=f"{CLIP.replace('max_norm=1', 'max_norm=1 * scaler.get_scale()')}; scaler.step(optimizer); scaler.update()"),
    """
def scaled_step(net, optimizer, scaler, batches):
    loss = sum(net(x).square().mean() for x in batches) / len(batches)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(list(net.parameters()), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
""",
])

wrong("15.4", [
    (scaled(f"scaler.unscale_(optimizer); {CLIP}", "scaler.step(optimizer); scaler.update()"),
     "unscale_() has already been called on this optimizer", "line 7: scaler.unscale_"),
    (scaled(f"scaler.unscale_(optimizer); {CLIP}; scaler.update()", "scaler.step(optimizer); scaler.update()"),
     "It was small before it was divided by the scale", "✗ its numbers are not as they should be"),
    (scaled(end=f"{CLIP}; scaler.step(optimizer); scaler.update()"), "It was small before it was divided by the scale"),
    (scaled(end="scaler.step(optimizer); scaler.update()"), "it is not clipped: its norm is"),
    (scaled("scaler.step(optimizer); scaler.update()", ""), "The optimizer made 3 steps, and the batches make one"),
    (scaled(end=END.replace("; scaler.update()", "")), "the scaler was not updated"),
    (scaled(end=f"scaler.unscale_(optimizer); {CLIP}; optimizer.step()"), "the scaler was not updated"),
    (scaled(end=f"{CLIP}; optimizer.step()"), "the gradient is not that of all batches, clipped"),
    (scaled(end="optimizer.step()"), "it was not divided by the scale"),
    (scaled(end="optimizer.step(); scaler.update()"), "No inf checks were recorded prior to update"),
    (scaled(end="scaler.step(optimizer); scaler.unscale_(optimizer); " + CLIP), "unscale_() is being called after step()"),
    (scaled(end=END.replace("scaler.step(optimizer); ", "")), "The optimizer made no step"),
    (scaled(backward="optimizer.zero_grad(); " + BACKWARD), "the gradient is not that of all batches, clipped"),
    (scaled(backward="loss.backward()"), "Attempted unscale_ but _scale is None"),
    (scaled(backward="loss.backward()", end=f"{CLIP}; optimizer.step()"), "But the loss was not scaled"),
    (scaled(end=f"scaler.unscale_(optimizer); {CLIP}; optimizer.step(); scaler.update()"),
     "where a gradient is inf, the optimizer must not step"),
    (scaled(end=END.replace("max_norm=1", "1, error_if_nonfinite=True")), "is non-finite"),
    (scaled().replace("optimizer.zero_grad()", "pass"), "a part of the gradient of step 1 is still there"),
])

SEARCH = """
def first_not_finite(loss, results):
    {before}
    for name, result in {order}:
        gradient, = torch.autograd.grad(loss, result, retain_graph=True)
        if {test}:
            return name
    return None
"""
BACK = "reversed(results.items())"


def search(order=BACK, test="not gradient.isfinite().all()", before=""):
    return SEARCH.format(order=order, test=test, before=before)


right("15.5", [
    search(),
    search(test="(gradient.isnan() | gradient.isinf()).any()"),
    """
def first_not_finite(loss, results):
    found = []
    def look(gradient, name):
        if not gradient.isfinite().all():
            found.append(name)
    handles = [result.register_hook(lambda gradient, name=name: look(gradient, name)) for name, result in results.items()]
    torch.autograd.grad(loss, list(results.values()), retain_graph=True)
    for handle in handles:
        handle.remove()
    return next(iter(found), None)
""",
])

wrong("15.5", [
    ("""
def first_not_finite(loss, results):
    for name, result in results.items():
        if not result.isfinite().all():
            return name
""", "returns None. But on the way back, 'squares' is the first", "✗ what comes here is not finite"),
    (search(order="results.items()"), "returns 'difference'. But on the way back, 'squares' is the first"),
    (search(test="gradient.isnan().any()"), "returns 'difference'. But on the way back"),
    (search(test="not gradient.sum().isfinite()"), "returns 'small'. But the gradients of all results are finite here"),
    (search().replace(", retain_graph=True", ""), "the graph was freed, and the program still needs it"),
    (search(before="loss.backward(retain_graph=True)"), "w.grad is filled: a gradient came to w", "✗ its .grad is filled"),
    ("""
def first_not_finite(loss, results):
    gradients = torch.autograd.grad(loss, list(results.values()))
    return next((name for name, each in reversed(list(zip(results, gradients))) if not each.isfinite().all()), None)
""", "the graph was freed, and the program still needs it"),
    ("""
def first_not_finite(loss, results):
    for result in results.values():
        result.retain_grad()
    loss.backward(retain_graph=True)
    return next((name for name, each in reversed(results.items()) if not each.grad.isfinite().all()), None)
""", "w.grad is filled"),
    (search().replace("return name", "return result"), "is of type Tensor, and not one of the names"),
])
