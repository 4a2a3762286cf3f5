"""A generator that makes one image, and takes several steps with it.

Thread: https://github.com/tamarott/SinGAN/issues/183, 2024-07-13
Message: RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation:
    […FloatTensor [3, 32, 3, 3]] is at version 2; expected version 1 instead. …
Cause: the image is made once before the loop; after the first step of the generator its graph needs weights that are gone
    (explained in #148; the words are those of #152, which runs the same)
Case: 3
Guilty: netG.tail.weight, changed by optimizer_g.step() in the first turn of the loop of generator steps
"""

import torch
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, noise):
        return torch.tanh(self.tail(F.leaky_relu(self.head(noise), 0.2)))


def train_single_scale(netG, netD, real, steps_d=3, steps_g=3):
    optimizer_d = torch.optim.Adam(netD.parameters(), lr=5e-4)
    optimizer_g = torch.optim.Adam(netG.parameters(), lr=5e-4)
    for _ in range(steps_d):
        netD.zero_grad()
        fake = netG(torch.randn_like(real))
        error_d = netD(fake.detach()).mean() - netD(real).mean()
        error_d.backward()
        optimizer_d.step()
    for _ in range(steps_g):
        netG.zero_grad()
        error_g = -netD(fake).mean() + 10 * F.mse_loss(fake, real)
        error_g.backward(retain_graph=True)
        optimizer_g.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(3, 32, 3), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 3))
    train_single_scale(Generator(), discriminator, torch.rand(1, 3, 16, 16))
