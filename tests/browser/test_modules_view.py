"""The view in which modules open and fold, as a reader meets it."""

import json
import random
import re

import pytest
import torch
from torch import nn

import nested
from seegrad import modules, play_backward, show_graph
from seegrad.looks import SLOTS

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect
from test_player import CONTRAST, at, badges, press, says

QUERY = "layer.7.attention.self.query"
WORDS = "boxes => boxes.map((box) => [...box.querySelectorAll('text:not(.badge + text)')].map((text) => text.textContent))"
# Boxes: [key, left, top, right, bottom, keys of the frames around it]. Lines: points along each arrow.
GEOMETRY = """picture => {
    const place = (element) => { const { x, y, width, height } = element.getBBox(); return [x, y, x + width, y + height]; };
    const boxes = [...picture.querySelectorAll(".node")].map((box) => [box.dataset.key, ...place(box)]);
    const frames = [...picture.querySelectorAll(".frame")].map((frame) => [frame.dataset.key, ...place(frame)]);
    const words = [...picture.querySelectorAll(".frame text, .edge text")].map((text) => [text.textContent, ...place(text)]);
    const lines = [...picture.querySelectorAll(".edge")].map((edge) => {
        const path = edge.querySelector("path"), long = path.getTotalLength();
        return [edge.dataset.key, Array.from({ length: Math.ceil(long / 3) }, (_, i) => path.getPointAtLength(3 * i))
            .map(({ x, y }) => [x, y])];
    });
    return { boxes, frames, words, lines };
}"""


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(4, 8), nn.Linear(8, 4), nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(x + self.second(self.first(x).relu()))


class Net(nn.Module):
    """Layers that are alike, an embedding whose weight is used twice, two modules between which results of four shapes go, and
    a node that does not show what it saves."""

    def __init__(self, layers=6):
        super().__init__()
        self.embed, self.layers = nn.Embedding(10, 4), nn.ModuleList([Layer() for _ in range(layers)])
        self.apart, self.together = Apart(), Together()

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.together(*self.apart(x)) @ self.embed.weight.T


class Apart(nn.Module):
    def forward(self, x):
        return x.exp(), x.sin(), x.sum(-1, keepdim=True), x.mean(1, keepdim=True), x.mean()


class Together(nn.Module):
    def forward(self, *parts):
        together = sum(parts)
        together[0] = together[1]       # PyTorch does not show what this saves
        return together


def loss_of(net):
    torch.manual_seed(0)
    with modules(net):
        return net(torch.arange(6).reshape(2, 3)).logsumexp(-1).mean()


@pytest.fixture
def show(open_page, tmp_path):
    """A function that shows HTML, or data of `nested`, in a page: it returns the figure."""
    def show_it(*figures, **settings):
        html = [one if isinstance(one, str) else nested.figure(one) for one in figures]
        (tmp_path / "page.html").write_text(nested.page(*html), encoding="utf-8")
        page = open_page((tmp_path / "page.html").as_uri(), offline=True,
                         **{"viewport": {"width": 1280, "height": 720}, **settings})
        return page.locator("figure.seegrad").first
    return show_it


def html_of(view):
    return view._repr_mimebundle_()["text/html"]


def box(figure, name):
    """The folded box, or the title of the frame, of a module."""
    return figure.locator("[data-opens]").filter(has_text=re.compile(rf"^[+−] {re.escape(name)} "))


def item(figure, name):
    return figure.get_by_role("treeitem").filter(has_text=re.compile(rf"^[+−]?{re.escape(name)}( |$)"))


def opened(figure):
    """What is open, in the picture and in the outline: one state."""
    in_picture = figure.locator(".frame text").all_text_contents()
    in_tree = figure.get_by_role("treeitem", expanded=True).evaluate_all(
        "items => items.map((item) => item.children[1].textContent)")
    assert sorted(in_picture) == sorted(f"− {title}" for title in in_tree)
    folded = figure.locator(".node[data-opens]").count()
    assert folded == figure.get_by_role("treeitem", expanded=False).count()
    return in_tree


def focused(figure):
    return figure.page.evaluate("document.activeElement.textContent")


