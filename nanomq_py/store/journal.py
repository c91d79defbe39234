"""A journal as the commands see it: what is in it, what is wrong, a copy, a repair.

Source  /docs/store.md, "Backup", "Check and repair"
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nanomq_py.config.file import sync_folder
from nanomq_py.core.log_look import (
    Live,
    LogDamage,
    LogError,
    LogFacts,
    LogLook,
    segment_name,
)
from nanomq_py.store.faults import StoreError
from nanomq_py.store.marks import newer_text

COPIED_BYTES = 1 << 20  # at a time


def journal_error(folder: Path, fault: LogError) -> StoreError:
    """Return what is wrong with a folder, in words."""
    at = f"durability.location={folder}"
    if fault.in_use:
        return StoreError(f"{at}: a broker uses it: stop it first")
    if fault.is_newer:
        return StoreError(f"{at}: {newer_text(folder)}: use that one")
    return StoreError(f"{at}: {fault}{_which(folder)}")


def _which(folder: Path) -> str:
    """Return the name of the first file that cannot be opened, or nothing."""
    try:
        for path in sorted(folder.glob("*.seg")):
            if not path.is_file() or path.is_symlink():
                return f" ({path.name}: not a file)"
            path.open("rb").close()
    except OSError as fault:
        return f" ({Path(fault.filename or folder).name})"
    return ""


@contextmanager
def looked_at(folder: Path) -> Iterator[LogLook]:
    """Give what is in a journal; its files stay meanwhile. Blocks. Raises StoreError.

    What looks damaged while a broker writes may be a commit that was half written as it was
    read: only what a second look finds, too, is told.
    """
    try:
        look = LogLook(folder)
        if look.facts.in_use and look.damages:
            with closing(look) as first:
                look = LogLook(folder)
            look.damages = [one for one in look.damages if one in first.damages]
    except LogError as fault:
        raise journal_error(folder, fault) from None
    try:
        yield look
    finally:
        look.close()


@contextmanager
def live_of(folder: Path, look: LogLook) -> Iterator[Live]:
    """Give what a broker would have that starts on it. Raises StoreError."""
    try:
        live = Live(look)
    except LogError as fault:
        raise journal_error(folder, fault) from None
    with closing(live):
        yield live


# --- what is wrong


def is_damaged(look: LogLook, live: Live) -> bool:
    return bool(look.damages or look.facts.malformed or live.passed)


def _damage_text(one: LogDamage) -> str:
    where = segment_name(one.segment)
    where += ": there is no such file" if one.is_missing else f": damaged at byte {one.at}"
    before = f"behind commit {one.after}" if one.after else "at the beginning"
    if not one.next_sequence:
        return f"{where}, {before}; the file behind it is {segment_name(one.next_segment)}"
    return (
        f"{where}, {before}; commit {one.next_sequence} lies behind it, at byte"
        f" {one.next_at} of {segment_name(one.next_segment)}"
    )


def faults_of(look: LogLook, live: Live) -> list[str]:
    """Return a line for each thing that is damaged."""
    facts, lines = look.facts, [_damage_text(one) for one in look.damages]
    if facts.malformed:
        lines.append(f"commits that hold no records: {facts.malformed}")
    if live.passed:
        lines.append(f"records that do not fit what is there: {live.passed}")
    return lines


def ways_on(folder: Path) -> str:
    return (
        f"stop the broker, then nanomq store repair {folder}: it keeps a copy, and leaves out"
        " what is damaged; or durability.on_corruption=skip, which leaves it out at the"
        " start; or restore a backup"
    )


def notes_of(look: LogLook) -> list[str]:
    """Return what else is worth a line, and no fault."""
    notes = ["a broker uses it"] if look.facts.in_use else []
    if look.facts.torn and not look.facts.in_use:
        notes.append(
            f"the last write was cut short, at byte {look.facts.end_at} of"
            f" {segment_name(look.facts.end_segment)}: nothing that was acknowledged is lost"
            if look.facts.end_segment
            else "the first write was cut short: nothing that was acknowledged is lost"
        )
    return notes


# --- what is in it


def counts_of(live: Live) -> dict[str, int]:
    """Return how much of what a broker would have, by the words of its users."""
    kinds = {
        "sessions": "session",
        "subscriptions": "subscription",
        "messages": "message",
        "deliveries": "delivery",
        "retained": "retained",
        "unreleased": "unreleased",
        "wills": "will",
    }
    return {name: live.kinds.get(kind, 0) for name, kind in kinds.items()}


def _log_facts(facts: LogFacts) -> dict[str, Any]:
    return {
        "in_use": facts.in_use,
        "store_id": f"{facts.store:016x}",
        "used_bytes": facts.used,
        "commits": facts.commits,
        "first_commit": facts.first,
        "last_commit": facts.last,
        "oldest_needed_commit": facts.oldest,
        "first_ms": facts.first_ms,
        "last_ms": facts.last_ms,
        "records": facts.records,
        "record_bytes": facts.bytes,
        "records_by_kind": facts.kinds,
        "torn": facts.torn,
    }


def facts_of(folder: Path, look: LogLook, live: Live) -> dict[str, Any]:
    """Return what is in it as JSON has it. Times: milliseconds since 1970."""
    return {
        "folder": os.fspath(folder),
        "format": 1,
        **_log_facts(look.facts),
        "segments": [
            {
                "file": one.name,
                "bytes": one.bytes,
                "blocks": one.blocks,
                "first_commit": one.first,
                "last_commit": one.last,
            }
            for one in look.segments
        ],
        "live": {**counts_of(live), "bytes": live.bytes},
        "newest_numbers": live.newest,
        "damage": faults_of(look, live),
    }


# --- a copy


def copy_journal(folder: Path, to: Path) -> int:
    """Copy a journal to a new folder, up to its last whole commit; return that commit.

    A broker may use it: what was acknowledged before is in the copy, which is read again.
    Blocks. Raises StoreError, also for a damaged one, and OSError.
    """
    with looked_at(folder) as look:
        if look.damages:
            raise StoreError(
                f"durability.location={folder}: {_damage_text(look.damages[0])}:"
                f" {ways_on(folder)}"
            )
        to.mkdir(0o700)
        facts = look.facts
        for one in look.segments:
            if one.number <= facts.end_segment:
                is_last = one.number == facts.end_segment
                _copy(folder, to, one.name, facts.end_at if is_last else one.bytes)
        sync_folder(to)
        _check_copy(to, facts)
    return facts.last


def _copy(folder: Path, to: Path, name: str, length: int) -> None:
    source = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        target = os.open(to / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for piece in _pieces(source, length):
                while piece:
                    piece = piece[os.write(target, piece) :]
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _pieces(source: int, length: int) -> Iterable[memoryview]:
    while length:
        piece = os.read(source, min(length, COPIED_BYTES))
        if not piece:
            raise StoreError("a file of the journal became shorter while it was copied")
        length -= len(piece)
        yield memoryview(piece)


def _check_copy(to: Path, facts: LogFacts) -> None:
    with looked_at(to) as copy:
        if copy.damages or (copy.facts.last, copy.facts.commits) != (
            facts.last,
            facts.commits,
        ):
            raise StoreError(f"{to}: the copy is not what was copied: try again")
