"""Dataset distillation: a few images are trained in the place of a data set.

Thread: https://github.com/pytorch/pytorch/issues/140469, 2024-11-13
Message: ValueError: can't optimize a non-leaf Tensor
Cause: the images are a random tensor multiplied by 0.01; the leaf is the tensor before the multiplication
Case: 9
Guilty: image_syn, the result of MulBackward0, in Distiller.__init__
"""

import torch
from torch import nn


class Distiller:
    def __init__(self, num_classes=3, per_class=2, channel=1, im_size=(8, 8), lr_img=0.1):
        shape = (num_classes * per_class, channel, *im_size)
        self.image_syn = torch.randn(size=shape, dtype=torch.float, requires_grad=True) * 0.01
        self.label_syn = torch.arange(num_classes).repeat_interleave(per_class)
        self.optimizer_img = torch.optim.SGD([self.image_syn], lr=lr_img, momentum=0.5)

    def step(self, net, images, labels):
        parameters = list(net.parameters())
        real = torch.autograd.grad(nn.functional.cross_entropy(net(images), labels), parameters)
        loss_syn = nn.functional.cross_entropy(net(self.image_syn), self.label_syn)
        synthetic = torch.autograd.grad(loss_syn, parameters, create_graph=True)
        loss = sum((s - r).square().sum() for s, r in zip(synthetic, real))
        self.optimizer_img.zero_grad()
        loss.backward()
        self.optimizer_img.step()
        return loss.item()


def main():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid(), nn.Linear(16, 3))
    distiller = Distiller()
    for _ in range(3):
        print(distiller.step(net, torch.randn(12, 1, 8, 8), torch.randint(3, (12,))))


if __name__ == "__main__":
    main()