# Opening and folding

def test_a_click_opens_a_folded_box_and_a_click_on_its_title_folds_it(show):
    figure = show(nested.small())
    assert opened(figure) == ["Net", "pool Pool"]
    box(figure, "layers.0").click()
    assert opened(figure) == ["Net", "layers.0 Layer", "pool Pool"]
    expect(box(figure, "attention")).to_have_attribute("aria-expanded", "false")
    expect(box(figure, "layers.0")).to_have_attribute("aria-expanded", "true")
    box(figure, "layers.0").click()
    assert opened(figure) == ["Net", "pool Pool"]
    figure.locator(".node", has_text="MaxBackward0").click()       # a node does not open
    assert opened(figure) == ["Net", "pool Pool"]


def test_enter_opens_and_folds_what_has_the_focus_in_the_picture(show):
    figure = show(nested.small())
    box(figure, "layers.0").focus()
    press(figure.page, "Enter")
    assert opened(figure) == ["Net", "layers.0 Layer", "pool Pool"]
    assert focused(figure).startswith("− layers.0")
    press(figure.page, "Enter")
    box(figure, "layers.0").click()
    assert focused(figure).startswith("− layers.0")
    press(figure.page, "Enter")
    assert opened(figure) == ["Net", "pool Pool"]
    assert focused(figure).startswith("+ layers.0")
    press(figure.page, "Space")
    assert opened(figure) == ["Net", "layers.0 Layer", "pool Pool"]


def test_all_is_opened_and_folded(show):
    data = nested.small()
    figure = show(data)
    figure.get_by_role("button", name="+ all").click()
    assert len(opened(figure)) == len(data["groups"]) - 1
    expect(figure.locator(".node[data-opens]")).to_have_count(0)
    expect(figure.locator(".outline .status")).to_have_text("All modules are open.")
    figure.get_by_role("button", name="− all").click()
    assert opened(figure) == []
    expect(figure.locator(".node")).to_have_count(6)


def test_of_a_large_graph_as_much_is_opened_as_can_be_read(show):
    figure = show(nested.large())
    figure.get_by_role("button", name="+ all").click()
    expect(figure.locator(".outline .status")).to_have_text(re.compile("^Opened as far as level 5 of 7: more than 600 boxes"))
    assert 200 < figure.locator(".node").count() <= 600
    opened(figure)


@pytest.mark.parametrize("name", ["layers.0", "layers.1 … layers.3:", "pool"])
@pytest.mark.parametrize("place", [(0.1, 0.1), (0.9, 0.2), (0.5, 0.9)])
def test_the_pointer_stays_over_what_was_clicked(show, name, place):
    figure = show(nested.small())
    for _ in range(3):
        edges = box(figure, name).bounding_box()
        x, y = edges["x"] + edges["width"] * place[0], edges["y"] + edges["height"] * place[1]
        figure.page.mouse.click(x, y)
        under = figure.page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('[data-opens]')?.textContent", [x, y])
        assert under and under[2:].startswith(name)


def test_a_picture_that_is_dragged_opens_nothing(show):
    figure = show(nested.large())
    edges = box(figure, "layer.0").bounding_box()
    figure.page.mouse.move(edges["x"] + 40, edges["y"] + 40)
    figure.page.mouse.down()
    figure.page.mouse.move(edges["x"] + 40, edges["y"] - 60, steps=4)
    figure.page.mouse.up()
    assert box(figure, "layer.0").bounding_box()["y"] == pytest.approx(edges["y"] - 100, abs=1)
    assert opened(figure) == ["BertModel", "encoder BertEncoder"]


# The outline

