"""A class for the tests, opened by the tool that `make class` calls, and visitors that come in as a browser does."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from project import ROOT

PATIENCE = 120      # seconds until a server must be there, on a machine that has much else to do
AS_ROOT = os.geteuid() == 0 and sys.platform == "linux"
needs_root = pytest.mark.skipif(not AS_ROOT, reason="students have own user numbers only where the class is opened by root on Linux")


class Room:
    """A class in a folder of its own. It can be closed, killed, and opened again."""

    word, lecturer_word = "lemon-island", "the lecturer's own"

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_ports()
        self.address = f"http://127.0.0.1:{self.port}"

    def open(self, *options: str) -> None:
        self.tool = subprocess.Popen(
            [sys.executable, ROOT / "tools/classroom.py", f"--port={self.port}", f"--word={self.word}", f"--folder={self.folder}",
             f"--lecturer-word={self.lecturer_word}", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = ""
        for line in self.tool.stdout:
            said += line
            if "The class is open." in line:
                return
        raise AssertionError(f"the class did not open: {said}\n{self.log()[-3000:]}")

    def log(self) -> str:
        path = self.folder / "hub/hub.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def hub(self) -> psutil.Process:
        return next(child for child in psutil.Process(self.tool.pid).children() if "hub.py" in " ".join(child.cmdline()))

    def kill(self) -> None:
        """The hub is killed without a warning; students' servers go on."""
        self.hub().kill()
        self.tool.communicate(timeout=PATIENCE)

    def close(self) -> None:
        self.tool.send_signal(signal.SIGINT)
        self.tool.communicate(timeout=PATIENCE)

    def home(self, name: str) -> Path:
        return self.folder / "students" / name


class Visitor(requests.Session):
    """Somebody with a browser."""

    def __init__(self, room: Room, name: str) -> None:
        super().__init__()
        self.room, self.name = room, name

    def log_in(self, word: str = Room.word, pin: str = "1234") -> str:
        """Fill in the form and send it; return the page that comes, or the sentence with which the form comes back."""
        form = self.get(f"{self.room.address}/hub/login").text
        data = {"_xsrf": re.search(r'name="_xsrf" value="([^"]*)"', form)[1], "username": self.name, "password": word, "pin": pin}
        page = self.post(f"{self.room.address}/hub/login", data=data, params={"next": "/hub/home"}).text
        refusal = re.search(r'class="login_error">([^<]*)<', page)
        return refusal[1].replace("&#39;", "'") if refusal else page

    def sit_down(self) -> str:
        """Start the server and wait for it; return "", or the sentence that says why there is none."""
        name = self.name.lower()
        page = self.get(f"{self.room.address}/hub/spawn/{name}")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if f"/user/{name}/" in page.url and page.status_code == 200:
                return ""
            failed = re.search(r'<div class="error">.*?<p>(.*?)</p>', page.text, re.DOTALL)
            if failed and page.status_code != 424:
                return failed[1].replace("&#39;", "'")
            time.sleep(0.2)
            page = self.get(f"{self.room.address}/user/{name}/lab")
        raise AssertionError(f"no server in {PATIENCE} s: {page.url} {page.status_code} {page.text[-1000:]}")

    def api(self, method: str, path: str, owner: str = "", **options) -> requests.Response:
        """Ask one's own server, or that of somebody else."""
        base = f"/user/{owner or self.name}/"
        xsrf = next((cookie.value for cookie in self.cookies if cookie.name == "_xsrf" and cookie.path == base), "")
        return self.request(method, f"{self.room.address}{base}api/{path}", headers={"X-XSRFToken": xsrf}, **options)


def _free_ports():
    """The first of four ports that are free together."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port < 65_000 and all(_is_free(port + i) for i in range(4)):
            return port


def _is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A class that is open; many tests use it, each with students of its own."""
    room = Room(tmp_path_factory.mktemp("class"))
    room.open()
    yield room
    room.close()
