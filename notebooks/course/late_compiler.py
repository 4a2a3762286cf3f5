"""PyTorch's compiler is loaded where something is compiled. In the other kernels, 70 MB and a second or two are saved.

The first optimizer, checkpoint or count of FLOPs imports `torch._dynamo`, and with it sympy, for two calls that tell the compiler
what to leave alone. As long as it is not loaded, nothing is compiled, and both do nothing. `backward(gradient)` imports what
computes with unknown shapes, and sympy too, for two calls that compare shapes. So stand-ins take these four calls. Whoever wants
anything else of the two modules gets the real ones, and from then on everything is as if there had been no stand-in.
"""

import importlib
import importlib.util
import sys
import weakref
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

COMPILER, SHAPES = "torch._dynamo", "torch.fx.experimental.symbolic_shapes"

_left_alone: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()


def _graph_break(msg: str = "") -> None:
    """As PyTorch's own: for the compiler it is a mark, for Python nothing."""


def _disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:
    if options != {"wrapping": False}:      # not from inside of PyTorch: a function that a user names
        return _real(COMPILER).disable(fn, recursive, **options)
    _left_alone.add(fn)
    return fn


def _sym_eq(x: Any, y: Any) -> Any:
    plain = all(isinstance(shape, tuple) and all(type(size) is int for size in shape) for shape in (x, y))
    return x == y if plain else _real(SHAPES).sym_eq(x, y)


def _expect_true(a: Any, skip: int = 0) -> bool:
    return a if type(a) is bool else _real(SHAPES).expect_true(a, skip + 1)


ANSWERS = {COMPILER: {"graph_break": _graph_break, "disable": _disable},
           SHAPES: {"sym_eq": _sym_eq, "expect_true": _expect_true}}


class _StandIn(ModuleType):
    """What an import finds in the place of one of these modules."""

    def __init__(self, name: str) -> None:
        super().__init__(name, __doc__)
        self.__spec__, self.__file__ = importlib.util.find_spec(name), __file__
        self.__path__: list[str] = []
        self.__dict__.update(ANSWERS[name])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):       # `inspect` asks every module for such names
            raise AttributeError(f"{self.__name__} has no {name} yet")
        return getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    """The real module; its stand-in, if there still is one, has gone."""
    parent, _, own_name = name.rpartition(".")
    stand_in = sys.modules.get(name)
    if isinstance(stand_in, _StandIn):
        del sys.modules[name]
        delattr(sys.modules[parent], own_name)
        for answer in ANSWERS[name]:        # who still holds the stand-in is led on
            del stand_in.__dict__[answer]
    real = importlib.import_module(name)
    if name == COMPILER:
        for function in _left_alone:        # where PyTorch finds nothing, it asks `disable` again
            function.__dict__.pop("__dynamo_disable", None)
        _left_alone.clear()
    return real


class _Door(MetaPathFinder, Loader):
    """Asked first where a module is imported: one inside `torch._dynamo` needs the real package around it."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not (name.startswith(f"{COMPILER}.") and isinstance(sys.modules.get(COMPILER), _StandIn)):
            return None
        _real(COMPILER)     # which may import that module too, and it must not be there twice
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.name)
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs.pop(module.__name__)


def install() -> None:
    """Put the stand-ins where these modules are looked for, unless the compiler is loaded already."""
    if COMPILER in sys.modules or SHAPES in sys.modules:
        return
    torch._dynamo = sys.modules[COMPILER] = _StandIn(COMPILER)
    torch.fx.experimental.symbolic_shapes = sys.modules[SHAPES] = _StandIn(SHAPES)
    sys.meta_path.insert(0, _Door())
