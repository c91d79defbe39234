"""A damaged journal becomes one that has what is left of it; the damaged one is kept.

::

    FOLDER/000005.seg ... 000009.seg       damaged: no broker starts on it
    FOLDER/repaired-000010/000010.seg      what is left, written and on the disk
    FOLDER/damaged-20260102T030405Z/       gets 000009.seg to 000005.seg, the latest first

After a crash anywhere a broker finds the damaged journal, or one of which files are missing,
and does not start; the next repair goes on with the folder ``repaired-...``.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from nanomq_py.config.file import sync_folder
from nanomq_py.core.log_look import (
    Live,
    LogClaim,
    LogError,
    LogLook,
    segment_name,
    write_log,
)
from nanomq_py.store.faults import StoreError
from nanomq_py.store.journal import (
    counts_of,
    faults_of,
    is_damaged,
    journal_error,
    live_of,
    looked_at,
)

_HALF_MADE = "repairing"
_LEAST_SEGMENT_BYTES = 1 << 20


def damaged_name() -> str:
    """Return the name of the folder that keeps what was damaged."""
    return time.strftime("damaged-%Y%m%dT%H%M%SZ", time.gmtime())


def repair_journal(folder: Path) -> list[str]:
    """Repair it; return what was done, a line each. No broker may run. Blocks.

    Raises   StoreError; then the journal is as it was, or the next repair goes on
    """
    try:
        claim = LogClaim(folder)
    except LogError as fault:
        raise journal_error(folder, fault) from None
    try:
        return _repair(folder)
    except OSError as fault:
        raise StoreError(f"durability.location={folder}: {fault.strerror}") from None
    finally:
        claim.close()


def _repair(folder: Path) -> list[str]:
    begun = sorted(folder.glob("repaired-*"))
    if begun:
        kept = _put_in_place(folder, begun[0])
        return [f"{folder}: an earlier repair is finished", f"what it took out: {kept}"]
    with looked_at(folder) as look, live_of(folder, look) as live:
        if not is_damaged(look, live):
            return [f"{folder}: good: there is nothing to repair"]
        ready = _write(folder, look, live)
        told = _told(look, live)
    kept = _put_in_place(folder, ready)
    return [f"{folder}: repaired", *told, f"what was damaged: {kept}"]


def _write(folder: Path, look: LogLook, live: Live) -> Path:
    """Write what is left beside the journal, in a folder that says so once it is whole."""
    made = folder / _HALF_MADE
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(0o700)
    latest = look.segments[-1].number
    before = made / segment_name(latest)
    before.touch(0o600)  # an empty file: what is written begins with the next number
    largest = max(one.bytes for one in look.segments)
    wall_ms = max(look.facts.last_ms, time.time_ns() // 1_000_000)
    try:
        write_log(made, live, max(largest, _LEAST_SEGMENT_BYTES), wall_ms)
    except LogError as fault:
        raise journal_error(made, fault) from None
    before.unlink()
    (made / "lock").unlink()
    sync_folder(made)
    ready = folder / f"repaired-{latest + 1:06d}"
    os.rename(made, ready)
    sync_folder(folder)
    return ready


def _put_in_place(folder: Path, ready: Path) -> Path:
    """Have the new files in the place of the damaged ones; return where those are."""
    first = int(ready.name.removeprefix("repaired-"))
    for path in sorted(ready.glob("*.seg")):
        os.rename(path, folder / path.name)
    sync_folder(folder)
    kept = folder / damaged_name()
    kept.mkdir(0o700, exist_ok=True)
    old = [path for path in folder.glob("*.seg") if int(path.stem) < first]
    for path in sorted(old, reverse=True):
        os.rename(path, kept / path.name)
        sync_folder(folder)
    sync_folder(kept)
    ready.rmdir()
    sync_folder(folder)
    return kept


def _told(look: LogLook, live: Live) -> list[str]:
    facts = look.facts
    lost = facts.last - max(facts.oldest, 1) + 1 - facts.commits
    counts = ", ".join(f"{count} {name}" for name, count in counts_of(live).items())
    return [
        *faults_of(look, live),
        f"what is left: {counts}",
        f"what is lost: {max(lost, 0)} commits: messages, subscriptions, sessions and retained"
        " messages that came with them may be lost",
        "what may come twice: messages that clients acknowledged with them; and a retained"
        " message or a subscription that ended with them may be there again",
    ]
