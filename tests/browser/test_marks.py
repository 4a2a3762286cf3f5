"""A mark in a page whose modules open and fold: it is on the node, and on each folded module in which the node is."""

import torch
from torch import nn

from seegrad import modules, show_graph


def test_a_mark_stays_in_sight_when_its_module_is_folded(open_page, tmp_path):
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 1))
    with modules(net):
        loss = net(torch.ones(1, 2)).sum()
    view = show_graph(loss=loss, detail="modules").mark(5, "kept for nothing", slot="result")
    page = open_page(view.save(tmp_path / "marked.html").as_uri(), offline=True)

    def guilty():
        boxes = page.locator(".view .node.guilty")
        return [(box.get_attribute("data-key"), box.locator(".blame + text").all_text_contents()) for box in boxes.all()]

    assert guilty() == [("n5", ["✗ result: kept for nothing"])]
    border = page.locator(".view .node.guilty > :first-child").evaluate(
        "element => [getComputedStyle(element).stroke, getComputedStyle(element).strokeWidth]")
    assert border == ["rgb(176, 0, 32)", "4px"]
    page.get_by_role("button", name="− all").click()
    (_, texts), = guilty()
    assert texts == ["✗ [5] result: kept for nothing"]
    assert page.locator(".tree [role=treeitem]", has_text="✗").count() == 1
