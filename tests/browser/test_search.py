"""A reader pastes an error message into the search of JupyterLab, and is led to its case."""

import pytest

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

import clinic
from seegrad.cases import CASES

ACTIVE = "cells => cells.findIndex((cell) => cell.matches('.jp-mod-active'))"
CLINICS = list(dict.fromkeys(case.notebook for case in CASES))


@pytest.mark.parametrize("name", CLINICS)
def test_each_message_pasted_into_the_search_leads_to_its_case(open_page, lab, name):
    page = open_page(f"{lab}/lab/tree/{name}?reset")
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(len(clinic.clinics()[name]))
    cells.first.click()
    page.keyboard.press("Control+f")
    search, counter = page.locator(".jp-DocumentSearch-input"), page.locator(".jp-DocumentSearch-index-counter")
    for case in CASES:
        for message in clinic.own_messages(case.number) if case.notebook == name else ():
            first = message.splitlines()[0].rstrip()        # the field has one line
            search.fill(first)
            expect(counter).to_have_text("1/1")     # nowhere else, so that the search leads there at once
            search.press("Enter")
            found = clinic.clinics()[name][cells.evaluate_all(ACTIVE)]
            assert found in clinic.cells_of(case.number) and first in found.source
            search.fill("")
            expect(counter).to_have_text("-/-")
