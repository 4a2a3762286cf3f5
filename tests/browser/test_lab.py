"""Notebooks in a real JupyterLab."""

import re
import shutil

import nbformat
import pytest
from conftest import SCREENSHOTS
from nbformat.v4 import new_markdown_cell, new_notebook
from sample import CODE, FIGURES, PLAY, WHAT_IF
from test_pages import SMALL_TEXT
from test_player import at, figure, press

from project import COURSE, ROOT, notebooks, read
from refresh import METADATA

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

WITH_A_PLAY = [path.name for path in notebooks() if "play_backward(" in path.read_text(encoding="utf-8")][:2]
PANEL = "panel => ['overflowX', 'backgroundColor', 'borderRadius'].map((name) => getComputedStyle(panel)[name])"
# Whether the box of the running node lies in the frame of its graph.
IN_VIEW = """view => {
    const node = view.querySelector(".now").parentNode.getBoundingClientRect(), frame = view.getBoundingClientRect();
    return node.left >= frame.left && node.right <= frame.right && node.top >= frame.top && node.bottom <= frame.bottom;
}"""
SELECTED = "cells => cells.findIndex((cell) => cell.matches('.jp-mod-selected'))"


def run_all(page):
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()      # or the menu runs nothing
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_before_a_run_there_are_stills_and_after_it_players(open_page, lab):
    page = open_page(f"{lab}/lab/tree/sample.ipynb?reset")
    figures = page.locator("figure.seegrad")
    expect(figures).to_have_count(len(FIGURES))
    expect(page.locator("figure.seegrad .player")).to_have_count(0)
    for still in figures.first.locator("img").all():
        expect(still).to_be_visible()
        assert still.get_attribute("alt").startswith("Computation graph: 5 nodes")
        assert still.evaluate("image => image.naturalWidth") > 0
        assert still.evaluate("image => getComputedStyle(image).minWidth") in still.get_attribute("style")
        assert still.locator("..").evaluate(PANEL) == ["auto", "rgb(255, 255, 255)", "6px"]
    run_all(page)
    expect(page.locator("figure.seegrad .player")).to_have_count(len(FIGURES))
    figure(page, PLAY).locator(".player").focus()
    press(page, "ArrowRight")
    at(figure(page, PLAY), 1)


def test_jupyterlab_keeps_its_hands_off_the_keys_pressed_in_a_player(open_page, lab):
    page = open_page(f"{lab}/lab/tree/trusted.ipynb?reset")
    play, choices = figure(page, PLAY), figure(page, WHAT_IF)
    cells = page.locator(".jp-Notebook .jp-Cell")
    for pressed, where in ((play.locator(".says"), play), (play.get_by_role("button", name="Step"), play),
                           (play.get_by_role("slider"), play), (choices.get_by_role("radio").first, choices)):
        pressed.click()
        selected = cells.evaluate_all(SELECTED)
        press(page, "ArrowDown ArrowUp ArrowRight ArrowLeft ArrowRight j k b a x d d m Enter Home")
        expect(where.locator(":focus")).to_have_count(1)
        expect(cells).to_have_count(len(CODE) + 1)
        assert cells.evaluate_all(SELECTED) == selected


def test_a_player_gives_back_the_focus_runs_its_cell_and_lets_a_notebook_be_saved(open_page, lab, notebooks):
    shutil.copy(notebooks / "sample.ipynb", notebooks / "keys.ipynb")
    page = open_page(f"{lab}/lab/tree/keys.ipynb?reset")
    expect(page.locator("figure.seegrad")).to_have_count(len(FIGURES))
    run_all(page)
    expect(page.locator("figure.seegrad .player")).to_have_count(len(FIGURES))
    cells = page.locator(".jp-Notebook .jp-Cell")
    play, choices = figure(page, PLAY), figure(page, WHAT_IF)
    for inside, place in ((play.locator(".player"), 2), (play.get_by_role("slider"), 2), (play.locator(".view"), 2),
                          (choices.get_by_role("radio").first, 6)):
        inside.focus()
        press(page, "Escape")
        expect(cells.nth(place)).to_be_focused()
        press(page, "ArrowUp")
        assert cells.evaluate_all(SELECTED) == place - 1
    for inside, keys, selected in ((play.locator(".player"), "Shift+Enter", 3), (play.get_by_role("slider"), "Control+Enter", 2),
                                   (play.get_by_role("button", name="Step"), "Shift+Enter", 3)):
        prompt = cells.nth(2).locator(".jp-InputPrompt")
        before = prompt.inner_text()
        inside.focus()
        press(page, "ArrowRight")
        at(play, 1)
        press(page, keys)
        expect(prompt).not_to_have_text(before)
        at(play, 0)
        expect(cells.nth(selected)).to_be_focused()
        assert cells.evaluate_all(SELECTED) == selected
    play.locator(".player").focus()
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "keys.ipynb" in answer.url):
        press(page, "Control+s")


