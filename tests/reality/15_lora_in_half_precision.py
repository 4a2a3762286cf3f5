"""LoRA for a diffusion model that was loaded in half precision.

Thread: https://github.com/huggingface/diffusers/issues/10752, 2025-02-10
Message: ValueError: Attempting to unscale FP16 gradients.
Cause: the trained parameters themselves are of float16; a GradScaler wants them in float32
Case: 29
Guilty: unet.to(dtype=torch.float16) behind add_adapter, so that the trained parameters are halved too
"""

import torch
from torch import nn


class Adapter(nn.Module):
    def __init__(self, base, rank=4):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


class UNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.to_q, self.to_out = nn.Linear(width, width), nn.Linear(width, width)

    def add_adapter(self):
        self.requires_grad_(False)
        self.to_q = Adapter(self.to_q)

    def forward(self, latents):
        return self.to_out(self.to_q(latents).tanh())


def main():
    torch.manual_seed(0)
    unet = UNet()
    unet.add_adapter()
    unet.to(dtype=torch.float16)
    params_to_optimize = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params_to_optimize, lr=1e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    latents = torch.randn(2, 16, dtype=torch.float16)
    loss = (unet(latents) - torch.randn_like(latents)).float().square().mean()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(params_to_optimize, 1.0)
    scaler.step(optimizer)


if __name__ == "__main__":
    main()
