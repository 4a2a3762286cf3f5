"""Measure what it costs to record a backward pass: play_backward beside a plain backward, interleaved in one run.

Run by hand: `make benchmark`.
"""

import argparse
import statistics
import time
import warnings

import torch
from cost_of_drawing import ROUNDS, classifier, encoder_12, four_nodes

from seegrad import play_backward


def plain(output):
    output.backward()


def recorded(output):
    play_backward(output, max_boxes=10**6)


def shown(output):
    """What a cell does that ends in a play of a real network."""
    play_backward(output, detail="compact", max_boxes=10**6)._repr_mimebundle_()


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    warnings.simplefilter("ignore")
    ways = (plain, recorded, shown)
    print(f"\nMilliseconds for one backward (median of {ROUNDS}, interleaved), and the ratio to a plain one.\n"
          "recorded: play_backward(loss); shown: the same, and its player at detail=\"compact\".")
    print(f"{'':14}" + "".join(f"{way.__name__:>20}" for way in ways))
    for build in (four_nodes, classifier, encoder_12):
        times = {way: [] for way in ways}
        for number in range(ROUNDS + 1):
            for way in ways:
                torch.manual_seed(0)
                output = build()
                begin = time.perf_counter()
                way(output)
                if number:                  # the first round imports and fills caches
                    times[way].append(1000 * (time.perf_counter() - begin))
        median = {way: statistics.median(values) for way, values in times.items()}
        print(f"{build.__name__:14}" + "".join(f"{median[way]:11.1f} {median[way] / median[plain]:7.1f}x" for way in ways))


if __name__ == "__main__":
    main()
