"""Answers to the puzzles of notebook 11. The right ones differ in more than how they are written."""

from answers import right, wrong

right("11.1", [
    "def two_inputs(x, w): return torch.sum(x + torch.exp(torch.mul(w, x)))",
    """def two_inputs(x, w):
    h = x * w
    h.exp_()      # in place, and before anything is saved
    return torch.add(x, h).sum()""",
])
wrong("11.1", [
    ("def two_inputs(x, w): return ((x * w).exp() + w).sum()",
     "[5] AddBackward0 comes from w and [4] ExpBackward0, in the target from x"),
    ("def two_inputs(x, w): return ((x * w).exp() + x.clone()).sum()", "another graph: [5] CloneBackward0 is too much.",
     "line 1: def two_inputs", "[5] CloneBackward0 from [1]; ✗ too much"),
    ("def two_inputs(x, w): return ((x * w).exp() + x).mean()", "[6] MeanBackward0 is too much; SumBackward0 is missing"),
    ("def two_inputs(x, w): return ((x * w).exp() + x)", "another graph: SumBackward0 is missing."),
    ("def two_inputs(x, w): return ((x * w.detach()).exp() + x).sum()", "w is missing"),
    ("def two_inputs(x, w): return ((x * w).exp() + x).sum().detach()",
     "x is missing; w is missing; MulBackward0 is missing; and 3 more."),
    ("def two_inputs(x, w): return ((x * w).exp() + x.view(3)).sum()", "ViewBackward0 is too much"),
    ("def two_inputs(x, w): return ((x * w).exp() + torch.ones(3, requires_grad=True)).sum()", "leaf 1 is too much"),
    ("def two_inputs(x, w): return (x * w).exp_().add_(x).sum()",
     "[4] ExpBackward0 has 1 saved changed in place, in the target 1 saved alive"),
    ("""def two_inputs(x, w):
    loss = ((x * w).exp() + x).sum()
    loss.backward()
    return loss""", "another graph: x has a .grad, in the target no .grad", "line 3: loss.backward()"),
    ("def two_inputs(x, w): return x, w", "returns a tensor and a tensor. In the picture there is loss."),
    ("def two_inputs(x, w): return sum([x * w] * 60).sum()", "Your graph has 64 nodes, the target 6"),
    ("def two_inputs(x, w): return x", "x = loss is too much"),
])

right("11.2", [
    """def nine_ways(y):
    two = y + y
    four = two + two
    return four + four + y""",
    """def nine_ways(y):
    a = torch.stack([y, y, y]).sum()
    return torch.stack([a, a, a]).sum()""",
])
wrong("11.2", [
    ("def nine_ways(y): return y + y + y + y + y + y + y + y + y", "8 nodes stand between y and loss: at most 4 may."),
    ("def nine_ways(y): return torch.add(y, y, alpha=8)", "y.grad is 9, and 2 ways lead from y to loss: 9 should.",
     "✗ 2 ways to loss"),
    ("def nine_ways(y): return y.expand(9).sum()", "y.grad is 9, and 1 way leads from y to loss: 9 should."),
    ("def nine_ways(y): return y + y + y", "y.grad is 3, and 3 ways lead from y to loss: both should be 9.", "✗ 3 ways to loss"),
    ("""def nine_ways(y):
    y.register_hook(lambda gradient: 9 * gradient)
    return y + 0""", "y.grad is 9, and 1 way leads from y to loss"),
    ("""def nine_ways(y):
    y.register_hook(lambda gradient: gradient.missing)
    return y + 0""", "`loss.backward()` called your code, and that raised AttributeError", "line 2: y.register_hook"),
    ("""def nine_ways(y):
    loss = (y + y + y) * 3
    loss.backward()
    return loss""", "y.grad is there before the check calls backward"),
    ("""def nine_ways(y):
    y.grad = torch.tensor(9.0)
    return y + y.detach()""", "y.grad is there before the check calls backward"),
    ("def nine_ways(y): return 9 * y.detach()", "is not tracked"),
    ("def nine_ways(y): return y", "is a leaf"),
    ("def nine_ways(y): return torch.stack([y] * 9)", "has the shape (9,)"),
    ("def nine_ways(y): return torch.ones((), requires_grad=True) * 9", "no way leads from y to loss"),
])

