"""Measure what `%load_ext seegrad` costs before an error comes, and what an explanation costs then, interleaved in one run.

Run by hand: `make benchmark`.
"""

import argparse

import torch

from cost_of_drawing import classifier, encoder_12, four_nodes
from seegrad import passes
from seegrad.explaining import explain_error
from timing import ROUNDS, heading, medians, row


def noted(output):
    passes.begin()
    try:
        output.backward()
    finally:
        passes.end()


def failed(output):
    """The error of a second backward."""
    output.backward()
    try:
        output.backward()
    except RuntimeError as error:
        return error
    return None


def explained(error):
    return explain_error(error)


def shown(error):
    return explain_error(error)._repr_mimebundle_()


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    print(f"\nMilliseconds (median of {ROUNDS}, interleaved), and the ratio to a plain backward.\n"
          "noted: a backward after %load_ext seegrad, with its switching on and off; explained: explain(), after the error of a "
          "second backward; shown: the same, with what a cell displays.")
    print(heading(("plain", "noted", "explained", "shown")))
    for build in (four_nodes, classifier, encoder_12):
        def output():
            torch.manual_seed(0)
            return (build(),)
        print(row(build.__name__, medians({
            "plain": (output, torch.Tensor.backward), "noted": (output, noted),
            "explained": (lambda: (failed(*output()),), explained), "shown": (lambda: (failed(*output()),), shown)})))


if __name__ == "__main__":
    main()
