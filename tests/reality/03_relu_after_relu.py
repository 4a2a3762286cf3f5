"""Two activations in a row, the second of them in place.

Thread: https://github.com/pytorch/pytorch/issues/148835, 2025-03
Message: RuntimeError: one of the variables needed …
Cause: relu saves its result, and relu_ changes this result in place (a comment of 2025-03-18; eager code fails in the same
    way)
Case: 2
Guilty: the result of F.relu in Block.forward, changed by F.relu_ in the next line
"""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        x = self.linear(x)
        x = F.relu(x)
        x = F.relu_(x)
        return x


class SimpleModel(nn.Module):
    def __init__(self, width=10, depth=2):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))

    def forward(self, x):
        return self.blocks(x)


def main():
    torch.manual_seed(0)
    model = SimpleModel()
    inputs = torch.randn(1, 10)
    outputs = model(inputs)
    outputs.sum().backward()


if __name__ == "__main__":
    main()
