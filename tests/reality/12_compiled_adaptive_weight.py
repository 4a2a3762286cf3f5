"""A compiled autoencoder, whose GAN loss is weighed by the norms of two gradients.

Thread: https://github.com/bytetriper/RAE/issues/74, 2026-03-20
Message: RuntimeError: This backward function was compiled with non-empty donated buffers which requires create_graph=False
    and retain_graph=False. Please keep backward(create_graph=False, retain_graph=False) across all backward() function calls,
    or set torch._functorch.config.donated_buffer=False to disable donated buffer.
Cause: the compiled backward may overwrite what the forward saved, and autograd.grad asks it to keep that for a second time
Case: 25
Guilty: torch.autograd.grad(reconstruction, layer, retain_graph=True) in adaptive_weight, of a compiled decoder
"""

import torch
from torch import nn


class Decoder(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width), nn.Sigmoid())
        self.last_layer = nn.Linear(width, 6)

    def forward(self, latents):
        return torch.tanh(self.last_layer(self.body(latents).square()))


def adaptive_weight(reconstruction, adversarial, layer):
    reconstruction_grad, = torch.autograd.grad(reconstruction, layer, retain_graph=True)
    adversarial_grad, = torch.autograd.grad(adversarial, layer, retain_graph=True)
    return (reconstruction_grad.norm() / (adversarial_grad.norm() + 1e-4)).clamp(0, 1e4).detach()


def train(epochs=3, gan_start_epoch=2):
    decoder, discriminator = Decoder(), nn.Linear(6, 1)
    compiled = torch.compile(decoder, backend="aot_eager")
    optimizer = torch.optim.AdamW(decoder.parameters())
    for epoch in range(epochs):
        latents, images = torch.randn(8, 4), torch.randn(8, 6)
        decoded = compiled(latents)
        loss = (decoded - images).abs().mean()
        if epoch >= gan_start_epoch:
            adversarial = -discriminator(decoded).mean()
            loss = loss + adaptive_weight(loss, adversarial, decoder.last_layer.weight) * adversarial
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    torch.manual_seed(0)
    train()
