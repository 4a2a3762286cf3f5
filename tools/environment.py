"""Build .venv from requirements.txt, or bring it up to date: python tools/environment.py

The versions are those of constraints.txt. With an empty variable LOCK they are the newest that there are, and with --lock
they are then written to constraints.txt.

Standard library only, and only syntax that Python 3.6 reads: an old interpreter must get as
far as the sentence that asks for a newer one.
"""
import argparse
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

OLDEST = (3, 11)
GIGABYTES = 2  # .venv takes 1.4, the rest is for downloads while they are unpacked
MEGABYTES = 100  # for what a run of the notebooks or the tests writes
REQUIREMENTS, CONSTRAINTS, PROJECT = "requirements.txt", "constraints.txt", "pyproject.toml"
STAMP, LOG = ".venv/installed.json", ".venv/install.log"
CHANGED = " has changed", " have changed"
LOCK = ".venv.lock"  # beside .venv, which is emptied while the lock is held
PYTHON = os.path.join(".venv", "Scripts", "python.exe") if os.name == "nt" else ".venv/bin/python"
# A virtual environment made from another one would break when that one is deleted.
BASE_PYTHON = getattr(sys, "_base_executable", None) or sys.executable


def explain(output):
    """One sentence for what pip, venv or the operating system complained about."""
    output = re.sub(r".*Retry\(total=[1-9].*\n", "", output)  # only the last attempt counts
    if re.search(r"\[Errno 28\]|No space left|quota exceeded|not enough space", output):
        return (f"The disk is full: {os.getcwd()} and {temporary_folder()} need {GIGABYTES} GB together; "
                "free some space, or set TMPDIR to a folder with more, and try again.")
    if re.search(r"No module named '?(ensurepip|venv)\b", output):
        return ("This Python cannot make a virtual environment: its modules venv and ensurepip are needed; install "
                "them (Debian, Ubuntu: apt install python3-venv) or name another one: make lab PYTHON=python3.12")
    if re.search(r"Retry\(total=0|Max retries exceeded|confirming the ssl certificate|[Tt]imed out|network connectivity"
                 r"|Connection(Error| broken| aborted)|ConnectionReset", output):
        return ("The package index cannot be reached, and the packages come from there: check the network, the proxy "
                f"and `pip config list`, then try again ({LOG} has more).")
    library = re.search(r"(\S+\.so\S*): cannot open shared object file", output)
    if library:
        return (f"Graphviz needs {library.group(1)}, which this system lacks: install it (Debian, Ubuntu: "
                "apt install libglib2.0-0 libx11-6 libxext6 libxrender1) and try again.")
    denied = re.search(r"\[(?:Errno 1|Errno 13|Errno 30|WinError 5)\] [^:\n]*(?:: '([^'\n]*)')?", output)
    if denied:
        return (f"No permission for {os.path.abspath(denied.group(1) or '.')}: this account must be able to write here "
                "and start programs here; correct the owner, remove .venv, or clone into a folder of your own.")
    missing = re.search(r"(?:No matching distribution found for|The user requested \(constraint\)) (\S+)", output)
    if missing:
        return (f"The package index has no {missing.group(1)} for Python {platform.python_version()} on "
                f"{platform.system()} {platform.machine()}, and {CONSTRAINTS} wants just that one: try another "
                f"Python (make lab PYTHON=python3.12), or check the network and `pip config list` ({LOG} has more).")
    complaints = re.findall(r"(?im)^ *error: *(.+)", output) or re.findall(r"\S.*", output) or ["no reason given"]
    return (f"The environment could not be built from {REQUIREMENTS} ({complaints[-1].strip()}): look into {LOG}, "
            "if it is there, and try again, which starts from the beginning.")


def locked():
    """Whether the versions of constraints.txt are wanted, and not the newest."""
    return os.environ.get("LOCK", CONSTRAINTS) != ""


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def wanted():
    """What the stamp of a finished installation has to say."""
    files = [REQUIREMENTS, PROJECT] + [CONSTRAINTS] * locked()
    for path in files:
        if not os.path.isfile(path):
            raise SystemExit(f"{path} is missing: it says which packages are needed and belongs beside the Makefile; "
                             f"bring it back with: git checkout -- {path}")
    interpreter = f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}"
    return {"folder": os.path.realpath("."), "interpreter": interpreter, "locked": locked(),
            "files": {path: digest(path) for path in files}}


def stale(want):
    """Why .venv does not serve as it is, or None."""
    if not os.path.isdir(".venv"):
        return "there is none yet"
    try:
        with open(STAMP) as file:
            have = json.load(file)
    except (OSError, ValueError):
        return "the last installation did not finish"
    if set(have) != set(want):
        return "it was made by an older version of this tool"
    if have["folder"] != want["folder"]:
        return "the folder has moved"
    if have["interpreter"] != want["interpreter"]:
        return "it was made with " + have["interpreter"]
    try:
        subprocess.check_output([PYTHON, "-I", "-c", "import pip"], stderr=subprocess.STDOUT)
    except (OSError, subprocess.CalledProcessError):
        return "its Python no longer runs"
    if have["locked"] != want["locked"]:
        return "the last one was made " + ("without " if locked() else "with ") + CONSTRAINTS
    changed = [path for path in want["files"] if have["files"].get(path) != want["files"][path]]
    return " and ".join(changed) + CHANGED[len(changed) > 1] if changed else None


