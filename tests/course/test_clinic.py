"""Notebook 08 as a page that one lands on with an error message: the message is there to be found, and leads to its case."""

import re

import pytest

from clinic import COUNT, HEADING, case, cases, cells, messages

QUOTE = re.compile(r"^> (`+)(.+?)\1$", re.MULTILINE)
each_case = pytest.mark.parametrize("number", range(1, COUNT + 1))


def quotes(cells):
    return [quote for cell in cells if cell.cell_type == "markdown" for _, quote in QUOTE.findall(cell.source)]


def test_the_cases_are_numbered():
    assert [int(HEADING.match(f"## {heading}")[2]) for heading in cases()] == list(range(1, COUNT + 1))


@each_case
def test_the_message_stands_in_its_case_as_pytorch_says_it_today(number):
    _, inside = case(number)
    said = list(dict.fromkeys(messages(inside)))        # behind a vote, the cell that fails may come again, watched
    assert said and quotes(inside) == said


@each_case
def test_a_message_is_quoted_nowhere_else(number):
    heading, inside = case(number)
    elsewhere = [cell for other, others in cases().items() if other != heading for cell in others]
    for message in messages(inside):
        assert not any(message in cell.source for cell in elsewhere)


@each_case
def test_a_case_shows_the_error_the_graph_how_to_read_it_and_the_graph_after_the_fix(number):
    _, inside = case(number)
    said = [i for i, cell in enumerate(inside) if any(messages([cell]))]
    pictures = [i for i, cell in enumerate(inside)
                if any("text/html" in output.get("data", {}) for output in cell.get("outputs", []))]
    read = [i for i, cell in enumerate(inside) if "**Read it.**" in cell.source]
    assert len(read) == 1
    assert said[0] < read[0] and said[0] <= pictures[0] and read[0] < pictures[-1]     # a watch has both in one cell
    assert sum("**Rule.** " in cell.source for cell in inside) == 1


def test_the_table_at_the_top_leads_to_every_case():
    table, = (cell.source for cell in cells() if "| The message begins with |" in cell.source)
    links = re.findall(r"\]\(<#(.+?)>\)", table)
    # JupyterLab and nbconvert make the address of a heading so.
    assert list(dict.fromkeys(links)) == [heading.replace(" ", "-") for heading in cases()]


@each_case
def test_the_words_of_the_table_are_words_of_the_message(number):
    heading, inside = case(number)
    table, = (cell.source for cell in cells() if "| The message begins with |" in cell.source)
    said = list(messages(inside))
    rows = [line for line in table.splitlines() if f"(<#{heading.replace(' ', '-')}>)" in line]
    for row in rows:
        words = re.match(r"\| \[(.+?)\]\(<#", row)[1].split("…")
        assert any(all(part.strip() in message for part in words) for message in said), row
