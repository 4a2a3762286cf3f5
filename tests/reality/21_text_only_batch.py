"""A vision language model that is given a batch without an image.

Thread: https://github.com/modelscope/ms-swift/issues/4613, 2025-06-16
Message: RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.
Cause: the embedding is frozen and a hook makes its result require a gradient, so the result is a leaf; += changes it
Case: 7
Guilty: inputs_embeds in VisionLanguageModel.forward, made a leaf by the hook of enable_input_require_grads
"""

import torch
from torch import nn


class VisionLanguageModel(nn.Module):
    def __init__(self, vocabulary=30, width=8):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, width)
        self.visual = nn.Linear(12, width)
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, vocabulary))

    def enable_input_require_grads(self):
        self.embed_tokens.register_forward_hook(lambda module, inputs, output: output.requires_grad_(True))

    def forward(self, tokens, patches=None):
        inputs_embeds = self.embed_tokens(tokens)
        if patches is None:
            image_embeds = self.visual(torch.zeros(1, 12))
            inputs_embeds += image_embeds.mean() * 0.0
        else:
            inputs_embeds = torch.cat([self.visual(patches), inputs_embeds], dim=1)
        return self.decoder(inputs_embeds)


def prepare(model):
    model.embed_tokens.requires_grad_(False)
    model.enable_input_require_grads()
    return model


def train(model, batches):
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    for batch in batches:
        loss = model(**batch).logsumexp(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    tokens = torch.randint(30, (2, 5))
    train(prepare(VisionLanguageModel()), [{"tokens": tokens, "patches": torch.randn(2, 3, 12)}, {"tokens": tokens}])
