"""How what is shown in a notebook is written to a file."""

import html
import os
from collections.abc import Callable
from pathlib import Path

Writer = Callable[[], str | bytes]


class Shown:
    """What shows itself in Jupyter, and can be saved as a page of its own."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        raise NotImplementedError

    def _page_title(self) -> str:
        """What the page is called: the first line of the text."""
        return repr(self).partition("\n")[0]

    def _page(self) -> str:
        return page(self._page_title(), self._repr_mimebundle_()["text/html"])

    def _writers(self) -> dict[str, Writer]:
        """For each ending that a path may have, what makes the content of the file."""
        return {".html": self._page}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write this to a file, and return its path. The ending of the path says what is written.

        .html: a page of its own, in which all works as in the notebook, without a network. .svg, .png: the picture; of a play,
        as it is in the end. .csv: the numbers of a table.

        A file that stands there is replaced when all is written, and is not lost where that fails. Raises ValueError for an
        ending that this has not, and where there is no picture, and OSError where the file cannot be written.
        """
        path = Path(path)
        writers = self._writers()
        if path.suffix not in writers:
            *others, last = writers
            endings = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"save() was given the path {str(path)!r}, and a {type(self).__name__} is saved as {endings}: let "
                             "the path end so.")
        content = writers[path.suffix]()
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path


def page(title: str, body: str) -> str:
    """A page of its own around some HTML, which opens in a browser from a file."""
    return ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(title)}</title>\n"
            "<style>body { font-family: system-ui, sans-serif; margin: 1em; background: white; color: black }</style>\n"
            f"</head>\n<body>\n<main>{body}</main>\n</body>\n</html>\n")
