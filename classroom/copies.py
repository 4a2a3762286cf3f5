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
    puller = GitPuller(f"file://{repository}", str(folder), branch=BRANCH)
    before = _state(folder)
    for line in puller.pull():
        print(line, end="")
    changed = _changed(folder, before)
    _undo_broken_merges(folder, changed)
    _trust(folder / name for name in changed)


def _git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True).stdout


def _state(folder):
    """The newest commit of the student's copy."""
    return _git(folder, "rev-parse", "HEAD").decode().strip() if (folder / ".git").exists() else None


def _changed(folder, before):
    """The names of the notebooks that are other ones than in an earlier state."""
    words = ["diff", "--name-only", before, "HEAD"] if before else ["ls-files"]
    return _git(folder, *words, "-z", "--", "*.ipynb").decode().split("\0")[:-1]


def _undo_broken_merges(folder, changed):
    for path in (folder / name for name in changed):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:       # the new course has it no more
            pass
        except ValueError:
            name = path.relative_to(folder).as_posix()
            mine, new = (_git(folder, "show", f"{state}:{name}") for state in ("HEAD^1", f"origin/{BRANCH}"))
            path.write_bytes(mine)
            path.with_stem(path.stem + "_new").write_bytes(new)


def _trust(paths):
    import nbformat
    from nbformat.sign import NotebookNotary
    with NotebookNotary() as notary:
        for path in filter(Path.exists, paths):
            notary.sign(nbformat.v4.reads(path.read_text(encoding="utf-8")))     # nbformat.read also validates it, which is slow


if __name__ == "__main__":
    repository, folder = map(Path, sys.argv[1:])
    bring_up_to_date(repository, folder)
