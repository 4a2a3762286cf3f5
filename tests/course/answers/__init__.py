"""Answers to the exercises, with which their checks are tested: right ones beside the solutions, and typical wrong ones.

The answers to the exercises of one notebook stand in one module here, which is called like the module of their checks.
"""

import importlib
import pkgutil

RIGHT, WRONG = {}, {}


def right(name, sources):
    """Register other right answers to an exercise.

    name: as in "03.1". sources: the code of each; or a tuple of its code, words of the sentence that must praise it, and more
    words that must be shown.
    """
    _register(RIGHT, name, sources)


def wrong(name, answers):
    """Register wrong answers to an exercise.

    answers: for each its code, words of the sentence that must refuse it, and more words that must be shown: of the line, of the
    picture as text.
    """
    _register(WRONG, name, answers)


def _register(registry, name, answers):
    if name in registry:
        raise ValueError(f"the answers to exercise {name} are registered twice")
    registry[name] = answers


def load():
    """Import the answers to all exercises, and return the right ones and the wrong ones by the name of the exercise."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return RIGHT, WRONG
