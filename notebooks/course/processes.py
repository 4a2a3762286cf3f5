"""Run a function of the notebook in several processes that talk to each other, as a training on several machines does.

    def train(rank):
        net = DistributedDataParallel(Net())
        ...

    in_processes(2, train)

The processes are forked from a server that has PyTorch loaded and has run no backward, which is quick. They find each other over
a file in a temporary folder and talk over the loopback of this machine: nothing names a port or a host. A function of a notebook
cannot be imported by another process, so its text is sent.
"""

import ast
import builtins
import importlib
import io
import linecache
import multiprocessing
import os
import pickle
import re
import signal
import socket
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import connection, forkserver
from pathlib import Path
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import torch
from IPython.core import display_functions
from IPython.display import display
from torch import distributed
from torch.autograd import profiler

from seegrad import passes
from seegrad.explaining import explain_here

LOADED = ["torch._dynamo.utils", "seegrad", "course.processes"]       # by the server, before it forks; DDP needs the first
SECONDS = 30        # that processes may take
START = 120         # seconds: until they run; the first ones wait until PyTorch is loaded
GRACE = 5           # seconds: for the others to raise too, when one has raised

_LOGGED = re.compile(r"^(?:\[rank\d+\]:)?\[W[^]]*\] (?:Warning: )?(.*?)(?: \(function .*\))?$", re.MULTILINE)


def in_processes(count: int, function: Callable[..., Any], *inputs: Any, seconds: float = SECONDS, show_warnings: bool = False
                 ) -> Any:
    """Call `function(rank, *inputs)` in several processes, which form a process group. Returns what that of rank 0 returns.

    count: how many. function: rank, the number of its process from 0, is its first argument. inputs: what can be pickled, and
    functions of the notebook. seconds: after these, all are ended. show_warnings: print what PyTorch warned of in process 0.

    What the processes print comes in the order of their numbers, and what that of rank 0 displays among its words. Raises the
    error of the process with the lowest number, which has the line that raised it as `error.line`. Raises TimeoutError after the
    seconds, and says where each process was. Raises TypeError where something cannot be sent to another process, and RuntimeError
    where PyTorch has no gloo, and where a process dies.
    """
    __tracebackhide__ = True
    if not (distributed.is_available() and distributed.is_gloo_available()):
        raise RuntimeError("this PyTorch has no gloo, by which processes talk to each other without a GPU: this cell cannot run "
                           "here, and the others can.")
    context = _context()
    package = _packed([function, *inputs])
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, package, rank, count, folder, LOADED), daemon=True)
                workers.append(_Worker(rank, process, ours))
                process.start()
                theirs.close()
            _listen(workers, seconds)
        finally:
            for worker in workers:
                worker.end()
        logged = Path(folder, "log0").read_text(encoding="utf-8", errors="replace") if show_warnings else ""
    for worker in workers:
        worker.show()
    for words in dict.fromkeys(_LOGGED.findall(logged)):
        print(f"Warning: {words}")
    for worker in sorted(workers, key=lambda worker: not worker.has_died):      # the others only miss the one that died
        if worker.error:
            raise worker.error
    late = [f"process {worker.rank} at {worker.line}" for worker in workers if not worker.is_done]
    if late:
        raise TimeoutError(f"the processes did not come to their end within {seconds:g} seconds, and were stopped: "
                           f"{', '.join(late)}.")
    return workers[0].result


def count_all_reduces(call: Callable[[], object]) -> int:
    """Run a call in a process of a group, and return how often it took a sum or a mean over all processes."""
    with profiler.profile() as profile:
        call()
    return sum(event.count for event in profile.key_averages() if event.key == "gloo:all_reduce")


# The process of the notebook

class _Worker:
    """A process, as the notebook's own sees it: what came from it."""

    def __init__(self, rank: int, process: Any, pipe: connection.Connection) -> None:
        self.rank, self.process, self.pipe = rank, process, pipe
        self.shown: list[tuple[str, Any]] = []
        self.error: BaseException | None = None
        self.result: Any = None
        self.line = "an unknown line"
        self.has_begun = self.is_done = self.has_died = False

    def hear(self) -> None:
        try:
            kind, what = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(1)
            self.error = RuntimeError(f"process {self.rank} died, with the exit code {self.process.exitcode}.")
            self.is_done = self.has_died = True
            return
        if kind == "begins":
            self.has_begun = True
        elif kind == "line":
            self.line = what
        elif kind in ("print", "display"):
            self.shown.append((kind, what))
        else:
            self.is_done = True
            if kind == "error":
                self.error, line = what
                raised: Any = self.error
                raised.line = getattr(raised, "line", "") or line       # a check has said its own
            else:
                self.result = what

    def show(self) -> None:
        for kind, what in self.shown:
            if kind == "print":
                print(what, end="")
            else:
                display(what)

    def end(self) -> None:
        """End the process, if it still runs, and let nothing of it be left. A process ends itself when its pipe is closed."""
        self.pipe.close()
        if self.process.pid is not None:
            if not self.is_done:
                self.process.kill()
            self.process.join(2)
            if self.process.exitcode is None:
                self.process.kill()
                self.process.join()
            self.process.close()


