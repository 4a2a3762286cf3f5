"""Exercises that check themselves: run the learner's code on fresh inputs, and say in one sentence what is wrong.

The checks of each notebook stand in `course/exercises`. A check is a function that is given `run`, which calls the
learner's code. It raises :class:`Wrong` with what is seen to be wrong, and may return an :class:`Idea`.
"""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from IPython.display import display
from torch.overrides import TorchFunctionMode

from .running import Run, bounded, in_words
from .verdict import OPEN, RIGHT, WRONG, Idea, Verdict, Wrong

__all__ = ["Idea", "Run", "Wrong", "bounded", "check", "exercise", "has_numbers", "in_words", "is_tracked", "load", "progress",
           "quietly", "same_numbers", "telling_cuts", "verdict_on", "without_graphs"]

Check = Callable[[Run], Idea | None]        # it raises Wrong

_checks: dict[str, Check] = {}      # name of an exercise -> its check
_solved: set[str] = set()           # names of exercises, in this kernel: a later try takes none away


def exercise(name: str) -> Callable[[Check], Check]:
    """Register the check of an exercise. name: number of the notebook and of the exercise, as in "03.1".

    Raises ValueError for a second check of one name.
    """
    def register(function: Check) -> Check:
        if name in _checks:
            raise ValueError(f"two checks are for exercise {name}: {_checks[name].__name__} and {function.__name__}.")
        _checks[name] = function
        return function
    return register


def check(name: str, answer: object) -> None:
    """Check the answer of an exercise and show the verdict. The notebook goes on, whatever the answer does.

    name: as in "03.1". answer: what the exercise asks for, mostly a function. Where ``...`` stands in it, the exercise is not
    answered yet. Raises ValueError for an exercise that does not exist.
    """
    verdict = verdict_on(name, answer)
    if verdict is None:
        print(f"Exercise {name}: {OPEN}.")
        return
    if verdict.state == RIGHT:
        _solved.add(name)
    display(verdict)


def verdict_on(name: str, answer: object) -> Verdict | None:
    """The verdict on the answer of an exercise; None where it is not answered yet. name, answer, and errors: as in `check`."""
    load(str(name).partition(".")[0])
    if name not in _checks:
        raise ValueError(f"there is no exercise {name!r}: the names are {', '.join(sorted(_checks))}.")
    run = Run(answer)
    if run.is_open():
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            idea = _checks[name](run) or Idea("")
        return Verdict(name, RIGHT, idea.sentence, picture=idea.picture)
    except Wrong as wrong:
        return _refusal(name, run, wrong)
    except Exception as error:      # of the check itself: it met something that it did not expect
        return Verdict(name, WRONG, f"The check cannot use what your function returned or did ({in_words(error)}).")


def _refusal(name, run, wrong):
    """The verdict on a wrong answer. A check may have put its own words in the place of an error: that one tells the line."""
    errors = [wrong]
    while errors[-1].__context__ is not None:
        errors.append(errors[-1].__context__)
    line = wrong.line or next(filter(None, map(run.line_of_error, errors)), "")
    picture = next((error.picture for error in errors if isinstance(error, Wrong) and error.picture), None)
    return Verdict(name, WRONG, str(wrong), line, picture)


def progress(notebook: str) -> None:
    """Print which exercises of a notebook were solved in this kernel. notebook: its number, as in "03"."""
    names = load(notebook)
    done = [name for name in names if name in _solved]
    to_do = [name for name in names if name not in _solved]
    print(f"{len(done)} of {len(names)} exercises done." + (f" Still to do: {', '.join(to_do)}." if to_do else ""))


def load(notebook: str) -> list[str]:
    """Import the checks of a notebook, where it has any, and return their names."""
    try:
        importlib.import_module(f".exercises.notebook_{notebook}", __package__)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(__package__):
            raise
    return sorted((name for name in _checks if name.startswith(f"{notebook}.")), key=lambda name: int(name.partition(".")[2]))


def quietly(run: Callable[..., Any], *inputs: Any) -> Any:
    """Call the learner's function without PyTorch's warnings: where one matters, a sentence of the check says it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*inputs)


class _Cuts(TorchFunctionMode):
    """Knows where a tracked tensor went in last, and what came out is not tracked.

    line: of the learner's code, "" where there was none.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run, self.line = run, ""

    def __torch_function__(self, function: Any, types: object, inputs: Any = (), named: Any = None) -> Any:
        result = function(*inputs, **(named or {}))
        is_cut = isinstance(result, torch.Tensor) and not result.requires_grad and any(map(is_tracked, inputs))
        if is_cut and function != torch.Tensor.grad.__get__:       # type: ignore[union-attr]        # a .grad is no result of its leaf
            self.line = self._run.here
        return result


def telling_cuts(run: Run, *inputs: Any) -> Any:
    """Call the learner's function. Where backward starts at a tensor that is not tracked, the line is told that cut it off."""
    with _Cuts(run) as cuts:
        try:
            return quietly(run, *inputs)
        except Wrong as wrong:
            if "does not require grad" not in str(wrong) or not cuts.line:
                raise
            raise Wrong("backward starts at a tensor that is not tracked. In the line below, a tracked tensor goes in, and what "
                        "comes out is not tracked.", line=cuts.line) from None


def is_tracked(answer: object) -> bool:
    """Whether the answer is a tensor that is tracked."""
    return isinstance(answer, torch.Tensor) and answer.requires_grad


def without_graphs(run: Run, entries: list[Any], name: str, net: torch.nn.Module) -> list[Any]:
    """Return the entries of a list of numbers. Raises Wrong where one is a tensor that holds its graph, with that graph.

    name: of the list. net: what it was computed with, for the names of its parameters in the picture.
    """
    for i, entry in enumerate(entries):
        if is_tracked(entry) and entry.grad_fn is not None:
            here = f"{name}[{i}]"
            view, lines = run.show({here: entry, **dict(net.named_parameters(prefix="net"))})
            nodes = view.snapshot.nodes
            made = lines.get(len(nodes), "")
            raise Wrong(f"{here} is tracked: it holds a graph of {len(nodes)} nodes.", view.mark(here, "holds this graph"), made)
    return entries


def same_numbers(answer: Any, expected: Any, what: str = "The result") -> None:
    """Raise :class:`Wrong` unless the answer is a tensor (or a number) with the expected shape and numbers."""
    if answer is None:
        raise Wrong("Your function returns nothing.")
    if callable(answer) and not isinstance(answer, torch.Tensor):
        raise Wrong(f"{what} is a function, and not what a function returns.")
    expected = torch.as_tensor(expected)
    try:
        answer = torch.as_tensor(answer).detach()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} is of type {type(answer).__name__}: a {'tensor' if expected.dim() else 'number'} is expected."
                    ) from None
    if answer.shape != expected.shape:
        raise Wrong(f"{what} has the shape {tuple(answer.shape)}: {tuple(expected.shape)} is expected.")
    if not torch.allclose(answer.to(expected.dtype), expected, rtol=1e-4, atol=1e-6):
        raise Wrong(f"{what} has other numbers: {_short(answer)}, and not {_short(expected)}.")


def has_numbers(answer: Any, numbers: Any) -> bool:
    """Whether the answer is a tensor with just these numbers."""
    try:
        same_numbers(answer, numbers)
    except Wrong:
        return False
    return True


def _short(tensor):
    if tensor.numel() > 4:
        return f"numbers from {tensor.min().item():.4g} to {tensor.max().item():.4g}"
    return str([float(f"{value:.4g}") for value in tensor.flatten().tolist()])
