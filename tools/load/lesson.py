"""A lesson in the load test: students come, run a notebook, save and leave, while the class is killed and opened again."""

import asyncio
import copy
import json
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from load.room import Meter, Room
from load.student import Student

STEPS = ("arrived", "lab", "kernel", "ran", "saved", "left")


@dataclass(frozen=True)
class Kill:
    """Kill these kinds of processes when a share of the students has come to a step, and open the class again."""

    kinds: tuple[str, ...]
    step: str
    share: float = 0.5


NEW_SENTENCE = "This is new since the last lesson."
NEW_NOTEBOOK = "99_new_material.ipynb"
HUB = ("hub",)
HUB_AND_PROXY = ("tool", "hub", "culler", "votes", "proxy")


@dataclass
class Report:
    """What a lesson cost, and what went wrong in it.

    seconds: by step, for each student since the lesson began. waited: from the own arrival to JupyterLab. running: Run All.
    memory: MB of PSS by kind of process when nobody had come, when all had a kernel, and when all had run. spent: seconds of
    processor time by kind, until the same moments. opened: seconds until the class was open, for each time.
    """

    students: int
    arrivals: float
    together: bool
    kills: list[Kill]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    spent: dict[str, dict[str, float]] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    machine: float = 0.0
    opened: list[float] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)
    disk: float = 0.0

    def used(self, until: str, since: str = "open") -> dict[str, float]:
        """Seconds of processor time by kind, between two moments."""
        return {kind: seconds - self.spent[since].get(kind, 0) for kind, seconds in self.spent[until].items()}

    def used_by_all(self, until: str, since: str = "open") -> float:
        """The same for the class, without this test itself."""
        return sum(seconds for kind, seconds in self.used(until, since).items() if kind != "test")


class Lesson:
    """Leads the students through one lesson. In a lesson `together`, all press Run All when the last one has a kernel."""

    def __init__(self, room: Room, students: list[Student], report: Report, limit: float):
        self.room, self.students, self.report, self.limit = room, students, report, limit
        self.meter = Meter(room)
        self.gone: set[Student] = set()
        self.moved, self.one_kill = asyncio.Condition(), asyncio.Lock()

    def count(self, step: str) -> int:
        """How many students have come to a step."""
        return sum(step in student.times for student in self.students)

    async def note(self, student: Student, step: str) -> None:
        async with self.moved:
            student.times[step] = time.monotonic() - self.began
            self.moved.notify_all()

    async def until(self, step: str, share: float = 1.0) -> None:
        """Wait until a share of the students has come to a step; who has failed comes no more."""
        async with self.moved:
            await self.moved.wait_for(lambda: sum(step in student.times or student in self.gone for student in self.students)
                                      >= share * len(self.students))

    async def attend(self, student: Student, arrival: float, sentence: str, shut_down: bool) -> None:
        """One student's lesson. What goes wrong ends it, and is told in the report."""
        step = "the door"
        try:
            async with asyncio.timeout(self.limit):
                await asyncio.sleep(arrival)
                await self.note(student, "arrived")
                await student.come_in()
                await self.note(student, "lab")
                step = "JupyterLab"
                await student.load_page()
                student.found = await student.open()
                notebook = copy.deepcopy(student.found)
                await student.start_kernel()
                await self.note(student, "kernel")
                if self.report.together:
                    await self.measured["kernel"].wait()
                step = "Run All"
                start = time.monotonic()
                await student.run_all(notebook)
                self.report.running.append(time.monotonic() - start)
                await self.note(student, "ran")
                step = "saving"
                student.write(notebook, sentence)
                await student.save(notebook)
                await self.note(student, "saved")
                step = "looking again, and leaving"
                await self.measured["saved"].wait()
                self.report.lost += [f"{student.name}: served is not what was saved: {what}"
                                     for what in differences(student.saved, await student.open())]
                await student.leave(shut_down)
                await self.note(student, "left")
        except Exception as error:      # a failure of one student is a figure, and no end of the lesson
            async with self.moved:
                self.gone.add(student)
                self.report.failures.append(f"{student.name}, {step}: {type(error).__name__} {error}")
                self.moved.notify_all()

    async def kill(self, kill: Kill) -> None:
        await self.until(kill.step, kill.share)
        async with self.one_kill:
            await asyncio.to_thread(self.meter.sample)
            await asyncio.to_thread(self.room.kill, *kill.kinds)
            self.report.opened.append(await self.room.open())

    async def measure(self, moment: str) -> None:
        await self.until(moment)
        if moment == "saved":
            await asyncio.gather(*self.kills)
        await asyncio.to_thread(self.meter.sample)
        self.report.memory[moment], self.report.spent[moment] = self.meter.memory, self.meter.spent()
        self.measured[moment].set()

    async def give(self, sentence: str) -> None:
        """The whole lesson: `sentence` is what each student writes, with {name} in it."""
        self.report.opened.append(await self.room.open())
        self.meter.sample()
        self.report.memory["open"], self.report.spent["open"] = self.meter.memory, self.meter.spent()
        self.measured = {moment: asyncio.Event() for moment in ("kernel", "saved")}
        self.began = time.monotonic()
        for student in self.students:
            student.times.clear()
        every = self.report.arrivals / len(self.students)
        async with asyncio.TaskGroup() as group:
            meter = group.create_task(self.meter.run())
            self.kills = [group.create_task(self.kill(kill)) for kill in self.report.kills]
            measures = [group.create_task(self.measure(moment)) for moment in self.measured]
            await asyncio.gather(*(self.attend(student, number * every, sentence.format(name=student.name), number % 2 == 0)
                                   for number, student in enumerate(self.students)), *measures)
            meter.cancel()
        self._write_down()

    def _write_down(self):
        report = self.report
        for step in STEPS:
            report.seconds[step] = sorted(student.times[step] for student in self.students if step in student.times)
        report.waited = [student.times["lab"] - student.times["arrived"] for student in self.students if "lab" in student.times]
        report.peak, report.machine = self.meter.peak, self.meter.machine
        for student in self.students:
            report.troubles += student.troubles
            student.troubles.clear()
        homes = [self.room.folder / "students" / student.name for student in self.students]
        report.disk = sum(size_of(home) for home in homes) / len(homes) / 1e6


