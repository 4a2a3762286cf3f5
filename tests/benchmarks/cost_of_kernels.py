"""Measure what a kernel costs, beside `import torch`: its memory when the set-up cell has run, after Run All, and at the
peak. And what two kernels that train at once cost each other, by how their threads wait.

A kernel is started as the JupyterLab of `make lab` starts it. RSS counts all pages that a process has. Its own memory leaves out
the pages of files, such as the code of PyTorch, which all kernels of a machine have together: for a class, own memory counts.
"""

import argparse
import contextlib
import os
import runpy
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from jupyter_client.manager import start_new_kernel
from traitlets.config import Config

from project import COURSE, ROOT, notebooks, read

SETTINGS = runpy.run_path(str(ROOT / "tools/lab/jupyter_server_config.py"), {"c": Config()})["KERNELS"]
BETWEEN = 0.05      # seconds between two looks at the memory of a cell that runs
SETTLED = 0.5       # seconds, after which an idle process has come to rest
TRAINING = "06", "history = train("     # a notebook, and a cell of it that keeps the processors busy
ROUNDS = 3
WAITING = {        # what the environment has, of these variables
    "as PyTorch comes": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "OMP_NUM_THREADS=1": {"OMP_NUM_THREADS": "1"},
}


def megabytes(path, *names):
    """Values of a file in /proc, in MB."""
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    values = {name: int(value.split()[0]) / 1024 for name, _, value in lines if name in names}
    return [values[name] for name in names]


def resident(pid):
    """The RSS of a process."""
    return megabytes(f"/proc/{pid}/status", "VmRSS")[0]


def own(pid):
    """The memory of a process and of those that it has started, without pages of files. What two have together counts once."""
    total = 0
    with contextlib.suppress(OSError, KeyError):        # it has ended
        total += megabytes(f"/proc/{pid}/smaps_rollup", "Pss_Anon")[0]
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(map(own, children.read_text().split()))
    return total


@contextlib.contextmanager
def started(variables):
    """A kernel: its process and its client. variables: of the environment; None for one that is not to be there."""
    environment = {name: value for name, value in {**os.environ, **SETTINGS, **variables}.items() if value is not None}
    manager, client = start_new_kernel(kernel_name="python3", cwd=COURSE, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield manager.provisioner.pid, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client, code):
    client.execute_interactive(code, output_hook=lambda message: None, timeout=300)


def sources(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def memory_of_kernel(cells):
    """Run cells, and return RSS and own memory: after the first one, after the last one, and at the peak."""
    found, peaks, ended = [], [], threading.Event()

    def look(pid):
        while not ended.wait(BETWEEN):
            peaks.append(own(pid))

    with started({"OMP_NUM_THREADS": "1"}) as (pid, client):
        watcher = threading.Thread(target=look, args=[pid])
        watcher.start()
        try:
            for number, cell in enumerate(cells):
                run(client, cell)
                if number in (0, len(cells) - 1):
                    time.sleep(SETTLED)
                    found.append((resident(pid), own(pid)))
        finally:
            ended.set()
            watcher.join()
        highest, files = megabytes(f"/proc/{pid}/status", "VmHWM", "RssFile")
    return found[0], found[-1], (highest, max(*peaks, highest - files))


def memory_of_import(statement):
    """RSS and own memory of a Python that has run a statement."""
    program = subprocess.Popen([sys.executable, "-c", f"{statement}\nprint()\ninput()"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
    with program:
        program.stdout.readline()
        found = resident(program.pid), own(program.pid)
        program.communicate(b"\n")
    return found


def memory_of_server():
    """RSS and own memory of JupyterLab's server, which each student of a hub has too, when it has answered once."""
    variables = os.environ | {"JUPYTER_CONFIG_PATH": str(ROOT / "tools/lab")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.root_dir=.", "--allow-root", "--port=0"]
    server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        next(line for line in server.stderr if "is running at" in line)
        threading.Thread(target=server.stderr.read).start()     # so that it never waits for a reader
        time.sleep(SETTLED)
        return resident(server.pid), own(server.pid)
    finally:
        server.terminate()
        server.wait()


def print_memory(chosen):
    bare = memory_of_import("import torch")
    kernel = memory_of_kernel(["pass"])[0]
    python = memory_of_import("pass")
    extra = kernel[0] - python[0]       # what makes a kernel of a Python
    print("MB, and the ratio to a Python that only imports torch; own: without the pages of files, which kernels share.")
    for name, (rss, alone) in {"Python": python, "import torch": bare, "an empty kernel": kernel,
                               "JupyterLab's server": memory_of_server()}.items():
        print(f"{name:34} {rss:6.0f}  own {alone:4.0f}")
    print(f"without: the ratio without the {extra:.0f} MB that an empty kernel has more than Python, before it imports torch.")
    print(f"{'':34} {'at rest':>12} {'without':>8} {'own':>4}   {'after all':>12} {'own':>4}   {'peak':>12} {'without':>8}"
          f" {'own':>4}")
    for path in chosen:
        rest, after, peak = memory_of_kernel(sources(path))
        print(f"{path.stem:34} {words(rest[0], bare[0])} {(rest[0] - extra) / bare[0]:7.2f}x {rest[1]:4.0f}"
              f"   {words(after[0], bare[0])} {after[1]:4.0f}"
              f"   {words(peak[0], bare[0])} {(peak[0] - extra) / bare[0]:7.2f}x {peak[1]:4.0f}", flush=True)


def words(value, base):
    return f"{value:4.0f} ({value / base:.2f}x)"


def trained(clients, cell):
    """Seconds until a cell that starts in all clients at once has ended in the last one."""
    threads = [threading.Thread(target=run, args=[client, cell]) for client in clients]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def print_waiting():
    number, start = TRAINING
    cells = sources(next(path for path in notebooks() if path.stem.startswith(number)))
    place = next(place for place, cell in enumerate(cells) if start in cell)
    seconds = {way: ([], []) for way in WAITING}
    none_of_them = dict.fromkeys(name for variables in WAITING.values() for name in variables)
    with contextlib.ExitStack() as stack:
        kernels = {}
        for way, variables in WAITING.items():
            kernels[way] = [stack.enter_context(started(none_of_them | variables))[1] for _ in range(2)]
            for client in kernels[way]:
                for cell in cells[:place]:
                    run(client, cell)
        for _ in range(ROUNDS):
            for way, clients in kernels.items():
                seconds[way][0].append(trained(clients[:1], cells[place]))
                seconds[way][1].append(trained(clients, cells[place]))
    print(f"\nSeconds for a training of {number} on {os.cpu_count()} processors (median of {ROUNDS}, in turns), and the ratio to "
          f"the first.\n{'':34} {'one kernel':>20} {'two at once':>20}")
    base = [statistics.median(times) for times in seconds["as PyTorch comes"]]
    for way, both in seconds.items():
        cells = (f"{statistics.median(times):.2f} ({statistics.median(times) / first:.2f}x)" for times, first in zip(both, base))
        print(f"{way:34}" + "".join(f" {cell:>20}" for cell in cells))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", help="numbers, as in 06; without any, all, and then how threads wait")
    numbers = parser.parse_args(arguments).notebooks
    if not Path("/proc/self/smaps_rollup").exists():
        return print("The memory of a kernel is read from /proc, which this system does not have.")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    print_memory([path for path in notebooks() if not numbers or path.stem[:2] in numbers])
    if not numbers:
        print_waiting()


if __name__ == "__main__":
    main()
