"""The clinics case by case, and the messages in them. A clinic is a notebook that has cases."""

import functools
import re

from project import notebooks, pictures, read
from seegrad.cases import CASES, cases_of

HEADING = re.compile(r"^## (Case (\d+): .+[^?\n])$", re.MULTILINE)        # with a question mark, it is a vote of the same case
WARNING = re.compile(r"^\w*Warning: .+$", re.MULTILINE)
QUOTE = re.compile(r"^> (`+)(.+?)\1$", re.MULTILINE)


@functools.cache
def clinics():
    """A dict from the name of each clinic to its cells. They are read when a test runs, so that a broken file fails tests, and
    not their collection."""
    read_all = {path.name: read(path).cells for path in notebooks()}
    return {name: cells for name, cells in read_all.items() if any(HEADING.match(cell.source) for cell in cells)}


@functools.cache
def cases():
    """A dict from the number of each case to its notebook, its heading and its cells, up to the next heading that is no question.

    Raises ValueError where two cases have one number.
    """
    found = {}
    for name, cells in clinics().items():
        starts = [i for i, cell in enumerate(cells) if re.match(r"## .+[^?\n]$", cell.source, re.MULTILINE)]
        for start, end in zip(starts, [*starts[1:], len(cells)]):
            heading = HEADING.match(cells[start].source)
            if heading and int(heading[2]) in found:
                raise ValueError(f"two cases have the number {heading[2]}")
            if heading:
                found[int(heading[2])] = name, heading[1], cells[start:end]
    return found


def cells_of(number):
    return cases()[number][2]


def messages(cells):
    """What PyTorch said in these cells, as a reader copies it."""
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"{output.ename}: {output.evalue}"
            elif output.output_type == "stream":
                yield from WARNING.findall(output.text)


def own_messages(number):
    """The messages in a case that lead to it: of several cases with one message, the first one quotes it."""
    said = dict.fromkeys(messages(cells_of(number)))        # behind a vote, the cell that fails may come again, watched
    return [message for message in said if [case.number for case in cases_of(message)][:1] == [number]]


def others(number):
    """For each known message of another case that is said or printed in this one, a list of the cases that it may be of."""
    printed = [line for cell in cells_of(number) for output in cell.get("outputs", []) if output.output_type == "stream"
               for line in output.text.splitlines()]
    known = [cases_of(message) for message in [*messages(cells_of(number)), *printed]]
    return [found for found in known if found and found[0].number != number]


def quotes(cells):
    """The messages that are quoted in these cells. One of several lines has a quotation for each of them."""
    found = []
    for cell in cells:
        for block in re.findall(r"(?:^> `.+$\n?)+", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else ():
            lines = (words[1:-1] if words[0] == words[-1] == " " else words for _, words in QUOTE.findall(block))
            found.append("\n".join(lines))      # as Markdown reads code: a space at both ends is not part of it
    return found


def drawn(cell):
    """Whether a cell shows a picture, and no verdict on an exercise."""
    html = "".join(output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))
    return bool(pictures(html)) and not re.search(r"^check\(", cell.source, re.MULTILINE)


SILENT = [case.number for case in CASES if not case.messages]
