"""An autoencoder in two processes, whose loss is computed with the module inside of DDP.

Thread: https://github.com/bytetriper/RAE/issues/40, 2025-11-07
Asked: the stage1 trainer uses model_woddp.decode for the forward pass, and this potentially blocks DDP from allreduce the
    grads
Cause: DDP prepares its reduction in its own forward, which is never called; each process trains a model of its own
Case: 28
Guilty: model_woddp.encode and model_woddp.decode in train, instead of a call of ddp
"""

import multiprocessing
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)

    def encode(self, images):
        return self.encoder(images)

    def decode(self, latents):
        return self.decoder(latents)

    def forward(self, images):
        return self.decode(self.encode(images))


def train(rank, world_size, store):
    dist.init_process_group("gloo", store=dist.FileStore(store, world_size), rank=rank, world_size=world_size)
    torch.manual_seed(0)
    ddp = DistributedDataParallel(Autoencoder())
    model_woddp = ddp.module
    optimizer = torch.optim.AdamW(ddp.parameters(), lr=0.01)
    torch.manual_seed(rank)
    for _ in range(3):
        images = torch.randn(4, 6)
        with torch.no_grad():
            latents = model_woddp.encode(images)
        loss = (model_woddp.decode(latents) - images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"rank {rank}: norm of the decoder {model_woddp.decoder.weight.norm():.4f}", flush=True)
    return loss, ddp


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        other = multiprocessing.get_context("fork").Process(target=train, args=(1, 2, store), daemon=True)
        other.start()
        loss, ddp = train(0, 2, store)
        # explain(loss, ddp)
        other.join(20)
        dist.destroy_process_group()
