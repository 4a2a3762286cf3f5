"""Write the plans for lectures into docs/lecturing.md, from the notes for the lecturer in the notebooks.

A note with a plan stands behind the heading of a section, or behind the question that opens the section:

    **Plan: 8 minutes for 2 sections.**

    - On the board: what to draw
    - Stop and ask: what to ask
    - When time is short, leave out: what to leave out

and then the rest of the note. Each of the three lines may be missing. A plan reaches as far as the next one.
**Plan: for home.** marks sections that are not in the lecture; "Try it" never is, and a workshop has no plan. What stands above
the mark in docs/lecturing.md is written by hand, and stays.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from nbformat import NotebookNode

from project import ROOT, is_workshop, kind, notebooks, page, read, write

PAGE = ROOT / "docs/lecturing.md"
PLAN = re.compile(r"\*\*Plan: (?:(\d+) minutes(?: for (\d+) sections)?|for home)\.\*\*")
WORDS = ("On the board", "Stop and ask", "When time is short, leave out")


class Refused(ValueError):
    """A plan cannot be read. cell: where it stands. words: what is wrong with it."""

    def __init__(self, cell: NotebookNode, words: str) -> None:
        super().__init__(f"cell {cell.id} {words}")
        self.cell, self.words = cell, words


@dataclass
class Step:
    """A part of a lecture.

    cell: its note. minutes: how long it takes; 0 where it is not in the lecture. planned: how many sections its plan says.
    words: a dict from the beginning of each line of the plan, as in WORDS, to the rest of it. sections: their titles.
    """

    cell: NotebookNode
    minutes: int
    planned: int
    words: dict[str, str]
    sections: list[str] = field(default_factory=list)


def step_in(cell: NotebookNode) -> Step | None:
    """Return the step of the lecture that a cell begins, or None."""
    if kind(cell) != "notes" or "**Plan" not in cell.source:
        return None
    first, *rest = cell.source.partition("</summary>")[2].strip().split("\n\n")
    plan = PLAN.fullmatch(first)
    if not plan:
        raise Refused(cell, "has a plan that does not begin like this: **Plan: 8 minutes for 2 sections.**")
    lines = rest[0].removeprefix("- ").split("\n- ") if rest and rest[0].startswith("- ") else []
    words = dict(" ".join(line.split()).partition(": ")[::2] for line in lines)
    if wrong := [word for word in words if word not in WORDS]:
        raise Refused(cell, f"has a line in its plan that begins with {wrong[0]!r}, and not with one of {WORDS}")
    return Step(cell, int(plan[1] or 0), int(plan[2] or 1), words)


def title_of(cell: NotebookNode) -> str | None:
    """Return the title of the section that a cell begins, or None."""
    if cell.cell_type == "markdown" and cell.source.startswith("## "):
        return cell.source.partition("\n")[0].removeprefix("## ")
    return "Recall" if cell.source.startswith("**Recall.**") else None


def steps_of(notebook: NotebookNode) -> list[Step]:
    """Return the steps of the lecture on a notebook (an nbformat node): none for a workshop."""
    if is_workshop(notebook):
        return []
    steps: list[Step] = []
    for cell, following in pairwise([*notebook.cells, notebook.cells[0]]):
        if step := step_in(following):
            steps.append(step)
        title = title_of(cell)
        if title in (None, "Try it"):
            continue
        if not steps:
            raise Refused(cell, f"begins the section {title}, before the first plan")
        steps[-1].sections.append(title)
    steps = [step for step in steps if step.minutes]
    for step in steps:
        if step.planned != len(step.sections):
            raise Refused(step.cell, f"has a plan that says {step.planned} sections, and {len(step.sections)} are there: "
                                     f"{' · '.join(step.sections)}")
    minutes, said = sum(step.minutes for step in steps), re.search(r"\*\*Time:\*\* (\d+)", notebook.cells[0].source)
    if said and minutes != int(said[1]):
        raise Refused(notebook.cells[0], f"says {said[1]} minutes, and the plans of the notebook make {minutes}")
    return steps


def plan_of(path: Path) -> str:
    """Return the plan for a lecture on a notebook as Markdown: a heading and a table, or nothing for a workshop."""
    notebook = read(path)
    steps = steps_of(notebook)
    if not steps:
        return ""
    title = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
    rows = [["Minutes", "Section", *WORDS], ["---"] * 5]
    rows += [[str(step.minutes), " · ".join(step.sections), *(step.words.get(word, "") for word in WORDS)] for step in steps]
    lines = [" | ".join(column.replace("|", "\\|") for column in row) for row in rows]
    table = "".join(f"| {line} |\n" for line in lines)
    return f"\n### [{title}](../notebooks/{path.name})\n\n{table}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    plans = ""
    for path in notebooks():
        try:
            plans += plan_of(path)
        except ValueError as error:
            sys.exit(f"{path.name}: {error}. {PAGE.relative_to(ROOT)} is left as it was.")
    write(PAGE, page(PAGE, plans))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
