"""Answers to the exercises of notebook 14."""

from answers import right, wrong

FULL_HOOK = """
def gradient_at_first(net, x):
    arrived = []
    {before}
    handle = net[{layer}].register_full_backward_hook(lambda layer, grad_in, grad_out: arrived.append({gradient}[0]))
    net(x).sum().backward()
    {after}
    return arrived[0]
"""
FORWARD_HOOK = """
def gradient_at_first(net, x):
    arrived = []

    def watch(layer, inputs, output):
        {watch}

    handle = net[0].register_forward_hook(watch)
    net(x).sum().backward()
    {after}
    return {result}
"""
NOT_IN_PLACE = """for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False"""


def full_hook(before=NOT_IN_PLACE, layer=0, gradient="grad_out", after="handle.remove()"):
    return FULL_HOOK.format(before=before, layer=layer, gradient=gradient, after=after)


def forward_hook(watch, result="arrived[0]", after="handle.remove()"):
    return FORWARD_HOOK.format(watch=watch, result=result, after=after)


right("14.1", [
    full_hook(),
    forward_hook("output.register_hook(arrived.append)\n        return output.clone()"),
    """def gradient_at_first(net, x):
    h = net[0](x)
    h.retain_grad()
    net[1:](h.clone()).sum().backward()
    return h.grad""",
    """def gradient_at_first(net, x):
    arrived = []
    h = net[0](x)
    h.register_hook(arrived.append)
    net[1:](h).sum().backward()
    return arrived[0]""",
])

wrong("14.1", [
    (full_hook(before=""), "is a view and is being modified inplace"),
    (full_hook(layer=1), "This is the gradient that arrives behind the relu"),
    (full_hook(gradient="grad_in"), "Your function returns nothing"),
    (full_hook(after=""), "a hook is left on net"),
    (forward_hook("output.retain_grad(); arrived.append(output)", "arrived[0].grad"),
     "This is the gradient that arrives behind the relu", "line 9: net(x).sum().backward()"),
    (forward_hook("return output.register_hook(arrived.append)"), "Your code raised TypeError", "line 9: net(x)"),
    ("""def gradient_at_first(net, x):
    h = net[0](x).detach().requires_grad_()
    return torch.autograd.grad(net[1:](h.clone()).sum(), h)[0]""", "net.0.weight.grad is None"),
    (forward_hook("cut = output.detach().requires_grad_(); arrived.append(cut); return cut.clone()", "arrived[0].grad"),
     "net.0.weight.grad is None"),
])

LSTM = """
def lstm_step(gates, c):
    {parts}
    {act}
    c = {c}
    return o * c.tanh(), c
"""
CHUNK = "i, f, o, g = gates.chunk(4, dim=-1)"
IN_PLACE = "i.sigmoid_(); f.sigmoid_(); o.sigmoid_(); g.tanh_()"


def lstm(parts=CHUNK, act="i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()", c="f * c + i * g"):
    return LSTM.format(parts=parts, act=act, c=c)


right("14.2", [
    lstm(parts="i, f, o, g = (part.clone() for part in gates.chunk(4, dim=-1))", act=IN_PLACE),
    lstm(parts="i, f, o, g = (gates[:, 2 * k:2 * k + 2].clone() for k in range(4))", act=IN_PLACE),
    lstm(parts="gates = torch.cat([gates[:, :6].sigmoid(), gates[:, 6:].tanh()], dim=-1); " + CHUNK, act=""),
])

wrong("14.2", [
    (lstm(act=IN_PLACE), "Output 0 of Split is a view and is being modified inplace", "line 4: i.sigmoid_()"),
    (lstm(parts="i, f, o, g = gates.clone().chunk(4, dim=-1)", act=IN_PLACE), "Output 0 of Split is a view and is being"),
    (lstm(act="for part in (i, f, o): part.data.sigmoid_()\n    g.data.tanh_()"), "Your code changed its input number 1"),
    (lstm(act="with torch.no_grad(): " + IN_PLACE), "its base or another view of its base has been modified inplace"),
    (lstm(parts="i, f, o, g = gates.detach().clone().chunk(4, dim=-1)"), "no gradient comes to gates",
     "✗ no way leads back to here"),
    (lstm(act="i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.detach().tanh()"),
     "the gradient that comes to gates has other numbers"),
    (lstm(parts="i, f, o, g = gates.split(2, dim=-1)", act="for gate in (i, f, o): gate = gate.sigmoid()\n    g = g.tanh()"),
     "h has other numbers"),
    (lstm(parts="gates = gates.clone(); gates[:, :6].sigmoid_(); gates[:, 6:].tanh_(); " + CHUNK, act=""),
     "backward raises RuntimeError: one of the variables needed for gradient computation has been modified by an inplace",
     "a hidden node saved its result here"),
    (lstm(c="f * c.detach() + i * g"), "no gradient comes to c"),
])

ADAPTED = """
def loss_of(embed, block, head, tokens):
    {before}
    x = embed(tokens)
    {track}
    x = {call}
    {after}
    return head(x).square().mean()
"""


def adapted(call="checkpoint(block, x, use_reentrant=True)", before="", track="", after=""):
    return ADAPTED.format(call=call, before=before, track=track, after=after)


right("14.3", [
    adapted(track="x.requires_grad_()"),
    adapted(call="checkpoint(block, x + torch.zeros((), requires_grad=True), use_reentrant=True)"),
    adapted(call="checkpoint(lambda x: block(x), x, use_reentrant=False)"),
])

