"""Answers to the exercises of notebook 10."""

from answers import right, wrong

FORWARD = """
def forward(net, x):
    h = net.first(x).relu()
    h = {second}
    return {out}
"""
SECOND, OUT = "net.second(h).relu()", "net.last(h + net.shortcut(x))"

HEAD = """
def head_only(net):
    {freeze}
    {head}
    return {returned}
"""
FREEZE, UNFREEZE = "net.requires_grad_(False)", "net.head.requires_grad_(True)"
SGD = "torch.optim.SGD({}, lr=0.1)"
OF_HEAD = SGD.format("net.head.parameters()")

DEEP = """
def deep(layers, x):
    start = x
    for layer in layers:
        x = {x}
    return {returned}
"""

STEP = """
def step(net, optimizer, parts):
    {clear}
    for x, t in parts:
        nn.functional.mse_loss(net(x), t).backward()
        {each}
    {clip}
    optimizer.step()
    {after}
"""
CLEAR, CLIP = "optimizer.zero_grad()", "nn.utils.clip_grad_norm_(net.parameters(), 1.0)"

THRIFTY = """
def thrifty(net, x):
    x = {stem}
    x = {middle}
    return {head}
"""
PLAIN = {part: f"net.{part}(x)" for part in ("stem", "middle", "head")}
AGAIN = {part: f"checkpoint(net.{part}, x, use_reentrant=False)" for part in PLAIN}

right("10.1", ["def forward(net, x): return net.last(net.shortcut(x) + net.second(net.first(x).relu()).relu())"])

wrong("10.1", [
    (FORWARD.format(second="net.first(x).relu()", out="net.last(h)"),
     "back to second.weight, second.bias, shortcut.weight, shortcut.bias", "4 parameters are not reached",
     "last Linear from [5]"),
    (FORWARD.format(second=SECOND, out="net.last(h)"), "back to shortcut.weight, shortcut.bias", "second Linear from"),
    (FORWARD.format(second=SECOND, out="net.last(h + net.shortcut(x).detach())"), "back to shortcut.weight, shortcut.bias"),
    (FORWARD.format(second=SECOND, out=OUT + ".detach()"), "not tracked"),
    (FORWARD.format(second="net.second(h)", out=OUT),
     "go on without a relu", "second Linear (5, 4), shortcut Linear (5, 4); ✗ here the shortcut is added"),
    (FORWARD.format(second="net.second(h + net.shortcut(x)).relu()", out="net.last(h)"),
     "in front of the second layer", "[5] (5, 4), shortcut Linear (5, 4); ✗ here"),
    (FORWARD.format(second="(net.second(h) + net.shortcut(x)).relu()", out="net.last(h)"),
     "through the second relu too", "ReluBackward0 from"),
    (FORWARD.format(second=SECOND, out="net.last(h + net.shortcut(x).relu())"), "a relu of its own", "✗ here the shortcut"),
    (FORWARD.format(second=SECOND, out="net.last(h - net.shortcut(x))"), "other numbers"),
])

right("10.2", ["""
def head_only(net):
    for name, parameter in net.named_parameters():
        parameter.requires_grad = name.startswith("head.")
    return torch.optim.SGD([parameter for parameter in net.parameters() if parameter.requires_grad], lr=0.1)
"""])

wrong("10.2", [
    (HEAD.format(freeze="net.requires_grad = False", head="net.head.requires_grad = True", returned=OF_HEAD),
     "8 of 8 parameters are tracked, also stem.weight",
     "stem Linear; [4] AddmmBackward0; bias (4,); weight (4, 3); 1 saved 60 B alive; ✗ still tracked"),
    (HEAD.format(freeze=FREEZE, head="net.head.requires_grad = True", returned=OF_HEAD), "the head is frozen too"),
    (HEAD.format(freeze="net.stem.requires_grad_(False)", head="", returned=OF_HEAD),
     "also blocks.0.weight, blocks.0.bias, blocks.1.weight, blocks.1.bias",
     "blocks Sequential; 8 nodes, 4 leaves; 3 saved 224 B alive; ✗ [1]: still tracked"),
    (HEAD.format(freeze=FREEZE, head="net.head.weight.requires_grad_(True)", returned=OF_HEAD), "only head.weight is tracked"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned="net"), "of type Module, and no optimizer"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned="torch.optim.SGD(net.head.parameters(), lr=0.01)"), "SGD with lr=0.01"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned=SGD.format("net.stem.parameters()")),
     "2 parameters, and not both of the head"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned=SGD.format("net.parameters()")), "8 parameters, 6 of them are frozen"),
])

