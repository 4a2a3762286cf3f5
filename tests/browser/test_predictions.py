"""The questions of the course: what is on the screen before a reader has chosen, and after it."""

import json
import re

import pytest
from conftest import running_lab
from test_lab import run_all
from test_player import press

import pages as site
import slides
from project import folded, read
from project import notebooks as of_the_course

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

THE_NOTEBOOK = of_the_course()[3]       # lecture.ipynb is a copy of it
SCREEN = {"width": 1280, "height": 720}
RUN = "Run it yourself"


@pytest.fixture
def open_lab(open_page, lab, notebooks):
    """A function that opens the notebook in JupyterLab, trusted or not, and selects its first question. It returns the page and
    the locators of the cells behind the question."""
    def open_it(trusted, address=lab):
        name = "lecture.ipynb"
        if not trusted:
            name = "questions.ipynb"
            content = json.loads((notebooks / "lecture.ipynb").read_text(encoding="utf-8"))
            content["cells"][0]["source"] += "\n\nNobody has trusted this."
            (notebooks / name).write_text(json.dumps(content), encoding="utf-8")
        page = open_page(f"{address}/lab/tree/{name}?reset", viewport=SCREEN)
        cells = page.locator(".jp-Notebook .jp-Cell")
        asks = cells.filter(has=page.locator("details.answer")).first
        asks.scroll_into_view_if_needed()
        asks.locator("h2").click()
        return page, asks
    return open_it


def answer(place, letter):
    return place.locator("details.answer").filter(has=place.page.locator("summary", has_text=re.compile(rf"^{letter}\. ")))


def fold_after(asks):
    """The first heading behind a question that hides cells, as its button; and the first code cell that it hides."""
    page = asks.page
    heading = page.locator(".jp-Notebook .jp-Cell").filter(has=page.locator("h3", has_text=RUN)).first
    return heading.locator(".jp-showHiddenCellsButton"), heading.locator("xpath=following-sibling::*").filter(
        has=page.locator(".jp-CodeCell, .jp-Cell-outputWrapper")).first


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_before_the_choice_no_answer_is_on_the_screen(open_lab, trusted):
    page, asks = open_lab(trusted)
    button, code = fold_after(asks)
    expect(button).to_be_visible()
    expect(code).to_be_hidden()
    for letter in "ABC":
        expect(answer(asks, letter).locator("summary")).to_be_visible()
        expect(answer(asks, letter).locator("p").first).to_be_hidden()
    assert "✗" not in asks.inner_text() and "✓" not in asks.inner_text()


def test_a_letter_answers_the_question_and_opens_its_run_only(open_lab):
    page, asks = open_lab(trusted=True)
    button, code = fold_after(asks)
    closed, folds = page.locator(".jp-showHiddenCellsButton"), sum(map(folded, read(THE_NOTEBOOK).cells))
    expect(closed).to_have_count(folds)
    all_cells, cells = page.locator(".jp-Notebook .jp-Cell"), len(read(THE_NOTEBOOK).cells)
    press(page, "a")
    expect(answer(asks, "A").locator("p").first).to_contain_text("✗ No. ")
    expect(answer(asks, "B").locator("p").first).to_be_hidden()
    expect(button).to_have_count(0)
    expect(code).to_be_visible()
    expect(closed).to_have_count(folds - 1)
    expect(all_cells).to_have_count(cells)      # A is JupyterLab's key for a new cell
    press(page, "b")        # so is B; the focus is on the answer
    expect(answer(asks, "B").locator("p").first).to_contain_text("✓ Right. ")
    press(page, "b")
    expect(answer(asks, "B").locator("p").first).to_be_visible()
    expect(all_cells).to_have_count(cells)


def test_a_click_answers_too(open_lab):
    page, asks = open_lab(trusted=True)
    button, code = fold_after(asks)
    answer(asks, "B").locator("summary").click()
    expect(answer(asks, "B").locator("p").first).to_contain_text("✓ Right. ")
    expect(code).to_be_visible()


def test_shift_enter_comes_past_the_note_and_opens_the_run(open_lab):
    page, asks = open_lab(trusted=True)
    button, code = fold_after(asks)
    active = page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    press(page, "Shift+Enter")
    expect(active.locator("h3")).to_have_text(re.compile(RUN))
    expect(button).to_be_visible()
    press(page, "Shift+Enter")
    expect(button).to_have_count(0)
    expect(code).to_be_visible()


