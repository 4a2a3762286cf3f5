"""Who comes in, and what is said to who does not."""

import asyncio
import json
import os

import login
import pytest
from tornado import web


@pytest.fixture
def door(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "PATIENCE", 0)
    return login.ClassAuthenticator(word="Lemon-Island", lecturer_word="secret", pins_file=str(tmp_path / "pins.json"), allow_all=True)


def come(door, name, word="Lemon-Island", pin="1234"):
    """The name somebody comes in with, or the sentence of the refusal."""
    try:
        return asyncio.run(door.get_authenticated_user(None, {"username": name, "password": word, "pin": pin}))["name"]
    except web.HTTPError as error:
        assert error.status_code in (403, 503)
        return error.log_message


def test_a_new_name_is_taken_with_its_pin_and_needs_it_from_then_on(door):
    assert come(door, "anna") == "anna"
    assert come(door, "anna") == "anna"
    assert come(door, "anna", pin="4321") == ("The name anna is taken, and this is not its PIN: choose another name, or ask your "
                                              "lecturer if it is yours.")


@pytest.mark.parametrize("word", ["lemon-island", " Lemon-Island ", "LEMON-ISLAND"])
def test_a_phone_may_change_letters_and_add_a_space(door, word):
    assert come(door, "anna", word) == "anna"


@pytest.mark.parametrize("word", ["", "lemon", "secret", "lemon-islands"])
def test_the_wrong_word_takes_no_name(door, word):
    assert come(door, "anna", word) == "This is not the word of the class: ask your lecturer for it."
    assert come(door, "anna", pin="9999") == "anna"


@pytest.mark.parametrize("pin", ["", "123"])
def test_a_short_pin_takes_no_name(door, pin):
    assert "4 signs or more" in come(door, "anna", pin=pin)
    assert come(door, "anna", pin="9999") == "anna"


@pytest.mark.parametrize("written, name", [("Anna Maria", "anna-maria"), ("  王伟 ", "王伟"), ("ANNA", "anna"), ("o_1", "o_1"),
                                           ("Åsa", "åsa")])
def test_names_are_written_in_one_way(door, written, name):
    assert come(door, written) == name


@pytest.mark.parametrize("written", ["", " ", "..", ".anna", "-anna", "a/b", "../anna", "a" * 31, "a\0b", "a%2fb", "<b>", "a'b", "a;b"])
def test_a_name_that_could_be_a_path_or_a_command_is_refused(door, written):
    assert come(door, written) == "A name has 1 to 30 letters, digits or hyphens: write another name."


def test_the_lecturer_has_a_word_of_their_own_and_no_pin(door):
    assert come(door, "Lecturer", "secret", "") == "lecturer"
    assert come(door, "lecturer") == "This is not the word of the lecturer."


def test_a_name_that_the_lecturer_has_deleted_is_free_again(door):
    come(door, "anna")
    come(door, "ben", pin="2222")
    door.delete_user(type("User", (), {"name": "anna"}))
    assert come(door, "anna", pin="9999") == "anna"
    assert "taken" in come(door, "ben", pin="9999")


def test_no_pin_can_be_read(door):
    come(door, "anna", pin="83610472")
    with open(door.pins_file, encoding="utf-8") as file:
        assert "83610472" not in file.read()


def test_two_with_one_pin_cannot_be_told(door):
    come(door, "anna")
    come(door, "ben")
    with open(door.pins_file, encoding="utf-8") as file:
        pins = json.load(file)
    assert pins["anna"] != pins["ben"]


def test_a_full_disk_is_told_and_no_other_name_is_lost(door, monkeypatch):
    come(door, "anna")

    def full(*_, **__):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", full)
    assert come(door, "ben") == "The disk of this machine is full: tell your lecturer, and log in again then."
    monkeypatch.undo()
    assert come(door, "anna") == "anna"
    assert "taken" in come(door, "anna", pin="9999")
