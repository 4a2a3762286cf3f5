"""A seat in the class: a student's own JupyterLab, on a copy of the course of their own."""

import asyncio
import contextlib
import os
import pwd
import shutil
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
from jupyterhub.spawner import LocalProcessSpawner, SpawnException
from jupyterhub.utils import can_connect, exponential_backoff
from traitlets import Bool, Int, Unicode, default

import copies
import votes
from login import LECTURER
from sit_down import control_group

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
# User numbers above those that systems give to people and services, and below those of containers; each class has so many.
FIRST_USER, LAST_USER, USERS = 66_000, 99_999, 500
NEEDED_DISK = 300 * 2**20       # bytes: a copy of the course, and room to save
MEGABYTE = 2**20
# What a server and its kernels must be able to read, wherever the course lies.
NEEDS = [Path(sys.base_prefix).resolve(), *(ROOT / name for name in (".venv", "seegrad", "classroom", "tools"))]


class Seat(LocalProcessSpawner):
    """Starts a student's server on this machine.

    Before that, the copy of the course is made or brought up to date. With own_users, each student has an own user number: the
    one that owns their folder.
    """

    class_folder = Unicode(config=True, help="Where all that the class writes lies.")
    own_users = Bool(config=True, help="Whether each student has a user number of their own.")
    memory = Int(config=True, help="MB that each process of a student may take.")
    guarantee = Int(config=True, help="MB that must be free for a student to come in.")
    turns = Int(config=True, help="How many servers start at the same time; the others wait.")
    cmd: Any
    pid: int
    _free_turns: ClassVar[asyncio.Semaphore | None] = None
    _started_at: float | None = None        # when the server's process was made, so that no other process is taken for it

    @default("oauth_client_allowed_scopes")
    def _who_reads_the_votes(self):
        return votes.scopes_of(self)

    @property
    def home(self) -> Path:
        """The folder that is the student's own, with the copy of the course in it."""
        return home_of(Path(self.class_folder), self.user.name)

    async def start(self) -> Any:
        """Start the server, when it is its turn. Raises SpawnException with a sentence for the student where there is no room."""
        Seat._free_turns = turns = Seat._free_turns or asyncio.Semaphore(self.turns)
        await turns.acquire()
        try:
            self._check_room()
            make_home(Path(self.class_folder), self.user.name, self.own_users)
            await self._update_course()
            self.cmd = [*self._as_student(), PYTHON, "-m", "jupyterhub.singleuser"]
            place = await super().start()
            self._started_at = _made_at(self.pid)
        except BaseException:
            turns.release()
            raise
        self._turn = asyncio.create_task(self._end_turn(turns, *place))
        return place

    async def _end_turn(self, turns, address, port):
        """Let the next one start when this server has started. The hub knows of it before, should it be killed meanwhile."""
        async def has_started():
            return can_connect(address or "127.0.0.1", port) or await self.poll() is not None

        try:
            await exponential_backoff(has_started, "The server does not answer.", timeout=self.http_timeout, max_wait=1)
        except TimeoutError:
            self.log.error("The server of %s has not answered for %s s.", self.user.name, self.http_timeout)
        finally:
            turns.release()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the page says while a student waits."""
        waits = Seat._free_turns is not None and Seat._free_turns.locked()
        yield {"progress": 10, "message": "Many come at the same time: you are let in when it is your turn." if waits
               else "Your JupyterLab starts."}

    def _check_room(self):
        free = psutil.virtual_memory().available / MEGABYTE
        if free < self.guarantee:
            raise SpawnException("All seats are taken: this machine has no memory for one more. Tell your lecturer, and try "
                                 "again when somebody has left.", reason="memory", status_code=503)
        if shutil.disk_usage(self.class_folder).free < NEEDED_DISK:
            raise SpawnException("The disk of this machine is full. Your work is safe; tell your lecturer, and try again when "
                                 "there is space.", reason="disk", status_code=503)

    async def _update_course(self):
        """Only before a server starts, when no notebook is open. Where it fails, a student who has a copy works with that one."""
        edition = "lecturer" if self.user.name == LECTURER else "student"
        command = [*self._as_student(), PYTHON, copies.__file__,
                   str(Path(self.class_folder, "published", edition)), str(self.home / "course")]
        process = await asyncio.create_subprocess_exec(*command, env=self.get_env(), stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        if process.returncode:
            self.log.error("The course was not brought to %s:\n%s", self.user.name, output.decode(errors="replace"))
            if not (self.home / "course/notebooks").exists():
                raise SpawnException("The course could not be copied for you. Tell your lecturer: the hub's log says why.",
                                     reason="course", status_code=500)

    def _as_student(self):
        user = self.home.stat().st_uid if self.own_users else None
        return as_student(self.home, Path(self.class_folder), user, self.memory)

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and what the student has left running."""
        await super().stop(now)
        if self.own_users:
            end_all_of(self.home.stat().st_uid)

    def make_preexec_fn(self, name: str) -> None:
        """Nothing: sit_down.py does what is to be done, in a process that has no threads."""

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        return {**env, "USER": self.user.name, "LOGNAME": self.user.name, "HOME": str(self.home), "SHELL": "/bin/sh",
                "GIT_CONFIG_GLOBAL": str(copies.SETTINGS),
                "JUPYTER_CONFIG_PATH": os.pathsep.join(map(str, (
                    ROOT / "tools/lab", ROOT / "classroom/server", Path(self.class_folder, "published")))),
                "PYTHONPATH": str(ROOT / "classroom/server"), "PYTHONSTARTUP": str(ROOT / "classroom/server/kernel.py"),
                "JUPYTER_PREFER_ENV_PATH": "1", "FOR": LECTURER if self.user.name == LECTURER else ""}

    # After the hub was killed, its servers go on. The next hub must know them, and must not take another process for one of them.
    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "started_at": self._started_at}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._started_at = state.get("started_at")
        if self.pid and _made_at(self.pid) != self._started_at:
            self.pid = 0
        elif self.pid and not _listens(self.pid):       # it needed the hub to start, and ends soon: the student gets another one
            psutil.Process(self.pid).kill()
            self.pid = 0


