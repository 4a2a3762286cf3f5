"""Some forty hand-ins of notebook 03, made up: right, wrong, broken and hostile, each with the points that it is worth.

    ada = HandIn(answers, points=...)

Each is made by a change of the student's edition, as a student would save it.
"""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

import answers
from hand_in import LARGEST, Assignment

RIGHT, WRONG = answers.load()
FORGED = {"state": "right", "sentence": "", "line": "", "picture": "", "tampered": False}
FILE = "03_several_losses.ipynb"
SUM = "def run_backward(loss1, loss2, loss3):\n    (loss1 + loss2 + loss3).backward()\n"


@dataclass
class HandIn:
    """points: for each exercise, from 03.1 on. to_read: the exercises whose right answers wait for a reader.
    says: words that stand in what is said of 03.1. write: puts a file where the notebook would be saved."""

    points: tuple[int, int, int, int] = (0, 0, 0, 0)
    answers: dict[str, str] = field(default_factory=dict)
    change: Callable[[NotebookNode], None] = lambda notebook: None
    write: Callable[[Path], None] | None = None
    says: str = ""
    to_read: tuple[str, ...] = ()


def hostile(code: str, points: int = 0, says: str = "", to_read: bool = False) -> HandIn:
    """Code in the cell of 03.1."""
    return HandIn((points, 0, 0, 0), {"03.1": code}, says=says, to_read=("03.1",) * to_read)


def plain(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / FILE).write_text(text) and None


def add(*sources: str) -> Callable[[NotebookNode], None]:
    def change(notebook):
        notebook.cells += map(new_code_cell, sources)
    return change


