"""Begin a notebook: write a skeleton that keeps every rule, with its exercises and their answers, and run it: make notebook N=13

It writes three files, none over one that is there: the notebook, the checks of its exercises, and answers to test them with.
Replace all their words by your own; the sections, folds, notes and slide types show what belongs where.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import lecturing
from project import FOLD, ROOT, RUN_IT, notebooks, write
from refresh import METADATA, refresh
from rules import GUARD

SECTIONS = 5
EXERCISES = 3

CHECKS = '''"""The checks of notebook {number}."""

import torch

from ..checking import Idea, exercise, same_numbers
'''
CHECK = '''

@exercise("{number}.{k}")
def check_{k}(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = run(x)
    same_numbers(y, {factor} * x)
    view, lines = run.show({{"x": x, "y": torch.as_tensor(y)}})
    return Idea("Say the idea of the exercise in one sentence. The picture proves the answer.", view)
'''
ANSWERS = '''"""Answers to the exercises of notebook {number}."""

from answers import right, wrong
'''
ANSWER = '''
right("{number}.{k}", ["def answer_{k}(x): return x * {factor}"])

wrong("{number}.{k}", [
    ("def answer_{k}(x): return x", "other numbers"),
    ("def answer_{k}(x):\\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])
'''
FIRST = """# {number} · {title}

**After this notebook you can**

- say what the first half is about;
- say what the second half is about.

**You need** notebook [{before}]({file}) (why one needs it).

**Time:** 50 minutes.

Run the cells from top to bottom with Shift+Enter. If you go back to a section, start with its first cell."""
RECALL = """**Recall.** Two questions on notebook {before}. Answer them aloud, then look.

**1.** What is the first question?

<details><summary>Answer 1</summary>

The first answer.

</details>

**2.** What is the second question?

<details><summary>Answer 2</summary>

The second answer.

</details>"""
NOTE = """<details class="lecturer"><summary>For the lecturer</summary>

{words}

</details>"""
PLAN = "**Plan: {minutes}.**\n\n- On the board: what to draw\n- Stop and ask: what to ask\n\n"
QUESTION = """## What does `y.grad_fn` hold in section {k}?

What one must know for the question.

**Predict.** Choose an answer.

<details class="answer"><summary>A. A node for the multiplication.</summary>

✓ Right. Say what decides.

</details>

<details class="answer"><summary>B. A node for the addition.</summary>

✗ No. It would be so if `y` were a sum.

</details>

<details class="answer"><summary>C. Nothing.</summary>

✗ No. It would be so if `x` were not tracked.

</details>"""
SET_UP = "%xmode Minimal\n" + GUARD.format(needs="course") + """import torch
from course import check, predictions, progress
from seegrad import show_graph

predictions()"""
RUN = "x = torch.tensor(2.0, requires_grad=True)\ny = {factor} * x\nshow_graph(x=x, y=y)"
TRY_IT = """## Try it

Each cell holds code that is broken, or not finished. Change it, and run the cell. The check calls your function with inputs \
of its own, and shows what it sees. Under each cell there are a hint, a stronger hint and a solution. Unfold them one at a \
time."""
TASK = "**{k}.** Return `x`, {factor} times as large."
GIVEN = 'def answer_{k}(x):\n    factor = ...\n    return factor * x\n\ncheck("{number}.{k}", answer_{k})'
LADDER = """<details><summary>Hint</summary>

A nudge, in one or two sentences.

</details>

<details><summary>Stronger hint</summary>

It names the thing: the factor is {factor}.

</details>

<details><summary>A solution</summary>

```python
def answer_{k}(x):
    return {factor} * x
```

</details>"""
RULES = """## The rules

| Rule | Where |
|---|---|
{rows}

**What people get wrong**