wrong("14.3", [
    (adapted(), "block.A.weight.grad is None", "✗ no way leads back to here"),
    (adapted(after="x.requires_grad_()"), "block.A.weight.grad is None"),
    (adapted(call="block(x)"), "block ran only once"),
    (adapted(before="embed.weight.requires_grad_()"), "embed.weight is tracked now, and was frozen before"),
    (adapted(before="block.requires_grad_()"), "block.frozen.weight is tracked now"),
    (adapted(call="checkpoint(block, x, use_reentrant=False).detach()"), "block.A.weight.grad is None"),
    (adapted(call="block(x) + 0 * checkpoint(block, x, use_reentrant=False)"), "block ran 3 times"),
    (adapted(before="head.requires_grad_(False)"), "head.weight is not tracked any more"),
    (adapted(call="(block.frozen(x) + checkpoint(block.B, block.A(x), use_reentrant=False)).tanh()"),
     "block itself was not called"),
])

ATTEND = """
def attend(layers, x, cache):
    def block(layer, x, *before):
        key = layer(x){detach}
        {inside}
        keys = torch.cat([{read}])
        return (x @ keys.T).softmax(dim=-1) @ keys, key

    for layer in layers:
        x, key = {call}
        {outside}
    return x
"""


def attend(detach=".detach()", inside="", read="*before, key", outside="cache.append(key)",
           call="checkpoint(block, layer, x, *cache, use_reentrant=False)"):
    return ATTEND.format(detach=detach, inside=inside, read=read, outside=outside, call=call)


right("14.4", [
    attend(call="checkpoint(block, layer, x, *cache, use_reentrant=True)", outside="cache.append(key.detach())"),
    """def attend(layers, x, cache):
    from functools import partial
    for layer in layers:
        x, key = checkpoint(partial(block_of, layer), x, torch.cat(cache), use_reentrant=False)
        cache.append(key)
    return x

def block_of(layer, x, before):
    key = layer(x).detach()
    keys = torch.cat([before, key])
    return (x @ keys.T).softmax(dim=-1) @ keys, key""",
    """def attend(layers, x, cache):
    def block(layer, x, before):
        keys = torch.cat([*before, layer(x).detach()])
        new.append(keys[-len(x):])
        return (x @ keys.T).softmax(dim=-1) @ keys

    for layer in layers:
        new = []
        x = checkpoint(block, layer, x, tuple(cache), use_reentrant=False)
        cache.append(new[0])
    return x""",
])

wrong("14.4", [
    (attend(inside="cache.append(key)", read="*cache", outside=""), "where the shape was [2, 8] in forward, it is [2, 11]",
     "another shape in the second run", "line 7: return (x @ keys.T)"),
    (attend(read="*cache, key"), "a block ran again, and was not the same"),
    (attend(read="*before[0], key", call="checkpoint(block, layer, x, cache, use_reentrant=False)"),
     "where the shape was [2, 8] in forward, it is [2, 11]"),
    ("""def attend(layers, x, cache):
    def block(layer, x):
        cache.append(layer(x).detach())
        keys = torch.cat(cache)
        return (x @ keys.T).softmax(dim=-1) @ keys

    for layer in layers:
        x = checkpoint(block, layer, x, use_reentrant=True)
    return x""",
     "After backward, the cache has 5 entries, and had 3 before"),
    (attend(inside="cache.append(key)", read="*cache", outside="",
            call="checkpoint(block, layer, x, use_reentrant=False, determinism_check='none')"),
     "A second run gave other tensors, and nothing compared them"),
    (attend(outside=""), "other numbers"),
    (attend(outside="", call="checkpoint(block, layer, x, *cache, *others, use_reentrant=False); others = [*others, key]"
            ).replace("    for layer", "    others = []\n    for layer"), "the cache has 1 entries after the call"),
    (attend(call="block(layer, x, *cache)"), "not each one is in a checkpoint"),
    (attend(detach="", outside="cache.append(key)"), "cache[1] is tracked: it holds a graph"),
    (attend(read="*cache, key", call="checkpoint(block, layer, x, use_reentrant=True)", outside="cache.append(key.detach())"),
     "x.grad has other numbers"),
    (attend(call="checkpoint(block, layer, x, *cache, use_reentrant=True)"), "cache[1] is tracked: it holds a graph"),
])

STEP = """
def train_step(net, optimizer, x, target):
    {before}
    y = {y}
    size, error = y.square().mean(), (y - target).abs().mean()
    optimizer.zero_grad()
    {backward}
    optimizer.step()
"""


def step(backward="(size + error).backward()", y="net(x)", before=""):
    return STEP.format(backward=backward, y=y, before=before)


TWO = "size.backward(retain_graph=True); error.backward()"

right("14.5", [
    step("torch.autograd.backward([size, error])"),
    step("y.backward(torch.autograd.grad(size + error, here)[0])", y="net(x); here = y.detach().requires_grad_()").replace(
        "y.square().mean(), (y -", "here.square().mean(), (here -"),
])

wrong("14.5", [
    (step(TWO), "compiled with non-empty donated buffers", "line 7: size.backward(retain_graph=True)"),
    (step("size.backward(); error.backward()"), "Trying to backward through the graph a second time"),
    (step(TWO, before="torch._functorch.config.donated_buffer = False"), "donation is switched off now"),
    (step(TWO, y="net._orig_mod(x)"), "the compiled net was not called"),
    (step("size.backward()"), "other weights than after one step on the sum"),
    (step("error.backward()", before="net(x).square().mean().backward()"), "other weights than after one step on the sum"),
    (step("size.backward(); (net(x) - target).abs().mean().backward()"), "net was called 2 times"),
    (step(TWO, before="torch.compiler.reset()"), "a backward pass retained its graph"),
    (step("torch.autograd.grad(size + error, list(net.parameters()))"), "net has the weights that it had before"),
])