def test_untrusted_the_answers_and_the_run_are_folds_and_the_set_up_cell_brings_the_keys(open_lab):
    page, asks = open_lab(trusted=False)
    button, code = fold_after(asks)
    answer(asks, "A").locator("summary").click()
    expect(answer(asks, "A").locator("p").first).to_contain_text("✗ No. ")
    expect(button).to_be_visible()
    button.click()
    expect(code).to_be_visible()
    expect(code.locator("img").first).to_be_visible()
    run_all(page)
    expect(page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
    second = page.locator(".jp-Notebook .jp-Cell").filter(has=page.locator("details.answer")).nth(1)
    second.scroll_into_view_if_needed()
    second.locator("h2").click()
    answer(second, "C").scroll_into_view_if_needed()    # pictures of the run above may still have moved it
    press(page, "c")
    expect(answer(second, "C").locator("p").first).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["", "without scripts"])
def test_on_a_page_an_answer_opens_the_run(open_page, tmp_path, scripts):
    site.build(THE_NOTEBOOK.parent, tmp_path / "html")
    page = open_page((tmp_path / f"html/{THE_NOTEBOOK.stem}.html").as_uri(), offline=True, java_script_enabled=scripts)
    run = page.locator("details.run").first
    first = page.locator("details.answer").first
    expect(run.locator("figure").first).to_be_hidden()
    if scripts:
        first.scroll_into_view_if_needed()
        page.evaluate("scrollBy(0, 300)")
        press(page, "a")
    else:
        first.locator("summary").click()
        expect(run.locator("figure").first).to_be_hidden()
        run.locator("summary", has_text=RUN).click()
    expect(first.locator("p").first).to_contain_text("✗ No. ")
    expect(run.locator("figure").first).to_be_visible()


@pytest.mark.parametrize("live", [False, True], ids=["deck", "live"])
def test_in_a_lecture_the_vote_has_a_slide_and_the_run_the_next_one(request, open_page, tmp_path, live):
    if live:
        page = open_page(f"{request.getfixturevalue('lab')}/rise/lecture.ipynb", viewport=SCREEN)
    else:
        deck = tmp_path / "deck.html"
        deck.write_text(slides.deck(THE_NOTEBOOK), encoding="utf-8")
        page = open_page(deck.as_uri(), offline=True, viewport=SCREEN)
    slide = page.locator(".slides section.present section.present")
    expect(slide).to_contain_text("03 · Several losses")
    vote = slide.locator("details.answer").first
    while not vote.is_visible():
        page.keyboard.press("Space")
        page.wait_for_timeout(500)
    expect(slide.locator("figure")).to_have_count(0)
    press(page, "b")
    expect(answer(slide, "B").locator("p").first).to_contain_text("✓ Right. ")
    expect(answer(slide, "A").locator("p").first).to_be_hidden()
    press(page, "a")        # the other letters open the other answers of this slide, and of no other one
    expect(answer(slide, "A").locator("p").first).to_contain_text("✗ No. ")
    expect(page.locator("details.answer[open]")).to_have_count(2)
    page.locator("body").click(position={"x": 1200, "y": 400})
    page.keyboard.press("Space")
    expect(slide.locator("figure").first).to_be_visible()
    press(page, "c")        # no question is on this slide
    expect(page.locator("details.answer[open]")).to_have_count(2)


@pytest.mark.parametrize("path", ["lab/tree/lecture.ipynb?reset", "rise/lecture.ipynb"])
def test_where_no_hub_counts_votes_nothing_is_asked_for(open_page, lab, path):
    page = open_page(f"{lab}/{path}", viewport=SCREEN)
    expect(page.locator("details.answer").first).to_be_attached()
    asked = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.reload()
    first = page.locator("details.answer").first
    expect(first).to_be_attached()
    if "lab" in path:
        first.scroll_into_view_if_needed()
        first.locator("summary").click()
        expect(first.locator("p").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if "votes" in url or url.endswith("/lab")] == []
    expect(page.locator(".course-votes")).to_have_count(0)


def test_notes_for_the_lecturer_are_shown_to_lecturers_only(open_lab, notebooks, tmp_path):
    page, _ = open_lab(trusted=True)
    note = page.locator(".jp-MarkdownCell").filter(has=page.locator("details.lecturer", has_text="Plan: 9 minutes."))
    expect(note).to_be_hidden()
    with running_lab(notebooks, tmp_path, "lecturer") as address:
        page, _ = open_lab(trusted=True, address=address)
        expect(page.locator("details.lecturer summary").first).to_be_visible()
        page.goto("about:blank")        # before its server ends
