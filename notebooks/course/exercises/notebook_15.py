"""The checks of notebook 15, the clinic of processes and precision."""

import copy

import torch
from torch import distributed, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from ..checking import Idea, Wrong, exercise, quietly
from ..processes import count_all_reduces
from ..running import Run

PROCESSES = 2
SLACK = {"rtol": 1e-4, "atol": 1e-6}


class _TwoTasks(nn.Module):
    """A body with two heads. It returns a loss for each of them."""

    def __init__(self):
        super().__init__()
        self.body, self.cats, self.cars = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)

    def forward(self, x):
        features = self.body(x).tanh()
        return (self.cats(features) - 1).square().mean(), (self.cars(features) + 1).square().mean()


def _copied(net, prefix):
    return {name: weight.detach().clone() for name, weight in _named(net, prefix).items()}


def _everywhere(tensor):
    """The tensor as each process has it."""
    every = [torch.empty_like(tensor) for _ in range(PROCESSES)]
    distributed.all_gather(every, tensor.detach().contiguous())
    return every


def _inputs(rank, count):
    """The batches of a process."""
    torch.manual_seed(10 + rank)
    return [torch.randn(3, 2) for _ in range(count)]


def _mean_steps(net, losses, steps, prefix):
    """The weights after steps of SGD with the mean gradient of all processes. losses(net, rank, step): a loss."""
    optimizer = SGD(net.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        sum(losses(net, rank, step) for rank in range(PROCESSES)).div(PROCESSES).backward()
        optimizer.step()
    return {name: weight.detach() for name, weight in _named(net, prefix).items()}


def _compare(run, start, expected):
    """Raise Wrong unless each process has the expected weights: those of `run.names`. It is said alike in each process."""
    for name, weight in run.names.items():
        every = _everywhere(weight)
        if not torch.allclose(*every, **SLACK):
            most = (every[0] - every[1]).abs().argmax()
            raise Wrong(f"No error comes, but the processes have other weights: one number of {name} is "
                        f"{' and '.join(f'{each.flatten()[most].item():.6g}' for each in every)}.", *_place(run, name))
    for name, weight in run.names.items():
        if torch.equal(weight, start[name]) and not torch.allclose(weight, expected[name], **SLACK):
            raise Wrong(f"The processes agree, but {name} has the numbers that it had before the first step.", *_place(run, name))
    for name, weight in run.names.items():
        if not torch.allclose(weight, expected[name], **SLACK):
            raise Wrong(f"The processes agree, but {name} has other numbers than the mean of the gradients gives.",
                        *_place(run, name))


def _place(run, name):
    """The graph of the last pass with a mark on a parameter, and the line that ran it."""
    if not run.passes:
        return None, ""
    last = run.passes[-1]
    is_there = last.view is not None and any(name in tensor.names for tensor in last.view.snapshot.tensors)
    return last.view.mark(name, "its numbers are not as they should be") if is_there else last.view, last.line


def _named(net, prefix):
    """The parameters by the names that the learner's function has for them."""
    return dict(net.named_parameters(prefix=prefix))


@exercise("15.1")
def two_losses_in_processes(run):
    view = run.in_processes(PROCESSES, _two_losses)
    return Idea("Both losses are one sum, so each parameter gets one gradient, and DDP takes its mean.", view)


def _two_losses(rank, answer):
    torch.manual_seed(0)
    net, run, steps = _TwoTasks(), Run(answer), 2
    start, batches = _copied(net, "net.module"), _inputs(rank, steps)
    expected = _mean_steps(copy.deepcopy(net), lambda net, rank, step: sum(net(_inputs(rank, steps)[step])), steps, "net.module")
    wrapped, run.names = DistributedDataParallel(net), _named(net, "net.module")
    optimizer = SGD(net.parameters(), lr=0.1)
    for x in batches:
        quietly(run, wrapped, optimizer, x)
    _compare(run, start, expected)
    return run.last_pass().view


@exercise("15.2")
def tasks_in_turn(run):
    view = run.in_processes(PROCESSES, _tasks_in_turn)
    return Idea("Another head is unused in each step. Either DDP looks which one, or each gets a gradient, even one of zeros.",
                view)


def _tasks_in_turn(rank, answer):
    torch.manual_seed(0)
    net, run, tasks = _TwoTasks(), Run(answer), (0, 1, 1, 0)
    start, batches = _copied(net, "net"), _inputs(rank, len(tasks))
    expected = _mean_steps(copy.deepcopy(net), lambda net, rank, step: net(_inputs(rank, len(tasks))[step])[tasks[step]],
                           len(tasks), "net")
    run.names = _named(net, "net")
    try:
        quietly(run, net, list(zip(batches, tasks)))
    except Wrong as wrong:
        if "finished reduction" in str(wrong) and run.passes:
            view, snapshot = run.last_pass().view, run.last_pass().view.snapshot
            reached = {name for node in snapshot.nodes if node.leaf is not None for name in snapshot.tensors[node.leaf].names}
            waits = next(name for name in run.names if name not in reached)
            wrong.picture = view.mark(len(snapshot.nodes), f"no way leads from here to {waits}")
        raise
    _compare(run, start, expected)
    return run.last_pass().view


@exercise("15.3")
def accumulation_in_processes(run):
    view = run.in_processes(PROCESSES, _accumulation)
    return Idea("The gradients of all batches but the last stay in their process. Then the mean is taken once.", view)


def _accumulation(rank, answer):
    torch.manual_seed(0)
    net, run, count = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh(), nn.Linear(2, 1, bias=False)), Run(answer), 3
    start, batches = _copied(net, "net.module"), _inputs(rank, count)
    expected = _mean_steps(copy.deepcopy(net), lambda net, rank, step: sum(net(x).mean() for x in _inputs(rank, count)) / count,
                           1, "net.module")
    wrapped, run.names = DistributedDataParallel(net), _named(net, "net.module")
    optimizer = SGD(net.parameters(), lr=0.1)
    all_reduces = count_all_reduces(lambda: quietly(run, wrapped, optimizer, batches))
    _compare(run, start, expected)
    if all_reduces != 1:
        raise Wrong(f"The weights are right. But the processes talked {all_reduces} times in one step.", *_place(run, ""))
    return run.last_pass().view


