"""Hand-ins are graded on the machine of the class, where the hub has brought packages that nbgrader needs too."""

import subprocess

import hand_in
import login


def test_nbgrader_finds_the_command_that_makes_its_gradebook(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_in, "ENVIRONMENT", tmp_path / "grading")
    python = hand_in.install()
    assert subprocess.run([python, "-m", "nbgrader", "--version"], capture_output=True).returncode == 0
    assert subprocess.run([python.with_name("alembic"), "--version"], capture_output=True).returncode == 0


def test_who_is_no_student_has_one_name():
    assert hand_in.LECTURER == login.LECTURER
