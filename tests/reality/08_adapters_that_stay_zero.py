"""LoRA in all layers and in the head: the loss falls, and the adapters of the layers stay as they were.

Thread: https://github.com/locuslab/open-unlearning/issues/178, 2026-03-05
Asked: PEFT LoRA transformer layers not trained when gradient_checkpointing=True
Cause: the layers lie in reentrant checkpoints behind a frozen embedding; only the adapter of the head gets a gradient
Case: 23
Guilty: checkpoint(..., use_reentrant=True) in Backbone.forward; lora_A and lora_B of both layers have no gradient
"""

import warnings

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

warnings.filterwarnings("ignore", message="None of the inputs have requires_grad=True")


class Lora(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x))


class Backbone(nn.Module):
    def __init__(self, vocabulary=30, width=16):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Lora(nn.Linear(width, width)) for _ in range(2))
        self.head = Lora(nn.Linear(width, vocabulary))

    def forward(self, tokens):
        hidden = self.embed(tokens)
        for layer in self.layers:
            hidden = checkpoint(layer, hidden, use_reentrant=True).relu()
        return self.head(hidden)


def unlearn(model, steps=3):
    model.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora_" in name
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    tokens = torch.randint(30, (4, 9))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = -cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
    return loss


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Backbone()
    loss = unlearn(model)
    norms = {name: p.norm().item() for name, p in model.named_parameters() if "lora_B" in name}
    print(f"lora_B nonzero: {sum(norm > 1e-6 for norm in norms.values())}/{len(norms)}")
    # explain(loss, model)