def cells_of(notebook: dict) -> list[tuple]:
    """What a student would miss of a notebook: its cells, in order, with what they put out."""
    return [(cell.id, cell.source, cell.get("execution_count"), json.dumps(cell.get("outputs"), sort_keys=True))
            for cell in nbformat.reads(json.dumps(notebook), as_version=4).cells]


def differences(saved: dict | None, found: dict, changed: Collection[str] = ()) -> Iterator[str]:
    """What is not in a notebook any more that was saved in it. changed: the ids of cells that the course has changed since."""
    saved_cells = cells_of(saved) if saved else []
    there = {cell[0]: cell for cell in cells_of(found)}
    for cell in saved_cells:
        if cell[0] not in there:
            yield f"cell {cell[0]} is gone: {cell[1][:60]!r}"
        elif cell != there[cell[0]] and cell[0] not in changed:
            yield f"cell {cell[0]} is another one: {cell[1][:60]!r}"


def lost_on_disk(room: Room, student: Student, changed: Collection[str] = ()) -> Iterator[str]:
    """What a student had saved that is not in the file on the disk. changed: the ids of cells that the course has changed."""
    if student.saved is None:
        return
    path = room.folder / "students" / student.name / "course" / student.notebook
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield f"{student.name}: the notebook on the disk cannot be read: {type(error).__name__}"
        return
    if not any(differences(student.tried, found)):      # the last one may have come, though nobody said so
        return
    yield from (f"{student.name}: on the disk, {what}" for what in differences(student.saved, found, changed))


def size_of(folder: Path) -> int:
    """Bytes on the disk, below a folder."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def change_course(course: Path, changed: Path, notebook: str) -> set[str]:
    """Write the course with a new sentence in a notebook, and a new notebook. Return the ids of the cells that are changed."""
    shutil.copytree(course, changed, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    path = changed / notebook
    model = nbformat.read(path, as_version=4)
    cell = model.cells[0]
    cell.source += f"\n\n{NEW_SENTENCE}"
    nbformat.write(model, path)
    new = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {NEW_SENTENCE}")])
    nbformat.write(new, changed / NEW_NOTEBOOK)
    return {cell.id}
