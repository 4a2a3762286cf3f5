"""The suite itself: whatever is changed in a stored output, and whatever becomes of a kernel, is noticed and said."""

import base64
import copy
import functools
import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from project import PICTURE, ROOT, notebooks, read
from regression import Notebook
from rules import problems

pytest_plugins = ["pytester"]
each_notebook = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)

WORD = re.compile(r"\w+")
SCRIPT_OR_STYLE = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL)
LABEL = re.compile(r"(?<=>)[^<]+(?=<)|(?<=<!--).+?(?=-->)|(?<=label=\")[^\"]+")


# Tampering

def cells_of(path, session):
    """The tests of a notebook, one for each code cell, without a kernel."""
    notebook = Notebook.from_parent(session, path=path)
    notebook.setup_sanitize_files()
    return [item for item in notebook.collect() if not item.name.endswith("again")]


def changed(text, found):
    """The text with one word or number changed: its last character is another one of the same kind."""
    last = found.end() - 1
    other = {"9": "8", "z": "y", "Z": "Y"}.get(text[last], "9" if text[last].isdigit() else "Z" if text[last].isupper() else "z")
    return text[:last] + other + text[last + 1:]


def tampered_texts(text):
    for found in WORD.finditer(text):
        yield changed(text, found)


def tampered_pages(html):
    """The HTML of an output with one word changed: on the page, in an alt text, in an attribute, or in a picture."""
    scripts = [found.span() for found in SCRIPT_OR_STYLE.finditer(html)]
    payloads = [found.span(1) for found in PICTURE.finditer(html)]
    for found in WORD.finditer(html):
        if not any(start <= found.start() < end for start, end in scripts + payloads):
            yield changed(html, found)
    for _, end in scripts:      # they are the same for all plays
        yield html[:end - 10] + "x" + html[end - 10:]
    for start, end in payloads:
        picture = base64.b64decode(html[start:end]).decode()
        for label in LABEL.finditer(picture):
            for found in WORD.finditer(picture, *label.span()):
                yield html[:start] + base64.b64encode(changed(picture, found).encode()).decode() + html[end:]


def tampered(output):
    """Each way in which one word or number of an output can be changed."""
    def variant(change):
        other = copy.deepcopy(output)
        change(other)
        return other

    for field in {"text", "ename", "evalue"} & output.keys():
        for text in tampered_texts(output[field]):
            yield variant(lambda other: other.update({field: text}))
    for i, line in enumerate(output.get("traceback", [])):
        for text in tampered_texts(line):
            yield variant(lambda other: other.traceback.__setitem__(i, text))
    for mime, value in output.get("data", {}).items():
        for text in (tampered_pages if mime == "text/html" else tampered_texts)(value):
            yield variant(lambda other: other.data.update({mime: text}))


def noticed(cell, output, other):
    """Whether a run that gives this output fails when the other one is stored, or a guard complains about that one."""
    if not cell.compare_outputs([output], [other]):
        return True
    notebook = copy.deepcopy(cell.parent.nb)
    stored = next(each for each in notebook.cells if each.id == cell.cell.id)
    stored.outputs[cell.cell.outputs.index(output)] = other
    return bool(problems(cell.path, notebook))


@each_notebook
def test_every_changed_word_or_number_of_an_output_is_noticed(path, request):
    missed = []
    for cell in cells_of(path, request.session):
        for output in cell.cell.outputs:
            assert cell.compare_outputs([output], [output])
            missed += [(cell.cell.id, other) for other in tampered(output) if not noticed(cell, output, other)]
    assert missed == []


@each_notebook
def test_every_output_that_is_dropped_doubled_or_moved_is_noticed(path, request):
    for cell in cells_of(path, request.session):
        outputs = cell.cell.outputs
        for i in range(len(outputs)):
            rest = outputs[:i] + outputs[i + 1:]
            assert not cell.compare_outputs(outputs, rest), (cell.cell.id, "dropped")
            assert not cell.compare_outputs(outputs, [*outputs[:i + 1], *outputs[i:]]), (cell.cell.id, "doubled")
            assert not cell.compare_outputs(rest, outputs), (cell.cell.id, "no longer given")
        if len({output.output_type for output in outputs}) > 1:
            assert not cell.compare_outputs(outputs, outputs[::-1]), (cell.cell.id, "moved")


def test_a_stripped_notebook_is_noticed():
    for path in notebooks():
        notebook = read(path)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        assert any("stripped" in problem for problem in problems(path, notebook))


@each_notebook
def test_every_error_that_is_removed_is_noticed(path):
    notebook = read(path)
    for i, cell in enumerate(notebook.cells):
        for j, output in enumerate(cell.get("outputs", [])):
            if output.output_type == "error":
                damaged = copy.deepcopy(notebook)
                del damaged.cells[i].outputs[j]
                assert any("stores no error" in problem for problem in problems(path, damaged)), cell.id


