"""Write figures/NAME.svg for every cell tagged `figure:NAME`, from the picture that the notebook has stored."""

import base64
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PICTURE = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")


def figures():
    """Return a dict from file name to SVG text. Raises ValueError where a tagged cell shows no picture, or several."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for tag in cell.metadata.get("tags", []):
                if not tag.startswith("figure:"):
                    continue
                shown = [picture for output in cell.outputs
                         for picture in PICTURE.findall(output.get("data", {}).get("text/html", ""))]
                if len(shown) != 1:
                    raise ValueError(f"{path.name}: the cell tagged {tag} shows {len(shown)} pictures; tag a cell "
                                     "that shows one.")
                found[tag.removeprefix("figure:") + ".svg"] = base64.b64decode(shown[0]).decode()
    return found


def main():
    folder = ROOT / "figures"
    folder.mkdir(exist_ok=True)
    wanted = figures()
    for name, svg in wanted.items():
        (folder / name).write_text(svg, encoding="utf-8", newline="\n")
    for old in folder.glob("*.svg"):
        if old.name not in wanted:
            old.unlink()
    print(f"figures/: {len(wanted)} written from the notebooks' stored outputs")


if __name__ == "__main__":
    sys.exit(main())
