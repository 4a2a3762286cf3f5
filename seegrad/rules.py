"""Why a node sends the gradient that it sends: the rules of the operations that the course uses, in one table.

Source: ``tools/autograd/derivatives.yaml`` of PyTorch, from which the nodes themselves are made.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch

MOST_VALUES = 4     # numbers that are told one by one
LONGEST = 80        # characters of a rule with its numbers

# For each node, what it sends to each of its inputs, in Python. g is what it receives, the other names are what it has saved.
# A node that sends on what it receives needs no rule.
RULES: dict[str, tuple[str, ...]] = {
    "AbsBackward0": ("g * sign(self)",),
    "CosBackward0": ("-g * sin(self)",),
    "DivBackward0": ("g / other", "-g * self / other**2"),
    "DotBackward0": ("g * tensor", "g * self"),
    "ExpBackward0": ("g * result",),
    "LogBackward0": ("g / self",),
    "MeanBackward0": ("g / self_sym_numel",),
    "MulBackward0": ("g * other", "g * self"),
    "NegBackward0": ("-g",),
    "PowBackward0": ("g * exponent * self**(exponent - 1)",),
    "ReciprocalBackward0": ("-g * result**2",),
    "ReluBackward0": ("g * (result > 0)",),
    "SigmoidBackward0": ("g * result * (1 - result)",),
    "SinBackward0": ("g * cos(self)",),
    "SqrtBackward0": ("g / (2 * result)",),
    "SubBackward0": ("g", "-g"),
    "TanhBackward0": ("g * (1 - result**2)",),
}
_FUNCTIONS = {"cos": torch.cos, "sin": torch.sin, "sign": torch.sign}
_NAME = re.compile(r"[a-z_]+\b(?!\()")


@dataclass(frozen=True)
class Reason:
    """A rule, with the numbers that stood in it.

    rule: as in RULES.
    numbers: for each name in it, its numbers in words.
    """

    rule: str
    numbers: tuple[tuple[str, str], ...]

    def in_words(self, names: Mapping[str, str], result: str) -> str:
        """The rule with names in it, then with numbers, then the result; where that is too long, without some of it.

        names: of the tensors that a reader knows by one. result: in words.
        """
        numbers = {name: in_brackets(words) for name, words in self.numbers}
        known = {name: word for name, word in names.items() if name in numbers}
        with_numbers, with_names = _fill(self.rule, numbers), _fill(self.rule, {**numbers, **known})
        values = {name: _numbers(words) for name, words in self.numbers}
        sign = "=" if few(_evaluate(self.rule, values)) == result.partition(" in all of")[0] else "≈"
        for words in dict.fromkeys((f"{with_names} = {with_numbers}" if known else with_numbers, with_names)):
            if len(words) <= LONGEST:
                return f"{words} {sign} {result}"
        return result


def _fill(rule: str, words: Mapping[str, str]) -> str:
    filled = _NAME.sub(lambda name: words[name[0]], rule)
    return filled.replace("**", "^").replace("*", "×")


def _evaluate(rule: str, values: Mapping[str, object]) -> object:
    return eval(rule, {"__builtins__": {}, **_FUNCTIONS}, dict(values))      # one of RULES: none of it is a caller's


def reasons(node: str, received: torch.Tensor, saved: Mapping[str, object],
            sent: Sequence[torch.Tensor | None]) -> list[Reason | None]:
    """For each gradient that a node sent, the rule that gives it; None where no rule is known that gives just these numbers.

    node: the name of its type. saved: what it saved, by name. All tensors have few numbers.
    """
    rules = RULES.get(node, ())
    return [_reason(rule, {"g": received, **saved}, tensor) for rule, tensor in itertools.zip_longest(rules, sent)]


def _reason(rule: str | None, values: Mapping[str, object], sent: torch.Tensor | None) -> Reason | None:
    names = dict.fromkeys(_NAME.findall(rule)) if rule else {}
    if rule in (None, "g") or sent is None or any(values.get(name) is None for name in names):
        return None
    result = _evaluate(rule, values)
    if not isinstance(result, torch.Tensor) or not agree(result, sent):
        return None
    return Reason(rule, tuple((name, few(values[name])) for name in names))


def sum_in_words(parts: Sequence[torch.Tensor], whole: torch.Tensor, words: str) -> str | None:
    """A gradient in which others came together, as their sum; None where a hook has made it another one.

    words: for the whole.
    """
    if not agree(sum(parts[1:], start=parts[0]), whole):
        return None
    first, *more = map(few, parts)
    values = [_numbers(part) for part in (first, *more)]
    sign = "=" if few(sum(values[1:], start=values[0])) == few(whole) else "≈"
    return f"{' + '.join([first, *map(in_brackets, more)])} {sign} {words}"


def agree(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are the same numbers, but for rounding; one number stands for as many as there are."""
    if first.dtype != second.dtype or first.numel() != 1 and first.shape != second.shape:
        return False
    return torch.allclose(first.expand_as(second), second, rtol=1e-6, atol=0)


def are_few(tensor: torch.Tensor | None) -> TypeGuard[torch.Tensor]:
    """Whether a tensor can be told number by number: it is of real numbers, and of few."""
    return (tensor is not None and tensor.layout == torch.strided and not tensor.is_nested and 0 < tensor.numel() <= MOST_VALUES
            and not tensor.is_meta and not tensor.is_complex())


def few(value: object) -> str:
    """Few numbers in words: one where all are the same."""
    numbers = value.flatten().tolist() if isinstance(value, torch.Tensor) else [value]
    words = [f"{number:.4g}" for number in numbers]
    return words[0] if len(set(words)) == 1 else f"[{', '.join(words)}]"


def _numbers(words: str) -> torch.Tensor:
    """What a reader with a calculator takes from words of `few`."""
    numbers = [float(word) for word in words.strip("[]").split(", ")]
    return torch.tensor(numbers if words.startswith("[") else numbers[0], dtype=torch.float64)


def in_brackets(words: str) -> str:
    """As it stands inside a rule: a negative number in brackets."""
    return f"({words})" if words.startswith("-") else words
