"""A password file: ``USER:HASH`` lines, as mosquitto has them.

::

    # devices of the first floor
    pump-1:$scrypt$ln=14,r=8,p=1$SALT$HASH
    pump-2:$7$101$SALT$HASH

Empty lines and those that begin with ``#`` mean nothing. ``hashing.py`` says what a hash looks
like. A fault names file and line, and shows nothing of the line.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nanomq_py import kept
from nanomq_py.auth.hashing import BadHash, read_hash
from nanomq_py.config import ConfigError
from nanomq_py.config.faults import Faults
from nanomq_py.config.file import write_new
from nanomq_py.config.values.texts import is_text

MOST_BYTES = 32 << 20


def is_name(text: str) -> bool:
    """Return whether that can be a user of the file."""
    return text != "" and ":" not in text and not text.startswith("#") and is_text(text)


def _content(path: Path) -> bytes:
    """Return what is in the file. Raises OSError, ConfigError."""
    fd = kept.open_file(path)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError(f"{path}: expected a file")
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path}: expected {MOST_BYTES >> 20} MiB at most")
    return raw


def _text(path: Path, raw: bytes) -> str:
    raw = raw.removeprefix(codecs.BOM_UTF8)  # else it would be part of a name
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise ConfigError(f"{path}:{line}: expected UTF-8") from None


def _user(line: str) -> tuple[str, str]:
    """Return name and stored hash. Raises BadHash, which says what is wrong with the line."""
    name, colon, stored = line.partition(":")
    if not colon or not is_name(name):
        raise BadHash("expected USER:HASH")
    read_hash(stored)
    return name, stored


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are users, with their numbers from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.strip() and not line.startswith("#"):
            yield number, line


def _users(path: Path, text: str) -> dict[str, str]:
    faults = Faults()
    users: dict[str, str] = {}
    for number, line in _lines(text):
        if faults.enough:
            break
        with faults.gathered():
            try:
                name, stored = _user(line)
            except BadHash as bad:
                raise ConfigError(f"{path}:{number}: {bad}") from None
            if name in users:
                raise ConfigError(f"{path}:{number}: this user has a line above")
            users[name] = stored
    faults.check()
    return users


def read_users(path: Path, called: str = "auth.password_file") -> dict[str, str]:
    """Return the stored hash of each user, by name. Blocks.

    called   the key that names the file
    Raises   ConfigError
    """
    try:
        raw = _content(path)
    except OSError as fault:
        raise ConfigError(f"{called}={path}: cannot be read: {fault.strerror}") from None
    return _users(path, _text(path, raw))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from changing password files of that folder meanwhile."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: Path, text: str, old: os.stat_result | None) -> None:
    waiting = path.with_name(f".{path.name}.new")
    try:
        write_new(waiting, text.encode(), 0o600 if old is None else old.st_mode & 0o7777)
        if old is not None:
            with contextlib.suppress(PermissionError):  # a file of another user
                os.chown(waiting, old.st_uid, old.st_gid)
        os.replace(waiting, path)
    except BaseException:
        waiting.unlink(missing_ok=True)
        raise


def _lines_with(
    path: Path, lines: list[str], name: str, stored: str | None, *, new: bool
) -> list[str]:
    at = [n for n, line in enumerate(lines) if line.partition(":")[0] == name]
    if new and at:
        raise ConfigError(f"{path}: this user is there already: expected passwd change")
    if not new and not at:
        raise ConfigError(f"{path}: there is no such user")
    line = [] if stored is None else [f"{name}:{stored}"]
    return [*lines[: at[0]], *line, *lines[at[0] + 1 :]] if at else [*lines, *line]


def set_user(path: Path, name: str, stored: str | None, *, new: bool = False) -> None:
    """Change one line of the file, which is replaced as a whole. Blocks.

    A new file is for its owner only. Comments and other lines stay as they are.

    stored   the user's stored hash; None: the user goes
    new      the user must not be there yet, and the file need not; else the user must be there
    Raises   ConfigError, and nothing has changed
    """
    if not is_name(name):
        raise ConfigError("expected a user name that is not empty, without : and line ends")
    path = path.resolve()
    try:
        with _alone(path.parent):
            there = path.exists() or not new
            text = _text(path, _content(path)) if there else ""
            _users(path, text)
            lines = text.removesuffix("\n").split("\n") if text else []
            lines = _lines_with(path, lines, name, stored, new=new)
            text = "".join(line + "\n" for line in lines)
            _replace(path, text, path.stat() if there else None)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}") from None