# What becomes of kernels

@pytest.fixture
def run(pytester, monkeypatch):
    """A function that runs a notebook as the suite runs its own; it returns what pytest wrote, and the differences."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")

    def run_it(*cells, options=(), run_pytest=pytester.runpytest_inprocess):
        notebook = new_notebook(cells=[new_markdown_cell("# 42 · A sample\n"), new_markdown_cell("## It holds"), *cells],
                                metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
        path, results = pytester.path / "42_sample.ipynb", pytester.path / "results.json"
        nbformat.write(notebook, path)
        done = run_pytest(f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}", "--nbval",
                          "-p", "no:cacheprovider", f"--nbval-sanitize-with={ROOT / 'tests/nbval.cfg'}",
                          f"--results={results}", *options, path)
        cells = json.loads(results.read_text(encoding="utf-8"))["cells"]
        return done.stdout.str(), [cell["difference"] for cell in cells if cell["difference"]]
    return run_it


def code(source, *outputs, tags=(), **more):
    return new_code_cell(source, execution_count=7, outputs=list(outputs), metadata={"tags": list(tags)}, **more)


def printed(text):
    return new_output("stream", name="stdout", text=text)


@pytest.fixture
def run_apart(run, pytester):
    """The same, in a process of its own: what a dead kernel leaves open is closed with it."""
    return functools.partial(run, run_pytest=functools.partial(pytester.runpytest_subprocess, timeout=100))


def test_a_dead_kernel_ends_its_notebook_at_once(run_apart):
    out, differences = run_apart(code("import os; os._exit(1)"), code("1"), options=["--nbval-cell-timeout=10000"])
    assert [found["end"] for found in differences] == ["the kernel died."]
    assert "1 failed, 3 skipped" in out
    assert re.search(r"SKIPPED .*not run: 42 A sample, “It holds”, cell \w+, \[7\] in JupyterLab: the kernel died\.", out)


@pytest.mark.parametrize("endless", ["while True: pass",
                                     "while True:\n    try:\n        while True: pass\n    except BaseException: pass"],
                         ids=["interrupted", "stubborn"])
def test_an_endless_cell_ends_its_notebook(run_apart, endless):
    out, differences = run_apart(code(endless), code("1"), options=["--nbval-cell-timeout=2"])
    assert [found["end"] for found in differences] == ["it did not end within 2 s."]
    assert "1 failed, 3 skipped" in out


def test_a_broken_notebook_fails_a_test_of_its_own_and_the_others_run(run, pytester):
    broken = pytester.path / "41_broken.ipynb"
    broken.write_text('{"cells": [', encoding="utf-8")
    out, _ = run(code("1 + 1", new_output("execute_result", {"text/plain": "2"}, execution_count=1)), options=[broken])
    assert "1 failed, 2 passed" in out
    assert re.search(r"^41_broken.ipynb is not a notebook \(\w+\): ", out, re.MULTILINE)


def test_a_broken_notebook_of_the_course_does_not_stop_the_collection_of_the_other_tests(tmp_path):
    for name in ("notebooks", "tests", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in notebooks(tmp_path / "notebooks"):
        path.write_text("{", encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "--nbval", "--ignore=tests/browser",
                           "tests/course", "tests/tools", "notebooks"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert len(re.findall(r"^notebooks/\d\d_\w+.ipynb::unreadable$", done.stdout, re.MULTILINE)) == len(notebooks())


# What a failure says

def test_a_test_is_called_like_its_cell(run):
    cells = [code("1", id="42-07"), code("2", id="42-08", tags=["stateful"])]
    out, _ = run(*cells, options=["-v", "-k", "42-07"])
    assert re.findall(r"::(.+?) +(?:PASSED|FAILED)", out) == ["42-07", "42-07 again"] and "1 deselected" in out


def test_a_difference_is_one_sentence(run):
    out, [difference] = run(code("print(1)\nprint(3)", printed("1\n2\n"), tags=["stateful"]))
    summary = out.partition("claims that do not hold")[2]
    place = r"42 A sample, “It holds”, cell \w+, \[7\] in JupyterLab"
    assert re.search(place + r": the course shows “2”; with torch [\d.]+ it is “3”\.\n", summary)
    assert difference["stored"] == "1\n2" and difference["fresh"] == "1\n3"


def test_an_error_that_no_longer_comes_is_one_sentence(run):
    error = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    out, _ = run(code("pass", error, tags=["raises-exception"]))
    assert re.search(r"the course shows “ValueError: no”; with torch [\d.]+ it is nothing\.\n", out)


def test_a_cell_that_is_right_only_once_fails(run):
    out, [difference] = run(code("n = 0", tags=["stateful"]), code("n += 1\nprint(n)", printed("1\n")))
    assert "1 failed, 2 passed" in out and difference["fresh"] == "2"
