"""The file by which ``nanomq stop`` finds the broker, locked while it runs.

::

    1234 5678901234 4711        process number, when it began to serve, when it was started
    [5678909999, {...}]         when, and what, the latest reload or refused restart said

The number is not trusted: the kernel says which process holds the lock. During a restart there
is no lock, and the first line ends in a mark. Then the broker is the process of that number, if
its start time and its user are those of the file: all three stay the same across exec.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nanomq_py.config import ConfigError
from nanomq_py.run.folder import UnsafeError, claim

log = logging.getLogger("nanomq")

_SYSTEMS = Path("/run/nanomq")  # root's, or that of systemd's RuntimeDirectory=nanomq
_LOCK = "@hhqqi0q"  # struct flock: type, whence, start, length, process
_MARK = "restarting"
_OURS = re.compile(rb"(\d+ \d+[^\n]*\n.*)?", re.DOTALL)
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MOST_BYTES = 1 << 20


class AlreadyRunningError(Exception):
    """A broker of the same configuration runs; the text says which."""


def default_path(conf: Path | None) -> Path:
    """Return the place for the broker of that configuration file (None: of the defaults).

    If it runs already, this is where its file is, even if this process would choose another
    place: a service has no ``XDG_RUNTIME_DIR``, and a user that is logged in has one.
    """
    name = os.path.realpath(conf) if conf is not None else ""
    tag = hashlib.sha256(name.encode()).hexdigest()[:12]
    places = [folder / f"{tag}.pid" for folder in _folders()]
    known = places if conf is not None else places[:1]
    return next((p for p in known if PidFile(p).running() is not None), places[0])


def place_of(pid_file: str | None, conf: Path | None) -> Path:
    """Return the place for the broker of that configuration; ``pid_file`` is its key."""
    return Path(pid_file) if pid_file else default_path(conf)


def _is_mine(folder: Path) -> bool:
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _folders() -> list[Path]:
    """Return the folders where this user's brokers may be, the best one first.

    ``sudo`` does not change ``XDG_RUNTIME_DIR``: then that folder is another user's.
    """
    me = os.geteuid()
    own = f"nanomq-{me}"
    base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    folders = [base / own] if base.is_absolute() and _is_mine(base) else []
    if me == 0 or _is_mine(_SYSTEMS):
        folders.append(_SYSTEMS)
    if _is_mine(handed := Path(f"/run/{own}")):  # made by root, for the key ``user``
        folders.append(handed)
    if _is_mine(Path(f"/run/user/{me}")):
        folders.append(Path(f"/run/user/{me}") / own)
    if me != 0:
        import tempfile  # with what unpacks archives, and much else

        folders.append(Path(tempfile.gettempdir()) / own)
    return list(dict.fromkeys([*folders, *_others()]))


def _others() -> list[Path]:
    """Return the folders of users that root's brokers became (see run/privileges.py)."""
    return sorted(Path("/run").glob("nanomq-*")) if os.geteuid() == 0 else []


def running_brokers() -> list[PidFile]:
    """Return the files of this user's running brokers, but not those set by ``pid_file``."""
    own = _folders()[0]
    folders = [*([own] if _is_mine(own) else []), *_others()]
    paths = [path for folder in folders for path in sorted(folder.glob("*.pid"))]
    return [file for file in map(PidFile, paths) if file.running() is not None]


