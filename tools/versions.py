"""Write the table of versions into docs/versions.md, from docs/versions.json, where `make upgrade-report` enters its results.

Standard library only: upgrade_report.py uses it before anything is installed.
"""

import argparse
import json
import re

from project import ROOT, page, write

DATA = ROOT / "docs/versions.json"
PAGE = ROOT / "docs/versions.md"


def enter(python: str, torch: str, cells: tuple[int, int], tests: tuple[int, int]) -> None:
    """Put a result into the data and the page, in the place of an earlier one for the same versions.

    python, torch: versions, as in "3.11" and "2.13.0". cells, tests: pairs (how many are as they should be, how many in all).
    """
    results = [one for one in load() if (one["python"], one["torch"]) != (python, torch)]
    results.append({"python": python, "torch": torch, "cells": list(cells), "tests": list(tests)})
    results.sort(key=lambda one: [[int(n) for n in re.findall(r"\d+", one[name])] for name in ("python", "torch")])
    write(DATA, "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in results) + "\n]\n")
    write_page()


def load() -> list[dict]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def table() -> str:
    rows = ["| Python | torch | Cells as stored | Other tests passed |", "|---|---|---|---|"]
    for one in load():
        cells, tests = ("{} of {}".format(*one[name]) for name in ("cells", "tests"))
        rows.append(f"| {one['python']} | {one['torch']} | {cells} | {tests} |")
    return "\n" + "\n".join(rows) + "\n"


def write_page():
    write(PAGE, page(PAGE, table()))


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    write_page()
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
