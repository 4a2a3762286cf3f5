"""A metric that is updated with the images of a generator in each step.

Thread: https://github.com/Lightning-AI/torchmetrics/issues/2597, 2024-06-14
Asked: During training, I see that my GPU ram memory increases non stop until overflow
Cause: the metric sums up tensors of the graph, which keep the graph of every batch ("metrics aren't supposed to be attached")
Case: 18
Guilty: train_metrics.total, which PeakSignalNoiseRatio.update adds to without detach
"""

import torch
from torch import nn


class PeakSignalNoiseRatio(nn.Module):
    def __init__(self):
        super().__init__()
        self.total, self.count = torch.zeros(()), 0

    def update(self, fake, real):
        error = (fake - real).square().flatten(1).mean(1)
        self.total = self.total + (-10 * torch.log10(error)).sum()
        self.count += len(fake)

    def compute(self):
        return self.total / self.count


class CycleGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
        self.train_metrics = PeakSignalNoiseRatio()

    def training_step(self, real):
        fake = self.generator(real)
        self.train_metrics.update(fake, real)
        return (fake - real).abs().mean()


def fit(model, steps=5):
    optimizer = torch.optim.Adam(model.generator.parameters())
    for _ in range(steps):
        loss = model.training_step(torch.rand(2, 3, 8, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss


if __name__ == "__main__":
    torch.manual_seed(0)
    model = CycleGAN()
    loss = fit(model)
    print("{'PSNR':", model.train_metrics.compute(), "}")
    # explain(model.train_metrics.total, model)
