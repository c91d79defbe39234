"""What belongs to a broker's store: the database of its control plane, and its journal.

::

    FOLDER/nanomq.db          users, bans, rules and what else is told while it runs
    FOLDER/nanomq.journal/    messages, sessions and retained messages (durability)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATABASE = ".db"
JOURNAL = ".journal"
NAME = "nanomq"


@dataclass(frozen=True)
class Places:
    """Where the two are; None: there is none."""

    database: Path | None
    journal: Path | None

    def those_there(self) -> Places:
        """Return the same without what does not exist."""
        database, journal = self.database, self.journal
        return Places(
            database if database is not None and database.exists() else None,
            journal if journal is not None and journal.exists() else None,
        )


def _only(folder: Path, suffix: str) -> Path | None:
    """Return the one of the usual name, or the only one of that kind."""
    usual = folder / f"{NAME}{suffix}"
    found = sorted(folder.glob(f"*{suffix}"))
    return usual if usual in found else found[0] if len(found) == 1 else None


def places_in(folder: Path) -> Places:
    """Return what there is in a folder, which may be the journal itself."""
    if (folder / "lock").exists() or any(folder.glob("*.seg")):
        beside = folder.with_suffix(DATABASE)
        is_named = folder.suffix == JOURNAL and beside.is_file()
        return Places(beside if is_named else None, folder)
    return Places(_only(folder, DATABASE), _only(folder, JOURNAL))