class Progress:
    """What pip is at: one line that is rewritten on a terminal, elsewhere a line every ten seconds."""

    def __init__(self):
        self.count, self.last = 0, time.time()

    def read(self, line):
        package = re.match(r" *(?:Collecting|Processing|Downloading) (?:[^(]*[/\\])?([\w.-]+?)(?=-\d|[^\w.-])"
                           r"(?:.*(\(.* MB\)))?", line)
        if package:
            self.count += "Downloading" not in line
            self.show("package {}: {} {}".format(self.count, *package.groups("")))
        elif "Retry(total=" in line:
            self.show("the package index does not answer, trying again")
        elif line.startswith("Installing collected packages:"):
            self.last = 0
            self.show(f"installing the packages ({line.count(',') + 1}), this can take a minute")

    def show(self, text):
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="" if text else "\r", flush=True)
        elif text and time.time() - self.last >= 10:
            print("  " + text, flush=True)
            self.last = time.time()


def run(command, log=None):
    """Run one step of the installation; when it fails, exit with one sentence."""
    output, progress = [], Progress()
    # close_fds: a step that outlives a killed parent keeps the lock until it has ended too.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               universal_newlines=True, errors="replace", close_fds=False)
    try:
        for line in process.stdout:
            output.append(line)
            if log:
                log.write(line)
                progress.read(line)
    except BaseException:
        process.terminate()
        raise
    finally:
        process.wait()
        progress.show("")
    if process.returncode:
        raise SystemExit(explain("".join(output)))


def lock(file):
    """Wait until nobody else changes .venv; the system frees the lock when its holders end, killed or not."""
    os.set_inheritable(file.fileno(), True)
    for attempt in itertools.count():
        try:
            if os.name == "nt":
                import msvcrt
                return msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            import fcntl
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # as POSIX and as Windows say that it is taken
            pass
        if not attempt:
            print("Waiting for another installation in this folder to end.", flush=True)
        time.sleep(0.3)


def check_space():
    """A full disk stops pytest, kernels and JupyterLab, each with another message that does not name it."""
    for folder in (os.getcwd(), temporary_folder()):
        free = shutil.disk_usage(folder).free / 1e6
        if free < MEGABYTES:
            raise SystemExit(f"The disk is full: {folder} has {free:.0f} MB left and {MEGABYTES} MB are needed; "
                             "free some space and try again.")


def temporary_folder():
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # it tries to write in each, and all are full
        return os.getcwd()


def update():
    if not stale(wanted()):
        return
    with open(LOCK, "a") as lock_file:
        lock(lock_file)
        want = wanted()
        reason = stale(want)  # another process may have done the work in the meantime
        if not reason:
            return
        in_place = reason.endswith(CHANGED)
        print("Updating" if in_place else "Building", f".venv with {want['interpreter']}: {reason}.", flush=True)
        started = time.time()
        if os.path.exists(STAMP):
            os.remove(STAMP)
        if not in_place:
            run([BASE_PYTHON, "-I", "-m", "venv", "--clear", "--without-pip", ".venv"])
            free = shutil.disk_usage(".venv").free / 1e9
            if free < GIGABYTES:
                raise SystemExit(f"The disk is nearly full: {free:.1f} GB are free for .venv and {GIGABYTES} GB are "
                                 "needed; free some space and try again.")
            run([PYTHON, "-I", "-m", "ensurepip"])  # on its own, because venv hides why this fails
        with open(LOG, "w", encoding="utf-8") as log:
            # -I: what is on PYTHONPATH would count as installed; --no-user: that setting of pip fails in .venv
            run([PYTHON, "-I", "-m", "pip", "install", "--no-input", "--no-user", "--progress-bar=off",
                 "--disable-pip-version-check", "-r", REQUIREMENTS, *["-c", CONSTRAINTS] * locked()], log)
        with open(STAMP, "w") as file:  # last, so that an interrupted installation has no stamp
            json.dump(want, file)
        print(f"Ready after {time.time() - started:.0f} s.", flush=True)


def write_lock():
    """Write the versions in .venv to constraints.txt, for every machine: without the part behind a plus (2.13.0+cpu)."""
    frozen = subprocess.check_output([PYTHON, "-I", "-m", "pip", "freeze", "--all", "--exclude=pip",
                                      "--exclude-editable"], universal_newlines=True)
    with open(CONSTRAINTS, "w", encoding="utf-8", newline="\n") as file:
        file.write("# The versions that the stored outputs come from: written by `make lock`, used by make.\n"
                   + re.sub(r"\+\S+", "", frozen))
    print(f"Written to {CONSTRAINTS}: run the tests, and `make refresh`.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition(": python")[0] + ".")
    parser.add_argument("--lock", action="store_true", help="build it with the newest versions, and write constraints.txt")
    lock_wanted = parser.parse_args(arguments).lock
    if lock_wanted:
        os.environ["LOCK"] = ""
    if sys.version_info < OLDEST:
        raise SystemExit(f"Python {platform.python_version()} is too old, {OLDEST[0]}.{OLDEST[1]} or newer is needed: "
                         "install one, or name one that you have: make lab PYTHON=python3.12")
    try:
        os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        check_space()
        update()
        run([PYTHON, "-I", "-c", "import pygraphviz"])  # its wheel counts on libraries of the system
        if lock_wanted:
            write_lock()
    except KeyboardInterrupt:
        print("Interrupted: .venv is not finished, the next try builds it again.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        raise SystemExit(explain(str(error))) from None


if __name__ == "__main__":
    main()