@exercise("15.4")
def a_scaled_step(run):
    torch.manual_seed(4)
    net = nn.Linear(2, 1, bias=False)
    twin, batches, before = copy.deepcopy(net), [3 * torch.randn(4, 2) for _ in range(3)], torch.zeros(1, 2)
    optimizer, scaler = SGD(net.parameters(), lr=0.1, momentum=0.9), GradScaler("cpu")
    other, run.names = SGD(twin.parameters(), lr=0.1, momentum=0.9), {"net.weight": net.weight}
    for step in (1, 2):
        other.zero_grad()
        sum(twin(x).square().mean() for x in batches).div(len(batches)).backward()
        full = twin.weight.grad.clone()
        nn.utils.clip_grad_norm_(twin.parameters(), max_norm=1)
        other.step()
        calls = _steps(run, net, optimizer, scaler, batches)
        if not run.passes:
            raise Wrong("No backward pass ran in your function.")
        if step == 2:
            left = full + before / scaler.get_scale()
            if calls and torch.allclose(calls[0], left / max(1, left.norm()), **SLACK):
                raise Wrong("In step 2, a part of the gradient of step 1 is still there.", *_place(run, "net.weight"))
        _right_step(run, calls, twin.weight.grad, full)
        if scaler._scale is None:
            raise Wrong("The step is right. But the loss was not scaled.", *_place(run, "net.weight"))
        if not torch.allclose(net.weight, twin.weight, **SLACK):
            raise Wrong(f"Step {step} gives net.weight other numbers than the clipped gradient gives it.",
                        *_place(run, "net.weight"))
        if scaler._per_optimizer_states:
            raise Wrong("The step is right. But the scaler was not updated: the next step would raise.")
        scaler.update(2.0)      # with a large scale, what is left of an earlier step would not be seen
        before = twin.weight.grad.clone()
    last, start = run.last_pass(), net.weight.detach().clone()
    calls = _steps(run, net, optimizer, scaler, [1e30 * x for x in batches])
    if calls or not torch.equal(net.weight, start):
        raise Wrong("The step is right. But where a gradient is inf, the optimizer must not step, and it did: the first number "
                    f"of net.weight is {net.weight.flatten()[0].item():.4g}.", *_place(run, "net.weight"))
    return Idea("The gradients of all batches have one scale. When all have come, they are divided by it once, and then clipped.",
                last.view)


