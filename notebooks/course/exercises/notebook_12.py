"""The checks of notebook 12, your own autograd: a function of the learner takes its place among those of the course."""

import contextlib
import functools

import torch

from seegrad import show_graph, side_by_side

from .. import own_autograd
from ..checking import Idea, Wrong, exercise
from ..own_autograd import Value, grad_mode, plugged, yours
from ..own_graph import show_own
from ..programs import Difference, Played, Program, agree, programs, run_ours, run_pytorch, words

SUMS = "add", "mul"


@contextlib.contextmanager
def _in_use(name, run):
    """The learner's function in the place of the course's. Where nothing is wrong with it, its name is added to `yours`."""
    @functools.wraps(getattr(own_autograd, name))       # a node is called after its rule, and a slot after an argument of it
    def part(*inputs):
        return run(*inputs)

    yours.discard(name)
    with plugged(**{name: part}):
        yield
    yours.add(name)


def _agrees(made, idea, names, *lines):
    """The idea, and the graphs of both beside each other, with these names, of a program of these lines.

    made: the programs on which the two agree.
    """
    ours, theirs = (run(Program(lines, ("x",))).namespace for run in (run_ours, run_pytorch))
    picture = side_by_side(yours=show_own(**{name: ours[name] for name in names.split()}),
                           PyTorch=show_graph({name: theirs[name] for name in names.split()}))
    return Idea(f"It agrees with PyTorch on {len(made)} programs. {idea}", picture)


FORK = "x loss", "x = leaf(2.0)", "a = x * x", "loss = a + x"


@exercise("12.1")
def where_a_gradient_goes(run):
    made = programs(1, SUMS)
    with _in_use("gradient_edge", run):
        agree(made)
        return _agrees(made, "A graph is made of nodes that lead to nodes. No value stands between them.", *FORK)


@exercise("12.2")
def what_an_operation_records(run):
    made = programs(2, SUMS)
    with _in_use("record", run):
        agree(made)
        return _agrees(made, "One tracked input is enough. Without any, nothing is recorded.",
                       "x c loss", "x = leaf(2.0)", "c = constant(3.0)", "loss = x * c")


@exercise("12.3")
def the_rule_of_a_product(run):
    gradient, a, b = torch.tensor(10.0), torch.tensor(2.0), torch.tensor(3.0)
    _same_as_the_node(run, gradient, a, b, lambda a, b: a * b, "a = 2, b = 3 and the gradient 10")
    made = programs(3, SUMS)
    with _in_use("mul_backward", run):
        agree(made)
        return _agrees(made, "A rule is the derivative times the gradient that came.", *FORK, "loss.backward()")


def _same_as_the_node(run, gradient, a, b, operation, numbers):
    """Compare a rule with a node of PyTorch, called by hand."""
    node = operation(a.clone().requires_grad_(), b.clone().requires_grad_()).grad_fn
    wanted, sent = node(gradient), run(gradient, a, b)
    if not isinstance(sent, (tuple, list)) or len(sent) != 2:
        returned = f"{len(sent)} things" if isinstance(sent, (tuple, list)) else _kind(sent)
        raise Wrong(f"Your rule returns {returned}, and {node.name()} two gradients, one for each factor.")
    if not all(isinstance(one, torch.Tensor) for one in sent):
        raise Wrong(f"Your rule returns {_kind(next(one for one in sent if not isinstance(one, torch.Tensor)))} for a factor.")
    if [one.shape for one in sent] != [one.shape for one in wanted]:
        raise Wrong(f"Your rule returns the shapes {_shapes(sent)}, and {node.name()} {_shapes(wanted)}.")
    if not all(torch.allclose(one, other) for one, other in zip(sent, wanted)):
        raise Wrong(f"For {numbers}, your rule returns {_both(sent)}, and {node.name()} {_both(wanted)}.")


def _shapes(gradients):
    return " and ".join(str(tuple(gradient.shape)) for gradient in gradients)


def _both(gradients):
    return " and ".join(map(words, gradients))


def _kind(thing):
    return "nothing" if thing is None else f"one thing of type {type(thing).__name__}"


