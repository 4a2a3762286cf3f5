"""Run an answer of a student behind walls, and say what the course's check says of it.

    with Sandbox(folder of a student's edition) as sandbox:
        sandbox.judge(Job("03.1", set_up, answer, ...))     # a Said

A server has PyTorch and the checks loaded. For each job it forks a process, which gives up all rights, runs the answer and its
check, and is thrown away with all that it has started. Nothing that an answer prints or shows is kept.

Where root runs this on Linux, an answer has a user number of its own, no network, no other process in sight, and of the disk only
what Python and the course need, to read, and an empty folder in memory, to write. Without root it has the rights of who runs it.
"""

import contextlib
import ctypes
import json
import os
import resource
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST_USER = 80_001     # the user numbers of answers; those of the students of `make class` are above 90,000
RIGHT, WRONG, OPEN, STOPPED = "right", "not yet", "not answered yet", "stopped"
STATES = (RIGHT, WRONG, OPEN, STOPPED)
LONGEST = 4000          # letters of a text that comes from an answer
LARGEST_SAID = 100_000  # bytes
LARGEST_FILE = 10 * 2**20       # bytes
SCRATCH = b"mode=1777,size=64m"
PROCESSES = 64          # with threads
LOADED = ("torch._dynamo.utils", "torch.utils.checkpoint", "torch.distributed", "torch.nn.parallel", "torch.func",
          "course.checking", "course.processes", "seegrad", "IPython.core.interactiveshell", "matplotlib.pyplot", "psutil")
OF_ITS_OWN = 0x20000000 | 0x40000000 | 0x20000 | 0x8000000      # processes, network, mounts and messages, as Linux numbers them
BIND, RECURSIVE, PRIVATE, NO_NEW_PRIVILEGES = 0x1000, 0x4000, 0x40000, 38


@dataclass(frozen=True)
class Limits:
    """seconds: of a job, by the clock. memory: bytes of all its processes together."""

    seconds: float = 60
    memory: int = 2 * 2**30


LIMITS = Limits()


@dataclass(frozen=True)
class Job:
    """What is run, in this order, as the cells of a notebook.

    exercise: as in "03.1". set_up: the cells before the answer. answer: its cell. argument: what of it is checked, as code.
    broken: what stood in the cell at first. The check must refuse it after the answer too. function: what of it is checked.
    """

    exercise: str
    set_up: tuple[str, ...]
    answer: str
    argument: str
    broken: str
    function: str


@dataclass(frozen=True)
class Said:
    """What came of a job. All texts are those of the student's process: plain text, and never HTML.

    state: one of STATES. sentence, line, picture: as those of a verdict of the course.
    tampered: whether the check accepts, after the answer has run, what it must refuse.
    """

    state: str
    sentence: str = ""
    line: str = ""
    picture: str = ""
    tampered: bool = False


def walls() -> bool:
    """Whether an answer can be kept from the rights of who runs this."""
    return hasattr(os, "fork") and sys.platform == "linux" and os.getuid() == 0


def hides() -> bool:
    """Whether root may keep the network, other processes and most of the disk from an answer here; in a container, often not."""
    pid = os.fork()
    if not pid:
        os._exit(bool(ctypes.CDLL(None).unshare(OF_ITS_OWN)))
    return os.waitpid(pid, 0)[1] == 0


class Sandbox:
    """A server that runs one job after the other. Close it, or use it in a `with`."""

    def __init__(self, edition: Path, slot: int = 0, limits: Limits = LIMITS) -> None:
        """edition: the folder of notebooks that has `course` beside it. slot: the number of this sandbox among those at work."""
        path = os.pathsep.join([str(edition), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
        variables = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(edition), str(slot), json.dumps(asdict(limits))], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True, cwd="/",
            env={**variables, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"})

    def judge(self, job: Job) -> Said:
        """Run a job. Raises RuntimeError where the server has died."""
        assert self._server.stdin and self._server.stdout
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(asdict(job)), file=self._server.stdin, flush=True)
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("The process that runs answers has ended by itself: what it said stands above.")
        return Said(**json.loads(line))

    def close(self) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# The server, and the process that watches over one job. Neither runs a line of an answer.

def serve(edition: Path, slot: int, limits: Limits) -> None:
    """Run the jobs that come in, one a line, and print for each what came of it."""
    import importlib
    for module in LOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(asdict(_watched(Job(**json.loads(line)), edition, FIRST_USER + slot, limits))), flush=True)


