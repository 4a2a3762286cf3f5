"""Answers to the exercises of notebook 12."""

from answers import right, wrong

right("12.1", ["""
def gradient_edge(value):
    return value.grad_fn or (value.grad_accumulator if value.requires_grad else None)
""", """
def gradient_edge(value):
    if not value.requires_grad:
        return None
    if value.grad_fn is None:
        return value.grad_accumulator
    return value.grad_fn
"""])

wrong("12.1", [
    ("def gradient_edge(value): return value.grad_fn",
     "next_functions holds [None, None], and in PyTorch [AccumulateGrad of x, AccumulateGrad of x]"),
    ("def gradient_edge(value): return value.grad_fn or value.grad_accumulator",
     "next_functions holds [AccumulateGrad of x, AccumulateGrad of c], and in PyTorch [AccumulateGrad of x, None]"),
    ("def gradient_edge(value): return value", "holds [x itself, x itself], and in PyTorch"),
    ("def gradient_edge(value): return value.grad_accumulator if value.requires_grad else None", "AccumulateGrad of a"),
    ("def gradient_edge(value): return value.node", "raised AttributeError"),
])

RECORD = """
def record(rule, result, inputs, saved):
    value = Value(result)
    if {condition}:
        value.requires_grad = True
        next_functions = {edges}
        value.grad_fn = Node(rule, next_functions, saved, result.shape)
    return value
"""
TRACKED, EDGES = "any(value.requires_grad for value in inputs)", "[value.gradient_edge() for value in inputs]"

right("12.2", [RECORD.format(condition="True in [value.requires_grad for value in inputs]", edges=EDGES), """
def record(rule, result, inputs, saved):
    value, tracked = Value(result), False
    for each in inputs:
        tracked = tracked or each.requires_grad
    if not tracked:
        return value
    value.requires_grad, value.grad_fn = True, Node(rule, [], saved, result.shape)
    for each in inputs:
        value.grad_fn.next_functions.append(each.gradient_edge())
    return value
"""])

wrong("12.2", [
    (RECORD.format(condition="all(value.requires_grad for value in inputs)", edges=EDGES),
     "requires_grad is False, and in PyTorch True"),
    (RECORD.format(condition="True", edges=EDGES), "requires_grad is True, and in PyTorch False"),
    (RECORD.format(condition=TRACKED, edges="inputs"), "holds [x itself, x itself], and in PyTorch"),
    (RECORD.format(condition=TRACKED, edges="[value.gradient_edge() for value in inputs if value.requires_grad]"),
     "holds [AccumulateGrad of x], and in PyTorch [None, AccumulateGrad of x]"),
    (RECORD.format(condition=TRACKED, edges="inputs[0].gradient_edge()"), "next_functions is a thing of type AccumulateGrad"),
    (RECORD.format(condition=TRACKED, edges="[value.grad_fn for value in inputs]"), "holds [None, None], and in PyTorch"),
    (RECORD.format(condition=TRACKED, edges=EDGES).replace("return value", "return value.data"), "not a Value"),
    (RECORD.format(condition=TRACKED, edges=EDGES).replace("value.requires_grad = True", "pass"), "requires_grad is False"),
])

MUL = "def mul_backward(gradient, a, b): return {}"

right("12.3", [MUL.format("[b * gradient, a * gradient]"), """
def mul_backward(gradient, a, b):
    to_a = gradient * b
    to_b = gradient * a
    return to_a, to_b
"""])

wrong("12.3", [
    (MUL.format("gradient * a, gradient * b"), "returns 20 and 30, and MulBackward0 30 and 20"),
    (MUL.format("b, a"), "returns 3 and 2, and MulBackward0 30 and 20"),
    (MUL.format("gradient, gradient"), "returns 10 and 10"),
    (MUL.format("gradient * a * b"), "one thing of type Tensor, and MulBackward0 two gradients"),
    (MUL.format("gradient.mul_(b), gradient.mul_(a)"), "changed its input number 1 in place"),
    (MUL.format("gradient * b, gradient * a, None"), "returns 3 things, and MulBackward0 two gradients"),
    (MUL.format("b.item(), a.item()"), "one thing of type float for a factor"),
])

