"""Tell what in an answer no exercise needs: what could reach the check that judges it, or the machine.

An answer and its check share a process, so no wall stands between them. Therefore an answer may use what exercises need, and
where it uses more, its point waits until a person has read it. Reading is all that it costs: nobody is called a cheat here.
"""

import ast
import builtins
import functools
import sys
import types
from collections.abc import Iterator

MODULES = {"torch", "math", "copy", "functools", "itertools", "numpy", "contextlib", "warnings", "collections", "typing"}
HARMLESS = {"abs", "all", "any", "bool", "callable", "classmethod", "complex", "dict", "divmod", "enumerate", "filter", "float",
            "frozenset", "hasattr", "hash", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next",
            "object", "pow", "print", "property", "range", "repr", "reversed", "round", "set", "slice", "sorted", "staticmethod",
            "str", "sum", "super", "tuple", "zip", "True", "False", "None", "NotImplemented", "Ellipsis", "__name__"}
OTHERS = {name for name, value in vars(builtins).items()
          if name not in HARMLESS and not (isinstance(value, type) and issubclass(value, Exception))}
NOT_TO_CHANGE = {"isinstance", "issubclass"}      # a class may be handed to them
UNDERSCORED = {"_", "__init__", "__call__", "__len__", "__iter__", "__next__", "__getitem__", "__enter__", "__exit__", "__name__",
               "_version", "_base"}
# Attributes that lead from a value to the frames that run, and from PyTorch to files, to other code, and to what it is made of.
LEADING_OUT = {"f_back", "f_builtins", "f_code", "f_globals", "f_locals", "f_trace", "tb_frame", "tb_next", "gi_frame",
               "cr_frame", "ag_frame", "gi_code", "cr_code", "gi_yieldfrom", "cr_await", "mro", "with_traceback", "format",
               "format_map", "tofile", "fromfile", "memmap", "loadtxt", "savetxt", "genfromtxt", "ctypeslib", "frombuffer",
               "from_file", "load", "save", "hub", "jit", "compile", "compiler", "fx", "library", "classes", "ops", "package",
               "serialization", "overrides", "multiprocessing", "cpp_extension", "onnx", "export", "testing", "data_ptr",
               "set_default_dtype", "get_type_hints", "ForwardRef", "f2py"}
MEANT_OTHERWISE = {"array", "chunk", "copy", "select", "signal", "trace", "random"}     # modules too


# What Python raises for code that it cannot read. SystemError: Python 3.11 counts wrongly in code that is nested too deeply.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, SystemError)


def beyond(source: str, set_up: str = "") -> list[str]:
    """What in the code of an answer no exercise needs, in a few words each; empty for most answers, and for what is no Python.

    set_up: the code before it, whose names an answer may use, but not change.
    """
    try:
        return list(dict.fromkeys(_Reader(ast.parse(source), ast.parse(set_up)).found()))
    except UNREADABLE:
        return []       # it does not run, so it is not right


class _Reader:
    """Reads an answer.

    modules: the names that stand for modules. given: those that the set-up makes. imported: all that stand for what is imported.
    """

    def __init__(self, tree: ast.Module, set_up: ast.Module) -> None:
        self.tree = tree
        imports = [node for root in (set_up, tree) for node in ast.walk(root) if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = [(node, alias.asname or alias.name.partition(".")[0]) for node in imports for alias in node.names]
        own = [id(node) for node in ast.walk(tree)]
        self.given = {name for node, name in names if id(node) not in own} | NOT_TO_CHANGE
        self.imported = {name for _, name in names}
        self.modules = {name for node, name in names if isinstance(node, ast.Import)} | {"nn", "F"}
        self.inside: dict[int, ast.AST] = {id(inner): node for node in ast.walk(tree) for inner in ast.iter_child_nodes(node)}

    def found(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            yield from getattr(self, f"_{type(node).__name__}", lambda _: ())(node)

    def _Import(self, node: ast.Import) -> Iterator[str]:
        for alias in node.names:
            if alias.name.partition(".")[0] not in MODULES or any(map(_leads_out, alias.name.split(".")[1:])):
                yield f"import {alias.name}"

    def _ImportFrom(self, node: ast.ImportFrom) -> Iterator[str]:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if module.partition(".")[0] not in MODULES or any(map(_leads_out, [*module.split(".")[1:], alias.name])):
                yield f"from {module} import {alias.name}"

    def _Attribute(self, node: ast.Attribute) -> Iterator[str]:
        if _leads_out(node.attr):
            yield f".{node.attr}"
        if not isinstance(node.ctx, ast.Load):
            root = _root(node)
            if root is None or root in self.modules or root in self.given and root[0].isupper():
                yield f"{ast.unparse(node)} ="
        elif _root(node) in self.modules and node.attr[0].isupper():
            yield from self._kept(node)

    def _Name(self, node: ast.Name) -> Iterator[str]:
        if node.id in OTHERS or _is_underscored(node.id):
            yield node.id
        if not isinstance(node.ctx, ast.Load) and node.id in self.given:
            yield f"{node.id} ="
        elif isinstance(node.ctx, ast.Load) and (node.id in self.modules or node.id in self.imported and node.id[0].isupper()):
            yield from self._kept(node)

    def _kept(self, node: ast.expr) -> Iterator[str]:
        """A module or a class of others that could get another name, under which it could be changed."""
        outer = self.inside[id(node)]
        while isinstance(outer, (ast.Tuple, ast.BinOp)):        # isinstance(x, (A, B)), A | B
            node, outer = outer, self.inside[id(outer)]
        is_used = isinstance(outer, (ast.Attribute, ast.ClassDef, ast.arg, ast.ExceptHandler, ast.FunctionDef))
        is_called = isinstance(outer, ast.Call) and (outer.func is node or getattr(outer.func, "id", "") in NOT_TO_CHANGE)
        if not (is_used or is_called):
            yield f"{ast.unparse(node)} as a value"

    def _FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
        if _is_underscored(node.name) or node.name in self.given:
            yield f"a definition of {node.name}"

    _ClassDef = _FunctionDef

    def _Match(self, node: ast.Match) -> Iterator[str]:
        yield "match"       # its patterns read attributes

    def _Global(self, node: ast.Global) -> Iterator[str]:
        yield "global"

    def _arg(self, node: ast.arg | ast.keyword) -> Iterator[str]:
        if _is_underscored(node.arg or "") or node.arg in NOT_TO_CHANGE:
            yield f"{node.arg}="

    _keyword = _arg


def _is_underscored(name: str) -> bool:
    return name.startswith("_") and name not in UNDERSCORED


def _leads_out(name: str) -> bool:
    """Whether an attribute is hidden, or leads to what no exercise needs."""
    is_hidden = _is_underscored(name) and not name.startswith("_saved_")
    return is_hidden or name == "*" or name in LEADING_OUT or name in _modules()


@functools.cache
def _modules() -> frozenset[str]:
    """How modules of others are called, in PyTorch and NumPy too: through one, as torch.os, all of Python could be reached."""
    import numpy
    import torch
    assert numpy and torch
    found = set(sys.stdlib_module_names)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("torch", "numpy"):
            found |= {name for name, value in list(vars(module).items()) if issubclass(type(value), types.ModuleType)
                      and value.__name__.partition(".")[0] not in ("torch", "numpy")}
    return frozenset(found - MEANT_OTHERWISE - MODULES)


def _root(node: ast.expr) -> str | None:
    """The variable whose attribute, or the attribute of whose attribute, something is; None where it is that of another value."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
