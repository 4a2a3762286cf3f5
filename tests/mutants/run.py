"""Run each mutant against the notebook that must notice it, and write the report: `make mutants` (ARGS: names of mutants).

A mutant is caught when the cell that it names gives another output than the one stored there. That cell must run to its
end: a kernel that dies, or a cell that never ends, is no comparison.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks"), str(TESTS.parent / "tools")]

from mutants import load
from project import ROOT, notebooks, write
from regression import Difference

LONGEST = 90            # characters of an output that the report shows
REPORT = TESTS / "mutants" / "REPORT.md"


def differences(mutant, notebook):
    """Run a notebook in a kernel with a mutant (a name; "" for none), and return how its cells differ."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        environment = dict(os.environ, MUTANT=mutant, OMP_NUM_THREADS="1", JUPYTER_PATH=str(TESTS / "mutants"),
                           PYTHONPATH=os.pathsep.join([str(TESTS), str(ROOT)]))
        run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not again", "--nbval",
                              "--nbval-kernel-name=mutant", f"--results={results}", str(notebook)],
                             cwd=ROOT, env=environment, capture_output=True, text=True)
        if run.returncode not in (0, 1):
            raise RuntimeError(f"{mutant or 'the control'} did not run in {notebook.name}:\n{run.stdout}{run.stderr}")
        cells = json.loads(results.read_text(encoding="utf-8"))["cells"]
        if not cells:
            raise RuntimeError(f"{mutant or 'The control'}: no kernel started.\n{run.stdout}")
        return [Difference(**cell["difference"]) for cell in cells if cell["difference"]]


def notebook_of(cell):
    return next(path for path in notebooks() if path.name.startswith(cell[:2]))


def verdict(mutant):
    """Return the difference at the cell that must notice the mutant, or None, and how many cells differ in all."""
    found = differences(mutant.name, notebook_of(mutant.cell))
    here = [difference for difference in found if difference.cell == mutant.cell and not difference.end]
    return (here or [None])[0], len(found)


def report(mutants, verdicts):
    lines = [
        "# Which changes of PyTorch the notebooks notice",
        "",
        "Written by `make mutants`. Each row is one small change to PyTorch or to `seegrad`, made inside the kernel, "
        "with the notebooks as they are. The cell in the third column then shows another output than the one it "
        "stores: that is how a run of the notebooks would notice such a change in a new release.",
    ]
    for library, heading in [("PyTorch", "Changes to PyTorch"), ("seegrad", "Changes to seegrad")]:
        rows = [(mutant, *verdict) for mutant, verdict in zip(mutants, verdicts) if mutant.library == library]
        caught = sum(difference is not None for _, difference, _ in rows)
        lines += ["", f"## {heading}", "", f"{caught} of {len(rows)} are noticed.", "",
                  "| Mutant | What it changes | Noticed in | The course shows | With the mutant | Cells that differ |",
                  "|---|---|---|---|---|---|"]
        lines += [row(*each) for each in rows]
    return "\n".join(lines) + "\n"


def row(mutant, difference, count):
    place, stored, fresh = "**not noticed**", "", ""
    if difference:
        place = f"{difference.title}: {difference.claim} ({difference.cell})"
        stored, fresh = difference.first()
        start = max(0, len(os.path.commonprefix([stored, fresh])) - LONGEST // 2)
        stored, fresh = quoted(stored, start), quoted(fresh, start)
    return f"| `{mutant.name}` | {mutant.change} | {place} | {stored} | {fresh} | {count} |"


def quoted(line, start):
    """A line, or the part of it that begins at `start`, where the difference is near."""
    if len(line) <= LONGEST:
        start = 0
    part = "…" * (start > 0) + line[start:start + LONGEST] + "…" * (start + LONGEST < len(line))
    return f"`{part.replace('|', '¦').replace('`', chr(39))}`" if line else "nothing"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutants; without any, all run, and the report is written")
    names = parser.parse_args(arguments).names
    mutants = load()
    unknown = [name for name in names if name not in mutants]
    if unknown:
        sys.exit(f"There is no mutant {unknown[0]}: the names are in {REPORT.relative_to(ROOT)}.")
    chosen = [mutants[name] for name in names] or list(mutants.values())
    verdicts = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, verdict_ in zip(chosen, pool.map(verdict, chosen)):
            verdicts.append(verdict_)
            print(f"{mutant.name}: {verdict_[0] or f'NOT NOTICED in {mutant.cell}'}", flush=True)
    if not names:
        write(REPORT, report(chosen, verdicts))
    survivors = sum(difference is None for difference, _ in verdicts)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants are noticed.")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
