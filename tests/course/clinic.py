"""Notebook 08 case by case, and the messages in it."""

import functools
import re

from project import notebooks, read

COUNT = 14
HEADING = re.compile(r"^## (Case (\d+): .+[^?\n])$", re.MULTILINE)        # with a question mark, it is a vote of the same case
WARNING = re.compile(r"^\w*Warning: .+$", re.MULTILINE)


@functools.cache
def cells():
    """The cells of notebook 08. It is read when a test runs, so that a broken file fails tests, and not their collection."""
    path, = (path for path in notebooks() if path.name.startswith("08_"))
    return read(path).cells


@functools.cache
def cases():
    """A dict from heading to cells, up to the next heading that is no question, with an entry for each case."""
    starts = [i for i, cell in enumerate(cells()) if re.match(r"## .+[^?\n]$", cell.source, re.MULTILINE)]
    found = {}
    for start, end in zip(starts, [*starts[1:], len(cells())]):
        heading = HEADING.match(cells()[start].source)
        if heading:
            found[heading[1]] = cells()[start:end]
    return found


def case(number):
    """The heading and the cells of a case. number: from 1."""
    return list(cases().items())[number - 1]


def messages(cells):
    """What PyTorch said in these cells, as a reader copies it."""
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"{output.ename}: {output.evalue}"
            elif output.output_type == "stream":
                yield from WARNING.findall(output.text)
