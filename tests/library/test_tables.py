"""The tables of a network: gradients, saved bytes, and what a run of it costs; and how they show themselves."""

import csv
import math

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

from seegrad import modules, show_graph
from seegrad.table import MOST_ROWS, Table
from test_input import assert_one_sentence


class Net(nn.Module):
    """One layer that the loss does not reach, and one bias that is frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(1, 1)
        self.second.bias.requires_grad_(False)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def run(net, **options):
    torch.manual_seed(0)
    with modules(net):
        return net(torch.randn(5, 3)).pow(2).sum()


def trained():
    torch.manual_seed(0)
    net = Net()
    loss = run(net)
    loss.backward()
    return net, loss


def column(table, name):
    return {row[table.columns[0]]: row[name] for row in table.rows}


# Gradients


def test_each_parameter_has_the_norm_of_its_gradient():
    net, loss = trained()
    norms = column(show_graph(loss).gradients, "norm")
    expected = {name: None if one.grad is None else one.grad.double().norm().item() for name, one in net.named_parameters()}
    assert norms.keys() == expected.keys()
    assert all(norms[name] == (one if one is None else pytest.approx(one, rel=1e-14)) for name, one in expected.items())


def test_gradients_that_are_missing_stand_first_with_the_reason_then_from_large_to_small():
    net, loss = trained()
    net.first.bias.grad = None
    table = show_graph(loss).gradients
    assert [row["parameter"] for row in table.rows][:3] == ["unused.weight", "unused.bias", "first.bias"]
    norms = [row["norm"] for row in table.rows[3:-1]]
    assert len(norms) == 2 and norms == sorted(norms, reverse=True)
    assert {name: note for name, note in column(table, "note").items() if note} == {
        "unused.weight": "not reached", "unused.bias": "not reached", "second.bias": "frozen: requires_grad is False",
        "first.bias": "no gradient: backward was not run for it, or it was cleared"}
    assert list(column(table, "note"))[-1] == "second.bias"


def test_before_backward_no_parameter_has_a_gradient():
    net = Net()
    table = show_graph(run(net)).gradients
    assert table.title == "Gradients of 6 parameters: none has a gradient"
    assert set(column(table, "norm").values()) == {None}


def test_the_title_names_the_largest_and_the_smallest():
    net, loss = trained()
    for parameter, size in ((net.first.weight, 3.), (net.first.bias, 1e-30), (net.second.weight, 0.5)):
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad.view(-1)[0] = size
    assert show_graph(loss).gradients.title == ("Gradients of 6 parameters: the largest norm is 3 (first.weight), "
                                                "the smallest is 1e-30 (first.bias), 3 have none")


def test_inf_nan_and_zeros_are_counted_and_said():
    net, loss = trained()
    net.first.weight.grad.view(-1)[:2] = torch.inf
    net.first.bias.grad[:3] = torch.tensor([torch.nan, torch.inf, 0])
    net.second.weight.grad.zero_()
    table = show_graph(loss).gradients
    rows = {row["parameter"]: row for row in table.rows}
    assert (rows["first.weight"]["norm"], rows["first.weight"]["inf"], rows["first.weight"]["nan"]) == (math.inf, 2, 0)
    assert math.isnan(rows["first.bias"]["norm"])
    assert [rows["first.bias"][name] for name in ("zeros", "inf", "nan")] == [1, 1, 1]
    assert (rows["second.weight"]["zeros"], rows["second.weight"]["note"]) == (8, "all zero")
    assert [row["parameter"] for row in table.rows][2:4] == ["first.bias", "first.weight"]
    assert "2 of them have inf or nan" in table.title


def test_a_gradient_that_was_there_before_is_not_taken_for_one_of_this_loss():
    net, loss = trained()
    net.unused.weight.grad = torch.ones(1, 1)
    net.second.bias.grad = torch.ones(2) * 100
    table = show_graph(loss).gradients
    assert column(table, "note")["unused.weight"] == "not reached; its gradient is of another backward"
    assert column(table, "note")["second.bias"] == "frozen: requires_grad is False; its gradient is of another backward"
    assert "100" not in table.title and "unused" not in table.title


def test_a_gradient_of_half_precision_does_not_overflow():
    net = nn.Linear(300, 300, bias=False).half()
    with modules(net):
        loss = net(torch.ones(2, 300).half()).sum()
    net.weight.grad = torch.full((300, 300), 1000.).half()
    assert column(show_graph(loss).gradients, "norm") == {"weight": 300_000}


def test_a_sparse_gradient():
    net = nn.Embedding(10, 3, sparse=True)
    with modules(net):
        loss = net(torch.tensor([2, 2, 4])).sum()
    loss.backward()
    row, = show_graph(loss).gradients.rows
    assert (row["norm"], row["zeros"]) == (pytest.approx(math.sqrt(3 * 2**2 + 3)), 24)


def test_a_gradient_without_numbers():
    net = nn.Linear(2, 2, bias=False, device="meta")
    with modules(net):
        loss = net(torch.ones(1, 2, device="meta")).sum()
    loss.backward()
    row, = show_graph(loss).gradients.rows
    assert (row["norm"], row["zeros"], row["note"]) == (None, None, "its numbers cannot be read")


def test_a_shared_parameter_is_one_row_with_all_its_names():
    net = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    net["b"].weight = net["a"].weight
    with modules(net):
        loss = net["a"](net["b"](torch.ones(1, 2))).sum()
    assert list(column(show_graph(loss).gradients, "note")) == ["a.weight = b.weight"]


def test_a_tensor_that_the_caller_names_keeps_the_name_of_the_net_in_the_table():
    net, loss = trained()
    table = show_graph(loss, w=net.first.weight).gradients
    assert "first.weight" in column(table, "norm") and "w" not in column(table, "norm")


def test_the_table_holds_no_gradient():
    net, loss = trained()
    view = show_graph(loss)
    before = view.gradients.rows
    net.first.weight.grad.zero_()
    assert view.gradients.rows == before


def test_gradients_where_no_modules_were_recorded():
    with pytest.raises(ValueError) as caught:
        _ = show_graph(Net()(torch.ones(1, 3)).sum()).gradients
    assert_one_sentence(caught)
    assert "with modules(net):" in str(caught.value)


# How a table shows itself


def small_table():
    return Table("Two <rows>", ["name", "size", "share", "note"],
                 [{"name": "a & b", "size": 1234567, "share": 1 / 3, "note": "first"},
                  {"name": "c", "size": 0, "share": None, "note": ""}], ["A note."])


def test_a_table_as_text():
    assert repr(small_table()) == ("Two <rows>\n"
                                   "name        size   share  note\n"
                                   "a & b  1,234,567  0.3333  first\n"
                                   "c              0\n"
                                   "A note.")


def test_a_table_as_html():
    bundle = small_table()._repr_mimebundle_()
    assert bundle["text/plain"] == repr(small_table())
    table = BeautifulSoup(bundle["text/html"], "html.parser")
    assert table.caption.text == "Two <rows>"
    assert [(cell.text, cell["scope"]) for cell in table.thead("th")] == [
        (name, "col") for name in ("name", "size", "share", "note")]
    assert [[cell.text for cell in row(["th", "td"])] for row in table.tbody("tr")] == [
        ["a & b", "1,234,567", "0.3333", "first"], ["c", "0", "", ""]]
    assert [row.th["scope"] for row in table.tbody("tr")] == ["row", "row"]
    assert [cell["style"] for cell in table.tbody.tr(["th", "td"])] == [
        f"text-align: {side}" for side in ("left", "right", "right", "left")]
    region = table.find(role="region")
    assert region["tabindex"] == "0" and region["aria-label"] == "Two <rows>"
    assert table.figcaption.text == "A note."


def test_a_long_table_shows_its_first_and_last_rows():
    table = Table("Many", ["name", "number"], [{"name": f"r{i}", "number": i} for i in range(MOST_ROWS + 40)])
    lines = repr(table).splitlines()
    assert len(lines) == 2 + MOST_ROWS + 1
    assert (lines[2], lines[-1]) == ("r0         0", f"r{MOST_ROWS + 39}       {MOST_ROWS + 39}")
    assert "… 40 more rows: .rows has them all" in lines
    assert len(table.rows) == MOST_ROWS + 40
    html = BeautifulSoup(table._repr_mimebundle_()["text/html"], "html.parser")
    assert len(html.tbody("tr")) == MOST_ROWS + 1


def test_a_table_is_saved_as_a_page_and_as_numbers(tmp_path):
    table = small_table()
    with table.save(tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "size", "share", "note"], ["a & b", "1234567", str(1 / 3), "first"],
                                          ["c", "0", "", ""]]
    page = BeautifulSoup(table.save(tmp_path / "t.html").read_text(), "html.parser")
    assert (page.title.text, page.html["lang"], page.meta["charset"]) == ("Two <rows>", "en", "utf-8")
    assert page.table.caption.text == "Two <rows>"
    with pytest.raises(ValueError) as caught:
        table.save(tmp_path / "t.svg")
    assert_one_sentence(caught)
    assert str(caught.value).startswith("a Table is saved as .html or .csv, but ")
