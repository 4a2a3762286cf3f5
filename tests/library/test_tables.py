"""The tables of a network: gradients, saved bytes, and what a run of it costs; and how they show themselves."""

import csv
import functools
import gc
import json
import math
import weakref

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn
from torch.utils.checkpoint import checkpoint

from seegrad import measure, modules, play_backward, show_graph, watch
from seegrad.diagram import make_diagram
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
                 [{"name": "a <b>", "size": 1234567, "share": 1 / 3, "note": "first"},
                  {"name": "c", "size": 0, "share": None, "note": ""}], ["A note."])


def test_a_table_as_text():
    assert repr(small_table()) == ("Two <rows>\n"
                                   "name        size   share  note\n"
                                   "a <b>  1,234,567  0.3333  first\n"
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
        ["a <b>", "1,234,567", "0.3333", "first"], ["c", "0", "", ""]]
    assert [row.th["scope"] for row in table.tbody("tr")] == ["row", "row"]
    assert [cell["style"] for cell in table.tbody.tr(["th", "td"])] == [
        f"text-align: {side}" for side in ("left", "right", "right", "left")]
    box = table.find(role="group")
    assert box["tabindex"] == "0" and box["aria-label"] == "Two <rows>"
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
        assert list(csv.reader(file)) == [["name", "size", "share", "note"], ["a <b>", "1234567", str(1 / 3), "first"],
                                          ["c", "0", "", ""]]
    page = BeautifulSoup(table.save(tmp_path / "t.html").read_text(), "html.parser")
    assert (page.title.text, page.html["lang"], page.meta["charset"]) == ("Two <rows>", "en", "utf-8")
    assert page.table.caption.text == "Two <rows>"
    with pytest.raises(ValueError) as caught:
        table.save(tmp_path / "t.svg")
    assert_one_sentence(caught)
    assert "and a Table is saved as .html or .csv:" in str(caught.value)


# What each module costs


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.second(torch.tanh(self.first(x)))


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = Block(3), Block(3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.b(self.a(x)) @ torch.ones(3, 3))


class Recomputed(Deep):
    def forward(self, x):
        return self.head(checkpoint(self.b, self.a(x), use_reentrant=self.reentrant))


class Penalised(Deep):
    """Its forward runs a backward of its own."""

    def forward(self, x):
        y = self.b(self.a(x))
        gradient, = torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        return self.head(y) * gradient.pow(2).sum()


def recomputed(reentrant):
    net = Recomputed()
    net.reentrant = reentrant
    return net


def shared():
    net = Deep()
    net.b = net.a
    return net


NETS = {"plain": Deep, "a module that is called twice": shared, "checkpoint": lambda: recomputed(False),
        "reentrant checkpoint": lambda: recomputed(True), "a backward inside": Penalised,
        "lstm": lambda: nn.LSTM(3, 4), "lazy": lambda: nn.Sequential(nn.LazyLinear(4), nn.Tanh()),
        "convolutions": lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.ReLU(inplace=True))}


def step_of(net):
    x = torch.linspace(-1, 1, 15).view(5, 3).requires_grad_()

    def step():
        y = net(x)
        (y[0] if isinstance(y, tuple) else y).pow(2).sum().backward()
    return step


@pytest.mark.parametrize("case", NETS)
def test_the_costs_of_all_modules_add_up(case):
    torch.manual_seed(0)
    net = NETS[case]()
    with modules(net):
        measured = measure(step_of(net))
    total = {field: sum(getattr(cost, field) for cost in measured.modules)
             for field in ("forward_flops", "backward_flops", "node_runs", "peak_saved_bytes")}
    assert total["forward_flops"] + total["backward_flops"] == measured.flops
    assert (total["node_runs"], total["peak_saved_bytes"]) == (measured.node_runs, measured.peak_saved_bytes)
    table = measured.by_module
    for name, field in (("forward FLOPs", "forward_flops"), ("backward FLOPs", "backward_flops"), ("node runs", "node_runs"),
                        ("saved bytes at the peak", "peak_saved_bytes")):
        assert sum(column(table, name).values()) == total[field]
    assert "Lazy" not in repr(table)


