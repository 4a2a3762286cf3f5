"""The editions: what is taken out is out, everywhere, and all else is the same."""

import json
import re
import shutil

import nbformat
import pytest

import editions
from cells import run_cells
from editions import FOR_STUDENTS, MARK, SHOWN_NOTE, Refused, for_students, links_in, write
from project import COURSE, ROOT, kind, notebooks, read
from refresh import refresh
from rules import CHECK, NOTE, SOLUTION

NAMES = [path.name for path in notebooks()]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A dict from each edition to its folder of notebooks."""
    folders = {edition: tmp_path_factory.mktemp(edition) for edition in editions.EDITIONS}
    for edition, folder in folders.items():
        assert write(edition, folder) == len(NAMES)
    return {edition: folder / "notebooks" for edition, folder in folders.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_student_has_no_solution_and_no_note(written, name):
    """Not in a cell, not in an output, not in what a file keeps beside them."""
    text = (written["student"] / name).read_text(encoding="utf-8")
    own = [cell.source for cell in read(COURSE / name).cells if kind(cell) == "notes"]
    strings = set(_strings(json.loads(text)))
    everything = "\n".join(strings)
    assert "A solution" not in everything and "For the lecturer" not in everything and 'class="lecturer"' not in everything
    for note in own:
        assert not [line for line in note.splitlines()[2:-2] if len(line) > 40 and line in everything]
    for cell in read(COURSE / name).cells:
        for solution in SOLUTION.findall(cell.source):
            assert solution.strip() not in everything


def _strings(value):
    """All texts of a notebook; those in several lines as one."""
    if isinstance(value, dict):
        for inside in value.values():
            yield from _strings(inside)
    elif isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        yield "".join(value)
    elif isinstance(value, list):
        for inside in value:
            yield from _strings(inside)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", NAMES)
def test_all_else_is_the_same_cell_by_cell(written, name):
    ours, students = read(COURSE / name).cells, read(written["student"] / name).cells
    assert [cell.id for cell in students] == [cell.id for cell in ours if kind(cell) != "notes"]
    for cell, before in zip(students, [cell for cell in ours if kind(cell) != "notes"]):
        if SOLUTION.search(before.source):
            before.source = before.source.partition("<details><summary>A solution</summary>")[0].rstrip()
        for words, others in FOR_STUDENTS.items():
            before.source = before.source.replace(words, others)
        assert cell == before
    for cell, before in zip(read(written["lecturer"] / name).cells, read(COURSE / name).cells, strict=True):
        assert NOTE.fullmatch(before.source) if kind(before) == "notes" else True
        before.source = before.source.replace('<details class="lecturer">', SHOWN_NOTE)
        assert cell == before


@pytest.mark.parametrize("edition", editions.EDITIONS)
def test_an_edition_has_the_code_of_the_course(written, edition):
    def code(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "course").rglob("*")
                if path.is_file() and "__pycache__" not in path.parts}

    assert code(written[edition]) == code(COURSE)


@pytest.mark.parametrize("edition", editions.EDITIONS)
def test_each_link_leads_somewhere(written, edition):
    made = {path.name: read(path) for path in notebooks(written[edition])}
    places = {}
    for name, notebook in made.items():
        headings = [re.sub("[*`]", "", heading) for cell in notebook.cells if cell.cell_type == "markdown"
                    for heading in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)]
        places[name] = {f"cell-id={cell.id}" for cell in notebook.cells} | {heading.replace(" ", "-") for heading in headings}
    found = [(name, file or name, place) for name, notebook in made.items() for _, file, place in links_in(notebook)]
    assert len(found) > 100
    assert [link for link in found if link[1] not in made or link[2] and link[2] not in places[link[1]]] == []


def test_what_the_course_says_of_itself_is_said_somewhere():
    everything = "\n".join(cell.source for path in notebooks() for cell in read(path).cells)
    assert [words for words in FOR_STUDENTS if words not in everything] == []
    students = "\n".join(cell.source for path in notebooks() for cell in for_students(read(path)).cells)
    assert "hint and a solution" not in students and "hints and a solution" not in students and "FOR=lecturer" not in students


def test_a_students_notebook_runs_from_top_to_bottom_and_shows_what_it_stores(written):
    """Its code is that of the course, cell by cell, so one notebook is enough."""
    path = written["student"] / NAMES[3]
    before = path.read_bytes()
    refresh(path)
    assert path.read_bytes() == before


def test_an_exercise_still_checks_itself(written, capsys):
    cells = [cell.source for cell in read(written["student"] / NAMES[3]).cells if cell.cell_type == "code"]
    run_cells(cells[0].replace("%xmode Minimal", ""), next(cell for cell in cells if CHECK.search(cell)))
    assert "Exercise 03.1: ✗ not yet." in capsys.readouterr().out


def test_writing_again_replaces_what_was_written(tmp_path):
    write("lecturer", tmp_path)
    (tmp_path / "notebooks/99_gone.ipynb").touch()
    (tmp_path / "of_others.txt").write_text("stays")
    write("student", tmp_path)
    assert [path.name for path in notebooks(tmp_path / "notebooks")] == NAMES
    assert (tmp_path / "notebooks" / MARK).read_text() == "student\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks", "of_others.txt"]


def test_notebooks_of_somebody_are_not_written_over(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/mine.ipynb").write_text("mine")
    with pytest.raises(Refused, match="was not written by this tool, and is left as it is: name another folder"):
        write("student", tmp_path)
    assert (tmp_path / "notebooks/mine.ipynb").read_text() == "mine"
    with pytest.raises(SystemExit, match="No edition is written"):
        editions.main(["student", str(tmp_path)])
    with pytest.raises(Refused, match="There is no edition 'teacher': the editions are student and lecturer"):
        write("teacher", tmp_path)


@pytest.fixture
def course(tmp_path):
    """The folder of a course of one notebook, which links to no other one."""
    folder = tmp_path / "checkout/notebooks"
    (folder / "course").mkdir(parents=True)
    shutil.copy(COURSE / NAMES[3], folder)
    change(folder, lambda source: re.sub(r"\]\(<?\d\d_[^)]+\)", "](https://example.org)", source))
    return folder


def change(course, function):
    notebook = read(course / NAMES[3])
    for cell in notebook.cells:
        cell.source = function(cell.source)
    nbformat.write(notebook, course / NAMES[3])


def link_to(course, target):
    change(course, lambda source: f"{source}\n[link](<{target}>)" if source.startswith("# 03") else source)


def test_a_link_to_a_note_leads_nowhere_for_students(course, tmp_path):
    link_to(course, "#cell-id=03-recall-note")
    assert write("lecturer", tmp_path / "lecturer", course) == 1
    with pytest.raises(Refused, match="cell 03-01 links to #cell-id=03-recall-note, which is not in this edition"):
        write("student", tmp_path / "student", course)
    assert not (tmp_path / "student").exists()


def test_a_file_that_is_linked_comes_along(course, tmp_path):
    (tmp_path / "checkout/figures").mkdir()
    (tmp_path / "checkout/figures/a graph.svg").write_text("<svg/>")
    link_to(course, "../figures/a graph.svg")
    write("student", tmp_path / "student", course)
    assert (tmp_path / "student/figures/a graph.svg").read_text() == "<svg/>"
    (tmp_path / "outside.svg").touch()
    link_to(course, "../../outside.svg")
    with pytest.raises(Refused, match="which is not in this edition"):
        write("student", tmp_path / "student", course)


def test_a_solution_in_another_form_is_refused(course, tmp_path):
    change(course, lambda source: source.replace("<summary>Stronger hint", "<summary>Another hint"))
    with pytest.raises(Refused, match="cell 03-exercise-1-solution has a solution in another form"):
        write("student", tmp_path / "student", course)


def test_the_commands_write_to_build_or_to_a_folder():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert '$(VENV) tools/editions.py $@ $(if $(FOLDER),"$(FOLDER)")' in makefile
