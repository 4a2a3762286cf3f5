"""The class that is tested: opened by the tool of `make class`, killed, opened again, measured, and ended with all of it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from project import ROOT

OPENS_WITHIN = 120      # seconds
CLOSES_WITHIN = 120
SAMPLES_EVERY = 2.0     # seconds
MEGABYTE = 2**20
# What a process is, by a word of its command line; the first that fits.
KINDS = {"jupyterhub.singleuser": "server", "ipykernel_launcher": "kernel", "classroom/hub.py": "hub",
         "configurable-http-proxy": "proxy", "jupyterhub_idle_culler": "culler", "classroom/copies.py": "copy",
         "classroom/votes.py": "votes",
         "tools/classroom.py": "tool"}


class NoClass(Exception):
    """The class did not open, or did not close. The message says why."""


def free_port() -> int:
    """A port with three free ones behind it, which a class needs. Raises NoClass where there is none."""
    for port in range(18_000, 19_000, 10):
        with contextlib.ExitStack() as probes:
            try:
                for number in range(port, port + 4):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise NoClass("This machine has no free port from 18000 to 19000: end what uses them.")


class Room:
    """A class in a folder. Nothing but 127.0.0.1 reaches it.

    word: the word of the class; course: the folder of notebooks that is published, or None for the course's own.
    """

    word = "lemon-island"

    def __init__(self, folder: Path, seats: int):
        self.folder, self.seats, self.port = folder.resolve(), seats, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.course: Path | None = None
        self.tool: subprocess.Popen | None = None

    async def open(self) -> float:
        """Open the class, and return how many seconds that took. Raises NoClass with the last line that the tool said."""
        began = time.monotonic()
        command = [sys.executable, str(ROOT / "tools/classroom.py"), f"--port={self.port}", f"--word={self.word}",
                   f"--seats={self.seats}", f"--folder={self.folder}", *([f"--course={self.course}"] if self.course else [])]
        self.folder.mkdir(parents=True, exist_ok=True)
        said = self.folder / "tool.log"
        with open(said, "a", encoding="utf-8") as log:
            before = log.tell()
            self.tool = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT,
                                         start_new_session=True)
        while time.monotonic() < began + OPENS_WITHIN:
            words = said.read_bytes()[before:].decode(errors="replace")
            if "The class is open.\n" in words:
                return time.monotonic() - began
            if self.tool.poll() is not None:
                break
            await asyncio.sleep(0.1)
        last = (words.strip().splitlines() or ["it said nothing"])[-1]
        raise NoClass(f"The class did not open (exit code {self.tool.poll()}): {last}")

    def processes(self) -> dict[psutil.Process, str]:
        """All processes of this class, also of students, and what each of them is."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command, environment = process.cmdline(), process.environ()
                words = " ".join(command)
                if (process.cwd() == str(self.folder / "hub") or f"--folder={self.folder}" in command
                        or environment.get("HOME", "").startswith(f"{self.folder}/students/")):
                    found[process] = next((kind for word, kind in KINDS.items() if word in words), "other")
        return found

    def kill(self, *kinds: str) -> None:
        """Kill processes of these kinds at once, so that none of them can say or store a last word."""
        killed = [process for process, kind in self.processes().items() if kind in kinds]
        for process in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(killed, 10)
        if self.tool:
            self.tool.wait(CLOSES_WITHIN)     # it ends where its hub ends

    def close(self) -> list[str]:
        """End the class as Ctrl+C does. Return what was left after that, which is ended too."""
        if self.tool and self.tool.poll() is None:
            self.tool.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.tool.wait(CLOSES_WITHIN)
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, 10)
        return sorted(left.values())


class Meter:
    """What the class costs: the memory and the processor time of its processes, by what they are.

    Memory is PSS in MB, in which a page that n processes share counts 1/n for each. memory: the last sample. peak: the largest
    sum of each kind, and of all ("all"). machine: the most that the machine used, whoever used it.
    """

    def __init__(self, room: Room):
        self.room = room
        self.seconds: dict[object, tuple[str, float]] = {}
        self.memory: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        self.machine = 0.0
        self._own = sum(os.times()[:2])

    def sample(self) -> None:
        memory: dict[str, float] = {}
        for process, kind in self.room.processes().items():
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                # The hub waits for the copies that it starts: their time is found there when they have ended.
                if kind != "copy":
                    self.seconds[process] = kind, used.user + used.system
                if kind == "hub":
                    self.seconds[process, "ended"] = "copy", used.children_user + used.children_system
                memory[kind] = memory.get(kind, 0) + process.memory_full_info().pss / MEGABYTE
        memory["all"] = sum(memory.values())
        self.memory = memory
        for kind in memory:
            self.peak[kind] = max(self.peak.get(kind, 0), memory[kind])
        self.machine = max(self.machine, psutil.virtual_memory().used / MEGABYTE)

    def spent(self) -> dict[str, float]:
        """Seconds of processor time so far, by kind; "test" is this test itself."""
        total: dict[str, float] = {}
        for kind, seconds in self.seconds.values():
            total[kind] = total.get(kind, 0) + seconds
        total["test"] = sum(os.times()[:2]) - self._own
        return total

    async def run(self) -> None:
        """Take samples until this is cancelled."""
        while True:
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(SAMPLES_EVERY)
