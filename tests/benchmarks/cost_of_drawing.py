"""Measure what a picture costs: show_graph beside plain torchviz piped through a `dot` process, interleaved in one run.

Run by hand: `make benchmark`. It needs the `dot` program of Graphviz, which the course itself does not.
"""

import argparse
import shutil
import sys
import warnings

import torch
from torch import nn

from seegrad import show_graph
from timing import ROUNDS, heading, medians, row


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))

    def forward(self, x):
        return torch.relu(x + self.second(self.first(x)))


def four_nodes():
    x = torch.ones(2, 2, requires_grad=True)
    y = x + 2
    return (3 * y * y).mean()


def classifier():
    net = nn.Sequential(
        nn.Conv2d(1, 5, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(5, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout2d(),
        nn.Flatten(), nn.Linear(256, 20), nn.ReLU(), nn.Linear(20, 10))
    return net(torch.randn(1, 1, 28, 28)).sum()


def residual_50():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), *[Residual(8) for _ in range(24)], nn.Flatten(), nn.Linear(288, 10))
    return net(torch.randn(2, 3, 8, 8)).sum()


def encoder_12():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 12)(torch.randn(2, 5, 32)).sum()


def torchviz_and_dot(output):
    from torchviz import make_dot
    return make_dot(output).pipe(format="svg")


def as_called(output):
    """What a cell does that ends in show_graph(output): a large graph is shown as a summary."""
    return show_graph(output)._repr_mimebundle_()


def drawn(detail):
    return lambda output: show_graph(output, detail=detail, max_boxes=10**6).svg


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    warnings.simplefilter("ignore")
    if not shutil.which("dot"):
        sys.exit("The baseline needs the program `dot`, which is not installed: install Graphviz and run this again.")
    ways = {"torchviz + dot": torchviz_and_dot, "as called": as_called,
            **{detail: drawn(detail) for detail in ("full", "compact", "folded")}}
    print(f"Milliseconds for one picture (median of {ROUNDS}, interleaved), and the ratio to torchviz + dot.\n"
          "as called: show_graph(output) as a cell shows it, a summary beyond 150 boxes; the others draw all boxes.")
    print(heading(ways, "nodes"))
    for build in (four_nodes, classifier, residual_50, encoder_12):
        torch.manual_seed(0)
        output = build()
        median = medians({way: (lambda: (output,), draw) for way, draw in ways.items()})
        print(row(build.__name__, median, len(show_graph(output).snapshot.nodes)))


if __name__ == "__main__":
    main()
