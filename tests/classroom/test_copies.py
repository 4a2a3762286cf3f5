"""A student's copy of the course: what is theirs stays, what is new comes beside it."""

import json
import os
import shutil
import subprocess

import copies
import nbformat
import pytest
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgitpuller.pull import GitPuller

# nbgitpuller leaves it to Python to close the pipes of its commands.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course that is written and published anew with each call, and returns the student's copy, brought up to date."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(copies.SETTINGS))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    copy = tmp_path / "copy"

    def publish(**files):
        edition = tmp_path / "edition"
        shutil.rmtree(edition, ignore_errors=True)
        edition.mkdir()
        for name, sources in files.items():
            nbformat.write(notebook(*sources), edition / f"{name}.ipynb")
        copies.publish(edition, tmp_path / "published")
        copies.bring_up_to_date(tmp_path / "published", copy)
        return copy
    return publish


def notebook(*sources):
    cells = [(new_code_cell if source.endswith(")") else new_markdown_cell)(source) for source in sources]
    for i, cell in enumerate(cells):
        cell.id = f"cell-{sources[i].split()[-1].strip('print()')}"
    return new_notebook(cells=cells)


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def add(path, source):
    changed = nbformat.read(path, as_version=4)
    changed.cells.append(new_markdown_cell(source, id="mine"))
    nbformat.write(changed, path)


def test_a_first_copy_is_trusted_so_that_plays_work_at_once(course):
    copy = course(a=["one", "print(2)"])
    assert sources(copy / "a.ipynb") == ["one", "print(2)"]
    with NotebookNotary() as notary:
        assert notary.check_signature(nbformat.read(copy / "a.ipynb", as_version=4))


def test_a_second_time_changes_nothing(course):
    copy = course(a=["one"])
    before = (copy / "a.ipynb").stat().st_mtime_ns
    course(a=["one"])
    assert (copy / "a.ipynb").stat().st_mtime_ns == before
    assert [path.name for path in copy.iterdir() if path.suffix] == ["a.ipynb"]


def test_new_material_comes_and_the_students_work_stays(course):
    copy = course(a=["one"], b=["two"])
    add(copy / "a.ipynb", "my answer")
    (copy / "mine.txt").write_text("my notes")
    course(a=["one"], b=["two", "three"], c=["four"])
    assert sources(copy / "a.ipynb") == ["one", "my answer"]
    assert sources(copy / "b.ipynb") == ["two", "three"]
    assert sources(copy / "c.ipynb") == ["four"]
    assert (copy / "mine.txt").read_text() == "my notes"
    with NotebookNotary() as notary:
        assert notary.check_signature(nbformat.read(copy / "c.ipynb", as_version=4))


def test_where_both_have_changed_a_line_the_students_counts(course):
    copy = course(a=["one", "middle", "two"])
    changed = nbformat.read(copy / "a.ipynb", as_version=4)
    changed.cells[2].source = "my two"
    nbformat.write(changed, copy / "a.ipynb")
    course(a=["new one", "middle", "new two"])
    assert "my two" in sources(copy / "a.ipynb")


def test_a_new_file_takes_no_name_from_a_file_of_the_student(course):
    copy = course(a=["one"])
    nbformat.write(notebook("mine"), copy / "b.ipynb")
    course(a=["one"], b=["new"])
    assert sources(copy / "b.ipynb") == ["new"]
    assert [sources(path) for path in copy.glob("b__*.ipynb")] == [["mine"]]


def test_a_notebook_that_the_course_has_no_more_stays_where_the_student_has_worked_in_it(course):
    copy = course(a=["one"], b=["two"], c=["three"])
    add(copy / "b.ipynb", "my answer")
    course(a=["one"])
    assert sources(copy / "b.ipynb") == ["two", "my answer"]
    assert not (copy / "c.ipynb").exists()


def test_a_notebook_that_the_student_has_deleted_comes_back(course):
    copy = course(a=["one"])
    (copy / "a.ipynb").unlink()
    course(a=["one"], b=["two"])
    assert sources(copy / "a.ipynb") == ["one"]


def test_a_merge_that_breaks_a_notebook_gives_the_students_back_and_the_new_one_beside_it(course, monkeypatch):
    copy = course(a=["one"])
    add(copy / "a.ipynb", "my answer")
    pull = GitPuller.pull

    def breaking(puller):
        yield from pull(puller)
        (copy / "a.ipynb").write_text('{"cells": [<')
    monkeypatch.setattr(GitPuller, "pull", breaking)
    course(a=["new one"])
    assert sources(copy / "a.ipynb") == ["one", "my answer"]
    assert sources(copy / "a_new.ipynb") == ["new one"]


def test_a_notebook_that_the_student_has_broken_stays_as_it_is(course):
    copy = course(a=["one"])
    (copy / "a.ipynb").write_text("no notebook")
    course(a=["one"], b=["two"])
    assert (copy / "a.ipynb").read_text() == "no notebook"
    assert sources(copy / "b.ipynb") == ["two"]


def test_the_repository_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "edition").mkdir()

    def killed(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(copies.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        copies.publish(tmp_path / "edition", tmp_path / "published")
    assert [path.name for path in tmp_path.iterdir()] == ["edition"]


def test_what_is_published_has_no_trace_of_this_machine(course, tmp_path):
    course(a=["one"])
    environment = {**os.environ, "GIT_DIR": str(tmp_path / "published")}
    log = subprocess.run(["git", "log", "--format=%an %ae %cn %ce"], env=environment, capture_output=True, text=True).stdout
    assert set(log.splitlines()) == {"The course course@localhost The course course@localhost"}
    assert json.loads((tmp_path / "copy/a.ipynb").read_text())["cells"]
