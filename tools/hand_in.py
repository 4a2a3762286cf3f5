"""Hand-ins: make an assignment of a notebook's exercises, collect what students have saved, and grade it by the course's checks.

    make assignment N=03        _grading/release/03: only the exercises, for classes that hand out files
    make collect N=03           copies each student's notebook; in `make class` the students only save (FROM=folder for others)
    make grade N=03             a table of points, and a page for each student

Of a hand-in, only the code of its answers is used. tools/sandbox.py runs each one behind walls. nbgrader keeps the points and
makes the pages; it has an environment of its own, .venv-grading, so that nobody's JupyterLab changes. What a determined cheat can
still do stands in docs/hand_in.md.
"""

import argparse
import ast
import csv
import hashlib
import json
import os
import queue
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from editions import WRITTEN_BY_MACHINES
from project import COURSE, ROOT, notebooks, read, write
from rules import CHECK, SOLUTION
from sandbox import OPEN, RIGHT, Job, Limits, Said, hides, sandboxes, walls
from screening import UNREADABLE, beyond

CLASS = ROOT / "_class/students"        # where `make class` has a folder for each student
LECTURER = "lecturer"                   # and one for who is none: the same name as in classroom/login.py, which needs a hub
GRADING = ROOT / "_grading"
ENVIRONMENT = ROOT / ".venv-grading"
REQUIREMENTS = ROOT / "tools/gradebook_requirements.txt"
PLACES = (("course", "notebooks"), ())  # in a student's folder: as `make class` has it, and as others send it
NAME = re.compile(r"\w[\w.@-]*")
LIMITS = Limits()
LARGEST = 5_000_000     # bytes of a notebook that is handed in: what it prints may be in it
MOST_SERVERS = 4        # each has PyTorch loaded
NOTHING = "Nothing was handed in."
TAMPERED = "after it, the check accepts what it must refuse"
UNCHANGED = "The cell is as it was handed out."


class Refused(ValueError):
    """What is asked for cannot be done. The message is one sentence that says why, and what to do."""


@dataclass(frozen=True)
class Exercise:
    """name: as in "03.1". function: what the check is called with. cell: the id of its cell. code: that cell, without the check.
    solution: the course's own. shown: the ids of the cells that ask for it, and of its hints."""

    name: str
    function: str
    cell: str
    code: str
    solution: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Assignment:
    """The exercises of a notebook. number: as in "03". file: the notebook's name. set_up: the code of its first code cell."""

    number: str
    file: str
    set_up: str
    exercises: tuple[Exercise, ...]
    notebook: NotebookNode = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """code: of its cell, without the check. argument: what is checked, as code."""

    code: str
    argument: str


@dataclass(frozen=True)
class Grade:
    """What an answer is worth. points: 1 or 0. said: what came of it. code: of its cell.

    to_read: why a person has to read it before it has its point. mark: by which it is known then, with its imports.
    """

    points: int
    said: Said
    code: str = ""
    to_read: tuple[str, ...] = ()
    mark: str = ""


def assignment_of(number: str) -> Assignment:
    """The exercises of a notebook of the course. Raises Refused where there is no such notebook, or it has no exercise."""
    paths = {path.name[:2]: path for path in notebooks()}
    if number not in paths:
        raise Refused(f"There is no notebook {number or 'without a number'}: the numbers are {', '.join(paths)}, as in N=03.")
    notebook = read(paths[number])
    cells, found = notebook.cells, []
    for place, cell in enumerate(cells):
        for name, function in CHECK.findall(cell.source):
            task = max(before for before in range(place) if cells[before].cell_type == "markdown")
            solution, shown = SOLUTION.findall(cells[place + 1].source)[0], tuple(cell.id for cell in cells[task:place + 2])
            found.append(Exercise(name, function, cell.id, _without_check(cell.source), solution, shown))
    if not found:
        raise Refused(f"Notebook {number} has no exercises.")
    set_up = next(cell.source for cell in cells if cell.cell_type == "code")
    return Assignment(number, paths[number].name, set_up, tuple(found), notebook)


# Reading a hand-in

