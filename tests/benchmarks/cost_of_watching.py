"""Measure what it costs to watch code: watch(function) beside the function alone, interleaved in one run.

Run by hand: `make benchmark`.
"""

import argparse
import functools

import torch
from torch import nn

from seegrad import watch
from timing import ROUNDS, heading, medians, row


def ten_lines(w, x):
    y = w * x
    s = y.sigmoid()
    t = s * y
    u = t.exp()
    v = u + s
    z = v.tanh()
    q = z * z
    loss = q.sum()
    loss.backward()
    w.grad = None


def two_branches(trunk, cat, car, optimizer, pictures, labels):
    optimizer.zero_grad()
    features = trunk(pictures)
    cat_loss = nn.functional.binary_cross_entropy_with_logits(cat(features)[:, 0], labels[:, 0])
    car_loss = nn.functional.binary_cross_entropy_with_logits(car(features)[:, 0], labels[:, 1])
    loss = cat_loss + car_loss
    loss.backward()
    optimizer.step()


def twenty_steps(cell, inputs):
    h = c = torch.zeros(4, 16)
    for x in inputs:
        h, c = cell(x, (h, c))
    loss = h.sum()
    loss.backward()


def arguments_of(function):
    torch.manual_seed(0)
    if function is ten_lines:
        return torch.tensor([1.0, 2.0, 3.0], requires_grad=True), torch.ones(3)
    if function is twenty_steps:
        return nn.LSTMCell(8, 16), torch.randn(20, 4, 8)
    layers = [layer for sizes in ((1, 8), (8, 16), (16, 16))
              for layer in (nn.Conv2d(*sizes, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))]
    trunk = nn.Sequential(*layers, nn.Flatten())
    branches = [nn.Sequential(nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(2)]
    parameters = [p for part in (trunk, *branches) for p in part.parameters()]
    return (trunk, *branches, torch.optim.SGD(parameters, lr=0.1), torch.randn(64, 1, 24, 24), torch.rand(64, 2).round())


def shown(function, *arguments):
    return watch(function, *arguments)._repr_mimebundle_()


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    print(f"\nMilliseconds for a function (median of {ROUNDS}, interleaved), and the ratio to it alone.\n"
          "watched: watch(function, …); shown: the same, and its player.")
    print(heading(("plain", "watched", "shown")))
    for function in (ten_lines, two_branches, twenty_steps):
        ways = {"plain": function, "watched": functools.partial(watch, function), "shown": functools.partial(shown, function)}
        print(row(function.__name__, medians({way: (lambda: arguments_of(function), run) for way, run in ways.items()})))


if __name__ == "__main__":
    main()
