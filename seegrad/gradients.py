"""How large the gradients of parameters are."""

import math

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
    wide = torch.complex128 if grad.is_complex() else torch.float64     # 16 bits overflow in a sum of squares
    parts = grad.flatten().split(LARGEST_PART)      # no wide copy of all of it is made
    norm = math.hypot(*(torch.linalg.vector_norm(part, dtype=wide).item() for part in parts))
    zeros = numbers - sum(int(part.count_nonzero()) for part in parts)
    if math.isfinite(norm):
        return GradientSize(norm, numbers, zeros)
    inf, nan = int(grad.isinf().sum()), int(grad.isnan().sum())
    return GradientSize(math.nan if nan else norm, numbers, zeros, inf, nan)