WALK = """
def order(root):
    nodes = [root]
    for node in nodes:
        for following in node.next_functions:
            if {condition}:
                nodes.append(following)
    return {nodes}
"""
NEW, NEWEST = "following is not None and following not in nodes", "sorted(nodes, key=lambda node: node.sequence_nr, reverse=True)"

right("12.4", ["""
def order(root):
    found = []

    def visit(node):
        if node is not None and node not in found:
            for following in node.next_functions:
                visit(following)
            found.append(node)

    visit(root)
    return found[::-1]
""", """
def order(root):
    to_come, waiting = {}, [root]
    seen = {root}
    for node in waiting:
        for following in node.next_functions:
            if following is not None:
                to_come[following] = to_come.get(following, 0) + 1
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
    ready = [root]
    for node in ready:
        for following in node.next_functions:
            if following is not None:
                to_come[following] -= 1
                if not to_come[following]:
                    ready.append(following)
    return ready
"""])

wrong("12.4", [
    (WALK.format(condition=NEW, nodes="nodes"), "stands before the node of a, which still sends a gradient to it"),
    (WALK.format(condition=NEW, nodes="nodes[::-1]"), "The AccumulateGrad of x stands before the node of loss"),
    (WALK.format(condition="following is not None", nodes=NEWEST), "stands 2 times in the list"),
    (WALK.format(condition="following not in nodes", nodes=NEWEST), "raised AttributeError"),
    (WALK.format(condition="following is not None and following.next_functions", nodes=NEWEST), "is not in the list"),
    (WALK.format(condition=NEW, nodes="sorted(nodes, key=lambda node: node.sequence_nr)"), "stands before the node of loss"),
    (WALK.format(condition=NEW, nodes="nodes.sort(key=lambda node: node.sequence_nr, reverse=True)"), "order returns nothing"),
    ("def order(root): return [root, *root.next_functions]", "stands 2 times in the list"),
    ("def order(root): return order(root)", "RecursionError"),
])

BACKWARD = """
def run_backward(nodes, gradient, retain_graph):
    arrived = {{nodes[0]: gradient}}
    for node in nodes:
        sent = node(arrived[node], retain_graph)
        for following, gradient in zip(node.next_functions, sent):
            {add}
"""

right("12.5", [BACKWARD.format(add="""if following is not None:
                arrived[following] = arrived.get(following, 0) + gradient"""), """
def run_backward(nodes, gradient, retain_graph):
    arrived = {node: [] for node in nodes}
    arrived[nodes[0]].append(gradient)
    for node in nodes:
        sent = node(sum(arrived[node]), retain_graph)
        for following, gradient in zip(node.next_functions, sent):
            if following:
                arrived[following].append(gradient)
"""])

wrong("12.5", [
    (BACKWARD.format(add="arrived[following] = gradient"), "x.grad is 1, and in PyTorch 2"),
    (BACKWARD.format(add="arrived.setdefault(following, gradient)"), "x.grad is 1, and in PyTorch 2"),
    (BACKWARD.format(add="arrived[following] = arrived.get(following, 0) + gradient"), "unsupported operand"),
    (BACKWARD.format(add="arrived[following] += gradient"), "raised KeyError"),
    (BACKWARD.format(add="""if following in arrived:
                arrived[following] += gradient
            else:
                arrived[following] = gradient"""), "changed its input number 2 in place"),
    ("""
def run_backward(nodes, gradient, retain_graph):
    def send(node, gradient):
        for following, sent in zip(node.next_functions, node(gradient, True)):
            if following is not None:
                send(following, sent)
    send(nodes[0], gradient)
""", "The AccumulateGrad of x ran 2 times, and in PyTorch once"),
    (BACKWARD.format(add="""if following is not None:
                arrived[following] = arrived.get(following, 0) + gradient""").replace("node(arrived[node]", "node(gradient"),
     "x.grad is"),
])

ACCUMULATE = "def accumulate(leaf, gradient):\n    {}"

right("12.6", ["""
def accumulate(leaf, gradient):
    if leaf.grad is None:
        leaf.grad = gradient
    else:
        leaf.grad = leaf.grad + gradient
""", """
def accumulate(leaf, gradient):
    if leaf.grad is None:
        leaf.grad = gradient.clone()
    else:
        leaf.grad += gradient
"""])

