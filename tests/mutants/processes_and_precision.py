"""Changes to DDP, to gradient scaling and to numbers that are not finite: notebook 15.

DDP runs in other processes than that of the notebook. A mutant of it lets these import `mutants.at_work`, which applies it there
too.
"""

import contextlib

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel

from course import processes
from mutants import noticed_at, patch
from mutants.messages import reword

AT_WORK = "mutants.at_work"


def in_its_processes():
    """Let the processes that the notebook starts be changed too. It comes last of what they load, or they would load it again."""
    if AT_WORK not in processes.LOADED:
        processes.LOADED.append(AT_WORK)


@noticed_at("15-26-raise")
def ready_twice_message_is_shorter():
    """The message of DDP about a parameter that is ready twice does not begin with "Expected to mark"."""
    in_its_processes()
    reword(torch.autograd, "backward", "Expected to mark a variable ready only once. ", "")


@noticed_at("15-26-options-run")
def static_graph_is_ignored():
    """DDP does as if `static_graph=True` was not given."""
    in_its_processes()
    patch(DistributedDataParallel, "__init__")(lambda init, *inputs, static_graph=False, **options: init(*inputs, **options))


@noticed_at("15-27-raise")
def unused_parameters_are_always_found():
    """DDP looks for unused parameters, unless `find_unused_parameters=False` is given."""
    in_its_processes()

    @patch(DistributedDataParallel, "__init__")
    def find(init, *inputs, find_unused_parameters=True, **options):
        init(*inputs, find_unused_parameters=find_unused_parameters, **options)


@noticed_at("15-05")
def gradients_are_summed_over_processes():
    """DDP takes the sum of the gradients over the processes, and not the mean."""
    in_its_processes()

    @patch(DistributedDataParallel, "__init__")
    def sum_up(init, net, module, **options):
        init(net, module, **options)
        for parameter in module.parameters():
            parameter.register_hook(lambda gradient: gradient * torch.distributed.get_world_size())


@noticed_at("15-28-sync-right")
def no_sync_is_ignored():
    """DDP takes the mean in `no_sync`, too."""
    in_its_processes()
    patch(DistributedDataParallel, "no_sync")(lambda no_sync, net: contextlib.nullcontext())


@noticed_at("15-28-wrong-ways")
def later_gradients_are_averaged():
    """DDP takes the mean of each gradient that comes, whichever forward pass it is of."""
    in_its_processes()

    @patch(DistributedDataParallel, "__init__")
    def average(init, net, module, **options):
        init(net, module, **options)
        for parameter in module.parameters():
            parameter.register_hook(mean)

    def mean(gradient):
        gradient = gradient.clone()
        torch.distributed.all_reduce(gradient)
        return gradient / torch.distributed.get_world_size()


@noticed_at("15-29-raise")
def unscale_may_be_called_twice():
    """A second `unscale_` in a step does nothing."""
    @patch(GradScaler, "unscale_")
    def unscale(original, scaler, optimizer):
        try:
            original(scaler, optimizer)
        except RuntimeError as error:
            if "already been called" not in str(error):
                raise


@noticed_at("15-29-fp16")
def gradients_of_16_bits_may_be_unscaled():
    """`unscale_` takes gradients of `float16`, too."""
    @patch(GradScaler, "_unscale_grads_")
    def unscale(original, scaler, optimizer, inverse, found, allow_fp16):
        return original(scaler, optimizer, inverse, found, True)


@noticed_at("15-30-clip-run")
def clipping_refuses_what_is_not_finite():
    """`clip_grad_norm_` raises for a norm that is not finite, unless `error_if_nonfinite=False` is given."""
    @patch(nn.utils, "clip_grad_norm_")
    def clip(original, parameters, max_norm, error_if_nonfinite=True, **options):
        return original(parameters, max_norm, error_if_nonfinite=error_if_nonfinite, **options)


@noticed_at("15-30-scaler-run")
def a_step_with_inf_is_made():
    """A `GradScaler` makes the step, whatever the gradients are."""
    @patch(GradScaler, "_maybe_opt_step")
    def step(original, scaler, optimizer, state, *inputs, **options):
        return optimizer.step(*inputs, **options)


@noticed_at("15-30-half-run")
def float16_products_are_of_32_bits():
    """The matrix product of tensors of `float16` is one of `float32`, under `autocast` too."""
    @patch(Tensor, "__matmul__")
    def multiply(original, tensor, other):
        if tensor.dtype != torch.float16:
            return original(tensor, other)
        with torch.autocast("cpu", enabled=False):
            return original(tensor.float(), other.float())
