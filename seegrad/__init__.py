"""seegrad: see the graph that PyTorch's autograd records, drawn from live tensors.

    from seegrad import show_graph
    show_graph(loss, x=x, w=w)

In IPython and Jupyter, the import makes ``%%watch`` known, as ``%load_ext seegrad`` does.
"""

import sys
from typing import Any

from .measurement import measure
from .modules import modules
from .show import play_backward, show_graph, show_picture, side_by_side, watch, what_if

__all__ = ["measure", "modules", "play_backward", "show_graph", "show_picture", "side_by_side", "watch", "what_if"]


def load_ipython_extension(shell: Any) -> None:
    """IPython calls it for ``%load_ext seegrad``."""
    from .magic import Watcher
    Watcher(shell).load()


if "IPython" in sys.modules:
    from IPython import get_ipython
    if get_ipython() is not None:
        load_ipython_extension(get_ipython())
