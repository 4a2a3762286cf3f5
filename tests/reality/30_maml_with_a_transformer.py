"""Second-order MAML with a transformer, in the place of the network of the sine waves.

Thread: https://github.com/learnables/learn2learn/issues/429, 2024-06-04
Message: RuntimeError: derivative for aten::_scaled_dot_product_…_attention_…backward is not implemented
Cause: the fused attention has a backward, and that has none; first_order=True helped
Case: none
Guilty: loss.backward() in main: the graph of the inner gradients goes through the backward of attention
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import mse_loss, scaled_dot_product_attention


class Regressor(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed, self.qkv, self.head = nn.Linear(1, width), nn.Linear(width, 3 * width), nn.Linear(width, 1)

    def forward(self, x):
        query, key, value = self.qkv(self.embed(x))[:, None].chunk(3, -1)
        return self.head(scaled_dot_product_attention(query, key, value)[:, 0])


class MAML:
    def __init__(self, model, lr, first_order=False):
        self.model, self.lr, self.first_order = model, lr, first_order

    def adapt(self, x, y):
        parameters = dict(self.model.named_parameters())
        loss = mse_loss(functional_call(self.model, parameters, x), y)
        gradients = torch.autograd.grad(loss, parameters.values(), create_graph=not self.first_order)
        return {name: p - self.lr * g for (name, p), g in zip(parameters.items(), gradients)}


def main():
    torch.manual_seed(0)
    maml = MAML(Regressor(), lr=0.1)
    optimizer = torch.optim.Adam(maml.model.parameters())
    for _ in range(2):
        x = torch.rand(3, 10, 1)
        adapted = maml.adapt(x, torch.sin(x))
        loss = mse_loss(functional_call(maml.model, adapted, x), torch.sin(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
