"""nbval as the course needs it, a plugin of pytest: each cell twice, whole outputs, and failures that are sentences.

A test is called like the cell that it runs: `-k 02-29` selects it. What nbval itself leaves out of its comparison
(tracebacks, the order of outputs, pictures) is compared too. A kernel that died or does not answer ends its notebook at
once, and a file that is no notebook fails a test of its own. `--results=FILE` writes how all cells and tests fared, as JSON.
"""

import base64
import difflib
import functools
import json
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel, start_new_kernel

from project import PICTURE, claims, read, tags

# Where the parts of a picture lie: another processor may move a hairline. Matplotlib makes ids and PNG data from it.
GEOMETRY = re.compile(r'\s(?:d|points|x|y|width|height|viewBox|transform|id|xlink:href|clip-path)="[^"]*"')
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class KernelDied(Exception):
    pass


class Kernel(RunningKernel):
    """A kernel whose death is noticed within a second; nbval would wait for its answer until the cell's time is up."""

    def __init__(self, kernel_name, cwd=None, startup_timeout=60):
        # nbval would open a file for what the kernel says, and never close it.
        self.km, self.kc = start_new_kernel(startup_timeout, kernel_name, stderr=subprocess.DEVNULL, cwd=cwd)
        self._ensure_iopub_up()

    def get_message(self, stream, timeout=None):
        end = time.monotonic() + timeout
        while True:
            alive = self.is_alive()
            try:
                return super().get_message(stream, timeout=max(0, min(1, end - time.monotonic())))
            except Empty:
                if not alive:
                    raise KernelDied from None
                if time.monotonic() >= end:
                    raise


nbval.plugin.RunningKernel = Kernel     # nbval has no other way to choose it


@dataclass
class Difference:
    """What a cell stores, and what it gave.

    notebook: the name of its file. title, claim: the headings over it. cell: its id. number: the one that JupyterLab shows.
    source: its code. stored, fresh: its outputs. torch: the version that ran. end: why the notebook could not go on, if so.
    """

    notebook: str
    title: str
    claim: str
    cell: str
    number: int | None
    source: str
    stored: str
    fresh: str
    torch: str
    end: str = ""

    @property
    def place(self):
        return f"{self.title}, “{self.claim}”, cell {self.cell}, [{self.number or ' '}] in JupyterLab"

    def __str__(self):
        if self.end:
            return f"{self.place}: {self.end}"
        stored, fresh = map(_quoted, self.first())
        return f"{self.place}: the course shows {stored}; with torch {self.torch} it is {fresh}."

    def first(self):
        """Return the first line that differs, as stored and as run; "" where there is none."""
        stored, fresh = self.stored.splitlines(), self.fresh.splitlines()
        for kind, a, b, c, d in difflib.SequenceMatcher(None, stored, fresh, autojunk=False).get_opcodes():
            if kind != "equal" and any(stored[a:b] + fresh[c:d]):
                return " ".join(stored[a:b][:1]).strip(), " ".join(fresh[c:d][:1]).strip()
        return "", ""

    def diff(self):
        return "\n".join(difflib.unified_diff(self.stored.splitlines(), self.fresh.splitlines(), "stored", "now",
                                              n=2, lineterm=""))


def _quoted(line):
    return f"“{line}”" if line else "nothing"


@functools.lru_cache(maxsize=500)
def labels(payload):
    """Return an SVG picture, given in base64, without its geometry: its words, shapes, colours and line styles."""
    return GEOMETRY.sub("", base64.b64decode(payload).decode())


def in_words(outputs, html=False):
    """Return the outputs of a cell as lines to read; html: with what stands behind the words, pictures included."""
    lines = []
    for output in outputs:
        data = output.get("data", {})
        lines += [output.get("text", ""), data.get("text/plain", "")]
        if "evalue" in output:
            lines += [f"{output['ename']}: {output['evalue']}"] if not html else output["traceback"]
        if html:
            lines += [output["output_type"], output.get("name", ""), str(output.get("metadata", ""))]
            lines += [re.sub(r">\s*", ">\n", data[mime]) for mime in sorted(data)]
    return "\n".join(line.strip("\n") for line in lines if line)


