"""The names by which code leads to tensors."""

import itertools
from collections.abc import Iterator
from typing import TypeVar

import torch

MOST_MEMBERS = 20       # of a list or a dict, whose tensors get names
MOST_NESTED = 3         # lists inside each other

Kind = TypeVar("Kind")


def tensors_in(name: str, value: object, module: str, nested: int = 0) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """The tensors that a value leads to: (name, tensor, whether it is a parameter of a module).

    name: of the value. module: the name of the Python module whose classes are looked into; others are not.
    """
    if isinstance(value, torch.Tensor):
        yield name, value, False
    elif isinstance(value, torch.nn.Module):
        if "_modules" in vars(value):       # else it is only being made
            for parameter, tensor in value.named_parameters():
                yield f"{name}.{parameter}", tensor, True
            for path, part in value.named_modules(prefix=name):
                yield from _kept_on(path, part, module, nested)
    elif nested < MOST_NESTED:
        for member, inside in itertools.islice(_members(name, value, module), MOST_MEMBERS):
            yield from tensors_in(member, inside, module, nested + 1)


def objects_in(name: str, value: object, module: str, kind: type[Kind], nested: int = 0) -> Iterator[tuple[str, Kind]]:
    """The objects of a kind, other than tensors, that a value leads to, with their names; not those inside of one."""
    if isinstance(value, kind):
        yield name, value
    elif nested < MOST_NESTED:
        for member, inside in itertools.islice(_members(name, value, module), MOST_MEMBERS):
            yield from objects_in(member, inside, module, kind, nested + 1)


def _kept_on(name: str, part: torch.nn.Module, module: str, nested: int) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """The tensors that a module of PyTorch's keeps besides its parameters, as a hidden state."""
    for field, inside in list(vars(part).items()):
        if not field.startswith("_") and nested < MOST_NESTED and not isinstance(inside, torch.nn.Module):
            yield from tensors_in(f"{name}.{field}", inside, module, nested + 1)


def _members(name: str, value: object, module: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, (list, tuple)):
        yield from ((f"{name}[{i}]", inside) for i, inside in enumerate(value))
    elif type(value) is dict:
        yield from ((f"{name}[{key!r}]", inside) for key, inside in value.items())
    elif type(value).__module__ == module:
        yield from ((f"{name}.{field}", inside) for field, inside in getattr(value, "__dict__", {}).items())
