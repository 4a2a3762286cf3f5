"""Gaussian splatting with a rasterizer that was built for quaternions, and is given something else.

Thread: https://github.com/hbb1/2d-gaussian-splatting/issues/229, 2025-06-25
Message: RuntimeError: Function _RasterizeGaussiansBackward returned an invalid gradient at index 1 - got [182686, 4] but
    expected shape compatible with [182686, 3]
Here: RuntimeError: Function _RasterizeGaussiansBackward returned an invalid gradient at index 1 - got [50, 4] but expected
    shape compatible with [50, 3]
Cause: the backward that somebody wrote returns a gradient of another shape than that of the argument
Case: none
Guilty: _RasterizeGaussians.backward, whose second result has four columns where means2D has three
"""

import torch
from torch import nn


class _RasterizeGaussians(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means3D, means2D, opacities):
        ctx.save_for_backward(means3D, opacities)
        return (means3D.square().sum(1, keepdim=True) * opacities).sum(0)

    @staticmethod
    def backward(ctx, grad_image):
        means3D, opacities = ctx.saved_tensors
        grad_means3D = 2 * means3D * opacities * grad_image
        grad_means2D = torch.zeros(len(means3D), 4)
        grad_means2D[:, 2:] = grad_means3D[:, :2]
        return grad_means3D, grad_means2D, means3D.square().sum(1, keepdim=True) * grad_image


class GaussianModel(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.xyz = nn.Parameter(torch.randn(count, 3))
        self.opacity = nn.Parameter(torch.rand(count, 1))

    def render(self):
        screenspace_points = torch.zeros_like(self.xyz, requires_grad=True) + 0
        screenspace_points.retain_grad()
        image = _RasterizeGaussians.apply(self.xyz, screenspace_points, self.opacity.sigmoid())
        return image, screenspace_points


def training(iterations=2):
    gaussians = GaussianModel(50)
    optimizer = torch.optim.Adam(gaussians.parameters())
    for _ in range(iterations):
        image, points = gaussians.render()
        total_loss = (image - 1).abs().mean()
        total_loss.backward()
        optimizer.step()


if __name__ == "__main__":
    training()