def read_hand_in(text: str, assignment: Assignment) -> tuple[dict[str, Answer], str]:
    """A dict from the name of an exercise to its answer in a notebook that is handed in, and the imports of all cells there.

    An answer stands in the cell of its exercise, known by its id. Where that cell is gone, or as it was handed out, it is the
    last other cell that calls the check of the exercise. Raises ValueError with a sentence for what is no notebook.
    """
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell.get("cell_type") == "code"]
        sources = [(str(cell.get("id")), "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("The file is not a notebook.") from None
    answers = {}
    for exercise in assignment.exercises:
        own = [source for cell, source in sources if cell == exercise.cell]
        calls = re.compile(rf"""\bcheck\(\s*["']{re.escape(exercise.name)}["']""")
        others = [source for cell, source in sources if cell != exercise.cell and calls.search(source)]
        written = [source for source in own if not _same(source, exercise.code)] or others[-1:] or own
        if written:
            answers[exercise.name] = Answer(_without_check(written[-1]), _checked(written[-1], exercise))
    return answers, "\n".join(dict.fromkeys(line for _, source in sources for line in _imports(source)))


def _without_check(source: str) -> str:
    """The code of a cell without the lines that call check. The numbers of the lines before stay."""
    return re.sub(r"^check\(.*\)[ \t]*(?:#.*)?$", "", source, flags=re.MULTILINE).rstrip()


def _same(source: str, code: str) -> bool:
    return _without_check(source).split() == code.split()


def _checked(source: str, exercise: Exercise) -> str:
    """What a cell hands to the check of its exercise, as code."""
    for node in reversed(list(_nodes(source))):
        match node:
            case ast.Call(func=ast.Name("check"), args=[ast.Constant(exercise.name), given]):
                return ast.unparse(given)
    return exercise.function


def _imports(source: str) -> Iterable[str]:
    return (ast.unparse(node) for node in _nodes(source) if isinstance(node, (ast.Import, ast.ImportFrom)))


def _plain(source: str) -> str:
    """A cell without the lines that are for IPython."""
    return re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)


def _nodes(source: str) -> Iterable[ast.AST]:
    try:
        return ast.walk(ast.parse(_plain(source)))
    except UNREADABLE:
        return ()


# Collecting

def collect(assignment: Assignment, students: Path, folder: Path = GRADING) -> dict[str, str]:
    """Copy the notebook of each student into a folder, and return a dict from their names to a sentence on what was found.

    students: a folder with one for each student. What a student has made in there is not trusted: no link is followed, and what
    is too large, or no file, is not read. A copy from before is written over, and stays where there is nothing new.
    """
    if not students.is_dir():
        raise Refused(f"There is no folder {students}: name the one that has a folder for each student, as in FROM=hand-ins.")
    target = folder / "handed_in" / assignment.number
    target.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)     # answers that run may not read it
    found = {}
    for student in sorted(path.name for path in students.iterdir() if not path.name.startswith(".")):
        if student == LECTURER and students.resolve() == CLASS.resolve():
            continue
        if not NAME.fullmatch(student):
            found[student] = "Left out: a name has letters, digits and . _ @ - only."
            continue
        try:
            text = _read_plainly(students, (student,), assignment.file)
        except (OSError, ValueError) as problem:
            text, found[student] = "", NOTHING if isinstance(problem, FileNotFoundError) else _in_words(problem)
        else:
            found[student] = f"{len(text):,} letters"
        copy = target / f"{student}.ipynb"
        if text or not copy.exists():
            write(copy, text)
        elif copy.stat().st_size:
            found[student] += " The copy from before stays."
    if not found:
        raise Refused(f"There is no folder of a student in {students}.")
    write(target / "found.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return found


def _in_words(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return f"Not read: {problem.strerror}."
    return str(problem) if str(problem).startswith("Not read") else "Not read: it is no text."


def _read_plainly(students: Path, student: tuple[str, ...], file: str) -> str:
    """The text of a file in a student's folder, where each part of its path is a folder, or the file, and no link."""
    missing: Exception = FileNotFoundError(file)
    for place in PLACES:
        held = os.open(students, os.O_RDONLY)
        try:
            for part in (*student, *place):
                held = _step(held, part, os.O_DIRECTORY)
            held = _step(held, file, os.O_NONBLOCK)     # a pipe would let us wait
            status = os.fstat(held)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("Not read: it is no file.")
            if status.st_size > LARGEST:
                raise ValueError(f"Not read: it has {status.st_size:,} bytes, and {LARGEST:,} are the most.")
            with os.fdopen(held, "rb", closefd=False) as opened:
                return opened.read(LARGEST).decode()
        except FileNotFoundError as error:
            missing = error
        finally:
            os.close(held)
    raise missing


def _step(held: int, part: str, flags: int) -> int:
    """Open a part of a path in the folder that is held, and let go of that one."""
    following = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=held)
    os.close(held)
    return following


# Grading

def grade(assignment: Assignment, folder: Path = GRADING, limits: Limits = LIMITS) -> dict[str, dict[str, Grade]]:
    """Grade what was collected: a dict from each student to one from each exercise to its grade. A folder gets all of it too.

    Raises Refused where nothing was collected, and where the check of an exercise, behind the walls, does not accept the solution
    of the course.
    """
    handed_in = folder / "handed_in" / assignment.number
    copies = sorted(handed_in.glob("*.ipynb"))
    if not copies:
        raise Refused(f"Nothing was collected for {assignment.number} yet: make collect N={assignment.number}")
    found = json.loads((handed_in / "found.json").read_text(encoding="utf-8"))
    accepted = _accepted(assignment, folder)
    with tempfile.TemporaryDirectory() as edition:
        os.chmod(edition, 0o755)
        shutil.copytree(COURSE / "course", Path(edition, "course"), ignore=WRITTEN_BY_MACHINES)     # no solution beside it
        servers: queue.Queue = queue.Queue()
        count = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_SERVERS)
        with sandboxes(Path(edition), count, limits) as ready, ThreadPoolExecutor(count) as pool:
            for sandbox in ready:
                servers.put(sandbox)

            def judge(exercise: Exercise, answer: Answer, imports: str) -> Said:
                sandbox = servers.get()
                try:
                    return sandbox.judge(Job(exercise.name, (assignment.set_up, imports), answer.code, answer.argument,
                                             exercise.code, exercise.function))
                finally:
                    servers.put(sandbox)

            def one(path: Path, exercise: Exercise) -> Grade:
                said_of_copy, mark = found.get(path.stem, ""), accepted.get((path.stem, exercise.name))
                return _grade(path, assignment, exercise, said_of_copy, judge, mark)

            def solve(exercise: Exercise) -> Said:
                return judge(exercise, Answer(exercise.solution, exercise.function), "")

            for exercise, said in zip(assignment.exercises, pool.map(solve, assignment.exercises)):
                if said.state != RIGHT or said.tampered:
                    raise Refused(f"Nothing is graded: the check of {exercise.name} does not take the solution of the course "
                                  f"here ({said.state}: {said.sentence}).")
            wanted = [(path, exercise) for path in copies for exercise in assignment.exercises]
            graded = list(pool.map(lambda pair: one(*pair), wanted))
    table: dict[str, dict[str, Grade]] = {path.stem: {} for path in copies}
    for (path, exercise), each in zip(wanted, graded):
        table[path.stem][exercise.name] = each
    _store(assignment, table, folder)
    return table


