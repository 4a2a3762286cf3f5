"""Hand-ins are collected and graded: right ones get their points, and no hostile one gets any, or anywhere."""

import contextlib
import csv
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_hand_ins import FILE, HandIn, hand_ins, write_all

import hand_in
from editions import for_students
from hand_in import GRADING, Refused, accept, assignment_of, collect, grade, read_hand_in
from project import ROOT, notebooks, read
from sandbox import RIGHT, WRONG, Limits, Said, walls

needs_root = pytest.mark.skipif(not walls(), reason="only root on Linux can put answers behind walls")


@pytest.fixture(scope="module")
def assignment():
    return assignment_of("03")


@pytest.fixture(scope="module")
def edition(assignment):
    return for_students(read(next(path for path in notebooks() if path.name == assignment.file)))


@pytest.fixture(scope="module")
def graded(assignment, edition, tmp_path_factory):
    """The made-up hand-ins, what was found of each, their grades, the folder of the grading, and the file of another student."""
    folder, students = tmp_path_factory.mktemp("grading"), tmp_path_factory.mktemp("students")
    secret = students / "ada/course/notebooks" / FILE
    with socket.create_server(("127.0.0.1", 0)) as server:
        made_up = hand_ins(assignment, secret, server.getsockname()[1])
        write_all(students, edition, assignment, made_up)
        before = secret.read_bytes()
        found = collect(assignment, students, folder)
        table = grade(assignment, folder, Limits(seconds=20, memory=1500 * 2**20))
    assert secret.read_bytes() == before
    return made_up, found, table, folder


@needs_root
def test_each_hand_in_gets_the_points_that_it_is_worth(graded):
    made_up, _, table, _ = graded
    assert len(made_up) >= 30
    assert {name: tuple(each.points for each in table[name].values()) for name in table} == {
        name: each.points for name, each in made_up.items()}


@needs_root
def test_a_right_answer_that_uses_more_than_exercises_need_waits_for_a_reader(graded):
    made_up, _, table, _ = graded
    waiting = {name: tuple(exercise for exercise, each in table[name].items() if each.said.state == RIGHT and each.to_read)
               for name in table}
    assert waiting == {name: each.to_read for name, each in made_up.items()}


@needs_root
def test_what_is_said_of_a_hand_in(graded):
    made_up, _, table, _ = graded
    said = {name: " ".join(["" if each.said.sentence is None else each.said.sentence for each in table[name].values()][:1])
            for name in made_up}
    assert {name: said[name] for name, each in made_up.items() if each.says not in said[name]} == {}


@needs_root
def test_a_check_that_was_changed_is_noticed(graded):
    assert graded[2]["yan"]["03.1"].said.tampered
    assert hand_in.TAMPERED in graded[2]["yan"]["03.1"].to_read


@needs_root
def test_no_process_of_an_answer_is_left(graded):
    left = [path for path in Path("/proc").glob("[0-9]*") if 80_001 <= path.stat().st_uid < 80_010]
    assert left == []


