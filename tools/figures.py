"""Write figures/NAME.svg for every cell tagged `figure:NAME`, from the picture that the notebook has stored: make figures"""

import argparse

from project import ROOT, notebooks, pictures, read, tags, write


def figures() -> dict[str, str]:
    """Return a dict from file name to SVG text. Raises ValueError where a tagged cell shows no picture, or several."""
    found = {}
    for path in notebooks():
        for cell in read(path).cells:
            for tag in tags(cell):
                if not tag.startswith("figure:"):
                    continue
                shown = [picture for output in cell.outputs
                         for picture in pictures(output.get("data", {}).get("text/html", ""))]
                if len(shown) != 1:
                    raise ValueError(f"{path.name}: the cell tagged {tag} shows {len(shown)} pictures; tag a cell "
                                     "that shows one.")
                found[tag.removeprefix("figure:") + ".svg"] = shown[0]
    return found


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    folder = ROOT / "figures"
    folder.mkdir(exist_ok=True)
    wanted = figures()
    for name, svg in wanted.items():
        write(folder / name, svg)
    for old in folder.glob("*.svg"):
        if old.name not in wanted:
            old.unlink()
    print(f"figures/: {len(wanted)} written from the notebooks' stored outputs")


if __name__ == "__main__":
    main()
