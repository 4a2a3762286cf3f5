"""A graph network whose weights are the state of a GRU, trained for several epochs.

Thread: https://github.com/benedekrozemberczki/pytorch_geometric_temporal/issues/305, 2025-09-18
Message: RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after they have
    already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). …
Cause: the evolved weight stays in the module when an epoch ends; the next epoch begins with it and its freed graph (#297 is
    the same)
Case: 15
Guilty: self.weight of EvolveGCN, stored in forward with the graph of the epoch before, and never detached
"""

import torch
from torch import nn


class EvolveGCN(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.initial_weight = nn.Parameter(torch.randn(channels, channels) / channels)
        self.recurrent = nn.GRU(channels, channels)
        self.weight = None

    def forward(self, adjacency, x):
        if self.weight is None:
            self.weight = self.initial_weight.data
        _, weight = self.recurrent(self.weight[None], self.weight[None].contiguous())
        self.weight = weight[0]
        return adjacency @ x @ self.weight


class RecurrentGCN(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.recurrent = EvolveGCN(channels)
        self.linear = nn.Linear(channels, 1)

    def forward(self, adjacency, x):
        return self.linear(torch.relu(self.recurrent(adjacency, x)))


def train(epochs=3, nodes=6, channels=4):
    snapshots = [(torch.rand(nodes, nodes), torch.randn(nodes, channels), torch.randn(nodes, 1)) for _ in range(5)]
    model = RecurrentGCN(channels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        cost = 0
        for adjacency, x, y in snapshots:
            cost = cost + torch.mean((model(adjacency, x) - y) ** 2)
        cost = cost / len(snapshots)
        cost.backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    torch.manual_seed(0)
    train()
