"""What is shown, saved to files: pictures, and pages of their own."""

import re

import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib.image import imread
from torch import nn

from seegrad import modules, play_backward, show_graph, show_picture, side_by_side, watch, what_if
from test_input import assert_one_sentence


def graph(**options):
    x = torch.ones(3, requires_grad=True)
    return show_graph(loss=x.exp().sum(), x=x, **options)


def graph_of_modules():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    with modules(net):
        return show_graph(loss=net(torch.ones(1, 3)).sum(), detail="modules")


def play():
    return play_backward(torch.ones(3, requires_grad=True).exp().sum())


def step(x):
    y = x.exp()
    y.sum().backward()
    return y


def plot():
    from matplotlib import pyplot
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    return show_picture(figure, "a line")


def dot():
    import graphviz
    source = graphviz.Digraph()
    source.edge("a", "b")
    return show_picture(source, "an arrow from a to b")


PICTURES = {"graph": graph, "graph of modules": graph_of_modules, "play": play, "plot": plot, "DOT": dot,
            "watch": lambda: watch(step, torch.ones(3, requires_grad=True))}
PAGES = {**PICTURES, "side by side": lambda: side_by_side(a=graph(), b=graph()),
         "what if": lambda: what_if(lambda k: graph(detail=k), k=["full", "folded"])}


@pytest.mark.parametrize("case", PAGES)
def test_a_page_of_its_own(case, tmp_path):
    shown = PAGES[case]()
    bundle = shown._repr_mimebundle_()
    page = shown.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>\n")
    assert bundle["text/html"] in page
    parsed = BeautifulSoup(page, "html.parser")
    assert (parsed.html["lang"], parsed.meta["charset"]) == ("en", "utf-8")
    assert parsed.title.text.strip()
    assert not re.search(r'(?:src|href)="(?!data:)', page), "nothing is loaded"


@pytest.mark.parametrize("case", PICTURES)
def test_a_png_is_the_same_picture_at_two_pixels_for_each_point(case, tmp_path):
    shown = PICTURES[case]()
    svg = shown.save(tmp_path / "picture.svg").read_text()
    size = [float(number) for number in re.search(r'<svg\b[^>]*?width="([\d.]+)pt"[^>]*?height="([\d.]+)pt"', svg).groups()]
    height, width, *_ = imread(shown.save(tmp_path / "picture.png")).shape
    assert (width, height) == pytest.approx([2 * number for number in size], abs=3)


def test_a_png_has_the_colours_of_the_picture(tmp_path):
    pixels = (imread(graph().save(tmp_path / "picture.png"))[..., :3] * 255).round().astype(int)
    orange, lightblue, black = (255, 165, 0), (173, 216, 230), (0, 0, 0)
    assert {orange, lightblue, black} <= {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()}


def test_a_play_is_saved_as_it_is_in_the_end(tmp_path):
    assert "freed" in play().save(tmp_path / "play.svg").read_text()
    watched = watch(step, torch.ones(3, requires_grad=True))
    assert ".grad (3,)" in watched.save(tmp_path / "watch.svg").read_text()


def test_code_without_a_graph_has_no_picture(tmp_path):
    watched = watch(lambda: 1)
    for name in ("watch.svg", "watch.png"):
        with pytest.raises(ValueError) as caught:
            watched.save(tmp_path / name)
        assert_one_sentence(caught)
    watched.save(tmp_path / "watch.html")
    assert [path.name for path in tmp_path.iterdir()] == ["watch.html"]


def test_a_graph_that_is_too_large_is_saved_as_text(tmp_path):
    view = graph(max_boxes=1)
    for name in ("graph.svg", "graph.png"):
        with pytest.raises(ValueError, match="too many to draw"):
            view.save(tmp_path / name)
    assert "too many to draw" in view.save(tmp_path / "graph.html").read_text()


ENDINGS = {"graph": ".svg, .png or .html", "plot": ".svg, .png or .html", "play": ".svg, .png or .html",
           "watch": ".svg, .png or .html", "side by side": ".html", "what if": ".html"}


@pytest.mark.parametrize("case", ENDINGS)
def test_the_sentence_says_which_endings_there_are(case, tmp_path):
    with pytest.raises(ValueError) as caught:
        PAGES[case]().save(tmp_path / "picture.gif")
    assert_one_sentence(caught, "picture.gif", f"is saved as {ENDINGS[case]}:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["page.html", "picture.png"])
def test_a_file_stays_when_it_cannot_be_written(name, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    view = graph()
    old = view.save(tmp_path / name).read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError):
        graph(detail="folded").save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == [name]