right("11.3", [
    "def one_arrow(x): return x.data * x",
    """def one_arrow(x):
    with torch.no_grad():
        same = x.view_as(x)
    return torch.mul(same, x)""",
])
wrong("11.3", [
    ("def one_arrow(x): return x * x", "[2] MulBackward0 comes from x and x, in the target from x"),
    ("def one_arrow(x): return x ** 2", "[2] PowBackward0 is too much; MulBackward0 is missing"),
    ("def one_arrow(x): return x * x.detach().clone()", "[2] MulBackward0 saves a tensor (3,), in the target x"),
    ("def one_arrow(x): return 3 * x", "[2] MulBackward0 saves a tensor (), in the target x"),
    ("def one_arrow(x): return (x * x).detach()", "x is missing"),
])

right("11.4", [
    "def cut(h): return torch.nn.Parameter(h.detach())",
    """def cut(h):
    with torch.no_grad():
        same = h.view_as(h)
    return same.requires_grad_()""",
    "def cut(h): return torch.as_tensor(h.detach()).requires_grad_()",
])
wrong("11.4", [
    ("def cut(h): return h", "is a result"),
    ("def cut(h): return h.detach()", "is not tracked"),
    ("def cut(h): return h.detach().clone().requires_grad_()", "memory of its own"),
    ("def cut(h): return torch.tensor(h.tolist(), requires_grad=True)", "memory of its own"),
    ("def cut(h): return h.data.requires_grad_()", "version counter of its own"),
    ("def cut(h): return torch.from_numpy(h.detach().numpy()).requires_grad_()", "version counter of its own"),
    ("def cut(h): return h.detach_().requires_grad_()", "has lost its own graph"),
    ("def cut(h): return torch.zeros(3, requires_grad=True)", "other numbers"),
])

right("11.5", [
    """def version_three(x):
    y = x.clone()
    y.mul_(2).add_(1).exp_()      # exp_ saves its own result, at version 3
    return y, y.sum()""",
    """def version_three(x):
    y = torch.zeros(3, dtype=x.dtype)
    for place in range(3):
        y[place] = x[place]
    return y, y.prod()""",
])
wrong("11.5", [
    ("""def version_three(x):
    y = 2 * x
    y.add_(1)
    y.mul_(3)
    return y, (y * y).sum()""", "y is at version 2"),
    ("""def version_three(x):
    y = 2 * x
    for number in range(3):
        y.data.add_(1)
    return y, (y * y).sum()""", "y is at version 0"),
    ("""def version_three(x):
    y = 2 * x
    y.add_(1)
    y.mul_(3)
    y.sub_(1)
    return y, y.sum()""", "No node in the graph of loss has saved y"),
    ("""def version_three(x):
    y = 2 * x
    loss = (y * y).sum()
    y.add_(1).add_(1).add_(1)
    return y, loss""", "[3] MulBackward0 saved a tensor, and it was changed afterwards", "line 3: loss = (y * y).sum()",
     "✗ self: changed afterwards"),
    ("""def version_three(x):
    y = 2 * x
    y.data.mul_(y.data)
    y.add_(1).add_(1).add_(1)
    return y, (y * y).sum()""", "is not the derivative of loss"),
    ("""def version_three(x):
    y = x.detach().clone()
    y.add_(1).add_(1).add_(1)
    return y, (y * y).sum()""", "not tracked"),
    ("""def version_three(x):
    y = 2 * x
    y.add_(1).add_(1).add_(1)
    loss = (y * y).sum()
    loss.backward()
    return y, loss""", "A backward ran in your function: what the graph of loss saved is freed.",
     "line 5: loss.backward()", "✗ other: freed"),
    ("""def version_three(x):
    y = 2 * x
    return y""", "returns a tensor, and not the two tensors y and loss"),
])

