"""The notebook that the tests open: a play, one that fails, two folded ones with two branches, a what_if of graphs and one of
plots, and two watches."""

import nbformat
from nbclient import NotebookClient

from project import ROOT

TITLE = "# A notebook for the tests"
CODE = [
    "import torch\nfrom seegrad import play_backward, show_graph, what_if",

    "x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)\n"
    "loss = ((x + 2) ** 2 * 3).mean()\n"
    "play_backward(loss, x=x)",

    "play_backward(loss, x=x, raises=False)",

    "v, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)\n"
    "features = (2 * w).sin()\n"
    "names = dict(v=v, w=w, features=features, first=(features * features).sum(), second=(features.exp() * v).sum())\n"
    "play_backward(names['first'], retain_graph=True, detail='folded', **names)",

    "play_backward(names['second'], detail='folded', **names)",

    "def build(x, w):\n"
    "    a, b = torch.ones(2, requires_grad=x), torch.ones(2, requires_grad=w)\n"
    "    return show_graph((a * b).sum(), x=a, w=b)\n"
    "what_if(build, x=[True, False], w=[True, False])",

    "from matplotlib.figure import Figure\n"
    "from seegrad import show_picture\n"
    "def plot(high):\n"
    "    return show_picture(Figure(figsize=(4, 4 if high else 2)), alt='an empty plot')\n"
    "what_if(plot, high=[False, True])",

    f"import sys\nsys.path.append({str(ROOT / 'tests/library')!r})\nimport watched\nwatched.five_lines()",

    "watched.with_backward()",
]
PLAY, FAILING, BRANCHES, TWICE, WHAT_IF, PLOTS, WATCH, BACKWARD_IN_CODE = FIGURES = range(8)       # the places of the figures


def write_sample(folder):
    """Write sample.ipynb, run it, and return its path. Its outputs are stored, and nobody has trusted it."""
    cells = [nbformat.v4.new_markdown_cell(TITLE), *map(nbformat.v4.new_code_cell, CODE)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {
        "name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}})
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / "sample.ipynb")
    return folder / "sample.ipynb"
