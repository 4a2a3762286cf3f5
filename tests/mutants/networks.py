"""Changes that meet whole networks: notebooks 06, 07 and 10."""

import inspect

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from mutants import noticed_at, patch
from mutants.graph_and_freeing import leaves_of


@noticed_at("06-18b")
def convolutions_send_back_too_much():
    """The backward of `conv2d` makes its gradients 1 % too large."""
    @patch(functional, "conv2d")
    def conv2d(original, *args, **options):
        result = original(*args, **options)
        if result.requires_grad:
            result.register_hook(lambda gradient: 1.01 * gradient)
        return result


@noticed_at("06-30")
def failed_backward_takes_its_gradients_back():
    """A backward that raises an error leaves every `.grad` as it was."""
    @patch(torch.autograd, "backward")
    def backward(original, tensors, *args, **options):
        roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        leaves = list(leaves_of(roots))
        before = [None if leaf.grad is None else leaf.grad.clone() for leaf in leaves]
        try:
            original(tensors, *args, **options)
        except RuntimeError:
            for leaf, gradient in zip(leaves, before):
                leaf.grad = gradient
            raise


@noticed_at("06-42")
def backward_of_a_list_takes_its_first_tensor():
    """`torch.autograd.backward` of several tensors starts at the first one only."""
    @patch(torch.autograd, "backward")
    def backward(original, tensors, *args, **options):
        original(tensors if isinstance(tensors, Tensor) else tensors[:1], *args, **options)


@noticed_at("06-42b")
def dropout_repeats_itself():
    """`dropout` drops the same numbers in each call."""
    @patch(functional, "dropout")
    def dropout(original, *args, **options):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return original(*args, **options)


@noticed_at("06-42b")
def batch_norm_keeps_its_mean():
    """`batch_norm` in training mode leaves the running mean and variance as they are."""
    @patch(functional, "batch_norm")
    def batch_norm(original, tensor, mean, variance, *args):
        return original(tensor, mean.clone(), variance.clone(), *args)


@noticed_at("06-58")
def modules_freeze_only_their_own_parameters():
    """`requires_grad_()` of a module does not reach the modules inside it."""
    @patch(nn.Module, "requires_grad_")
    def requires_grad_(original, module, requires_grad=True):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(requires_grad)
        return module


@noticed_at("06-70")
def adam_adds_a_larger_eps():
    """The `eps` of `Adam` is 1e-6, and not 1e-8."""
    patch(torch.optim.Adam, "__init__")(lambda init, *args, eps=1e-6, **options: init(*args, eps=eps, **options))


@noticed_at("07-11")
def relu_is_never_in_place():
    """`nn.ReLU(inplace=True)` makes a new tensor."""
    patch(functional, "relu")(lambda relu, tensor, inplace=False: relu(tensor))


@noticed_at("07-15")
def mse_loss_detaches_its_target():
    """`mse_loss` sends no gradient into its target."""
    @patch(functional, "mse_loss")
    def mse_loss(original, tensor, target, **options):
        return original(tensor, target.detach(), **options)


@noticed_at("07-43")
def hooks_run_once():
    """A hook on a tensor is removed after it has run."""
    @patch(Tensor, "register_hook")
    def register_hook(original, tensor, hook):
        def once(gradient):
            handle.remove()
            return hook(gradient)

        handle = original(tensor, once)
        return handle


@noticed_at("07-50a")
def modules_run_their_backward():
    """autograd calls the method `backward` of a module with the gradient of its output."""
    @patch(nn.Module, "__call__")
    def call(original, module, *args, **options):
        output = original(module, *args, **options)
        if hasattr(module, "backward") and inspect.signature(module.backward).parameters:
            output.register_hook(module.backward)
        return output


@noticed_at("07-57")
def backward_ignores_inputs():
    """`backward(inputs=...)` fills the `.grad` of all leaves."""
    @patch(torch.autograd, "backward")
    def backward(original, *args, inputs=None, **options):
        original(*args, **options)


@noticed_at("07-57")
def frozen_convolutions_save_no_input():
    """`conv2d` with a frozen weight does not save its input."""
    @patch(functional, "conv2d")
    def conv2d(original, tensor, weight, *args):
        return original(tensor, weight, *args) if weight.requires_grad else Convolution.apply(tensor, weight, *args)


class Convolution(Function):
    @staticmethod
    def forward(ctx, tensor, weight, bias, *geometry):
        ctx.shape, ctx.geometry = tensor.shape, geometry
        ctx.save_for_backward(weight)
        return torch.conv2d(tensor, weight, bias, *geometry)

    @staticmethod
    def backward(ctx, gradient):
        weight, = ctx.saved_tensors
        return nn.grad.conv2d_input(ctx.shape, weight, gradient, *ctx.geometry), *[None] * (2 + len(ctx.geometry))


@noticed_at("07-69")
def pooling_divides_by_the_side():
    """The backward of `avg_pool2d` divides by the side of the window (2), and not by its area (4)."""
    @patch(functional, "avg_pool2d")
    def avg_pool2d(original, *args):
        result = original(*args)
        if result.requires_grad:
            result.register_hook(lambda gradient: 2 * gradient)
        return result


@noticed_at("10-25")
def modules_freeze_by_an_attribute():
    """`module.requires_grad = False` freezes all parameters of the module."""
    @patch(nn.Module, "__setattr__")
    def set_attribute(original, module, name, value):
        original(module, name, value)
        if name == "requires_grad":
            module.requires_grad_(value)


@noticed_at("10-48")
def modules_in_a_list_are_known():
    """A list of modules that becomes an attribute of a module is a `ModuleList`."""
    @patch(nn.Module, "__setattr__")
    def set_attribute(original, module, name, value):
        are_modules = type(value) is list and value and all(isinstance(one, nn.Module) for one in value)
        original(module, name, nn.ModuleList(value) if are_modules else value)


@noticed_at("10-60")
def clipping_looks_at_each_gradient_alone():
    """`clip_grad_norm_` bounds the norm of each gradient by itself, and not that of all together."""
    @patch(nn.utils, "clip_grad_norm_")
    def clip_grad_norm_(original, parameters, *args, **options):
        for parameter in parameters:
            original([parameter], *args, **options)


@noticed_at("10-64b")
def clipping_skips_what_is_not_finite():
    """`clip_grad_norm_` leaves all gradients as they are if their norm is inf or nan."""
    @patch(nn.utils, "clip_grad_norm_")
    def clip_grad_norm_(original, parameters, *args, **options):
        parameters = list(parameters)
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters])
        return original(parameters, *args, **options) if norm.isfinite() else norm


@noticed_at("10-87c")
def buffers_detach_what_they_get():
    """A tensor that is assigned to a buffer of a module is detached."""
    @patch(nn.Module, "__setattr__")
    def set_attribute(original, module, name, value):
        original(module, name, value.detach() if name in vars(module).get("_buffers", ()) else value)


@noticed_at("10-88g")
def parameters_repeat_what_is_tied():
    """`parameters()` of a module gives a tied weight as often as it has names."""
    @patch(nn.Module, "parameters")
    def parameters(original, module, recurse=True):
        return (parameter for _, parameter in module.named_parameters(recurse=recurse, remove_duplicate=False))


@noticed_at("10-91")
def the_gradient_of_the_data_is_computed():
    """`conv2d` computes the gradient of its input, also where nobody asks for it."""
    @patch(functional, "conv2d")
    def conv2d(original, tensor, *args, **options):
        return original(tensor if tensor.requires_grad else tensor.detach().requires_grad_(), *args, **options)
