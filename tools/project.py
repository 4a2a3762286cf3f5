"""Where the parts of the project lie, and how its notebooks are read and its files written: what tools and tests share.

Standard library only, until a notebook is read: some tools run before anything is installed.
"""

import base64
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "notebooks"      # the notebooks, and the code that belongs to them
GENERATED = "<!-- From here on, this page is written by make docs. -->\n"
BEFORE_THE_FIRST = "Before the first claim"

FOLD = "jp-MarkdownHeadingCollapsed"        # what JupyterLab writes into the metadata of a heading that is folded
RUN_IT = "### Run it yourself"
FOLDED = (RUN_IT, "### For the curious: ")     # the headings under which a notebook is folded until a reader unfolds it
WORKSHOP = re.compile(r"^\*\*Workshop\.\*\* .+", re.MULTILINE)

# A picture as an output holds it.
PICTURE = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")


def notebooks(folder: Path = COURSE) -> list[Path]:
    """The paths of the numbered notebooks in a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> "NotebookNode":
    """A notebook as an nbformat node. Raises ValueError where the file holds none."""
    import nbformat
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:      # of many kinds, by what is broken
        raise ValueError(f"is not a notebook ({type(error).__name__}): {' '.join(str(error).split())[:100]}") from None
    return notebook


def kind(cell: "NotebookNode") -> str | None:
    """The slide type of a cell, or None."""
    return cell.metadata.get("slideshow", {}).get("slide_type")


def tags(cell: "NotebookNode") -> list[str]:
    return cell.metadata.get("tags", [])


def folded(cell: "NotebookNode") -> bool:
    """Whether a cell is a heading under which JupyterLab hides the cells, up to the next heading of its level or above."""
    return cell.metadata.get(FOLD, False)


def end_of_fold(cells: "list[NotebookNode]", start: int) -> int:
    """The place of the last cell that the folded heading at the place `start` hides."""
    level = len(cells[start].source) - len(cells[start].source.lstrip("#"))
    heading = re.compile(f"#{{1,{level}}} ")
    following = range(start + 1, len(cells))
    return next((i for i in following if cells[i].cell_type == "markdown" and heading.match(cells[i].source)), len(cells)) - 1


def is_workshop(notebook: "NotebookNode") -> bool:
    """Whether a notebook is a workshop, as its first cell says."""
    return bool(notebook.cells) and bool(WORKSHOP.search(notebook.cells[0].source))


def claims(notebook: "NotebookNode") -> dict[str, str]:
    """A dict from the id of each cell to the heading under which it stands."""
    claim, found = BEFORE_THE_FIRST, {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            claim = (re.findall(r"^## (.+)", cell.source, re.MULTILINE) or [claim])[-1]
        found[cell.id] = claim
    return found


def to_page(link: str) -> str:
    """A link to a notebook as one to the page, or the slides, that were made of it; another link as it is."""
    return re.sub(r"^([\w.-]+)\.ipynb(?=#|$)", r"\1.html", link)


def pictures(html: str) -> list[str]:
    """The pictures in the HTML of an output, as SVG strings."""
    return [base64.b64decode(payload).decode() for payload in PICTURE.findall(html)]


def write(path: Path, text: str) -> None:
    """Write a text file, which is never left half written: where that fails, what was there stays."""
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole.write_text(text, encoding="utf-8", newline="\n")
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def page(path: Path, generated: str) -> str:
    """The text of a page in docs/ as it should be: what is written by hand, down to a mark, and behind it what is generated."""
    return path.read_text(encoding="utf-8").partition(GENERATED)[0] + GENERATED + generated