right("11.6", [
    """def with_a_past(x, w):
    h = x.exp()
    a, b = (w * h).sum(), (h * h).sum()
    torch.autograd.backward(a, inputs=[x, w])
    return a, b""",
    """def with_a_past(x, w):
    h = x.exp()
    a = (h * w).sum()
    x.grad, w.grad = torch.autograd.grad(a, [x, w])
    return a, (h * h).sum()""",
])
wrong("11.6", [
    ("""def with_a_past(x, w):
    h = x.exp()
    return (h * w).sum(), (h * h).sum()""", "another graph: x has no .grad, in the target a .grad; "
     "w has no .grad, in the target a .grad; [2] ExpBackward0 has 1 saved alive, in the target 1 saved freed; and 1 more."),
    ("""def with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), (h * h).sum()
    b.backward()
    return a, b""", "another graph: w has no .grad, in the target a .grad", "line 4: b.backward()",
     "w; leaf (3,); .grad None; ✗ target: a .grad"),
    ("""def with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), (h * h).sum()
    (a + b).backward()
    return a, b""", "[6] MulBackward0 has 2 saved freed, in the target 2 saved alive"),
    ("""def with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), h.square().sum()
    a.backward()
    return a, b""", "[6] PowBackward0 is too much; MulBackward0 is missing"),
    ("""def with_a_past(x, w):
    a, b = (x.exp() * w).sum(), (x.exp() * x.exp()).sum()
    a.backward()
    return a, b""", "ExpBackward0 is too much"),
    ("""def with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), (h * h).sum()
    torch.autograd.grad(a, [x, w])
    return a, b""", "x has no .grad, in the target a .grad"),
    ("""def with_a_past(x, w):
    h = x.exp()
    a, b = (h * w).sum(), (h * h.clone().detach()).sum()
    a.backward()
    return a, b""", "[6] MulBackward0 comes from [2] ExpBackward0, in the target from"),
])

right("11.7", [
    "def only_the_heads(loss1, loss2, head1, head2): torch.autograd.backward([loss1, loss2], inputs=[head1, head2])",
    """def only_the_heads(loss1, loss2, head1, head2):
    head1.grad, head2.grad = torch.autograd.grad([loss1, loss2], [head1, head2])""",
    "def only_the_heads(loss1, loss2, head1, head2): (loss2 + loss1).backward(inputs=[head2, head1], retain_graph=True)",
])
wrong("11.7", [
    ("def only_the_heads(loss1, loss2, head1, head2): (loss1 + loss2).backward(retain_graph=True)", "went on into the trunk",
     "line 1: def only_the_heads", "✗ the pass came here"),
    ("""def only_the_heads(loss1, loss2, head1, head2):
    loss1.backward(inputs=[head1])
    loss2.backward(inputs=[head2])""", "2 backward passes ran"),
    ("""def only_the_heads(loss1, loss2, head1, head2):
    (loss1.detach() + loss2.detach()).requires_grad_().backward()""", "head1.grad is None"),
    ("def only_the_heads(loss1, loss2, head1, head2): torch.autograd.grad([loss1, loss2], [head1, head2])",
     "head1.grad is None"),
    ("def only_the_heads(loss1, loss2, head1, head2): (loss1 - loss2).backward(inputs=[head1, head2])", "head2.grad has other"),
    ("""def only_the_heads(loss1, loss2, head1, head2):
    head1.grad, head2.grad = torch.ones(2), torch.ones(2)""", "No backward pass ran"),
])