def test_the_keys_of_a_tree(show):
    figure = show(nested.small())
    tree = figure.get_by_role("tree")
    expect(tree.locator("[tabindex='0']")).to_have_count(1)
    tree.locator("[tabindex='0']").focus()
    for keys, name in (("ArrowDown", "embed Embedding"), ("ArrowDown", "+layers.0"), ("ArrowRight", "−layers.0"),
                       ("ArrowRight", "+attention"), ("ArrowLeft", "−layers.0"), ("ArrowLeft", "+layers.0"),
                       ("ArrowLeft", "−Net"), ("End", "mask"), ("Home", "−Net"), ("p", "−pool"), ("Enter", "+pool"),
                       ("Space", "−pool"), ("ArrowUp", "+layers.1")):
        press(figure.page, keys)
        assert focused(figure).startswith(name), keys
        expect(tree.locator("[tabindex='0']")).to_have_count(1)
        expect(tree.locator("[aria-selected=true]")).to_be_focused()
    assert opened(figure) == ["Net", "pool Pool"]


def test_the_outline_has_the_roles_of_a_tree_and_says_what_the_boxes_say(show):
    figure = show(nested.small())
    expect(figure.get_by_role("tree", name="The modules")).to_be_visible()
    levels = figure.get_by_role("treeitem").evaluate_all(
        "items => items.map((item) => ['level', 'posinset', 'setsize'].map((name) => +item.getAttribute(`aria-${name}`)))")
    assert levels[:4] == [[1, 1, 6], [2, 1, 5], [2, 2, 5], [2, 3, 5]]
    for said in ("pool Pool, 3 nodes, PyTorch does not show what it saves, ○ 1 saved freed", "loss, ()",
                 "head Linear, [115] MmBackward0, weight (100, 32), ● 1 saved (bytes not known) alive, "
                 "▲ 1 saved 256 B changed in place"):
        expect(figure.locator(f"[role=treeitem][aria-description={json.dumps(said, ensure_ascii=False)}]")).to_have_count(1)
    expect(figure.get_by_role("button", name=re.compile("layers.0 Layer ?27 nodes, 14 leaves"), expanded=False)).to_have_count(1)
    expect(figure.locator(".edges")).to_have_attribute("aria-hidden", "true")


def test_each_part_is_reached_by_tab_and_escape_leads_out(show):
    figure = show(nested.small())
    figure.locator(".player").focus()
    seen = []
    for _ in range(8):
        press(figure.page, "Tab")
        seen.append(figure.page.evaluate("document.activeElement.getAttribute('role') || document.activeElement.textContent"))
    assert seen == ["combobox", "− all", "+ all", "treeitem", "group", "button", "−", "Fit"]
    press(figure.page, "Escape")
    assert figure.page.evaluate("document.activeElement === document.body")


# Search

def test_a_path_inside_a_run_is_found_and_brought_into_view(show):
    figure = show(nested.large())
    field = figure.get_by_role("combobox")
    field.fill(QUERY)
    expect(figure.get_by_role("option").first).to_have_text(f"encoder.{QUERY} Linear")
    expect(figure.locator(".outline .status")).to_have_text(re.compile("^1 of "))
    expect(field).to_have_attribute("aria-activedescendant", figure.get_by_role("option", selected=True).get_attribute("id"))
    assert figure.locator(".marked").count() == 0
    press(figure.page, "Enter")
    around = {"layer.1 … layer.11: 11 × BertLayer, alike", "layer.7 BertLayer", "attention BertAttention",
              "self BertSelfAttention"}
    assert around < {*opened(figure)}
    found = figure.locator(".marked")
    expect(found).to_contain_text("+ query Linear")
    view, place = figure.locator(".view").bounding_box(), found.bounding_box()
    assert view["x"] <= place["x"] and place["x"] + place["width"] <= view["x"] + view["width"]
    assert view["y"] <= place["y"] and place["y"] + place["height"] <= view["y"] + view["height"]
    expect(figure.locator(".pointer")).to_be_visible()
    assert found.locator("> path").first.evaluate("path => getComputedStyle(path).strokeWidth") == "4px"
    expect(figure.get_by_role("treeitem", selected=True)).to_have_text(re.compile("query Linear"))
    press(figure.page, "Escape")
    expect(figure.get_by_role("listbox")).to_be_hidden()
    expect(field).to_be_focused()


