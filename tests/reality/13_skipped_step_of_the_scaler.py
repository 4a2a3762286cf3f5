"""A training with a GradScaler, which skips the step when the gradient is too large.

Thread: https://github.com/Haian-Jin/LVSM/pull/19, 2025-07-05
Message: RuntimeError: unscale_() has already been called on this optimizer since the last update().
Cause: scaler.update() is called with scaler.step() only, and a skipped step leaves the scaler as it was
Case: 29
Guilty: scaler.update() in the branch of train that is not taken; the next scaler.unscale_(optimizer) finds the old state
"""

import torch
from torch import nn


class Renderer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.Linear(32, 3))

    def forward(self, rays):
        return self.net(rays)


def batches(count):
    for step in range(count):
        yield torch.randn(16, 6), torch.randn(16, 3) * (100 if step == 2 else 1)


def train(model, grad_clip=1.0, allowed_gradnorm=5.0):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    for step, (rays, colors) in enumerate(batches(6)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.mse_loss(model(rays).float(), colors)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), grad_clip).item()
        if norm > allowed_gradnorm:
            print(f"WARNING: step {step} grad norm too large {norm} > {allowed_gradnorm}, skipping optimizer step")
        else:
            scaler.step(optimizer)
            scaler.update()


if __name__ == "__main__":
    torch.manual_seed(0)
    train(Renderer())
