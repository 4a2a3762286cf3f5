"""Run a command as a student: in the student's folder, under the student's limits, and where root as the student's own user.

    python sit_down.py --user 90001 --folder FOLDER --memory 1073741824 --needs PATH... -- command

Standard library only: it runs as root, before anything of the course does.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path

CONTROL_GROUPS = (("/sys/fs/cgroup", "cgroup.controllers", "memory.max"),               # version 2, and 1
                  ("/sys/fs/cgroup/memory", "memory.use_hierarchy", "memory.limit_in_bytes"))
LARGEST_FILE = 256 * 2**20      # bytes
PROCESSES = 512                 # with threads
NEW_MOUNT_NAMESPACE, BIND, RECURSIVE, PRIVATE, NO_NEW_PRIVILEGES = 0x20000, 0x1000, 0x4000, 0x40000, 38    # as Linux numbers them


def limit(memory: int, own_user: bool) -> None:
    """Limit the memory of each process (bytes), the size of each file, and where the user is the student's own the processes."""
    for what, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, LARGEST_FILE), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))
    if own_user:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def control_group(user: int) -> Path | None:
    """The folder of a student's control group, or None where this system has none that can be written."""
    for base, sign, _ in CONTROL_GROUPS:
        if Path(base, sign).exists() and os.access(base, os.W_OK):
            return Path(base, "course", str(user))
    return None


def join_control_group(user: int, memory: int) -> None:
    """Limit the memory of all processes of a student together (bytes), where the system lets us."""
    group = control_group(user)
    if group is None:
        return
    with contextlib.suppress(OSError):
        group.mkdir(parents=True, exist_ok=True)
        version_2 = group.parent / "cgroup.subtree_control"
        if version_2.exists():
            version_2.write_text("+memory")
        [(group / limit).write_text(str(memory)) for _, _, limit in CONTROL_GROUPS if (group / limit).exists()]
        (group / "cgroup.procs").write_text(str(os.getpid()))


def open_the_way(needs: list[Path]) -> None:
    """Let every user come to these paths, though a folder above them may be closed to others, as a home is.

    In the view of this process alone, an empty folder covers the closed one, and has nothing in it but the way to what is needed.
    Raises OSError where this root may not do that.
    """
    ways: dict[Path, list[Path]] = {}
    for path in needs:
        closed = next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)
        if closed:
            ways.setdefault(closed, []).append(path)
    if not ways:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if function(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def mount(source, target, kind=None, flags=0, options=None):
        call(libc.mount, *(ctypes.c_char_p(os.fsencode(word) if word else None) for word in (source, target, kind)),
             ctypes.c_ulong(flags), ctypes.c_char_p(options))

    call(libc.unshare, NEW_MOUNT_NAMESPACE)
    mount(None, "/", flags=RECURSIVE | PRIVATE)
    for closed, paths in ways.items():
        held = [(path, os.open(path, os.O_PATH), path.is_dir()) for path in paths]
        mount("none", closed, "tmpfs", options=b"mode=755,size=1m")
        for path, descriptor, is_folder in held:
            (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
            if not is_folder:
                path.touch()
            mount(f"/proc/self/fd/{descriptor}", path, flags=BIND | RECURSIVE)
            os.close(descriptor)


def become(user: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--user", type=int, help="number of the user to become; without it, the account stays the same")
    parser.add_argument("--folder", type=Path, required=True, help="where the command is run")
    parser.add_argument("--memory", type=int, required=True, help="bytes for each process, and twice as many for all together")
    parser.add_argument("--needs", type=Path, nargs="*", default=[], help="what the command must be able to read")
    parser.add_argument("command", nargs="+")
    chosen = parser.parse_args()
    if chosen.user:
        join_control_group(chosen.user, 2 * chosen.memory)
        open_the_way([*chosen.needs, chosen.folder])
    limit(chosen.memory, bool(chosen.user))
    if chosen.user:
        become(chosen.user)
    os.umask(0o077)
    os.chdir(chosen.folder)
    sys.stdout.flush()
    os.execvp(chosen.command[0], chosen.command)


if __name__ == "__main__":
    main()
