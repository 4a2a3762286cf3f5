"""Changes to own nodes, higher derivatives, checkpoints and hooks: notebook 09."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, FunctionMeta, once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from mutants import noticed_at, patch


@noticed_at("09-11a")
def own_nodes_run_twice():
    """The backward of a `Function` still finds its saved tensors in a second run."""
    wrap_each_backward(with_what_was_saved)

    @patch(FunctionCtx, "save_for_backward")
    def save_for_backward(original, ctx, *tensors):
        ctx.kept = tensors
        original(ctx, *tensors)


def wrap_each_backward(wrap):
    """Replace the backward of each `Function` that is defined from now on by `wrap(backward)`."""
    @patch(FunctionMeta, "__init__")
    def init(original, cls, name, bases, attributes):
        original(cls, name, bases, attributes)
        if "backward" in attributes:
            cls.backward = staticmethod(wrap(cls.backward))


def with_what_was_saved(backward):
    def replaced(ctx, *gradients):
        return backward(Lasting(ctx), *gradients)
    return replaced


class Lasting:
    """A context whose saved tensors are not freed."""

    def __init__(self, ctx):
        self.ctx = ctx

    def __getattr__(self, name):
        return getattr(self.ctx, "kept" if name == "saved_tensors" else name)


@noticed_at("09-17")
def own_nodes_save_copies():
    """`ctx.save_for_backward` saves a copy of each tensor."""
    @patch(FunctionCtx, "save_for_backward")
    def save_for_backward(original, ctx, *tensors):
        with torch.enable_grad():
            original(ctx, *[tensor.clone() for tensor in tensors])


@noticed_at("09-19")
def own_nodes_are_not_freed():
    """A `Function` holds what it has saved after backward, too."""
    @patch(FunctionCtx, "save_for_backward")
    def save_for_backward(original, ctx, *tensors):
        ctx.kept = tensors
        original(ctx, *tensors)


@noticed_at("09-25")
def gradcheck_passes_always():
    """`gradcheck` returns `True` whatever the backward does."""
    patch(torch.autograd, "gradcheck")(lambda gradcheck, *args, **options: True)


@noticed_at("09-29")
def gradcheck_tolerates_more():
    """The relative tolerance of `gradcheck` is 0.1, and not 0.001."""
    patch(torch.autograd, "gradcheck")(lambda gradcheck, *args, **options: gradcheck(*args, **{"rtol": 0.1} | options))


@noticed_at("09-32")
def create_graph_is_ignored():
    """`create_graph=True` retains the graph, and does not record the gradient."""
    @patch(torch.autograd, "grad")
    def grad(original, *args, create_graph=False, retain_graph=None, **options):
        return original(*args, retain_graph=retain_graph or create_graph, **options)


@noticed_at("09-36")
def own_backwards_are_not_recorded():
    """The backward of a `Function` is not recorded, as with `@once_differentiable`."""
    wrap_each_backward(once_differentiable)


@noticed_at("09-45")
def gradients_are_always_recorded():
    """`torch.autograd.grad` records the gradient when the graph is retained, without `create_graph=True`."""
    @patch(torch.autograd, "grad")
    def grad(original, *args, create_graph=False, retain_graph=None, **options):
        return original(*args, create_graph=create_graph or bool(retain_graph), retain_graph=retain_graph, **options)


@noticed_at("09-54")
def batched_gradients_run_one_by_one():
    """`torch.autograd.grad` with `is_grads_batched=True` runs backward once for each gradient."""
    @patch(torch.autograd, "grad")
    def grad(original, outputs, inputs, grad_outputs=None, is_grads_batched=False, **options):
        if not is_grads_batched:
            return original(outputs, inputs, grad_outputs, **options)
        rows = [original(outputs, inputs, row, **options | {"retain_graph": True}) for row in grad_outputs]
        return tuple(map(torch.stack, zip(*rows)))


@noticed_at("09-54")
def jacrev_gives_the_transpose():
    """`torch.func.jacrev` gives a column for each result, and a row for each input."""
    patch(torch.func, "jacrev")(lambda jacrev, function: lambda x: jacrev(function)(x).mT)


@noticed_at("09-62")
def functions_make_their_vmap():
    """`torch.func.vmap` makes its own rule for a `Function` that has none."""
    torch.autograd.Function.generate_vmap_rule = True


@noticed_at("09-76")
def checkpoint_is_always_reentrant():
    """`checkpoint` ignores `use_reentrant=False`."""
    patch(torch.utils.checkpoint, "checkpoint")(lambda checkpoint, function, *args, **options:
                                                checkpoint(function, *args, **options | {"use_reentrant": True}))


@noticed_at("09-78")
def checkpoint_draws_new_numbers():
    """`checkpoint` does not restore the state of the random numbers, as with `preserve_rng_state=False`."""
    patch(torch.utils.checkpoint, "checkpoint")(lambda checkpoint, *args, **options:
                                                checkpoint(*args, **{"preserve_rng_state": False} | options))


@noticed_at("09-81")
def checkpoint_runs_to_the_end():
    """`checkpoint` runs the whole block again, as with `early_stop=False`."""
    patch(torch.utils.checkpoint, "checkpoint")(lambda checkpoint, *args, **options:
                                                checkpoint(*args, **{"early_stop": False} | options))


@noticed_at("09-81")
def checkpoint_stores():
    """`checkpoint` stores what its block saves, and does not run it again."""
    patch(torch.utils.checkpoint, "checkpoint")(lambda checkpoint, function, *args, **options: function(*args))


@noticed_at("09-88")
def packed_tensors_are_guarded():
    """backward compares the version of a packed tensor with the one that it was packed at."""
    @patch(saved_tensors_hooks, "__init__")
    def init(original, hooks, pack_hook, unpack_hook):
        def pack(tensor):
            packed = pack_hook(tensor)
            if isinstance(packed, Tensor):
                packed.packed_at = packed._version
            return packed

        def unpack(packed):
            if isinstance(packed, Tensor) and packed._version != packed.packed_at:
                raise RuntimeError("one of the variables needed for gradient computation has been modified by an "
                                   "inplace operation")
            return unpack_hook(packed)

        original(hooks, pack, unpack)