def _fields(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on, none when it is gone.

    Source  proc_pid_stat(5)
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started(pid: int | str) -> str:
    """Return when the process was started: no other one has both its number and this time."""
    return "".join(_fields(pid)[19:20])


def _user(pid: int) -> int | None:
    """Return whose process it is.

    Not the owner of /proc/PID: root has the files of a process that leaves no core file.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else None


class PidFile:
    """Holds the lock from :meth:`take` to :meth:`release`; the kernel drops it at a crash.

    From :meth:`hand_on` to the next process's :meth:`take` the mark is in place of the lock.

    The lock is the process's: only one object of a process may stand for a path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._line = b""  # our first line
        self._is_handed_on = False

    def take(self) -> bool:
        """Write our number. Returns False when a running broker holds the file.

        Raises   UnsafeError where another user could write; OSError when it cannot be written
        """
        claim(self.path.parent)
        found = self.running()  # during a restart nobody holds the lock
        if found is not None and found[0] != os.getpid():
            return False
        while True:
            try:
                fd = self._lock()
                break
            except FileNotFoundError:  # a broker that stops has removed it just now
                continue
            except BlockingIOError:
                return False
        line = f"{os.getpid()} {time.monotonic_ns()} {_started('self')}"
        self._fd, self._is_handed_on = fd, False
        os.fchmod(fd, 0o600)
        self._begin(line)
        return True

    def take_or_refuse(self) -> None:
        """Take it for a broker that starts.

        Raises   ConfigError, where others could write it; AlreadyRunningError
        """
        try:
            if self.take():
                return
        except UnsafeError as fault:
            raise ConfigError(
                f"pid_file={self.path}: {fault}: expected a file in a folder where only"
                " this user can write"
            ) from None
        except OSError as fault:
            log.warning(
                "%s: %s: nanomq stop will not find this broker", self.path, fault.strerror
            )
            return
        raise AlreadyRunningError(
            f"already running, process {self.holder()}; one more needs a pid_file of its own"
            f" ({self.path} is taken)"
        )

    def _begin(self, line: str) -> None:
        """Make that the only line. The file is never without a first line."""
        assert self._fd is not None
        self._line = f"{line}\n".encode()
        os.pwrite(self._fd, self._line, 0)
        os.ftruncate(self._fd, len(self._line))

    def _lock(self) -> int:
        fd = self._open()
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with contextlib.suppress(FileExistsError):
                return os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            return os.open(self.path, flags)  # left over by a crash, or a running broker's
        except OSError as fault:
            if fault.errno == errno.ELOOP:
                raise UnsafeError(f"{self.path} is a symbolic link") from None
            raise

    def _check(self, fd: int) -> None:
        """Raise UnsafeError for a file that is not one of ours."""
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise UnsafeError(f"{self.path} belongs to another user")
        if found.st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        ours = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        if not ours or not _OURS.fullmatch(os.pread(fd, _MOST_BYTES, 0)):
            raise UnsafeError(f"{self.path} is no file of a broker")

    def hand_on(self) -> None:
        """Leave the file to the process that this one becomes, marked."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            self._begin(f"{self._line.decode().rstrip()} {_MARK}")
        os.close(self._fd)
        self._fd, self._is_handed_on = None, True

    def release(self) -> None:
        """Remove the file; also one that was handed on, if no process follows."""
        if self._fd is None and not self._is_handed_on:
            return
        self.path.unlink(missing_ok=True)
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._is_handed_on = None, False

    def drop(self, before: Iterable[Path]) -> None:
        """Remove files that this process handed on, now that this one has taken their place."""
        for path in before:
            if os.path.realpath(path) == os.path.realpath(self.path):
                continue
            if PidFile(path).holder() == os.getpid():
                path.unlink(missing_ok=True)

    def write_outcome(self, outcome: object) -> None:
        """Write what came of a reload, for :meth:`read_outcome`. It needs no descriptor."""
        if self._fd is None:
            return
        line = json.dumps([time.monotonic_ns(), outcome]).encode() + b"\n"
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, line, len(self._line))
            os.ftruncate(self._fd, len(self._line) + len(line))

    def read_outcome(self) -> tuple[int, dict[str, Any]]:
        """Return when the latest reload was (0: never), and what came of it."""
        try:
            fd = os.open(self.path, _READ)
        except OSError:
            return 0, {}
        try:
            stamp, outcome = json.loads(os.pread(fd, _MOST_BYTES, 0).partition(b"\n")[2])
        except (OSError, ValueError):  # ValueError: nothing yet, or only half is written
            return 0, {}
        finally:
            os.close(fd)
        return stamp, outcome

    def _look(self) -> tuple[int, int, list[str]] | None:
        """Return who holds the lock, whose file it is, and its first line; None: nobody.

        A process that restarts counts as its holder.
        """
        try:
            fd = os.open(self.path, _READ)
        except OSError:
            return None
        try:
            asked = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_, pid = struct.unpack(_LOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
            line = os.pread(fd, 100, 0).partition(b"\n")[0].decode("ascii", "replace")
            owner = os.fstat(fd).st_uid
        except OSError:
            return None
        finally:
            os.close(fd)
        words = line.split(" ")
        if kind != fcntl.F_UNLCK:
            return pid, owner, words
        if words[3:] != [_MARK] or not words[0].isdigit():
            return None
        pid = int(words[0])
        return (pid, owner, words) if self._is_proved(pid, owner, words) else None

    @classmethod
    def _is_proved(cls, pid: int, owner: int, words: list[str]) -> bool:
        """Return whether the process started when the file says, and is the file owner's."""
        named = words[:3:2] == [str(pid), _started(pid)]
        return named and owner == _user(pid) and cls.alive(pid)

    def holder(self) -> int | None:
        """Return the process that holds the file, whatever it is; None: nobody does."""
        found = self._look()
        return None if found is None else found[0]

    def running(self) -> tuple[int, str] | None:
        """Return the broker that holds the file, None when there is none.

        It is its process number, and when it began to serve: a restart keeps the number. It is
        proved: the kernel names the process, unless it restarts just now; the process started
        when the file says, and it belongs to the owner of the file, who could signal it anyway.
        """
        found = self._look()
        if found is None:
            return None
        pid, owner, words = found
        return (pid, words[1]) if self._is_proved(pid, owner, words) else None

    @staticmethod
    def alive(pid: int) -> bool:
        """Return whether the process runs; one that only waits for its parent has ended."""
        return "".join(_fields(pid)[:1]) not in ("", "Z", "X")