def _listen(workers: list[_Worker], seconds: float) -> None:
    """Hear the processes until all are done, or it takes too long."""
    end, all_run = time.monotonic() + START, False
    while running := [worker for worker in workers if not worker.is_done]:
        if not all_run and all(worker.has_begun for worker in workers):
            end, all_run = time.monotonic() + seconds, True
        if any(worker.error for worker in workers):
            end = min(end, time.monotonic() + GRACE)
        if not _hear(running, end - time.monotonic()):
            break
    for worker in running:      # they are late
        worker.pipe.send("where")
    answered = time.monotonic() + 1
    while _hear([worker for worker in running if worker.line == "an unknown line"], answered - time.monotonic()):
        pass


def _hear(workers: list[_Worker], seconds: float) -> bool:
    """Hear whoever says something within these seconds. Returns whether somebody did."""
    by_pipe = {worker.pipe: worker for worker in workers}
    ready = connection.wait(list(by_pipe), max(0, seconds)) if by_pipe else []
    for pipe in ready:
        by_pipe[pipe].hear()        # type: ignore[index]
    return bool(ready)


def _context() -> Any:
    """How processes are started: by the server, which this call starts; on Windows each loads PyTorch for itself."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    path, os.environ["PYTHONPATH"] = os.environ.get("PYTHONPATH"), os.pathsep.join(filter(None, sys.path))
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if path is not None:
            os.environ["PYTHONPATH"] = path
    return context


# What is sent

def _packed(objects: list[Any]) -> bytes:
    """These objects as bytes, with all that the functions of the notebook among them need of it."""
    found: dict[str, tuple[Any, ...]] = {}
    called = []
    for thing in objects:
        if _is_of_the_notebook(thing):
            _gather(thing.__name__, thing, found)
            called.append((thing.__name__, b""))
        else:
            called.append(("", pickle.dumps(thing)))
    return pickle.dumps((found, called))


def _is_of_the_notebook(thing: Any) -> bool:
    return isinstance(thing, (FunctionType, type)) and thing.__module__ == "__main__"


def _gather(name: str, thing: Any, found: dict[str, tuple[Any, ...]]) -> None:
    """Put a name into `found`, behind all that it needs."""
    if name in found:
        return
    if isinstance(thing, ModuleType):
        found[name] = "module", thing.__name__
        return
    if not _is_of_the_notebook(thing):
        try:
            found[name] = "value", pickle.dumps(thing)
        except Exception:
            raise TypeError(f"`{name}` cannot be sent to another process: make it inside the function.") from None
        return
    lines, definition = _definition(thing)
    found[name] = ()        # it may need itself
    namespace = _methods(thing)[0].__globals__
    for used in sorted({node.id for node in ast.walk(definition) if isinstance(node, ast.Name)} & namespace.keys()):
        _gather(used, namespace[used], found)
    del found[name]
    first = min([definition.lineno, *(decorator.lineno for decorator in definition.decorator_list)])
    found[name] = "code", lines, first, definition.end_lineno


def _methods(thing: FunctionType | type) -> list[FunctionType]:
    """A function itself, or those of a class."""
    inside = [thing] if isinstance(thing, FunctionType) else vars(thing).values()
    return [each for each in inside if isinstance(each, FunctionType)]


def _definition(thing: FunctionType | type) -> tuple[list[str], ast.FunctionDef | ast.ClassDef]:
    """The lines of the cell in which a function or a class of the notebook stands, and its definition there."""
    for method in _methods(thing):
        lines = linecache.getlines(method.__code__.co_filename)
        for node in ast.walk(ast.parse("".join(lines))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == thing.__name__:
                return lines, node
    raise TypeError(f"`{thing.__name__}` cannot be sent to another process: its text is not known. Write it with def in a cell.")


# The other processes

class _Notebook:
    """The notebook, as a process sees it. Two threads may send."""

    def __init__(self, pipe: connection.Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, kind: str, what: Any = None) -> None:
        with self._lock:
            self._pipe.send((kind, what))

    def wait(self) -> bool:
        """Wait until the notebook asks something. Returns whether it is still there."""
        try:
            self._pipe.recv()
        except (EOFError, OSError):
            return False
        return True


class _Prints(io.TextIOBase):
    """Where a process prints: it is sent to the notebook."""

    def __init__(self, notebook: _Notebook) -> None:
        self._notebook = notebook

    def write(self, text: str) -> int:
        self._notebook.send("print", text)
        return len(text)


def _work(pipe: connection.Connection, package: bytes, rank: int, count: int, folder: str, loaded: list[str]) -> None:
    """What a process does: it ends when the notebook closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # the notebook is interrupted, and ends its processes itself
    _write_to(Path(folder, f"log{rank}"))
    notebook = _Notebook(pipe)
    sys.stdout = _Prints(notebook)

    def show(*things: Any) -> None:
        for thing in things if rank == 0 else ():
            notebook.send("display", thing)

    builtins.display = display_functions.display = show     # type: ignore[attr-defined, assignment]  # a notebook imports none
    files: list[str] = []
    threading.Thread(target=_answer, args=(notebook, threading.get_ident(), files), daemon=True).start()
    for module in loaded:
        importlib.import_module(module)     # where the server has not
    passes.begin()
    notebook.send("begins")
    try:
        _meet(rank, count, folder)
        function, *inputs = _unpacked(package, files)
        said = "result", function(rank, *inputs)
    except BaseException as error:
        explain_here(error)     # the notebook has neither its frames nor its tensors
        said = "error", (_to_send(error), _line_of(error, files))
    try:
        notebook.send(*said)
    except Exception as error:
        notebook.send("error", (TypeError(f"process {rank} returned what cannot be sent: {error}"), ""))
    threading.Event().wait()


