"""A folder for control files: nobody but this user and root can put anything there.

::

    /run/nanomq             good
    /tmp/nanomq-1000        good, if it is user 1000's: nobody else can take it out of /tmp
    /tmp                    not good: somebody may have put a link there before us

When every part of a path is judged good, nobody else can change what the path leads to.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_OVERFLOW = 65534  # stands for every user that a user namespace does not know


class UnsafeError(Exception):
    """Another user could change what this process trusts; the text says where."""


def _trusted() -> set[int]:
    """Return whose folders are good: ours, root's, and those of a root unknown in here.

    Source  user_namespaces(7)
    """
    trusted = {0, os.geteuid()}
    try:
        known = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    except OSError:
        return trusted
    ranges = zip(map(int, known[::3]), map(int, known[2::3]), strict=True)
    if not any(first <= _OVERFLOW < first + count for first, count in ranges):
        trusted.add(_OVERFLOW)
    return trusted


def _judge(place: Path, *, is_last: bool) -> None:
    found = os.lstat(place)
    if found.st_uid not in _trusted():
        raise UnsafeError(f"{place} belongs to another user")
    if stat.S_ISLNK(found.st_mode):
        if is_last:
            raise UnsafeError(f"{place} is a symbolic link")
        os.stat(place)  # raises where links go round in a circle
        target = place.parent / os.readlink(place)
        for part in (*reversed(target.parents), target):
            _judge(part, is_last=False)
        return
    # In a sticky folder, such as /tmp, nobody can take away what belongs to us.
    is_shared = bool(found.st_mode & stat.S_ISVTX) and not is_last
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_shared:
        raise UnsafeError(f"others can write in {place}")


def claim(folder: Path) -> None:
    """Make the folder where it is missing, for this user alone, and judge it.

    Raises   UnsafeError when another user could put something there; OSError
    """
    for place in (*reversed(folder.absolute().parents), folder.absolute()):
        if not os.path.lexists(place):
            with contextlib.suppress(FileExistsError):  # another start makes it too
                os.mkdir(place, 0o700)
        _judge(place, is_last=place == folder.absolute())


def judge(folder: Path) -> None:
    """Raise UnsafeError when another user could put something in a folder; OSError."""
    for place in (*reversed(folder.absolute().parents), folder.absolute()):
        _judge(place, is_last=place == folder.absolute())
