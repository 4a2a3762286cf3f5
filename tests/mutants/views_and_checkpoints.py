"""Changes that meet views, checkpoints and compiled code: notebook 14."""

import torch
import torch._functorch.config
import torch.utils.checkpoint
import torch.utils.hooks
from torch import Tensor

from mutants import noticed_at, patch
from mutants.messages import reword


@noticed_at("14-22-hook")
def full_backward_hooks_copy_the_output():
    """A module with a full backward hook returns a copy of its output, and no view."""
    @patch(torch.utils.hooks.BackwardHook, "setup_output_hook")
    def setup_output_hook(original, hook, result):
        result = original(hook, result)
        return result.clone() if isinstance(result, Tensor) else result


@noticed_at("14-22b-split")
def chunk_makes_one_view_at_a_time():
    """`chunk` makes each of its views by itself, as a slice."""
    patch(Tensor, "chunk")(lambda chunk, tensor, chunks, dim=0: torch.tensor_split(tensor, chunks, dim))


@noticed_at("14-22c-memory")
def view_of_no_grad_is_not_called_ambiguous():
    """The message of a view that was made under `no_grad` does not say how to clarify the code."""
    reword(Tensor, "copy_", "Given that this use case is ambiguous and error-prone, it is forbidden. ", "It is forbidden. ")


@noticed_at("14-23-warning")
def old_checkpoints_do_not_warn():
    """A checkpoint with `use_reentrant=True` and no tracked input gives no warning."""
    patch(torch.utils.checkpoint, "check_backward_validity")(lambda original, inputs: None)


@noticed_at("14-23-silent")
def old_checkpoints_reach_the_weights():
    """A checkpoint with `use_reentrant=True` and no tracked input is recorded like one with `use_reentrant=False`."""
    @patch(torch.utils.checkpoint, "checkpoint")
    def checkpoint(original, function, *args, use_reentrant=None, **options):
        if use_reentrant and not any(isinstance(one, Tensor) and one.requires_grad for one in args):
            use_reentrant = False
        return original(function, *args, use_reentrant=use_reentrant, **options)


@noticed_at("14-23-default-code")
def checkpoints_take_the_new_form():
    """A checkpoint without `use_reentrant` takes `use_reentrant=False`, and does not warn."""
    @patch(torch.utils.checkpoint, "checkpoint")
    def checkpoint(original, function, *args, use_reentrant=None, **options):
        return original(function, *args, use_reentrant=bool(use_reentrant), **options)


@noticed_at("14-24-attention")
def checkpoints_do_not_compare_shapes():
    """A checkpoint compares the dtype and the device of what it computes again, and not the shape."""
    torch.utils.checkpoint._allowed_determinism_checks_to_fns[torch.utils.checkpoint._DEFAULT_DETERMINISM_MODE] = (
        lambda tensor: {"dtype": tensor.dtype, "device": tensor.device})


@noticed_at("14-24b-train")
def checkpoints_run_to_the_end():
    """The second run of a checkpoint goes to its end, and everything is compared."""
    @patch(torch.utils.checkpoint, "set_checkpoint_early_stop")
    def set_checkpoint_early_stop(original, enable):
        return original(False)


@noticed_at("14-25-loop")
def nothing_is_donated():
    """`torch.compile` donates no buffer."""
    torch._functorch.config.donated_buffer = False


@noticed_at("14-25-double-code")
def compiled_code_says_second_derivative():
    """The message about a double backward through compiled code says `second derivative`."""
    reword(torch.autograd, "backward", "double backward", "second derivative")
