"""graphlens: see the graph that PyTorch's autograd records, drawn from live tensors.

    from graphlens import show_graph
    show_graph(loss, x=x, w=w)
"""

from .check import check, progress
from .measure import measure
from .show import play_backward, show_graph, show_picture, side_by_side, what_if

__all__ = ["check", "measure", "play_backward", "progress", "show_graph", "show_picture", "side_by_side", "what_if"]
