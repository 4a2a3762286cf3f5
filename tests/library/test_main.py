"""python -m seegrad: a script runs as Python runs it, its error is shown as it is, and explained below."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAILS = """
import torch
w = torch.ones(2, requires_grad=True)
loss = w.exp().sum()
loss.backward()
loss.backward()
"""


def python(folder, *arguments, script=""):
    if script:
        (folder / "train.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_error_stands_as_without_and_the_explanation_below_it(tmp_path):
    plain = python(tmp_path, "train.py", script=FAILS)
    ours = python(tmp_path, "-m", "seegrad", "--save", "error.html", "train.py")
    assert ours.returncode == plain.returncode == 1 and ours.stdout == plain.stdout
    shown, _, explanation = ours.stderr.partition("\n\nCase 1 of the error clinic")
    assert [line.strip() for line in shown.splitlines()] == [line.strip() for line in plain.stderr.splitlines()]
    assert "line 6 of train.py: loss.backward()" in explanation
    assert "[2] ExpBackward0 needs what it had saved, and line 5 of train.py has run backward through it before" in explanation
    assert "written: error.html" in explanation and "Case 1 of" in (tmp_path / "error.html").read_text()


def test_a_script_that_ends_well_is_the_main_program_with_its_arguments_and_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("word = 'beside'\n")
    script = ("import pickle, sys, neighbour\nclass Batch: pass\nif __name__ == '__main__':\n"
              "    print(sys.argv, neighbour.word, type(pickle.loads(pickle.dumps(Batch()))).__name__, __file__)\n"
              "    sys.exit(3)")
    plain = python(tmp_path, "train.py", "--lr", "1", script=script)
    ours = python(tmp_path, "-m", "seegrad", "train.py", "--lr", "1")
    assert (ours.stdout.replace(str(tmp_path) + "/", ""), ours.stderr, ours.returncode) == (
        plain.stdout.replace(str(tmp_path) + "/", ""), plain.stderr, 3)


def test_of_another_error_only_the_traceback_is_shown(tmp_path):
    ended = python(tmp_path, "-m", "seegrad", "train.py", script="import torch\n1 / 0")
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    broken = python(tmp_path, "-m", "seegrad", "train.py", script="def f(:")
    assert broken.returncode == 1 and "SyntaxError" in broken.stderr.splitlines()[-1]


@pytest.mark.parametrize(("arguments", "says"), [
    (["--message", "Trying to backward through the graph a second time"], "case 1 (08_error_clinic.ipynb#Case-1:"),
    (["--message", "RuntimeError: can't optimize a non-leaf Tensor"], "error clinic, case 9"),
    (["--message", "out of memory"], "Not known: this is no message of the error clinic."),
    ([], "there is no script: give one"), (["nothing.py"], "there is no file nothing.py")])
def test_a_message_leads_to_its_case_and_bad_input_gets_one_sentence(tmp_path, arguments, says):
    ended = python(tmp_path, "-m", "seegrad", *arguments)
    assert says in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