def _steps(run, net, optimizer, scaler, batches):
    """Run the answer once, and return the gradient at each step of the optimizer."""
    found = []
    handle = optimizer.register_step_post_hook(lambda *_: found.append(net.weight.grad.clone()))
    try:
        quietly(run, net, optimizer, scaler, batches)
    finally:
        handle.remove()
    return found


def _right_step(run, calls, clipped, full):
    if not calls:
        raise Wrong("The optimizer made no step.")
    if len(calls) > 1:
        raise Wrong(f"The optimizer made {len(calls)} steps, and the batches make one.", *_place(run, "net.weight"))
    gradient, = calls
    norm = gradient.norm().item()
    if torch.allclose(gradient, clipped, **SLACK):
        return
    if torch.allclose(gradient, full, **SLACK):
        raise Wrong(f"The gradient is right, and it is not clipped: its norm is {norm:.4g} at the step.",
                    *_place(run, "net.weight"))
    if norm < 1e-3:
        raise Wrong(f"At the step, the norm of the gradient is {norm:.1e}. It was small before it was divided by the scale.",
                    *_place(run, "net.weight"))
    if norm > 100:
        raise Wrong(f"At the step, the norm of the gradient is {norm:.4g}: it was not divided by the scale.",
                    *_place(run, "net.weight"))
    raise Wrong("At the step, the gradient is not that of all batches, clipped.", *_place(run, "net.weight"))


def _programs():
    """For each program: its weight, its loss, its results by name, and the name that is to be found."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    difference = torch.tensor([[1.0, 1.0], [0.0, 0.0]]) @ w
    squares = difference.square()
    distance = squares.sqrt()
    yield w, distance.mean(), {"difference": difference, "squares": squares, "distance": distance}, "squares"
    h = 2 * w
    scores = h.tanh()
    yield w, scores.sum(), {"h": h, "scores": scores}, None
    shifted = w - 1
    logs = (shifted + 1).log()
    roots = shifted.sqrt()
    yield w, logs.sum() + 0 * roots.sum(), {"shifted": shifted, "logs": logs, "roots": roots}, "shifted"
    large = 1e30 * w
    larger = large * large
    yield w, 1e-38 * larger.sum(), {"large": large, "larger": larger}, None
    small = 1e-3 * w
    yield w, (3e38 * small).sum(), {"small": small}, None       # the sum of its gradient would be inf


@exercise("15.5")
def the_first_that_is_not_finite(run):
    for w, loss, results, expected in _programs():
        run.names = {"w": w, "loss": loss, **results}
        name = quietly(run, loss, dict(results))
        view, _ = run.show(run.names)
        if not (name is None or isinstance(name, str) and name in results):
            raise Wrong(f"The result is of type {type(name).__name__}, and not one of the names in results, or None.", view)
        if expected is None and name is not None:
            raise Wrong(f"Your function returns {name!r}. But the gradients of all results are finite here.",
                        view.mark(name, "its gradient is finite"))
        if name != expected:
            raise Wrong(f"Your function returns {name!r}. But on the way back, {expected!r} is the first whose gradient is not "
                        "finite.", view.mark(expected, "what comes here is not finite"))
        if w.grad is not None:
            raise Wrong("The name is right. But w.grad is filled: a gradient came to w.", view.mark("w", "its .grad is filled"))
        if any(result.retains_grad and result.grad is not None for result in results.values()):
            raise Wrong("The name is right. But a result has a .grad now, which it did not have before.", view)
        try:
            torch.autograd.grad(loss, w, retain_graph=True)
        except RuntimeError:
            raise Wrong("The name is right. But the graph was freed, and the program still needs it.", view) from None
    return Idea("All results may be finite, and a gradient is not. The guilty operation is the one that used this result.", view)
