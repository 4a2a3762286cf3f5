"""The player and the switches as a reader meets them, in an export without a network and in JupyterLab."""

import re

import pytest
from sample import BRANCHES, FAILING, PLAY, TWICE, WHAT_IF

from project import read

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

THICK = "[stroke-width='5']"
WIDTHS = "figure => [...figure.querySelectorAll('g.node polygon + text')].map((text) => text.getComputedTextLength())"
# Each badge sits on the upper edge of its box, and none on another one.
STRAY_BADGES = """figure => [...figure.querySelectorAll('circle')].filter((badge) => {
    const edge = badge.parentNode.querySelector('polygon,path').getBBox(), x = badge.cx.baseVal.value;
    const same = [...figure.querySelectorAll('circle')].filter((other) => other.cx.baseVal.value === x
        && other.cy.baseVal.value === badge.cy.baseVal.value);
    return x < edge.x || x > edge.x + edge.width + 1 || Math.abs(badge.cy.baseVal.value - edge.y) > 1 || same.length > 1;
}).map((badge) => badge.nextSibling.textContent)"""

# VS Code runs a copy of each script of an output, which stands behind the output and is gone at once.
SHOW = """outputs => outputs.forEach((html) => document.body.append(Object.assign(document.createElement("div"),
    { className: "new", innerHTML: html })))"""
RUN_SCRIPTS = """() => document.querySelectorAll(".new").forEach((output) => {
    output.className = "";
    for (const script of [...output.getElementsByTagName("script")]) {
        const copy = Object.assign(document.createElement("script"), { text: script.innerText, type: script.type });
        output.appendChild(copy).remove();
    }
})"""


def figure(page, place):
    found = page.locator("figure.seegrad").nth(place)
    expect(found.locator(".player")).to_be_visible()
    return found


def press(page, keys):
    for key in keys.split():
        page.keyboard.press(key)


def says(figure, words):
    expect(figure.locator(".says")).to_contain_text(words)


def at(figure, step):
    says(figure, f"{step} of ")
    expect(figure.get_by_role("slider")).to_have_value(str(step))


def box(figure, name):
    return figure.locator("svg g.node").filter(has_text=name)


def badges(figure):
    """The badges in the picture, in the order of the boxes."""
    return figure.locator("circle + text").all_text_contents()


def test_the_buttons_step_and_every_step_is_said_and_marked(page):
    play = figure(page, PLAY)
    says(play, "0 of 5: 5 nodes, 1 tracked leaf, 2 saved tensors: 2 alive (24 B)")
    expect(box(play, "MulBackward0")).to_contain_text("● other () int64 8 B alive")
    assert badges(play) == [] and play.locator(THICK).count() == 0
    expect(play.get_by_role("button", name="Back")).to_be_disabled()
    expect(play.locator(".says")).to_have_attribute("aria-live", "polite")

    play.get_by_role("button", name="Step").click()
    says(play, "1 of 5: [5] MeanBackward0 receives 1")
    play.get_by_role("button", name="Step").click()
    says(play, "2 of 5: [4] MulBackward0 receives 0.25 in all of (2, 2); to [3] goes 0.25 × 3 = 0.75 in all of (2, 2); "
               "frees other; 16 B still saved")
    expect(box(play, "MulBackward0")).to_contain_text("○ other freed")
    expect(box(play, "PowBackward0")).to_contain_text("● self (2, 2) 16 B alive")
    expect(play.locator("g.node [stroke-dasharray='5,2']")).to_have_count(1)
    expect(play.locator(f"g.node {THICK}")).to_have_count(1)
    expect(box(play, "MulBackward0").locator(f":scope > {THICK}")).to_have_count(1)
    expect(play.locator(f"g.edge {THICK}")).to_have_count(1)
    expect(play.locator("g.edge [visibility=hidden]")).to_have_count(1)
    expect(play.locator("g.edge .number")).to_have_text("0.25")
    assert sorted(badges(play)) == ["1", "2"]

    for _ in range(3):
        play.get_by_role("button", name="Step").click()
    says(play, "5 of 5: [1] AccumulateGrad receives [4.5, 6, 7.5, 9]; x.grad: None → [4.5, 6, 7.5, 9]; 0 B still saved")
    says(play, "finished: 5 nodes, 1 tracked leaf, 2 saved tensors: 2 freed")
    expect(box(play, "leaf")).to_contain_text(".grad (2, 2)")
    expect(play.get_by_role("button", name="Step")).to_be_disabled()

    play.get_by_role("button", name="Back").click()
    at(play, 4)
    expect(box(play, "leaf")).to_contain_text(".grad None")