def _write_to(path: Path) -> None:
    """Let what is written to the terminal, by code in C++ too, go to a file."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)
    warnings.showwarning = lambda message, category, *more: print(f"[W] {message}", file=sys.stderr)


def _answer(notebook: _Notebook, thread: int, files: list[str]) -> None:
    """Say where the process is, when it is asked; end it when the notebook has closed the pipe."""
    while notebook.wait():
        notebook.send("line", _line(_frames_from(sys._current_frames()[thread]), files) or "an unknown line")
    os._exit(0)     # PyTorch's own ending may wait for the other processes


def _meet(rank: int, count: int, folder: str) -> None:
    """Form a group with the other processes."""
    torch.set_num_threads(1)        # numbers do not depend on how many processors there are
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "")
    if loopback:
        os.environ["GLOO_SOCKET_IFNAME"] = loopback     # the name of this machine may lead nowhere
    store = distributed.FileStore(str(Path(folder, "store")), count)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)


def _unpacked(package: bytes, files: list[str]) -> list[Any]:
    """The objects of a package. files: gets the names of the cells that are in it."""
    found, called = pickle.loads(package)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for name, (kind, *what) in found.items():
        if kind == "module":
            namespace[name] = importlib.import_module(what[0])
        elif kind == "value":
            namespace[name] = pickle.loads(what[0])
        else:
            lines, first, last = what
            files.append(f"<cell {len(files)}>")
            linecache.cache[files[-1]] = sum(map(len, lines)), None, lines, files[-1]
            text = textwrap.dedent("".join(lines[first - 1:last]))
            exec(compile("\n" * (first - 1) + text, files[-1], "exec"), namespace)       # at its own lines
    return [namespace[name] if name else pickle.loads(value) for name, value in called]


def _to_send(error: BaseException) -> BaseException:
    """An error, or where it cannot be sent, one of the same words."""
    try:
        sent = pickle.loads(pickle.dumps(error))
        if type(sent) is type(error) and str(sent) == str(error):
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")


def _line_of(error: BaseException | None, files: list[str]) -> str:
    """The line of a cell that raised an error, or the one which that error replaced."""
    while error is not None:
        line = _line(_frames_of(error.__traceback__), files)
        if line:
            return line
        error = error.__context__
    return ""


def _frames_of(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    """The frames of an error, from the outermost one, each with its line."""
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _frames_from(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """A frame that runs, behind all that called it, each with its line."""
    if frame is not None:
        yield from _frames_from(frame.f_back)
        yield frame, frame.f_lineno


def _line(frames: Iterator[tuple[FrameType, int]], files: list[str]) -> str:
    """The innermost of these lines that stands in a cell, as in "line 5: loss.backward()"; "" where none does."""
    line = ""
    for frame, number in frames:
        if frame.f_code.co_filename in files:
            text = linecache.getline(frame.f_code.co_filename, number).strip()
            line = f"line {number}: {text}"
    return line
