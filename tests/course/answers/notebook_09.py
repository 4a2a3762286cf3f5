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

wrong("09.1", [
    ("def round_to(x, step): return (x / step).round() * step", "round is flat"),
    ("def round_to(x, step): return x.round()", "round to multiples of step"),
    ("def round_to(x, step): return ((x / step).round() * step).detach()", "not tracked"),
    ("def round_to(x, step): return ((x / step).round() * step).detach().requires_grad_()", "No gradient comes to x"),
    (ROUND.format(forward=NEAREST, backward="return gradient", returned=APPLY), "one thing for each input of forward"),
    (ROUND.format(forward=NEAREST, backward="return torch.ones_like(gradient), None", returned=APPLY),
     "1 everywhere"),
    (ROUND.format(forward=NEAREST, backward="pass", returned=APPLY), "one thing for each input of forward"),
    (ROUND.format(forward=NEAREST, backward="return None, None", returned=APPLY), "No gradient comes to x"),
    (ROUND.format(forward=NEAREST, backward="return None, gradient", returned=APPLY),
     "in the order of forward's inputs"),
    (ROUND.format(forward=NEAREST, backward="return gradient.round(), None", returned=APPLY), "rounded too"),
    (ROUND.format(forward=NEAREST, backward="return gradient * ctx.step, None", returned=APPLY),
     "backward raised AttributeError"),
    (ROUND.format(forward=NEAREST, backward="return gradient.mul_(2), None", returned=APPLY), "in place"),
    (ROUND.format(forward=NEAREST, backward="return gradient, None", returned="RoundTo"), "call RoundTo.apply"),
    (ROUND.format(forward="(x / step).round()", backward="return gradient, None", returned=APPLY), "counted in steps"),
    ("def round_to(x, step): return x / step + ((x / step).round() * step - x / step).detach()", "factor from step"),
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
     "still has its slip"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="-2 * x / (1 + x ** 2) * gradient"), "still has its slip"),
    (BUMP.format(outside="", save="ctx.x = x", load="x = ctx.x", gradient=SLOPE), "changed x in place"),
    (BUMP.format(outside="", save="ctx.x = x.detach()", load="x = ctx.x", gradient=SLOPE), "changed x in place"),
    (BUMP.format(outside="", save="ctx.x = x.clone()", load="x = ctx.x", gradient=SLOPE), "still in memory"),
    (BUMP.format(outside="outer = x", save="pass", load="x = outer.detach()", gradient=SLOPE), "changed x in place"),
    (BUMP.format(outside="outer = x.detach().clone()", save="pass", load="x = outer", gradient=SLOPE), "still in memory"),
    (BUMP.format(outside="", save=SAVE, load="x, = ctx.saved_tensors; ctx.x = x", gradient=SLOPE), "still in memory"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="-2 * x / (1 + x ** 2) ** 2"), "multiply by it"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="2 * x / (1 + x ** 2) ** 2 * gradient"), "wrong sign"),
    (BUMP.format(outside="", save=SAVE, load="x = ctx.saved_tensors", gradient=SLOPE), "is a tuple"),
    (BUMP.format(outside="", save="pass", load=LOAD, gradient=SLOPE), "backward raised ValueError"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient="None"), "returns None for it"),
    (BUMP.format(outside="", save=SAVE, load=LOAD, gradient=SLOPE).replace("Bump.apply(x)", "Bump(x)"), "call Bump.apply"),
    ("def bump(x): return 1 / (1 + x ** 2)", "does not come from your Function"),
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
    return Bump.apply(x)""", "changed the result in place"),
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
     "No weight feels the penalty"),
    (LOSS.format(x=X, given="x", start=SUM, options="", between="", loss=f"{FIT} + {ROWS}"), "is freed"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="slope = slope.detach()", loss=f"{FIT} + {ROWS}"),
     "No weight feels the penalty"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"{FIT} + (slope.norm() - 1) ** 2"),
     "one norm over all rows"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=0) - 1).square().mean()"), "down the columns"),
    (LOSS.format(x=X, given="x", start="out.mean()", options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "divided by the number of rows"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=1) - 1).square().sum()"), "take their mean"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="",
                 loss=f"{FIT} + (slope.norm(dim=1).mean() - 1) ** 2"), "square of each row first"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=ROWS), "penalty alone"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=FIT), "penalty is missing"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"{FIT}.detach() + {ROWS}"),
     "feel the penalty only"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="", loss=f"({FIT} + {ROWS}).item()"),
     "not tracked"),
    (LOSS.format(x="data", given="x", start=SUM, options=CREATE, between="", loss=f"{FIT} + {ROWS}"),
     "data is not tracked"),
    (LOSS.format(x=X, given="data", start=SUM, options=CREATE, between="", loss=f"{FIT} + {ROWS}"), "send x through net"),
    (LOSS.format(x=X, given="x", start="out", options=CREATE, between="", loss=f"{FIT} + {ROWS}"), "use out.sum()"),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    out.sum().backward(create_graph=True)
    net.zero_grad()
    return out.square().mean() + (x.grad.norm(dim=1) - 1).square().mean()""", "changes the .grad of the weights"),
    (LOSS.format(x=X, given="x", start=SUM, options=CREATE, between="out = out.detach(); slope = x + slope.detach() - x",
                 loss=f"{FIT} + {ROWS}"), "does not lead back"),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    out.sum().backward(create_graph=True)
    return out.square().mean() + (x.grad.norm(dim=1) - 1).square().mean()""", "changes the .grad of the weights"),
    ("""