def test_the_keys_step_while_the_player_has_the_focus(page):
    play = figure(page, PLAY)
    play.locator(".player").focus()
    for keys, step in (("ArrowRight", 1), ("ArrowRight ArrowRight", 3), ("ArrowLeft", 2), ("End", 5), ("ArrowRight", 5),
                       ("Home", 0), ("ArrowLeft", 0)):
        press(page, keys)
        at(play, step)


def test_the_keys_still_step_after_a_click_on_a_button_or_on_the_picture(page):
    play = figure(page, PLAY)
    play.get_by_role("button", name="Step").click()
    press(page, "ArrowRight")
    at(play, 2)
    play.locator("svg").click()
    press(page, "ArrowRight")
    at(play, 3)


def test_a_button_that_has_done_its_work_leaves_the_focus_in_the_player(page):
    play = figure(page, PLAY)
    play.get_by_role("button", name="Step").focus()
    press(page, "Enter Enter Enter Enter Enter")
    at(play, 5)
    press(page, "ArrowLeft")
    at(play, 4)
    press(page, "Home")
    play.get_by_role("button", name="Step").click()
    play.get_by_role("button", name="Back").click()
    press(page, "ArrowRight")
    at(play, 1)


def test_the_keys_do_nothing_while_the_focus_is_elsewhere(page):
    play = figure(page, PLAY)
    play.locator(".player").focus()
    press(page, "ArrowRight")
    page.evaluate("document.activeElement.blur()")
    press(page, "ArrowRight End Space")
    figure(page, FAILING).locator(".player").focus()
    press(page, "ArrowRight")
    at(figure(page, FAILING), 1)
    at(play, 1)


def test_a_slide_show_does_not_turn_the_page_at_a_key_of_the_player(page):
    page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    play, choices = figure(page, PLAY), figure(page, WHAT_IF)
    for focused in (play.locator(".player"), play.get_by_role("button", name="Step"), choices.get_by_role("radio").first):
        focused.focus()
        press(page, "ArrowRight ArrowLeft ArrowDown ArrowUp Space Space")
        assert page.evaluate("heard.splice(0)") == []
        press(page, "PageDown")         # sent by a presenter's remote control
        assert page.evaluate("heard.splice(0)") == ["PageDown"]
    play.get_by_role("slider").focus()
    press(page, "ArrowDown End Home")
    assert page.evaluate("heard") == []
    assert page.locator("figure.seegrad .controls").count() == 0      # its own arrows: it hides all other buttons in them


def test_the_slider_goes_to_any_step(page):
    play = figure(page, PLAY)
    slider = play.get_by_role("slider")
    slider.fill("4")
    at(play, 4)
    expect(slider).to_have_attribute("aria-valuetext", "step 4 of 5")
    assert sorted(badges(play)) == ["1", "2", "3", "4"]
    slider.fill("1")
    at(play, 1)
    slider.press("ArrowRight")
    at(play, 2)


def test_two_players_on_a_page_do_not_disturb_each_other(page):
    play, failing = figure(page, PLAY), figure(page, FAILING)
    play.locator(".player").focus()
    press(page, "End")
    before = failing.inner_html()
    press(page, "Home ArrowRight ArrowRight")
    assert failing.inner_html() == before
    failing.locator(".player").focus()
    press(page, "ArrowRight")
    at(play, 2)
    at(failing, 1)
    assert page.locator("figure.seegrad [id], figure.seegrad svg title").count() == 0


def test_a_failing_play_says_where_and_why_it_stopped(page):
    failing = figure(page, FAILING)
    failing.locator(".player").focus()
    press(page, "End")
    says(failing, "2 of 2: [4] MulBackward0 receives 0.25 in all of (2, 2); stops here; 0 B still saved")
    says(failing, "stopped at [4] MulBackward0 by a RuntimeError: Trying to backward through the graph a second time")
    assert sorted(badges(failing)) == ["1", "✗"]


def test_a_folded_play_with_a_kept_graph_marks_the_way_and_frees_nothing(page):
    branches = figure(page, BRANCHES)
    branches.locator(".player").focus()
    for step, (name, arrows) in enumerate({"(2)": 1, "(1)": 2, "w": 1}.items(), 1):     # 2: through the box of features
        press(page, "ArrowRight")
        says(branches, f"{step} of 3: {name} receives ")
        expect(branches.locator(f"g.node:has(> {THICK})")).to_contain_text(name)
        expect(branches.locator(f"g.edge {THICK}")).to_have_count(arrows)
    says(branches, "finished: 9 nodes, 2 tracked leaves, 7 saved tensors: 7 alive (56 B)")
    expect(box(branches, ".grad (3,)")).to_have_count(1)
    expect(branches.locator("svg")).not_to_contain_text("freed")
    assert sorted(badges(branches)) == ["1", "2", "3"]


