"""What a student's processes may do, and what not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import needs_root

import seats
import sit_down

USER, OTHER = 90_101, 90_102


def run(code, home, user=None, memory=1024, needs=()):
    """Run a line of Python as a student; return what it prints, or its last line of error."""
    command = [sys.executable, sit_down.__file__, *(["--user", str(user)] if user else []), "--folder", str(home),
               "--memory", str(memory * 2**20), "--needs", *map(str, [*seats.NEEDS, *needs]), "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def class_folder(tmp_path):
    """A class with two students, whose folder lies in one that others may not enter."""
    (tmp_path / "hub").mkdir(mode=0o700)
    (tmp_path / "hub/settings.json").write_text("the words of the class")
    (tmp_path / "students").mkdir(mode=0o711)
    for name, user in (("anna", USER), ("ben", OTHER)):
        home = tmp_path / "students" / name
        home.mkdir(mode=0o700)
        (home / "notes.txt").write_text(f"the notes of {name}")
        if os.geteuid() == 0:
            for path in (home, home / "notes.txt"):
                os.chown(path, user, user)
    yield tmp_path
    if os.geteuid() == 0:
        seats.end_all_of(USER)


@needs_root
def test_a_student_reads_and_writes_what_is_their_own(class_folder):
    home = class_folder / "students/anna"
    assert run("print(open('notes.txt').read()); open('new.txt', 'w')", home, USER) == "the notes of anna"
    assert (home / "new.txt").stat().st_uid == USER
    assert (home / "new.txt").stat().st_mode & 0o077 == 0


@needs_root
@pytest.mark.parametrize("code", [
    "open('../ben/notes.txt')", "open('../ben/notes.txt', 'w')", "import os; os.listdir('../ben')",
    "import os; os.rename('../ben', '../mine')", "open('../../hub/settings.json')", "import os; os.setuid(0)",
    f"import os; os.setuid({OTHER})", "open('/etc/shadow')", "import os; os.kill(os.getppid(), 9)",
])
def test_a_student_cannot_come_to_what_is_not_theirs(class_folder, code):
    said = run(code, class_folder / "students/anna", USER)
    assert "PermissionError" in said or "FileNotFoundError" in said, said
    assert (class_folder / "students/ben/notes.txt").read_text() == "the notes of ben"


@needs_root
def test_no_program_gives_root_back(class_folder):
    assert run("print(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])", class_folder / "students/anna",
               USER) == "1"


@needs_root
def test_a_closed_folder_above_the_course_has_nothing_in_it_but_the_way(class_folder, tmp_path):
    closed = tmp_path / "closed"
    for name in ("course", "secret"):
        (closed / name).mkdir(parents=True)
        (closed / name / "file.txt").write_text(name)
    closed.chmod(0o700)
    home = class_folder / "students/anna"
    needs = [closed / "course"]
    assert run(f"print(open({str(closed / 'course/file.txt')!r}).read())", home, USER, needs=needs) == "course"
    assert run(f"import os; print(os.listdir({str(closed)!r}))", home, USER, needs=needs) == "['course']"
    assert closed.stat().st_mode & 0o777 == 0o700, "for all others it is as closed as before"
    assert sorted(path.name for path in closed.iterdir()) == ["course", "secret"]


def test_a_process_that_wants_too_much_memory_is_told_and_lives_on(class_folder):
    code = """
try:
    bytearray(200 * 2**20)
