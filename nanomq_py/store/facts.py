"""What is in a whole store, in numbers: for the command line."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nanomq_py.store.backup import rows_of
from nanomq_py.store.folder import Places
from nanomq_py.store.journal import facts_of as journal_facts
from nanomq_py.store.journal import live_of, looked_at


def facts_of(places: Places) -> dict[str, Any]:
    """Return them as JSON has them. Blocks. Raises StoreError."""
    facts: dict[str, Any] = {}
    if places.journal is not None:
        with (
            looked_at(places.journal) as look,
            live_of(places.journal, look) as live,
        ):
            facts["journal"] = journal_facts(places.journal, look, live)
    if places.database is not None:
        facts["database"] = _database(places.database)
    return facts


def _database(path: Path) -> dict[str, Any]:
    steps, rows = rows_of(path)
    return {
        "file": os.fspath(path),
        "bytes": path.stat().st_size,
        "format": steps,
        "rows": rows,
    }


def _time(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, timezone.utc)
    return at.isoformat(timespec="milliseconds")


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the main ones for people."""
    lines = []
    if (its := facts.get("journal")) is not None:
        lines += [its["folder"], *_journal_lines(its)]
    if (its := facts.get("database")) is not None:
        lines += [its["file"], f"  bytes         {its['bytes']}"]
        lines += [f"  format        {its['format']}"]
        lines += [f"  {name:13} {count}" for name, count in its["rows"].items()]
    return lines


def _journal_lines(its: dict[str, Any]) -> list[str]:
    told = {
        "store id": its["store_id"],
        "format": its["format"],
        "in use": "by a broker" if its["in_use"] else "no",
        "segments": f"{len(its['segments'])}, {sum(s['bytes'] for s in its['segments'])}"
        f" bytes, {its['used_bytes']} needed",
        "commits": f"{its['commits']} needed, {its['first_commit']} to {its['last_commit']}",
    }
    if its["last_commit"]:
        told["time"] = f"{_time(its['first_ms'])} to {_time(its['last_ms'])}"
    told |= {name: count for name, count in its["live"].items()}
    told["newest"] = ", ".join(f"{n} {name}" for name, n in its["newest_numbers"].items())
    told |= {f"damage {n}": text for n, text in enumerate(its["damage"], 1)}
    return [f"  {name:13} {text}" for name, text in told.items()]