def _grade(path: Path, assignment: Assignment, exercise: Exercise, found: str, judge: Callable[[Exercise, Answer, str], Said],
           accepted: str | None) -> Grade:
    text = path.read_text(encoding="utf-8")
    if not text:
        return Grade(0, Said(OPEN, found or NOTHING))
    try:
        answers, imports = read_hand_in(text, assignment)
    except ValueError as problem:
        return Grade(0, Said(OPEN, str(problem)))
    answer = answers.get(exercise.name)
    if answer is None:
        return Grade(0, Said(OPEN, "Its cell is not there."))
    if _same(answer.code, exercise.code):
        return Grade(0, Said(OPEN, UNCHANGED), answer.code)
    said = judge(exercise, answer, imports)
    if said.state != RIGHT:
        return Grade(0, said, answer.code)
    own = "\n".join([_own_imports(imports, assignment), answer.code, answer.argument])
    to_read = [TAMPERED] * said.tampered + beyond(own, _plain(assignment.set_up))
    if to_read and accepted != _mark(own):
        return Grade(0, said, answer.code, tuple(to_read), _mark(own))
    return Grade(1, said, answer.code)


def _own_imports(imports: str, assignment: Assignment) -> str:
    """The imports of a hand-in that are not those of our own notebook."""
    ours = {line for cell in assignment.notebook.cells if cell.cell_type == "code" for line in _imports(cell.source)}
    return "\n".join(line for line in imports.splitlines() if line not in ours)


def accept(assignment: Assignment, which: list[str], folder: Path = GRADING) -> None:
    """Let answers that a person has read count, as they are now. which: each as in "ada/03.2"."""
    accepted = {f"{student}/{name}": mark for (student, name), mark in _accepted(assignment, folder).items()}
    for each in which:
        student, _, name = each.partition("/")
        path = folder / "grades" / assignment.number / f"{student}.json"
        grades = json.loads(path.read_text(encoding="utf-8")) if NAME.fullmatch(student) and path.is_file() else {}
        if not grades.get(name, {}).get("to_read"):
            raise Refused(f"{each} does not wait for a reader: name the student and the exercise, as in ACCEPT=ada/03.2.")
        accepted[each] = grades[name]["mark"]
    write(folder / f"accepted_{assignment.number}.json", json.dumps(accepted, indent=1, ensure_ascii=False) + "\n")


def _accepted(assignment: Assignment, folder: Path) -> dict[tuple[str, str], str]:
    path = folder / f"accepted_{assignment.number}.json"
    read_before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {(each.rpartition("/")[0], each.rpartition("/")[2]): mark for each, mark in read_before.items()}


