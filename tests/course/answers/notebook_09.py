"""Answers to the exercises of notebook 09."""

from answers import right, wrong

ROUND = """
def round_to(x, step):
    class RoundTo(Function):
        @staticmethod
        def forward(ctx, x, step):
            return {forward}

        @staticmethod
        def backward(ctx, gradient):
            {backward}
    return {returned}
"""
NEAREST, APPLY = "(x / step).round() * step", "RoundTo.apply(x, step)"

BUMP = """
def bump(x):
    {outside}
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            {save}
            return 1 / (1 + x ** 2)

        @staticmethod
        def backward(ctx, gradient):
            {load}
            return {gradient}
    return Bump.apply(x)
"""
SAVE, LOAD, SLOPE = "ctx.save_for_backward(x)", "x, = ctx.saved_tensors", "-2 * x / (1 + x ** 2) ** 2 * gradient"

LOSS = """
def penalised_loss(net, data):
    x = {x}
    out = net({given})
    slope, = torch.autograd.grad({start}, x, {options})
    {between}
    return {loss}
"""
X, SUM, CREATE = "data.clone().requires_grad_()", "out.sum()", "create_graph=True"
FIT, ROWS = "out.square().mean()", "(slope.norm(dim=1) - 1).square().mean()"

TIMES = """
def hessian_times(f, x, v):
    gradient, = torch.autograd.grad(f(x), x, {options})
    return {returned}
"""

right("09.1", [
    "def round_to(x, step): return x + ((x / step).round() * step - x).detach()",
    "def round_to(x, step): return x - x.detach() + torch.floor(x / step + 0.5).detach() * step",
    """
def round_to(x, step):
    class RoundTo(Function):
        @staticmethod
        def forward(x, step):
            return torch.round(x / step) * step

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None
    return RoundTo.apply(x, step)""",
    """
class Round(Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient

def round_to(x, step):
    return Round.apply(x / step) * step""",
    """
def round_to(x, step):
    y = x.clone()
    with torch.no_grad():
        y.copy_((x / step).round() * step)
    return y""",
    """
def round_to(x, step):
    class RoundTo(Function):
        @staticmethod
        def forward(ctx, x):
            return (x / step).round() * step

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient.clone()
    return RoundTo.apply(x)""",
])

OWN = "[2] RoundToBackward from [1]; ✗ "

wrong("09.1", [
    ("def round_to(x, step):\n    return (x / step).round() * step", "gradient of x is 0 everywhere",
     "line 2: return (x / step)", "[3] RoundBackward0 from [2]; ✗ sends 0 on"),
    ("def round_to(x, step): return x.round()", "With step = 0.5, the result has whole numbers"),
    ("def round_to(x, step): return ((x / step).round() * step).detach()", "not tracked"),
    ("def round_to(x, step): return ((x / step).round() * step).detach().requires_grad_()", "No gradient comes to x",
     "\nx; leaf (4,) float64; .grad None; not in this graph; ✗ no gradient comes here"),
    (ROUND.format(forward=NEAREST, backward="return gradient", returned=APPLY),
     "forward has 2 inputs, and backward returns 1", OWN + "its backward failed"),
    (ROUND.format(forward=NEAREST, backward="return torch.ones_like(gradient), None", returned=APPLY),
     "1 everywhere, whatever gradient comes in", OWN + "sends 1 on"),
    (ROUND.format(forward=NEAREST, backward="pass", returned=APPLY), "forward has 2 inputs, and backward returns 1"),
    (ROUND.format(forward=NEAREST, backward="return None, None", returned=APPLY), "No gradient comes to x"),
    (ROUND.format(forward=NEAREST, backward="return None, gradient", returned=APPLY),
     "a gradient for an input of forward that is no tensor", OWN + "its backward failed"),
    (ROUND.format(forward=NEAREST, backward="return gradient.round(), None", returned=APPLY), "is rounded",
     OWN + "rounds the gradient"),
    (ROUND.format(forward=NEAREST, backward="return gradient * ctx.step, None", returned=APPLY),
     "backward raised AttributeError", "line 10: return gradient * ctx.step", OWN + "its backward failed"),
    (ROUND.format(forward=NEAREST, backward="return gradient.mul_(2), None", returned=APPLY), "in place",
     OWN + "changes the gradient that it gets"),
    (ROUND.format(forward=NEAREST, backward="while True: pass", returned=APPLY), "does not end"),
    (ROUND.format(forward=NEAREST, backward="return gradient, None", returned="RoundTo"), "is the class RoundTo, and"),
    (ROUND.format(forward=NEAREST, backward="return gradient, None", returned="RoundTo()"), "an object of the class RoundTo"),
    (ROUND.format(forward="(x / step).round()", backward="return gradient, None", returned=APPLY),
     "counts the steps: with step = 0.5, -1.3 became -3"),
    ("def round_to(x, step): return x / step + ((x / step).round() * step - x / step).detach()",
     "a factor that comes from step", "[2] DivBackward0"),
    ("def round_to(x, step): return x + (x / step).round().detach() * step", "other numbers"),
])

