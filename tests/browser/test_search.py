"""A reader pastes an error message into the search of JupyterLab, and is led to its case."""


import pytest

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

import clinic

ACTIVE = "cells => cells.findIndex((cell) => cell.matches('.jp-mod-active'))"


def test_each_message_pasted_into_the_search_leads_to_its_case(open_page, lab):
    page = open_page(f"{lab}/lab/tree/08_error_clinic.ipynb?reset")
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(len(clinic.cells()))
    cells.first.click()
    page.keyboard.press("Control+f")
    search, counter = page.locator(".jp-DocumentSearch-input"), page.locator(".jp-DocumentSearch-index-counter")
    for case in clinic.cases().values():
        for message in clinic.messages(case):
            search.fill(message)
            expect(counter).to_have_text("1/1")     # nowhere else, so that the search leads there at once
            search.press("Enter")
            found = clinic.cells()[cells.evaluate_all(ACTIVE)]
            assert found in case and message in found.source
            search.fill("")
            expect(counter).to_have_text("-/-")
