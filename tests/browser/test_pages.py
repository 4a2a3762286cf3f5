"""The pages to read, opened from the disk without a network: with axe, with the keyboard alone, on a phone, and in the dark."""

import pytest
from test_player import press, says

from project import notebooks

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

NAMES = ["index", *(path.stem for path in notebooks())]
UNFOLD = "document.querySelectorAll('details').forEach((fold) => fold.open = true)"
# A word for each thing found: the rule, where it was broken, and what would mend it.
RUN_AXE = """rules => axe.run(document, { resultTypes: ["violations"], ...rules }).then((found) => found.violations.flatMap(
    (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target}: ${node.html.slice(0, 100)}: ${node.failureSummary}`)))"""
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# nbconvert gives a picture without alt text one that says nothing.
BAD_PICTURES = """all => all.filter((image) => !image.alt.trim() || image.alt.startsWith("No description") || !image.naturalWidth)
    .map((image) => image.outerHTML.slice(0, 100))"""
# What hangs over the right edge, and is in no box of its own that scrolls.
TOO_WIDE = """width => document.documentElement.scrollWidth <= width ? [] : [...document.querySelectorAll("body *")].filter(
    (part) => part.getBoundingClientRect().right > width && !part.parentElement.closest(".box, .picture, .view"))
    .map((part) => part.outerHTML.slice(0, 100))"""
# The pictures whose smallest text is shown smaller than so many pixels, and those that are stretched.
SMALL_TEXT = """least => [...document.querySelectorAll("figure img, .view svg[width$=pt]")]
    .filter((one) => one.getClientRects().length)
    .map((one) => {
        const { width, height } = one.getBoundingClientRect();
        const svg = one.src ? atob(one.src.split(",")[1]) : one.outerHTML;
        const [, points, high] = svg.match(/<svg[^>]* width="([.0-9]+)pt" height="([.0-9]+)pt"/);
        const sizes = [...svg.matchAll(/font-size="([.0-9]+)"/g)].map((found) => +found[1]);
        sizes.push(...[...svg.matchAll(/scale\\(([.0-9]+) -\\1\\)/g)].map((found) => 100 * found[1]));
        for (const badge of one.querySelectorAll(".badge + text")) sizes.push(parseFloat(getComputedStyle(badge).fontSize));
        return { text: Math.min(...sizes) * width / points, stretched: height / width * points / high, alt: one.alt };
    }).filter(({ text, stretched }) => !(text > least - 0.01) || Math.abs(stretched - 1) > 0.02)"""