class Notebook(nbval.plugin.IPyNbFile):
    """The tests of one notebook. Each cell runs twice in a row, unless its tag `stateful` says that its point is a lasting state.

    A reader does it all the time, and must see the same again.
    """

    ended = ""      # why it could not go on, if it could not

    def collect(self):
        try:
            read(self.path)
        except (ValueError, OSError) as error:
            yield Unreadable.from_parent(self, name="unreadable", error=error)
            return
        for item in super().collect():
            yield self._test_of(item, item.cell.id)
            if "stateful" not in tags(item.cell):
                yield self._test_of(item, f"{item.cell.id} again")

    def _test_of(self, item, name):
        return Cell.from_parent(self, name=name, cell_num=item.cell_num, cell=item.cell, options=item.options)

    def setup(self):
        if hasattr(self, "nb"):     # as the cells of an unreadable file are not collected, it has no kernel
            super().setup()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Take our tests of a notebook in place of nbval's."""
    return [Notebook.from_parent(parent, path=file_path) if isinstance(found, nbval.plugin.IPyNbFile) else found
            for found in (yield)]


class Unreadable(pytest.Item):
    """The test of a file that cannot be read as a notebook. It fails; the other notebooks run."""

    def __init__(self, error, **more):
        super().__init__(**more)
        self.error = error

    def runtest(self):
        raise self.error

    def repr_failure(self, excinfo):
        return f"{self.path.name} {excinfo.value}."


class Cell(nbval.plugin.IPyNbCell):
    """A code cell as a test: its outputs, run now, are those that the notebook stores."""

    def compare_outputs(self, test, ref, skip_compare=None):
        compared = {"traceback", "output_type", "metadata"}     # all that a reader sees, and the order of the outputs
        return super().compare_outputs(test, ref, [key for key in self.parent.skip_compare if key not in compared])

    def format_output_compare(self, key, left, right):
        pass    # nbval's own words for it; Difference has others

    def sanitize(self, text):
        return super().sanitize(PICTURE.sub(lambda found: labels(found[1]), text) if isinstance(text, str) else text)

    def setup(self):
        if self.parent.ended:
            pytest.skip(f"not run: {self.parent.ended}")

    def runtest(self):
        self.user_properties.append(("claim", self._claim()))
        try:
            super().runtest()
        except Exception as error:
            difference = self._difference(error)
            self.user_properties.append(("difference", asdict(difference)))
            self.parent.ended = difference.end and str(difference)
            raise

    def _claim(self):
        """Return the fields of a Difference that say where the cell stands."""
        title = self.parent.nb.cells[0].source.partition("\n")[0]
        return {"notebook": self.path.name, "title": title.lstrip("# ").replace(" · ", " "),
                "claim": claims(self.parent.nb)[self.cell.id], "cell": self.cell.id, "number": self.cell.execution_count}

    def _difference(self, error):
        end = ""
        if isinstance(error, KernelDied):
            end = "the kernel died."
        elif self.parent.timed_out:
            end = f"it did not end within {self.config.option.nbval_cell_timeout:g} s."
        stored, fresh = map(self.sanitize_outputs, [self.cell.outputs, self.test_outputs or []])
        words = [in_words(stored), in_words(fresh)]
        if words[0] == words[1]:
            words = [in_words(stored, html=True), in_words(fresh, html=True)]
        return Difference(**self._claim(), source=self.cell.source, stored=COLOUR.sub("", words[0]),
                          fresh=COLOUR.sub("", words[1]), torch=version("torch").partition("+")[0], end=end)

    def repr_failure(self, excinfo):
        properties = dict(self.user_properties)
        if "difference" not in properties:
            return super().repr_failure(excinfo)
        difference = Difference(**properties["difference"])
        return f"{difference}\n\n{difference.source}\n\n{difference.diff()}"


def pytest_addoption(parser):
    parser.getgroup("nbval").addoption("--results", help="File that says how each cell and test fared, as JSON")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):      # with xdist, only the process that hears from all workers
        config.pluginmanager.register(Results(config.option.results))


class Results:
    """Gathers how cells and tests fared; says the differences in one list at the end."""

    def __init__(self, path):
        self.path = path
        self.cells = {}             # by notebook and id: where each cell stands, and how it differs, or None
        self.failed, self.passed = {}, 0      # the other tests: the last lines of failures by name, and a number

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if "claim" in properties:
            claim = properties["claim"]
            cell = self.cells.setdefault((claim["notebook"], claim["cell"]), {**claim, "difference": None})
            cell["difference"] = cell["difference"] or properties.get("difference")
        elif report.failed:
            self.failed[report.nodeid] = report.longreprtext.strip().rpartition("\n")[2]
        elif report.when == "call" and report.passed:
            self.passed += 1

    @property
    def differences(self):
        return [cell["difference"] for cell in self.cells.values() if cell["difference"]]

    def pytest_sessionfinish(self):
        if self.path:
            results = {"cells": list(self.cells.values()), "passed": self.passed, "failed": self.failed}
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)

    def pytest_terminal_summary(self, terminalreporter):
        if self.differences:
            terminalreporter.section("claims that do not hold")
            for difference in self.differences:
                terminalreporter.line(str(Difference(**difference)))
