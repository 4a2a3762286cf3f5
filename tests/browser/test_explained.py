"""An error of autograd in JupyterLab: its explanation stands below its traceback, on one screen, and leads to its case."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_lab import run_all

from refresh import METADATA

pytest.importorskip("playwright", reason="no Playwright: make test-browser installs it")
from playwright.sync_api import expect

CELLS = ["%xmode Minimal\n%load_ext seegrad\nimport torch\nfrom torch import nn",
         "net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n"
         "features = net[0](torch.ones(4, 2)).relu()\n"
         "optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
         "for step in range(2):\n"
         "    loss = net[2](features).square().mean()\n"
         "    optimizer.zero_grad()\n"
         "    loss.backward()\n"
         "    optimizer.step()"]


@pytest.fixture
def failing(notebooks):
    notebook = new_notebook(cells=[new_code_cell(cell, id=f"cell-{i}") for i, cell in enumerate(CELLS)], metadata=METADATA)
    nbformat.write(notebook, notebooks / "failing.ipynb")
    return "failing.ipynb"


def test_the_explanation_stands_under_the_error_on_one_screen_and_leads_to_its_case(open_page, lab, failing):
    page = open_page(f"{lab}/lab/tree/{failing}?reset", viewport={"width": 1280, "height": 720})
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(CELLS))
    run_all(page)
    explanation = page.locator(".explanation")
    expect(explanation).to_have_count(1)
    error = page.locator(".jp-OutputArea-child", has_text="RuntimeError: Trying to backward")
    expect(error.first).to_be_visible()
    explanation.scroll_into_view_if_needed()
    box, above = explanation.bounding_box(), error.first.bounding_box()
    assert above["y"] < box["y"] and box["height"] < 600
    assert explanation.locator("img").first.get_attribute("alt").startswith("Computation graph")
    link = explanation.get_by_role("link", name=re.compile("^case 1, Trying to backward"))
    link.click()
    expect(page.get_by_role("heading", name=re.compile("Case 1: Trying to backward"))).to_be_in_viewport()
