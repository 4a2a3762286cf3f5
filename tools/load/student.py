"""A simulated student: logs in as a browser does, opens a notebook, runs all of it, writes a sentence, saves, and leaves."""

import asyncio
import copy
import json
import re
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from nbformat.v4 import new_markdown_cell, output_from_msg
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

# What a browser asks for again by itself, or a student by pressing the button again: nobody answers (599), the hub is away (503),
# it has too many to start at once (429), or the proxy (404) or the hub (424) was started again and does not know the servers yet.
LATER = {404, 424, 429, 500, 502, 503, 504, 599}
PATIENCE = 300          # seconds for one thing, after which a student gives up
BREAK = 1.0             # seconds between two tries
REQUEST = 120           # seconds for one request
SILENCE = 5.0           # seconds without a message, after which a student looks whether the kernel still works
# What JupyterLab asks for when it opens; each is a page of the student's server.
AT_START = ("lab/api/settings", "lab/api/workspaces/default", "lab/api/translations/default", "api/kernelspecs", "api/sessions",
            "api/kernels", "api/me", "api/contents/?content=1", "api/contents/notebooks?content=1", "api/status")


class Gone(Exception):
    """A student cannot go on. The message says at which step, and why."""


class Door(HTMLParser):
    """What a page of the hub has for a browser: the fields of its form, the scripts and styles it loads, and where it reports."""

    def __init__(self, page: str):
        super().__init__()
        self.fields: dict[str, str] = {}
        self.files: list[str] = []
        self.action: str | None = None
        self.feed(page)
        found = re.search(r'EventSource\("([^"]+)"\)', page)
        self.progress = json.loads(f'"{unescape(found[1])}"') if found else None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action")
        elif tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "script" and given.get("src"):
            self.files.append(given["src"])
        elif tag == "link" and given.get("rel") == "stylesheet":
            self.files.append(given["href"])


class Browser:
    """Cookies and redirects, for one student."""

    def __init__(self, address: str):
        self.address = address
        self.client = AsyncHTTPClient()
        self.cookies: dict[tuple[str, str], str] = {}       # by their path and name

    def cookie_header(self, url: str) -> str:
        """The cookies for a page; those of the narrowest path come first, as browsers send them."""
        path = urlsplit(url).path
        sent = sorted((key for key in self.cookies if path.startswith(key[0])), key=lambda key: -len(key[0]))
        return "; ".join(f"{name}={self.cookies[place, name]}" for place, name in sent)

    def token(self, url: str) -> str:
        """The token against forged requests that a page's scripts send."""
        path = urlsplit(url).path
        found = [place for place, name in self.cookies if name == "_xsrf" and path.startswith(place)]
        return self.cookies[max(found, key=len), "_xsrf"] if found else ""

    async def ask(self, url: str, method: str = "GET", body: str | None = None, **headers: str) -> HTTPResponse:
        """One request, without its redirect. Raises HTTPClientError 599 where nobody answers."""
        url = urljoin(self.address, url)
        try:
            answer = await self.client.fetch(
                HTTPRequest(url, method, {"Cookie": self.cookie_header(url), **headers}, body, follow_redirects=False,
                            request_timeout=REQUEST, connect_timeout=REQUEST), raise_error=False)
        except (OSError, HTTPClientError) as error:
            raise HTTPClientError(599, type(error).__name__) from None
        for line in answer.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                place = (morsel["path"] or "/", name)
                self.cookies[place] = morsel.value
                if not morsel.value or morsel["max-age"] == "0":
                    del self.cookies[place]
        if answer.code == 599:
            raise HTTPClientError(599, type(answer.error).__name__)
        return answer

    async def visit(self, url: str, form: dict[str, str] | None = None) -> HTTPResponse:
        """A page as the address bar leads to it, through all its redirects. Raises HTTPClientError where there is none."""
        navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
        url = urljoin(self.address, url)
        method, body = ("POST", urlencode(form)) if form is not None else ("GET", None)
        for _ in range(20):
            headers = navigation | ({"Content-Type": "application/x-www-form-urlencoded"} if body else {})
            answer = await self.ask(url, method, body, **headers)
            if "Location" not in answer.headers:
                return answer
            url, method, body = urljoin(url, answer.headers["Location"]), "GET", None
        raise HTTPClientError(599, "redirects without an end")


