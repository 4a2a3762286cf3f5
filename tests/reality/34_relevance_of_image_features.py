"""A vision language model, asked which image features matter.

Thread: https://github.com/zhangbaijin/From-Redundancy-to-Relevance/issues/6, 2025-02-03
Message: RuntimeError: can't retain_grad on Tensor that has requires_grad=False
Cause: the features come from a frozen projector, and from a vision tower that runs under no_grad; the thread's first answer
    is to add requires_grad=True before this line
Case: 20
Guilty: image_features in Llava.encode_images, which is not tracked: VisionTower.forward runs under torch.no_grad()
"""

import torch
from torch import nn


class VisionTower(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)

    @torch.no_grad()
    def forward(self, images):
        return self.patches(images).flatten(2).transpose(1, 2)


class Llava(nn.Module):
    def __init__(self, vocabulary=20, width=8):
        super().__init__()
        self.vision_tower, self.mm_projector = VisionTower(width), nn.Linear(width, width)
        self.embed_tokens, self.lm_head = nn.Embedding(vocabulary, width), nn.Linear(width, vocabulary)

    def encode_images(self, images):
        image_features = self.mm_projector(self.vision_tower(images))
        image_features.retain_grad()
        self.image_features = image_features
        return image_features

    def forward(self, tokens, images):
        hidden = torch.cat([self.encode_images(images), self.embed_tokens(tokens)], dim=1)
        return self.lm_head(hidden.cumsum(1))


def relevance(model, tokens, images):
    logits = model(tokens, images)
    logits[:, -1].max().backward()
    return (model.image_features.grad * model.image_features).sum(-1)


if __name__ == "__main__":
    torch.manual_seed(0)
    llava = Llava().eval().requires_grad_(False)
    print(relevance(llava, torch.randint(20, (1, 4)), torch.rand(1, 3, 8, 8)))