@needs_root
def test_the_table_of_points(graded, assignment):
    made_up, _, table, folder = graded
    with open(folder / "points_03.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == sorted(made_up)
    assert all(int(row["points"]) == sum(made_up[row["student"]].points) for row in rows)
    assert {row["student"] for row in rows if row["to read"]} >= {"yan", "cat", "sue", "dot"}


class Says:
    """Stands for a sandbox: says the same of each answer, and runs none."""

    def __init__(self, said):
        self.judge = lambda job: said


def test_an_answer_that_was_read_counts_as_long_as_it_stays(assignment, edition, tmp_path, monkeypatch):
    monkeypatch.setattr(hand_in, "sandboxes", lambda *_: contextlib.nullcontext([Says(Said(RIGHT))]))

    def hand_in_of(code):
        write_all(tmp_path / code[:6], edition, assignment, {"sue": HandIn(answers={"03.1": code})})
        collect(assignment, tmp_path / code[:6], tmp_path / "grading")
        return grade(assignment, tmp_path / "grading")["sue"]["03.1"].points

    code = "import sys\ndef run_backward(loss1, loss2, loss3):\n    (loss1 + loss2 + loss3).backward()"
    assert hand_in_of(code) == 0
    with pytest.raises(Refused, match="sue/03.2 does not wait for a reader"):
        accept(assignment, ["sue/03.2"], tmp_path / "grading")
    accept(assignment, ["sue/03.1"], tmp_path / "grading")
    assert grade(assignment, tmp_path / "grading")["sue"]["03.1"].points == 1
    assert hand_in_of("# now other code\n" + code) == 0


def test_nothing_is_graded_where_the_solution_of_the_course_is_not_right(assignment, edition, tmp_path, monkeypatch):
    monkeypatch.setattr(hand_in, "sandboxes", lambda *_: contextlib.nullcontext([Says(Said(WRONG, "No module"))]))
    write_all(tmp_path / "class", edition, assignment, {"ada": HandIn()})
    collect(assignment, tmp_path / "class", tmp_path / "grading")
    with pytest.raises(Refused, match="check of 03.1 does not take the solution of the course here .not yet: No module"):
        grade(assignment, tmp_path / "grading")


def test_nothing_is_graded_before_it_is_collected(assignment, tmp_path):
    with pytest.raises(Refused, match="make collect N=03"):
        grade(assignment, tmp_path)


def test_a_copy_from_before_stays_where_nothing_new_can_be_read(assignment, edition, tmp_path):
    write_all(tmp_path / "a", edition, assignment, {"ada": HandIn()})
    collect(assignment, tmp_path / "a", tmp_path / "grading")
    write_all(tmp_path / "b", edition, assignment, {"ada": HandIn(write=lambda folder: None), "=1+1": HandIn()})
    found = collect(assignment, tmp_path / "b", tmp_path / "grading")
    assert found["ada"] == "Nothing was handed in. The copy from before stays."
    assert found["=1+1"].startswith("Left out")
    assert [path.name for path in (tmp_path / "grading/handed_in/03").glob("*.ipynb")] == ["ada.ipynb"]


def test_the_lecturer_of_a_class_is_no_student_of_it(assignment, edition, tmp_path, monkeypatch):
    write_all(tmp_path / "class", edition, assignment, {"ada": HandIn(), "lecturer": HandIn()})
    assert set(collect(assignment, tmp_path / "class", tmp_path / "sent")) == {"ada", "lecturer"}
    monkeypatch.setattr(hand_in, "CLASS", tmp_path / "class")
    assert set(collect(assignment, tmp_path / "class", tmp_path / "grading")) == {"ada"}


def test_a_folder_that_is_a_link_is_not_followed(assignment, edition, tmp_path):
    write_all(tmp_path / "class", edition, assignment, {"ada": HandIn()})
    (tmp_path / "class/eve").mkdir()
    (tmp_path / "class/eve/course").symlink_to(tmp_path / "class/ada/course")
    (tmp_path / "class/fay").symlink_to(tmp_path / "class/ada")
    found = collect(assignment, tmp_path / "class", tmp_path / "grading")
    assert found["eve"].startswith("Not read") and found["fay"].startswith("Not read")


def test_a_folder_of_files_that_were_sent(assignment, edition, tmp_path):
    write_all(tmp_path / "class", edition, assignment, {"ada": HandIn(answers={"03.1": "pass"})})
    (tmp_path / "sent/ada").mkdir(parents=True)
    (tmp_path / "class/ada/course/notebooks" / FILE).rename(tmp_path / "sent/ada" / FILE)
    assert collect(assignment, tmp_path / "sent", tmp_path / "grading")["ada"].endswith(" letters")
    with pytest.raises(Refused, match="There is no folder"):
        collect(assignment, tmp_path / "nowhere")


def test_the_cell_of_an_exercise_counts_before_others(assignment, edition):
    exercise = assignment.exercises[0]
    lines = ["def run_backward(*losses): pass\n", 'check("03.1", run_backward)']
    own = {"cell_type": "code", "id": exercise.cell, "source": lines}
    other = {"cell_type": "code", "id": "mine", "source": "import math\nrun = 1\ncheck('03.1', run)"}
    read_one = read_hand_in(json.dumps({"cells": [own, other]}), assignment)
    assert read_one[0]["03.1"].code == "def run_backward(*losses): pass" and read_one[1] == "import math"
    own["source"] = exercise.code
    answers, _ = read_hand_in(json.dumps({"cells": [own, other]}), assignment)
    assert answers["03.1"].argument == "run" and answers["03.1"].code == "import math\nrun = 1"


def test_each_exercise_of_the_course_can_be_handed_in():
    for path in notebooks()[1:]:
        assignment = assignment_of(path.name[:2])
        text = json.dumps(for_students(read(path)))
        answers, imports = read_hand_in(text, assignment)
        assert {name: answer.code for name, answer in answers.items()} == {each.name: each.code for each in assignment.exercises}
        assert hand_in._own_imports(imports, assignment) == ""


def test_no_such_assignment():
    with pytest.raises(Refused, match="There is no notebook 42: the numbers are 00, 01, .*, as in N=03"):
        assignment_of("42")
    with pytest.raises(Refused, match="Notebook 00 has no exercises"):
        assignment_of("00")


def test_without_walls_nothing_runs_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(hand_in, "walls", lambda: False)
    monkeypatch.setattr(hand_in, "grade", lambda *_: pytest.fail("an answer would run"))
    with pytest.raises(SystemExit, match="only root on Linux can run them behind walls"):
        hand_in.main(["grade", "03"])


@needs_root
@pytest.mark.skipif(not (ROOT / ".venv-grading/ready").exists(), reason="nbgrader is not installed: make grade does that")
def test_nbgrader_has_the_same_points_and_a_page_for_each_student(graded, tmp_path):
    made_up, _, table, folder = graded
    code = ("import sys, pathlib, gradebook, hand_in\n"
            "hand_in.GRADING = gradebook.GRADING = pathlib.Path(sys.argv[1])\n"
            "gradebook.main('record', '03')\n"
            "with gradebook.Gradebook(f'sqlite:///{gradebook.GRADING}/gradebook.db', 'course') as book:\n"
            "    for each in book.assignment_submissions('03'):\n"
            "        print(each.student.id, each.score, each.needs_manual_grade)\n")
    python = ROOT / ".venv-grading/bin/python"
    variables = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}", "JUPYTER_PATH": f"{sys.prefix}/share/jupyter",
                 "PYTHONPATH": f"{ROOT / 'tools'}:{ROOT}"}
    ran = subprocess.run([python, "-c", code, folder], env=variables, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert {name: float(points) for name, points, _ in lines} == {name: sum(each.points) for name, each in made_up.items()}
    waiting = {name for name in table for each in table[name].values() if each.to_read}
    assert {name for name, _, waits in lines if waits == "True"} == waiting
    for name in made_up:
        page = (folder / "feedback" / name / "03" / FILE.replace(".ipynb", ".html")).read_text(encoding="utf-8")
        assert "Exercise 03.1: " in re.sub("<[^>]+>", "", page) and "<script>alert(1)" not in page
    assert GRADING == ROOT / "_grading"