@exercise("12.4")
def an_order_in_which_all_has_come(run):
    made = programs(4, SUMS)
    for program in made:
        ours = run_ours(Program(program.lines[:-1], program.leaves))
        root = ours.namespace["loss"].grad_fn
        sentence, node = _out_of_place(run(root), own_autograd.order(root), ours)
        if sentence:
            with plugged(order=run):
                at = next((name for name, known in ours.nodes.items() if known is node), "")
                raise Wrong(sentence, Played(Difference(sentence, program, run_ours(program), run_pytorch(program), at)))
    with _in_use("order", run):
        agree(made)
        return _agrees(made, "A node runs when all its gradients have come. From the newest node to the oldest, that is so.",
                       "x loss", "x = leaf(2.0)", "a = x * x", "loss = a * x", "loss.backward()")


def _out_of_place(nodes, wanted, ours):
    """What is wrong with an order of nodes, and at which node; or nothing. wanted: the same nodes in an order that is right."""
    if not isinstance(nodes, list):
        return f"order returns {_kind(nodes)}, and not a list of nodes.", None
    for node in nodes:
        if node not in wanted:
            return f"The list holds {_kind(node) if node is not None else 'None'}, which is no node of this graph.", None
    for node in wanted:
        if node not in nodes:
            return f"The {ours.name_of(node)} is not in the list.", node
        if nodes.count(node) > 1:
            return f"The {ours.name_of(node)} stands {nodes.count(node)} times in the list.", node
    for at, node in enumerate(nodes):
        for following in node.next_functions:
            if following in nodes[:at]:
                return (f"The {ours.name_of(following)} stands before the {ours.name_of(node)}, which still sends a gradient "
                        "to it."), following
    return "", None


@exercise("12.5")
def gradients_that_add_up_at_a_fork(run):
    made = [*programs(5, SUMS), *programs(5, SUMS, 50, shapes=True)]
    with _in_use("run_backward", run):
        agree(made)
        return _agrees(made, "Gradients that come to one node are added, and then it runs once.", *FORK, "loss.backward()")


AGAIN = ["loss.backward()", "more = {0} * {1}", "more.backward()"]
AGAIN_WITH_SHAPES = ["loss.backward()", "more = {0} * {0}", "more = more.mean()", "more.backward()"]


@exercise("12.6")
def a_leaf_that_keeps_the_sum(run):
    made = [*programs(6, SUMS, endings=[["loss.backward()"], AGAIN]),
            *programs(6, SUMS, 50, endings=[AGAIN_WITH_SHAPES], shapes=True)]
    with _in_use("accumulate", run):
        agree(made)
        return _agrees(made, "What is kept adds up from one backward to the next, until someone clears it.",
                       "x loss more", "x = leaf(2.0)", "loss = x * x", *(line.format("x", "x") for line in AGAIN))


@exercise("12.7")
def saved_tensors_that_are_freed(run):
    retain, free = "loss.backward(retain_graph=True)", "loss.backward()"
    made = programs(7, SUMS, endings=[[free], [free, free], [retain, free], [retain, retain, free], [retain, free, free]])
    with _in_use("evaluate", run):
        agree(made)
        for program in made:
            _saved_as_in_pytorch(program)
        return _agrees(made, "backward frees what the nodes have saved. The nodes stay.", *FORK, "loss.backward()")


def _saved_as_in_pytorch(program):
    ours, theirs = run_ours(program), run_pytorch(program)
    if ours.error is not None and not str(ours.error.__context__ or ours.error).strip():
        raise Wrong("Your RuntimeError says nothing to its reader.", Played(Difference("", program, ours, theirs)))
    for name, node in ours.nodes.items():
        if node.saved and ours.error is None and theirs.received[name]:
            sentence = f"After the last backward, the node of {name} still holds {len(node.saved)} saved tensors."
            raise Wrong(sentence, Played(Difference(sentence, program, ours, theirs, name)))


@exercise("12.8")
def a_value_without_its_past(run):
    value = Value(2.0) * Value(3.0, requires_grad=True)
    result = run(value)
    if isinstance(result, Value) and result is not value and result.data.data_ptr() != value.data.data_ptr():
        raise Wrong("The result has a copy of the numbers. In PyTorch, both lie on one memory.")
    made = programs(8, [*SUMS, "detach"])
    with _in_use("detach", run):
        agree(made)
        return _agrees(made, "A detached value has the same numbers, and nothing leads back from it.",
                       "x b loss", "x = leaf(2.0)", "a = x * x", "b = a.detach()", "loss = b * x", "loss.backward()")


