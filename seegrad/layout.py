"""Let Graphviz lay out a graph in DOT: in this process, or in one of its own that cannot hang or exhaust this one.

The only module that knows pygraphviz. It imports nothing of this package: it is also the program of that other process.
"""

import contextlib
import functools
import html
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

FONT = "DejaVu Sans"        # matplotlib ships it, so it is there on every machine
DENSITY = "144"             # pixels in an inch of a PNG: two in a point
MOST_SECONDS = 8.0          # for one try in a process of its own
MOST_MEMORY = 4 * 2**30     # bytes, for that process, on systems that can limit them

TOO_MUCH = f"Graphviz could not lay out this graph in {MOST_SECONDS:.0f} seconds and {MOST_MEMORY // 2**30} GB of memory"

# More and more haste: Graphviz stops improving its first idea of the layout, then it no longer bends lines round boxes.
_HASTE = ({"nslimit": "1", "nslimit1": "1"}, {"nslimit": "0.05", "nslimit1": "0.05", "splines": "line"})


class LayoutError(Exception):
    """Graphviz could not lay out a graph within its limits."""


def lay_out(dot: str, form: str = "svg", **settings: str) -> bytes:
    """Return a DOT source as a picture: the same bytes on every machine and in every process. While it runs, nothing else does.

    form: "svg" or "png". settings: attributes of the graph, for Graphviz.
    """
    # pygraphviz warns on stderr that a large graph takes long.
    with contextlib.redirect_stderr(io.StringIO()):
        graph = _graphviz().AGraph(string=dot)
        graph.graph_attr.update(settings)
        if form == "png":
            graph.graph_attr["dpi"] = DENSITY
        picture: bytes = graph.draw(format=form, prog="dot")
        graph.close()
    return picture


def lay_out_apart(dot: str, form: str = "svg") -> bytes:
    """As `lay_out`, in a process of its own, and with haste: for a graph whose layout may take long.

    It can be interrupted. Raises LayoutError where it does not end within its limits of time and memory.
    """
    for settings in _HASTE:
        try:
            options = [f"{name}={value}" for name, value in settings.items()]
            done = subprocess.run([sys.executable, "-P", __file__, form, *options],
                                  input=dot.encode(), capture_output=True, timeout=MOST_SECONDS, check=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            continue
        return done.stdout
    raise LayoutError(TOO_MUCH)


@functools.cache
def _graphviz() -> ModuleType:
    """Import pygraphviz (slow, so not before it is needed) and let it measure text with matplotlib's fonts.

    With the fonts of the machine the widths, and so the whole picture, would differ from machine to machine. Fontconfig
    reads its settings once in a process, at the first layout.
    """
    import pygraphviz
    matplotlib = importlib.util.find_spec("matplotlib")
    assert matplotlib is not None and matplotlib.origin is not None     # seegrad depends on it
    fonts = Path(matplotlib.origin).parent / "mpl-data/fonts/ttf"
    with tempfile.TemporaryDirectory(prefix="seegrad-", ignore_cleanup_errors=True) as folder:
        settings = Path(folder, "fonts.conf")
        settings.write_text(f"<fontconfig><dir>{html.escape(str(fonts))}</dir>"
                            f"<cachedir>{html.escape(folder)}</cachedir></fontconfig>", encoding="utf-8")
        with _environment(FONTCONFIG_FILE=str(settings)), _silent_descriptor(2):
            pygraphviz.AGraph(string=f'digraph {{ warm [fontname="{FONT}"] }}').draw(format="svg", prog="dot")
    return pygraphviz


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _silent_descriptor(number: int) -> Iterator[None]:
    """Drop what C code writes there: fontconfig complains about settings of the machine that we do not even use."""
    kept = os.dup(number)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):     # Windows, or a limit that is lower already
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


if __name__ == "__main__":
    _limit_memory()
    form, *options = sys.argv[1:]
    given = dict(option.split("=") for option in options)
    sys.stdout.buffer.write(lay_out(sys.stdin.buffer.read().decode(), form, **given))
