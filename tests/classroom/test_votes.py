"""The service that counts the votes, with a hub that knows some tokens."""

import collections
import json
import os
import re
import signal
import subprocess
import sys
import time
from urllib.parse import quote

import psutil
import pytest

pytest.importorskip("jupyterhub", reason="no hub: make test-class installs it")
from jupyterhub.services.auth import HubAuth
from tornado import web
from tornado.testing import AsyncHTTPTestCase

import votes
from project import notebooks, read

SERVICE = "/services/votes/"
ACCESS = "access:services!service=votes"
QUESTION = "Does “backward” work – after out.detach().zero_()?"


class Hub(web.RequestHandler):
    """Says whose a token is: a student's is the name, a lecturer's begins with "lecturer"; that of a guest reaches no service."""

    asked: list[str] = []

    def get(self):
        name = self.request.headers["Authorization"].removeprefix("token ")
        self.asked.append(name)
        if name.startswith("unknown"):
            raise web.HTTPError(403)
        if name == "broken":
            raise web.HTTPError(503)
        scopes = [] if name == "guest" else [ACCESS] + [votes.READ] * name.startswith("lecturer")
        self.write({"name": name, "kind": "user", "scopes": scopes})


class Service(AsyncHTTPTestCase):
    def get_app(self):
        Hub.asked.clear()
        self.auth = HubAuth(api_url=self.get_url("/hub/api"), api_token="its own", access_scopes={ACCESS})
        app = votes.make_app(SERVICE, self.auth)
        app.add_handlers(".*", [("/hub/api/user", Hub)])
        return app

    def get_httpserver_options(self):
        return votes.LIMITS

    def ask(self, name, method="GET", question=None, body=None, **headers):
        """The status and the JSON of the reply."""
        headers = {"Authorization": f"token {name}", **headers} if name else headers
        where = SERVICE if question is None else f"{SERVICE}?question={quote(question)}"
        reply = self.fetch(where, method=method, headers=headers, body=body)
        return reply.code, json.loads(reply.body or "null")

    def vote(self, name, answer, question=QUESTION):
        return self.ask(name, "POST", body=json.dumps({"question": question, "answer": answer}))

    def counts(self, question=QUESTION):
        status, counts = self.ask("lecturer", question=question)
        assert status == 200
        return counts

    def test_votes_are_counted_by_letter(self):
        for name, answer in ("anna", "B"), ("ben", "A"), ("cleo", "B"):
            assert self.vote(name, answer) == (200, {"counted": True})
        assert self.counts() == {"A": 1, "B": 2}
        assert self.counts("Another question?") == {}

    def test_the_first_answer_counts_and_no_later_one(self):
        self.vote("anna", "B")
        for answer in "BA":
            assert self.vote("anna", answer) == (200, {"counted": False})
        assert self.counts() == {"B": 1}
        assert self.vote("anna", "A", "Another question?") == (200, {"counted": True})

    def test_what_the_lecturer_presses_is_no_vote(self):
        assert self.vote("lecturer", "B") == (200, {"counted": False})
        assert self.counts() == {}

    def test_a_student_reads_nothing_and_clears_nothing(self):
        self.vote("anna", "B")
        assert self.ask("anna") == (200, {"reads": False})
        assert self.ask("lecturer") == (200, {"reads": True})
        for method in "GET", "DELETE":
            assert self.ask("anna", method, QUESTION) == (403, {"message": "Only the lecturer reads the votes."})
        assert self.counts() == {"B": 1}

    def test_after_the_lecturer_has_cleared_a_question_all_may_vote_on_it_again(self):
        self.vote("anna", "B")
        self.vote("anna", "C", "Another question?")
        assert self.ask("lecturer", "DELETE", QUESTION) == (204, None)
        assert self.counts() == {}
        assert self.counts("Another question?") == {"C": 1}
        assert self.vote("anna", "A") == (200, {"counted": True})

    def test_who_is_not_logged_in_does_not_vote(self):
        for name in None, "unknown", "guest":
            status, reply = self.vote(name, "B")
            assert (status, reply["message"]) == (403, "Log in to the hub again: it does not know you.")
        assert self.counts() == {}

    def test_no_cookie_and_no_address_stand_for_the_header(self):
        body = json.dumps({"question": QUESTION, "answer": "A"})
        cookies = "; ".join(f"{name}=anna" for name in ("service-votes", "jupyterhub-services", "token", "_xsrf"))
        assert self.ask(None, "POST", body=body, Cookie=cookies)[0] == 403
        assert self.fetch(f"{SERVICE}?token=anna", method="POST", body=body).code == 403

    def test_while_the_hub_is_away_the_page_is_told_to_ask_again(self):
        status, _ = self.vote("broken", "A")
        assert status >= 500

    def test_junk_is_refused_in_a_sentence(self):
        good = {"question": QUESTION, "answer": "A"}
        for body in ("", "x", "[]", "7", "null", "{}", '"question"', "[" * 2000, '{"question": "Q"}', b"\xff\x00",
                     *(json.dumps({**good, "answer": answer}) for answer in ("", "a", "AB", "I", "A\n", 1, None, ["A"], {})),
                     *(json.dumps({**good, "question": question}) for question in ("", 1, None, [], "x" * 301, "a\nb", "\x00"))):
            status, reply = self.ask("anna", "POST", body=body)
            assert status == 400, body
            assert reply["message"].endswith(".")
        for question in "", "x" * 301:
            assert self.ask("lecturer", question=question)[0] == 400
        assert self.ask("lecturer", "DELETE")[0] == 400
        assert self.counts() == {}

    def test_a_huge_body_is_not_read(self):
        body = json.dumps({"question": QUESTION, "answer": "A", "more": "x" * 10**6})
        assert self.fetch(SERVICE, method="POST", headers={"Authorization": "token anna"}, body=body).code in (400, 413, 599)
        assert self.counts() == {}

    def test_three_hundred_vote_at_once_and_the_hub_is_asked_once_for_each(self):
        async def all_at_once():
            body = json.dumps({"question": QUESTION, "answer": "C"})
            for _ in range(2):
                replies = [self.http_client.fetch(self.get_url(SERVICE), method="POST", body=body,
                                                  headers={"Authorization": f"token student-{i}"}) for i in range(300)]
                yield [json.loads((await reply).body)["counted"] for reply in replies]

        async def both():
            return [counted async for counted in all_at_once()]

        first, second = self.io_loop.run_sync(both, timeout=60)
        assert all(first) and not any(second)
        assert self.counts() == {"C": 300}
        assert collections.Counter(Hub.asked) == {**{f"student-{i}": 1 for i in range(300)}, "lecturer": 1}

    def test_tokens_are_not_kept_without_end(self):
        most, votes.MOST_KNOWN = votes.MOST_KNOWN, 20
        try:
            for i in range(100):
                self.ask(f"unknown-{i}")
        finally:
            votes.MOST_KNOWN = most
        assert len(self.auth.cache.values) <= 21

    def test_nothing_is_logged_of_a_vote(self):
        said = []
        handler = logging_handler(said)
        try:
            self.vote("anna", "B")
            self.vote("anna", "no letter")
            self.counts()
            self.vote("broken", "A")
        finally:
            handler.remove()
        assert any("A request has failed with 502." in line for line in said)
        assert not any("anna" in line or "letter" in line or QUESTION in line for line in said)


