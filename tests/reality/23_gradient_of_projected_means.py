"""Gaussians that are split where the gradient of their place on the screen is large.

Thread: https://github.com/nerfstudio-project/gsplat/issues/390, 2024-09-06
Asked: after loss.backward(), I can't access info[means2D].grad, and it is None
Cause: the place on the screen is a result, and keeps no gradient; info[means2D].retain_grad() before backward helped
Case: 20
Guilty: info["means2D"], made by rasterization, whose gradient nobody asked to keep
"""

import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")


class Gaussians(nn.Module):
    def __init__(self, count=10):
        super().__init__()
        self.means = nn.Parameter(torch.randn(count, 3))
        self.colors = nn.Parameter(torch.rand(count, 3))


def rasterization(means, colors, size=6):
    means2D = means[:, :2] / (means[:, 2:].abs() + 1)
    axis = torch.linspace(-1, 1, size)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)
    weights = torch.exp(-8 * (pixels - means2D).square().sum(-1))
    return weights @ colors, {"means2D": means2D}


class Strategy:
    def __init__(self, threshold=1e-3):
        self.threshold = threshold

    def step_post_backward(self, info):
        grads = info["means2D"].grad
        if grads is None:
            return None
        return (grads.norm(dim=-1) > self.threshold).nonzero()


if __name__ == "__main__":
    torch.manual_seed(0)
    gaussians = Gaussians()
    image, info = rasterization(gaussians.means, gaussians.colors)
    loss = (image - torch.rand_like(image)).abs().mean()
    loss.backward()
    print("to split:", Strategy().step_post_backward(info))
    means2D = info["means2D"]
    # explain(means2D, gaussians)
