"""The course's own code: exercises that check themselves, and the look of its plots.

    from course import check, predictions, progress

It lies beside the notebooks, so that they find it. The graphs are drawn by seegrad, which is installed.
"""

from importlib.util import find_spec

if not find_spec("seegrad"):
    raise ModuleNotFoundError("seegrad, which draws the graphs, is not installed for this kernel: run `make lab` in the folder "
                              "of the course, or here %pip install .. and then this cell again.", name="seegrad")

from . import late_compiler, memory
from .checking import check, progress
from .predictions import predictions

late_compiler.install()
memory.after_each_cell()

__all__ = ["check", "predictions", "progress"]