right("11.8", [
    "def three_that_survive(x, w): return (x + w.exp().sin().exp()).mean()",
    """def three_that_survive(x, w):
    other = torch.ones(3, requires_grad=True)
    return x[0] + x[1] + (other.exp() + other.sigmoid() + other.tanh()).sum()""",
    "def three_that_survive(x, w): return torch.cat([x, w.tanh(), w.sigmoid(), w.exp()]).sum()",
])
wrong("11.8", [
    ("def three_that_survive(x, w): return (x * w).exp().sum()", "The second backward raised RuntimeError"),
    ("def three_that_survive(x, w): return x.sum() + (w * w).sum()", "has 2 saved tensors"),
    ("def three_that_survive(x, w): return (w * w).exp().sum()", "no way leads from x to loss"),
    ("def three_that_survive(x, w): return x.detach().sum() + w.detach().exp().sum()", "is not tracked"),
    ("""def three_that_survive(x, w):
    loss = x.sum() + (w * w).exp().sum()
    loss.backward(retain_graph=True)
    return loss""", "x.grad is there before the check"),
    ("def three_that_survive(x, w): return x + (w * w).exp()", "has the shape (2,)"),
    ("""def three_that_survive(x, w):
    loss = (x * w).exp().sum()
    loss.backward = lambda inputs: torch.autograd.backward(loss, inputs=inputs, retain_graph=True)
    return loss""", "The second backward raised RuntimeError"),
    ("""def three_that_survive(x, w):
    x.register_hook(lambda gradient: gradient @ torch.ones(3))
    return x.sum() + (w * w).exp().sum()""", "The first backward called your code, and that raised RuntimeError: inconsistent",
     "line 2: x.register_hook"),
])

right("11.9", [
    """def copy_slices(x, w):
    h = w * 3
    h.narrow(0, 0, 2).copy_(x)
    return h.sum()""",
    """def copy_slices(x, w):
    h = w * 2
    part = h[1:]
    part += x      # it hides another node, and the picture is the same
    return torch.sum(h)""",
])
wrong("11.9", [
    ("""def copy_slices(x, w):
    h = torch.zeros(3)
    h[1:] = x
    return (h * w).sum()""", "[4] MulBackward0 is too much; MulBackward0 is missing"),
    ("def copy_slices(x, w): return torch.cat([2 * w[:1], x]).sum()", "CatBackward0 is too much"),
    ("""def copy_slices(x, w):
    h = 2 * w
    h[1:] = x.detach()
    return h.sum()""", "x is missing"),
    ("""def copy_slices(x, w):
    w[1:] = x
    return w.sum()""", "a leaf Variable that requires grad"),
    ("""def copy_slices(x, w):
    h = w.clone()
    h[1:] = x
    return h.sum()""", "CloneBackward0 is too much; MulBackward0 is missing"),
])

right("11.10", [
    "def straight(x): return 3 * x ** 1",
    "def straight(x): return 3 * (x.relu() - (-x).relu())",
    """def straight(x):
    class Triple(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 3 * x

        @staticmethod
        def backward(ctx, gradient):
            x, = ctx.saved_tensors
            return 3 * gradient + 0 * x

    return Triple.apply(x)""",
    """def straight(x):
    y = 3 * x
    y.register_hook(lambda gradient: gradient + 0 * x)
    return y""",
])
wrong("11.10", [
    ("def straight(x): return x + x + x", "is not tracked"),
    ("def straight(x): return 3 * x + 1e-9 * x ** 2", "The second derivative is ["),
    ("def straight(x): return 3 * x ** 2", "other numbers"),
    ("def straight(x): return 3 * x.detach() + 0 * x ** 2", "The first derivative has other numbers"),
    ("def straight(x): return (3 * x.detach()).requires_grad_()", "y is a leaf: it was not computed"),
    ("def straight(x): return 3 * x.detach() * torch.ones(2, requires_grad=True)", "The first derivative is None"),
    ("""def straight(x):
    y = 3 * x
    other = torch.ones(2, requires_grad=True)
    y.register_hook(lambda gradient: gradient * other)
    return y""", "The second derivative is None"),
])

