"""Try the class on this machine with simulated students: make load-test STUDENTS=30

They log in as browsers do, open a notebook, run all of it, write a sentence, save and leave, in the real hub of `make class`.
It is killed in the middle, and opened again. Then what they saved is compared with what is on the disk, and what is served. They
come twice; in between the course is published again, changed. All traffic stays on this machine; all processes end with the test.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import statistics
import sys
from collections.abc import Collection
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil
from tornado.httpclient import AsyncHTTPClient

import classroom
from load import model
from load.lesson import (
    HUB,
    HUB_AND_PROXY,
    NEW_NOTEBOOK,
    NEW_SENTENCE,
    Kill,
    Lesson,
    Report,
    change_course,
    differences,
    lost_on_disk,
)
from load.room import MEGABYTE, NoClass, Room
from load.student import Student
from project import COURSE, ROOT, notebooks, write

RESULTS = ROOT / "docs/class.json"
MOST = 200                  # students: this is no tool to bring a machine down
MEMORY = 450                # MB for each, with a kernel at its peak
SMALL = (5, 10)             # the classes that the model is made from
LIMIT = 1200                # seconds for one student, all together
RUSH = 10                   # minutes
SIZES = (30, 300, 3000)


def students_of(room: Room, count: int, notebook: str) -> list[Student]:
    return [Student(f"student-{number:02}", room.word, f"pin-{number:02}", room.address, f"notebooks/{notebook}")
            for number in range(1, count + 1)]


async def lesson(room: Room, students: list[Student], sentence: str, *kills: Kill, arrivals: float = 0, together: bool = False,
                 changed: Collection[str] = ()) -> Report:
    """One lesson, and what is lost after it. The class is closed then. changed: the ids of cells that the course has changed."""
    report = Report(len(students), arrivals, together, list(kills))
    try:
        await Lesson(room, students, report, LIMIT).give(sentence)
    except* NoClass as errors:
        raise errors.exceptions[0] from None
    finally:
        report.left_running = await asyncio.to_thread(room.close)
    report.lost += [what for student in students for what in lost_on_disk(room, student, changed)]
    return report


async def small(folder: Path, count: int, notebook: str) -> Report:
    """A class that nobody disturbs, to measure what students cost."""
    room = Room(folder, count)
    return await lesson(room, students_of(room, count, notebook), "{name} was here.", together=True)


async def two_lessons(folder: Path, count: int, notebook: str, arrivals: float) -> list[Report]:
    """The same students twice: spread, with the hub killed; and all at once, with all killed but the students' own servers."""
    room = Room(folder / "class", count)
    students = students_of(room, count, notebook)
    first = await lesson(room, students, "{name} was in the first lesson.", Kill(HUB, "lab"), arrivals=arrivals)
    before = {student: student.saved for student in students}
    room.course = folder / "changed"
    changed = change_course(COURSE, room.course, notebook)
    kills = Kill(HUB_AND_PROXY, "lab"), Kill(HUB_AND_PROXY, "ran", 0.1)
    second = await lesson(room, students, "{name} was in the second lesson.", *kills, together=True, changed=changed)
    for student in students:
        if student.found is None:
            continue
        second.lost += [f"{student.name}: in the second lesson, {what}"
                        for what in differences(before[student], student.found, changed)]
        home = room.folder / "students" / student.name / "course/notebooks"
        texts = [path.read_text(encoding="utf-8") for path in home.glob(f"{Path(notebook).stem}*.ipynb")]
        if not (home / NEW_NOTEBOOK).exists() or not any(NEW_SENTENCE in text for text in texts):
            second.failures.append(f"{student.name}: what is new in the course did not arrive")
    return [first, second]


def costs_of(reports: list[Report]) -> model.Costs:
    """The lines through lessons that nobody disturbed."""
    def of(value):
        return model.line(*((report.students, value(report)) for report in reports))

    return model.Costs(
        login=of(lambda report: report.used_by_all("kernel")), run=of(lambda report: report.used_by_all("saved", "kernel")),
        hub=of(lambda report: report.used("saved")["hub"]), idle=of(lambda report: report.memory["kernel"]["all"]),
        active=of(lambda report: report.memory["saved"]["all"]), peak=of(lambda report: report.peak["all"]),
        disk=of(lambda report: report.disk * report.students))