def cell_of(page, notebook, name):
    """A cell by its id, scrolled to."""
    ids = [cell.id for cell in notebook.cells]
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(len(ids))
    cell = cells.nth(ids.index(name))
    for _ in range(2):      # the cells above get their height when they come into view
        cell.evaluate("cell => cell.scrollIntoView()")
        page.wait_for_timeout(500)
    return cell


def test_pictures_stand_in_a_row_and_a_play_fits_on_a_laptop(open_page, lab, notebooks):
    page = open_page(f"{lab}/lab/tree/00_start_here.ipynb?reset", viewport={"width": 1440, "height": 900})
    row = cell_of(page, read(notebooks / "00_start_here.ipynb"), "00-16")
    assert len(set(row.locator("strong").evaluate_all("all => all.map((title) => title.getBoundingClientRect().top)"))) == 1
    assert page.evaluate(SMALL_TEXT, 12) == []
    page = open_page(f"{lab}/lab/tree/lecture.ipynb?reset", viewport={"width": 1440, "height": 900})
    page.locator(".jp-Notebook .jp-showHiddenCellsButton").first.click()        # the run behind its first question
    view = cell_of(page, read(notebooks / "lecture.ipynb"), "03-05").locator(".view")
    assert view.evaluate("view => view.scrollHeight <= view.clientHeight && view.scrollWidth <= view.clientWidth")
    expect(view.locator("svg")).to_be_in_viewport(ratio=1)


def test_the_running_node_of_a_large_play_is_in_view_on_a_small_screen(open_page, lab):
    page = open_page(f"{lab}/lab/tree/06_two_branch_network.ipynb?reset", viewport={"width": 1024, "height": 768})
    play = cell_of(page, read(COURSE / "06_two_branch_network.ipynb"), "06-18b")
    play.locator(".player").focus()
    for step in range(1, 23):
        press(page, "ArrowRight")
        at(play, step)
        assert play.locator(".view").evaluate(IN_VIEW)
    assert page.evaluate(SMALL_TEXT, 12) == []


def test_a_link_in_a_notebook_jumps_to_a_word_of_the_glossary(open_page, lab, notebooks):
    cells = read(notebooks / "00_start_here.ipynb").cells
    places = {cell.id: place for place, cell in enumerate(cells) if cell.source.startswith("**") and "<br>" in cell.source}
    links = "\n".join(f"- [{word}](00_start_here.ipynb#cell-id={word})" for word in places)
    nbformat.write(new_notebook(cells=[new_markdown_cell(links)], metadata=METADATA), notebooks / "words.ipynb")
    page = open_page(f"{lab}/lab/tree/words.ipynb?reset")
    opened = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    page.get_by_role("link", name=list(places)[0], exact=True).click()      # jumps too, if all cells are there in ten seconds
    expect(opened.locator(".jp-Cell")).to_have_count(len(cells))
    for word, place in places.items():
        page.locator(".lm-TabBar-tabLabel", has_text="words.ipynb").click()
        page.get_by_role("link", name=word, exact=True).click()
        cell = opened.locator(f"[data-windowed-list-index='{place}']")
        expect(cell).to_contain_text(re.match(r"\*\*(.+?)\*\*", cells[place].source)[1])
        expect(cell).to_be_in_viewport(ratio=0.9)       # not 1: its edge may lie between two pixels


@pytest.mark.parametrize("name", WITH_A_PLAY)
def test_a_notebook_of_the_course_runs_without_a_complaint(open_page, lab, notebooks, name):
    notebook = read(notebooks / name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, notebooks / name)
    page = open_page(f"{lab}/lab/tree/{name}?reset")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(len(code))
    run_all(page)
    expect(cells.last.locator(".jp-InputPrompt")).to_have_text(f"[{len(code)}]:")
    expect(page.locator("figure.seegrad .player").first).to_be_attached()
    pictures = page.locator(".jp-Notebook img")
    assert pictures.count() and pictures.evaluate_all("all => all.filter((one) => !one.naturalWidth).length") == 0


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_to_open_and_save_a_notebook_changes_no_byte(open_page, lab, request, path):
    saved = request.getfixturevalue("notebooks") / f"saved_{path.name}"
    shutil.copy(path, saved)
    page = open_page(f"{lab}/lab/tree/{saved.name}?reset")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_be_visible()     # by what the kernel has said of itself
    page.locator(".jp-Notebook .jp-Cell").first.click()
    with page.expect_response(lambda answer: answer.request.method == "PUT" and saved.name in answer.url):
        page.keyboard.press("Control+s")
    assert saved.read_bytes() == path.read_bytes()


def test_the_picture_of_the_readme_shows_what_its_text_says(open_page, lab):
    """It is written to _build/browser/player.png. Where the player looks different now, copy it to docs/."""
    page = open_page(f"{lab}/lab/tree/trusted.ipynb?reset", viewport={"width": 1000, "height": 1400})
    play = figure(page, PLAY)
    play.locator(".player").focus()
    press(page, "ArrowRight ArrowRight")
    at(play, 2)
    text, = re.findall(r"!\[(.+?)\]\(docs/player.png\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert f'It says: "{play.locator(".says").inner_text()}"' in text
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-CodeCell", has=play).first.screenshot(path=SCREENSHOTS / "player.png")