right("11.11", [
    """def before_the_change(start, change):
    h, seen = start(), []
    h.register_hook(seen.append)
    change(h).backward()
    return seen[0]""",
    """def before_the_change(start, change):
    h, seen = start(), []
    h.grad_fn.register_prehook(lambda gradients: seen.append(gradients[0]))
    change(h).backward()
    return seen[0]""",
    """def before_the_change(start, change):
    h = start()
    edge = torch.autograd.graph.get_gradient_edge(h)
    return torch.autograd.grad(change(h), edge)[0]""",
    """def before_the_change(start, change):
    h = start()
    edge = torch.autograd.graph.GradientEdge(h.grad_fn, 0)
    return torch.autograd.grad(change(h), edge)[0]""",
])
wrong("11.11", [
    ("""def before_the_change(start, change):
    h = start()
    copy = h.clone()
    return torch.autograd.grad(change(copy), h)[0]""", "another tensor than h"),
    ("""def before_the_change(start, change):
    h = start()
    h.retain_grad()
    change(h).backward()
    return h.grad""", "for h as it is after the change. Now h is the result of [4] SigmoidBackward0. "
     "What retain_grad() asked for moved there, too.",
     "line 4: change(h).backward()", "[4] SigmoidBackward0 from [3]; 1 saved freed; ✗ h is its result now"),
    ("""def before_the_change(start, change):
    h = start()
    return torch.autograd.grad(change(h), h)[0]""", "Now h is the result of [4] SigmoidBackward0.",
     "line 3: return torch.autograd.grad", "✗ h is its result now"),
    ("""def before_the_change(start, change):
    h = start()
    change(h).backward()
    return h.grad""", "returns None"),
    ("""def before_the_change(start, change):
    h = start()
    seen = []
    loss = change(h)
    h.register_hook(seen.append)
    loss.backward()
    return 3 * seen[0]""", "other numbers"),
    ("def before_the_change(start, change): return start()", "change was not called"),
])

SQUARE_11_12 = """def recorded(x):
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, gradient):
            x, = ctx.saved_tensors
            return 2 * x * gradient

    return Square.apply(x).sum()"""

right("11.12", [
    """def recorded(x):
    class Square(Function):
        @staticmethod
        def forward(x):
            return x ** 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            return gradient * (ctx.saved_tensors[0] * 2)

    return Square.apply(x).sum()""",
    SQUARE_11_12.replace("2 * x * gradient", "torch.mul(gradient, x.mul(2))"),
])
wrong("11.12", [
    (SQUARE_11_12.replace("2 * x * gradient", "3 * x * gradient"), "dy has other numbers: [3.0, 4.5, 6.0]"),
    (SQUARE_11_12.replace("return x * x", "return x ** 3"), "y has other numbers: [12.38], and not [7.25]"),
    (SQUARE_11_12.replace("2 * x * gradient", "None"), "dy is None: no gradient comes to x.", "✗ no gradient"),
    (SQUARE_11_12.replace("2 * x * gradient", "gradient * 2 * x"),
     "dy comes from one MulBackward0, in the target from two: what [4] multiplies x by is not tracked",
     "line 11: return gradient * 2 * x", "✗ self: not tracked"),
    (SQUARE_11_12.replace("2 * x * gradient", "2 * x"), "another graph: MulBackward0 is missing."),
    (SQUARE_11_12.replace("2 * x * gradient", "2 * (x * gradient)"), "another graph: [4] MulBackward0 saves"),
    (SQUARE_11_12.replace("2 * x * gradient", "2 * x.detach() * gradient"),
     "another graph: MulBackward0 is missing; MulBackward0 is missing"),
    (SQUARE_11_12.replace("2 * x * gradient", "(x + x) * gradient"), "AddBackward0 is too much", "line 11: return (x + x)"),
    (SQUARE_11_12.replace("Square", "Power"), "PowerBackward is too much"),
    (SQUARE_11_12.replace("ctx.save_for_backward(x)", "ctx.x = x").replace("x, = ctx.saved_tensors", "x = ctx.x"),
     "SquareBackward has nothing saved, in the target 1 saved alive"),
    (SQUARE_11_12.replace("x, = ctx.saved_tensors", "x = ctx.saved_tensor"),
     "`torch.autograd.grad(y, x, create_graph=True)` called your code, and that raised AttributeError", "line 10: x = ctx.saved"),
    ("def recorded(x): return (x * x).sum()", "SquareBackward is missing"),
    ("def recorded(x): return x * x", "y has the shape (3,)"),
    ("""def recorded(x):
    y = (x * x).sum()
    return y, *torch.autograd.grad(y, x, create_graph=True)""", "returns an object of type tuple, and not y"),
])

