"""A quantized model, whose weights are cut into shards as they are loaded.

Thread: https://github.com/huggingface/transformers/issues/37720, 2025-04-23
Message: RuntimeError: only Tensors of floating point dtype can require gradients
Cause: nn.Parameter asks for a gradient unless it is told not to, and the weight is of int8
Case: 11
Guilty: nn.Parameter(...) in ColwiseParallel.partition_tensor, given a tensor of int8
"""

import torch
from torch import nn


class QuantizedLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, dtype=torch.int8), requires_grad=False)
        self.weight_scale = nn.Parameter(torch.ones(outputs, 1), requires_grad=False)

    def forward(self, x):
        return x @ (self.weight.float() * self.weight_scale).t()


class Shard(torch.Tensor):
    pass


class ColwiseParallel:
    def __init__(self, rank, world_size):
        self.rank, self.world_size = rank, world_size

    def partition_tensor(self, tensor):
        parameter = tensor.chunk(self.world_size)[self.rank].contiguous()
        return nn.Parameter(parameter.as_subclass(Shard))


def shard_and_distribute_module(module, state, plan):
    for name, tensor in state.items():
        owner, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(owner), attribute, plan.partition_tensor(tensor))
    return module


def load():
    model = nn.Sequential(QuantizedLinear(4, 8), nn.ReLU(), QuantizedLinear(8, 2))
    state = {}
    for index, linear in enumerate(model):
        if isinstance(linear, QuantizedLinear):
            state[f"{index}.weight_scale"] = torch.rand(len(linear.weight), 1)
            state[f"{index}.weight"] = torch.randint(-128, 127, linear.weight.shape, dtype=torch.int8)
    return shard_and_distribute_module(model, state, ColwiseParallel(0, 1))


if __name__ == "__main__":
    load()