def figures(report: Report) -> dict:
    """A lesson in a few numbers: seconds, MB, and seconds of processor time."""
    n = report.students

    def last(step):
        return round(report.seconds[step][-1], 1) if report.seconds.get(step) else None

    def middle_and_worst(values):
        return [round(statistics.median(values), 1), round(max(values), 1)] if values else None

    def per_student(counts, digits):
        return {kind: round(counts[kind] / n, digits) for kind in ("server", "kernel", "copy") if counts.get(kind)} | {
            f"{kind}_of_all": round(counts[kind], digits) for kind in ("hub", "proxy", "test") if counts.get(kind)}

    return {
        "students": n, "arrivals_over_seconds": report.arrivals, "run_all_at_once": report.together,
        "killed": [f"{' and '.join(kill.kinds)}, when {kill.share:.0%} were at {kill.step}" for kill in report.kills],
        "lost": len(report.lost), "failures": report.failures, "tried_again": dict(sorted(report.troubles.items())),
        "seconds": {"open": [round(value, 1) for value in report.opened], "last_in_jupyterlab": last("lab"),
                    "last_kernel": last("kernel"), "last_saved": last("saved"),
                    "login_middle_and_worst": middle_and_worst(report.waited),
                    "run_all_middle_and_worst": middle_and_worst(report.running)},
        "memory_mb": {moment: per_student(memory, 1) | {"all": round(memory["all"])} for moment, memory in report.memory.items()}
        | {"peak_of_all": round(report.peak["all"]), "peak_of_the_machine": round(report.machine)},
        "processor_seconds": {f"until_{moment}": per_student(report.used(moment), 2) for moment in ("kernel", "saved")
                              if moment in report.spent},
        "disk_mb_per_student": round(report.disk, 1),
    }


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) if value < 10 else round(value) for name, value in values.items()}


def prediction(costs: model.Costs, report: Report, cores: int) -> dict:
    """What the model says of a lesson, what was measured, and the error in percent of that."""
    times = model.all_at_once(costs, report.students, cores)
    pairs = {
        "idle_mb": (costs.idle(report.students), report.memory["kernel"]["all"]),
        "peak_mb": (costs.peak(report.students), report.peak["all"]),
        "login_processor_seconds": (costs.login(report.students), report.used_by_all("kernel")),
        "run_all_processor_seconds": (costs.run(report.students), report.used_by_all("saved", "kernel")),
        "last_kernel_seconds": (times["login_seconds"], report.seconds["kernel"][-1]),
        "last_run_all_seconds": (times["run_all_seconds"], max(report.running)),
    }
    return {name: {"predicted": round(said, 1), "measured": round(was, 1), "error_percent": round(100 * (said - was) / was, 1)}
            for name, (said, was) in pairs.items()}


def results(reports: list[Report], shared: bool) -> dict:
    """All that docs/class.json has."""
    cores, memory = psutil.cpu_count() or 1, psutil.virtual_memory().total / MEGABYTE / 1024
    found = {
        "date": date.today().isoformat(),
        "machine": f"{cores} cores, {round(memory)} GB" + ", with other work on it at the same time" * shared,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in (
            "torch", "jupyterhub", "jupyterlab", "jupyter_server", "ipykernel")},
        "lessons": [figures(report) for report in reports],
    }
    undisturbed = [report for report in reports if not report.kills]
    if len({report.students for report in undisturbed}) > 1:
        # The model is tested where it can be: the small classes say what the big one takes. What is said of those that cannot be
        # measured here comes from all.
        small_ones, big = undisturbed[:2], undisturbed[2:]
        costs = costs_of(undisturbed)
        disk = psutil.disk_usage(str(ROOT)).free / 2**30
        found["model"] = {
            "made_from_classes_of": [report.students for report in undisturbed],
            "tested_from_classes_of": [report.students for report in small_ones],
            "costs": {name: {key: round(value, 3) for key, value in line.items()} for name, line in asdict(costs).items()},
            "tested": {str(report.students): prediction(costs_of(small_ones), report, cores) for report in big},
            "rush_minutes": RUSH,
            "classes": {str(size): rounded(model.needs(costs, size, RUSH) | model.all_at_once(costs, size, cores))
                        for size in SIZES},
            "most_students_on_this_machine": rounded(model.most_students(costs, cores, memory, disk, RUSH)),
        }
    return found