right("09.2", [
    """
class Bump(Function):
    @staticmethod
    def forward(x):
        return 1 / (1 + x ** 2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return -2 * x / (1 + x.square()).square() * gradient

def bump(x):
    return Bump.apply(x)""",
    """
def bump(x):
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            y = 1 / (1 + x ** 2)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, gradient):
            x, y = ctx.saved_tensors
            return -2 * x * y * y * gradient
    return Bump.apply(x)""",
    """
def bump(x):
    class Bump(Function):
        @staticmethod
        def forward(x):
            u = 1 + x ** 2
            return 1 / u

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0], output)

        @staticmethod
        def backward(ctx, gradient):
            x, y = ctx.saved_tensors
            return gradient * -2 * x * y ** 2
    y = Bump.apply(x)
    return y""",
    """
def bump(x):
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.two = 2
            return 1 / (1 + x ** 2)

        @staticmethod
        def backward(ctx, gradient):
            x, = ctx.saved_tensors
            x = x.detach().requires_grad_()
            with torch.enable_grad():
                y = 1 / (1 + x ** ctx.two)
            return torch.autograd.grad(y, x, gradient)[0]
    gradcheck(Bump.apply, torch.randn(3, requires_grad=True))
    return Bump.apply(x)""",
    """
def bump(x):
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            u = 1 + x ** 2
            ctx.save_for_backward(-2 * x / u ** 2)
            return 1 / u

        @staticmethod
        def backward(ctx, gradient):
            return ctx.saved_tensors[0] * gradient
    return Bump.apply(x)""",
])

wrong("09.2", [
    (BUMP.format(outside="", save="ctx.x = x", load="x = ctx.x", gradient="-2 * x / (1 + x ** 2) * gradient"),
     "At x = 2, the slope of forward is -0.16. backward says -0.8",
     "[2] BumpBackward from [1]; ✗ forward and backward do not fit"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="-2 * x / (1 + x ** 2) * gradient"), "backward says -0.8",
     "tensors[0] = x (5,) float64 40 B alive; ✗ forward and backward do not fit"),
    (BUMP.format(outside="", save="ctx.x = x", load="x = ctx.x", gradient=SLOPE), "changed x in place",
     "[3] BumpBackward from [2]; ✗ has not noticed that x changed"),
    (BUMP.format(outside="", save="ctx.x = x.detach()", load="x = ctx.x", gradient=SLOPE), "changed x in place"),
    (BUMP.format(outside="", save="ctx.x = x.clone()", load="x = ctx.x", gradient=SLOPE), "still in memory",
     "[3] BumpBackward from [2]; tensors freed; ✗ still holds it"),
    (BUMP.format(outside="outer = x", save="pass", load="x = outer.detach()", gradient=SLOPE), "changed x in place"),
    (BUMP.format(outside="outer = x.detach().clone()", save="pass", load="x = outer", gradient=SLOPE), "still in memory"),
    (BUMP.format(outside="", save=SAVE, load="x, = ctx.saved_tensors; ctx.x = x", gradient=SLOPE), "still in memory"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="-2 * x / (1 + x ** 2) ** 2"),
     "the same numbers, whatever gradient", "✗ does not use the gradient that it gets"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="2 * x / (1 + x ** 2) ** 2 * gradient"), "backward says 0.595",
     "✗ forward and backward do not fit"),
    (BUMP.format(outside="", save=SAVE, load="x = ctx.saved_tensors", gradient=SLOPE), "'tuple' and 'int'", "line 13: return",
     "✗ its backward failed"),
    (BUMP.format(outside="", save="pass", load=LOAD, gradient=SLOPE), "backward raised ValueError",
     "line 12: x, = ctx.saved_tensors", "[2] BumpBackward from [1]; ✗ its backward failed"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="None"), "returns None for it",
     "\nx; leaf (5,) float64; .grad None; ✗ no gradient comes here"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient=SLOPE).replace("Bump.apply(x)", "Bump(x)"),
     "an object of the class Bump, and no tensor"),
    ("def bump(x): return 1 / (1 + x ** 2)", "from nodes of PyTorch, and not from a Function", "[4] ReciprocalBackward0"),
    ("def bump(x): return (1 / (1 + x ** 2)).detach()", "not tracked"),
    ("""
def bump(x):
    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.y = 1 / (1 + x ** 2)
            return ctx.y

        @staticmethod
        def backward(ctx, gradient):
            x, = ctx.saved_tensors
            return -2 * x * ctx.y ** 2 * gradient
    return Bump.apply(x)""", "changed y in place", "✗ has not noticed that y changed"),
])

