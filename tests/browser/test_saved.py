"""What was saved as a page of its own, opened from the file without a network."""

import re

import pytest
import torch
from torch import nn

from seegrad import modules, play_backward, show_graph, watch, what_if

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect


def graph(net):
    with modules(net):
        loss = net(torch.ones(1, 3)).sum()
    loss.backward()
    return show_graph(loss=loss, detail="modules", depth=1)


def loss_of(x):
    return x.exp().sum()


@pytest.fixture
def opened(open_page, tmp_path):
    return lambda shown: open_page(shown.save(tmp_path / "saved.html").as_uri(), offline=True)


def test_a_play_steps(opened):
    page = opened(play_backward(loss_of(torch.ones(3, requires_grad=True))))
    page.get_by_role("button", name="Step ▶").click()
    expect(page.get_by_text("1 of 3")).to_be_visible()
    expect(page).to_have_title("backward from loss: 3 steps")


def test_a_watch_steps(opened):
    page = opened(watch(loss_of, torch.ones(3, requires_grad=True)))
    page.get_by_role("button", name="Step ▶").click()
    expect(page.get_by_text(re.compile("^1 of "))).to_be_visible()


def test_a_module_opens_and_a_folded_one_tells_its_gradients(opened):
    page = opened(graph(nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Linear(3, 1))))
    words = page.locator("svg text")
    expect(words.filter(has_text="gradients: norm")).to_have_count(1)
    page.get_by_role("button", name="+ all").click()
    expect(words.filter(has_text="gradients: norm")).to_have_count(0)
    expect(words.filter(has_text="gradient: norm")).to_have_count(4)


def test_a_switch_of_what_if(opened):
    page = opened(what_if(lambda k: show_graph(loss=loss_of(torch.ones(k, requires_grad=True))), k=[1, 2]))
    page.get_by_label("2", exact=True).check()
    expect(page.get_by_label("2", exact=True)).to_be_checked()


def test_a_table_scrolls_by_keyboard(opened):
    page = opened(graph(nn.Sequential(*(nn.Linear(3, 3) for _ in range(30)))).gradients)
    box = page.locator("[role=group]")
    page.keyboard.press("Tab")
    expect(box).to_be_focused()
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('[role=group]').scrollTop > 0")
    expect(page.get_by_role("columnheader", name="norm")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
