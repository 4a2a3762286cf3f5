"""LoRA in a frozen language model, with gradient checkpointing switched on.

Thread: https://github.com/locuslab/open-unlearning/pull/28, 2024-04-03
Message: RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn
Cause: the embeddings are frozen, so no input of a reentrant checkpoint requires a gradient, and its result has none;
    enable_input_require_grads() is the one line that the thread adds
Case: 23
Guilty: checkpoint(..., use_reentrant=True) in CausalLM.forward, whose input comes from a frozen embedding
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint


class LoraLinear(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x))


class CausalLM(nn.Module):
    def __init__(self, vocabulary=30, width=16, layers=2):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(layers))
        self.lm_head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        hidden = self.embed_tokens(tokens)
        for layer in self.layers:
            hidden = hidden + checkpoint(layer, hidden, use_reentrant=True)
        return self.lm_head(hidden)


def add_lora(model):
    model.requires_grad_(False)
    for layer in model.layers:
        layer[1] = LoraLinear(layer[1])
    return model


if __name__ == "__main__":
    torch.manual_seed(0)
    model = add_lora(CausalLM())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    batch = torch.randint(30, (2, 8))
    loss = cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    loss.backward()
    optimizer.step()
