"""deploy/ agrees with itself, with the lists of packages, and with docs/class.md. What the chart says of it: test_chart.py."""

import json
import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from packaging.requirements import Requirement

import class_page
import links
from deploy.dry_run import instructions
from project import ROOT, page

DEPLOY = ROOT / "deploy"
DOCKERFILE = instructions(DEPLOY / "Dockerfile")


def versions(path):
    """The pinned versions in a list of packages, by name."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines())
    wanted = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {one.name.lower(): str(one.specifier).removeprefix("==") for one in wanted}


def values(name):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_the_server_has_the_version_of_its_hub():
    chart = re.search(r"^CHART=\S+ .*JupyterHub ([\d.]+\d)", (DEPLOY / "install").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions("deploy/requirements.txt")["jupyterhub"] == chart[1]


def test_nbgitpuller_is_that_of_make_class():
    assert versions("deploy/requirements.txt")["nbgitpuller"] == versions("classroom/requirements.txt")["nbgitpuller"]


def test_no_second_pin_of_what_constraints_txt_pins():
    assert not set(versions("deploy/requirements.txt")) & set(versions("constraints.txt"))


def test_one_python_in_all_images():
    image = re.fullmatch(r"python:([\d.]+)-slim-\w+", dict(DOCKERFILE)["FROM"])[1]
    assert (ROOT / ".binder/runtime.txt").read_text().strip() == f"python-{image}"
    assert json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())["image"].endswith(f":{image}")


def test_what_the_image_copies_is_there_and_docker_sees_it():
    seen = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    sources = [source for name, rest in DOCKERFILE if name == "COPY" for source in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") or fnmatch(source, path) for path in seen), source


def test_a_students_server_is_not_root():
    users = [(number, rest) for number, (name, rest) in enumerate(DOCKERFILE) if name == "USER"]
    assert users[-1][1] == "1000:100"
    assert not any(name in ("RUN", "COPY") and "apt-get" in rest for name, rest in DOCKERFILE[users[-1][0]:])


@pytest.mark.skipif(not shutil.which("sed"), reason="there is no sed here")
def test_the_image_has_what_readers_see_and_not_the_tests():
    step, = (rest for name, rest in DOCKERFILE if name == "RUN" and "readers.txt" in rest)
    script = re.search(r"sed '([^']+)'", step)[1]
    kept = subprocess.run(["sed", script, ROOT / "requirements.txt"], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0] for line in kept.splitlines() if line.strip() and not line.startswith("#")}
    assert {"torch", "jupyterlab", "ipykernel", "matplotlib"} <= names
    assert not {"pytest", "mypy", "ruff", "-e"} & names


@pytest.mark.parametrize("name", ["values.yaml", "values-1000.yaml", "my-class.example.yaml"])
def test_no_secret_stands_in_a_file_that_git_sees(name):
    def keys(node):
        if isinstance(node, dict):
            for key, value in node.items():
                yield key
                yield from keys(value)
    secret = re.compile("(secret|password|token|api_?key)(?!_url)", re.IGNORECASE)
    assert not list(filter(secret.search, keys(values(name))))


@pytest.mark.skipif(not shutil.which("git"), reason="git is not there")
def test_git_does_not_see_the_secrets():
    if not (ROOT / ".git").exists():
        pytest.skip("this copy of the project has no .git")

    def ignored(path):
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0
    assert all(map(ignored, ("secret.yaml", "deploy/secret.yaml", "secret-a.yaml", "my-class.yaml")))
    assert not ignored("deploy/secret.example.yaml") and not ignored("deploy/my-class.example.yaml")


def test_guarantee_and_limit_follow_from_what_was_measured():
    costs, memory = json.loads(class_page.COSTS.read_text(encoding="utf-8")), values("values.yaml")["singleuser"]["memory"]
    guarantee, limit = (class_page.megabytes(memory[name]) for name in ("guarantee", "limit"))
    peaks = {name: costs["server_mb"] + kernel["peak"] for name, kernel in costs["kernel_mb"].items()}
    assert all(peak <= guarantee for name, peak in peaks.items() if name <= "06")
    assert max(peaks.values()) <= limit
    for kernel in costs["kernel_mb"].values():
        assert kernel["at rest"] <= kernel["after Run All"] <= kernel["peak"]


def test_the_arithmetic_of_nodes():
    costs = {"node": {"memory_gb": 10, "cores": 4, "kept_by_kubernetes": 0.1, "most_pods": 20, "pods_of_the_system": 5},
             "processor_seconds": {"server": 1, "copy of the course": 2, "kernel and set-up cell": 3, "Run All of 06": 8},
             "hours": 2}
    assert class_page.students_on_a_node(costs["node"], 1000, 0.5) == {"memory": 9, "processors": 7, "pods": 15}
    assert class_page.needs(14, costs, 1000, 0.5) == {"nodes": 2, "start": 14 * 6 / 8, "run": 14 * 8 / 8, "node_hours": 6}
    assert class_page.needs(15, costs, 1000, 0.5)["nodes"] == 3
    assert class_page.megabytes("1Gi") == class_page.megabytes("1G") == 2 * class_page.megabytes("512M") == 1024


def test_the_page_has_what_the_files_say():
    assert class_page.PAGE.read_text(encoding="utf-8") == page(class_page.PAGE, class_page.tables()), "run make docs"


def test_the_page_names_files_that_are_there():
    text = class_page.PAGE.read_text(encoding="utf-8")
    for path in re.findall(r"\b(?:deploy|tools|tests)/[\w./-]*\w", text):
        assert (ROOT / path).exists(), path


def test_a_link_leads_to_the_notebook():
    address = urlsplit(links.link("https://hub.example.org/", "https://git.example.org/a b.git", "notebooks/03_x.ipynb"))
    assert (address.netloc, address.path) == ("hub.example.org", "/hub/user-redirect/git-pull")
    asked = {name: value for name, (value,) in parse_qs(address.query, strict_parsing=True).items()}
    assert asked == {"repo": "https://git.example.org/a b.git", "branch": "main", "targetPath": "course",
                     "urlpath": "lab/tree/course/notebooks/03_x.ipynb"}


def test_links_open_the_copy_that_a_start_brings():
    """A link and the start of a server must mean one folder."""
    folder = re.search(r"gitpuller .* (\w+) \|\|", (DEPLOY / "start").read_text(encoding="utf-8"))[1]
    assert f"urlpath=lab%2Ftree%2F{folder}%2F" in links.link("https://h", "https://r", "notebooks/00.ipynb")
    opened = re.fullmatch(rf"/lab/tree/{folder}/(notebooks/.+\.ipynb)", values("values.yaml")["singleuser"]["defaultUrl"])[1]
    assert (ROOT / opened).exists()


def test_links_for_all_notebooks(capsys):
    links.main(["https://hub.example.org", "https://git.example.org/c.git"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(links.notebooks()) and all("03_several" in line for line in lines if line.startswith("- [03"))
    with pytest.raises(SystemExit, match="git@example.org:c is no address: name one"):
        links.main(["https://hub.example.org", "git@example.org:c"])


@pytest.mark.skipif(os.name == "nt", reason="deploy/install is for a shell")
def test_install_tells_helm_all_it_needs(tmp_path):
    helm = tmp_path / "helm"
    helm.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    helm.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NAME": "class-a"}
    done = subprocess.run([DEPLOY / "install", "mine.yaml", "secret.yaml"], env=environment, cwd=ROOT, capture_output=True,
                          text=True)
    said = done.stdout.splitlines()
    files = [Path(file).name for word, file in zip(said, said[1:]) if word == "--values"]
    assert files == ["values.yaml", "mine.yaml", "secret.yaml"]         # what is the institution's counts more
    assert said[said.index("--install") + 1] == said[said.index("--namespace") + 1] == "class-a"
    name, _, votes = said[said.index("--set-file") + 1].partition("=")
    assert name == "hub.extraFiles.votes.stringData" and (ROOT / votes).is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", said[said.index("--version") + 1])
