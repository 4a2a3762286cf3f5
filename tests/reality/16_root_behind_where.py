"""A root where a value is positive, and the value itself elsewhere.

Thread: https://github.com/pytorch/pytorch/issues/187297, 2026-06-15
Asked: PyTorch returns `nan` gradients, apparently due to the inactive `torch.sqrt(xt)` branch
Cause: backward goes through both branches; the root of a negative number gives nan, and nan times 0 is nan
Case: 14
Guilty: torch.sqrt(x) in SignedRoot.forward: its backward divides by nan
"""

import torch
from torch import nn


class SignedRoot(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, torch.sqrt(x), x)


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), SignedRoot(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x)


def step(model, x, y):
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    return loss


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Regressor()
    loss = step(model, torch.tensor([[-1.0, -4.0], [2.0, 1.0]]), torch.ones(2, 1))
    print("loss", loss.item())
    print("gradient", model.net[0].bias.grad)
    # explain(loss, model)
