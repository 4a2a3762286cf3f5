"""The course as students get it: published as a git repository, and a copy for each of them.

    python copies.py REPOSITORY FOLDER

brings a copy up to date, by nbgitpuller's rule: what the student changed stays, and what is new comes beside it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BRANCH = "main"
SETTINGS = Path(__file__).with_name("gitconfig")       # of git, for this account and for the students'


def publish(edition: Path, repository: Path) -> None:
    """Make a folder the newest state of a repository, where anything in it has changed. Without a repository, one is made.

    Raises CalledProcessError where git fails, FileNotFoundError where there is no git.
    """
    def git(*words, **options):
        return subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=environment, **options).stdout

    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": str(SETTINGS), "GIT_CONFIG_NOSYSTEM": "1"}
    if not repository.exists():
        with tempfile.TemporaryDirectory(dir=repository.parent) as new:     # a half-made one is never found
            git("init", "--bare", f"--initial-branch={BRANCH}", f"{new}/new")
            os.rename(f"{new}/new", repository)
    environment |= {"GIT_DIR": str(repository), "GIT_WORK_TREE": str(edition)}
    git("add", "--all", "--force", ".", cwd=edition)
    if git("status", "--porcelain", cwd=edition):
        git("commit", "--message=The course", cwd=edition)
        git("repack", "-adq")       # packed once here, and not again for each student


def bring_up_to_date(repository: Path, folder: Path) -> None:
    """Clone the published course into a folder, or merge what is new into it. Notebooks are trusted, so that plays work at once.

    A notebook which the merge of both sides' lines has broken is the student's own again, and the new one lies beside it.
    """
    from nbgitpuller.pull import GitPuller
    before = _notebooks(folder)
    for line in GitPuller(f"file://{repository}", str(folder), branch=BRANCH).pull():
        print(line, end="")
    changed = {path: content for path, content in _notebooks(folder).items() if content != before.get(path)}
    for path, content in changed.items():
        if not _is_json(content):
            new = ["git", "show", f"origin/{BRANCH}:{path.relative_to(folder).as_posix()}"]
            path.with_stem(path.stem + "_new").write_bytes(subprocess.run(new, cwd=folder, check=True,
                                                                          capture_output=True).stdout)
            path.write_bytes(before[path])
    _trust(path for path, content in changed.items() if _is_json(content))


def _notebooks(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.ipynb")}


def _is_json(content):
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _trust(paths):
    import nbformat
    from nbformat.sign import NotebookNotary
    with NotebookNotary() as notary:
        for path in paths:
            # nbformat.read would validate each, which is slow
            notary.sign(nbformat.v4.reads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    repository, folder = map(Path, sys.argv[1:])
    bring_up_to_date(repository, folder)