def _mark(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _store(assignment: Assignment, table: dict[str, dict[str, Grade]], folder: Path) -> None:
    """Write the grades of each student, and the table of points, which a spreadsheet can open."""
    grades = folder / "grades" / assignment.number
    shutil.rmtree(grades, ignore_errors=True)
    grades.mkdir(parents=True)
    for student, of_one in table.items():
        write(grades / f"{student}.json", json.dumps({name: asdict(each) for name, each in of_one.items()}, indent=1) + "\n")
    names = [exercise.name for exercise in assignment.exercises]
    new = folder / f".points_{assignment.number}.csv"
    with open(new, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["student", *names, "points", "to read"])
        for student, of_one in table.items():
            points = [of_one[name].points for name in names]
            rows.writerow([student, *points, sum(points),
                           "; ".join(f"{name}: {', '.join(of_one[name].to_read)}" for name in names if of_one[name].to_read)])
    new.replace(folder / f"points_{assignment.number}.csv")


# The commands

def install() -> Path:
    """Bring nbgrader into an environment of its own, on top of .venv, and return its Python. Raises Refused where that fails."""
    python, stamp = ENVIRONMENT / "bin/python", ENVIRONMENT / "ready"
    wanted = REQUIREMENTS.read_text(encoding="utf-8") + sys.executable
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print("Installing nbgrader into .venv-grading.", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    site = Path(os.__file__).parent.name
    packages = Path(sys.prefix, "lib", site, "site-packages")
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet"]
    steps = [[sys.executable, "-m", "venv", str(ENVIRONMENT)],
             [*pip, "-r", str(REQUIREMENTS), "-c", str(ROOT / "constraints.txt")],
             # nbgrader calls this one as a command, which pip does not make where .venv has the package, as it has with a hub.
             [*pip, "--ignore-installed", "--no-deps", "alembic", "-c", str(ROOT / "constraints.txt")]]
    for step in steps:
        ran = subprocess.run(step, capture_output=True, text=True)
        if ran.returncode:
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            raise Refused(f"nbgrader could not be installed: {(ran.stderr.strip().splitlines() or ['?'])[-1]}")
        site_packages = ENVIRONMENT / "lib" / site / "site-packages"
        write(site_packages / "of_the_course.pth", f"{packages}\nimport site; site.addsitedir({str(packages)!r})\n")
    write(stamp, wanted)
    return python


def run_gradebook(command: str, number: str) -> None:
    """Run tools/gradebook.py, which needs nbgrader. Raises Refused where it fails."""
    python = install()
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])        # nbgrader calls alembic, which is there
    variables = {**os.environ, "PATH": path, "JUPYTER_PATH": str(Path(sys.prefix, "share/jupyter"))}     # templates of pages
    ran = subprocess.run([python, str(ROOT / "tools/gradebook.py"), command, number], env=variables)
    if ran.returncode:
        raise Refused("nbgrader failed: what it said stands above.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("assignment", "collect", "grade"))
    parser.add_argument("number", help="of a notebook, as in 03")
    parser.add_argument("--from", dest="students", type=Path, default=CLASS, help="a folder with one for each student")
    parser.add_argument("--accept", nargs="*", default=[], help="answers that you have read, and that count, as in ada/03.2")
    parser.add_argument("--with-my-rights", action="store_true", help="let answers run though there are no walls here")
    options = parser.parse_args(arguments)
    try:
        assignment = assignment_of(options.number)
        if options.command == "assignment":
            run_gradebook("assignment", assignment.number)
            print(f"{len(assignment.exercises)} exercises: {GRADING / 'release' / assignment.number / assignment.file}")
        elif options.command == "collect":
            found = collect(assignment, options.students)
            print("".join(f"{student}: {words}\n" for student, words in found.items()), end="")
        else:
            if not walls() and not options.with_my_rights:
                raise Refused("Answers are programs of other people, and only root on Linux can run them behind walls: sudo make "
                              f"grade N={options.number}, or where you trust all of them: make grade N={options.number} "
                              "ARGS=--with-my-rights.")
            if walls() and not hides():
                print("This system does not let root hide its network and disk from answers: they can read what all users can, "
                      "the solutions too where others may read this folder, and reach the network.", flush=True)
            if options.accept:
                accept(assignment, options.accept)
            table = grade(assignment)
            run_gradebook("record", assignment.number)
            to_read = sum(bool(each.to_read) for of_one in table.values() for each in of_one.values())
            print(f"{len(table)} students: the points are in {GRADING / f'points_{assignment.number}.csv'}, a page for each in "
                  f"{GRADING / 'feedback'}." + f" {to_read} answers wait for you to read them." * bool(to_read))
    except (Refused, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