class Student:
    """One student of a class. What was saved is kept here, to be compared with what is on the disk at the end.

    times: seconds since the class began, by step. troubles: how often something had to be tried again, by reason. saved: the
    notebook as the server said that it is saved, or None. tried: as it was last sent, though no answer came.
    """

    def __init__(self, name: str, word: str, pin: str, address: str, notebook: str):
        self.name, self.word, self.pin, self.notebook = name, word, pin, notebook
        self.browser = Browser(address)
        self.home = f"/user/{quote(name)}/"
        self.times: dict[str, float] = {}
        self.troubles: Counter[str] = Counter()
        self.saved: dict | None = None
        self.tried: dict | None = None
        self.found: dict | None = None
        self.kernel = ""
        self.session = ""

    # In by the door
    async def come_in(self, start: str = "/") -> None:
        """Go on from page to page until the one of JupyterLab is there."""
        page, since = start, time.monotonic()
        while True:
            try:
                answer = await self.browser.visit(page)
                path, door = urlsplit(answer.effective_url).path, Door(answer.body.decode(errors="replace"))
                if answer.code in LATER:
                    raise HTTPClientError(answer.code)
                if path.endswith("/hub/login"):
                    answer = await self.browser.visit(urljoin(answer.effective_url, door.action or path), {
                        **door.fields, "username": self.name, "password": self.word, "pin": self.pin})
                    if answer.code == 403:
                        said = re.findall(r'class="login_error"[^>]*>\s*([^<]+)', answer.body.decode(errors="replace"))
                        raise Gone(f"at the login: {said[0].strip() if said else 'refused'}")
                    door, path = Door(answer.body.decode(errors="replace")), urlsplit(answer.effective_url).path
                if door.progress:
                    await self._wait_for_server(door.progress)
                elif path.startswith(self.home) and answer.code == 200:
                    self._page, self._address = door, answer.effective_url
                    return
                elif answer.code in LATER:
                    raise HTTPClientError(answer.code)
                elif answer.code >= 400:
                    raise Gone(f"at {path}: {answer.code} {answer.reason}")
                page = "/hub/spawn"
            except HTTPClientError as error:
                await self._again("the door", error, since)

    async def _wait_for_server(self, progress: str) -> None:
        """Read the hub's report until the server is there, or cannot be."""
        answer = await self.browser.ask(progress, Accept="text/event-stream")
        events = [json.loads(line[5:]) for line in answer.body.decode().splitlines() if line.startswith("data:")]
        if answer.code in LATER or not events:
            raise HTTPClientError(answer.code)
        if events[-1].get("failed"):
            self.troubles[f"the start of the server: {events[-1].get('message', '')}"] += 1
            await asyncio.sleep(BREAK)

    async def _again(self, where: str, error: HTTPClientError, since: float) -> None:
        """Note what went wrong, and wait a little. Raises Gone where it has been so for long."""
        what = f"{where}: {error.code} {error.message if error.code == 599 else ''}".strip()
        self.troubles[what] += 1
        if time.monotonic() > since + PATIENCE:
            raise Gone(f"after {PATIENCE} s, still {what}")
        await asyncio.sleep(BREAK)

    async def load_page(self) -> None:
        """Load what JupyterLab loads: the files of its page, then its settings and the list of notebooks."""
        for file in self._page.files:
            await self.api(urlsplit(urljoin(self._address, file)).path.removeprefix(self.home))
        for place in AT_START:
            await self.api(place)

    async def api(self, place: str, method: str = "GET", model: Any = None) -> HTTPResponse:
        """Ask the student's server, again and again where it is out of reach. Raises Gone where it refuses."""
        refused, since = False, time.monotonic()
        while True:
            url = urljoin(self.browser.address, self.home + place)
            try:
                headers = {"X-XSRFToken": self.browser.token(url)} | ({"Content-Type": "application/json"} if model else {})
                answer = await self.browser.ask(url, method, json.dumps(model) if model is not None else None, **headers)
                if answer.code in LATER:
                    raise HTTPClientError(answer.code)
            except HTTPClientError as error:
                await self._again(f"{method} {place.partition('?')[0].partition('/')[0]}", error, since)
                continue
            if (answer.code in (302, 403)) and not refused:     # logged out, or the hub was away when it was asked
                refused = True
                self.troubles["logged in again"] += 1
                await self.come_in()
            elif answer.code >= 300:
                raise Gone(f"at {method} {place}: {answer.code} {answer.reason}")
            else:
                return answer

    # The notebook
    @property
    def _place(self) -> str:
        return f"api/contents/{quote(self.notebook)}"

    async def open(self) -> dict:
        """The notebook, as the server has it now."""
        answer = await self.api(f"{self._place}?type=notebook&content=1")
        return json.loads(answer.body)["content"]

    async def start_kernel(self) -> None:
        answer = await self.api("api/sessions", "POST", {
            "path": self.notebook, "type": "notebook", "name": self.notebook, "kernel": {"name": "python3"}})
        given = json.loads(answer.body)
        self.session, self.kernel = given["id"], given["kernel"]["id"]
        self.channel = Channel(self)
        await self.channel.reply("kernel_info_request", {})

    async def run_all(self, notebook: dict) -> int:
        """Run all cells, and put their outputs into the notebook. Return how many cells it were. Raises Gone for an error that
        the notebook does not have on purpose."""
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
        for cell in cells:
            on_purpose = "raises-exception" in cell["metadata"].get("tags", [])
            content = {"code": "".join(cell["source"]), "silent": False, "store_history": True, "user_expressions": {},
                       "allow_stdin": False, "stop_on_error": not on_purpose}
            reply, outputs = await self.channel.reply("execute_request", content, cellId=cell["id"])
            cell["outputs"], cell["execution_count"] = outputs, reply.get("execution_count")
            if (reply["status"] != "ok") != on_purpose:
                raise Gone(f"at Run All: cell {cell['id']} ended with {reply['status']} {reply.get('evalue', '')[:100]}")
        return len(cells)

    async def save(self, notebook: dict) -> None:
        self.tried = copy.deepcopy(notebook)
        await self.api(self._place, "PUT", {"type": "notebook", "format": "json", "content": notebook})
        self.saved = self.tried

    def write(self, notebook: dict, sentence: str) -> None:
        """Write a sentence into a cell of one's own, at the end of the notebook."""
        notebook["cells"].append(dict(new_markdown_cell(sentence)))

    async def leave(self, shut_down: bool) -> None:
        self.channel.close()
        if shut_down:
            await self.api(f"api/sessions/{self.session}", "DELETE")


