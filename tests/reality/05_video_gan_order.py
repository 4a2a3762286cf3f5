"""Two losses of a GAN, computed first; then the discriminator steps, then the generator.

Thread: https://github.com/psh01087/Vid-ODE/issues/6, 2024-04-29
Message: …inplace operation…
Cause: the step of the discriminator comes between the forward of the generator's loss and its backward; swapping the two
    helped
Case: 16
Guilty: a weight of netD, changed by optimizer_netD.step() before loss_netG.backward()
"""

import torch
from torch import nn
from torch.nn.functional import softplus


class FrameDiscriminator(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, frames):
        return self.body(frames)


def losses(netG, netD, frames):
    fake = netG(torch.randn(len(frames), 4))
    loss_netD = softplus(netD(fake.detach())).mean() + softplus(-netD(frames)).mean()
    loss_netG = softplus(-netD(fake)).mean() + (fake - frames).abs().mean()
    return loss_netD, loss_netG


def train(iterations=2):
    netG = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))
    netD = FrameDiscriminator()
    optimizer_netG = torch.optim.Adamax(netG.parameters(), lr=1e-3)
    optimizer_netD = torch.optim.Adamax(netD.parameters(), lr=1e-3)
    for _ in range(iterations):
        loss_netD, loss_netG = losses(netG, netD, torch.randn(5, 8))
        optimizer_netD.zero_grad()
        loss_netD.backward()
        optimizer_netD.step()
        optimizer_netG.zero_grad()
        loss_netG.backward()
        optimizer_netG.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    train()