def table(found: dict) -> str:
    """The results as lines for a terminal."""
    lines = []
    for one in found["lessons"]:
        seconds, memory = one["seconds"], one["memory_mb"]
        how = "all at once" if not one["arrivals_over_seconds"] else f"within {one['arrivals_over_seconds']:g} s"
        lines += ["", f"{one['students']} students, {how}; killed: {'; '.join(one['killed']) or 'nothing'}",
                  f"  lost {one['lost']}; failed {len(one['failures'])}; tried again {sum(one['tried_again'].values())}"]
        lines += [f"    {count} times {what}" for what, count in one["tried_again"].items()]
        lines += [f"    {failure}" for failure in one["failures"]]
        login, run = seconds["login_middle_and_worst"], seconds["run_all_middle_and_worst"]
        lines += [f"  the last in JupyterLab after {seconds['last_in_jupyterlab']} s, has a kernel after "
                  f"{seconds['last_kernel']} s, has saved after {seconds['last_saved']} s",
                  f"  middle and worst: login {login} s, Run All {run} s",
                  f"  memory: {memory['peak_of_all']} MB for all at the peak; each server and kernel after Run All: "
                  f"{memory.get('saved', {}).get('server')} and {memory.get('saved', {}).get('kernel')} MB"]
    if "model" in found:
        lines += ["", "The model: " + json.dumps(found["model"], indent=1)]
    return "\n".join(lines)


def check(count: int, folder: Path) -> None:
    """Exits with a sentence where the test would not be one."""
    if not 1 <= count <= MOST:
        sys.exit(f"STUDENTS={count} is no class for this test: name 1 to {MOST}: make load-test STUDENTS=30")
    free = psutil.virtual_memory().available / MEGABYTE
    if free < count * MEMORY:
        sys.exit(f"{count} students need about {count * MEMORY / 1024:.0f} GB of memory, and {free / 1024:.0f} GB are free: name "
                 f"fewer: make load-test STUDENTS={max(1, int(free // MEMORY))}")
    if folder.exists() and any(folder.iterdir()) and not (folder / ".load-test").exists():
        sys.exit(f"{folder} is not a folder of this test, and is left as it is: name another one.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition(": make")[0] + ".")
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--notebook", default="03_several_losses.ipynb", help="the one that they run")
    parser.add_argument("--arrivals", type=float, default=60, help="seconds over which the first lesson's students come")
    parser.add_argument("--sizes", type=int, nargs="*", default=SMALL, help="the undisturbed classes that the model is made from")
    parser.add_argument("--shared", action="store_true", help="say in the results that the machine had other work")
    parser.add_argument("--store", action="store_true", help=f"write the results to {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--folder", type=Path, default=ROOT / "_build/load-test", help="where the class lies; it is emptied")
    chosen = parser.parse_args(arguments)
    folder = chosen.folder.resolve()
    check(chosen.students, folder)
    if chosen.notebook not in [path.name for path in notebooks()]:
        sys.exit(f"There is no notebook {chosen.notebook}: name a file in {COURSE.name}.")
    classroom.install()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    AsyncHTTPClient.configure(None, max_clients=4 * chosen.students, max_body_size=2**28)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o711)
    (folder / ".load-test").touch()

    async def all_of_it():
        reports = []
        for size in [*chosen.sizes, *[chosen.students] * bool(chosen.sizes)]:      # the last one tests the model
            print(f"{size} students, whom nobody disturbs.", flush=True)
            reports.append(await small(folder / str(size), size, chosen.notebook))
        print(f"{chosen.students} students, twice.", flush=True)
        return reports + await two_lessons(folder, chosen.students, chosen.notebook, chosen.arrivals)

    try:
        reports = asyncio.run(all_of_it())
    except KeyboardInterrupt:
        sys.exit("Interrupted: the class is closed, and nothing is stored.")
    except NoClass as error:
        sys.exit(str(error))
    found = results(reports, chosen.shared)
    print(table(found))
    if chosen.store:
        write(RESULTS, json.dumps(found, indent=1) + "\n")
    bad = [what for report in reports
           for what in (*report.lost, *report.failures, *(f"left running: {kind}" for kind in report.left_running))]
    for what in bad:
        print(what, file=sys.stderr)
    if bad:
        sys.exit(f"The class did not hold: see {os.path.relpath(folder)}.")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
