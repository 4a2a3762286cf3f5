"""A masked autoencoder for several modalities, with the wrapper that scatters a batch.

Thread: https://github.com/ccarliu/m3ae/issues/15, 2024-06-18
Message: RuntimeError: A view was created in no_grad mode and is being modified inplace with grad mode enabled. This view was
    created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace
    would override the custom backward associated with the custom Function, leading…
Cause: the wrapper scatters the batch by a Function of its own, which returns views; the model writes learned patches into one
Case: 22
Guilty: x[index] = ... in MaskedUnet.forward, where x is a view that Scatter returned
"""

import torch
from torch import nn


class Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parts, batch):
        return batch.chunk(parts)

    @staticmethod
    def backward(ctx, *gradients):
        return None, torch.cat(gradients)


class MaskedUnet(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.limage = nn.Parameter(torch.zeros(1, size, size))
        self.encoder = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x, mask):
        for index in range(len(x)):
            x[index] = x[index] * mask + self.limage * (1 - mask)
        return self.encoder(x)


class DataParallel(nn.Module):
    def __init__(self, module, parts=2):
        super().__init__()
        self.module, self.parts = module, parts

    def forward(self, batch, mask):
        return torch.cat([self.module(part, mask) for part in Scatter.apply(self.parts, batch)])


def pretrain():
    torch.manual_seed(0)
    model = DataParallel(MaskedUnet())
    optimizer = torch.optim.AdamW(model.parameters())
    images, mask = torch.rand(4, 1, 6, 6), (torch.rand(6, 6) > 0.5).float()
    loss = (model(images, mask)[:, :1] - images).square().mean()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    pretrain()
