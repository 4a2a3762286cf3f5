"""Run the suite with another PyTorch, and write what it changes: python tools/upgrade_report.py 2.14.0

A copy of the course with that version in its lock gets an environment of its own in _build/upgrade. The page beside
it lists, claim by claim, what the notebooks store and what they give now. The table of versions in the README gets a row.
Standard library only: it runs before anything is installed, with the Python that is to be tried.
"""
import difflib
import html
import json
import os
import platform
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.join(ROOT, "_build", "upgrade")
PYTHON = os.path.join(".venv", "Scripts", "python.exe") if os.name == "nt" else os.path.join(".venv", "bin", "python")
LEFT_OUT = {".git", ".venv", ".venv.lock", "_build", "build", ".pytest_cache", "seegrad.egg-info"}
LOCK = "constraints.txt"
PIN = re.compile(r"^torch==(\S+)", re.MULTILINE)
ROW = re.compile(r"^\| 3\.\d+ \| \d+\.\d+\S* \|.*\n", re.MULTILINE)

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


def stop(sentence):
    sys.exit(sentence)


def pinned():
    with open(os.path.join(ROOT, LOCK), encoding="utf-8") as file:
        return PIN.search(file.read()).group(1)


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
    lock = os.path.join(folder, LOCK)
    with open(lock, encoding="utf-8") as file:
        text = file.read()
    with open(lock, "w", encoding="utf-8") as file:
        file.write(PIN.sub("torch==" + version, text))


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
                                "--ignore=tests/test_upgrade_report.py",     # it compares the table that is written next
                                "--nbval", "--results=results.json", "tests", "notebooks"],
                               cwd=folder, env=variables, stdout=file, stderr=subprocess.STDOUT)
    if suite.returncode not in (0, 1):      # 1: some tests failed
        stop("The suite could not run to its end with this version; " + os.path.relpath(log) + " says why.")
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
    for (notebook, title, claim), inside in sorted(claims.items(), key=lambda item: item[0][0]):
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
        parts += ["<li><code>{}</code> {}</li>".format(html.escape(name), html.escape(last))
                  for name, last in results["failed"].items()]
        parts.append("</ul>")
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{}</title>\n<style>{}</style>\n'
            "</head>\n<body>\n{}\n</body>\n</html>\n").format(html.escape(title), STYLE, "\n".join(parts))


def summary(results):
    cells = results["cells"]
    same = sum(not cell["difference"] for cell in cells)
    return "{} of {} cells give what is stored. Of the other tests, {} pass and {} fail.".format(
        same, len(cells), results["passed"], len(results["failed"]))


def enter_row(python, version, results):
    """Put the result into the table of versions in the README, in the place of an earlier row for the same versions."""
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    cells = results["cells"]
    same = sum(not cell["difference"] for cell in cells)
    start = "| {} | {} |".format(python, version)
    row = "{} {} of {} | {} of {} |\n".format(start, same, len(cells), results["passed"],
                                              results["passed"] + len(results["failed"]))
    rows = [found for found in ROW.findall(text) if not found.startswith(start)] + [row]
    rows.sort(key=lambda found: [[int(number) for number in re.findall(r"\d+", field)] for field in found.split("|")[1:3]])
    place = ROW.search(text)
    head = text[:place.start()]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(head + "".join(rows) + ROW.sub("", text[place.start():]))


def main(arguments):
    if len(arguments) != 1 or not re.match(r"\d+\.\d+", arguments[0]):
        stop("Which version of PyTorch? Name one: make upgrade-report TORCH=2.14.0")
    version = arguments[0]
    python = "{}.{}".format(*sys.version_info)
    name = "torch-{}-python-{}".format(version, python)
    folder = os.path.join(TARGET, name)
    copy_of_the_course(folder, version)
    results = run_the_suite(folder)
    title = "torch {} with Python {} (the course: torch {})".format(version, platform.python_version(), pinned())
    written = folder + ".html"
    with open(written, "w", encoding="utf-8") as file:
        file.write(page(title, results))
    enter_row(python, version, results)
    print(summary(results))
    print("Written to " + os.path.relpath(written) + ", and into the table of versions in README.md.")


if __name__ == "__main__":
    main(sys.argv[1:])