def _watched(job: Job, edition: Path, user: int, limits: Limits) -> Said:
    """Fork the process that watches over a job, and hear from it what came of it."""
    ours, theirs = os.pipe()
    folder = Path(tempfile.mkdtemp(prefix="answer"))
    pid = os.fork()
    if not pid:
        said = Said(STOPPED, "The answer could not be run.")
        try:
            os.close(ours)
            said = _watch(job, edition, user, folder, limits)
        except Exception:       # of ours: the next job may be luckier
            traceback.print_exc()
        finally:
            os.write(theirs, json.dumps(asdict(said)).encode())
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8") as heard:
        said = Said(**json.loads(heard.read()))
    os.waitpid(pid, 0)
    _end_all_of(user)
    shutil.rmtree(folder, ignore_errors=True)
    return said


def _watch(job: Job, edition: Path, user: int, folder: Path, limits: Limits) -> Said:
    """Fork the first process of a job and, from that, the one that runs the answer. When the first one ends, all others do."""
    nonce = secrets.token_hex()
    if walls():
        python = map(Path, [sys.base_prefix, sys.prefix, sys.executable, *sys.path])
        python_only = [path for path in python if path not in (ROOT, ROOT / "tools")]
        _out_of_sight([*python_only, ROOT / "seegrad", edition, folder], folder)
    ours, theirs = os.pipe()
    first = os.fork()
    if not first:
        os.close(ours)
        os.setsid()
        answering = os.fork()
        if not answering:
            _answer(job, user, folder, limits, theirs, nonce)
        os.close(theirs)
        os.waitpid(answering, 0)
        os._exit(0)
    os.close(theirs)
    try:
        return _listen(ours, first, nonce, limits)
    finally:
        if not walls():
            with contextlib.suppress(OSError):
                os.killpg(first, signal.SIGKILL)
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)


