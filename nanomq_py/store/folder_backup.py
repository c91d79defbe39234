"""A whole store in a new folder, on which a broker can start.

The journal is copied before the database: what is acknowledged because the database has it
is in the database, then, and what the database has already may come once more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from nanomq_py.config.file import sync_folder
from nanomq_py.store.backup import back_up
from nanomq_py.store.faults import StoreError
from nanomq_py.store.folder import DATABASE, JOURNAL, NAME, Places
from nanomq_py.store.journal import copy_journal


def back_up_all(places: Places, to: Path) -> list[str]:
    """Write all to a new folder, 0700; return what is in it, a line each.

    The folder appears once it is whole and on the disk. A broker may run.

    Raises   StoreError; then there is no new folder
    """
    if to.exists() or to.is_symlink():
        raise StoreError(f"{to}: it is there already: name a new folder")
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{to.name[:100]}.", dir=to.parent))  # 0700
    except OSError as fault:
        raise StoreError(f"{to}: {fault.strerror}") from None
    try:
        told = _fill(places, made)
        sync_folder(made)
        os.rename(made, to)
        sync_folder(to.parent)
    except OSError as fault:
        raise StoreError(f"{to}: {fault.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return told


def _fill(places: Places, made: Path) -> list[str]:
    told = []
    if places.journal is not None:
        last = copy_journal(places.journal, made / f"{NAME}{JOURNAL}")
        told.append(f"{places.journal}: up to commit {last}")
    if places.database is not None:
        size = back_up(places.database, made / f"{NAME}{DATABASE}")
        told.append(f"{places.database}: {size} bytes")
    return told
