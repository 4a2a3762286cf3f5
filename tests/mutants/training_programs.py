"""Changes to recurrent layers, optimizers, copies and `retain_grad()`: notebook 13."""

import copy

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.optim import Optimizer

from mutants import noticed_at, patch
from mutants.messages import reword


@noticed_at("13-15-raise")
def lstms_detach_their_state():
    """An LSTM returns `h` and `c` without a graph."""
    @patch(nn.LSTM, "forward")
    def forward(original, *args, **options):
        out, state = original(*args, **options)
        return out, tuple(part.detach() for part in state)


@noticed_at("13-15-trapped")
def lstm_states_know_detach():
    """The state of an LSTM has a method `detach` of its own, which detaches both tensors."""
    class State(tuple):
        def detach(self):
            return State(part.detach() for part in self)

    @patch(nn.LSTM, "forward")
    def forward(original, *args, **options):
        out, state = original(*args, **options)
        return out, State(state)


class _LateLinear(Function):
    """A linear layer that saves its input only."""

    @staticmethod
    def forward(ctx, x, layer, weight, bias):
        ctx.save_for_backward(x)
        ctx.layer = layer
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return gradient @ ctx.layer.weight.detach(), None, gradient.T @ x, gradient.sum(dim=0)


@noticed_at("13-16-table")
def linear_layers_read_their_weight_in_backward():
    """A linear layer does not save its weight: its backward reads it when it runs."""
    patch(nn.Linear, "forward")(lambda forward, layer, x: _LateLinear.apply(x, layer, layer.weight, layer.bias))


@noticed_at("13-16-price")
def modules_clear_with_zeros():
    """`zero_grad()` of a module fills `.grad` with zeros, and does not set it to `None`."""
    @patch(nn.Module, "zero_grad")
    def zero_grad(original, module, set_to_none=False):
        for parameter in module.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        original(module, set_to_none)


@noticed_at("13-17-twice")
def optimizers_refuse_a_parameter_twice_in_one_group():
    """An optimizer raises an error for a parameter that is twice in one group, and gives no warning."""
    @patch(Optimizer, "add_param_group")
    def add(original, optimizer, group):
        parameters = list(group["params"]) if not isinstance(group["params"], Tensor) else [group["params"]]
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError("some parameters appear twice in one parameter group")
        return original(optimizer, group)


@noticed_at("13-17-shared")
def a_step_clears_the_gradients():
    """`step()` sets the `.grad` of its parameters to `None`."""
    @patch(torch.optim.SGD, "step")
    def step(original, optimizer, *args):
        result = original(optimizer, *args)
        optimizer.zero_grad()
        return result


@noticed_at("13-18-silent")
def a_number_plus_a_tensor_is_not_tracked():
    """The sum of a Python number and a tensor has no graph."""
    patch(Tensor, "__radd__")(lambda add, tensor, number: add(tensor, number).detach())


@noticed_at("13-18-float")
def float_does_not_warn():
    """`float()` of a tracked tensor gives no warning."""
    patch(Tensor, "__float__")(lambda convert, tensor: convert(tensor.detach()))


@noticed_at("13-19-raise")
def results_are_copied_without_their_graph():
    """`deepcopy` of a result gives its numbers without a graph, and no error."""
    patch(Tensor, "__deepcopy__")(lambda deepcopy, tensor, memo: deepcopy(tensor if tensor.is_leaf else tensor.detach(), memo))


@noticed_at("13-19-raise")
def the_message_of_deepcopy_names_no_weight_norm():
    """The message of a result that is copied ends after its first sentence."""
    reword(Tensor, "__deepcopy__", "  If you were attempting to deepcopy a module, this may be because of a "
           "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001", "")


@noticed_at("13-19-bandage")
def a_shallow_copy_is_a_deep_one():
    """`copy.copy` of a module copies its parameters too."""
    def shallow(module):
        other = module.__class__.__new__(module.__class__)
        other.__dict__.update(module.__dict__)
        for name in ("_parameters", "_buffers", "_modules"):
            other.__dict__[name] = copy.deepcopy(module.__dict__[name])
        return other

    nn.Module.__copy__ = shallow


@noticed_at("13-20-raise")
def retain_grad_takes_untracked_tensors():
    """`retain_grad()` of a tensor that is not tracked does nothing, and raises no error."""
    patch(Tensor, "retain_grad")(lambda retain, tensor: retain(tensor) if tensor.requires_grad else None)


@noticed_at("13-20-late")
def leaves_say_that_they_retain():
    """`retains_grad` of a tracked leaf is `True`."""
    flag = Tensor.retains_grad
    Tensor.retains_grad = property(lambda tensor: flag.__get__(tensor) or tensor.is_leaf and tensor.requires_grad)


@noticed_at("13-21-raise")
def optimizers_refuse_frozen_parameters():
    """An optimizer raises an error where none of its parameters is tracked."""
    @patch(Optimizer, "add_param_group")
    def add(original, optimizer, group):
        original(optimizer, group)
        if not any(p.requires_grad for p in optimizer.param_groups[-1]["params"]):
            raise ValueError("all parameters are frozen")


@noticed_at("13-21-empty")
def optimizers_take_an_empty_list():
    """An optimizer takes an empty list of parameters, and raises no error."""
    @patch(Optimizer, "__init__")
    def begin(original, optimizer, params, defaults):
        params = list(params)
        original(optimizer, params or [nn.Parameter(torch.zeros(1))], defaults)
        if not params:
            optimizer.param_groups[0]["params"] = []


@noticed_at("13-21-gradients")
def gradients_of_frozen_parameters_are_computed():
    """`requires_grad = False` of a parameter does nothing."""
    flag = Tensor.requires_grad
    Tensor.requires_grad = property(flag.__get__, lambda tensor, value: flag.__set__(tensor, True) if value else None)