1. "The first thing." What is so instead.
2. "The second thing." What is so instead.
3. "The third thing." What is so instead."""


def skeleton(number: str, title: str, before: str) -> nbformat.NotebookNode:
    """A notebook that was not run yet, as an nbformat node. number: as in "11". title: what comes behind the number. before: the
    file name of the notebook before it."""
    words = {"number": number, "title": title, "before": before[:2], "file": before}
    cells = []

    def markdown(cell_id, slide, text, **more):
        cells.append(new_markdown_cell(text.format(**words, **more), id=f"{number}-{cell_id}",
                                       metadata={"slideshow": {"slide_type": slide}}))

    def code(cell_id, slide, text, **more):
        cells.append(new_code_cell(text.format(**words, **more), id=f"{number}-{cell_id}",
                                   metadata={"slideshow": {"slide_type": slide}}))

    def note(cell_id, text):
        markdown(f"{cell_id}-note", "notes", NOTE, words=text)

    markdown("01", "slide", FIRST)
    markdown("recall", "subslide", RECALL)
    note("recall", PLAN.format(minutes="5 minutes") + "Say what the room must have ready.")
    code("02", "subslide", SET_UP)
    for k in range(1, SECTIONS + 1):
        markdown(f"{k}1", "slide", QUESTION, k=k)
        minutes = "9 minutes" if k < SECTIONS else "9 minutes for 2 sections"       # this one and the rules
        note(f"{k}1", PLAN.format(minutes=minutes) + "Say which answer is the usual wrong one, and where to point after the run.")
        markdown(f"{k}2", "skip", RUN_IT)
        cells[-1].metadata[FOLD] = True
        code(f"{k}3", "subslide", RUN, factor=k + 1)
        markdown(f"{k}4", "-", "**Rule.** What section {k} claims, as a whole sentence.", k=k)
    markdown("try", "slide", TRY_IT)
    for k in range(1, EXERCISES + 1):
        markdown(f"exercise-{k}-task", "subslide", TASK, k=k, factor=k + 1)
        code(f"exercise-{k}-answer", "-", GIVEN, k=k)
        markdown(f"exercise-{k}-solution", "subslide", LADDER, k=k, factor=k + 1)
    code("progress", "-", 'progress("{number}")')
    rows = "\n".join(f"| What section {k} claims. | What does `y.grad_fn` hold in section {k}? |" for k in range(1, SECTIONS + 1))
    markdown("rules", "slide", RULES, rows=rows)
    return new_notebook(cells=cells, metadata=METADATA)


def files(number: str, title: str, root: Path) -> dict[Path, str]:
    """A dict from path to text: what a new notebook consists of."""
    name = re.sub(r"\W+", "_", title.lower()).strip("_")
    exercises = [{"number": number, "k": k, "factor": k + 1} for k in range(1, EXERCISES + 1)]
    return {
        root / "notebooks" / f"{number}_{name}.ipynb": nbformat.writes(skeleton(number, title, notebooks()[-1].name)) + "\n",
        root / f"notebooks/course/exercises/notebook_{number}.py":
            CHECKS.format(number=number) + "".join(CHECK.format(**each) for each in exercises),
        root / f"tests/course/answers/notebook_{number}.py":
            ANSWERS.format(number=number) + "".join(ANSWER.format(**each) for each in exercises),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", nargs="?", default="", help="of the notebook: the next one, as in 11")
    parser.add_argument("--title", default="A new notebook", help='its title, as in "Mixed precision"')
    chosen = parser.parse_args(arguments)
    following = f"{len(notebooks()):02}"
    if chosen.number != following:
        sys.exit(f"The next notebook is {following}: make notebook N={following} TITLE=\"Mixed precision\"")
    wanted = files(chosen.number, chosen.title, ROOT)
    for path in wanted:
        if path.exists():
            sys.exit(f"{path.relative_to(ROOT)} is there already: move it away, or write by hand.")
    for path, text in wanted.items():
        write(path, text)
        print(f"written: {path.relative_to(ROOT)}")
    refresh(next(iter(wanted)))
    lecturing.main([])
    print("Replace its words by yours, add its row to the tables in 00 and README.md, and **Next:** to the notebook before it, "
          "then: make refresh docs test")


if __name__ == "__main__":
    main()
