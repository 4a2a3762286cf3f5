"""Measure what the regression run of the notebooks costs: its time beside a plain run.

Both runs take the notebooks one after the other, in turns, in one process at a time. The regression run compares all outputs
and runs each cell twice; "each cell once" is the same run without the second time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from project import ROOT, notebooks

ROUNDS = 3
REGRESSION = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", *notebooks()]
RUNS = {
    "jupyter execute": [sys.executable, "-m", "jupyter", "execute", *notebooks()],
    "regression run": REGRESSION,
    "regression run, each cell once": [*REGRESSION, "-k", "not again"],
}


def seconds(command):
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    os.environ.update(OMP_NUM_THREADS="1", JUPYTER_PREFER_ENV_PATH="1")
    taken = {name: [] for name in RUNS}
    for _ in range(ROUNDS):
        for name, command in RUNS.items():
            taken[name].append(seconds(command))
    print(f"Seconds for all {len(notebooks())} notebooks (median of {ROUNDS}, in turns), and the ratio to jupyter execute.")
    plain = statistics.median(taken["jupyter execute"])
    for name, times in taken.items():
        print(f"{name:32} {statistics.median(times):6.1f}  ({statistics.median(times) / plain:.2f}x)")


if __name__ == "__main__":
    main()
