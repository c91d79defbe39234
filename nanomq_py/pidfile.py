"""The file by which ``nanomq stop`` finds the broker: its number, locked while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any


def default_path(conf: Path | None) -> Path:
    """Return the place for the broker of that configuration file (None: of the defaults)."""
    name = str(conf.resolve()) if conf is not None else ""
    tag = hashlib.sha256(name.encode()).hexdigest()[:12]
    return _folder() / f"{tag}.pid"


def _folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"nanomq-{os.getuid()}"


def running_brokers() -> list[PidFile]:
    """Return the files of this user's brokers that run, but for those with a ``pid_file``."""
    files = [PidFile(path) for path in sorted(_folder().glob("*.pid"))]
    return [file for file in files if file.running() is not None]


class PidFile:
    """Holds the lock from :meth:`take` to :meth:`release`; the kernel drops it at a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def take(self) -> bool:
        """Write our number. Returns False when a running broker holds the file.

        Raises   OSError when the file cannot be written
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()} {time.monotonic_ns()}\n".encode())
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            self._told.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    @property
    def _told(self) -> Path:
        return self.path.with_suffix(".reload")

    def tell(self, outcome: object) -> None:
        """Leave word of a reload, for :meth:`told`."""
        if self._fd is None:
            return
        stamp = time.monotonic_ns()
        with contextlib.suppress(OSError):
            waiting = self._told.with_suffix(".new")
            waiting.write_text(json.dumps([stamp, outcome]), encoding="utf-8")
            waiting.replace(self._told)

    def told(self) -> tuple[int, dict[str, Any]]:
        """Return the word of the latest reload, and when it was; 0: never."""
        try:
            stamp, outcome = json.loads(self._told.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0, {}
        return stamp, outcome

    def running(self) -> tuple[int, str] | None:
        """Return the broker that holds the file, None when there is none.

        Its process number, and when it began: a restart keeps the number.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            number, _, began = (
                os.read(fd, 64).decode("ascii", "replace").strip().partition(" ")
            )
            return (int(number), began) if number.isdigit() else None
        finally:
            os.close(fd)
        return None  # nobody held it: left over from a crash

    @staticmethod
    def alive(pid: int) -> bool:
        """Return whether the process runs; one that only waits for its parent does not."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
