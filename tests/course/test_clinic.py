"""Notebook 08 as a page that one lands on with an error message: the message is there to be found, and leads to its case."""

import re

import pytest
from clinic import CASES, CELLS, HEADING, messages

QUOTE = re.compile(r"^> (`+)(.+?)\1$", re.MULTILINE)
each_case = pytest.mark.parametrize("heading", CASES, ids=lambda heading: heading.partition(":")[0])


def quotes(cells):
    return [quote for cell in cells if cell.cell_type == "markdown" for _, quote in QUOTE.findall(cell.source)]


def test_the_cases_are_numbered():
    assert [int(HEADING.match(f"## {heading}")[2]) for heading in CASES] == list(range(1, 15))


@each_case
def test_the_message_stands_in_its_case_as_pytorch_says_it_today(heading):
    said = list(messages(CASES[heading]))
    assert said and quotes(CASES[heading]) == said


@each_case
def test_a_message_is_quoted_nowhere_else(heading):
    elsewhere = [cell for other, cells in CASES.items() if other != heading for cell in cells]
    for message in messages(CASES[heading]):
        assert not any(message in cell.source for cell in elsewhere)


@each_case
def test_a_case_shows_the_error_the_graph_how_to_read_it_and_the_graph_after_the_mend(heading):
    cells = CASES[heading]
    said = [i for i, cell in enumerate(cells) if any(messages([cell]))]
    pictures = [i for i, cell in enumerate(cells)
                if any("text/html" in output.get("data", {}) for output in cell.get("outputs", []))]
    read = [i for i, cell in enumerate(cells) if "**Read it.**" in cell.source]
    assert len(read) == 1
    assert said[0] < read[0] and said[0] < pictures[0] and read[0] < pictures[-1]
    assert sum("**Rule.** " in cell.source for cell in cells) == 1


def test_the_table_at_the_top_leads_to_every_case():
    table, = (cell.source for cell in CELLS if "| The message begins with |" in cell.source)
    links = re.findall(r"\]\(<#(.+?)>\)", table)
    # JupyterLab and nbconvert make the address of a heading so.
    assert list(dict.fromkeys(links)) == [heading.replace(" ", "-") for heading in CASES]


@each_case
def test_the_words_of_the_table_are_words_of_the_message(heading):
    table, = (cell.source for cell in CELLS if "| The message begins with |" in cell.source)
    said = list(messages(CASES[heading]))
    rows = [line for line in table.splitlines() if f"(<#{heading.replace(' ', '-')}>)" in line]
    for row in rows:
        words = re.match(r"\| \[(.+?)\]\(<#", row)[1].split("…")
        assert any(all(part.strip() in message for part in words) for message in said), row