def logging_handler(said):
    """Puts all that is logged, from INFO on, into a list."""
    import logging

    class Listener(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

        def remove(self):
            root.removeHandler(self)
            root.setLevel(level)

    root = logging.getLogger()
    level, listener = root.level, Listener()
    root.addHandler(listener)
    root.setLevel(logging.INFO)
    return listener


def test_one_student_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr(votes, "MOST_OF_ONE", 3)
    tally = votes.Votes()
    for i in range(3):
        assert tally.vote("anna", f"Question {i}?", "A")
    with pytest.raises(votes.Full, match="3 votes"):
        tally.vote("anna", "Question 4?", "A")
    assert tally.vote("ben", "Question 4?", "A")
    tally.forget("Question 0?")
    assert tally.vote("anna", "Question 4?", "A")


def test_all_together_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr(votes, "MOST", 3)
    tally = votes.Votes()
    for i in range(3):
        assert tally.vote(f"student-{i}", "Question?", "A")
    with pytest.raises(votes.Full, match="too many votes"):
        tally.vote("anna", "Question?", "A")
    tally.forget("Question?")
    assert tally.vote("anna", "Question?", "A")


def test_what_is_kept_tells_no_name_and_no_voter_of_an_answer():
    tally, other = votes.Votes(), votes.Votes()
    for kept in tally, other:
        kept.vote("anna", QUESTION, "B")
        kept.vote("ben", QUESTION, "A")
    text = repr(vars(tally))
    assert "anna" not in text and "ben" not in text
    assert tally._voters[QUESTION].isdisjoint(other._voters[QUESTION])      # a salt of its own
    assert tally._counts == {QUESTION: {"A": 1, "B": 1}}


def test_a_question_of_the_course_has_a_heading_of_its_own():
    questions = [cell.source for path in notebooks() for cell in read(path).cells if '<details class="answer">' in cell.source]
    headings = [re.findall("^## (.+)", question, re.MULTILINE) for question in questions]
    assert {len(of_one) for of_one in headings} == {1}
    headings = [heading for heading, in headings]
    assert len(set(headings)) == len(headings) <= votes.MOST_OF_ONE
    assert max(map(len, headings)) <= votes.LONGEST_QUESTION


@pytest.mark.parametrize("by", ["the hub's word", "the hub's end"])
def test_the_service_ends_with_its_hub(tmp_path, by):
    """A small process stands for the hub: it starts the service as a hub does, says its number, and waits."""
    hub = ("import os, subprocess, sys, time\n"
           "print(subprocess.Popen([sys.executable, sys.argv[1]], start_new_session=True).pid, flush=True)\n"
           "time.sleep(60)")
    environment = {**os.environ, "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0", "JUPYTERHUB_SERVICE_PREFIX": SERVICE,
                   "JUPYTERHUB_API_TOKEN": "its own", "JUPYTERHUB_SERVICE_NAME": "votes"}
    command = [sys.executable, "-c", hub, votes.__file__]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        service = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: service.net_connections("tcp"))
        if by == "the hub's word":
            service.send_signal(signal.SIGINT)      # what a hub sends first
            wait_for(lambda: has_ended(service))
        parent.kill()
    wait_for(lambda: has_ended(service))


def has_ended(process):
    """Also where nobody has asked for its exit code yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not in 30 s"
        time.sleep(0.05)
