"""What words name on this machine: users, cgroups, containers, PID namespaces.

Each function raises `FilterError` where nothing has that name.
"""

from __future__ import annotations

import os
import posixpath
import pwd
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from wcap.errors import FilterError
from wcap.recorder import kernel
from wcap.recorder.choice import Cgroup

_MOUNTS = Path("/proc/self/mountinfo")
# The last number is what system calls take for "no user" (setreuid(2)).
_MOST_USERS = (1 << 32) - 1
# The largest that a process's number can be (PID_MAX_LIMIT, include/linux/threads.h); inodes of
# namespaces begin far above (PROC_DYNAMIC_FIRST, fs/proc/generic.c).
_MOST_PIDS = 1 << 22
# As much of a container's id as its runtime shows.
_CONTAINER = re.compile(r"[0-9a-f]{12,64}")


def find_user(word: str) -> int:
    """Return the number of a user, given by number or by name."""
    if word.isascii() and word.isdecimal() and len(word) <= len(str(_MOST_USERS)):
        number = int(word)
    else:
        try:
            number = pwd.getpwnam(word).pw_uid
        except (KeyError, ValueError) as error:  # ValueError: a NUL
            raise FilterError(f"--user: no user is named {word[:40]!r}") from error
    if number >= _MOST_USERS:
        raise FilterError(f"--user: 0 to {_MOST_USERS - 1} expected, {word} found")
    return number


def find_cgroup(word: str) -> Cgroup:
    """Return the cgroup of a path below the mount of cgroup2, with the mount before it or not."""
    mount = _mount("--cgroup")
    path = posixpath.normpath("/" + word.strip("/"))
    if path == mount or path.startswith(mount + "/"):
        path = path.removeprefix(mount)
    cgroup = Cgroup(mount, path.rstrip("/"))
    if not word or not cgroup.folder.is_dir():
        raise FilterError(f"--cgroup: there is no cgroup {word!r} below {mount}")
    return cgroup


def find_container(word: str) -> tuple[Cgroup, ...]:
    """Return the cgroups of a container: named so in full, or with 12 digits of its id or more."""
    mount = _mount("--container")
    is_id = _CONTAINER.fullmatch(word) is not None
    found = tuple(_below(mount, lambda name: name == word or (is_id and word in name)))
    if not found:
        hint = "" if is_id else " (an id has 12 hexadecimal digits or more)"
        raise FilterError(f"--container: no cgroup below {mount} is named {word[:80]!r}{hint}")
    return found


def find_pid_namespace(word: str) -> int:
    """Return the inode of a PID namespace: of a process in it, its own number, self or host."""
    if word == "host":
        return kernel.FIRST_PID_NAMESPACE
    if word != "self" and not (word.isascii() and word.isdecimal() and len(word) <= 10):
        raise FilterError(f"--pidns: a PID, an inode, self or host expected, {word[:40]!r} found")
    if word == "self" or int(word) <= _MOST_PIDS:
        inode = _pid_namespace_of(Path("/proc", word))
        if inode is None:
            raise FilterError(f"--pidns: {word} is no process")
        return inode
    if all(_pid_namespace_of(process) != int(word) for process in Path("/proc").glob("[0-9]*")):
        raise FilterError(f"--pidns: no process is in a PID namespace {word}")
    return int(word)


def _pid_namespace_of(process: Path) -> int | None:
    try:
        return (process / "ns/pid").stat().st_ino
    except OSError:
        return None


def _mount(option: str) -> str:
    """Return where cgroup2 is mounted."""
    for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
        place, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            # Blanks and the like are octal there (mangle in fs/proc_namespace.c).
            escaped = place.split()[4]
            return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), escaped)
    raise FilterError(f"{option}: cgroup2 is not mounted here: BPF knows no cgroups of version 1")


def _below(mount: str, named: Callable[[str], bool]) -> Iterator[Cgroup]:
    """Yield the cgroups of such names; what is below one of them needs no mention."""
    for folder, names, _ in os.walk(mount):
        place = folder.removeprefix(mount)
        yield from (Cgroup(mount, f"{place}/{name}") for name in sorted(names) if named(name))
        names[:] = [name for name in names if not named(name)]