@pytest.mark.parametrize("words, first, marked", [
    ("layer.3.output.dense.weight", "encoder.layer.3.output.dense.weight (768, 768) [", "AddmmBackward0"),
    ("softmax", "[55] SoftmaxBackward0 encoder.layer.0.attention.self", "[55] SoftmaxBackward0"),
    ("[55]", "[55] SoftmaxBackward0 encoder.layer.0.attention.self", "[55] SoftmaxBackward0"),
    ("LOSS", "loss ()", "loss"), ("pooler linear", "pooler.dense Linear", "+ dense Linear")])
def test_a_parameter_a_kind_a_number_and_a_tensor_are_found(show, words, first, marked):
    figure = show(nested.large())
    figure.get_by_role("combobox").fill(words)
    assert figure.get_by_role("option").first.text_content().startswith(first)
    press(figure.page, "Enter")
    expect(figure.locator(".marked")).to_contain_text(marked)


def test_the_results_are_chosen_by_keys_and_typing_zooms_nothing(show):
    figure = show(nested.large())
    field, picture = figure.get_by_role("combobox"), figure.locator(".view svg")
    width = picture.bounding_box()["width"]
    field.focus()
    figure.page.keyboard.type("pooler 0-")
    expect(figure.locator(".outline .status")).to_have_text("Nothing is called so.")
    assert picture.bounding_box()["width"] == width
    field.fill("softmax")
    expect(figure.get_by_role("option")).to_have_count(12)
    press(figure.page, "ArrowDown ArrowDown")
    expect(figure.locator(".outline .status")).to_have_text("3 of 12")
    press(figure.page, "ArrowUp ArrowUp ArrowUp")
    expect(figure.locator(".outline .status")).to_have_text("12 of 12")
    press(figure.page, "Enter")
    expect(figure.locator(".marked")).to_contain_text("SoftmaxBackward0")
    assert "layer.11 BertLayer" in opened(figure)


# The words

@pytest.mark.parametrize("depth", [0, 1, 2, 3, None])
def test_the_boxes_and_arrows_say_what_the_stills_say(show, depth):
    net = Net()
    loss = loss_of(net)
    with torch.no_grad():
        net.layers[1].second.weight.mul_(2)      # its node has saved it
    view = show_graph(loss=loss, detail="modules", depth=depth)
    figure = show(html_of(view))
    drawn = figure.locator(".node").evaluate_all(WORDS)
    told = [[f"{box.name} {box.title}".strip(), *box.lines, *(f"{SLOTS[slot.state].mark} {slot.text}" for slot in box.slots)]
            for box in view.diagram.boxes]
    assert sorted([first.removeprefix("+ "), *rest] for first, *rest in drawn) == sorted(told)
    arrows = figure.locator(".edge").evaluate_all("edges => edges.map((edge) => edge.querySelector('text')?.textContent ?? '')")
    assert sorted(arrows) == sorted(arrow.text for arrow in view.diagram.arrows)
    if depth == 1:
        assert "(2, 3, 4) ×2, (2, 3, 1) and 2 more" in arrows
    frames = figure.locator(".frame text").all_text_contents()
    assert sorted(frames) == sorted(f"− {frame.title}" for frame in view.diagram.frames)


def test_sums_count_a_shared_storage_once(show):
    data = nested.small()
    figure = show(data)
    for _ in range(2):
        for name in ("layers.0", "layers.1 … layers.3:"):
            inside = [node for node in data["nodes"] if _is_in(data, node[1], name)]
            held = {storage for node in inside for _, storages in node[5] for storage in storages}
            slots = [slot for node in inside for slot in node[5]]
            leaves = {leaf for node in inside for leaf in node[4]}
            assert box(figure, name).locator("text").all_text_contents()[1:] == [
                f"{sum(node[7] for node in inside)} nodes, {len(leaves)} leaves",
                f"● {len(slots)} saved {sum(data['storages'][storage] for storage in held):,} B alive"]
            assert len(held) < sum(len(storages) for _, storages in slots)
        figure.get_by_role("button", name="+ all").click()
        figure.get_by_role("button", name="− all").click()
        figure.get_by_role("treeitem").first.click()


def _is_in(data, group, name):
    while group > 0 and data["texts"][data["groups"][group][0]] != name:
        group = data["groups"][group][2]
    return group > 0


