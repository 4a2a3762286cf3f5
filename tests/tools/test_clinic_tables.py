"""The tables of messages, in the clinics and in docs/messages.md: they are made of the cases in seegrad/cases.py."""

import re
import shutil

import nbformat
import pytest

import clinic_tables as tables
from project import page, read
from seegrad.cases import BASIC, CASES, cases_of


@pytest.mark.parametrize("path", tables.clinics(), ids=lambda path: path.stem)
def test_the_table_of_a_clinic_is_that_of_its_cases(path):
    found = [cell.source for cell in read(path).cells if tables.TABLE.search(cell.source)]
    assert found, f"{path.name} has no table of messages"
    assert [tables.with_table(source, path.name) for source in found] == found, "run `make docs`"


def test_the_page_of_messages_is_that_of_the_cases():
    assert tables.PAGE.read_text(encoding="utf-8") == page(tables.PAGE, tables.page_of_messages()), "run `make docs`"


def test_only_the_table_of_a_notebook_changes_and_a_second_run_changes_no_byte(tmp_path, monkeypatch):
    copies = [tmp_path / path.name for path in tables.clinics()]
    for path, copy in zip(tables.clinics(), copies):
        shutil.copy(path, copy)
    name = BASIC
    before, own = read(tmp_path / name), tables.with_table
    cell, = (cell for cell in before.cells if tables.TABLE.search(cell.source))
    cell.source = tables.TABLE.sub("| The message begins with |\n| old |", cell.source)
    nbformat.write(before, tmp_path / name)
    monkeypatch.setattr(tables, "clinics", lambda: copies)
    monkeypatch.setattr(tables, "PAGE", shutil.copy(tables.PAGE, tmp_path / "messages.md"))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    tables.main([])
    after = {path: path.read_bytes() for path in tmp_path.iterdir()}
    cell.source = own(cell.source, name)
    assert read(tmp_path / name) == before
    tables.main([])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == after


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.number))
def test_the_words_of_each_row_lead_to_its_case(case):
    for row in case.rows:
        assert bool(row.words) == bool(case.messages)
        assert not row.words or case in cases_of(row.words.replace("…", "Sqrt"))


@pytest.mark.parametrize("pattern", [pattern for case in CASES for pattern in case.messages])
def test_a_pattern_is_read_by_javascript_in_the_same_way_and_may_lose_its_spaces(pattern):
    assert not re.search(r"\(\?(?![:=!])|\\[AZbBwW]| [*+?{]|\\ |\[[^]]* ", pattern)


def test_a_message_is_found_in_a_traceback_across_lines_and_in_the_words_of_older_versions():
    message = ("[rank1]: Traceback (most recent call last):\n[rank1]:   File \"train.py\", line 3, in <module>\n[rank1]: "
               "RuntimeError: one of the variables needed for gradient compu\ntation has been modified by an inplace\n[rank1]: "
               "operation: [torch.FloatTensor [3]], which is output 0 of ExpBackward0, is at version 1\n")
    assert [case.number for case in cases_of(message)] == [2, 3, 15, 16, 17]
    assert cases_of("Output 0 of SplitBackward is a view and is being modified inplace.")[0].number == 22
    assert cases_of("RuntimeError: The size of tensor a (2) must match the size of tensor b (3)") == []
