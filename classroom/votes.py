"""The votes in the room: a service of JupyterHub that counts how many students chose each answer to a question.

    POST   /services/votes/ {"question": "…", "answer": "B"}    a student votes: {"counted": true}
    GET    /services/votes/                                     may I read the votes? {"reads": false}
    GET    /services/votes/?question=…                          who may read: {"A": 12, "B": 5, "C": 3}
    DELETE /services/votes/?question=…                          who may read: forget the votes on a question

Who asks is known by the token in the header Authorization. No cookie is read, so no other site can vote in a student's name. To
vote needs access to the service; to read and to forget, the scope custom:votes:read. A student has one vote on a question, the
first: after it, the right answer is on the screen. The votes are in memory only, without names, and end with the service.

It needs only JupyterHub and Tornado, and it is one file, which a hub on a cluster can mount.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import signal
from collections import Counter
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubAuth
from tornado import httpserver, web

USE, READ = "access:services!service=votes", "custom:votes:read"     # scopes of JupyterHub
ANSWER = re.compile("[A-H]")
LONGEST_QUESTION = 300          # letters
MOST_OF_ONE = 200               # votes of one student: the course has fewer questions
MOST = 300_000                  # votes of all, which take about 60 MB
MOST_KNOWN = 10_000             # tokens that the hub is not asked about again
LIMITS = {"max_body_size": 4096, "max_header_size": 16 * 1024,      # bytes
          "body_timeout": 10, "idle_connection_timeout": 300}       # seconds


def scopes_of(server: Any) -> list[str]:
    """What a server (a JupyterHub Spawner) may do with the token that it gets of whoever opens it: its page votes with it.

    It reads the votes only where the server's owner has the role "lecturer" (not by a group). A lecturer may open a student's
    server too, and the student's code there could use that token.
    """
    return [USE, READ] if any(role.name == "lecturer" for role in server.user.roles) else [USE]


class Full(Exception):
    """No more votes are taken. The message is a sentence for who votes."""


class Votes:
    """How many chose each answer, and who has voted on a question, as hashes with a salt that nobody knows.

    Who chose which answer is not kept: a vote adds 1 to an answer, and apart from that one hash to those who have voted.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._counts: dict[str, Counter[str]] = {}
        self._voters: dict[str, set[bytes]] = {}
        self._given: Counter[bytes] = Counter()     # how many votes each voter has given
        self._total = 0

    def vote(self, name: str, question: str, answer: str) -> bool:
        """Count a vote, and return True; or False, where this name has voted on the question. Raises Full."""
        voter = hashlib.blake2b(name.encode(), key=self._salt, digest_size=16).digest()
        if voter in self._voters.get(question, ()):
            return False
        if self._given[voter] >= MOST_OF_ONE:
            raise Full(f"You have given {MOST_OF_ONE} votes, which is the most.")
        if self._total >= MOST:
            raise Full("There are too many votes: ask your lecturer to start the class again.")
        self._counts.setdefault(question, Counter())[answer] += 1
        self._voters.setdefault(question, set()).add(voter)
        self._given[voter] += 1
        self._total += 1
        return True

    def counts(self, question: str) -> dict[str, int]:
        """How many chose each answer that anybody chose, in the order of the letters."""
        return dict(sorted(self._counts.get(question, {}).items()))

    def forget(self, question: str) -> None:
        """Drop the votes on a question: all may vote on it again."""
        self._counts.pop(question, None)
        voters = self._voters.pop(question, set())
        self._given -= Counter(voters)      # drops who has none left
        self._total -= len(voters)


class VotesHandler(web.RequestHandler):
    """Answers in JSON: what was asked for, or {"message": a sentence}."""

    def initialize(self, votes: Votes, auth: HubAuth) -> None:
        self.votes, self.auth = votes, auth

    async def prepare(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        if len(self.auth.cache.values) > MOST_KNOWN:
            self.auth.cache.clear()
        user = await self.auth.get_user(self, sync=False)
        if not user or not self.auth.check_scopes(self.auth.access_scopes, user):
            raise web.HTTPError(403, reason="Log in to the hub again: it does not know you.")
        self.name = user["name"]
        self.reads = bool(self.auth.check_scopes({READ}, user))

    def post(self) -> None:
        try:
            given = json.loads(self.request.body)
            question, answer = given["question"], given["answer"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise web.HTTPError(400, reason="A vote is JSON with a question and an answer.") from None
        if not isinstance(answer, str) or not ANSWER.fullmatch(answer):
            raise web.HTTPError(400, reason="An answer is one letter from A to H.")
        question = _checked(question)
        try:
            counted = not self.reads and self.votes.vote(self.name, question, answer)
        except Full as full:
            raise web.HTTPError(429, reason=str(full)) from None
        self.write({"counted": counted})

    def get(self) -> None:
        question = self.get_argument("question", None)
        self.write({"reads": self.reads} if question is None else self.votes.counts(self._of_a_reader(question)))

    def delete(self) -> None:
        self.votes.forget(self._of_a_reader(self.get_argument("question", None)))
        self.set_status(204)

    def _of_a_reader(self, question):
        if not self.reads:
            raise web.HTTPError(403, reason="Only the lecturer reads the votes.")
        return _checked(question)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish({"message": self._reason})


def _checked(question):
    if not isinstance(question, str) or not 0 < len(question) <= LONGEST_QUESTION or not question.isprintable():
        raise web.HTTPError(400, reason=f"A question is 1 to {LONGEST_QUESTION} letters.")
    return question


def log_failures(handler: web.RequestHandler) -> None:
    """Nothing of a vote is logged but that one failed by our own fault."""
    if handler.get_status() >= 500:
        logging.getLogger("votes").error("A request has failed with %s.", handler.get_status())


def make_app(prefix: str, auth: HubAuth) -> web.Application:
    """prefix: the path of the service, as /services/votes/; auth: knows whose a token is."""
    return web.Application([(re.escape(prefix), VotesHandler, {"votes": Votes(), "auth": auth})], log_function=log_failures)


def listen(app: web.Application, port: int, host: str) -> httpserver.HTTPServer:
    """Take requests at a port. host: of the service's address; where that is not this machine's own, all others reach it too."""
    server = httpserver.HTTPServer(app, **LIMITS)
    server.listen(port, host if _is_loopback(host) else "")
    return server


def _is_loopback(host):
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def main() -> None:
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    port = 80 if address.port is None else address.port
    listen(make_app(os.environ["JUPYTERHUB_SERVICE_PREFIX"], HubAuth.instance()), port, address.hostname or "")
    hub, told_to_end = os.getppid(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, told_to_end.set)
    # A hub that was killed leaves its services behind, and the next hub needs the port.
    while os.getppid() == hub and not told_to_end.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told_to_end.wait(), 0.5)


if __name__ == "__main__":
    asyncio.run(main())