wrong("10.3", [
    (DEEP.format(x="layer(x).sigmoid()", returned="x"), "through all 12 sigmoids",
     "[6] SigmoidBackward0 from layers.0 Linear (4, 8); 1 saved 128 B alive; ✗ no way leads around it"),
    (DEEP.format(x="layer(x).sigmoid()", returned="start + x"), "around all layers together"),
    (DEEP.format(x="x + layer(x)", returned="x"), "no sigmoid any more"),
    (DEEP.format(x="(x + layer(x)).sigmoid()", returned="x"), "ends in front of the sigmoid", "SigmoidBackward0 from ["),
    (DEEP.format(x="x + layer(x).sigmoid()", returned="x.detach()"), "not tracked"),
    (DEEP.format(x="x.detach() + layer(x).sigmoid()", returned="x"), "a way back is cut off", "out from"),
    (DEEP.format(x="x + layer(x.detach()).sigmoid()", returned="x"), "a way back is cut off", "out from"),
    (DEEP.format(x="layer(x).relu() + x", returned="x"), "other numbers"),
    (DEEP.format(x="x + layers[0](x).sigmoid()", returned="x"), "back to 22 of the 24 parameters"),
])

wrong("10.4", [
    (THRIFTY.format(**PLAIN), "runs no part again: 5,120", "stem Sequential; 9 nodes, 4 leaves; 4 saved 11,360 B"),
    (THRIFTY.format(**{**PLAIN, "middle": AGAIN["middle"]}), "runs middle again: 4,120 numbers"),
    (THRIFTY.format(**AGAIN), "runs stem and middle and head again"),
    (THRIFTY.format(**{**PLAIN, "stem": "checkpoint(net.stem, x, use_reentrant=True)"}),
     "4 parameters get no gradient: stem.0.weight, stem.0.bias, stem.2.weight"),
    (THRIFTY.format(**{**PLAIN, "stem": "net.stem(x).detach()"}),
     "4 parameters get no gradient: stem.0.weight, stem.0.bias, stem.2.weight"),
    (THRIFTY.format(**{**PLAIN, "stem": "(checkpoint(net.stem, x, use_reentrant=False), net.stem(x))[1]"}),
     "its first run is in the graph too"),
    (THRIFTY.format(**{**PLAIN, "head": "x"}), "has the shape"),
])

right("10.5", ["""
def step(net, optimizer, parts):
    loss = sum(nn.functional.mse_loss(net(x), t) for x, t in parts)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(list(net.parameters()), max_norm=1.0, error_if_nonfinite=True)
    optimizer.step()
"""])

wrong("10.5", [
    (STEP.format(clear=CLEAR, each=CLIP, clip="", after=""),
     "[0.12, 0.99] for the parts in one order, and [0.99, 0.16] in the other"),
    (STEP.format(clear=CLEAR, each=CLIP, clip=CLIP, after=""), "in one order"),
    (STEP.format(clear=CLEAR, each="", clip="", after=CLIP), "its length is 10"),
    (STEP.format(clear=CLEAR + "; " + CLIP, each="", clip="", after=""), "its length is 10"),
    (STEP.format(clear="", each="", clip="", after=CLIP), "earlier step"),
    (STEP.format(clear="", each="", clip=CLIP, after=""), "The step has other numbers"),
    (STEP.format(clear=CLEAR, each="", clip="nn.utils.clip_grad_value_(net.parameters(), 1.0)", after=""),
     "[1.0, 1.0], its length is 1.414"),
    (STEP.format(clear=CLEAR, each="", clip=CLEAR, after=""), "The weights are as before"),
])
