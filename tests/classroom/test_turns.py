"""When many come at once, they start in turns: each waits until a server before it answers, but not for one that failed."""

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest
from jupyterhub.spawner import LocalProcessSpawner, SpawnException

import seats


@pytest.fixture
def door():
    """An address on which nothing answers before `listen` is called."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one


@pytest.fixture
def seat(monkeypatch, tmp_path, door):
    """Makes a seat without a hub, whose server answers at that address."""
    async def start(self):
        self.pid = os.getpid()
        return door.getsockname()

    async def nothing(self):
        return None

    monkeypatch.setattr(LocalProcessSpawner, "start", start)
    monkeypatch.setattr(LocalProcessSpawner, "poll", nothing)
    monkeypatch.setattr(seats.Seat, "_update_course", nothing)
    monkeypatch.setattr(seats.Seat, "_check_room", lambda self: None)
    monkeypatch.setattr(seats.Seat, "_free_turns", None)
    (tmp_path / "students").mkdir()

    def make(name):
        return seats.Seat(user=SimpleNamespace(name=name), class_folder=str(tmp_path), own_users=False, turns=1, http_timeout=10)
    return make


async def is_let_in(start, within=5):
    return bool((await asyncio.wait([start], timeout=within))[0])


async def message(seat):
    return [step["message"] async for step in seat.progress()][0]


def test_the_next_one_starts_when_the_one_before_answers(seat, door):
    async def two_come():
        anna, ben = seat("anna"), seat("ben")
        assert await message(anna) == "Your JupyterLab starts."
        assert await is_let_in(asyncio.create_task(anna.start()))
        second = asyncio.create_task(ben.start())
        assert not await is_let_in(second, within=0.3)
        assert "when it is your turn" in await message(ben)
        door.listen()
        assert await is_let_in(second)
        await ben._turn
        assert await message(ben) == "Your JupyterLab starts."
    asyncio.run(two_come())


def test_a_start_that_fails_leaves_its_turn_to_the_next_one(seat, monkeypatch):
    def no_room(self):
        if self.user.name == "anna":
            raise SpawnException("All seats are taken.", reason="memory", status_code=503)

    async def two_come():
        with pytest.raises(SpawnException):
            await seat("anna").start()
        second = asyncio.create_task(seat("ben").start())
        assert await is_let_in(second)

    monkeypatch.setattr(seats.Seat, "_check_room", no_room)
    asyncio.run(two_come())


def test_a_server_that_ends_before_it_answers_leaves_its_turn(seat, monkeypatch):
    async def ended(self):
        return 1

    async def two_come():
        await seat("anna").start()
        assert await is_let_in(asyncio.create_task(seat("ben").start()))

    monkeypatch.setattr(LocalProcessSpawner, "poll", ended)
    asyncio.run(two_come())


def test_who_waits_and_goes_away_takes_no_turn(seat, door):
    async def three_come():
        await seat("anna").start()
        second = asyncio.create_task(seat("ben").start())
        assert not await is_let_in(second, within=0.3)
        second.cancel()
        third = asyncio.create_task(seat("王伟").start())
        door.listen()
        assert await is_let_in(third)
    asyncio.run(three_come())
