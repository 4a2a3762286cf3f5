"""seegrad: see the graph that PyTorch's autograd records, drawn from live tensors.

    from seegrad import show_graph
    show_graph(loss, x=x, w=w)
"""

from .measurement import measure
from .show import play_backward, show_graph, show_picture, side_by_side, what_if

__all__ = ["measure", "play_backward", "show_graph", "show_picture", "side_by_side", "what_if"]
