"""A plot of the heads of a detector.

Thread: https://github.com/XiaMooo/Yolo-Detect-Layer-Visualization/issues/1, 2024-06-13
Message: RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.
Cause: the outputs of the heads are tracked; detach() was missing before numpy()
Case: 12
Guilty: array.cpu().numpy() in plot_multi_heatmap; the array is an output of the detector, called without no_grad
"""

import torch
from torch import nn


class Detector(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.SiLU())
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(8, 5 + classes, 1) for _ in range(2))

    def forward(self, image):
        large = self.backbone(image)
        small = self.down(large)
        return [head(feature) for head, feature in zip(self.heads, (large, small))]


def plot_multi_heatmap(*arrays):
    rows = []
    for array in arrays:
        if isinstance(array, torch.Tensor):
            array = array.cpu().numpy()
        low, high = array.min(), array.max()
        rows.append(["".join(" .:*#"[int(4 * (x - low) / (high - low))] for x in line) for line in array])
    return rows


def objectness(outputs):
    return [output[0, 4].sigmoid() for output in outputs]


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Detector().eval()
    plot_multi_heatmap(*objectness(model(torch.rand(1, 3, 16, 16))))