# The layout

@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("data", [nested.small, nested.large], ids=["small", "large"])
def test_no_box_overlaps_another_and_no_arrow_runs_through_a_box(show, data, seed):
    draw, data = random.Random(seed), data()
    data["open"] = [g for g in range(len(data["groups"])) if g < 3 or draw.random() < (0.85 if seed % 2 else 0.5)]
    figure = show(data)
    _check(data, figure.locator(".view svg").evaluate(GEOMETRY))


def test_the_layout_of_a_real_net_is_right(show):
    figure = show(html_of(show_graph(loss=loss_of(Net()), detail="modules", depth=3)))
    shapes = figure.locator(".view svg").evaluate(GEOMETRY)
    assert len(shapes["boxes"]) > 15
    for number, (_, *one) in enumerate(shapes["boxes"]):
        assert not [key for key, *other in shapes["boxes"][:number] if _meet(one, other)]


def _meet(one, other, room=0.5):
    return one[0] < other[2] - room and other[0] < one[2] - room and one[1] < other[3] - room and other[1] < one[3] - room


def _check(data, shapes):
    key_of = {f"n{number}": node[1] for number, node in zip(data["numbers"], data["nodes"])}

    def around(key):
        group = data["groups"][int(key[1:])][2] if key[0] == "g" else key_of.get(key, 0)
        found = []
        while group > 0:
            found.append(f"g{group}")
            group = data["groups"][group][2]
        return found

    boxes, frames = {key: place for key, *place in shapes["boxes"]}, {key: place for key, *place in shapes["frames"]}
    assert len(boxes) == len(shapes["boxes"]) > 3 and len(shapes["lines"]) > 1
    everything = boxes | frames
    for one in everything:
        for other in everything:
            if one < other and one not in around(other) and other not in around(one):
                assert not _meet(everything[one], everything[other]), (one, other)
        for frame in around(one):
            left, top, right, bottom = frames[frame]
            assert left <= everything[one][0] and everything[one][2] <= right and top < everything[one][1]
            assert everything[one][3] <= bottom + 1
    for arrow, points in shapes["lines"]:
        ends = arrow.split("->")
        own = {*ends, *around(ends[0]), *around(ends[1])}
        for key, (left, top, right, bottom) in everything.items():
            if key not in own:
                assert not any(left < x < right and top < y < bottom for x, y in points), (arrow, key)
        for key in ends:
            left, top, right, bottom = boxes[key]
            assert not any(left + 2 < x < right - 2 and top + 2 < y < bottom - 2 for x, y in points), (arrow, key)
    for number, (words, *place) in enumerate(shapes["words"]):
        left, top, right, bottom = place
        for arrow, points in shapes["lines"]:
            assert not any(left < x < right and top < y < bottom for x, y in points), (words, arrow)
        assert not [other for other, *taken in shapes["words"][:number] if _meet(place, taken)], words
        assert not [key for key, taken in boxes.items() if _meet(place, taken)], words


def test_a_chain_is_a_straight_column_with_the_residual_arrow_beside_it(show):
    data = nested.large()
    layer = next(g for g, (name, *_) in enumerate(data["groups"]) if data["texts"][name] == "layer.0")
    data["open"].append(layer)
    shapes = show(data).locator(".view svg").evaluate(GEOMETRY)
    straight = [arrow for arrow, points in shapes["lines"] if max(x for x, _ in points) - min(x for x, _ in points) < 0.01]
    bent = [arrow for arrow, _ in shapes["lines"] if arrow not in straight]
    assert len(bent) == 1 and len(straight) == 7
    middles = {round(points[0][0]) for arrow, points in shapes["lines"]}
    assert len(middles) == 1


