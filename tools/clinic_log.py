"""Write the log of the error clinic into docs/clinic_log.md, from the programs in tests/reality and what explain said of them.

A program is the small copy of a thread. Its docstring has a title, and then fields:

    Thread: the address, the date
    Message: what PyTorch said in the thread, word for word; … stands for what is left out
    Here: the same where a shape makes it differ here
    Cause: what was wrong
    Case: its number in the error clinic, or none
    Guilty: what explain should point at

Where the thread has no message, "Asked:" has the words of the question, and the line `# explain(…)` in the program is where one
would ask. Case and Guilty were written before anybody ran explain on the program. With --run, the programs are run with explain,
and tests/reality/verdicts.json says which case it named.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from project import ROOT, page, write

FOLDER = ROOT / "tests/reality"
VERDICTS = FOLDER / "verdicts.json"
PAGE = ROOT / "docs/clinic_log.md"
FIELD = re.compile(r"^([A-Z][a-z]+): ", re.MULTILINE)
THREAD = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)")
MORE = re.compile(r"^(?:\[rank\d+\]:)?\s*More: (.*)", re.MULTILINE)      # the last line of an explanation
ASKING = re.compile(r"^( *)# (explain\(.+\))$", re.MULTILINE)


@dataclass
class Program:
    """A program after a thread.

    thread: its address. date: as in "2024-06-14", or without the day. message: a quotation with …, or "" where the thread asks
    without one. asked: the words of such a question, or "". here: the message as it is here. case: its number, or None.
    """

    path: Path
    thread: str
    date: str
    message: str
    asked: str
    here: str
    cause: str
    case: int | None
    guilty: str

    @property
    def name(self) -> str:
        return THREAD.sub(r"\1#\2", self.thread)

    def says(self, output: str) -> bool:
        """Whether the output has all parts of the message, in this order. Line breaks and the ranks of processes do not count."""
        return bool(re.search(".*".join(map(re.escape, map(plain, self.here.split("…")))), plain(output)))


def plain(words: str) -> str:
    return " ".join(re.sub(r"^\[rank\d+\]:", "", words, flags=re.MULTILINE).split())


def read(path: Path) -> Program:
    """The program in a file. Raises ValueError where its docstring lacks something."""
    _, *parts = FIELD.split(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    fields = {name: plain(words) for name, words in zip(parts[::2], parts[1::2])}
    try:
        thread, date = fields["Thread"].split(", ")
        case = None if fields["Case"] == "none" else int(fields["Case"])
        message = fields.get("Message", "")
        return Program(path, thread, date, message, "" if message else fields["Asked"], fields.get("Here", message),
                       fields["Cause"], case, fields["Guilty"])
    except KeyError as missing:
        raise ValueError(f"{path.name} has no {missing.args[0]}: in its docstring") from None


def programs() -> list[Program]:
    return [read(path) for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))]


def run(program: Program) -> subprocess.CompletedProcess[str]:
    """Run a program, and let explain read its error, or where it asks, its state."""
    with tempfile.TemporaryDirectory() as folder:
        path = program.path
        if program.asked:
            path = Path(folder) / path.name
            asking = ASKING.sub(r"\1import seegrad\n\1print(seegrad.\2)", program.path.read_text(encoding="utf-8"))
            path.write_text(asking, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "seegrad", str(path)]
        return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120)


def named(output: str) -> list[int]:
    """The cases that explain names in an output, the nearest first; none where it names none.

    Several processes may explain one error. Raises ValueError where they do not agree.
    """
    said = {tuple(map(int, re.findall(r"error clinic, case (\d+)", line))) for line in MORE.findall(output)}
    if len(said) > 1:
        raise ValueError(f"explain names the cases {sorted(said)}")
    return list(said.pop()) if said else []


def verdict(program: Program, cases: list[int]) -> str:
    """What is to be said of the cases that explain has named for a program."""
    words = ", ".join(map(str, cases))
    if cases[:1] == [program.case] or not cases and program.case is None:
        return f"right: {f'case {cases[0]}' if cases else 'not known'}"
    if program.case in cases:
        return f"near: cases {words}"
    return f"wrong: case {words}" if cases else "not known"


def quoted(words: str) -> str:
    """Words as code in Markdown."""
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def table() -> str:
    verdicts = json.loads(VERDICTS.read_text(encoding="utf-8"))
    rows = ["| Thread | Message | What was wrong | Case | Verdict of explain |", "|---|---|---|---|---|"]
    for program in programs():
        copy = f"[{program.path.stem[:2]}](../tests/reality/{program.path.name})"
        thread = f"[{program.name}]({program.thread}), {program.date}; {copy}"
        message = quoted(program.message) if program.message else f"none: “{program.asked}”"
        cells = [thread, message, program.cause, str(program.case or "none"),
                 verdict(program, verdicts[program.path.stem])]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    said = Counter(row.rpartition(" | ")[2].partition(":")[0].rstrip(" |") for row in rows[2:])
    summary = ", ".join(f"{said[word]} {word}" for word in ("right", "near", "not known", "wrong"))
    head = f"Of {len(rows) - 2} threads: {summary}. (Near: the case is the second or third that explain names.)"
    return "\n".join(["", head, "", *rows, ""])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run the programs with explain first, and store what it says")
    if parser.parse_args(arguments).run:
        verdicts = {}
        for program in programs():
            said = run(program)
            verdicts[program.path.stem] = named(said.stdout + said.stderr)
            print(program.path.stem, verdicts[program.path.stem])
        write(VERDICTS, json.dumps(verdicts, indent=2) + "\n")
    write(PAGE, page(PAGE, table()))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
