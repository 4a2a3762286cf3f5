"""make notebook: what it writes passes the tests, as it is."""

import shutil
import subprocess
import sys

import pytest

import new_notebook
from project import ROOT, notebooks


def test_the_skeleton_passes_the_tests_of_notebooks_exercises_plans_and_cells(tmp_path):
    for name in ("notebooks", "tests", "tools", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "CONTRIBUTING.md", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    number = f"{len(notebooks()):02}"

    def run(*command):
        return subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)

    written = run("tools/new_notebook.py", number, "--title", "Puzzles: of *graphs*")
    assert written.returncode == 0, written.stderr
    name = f"{number}_puzzles_of_graphs"
    chosen = f"not again and ({number} or series or page or each)"
    done = run("-m", "pytest", "-q", "--nbval", "-p", "no:cacheprovider", "-k", chosen, f"notebooks/{name}.ipynb",
               "tests/course/test_notebooks.py", "tests/course/test_exercises.py", "tests/tools/test_lecturing.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{number} · Puzzles" in (tmp_path / "docs/lecturing.md").read_text(encoding="utf-8")
    again = run("tools/new_notebook.py", number)
    assert again.returncode == 1 and again.stderr.startswith("The next notebook is ") and again.stderr.count("\n") == 1


@pytest.mark.parametrize("number", ["", "42", "ten"])
def test_it_asks_for_the_next_number(number):
    with pytest.raises(SystemExit, match=f'The next notebook is {len(notebooks())}: make notebook N={len(notebooks())} TITLE="'):
        new_notebook.main([number])


def test_it_writes_over_nothing(tmp_path, monkeypatch):
    there = tmp_path / "notebooks/course/exercises/notebook_10.py"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    monkeypatch.setattr(new_notebook, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"notebook_10.py is there already"):
        new_notebook.main([f"{len(notebooks())}"])
    assert there.read_text() == "mine" and [path for path in tmp_path.rglob("*.ipynb")] == []
