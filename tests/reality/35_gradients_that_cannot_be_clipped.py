"""A segmentation with masks, whose trainer clips the gradients and refuses those that are not finite.

Thread: https://github.com/lightly-ai/lightly-train/issues/255, 2025-08-21
Message: …error_if_nonfinite=False…
Cause: the gradients are inf or nan before they are clipped; the part of the thread that we could read does not say by what.
    In this program a probability of exactly 1 comes into the logarithm of 1 - p
Case: 30
Guilty: (1 - probability).log() in MaskLoss.forward, whose backward divides by 0; mask_head.weight gets nan first
"""

import torch
from torch import nn


class MaskLoss(nn.Module):
    def forward(self, logits, masks):
        probability = logits.sigmoid()
        return -(masks * probability.log() + (1 - masks) * (1 - probability).log()).mean()


class EomtSegmentation(nn.Module):
    def __init__(self, width=8, queries=2):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.GELU())
        self.mask_head = nn.Conv2d(width, queries, 1)

    def forward(self, images):
        return self.mask_head(self.backbone(images))


class Fabric:
    def clip_gradients(self, module, max_norm, error_if_nonfinite=True):
        return nn.utils.clip_grad_norm_(module.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)


def train(steps=3):
    fabric, model, criterion = Fabric(), EomtSegmentation(), MaskLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(steps):
        images = torch.rand(1, 3, 6, 6) * (255 if step == 1 else 1)
        masks = (torch.rand(1, 2, 6, 6) > 0.5).float()
        loss = criterion(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        fabric.clip_gradients(model, max_norm=0.1)
        optimizer.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    train()
