"""What brokers note in the folder of a journal for those that come later.

::

    version    which nanomq-py had it last: one that cannot read it can name who can
    unserved   since when brokers with durability=off leave it alone: its modification time
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from nanomq_py.config.file import sync_folder
from nanomq_py.version import __version__

VERSION = "version"
UNSERVED = "unserved"
MOST_VERSION = 40  # characters


def note_version(folder: Path) -> None:
    """Say that this version has it. Blocks. A disk that cannot take it is no fault."""
    with contextlib.suppress(OSError):
        place = folder / VERSION
        if written_by(folder) != __version__:
            place.touch(0o600)
            place.write_text(f"{__version__}\n", encoding="ascii")


def written_by(folder: Path) -> str:
    """Return the version that had it last; empty: nobody knows. Blocks."""
    try:
        with (folder / VERSION).open(encoding="ascii") as file:
            text = file.read(MOST_VERSION).strip()
    except (OSError, ValueError):
        return ""
    return text if text.isprintable() else ""


def newer_text(folder: Path) -> str:
    """Say that a later version wrote it, and which. Blocks."""
    writer = written_by(folder)
    who = f"nanomq-py {writer}" if writer not in ("", __version__) else "a later version"
    return f"{who} wrote what is there, and this version ({__version__}) cannot read it"


def _is_in_use(folder: Path) -> bool:
    """Return whether a broker has it. Raises OSError."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def leave_alone(folder: Path) -> bool:
    """Mark a journal that is not served; return whether there is one that nobody has.

    Where nothing can be written, it is not marked. Blocks.
    """
    if not any(folder.glob("*.seg")):
        return False
    with contextlib.suppress(OSError):
        if _is_in_use(folder):
            return False
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(folder / UNSERVED, how, 0o600))
        sync_folder(folder)
    return True


def take_up(folder: Path) -> float | None:
    """Return since when it was left alone, seconds since 1970; None: it was not. Blocks.

    It is marked no more. Raises OSError.
    """
    try:
        since = (folder / UNSERVED).stat().st_mtime
    except FileNotFoundError:
        return None
    (folder / UNSERVED).unlink()
    return since
