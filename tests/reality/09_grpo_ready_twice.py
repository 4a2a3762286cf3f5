"""Training with DDP, gradient checkpointing and a search for unused parameters.

Thread: https://github.com/modelscope/ms-swift/issues/3171, 2025-02-18
Message: RuntimeError: Expected to mark a variable ready only once. This error is caused by one of the following reasons: 1)
    Use of a module parameter outside the `forward` function. …
Cause: DDP does not see the parameters in a reentrant checkpoint and marks them ready at once; the checkpoint's own backward
    does it again (the thread's fix: use_reentrant false)
Case: 26
Guilty: the parameters of Policy.layers: checkpoint(..., use_reentrant=True) together with find_unused_parameters=True
"""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint


class Policy(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=True)
        return self.head(x).log_softmax(-1)


def train(ddp, steps=2):
    optimizer = torch.optim.AdamW(ddp.parameters())
    for _ in range(steps):
        prompts, advantages = torch.randn(6, 4), torch.randn(6)
        log_probabilities = ddp(prompts).gather(1, torch.randint(5, (6, 1)))[:, 0]
        loss = -(advantages * log_probabilities).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", store=dist.FileStore(str(Path(folder) / "store"), 1), rank=0, world_size=1)
        try:
            train(DistributedDataParallel(Policy(), find_unused_parameters=True))
        finally:
            dist.destroy_process_group()
