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
     "second.weight, second.bias, shortcut.weight, shortcut.bias"),
    (FORWARD.format(second=SECOND, out="net.last(h)"), "back to shortcut.weight, shortcut.bias"),
    (FORWARD.format(second=SECOND, out="net.last(h + net.shortcut(x).detach())"), "back to shortcut.weight, shortcut.bias"),
    (FORWARD.format(second=SECOND, out=OUT + ".detach()"), "not tracked"),
    (FORWARD.format(second="net.second(h)", out=OUT), "needs its relu"),
    (FORWARD.format(second="net.second(h + net.shortcut(x)).relu()", out="net.last(h)"), "too early"),
    (FORWARD.format(second="(net.second(h) + net.shortcut(x)).relu()", out="net.last(h)"), "before the second relu"),
    (FORWARD.format(second=SECOND, out="net.last(h + net.shortcut(x).relu())"), "no relu"),
    (FORWARD.format(second=SECOND, out="net.last(h - net.shortcut(x))"), "other numbers"),
])

right("10.2", ["""
def head_only(net):
    for name, parameter in net.named_parameters():
        parameter.requires_grad = name.startswith("head.")
    return torch.optim.SGD([parameter for parameter in net.parameters() if parameter.requires_grad], lr=0.1)
"""])

wrong("10.2", [
    (HEAD.format(freeze="net.requires_grad = False", head="net.head.requires_grad = True", returned=OF_HEAD), "underscore"),
    (HEAD.format(freeze=FREEZE, head="net.head.requires_grad = True", returned=OF_HEAD), "the head too"),
    (HEAD.format(freeze="net.stem.requires_grad_(False)", head="", returned=OF_HEAD), "still tracked: blocks.0.weight"),
    (HEAD.format(freeze=FREEZE, head="net.head.weight.requires_grad_(True)", returned=OF_HEAD), "part of the head"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned="net"), "Return an optimizer"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned="torch.optim.SGD(net.head.parameters(), lr=0.01)"), "lr=0.1"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned=SGD.format("net.stem.parameters()")), "must get those of the head"),
    (HEAD.format(freeze=FREEZE, head=UNFREEZE, returned=SGD.format("net.parameters()")), "frozen ones too"),
])

wrong("10.3", [
    (DEEP.format(x="layer(x).sigmoid()", returned="x"), "add x to what each layer makes"),
    (DEEP.format(x="layer(x).sigmoid()", returned="start + x"), "around all layers"),
    (DEEP.format(x="x + layer(x)", returned="x"), "sigmoid is missing"),
    (DEEP.format(x="(x + layer(x)).sigmoid()", returned="x"), "goes around x too"),
    (DEEP.format(x="x + layer(x).sigmoid()", returned="x.detach()"), "not tracked"),
    (DEEP.format(x="x.detach() + layer(x).sigmoid()", returned="x"), "a way back is cut off"),
    (DEEP.format(x="x + layer(x.detach()).sigmoid()", returned="x"), "a way back is cut off"),
    (DEEP.format(x="layer(x).relu() + x", returned="x"), "other numbers"),
    (DEEP.format(x="x + layers[0](x).sigmoid()", returned="x"), "all layers"),
])

wrong("10.4", [
    (THRIFTY.format(**PLAIN), "No part was run again"),
    (THRIFTY.format(**{**PLAIN, "middle": AGAIN["middle"]}), "Run again in backward: middle."),
    (THRIFTY.format(**AGAIN), "Run again in backward: stem, middle, head."),
    (THRIFTY.format(**{**PLAIN, "stem": "checkpoint(net.stem, x, use_reentrant=True)"}), "weights are lost"),
    (THRIFTY.format(**{**PLAIN, "stem": "net.stem(x).detach()"}), "weights are lost"),
    (THRIFTY.format(**{**PLAIN, "stem": "(checkpoint(net.stem, x, use_reentrant=False), net.stem(x))[1]"}), "still saved"),
    (THRIFTY.format(**{**PLAIN, "head": "x"}), "has the shape"),
])
