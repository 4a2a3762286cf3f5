"""What IPython calls.

`%%watch` above a cell: the cell runs as it would without, is watched meanwhile, and a player stands under it. It is no cell magic
of IPython's own kind: the line becomes a comment. So the cell stays IPython's to run, with its `await`, its other magics, its
lines counted as before, and its errors.

`%load_ext seegrad`: after an error of autograd, under its traceback, stands what is known of it.
"""

import contextlib
import re
from types import TracebackType
from typing import Any, get_args

from . import passes
from .diagram import Level
from .explaining import explain_error, remember
from .statements import has_await, uses_and_makes
from .tracing import Tracer
from .view import Watch
from .watching import tell

_FIRST_LINE = re.compile(r"\s*%%watch\b(.*)")


class Watcher:
    """Watches the cells of one IPython shell that begin with `%%watch`.

    shell: an ``IPython.core.interactiveshell.InteractiveShell``.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._tracer: Tracer | None = None
        self._detail: Level | None = None
        self._says = ""
        self._handlers: tuple[Any, Any] = (), None

    def load(self) -> None:
        """Make the magic known. A second time changes nothing."""
        transformers = self._shell.input_transformer_manager.cleanup_transforms
        if not any(transformer.__module__ == __name__ for transformer in transformers):
            transformers.insert(0, as_comment)
            self._shell.events.register("pre_run_cell", self.begin)
            self._shell.events.register("post_run_cell", self.end)

    def begin(self, info: Any) -> None:
        """IPython calls it before it runs a cell."""
        first = _FIRST_LINE.match(info.raw_cell)
        if first is None:
            return
        text, option = "".join(as_comment(info.raw_cell.splitlines(keepends=True))), first[1].strip()
        self._says = _refusal(text, option)
        if self._says:
            return
        self._detail = next((level for level in get_args(Level) if level == option), None)
        uses, makes = uses_and_makes(text)
        self._tracer = Tracer(self._shell.user_ns, tuple(info.raw_cell.splitlines()), uses, makes)
        # An error ends the play, and is shown below it, as it is without a watch.
        self._handlers = self._shell.custom_exceptions, self._shell.CustomTB
        self._shell.set_custom_exc((BaseException,), self._fail)
        self._tracer.start()

    def end(self, result: Any) -> None:
        """IPython calls it after it has run a cell: also after a cell that another magic runs inside this one."""
        if _FIRST_LINE.match(result.info.raw_cell) is None:
            return
        if self._says:
            print(self._says)
            self._says = ""
        self._show(result.error_in_exec or result.error_before_exec)

    def _fail(self, shell: Any, kind: type[BaseException], error: BaseException, traceback: TracebackType,
              tb_offset: int | None = None) -> None:
        try:
            self._show(error)
        finally:
            shell.showtraceback((kind, error, traceback), running_compiled_code=True)

    def _show(self, error: BaseException | None) -> None:
        from IPython.display import display
        if self._tracer is None:
            return
        tracer, self._tracer = self._tracer, None
        self._shell.custom_exceptions, self._shell.CustomTB = self._handlers
        play, history = tell(tracer.stop(error), self._detail)
        if error is not None:
            remember(error, history)
        if history.union.tensors:
            display(Watch(play, history))
        elif error is None:
            print("%%watch saw no tensor in this cell.")


class Explainer:
    """Explains the errors of one IPython shell.

    shell: an ``IPython.core.interactiveshell.InteractiveShell``.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def load(self) -> None:
        """Explain each error from now on."""
        passes.begin()
        self._shell.events.register("post_run_cell", self.explain)

    def unload(self) -> None:
        passes.end()
        self._shell.events.unregister("post_run_cell", self.explain)

    def explain(self, result: Any) -> None:
        """IPython calls it after it has run a cell, and shown its error."""
        from IPython.display import display
        if result.error_in_exec is None:
            return
        with contextlib.suppress(Exception):        # of ours: the error itself has been shown
            explanation = explain_error(result.error_in_exec)
            if explanation is not None:
                display(explanation)


def as_comment(lines: list[str]) -> list[str]:
    """The lines of a cell, the magic among them as a comment: no line gets another number."""
    number = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    if number == len(lines) or not _FIRST_LINE.match(lines[number]):
        return lines
    if number + 1 < len(lines) and lines[number + 1].startswith("%%"):      # another magic must be the first line
        return lines[number + 1:]
    return [*("#\n" for _ in range(number)), "#" + lines[number], *lines[number + 1:]]


def _refusal(text: str, option: str) -> str:
    """Why a cell is not watched, or an empty string."""
    if option and option not in get_args(Level):
        levels = ", ".join(get_args(Level))
        return f"%%watch does not know {option!r}: give it nothing, or one of {levels}. The cell was not watched."
    if text.startswith("%%"):
        return f"%%watch cannot watch what {text.split()[0]} runs. The cell was not watched."
    if has_await(text):
        return "%%watch cannot watch a cell that waits (await). The cell was not watched."
    return ""
