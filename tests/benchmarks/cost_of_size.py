"""Measure how the cost of a picture and of a play grows with the graph, part by part: in line with it, one hopes.

Run by hand: `make benchmark`. Each cell is microseconds for a node; in a row that grows, the cost grows faster than the graph.
"""

import argparse
import statistics
import time

import torch

from seegrad.diagram import make_diagram
from seegrad.drawing import draw
from seegrad.layout import LayoutError
from seegrad.play import changes, make_play, with_room
from seegrad.recording import Backward, record
from seegrad.snapshot import LiveGraph, take_snapshot
from seegrad.transcript import make_play_transcript, make_transcript

SIZES = 1_000, 3_000, 10_000, 30_000, 50_000
CHAINS = 50             # so that none is too deep to be walked
ROUNDS = 3


def chains(nodes, leaves):
    """Chains of equal length. leaves: how many; they are used again and again."""
    weights = [torch.ones(1, requires_grad=True) for _ in range(leaves)]
    ends = [weights[k % leaves].exp() for k in range(CHAINS)]
    for i in range(nodes // CHAINS - 2):
        ends = [end * weights[(i + k) % leaves] for k, end in enumerate(ends)]
    return torch.stack(ends).sum()


def timed(part, *inputs):
    start = time.perf_counter()
    return part(*inputs), time.perf_counter() - start


def lay_out(diagram):
    try:
        return draw(diagram, "")
    except LayoutError:
        return None


def costs(loss):
    """Seconds of each part, by name; None where the layout was given up."""
    seconds = {}
    snapshot, seconds["reading"] = timed(take_snapshot, [loss], {})
    diagram, seconds["diagram"] = timed(make_diagram, snapshot, "full")
    _, seconds["transcript"] = timed(make_transcript, diagram)
    svg, seconds["layout"] = timed(lay_out, diagram)
    if svg is None:
        seconds["layout"] = None
    recording, seconds["recording"] = timed(lambda: record(LiveGraph([], {"loss": loss}), Backward([loss], retain_graph=True)))
    play, seconds["play"] = timed(make_play, recording, "full")
    _, seconds["player"] = timed(lambda: (list(changes(play)), with_room(play), make_play_transcript(play)))
    _, seconds["plain backward"] = timed(lambda: loss.backward(retain_graph=True))
    return seconds


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    print(f"Microseconds for a node (median of {ROUNDS}); - where the layout was given up.")
    for leaves, which in ((1_000, "1,000 leaves"), (1, "one leaf, used by every node")):
        for number, size in enumerate(SIZES):
            rounds = [costs(chains(size, leaves)) for _ in range(ROUNDS)]
            parts = {part: [seconds[part] for seconds in rounds] for part in rounds[0]}
            if not number:
                print(f"{which:>30}" + "".join(f"{part:>16}" for part in parts))
            cells = "".join(f"{'-':>16}" if None in times else f"{statistics.median(times) / size * 1e6:>16.1f}"
                            for times in parts.values())
            print(f"{size:>24,} nodes{cells}", flush=True)


if __name__ == "__main__":
    main()
