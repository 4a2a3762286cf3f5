"""The clinics as pages that one lands on with an error message: the message is there to be found, and leads to its case."""

import re

import pytest

import clinic_tables
from clinic import SILENT, cases, cells_of, clinics, drawn, messages, others, own_messages, quotes
from project import COURSE, is_workshop, read
from seegrad.cases import BASIC, CASES, cases_of

each_case = pytest.mark.parametrize("number", [case.number for case in CASES])


def test_the_cases_are_numbered_through_all_clinics_and_called_as_the_library_calls_them():
    assert [(number, name, heading) for number, (name, heading, _) in cases().items()] == [
        (case.number, case.notebook, case.heading) for case in CASES]
    assert [case.number for case in CASES] == list(range(1, len(CASES) + 1))


@each_case
def test_a_message_stands_in_its_case_as_pytorch_says_it_today(number):
    quoted, said = quotes(cells_of(number)), own_messages(number)
    assert len(quoted) == len(said)
    for quote, message in zip(quoted, said):        # of several lines, the first ones may be quoted, and no part of a line
        lines, whole = ([line.rstrip() for line in text.splitlines()] for text in (quote, message))
        assert lines == whole[:len(lines)]
        assert len(lines) == 1 or not message.startswith("CheckpointError")     # its other lines tell of this one program


@each_case
def test_a_message_leads_to_its_case_first(number):
    for quote in quotes(cells_of(number)):
        assert cases_of(quote)[0].number == number


@each_case
def test_a_message_is_quoted_nowhere_else(number):
    for quote in quotes(cells_of(number)):
        first = quote.splitlines()[0]
        assert [cell.id for cells in clinics().values() for cell in cells if first in cell.source] == [
            cell.id for cell in cells_of(number) if first in cell.source and cell.cell_type == "markdown"]
        assert sum(cell.source.count(first) for cell in cells_of(number)) == 1


@each_case
def test_a_message_of_another_case_is_named_by_a_link_to_that_case(number):
    name, _, inside = cases()[number]
    text = "\n".join(cell.source for cell in inside if cell.cell_type == "markdown")
    for found in others(number):
        links = [case.link.removeprefix(name) for case in found if case.number != number]
        in_this_notebook = [f"case {case.number}" for case in found if case.notebook == name and case.number != number]
        assert any(link in text for link in links) or any(re.search(rf"{words}\b", text) for words in in_this_notebook)


@each_case
def test_what_is_silent_says_that_no_message_comes(number):
    inside = cells_of(number)
    if number in SILENT:
        assert not list(messages(inside)) and not quotes(inside)
        text = "\n".join(cell.source for cell in inside if cell.cell_type == "markdown")
        heading, _, text = text.partition("\n")
        assert "message" in heading and re.search(r"[Nn]o (error|message)", text)
    else:
        assert list(messages(inside))


@each_case
def test_a_case_shows_the_mistake_the_graph_how_to_read_it_and_the_graph_after_the_fix(number):
    name, _, inside = cases()[number]
    shown = [i for i, cell in enumerate(inside) if any(messages([cell])) or number in SILENT and cell.get("outputs")]
    pictures = [i for i, cell in enumerate(inside) if drawn(cell)]
    read = [i for i, cell in enumerate(inside) if "**Read it.**" in cell.source]
    assert len(read) == 1
    assert shown[0] < read[0] and shown[0] <= pictures[0]       # one cell may have the message and the picture
    if name == BASIC:
        assert read[0] < pictures[-1]
    else:       # not every fix is seen in the graph: some are seen in the numbers
        assert pictures[0] < read[0]
        printed = [i for i, cell in enumerate(inside) if any("text" in output for output in cell.get("outputs", []))]
        assert read[0] < max(*pictures, *printed, 0)
    assert sum("**Rule.** " in cell.source for cell in inside) == 1
    assert any("**Fix" in cell.source or "**Predict.**" in cell.source for cell in inside)


@each_case
def test_in_a_workshop_each_case_has_an_exercise(number):
    name, _, inside = cases()[number]
    if is_workshop(read(COURSE / name)):
        assert any(re.search(r"^check\(", cell.source, re.MULTILINE) for cell in inside)


def table_of(name):
    table, = (cell.source for cell in clinics()[name] if "| The message begins with |" in cell.source)
    return table


def test_the_table_of_08_leads_to_every_case_and_those_of_the_others_to_their_own():
    # JupyterLab and nbconvert make the address of a heading so.
    addresses = {number: f"{name}#{heading.replace(' ', '-')}" for number, (name, heading, _) in cases().items()}
    assert list(clinics()) == [path.name for path in clinic_tables.clinics()]
    for name in clinics():
        links = [name + link if link[0] == "#" else link for link in re.findall(r"\]\(<(.*?#Case-.+?)>\)", table_of(name))]
        wanted = [address for address in addresses.values() if name in (BASIC, address.partition("#")[0])]
        assert list(dict.fromkeys(links)) == wanted


@each_case
def test_the_words_of_the_table_are_words_that_the_case_shows(number):
    inside = cells_of(number)
    said = [*messages(inside), *(output.text for cell in inside for output in cell.get("outputs", []) if "text" in output)]
    for row in CASES[number - 1].rows:
        assert any(all(part.strip() in message for part in row.words.split("…")) for message in said), row
