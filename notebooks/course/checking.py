"""Exercises that check themselves: run the learner's code on fresh inputs, and say in one sentence what is wrong.

The checks of each notebook stand in `course/exercises`. A check is a function that is given `run`, which calls the
learner's code. It raises :class:`Wrong` with what is seen to be wrong, and may return an :class:`Idea`.
"""

import ast
import contextlib
import functools
import importlib
import linecache
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from IPython.display import display

from seegrad.view import Picture

from .verdict import OPEN, RIGHT, WRONG, Verdict

MOST_INSTRUCTIONS = 1_000_000   # of the learner's Python code in one call; counted, because a clock would judge differently


class Wrong(Exception):
    """What is wrong with an answer.

    sentence: the symptom, what is seen, for the learner. The cure stands in the hints.
    picture: the graph of the answer, where that is the matter.
    """

    def __init__(self, sentence: str, picture: Picture | None = None) -> None:
        super().__init__(sentence)
        self.picture = picture


@dataclass(frozen=True)
class Idea:
    """What a right answer shows.

    sentence: the idea of the exercise.
    picture: the graph that proves the answer.
    """

    sentence: str
    picture: Picture | None = None


Check = Callable[[Callable[..., Any]], Idea | None]     # it is given what runs the learner's code, and raises Wrong

_checks: dict[str, Check] = {}      # name of an exercise -> its check
_states: dict[str, str] = {}        # name of an exercise -> what the last check said, in this kernel


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
    load(str(name).partition(".")[0])
    if name not in _checks:
        raise ValueError(f"there is no exercise {name!r}: the names are {', '.join(sorted(_checks))}.")
    if _is_open(answer):
        verdict = Verdict(name, OPEN)
    else:
        try:
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                idea = _checks[name](lambda *inputs: _run(answer, inputs)) or Idea("")
            verdict = Verdict(name, RIGHT, idea.sentence, picture=idea.picture)
        except Wrong as wrong:
            verdict = Verdict(name, WRONG, str(wrong), picture=wrong.picture)
        except Exception as error:      # of the check itself: it met something that it did not expect
            verdict = Verdict(name, WRONG, f"The check cannot use what your function returned or did ({in_words(error)}).")
    _states[name] = verdict.state
    if verdict.state == OPEN:
        print(verdict)      # plain words: there is nothing to look at
    else:
        display(verdict)


def progress(notebook: str) -> None:
    """Print which exercises of a notebook are done in this kernel. notebook: its number, as in "03"."""
    names = load(notebook)
    done = [name for name in names if _states.get(name) == RIGHT]
    to_do = [name for name in names if name not in done]
    print(f"{len(done)} of {len(names)} exercises done." + (f" Still to do: {', '.join(to_do)}." if to_do else ""))


def load(notebook: str) -> list[str]:
    """Import the checks of a notebook, where it has any, and return their names."""
    try:
        importlib.import_module(f".exercises.notebook_{notebook}", __package__)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(__package__):
            raise
    return sorted(name for name in _checks if name.startswith(f"{notebook}."))


def _is_open(answer):
    def nothing():
        ...
    return answer is ... or _compiled(answer) == _compiled(nothing) or _has_a_gap(_source(answer))


def _compiled(answer):
    code = getattr(answer, "__code__", None)
    return code and (code.co_code, code.co_consts)      # since Python 3.14, only a constant tells `return 1` from `...`


def _source(answer):
    """The text of the cell in which the answer was written, or an empty string."""
    code = getattr(answer, "__code__", None)
    return "".join(linecache.getlines(code.co_filename)) if code else ""


def _has_a_gap(source):
    """Whether `...` stands in a source, other than as an index, as in x[..., 0]."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    indices = {inside for node in ast.walk(tree) if isinstance(node, ast.Subscript) for inside in ast.walk(node.slice)}
    return any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree) if node not in indices)


def _run(answer, inputs):
    """Call the learner's function on inputs that are fresh; an answer that is a value is returned as it is."""
    if not callable(answer):
        return answer
    before = [(number, tensor, tensor._version, tensor.detach().clone())
              for number, tensor in enumerate(inputs, 1) if isinstance(tensor, torch.Tensor)]
    try:
        result = bounded(answer, inputs)
    except Wrong:
        raise
    except (Exception, SystemExit) as error:
        raise Wrong(f"Your code raised {in_words(error)}.") from None
    for number, tensor, version, values in before:
        if tensor._version != version or not torch.equal(tensor, values):
            raise Wrong(f"Your code changed its input number {number} in place: compute a new tensor.")
    return result


def in_words(error: BaseException) -> str:
    """The type of an error, and the first line of its message without the full stop."""
    message = str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}{': ' * bool(message)}{message}"


def bounded(answer: Callable[..., Any], inputs: Iterable[Any], followed: object = None) -> Any:
    """Call the answer, and stop it after MOST_INSTRUCTIONS: an endless loop must not stop the notebook.

    followed: the function in whose file the instructions are counted; that is the answer, unless the call goes through
    PyTorch to code of the learner.
    """
    instructions = 0

    def count(frame, event, argument):
        nonlocal instructions
        # Only the learner's own code is followed: PyTorch's Python code would cost time, and ends by itself.
        if frame.f_code.co_filename != answer_file:
            return None
        frame.f_trace_opcodes = True        # a loop on one line gives no other events
        instructions += 1
        if instructions > MOST_INSTRUCTIONS:
            raise Wrong(f"Your code was stopped after {MOST_INSTRUCTIONS:,} instructions: is there a loop that does not end?")
        return count

    answer_file = getattr(getattr(followed or answer, "__code__", None), "co_filename", None)
    previous = sys.gettrace()
    sys.settrace(count)
    try:
        return answer(*inputs)
    finally:
        sys.settrace(previous)


def quietly(run: Callable[..., Any], *inputs: Any) -> Any:
    """Call the learner's function without PyTorch's warnings: where one matters, a sentence of the check says it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*inputs)


def is_tracked(answer: object) -> bool:
    """Whether the answer is a tensor that is tracked."""
    return isinstance(answer, torch.Tensor) and answer.requires_grad


@contextlib.contextmanager
def watched_backwards() -> Iterator[list[bool]]:
    """Yield a list that gets, for each backward pass, whether it was asked to retain the graph."""
    backward, flags = torch.autograd.backward, []

    @functools.wraps(backward)
    def watch(tensors, grad_tensors=None, retain_graph=None, *more, **named):
        flags.append(bool(retain_graph))
        return backward(tensors, grad_tensors, retain_graph, *more, **named)

    torch.autograd.backward = watch
    try:
        yield flags
    finally:
        torch.autograd.backward = backward


def same_numbers(answer: Any, expected: Any, what: str = "The result") -> None:
    """Raise :class:`Wrong` unless the answer is a tensor (or a number) with the expected shape and numbers."""
    if answer is None:
        raise Wrong("Your function returns nothing: end it with return.")
    if callable(answer) and not isinstance(answer, torch.Tensor):
        raise Wrong(f"{what} is a function: did you forget the brackets behind its name?")
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