def test_words_and_badges_stay_in_their_boxes_even_where_one_runs_twice(page):
    twice = figure(page, TWICE)
    room = twice.evaluate(WIDTHS)
    twice.locator(".player").focus()
    for step in range(1, 6):
        press(page, "ArrowRight")
        at(twice, step)
        assert all(now <= most + 1 for now, most in zip(twice.evaluate(WIDTHS), room, strict=True))
        assert twice.evaluate(STRAY_BADGES) == []
    assert sorted(badges(box(twice, "(3) "))) == ["1", "3"]


def test_what_if_shows_one_picture_for_each_choice(page):
    choices = figure(page, WHAT_IF)
    pictures = choices.locator(".stills > div")
    expect(pictures).to_have_count(4)

    def shown(title):
        expect(pictures.filter(visible=True).locator("strong")).to_have_text([title])
        expect(choices.locator("[aria-live]")).to_have_text(re.compile(f"^{title}: "))

    shown("x: True, w: True")
    choices.get_by_role("group", name="w").get_by_label("False").check()
    shown("x: True, w: False")
    choices.get_by_role("group", name="x").get_by_role("radio").first.focus()
    press(page, "ArrowDown")
    shown("x: False, w: False")
    press(page, "Tab ArrowUp")
    shown("x: False, w: True")


# Only in the export: the page's clock is held, its scripts are switched off, its settings are others.

def test_a_play_goes_on_by_itself_and_pauses(open_page, export):
    page = open_page("about:blank", offline=True)
    page.clock.install()
    page.goto(export.as_uri())
    play = figure(page, PLAY)
    play.locator(".player").focus()
    press(page, "Space")
    page.clock.run_for(3000)
    at(play, 2)
    play.get_by_role("button", name="Pause").click()
    page.clock.run_for(9000)
    at(play, 2)
    press(page, "Space")        # the button has the focus
    page.clock.run_for(1500)
    at(play, 3)
    page.clock.run_for(9000)
    at(play, 5)
    play.get_by_role("button", name="Play").click()
    at(play, 0)


def test_a_script_that_stands_elsewhere_makes_each_figure_once(open_page, notebooks):
    page = open_page("about:blank", offline=True)
    outputs = [output.data["text/html"] for cell in read(notebooks / "sample.ipynb").cells[2:] for output in cell.outputs]
    page.evaluate(SHOW, outputs)
    page.evaluate(RUN_SCRIPTS)
    expect(page.locator("figure.seegrad > .player")).to_have_count(5)
    for place in range(5):
        expect(figure(page, place).locator(".player")).to_have_count(1)
    figure(page, PLAY).locator(".player").focus()
    press(page, "ArrowRight")
    at(figure(page, PLAY), 1)
    at(figure(page, FAILING), 0)
    figure(page, WHAT_IF).get_by_role("group", name="w").get_by_label("False").check()
    expect(figure(page, WHAT_IF).locator("[aria-live]")).to_contain_text("x: True, w: False: ")

    page.evaluate(SHOW, outputs[:1])        # the cell is run again, and its new output stands behind the others
    page.evaluate(RUN_SCRIPTS)
    expect(page.locator("figure.seegrad > .player")).to_have_count(6)
    at(figure(page, 5), 0)
    at(figure(page, PLAY), 1)


@pytest.mark.parametrize("wish, animation", [("no-preference", "seegrad-now"), ("reduce", "none")])
def test_nothing_moves_for_readers_who_asked_for_that(open_page, export, wish, animation):
    page = open_page(export.as_uri(), offline=True, reduced_motion=wish)
    play = figure(page, PLAY)
    play.get_by_role("button", name="Step").click()
    now = play.locator("svg .now")
    assert now.evaluate("element => getComputedStyle(element).animationName") == animation
    assert now.evaluate("element => getComputedStyle(element).transitionDuration") == "0s"


def test_without_scripts_the_stills_and_the_steps_as_text_remain(open_page, export):
    page = open_page(export.as_uri(), offline=True, java_script_enabled=False)
    play = page.locator("figure.seegrad").first
    expect(play.locator("img")).to_have_count(2)
    for still, alt in zip(play.locator("img").all(), ("2 saved tensors: 2 alive", "2 saved tensors: 2 freed")):
        expect(still).to_be_visible()
        expect(still).to_have_attribute("alt", re.compile(alt))
    expect(page.get_by_role("button")).to_have_count(0)
    play.locator("summary").click()
    expect(play.locator("pre")).to_contain_text("2. [4] MulBackward0 receives 0.25 in all of (2, 2); to [3] goes 0.25 × 3 = ")
    expect(page.locator("figure.seegrad").nth(WHAT_IF).locator("img")).to_have_count(4)
