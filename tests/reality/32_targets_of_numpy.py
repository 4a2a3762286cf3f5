"""A detector in space, whose targets come from NumPy.

Thread: https://github.com/Rickyyy-zh/yolov7_3d/issues/8, 2024-04-03
Message: …Found dtype Double but expected Float
Cause: in this program the targets are of float64: binary_cross_entropy computes with both, its backward does not; the thread
    says only that all losses were of float32
Case: none
Guilty: targets[:, 5] in ComputeLoss.__call__, of torch.float64, because torch.from_numpy keeps the dtype of NumPy
"""

import numpy as np
import torch
from torch import nn


class ComputeLoss:
    def __init__(self, weights=(1.0, 0.5)):
        self.box, self.object = weights

    def __call__(self, predictions, targets):
        loss_box = nn.functional.mse_loss(predictions[:, :5], targets[:, :5].float())
        loss_object = nn.functional.binary_cross_entropy(predictions[:, 5].sigmoid(), targets[:, 5])
        return (self.box * loss_box + self.object * loss_object).float()


class Boxes(torch.utils.data.Dataset):
    def __init__(self, count=8):
        generator = np.random.default_rng(0)
        self.points, self.boxes = generator.normal(size=(count, 5)), generator.uniform(size=(count, 6))

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return torch.from_numpy(self.points[index]).float(), torch.from_numpy(self.boxes[index])


def train():
    model, compute_loss = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 6)), ComputeLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for points, targets in torch.utils.data.DataLoader(Boxes(), batch_size=4):
        loss = compute_loss(model(points), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
