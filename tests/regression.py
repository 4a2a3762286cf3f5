"""nbval as the course needs it, a plugin of pytest: each cell twice, whole outputs, and failures that are sentences.

What nbval itself leaves out of its comparison (tracebacks, the order of outputs, pictures) is compared too. A kernel
that died or does not answer ends its notebook at once. `--results=FILE` writes how all cells and tests fared, as JSON.
"""

import base64
import difflib
import functools
import json
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel

PICTURE = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")
# Where the parts of a picture lie: another processor may move a hairline. Matplotlib makes ids and PNG data from it.
GEOMETRY = re.compile(r'\s(?:d|points|x|y|width|height|viewBox|transform|id|xlink:href|clip-path)="[^"]*"')
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CLAIM = re.compile(r"^## (.+)", re.MULTILINE)


class KernelDied(Exception):
    pass


class Kernel(RunningKernel):
    """A kernel whose death is noticed within a second; nbval would wait for its answer until the cell's time is up."""

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
    """What a cell stores, and what it gave: its notebook and claim (as headings), its id, its code, both outputs."""

    notebook: str
    title: str
    claim: str
    cell: str
    source: str
    stored: str
    fresh: str
    torch: str
    end: str = ""       # why the notebook could not go on, if it could not

    @property
    def place(self):
        return f"{self.title}, “{self.claim}”, cell {self.cell}"

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
        if self.parent.nbval_ended:
            pytest.skip(f"not run: {self.parent.nbval_ended}")

    def runtest(self):
        self.user_properties.append(("claim", self._claim()))
        try:
            super().runtest()
        except Exception as error:
            difference = self._difference(error)
            self.user_properties.append(("difference", asdict(difference)))
            self.parent.nbval_ended = difference.end and str(difference)
            raise

    def _claim(self):
        """Return the fields of a Difference that say where the cell stands."""
        before = self.parent.nb.cells[:self.parent.nb.cells.index(self.cell)]
        claims = [claim for cell in before if cell.cell_type == "markdown" for claim in CLAIM.findall(cell.source)]
        title = self.parent.nb.cells[0].source.partition("\n")[0]
        return {"notebook": self.path.name, "title": title.lstrip("# ").replace(" · ", " "),
                "claim": (claims or ["Before the first claim"])[-1], "cell": self.cell.id}

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


def pytest_collection_modifyitems(items):
    """Run each notebook cell twice in a row, unless its tag `stateful` says that its point is a lasting state.

    A reader does it all the time, and must see the same again.
    """
    items[:] = [run for item in items for run in _runs(item)]


def _runs(item):
    if not isinstance(item, nbval.plugin.IPyNbCell):
        return [item]
    item.parent.nbval_ended = ""
    names = [item.name]
    if "stateful" not in item.cell.metadata.get("tags", []):
        names.append(f"{item.name} again")
    return [Cell.from_parent(item.parent, name=name, cell_num=item.cell_num, cell=item.cell, options=item.options)
            for name in names]


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
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)

    def pytest_terminal_summary(self, terminalreporter):
        if self.differences:
            terminalreporter.section("claims that do not hold")
            for difference in self.differences:
                terminalreporter.line(str(Difference(**difference)))
