"""How large gradients are."""

import math
from collections.abc import Sequence

import torch

from .snapshot import GradientSize, undisturbed

LARGEST_PART = 2**15    # numbers taken at once: more would be split among threads, which costs more than it saves


def size_of_gradient(grad: torch.Tensor | None) -> GradientSize | None:
    """Return how large a gradient is; None where there is none. What cannot be read, as on the meta device, has no norm."""
    if grad is None:
        return None
    with undisturbed(), torch.no_grad(), torch.inference_mode(False):
        try:
            return _read(grad.detach())
        except Exception:       # of a meta tensor, of a type that refuses, by code of its own
            return GradientSize(None)


def _read(grad: torch.Tensor) -> GradientSize:
    numbers = grad.numel()
    if grad.layout != torch.strided:        # all that is not in its values is zero
        grad = (grad.coalesce() if grad.layout == torch.sparse_coo else grad).values()
    norm = norm_of(grad)
    zeros = numbers - sum(int(part.count_nonzero()) for part in _parts(grad))
    if math.isfinite(norm):
        return GradientSize(norm, numbers, zeros)
    inf, nan = int(grad.isinf().sum()), int(grad.isnan().sum())
    return GradientSize(math.nan if nan else norm, numbers, zeros, inf, nan)


def norm_of(tensor: torch.Tensor) -> float:
    """The square root of the sum of the squares of a tensor's numbers."""
    wide = wide_type(tensor)
    has_norm = tensor.dtype.itemsize > 1 and (tensor.is_floating_point() or tensor.is_complex())
    return math.hypot(*(torch.linalg.vector_norm(part if has_norm else part.to(wide), dtype=wide).item()
                        for part in _parts(tensor)))


def wide_type(tensor: torch.Tensor) -> torch.dtype:
    """The type in which its numbers are summed: 16 bits overflow in a sum of squares."""
    return torch.complex128 if tensor.is_complex() else torch.float64


def _parts(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    """A large tensor in parts, so that no wide copy of all of it is made."""
    return tensor.flatten().split(LARGEST_PART) if tensor.numel() > LARGEST_PART else [tensor]
