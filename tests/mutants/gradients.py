"""Changes to what arrives in `.grad`, to several backward calls and to optimizers: notebooks 03 and 04."""

import warnings

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from mutants import noticed_at, patch
from mutants.graph_and_freeing import leaves_of


@noticed_at("03-10")
def retain_graph_is_ignored():
    """`backward(retain_graph=True)` frees the saved tensors all the same."""
    @patch(Tensor, "backward")
    def free(backward, tensor, *more, retain_graph=None, **named):
        backward(tensor, *more, retain_graph=False, **named)


@noticed_at("03-10")
def mean_does_not_divide_gradients():
    """The backward of `mean()` sends the whole gradient to each number, as that of `sum()` does."""
    @patch(Tensor, "mean")
    def send_all(mean, tensor, *dimensions, **named):
        result = mean(tensor, *dimensions, **named)
        count = tensor.numel() // result.numel()
        if result.requires_grad:
            result.register_hook(lambda gradient: gradient * count)
        return result


@noticed_at("03-15")
def retaining_lasts():
    """After `backward(retain_graph=True)`, later calls on the same result free nothing either."""
    @patch(torch.autograd, "_engine_run_backward")
    def remember(run, outputs, gradients, retain_graph, *more, **named):
        marks = [output.grad_fn.metadata for output in outputs]
        for mark in marks:
            mark["retained"] = mark.get("retained") or retain_graph
        return run(outputs, gradients, any(mark["retained"] for mark in marks), *more, **named)


@noticed_at("03-34")
def list_of_losses_runs_in_sequence():
    """`torch.autograd.backward` with a list of losses walks the graph once for each of them."""
    @patch(torch.autograd, "backward")
    def one_by_one(backward, tensors, *more, **named):
        if isinstance(tensors, Tensor) or len(tensors) == 1:
            return backward(tensors, *more, **named)
        *first, last = tensors
        for tensor in first:
            backward(tensor, retain_graph=True)
        backward(last)


@noticed_at("03-46")
def create_graph_frees():
    """`create_graph=True` does not keep the saved tensors, unless `retain_graph=True` is given too."""
    @patch(torch.autograd, "grad")
    def free(grad, *tensors, retain_graph=False, **named):
        return grad(*tensors, retain_graph=retain_graph, **named)


@noticed_at("03-51b")
def leaves_are_freed():
    """Backward frees the nodes of leaves too, so two graphs that share a leaf need `retain_graph`."""
    freed = set()

    @patch(Tensor, "backward")
    def free(backward, tensor, *more, retain_graph=None, **named):
        leaves = leaves_of([tensor])
        if leaves & freed:
            raise RuntimeError("Trying to backward through the graph a second time")
        backward(tensor, *more, retain_graph=retain_graph, **named)
        if not retain_graph:
            freed.update(leaves)


@noticed_at("03-59")
def step_counts_no_version():
    """`SGD.step()` changes the parameters without a new version."""
    @patch(SGD, "step")
    def keep_versions(step, optimizer):
        parameters = tuple(parameter for group in optimizer.param_groups for parameter in group["params"])
        with torch.autograd._unsafe_preserve_version_counter(parameters):
            step(optimizer)


@noticed_at("03-61b")
def linear_saves_its_weight_always():
    """A linear layer saves its weight even when its input is not tracked."""
    @patch(nn.Linear, "forward")
    def save(forward, layer, tensor):
        if torch.is_grad_enabled() and not tensor.requires_grad:
            tensor = tensor.detach().requires_grad_()
        return forward(layer, tensor)


@noticed_at("04-05")
def grad_is_overwritten():
    """Backward sets the `.grad` of a leaf anew, and adds nothing to it."""
    @patch(torch.autograd, "_engine_run_backward")
    def clear_first(run, outputs, *more, accumulate_grad, **named):
        if accumulate_grad:
            for leaf in leaves_of(outputs):
                leaf.grad = None
        return run(outputs, *more, accumulate_grad=accumulate_grad, **named)


@noticed_at("04-05")
def old_gradients_flow_again():
    """A later backward from the same result sends the gradients of the earlier ones once more."""
    @patch(torch.autograd, "_engine_run_backward")
    def send_again(run, outputs, gradients, *more, **named):
        marks = [output.grad_fn.metadata for output in outputs]
        for mark in marks:
            mark["calls"] = mark.get("calls", 0) + 1
        return run(outputs, tuple(g * mark["calls"] for g, mark in zip(gradients, marks)), *more, **named)


