"""Write an edition of the course into a folder: make student, make lecturer

The student's edition has no solutions and no notes for the lecturer; the hints stay. The lecturer's has everything, and its notes
are shown in each JupyterLab, folded. All else is the same, cell by cell: ids, stored outputs, the code in `course/`. Nothing is
run. Writing again into a folder replaces the last edition there. Where something is wrong, one sentence says so, and that one
stays.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode

from project import COURSE, ROOT, kind, notebooks, read
from rules import CODE, LADDER, SOLUTION

EDITIONS = ("student", "lecturer")
MARK = ".edition"       # the file in a folder of notebooks that tells that this tool wrote it, and may write it again
NOTE = '<details class="lecturer">'
SHOWN_NOTE = "<details>"        # predictions.css hides the other one, wherever FOR is not lecturer
# What the course says of itself, and is not so in the edition without solutions and notes.
FOR_STUDENTS = {
    "a hint, a stronger hint and a solution": "a hint and a stronger hint",
    "two hints and a solution": "two hints",
    " `make lab FOR=lecturer` shows the notes for you, which students do not see.": "",
}
LINK = re.compile(r"\]\((?:<([^>]+)>|([^)\s<]+))\)")
WRITTEN_BY_MACHINES = shutil.ignore_patterns("__pycache__", ".*")


class Refused(ValueError):
    """An edition cannot be written. The message is one sentence that says what is wrong, and what to do."""


def for_students(notebook: NotebookNode) -> NotebookNode:
    """Take the solutions and the notes for the lecturer out of a notebook. Raises Refused where one would be left."""
    notebook.cells = [cell for cell in notebook.cells if kind(cell) != "notes"]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if LADDER.fullmatch(cell.source):
                cell.source = SOLUTION.sub("", cell.source).rstrip()
            for words, others in FOR_STUDENTS.items():
                cell.source = cell.source.replace(words, others)
        for what, left in (("a solution", "<summary>A solution</summary>"), ("a note for the lecturer", 'class="lecturer"')):
            if left in cell.source:
                raise Refused(f"cell {cell.id} has {what} in another form than CONTRIBUTING.md tells")
    return notebook


def for_lecturers(notebook: NotebookNode) -> NotebookNode:
    """Show the notes for the lecturer in a notebook. They stay folded, for the notebook may be on a projector."""
    for cell in notebook.cells:
        if kind(cell) == "notes":
            cell.source = cell.source.replace(NOTE, SHOWN_NOTE)
    return notebook


def edition_of(edition: str, folder: Path = COURSE) -> dict[str, NotebookNode]:
    """The notebooks of an edition, by the names of their files. Raises Refused where a folder has none, or one that is broken."""
    if edition not in EDITIONS:
        raise Refused(f"There is no edition {edition!r}: the editions are {' and '.join(EDITIONS)}.")
    make, made = (for_students if edition == "student" else for_lecturers), {}
    for path in notebooks(folder):
        try:
            made[path.name] = make(read(path))
        except ValueError as error:
            raise Refused(f"{path.name}: {error}.") from None
    if not made:
        raise Refused(f"There is no notebook in {folder}.")
    return made


def links_in(notebook: NotebookNode) -> Iterator[tuple[str, str, str]]:
    """For each link to a file, or to a place in one: the id of its cell, the file, "" for the notebook itself, and the place."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for bracketed, plain in LINK.findall(CODE.sub("", cell.source)):
                if not re.match(r"\w+:", bracketed or plain):
                    file, _, place = (bracketed or plain).partition("#")
                    yield cell.id, unquote(file), unquote(place)


def linked(made: dict[str, NotebookNode], folder: Path = COURSE) -> list[str]:
    """The files outside of an edition that its notebooks link to, as paths from their folder. Raises Refused for a dead link."""
    places = {name: {f"cell-id={cell.id}" for cell in notebook.cells} for name, notebook in made.items()}
    files = set()
    for name, notebook in made.items():
        for cell, file, place in links_in(notebook):
            target = file or name
            is_here = target in made or (folder / target).is_file() and (folder / target).resolve().is_relative_to(folder.parent)
            if not is_here or place.startswith("cell-id=") and place not in places.get(target, ()):
                raise Refused(f"{name}: cell {cell} links to {file}{'#' * bool(place)}{place}, which is not in this edition.")
            if target not in made:
                files.add(target)
    return sorted(files)


def write(edition: str, folder: Path, course: Path = COURSE) -> int:
    """Write an edition into a folder, in its folder `notebooks`, and return how many notebooks it has.

    edition: one of EDITIONS. course: the folder of notebooks that it is made from. Raises Refused where it cannot be made, and
    where the `notebooks` there are no edition: nothing is changed then.
    """
    made = edition_of(edition, course)
    files = linked(made, course)
    target = folder / COURSE.name
    if target.exists() and not (target / MARK).is_file():
        raise Refused(f"{target} was not written by this tool, and is left as it is: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    new, old = (folder / f".{COURSE.name}.{word}.{os.getpid()}" for word in ("new", "old"))
    try:
        new.mkdir()
        for name, notebook in made.items():
            (new / name).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        shutil.copytree(course / "course", new / "course", ignore=WRITTEN_BY_MACHINES)
        (new / MARK).write_text(f"{edition}\n", encoding="utf-8")
        for file in files:
            (new / file).parent.mkdir(parents=True, exist_ok=True)      # beside the notebooks, or beside their folder
            shutil.copyfile(course / file, new / file)
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return len(made)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edition", choices=EDITIONS)
    parser.add_argument("folder", nargs="?", type=Path, help="where to write it; without one, a folder of _build")
    options = parser.parse_args(arguments)
    folder = options.folder or ROOT / "_build" / options.edition
    try:
        count = write(options.edition, folder)
    except (Refused, OSError) as error:
        sys.exit(f"{error} No edition is written.")
    print(f"The {options.edition}'s edition: {count} notebooks are written to {folder / COURSE.name}")


if __name__ == "__main__":
    main()
