"""Write a deck of slides for each notebook, which opens from a disk without a network: python tools/slides.py [notebooks…]

The slides are those that the cells' slide types say, with the stored outputs. Nothing is run.
"""

import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter

ROOT = Path(__file__).resolve().parents[1]
DECK = ROOT / "tools/deck"
OUT = ROOT / "_build/slides"


def deck(path):
    """Return the deck of a notebook as one HTML text."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
            cell.source = cell.source.replace("<details>", "<details open>")      # folded for readers only
    title = notebook.cells[0].source.partition("\n")[0].lstrip("# ")
    css = [(DECK / name).read_text(encoding="utf-8") for name in ("reveal/reveal.css", "slides.css")]
    js = [(DECK / f"reveal/{name}.js").read_text(encoding="utf-8") for name in ("reveal", "notes")]
    exporter = SlidesExporter(extra_template_basedirs=[str(ROOT / "tools")], template_name="deck")
    resources = {"deck": {"title": title, "css": "\n".join(css), "js": "\n".join(js)}}
    return exporter.from_notebook_node(notebook, resources)[0]


def main(names):
    OUT.mkdir(parents=True, exist_ok=True)
    paths = [Path(name).resolve() for name in names] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in paths:
        (OUT / f"{path.stem}.html").write_text(deck(path), encoding="utf-8", newline="\n")
    print(f"{len(paths)} decks written: open {OUT.relative_to(ROOT)}/{paths[0].stem}.html in a browser")


if __name__ == "__main__":
    main(sys.argv[1:])