@noticed_at("04-10")
def results_keep_their_grad():
    """The result of an addition keeps its `.grad` without `retain_grad()`."""
    @patch(Tensor, "__add__")
    def keep(add, tensor, other):
        total = add(tensor, other)
        if total.requires_grad:
            total.retain_grad()
        return total


@noticed_at("04-12")
def retain_grad_is_ignored():
    """`retain_grad()` does nothing."""
    warnings.filterwarnings("ignore", "The .grad attribute")     # its text names a file that is another one in each run
    patch(Tensor, "retain_grad")(lambda retain_grad, tensor: None)


@noticed_at("04-17")
def what_a_hook_returns_is_ignored():
    """A hook on a tensor sees the gradient, and cannot replace it."""
    @patch(Tensor, "register_hook")
    def only_show(register_hook, tensor, hook):
        def show(gradient):
            hook(gradient)
        return register_hook(tensor, show)


@noticed_at("04-23")
def two_uses_count_once():
    """`y + y` sends its gradient to `y` once."""
    @patch(Tensor, "__add__")
    def count_once(add, tensor, other):
        return add(tensor, other.detach() if other is tensor else other)


@noticed_at("04-26")
def optimizer_zero_grad_fills_zeros():
    """`optimizer.zero_grad()` fills `.grad` with zeros, unless `set_to_none=True` is given."""
    patch(Optimizer, "zero_grad")(lambda zero_grad, optimizer, set_to_none=False: zero_grad(optimizer, set_to_none))


@noticed_at("04-26")
def module_zero_grad_fills_zeros():
    """`Module.zero_grad()` fills `.grad` with zeros, unless `set_to_none=True` is given."""
    patch(nn.Module, "zero_grad")(lambda zero_grad, module, set_to_none=False: zero_grad(module, set_to_none))


@noticed_at("04-26")
def module_zero_grad_does_nothing():
    """`Module.zero_grad()` leaves each `.grad` as it is."""
    patch(nn.Module, "zero_grad")(lambda zero_grad, module, set_to_none=True: None)


@noticed_at("04-26")
def zero_grad_clears_inputs():
    """`Module.zero_grad()` clears the `.grad` of the last inputs too."""
    nn.Module.last_inputs = ()

    @patch(nn.Module, "__call__")
    def remember(call, module, *inputs):
        module.last_inputs = inputs
        return call(module, *inputs)

    @patch(nn.Module, "zero_grad")
    def clear(zero_grad, module, set_to_none=True):
        zero_grad(module, set_to_none)
        for tensor in module.last_inputs:
            tensor.grad = None


@noticed_at("04-30")
def none_counts_as_zero():
    """`SGD.step()` takes a `.grad` that is `None` for zeros, so that momentum moves the parameter."""
    @patch(SGD, "step")
    def fill_first(step, optimizer):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        missing = [parameter for parameter in parameters if parameter.grad is None]
        for parameter in missing:
            parameter.grad = torch.zeros_like(parameter)
        step(optimizer)
        for parameter in missing:
            parameter.grad = None


@noticed_at("04-35")
def mse_loss_is_a_sum():
    """`mse_loss` is a sum over the samples, unless another `reduction` is given."""
    @patch(nn.functional, "mse_loss")
    def sum_up(mse_loss, *tensors, reduction="sum", **named):
        return mse_loss(*tensors, reduction=reduction, **named)


@noticed_at("04-55")
def grad_begins_with_zeros():
    """The `.grad` of a tracked leaf is zeros, and never `None`."""
    grad = Tensor.grad

    def read(tensor):
        if tensor.is_leaf and tensor.requires_grad and grad.__get__(tensor) is None:
            return torch.zeros_like(tensor)
        return grad.__get__(tensor)

    Tensor.grad = property(read, grad.__set__, grad.__delete__)


@noticed_at("04-58")
def autograd_grad_fills_grad():
    """`torch.autograd.grad` adds the gradients that it returns to `.grad` too."""
    @patch(torch.autograd, "grad")
    def fill(grad, outputs, inputs, *more, **named):
        gradients = grad(outputs, inputs, *more, **named)
        for tensor, gradient in zip([inputs] if isinstance(inputs, Tensor) else inputs, gradients):
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
        return gradients
