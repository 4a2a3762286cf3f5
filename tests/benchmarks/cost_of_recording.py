"""Measure what it costs to record a backward pass: play_backward beside a plain backward, interleaved in one run.

Run by hand: `make benchmark`.
"""

import argparse
import warnings

import torch

from cost_of_drawing import classifier, encoder_12, four_nodes
from seegrad import play_backward
from seegrad.recording import Backward, record
from seegrad.snapshot import LiveGraph
from timing import ROUNDS, heading, medians, row


def read(output):
    """What the recording of a backward from here begins with."""
    return LiveGraph([], {"loss": output}, with_contents=True), Backward([output])


def plain(output):
    output.backward()


def called(output):
    return play_backward(output, max_boxes=10**6)


def shown(output):
    """What a cell does that ends in a play of a real network."""
    return play_backward(output, detail="compact", max_boxes=10**6)._repr_mimebundle_()


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    warnings.simplefilter("ignore")
    print(f"\nMilliseconds for one backward (median of {ROUNDS}, interleaved), and the ratio to a plain one.\n"
          "recorded: the backward alone, of a graph that was read; called: play_backward(loss), which reads it too; shown: the "
          "same, and its player at detail=\"compact\".")
    print(heading(("plain", "recorded", "called", "shown")))
    for build in (four_nodes, classifier, encoder_12):
        def output():
            torch.manual_seed(0)
            return (build(),)
        print(row(build.__name__, medians({
            "plain": (output, plain), "recorded": (lambda: read(*output()), record),
            "called": (output, called), "shown": (output, shown)})))


if __name__ == "__main__":
    main()