def _listen(pipe: int, first: int, nonce: str, limits: Limits) -> Said:
    """Wait until the answer's process says something, or ends, or takes too much."""
    end, text = time.monotonic() + limits.seconds, b""
    while b"\n" not in text and len(text) <= LARGEST_SAID:
        if time.monotonic() > end:
            return Said(STOPPED, f"It was stopped after {limits.seconds:g} seconds.")
        if _memory_of(first) > limits.memory:
            return Said(STOPPED, f"It was stopped when it had more than {limits.memory / 2**20:,.0f} MB of memory.")
        if select.select([pipe], [], [], 0.1)[0]:
            more = os.read(pipe, LARGEST_SAID)
            if not more:
                return Said(STOPPED, "Its process ended before the check was through.")
            text += more
    try:
        said = json.loads(text.partition(b"\n")[0])
        if said.pop("nonce") != nonce or said["state"] not in STATES:
            raise ValueError
        sentence, line, picture = (str(said[field])[:LONGEST] for field in ("sentence", "line", "picture"))
        return Said(said["state"], sentence, line, picture, said["tampered"] is not False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Said(STOPPED, "Its process wrote what only the check may write.", tampered=True)


def _memory_of(first: int) -> int:
    """The bytes that the processes of a job have for themselves alone."""
    import psutil
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(first).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().uss
    return total


def _end_all_of(user: int) -> None:
    """End all processes of a user number. There are some where the system gives a job no processes of its own to end with it."""
    while walls() and any(_are_of(user)):
        pid = os.fork()
        if not pid:
            with contextlib.suppress(OSError):
                os.setuid(user)
                os.kill(-1, signal.SIGKILL)     # all at once: one of them could make others meanwhile
            os._exit(0)
        os.waitpid(pid, 0)


def _are_of(user: int) -> Iterator[bool]:
    import psutil
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE


def _out_of_sight(needs: list[Path], scratch: Path) -> None:
    """Take from this process and its children the network, all other processes, and of the disk what they do not need.

    Does as much as the system lets root do: in a container, that may be nothing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(OF_ITS_OWN):
        return

    def mount(source, target, kind=None, flags=0, options=b""):
        words = (ctypes.c_char_p(os.fsencode(word) if word else None) for word in (source, target, kind))
        if libc.mount(*words, ctypes.c_ulong(flags), ctypes.c_char_p(options)):
            raise OSError(ctypes.get_errno(), f"{target} cannot be covered")

    _raise_loopback()
    mount(None, "/", flags=RECURSIVE | PRIVATE)
    needs = [path.resolve() for path in needs if path.exists()]
    covered = {folder for path in needs for folder in path.parents if not folder.stat().st_mode & 0o001}
    covered |= {Path(path).resolve() for path in (ROOT, "/home", "/root", "/tmp", "/var/tmp", "/dev/shm")}
    for cover in covered:
        if not cover.is_dir() or covered & set(cover.parents):
            continue
        held = [(path, os.open(path, os.O_PATH), path.is_dir()) for path in needs if cover in path.parents]
        mount("none", cover, "tmpfs", options=SCRATCH)
        for path, descriptor, is_folder in held:
            (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
            if not is_folder:
                path.touch()
            if path != scratch:
                mount(f"/proc/self/fd/{descriptor}", path, flags=BIND | RECURSIVE)
            os.close(descriptor)


def _raise_loopback() -> None:
    """Let the processes of a job talk to each other: a new network has its loopback down."""
    import fcntl
    import socket
    import struct
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))      # SIOCSIFFLAGS: up and running


# The process of the answer

def _answer(job: Job, user: int, folder: Path, limits: Limits, pipe: int, nonce: str) -> None:
    """Give up all rights, run the job, and write what came of it to the pipe."""
    try:
        os.setsid()
        _give_up(user, folder, limits, pipe)
        said = {**asdict(_run(job)), "nonce": nonce}
        text = json.dumps(said).encode() + b"\n"
        while text:
            text = text[os.write(pipe, text):]
    finally:
        os._exit(0)


def _give_up(user: int, folder: Path, limits: Limits, pipe: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, 4096)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    with contextlib.suppress(OSError):      # when memory runs out, the system ends this one first
        Path("/proc/self/oom_score_adj").write_text("1000")
    hard = int(limits.seconds) + 1
    for what, most in ((resource.RLIMIT_DATA, limits.memory), (resource.RLIMIT_FSIZE, LARGEST_FILE), (resource.RLIMIT_CORE, 0),
                       (resource.RLIMIT_CPU, hard), *[(resource.RLIMIT_NPROC, PROCESSES)] * walls()):
        with contextlib.suppress(ValueError, OSError):      # the system knows it not, or has a lower one
            resource.setrlimit(what, (most, most))
    if walls():
        os.chown(folder, user, user)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    os.chdir(folder)
    os.environ.update(HOME=str(folder), TMPDIR=str(folder), IPYTHONDIR=str(folder), MPLCONFIGDIR=str(folder))
    tempfile.tempdir = None


def _run(job: Job) -> Said:
    """Run the cells of a job as a notebook does, and then the check: of the answer, and of what it must refuse."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from course.checking import verdict_on
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.user_ns["__name__"] = "__main__"

    def run(cell: str) -> BaseException | None:
        ran = shell.run_cell(cell, store_history=True)
        return ran.error_before_exec or ran.error_in_exec

    for cell in job.set_up:
        run(cell)
    shell.user_ns["check"] = lambda *_: None        # it comes below, once
    error = run(job.answer)
    try:
        given = eval(job.argument, shell.user_ns)
    except BaseException as missing:
        told = error or missing
        return Said(WRONG, f"The cell raised {type(told).__name__}: {told}"[:LONGEST])
    verdict = verdict_on(job.exercise, given)
    run(job.broken)
    broken = shell.user_ns.get(job.function)
    refused = [verdict_on(job.exercise, other) for other in (broken, lambda *_, **__: 0)]
    tampered = any(other and other.state == RIGHT for other in refused)
    if verdict is None:
        return Said(OPEN, tampered=tampered)
    picture = repr(verdict.picture) if verdict.picture else ""
    return Said(verdict.state, verdict.sentence[:LONGEST], verdict.line[:LONGEST], picture[:LONGEST], tampered)


@contextlib.contextmanager
def sandboxes(edition: Path, count: int, limits: Limits = LIMITS) -> Iterator[list[Sandbox]]:
    """Several sandboxes, each with a server of its own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Sandbox(edition, slot, limits)) for slot in range(count)]


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), Limits(**json.loads(sys.argv[3])))
