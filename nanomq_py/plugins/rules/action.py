"""What is done with the rows that a rule selects: batches in, who could not be served out.

Threads  an action belongs to the event loop; what blocks is done in a thread of its own
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from nanomq_py.plugins.rules.columns import Columns
from nanomq_py.plugins.rules.counters import ActionCounts
from nanomq_py.plugins.rules.faults import NotHereError, RowError, RuleFault
from nanomq_py.plugins.rules.model import Params, ResourceSpec
from nanomq_py.plugins.texts import text_or_base64

if TYPE_CHECKING:
    from nanomq_py.broker import Broker

Row = Mapping[str, Any]
# What went wrong with which of some rows, by their places.
Faults = Mapping[int, str]
NO_FAULTS: Faults = {}

QUIET_S = 60  # between two lines of one rule in the log


class Selected(NamedTuple):
    """A row, and the message or event that it was selected from."""

    row: Row
    columns: Columns


class Complaints:
    """What goes wrong with the messages of a rule: a line in the log, at most one a minute."""

    def __init__(self, log: logging.Logger, rule_id: str) -> None:
        self._log = log
        self._rule_id = rule_id
        self._next = 0.0
        self._untold = 0
        self.last = ""

    def note(self, what: str) -> None:
        self.last = what
        self._untold += 1
        if time.monotonic() >= self._next:
            self._log.warning("rule %s: %s (%d)", self._rule_id, what, self._untold)
            self._next = time.monotonic() + QUIET_S
            self._untold = 0


@dataclass
class Tools:
    """What actions are made of besides their parameters.

    folder     of files that rules write; None: there is no place for them
    allow      hosts and networks that web hooks may tell: see delivery's Target
    resource   returns the resource of an id. Raises RuleFault
    is_trusted the parameters are of the configuration: a path may be anywhere
    """

    broker: Broker
    folder: Path | None
    resource: Callable[[str], ResourceSpec]
    rule_id: str
    action_id: str
    is_trusted: bool = False
    allow: tuple[str, ...] = ()

    def place(self, name: str) -> Path:
        """Return where a file of that name is. Raises RuleFault."""
        if self.is_trusted and name.startswith("/"):
            return self._checked(Path(name))
        if not name or len(name) > 100 or name[0] == "." or not _is_plain(name):
            raise RuleFault(
                f"path: {name[:100]!r}: expected the name of a file: letters, digits, '.', '_'"
                " and '-', without a folder"
            )
        if self.folder is None:
            raise RuleFault(
                "path: there is no folder for files: set plugins.rules.folder, as the store"
                " is in memory"
            )
        return self._checked(self.folder / name)

    def _checked(self, path: Path) -> Path:
        """Return the path, if it is none of the store's. Raises RuleFault."""
        store = self.broker.store.path
        if store is None or not path.name.startswith(store.name):
            return path
        if path.parent.resolve() == store.parent.resolve():
            raise RuleFault(f"path: {path.name!r}: it is the broker's own")
        return path


def _is_plain(name: str) -> bool:
    return name.isascii() and all(each.isalnum() or each in "._-" for each in name)


@dataclass
class Action(ABC):
    """One action of a rule that runs."""

    id: str = ""
    counts: ActionCounts = field(default_factory=ActionCounts)
    fallbacks: tuple[Action, ...] = ()

    @abstractmethod
    async def act(self, selected: Sequence[Selected]) -> Faults:
        """Do it; return what could not be done. What it raises is a fault of all of them."""

    async def open(self) -> None:  # noqa: B027 - most have nothing to open
        """Begin, before the first rows. Raises RuleFault, StoreError."""

    async def close(self) -> None:  # noqa: B027
        """Let go of what it has; it may be opened again."""

    async def forget(self) -> None:  # noqa: B027
        """Forget what waits, after :meth:`close`: it does not come again. Raises StoreError."""

    def told(self) -> tuple[int, int]:
        """Return how many rows it took with success, and how many it did not."""
        return self.counts.success, self.counts.failed

    def reset(self) -> None:
        """Count from 0 again."""
        self.counts.success = self.counts.failed = 0

    def count_on(self, before: Action) -> None:
        """Go on with the counters of the one that was there before it."""
        self.counts = before.counts

    @property
    def trouble(self) -> str:
        """Why it could not be done the last time; empty: it could, or nobody knows."""
        return ""

    async def take(self, selected: Sequence[Selected], complaints: Complaints) -> Faults:
        """Do it, count it, and hand what failed to its fallbacks; return the faults."""
        try:
            faults = await self.act(selected)
        except Exception as fault:  # a rule never stops another
            faults = dict.fromkeys(range(len(selected)), f"{type(fault).__name__}: {fault}")
        self.counts.success += len(selected) - len(faults)
        if faults:
            self.counts.failed += len(faults)
            complaints.note(next(iter(faults.values())))
            failed = [selected[at] for at in faults]
            for fallback in self.fallbacks:
                await fallback.take(failed, complaints)
        return faults


async def forget(actions: Iterable[Action]) -> None:
    """Forget what waits for these, which are closed. Raises StoreError."""
    for action in actions:
        await action.forget()


def count_on(before: Iterable[Action], actions: Iterable[Action]) -> None:
    """Have those that stay, by their ids, go on counting."""
    known = {action.id: action for action in before}
    for action in actions:
        if action.id in known:
            action.count_on(known[action.id])


# --- parameters


def text(params: Params, name: str, default: str | None = None) -> str:
    """Return a parameter that is a text; without a default it must be there.

    Raises   RuleFault
    """
    value = params.get(name)
    if value is None:
        if default is None:
            raise RuleFault(f"{name}: missing")
        return default
    if not isinstance(value, str):
        raise RuleFault(f"{name}: expected a text")
    return value


def whole(params: Params, name: str, least: int, most: int, default: int) -> int:
    """Return a parameter that is a whole number, also as a text. Raises RuleFault."""
    value = params.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise RuleFault(f"{name}: expected a whole number from {least} to {most}")
    return value


def check_names(params: Params, known: Sequence[str]) -> None:
    """Raise RuleFault for a parameter that is not known."""
    for name in params:
        if name not in known:
            raise RuleFault(f"{name[:64]}: no such parameter: expected {', '.join(known)}")


def not_here(what: str) -> NotHereError:
    return NotHereError(f"{what}: MQTT bridges are not here yet")


# --- rows as JSON


def _plain(value: object) -> str:
    """Return bytes as a text; those that are no UTF-8 as base64."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return text_or_base64(bytes(value))[0]


def plain_row(row: Row) -> Row:
    """Return the row with bytes as texts.

    Those that are no UTF-8 are base64, and a column ``NAME_encoding`` says so.
    """
    if not any(type(value) is bytes for value in row.values()):
        return row
    made: dict[str, Any] = {}
    for name, value in row.items():
        if type(value) is bytes:
            made[name], is_base64 = text_or_base64(value)
            if is_base64:
                made.setdefault(f"{name}_encoding", "base64")
        else:
            made[name] = value
    return made


def json_of(value: object) -> bytes:
    """Return a value of a row as JSON. Raises RowError."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as fault:  # also JSONEncodeError, as for a whole number of 65 bits
        raise RowError(f"it cannot be JSON: {fault}") from None


def json_row(row: Row) -> bytes:
    """Return a row as JSON. Raises RowError."""
    return json_of(plain_row(row))