right("11.13", [
    """def frees_nothing(x):
    h = x.view_as(x)
    h.grad_fn.register_prehook(lambda gradients: (2 * x.detach() * gradients[0],))
    return h.sum() + x.detach().square().sum() - x.detach().sum()""",
    """def frees_nothing(x):
    numbers = x.detach().clone()
    y = x.sum() + (numbers * numbers - numbers).sum()      # the value is right, the gradient is 1
    x.register_hook(lambda gradient: 2 * numbers * gradient)
    return y""",
    """def frees_nothing(x):
    terms = [torch.add(-number * number, one, alpha=2 * number) for one, number in zip(x, x.tolist())]
    return torch.stack(terms).sum()      # alpha is a plain number in the node""",
])
wrong("11.13", [
    ("""def frees_nothing(x):
    class SumOfSquares(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            return (x * x).sum()

        @staticmethod
        def backward(ctx, gradient):
            return 2 * ctx.x * gradient

    return SumOfSquares.apply(x)""", "[2] SumOfSquaresBackward is the node of a Function.", "line 12: return SumOf",
     "✗ of a Function"),
    ("""def frees_nothing(x):
    h = x + 0
    h.register_hook(lambda gradient: 2 * x.detach() @ gradient[:2])
    return h.sum() + (x * x - x).sum().detach()""",
     "`y.backward()` called your code, and that raised RuntimeError: inconsistent tensor size", "line 3: h.register_hook"),
    ("def frees_nothing(x): return torch.stack([x[i] * number for i, number in enumerate(x.tolist())]).sum()",
     "The graph saves 3 tensors."),
    ("def frees_nothing(x): return (x * x.detach()).sum()", "The graph saves 1 tensor."),
    ("""def frees_nothing(x):
    class SumOfSquares(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x * x).sum()

        @staticmethod
        def backward(ctx, gradient):
            return 2 * ctx.saved_tensors[0] * gradient

    return SumOfSquares.apply(x)""", "The graph saves 1 tensor."),
    ("def frees_nothing(x): return x.sum() + (x * x - x).sum().detach()", "x.grad has other numbers"),
    ("""def frees_nothing(x):
    y = x.sum() + (x * x - x).sum().detach()
    x.register_hook(lambda gradient: 2 * x.detach())
    return y""", "With a gradient of 10 at y"),
    ("""def frees_nothing(x):
    h = x + 0
    h[:].mul_(2 * x.detach())      # CopySlices hides what it saves
    return h.sum() - (x * x).sum().detach()""",
     "`y.backward()` raised RuntimeError: Trying to backward through the graph a second time"),
    ("def frees_nothing(x): return (x * x).sum().detach()", "not tracked"),
    ("def frees_nothing(x): return x.sum()", "y has other numbers"),
])

