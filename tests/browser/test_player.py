"""The player and the switches as a reader meets them, in an export without a network and in JupyterLab."""

import re

import pytest
from sample import BACKWARD_IN_CODE, BRANCHES, FAILING, FIGURES, PLAY, PLOTS, TWICE, WATCH, WHAT_IF

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
    expect(box(play, "MulBackward0")).to_contain_text("● other = 3 () int64 8 B alive")
    assert badges(play) == [] and play.locator(THICK).count() == 0
    expect(play.get_by_role("button", name="Back")).to_be_disabled()
    expect(play.locator(".says")).to_have_attribute("aria-live", "polite")

    play.get_by_role("button", name="Step").click()
    says(play, "1 of 5: [5] MeanBackward0 receives 1")
    play.get_by_role("button", name="Step").click()
    says(play, "2 of 5: [4] MulBackward0 receives 0.25 in all of (2, 2); to [3] goes 0.25 × 3 = 0.75 in all of (2, 2); "
               "frees other; 16 B still saved")
    expect(box(play, "MulBackward0")).to_contain_text("○ other freed")
    expect(box(play, "PowBackward0")).to_contain_text("● self = [3, 4, 5, 6] (2, 2) 16 B alive")
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


PLACES = """figure => [...figure.querySelectorAll("g.node:not(.absent)")].map((node) => {
    const { x, y, width, height } = node.firstElementChild.getBBox();
    return `${node.querySelector("text").textContent.replace(/^\\[.*\\] /, "")} at ${[x, y, width, height]}`;
})"""


def test_the_switches_show_the_graph_of_each_choice_and_its_boxes_keep_their_places(page):
    choices = figure(page, WHAT_IF)
    expect(choices.locator("svg")).to_have_count(1)

    def shown(title, there, outlines):
        expect(choices.locator("[aria-live]")).to_have_text(re.compile(f"^{title}: "))
        expect(choices.locator("g.node:not(.absent) text:first-of-type")).to_have_text(there)
        expect(choices.locator("g.node.absent")).to_have_count(outlines)
        for words in choices.locator("g.absent text").all():
            expect(words).to_be_hidden()

    shown("x: True, w: True", ["[3] MulBackward0", "[4] SumBackward0", "result 1", "[1] AccumulateGrad", "x",
                               "[2] AccumulateGrad", "w"], 3)
    before, height = choices.evaluate(PLACES), choices.bounding_box()["height"]
    choices.get_by_role("group", name="w").get_by_label("False").check()
    shown("x: True, w: False", ["[2] MulBackward0", "[3] SumBackward0", "result 1", "[1] AccumulateGrad", "x", "w"], 4)
    expect(box(choices, "MulBackward0")).to_contain_text("● other = w (2,) 8 B alive")
    after = choices.evaluate(PLACES)
    assert {place for place in after if not place.startswith("w ")} < {*before} and len(after) == 6
    assert choices.bounding_box()["height"] == height
    choices.get_by_role("group", name="x").get_by_role("radio").first.focus()
    press(page, "ArrowDown")
    expect(choices.locator("g.node:not(.absent)")).to_have_count(3)     # two tensors, and what was computed from them
    press(page, "Tab ArrowUp")
    expect(choices.locator("[aria-live]")).to_have_text(re.compile("^x: False, w: True: "))


def test_pictures_that_are_no_graphs_take_turns_at_one_height(page):
    plots = figure(page, PLOTS)
    expect(plots.locator("img").filter(visible=True)).to_have_count(1)
    first, height = plots.locator("img").filter(visible=True).bounding_box(), plots.bounding_box()["height"]
    plots.get_by_label("True").check()
    expect(plots.locator("[aria-live]")).to_have_text("high: True")
    expect(plots.locator("img").filter(visible=True)).to_have_count(1)
    assert plots.locator("img").filter(visible=True).bounding_box()["height"] > first["height"] + 50
    assert plots.bounding_box()["height"] == height


# Code, line by line

def lit(figure):
    return figure.locator(".line.lit")


def names_of(figure):
    """The table of names: for each row whether it is marked, and its words."""
    return figure.locator(".names tbody tr:not([aria-hidden])").evaluate_all(
        "rows => rows.map((row) => [row.matches('.changed'), ...[...row.cells].map((cell) => cell.textContent)])")


MARK = "line => getComputedStyle(line, '::before').content"


