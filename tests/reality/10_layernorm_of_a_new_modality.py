"""A video model with one more LayerNorm, for a modality that the first batches do not have.

Thread: https://github.com/Vision-CAIR/MiniGPT4-video/issues/37, 2024-08-28
Message: RuntimeError: Expected to have finished reduction in the prior iteration before starting a new one. This error
    indicates that your module has parameters that were not …
Cause: the new layer is in the model, but takes no part in the loss
Case: 27
Guilty: ln_audio.weight and ln_audio.bias, which got no gradient in the first iteration
"""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class VideoModel(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.ln_vision = nn.LayerNorm(width)
        self.ln_audio = nn.LayerNorm(width)
        self.projection = nn.Linear(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, video, audio=None):
        tokens = self.ln_vision(video)
        if audio is not None:
            tokens = torch.cat([tokens, self.ln_audio(audio)], dim=1)
        return self.head(self.projection(tokens).relu().mean(1))


class Runner:
    def __init__(self, model):
        self.model = DistributedDataParallel(model)
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def train(self, batches):
        for video, target in batches:
            loss = nn.functional.cross_entropy(self.model(video), target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", store=dist.FileStore(str(Path(folder) / "store"), 1), rank=0, world_size=1)
        try:
            Runner(VideoModel()).train([(torch.randn(2, 5, 8), torch.tensor([0, 2])) for _ in range(3)])
        finally:
            dist.destroy_process_group()
