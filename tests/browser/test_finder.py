"""The field of the pages for an error message: it leads to the case, without a network, by the keyboard alone, and on a phone."""

import pytest

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect
from test_pages import TOO_WIDE

import clinic
from seegrad.cases import CASES, look_up

LABEL = "Paste your error message"
PLACES = ["index", *(case.notebook.removesuffix(".ipynb") for case in CASES[::6])]
FOUND = "rows => rows.filter((row) => row.getClientRects().length).map((row) => row.firstElementChild.textContent)"
TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 12, in <module>
    loss.backward()
{}
"""


def found(page):
    return page.locator(".finder li").evaluate_all(FOUND)


def headings(message):
    return [case.heading for case in look_up(message)]


def test_each_message_of_the_clinics_leads_to_its_case_and_to_no_other_than_in_the_library(open_offline):
    page = open_offline("index")
    for case in CASES:
        for message in clinic.own_messages(case.number):
            page.get_by_label(LABEL).fill(TRACEBACK.format(message))
            assert found(page)[0] == case.heading and found(page) == headings(message)


@pytest.mark.parametrize("words", [
    "RuntimeError: one of the variables needed for gradient compu\ntation has been modified by an inplace\noperation: "
    "[torch.FloatTensor [3]], which is output 0 of ExpBackward0, is at version 1",
    "[rank0]: RuntimeError: Expected to have finished reduction in the\n[rank0]: prior iteration before starting a new one.",
    "RuntimeError: leaf variable has been moved into the graph interior",
    "can't retain", "MODIFIED BY AN INPLACE", "the differentiated tensor",
])
def test_older_words_line_breaks_and_a_few_words_of_a_message_are_found_as_in_the_library(open_offline, words):
    page = open_offline("08_error_clinic")
    page.get_by_label(LABEL).fill(words)
    assert found(page) == headings(words) != []


def test_what_is_no_message_of_the_clinic_is_called_not_known_and_too_few_letters_say_nothing(open_offline):
    page = open_offline("index")
    unknown = page.get_by_text("Not known: this is no message of the clinic.")
    expect(unknown).to_be_hidden()
    page.get_by_label(LABEL).fill(TRACEBACK.format("IndexError: list index out of range"))
    expect(unknown).to_be_visible()
    assert found(page) == []
    page.get_by_label(LABEL).fill("one")
    expect(unknown).to_be_hidden()
    assert found(page) == []


@pytest.mark.parametrize("place", dict.fromkeys(PLACES))
def test_by_the_keyboard_alone_one_pastes_a_message_and_lands_on_its_case(open_offline, place):
    page = open_offline(place)
    field, status = page.get_by_label(LABEL), page.locator(".finder").get_by_role("status")
    field.focus()
    page.keyboard.insert_text("RuntimeError: can't retain_grad on Tensor that has requires_grad=False")
    expect(status).to_contain_text("1 case has this message:")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Case 20: ").and_(page.locator(":focus"))).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Case 20: can't retain_grad on Tensor")).to_be_in_viewport()
    assert page.url.partition("#")[0].endswith("/13_clinic_training_programs.html")


def test_it_has_no_barrier_and_fits_on_a_phone(open_offline, axe):
    page = open_offline("08_error_clinic", viewport={"width": 360, "height": 740})
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for words in ("", "modified by an inplace operation", "no such message"):
            page.get_by_label(LABEL).fill(words)
            assert page.evaluate(TOO_WIDE, 360) == []
            assert page.evaluate("() => axe.run('.finder').then((found) => found.violations.map((rule) => rule.id))") == []


def test_without_scripts_and_on_paper_the_table_is_there_and_no_field(open_offline):
    page = open_offline("08_error_clinic", java_script_enabled=False)
    expect(page.get_by_label(LABEL)).to_be_hidden()
    expect(page.get_by_role("group", name="Table: The message begins with")).to_be_visible()
    page = open_offline("08_error_clinic")
    expect(page.get_by_label(LABEL)).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_label(LABEL)).to_be_hidden()