def test_a_watch_marks_the_line_that_ran_and_what_it_made(page):
    watch = figure(page, WATCH)
    says(watch, "0 of 5: no graph")
    assert lit(watch).count() == 0
    watch.locator(".player").focus()
    press(page, "ArrowRight ArrowRight")
    says(watch, "2 of 5: line 2: [2] MulBackward0 and y are made")
    expect(lit(watch)).to_have_text(["y = w * x"])
    assert "▶" in lit(watch).evaluate(MARK) and "▶" not in watch.locator(".line").first.evaluate(MARK)
    expect(watch.locator("g.node:has(> .now) text:first-of-type")).to_have_text(["[1] AccumulateGrad", "[2] MulBackward0", "y"])
    expect(watch.locator("g.node.absent")).to_have_count(2)
    expect(watch.locator("g.edge.absent")).to_have_count(2)
    assert badges(watch) == []
    assert watch.locator(".code").inner_text().count("s.detach().add_(1)") == 1
    press(page, "ArrowRight ArrowRight")
    expect(box(watch, "SigmoidBackward0")).to_contain_text("▲ result = s (2,) 8 B changed in place")
    expect(watch.locator(".absent")).to_have_count(0)


def test_what_is_absent_has_no_words_and_what_is_gone_is_struck_through(page):
    watch = figure(page, WATCH)
    for words in watch.locator("g.absent text").all():
        expect(words).to_be_hidden()
    assert watch.locator("g.node.absent").count() == 5
    watch.locator(".player").focus()
    press(page, "End")
    gone = watch.locator("g.node.gone")
    expect(gone).to_have_count(1)
    expect(gone).to_contain_text("not tracked (2,)")
    assert "line-through" in gone.locator("text").first.evaluate("text => getComputedStyle(text).textDecoration")
    expect(watch.locator("g.edge.gone")).to_have_count(1)
    press(page, "ArrowLeft")
    expect(watch.locator(".gone")).to_have_count(0)


def test_the_table_tells_what_the_names_stand_for_and_marks_what_changed(page):
    watch = figure(page, WATCH)
    assert names_of(watch) == []
    room = watch.locator(".names").bounding_box()["height"]
    watch.get_by_role("slider").fill("3")
    rows = [["x", "[1, 2]", "False", "None", "0"], ["w", "[0.5, 0.25]", "True", "None", "0"],
            ["y", "[0.5, 0.5]", "True", "None", "0"]]
    assert names_of(watch) == [[False, *row] for row in rows] + [[True, "s", "[0.6225, 0.6225]", "True", "None", "0"]]
    press(page, "ArrowRight")
    assert names_of(watch)[-1] == [True, "s", "[1.622, 1.622]", "True", "None", "1"]
    expect(watch.locator("td.changed")).to_have_text(["[1.622, 1.622]", "1"])
    assert watch.locator("tr.changed th").evaluate("cell => getComputedStyle(cell, '::before').visibility") == "visible"
    press(page, "ArrowRight")
    assert [row[:2] for row in names_of(watch)] == [[False, "w"], [False, "y"], [False, "s"]]
    assert watch.locator(".names").bounding_box()["height"] == room      # what stands below stays where it is


def test_a_click_on_a_line_goes_to_the_next_step_on_it(page):
    watch = figure(page, BACKWARD_IN_CODE)
    line = watch.locator(".line").filter(has_text="loss.backward()")
    for step in (2, 3, 4, 5, 2):
        line.click()
        at(watch, step)
        expect(lit(watch)).to_have_text(["loss.backward()"])
    watch.get_by_role("slider").fill("0")
    watch.locator(".line").first.evaluate("line => getSelection().selectAllChildren(line)")
    watch.locator(".line").first.dispatch_event("click")       # at the end of a selection
    at(watch, 0)
    figure(page, WATCH).locator(".line:not(.runs)").first.dispatch_event("click")
    at(figure(page, WATCH), 0)


def test_the_nodes_of_a_backward_in_code_are_numbered_while_it_runs(page):
    watch = figure(page, BACKWARD_IN_CODE)
    watch.locator(".player").focus()
    for step, numbers in enumerate([[], [], ["1"], ["1", "2"], ["1", "2", "3"], []], 1):
        press(page, "ArrowRight")
        at(watch, step)
        assert sorted(badges(watch)) == numbers
    expect(watch.locator("g.node.gone")).to_have_count(4)


WIDTH = "svg => parseFloat(getComputedStyle(svg).width)"


def test_the_picture_zooms_by_keys_buttons_and_the_wheel_and_its_frame_stays(page):
    for place in (PLAY, WATCH, WHAT_IF):
        shown = figure(page, place)
        picture, view = shown.locator("svg"), shown.locator(".view")
        width, frame = picture.evaluate(WIDTH), view.bounding_box()
        view.focus()
        press(page, "+")
        assert picture.evaluate(WIDTH) == pytest.approx(1.25 * width, rel=0.01)
        shown.get_by_role("button", name="Zoom in").click()
        assert picture.evaluate(WIDTH) == pytest.approx(1.25 ** 2 * width, rel=0.01)
        press(page, "- - -")
        shown.get_by_role("button", name="Zoom out").click()
        assert picture.evaluate(WIDTH) == pytest.approx(1.25 ** -2 * width, rel=0.01)
        view.hover()
        page.keyboard.down("Control")
        page.mouse.wheel(0, -300)
        page.keyboard.up("Control")
        page.wait_for_function("([svg, least]) => parseFloat(getComputedStyle(svg).width) > least",
                               arg=[picture.element_handle(), width])
        for _ in range(12):
            shown.get_by_role("button", name="Zoom in").click()
        expect(shown.get_by_text("larger than its frame")).to_be_visible()
        shown.get_by_role("button", name="Fit").click()
        assert view.evaluate("view => view.scrollHeight <= view.clientHeight && view.scrollWidth <= view.clientWidth")
        expect(shown.get_by_text("larger than its frame")).to_be_hidden()
        after = view.bounding_box()
        assert (after["width"], after["height"]) == pytest.approx((frame["width"], frame["height"]), abs=1)