def rename_all(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"


def delete_two(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if cell.id not in ("03-exercise-1-answer", "03-exercise-2-answer")]


def hand_ins(assignment: Assignment, secret: Path, port: int) -> dict[str, HandIn]:
    """All hand-ins, by the names of the students. secret: a file of another student. port: at which this machine listens."""
    solved = {exercise.name: exercise.solution for exercise in assignment.exercises}
    others = {name: first if isinstance(first := RIGHT[name][0], str) else first[0] for name in solved}
    solution = json.dumps(solved["03.1"])
    return {
        # Work
        "ada": HandIn((1, 1, 1, 1), solved),
        "ben": HandIn((1, 1, 1, 1), {name: others[name] for name in solved}),
        "cleo": HandIn((1, 1, 0, 0), {**solved, **{name: WRONG[name][0][0] for name in ("03.3", "03.4")}}),
        "dan": HandIn((0, 0, 0, 0), {name: WRONG[name][1][0] for name in solved}),
        "eva": HandIn(says="as it was handed out"),
        "kim": HandIn((1, 1, 1, 1), solved, change=rename_all),
        "lea": HandIn((0, 0, 1, 1), solved, change=delete_two, says="not there"),
        "max": HandIn((0, 1, 1, 1), {**solved, "03.1": "def run_backward(loss1, loss2, loss3:\n    ..."}, says="SyntaxError"),
        "nia": HandIn((1, 0, 0, 0), change=add(f'{SUM}\ncheck("03.1", run_backward)')),
        "oli": HandIn((1, 0, 0, 0), change=add(f'{SUM.replace("run_backward", "mine")}\ncheck("03.1", mine)')),
        "pia": HandIn((1, 0, 0, 0), {"03.1": SUM.replace("(loss1 ", "(math.pow(1, 2) * loss1 ")}, change=add("import math")),
        "quin": HandIn((0, 0, 0, 0), {"03.1": "def run_backward(loss1, loss2, loss3):\n    ..."}),
        # No notebooks
        "fay": HandIn(write=plain("")),
        "gus": HandIn(write=plain('{"cells": [{"cell_type": "code", '), says="not a notebook"),
        "hal": HandIn(write=lambda folder: None, says="Nothing was handed in"),
        "ida": HandIn(write=plain(" " * (LARGEST + 1)), says="are the most"),
        "jan": HandIn(write=lambda folder: (folder / FILE).symlink_to(secret), says="Not read"),
        "jo": HandIn(write=lambda folder: os.mkfifo(folder / FILE), says="no file"),
        "kai": HandIn(write=lambda folder: (folder / FILE).write_bytes(b"\xff\xfe") and None, says="no text"),
        "liv": HandIn(write=plain("[" * 100_000), says="not a notebook"),
        # Hostile ones
        "mo": hostile("while True:\n    pass", says="stopped after"),
        "ned": hostile(f"import time\ntime.sleep(1000)\n{SUM}", says="stopped after"),
        "ola": hostile("import os\nos._exit(0)", says="ended before"),
        "pat": hostile("import os, signal\nfor pid in (os.getppid(), -1, 1):\n    try:\n        os.kill(pid, signal.SIGKILL)\n"
                       f"    except OSError:\n        pass\n{SUM}", to_read=True),
        "ray": hostile(f"text = open({str(secret)!r}).read()\n{SUM}", says="FileNotFoundError"),
        "sam": hostile("import course, pathlib\nfound = [path for path in pathlib.Path(course.__file__).parents[1].glob('*')\n"
                       "         if path.name.endswith('.ipynb')] or 1 / 0", says="ZeroDivisionError"),
        "sue": hostile("import os, course\n"
                       f"for path in ({str(secret)!r}, course.__file__, torch.__file__):\n    try:\n"
                       f"        open(path, 'a').write('mine')\n    except OSError:\n        pass\n{SUM}", to_read=True),
        "tom": hostile(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)", says="ConnectionRefusedError"),
        "ugo": hostile(f"print('megabytes ' * 10_000_000)\n{SUM}", 1),
        "vic": hostile("big = []\nwhile True:\n    big.append(torch.ones(10_000_000))"),
        "wim": hostile("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
                       says="stopped after"),
        "xia": hostile("def check(name, answer):\n    print(f'Exercise {name}: ✓ right.')\n\n"
                       "def run_backward(loss1, loss2, loss3):\n    return loss1", says="no backward"),
        "yan": hostile("from course import checking\nchecking.load('03')\nchecking._checks['03.1'] = lambda run: None\n"
                       "def run_backward(loss1, loss2, loss3):\n    return loss1", to_read=True),
        "zoe": hostile("import sys\nraise SystemExit(0)", says="SystemExit"),
        "abe": hostile("def run_backward(loss1, loss2, loss3):\n    raise KeyboardInterrupt"),
        "bea": hostile(f"import json, os\nsaid = {FORGED}\nfor number in range(3, 64):\n    try:\n"
                       "        os.write(number, json.dumps({**said, 'nonce': ''}).encode() + b'\\n')\n"
                       "    except OSError:\n        pass", says="only the check may write"),
        # It takes the secret word out of the frames that run, and writes the verdict itself: nothing but a reader sees this.
        "cat": hostile("import json, os, sys\n\ndef run_backward(*losses):\n    frame = sys._getframe()\n"
                       "    while 'nonce' not in frame.f_locals:\n        frame = frame.f_back\n"
                       f"    said = {FORGED} | {{'nonce': frame.f_locals['nonce']}}\n"
                       "    os.write(frame.f_locals['pipe'], json.dumps(said).encode() + b'\\n')\n    os._exit(0)", to_read=True),
        "dot": hostile(f"exec({solution})", to_read=True),
        "eli": hostile("def run_backward(*losses):\n    raise ValueError('<script>alert(1)</script>')", says="<script>"),
    }


def write_all(folder: Path, edition: NotebookNode, assignment: Assignment, made_up: dict[str, HandIn]) -> None:
    """Write the hand-ins as `make class` has them: folder/NAME/course/notebooks/….ipynb"""
    for name, hand_in in made_up.items():
        place = folder / name / "course/notebooks"
        place.mkdir(parents=True)
        if hand_in.write:
            hand_in.write(place)
            continue
        notebook = copy.deepcopy(edition)
        for exercise in assignment.exercises:
            cell, = (cell for cell in notebook.cells if cell.id == exercise.cell)
            if exercise.name in hand_in.answers:
                cell.source = f'{hand_in.answers[exercise.name]}\n\ncheck("{exercise.name}", {exercise.function})'
        hand_in.change(notebook)
        (place / FILE).write_text(json.dumps(notebook), encoding="utf-8")
