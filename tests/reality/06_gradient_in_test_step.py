"""A filter that fits itself to each sequence, also while it is tested.

Thread: https://github.com/Lightning-AI/pytorch-lightning/issues/19910, 2024-05
Message: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn
Cause: the trainer calls test_step where gradients are switched off, and test_step calls backward ("working as intended")
Case: 4
Guilty: torch.no_grad() in Trainer.test, under which LitFilter.test_step makes its loss
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss


class LitFilter(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 12))

    def training_step(self, batch):
        return mse_loss(self.decoder(self.encoder(batch)), batch)

    def test_step(self, batch):
        loss = self.training_step(batch)
        self.zero_grad()
        loss.backward()
        return sum(parameter.grad.norm() for parameter in self.parameters())


class Trainer:
    def fit(self, model, batches):
        optimizer = torch.optim.Adam(model.parameters())
        for batch in batches:
            optimizer.zero_grad()
            model.training_step(batch).backward()
            optimizer.step()

    @torch.no_grad()
    def test(self, model, batches):
        model.eval()
        return [model.test_step(batch) for batch in batches]


if __name__ == "__main__":
    data = [torch.randn(4, 12) for _ in range(3)]
    lit, trainer = LitFilter(), Trainer()
    trainer.fit(lit, data)
    trainer.test(lit, data)