def test_many_named_results_stand_in_rows_and_a_wide_picture_begins_in_its_middle(show):
    data = nested.small()
    data["tensors"] += [[f"t{k + 3}", "result", [f"a long name of result {k}", "result (2, 5, 32)"], 0, [[k + 20, 0]], [], 1]
                        for k in range(15)]
    figure = show(data)
    shapes = figure.locator(".view svg").evaluate(GEOMETRY)
    _check(data, shapes)
    tops = [place[1] for key, *place in shapes["boxes"] if key[0] == "t"]
    assert max(map(tops.count, tops)) <= 5
    view, net = figure.locator(".view").bounding_box(), figure.locator(".node", has_text="embed").bounding_box()
    assert figure.locator(".view svg").bounding_box()["width"] > view["width"]
    assert net["x"] + net["width"] / 2 == pytest.approx(view["x"] + view["width"] / 2, abs=150)


# The frame

def test_the_picture_is_zoomed_and_fitted_and_keeps_its_scale(show):
    figure = show(nested.small())
    view, text = figure.locator(".view"), figure.locator(".node text").first
    height = text.bounding_box()["height"]
    size = view.bounding_box()
    view.focus()
    press(figure.page, "+ +")
    assert text.bounding_box()["height"] == pytest.approx(1.25 ** 2 * height, rel=0.02)
    box(figure, "layers.0").click()
    assert text.bounding_box()["height"] == pytest.approx(1.25 ** 2 * height, rel=0.02)
    expect(figure.get_by_text("larger than its frame")).to_be_visible()
    figure.get_by_role("button", name="Fit").click()
    assert view.evaluate("view => view.scrollHeight <= view.clientHeight && view.scrollWidth <= view.clientWidth")
    expect(figure.get_by_text("larger than its frame")).to_be_hidden()
    assert view.bounding_box() == size


@pytest.mark.parametrize("width, height", [(1280, 720), (400, 800)])
def test_outline_and_picture_stand_side_by_side_where_there_is_room(show, width, height):
    figure = show(nested.large(), viewport={"width": width, "height": height})
    box(figure, "layer.0").click()
    outline, view = figure.locator(".outline").bounding_box(), figure.locator(".view").bounding_box()
    if width > 1000:
        assert outline["x"] + outline["width"] <= view["x"]
        assert figure.locator(".player").bounding_box()["height"] <= height - 120
    else:
        assert outline["y"] + outline["height"] <= view["y"]
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
    assert view["height"] > 300 and view["width"] > 300
    sizes = figure.locator(".view text").evaluate_all("texts => texts.map((text) => parseFloat(getComputedStyle(text).fontSize)"
                                                      " * text.getScreenCTM().a)")
    assert min(sizes) >= 12


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_outline_can_be_read_in_the_light_and_in_the_dark(show, theme):
    figure = show(nested.small())
    if theme == "dark":     # as JupyterLab does it
        figure.page.add_style_tag(content="body { background: #111; color: #ddd; } :root { --jp-content-font-color1: #ddd; "
                                          "--jp-layout-color0: #111; }")
    box(figure, "layers.0").click()
    figure.get_by_role("combobox").fill("attention")
    for selector in (".item", ".item .sum", ".item[aria-selected=true]", ".results [role=option]",
                     ".results [aria-selected=true]", ".status"):
        assert figure.page.evaluate(CONTRAST, [figure.element_handle(), selector]) > 4.5, selector
    assert figure.locator(".view").evaluate("view => getComputedStyle(view).backgroundColor") == "rgb(255, 255, 255)"


def test_a_large_graph_is_there_at_once_and_opens_at_once(show):
    figure = show(nested.large())
    took = figure.page.evaluate("""(html) => {
        const place = document.body.appendChild(document.createElement("div"));
        place.innerHTML = html;
        const start = performance.now();
        (0, eval)(place.querySelector("script:not([type])").textContent);
        return performance.now() - start;
    }""", nested.figure(nested.large()))
    assert took < 500       # milliseconds; some 40 on a machine that does nothing else


# A play