right("11.14", [
    """def outside(x, w):
    class Product(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x * w.detach()).sum()

        @staticmethod
        def backward(ctx, gradient):
            x, = ctx.saved_tensors
            with torch.enable_grad():
                (x.detach() * w).sum().backward(gradient)
            return gradient * w.detach()

    return Product.apply(x)""",
    """def outside(x, w):
    y = (x * w.detach()).sum()

    def hook(gradient):
        with torch.enable_grad():
            torch.autograd.backward((x.detach() * w).sum(), gradient)

    y.register_hook(hook)
    return y""",
    """def outside(x, w):
    y = (x * w.detach()).sum()

    def hook(gradient):
        more = gradient * x.detach()
        w.grad = more if w.grad is None else w.grad + more

    y.register_hook(hook)
    return y""",
    """def outside(x, w):
    from torch.utils.checkpoint import checkpoint
    return checkpoint(lambda x: (x * w).sum(), x, use_reentrant=True)""",
    """def outside(x, w):
    y, z = (x * w.detach()).sum(), (x.detach() * w).sum()
    y.register_hook(lambda gradient: z.backward(gradient, retain_graph=True))
    return y""",
])
wrong("11.14", [
    ("def outside(x, w): return (x * w.detach()).sum()", "w.grad is None after backward"),
    ("""def outside(x, w):
    w.grad = x.detach().clone()
    return (x * w.detach()).sum()""", "w.grad is there before the check"),
    ("""def outside(x, w):
    from torch.utils.checkpoint import checkpoint
    return checkpoint(lambda x: (x * w).sum(), x, use_reentrant=False)""", "w is in the graph of y"),
    ("""def outside(x, w):
    y = (x * w.detach()).sum()

    def hook(gradient):
        w.grad = gradient * x.detach()

    y.register_hook(hook)
    return y""", "what the second backward adds to w.grad has other numbers"),
    ("""def outside(x, w):
    y = (x * w.detach()).sum()

    def hook(gradient):
        with torch.enable_grad():
            (x.detach() * w).sum().backward()

    y.register_hook(hook)
    return y""", "With a gradient of 10 at y, what the second backward adds"),
    ("""def outside(x, w):
    from torch.utils.checkpoint import checkpoint
    y = checkpoint(lambda x: (x * w).sum(), x.detach().requires_grad_(), use_reentrant=True)
    return y""", "x.grad is None"),
    ("def outside(x, w): return (x * w).sum().detach()", "not tracked"),
    ("""def outside(x, w):
    y, z = (x * w.detach()).sum(), (x.detach() * w).sum()
    y.register_hook(lambda gradient: z.backward(gradient))
    return y""", "`y.backward(retain_graph=True)` called your code, and that raised RuntimeError: Trying to backward "
     "through the graph a second time", "line 3: y.register_hook"),
    ("""def outside(x, w):
    y = (x * w.detach()).sum()
    y.register_hook(lambda gradient: (x * w).sum().backward(gradient))
    return y""", "called your code, and that raised RuntimeError: element 0 of tensors does not require grad", "line 3: y.reg"),
    ("""def outside(x, w):
    y = (x * w.detach()).sum()

    def hook(gradient):
        w.grad += gradient * x.detach()

    y.register_hook(hook)
    return y""", "called your code, and that raised TypeError: unsupported operand", "line 5: w.grad += "),
    ("""def outside(x, w):
    y = (x * w.detach()).sum()
    y.backward = lambda *inputs, **options: (x * w).sum().backward()
    return y""", "w.grad is None after backward"),
])

right("11.15", [
    """def two_nodes():
    net = torch.nn.Linear(1, 1)
    first = net(torch.ones(1))
    net.double()
    second = net(torch.ones(1, dtype=torch.double))
    return net.weight, first + second""",
    """def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    a = x.exp()
    x.data = x.data.to(torch.complex64)
    x.data = torch.ones(2)      # the dtype is as before, and the node is a new one
    return x, a * x.exp()""",
])
wrong("11.15", [
    ("""def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    other = x.detach().requires_grad_()
    return x, x + other""", "x has one AccumulateGrad node, [1], and another leaf has one, too"),
    ("""def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    a = 2 * x
    x.requires_grad_(False)
    x.requires_grad_(True)
    return x, a + 3 * x""", "x has one AccumulateGrad node, [1]."),
    ("""def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    a = 2 * x
    x.data = torch.zeros(3)
    return x, a.sum() + x.sum()""", "x has one AccumulateGrad node, [1]."),
    ("""def two_nodes():
    x = 2 * torch.zeros(2, requires_grad=True)
    return x, x + x""", "x is no tracked leaf"),
    ("""def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    return x, torch.ones(2, requires_grad=True) * 2""", "x is not in the graph of y"),
    ("""def two_nodes():
    x = torch.zeros(2, requires_grad=True)
    return x, x""", "y is a leaf: it was not computed"),
    ("def two_nodes(): return torch.zeros(2, requires_grad=True)", "returns a tensor, and not the two tensors x and y"),
])