def test_the_cost_of_each_module():
    """A layer of 3 to 3 on 5 rows: 2·5·3·3 FLOPs forward, twice that backward; it has a node, a transpose and two leaves."""
    net = Deep()
    with modules(net):
        table = measure(step_of(net)).by_module
    layer, head = 2 * 5 * 3 * 3, 2 * 5 * 3 * 2
    layers = ["a.first", "a.second", "b.first", "b.second"]
    assert column(table, "forward FLOPs") == {
        **dict.fromkeys(layers, layer), "head": head, "Deep": layer, "a": 0, "b": 0, "outside of all modules": 0}
    assert column(table, "backward FLOPs") == {
        **dict.fromkeys(layers, 2 * layer), "head": 2 * head, "Deep": layer, "a": 0, "b": 0, "outside of all modules": 0}
    # x has a node too, and x + … uses it first in a.first.
    assert column(table, "node runs") == {
        **dict.fromkeys(layers, 4), "a.first": 5, "head": 4, "Deep": 1, "a": 2, "b": 2, "outside of all modules": 2}
    activation, weight = 5 * 3 * 4, 3 * 3 * 4
    # What tanh saves is its result, which the second layer saves too; what a gives is saved by b.first.
    assert column(table, "saved bytes at the peak") == {
        "a.first": activation + weight, "a": activation, "a.second": weight, "b.first": activation + weight, "b": activation,
        "b.second": weight, "Deep": weight, "head": activation + 2 * weight // 3, "outside of all modules": 5 * 2 * 4}


def test_a_second_step_costs_as_much():
    net = Deep()
    step = step_of(net)
    with modules(net):
        once, twice = measure(step), measure(lambda: (step(), step()))
    for first, both in zip(once.modules, twice.modules):
        costs = (2 * first.forward_flops, 2 * first.backward_flops, 2 * first.node_runs)
        assert (both.forward_flops, both.backward_flops, both.node_runs) == costs


def test_the_recording_may_be_inside_of_what_is_measured():
    net = Deep()
    step = step_of(net)

    def recorded():
        with modules(net):
            step()
    with modules(net):
        outside = measure(step)
    assert measure(recorded) == outside


def test_a_forward_pass_before_counts_its_modules_in_backward():
    net = Deep()
    with modules(net):
        loss = net(torch.ones(5, 3)).sum()
    table = measure(loss.backward).by_module
    assert column(table, "backward FLOPs")["b.first"] == 4 * 5 * 3 * 3
    assert set(column(table, "forward FLOPs").values()) == {0}


def test_what_a_hook_of_the_caller_computes_belongs_to_no_module():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    x = torch.ones(5, 3, requires_grad=True)

    def step():
        y = net[0](x)
        y.register_hook(lambda gradient: gradient @ torch.ones(3, 3))       # it runs between the nodes of the two modules
        net[1](y).sum().backward()
    with modules(net):
        table = measure(step).by_module
    assert column(table, "backward FLOPs") == {"0": 4 * 5 * 3 * 3, "1": 0, "outside of all modules": 2 * 5 * 3 * 3}


def test_the_title_has_the_totals_and_the_notes_what_is_not_counted():
    net = Net()
    with modules(net):
        measured = measure(lambda: net(torch.ones(5, 3).to_sparse().to_dense()) @ torch.eye(2).to_sparse())
    table = measured.by_module
    assert table.title == (f"{measured.flops} FLOPs, {measured.node_runs} node runs and {measured.peak_saved_bytes} bytes saved "
                           "at the peak, by module")
    assert measured.not_counted and f"Not counted: {', '.join(measured.not_counted)}." in table.notes


def test_costs_by_module_where_none_was_recorded():
    measured = measure(step_of(Deep()))
    assert measured.modules == ()
    with pytest.raises(ValueError) as caught:
        _ = measured.by_module
    assert_one_sentence(caught)


def test_counting_by_module_leaves_nothing_behind():
    net = Deep()
    with modules(net):
        loss = net(torch.ones(5, 3)).sum()
        measured = measure(functools.partial(loss.backward, retain_graph=True))
    kept = [weakref.ref(thing) for thing in (net, net.head.weight, loss)]
    fired = measure(loss.backward)
    assert measured.modules == fired.modules        # no second hook
    del net, loss
    gc.collect()
    assert [reference() for reference in kept] == [None] * 3


# Saved bytes


def run_deep(net):
    with modules(net):
        return net(torch.linspace(-1, 1, 15).view(5, 3)).sum()


def test_saved_bytes_by_module_are_those_of_its_nodes_and_of_the_modules_inside():
    """What a tanh saves is its result, which the layer after it saves too: it counts once in the block."""
    net = Deep()
    view = show_graph(run_deep(net), detail="modules")
    activation, weight = 5 * 3 * 4, 3 * 3 * 4
    assert column(view.saved, "bytes") == {
        "Deep": 5 * activation + 4 * weight + 2 * weight // 3, "a": 2 * activation + weight,
        "a.first": activation, "a.second": activation + weight, "b": 2 * activation + 2 * weight,
        "b.first": activation + weight, "b.second": activation + weight, "head": activation + 2 * weight // 3}
    assert view.saved.title.startswith(f"{len(view.snapshot.saved)} saved tensors, {view.snapshot.saved_bytes:,} B, by module")


def test_saved_bytes_stand_the_largest_first_and_say_that_memory_is_shared():
    table = show_graph(run_deep(Deep()), detail="modules").saved
    sizes = list(column(table, "bytes").values())
    assert sizes == sorted(sizes, reverse=True)
    assert any("counted once in each" in note for note in table.notes)


def test_saved_bytes_by_node():
    view = show_graph(run_deep(Deep()))
    rows = {row["node"]: row for row in view.saved.rows}
    for i, node in enumerate(view.snapshot.nodes):
        name = f"[{i + 1}] {node.name}"
        assert (name in rows) == bool(node.saved)
        if node.saved:
            assert rows[name]["bytes"] == view.snapshot.bytes_of(node.saved).known
            assert rows[name]["saved tensors"] == len(node.saved)
    assert rows["[5] TanhBackward0"]["module"] == "a"
    assert "module" not in show_graph(torch.ones(2, requires_grad=True).exp()).saved.columns


def test_after_backward_all_is_freed():
    net = Deep()
    loss = run_deep(net)
    loss.backward()
    table = show_graph(loss, detail="modules").saved
    assert set(column(table, "bytes").values()) == {0} and set(column(table, "saved tensors").values()) == {0}
    assert table.title == f"0 saved tensors, 0 B, by module; {column(table, 'freed')['Deep']} freed"


def test_what_pytorch_does_not_show_is_said_in_the_table():
    row, = show_graph(torch._foreach_sin([torch.ones(2, requires_grad=True)])[0]).saved.rows
    assert (row["bytes"], row["note"]) == (0, "PyTorch does not show all that is saved")


def test_a_graph_without_saved_tensors_has_an_empty_table():
    table = show_graph(torch.ones(2)).saved
    assert (repr(table), table.rows) == ("0 saved tensors, 0 B, by node", [])
    assert "0 saved tensors" in table._repr_mimebundle_()["text/html"]


def watched_step(x):
    y = x.exp()
    for _ in range(3):
        y = y.sin()
    y.sum().backward()
    return y


def test_saved_bytes_by_line_of_code():
    """exp saves its result, and so does the first sin: three results of 24 bytes for the loop."""
    x = torch.ones(6, requires_grad=True)
    table = watch(watched_step, x).saved
    assert {row["code"]: (row["saved tensors"], row["bytes"]) for row in table.rows} == {
        "y = y.sin()": (3, 72), "y = x.exp()": (1, 24)}
    assert table.rows[0]["line"] == f"line {watched_step.__code__.co_firstlineno + 3}"
    assert table.title == "4 saved tensors, 72 B, by line"


def test_what_a_long_loop_let_go_is_not_counted_and_that_is_said():
    def train(w):
        for _ in range(300):
            loss = w.exp().sum()
            loss.backward()
    table = watch(train, torch.ones(6, requires_grad=True)).saved
    assert any("in the middle" in note for note in table.notes)
    assert not any("in the middle" in note for note in watch(watched_step, torch.ones(6, requires_grad=True)).saved.notes)


# Gradients in the boxes


def boxes(view):
    return {box.name: box.lines for box in view.diagram.boxes}


def test_a_folded_module_tells_the_norm_of_all_its_gradients():
    net = Deep()
    loss = run_deep(net)
    assert not any("gradient" in line for lines in boxes(show_graph(loss, detail="modules", depth=1)).values() for line in lines)
    loss.backward()
    norm = math.sqrt(sum(parameter.grad.double().pow(2).sum() for parameter in net.a.parameters()))
    assert boxes(show_graph(loss, detail="modules", depth=1))["a Block"][1:] == (f"gradients: norm {norm:.4g}",)


def test_the_line_of_a_parameter_tells_its_gradient():
    net = Deep()
    loss = run_deep(net)
    loss.backward()
    net.head.bias.grad.zero_()
    net.b.first.bias.grad[:2] = torch.tensor([torch.inf, torch.nan])
    lines = boxes(show_graph(loss, detail="modules", depth=2))
    assert f"weight (2, 3), gradient: norm {net.head.weight.grad.norm():.4g}" in lines["head Linear"]
    assert "bias (2,), gradient: all zero" in lines["head Linear"]
    assert "bias (3,), gradient: 1 inf and 1 nan" in lines["first Linear"]
    assert "gradients: 1 inf and 1 nan" in boxes(show_graph(loss, detail="modules", depth=1))["b Block"]
    net.b.second.weight.grad = None
    assert "weight (3, 3)" in boxes(show_graph(loss, detail="modules", depth=2))["second Linear"]


def test_the_box_of_a_parameter_tells_its_gradient():
    net = Deep()
    loss = run_deep(net)
    loss.backward()
    assert f".grad (2, 3): norm {net.head.weight.grad.norm():.4g}" in boxes(show_graph(loss))["head.weight"]


def test_the_page_has_the_same_lines():
    net = Deep()
    loss = run_deep(net)
    loss.backward()
    view = show_graph(loss, detail="modules", depth=1)
    line, = boxes(view)["b Block"][1:]
    assert line.startswith("gradients: norm ")
    assert json.dumps(line) in view._repr_mimebundle_()["text/html"]


def test_a_play_tells_no_gradient_of_before():
    """They change while it runs."""
    net = Deep()
    loss = run_deep(net)
    loss.backward(retain_graph=True)
    assert "norm" not in repr(make_diagram(play_backward(loss, detail="modules").recording.before, "modules"))
