"""make notebook: what it writes passes the tests, as it is."""

import shutil
import subprocess
import sys

import pytest

import lecturing
import new_notebook
from project import ROOT, notebooks, read
from rules import problems


def test_the_skeleton_keeps_the_rules_runs_and_has_exercises_and_a_plan(tmp_path):
    for name in ("notebooks", "tests", "tools", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    number = f"{len(notebooks()):02}"

    def run(*command):
        return subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)

    written = run("tools/new_notebook.py", number, "--title", "Puzzles: of *graphs*")
    assert written.returncode == 0, written.stderr
    path = tmp_path / f"notebooks/{number}_puzzles_of_graphs.ipynb"
    notebook = read(path)
    assert problems(path, notebook) == []
    assert [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"] == []
    assert f"Exercise {number}.1: not answered yet." in path.read_text(encoding="utf-8")
    assert (tmp_path / "docs/lecturing.md").read_text(encoding="utf-8").endswith(lecturing.plan_of(path))
    exercises = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"{number}. or each_exercise",
                    "tests/course/test_exercises.py")
    assert exercises.returncode == 0 and " passed" in exercises.stdout, exercises.stdout[-3000:]


@pytest.mark.parametrize("number", ["", "42", "ten"])
def test_it_asks_for_the_next_number(number):
    with pytest.raises(SystemExit, match=f'The next notebook is {len(notebooks())}: make notebook N={len(notebooks())} TITLE="'):
        new_notebook.main([number])


def test_it_writes_over_nothing(tmp_path, monkeypatch):
    there = tmp_path / f"notebooks/course/exercises/notebook_{len(notebooks())}.py"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    monkeypatch.setattr(new_notebook, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=f"{there.name} is there already"):
        new_notebook.main([f"{len(notebooks())}"])
    assert there.read_text() == "mine" and [path for path in tmp_path.rglob("*.ipynb")] == []
