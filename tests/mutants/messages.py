"""Changes to error messages, and errors that no longer come: notebook 08."""

import warnings

import torch
from torch import Tensor, nn

from mutants import noticed_at, patch


def reword(owner, name, old, new, error=RuntimeError):
    """Write other words into an error message of a function, and let it be an error of another class."""
    @patch(owner, name)
    def reworded(original, *args, **options):
        try:
            return original(*args, **options)
        except (RuntimeError, ValueError) as raised:
            if old not in str(raised):
                raise
            message = str(raised).replace(old, new)
        raise error(message)


@noticed_at("08-04")
def second_backward_message_loses_its_beginning():
    """The message of a second backward begins with "Saved intermediate values"."""
    reword(torch.autograd, "backward", "Trying to backward through the graph a second time "
           "(or directly access saved tensors after they have already been freed). ", "")


@noticed_at("08-16")
def in_place_message_names_no_operation():
    """The message of a tensor changed in place does not say which operation made it."""
    reword(torch.autograd, "backward", ", which is output 0 of Exp,", "")


@noticed_at("08-33")
def transposed_weights_are_called_t():
    """The message of a changed weight says `output 0 of TBackward0`, and not `AsStrided`."""
    reword(torch.autograd, "backward", "output 0 of AsStrided", "output 0 of TBackward0")


@noticed_at("08-39")
def backward_without_a_graph_does_nothing():
    """`backward()` of a tensor without a graph does nothing, and raises no error."""
    patch(Tensor, "backward")(lambda backward, tensor, *args, **options:
                              backward(tensor, *args, **options) if tensor.requires_grad else None)


@noticed_at("08-48a")
def frozen_layers_are_tracked():
    """The output of a linear layer is tracked, even when the layer is frozen."""
    @patch(nn.Linear, "forward")
    def forward(original, layer, tensor):
        result = original(layer, tensor)
        return result if result.requires_grad or not torch.is_grad_enabled() else result.requires_grad_()


@noticed_at("08-50")
def backward_sums_several_numbers():
    """`backward()` of several numbers starts at their sum."""
    @patch(Tensor, "backward")
    def backward(original, tensor, gradient=None, **options):
        original(tensor, torch.ones_like(tensor) if gradient is None else gradient, **options)


@noticed_at("08-58")
def grad_allows_unused_tensors():
    """`torch.autograd.grad` gives `None` for a tensor that was not used, as with `allow_unused=True`."""
    patch(torch.autograd, "grad")(lambda grad, *args, **options: grad(*args, **{"allow_unused": True} | options))


@noticed_at("08-68")
def leaf_message_says_tensor():
    """The message of a leaf that is changed in place says `leaf Tensor`, and not `leaf Variable`."""
    reword(Tensor, "__isub__", "leaf Variable", "leaf Tensor")


@noticed_at("08-76")
def grad_of_a_result_gives_another_warning():
    """To read `.grad` of a result gives a `FutureWarning`."""
    grad = Tensor.grad

    def read(tensor):
        with warnings.catch_warnings(record=True) as caught:
            gradient = grad.__get__(tensor)
        for warning in caught:
            warnings.warn(str(warning.message), FutureWarning, stacklevel=2)
        return gradient

    Tensor.grad = property(read, grad.__set__, grad.__delete__)


@noticed_at("08-84")
def optimizers_refuse_results_with_a_type_error():
    """An optimizer that is given a result raises a `TypeError`."""
    reword(torch.optim.Optimizer, "add_param_group", "can't optimize", "can't optimize", error=TypeError)


@noticed_at("08-92")
def results_may_be_untracked():
    """`requires_grad = False` detaches a result, without an error."""
    flag = Tensor.requires_grad

    def write(tensor, requires_grad):
        if tensor.is_leaf or requires_grad:
            flag.__set__(tensor, requires_grad)
        else:
            tensor.detach_()

    Tensor.requires_grad = property(flag.__get__, write)


@noticed_at("08-99")
def tracked_whole_numbers_become_decimal():
    """`torch.tensor` of whole numbers with `requires_grad=True` makes decimal numbers of them."""
    @patch(torch, "tensor")
    def tensor(original, data, requires_grad=False, **options):
        made = original(data, **options)
        return made.to(torch.promote_types(made.dtype, torch.float32)).requires_grad_() if requires_grad else made


@noticed_at("08-105")
def numpy_takes_tracked_tensors():
    """`numpy()` of a tracked tensor gives its numbers, without an error."""
    patch(Tensor, "numpy")(lambda numpy, tensor: numpy(tensor.detach()))


@noticed_at("08-113")
def inference_tensors_are_cloned():
    """A multiplication of an inference tensor and a tracked tensor saves a normal copy of the first."""
    @patch(Tensor, "__mul__")
    def multiply(original, tensor, other):
        if tensor.is_inference() and not torch.is_inference_mode_enabled():
            tensor = tensor.clone()
        return original(tensor, other)


@noticed_at("08-119")
def sqrt_sends_back_no_nan():
    """The backward of `sqrt` at 0 sends back 0 where the gradient that arrives is 0."""
    @patch(Tensor, "sqrt")
    def sqrt(original, tensor):
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: gradient.nan_to_num(posinf=torch.inf, neginf=-torch.inf))
        return original(tensor)


@noticed_at("08-125a")
def anomaly_mode_names_no_node():
    """The message of anomaly detection about `nan` does not name the node."""
    reword(torch.autograd, "backward", "Function 'SqrtBackward0' returned", "A function returned")


@noticed_at("08-117a")
def clones_of_inference_tensors_are_like_them():
    """The clone of an inference tensor is an inference tensor, wherever it is made."""
    @patch(Tensor, "clone")
    def clone(original, tensor, **options):
        with torch.inference_mode(tensor.is_inference()):
            return original(tensor, **options)