# The plots of a page whose legend lies over a bar or a line: sought every two points along the outline of each.
UNDER_A_LEGEND = """() => [...document.querySelectorAll("figure img")].map((image) => {
    const shown = document.body.appendChild(document.createElement("div"));
    shown.innerHTML = new TextDecoder().decode(Uint8Array.from(atob(image.src.split(",")[1]), (one) => one.charCodeAt(0)));
    const drawn = [...shown.querySelectorAll("path[clip-path]")];
    const covered = [...shown.querySelectorAll("[id^=legend]")].some((legend) => {
        const { x, y, width, height } = legend.getBBox();
        return drawn.some((path) => [...Array(Math.ceil(path.getTotalLength() / 2)).keys()].some((step) => {
            const point = path.getPointAtLength(2 * step);
            return point.x > x && point.x < x + width && point.y > y && point.y < y + height;
        }));
    });
    shown.remove();
    return covered && image.alt.slice(0, 60);
}).filter(Boolean)"""
FOCUSED = "() => document.activeElement.outerHTML.slice(0, 200)"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_no_barrier_in_light_and_in_the_dark(open_offline, axe, name):
    page = open_offline(name)
    page.evaluate(UNFOLD)
    page.evaluate(axe)
    assert page.evaluate(RUN_AXE, {}) == []
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(RUN_AXE, COLOURS) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_on_a_phone_and_loses_nothing_at_twice_the_size(open_offline, name):
    page = open_offline(name)
    pictures = page.locator("img")
    assert pictures.count() and pictures.evaluate_all(BAD_PICTURES) == []
    for play in page.locator("figure.seegrad").all():
        expect(play.locator(".player")).to_be_attached()
    page.evaluate(UNFOLD)
    for width, height in ((360, 740), (640, 400)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(TOO_WIDE, width) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_a_picture_is_small(open_offline, name):
    page = open_offline(name)
    for play in page.locator(".player:has(.view)").all():
        play.focus()
        press(page, "ArrowRight")
    page.evaluate(UNFOLD)
    for width, least in ((1440, 12), (1024, 12), (390, 9)):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(SMALL_TEXT, least) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_legend_lies_over_what_it_explains(open_offline, name):
    assert open_offline(name).evaluate(UNDER_A_LEGEND) == []


def test_on_a_phone_a_small_graph_fits_and_a_large_one_says_that_it_scrolls(open_offline):
    page = open_offline("06_two_branch_network", viewport={"width": 390, "height": 844})
    plays = page.locator("figure.play")
    expect(plays.first.get_by_text("scroll it")).to_be_visible()
    small = plays.filter(has_text="backward from features: 1 step").first
    assert small.locator(".view").evaluate("view => view.scrollWidth <= view.clientWidth")
    expect(small.get_by_text("scroll it")).to_be_hidden()
    large = page.locator(".picture.scrolls").first
    expect(large).to_have_attribute("tabindex", "0")
    assert "scroll it" in large.evaluate("box => getComputedStyle(box, '::after').content")
    expect(page.locator(".picture:not(.scrolls)").first).not_to_have_attribute("tabindex", "0")


def test_the_keyboard_alone_skips_to_the_text_unfolds_an_answer_and_steps_a_play(open_offline):
    page = open_offline("03_several_losses", color_scheme="dark")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the text")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return page.locator(":focus")
        raise AssertionError(f"60 Tabs do not lead to {selector}, but to {page.evaluate(FOCUSED)}")

    fold = tab_to("main details:not(.box details) > summary").locator("..")
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("open", "")
    tab_to("details.answer > summary")
    page.keyboard.press("Enter")        # and the run behind the question is there
    player = tab_to(".player")
    outline = player.evaluate("element => getComputedStyle(element).outline")
    assert outline == "rgb(124, 183, 255) solid 3px"        # which can be seen in the dark
    press(page, "ArrowRight ArrowRight ArrowLeft")
    says(page.locator("figure.seegrad").first, "1 of ")


def test_only_a_box_that_scrolls_is_a_stop_of_the_tab_key(open_offline):
    page = open_offline("08_error_clinic")
    table = page.get_by_role("group", name="Table: The message begins with")
    expect(table).not_to_have_attribute("tabindex", "0")
    page.set_viewport_size({"width": 360, "height": 740})
    expect(table).to_have_attribute("tabindex", "0")
    table.evaluate("box => box.onscroll = () => box.dataset.scrolled = 'yes'")
    table.focus()
    page.keyboard.press("ArrowRight")
    expect(table).to_have_attribute("data-scrolled", "yes")


def test_links_lead_from_page_to_page_and_to_a_case(open_offline):
    page = open_offline("index")
    page.get_by_role("link", name="08 · The error clinic").click()
    page.get_by_role("link", name="Can't call numpy() on Tensor that requires grad").click()
    expect(page.get_by_role("heading", name="Case 12: Can't call numpy()")).to_be_in_viewport()
    page.get_by_role("contentinfo").get_by_role("link", name="09 · ").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("09 · ")


def test_a_link_leads_to_a_word_of_the_glossary(open_offline):
    page = open_offline("00_start_here")
    page.get_by_role("link", name="computation graph").click()
    word = page.locator(":target")
    expect(word).to_contain_text("The record of what was computed from what")
    expect(word).to_be_in_viewport(ratio=1)


def test_without_scripts_all_boxes_can_be_scrolled_and_the_stills_are_there(open_offline):
    page = open_offline("03_several_losses", java_script_enabled=False)
    boxes = page.locator(".box")
    assert boxes.count() == page.locator(".box[tabindex='0']").count() > 20
    page.locator("details.run > summary").first.click()
    expect(page.locator("figure.seegrad img").first).to_be_visible()


def test_paper_is_white_and_shows_no_buttons(open_offline):
    page = open_offline("03_several_losses", color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.locator(".seegrad .buttons").first).not_to_be_visible()
