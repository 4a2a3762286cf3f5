"""A copy of an audio codec, whose convolutions have weight normalization.

Thread: https://github.com/descriptinc/descript-audio-codec/issues/81, 2024-07-11
Message: RuntimeError…Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.
    If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, see
    https://github.com/pytorch/pytorch/pull/103001
Cause: torch.nn.utils.weight_norm stores the product of its two parameters in the module, a result and not a leaf
Case: 19
Guilty: weight of the first Conv1d in Encoder.block, which weight_norm computed
"""

import copy
import warnings

import torch
from torch import nn
from torch.nn.utils import weight_norm

warnings.filterwarnings("ignore", category=FutureWarning)


def WNConv1d(*args, **kwargs):
    return weight_norm(nn.Conv1d(*args, **kwargs))


class Encoder(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.block = nn.Sequential(WNConv1d(1, channels, 7, padding=3), nn.Tanh(), WNConv1d(channels, 2, 3, padding=1))

    def forward(self, audio):
        return self.block(audio)


class Ema:
    def __init__(self, model, decay=0.99):
        self.shadow, self.decay = copy.deepcopy(model), decay


def main():
    model = Encoder()
    model(torch.randn(1, 1, 16))
    return Ema(model)


if __name__ == "__main__":
    main()
