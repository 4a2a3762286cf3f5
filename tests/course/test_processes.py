"""Functions of a notebook in several processes: what comes back, in which order, and that nothing is left."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from torch import distributed

from cells import run_cells
from course import processes
from project import COURSE, ROOT
from seegrad import explain, show_graph

SET_UP = """
import os, time, warnings
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from course.processes import count_all_reduces, in_processes
from seegrad import show_graph
"""

ALONE = f"""
import os, sys
sys.path[:0] = [{str(COURSE)!r}, {str(ROOT / "tests/course")!r}]
from cells import run_cells
SET_UP = {SET_UP!r}
"""


def run(source, **names):
    """Run a cell, and return what `result` stands for in it."""
    return run_cells(SET_UP, source, **names).get("result")


def running():
    """The numbers of the processes that the server has started and not yet taken away."""
    server, found = forkserver._forkserver._forkserver_pid, []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = file.read_text().rpartition(")")[2].split()[1]
        except OSError:     # it has ended
            continue
        if int(parent) == server:
            found.append(int(file.parent.name))
    return found


def test_the_processes_are_a_group_and_the_first_one_returns(capsys):
    result = run("""
def share(rank, factor):
    tensor = torch.tensor(factor * (rank + 1.0))
    distributed.all_reduce(tensor)
    return distributed.get_rank(), distributed.get_world_size(), tensor.item()
result = [in_processes(count, share, 10) for count in (1, 2, 3)]
""")
    assert result == [(0, 1, 10.0), (0, 2, 30.0), (0, 3, 60.0)]
    assert capsys.readouterr().out == ""


def test_what_they_print_comes_in_their_order_and_pictures_of_the_first_among_its_words(capsys):
    view = run("""
def say(rank):
    time.sleep(0.2 * (1 - rank))       # the second one is first
    print("process", rank)
    print("and more", end=" ")
    leaf = torch.ones(2, requires_grad=True)
    view = show_graph(leaf=leaf, result=leaf * 2)
    display(view)
    print("last")
    return view
result = in_processes(2, say)
""")
    leaf = torch.ones(2, requires_grad=True)
    here = show_graph(leaf=leaf, result=leaf * 2)
    assert capsys.readouterr().out == f"process 0\nand more {here!r}\nlast\nprocess 1\nand more last\n"
    assert (repr(view), view.svg) == (repr(here), here.svg)


def test_an_error_comes_back_with_its_type_its_words_and_its_line(capsys):
    with pytest.raises(ZeroDivisionError, match="^division by zero$") as caught:
        run("""
def inner(number):
    return 1 / number

def outer(rank):
    print("before")
    return inner(0)
in_processes(1, outer)
""")
    assert caught.value.line == "line 3: return 1 / number"
    assert capsys.readouterr().out == "before\n"


def test_an_error_is_explained_with_the_tensors_of_its_process():
    with pytest.raises(RuntimeError, match="a second time") as caught:
        run("""
import torch

def twice(rank):
    weight = torch.ones(2, requires_grad=True)
    loss = weight.exp().sum()
    loss.backward()
    loss.backward()
in_processes(1, twice)
""")
    explanation = explain(caught.value)
    assert explanation.cases[0].number == 1 and "weight; leaf" in repr(explanation)
    assert "[2] ExpBackward0 needs what it had saved" in repr(explanation)


def test_of_several_errors_that_of_the_first_process_is_raised():
    with pytest.raises(ValueError, match="^of 0$"):
        run("""
def fail(rank):
    time.sleep(0.3 * (1 - rank))
    raise ValueError(f"of {rank}")
in_processes(2, fail)
""")


def test_who_waits_for_one_that_has_raised_is_ended(monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.5)
    begun = time.monotonic()
    with pytest.raises(ValueError, match="^only here$"):
        run("""
def fail(rank):
    if rank:
        raise ValueError("only here")
    distributed.barrier()
in_processes(2, fail)
""")
    assert time.monotonic() - begun < 20


def test_an_error_of_a_class_of_the_notebook_comes_back_in_words():
    with pytest.raises(RuntimeError, match="^Own: words$"):
        run("""
def fail(rank):
    class Own(Exception):
        pass
    raise Own("words")
in_processes(1, fail)
""")


def test_processes_that_hang_are_ended_and_it_is_said_where_they_were():
    with pytest.raises(TimeoutError) as caught:
        run("""
def hang(rank):
    if rank == 0:
        distributed.barrier()
    if rank == 1:
        time.sleep(60)
in_processes(3, hang, seconds=1)
""")
    assert str(caught.value) == ("the processes did not come to their end within 1 seconds, and were stopped: "
                                 "process 0 at line 4: distributed.barrier(), process 1 at line 6: time.sleep(60).")


def test_a_process_that_dies_is_named():
    with pytest.raises(RuntimeError, match="^process 1 died, with the exit code 3.$"):
        run("""
def die(rank):
    if rank:
        os._exit(3)
    distributed.barrier()
