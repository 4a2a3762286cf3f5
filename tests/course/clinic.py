"""Notebook 08 case by case, and the messages in it."""

import re

import nbformat
from rules import NOTEBOOKS

CELLS = nbformat.read(next(path for path in NOTEBOOKS if path.name.startswith("08_")), as_version=4).cells
HEADING = re.compile(r"^## (Case (\d+): .+)$", re.MULTILINE)
WARNING = re.compile(r"^\w*Warning: .+$", re.MULTILINE)


def cases():
    """For each case its heading and its cells, up to the next heading."""
    starts = [i for i, cell in enumerate(CELLS) if cell.source.startswith("## ")]
    for start, end in zip(starts, [*starts[1:], len(CELLS)]):
        found = HEADING.match(CELLS[start].source)
        if found:
            yield found[1], CELLS[start:end]


def messages(cells):
    """What PyTorch said in these cells, as a reader copies it."""
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"{output.ename}: {output.evalue}"
            elif output.output_type == "stream":
                yield from WARNING.findall(output.text)


CASES = dict(cases())
