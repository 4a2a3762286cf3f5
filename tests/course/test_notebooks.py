"""The notebooks as documents: that they run and show what they store is checked by nbval."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from rules import NOTEBOOKS, problems

ROOT = Path(__file__).parents[2]
import figures

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def test_the_series_is_numbered_without_a_gap():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in range(len(NOTEBOOKS))]


@each_notebook
def test_no_guard_complains(path):
    assert problems(read(path), path.stat().st_size) == []


@each_notebook
def test_the_first_cell_says_what_one_learns_what_one_needs_and_how_long_it_takes(path):
    first = read(path).cells[0].source
    assert first.startswith(f"# {path.name[:2]} · ")
    for words in ("After this notebook you can", "**You need**", "**Time:**"):
        assert words in first


@each_notebook
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)\)", "\n".join(
        cell.source for cell in read(path).cells if cell.cell_type == "markdown"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_it_opens_with_two_questions_on_the_one_before_and_ends_with_the_rules(path):
    cells = read(path).cells
    assert cells[1].source.startswith(f"**Recall.** Two questions on notebook {int(path.name[:2]) - 1:02}.")
    assert cells[1].source.count("<details><summary>") == cells[1].source.count("?") == 2
    assert cells[-1].source.startswith("## The rules\n\n| Rule | Where |")
    assert len(re.findall(r"^\d\. ", cells[-1].source.partition("**What people get wrong**")[2], re.MULTILINE)) == 3


OPTION = re.compile(r"^- ([A-D])\. ", re.MULTILINE)
FOLDED_ANSWER = re.compile(r"<details><summary>([A-D])</summary>\n\n(.*?)\n\n</details>", re.DOTALL)


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_each_prediction_offers_answers_and_explains_each_of_them_after_the_run(path):
    cells = read(path).cells
    places = [i for i, cell in enumerate(cells) if "**Predict.**" in cell.source]
    assert len(places) >= 5
    for start, end in zip(places, [*places[1:], len(cells)]):
        offered = OPTION.findall(cells[start].source)
        section = cells[start:end]
        explained = [(i, *answer) for i, cell in enumerate(section) for answer in FOLDED_ANSWER.findall(cell.source)]
        assert len(offered) >= 3 and offered == [letter for _, letter, _ in explained], cells[start].id
        assert any(cell.cell_type == "code" for cell in section[:explained[0][0]]), "the run comes first"
        verdicts = [text.startswith("Right. ") for _, _, text in explained]
        assert sum(verdicts) == 1, cells[start].id
        assert all(text.startswith("It would be so ") for (_, _, text), right in zip(explained, verdicts) if not right)


@each_notebook
def test_no_answer_of_a_prediction_can_be_read_at_a_glance(path):
    cells = read(path).cells
    assert [cell.id for cell in cells if re.search(r"[Aa]nswer [A-D]\b", FOLDED_ANSWER.sub("", cell.source))] == []


def test_figures_are_those_of_the_notebooks():
    stored = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "figures").glob("*.svg")}
    assert stored == figures.figures(), "run `make figures`"


def test_every_figure_of_the_readme_exists_and_has_alt_text():
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    for alt, link in shown:
        assert alt and (ROOT / link).is_file()


def test_a_refresh_changes_no_byte(tmp_path):
    copied = shutil.copytree(ROOT / "notebooks", tmp_path / "a path with spaces, é and 图",
                             ignore=shutil.ignore_patterns("__pycache__", ".*"))
    notebook = copied / NOTEBOOKS[0].name
    subprocess.run([sys.executable, ROOT / "tools/refresh.py", notebook], check=True, capture_output=True)
    assert notebook.read_bytes() == NOTEBOOKS[0].read_bytes()


# The guards themselves: each must notice the damage that it is there for.

def strip(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def first_output(notebook, kind):
    return next(output for cell in notebook.cells if cell.cell_type == "code"
                for output in cell.outputs if output.output_type == kind)


def first_code(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def raising_cell(notebook):
    return next(cell for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", []))


def picture(notebook):
    return next(output.data for cell in notebook.cells if cell.cell_type == "code"
                for output in cell.outputs if "text/html" in output.get("data", {}))


def change_html(old, new):
    def change(notebook):
        data = picture(notebook)
        assert old in data["text/html"]
        data["text/html"] = data["text/html"].replace(old, new)
    return change


DAMAGE = {
    "counts are not 1 to n": strip,
    "stores no error": lambda notebook: raising_cell(notebook).update(outputs=[]),
    "without the tag": lambda notebook: raising_cell(notebook).metadata.update(tags=[]),
    "excused": lambda notebook: raising_cell(notebook).metadata.update(tags=["raises-exception", "nbval-ignore-output"]),
    "excused from": lambda notebook: notebook.cells[1].update(source="# NBVAL_IGNORE_OUTPUT\n1"),
    "path or an address": lambda notebook: first_output(notebook, "stream").update(text="/home/someone/file"),
    "address of a machine": lambda notebook: first_output(notebook, "stream").update(text="<Node at 0x7f12ab34cd>"),
    "whole traceback": lambda notebook: first_output(notebook, "error").update(traceback=["a", "b"]),
    "stderr": lambda notebook: first_output(notebook, "stream").update(name="stderr"),
    "without alt text": change_html('alt="', 'title="'),
    "not in the notebook itself": change_html("data:image/svg+xml;base64,", "picture.svg?"),
    "without a text": lambda notebook: picture(notebook).update({"text/plain": " "}),
    "not visible before a run": lambda notebook: picture(notebook).update({"image/svg+xml": "<svg/>"}),
    "same id": lambda notebook: notebook.cells[1].update(id=notebook.cells[0].id),
    "no slide type": lambda notebook: notebook.cells[2].metadata.clear(),
    "kernelspec": lambda notebook: notebook.metadata.kernelspec.update(name="other"),
    "time of its run": lambda notebook: notebook.cells[2].metadata.update(execution={"iopub": "12:00"}),
    "bar that is not full": lambda notebook: first_output(notebook, "stream").update(text="[===   ] 1/2"),
    "another look": lambda notebook: first_code(notebook).update(source="import matplotlib.pyplot as plt"),
    "TeX mathematics": lambda notebook: notebook.cells[0].update(source="$x^2$"),
    "more than 15 lines": lambda notebook: first_code(notebook).update(source="1\n" * 16),
}


@pytest.mark.parametrize("sentence", DAMAGE)
def test_a_guard_notices(sentence):
    notebook = copy.deepcopy(read(NOTEBOOKS[1]))
    DAMAGE[sentence](notebook)
    assert any(sentence in problem for problem in problems(notebook)), problems(notebook)