except MemoryError:
    print("told", len(bytearray(10 * 2**20)) // 2**20)
"""
    assert run(code, class_folder / "students/anna", USER if os.geteuid() == 0 else None, memory=100) == "told 10"


def test_a_file_has_a_largest_size(class_folder):
    code = f"f = open('big', 'wb'); f.seek({sit_down.LARGEST_FILE}); f.write(b'x'); f.flush()"
    assert "File too large" in run(code, class_folder / "students/anna", USER if os.geteuid() == 0 else None)


@needs_root
def test_a_student_has_a_number_of_processes_and_no_more(class_folder):
    code = """
import os, time, signal
children = []
try:
    while len(children) < 2000:
        children.append(os.fork() or time.sleep(60))
except BlockingIOError:
    print("told", len(children) < 600)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
    assert run(code, class_folder / "students/anna", USER) == "told True"


@needs_root
def test_all_processes_of_a_student_together_have_a_limit(class_folder):
    if sit_down.control_group(USER) is None:
        pytest.skip("this system has no control groups that can be written")
    code = """
import os, time
for i in range(4):
    if os.fork() == 0:
        held = bytearray(80 * 2**20)
        for k in range(0, len(held), 4096):
            held[k] = 1
        time.sleep(5)
        os._exit(0)
ends = [os.wait()[1] for _ in range(4)]
print("killed", any(end == 9 for end in ends))
"""
    assert run(code, class_folder / "students/anna", USER, memory=100) == "killed True"


@needs_root
def test_what_a_student_left_running_ends_with_the_server(class_folder):
    home = class_folder / "students/anna"
    said = run("import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3).pid)",
               home, USER)
    left = psutil.Process(int(said))
    assert left.uids().real == USER
    seats.end_all_of(USER)
    assert left.wait(10) is not None or not left.is_running()


@needs_root
def test_each_student_gets_a_number_that_nobody_else_has(tmp_path):
    (tmp_path / "students").mkdir()
    numbers = [seats.make_home(tmp_path, name, True).stat().st_uid for name in ("anna", "ben", "anna", "王伟")]
    assert numbers[0] == numbers[2] and len(set(numbers)) == 3 and min(numbers) >= seats.FIRST_USER


def test_a_home_is_there_with_its_owner_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "students").mkdir()

    def killed(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "chown", killed)
    with pytest.raises(KeyboardInterrupt):
        seats.make_home(tmp_path, "anna", True)
    assert not seats.home_of(tmp_path, "anna").exists()
    monkeypatch.undo()
    assert seats.make_home(tmp_path, "anna", False).is_dir()


@pytest.fixture
def process():
    """Starts a line of Python as a process of its own, and waits until it has printed something."""
    started = []

    def start(code):
        started.append(subprocess.Popen([sys.executable, "-c", f"{code}; print(flush=True); import time; time.sleep(60)"],
                                        stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return psutil.Process(started[-1].pid)
    yield start
    for each in started:
        each.kill()
        each.communicate()


LISTEN = "import socket; door = socket.create_server(('127.0.0.1', 0))"


def loaded(pid, started_at):
    """What a hub that was killed has left, as the next one reads it."""
    seat = seats.Seat()
    seat.load_state({"pid": pid, "started_at": started_at})
    return seat.pid


def test_a_server_that_a_killed_hub_has_left_is_known_again(process):
    server = process(LISTEN)
    assert loaded(server.pid, server.create_time()) == server.pid
    assert server.is_running()


def test_a_process_that_has_the_number_of_a_dead_server_is_not_taken_for_it(process):
    other = process("pass")
    assert loaded(other.pid, 1.0) == 0
    assert other.is_running() and other.status() != psutil.STATUS_ZOMBIE


def test_a_server_that_had_only_half_started_ends_so_that_the_student_gets_another(process):
    server = process("pass")
    assert loaded(server.pid, server.create_time()) == 0
    assert server.wait(10) is not None or not server.is_running()


@needs_root
def test_two_classes_on_one_machine_have_different_users(tmp_path):
    numbers = []
    for name in ("one", "two"):
        (tmp_path / name / "students").mkdir(parents=True)
        numbers.append(seats.make_home(tmp_path / name, "anna", True).stat().st_uid)
    assert abs(numbers[0] - numbers[1]) >= seats.USERS


def test_the_labs_settings_are_those_that_are_documented():
    settings = json.loads(Path(seats.ROOT,
                               "classroom/server/labconfig/default_setting_overrides.json").read_text(encoding="utf-8"))
    schemas = Path(sys.prefix, "share/jupyter/lab/schemas")
    for name, values in settings.items():
        plugin, file = name.split(":")
        known = json.loads((schemas / plugin / f"{file}.json").read_text(encoding="utf-8"))["properties"]
        assert set(values) <= set(known)
