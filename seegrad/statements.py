"""What the text of code tells: its statements, its loops, and the names that each of them reads and writes."""

import ast
import functools
import re
import textwrap
from collections.abc import Iterator


def statement_at(text: str, line: int) -> ast.stmt | None:
    """The innermost statement of a source that stands on a line, counted from 1; None where there is none."""
    covering = [statement for statement in _statements(text) if statement.lineno <= line <= (statement.end_lineno or 0)]
    return max(covering, key=lambda statement: statement.lineno, default=None)


def loops(text: str) -> dict[int, int]:
    """For the first line of each loop of a source, its last line."""
    return {statement.lineno: statement.end_lineno or statement.lineno for statement in _statements(text)
            if isinstance(statement, (ast.For, ast.While, ast.AsyncFor))}


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


def uses_and_makes(text: str) -> tuple[list[str], list[str]]:
    """Of a cell, the names that it reads before it gives them a value, and those to which it gives a value first."""
    uses: dict[str, None] = {}
    makes: dict[str, None] = {}
    tree = _parsed(text)
    for statement in tree.body if tree else ():
        inside = [node for node in ast.walk(statement) if isinstance(node, ast.stmt)]
        for node in sorted(inside, key=lambda node: node.lineno):
            read = names_read(node)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                read.append(node.target.id)
            uses.update((name, None) for name in read if name not in makes)
            makes.update((name, None) for name in names_written(node) if name not in uses)
    return list(uses), list(makes)


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
