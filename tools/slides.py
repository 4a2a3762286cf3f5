"""Write a deck of slides for each notebook, which opens from a disk without a network: make slides

The slides are those that the cells' slide types say, with the stored outputs. Nothing is run.
"""

import argparse
import re
from pathlib import Path

from nbconvert import SlidesExporter

from project import ROOT, kind, notebooks, read, to_page, write

DECK = ROOT / "tools/deck"
OUT = ROOT / "_build/slides"


def deck(path: Path) -> str:
    """Return the deck of a notebook as one HTML text."""
    notebook = read(path)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"(?<=\]\()[^)\s]+", lambda link: to_page(link[0]), cell.source)
        if kind(cell) == "notes":
            cell.source = cell.source.replace("<details ", "<details open ")      # folded for readers only
    title = notebook.cells[0].source.partition("\n")[0].lstrip("# ")
    css = [(DECK / name).read_text(encoding="utf-8") for name in ("reveal/reveal.css", "slides.css")]
    js = [(DECK / f"reveal/{name}.js").read_text(encoding="utf-8") for name in ("reveal", "notes")]
    exporter = SlidesExporter(extra_template_basedirs=[str(ROOT / "tools")], template_name="deck")
    resources = {"deck": {"title": title, "css": "\n".join(css), "js": "\n".join(js)}}
    return exporter.from_notebook_node(notebook, resources)[0]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="paths of notebooks; without any, all of the course")
    paths = [path.resolve() for path in parser.parse_args(arguments).notebooks] or notebooks()
    OUT.mkdir(parents=True, exist_ok=True)
    for path in paths:
        write(OUT / f"{path.stem}.html", deck(path))
    print(f"{len(paths)} decks written: open {OUT.relative_to(ROOT)}/{paths[0].stem}.html in a browser")


if __name__ == "__main__":
    main()
