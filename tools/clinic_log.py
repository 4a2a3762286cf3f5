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
from dataclasses import dataclass
from pathlib import Path

from project import ROOT, page, write

FOLDER = ROOT / "tests/reality"
VERDICTS = FOLDER / "verdicts.json"
PAGE = ROOT / "docs/clinic_log.md"
FIELD = re.compile(r"^([A-Z][a-z]+): ", re.MULTILINE)
THREAD = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)")
NAMED = re.compile(r"^(?:\[rank\d+\]:)?\s*More: error clinic, case (\d+)", re.MULTILINE)
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


def run(program: Program, *, explaining: bool) -> subprocess.CompletedProcess[str]:
    """Run a program, and with explaining let explain read its error, or where it asks, its state."""
    with tempfile.TemporaryDirectory() as folder:
        path, options = program.path, ["-m", "seegrad"] if explaining else []
        if explaining and program.asked:
            path = Path(folder) / path.name
            asking = ASKING.sub(r"\1import seegrad\n\1print(seegrad.\2)", program.path.read_text(encoding="utf-8"))
            path.write_text(asking, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, *options, str(path)], env=environment, capture_output=True, encoding="utf-8",
                              timeout=120)


def named(output: str) -> int | None:
    """The case that explain names in an output; None where it names none. Raises ValueError where it names several."""
    cases = {int(number) for number in NAMED.findall(output)}
    if len(cases) > 1:
        raise ValueError(f"explain names the cases {sorted(cases)}")
    return cases.pop() if cases else None


def verdict(program: Program) -> str:
    verdicts = json.loads(VERDICTS.read_text(encoding="utf-8"))
    if program.path.stem not in verdicts:
        return "—"
    said = verdicts[program.path.stem]
    words = f"case {said}" if said else "not known"
    return f"{'right' if said == program.case else 'wrong'}: {words}"


def quoted(words: str) -> str:
    """Words as code in Markdown."""
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def table() -> str:
    rows = ["| Thread | Message | What was wrong | Case | Verdict of explain |", "|---|---|---|---|---|"]
    for program in programs():
        copy = f"[{program.path.stem[:2]}](../tests/reality/{program.path.name})"
        thread = f"[{program.name}]({program.thread}), {program.date}; {copy}"
        message = quoted(program.message) if program.message else f"none: “{program.asked}”"
        cells = [thread, message, program.cause, str(program.case or "none"), verdict(program)]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n" + "\n".join(rows) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run the programs with explain first, and store what it says")
    if parser.parse_args(arguments).run:
        verdicts = {}
        for program in programs():
            said = run(program, explaining=True)
            verdicts[program.path.stem] = named(said.stdout + said.stderr)
            print(program.path.stem, verdicts[program.path.stem])
        write(VERDICTS, json.dumps(verdicts, indent=2) + "\n")
    write(PAGE, page(PAGE, table()))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
