"""What a notebook promises under **Change this:** is what one sees: each change is run, after the cells before it.

The shell runs in this process, so that ten notebooks take seconds. Whether the notebooks as they are run in a kernel is
nbval's part.
"""

import contextlib

import matplotlib
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import seegrad
from project import COURSE, notebooks, read
from regression import in_words
from rules import changed

BAR = "[====="      # of progress, in a stored output: such a cell trains for seconds, and no change needs it

# By the code cell that is changed: what then stands in its output, in this order. It is what the notebook says in words.
SEEN = {
    "01-06": ["plain; leaf (3,); .grad None; not in this graph"],
    "01-12": ["<AddBackward0", "leaf 1; leaf (3,)", "[2] AddBackward0 from [1]"],
    "01-18": ["AccumulateGrad from w", "self = w () 4 B alive; other = x () 4 B alive",
              "x: not tracked, w: tracked, b: tracked", "MulBackward0 from [1], x (no gradient); other = x () 4 B alive"],
    "01-34": ["no graph", "w; leaf (3,); .grad (3,)"],
    "01-55f": ["line 5: x is no longer tracked", "w.grad: None → 3"],
    "02-05": ["it saves x (16 B)", "it saves y (16 B)", "3 alive (32 B)"],
    "02-24b": ["self = x (2,) 8 B alive; other = x (2,) 8 B alive"],
    "02-26": ["x; leaf (2,)", "self = w (2,) 8 B alive; other = x (2,) 8 B alive"],
    "02-29": ["keeps what it saved; 40 B still saved", "x.grad: None → 4.5 in all", "3 alive (40 B)"],
    "02-34a": ["x.grad: 4.5 in all of (2, 2) → 9 in all", "finished"],
    "02-54": ["2 saved tensors: 2 freed"],
    "03-05": ["backward from sum_loss", "2. [3]", "3. [2]", "4. [1]", "x.grad: None → 8 in all"],
    "03-07": ["x.grad: 2 in all of (1, 4) → 10 in all", "finished"],
    "03-15": ["line 7: runs backward from d, retain_graph=True", "frees self; 0 B still saved", "finished"],
    "03-23": ["[5] ExpBackward0 receives 1 in all of (1, 4); stops here"],
    "03-50": ["2 tracked leaves", "AddmmBackward0 from leaf 2, leaf 1; 1 saved freed",
              "AddmmBackward0 from leaf 2, leaf 1; 1 saved 8 B alive"],
    "04-06": ["receives 1; to [4] goes 1 in all", "receives 9 + 9 = 18 in all", "x.grad: 36 in all of (2, 2) → 54 in all"],
    "04-21": ["CloneBackward0 receives 2.25 + 2.25 + 2.25 + 2.25 = 9 in all", "[2] AddBackward0 receives 9 in all"],
    "04-23": ["y.grad: 6.0"],
    "04-24c": ["to bias goes 3 in all of (4, 1)"],
    "04-24h": ["difference (3,), loss 0.00, guess.grad 0.00 0.00 0.00"],
    "04-31b": ["p.grad None: p = 1.00", "p.grad 0.0: p = 1.00"],
    "04-52c": ["p: 0.60 1.08", "p: 0.60 1.08", "p: 1.20"],
    "05-10": ["out: tensor([0.7311, 0.8808, 0.9526])", "result = out (3,) 12 B alive", "c; not tracked (3,)\n"],
    "05-12": ["it saves a (12 B)", "1 × cos(a)", "finished"],
    "05-16": ["RuntimeError: one of the variables", "is at version 1; expected version 0"],
    "05-26h": ["works, x.grad = tensor([ 6.,  8., 10.])", "PowBackward0 from [2]; self (3,) 12 B alive"],
    "05-48": ["trunk.grad: tensor([ 8., 16.])", "[3] CloneBackward0 from [2]", "MulBackward0 from head2, [3]"],
    "05-53": ["[3] CloneBackward0 from [2]", "SubBackward0 from [5], [3]", "target from [3]; result (2,)"],
    "06-15": ["(2) 16 nodes from (1)", "(3) 16 nodes from (1)", "car_loss from (3); result () float64\n"],
    "06-27": ["(1) 13 nodes; 6 leaves; 9 saved freed", "(2) 16 nodes from features; 6 leaves; 10 saved 103,488 B alive",
              "(3) 16 nodes from features; 6 leaves; 10 saved freed"],
    "06-40": ["(2) 16 nodes from j", "(3) 16 nodes from features"],
    "06-53": ["CloneBackward0 from features", "nodes from cut;", "cut from [14]; result"],
    "07-08": ["no graph", "picture; not tracked"],
    "07-15": ["target is outside the graph", "finished"],
    "07-26": ["(1) 2 nodes from picture", "(2) 5 nodes from (1)", "(3) 2 nodes from (1)"],
    "07-30": ["ReluBackward0 receives", "frees result", "picture receives", "(16,640 B)"],
    "07-50a": ["calls: 1  x.grad: None", "1 saved tensor: 1 alive"],
    "08-25": ["result = b (3,) 12 B changed in place"],
    "08-36": ["w: tensor([0.5000, 0.4000])", "1 alive, 1 freed"],
    "08-45": ["w.grad: tensor([-0.1291, -0.1873])", "TanhBackward0"],
    "08-53": ["w.grad: tensor(2.)"],
    "08-95": ["MulBackward0 from [2], [3]", "features from [2]; result (2,)"],
    "08-108": ["[3. 6.]", "detached; not tracked (2,)\n"],
    "08-116": ["RuntimeError: Inference tensors cannot be saved"],
    "08-122": ["z.grad: tensor([   nan, 0.2500])", "SqrtBackward0 from [1]", "safe from [2]"],
    "09-07": ["PowBackward0 from [1]; self = x (3,) float64 24 B alive"],
    "09-15": ["leaf.grad: tensor([ 24.,  96., 216.])", "[4] CubeByAttributeBackward from [3]\n"],
    "09-32": ["1 saved tensor: 1 alive", "dy; not tracked"],
    "09-48": ["slope; not tracked", "penalty; not tracked"],
    "09-91": ["alive (16,000 B)", "float64 packed by a hook 8,000 B alive"],
    "10-12": ["Encoder; 284 nodes, 67 leaves"],
    "10-27": ["2 parameters are not tracked", "Residual:\n    blocks Sequential:\n        0 Block; "],
    "10-31": ["blocks.2.conv1.weight; leaf", "AddmmBackward0 from [9]"],
    "10-48": ["knows 6 parameters", "was changed:    True"],
    "10-48a": ["layers.0 Linear", "weight (8, 8)", "layers.1 Linear"],
    "10-58": ["layer 1 1.3e+00", "layer 1 "],
    "10-85": ["cell #1 LSTMCell", "cell #5 LSTMCell from cell #4 LSTMCell (2, 8);"],
    "10-87e": ["tracked buffers: []", "mean 1; not tracked", "mean 3; not tracked"],
}


