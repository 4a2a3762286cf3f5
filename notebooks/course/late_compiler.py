"""PyTorch's compiler is loaded where something is compiled. In the other kernels, 70 MB and a second or two are saved.

The first optimizer, checkpoint or count of FLOPs imports `torch._dynamo`, and with it sympy, for two calls that tell the compiler
what to leave alone. As long as it is not loaded, nothing is compiled, and both do nothing. So a stand-in takes these two calls.
Whoever wants anything else of the module gets the real one, and from then on everything is as if there had been no stand-in.
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

NAME = "torch._dynamo"


class _StandIn(ModuleType):
    """What `import torch._dynamo` finds."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.__spec__, self.__file__ = importlib.util.find_spec(NAME), __file__
        self.__path__: list[str] = []
        self._door = _Door(self)
        self._left_alone: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()

    def graph_break(self, msg: str = "") -> None:
        """As PyTorch's own: for the compiler it is a mark, for Python nothing."""

    def disable(self, fn: Any = None, recursive: bool = True, **options: Any) -> Any:
        if options != {"wrapping": False}:      # not from inside of PyTorch: a function that a user names
            return self.load().disable(fn, recursive, **options)
        self._left_alone.add(fn)
        return fn

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):       # `inspect` asks every module for such names
            raise AttributeError(f"{NAME} has no {name} yet")
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """Give way to the real module."""
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME], torch._dynamo
            sys.meta_path.remove(self._door)
        real = importlib.import_module(NAME)
        for function in self._left_alone:       # where PyTorch finds nothing, it asks `disable` again
            function.__dict__.pop("__dynamo_disable", None)
        self._left_alone.clear()
        return real


class _Door(MetaPathFinder, Loader):
    """Asked first where a module is imported: one inside `torch._dynamo` needs the real package around it."""

    def __init__(self, stand_in: _StandIn) -> None:
        self._stand_in = stand_in
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f"{NAME}."):
            return None
        self._stand_in.load()       # which may import that module too, and it must not be there twice
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.name)
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs.pop(module.__name__)


def install() -> None:
    """Put the stand-in where the compiler is looked for, unless it is loaded already."""
    if NAME not in sys.modules:
        stand_in = _StandIn()
        sys.modules[NAME] = torch._dynamo = stand_in
        sys.meta_path.insert(0, stand_in._door)
