"""A language model with gradient checkpointing, whose cache of keys and values is left on.

Thread: https://github.com/pytorch/pytorch/issues/155171, 2025-06-04
Message: torch.utils.checkpoint.CheckpointError: torch.utils.checkpoint: Recomputed values for the following tensors have
    different metadata than during the forward pass. tensor at position …
Cause: the recomputation appends to the cache that the forward filled, so that the sequence is twice as long, 342 and not 171
    (the cause is named in shihao1895/MemoryVLA#18, 2026-03-27)
Case: 24
Guilty: Cache.update in Attention.forward, called once more by the recomputation of checkpoint
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint


class Cache:
    def __init__(self):
        self.layers = {}

    def update(self, index, key, value):
        if index in self.layers:
            old_key, old_value = self.layers[index]
            key, value = torch.cat([old_key, key], dim=1), torch.cat([old_value, value], dim=1)
        self.layers[index] = key, value
        return key, value


class Attention(nn.Module):
    def __init__(self, index, width):
        super().__init__()
        self.index = index
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, cache):
        query, key, value = self.qkv(x).chunk(3, -1)
        if cache is not None:
            key, value = cache.update(self.index, key, value)
        return x + self.out(scaled_dot_product_attention(query, key, value))


class Llama(nn.Module):
    def __init__(self, vocabulary=20, width=8, layers=2, use_cache=True):
        super().__init__()
        self.use_cache = use_cache
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Attention(index, width) for index in range(layers))
        self.lm_head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        hidden, cache = self.embed(tokens), Cache() if self.use_cache else None
        for layer in self.layers:
            hidden = checkpoint(layer, hidden, cache, use_reentrant=False)
        return self.lm_head(hidden)


if __name__ == "__main__":
    torch.manual_seed(0)
    model, batch = Llama(), torch.randint(20, (2, 9))
    normalized_loss = cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    normalized_loss.backward()
