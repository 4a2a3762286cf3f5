"""Run the steps of deploy/Dockerfile in a folder, as Docker would in an image: for a machine without Docker, by hand, as root.

    python tests/deploy/dry_run.py FOLDER [--argument TORCH_INDEX=…] [--share /etc/pip.conf …] [--command "python -V"]

The folder becomes the image: debootstrap brings Debian, the Python in it is the one that runs this script, and each step runs in
it by chroot. It takes 2 GB, and some minutes. At the end, the entry point of the image is started with the command. What is not
tried: the base image itself, and Docker's layers.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOUNTS = ("/proc", "/dev", "/sys")


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, as pairs (name, the rest of the line); lines that go on are joined."""
    text = re.sub(r"(?m)^[ \t]*#.*\n", "", path.read_text(encoding="utf-8"))
    lines = re.sub(r"\\\n", "", text).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines if line.strip()]


class Image:
    """A folder that is made as an image is: an instruction of a Dockerfile is a method of its name."""

    def __init__(self, folder: Path, arguments: dict[str, str], shared: list[Path]):
        self.folder, self.arguments, self.shared = folder, arguments, shared
        self.variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.shell, self.user, self.place, self.entry, self.command = ["/bin/sh", "-c"], "0:0", "/", [], []

    def inside(self, path: str) -> Path:
        return self.folder / os.path.join(self.place, self.filled(path)).lstrip("/")

    def filled(self, text: str) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda found: self.variables.get(found[1], ""), text)

    def run(self, *command: str) -> int:
        place = f'cd {shlex.quote(self.place)} && exec "$@"'
        home = {"HOME": "/home/jovyan" if self.user.startswith("1000") else "/root"}
        return subprocess.run(["chroot", f"--userspec={self.user}", self.folder, "/bin/sh", "-c", place, "sh", *command],
                              env={**home, **self.variables}).returncode

    def FROM(self, rest):
        version, suite = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", rest).groups()
        if not sys.version.startswith(f"{version}."):
            sys.exit(f"The image has Python {version}, and this is {sys.version.split()[0]}: run the script with that one.")
        if not (self.folder / "etc/debian_version").exists():
            libraries = "ca-certificates,libbz2-1.0,libffi8,liblzma5,libreadline8,libsqlite3-0,libssl3,netbase,tzdata"
            subprocess.run(["debootstrap", "--variant=minbase", f"--include={libraries}", suite, self.folder], check=True,
                           stdout=subprocess.DEVNULL)
            for part in ("lib", "include"):
                shutil.copytree(f"{sys.base_prefix}/{part}", self.folder / "usr/local" / part, symlinks=True, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__"))
            shutil.copy(f"{sys.base_prefix}/bin/python{version}", self.folder / "usr/local/bin/python")
            self.run("/bin/sh", "-c", "ln -s python /usr/local/bin/python3; ldconfig; python -m ensurepip --default-pip")
        shutil.copy("/etc/resolv.conf", self.folder / "etc/resolv.conf")
        for path in map(Path, (*MOUNTS, *self.shared)):
            target = self.folder / str(path).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir(exist_ok=True) if path.is_dir() else target.touch()
            subprocess.run(["mount", "--bind", path, target], check=True)
            if path in self.shared:     # a step that writes there would write into this machine
                subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
        self.run("/bin/sh", "-c", "update-ca-certificates > /dev/null")     # with this machine's own, if they are shared

    def ARG(self, rest):
        name, _, default = rest.partition("=")
        self.variables[name] = self.arguments.get(name, default)

    def ENV(self, rest):
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.variables[name] = self.filled(value)

    def SHELL(self, rest):
        self.shell = json.loads(rest)

    def WORKDIR(self, rest):
        self.place = self.filled(rest)
        self.inside(".").mkdir(parents=True, exist_ok=True)

    def USER(self, rest):
        self.user = rest

    def COPY(self, rest):
        *sources, target = shlex.split(rest)
        for source in map(ROOT.joinpath, sources):
            place = self.inside(target)
            if source.is_dir():         # Docker copies what is in it
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place = place / source.name if target.endswith("/") or place.is_dir() else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)

    def RUN(self, rest):
        if self.run(*self.shell, rest):
            sys.exit(f"This step fails: RUN {rest}")

    def EXPOSE(self, rest):
        pass

    def ENTRYPOINT(self, rest):
        self.entry = json.loads(rest)

    def CMD(self, rest):
        self.command = json.loads(rest)

    def close(self):
        for path in reversed([*MOUNTS, *self.shared]):
            subprocess.run(["umount", "--recursive", self.folder / str(path).lstrip("/")], stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--argument", action="append", default=[], metavar="NAME=VALUE", help="an ARG of the Dockerfile")
    parser.add_argument("--share", action="append", default=[], type=Path, help="a path of this machine that the steps may read")
    parser.add_argument("--built", action="store_true", help="the folder is made already: only start the command")
    parser.add_argument("--command", type=shlex.split, help="what is started in it; without one, the image's own")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    image = Image(folder, dict(argument.split("=", 1) for argument in options.argument), options.share)
    try:
        for name, rest in instructions(ROOT / "deploy/Dockerfile"):
            if not (options.built and name in ("COPY", "RUN")):
                print(name, rest[:100], flush=True)
                getattr(image, name)(rest)
        sys.exit(image.run(*image.entry, *(options.command or image.command)))
    finally:
        image.close()


if __name__ == "__main__":
    main()
