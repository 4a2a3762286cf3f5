"""Write the tables of messages, from the cases in seegrad/cases.py: that of 08, which has all, those of the other clinics, which
have their own, and docs/messages.md.

In a notebook, nothing else changes: the table stands in the cell that has its first line.
"""

import argparse
import re
from pathlib import Path

import nbformat

from project import COURSE, ROOT, notebooks, page, read, write
from seegrad.cases import BASIC, CASES, Case

PAGE = ROOT / "docs/messages.md"
HEAD = "| The message begins with | The cause | More |\n|---|---|---|"
TABLE = re.compile(r"^\| The message begins with \|.*(?:\n\|.*)+", re.MULTILINE)


def table(name: str) -> str:
    """The table of a clinic, by the name of its file."""
    files = {path.name[:2]: path.name for path in notebooks()}
    lines = [HEAD]
    for case in CASES:
        if name not in (BASIC, case.notebook):
            continue
        link = case.link.removeprefix(name)
        more = ", ".join(f"[{number}]({files[number]})" for number in case.more)
        lines += [f"| [{row.words or 'no message'}](<{link}>){row.behind} | {row.cause or case.cause} | {more} |"
                  for row in case.rows]
    return "\n".join(lines)


def with_table(source: str, name: str) -> str:
    """The source of a cell, with the table of this notebook in it as it should be."""
    return TABLE.sub(lambda _: table(name), source)


def clinics(folder: Path = COURSE) -> list[Path]:
    """The notebooks that have cases."""
    return [folder / name for name in dict.fromkeys(case.notebook for case in CASES)]


def rows_of_page(case: Case) -> list[str]:
    where = f"[{case.number}](<../notebooks/{case.link}>)"
    return [f"| {row.words or 'no message'}{row.behind} | {row.cause or case.cause} | {case.fix} | {where} |\n"
            for row in case.rows]


def page_of_messages() -> str:
    head = "\n| The message begins with | The cause | Fix | Case |\n|---|---|---|---|\n"
    return head + "".join(line for case in CASES for line in rows_of_page(case))


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(arguments)
    for path in clinics():
        notebook = read(path)
        for cell in notebook.cells:
            cell.source = with_table(cell.source, path.name)
        write(path, nbformat.writes(notebook) + "\n")
    write(PAGE, page(PAGE, page_of_messages()))
    print(f"{PAGE.relative_to(ROOT)} and the tables of the clinics are written")


if __name__ == "__main__":
    main()
