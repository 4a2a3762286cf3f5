"""seegrad: see the graph that PyTorch's autograd records, drawn from live tensors.

    from seegrad import show_graph
    show_graph(loss, x=x, w=w)

In IPython and Jupyter, the import makes ``%%watch`` known. ``%load_ext seegrad`` also explains each error of autograd, as
``python -m seegrad script.py`` does for a script.
"""

import sys
from typing import Any

from .measurement import measure
from .modules import modules
from .show import explain, play_backward, show_graph, show_picture, side_by_side, watch, what_if

__all__ = ["explain", "measure", "modules", "play_backward", "show_graph", "show_picture", "side_by_side", "watch", "what_if"]

_explainer: Any = None


def load_ipython_extension(shell: Any) -> None:
    """IPython calls it for ``%load_ext seegrad``."""
    global _explainer
    from .magic import Explainer, Watcher
    Watcher(shell).load()
    if _explainer is None:
        _explainer = Explainer(shell)
        _explainer.load()


def unload_ipython_extension(shell: Any) -> None:
    """IPython calls it for ``%unload_ext seegrad``: errors are no longer explained."""
    global _explainer
    if _explainer is not None:
        _explainer.unload()
        _explainer = None


if "IPython" in sys.modules:
    from IPython import get_ipython
    if get_ipython() is not None:
        from .magic import Watcher
        Watcher(get_ipython()).load()
