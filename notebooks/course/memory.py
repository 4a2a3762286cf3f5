"""After each cell, the kernel gives memory back that it no longer uses.

The C library keeps what was freed, for later. A training leaves gaps of up to 200 MB, and in a class, a machine is shared by many
kernels. To look for them takes less than a tenth of a second.
"""

import ctypes
from typing import Any


def give_back(*_: Any) -> None:
    """Return freed memory to the system, where the C library can do that: on Linux, with glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)


def after_each_cell() -> None:
    """Let IPython, if this is one, give memory back after each cell. To call it again changes nothing."""
    from IPython import get_ipython
    shell = get_ipython()
    if shell is not None and give_back not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", give_back)
