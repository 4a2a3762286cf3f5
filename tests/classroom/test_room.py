"""Votes in the room: students press a letter in their own JupyterLab, and the lecturer's slide shows bars. In a real browser."""

import json

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-browser installs it")
from browser import find_browser

expect = sync_api.expect
NOTEBOOK = "notebooks/03_several_losses.ipynb"
SCREEN = {"width": 1280, "height": 720}
PATIENCE = 120_000      # milliseconds until a server is there, on a machine that has much else to do


@pytest.fixture
def enter(room):
    """A function that logs somebody in, each with a browser of their own, and opens a page of their server."""
    path = find_browser()
    if not path:
        pytest.skip("no browser: install Chromium, for example: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def enter(name, word, path, pin=""):
            page = browser.new_context(viewport=SCREEN).new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"{room.address}/hub/user-redirect/{path}")
            page.fill("#username_input", name)
            page.fill("#password_input", word)
            page.fill("#pin_input", pin)
            page.click("#login_submit", no_wait_after=True)
            return page

        yield enter
        browser.close()


def test_the_lecturer_sees_how_many_chose_each_answer_when_the_lecturer_wants(room, enter):
    settings = json.loads((room.folder / "hub/settings.json").read_text(encoding="utf-8"))
    slide = enter("lecturer", settings["lecturer_word"], f"rise/{NOTEBOOK}")
    students = [enter(name, room.word, f"lab/tree/{NOTEBOOK}", "1234") for name in ("vera", "viktor")]
    expect.set_options(timeout=PATIENCE)

    now = slide.locator(".slides section.present section.present")
    expect(now).to_contain_text("03 · Several losses")
    answers = now.locator("details.answer > summary")
    while not answers.first.is_visible():
        slide.keyboard.press("Space")
        slide.wait_for_timeout(500)
    line = slide.locator(".course-votes")
    expect(line).to_have_text("0 votes. V shows them.")

    for page, letter in zip(students, "AB"):
        asks = page.locator(".jp-Notebook .jp-Cell").filter(has=page.locator("details.answer")).first
        asks.scroll_into_view_if_needed()
        asks.locator("h2").click()
        with page.expect_response(lambda reply: reply.request.method == "POST" and "/votes/" in reply.url) as reply:
            page.keyboard.press(letter)
        assert reply.value.json() == {"counted": True}
        expect(asks.locator("details.answer[open]")).to_contain_text(f"{letter}. ")
        with page.expect_response(lambda reply: reply.request.method == "POST" and "/votes/" in reply.url) as reply:
            asks.locator("details.answer[open] > summary").click()      # closes it
            asks.locator("summary", has_text="C. ").click()
        assert reply.value.json() == {"counted": False}
    expect(line).to_have_text("2 votes. V shows them.")
    expect(now.locator("[data-votes]")).to_have_count(0)

    slide.keyboard.press("v")
    expect(line).to_contain_text("A 1, B 1, C 0")
    assert [answer.get_attribute("data-votes") for answer in answers.all()] == ["1", "1", "0"]
    widths = answers.evaluate_all("all => all.map((one) => getComputedStyle(one).backgroundSize.split(',')[0])")
    assert widths == ["50% 5px", "50% 5px", "0% 5px"]
    expect(line.get_by_role("status")).to_have_attribute("aria-live", "polite")

    for letter in "bac":        # each opens its answer, and the bars stay
        slide.keyboard.press(letter)
    expect(now.locator("details.answer[open]")).to_have_count(3)
    expect(line).to_be_hidden()
    assert [answer.get_attribute("data-votes") for answer in answers.all()] == ["1", "1", "0"]
    answers.last.scroll_into_view_if_needed()
    assert slide.evaluate("scrollX + scrollY") == 0

    for answer in answers.all():
        answer.click()
    line.get_by_role("button", name="Forget these votes").click()
    expect(line).to_contain_text("A 0, B 0, C 0")
    for page in students:
        expect(page.locator(".course-votes, [data-votes]")).to_have_count(0)