wrong("12.6", [
    (ACCUMULATE.format("leaf.grad = gradient"), "x.grad is -4, and in PyTorch -8"),
    (ACCUMULATE.format("leaf.grad = leaf.grad + gradient"), "raised TypeError"),
    (ACCUMULATE.format("leaf.grad += gradient"), "raised TypeError"),
    ("""
def accumulate(leaf, gradient):
    if leaf.grad is None:
        leaf.grad = gradient
    else:
        leaf.grad += gradient
""", "are one tensor"),
    (ACCUMULATE.format("leaf.data = leaf.data + gradient"), "x holds 6, and in PyTorch 2"),
    (ACCUMULATE.format("return gradient"), "x.grad is None, and in PyTorch"),
    (ACCUMULATE.format("leaf.grad = leaf.grad + gradient if leaf.grad else gradient"), "Boolean value of Tensor"),
    (ACCUMULATE.format("leaf.grad = Value(gradient)"), "x.grad is a thing of type Value"),
])

EVALUATE = """
def evaluate(node, gradient, retain_graph):
    if node.saved is None:
        raise {error}
    sent = node.rule(gradient, *node.saved)
    if {condition}:
        node.saved = {freed}
    return sent
"""
AGAIN, NOT_RETAINED = "RuntimeError('this graph was freed by an earlier backward')", "node.saved and not retain_graph"

right("12.7", ["""
def evaluate(node, gradient, retain_graph):
    saved = node.saved
    if saved is None:
        raise RuntimeError("the saved tensors are gone")
    if len(saved) > 0 and not retain_graph:
        node.saved = None
    return node.rule(gradient, *saved)
""", EVALUATE.format(error=AGAIN, condition="not retain_graph and node.saved != []", freed="None")])

wrong("12.7", [
    ("def evaluate(node, gradient, retain_graph): return node.rule(gradient, *node.saved)",
     "Where PyTorch raises a RuntimeError, yours raises nothing"),
    (EVALUATE.format(error=AGAIN, condition="not retain_graph", freed="None"), "raised RuntimeError: this graph was freed"),
    (EVALUATE.format(error=AGAIN, condition="node.saved", freed="None"), "raised RuntimeError: this graph was freed"),
    (EVALUATE.format(error=AGAIN, condition=NOT_RETAINED, freed="[]"), "raised TypeError"),
    (EVALUATE.format(error="RuntimeError()", condition=NOT_RETAINED, freed="None"), "says nothing to its reader"),
    (EVALUATE.format(error="ValueError('freed')", condition=NOT_RETAINED, freed="None"), "Your code raised ValueError: freed"),
    ("""
def evaluate(node, gradient, retain_graph):
    if getattr(node, "done", False):
        raise RuntimeError("this graph was used")
    node.done = bool(node.saved) and not retain_graph
    return node.rule(gradient, *node.saved)
""", "still holds 2 saved tensors"),
    ("""
def evaluate(node, gradient, retain_graph):
    if node.saved and not retain_graph:
        node.saved = None
    return node.rule(gradient, *node.saved)
""", "must be an iterable, not NoneType"),
])

DETACH = "def detach(value):\n    {}"

right("12.8", [DETACH.format("return Value(value.data, requires_grad=False)"), """
def detach(value):
    result = Value(0.0)
    result.data = value.data
    return result
"""])

wrong("12.8", [
    (DETACH.format("return value"), "requires_grad is True, and in PyTorch False"),
    (DETACH.format("return Value(value.data.clone())"), "a copy of the numbers"),
    (DETACH.format("return value.data"), "returns a thing of type Tensor, and not a Value"),
    (DETACH.format("return Value(value.data, requires_grad=True)"), "requires_grad is True, and in PyTorch False"),
    (DETACH.format("value.requires_grad, value.grad_fn = False, None\n    return value"),
     "requires_grad is False, and in PyTorch True"),
    (DETACH.format("value.requires_grad = False"), "x.requires_grad is False, and in PyTorch True"),
])

NO_GRAD = """
def no_grad():
    {before}
    try:
        yield
    finally:
        {after}
"""
REMEMBER = "before = grad_mode.enabled\n    grad_mode.enabled = False"

right("12.9", [NO_GRAD.format(before="was, grad_mode.enabled = grad_mode.enabled, False", after="grad_mode.enabled = was"), """
def no_grad():
    was_on = grad_mode.enabled
    try:
        grad_mode.enabled = False
        yield
    finally:
        if was_on:
            grad_mode.enabled = True
"""])

