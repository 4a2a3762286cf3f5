"""Changes to what is recorded, what a graph saves, and what backward frees: notebooks 00, 01 and 02."""

import copy
import sys

import torch
from torch import Tensor, nn

from mutants import noticed_at, patch


def leaves_of(outputs):
    nodes = [output.grad_fn for output in outputs]
    for node in nodes:      # the list grows while we walk
        nodes += [other for other, _ in node.next_functions if other is not None and other not in nodes]
    return {node.variable for node in nodes if hasattr(node, "variable")}


@noticed_at("00-06")
def backward_never_frees():
    """Backward frees no saved tensors, as if each call had `retain_graph=True`."""
    @patch(torch.autograd, "_engine_run_backward")
    def retain(run, outputs, gradients, retain_graph, *more, **named):
        return run(outputs, gradients, True, *more, **named)


@noticed_at("01-05")
def sum_needs_all_terms_tracked():
    """A sum of two tensors is tracked only if both of them are."""
    @patch(Tensor, "__add__")
    def cut(add, tensor, other):
        total = add(tensor, other)
        untracked = isinstance(other, Tensor) and not (tensor.requires_grad and other.requires_grad)
        return total.detach() if untracked else total


@noticed_at("01-17")
def product_is_always_recorded():
    """`*` gets a node even if none of its inputs is tracked."""
    @patch(Tensor, "__mul__")
    def record(multiply, tensor, other):
        if tensor.requires_grad or not tensor.is_floating_point() or isinstance(other, Tensor) and other.requires_grad:
            return multiply(tensor, other)
        product = multiply(tensor.requires_grad_(), other)
        tensor.requires_grad_(False)
        return product


@noticed_at("01-21")
def parameters_begin_untracked():
    """`nn.Parameter` makes an untracked tensor, unless `requires_grad=True` is given."""
    patch(nn.Parameter, "__new__")(lambda new, cls, data=None, requires_grad=False: new(cls, data, requires_grad))


@noticed_at("01-27")
def only_tracked_tensors_are_leaves():
    """`is_leaf` is False for each tensor that is not tracked."""
    is_leaf = Tensor.is_leaf
    Tensor.is_leaf = property(lambda tensor: is_leaf.__get__(tensor) and tensor.requires_grad)


@noticed_at("01-30")
def tracked_integers_become_floats():
    """`torch.tensor` with `requires_grad=True` makes floating point numbers of integers."""
    @patch(torch, "tensor")
    def convert(make, data, *, requires_grad=False, **named):
        tensor = make(data, **named)
        if requires_grad and tensor.dtype == torch.int64:
            tensor = tensor.float()
        return tensor.requires_grad_(requires_grad)


@noticed_at("01-43")
def requires_grad_detaches_results():
    """`requires_grad_()` on a result takes it out of its graph."""
    @patch(Tensor, "requires_grad_")
    def detach_first(requires_grad_, tensor, requires_grad=True):
        return requires_grad_(tensor if tensor.is_leaf else tensor.detach_(), requires_grad)


@noticed_at("01-48")
def frozen_linear_stops_gradients():
    """A linear layer with a frozen weight sends no gradient on to the layers before it."""
    @patch(nn.functional, "linear")
    def cut(linear, data, weight, bias=None):
        return linear(data if weight.requires_grad else data.detach(), weight, bias)


@noticed_at("01-54")
def eval_freezes():
    """`Module.eval()` calls `requires_grad_(False)` on the parameters too."""
    patch(nn.Module, "eval")(lambda eval_, module: eval_(module).requires_grad_(False))


@noticed_at("01-54")
def modules_record_under_no_grad():
    """A module that is called under `torch.no_grad()` records all the same."""
    patch(nn.Module, "__call__")(lambda call, *inputs, **named: torch.enable_grad()(call)(*inputs, **named))


@noticed_at("01-58")
def inference_mode_is_no_grad():
    """`torch.inference_mode()` does what `torch.no_grad()` does, and nothing more."""
    patch(torch, "inference_mode")(lambda inference_mode, mode=True: torch.no_grad() if mode else inference_mode(mode))


@noticed_at("01-62")
def backward_ignores_gradient():
    """`backward(gradient=...)` counts each number of the result once, whatever `gradient` holds."""
    @patch(Tensor, "backward")
    def count_once(backward, tensor, gradient=None, *more, **named):
        backward(tensor, None if gradient is None else torch.ones_like(gradient), *more, **named)


@noticed_at("02-09")
def if_is_decided_once():
    """A Python `if` on a tensor takes the branch that it took in its first run."""
    answers = {}

    @patch(Tensor, "__bool__")
    def first_answer(bool_, tensor):
        frame = sys._getframe(2)        # of the code that asks: `patch` stands between
        if frame.f_globals["__name__"] != "__main__":       # code of PyTorch or seegrad, not of the notebook
            return bool_(tensor)
        return answers.setdefault((frame.f_code, frame.f_lineno), bool_(tensor))


@noticed_at("02-23")
def relu_saves_its_input():
    """`relu` saves its input instead of its result."""
    patch(Tensor, "relu")(lambda relu, tensor: nn.functional.threshold(tensor, 0.0, 0.0))


@noticed_at("02-36")
def backward_runs_once():
    """A second backward from the same result fails, also where the graph saved nothing."""
    @patch(torch.autograd, "_engine_run_backward")
    def count(run, outputs, gradients, retain_graph, *more, **named):
        for output in outputs:
            if "done" in output.grad_fn.metadata:
                raise RuntimeError("Trying to backward through the graph a second time.")
            if not retain_graph:
                output.grad_fn.metadata["done"] = True
        return run(outputs, gradients, retain_graph, *more, **named)


@noticed_at("02-44")
def sigmoid_holds_its_result_itself():
    """`sigmoid` keeps its result as an attribute of its node: it is no saved tensor, and backward does not free it."""
    class Sigmoid(torch.autograd.Function):
        @staticmethod
        def forward(ctx, tensor):
            ctx.result = torch.sigmoid(tensor)
            return ctx.result.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * ctx.result * (1 - ctx.result)

    patch(Tensor, "sigmoid")(lambda sigmoid, tensor: Sigmoid.apply(tensor))


@noticed_at("02-54")
def autograd_grad_frees_nothing():
    """`torch.autograd.grad` retains the graph, unless `retain_graph=False` is given."""
    @patch(torch.autograd, "grad")
    def retain(grad, *tensors, retain_graph=True, **named):
        return grad(*tensors, retain_graph=retain_graph, **named)


@noticed_at("02-59")
def failed_backward_is_undone():
    """A backward that fails sets each `.grad` back to what it was before."""
    @patch(torch.autograd, "_engine_run_backward")
    def undo(run, outputs, *more, **named):
        before = {leaf: copy.deepcopy(leaf.grad) for leaf in leaves_of(outputs)}
        try:
            return run(outputs, *more, **named)
        except RuntimeError:
            for leaf, gradient in before.items():
                leaf.grad = gradient
            raise


@noticed_at("01-31b")
def complex_numbers_cannot_be_tracked():
    """`torch.tensor` refuses to track complex numbers."""
    @patch(torch, "tensor")
    def tensor(original, data, **options):
        made = original(data, **options)
        if made.is_complex() and made.requires_grad:
            raise RuntimeError("Only Tensors of floating point dtype can require gradients")
        return made
