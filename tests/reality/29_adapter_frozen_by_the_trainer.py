"""An adapter that was added before the trainer, which then prepares the model once more.

Thread: https://github.com/huggingface/trl/issues/3926, 2025-09
Asked: SFTTrainer freezes LoRA adapter when using PEFT model as argument
Cause: the preparation for quantized training freezes all parameters, and the trainer did it with the adapter already in; a
    hook makes the embeddings require a gradient, so that backward runs and grad_norm is 0 (the fix is in #4081)
Case: 21
Guilty: prepare_model_for_kbit_training(model) in SFTTrainer.__init__: no parameter requires a gradient
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Adapter(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x))


def prepare_model_for_kbit_training(model):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model[0].register_forward_hook(lambda module, inputs, output: output.requires_grad_(True))
    return model


def get_peft_model(model):
    model[1] = Adapter(model[1])
    return model


class SFTTrainer:
    def __init__(self, model):
        self.model = prepare_model_for_kbit_training(model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def train(self, steps=3):
        for _ in range(steps):
            tokens = torch.randint(20, (2, 8))
            loss = cross_entropy(self.model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            self.optimizer.zero_grad()
            loss.backward()
            grad_norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            print({"loss": round(loss.item(), 4), "grad_norm": grad_norm.item()})
        return loss


if __name__ == "__main__":
    torch.manual_seed(0)
    model = prepare_model_for_kbit_training(nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20)))
    trainer = SFTTrainer(get_peft_model(model))
    loss = trainer.train()
    # explain(loss, model)
