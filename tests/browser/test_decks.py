"""Every slide fits its screen of 1280 × 720: in the decks, from the disk without a network, and live in JupyterLab."""

import contextlib

import pytest

import slides
from project import notebooks

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import TimeoutError, expect
from test_player import press

THE_LECTURE = notebooks()[3]
SCREEN = {"width": 1280, "height": 720}
# A line for each slide that hangs over an edge, all unfolded and in any step of its plays, and how many slides there are.
MEASURE = """async () => {
    const found = [], leaves = [...document.querySelectorAll(".slides section")].filter((one) => !one.querySelector("section"));
    for (const slide of leaves) {
        const { h, v } = Reveal.getIndices(slide);
        Reveal.slide(h, v);
        await new Promise(requestAnimationFrame);
        slide.querySelectorAll("details").forEach((fold) => fold.open = true);
        const measure = () => {
            for (const cell of slide.querySelectorAll(".jp-Cell")) {
                const { bottom, right } = cell.getBoundingClientRect();
                if (!cell.closest("aside") && (bottom > innerHeight || right > innerWidth))
                    found.push(`slide ${h}/${v} ends at ${Math.round(bottom)}: ${slide.innerText.trim().slice(0, 60)}`);
            }
        };
        measure();
        for (const slider of slide.querySelectorAll(".player input[type=range]")) {
            for (let step = 1; step <= +slider.max; step++) {
                slider.value = step;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                await new Promise(requestAnimationFrame);
                measure();
            }
        }
    }
    return [found, leaves.length];
}"""
# The slide that is shown live: its place, its first words, and where it ends, with everything unfolded.
SHOWN = """() => {
    const slide = [...document.querySelectorAll(".slides section.present")].pop();
    slide.querySelectorAll("details").forEach((fold) => fold.open = true);
    document.activeElement.blur();
    const ends = [...slide.querySelectorAll(".jp-Cell")].filter((cell) => !cell.closest("aside"))
        .map((cell) => cell.getBoundingClientRect().bottom);
    return [location.hash, slide.innerText.trim().slice(0, 60), Math.max(...ends)];
}"""


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_no_slide_of_a_deck_hangs_over_an_edge(open_page, tmp_path, path):
    deck = tmp_path / "deck.html"
    deck.write_text(slides.deck(path), encoding="utf-8")
    page = open_page(deck.as_uri(), offline=True, viewport=SCREEN)
    page.wait_for_function("Reveal.isReady()")
    found, count = page.evaluate(MEASURE)
    assert found == [] and count > 10


def test_a_play_in_a_deck_steps_and_the_deck_stays(open_page, tmp_path):
    deck = tmp_path / "deck.html"
    deck.write_text(slides.deck(THE_LECTURE), encoding="utf-8")
    page = open_page(deck.as_uri() + "#/1/1", offline=True)       # behind the vote
    player = page.locator("section.present section.present .player")
    player.focus()
    press(page, "ArrowRight ArrowRight")
    expect(player.locator(".says")).to_contain_text("2 of 4")
    assert page.evaluate("Reveal.getIndices().h") == 1
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("Space")
    page.wait_for_function("Reveal.getIndices().h !== 1 || Reveal.getIndices().v === 2")


def test_a_link_leads_to_the_slide_of_a_word(open_page, tmp_path):
    deck = tmp_path / f"{notebooks()[0].stem}.html"
    deck.write_text(slides.deck(notebooks()[0]), encoding="utf-8")
    page = open_page(deck.as_uri(), offline=True, viewport=SCREEN)
    page.get_by_role("link", name="computation graph").click()
    expect(page.locator("section.present section.present")).to_contain_text("The record of what was computed from what")


def test_the_lecture_of_03_from_its_first_slide_to_its_last(open_page, lab):
    page = open_page(f"{lab}/rise/lecture.ipynb", viewport=SCREEN)
    expect(page.locator(".slides section.present section.present")).to_contain_text("03 · Several losses")
    expect(page.locator("figure.seegrad .player").first).to_be_attached()
    places, too_long = [], []
    while not places or places[-1] != page.evaluate("location.hash"):
        place, words, end = page.evaluate(SHOWN)
        places.append(place)
        if end > SCREEN["height"]:
            too_long.append(f"{place} ends at {end:.0f}: {words}")
        page.keyboard.press("Space")
        with contextlib.suppress(TimeoutError):      # behind the last slide there is none
            page.wait_for_function("place => location.hash !== place", arg=place, timeout=5_000)
        page.wait_for_timeout(200)      # for RISE to lay the slide out
    assert too_long == [] and len(places) > 40
