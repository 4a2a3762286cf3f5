"""Small changes to what PyTorch or seegrad does, each of which a notebook must notice: `make mutants`.

A mutant is a function that patches the library in the process that calls it. Its name and docstring say what is different
then; `noticed_at` says which cell of the notebooks must show another output.
"""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

MODULES = ["graph_and_freeing", "gradients", "sharing", "networks", "messages", "own_nodes", "training_programs",
           "views_and_checkpoints", "processes_and_precision", "of_seegrad"]
MUTANTS = {}


@dataclass
class Mutant:
    """A change. cell: the id of the cell that must notice it, as in "02-31". apply: what makes it."""

    cell: str
    apply: Callable

    @property
    def library(self):
        return "seegrad" if self.apply.__module__.endswith("of_seegrad") else "PyTorch"

    @property
    def name(self):
        return self.apply.__name__

    @property
    def change(self):
        return self.apply.__doc__


def noticed_at(cell):
    """Register the decorated function as a mutant that the cell with this id must notice."""
    def register(apply):
        if apply.__name__ in MUTANTS:
            raise ValueError(f"two mutants are called {apply.__name__}")
        MUTANTS[apply.__name__] = Mutant(cell, apply)
        return apply
    return register


def patch(owner, *names):
    """Replace these attributes by the decorated function, which gets the original as its first argument."""
    def replace(replacement):
        for name in names:
            setattr(owner, name, _with(replacement, getattr(owner, name)))
        return replacement
    return replace


def _with(replacement, original):
    @functools.wraps(original)
    def replaced(*args, **kwargs):
        return replacement(original, *args, **kwargs)
    return replaced


def load():
    """Import the mutants, which imports what they change, and return them by name."""
    for module in MODULES:
        importlib.import_module(f"mutants.{module}")
    return MUTANTS
