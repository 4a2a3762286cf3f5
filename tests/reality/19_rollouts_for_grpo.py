"""A policy that writes its answers under inference_mode, and learns from them.

Thread: https://github.com/jingyaogong/minimind/issues/754, 2026-05-03
Message: RuntimeError: Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in
    computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd,
    or use `torch.no_grad()` instead of `torch.inference_mode()`
Cause: the tokens of the answers are inference tensors; the embedding saves them, and so does gather
Case: 13
Guilty: outputs, made by generate under torch.inference_mode() in Rollout.__call__
"""

import torch
from torch import nn


class TinyPolicy(nn.Module):
    def __init__(self, vocabulary=20, width=8):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        return self.head(self.embed(tokens).cumsum(1))

    def generate(self, tokens, length):
        for _ in range(length):
            probabilities = self(tokens)[:, -1].softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(probabilities, 1)], dim=1)
        return tokens


class Rollout:
    def __init__(self, policy, length=5):
        self.policy, self.length = policy, length

    @torch.inference_mode()
    def __call__(self, prompts):
        return self.policy.generate(prompts, self.length)


def log_probabilities(policy, outputs):
    logits = policy(outputs[:, :-1])
    return logits.log_softmax(-1).gather(2, outputs[:, 1:, None])[..., 0]


def train(policy, steps=2):
    rollout = Rollout(policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    for _ in range(steps):
        outputs = rollout(torch.randint(20, (4, 3)))
        rewards = torch.randn(4, 1)
        loss = -(rewards * log_probabilities(policy, outputs)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    train(TinyPolicy())