def penalised_loss(net, data):
    x = data.clone().requires_grad_()
    out = net(x)
    slope, = torch.autograd.grad(out.sum(), x, create_graph=True)
    loss = out.square().mean() + (slope.norm(dim=1) - 1).square().mean()
    loss.backward()
    return loss""", "do not call backward"),
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
    (TIMES.format(options="", returned="torch.autograd.grad(gradient, x, v)[0]"), "create_graph=True"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient, x)[0]"), "get v to start with"),
    (TIMES.format(options=CREATE, returned="gradient"), "second backward is missing"),
    (TIMES.format(options=CREATE, returned="gradient @ v"), "the gradient times v"),
    (TIMES.format(options=CREATE, returned="gradient * v"), "the gradient times v"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.sum(), x)[0]"), "v is missing"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.sum(), x)[0] * v"), "v comes too late"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient, x, v)"), "of type tuple"),
    (TIMES.format(options=CREATE, returned="torch.autograd.grad(gradient.norm() * v.norm(), x)[0]"), "other numbers"),
    (TIMES.format(options=CREATE,
                  returned="torch.stack([torch.autograd.grad(g, x, retain_graph=True)[0] for g in gradient]) @ v"),
     "whole Hessian"),
    (TIMES.format(options=CREATE,
                  returned="torch.stack([torch.autograd.grad(g, x, retain_graph=True)[0] @ v for g in gradient])"),
     "a pass of its own"),
    ("def hessian_times(f, x, v): return torch.func.hessian(f)(x) @ v", "whole Hessian"),
    ("def hessian_times(f, x, v): return torch.autograd.functional.hessian(f, x) @ v", "whole Hessian"),
    ("""
def hessian_times(f, x, v):
    f(x).backward(create_graph=True)
    (x.grad @ v).backward()
    return x.grad""", "in x.grad before"),
    ("""
def hessian_times(f, x, v):
    gradient, = torch.autograd.grad(f(x), x, create_graph=True)
    (gradient @ v).backward()
    return x.grad""", "in x.grad before"),
    ("""
def hessian_times(f, x, v):
    z = x.detach().requires_grad_()
    gradient, = torch.autograd.grad(f(z), z, create_graph=True)
    (gradient @ v).backward()
    return z.grad""", "of a weight in f"),
    ("""
def hessian_times(f, x, v):
    f(x).backward(create_graph=True, inputs=[x])
    gradient, x.grad = x.grad, None
    return torch.autograd.grad(gradient @ v, x)[0]""", "of a weight in f"),
    ("""
def hessian_times(f, x, v):
    while True:
        f(x)""", "once is enough"),
    ("""
def hessian_times(f, x, v):
    def slope(z):
        return torch.autograd.grad(f(z), z)[0]
    return (slope(x + 1e-6 * v) - slope(x)) / 1e-6""", "f was called 2 times"),
])
