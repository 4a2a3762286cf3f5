"""Two checkpoints in a row with one module, which keep what matrix products and casts give, under autocast.

Thread: https://github.com/pytorch/pytorch/issues/193338, 2026-08-13
Message: RuntimeError: aten._to_copy.default …encountered during backward but not found in storage. This can happen if the
    operations in the checkpointed region are nondeterministic or depend on global state that changed between forward and
    backward.
Cause: autocast keeps the weight that the first checkpoint cast; the forward of the second finds it, and its recomputation
    casts again
Case: none
Guilty: the second checkpoint(self.block, ...) in Net.forward: its forward made no aten._to_copy of self.linear.weight
"""

from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

KEPT = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten._to_copy.default}


def policy(context, operation, *args, **kwargs):
    return CheckpointPolicy.MUST_SAVE if operation in KEPT else CheckpointPolicy.PREFER_RECOMPUTE


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.embed, self.linear = nn.Linear(3, width), nn.Linear(width, width)

    def block(self, x):
        return torch.sin(self.linear(torch.sin(x)))

    def forward(self, x):
        x = self.embed(x)
        for _ in range(2):
            x = checkpoint(self.block, x, use_reentrant=False, context_fn=partial(create_selective_checkpoint_contexts, policy))
        return x


def main():
    torch.manual_seed(0)
    model = Net()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(4, 3)).float().square().mean()
    loss.backward()


if __name__ == "__main__":
    main()
