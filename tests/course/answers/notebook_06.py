"""Answers to the exercises of notebook 06."""

from answers import right, wrong

SEQUENCE = """
def trunk_gradient(trunk, cat, car, data):
    features = trunk(data).tanh()
    cat_loss = cat(features).square().mean()
    {again}
    car_loss = car(features).square().mean()
    {backward}
    return trunk.weight.grad
"""

READER = """
def total_loss(trunk, cat, car, data):
    features = trunk(data).tanh(){after_trunk}
    return {cat} + {car}
"""
CAT, CAR = "cat(features).square().mean()", "car(features).square().mean()"
CAT_CUT, CAR_CUT = "cat(features.detach()).square().mean()", "car(features.detach()).square().mean()"

FORK = """
def at_the_fork(trunk, branches, data):
    features = trunk(data)
    j = {j}
    for branch in branches:
        {each}
    {end}
    return trunk.weight.grad
"""
EACH, END = "branch(j).square().mean().backward()", "features.backward(j.grad)"

right("06.1", ["""
def trunk_gradient(trunk, cat, car, data):
    features = trunk(data).tanh()
    losses = [branch(features).square().mean() for branch in (cat, car)]
    torch.autograd.backward(losses)
    return trunk.weight.grad
""", """
def trunk_gradient(trunk, cat, car, data):
    features = trunk(data).tanh()
    j = features.detach().requires_grad_()
    for branch in (cat, car):
        branch(j).square().mean().backward()
    features.backward(j.grad)
    return trunk.weight.grad
"""])

wrong("06.1", [
    (SEQUENCE.format(again="", backward="cat_loss.backward(); car_loss.backward()"), "a second time",
     "line 7: cat_loss.backward(); car_loss", "✗ result: backward needs it, and it was freed; made by line 3"),
    (SEQUENCE.format(again="", backward="cat_loss.backward(retain_graph=True); car_loss.backward()"),
     "ran backward 2 times", "line 7: cat_loss", "trunk.weight; leaf (4, 3) float64; used transposed; .grad (4, 3)"),
    (SEQUENCE.format(again="features = trunk(data).tanh()", backward="cat_loss.backward(); car_loss.backward()"),
     "ran forward 2 times"),
    (SEQUENCE.format(again="", backward="car_loss.backward()"), "car_loss alone", "car_loss from [9]"),
    (SEQUENCE.format(again="", backward="(0.5 * (cat_loss + car_loss)).backward()"), "other numbers"),
])

wrong("06.2", [
    (READER.format(after_trunk="", cat=CAT, car=CAR), "two ways lead from the loss to trunk.weight",
     "trunk.weight; leaf (4, 3) float64; .grad None; ✗ both losses come here"),
    (READER.format(after_trunk="", cat=CAT, car=CAR + ".detach()"), "car.weight gets no gradient",
     "car.weight; leaf (1, 4) float64; .grad None; not in this graph; ✗ not reached"),
    (READER.format(after_trunk="", cat=CAT + ".detach()", car=CAR_CUT), "trunk.weight gets no gradient",
     "trunk.weight; leaf (4, 3) float64; .grad None; ✗ not reached", "to car (no gradient)"),
    (READER.format(after_trunk=".detach()", cat=CAT, car=CAR), "trunk.weight gets no gradient",
     "trunk.weight; leaf (4, 3) float64; .grad None; not in this graph; ✗ not reached"),
    (READER.format(after_trunk="", cat=CAT_CUT, car=CAR), "trains the trunk, and \"cat?\" does not",
     "✗ only car? comes here"),
    (READER.format(after_trunk="; car.requires_grad_(False)", cat=CAT, car=CAR), "car.weight is not tracked any more"),
    (READER.format(after_trunk="", cat=CAT, car="0"), "other numbers"),
    ("def total_loss(trunk, cat, car, data):\n"
     "    features = trunk(data).tanh()\n"
     f"    loss = {CAT} + {CAR_CUT}\n"
     "    loss.backward()\n"
     "    return loss", "what its graph had saved is freed", "7 saved tensors: 7 freed"),
])

right("06.3", ["""
def at_the_fork(trunk, branches, data):
    features, sent = trunk(data), 0
    for branch in branches:
        j = features.detach().requires_grad_()
        branch(j).square().mean().backward()
        sent = sent + j.grad
    features.backward(sent)
    return trunk.weight.grad
"""])

wrong("06.3", [
    (FORK.format(j="features", each="branch(j).square().mean().backward(retain_graph=True)", end=""),
     "ran backward 3 times", "line 6: branch(j)", "trunk.weight; leaf (3, 4) float64; used transposed; .grad (3, 4)"),
    (FORK.format(j="features", each="branch(trunk(data)).square().mean().backward()", end=""), "ran forward 4 times"),
    (FORK.format(j="features.detach().requires_grad_()", each=EACH, end=""), "no gradient came to trunk.weight"),
    (FORK.format(j="features.detach()", each=EACH, end=END), "it got None", "line 7: features.backward(j.grad)"),
    (FORK.format(j="features.detach().requires_grad_()", each="j.grad = None; " + EACH, end=END), "one branch alone"),
    (FORK.format(j="features", each="pass", end="sum(branch(j).square().mean() for branch in branches).backward()"),
     "branches[1] ran forward before", "1 saved 160 B alive"),
    (FORK.format(j="features.detach().requires_grad_()", each=EACH, end="features.backward(torch.ones_like(j))"),
     "other numbers"),
])
