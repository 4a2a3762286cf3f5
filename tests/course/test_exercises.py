"""Each exercise: its solution is right, its traps are refused with the right sentence, and nothing a learner does stops it."""

import functools
import re

import pytest
import torch
from matplotlib import pyplot

import answers
from cells import run_cells
from course import check, checking, progress
from course.checking import load
from project import COURSE, is_workshop, notebooks, read
from rules import CHECK, SOLUTION

NUMBERS = [path.stem[-2:] for path in sorted((COURSE / "course/exercises").glob("notebook_??.py"))]
NAMES = sorted(name for number in NUMBERS for name in load(number))
RIGHT_ANSWERS, WRONG_ANSWERS = answers.load()


@functools.cache
def exercises(number):
    """(name of the learner's function, set-up of the notebook, stub, solution) of each exercise in a notebook, by name."""
    path, = (path for path in notebooks() if path.name.startswith(number))
    cells = read(path).cells
    set_up = next(cell.source for cell in cells if cell.cell_type == "code").replace("%xmode Minimal", "")
    return {name: (function, set_up, cell.source, SOLUTION.search(following.source)[1])
            for cell, following in zip(cells, cells[1:]) for name, function in CHECK.findall(cell.source)}


def exercise(name):
    return exercises(name[:2])[name]


@pytest.fixture(autouse=True)
def settings_of_the_set_up_end_with_the_test():
    dtype = torch.get_default_dtype()
    with pyplot.rc_context():
        yield
    torch.set_default_dtype(dtype)


def answer(name, source):
    function, set_up, _, _ = exercise(name)
    return run_cells(set_up, source)[function]


def said(capsys, name, given):
    capsys.readouterr()
    check(name, given)
    return capsys.readouterr().out.strip()


def test_each_exercise_has_a_check_and_each_check_an_exercise():
    numbers = [path.name[:2] for path in notebooks()[1:]]
    assert NUMBERS == numbers
    assert NAMES == sorted(name for number in numbers for name in exercises(number))


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_the_cell_at_first_is_not_right(name, capsys):
    """It is not answered yet, or broken, and then says its symptom."""
    _, set_up, given, _ = exercise(name)
    run_cells(set_up, given)
    printed = capsys.readouterr().out
    assert printed == f"Exercise {name}: not answered yet.\n" or printed.startswith(f"Exercise {name}: ✗ not yet. ")


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right(name, capsys):
    assert said(capsys, name, answer(name, exercise(name)[3])) .startswith(f"Exercise {name}: ✓ right.")


@pytest.mark.parametrize("name, source", [(name, source) for name in RIGHT_ANSWERS for source in RIGHT_ANSWERS[name]])
def test_another_right_answer_is_right_too(name, source, capsys):
    source, words, *more = (source, "") if isinstance(source, str) else source
    printed = said(capsys, name, answer(name, source))
    first = printed.partition("\n")[0]
    assert first.startswith(f"Exercise {name}: ✓ right.") and words in first
    assert [part for part in more if part not in printed] == []


@pytest.mark.parametrize("name, number", [(name, k) for name in NAMES for k in range(len(WRONG_ANSWERS.get(name, [])))])
def test_a_wrong_answer_is_refused_with_its_sentence(name, number, capsys):
    source, words, *more = WRONG_ANSWERS[name][number]
    printed = said(capsys, name, answer(name, source))
    first = printed.partition("\n")[0]
    assert first.startswith(f"Exercise {name}: ✗ not yet. ") and words in first
    assert [part for part in more if part not in printed] == []


def test_each_exercise_has_two_wrong_answers_with_different_sentences():
    assert sorted(WRONG_ANSWERS) == NAMES
    assert [name for name, wrong in WRONG_ANSWERS.items() if len({words for _, words, *_ in wrong}) < 2] == []


def test_each_exercise_of_a_workshop_has_two_more_right_answers_and_three_wrong_ones_with_different_sentences():
    workshops = {path.name[:2] for path in notebooks() if is_workshop(read(path))}
    few = [name for name in NAMES if name[:2] in workshops
           if len(set(RIGHT_ANSWERS.get(name, ()))) < 2 or len({words for _, words, *_ in WRONG_ANSWERS[name]}) < 3]
    assert few == []


ACCIDENTS = {
    "raises": ("raise KeyError('a key')", "raised KeyError"),
    "returns nothing": ("nothing = 1", "not yet"),
    "returns a word": ("return 'a word'", "not yet"),
    "never ends": ("while True: pass", "does not end"),
    "returns a wrong shape": ("return torch.ones(7, 7)", "not yet"),
    "changes its inputs": ("[t.detach().add_(1) for t in locals().copy().values() if isinstance(t, torch.Tensor)]", "not yet"),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("name", NAMES)
def test_no_accident_stops_a_check(name, accident, capsys):
    body, words = ACCIDENTS[accident]
    head = re.search(rf"^def {exercise(name)[0]}\(.*\):$", exercise(name)[2], re.MULTILINE)[0]
    state = torch.random.get_rng_state()
    printed = said(capsys, name, answer(name, f"{head}\n    {body}"))
    assert printed.startswith(f"Exercise {name}: ✗ not yet. ") and words in printed
    assert torch.equal(torch.random.get_rng_state(), state)


def test_progress_counts_what_was_solved_in_this_process_whatever_was_tried_later(capsys, monkeypatch):
    monkeypatch.setattr(checking, "_solved", set())
    name = NAMES[0]
    wrong = answer(name, WRONG_ANSWERS[name][0][0])
    for given, is_solved in ((..., False), (wrong, False), (answer(name, exercise(name)[3]), True), (wrong, True), (..., True)):
        said(capsys, name, given)
        progress(name[:2])
        printed = capsys.readouterr().out
        assert printed.startswith(f"{int(is_solved)} of ") and (f"Still to do: {name}" in printed) == (not is_solved)


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match="there is no exercise '99.9'"):
        check("99.9", 1)
