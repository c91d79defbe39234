"""Files that root opened for a process that is not root any more.

::

    keep("/etc/ssl/key.pem") ── becomes another user ── open_file("/etc/ssl/key.pem")
                                                        └ its content, as it is now

A file is served while it is the one that was opened: its content may change in place, but one
that took its name is refused. Where this user may not look into the folder, the kernel's name
of the open file says whether it is still there; a link on the way there is not followed anew.

Owner    the process: descriptors stay open until it ends, and go to the next one of a restart
Threads  keep and take before others begin; the rest from any
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import stat
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
MOST_BYTES = 64 << 20  # of a file; its readers expect less
LIST = "NANOMQ_KEPT"  # variables of the next process: the names, and a descriptor for each
ONE = "NANOMQ_KEPT_{}"


@dataclass(frozen=True)
class _Kept:
    fd: int
    real: str  # the kernel's name of it, when it was opened

    def is_at(self, path: str) -> bool:
        """Return whether the name still leads to this file, as far as we can see."""
        if os.readlink(f"/proc/self/fd/{self.fd}") != self.real:
            return False  # removed, or moved away
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fd))
        except PermissionError:
            return True

    def copy(self) -> int:
        """Return a descriptor of what is in it now. The file's own shares its place."""
        fd = os.memfd_create("nanomq-kept")
        at = 0
        while at <= MOST_BYTES and (part := os.pread(self.fd, 1 << 20, at)):
            at += len(part)
            while part:
                part = part[os.write(fd, part) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd


_files: dict[str, _Kept] = {}
_noted: list[str] | None = None


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Give a list where each file that :func:`open_file` opens meanwhile is put."""
    global _noted
    names: list[str] = []
    _noted = names
    try:
        yield names
    finally:
        _noted = None


def keep(path: str) -> None:
    """Open a regular file for later; another one is left alone. Raises OSError."""
    fd = os.open(path, FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return
    kept = _Kept(fd, os.readlink(f"/proc/self/fd/{fd}"))
    _files[os.path.abspath(path)] = _files[os.path.realpath(path)] = kept


def open_file(path: str | os.PathLike[str]) -> int:
    """Open it to read, as os.open does; or give what a kept one holds. Raises OSError."""
    try:
        fd = os.open(path, FLAGS)
    except PermissionError:
        name = os.path.abspath(os.fspath(path))
        kept = _files.get(name)
        if kept is None:
            raise
        if not kept.is_at(name):
            raise PermissionError(errno.EACCES, _replaced()) from None
        return kept.copy()
    if _noted is not None:
        _noted.append(os.fspath(path))
    return fd


def _replaced() -> str:
    me = os.geteuid()
    try:
        name = pwd.getpwuid(me).pw_name
    except KeyError:
        name = str(me)
    return f"it is another file than at the start, and user {name} cannot read it"


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """Return what is in it. Raises OSError, with EFBIG where that is more than ``most``."""
    with open(open_file(path), "rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, f"expected {most >> 10} KiB at most")
    return raw


def exists(path: str) -> bool:
    """Return whether there is such a file; one in a folder closed to us is, if it is kept."""
    return os.path.exists(path) or os.path.abspath(path) in _files


@contextlib.contextmanager
def readable(path: str) -> Iterator[str]:
    """Give a path by which a library can open it: another one for a kept file."""
    if os.path.abspath(path) not in _files:
        yield path
        return
    fd = open_file(path)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


# --- across a restart


def leave() -> dict[str, int]:
    """Return descriptors for the next process, by the variables that name them to it."""
    if not _files:
        return {}
    names = os.memfd_create("nanomq-kept-names")
    with open(names, "wb", closefd=False) as file:
        file.write(
            json.dumps([[name, kept.real] for name, kept in _files.items()]).encode()
        )
    fds = {ONE.format(at): kept.fd for at, kept in enumerate(_files.values())}
    return {LIST: names, **fds}


def _taken(environ: MutableMapping[str, str], variable: str) -> int | None:
    pid, _, fd = environ.pop(variable, "").partition(":")
    if pid != str(os.getpid()) or not fd.isdigit():
        return None
    os.set_inheritable(int(fd), False)
    return int(fd)


def take(environ: MutableMapping[str, str]) -> None:
    """Go on with what the process before this one left, if it did."""
    names = _taken(environ, LIST)
    if names is None:
        return
    with open(names, "rb") as file:
        file.seek(0)
        for at, (name, real) in enumerate(json.load(file)):
            fd = _taken(environ, ONE.format(at))
            if fd is not None:
                _files[name] = _Kept(fd, real)
