"""Run the suite with another PyTorch, and write what it changes: make upgrade-report TORCH=2.14.0

A copy of the course with that version in its lock gets an environment of its own in _build/upgrade. The page beside
it lists, claim by claim, what the notebooks store and what they give now. The table in docs/versions.md gets a row.
Standard library only: it runs before anything is installed, with the Python that is to be tried.
"""

import argparse
import difflib
import html
import json
import os
import platform
import re
import shutil
import subprocess
import sys

import versions
from environment import CONSTRAINTS, PYTHON
from project import ROOT, write

TARGET = ROOT / "_build/upgrade"
LEFT_OUT = {".git", ".venv", ".venv.lock", "_build", "build", ".pytest_cache", ".mypy_cache", ".ruff_cache",
            "seegrad.egg-info"}
PIN = re.compile(r"^torch==(\S+)", re.MULTILINE)

STYLE = """
body { max-width: 80rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.5 sans-serif; color: #111; background: #fff }
pre, table.diff { font: 0.95rem/1.4 monospace }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #888 }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #888; padding: .2rem .6rem; text-align: left; vertical-align: top }
table.diff td { border-width: 0 1px; white-space: pre-wrap; overflow-wrap: anywhere }
.diff_next { display: none }
td.diff_header { width: 2rem; color: #444 }
.diff_add, .diff_sub, .diff_chg { background: #ffe08a; font-weight: bold; text-decoration: underline }
"""


def pinned() -> str:
    version, = PIN.findall((ROOT / CONSTRAINTS).read_text(encoding="utf-8"))
    return version


def copy_of_the_course(folder, version):
    """Bring the copy up to date, except for its environment, and put the version into its lock."""
    os.makedirs(folder, exist_ok=True)
    for name in set(os.listdir(folder)) - LEFT_OUT:
        old = os.path.join(folder, name)
        shutil.rmtree(old) if os.path.isdir(old) else os.remove(old)
    for name in set(os.listdir(ROOT)) - LEFT_OUT:
        source, target = os.path.join(ROOT, name), os.path.join(folder, name)
        if os.path.isdir(source):
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        else:
            shutil.copy(source, target)
    lock = folder / CONSTRAINTS
    write(lock, PIN.sub("torch==" + version, lock.read_text(encoding="utf-8")))


def run_the_suite(folder):
    """Return the results that the plugin tests/regression.py writes."""
    environment = subprocess.run([sys.executable, os.path.join("tools", "environment.py")], cwd=folder)
    if environment.returncode:
        sys.exit(environment.returncode)      # it has said why
    results, log = os.path.join(folder, "results.json"), os.path.join(folder, "pytest.log")
    print("Running the suite.", flush=True)
    variables = dict(os.environ, OMP_NUM_THREADS="1", JUPYTER_PREFER_ENV_PATH="1")
    with open(log, "w", encoding="utf-8") as file:
        suite = subprocess.run([PYTHON, "-m", "pytest", "-n", "auto", "--dist", "loadfile", "--ignore=tests/browser",
                                "--ignore=tests/tools/test_versions.py",     # it compares the table that is written next
                                "--nbval", "--results=results.json", "tests", "notebooks"],
                               cwd=folder, env=variables, stdout=file, stderr=subprocess.STDOUT)
    if suite.returncode not in (0, 1):      # 1: some tests failed
        sys.exit("The suite could not run to its end with this version; " + os.path.relpath(log) + " says why.")
    with open(results, encoding="utf-8") as file:
        return json.load(file)


def sides(difference):
    """The stored and the new output side by side, with what is changed underlined."""
    return difflib.HtmlDiff().make_table(
        difference["stored"].splitlines(), difference["fresh"].splitlines(), "stored", "now", context=True, numlines=2)


def page(title, results):
    cells = results["cells"]
    changed = [cell for cell in cells if cell["difference"]]
    parts = ["<h1>" + html.escape(title) + "</h1>", "<p>" + html.escape(summary(results)) + "</p>",
             "<h2>Claim by claim</h2>", "<table><tr><th>Notebook</th><th>Claim</th><th>Cells</th><th>Differ</th></tr>"]
    claims = {}
    for cell in cells:
        claims.setdefault((cell["notebook"], cell["title"], cell["claim"]), []).append(cell)
    for (_, title, claim), inside in sorted(claims.items(), key=lambda item: item[0][0]):
        differ = ", ".join('<a href="#{0}">{0}</a>'.format(cell["cell"]) for cell in inside if cell["difference"])
        parts.append("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>".format(
            html.escape(title), html.escape(claim), len(inside), differ or "none"))
    parts.append("</table>")
    for cell in changed:
        difference = cell["difference"]
        parts += ['<h2 id="{}">{}: {}</h2>'.format(cell["cell"], html.escape(cell["title"]), html.escape(cell["claim"])),
                  "<p>Cell {}. {}</p>".format(cell["cell"], html.escape(difference["end"])),
                  "<pre>" + html.escape(difference["source"]) + "</pre>", sides(difference)]
    if results["failed"]:
        parts += ["<h2>Tests of the tools that fail</h2>", "<ul>"]
        parts += [f"<li><code>{html.escape(name)}</code> {html.escape(last)}</li>"
                  for name, last in results["failed"].items()]
        parts.append("</ul>")
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{}</title>\n<style>{}</style>\n'
            "</head>\n<body>\n{}\n</body>\n</html>\n").format(html.escape(title), STYLE, "\n".join(parts))


def summary(results):
    cells = results["cells"]
    same = sum(not cell["difference"] for cell in cells)
    return "{} of {} cells give what is stored. Of the other tests, {} pass and {} fail.".format(
        same, len(cells), results["passed"], len(results["failed"]))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", default="", help="of PyTorch, as in 2.14.0")
    version = parser.parse_args(arguments).version
    if not re.match(r"\d+\.\d+", version):
        sys.exit("Which version of PyTorch? Name one: make upgrade-report TORCH=2.14.0")
    python = "{}.{}".format(*sys.version_info)
    folder = TARGET / f"torch-{version}-python-{python}"
    copy_of_the_course(folder, version)
    results = run_the_suite(folder)
    title = f"torch {version} with Python {platform.python_version()} (the course: torch {pinned()})"
    written = TARGET / (folder.name + ".html")
    write(written, page(title, results))
    cells = results["cells"]
    versions.enter(python, version, (sum(not cell["difference"] for cell in cells), len(cells)),
                   (results["passed"], results["passed"] + len(results["failed"])))
    print(summary(results))
    print("Written to " + os.path.relpath(written) + ", and into docs/versions.md.")


if __name__ == "__main__":
    main()
