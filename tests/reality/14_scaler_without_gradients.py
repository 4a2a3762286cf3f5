"""A masked autoencoder with an own loss predictor, moved to volumes; only the scaler complains.

Thread: https://github.com/Haochen-Wang409/HPM/issues/10, 2024-05-24
Message: …No inf checks were recorded for this optimizer.
Cause: no parameter of the optimizer got a gradient (the thread: without the scaler the loss stays the same and nothing is
    updated); how they lost it is not said, and this program made its own choice: a copy of the model is trained
Case: 29
Guilty: optimizer, which holds the parameters of model and not those of student; all its gradients are None
"""

import copy

import torch
from torch import nn


class MaskedAutoencoder3D(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Conv3d(1, width, 2, stride=2)
        self.decode = nn.ConvTranspose3d(width, 1, 2, stride=2)

    def forward(self, volume):
        mask = torch.rand_like(volume) < 0.6
        restored = self.decode(torch.relu(self.embed(volume.masked_fill(mask, 0))))
        return (restored - volume).square()[mask].mean()


class NativeScaler:
    def __init__(self):
        self._scaler = torch.amp.GradScaler("cpu")

    def __call__(self, loss, optimizer):
        self._scaler.scale(loss).backward()
        self._scaler.step(optimizer)
        self._scaler.update()


def main():
    torch.manual_seed(0)
    model = MaskedAutoencoder3D()
    student, teacher = copy.deepcopy(model), copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_scaler = NativeScaler()
    for _ in range(2):
        volume = torch.rand(1, 1, 8, 8, 8)
        loss_scaler(student(volume) + 0 * teacher(volume), optimizer)


if __name__ == "__main__":
    main()
