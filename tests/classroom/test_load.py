"""A small load test: three students go through a lesson, and nothing is lost, though the class is killed in the middle."""

import asyncio
import json

import psutil
import pytest

import load_test
from load.lesson import HUB_AND_PROXY, Kill, lost_on_disk
from load.room import NoClass, Room

NOTEBOOK = "03_several_losses.ipynb"


@pytest.fixture
def room(tmp_path):
    tmp_path.chmod(0o711)
    room = Room(tmp_path / "class", seats=4)
    yield room
    room.close()


def test_three_students_lose_nothing_where_the_class_is_killed(room):
    students = load_test.students_of(room, 3, NOTEBOOK)
    before = {process.pid for process in psutil.process_iter() if process.name() == "node"}
    report = asyncio.run(load_test.lesson(room, students, "{name} was here.", Kill(HUB_AND_PROXY, "lab", 0.3), arrivals=3))
    assert report.failures == [] and report.lost == [] and report.left_running == []
    assert len(report.opened) == 2 and len(report.seconds["left"]) == 3
    assert report.memory["saved"]["server"] > 0 and report.spent["saved"]["kernel"] > 0
    assert {process.pid for process in psutil.process_iter() if process.name() == "node"} <= before

    # The same comparison notices what is lost.
    path = room.folder / "students/student-02/course/notebooks" / NOTEBOOK
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert "".join(notebook["cells"][-1]["source"]) == "student-02 was here."
    del notebook["cells"][-1]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert [what for student in students for what in lost_on_disk(room, student)] == [
        f"student-02: on the disk, cell {students[1].saved['cells'][-1]['id']} is gone: 'student-02 was here.'"]
    path.write_text("{", encoding="utf-8")
    assert list(lost_on_disk(room, students[1])) == ["student-02: the notebook on the disk cannot be read: JSONDecodeError"]


def test_a_student_who_cannot_come_in_is_a_failure_and_no_end(room):
    students = load_test.students_of(room, 2, NOTEBOOK)
    students[1].word = "another"
    report = asyncio.run(load_test.lesson(room, students, "{name} was here.", together=True))
    assert report.failures == [
        "student-02, the door: Gone at the login: This is not the word of the class: ask your lecturer for it."]
    assert len(report.seconds["left"]) == 1 and report.lost == [] and report.left_running == []


def test_a_class_that_does_not_open_says_why(room):
    room.folder.mkdir()
    room.course = room.folder / "nothing"
    with pytest.raises(NoClass, match="The class did not open .*There is no notebook in"):
        asyncio.run(load_test.lesson(room, load_test.students_of(room, 1, NOTEBOOK), "{name} was here."))


@pytest.mark.parametrize("count, words", [(0, "STUDENTS=0 is no class"), (201, "STUDENTS=201 is no class")])
def test_a_class_of_no_size_is_refused(count, words, tmp_path):
    with pytest.raises(SystemExit, match=words):
        load_test.check(count, tmp_path)


def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path):
    (tmp_path / "work").write_text("mine")
    with pytest.raises(SystemExit, match="is not a folder of this test"):
        load_test.check(1, tmp_path)