def test_the_module_that_runs_opens_and_folds_again(show):
    figure = show(nested.play(nested.small()))
    before = opened(figure)
    at(figure, 0)
    for step in range(1, 9):
        press_in(figure, "ArrowRight")
        at(figure, step)
    assert [*opened(figure)] == [*before[:1], "layers.1 … layers.3: 3 × Layer, alike", "layers.3 Layer", *before[1:]]
    expect(figure.locator(".node:has(> .now)")).to_contain_text("AddBackward0")
    expect(figure.get_by_role("treeitem").locator("xpath=self::*[@aria-current]")).to_contain_text("AddBackward0")
    press_in(figure, "ArrowRight")
    assert "mlp Sequential" in opened(figure)
    press_in(figure, "End")
    assert opened(figure) == before
    box(figure, "layers.1 … layers.3:").click()      # what a reader opens stays open
    press_in(figure, "Home")
    assert "layers.1 … layers.3: 3 × Layer, alike" in opened(figure)


def press_in(figure, keys):
    figure.locator(".player").focus()
    press(figure.page, keys)


def test_a_folded_module_counts_its_steps_and_a_node_has_its_number(show):
    figure = show(nested.play(nested.small()))
    for _ in range(7):
        press_in(figure, "ArrowRight")
    assert sorted(badges(figure)) == ["1", "2", "3", "4", "5", "6"]
    figure.get_by_role("slider").fill("10")
    box(figure, "layers.3").click()      # folded by hand while it runs
    expect(figure.locator("rect.badge + text")).to_have_text(["3 of 13"])


def test_the_rest_of_a_module_runs_at_once(show):
    figure = show(nested.play(nested.small()))
    figure.get_by_role("button", name="Step").click()
    for step in (3, 4, 7, 20, 21):      # outside of all modules, in the net, in the pool, in the folded run, the last step
        figure.get_by_role("button", name="Module").click()
        at(figure, step)
    expect(figure.get_by_role("button", name="Module")).to_be_disabled()
    figure.get_by_role("button", name="− all").click()
    press_in(figure, "Home ArrowRight PageDown PageDown")
    at(figure, 20)


def test_words_follow_and_what_is_absent_is_not_counted_and_what_is_gone_is_struck_through(show):
    figure = show(nested.play(nested.small()))
    run = box(figure, "layers.1 … layers.3:")
    expect(run.locator("text").nth(1)).to_have_text("54 nodes, 28 leaves")
    run.click()
    absent = figure.locator(".node.absent")
    expect(absent).to_have_count(1)
    for words in absent.locator("text").all():
        expect(words).to_be_hidden()
    assert figure.locator(".edge.absent").count() >= 1
    press_in(figure, "ArrowRight")
    expect(figure.locator(".absent")).to_have_count(0)
    expect(box(figure, "layers.3").locator("text").nth(1)).to_have_text("27 nodes, 14 leaves")
    figure.get_by_role("slider").fill("3")
    expect(figure.locator(".node", has_text="scale")).to_contain_text(".grad (100,)")
    expect(figure.locator(".node", has_text="[116] MulBackward0")).to_contain_text("○ 1 saved freed")
    expect(figure.locator(".edge .number")).to_have_text("0.5")
    figure.get_by_role("slider").fill("10")
    box(figure, "layers.3").click()
    expect(box(figure, "layers.3").locator("text").nth(3)).to_have_text("○ 3 saved freed")
    press_in(figure, "End")
    gone = figure.locator(".node.gone")
    expect(gone).to_have_count(1)
    expect(gone).to_contain_text("○ 21 saved freed")
    assert "line-through" in gone.locator("text").first.evaluate("text => getComputedStyle(text).textDecoration")


def test_a_real_play_goes_through_every_step(show):
    loss = loss_of(Net())
    play = play_backward(loss, loss=loss, detail="modules")
    figure = show(html_of(play))
    last = int(figure.get_by_role("slider").get_attribute("max"))
    assert last > 30
    before = opened(figure)
    for step in range(1, last + 1):
        press_in(figure, "ArrowRight")
        at(figure, step)
        if step < last:
            expect(figure.locator(".node:has(> .now)")).to_have_count(1)
    says(figure, "0 B still saved")
    assert opened(figure)[0] == before[0]


def test_two_views_on_a_page_do_not_disturb_each_other(show):
    first = show(nested.small(), nested.small())
    second = first.page.locator("figure.seegrad").nth(1)
    box(second, "layers.0").click()
    assert opened(first) == ["Net", "pool Pool"]
    assert "layers.0 Layer" in opened(second)
