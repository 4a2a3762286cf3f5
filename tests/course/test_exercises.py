"""Each exercise: its solution is right, its traps are refused with the right sentence, and nothing a learner does stops it."""

import re

import nbformat
import pytest
import torch
from course import check, progress
from course.checking import load
from matplotlib import pyplot
from rules import NOTEBOOKS
from wrong_answers import RIGHT_ANSWERS, WRONG_ANSWERS

SOLUTION = re.compile(r"<details><summary>A solution</summary>\s*```python\n(.*?)```\s*</details>", re.DOTALL)
CHECK = re.compile(r'^check\("(\d\d\.\d)", (\w+)\)$', re.MULTILINE)

def exercises():
    """(name, name of the learner's function, set-up of the notebook, stub, solution) of each exercise in a notebook."""
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        for i, cell in enumerate(cells):
            for name, function in CHECK.findall(cell.source):
                solutions = SOLUTION.findall(cells[i + 1].source)
                assert len(solutions) == 1, f"{name} has no solution below it"
                yield name, function, code[0].replace("%xmode Minimal", ""), cell.source, solutions[0]


FOUND = {name: rest for name, *rest in exercises()}
NAMES = sorted(FOUND)


@pytest.fixture(autouse=True)
def settings_of_the_set_up_end_with_the_test():
    dtype = torch.get_default_dtype()
    with pyplot.rc_context():
        yield
    torch.set_default_dtype(dtype)


def answer(name, source):
    function, set_up, _, _ = FOUND[name]
    namespace = {}
    exec(compile(f"{set_up}\n{source}", "an answer", "exec"), namespace)
    return namespace[function]


def said(capsys, name, given):
    capsys.readouterr()
    check(name, given)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return printed.strip()


def test_each_exercise_has_a_check_and_each_check_an_exercise():
    notebooks = [path.name[:2] for path in NOTEBOOKS[1:]]
    assert NAMES == sorted(name for notebook in notebooks for name in load(notebook))
    for notebook in notebooks:
        assert 3 <= sum(name.startswith(notebook) for name in NAMES) <= 5


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_not_answered_yet(name, capsys):
    _, set_up, stub, _ = FOUND[name]
    exec(compile(f"{set_up}\n{stub}", "a stub", "exec"), {"check": check})
    assert capsys.readouterr().out == f"Exercise {name}: not answered yet.\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right(name, capsys):
    assert said(capsys, name, answer(name, FOUND[name][3])) == f"Exercise {name}: right."


@pytest.mark.parametrize("name, source", [(name, source) for name in RIGHT_ANSWERS for source in RIGHT_ANSWERS[name]])
def test_another_right_answer_is_right_too(name, source, capsys):
    assert said(capsys, name, answer(name, source)) == f"Exercise {name}: right."


@pytest.mark.parametrize("name, number", [(name, k) for name in NAMES for k in range(len(WRONG_ANSWERS.get(name, [])))])
def test_a_wrong_answer_is_refused_with_its_sentence(name, number, capsys):
    source, words = WRONG_ANSWERS[name][number]
    printed = said(capsys, name, answer(name, source))
    assert printed.startswith(f"Exercise {name}: not yet. ") and words in printed and printed.endswith(".")


def test_each_exercise_has_two_wrong_answers_with_different_sentences():
    assert sorted(WRONG_ANSWERS) == NAMES
    assert [name for name, wrong in WRONG_ANSWERS.items() if len({words for _, words in wrong}) < 2] == []


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
    head = re.search(rf"^def {FOUND[name][0]}\(.*\):$", FOUND[name][2], re.MULTILINE)[0]
    state = torch.random.get_rng_state()
    printed = said(capsys, name, answer(name, f"{head}\n    {body}"))
    assert printed.startswith(f"Exercise {name}: not yet. ") and words in printed
    assert torch.equal(torch.random.get_rng_state(), state)


def test_progress_counts_what_is_right_in_this_process(capsys):
    name = NAMES[0]
    said(capsys, name, ...)
    progress(name[:2])
    assert f"Still to do: {name}" in capsys.readouterr().out
    said(capsys, name, answer(name, FOUND[name][3]))
    progress(name[:2])
    assert name not in capsys.readouterr().out


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match="there is no exercise '99.9'"):
        check("99.9", 1)