def test_a_zoomed_picture_is_dragged_and_stays_so_at_the_next_step(page):
    play = figure(page, PLAY)
    view, picture = play.locator(".view"), play.locator("svg")
    view.focus()
    press(page, "+ + + + +")
    view.evaluate("view => view.scrollTo(0, 0)")
    edges = view.bounding_box()
    page.mouse.move(edges["x"] + 150, edges["y"] + 150)
    page.mouse.down()
    page.mouse.move(edges["x"] + 100, edges["y"] + 50, steps=5)
    page.mouse.up()
    assert view.evaluate("view => [view.scrollLeft, view.scrollTop]") == pytest.approx([50, 100], abs=2)
    width = picture.evaluate(WIDTH)
    press(page, "ArrowRight")
    at(play, 1)
    assert picture.evaluate(WIDTH) == width


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
    expect(page.locator("figure.seegrad > .player")).to_have_count(len(FIGURES))
    for place in FIGURES:
        expect(figure(page, place).locator(".player")).to_have_count(1)
    figure(page, PLAY).locator(".player").focus()
    press(page, "ArrowRight")
    at(figure(page, PLAY), 1)
    at(figure(page, FAILING), 0)
    figure(page, WHAT_IF).get_by_role("group", name="w").get_by_label("False").check()
    expect(figure(page, WHAT_IF).locator("[aria-live]")).to_contain_text("x: True, w: False: ")

    page.evaluate(SHOW, outputs[:1])        # the cell is run again, and its new output stands behind the others
    page.evaluate(RUN_SCRIPTS)
    expect(page.locator("figure.seegrad > .player")).to_have_count(len(FIGURES) + 1)
    at(figure(page, len(FIGURES)), 0)
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
    watch = page.locator("figure.seegrad").nth(WATCH)
    expect(watch.locator("pre").nth(1)).to_have_text("y = w * x")
    still = watch.locator("img").first
    expect(still).to_be_hidden()
    watch.locator("summary").first.click()
    expect(still).to_be_visible()
    assert still.evaluate("image => image.naturalWidth") > 0


SIDES = """figure => ["code", "view", "names"].map((name) => figure.querySelector("." + name).getBoundingClientRect())
    .map(({ left, right, top, bottom }) => [left, right, top, bottom])"""


@pytest.mark.parametrize("width, height", [(1280, 720), (800, 600), (390, 800)])
def test_words_and_picture_stand_side_by_side_where_there_is_room(open_page, export, width, height):
    page = open_page(export.as_uri(), offline=True, viewport={"width": width, "height": height})
    watch = figure(page, WATCH)
    watch.locator(".player").focus()
    press(page, "ArrowRight ArrowRight ArrowRight ArrowRight")
    code, view, names = watch.evaluate(SIDES)
    if width > 1000:
        assert code[1] <= view[0] and names[1] <= view[0] and view[1] <= width
        assert watch.locator(".player").bounding_box()["height"] <= height - 120
    else:
        assert code[3] <= names[2] and names[3] <= view[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert view[3] - view[2] > 200


CONTRAST = """([figure, selector]) => {
    const shine = (colour) => colour.map((part) => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const parts = (colour) => [...colour.match(/[.\\d]+/g).map(Number), 1].slice(0, 4);
    const element = figure.querySelector(selector), layers = [];
    for (let one = element; one; one = one.parentElement) layers.unshift(parts(getComputedStyle(one).backgroundColor));
    const under = layers.reduce((below, [r, g, b, a]) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a)),
        [255, 255, 255]);
    const [high, low] = [shine(parts(getComputedStyle(element).color).slice(0, 3)), shine(under)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_and_table_can_be_read_in_the_light_and_in_the_dark(open_page, export, theme):
    page = open_page(export.as_uri(), offline=True)
    if theme == "dark":     # as JupyterLab does it
        page.add_style_tag(content="body { background: #111; color: #ddd; } :root { --jp-content-font-color1: #ddd; "
                                   "--jp-layout-color0: #111; --jp-layout-color1: #111; }")
    watch = figure(page, WATCH)
    watch.locator(".player").focus()
    press(page, "ArrowRight ArrowRight ArrowRight ArrowRight")
    for selector in (".line", ".line.lit", ".says div", ".names th", ".names td", ".names td.changed"):
        assert page.evaluate(CONTRAST, [watch.element_handle(), selector]) > 4.5, selector
