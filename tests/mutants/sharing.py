"""Changes to `detach`, `clone`, `.data`, in-place writes and version counters: notebook 05."""

import copy

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mutants import noticed_at, patch


@noticed_at("05-04")
def detach_does_not_cut():
    """`detach()` returns a view that is still inside the graph."""
    patch(Tensor, "detach")(lambda detach, tensor: tensor.view_as(tensor))


@noticed_at("05-10")
def detach_copies():
    """`detach()` copies the numbers instead of sharing them."""
    patch(Tensor, "detach")(lambda detach, tensor: detach(tensor).clone())


@noticed_at("05-12")
def zero_in_place_counts_no_version():
    """`zero_()` does not move the version counter."""
    @patch(Tensor, "zero_")
    def zero_(original, tensor):
        with torch.autograd._unsafe_preserve_version_counter(tensor):
            return original(tensor)


@noticed_at("05-16")
def data_shares_the_version_counter():
    """`.data` shares the version counter of its tensor, as `detach()` does."""
    Tensor.data = property(Tensor.detach, Tensor.data.__set__)


@noticed_at("05-25")
def relu_does_not_save_its_result():
    """`relu()` saves its input, so that its result may change."""
    patch(Tensor, "relu")(lambda relu, tensor: tensor.clamp(min=0))


@noticed_at("05-30")
def clone_cuts():
    """`clone()` returns a tensor outside the graph."""
    patch(Tensor, "clone")(lambda clone, tensor, **options: clone(tensor, **options).detach())


@noticed_at("05-30")
def clone_shares_memory():
    """`clone()` returns a view of the tensor, in the same memory."""
    patch(Tensor, "clone")(lambda clone, tensor, **options: tensor.view_as(tensor))


@noticed_at("05-30")
def view_copies():
    """`view()` copies the numbers before it looks at them."""
    patch(Tensor, "view")(lambda view, tensor, *shape: view(tensor.clone(), *shape))


@noticed_at("05-30")
def data_is_tracked():
    """`.data` is inside the graph."""
    untracked = Tensor.data

    class Data(Function):
        @staticmethod
        def forward(ctx, tensor):
            return untracked.__get__(tensor)

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    Tensor.data = property(Data.apply, untracked.__set__)


@noticed_at("05-33f")
def torch_tensor_keeps_the_graph():
    """`torch.tensor(t)` of a tensor copies it inside the graph."""
    @patch(torch, "tensor")
    def tensor(original, data, **options):
        return data.clone() if isinstance(data, Tensor) else original(data, **options)


@noticed_at("05-38")
def detach_in_place_does_nothing():
    """`detach_()` leaves the tensor in the graph."""
    patch(Tensor, "detach_")(lambda detach_, tensor: tensor)


@noticed_at("05-40")
def detach_in_place_accepts_a_view():
    """`detach_()` of a view returns a detached tensor, without an error."""
    patch(Tensor, "detach_")(lambda detach_, tensor: tensor.detach() if tensor._is_view() else detach_(tensor))


@noticed_at("05-43")
def detached_tensors_stay_untracked():
    """`requires_grad_()` leaves a detached tensor untracked."""
    @patch(Tensor, "detach")
    def detach(original, tensor):
        result = original(tensor)
        result.was_detached = True
        return result

    @patch(Tensor, "requires_grad_")
    def requires_grad_(original, tensor, requires_grad=True):
        return tensor if hasattr(tensor, "was_detached") else original(tensor, requires_grad)


@noticed_at("05-50")
def freezing_is_ignored():
    """`requires_grad_(False)` leaves a leaf tracked."""
    @patch(Tensor, "requires_grad_")
    def requires_grad_(original, tensor, requires_grad=True):
        return original(tensor) if requires_grad else tensor


@noticed_at("05-63")
def tracked_leaves_may_change_in_place():
    """`-=` changes a tracked leaf in place, and does not record it."""
    @patch(Tensor, "__isub__")
    def subtract_in_place(original, tensor, other):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not (tensor.is_leaf and tensor.requires_grad)):
            return original(tensor, other)


@noticed_at("05-26b")
def writes_into_a_part_count_no_version():
    """A write into a part of a tensor (`y[0] = 0`) does not move the version counter."""
    @patch(Tensor, "__setitem__")
    def setitem(original, tensor, *arguments):
        with torch.autograd._unsafe_preserve_version_counter(tensor):
            return original(tensor, *arguments)


@noticed_at("05-19e")
def batch_norm_counts_versions():
    """A call of batch norm in training moves the version counters of its running numbers."""
    @patch(nn.BatchNorm1d, "forward")
    def forward(original, layer, x):
        result = original(layer, x)
        if layer.training:
            layer.running_mean.add_(0)
            layer.running_var.add_(0)
        return result


@noticed_at("05-26h")
def a_square_in_place_copies_both():
    """`y *= y` keeps a copy of its other factor too."""
    patch(Tensor, "__imul__")(lambda imul, tensor, other: imul(tensor, other.clone() if other is tensor else other))


@noticed_at("05-26j")
def products_in_place_are_recorded_under_no_grad():
    """`*=` is recorded under `no_grad()` too."""
    @patch(Tensor, "__imul__")
    def multiply_in_place(original, tensor, other):
        with torch.enable_grad():
            return original(tensor, other)


@noticed_at("05-33k")
def torch_tensor_stacks():
    """`torch.tensor` of a list of tensors stacks them, inside the graph."""
    @patch(torch, "tensor")
    def tensor(original, data, **options):
        is_a_stack = isinstance(data, list) and data and all(isinstance(one, Tensor) for one in data)
        return torch.stack(data) if is_a_stack else original(data, **options)


@noticed_at("05-33q")
def state_dict_copies():
    """`state_dict()` gives copies of the parameters."""
    patch(nn.Module, "state_dict")(lambda state_dict, *arguments, **options: copy.deepcopy(state_dict(*arguments, **options)))


@noticed_at("05-33s")
def deepcopy_of_a_result_detaches():
    """`copy.deepcopy` of a result gives a copy outside the graph."""
    patch(Tensor, "__deepcopy__")(lambda deep, t, memo: deep(t, memo) if t.is_leaf else t.detach().clone())


@noticed_at("05-33u")
def slices_copy():
    """A slice of a tensor has memory of its own."""
    patch(Tensor, "__getitem__")(lambda get, t, index: get(t, index).clone() if isinstance(index, slice) else get(t, index))
