"""Answers to the exercises of notebook 06."""

from answers import wrong

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

wrong("06.1", [
    (SEQUENCE.format(again="", backward="cat_loss.backward(); car_loss.backward()"), "a second time"),
    (SEQUENCE.format(again="", backward="cat_loss.backward(retain_graph=True); car_loss.backward()"),
     "ran backward 2 times"),
    (SEQUENCE.format(again="features = trunk(data).tanh()", backward="cat_loss.backward(); car_loss.backward()"),
     "ran forward 2 times"),
    (SEQUENCE.format(again="", backward="car_loss.backward()"), "car_loss alone"),
    (SEQUENCE.format(again="", backward="(0.5 * (cat_loss + car_loss)).backward()"), "other numbers"),
])

wrong("06.2", [
    (READER.format(after_trunk="", cat=CAT, car=CAR), "still trains the trunk"),
    (READER.format(after_trunk="", cat=CAT, car=CAR + ".detach()"), "cut its input, and not its loss"),
    (READER.format(after_trunk="", cat=CAT + ".detach()", car=CAR_CUT), "do not cut its loss"),
    (READER.format(after_trunk=".detach()", cat=CAT, car=CAR), "The trunk learns nothing"),
    (READER.format(after_trunk="", cat=CAT_CUT, car=CAR), "wrong branch is cut"),
    (READER.format(after_trunk="; car.requires_grad_(False)", cat=CAT, car=CAR), "freezes a layer"),
    (READER.format(after_trunk="", cat=CAT, car="0"), "other numbers"),
    ("def total_loss(trunk, cat, car, data):\n"
     "    features = trunk(data).tanh()\n"
     f"    loss = {CAT} + {CAR_CUT}\n"
     "    loss.backward()\n"
     "    return loss", "do not call backward"),
])

wrong("06.3", [
    (FORK.format(j="features", each="branch(j).square().mean().backward(retain_graph=True)", end=""),
     "ran backward 3 times"),
    (FORK.format(j="features", each="branch(trunk(data)).square().mean().backward()", end=""), "ran forward 4 times"),
    (FORK.format(j="features.detach().requires_grad_()", each=EACH, end=""), "send j.grad through the trunk"),
    (FORK.format(j="features.detach()", each=EACH, end=END), "j.grad is filled"),
    (FORK.format(j="features.detach().requires_grad_()", each="j.grad = None; " + EACH, end=END), "one branch alone"),
    (FORK.format(j="features", each="pass", end="sum(branch(j).square().mean() for branch in branches).backward()"),
     "two branches were alive together"),
    (FORK.format(j="features.detach().requires_grad_()", each=EACH, end="features.backward(torch.ones_like(j))"),
     "other numbers"),
])
