"""An editor that replaces what a neuron of a language model knows.

Thread: https://github.com/Hunter-DDM/knowledge-neurons/issues/14, 2025-06-15
Message: RuntimeError: a view of a leaf Variable that requires grad is being used in an in-place operation.
Cause: a column of a trained weight is changed while PyTorch records
Case: 7
Guilty: layer[index].output.dense.weight, changed by -= in edit
"""

import torch
from torch import nn


class Output(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(4 * width, width)


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.intermediate = nn.Linear(width, 4 * width)
        self.output = Output(width)

    def forward(self, x):
        return x + self.output.dense(nn.functional.gelu(self.intermediate(x)))


class Bert(nn.Module):
    def __init__(self, vocabulary=12, width=6, layers=3):
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, width)
        self.layer = nn.ModuleList(Layer(width) for _ in range(layers))

    def forward(self, tokens):
        x = self.embeddings(tokens)
        for layer in self.layer:
            x = layer(x)
        return x


def edit(bert, neurons, original, target, strength=2.0):
    with torch.no_grad():
        original_embedding = bert.embeddings(original)
        target_embedding = bert.embeddings(target)
    for index, position in neurons:
        bert.layer[index].output.dense.weight[:, position] -= original_embedding * strength
        bert.layer[index].output.dense.weight[:, position] += target_embedding * strength


if __name__ == "__main__":
    bert = Bert()
    edit(bert, [(1, 3), (2, 7)], torch.tensor(4), torch.tensor(9))
