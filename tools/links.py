"""Print a link to each notebook on a hub: a click logs a student in, brings the newest course, and opens the notebook.

    python tools/links.py https://hub.example.org https://git.example.org/course-student.git

The links are those of nbgitpuller, which docs/class.md tells about. Standard library only.
"""

import argparse
import sys
from urllib.parse import urlencode, urlsplit

from project import COURSE, notebooks


def link(hub: str, repository: str, file: str, branch: str = "main", folder: str = "course") -> str:
    """The link to a file of a git repository on a hub.

    hub: where it is, as https://hub.example.org; repository: what its servers clone; file: a path in it; folder: the student's
    copy.
    """
    query = {"repo": repository, "branch": branch, "targetPath": folder, "urlpath": f"lab/tree/{folder}/{file}"}
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query)}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hub")
    parser.add_argument("repository")
    parser.add_argument("--branch", default="main")
    chosen = parser.parse_args(arguments)
    for address in (chosen.hub, chosen.repository):
        if urlsplit(address).scheme not in ("http", "https"):
            sys.exit(f"{address} is no address: name one that begins with https://")
    for path in notebooks():
        address = link(chosen.hub, chosen.repository, f"{COURSE.name}/{path.name}", chosen.branch)
        print(f"- [{path.stem.replace('_', ' ')}]({address})")


if __name__ == "__main__":
    main()
