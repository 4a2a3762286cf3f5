"""Run the notebooks again and again, each time under other conditions, to find what passes only by luck: `make rounds`.

Each round has another order of the notebooks, another seed for Python's hashes, one or two threads for PyTorch, one or two
kernels at a time, and a path with spaces and letters that are not ASCII. Each cell runs once: that it can be run twice in a
row is a matter of `make test`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from project import ROOT, notebooks

NEEDED = ["notebooks", "tests", "tools", "pyproject.toml"]


def one_round(number, folder):
    """Return the end of what pytest printed, and whether all passed."""
    chance = random.Random(number)      # a round that failed can be run again
    paths = notebooks(folder / "notebooks")
    chance.shuffle(paths)
    # Passive: threads that wait do not spin, or two kernels with two threads each would keep the processors from each other.
    conditions = {"PYTHONHASHSEED": str(chance.randrange(2**32)), "OMP_NUM_THREADS": str(1 + number % 2),
                  "OMP_WAIT_POLICY": "passive"}
    kernels = 1 + number // 2 % 2
    print(f"{number:3}  {' '.join(path.name[:2] for path in paths)}  kernels {kernels}  threads "
          f"{conditions['OMP_NUM_THREADS']}  hash seed {conditions['PYTHONHASHSEED']:>10}", end="  ", flush=True)
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", str(kernels), "--dist", "loadfile", "-k", "not again",
                          "--nbval", *paths],
                         cwd=folder, env={**os.environ, **conditions}, capture_output=True, text=True)
    print(run.stdout.strip().rpartition("\n")[2], flush=True)
    return run.stdout[-3000:], run.returncode == 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=20, help="how many; 20 where nothing is said")
    rounds = parser.parse_args(arguments).rounds
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    with tempfile.TemporaryDirectory(prefix="rounds é 图 ") as folder:
        folder = Path(folder)
        for name in NEEDED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        for number in range(rounds):
            said, passed = one_round(number, folder)
            if not passed:
                sys.exit(f"{said}\nRound {number} failed.")
    print(f"{rounds} rounds passed.")


if __name__ == "__main__":
    main()