right("09.3", [
    LOSS.format(x="data.detach().requires_grad_()", given="x", start="out", options="torch.ones(5, 1), create_graph=True",
                between="", loss=f"{FIT} + {ROWS}"),
    LOSS.format(x="data.requires_grad_()", given="x", start=SUM, options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
    LOSS.format(x=X, given="x", start="net(x).sum()", options=CREATE, between="",
                loss="((slope.square().sum(1).sqrt() - 1) ** 2).mean() + net(data).pow(2).mean()"),
    """
def penalised_loss(net, data):
    slope = torch.func.vmap(torch.func.grad(lambda row: net(row).squeeze()))(data)
    return net(data).square().mean() + ((slope.norm(dim=1) - 1) ** 2).mean()""",
    """
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    out.sum().backward(create_graph=True, inputs=[x])
    return (out ** 2).mean() + ((x.grad.norm(dim=1) - 1) ** 2).mean()""",
    """
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    penalties = []
    for i in range(len(x)):
        slope, = torch.autograd.grad(out[i, 0], x, create_graph=True)
        penalties.append((slope[i].norm() - 1) ** 2)
    return out.square().mean() + torch.stack(penalties).mean()""",
])

wrong("09.3", [
    (LOSS.format(x=X, given="x", start=SUM, options="retain_graph=True", between="", loss=f"{FIT} + {ROWS}"),
     "The penalty is in the loss, and no weight gets a gradient from it", "(2) 3 nodes from out;",
     "✗ no way leads from here through the slope"),
    (LOSS.format(x=X, given="x", start=SUM, options="retain_graph=True", between="", loss=f"{FIT} + (slope.norm() - 1) ** 2"),
     "one norm, over all rows"),
    (LOSS.format(x=X, given="x", start=SUM, options="", between="", loss=f"{FIT} + {ROWS}"),
     "whose saved tensors were freed before", "line 5: slope, =", "✗ [8] self: freed by an earlier backward"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="slope = slope.detach()", loss=f"{FIT} + {ROWS}"),
     "The penalty is in the loss, and no weight gets a gradient from it", "✗ no way leads from here through the slope"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"{FIT} + (slope.norm() - 1) ** 2"),
     "one norm, over all rows"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=0) - 1).square().mean()"), "a norm for each column"),
    (LOSS.format(x=X, given="x", start="out.mean()", options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "are divided by the number of rows"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=1) - 1).square().sum()"), "are added up"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=1).mean() - 1) ** 2"), "averaged first, and squared after that"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=ROWS), "The loss is the penalty alone"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=FIT), "the mean square of the output alone"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"{FIT}.detach() + {ROWS}"),
     "The mean square is in the loss, and no weight", "✗ no way leads from here through the mean square"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"({FIT} + {ROWS}).item()"),
     "not tracked"),
    (LOSS.format(x="data", given="x", start=SUM, options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "One of the differentiated Tensors does not require grad", "line 5: slope, =", "out from [7]"),
    (LOSS.format(x=X, given="data", start=SUM, options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "appears to not have been used", "line 5: slope, =", "out from [7]"),
    (LOSS.format(x=X, given="x", start="out", options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "only for scalar outputs", "line 5: slope, ="),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    out.sum().backward(create_graph=True)
    net.zero_grad()
    return out.square().mean() + (x.grad.norm(dim=1) - 1).square().mean()""",
     "added to the .grad of net.2.weight", "line 5: out.sum()"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="out = out.detach(); slope = x + slope.detach() - x",
                 loss=f"{FIT} + {ROWS}"), "No way leads from the loss back", "✗ no way leads from here to net"),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    out.sum().backward(create_graph=True)
    return out.square().mean() + (x.grad.norm(dim=1) - 1).square().mean()""",
     "added to the .grad of net.2.weight", "line 5: out.sum()"),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    slope, = torch.autograd.grad(out.sum(), x, create_graph=True)
    loss = out.square().mean() + (slope.norm(dim=1) - 1).square().mean()
    loss.backward()
    return loss""", "added to the .grad of net.2.weight", "line 7: loss.backward()"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="net.zero_grad()", loss=f"{FIT} + {ROWS}"),
     "The .grad of net.0.weight is not what it was"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="net.requires_grad_(False)", loss=f"{FIT} + {ROWS}"),
     "not tracked any more"),
])

right("09.4", [
    TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient @ v, x)[0]"),
    TIMES.format(options=CREATE, returned="torch.autograd.grad((gradient * v).sum(), x, create_graph=True)[0]"),
    "def hessian_times(f, x, v): return torch.func.jvp(torch.func.grad(f), (x,), (v,))[1]",
    "def hessian_times(f, x, v): return torch.func.vjp(torch.func.grad(f), x)[1](v)[0]",
    "def hessian_times(f, x, v): return torch.func.grad(lambda z: torch.func.grad(f)(z) @ v)(x)",
    "def hessian_times(f, x, v): return torch.func.grad(lambda z: torch.func.jvp(f, (z,), (v,))[1])(x)",
    "def hessian_times(f, x, v): return torch.autograd.functional.hvp(f, x, v)[1]",
    "def hessian_times(f, x, v): return torch.autograd.functional.vhp(f, x, v)[1]",
    """
def hessian_times(f, x, v):
    z = x.detach().requires_grad_()
    f(z).backward(create_graph=True, inputs=[z])
    gradient, z.grad = z.grad, None
    gradient.backward(v, inputs=[z])
    return z.grad""",
])

wrong("09.4", [
    (TIMES.format(options="", returned="torch.autograd.grad(gradient, x, v)[0]"), "element 0 of tensors does not require grad",
     "line 4: return", "\ngradient; not tracked"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient, x)[0]"), "only for scalar outputs", "line 4: return"),
    (TIMES.format(options=CREATE, returned="gradient"), "The result is the gradient of f."),
    (TIMES.format(options=CREATE, returned="gradient @ v"), "The result is the gradient of f, times v"),
    (TIMES.format(options=CREATE, returned="gradient * v"), "The result is the gradient of f, times v"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.sum(), x)[0]"),
     "The result is H · (1, 1, …, 1), and not H · v"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.sum(), x)[0] * v"), "and then times v"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient, x, v)"), "of type tuple"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.norm() * v.norm(), x)[0]"), "other numbers"),
    (TIMES.format(options=CREATE,
                  returned="torch.stack([torch.autograd.grad(g, x, retain_graph=True)[0] for g in gradient]) @ v"),
     "61 backward passes ran", "line 4: return torch.stack", "g from (1)"),
    (TIMES.format(options=CREATE,
                  returned="torch.stack([torch.autograd.grad(g, x, retain_graph=True)[0] @ v for g in gradient])"),
     "61 backward passes ran", "line 4: return torch.stack"),
    ("def hessian_times(f, x, v): return torch.func.hessian(f)(x) @ v", "a tensor with 3,600 numbers was in memory"),
    ("def hessian_times(f, x, v): return torch.autograd.functional.hessian(f, x) @ v", "61 backward passes ran"),
    ("""
def hessian_times(f, x, v):
    f(x).backward(create_graph=True)
    (x.grad @ v).backward()
    return x.grad""", "what was in x.grad before is added"),
    ("""
def hessian_times(f, x, v):
    gradient, = torch.autograd.grad(f(x), x, create_graph=True)
    (gradient @ v).backward()
    return x.grad""", "what was in x.grad before is added"),
    ("""
def hessian_times(f, x, v):
    z = x.detach().requires_grad_()
    gradient, = torch.autograd.grad(f(z), z, create_graph=True)
    (gradient @ v).backward()
    return z.grad""", "added to the .grad of a weight in f", "line 5: (gradient @ v).backward()"),
    ("""
def hessian_times(f, x, v):
    f(x).backward(create_graph=True, inputs=[x])
    gradient, x.grad = x.grad, None
    return torch.autograd.grad(gradient @ v, x)[0]""", "added to the .grad of x", "line 3: f(x).backward"),
    ("""
def hessian_times(f, x, v):
    while True:
        f(x)""", "f was called more than 180 times", "line 4: f(x)"),
    ("""
def hessian_times(f, x, v):
    def slope(z):
        return torch.autograd.grad(f(z), z)[0]
    return (slope(x + 1e-6 * v) - slope(x)) / 1e-6""", "f was called 2 times"),
    ("""
def hessian_times(f, x, v):
    x.grad = None
    gradient, = torch.autograd.grad(f(x), x, create_graph=True)
    return torch.autograd.grad(gradient, x, v)[0]""", "The .grad of x is not what it was"),
])
