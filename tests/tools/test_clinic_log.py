"""The log of the error clinic: docs/clinic_log.md is made of the programs in tests/reality, which say what they are."""

import json

import pytest

import clinic_log
from project import page


def test_the_page_is_that_of_the_programs():
    assert clinic_log.PAGE.read_text(encoding="utf-8") == page(clinic_log.PAGE, clinic_log.table()), "run `make docs`"


def test_there_are_enough_threads_each_once_and_some_are_no_case():
    programs = clinic_log.programs()
    assert len(programs) >= 25 and len({program.thread for program in programs}) == len(programs)
    assert 3 <= sum(program.case is None for program in programs) <= 5
    assert json.loads(clinic_log.VERDICTS.read_text(encoding="utf-8")).keys() == {program.path.stem for program in programs}


@pytest.mark.parametrize("program", clinic_log.programs(), ids=lambda program: program.path.stem)
def test_a_program_has_an_address_a_year_and_a_case_and_asks_where_there_is_no_message(program):
    assert clinic_log.THREAD.fullmatch(program.thread)
    assert 2024 <= int(program.date[:4]) <= 2026
    assert program.case is None or 1 <= program.case <= 30
    text = program.path.read_text(encoding="utf-8")
    assert len(clinic_log.ASKING.findall(text)) == (0 if program.message else 1)
    assert "seegrad" not in text


def test_a_docstring_without_a_case_is_refused(tmp_path):
    path = tmp_path / "01_wrong.py"
    path.write_text('"""A title.\n\nThread: https://github.com/a/b/issues/1, 2024\nMessage: no\nCause: it\n"""', encoding="utf-8")
    with pytest.raises(ValueError, match="01_wrong.py has no Case: in its docstring"):
        clinic_log.read(path)


def test_a_message_is_found_across_lines_and_what_is_left_out_may_be_anything():
    program = next(program for program in clinic_log.programs() if program.path.name.startswith("27"))
    said = program.message.partition(" forward pass")[0]
    assert program.says(f"{said}\n[rank0]: forward pass.\ntensor at position 2:")
    assert not program.says(f"{said}\nbackward pass.\ntensor at position 2:")


def test_what_explain_names_is_read_from_the_last_line_of_each_explanation():
    said = "Case 23 of the error clinic: a checkpoint\nMore: error clinic, case 23 (a.ipynb); error clinic, case 4 (b.ipynb).\n"
    assert clinic_log.named(said) == clinic_log.named(said + "[rank1]:" + said.replace("\n", "\n[rank1]:")) == [23, 4]
    assert clinic_log.named("RuntimeError: in error clinic, case 3") == []
    with pytest.raises(ValueError, match=r"names the cases \[\(4,\), \(23, 4\)\]"):
        clinic_log.named(said + "More: error clinic, case 4 (b.ipynb).")


def test_the_verdict_is_what_explain_names():
    program = next(program for program in clinic_log.programs() if program.case == 1)
    other = next(program for program in clinic_log.programs() if program.case is None)
    verdicts = {"right: case 1": [1], "near: cases 15, 1": [15, 1], "wrong: case 2": [2], "not known": []}
    assert [clinic_log.verdict(program, cases) for cases in verdicts.values()] == list(verdicts)
    assert clinic_log.verdict(other, []) == "right: not known" and clinic_log.verdict(other, [3]) == "wrong: case 3"
