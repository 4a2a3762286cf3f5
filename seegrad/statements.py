"""What the text of code tells: its statements, its loops, and the names that each of them reads and writes."""

import ast
import dis
import functools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_READS = {"LOAD_NAME", "LOAD_GLOBAL"}
_WRITES = {"STORE_NAME", "STORE_GLOBAL"}


@dataclass(frozen=True)
class Source:
    """Code that ran.

    title: whose it is: "this cell", or the name of a function, as in "step()".
    first: the number of its first line.
    lines: its lines.
    """

    title: str
    first: int
    lines: tuple[str, ...]


def statement_at(text: str, line: int) -> ast.stmt | None:
    """The innermost statement of a source that stands on a line, counted from 1; None where there is none."""
    covering = [statement for statement in _statements(text) if statement.lineno <= line <= (statement.end_lineno or 0)]
    return max(covering, key=lambda statement: statement.lineno, default=None)


def loops(text: str) -> dict[int, int]:
    """For the first line of each loop of a source, its last line."""
    return {statement.lineno: statement.end_lineno or statement.lineno for statement in _statements(text)
            if isinstance(statement, (ast.For, ast.While, ast.AsyncFor))}


def method_of_class(text: str, name: str, method: str) -> tuple[int, int] | None:
    """The first and the last line of a method of a class; None where a source has no such class."""
    for statement in _statements(text):
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            for inside in statement.body:
                if isinstance(inside, ast.FunctionDef) and inside.name == method:
                    return inside.lineno, inside.end_lineno or inside.lineno
    return None


def names_read(statement: ast.stmt) -> list[str]:
    """The names that a statement reads itself, and not by the statements inside it."""
    return [node.id for node in _own_nodes(statement) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)]


def names_written(statement: ast.stmt) -> list[str]:
    """The names to which a statement gives a value itself."""
    return [node.id for node in _own_nodes(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def names_anywhere(statement: ast.stmt) -> list[str]:
    """The names that stand in a statement, in the order in which they are written."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(node.id for node in sorted(names, key=lambda node: (node.lineno, node.col_offset))))


def names_in(text: str) -> list[str]:
    """The names that stand in a source, in the order in which they are written."""
    return list(dict.fromkeys(name for statement in _statements(text) for name in names_anywhere(statement)))


def paths_anywhere(statement: ast.stmt) -> list[str]:
    """The names that stand in a statement, and what is read from them, as in "self.kept[0]"; the longest first."""
    parts = [node for node in ast.walk(statement) if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript))]
    return sorted(dict.fromkeys(map(ast.unparse, parts)), key=len, reverse=True)


@dataclass(frozen=True)
class Writer:
    """A statement that gives a name its value.

    statement: itself.
    is_unrecorded: the `with` around it that switches recording off, as it is written; "" for none.
    """

    statement: ast.stmt
    is_unrecorded: str


def only_writer(text: str, name: str, within: tuple[int, int] | None = None) -> Writer | None:
    """The one assignment that gives a name its value; None where there are several or none, or where another statement does it.

    within: the first and the last line of the function that is meant; None for what stands outside of all functions.
    """
    found = [statement for statement in _statements(text) if name in names_written(statement)
             and function_around(text, statement.lineno) == within]
    if len(found) != 1 or not isinstance(found[0], (ast.Assign, ast.AnnAssign)):
        return None
    line = found[0].lineno
    around = [ast.unparse(item.context_expr) for statement in _statements(text) if isinstance(statement, ast.With)
              and statement.lineno <= line <= (statement.end_lineno or 0) for item in statement.items]
    off = [words for words in around if re.search(r"\b(no_grad|inference_mode)\(\)", words)]
    return Writer(found[0], "" if any("enable_grad" in words for words in around) else next(iter(off), ""))


def function_around(text: str, line: int) -> tuple[int, int] | None:
    """The first and the last line of the innermost function in which a line stands; None for a line outside of all."""
    functions = [statement for statement in _statements(text) if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return max(((function.lineno, function.end_lineno or 0) for function in functions
                if function.lineno < line <= (function.end_lineno or 0)), default=None)


def start_of_backward(statement: ast.stmt) -> str:
    """What the text of a statement calls the tensor from which it runs backward; "" where it gives it no name."""
    for node in ast.walk(statement):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg in ("outputs", "tensors"))]
        start = given[0] if given and (name == "grad" or ast.unparse(node.func) == "torch.autograd.backward") else None
        if name == "backward" and start is None and isinstance(node.func, ast.Attribute):
            start = node.func.value
        if isinstance(start, (ast.Name, ast.Attribute, ast.Subscript)):
            return ast.unparse(start)
    return ""


def uses_and_makes(text: str) -> tuple[list[str], list[str]]:
    """Of a cell, the names that it reads before it gives them a value, and those to which it gives a value first."""
    uses: dict[str, None] = {}
    makes: dict[str, None] = {}
    tree = _parsed(text)
    for instruction in dis.get_instructions(compile(tree, "", "exec")) if tree else ():
        name = instruction.argval
        if isinstance(name, CodeType):      # of a function or a class: what it reads may be read from here on
            uses.update((inside, None) for inside in globals_of(name) if inside not in makes)
        elif instruction.opname in _READS and name not in makes:
            uses[name] = None
        elif instruction.opname in _WRITES and name not in uses:
            makes[name] = None
    return list(uses), list(makes)


def names_of(code: CodeType) -> Iterator[str]:
    """The names that the code of a cell, and the code inside it, reads or writes."""
    yield from (instruction.argval for instruction in dis.get_instructions(code) if instruction.opname in _WRITES)
    yield from globals_of(code)


def globals_of(code: CodeType) -> Iterator[str]:
    """The names that code, and the code inside it, looks up outside of its own."""
    own = {instruction.argval for instruction in dis.get_instructions(code) if instruction.opname == "STORE_NAME"}
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS and instruction.argval not in own:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from globals_of(constant)


def has_await(text: str) -> bool:
    """Whether a cell waits for something outside of its functions."""
    tree = _parsed(text)
    pending: list[ast.AST] = [tree] if tree else []
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
    return False


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module | None:
    """None where it is no Python, but for lines of other magics."""
    try:
        return ast.parse(textwrap.dedent(re.sub(r"(?m)^([ \t]*)[%!].*", r"\1pass", text)))
    except SyntaxError:
        return None


def _statements(text: str) -> Iterator[ast.stmt]:
    tree = _parsed(text)
    return (node for node in ast.walk(tree) if isinstance(node, ast.stmt)) if tree else iter(())


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The parts of a statement, without the statements inside it."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop(0)
        yield node
        pending += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