in_processes(2, die)
""")


def test_what_a_function_needs_goes_with_it():
    assert run("""
SIZE, data = 3, torch.arange(3.0)

class Base(nn.Module):
    def forward(self, x):
        return helper(x) * SIZE

class Net(Base):
    def extra(self):
        return Net

def helper(x):
    return x + data

def total(rank, way):
    return way(Net()(torch.ones(SIZE)))

def way(x):
    return x.sum().item()

result = in_processes(1, total, way)
""") == 18


def test_what_cannot_go_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match="^`lock` cannot be sent to another process: make it inside the function.$"):
        run("def use(rank):\n    return lock\nin_processes(1, use)", lock=threading.Lock())
    with pytest.raises(TypeError, match="^`<lambda>` cannot be sent to another process: its text is not known"):
        run("in_processes(1, lambda rank: rank)")
    with pytest.raises(TypeError, match="^process 0 returned what cannot be sent: "):
        run("def lock(rank):\n    import threading\n    return threading.Lock()\nin_processes(1, lock)")


def test_warnings_are_printed_only_when_they_are_asked_for(capfd):
    source = """
def warn(rank):
    warnings.warn(f"of Python, {rank}")
    net = DistributedDataParallel(nn.Linear(1, 1), find_unused_parameters=True)
    net(torch.ones(1)).backward()
    os.write(2, b"of no one")
    print("printed")
"""
    run(source + "in_processes(2, warn)")
    assert capfd.readouterr() == ("printed\nprinted\n", "")
    run(source + "in_processes(2, warn, show_warnings=True)")
    words, errors = capfd.readouterr()
    first, second, python, ddp = words.splitlines()
    assert (first, second, python, errors) == ("printed", "printed", "Warning: of Python, 0", "")
    assert ddp.startswith("Warning: find_unused_parameters=True was specified") and ddp.endswith("unused parameters.")


def test_all_reduces_are_counted():
    assert run("""
def count(rank):
    net = DistributedDataParallel(nn.Linear(1, 1))
    def twice():
        for _ in range(2):
            net(torch.ones(1)).backward()
    return count_all_reduces(twice), count_all_reduces(list)
result = in_processes(2, count)
""") == (2, 0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list its processes under /proc")
@pytest.mark.parametrize("body", ["pass", "raise ValueError", "time.sleep(60)", "os._exit(1)"])
def test_nothing_is_left(body, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    try:
        run(f"def leave(rank):\n    {body}\nin_processes(2, leave, seconds=0.5)")
    except (ValueError, TimeoutError, RuntimeError):
        pass
    assert list(tmp_path.iterdir()) == []
    end = time.monotonic() + 5
    while running() and time.monotonic() < end:       # the server takes the ended ones away
        time.sleep(0.05)
    assert running() == []
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 3      # those of the server, where this test was the first


def test_nothing_is_left_of_a_notebook_that_is_killed():
    source = ALONE + """
run_cells(SET_UP, '''
def wait(rank):
    with open(f"{FOLDER}/{rank}", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
in_processes(2, wait, seconds=500)
''', FOLDER=sys.argv[1])
"""
    with tempfile.TemporaryDirectory() as folder:
        notebook = subprocess.Popen([sys.executable, "-c", source, folder])
        places, end = [Path(folder, str(rank)) for rank in (0, 1)], time.monotonic() + 60
        while not all(place.exists() and place.read_text() for place in places) and time.monotonic() < end:
            time.sleep(0.1)
        workers = [int(place.read_text()) for place in places]
        notebook.send_signal(signal.SIGKILL)
        notebook.wait()
        end = time.monotonic() + 10
        while any(map(_is_there, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(_is_there, workers))


def _is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_ends_the_processes():
    threading.Timer(1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("def wait(rank):\n    time.sleep(60)\nin_processes(2, wait)")
    assert time.monotonic() - begun < 30


def test_after_a_backward_in_the_notebook_backward_still_runs_in_its_processes():
    torch.ones(1, requires_grad=True).exp().backward()
    assert run("""
def back(rank):
    leaf = torch.ones(1, requires_grad=True)
    leaf.exp().backward()
    return leaf.grad.item() > 2
result = in_processes(1, back)
""")


def test_where_gloo_is_missing_it_is_said(monkeypatch):
    monkeypatch.setattr(distributed, "is_gloo_available", lambda: False)
    with pytest.raises(RuntimeError, match="^this PyTorch has no gloo, by which processes talk to each other without a GPU"):
        run("def never(rank):\n    pass\nin_processes(1, never)")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot keep a process on one processor")
def test_one_processor_is_enough():
    source = ALONE + """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
run_cells(SET_UP, '''
def add(rank):
    tensor = torch.ones(())
    distributed.all_reduce(tensor)
    print(tensor.item())
in_processes(3, add)
''')
"""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=100)
    assert (ran.stdout, ran.returncode) == ("3.0\n3.0\n3.0\n", 0), ran.stderr