@exercise("12.9")
def a_time_without_recording(run):
    made = programs(9, [*SUMS, "no_grad", "nested"])
    with _in_use("no_grad", run):
        agree(made)
        with contextlib.suppress(KeyError), contextlib.contextmanager(run)():
            raise KeyError
        still, grad_mode.enabled = grad_mode.enabled, True
        if not still:
            raise Wrong("After an error inside the with block, recording stays off.")
        return _agrees(made, "no_grad records nothing, and afterwards all is as it was before.",
                       "x a loss", "x = leaf(2.0)", "with no_grad(): a = x * x", "loss = a * x", "loss.backward()")


@exercise("12.10")
def the_rule_of_a_matrix_product(run):
    torch.manual_seed(12)
    gradient, a, b = (torch.randint(-2, 4, shape).float() for shape in ((2, 3), (2, 1), (1, 3)))
    numbers = f"a = {words(a)}, b = {words(b)} and the gradient {words(gradient)}"
    _same_as_the_node(run, gradient, a, b, torch.matmul, numbers)
    made = programs(10, [*SUMS, "matmul"], shapes=True)
    with _in_use("matmul_backward", run):
        agree(made)
        return _agrees(made, "A gradient has the shape of its matrix.", "x loss", "x = leaf([[2.0, 1.0]])",
                       "c = constant([[1.0], [3.0]])", "a = x @ c", "loss = a.mean()", "loss.backward()")


@exercise("12.11")
def a_gradient_of_the_right_shape(run):
    made = programs(11, [*SUMS, "matmul"], shapes=True)
    with _in_use("sum_to", run):
        agree(made)
        return _agrees(made, "To be repeated is a fork too: the gradients of all copies are added.",
                       "x loss", "x = leaf([1.0, 2.0])", "c = constant([[2.0, 1.0], [3.0, 1.0]])", "a = x + c",
                       "loss = a.mean()", "loss.backward()")


def network(x, w1, b1, w2, b2):
    """Two layers, of our values or of PyTorch's tensors."""
    return (x @ w1 + b1).tanh() @ w2 + b2


@exercise("12.12")
def a_step_of_training(run):
    torch.manual_seed(12)
    x = torch.linspace(-1, 1, 8)[:, None]
    target = x ** 2
    start = [torch.randn(1, 4), torch.randn(4), torch.randn(4, 1), torch.randn(1)]
    theirs, ours = [numbers.clone().requires_grad_() for numbers in start], [Value(numbers.clone(), True) for numbers in start]
    optimizer, moves, losses = torch.optim.SGD(theirs, 0.1), [], []
    with _in_use("step", run):
        for number in range(1, 21):
            loss, their_loss = _loss(ours, Value(x), Value(-target)), _loss(theirs, x, -target)
            before = [parameter.data.clone() for parameter in ours]
            optimizer.zero_grad()
            their_loss.backward()
            optimizer.step()
            run(loss, ours, 0.1)
            moves.append([0.1 * parameter.grad for parameter in theirs])
            losses.append(loss.data.item())
            _same_step(number, ours, before, moves, theirs)
    return Idea(f"It agrees with torch.optim.SGD on 20 steps: the loss goes from {losses[0]:.3g} to {losses[-1]:.3g}.")


def _loss(parameters, x, minus_target):
    error = network(x, *parameters) + minus_target
    return (error * error).mean()


def _same_step(number, ours, before, moves, theirs):
    """Compare the parameters after a step. moves: how far PyTorch's have gone in each step so far."""
    now = [parameter.data for parameter in ours]
    if not all(isinstance(numbers, torch.Tensor) and numbers.shape == old.shape for numbers, old in zip(now, before)):
        raise Wrong(f"After step {number}, the data of a parameter is no tensor, or has another shape.")
    if _close(now, theirs):
        return
    if _close(now, before):
        raise Wrong(f"In step {number}, no parameter has changed.")
    if _close(now, [old + move for old, move in zip(before, moves[-1])]):
        raise Wrong(f"In step {number}, each parameter goes uphill, to where the loss is larger.")
    if number > 1 and _close(now, [old - move - last for old, move, last in zip(before, moves[-1], moves[-2])]):
        raise Wrong(f"Step 1 agrees with PyTorch. In step {number}, the gradients of both steps move the parameters.")
    raise Wrong(f"After step {number}, the parameters are others than those of torch.optim.SGD.")


def _close(ours, theirs):
    return all(torch.allclose(one, other, rtol=1e-4) for one, other in zip(ours, theirs))
