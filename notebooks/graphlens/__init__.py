"""graphlens: see the graph that PyTorch's autograd records, drawn from live tensors.

    from graphlens import show_graph
    show_graph(loss, x=x, w=w)
"""

from .measure import measure
from .show import show_graph, show_picture, side_by_side

__all__ = ["measure", "show_graph", "show_picture", "side_by_side"]
