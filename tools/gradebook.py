"""nbgrader's part of hand-ins: the assignment, the gradebook and the page for each student. Run by tools/hand_in.py.

nbgrader would run a whole notebook in one kernel, with its checks. Instead, what tools/hand_in.py has found out behind its walls
is put where nbgrader looks for the outputs of the checks: as plain text, for it comes from processes of students.
"""

import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ComputeChecksums,
    LockCells,
    NbGraderPreprocessor,
    OverwriteCells,
    SaveAutoGrades,
    SaveCells,
)
from nbgrader.utils import is_grade
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from editions import WRITTEN_BY_MACHINES, for_students
from hand_in import GRADING, Assignment, Refused, assignment_of
from project import COURSE
from refresh import METADATA

SIGNS = {"right": "✓", "not yet": "✗"}


def grades_of(assignment: str, student: str) -> dict[str, dict]:
    """What tools/hand_in.py has found out about a student's answers, by the names of the exercises."""
    return json.loads(Path(GRADING, "grades", assignment, f"{student}.json").read_text(encoding="utf-8"))


class ShowVerdicts(NbGraderPreprocessor):
    """Stands in the place of nbgrader's Execute: gives each check the output that its answer has earned."""

    def preprocess(self, nb, resources):
        grades = grades_of(resources["nbgrader"]["assignment"], resources["nbgrader"]["student"])
        for cell in filter(is_grade, nb.cells):
            name = name_of(cell)
            each = grades[name]
            text = in_words(name, each)
            cell.outputs = [new_output("stream", text=text) if each["points"] else
                            new_output("error", ename="no point", evalue=each["said"]["sentence"], traceback=[text])]
        return nb, resources


class SavePoints(SaveAutoGrades):
    """Saves the points, and says of an answer that waits for a reader that it needs one."""

    def _add_score(self, cell, resources):
        super()._add_score(cell, resources)
        if grades_of(self.assignment_id, self.student_id)[name_of(cell)]["to_read"]:
            self.gradebook.find_grade(cell.metadata.nbgrader.grade_id, self.notebook_id, self.assignment_id,
                                      self.student_id).needs_manual_grade = True
            self.gradebook.db.commit()


def id_of(name: str) -> str:
    """The name of an exercise, as in "03.1", as nbgrader lets us name a cell."""
    return name.replace(".", "-")


def name_of(cell: NotebookNode) -> str:
    """The name of the exercise that a cell checks."""
    return cell.metadata.nbgrader.grade_id.replace("-", ".")


def in_words(name: str, grade: dict) -> str:
    """A grade as plain text: no sign of it can steer a terminal or a page."""
    said = grade["said"]
    first = f"Exercise {name}: {SIGNS.get(said['state'], '○')} {said['state']}. {said['sentence']}".rstrip()
    reasons = ", ".join(grade["to_read"])
    waits = f"The point waits until your lecturer has read the answer: {reasons}." * bool(reasons)
    text = "\n".join(filter(None, [first, said["line"], said["picture"], waits]))
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "", text)


def settings() -> Config:
    """How nbgrader works here. Its folders are those of a course of nbgrader, so its other commands work in there too."""
    return Config({
        "CourseDirectory": {"root": str(GRADING), "course_id": "course"},
        "GenerateAssignment": {"preprocessors": [LockCells, CheckCellMetadata, ComputeChecksums, SaveCells]},
        "Autograde": {"sanitize_preprocessors": [OverwriteCells, CheckCellMetadata],
                      "autograde_preprocessors": [ShowVerdicts, SavePoints, AssignLatePenalties, CheckCellMetadata]},
        "NbGraderAPI": {"log_level": "ERROR"},
    })


def notebook_of(assignment: Assignment, answers: dict[str, str]) -> NotebookNode:
    """A notebook with the exercises only, each with a cell for its check, which is worth a point. answers: by their exercises."""
    notebook = for_students(assignment.notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    mark(first, "set-up", locked=True)
    chosen = [notebook.cells[0], first]
    for exercise in assignment.exercises:
        for each in exercise.shown:
            chosen.append(cells[each])
            if each == exercise.cell:
                cells[each].source = answers.get(exercise.name, exercise.code)
                mark(cells[each], f"answer-{id_of(exercise.name)}", solution=True)
                check = new_code_cell(f'check("{exercise.name}", {exercise.function})')
                check.id = f"check-{id_of(exercise.name)}"
                chosen.append(mark(check, id_of(exercise.name), grade=True, locked=True, points=1))
    for cell in chosen:
        cell.metadata.pop("jp-MarkdownHeadingCollapsed", None)
        if cell.cell_type == "code" and "answer" in cell.metadata.get("nbgrader", {}).get("grade_id", ""):
            cell.outputs, cell.execution_count = [], None
    return new_notebook(cells=chosen, metadata=METADATA)


def mark(cell, name, grade=False, solution=False, locked=False, **more):
    """Tell nbgrader what a cell is."""
    cell.metadata["nbgrader"] = {"grade": grade, "solution": solution, "locked": locked, "task": False, "grade_id": name,
                                 "schema_version": 3, "cell_type": cell.cell_type, **more}
    return cell


def make_assignment(api: NbGraderAPI, assignment: Assignment) -> None:
    """Write an assignment into _grading/release, with `course` beside it, and into the gradebook."""
    source = GRADING / "source" / assignment.number
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    GRADING.chmod(0o700)
    shutil.copytree(COURSE / "course", source / "course", ignore=WRITTEN_BY_MACHINES)
    nbformat.write(notebook_of(assignment, {}), source / assignment.file)
    shutil.rmtree(GRADING / "release" / assignment.number, ignore_errors=True)
    ask(api.generate_assignment(assignment.number, force=True, create=True))


def record(api: NbGraderAPI, assignment: Assignment) -> None:
    """Put the grades of all students into the gradebook, and make the page of each."""
    for path in sorted(Path(GRADING, "grades", assignment.number).glob("*.json")):
        answers = {name: each["code"] for name, each in grades_of(assignment.number, path.stem).items() if each["code"]}
        for stage in ("submitted", "autograded", "feedback"):
            shutil.rmtree(GRADING / stage / path.stem / assignment.number, ignore_errors=True)
        submitted = GRADING / "submitted" / path.stem / assignment.number
        submitted.mkdir(parents=True)
        nbformat.write(notebook_of(assignment_of(assignment.number), answers), submitted / assignment.file)
        ask(api.autograde(assignment.number, path.stem, force=True, create=True))
        ask(api.generate_feedback(assignment.number, path.stem, force=True))


def ask(answer: dict) -> None:
    if not answer["success"]:
        raise Refused(answer.get("log") or answer.get("error") or "nbgrader does not say why.")


def main(command: str, number: str) -> None:
    assignment = assignment_of(number)
    warnings.filterwarnings("ignore", category=SAWarning)      # of nbgrader's own: SQLAlchemy 2.1 is stricter
    api = NbGraderAPI(config=settings())
    try:
        with Gradebook(f"sqlite:///{GRADING}/gradebook.db", "course") as gradebook:
            known = {each.name: bool(each.notebooks) for each in gradebook.assignments}
            if known.get(number) is False:      # it was begun, and not made
                gradebook.remove_assignment(number)
        if command == "assignment" or not known.get(number):
            make_assignment(api, assignment)
        if command == "record":
            record(api, assignment_of(number))
    except Refused as refused:
        sys.exit(str(refused))


if __name__ == "__main__":
    GRADING.mkdir(exist_ok=True)
    main(*sys.argv[1:])
