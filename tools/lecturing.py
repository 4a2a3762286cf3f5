"""Write the plans for lectures into docs/lecturing.md, from the notes for the lecturer in the notebooks.

A note with a plan stands behind the heading of a section, or behind the question that opens the section:

    **Plan: 8 minutes for 2 sections.**

    - On the board: what to draw
    - Stop and ask: what to ask
    - When time is short, leave out: what to leave out

and then the rest of the note. Each of the three lines may be missing. A plan reaches as far as the next one.
**Plan: for home.** marks sections that are not in the lecture; "Try it" never is. What you write above the marker in
docs/lecturing.md stays.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/lecturing.md"
MARKER = "<!-- From here on, this page is written by make docs. Change a plan in the notes of its notebook. -->\n"
PLAN = re.compile(r"\*\*Plan: (?:(\d+) minutes(?: for (\d+) sections)?|for home)\.\*\*")
WORDS = ("On the board", "Stop and ask", "When time is short, leave out")


class Refused(ValueError):
    """A plan cannot be read. The message is one sentence that says which, where, and why."""


@dataclass
class Step:
    cell: str           # the id of its note
    minutes: int        # 0: not in the lecture
    planned: int        # how many sections
    words: dict
    sections: list = field(default_factory=list)


def step_in(cell):
    """Return the step of the lecture that a cell begins, or None."""
    if cell.metadata.get("slideshow", {}).get("slide_type") != "notes" or "**Plan" not in cell.source:
        return None
    first, *rest = cell.source.partition("</summary>")[2].strip().split("\n\n")
    plan = PLAN.fullmatch(first)
    if not plan:
        raise Refused(f"cell {cell.id}: its plan does not begin like this: **Plan: 8 minutes for 2 sections.**")
    lines = rest[0].removeprefix("- ").split("\n- ") if rest and rest[0].startswith("- ") else []
    words = dict(" ".join(line.split()).partition(": ")[::2] for line in lines)
    if wrong := [word for word in words if word not in WORDS]:
        raise Refused(f"cell {cell.id}: a line of its plan begins with {wrong[0]!r}, and not with one of {WORDS}.")
    return Step(cell.id, int(plan[1] or 0), int(plan[2] or 1), words)


def title_of(cell):
    """Return the title of the section that a cell begins, or None."""
    if cell.cell_type == "markdown" and cell.source.startswith("## "):
        return cell.source.partition("\n")[0].removeprefix("## ")
    return "Recall" if cell.source.startswith("**Recall.**") else None


def steps_of(notebook):
    """Return the steps of the lecture on a notebook (an nbformat node)."""
    steps = []
    for cell, following in pairwise([*notebook.cells, notebook.cells[0]]):
        if step := step_in(following):
            steps.append(step)
        title = title_of(cell)
        if title in (None, "Try it"):
            continue
        if not steps:
            raise Refused(f"cell {cell.id}: its section, {title}, stands before the first plan.")
        steps[-1].sections.append(title)
    steps = [step for step in steps if step.minutes]
    for step in steps:
        if step.planned != len(step.sections):
            raise Refused(f"cell {step.cell}: its plan says {step.planned} sections, and {len(step.sections)} are there: "
                          f"{' · '.join(step.sections)}.")
    minutes, time = sum(step.minutes for step in steps), re.search(r"\*\*Time:\*\* (\d+)", notebook.cells[0].source)[1]
    if minutes != int(time):
        raise Refused(f"cell {notebook.cells[0].id}: it says {time} minutes, and the plans of its notebook make {minutes}.")
    return steps


def plan_of(path):
    """Return the plan for a lecture on a notebook as Markdown: a heading and a table."""
    notebook = nbformat.read(path, as_version=4)
    try:
        steps = steps_of(notebook)
    except Refused as refused:
        raise Refused(f"{path.name}, {refused}") from None
    title = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
    rows = [["Minutes", "Section", *WORDS], ["---"] * 5]
    rows += [[str(step.minutes), " · ".join(step.sections), *(step.words.get(word, "") for word in WORDS)] for step in steps]
    lines = [" | ".join(column.replace("|", "\\|") for column in row) for row in rows]
    table = "".join(f"| {line} |\n" for line in lines)
    return f"\n### [{title}](../notebooks/{path.name})\n\n{table}"


def page():
    """Return docs/lecturing.md as it should be: what is written by hand, and the plans."""
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARKER)[0]
    return by_hand + MARKER + "".join(map(plan_of, sorted((ROOT / "notebooks").glob("*.ipynb"))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    try:
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    except Refused as refused:
        sys.exit(f"{refused} {PAGE.relative_to(ROOT)} is left as it was.")
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
