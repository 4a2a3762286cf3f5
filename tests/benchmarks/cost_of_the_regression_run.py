"""Measure what the regression run of the notebooks costs: its time beside a plain run, and the memory of each kernel.

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

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from project import COURSE, ROOT, notebooks, read

ROUNDS = 3
REGRESSION = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", *notebooks()]
RUNS = {
    "jupyter execute": [sys.executable, "-m", "jupyter", "execute", *notebooks()],
    "regression run": REGRESSION,
    "regression run, each cell once": [*REGRESSION, "-k", "not again"],
}
PEAK = 'print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))'


def seconds(command):
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def peak_of_kernel(notebook):
    """Run a notebook, and return the most memory that its kernel ever held, in MB."""
    notebook.cells.append(new_code_cell(PEAK))
    NotebookClient(notebook, timeout=120, kernel_name="python3",
                   resources={"metadata": {"path": COURSE}}).execute()
    return int(notebook.cells[-1].outputs[0].text) / 1024


def peak_of_import():
    return int(subprocess.check_output([sys.executable, "-c", f"import torch; {PEAK}"])) / 1024


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
    if not Path("/proc/self/status").exists():
        return print("The memory of a kernel is read from /proc, which this system does not have.")
    bare = peak_of_import()
    print("\nMB of memory at the peak of each kernel, and the ratio to a Python that only imports torch.")
    print(f"{'import torch':32} {bare:6.0f}  (1.00x)")
    print(f"{'an empty kernel':32} {peak_of_kernel(new_notebook()):6.0f}")
    for path in notebooks():
        peak = peak_of_kernel(read(path))
        print(f"{path.stem:32} {peak:6.0f}  ({peak / bare:.2f}x)")


if __name__ == "__main__":
    main()