wrong("12.9", [
    (NO_GRAD.format(before="pass", after="pass"), "a.requires_grad is True, and in PyTorch False"),
    (NO_GRAD.format(before="grad_mode.enabled = False", after="pass"), "loss.requires_grad is False, and in PyTorch True"),
    (NO_GRAD.format(before="grad_mode.enabled = False", after="grad_mode.enabled = True"),
     "a.requires_grad is True, and in PyTorch False"),
    ("def no_grad():\n    before = grad_mode.enabled\n    grad_mode.enabled = False\n    yield\n    grad_mode.enabled = before",
     "After an error inside the with block, recording stays off"),
    ("def no_grad():\n    grad_mode.enabled = False", "With your function, our autograd raises"),
    (NO_GRAD.format(before=REMEMBER, after="grad_mode = before"), "raises UnboundLocalError"),
])

MATMUL = "def matmul_backward(gradient, a, b): return {}"

right("12.10", [MATMUL.format("gradient.matmul(b.mT), a.mT.matmul(gradient)"), """
def matmul_backward(gradient, a, b):
    return [(b @ gradient.T).T, a.transpose(0, 1) @ gradient]
"""])

wrong("12.10", [
    (MATMUL.format("gradient @ b, a @ gradient"), "raised RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    (MATMUL.format("a.T @ gradient, gradient @ b.T"), "the shapes (1, 3) and (2, 1), and MmBackward0 (2, 1) and (1, 3)"),
    (MATMUL.format("gradient * b, gradient * a"), "the shapes (2, 3) and (2, 3), and MmBackward0 (2, 1) and (1, 3)"),
    (MATMUL.format("gradient @ b.T"), "one thing of type Tensor, and MmBackward0 two gradients"),
])

SUM_TO = "def sum_to(gradient, shape):\n    {}"

right("12.11", [SUM_TO.format("return gradient.sum_to_size(shape)"), """
def sum_to(gradient, shape):
    more = gradient.dim() - len(shape)
    for dim in range(more):
        gradient = gradient.sum(dim=0)
    ones = [dim for dim, size in enumerate(shape) if size == 1]
    return gradient.sum(dim=ones, keepdim=True) if ones else gradient
"""])

wrong("12.11", [
    (SUM_TO.format("return gradient"), "x.grad has the shape (2, 2), and in PyTorch (2,)"),
    (SUM_TO.format("return gradient.sum()"), "what came to the node of a has the shape ()"),
    (SUM_TO.format("""while gradient.dim() > len(shape):
        gradient = gradient.sum(0)
    return gradient"""), "has the shape (3, 2), and in PyTorch (1, 2)"),
    (SUM_TO.format("""while gradient.dim() > len(shape):
        gradient = gradient.mean(0)
    return gradient"""), "x.grad is [0.25, 0.25], and in PyTorch [0.5, 0.5]"),
    (SUM_TO.format("return gradient.reshape(shape)"), "raised RuntimeError: shape"),
])

STEP = """
def step(loss, parameters, lr):
    loss.backward()
    for parameter in parameters:
        {move}
        {clear}
"""
MOVE, CLEAR = "parameter.data -= lr * parameter.grad", "parameter.grad = None"

right("12.12", ["""
def step(loss, parameters, lr):
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    for parameter in parameters:
        parameter.data -= lr * parameter.grad
""", STEP.format(move="parameter.data = parameter.data + parameter.grad * -lr", clear="parameter.grad = 0 * parameter.grad")])

wrong("12.12", [
    (STEP.format(move=MOVE, clear="pass"), "Step 1 agrees with PyTorch. In step 2, the gradients of both steps"),
    (STEP.format(move="parameter.data += lr * parameter.grad", clear=CLEAR), "uphill"),
    (STEP.format(move="parameter = parameter.data - lr * parameter.grad", clear="pass"), "no parameter has changed"),
    (STEP.format(move=CLEAR, clear=MOVE), "raised TypeError"),
    (STEP.format(move="parameter.data = Value(parameter.data - lr * parameter.grad)", clear=CLEAR), "is no tensor"),
    (STEP.format(move="parameter.data -= parameter.grad", clear=CLEAR), "others than those of torch.optim.SGD"),
])