class Channel:
    """The websocket to a kernel, as JupyterLab holds it: it is opened again where it breaks."""

    def __init__(self, student: Student):
        self.student, self.session = student, uuid.uuid4().hex
        self.socket: WebSocketClientConnection | None = None

    async def _connect(self) -> WebSocketClientConnection:
        student, since = self.student, time.monotonic()
        while self.socket is None:
            url = urljoin(student.browser.address, f"{student.home}api/kernels/{student.kernel}/channels")
            token = quote(student.browser.token(url))
            headers = {"Cookie": student.browser.cookie_header(url), "Origin": student.browser.address,
                       "Sec-Fetch-Mode": "websocket"}
            try:
                self.socket = await websocket_connect(
                    HTTPRequest(f"ws{url.removeprefix('http')}?session_id={self.session}&_xsrf={token}", headers=headers,
                                connect_timeout=REQUEST), max_message_size=2**28)
            except (OSError, HTTPClientError) as error:
                code = error.code if isinstance(error, HTTPClientError) else 599
                if code not in LATER | {403}:
                    raise Gone(f"at the websocket: {code}") from None
                if code == 404 and not await self._kernel_state():
                    raise Gone("at the websocket: the kernel is gone") from None
                await student._again("websocket", HTTPClientError(code, type(error).__name__), since)
        return self.socket

    async def _kernel_state(self):
        """What the server says of the kernel: idle, busy, starting; or None where there is none."""
        kernels = json.loads((await self.student.api("api/kernels")).body)
        return next((kernel["execution_state"] for kernel in kernels if kernel["id"] == self.student.kernel), None)

    async def reply(self, kind: str, content: dict, **metadata: str) -> tuple[dict, list]:
        """Send a request, and return the content of its reply and the outputs that came, when the kernel is idle again.

        Where the websocket broke and the kernel is idle without having answered, the request is sent again, as a student would
        press Run again.
        """
        while True:
            wanted = uuid.uuid4().hex
            message = {"header": {"msg_id": wanted, "msg_type": kind, "username": self.student.name, "version": "5.4",
                                  "session": self.session, "date": datetime.now(UTC).isoformat()},
                       "parent_header": {}, "metadata": metadata, "content": content, "channel": "shell", "buffers": []}
            socket = await self._connect()
            try:
                await socket.write_message(json.dumps(message))
            except WebSocketClosedError:
                self.socket = None
                continue
            answer = await self._listen(wanted)
            if answer:
                return answer
            self.student.troubles[f"{kind} was sent again"] += 1

    async def _listen(self, wanted):
        """The reply to a message, and the outputs; None where both got lost."""
        reply, idle, broken = None, False, False
        outputs: list[dict] = []
        while reply is None or not idle:
            socket = await self._connect()
            try:
                text = await asyncio.wait_for(socket.read_message(), SILENCE)
            except TimeoutError:
                state = await self._kernel_state()
                if state is None:
                    raise Gone("the kernel has died") from None
                if (broken or reply) and state == "idle":
                    return (reply, outputs) if reply else None
                continue
            if text is None:
                self.socket, broken = None, True
                self.student.troubles["websocket broke"] += 1
                continue
            if isinstance(text, bytes):     # data of a widget
                continue
            message = json.loads(text)
            if message["parent_header"].get("msg_id") != wanted:
                continue
            kind = message["header"]["msg_type"]
            if message["channel"] == "shell":
                reply = message["content"]
            elif kind == "status":
                idle = message["content"]["execution_state"] == "idle"
            elif kind in ("stream", "display_data", "execute_result", "error"):
                _add(outputs, output_from_msg(message))
            elif kind == "clear_output":
                outputs.clear()
        return reply, outputs

    def close(self) -> None:
        if self.socket:
            self.socket.close()


def _add(outputs, output):
    """What is printed piece by piece is one output, as JupyterLab stores it."""
    last = outputs[-1] if outputs else None
    if last and output["output_type"] == "stream" == last["output_type"] and output["name"] == last["name"]:
        last["text"] += output["text"]
    else:
        outputs.append(dict(output))