@contextlib.contextmanager
def shell():
    """A shell of IPython in the folder of the notebooks. It leaves nothing behind."""
    config = Config()
    config.HistoryManager.enabled = False       # a file in the home folder
    dtype = torch.get_default_dtype()
    with contextlib.chdir(COURSE), matplotlib.rc_context():
        try:
            ip = InteractiveShell.instance(config=config)
            seegrad.load_ipython_extension(ip)      # as the import does in a kernel; here it was imported before
            yield ip
        finally:
            InteractiveShell.clear_instance()
            torch.set_default_dtype(dtype)


def run(ip, source):
    """Run a cell. Return its error, or None, and what it shows, as text."""
    with capture_output() as captured:
        error = ip.run_cell(source).error_in_exec
    shown = [output.data.get("text/plain", "") for output in captured.outputs]
    return error, "\n".join([captured.stdout, *shown, f"{type(error).__name__}: {error}" if error else ""])


def missing(parts, text):
    """The first of these parts that does not stand in the text behind the ones before it, or None."""
    for part in parts:
        _, found, text = text.partition(part)
        if not found:
            return part
    return None


@pytest.mark.filterwarnings("ignore")       # as in a kernel: a warning is no error
@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_change_shows_what_the_notebook_says(path):
    """And it may stay: nobody runs the old cell again, and the cells after it show what they store."""
    notebook = read(path)
    changes = {asks.id: (cell, source) for asks, cell, source in changed(notebook)}
    last = max((place for place, cell in enumerate(notebook.cells) if cell.id in changes), default=0)
    wrong = []
    with shell() as ip:
        for cell in notebook.cells[:last + 1]:
            if cell.id in changes:
                of, source = changes[cell.id]
                _, new = run(ip, source)
                wrong += [(cell.id, "does not show", part) for part in [missing(SEEN[of.id], new)] if part]
                wrong += [(cell.id, "shows nothing new")] * (missing(SEEN[of.id], in_words(of.outputs) + "\n") is None)
            elif cell.cell_type == "code" and BAR not in str(cell.outputs):
                error, shown = run(ip, cell.source)
                if not isinstance(error, NameError):        # it needs a cell that trains
                    wrong += [(cell.id, "differs", line) for line in in_words(cell.outputs).splitlines() if line not in shown]
    assert wrong == []


def test_each_promise_is_tried_and_each_trial_promised():
    asked = [cell.id for path in notebooks() for _, cell, _ in changed(read(path))]
    assert sorted(asked) == sorted(SEEN)
