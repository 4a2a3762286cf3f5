"""A diffusion model whose latent is moved so that the attention lies in a box.

Thread: https://github.com/showlab/BoxDiff/issues/20, 2024-11-12
Message: …appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior
Cause: the loss is made of attention maps that have no graph, and requires_grad_(True) on the loss hides it; the thread has no
    answer, and this is how we found it in the program that it uses
Case: 6
Guilty: latents, given to torch.autograd.grad in update_latent; AttentionStore.__call__ detaches every map
"""

import torch
from torch import nn


class AttentionStore:
    def __init__(self):
        self.maps = []

    def __call__(self, attention):
        self.maps.append(attention.detach())

    def aggregate(self):
        return torch.stack(self.maps).mean(0)


class UNet(nn.Module):
    def __init__(self, store, width=8, words=4):
        super().__init__()
        self.to_q, self.to_v = nn.Linear(width, width), nn.Linear(words, width)
        self.words = nn.Parameter(torch.randn(words, width))
        self.store = store

    def forward(self, latents):
        attention = (self.to_q(latents) @ self.words.t()).softmax(-1)
        self.store(attention)
        return latents + self.to_v(attention)


def box_loss(attention, box):
    inside = attention[box].mean()
    return (1 - inside) ** 2


def update_latent(latents, loss, step_size):
    grad_cond, = torch.autograd.grad(loss.requires_grad_(True), [latents], retain_graph=True)
    return latents - step_size * grad_cond


def denoise(steps=2):
    store = AttentionStore()
    unet = UNet(store).requires_grad_(False)
    latents = torch.randn(16, 8)
    for _ in range(steps):
        latents = latents.clone().detach().requires_grad_(True)
        unet(latents)
        loss = box_loss(store.aggregate(), slice(3, 7))
        latents = update_latent(latents, loss, 0.5)
    return latents


if __name__ == "__main__":
    torch.manual_seed(0)
    denoise()