def home_of(class_folder: Path, name: str) -> Path:
    """The folder that is a student's own."""
    return class_folder / "students" / name


def first_user(class_folder: Path) -> int:
    """The first user number of a class: where two classes on one machine had the same, their students would be the same users."""
    ranges = (LAST_USER - FIRST_USER) // USERS
    return FIRST_USER + USERS * (zlib.crc32(os.fsencode(class_folder)) % ranges)


def make_home(class_folder: Path, name: str, own_users: bool) -> Path:
    """Make a student's folder where there is none, and return it. With own_users, a user number that nobody else has owns it."""
    home = home_of(class_folder, name)
    if home.exists():
        return home
    new = home.with_name(f".{name}")        # with its owner, it is there at once or not at all
    new.mkdir(mode=0o700, exist_ok=True)
    if own_users:
        taken = {folder.stat().st_uid for folder in home.parent.iterdir()} | {user.pw_uid for user in pwd.getpwall()}
        number = next(number for number in range(first_user(class_folder), 2**31) if number not in taken)
        os.chown(new, number, number)
    return new.rename(home)


def as_student(home: Path, class_folder: Path, user: int | None, memory: int) -> list[str]:
    """The beginning of a command that runs as a student. user: the user's number, or None; memory: in MB, for each process."""
    return [PYTHON, str(ROOT / "classroom/sit_down.py"), *(["--user", str(user)] if user else []), "--folder", str(home),
            "--memory", str(memory * MEGABYTE), "--needs", *map(str, [*NEEDS, class_folder / "published"]), "--"]


def end_all_of(user: int) -> None:
    """End all processes of a student's own user, and take the control group away."""
    for process in psutil.process_iter(["uids"]):
        if process.info["uids"] and process.info["uids"].real == user:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    group = control_group(user)
    if group:
        with contextlib.suppress(OSError):      # the system may need a moment; the next server of this student uses it again
            group.rmdir()


def _listens(pid):
    """Whether a server has started so far that browsers reach it."""
    try:
        return any(place.status == psutil.CONN_LISTEN for place in psutil.Process(pid).net_connections("inet"))
    except psutil.AccessDenied:
        return True


def _made_at(pid):
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
