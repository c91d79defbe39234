"""Commands in the store: their table, and each statement about it.

Threads  functions that take a connection run in the store's thread, in a transaction
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from nanomq_py.plugins.devices.commands.answers import Answer
from nanomq_py.plugins.devices.commands.ids import MOST_A_DAY, number_of
from nanomq_py.plugins.devices.commands.machine import Command, Phase, State
from nanomq_py.store.faults import StoreFullError
from nanomq_py.store.schema import Schema

if TYPE_CHECKING:
    from sqlite3 import Connection

SCHEMA = Schema(
    "device_commands",
    (
        (
            """CREATE TABLE device_commands (
            id INTEGER PRIMARY KEY, sn TEXT NOT NULL, sender TEXT NOT NULL,
            command TEXT NOT NULL, method TEXT NOT NULL, body BLOB NOT NULL,
            detached INTEGER NOT NULL, publish_now INTEGER NOT NULL,
            max_retries INTEGER NOT NULL, max_tries INTEGER NOT NULL,
            created_at REAL NOT NULL, expires_s INTEGER NOT NULL, expires_at REAL NOT NULL,
            state INTEGER NOT NULL, phase TEXT NOT NULL, tries INTEGER NOT NULL,
            due_at REAL, published_at REAL NOT NULL, failed_at REAL NOT NULL,
            finished_at REAL NOT NULL, answer BLOB NOT NULL,
            answer_status TEXT NOT NULL DEFAULT '', answer_data BLOB NOT NULL DEFAULT x'',
            answer_time REAL NOT NULL DEFAULT 0, answered_at REAL NOT NULL DEFAULT 0)""",
            "CREATE INDEX device_commands_due ON device_commands (due_at)"
            " WHERE due_at IS NOT NULL",
            "CREATE INDEX device_commands_expires ON device_commands (expires_at)",
            "CREATE INDEX device_commands_open ON device_commands (sn) WHERE state < 2",
            "CREATE INDEX device_commands_sender ON device_commands (sender, id)",
            # A row for each day, kept for ever: the clock may go back to it.
            "CREATE TABLE device_commands_day (day INTEGER PRIMARY KEY, last INTEGER NOT NULL)",
        ),
    ),
)

_MACHINE = (
    "id, sn, publish_now, max_tries, expires_at, state, phase, tries, due_at, published_at,"
    " failed_at, finished_at, answer"
)
_MESSAGE = "id, sn, sender, command, method, body, detached, expires_s, expires_at"
_OPEN = f"SELECT {_MACHINE} FROM device_commands WHERE state < 2"  # noqa: S608


class Order(Struct, frozen=True):
    """What a caller asks of devices. expires_s, max_retries: as the caller says.

    body   JSON
    """

    sender: str
    command: str
    method: str
    body: bytes
    detached: bool
    publish_now: bool
    max_retries: int
    expires_s: int


class Row(Struct, frozen=True):
    """One command, as its maker sees it."""

    id: int
    sn: str
    order: Order
    created_at: float
    state: State
    phase: Phase
    tries: int
    published_at: float
    failed_at: float
    finished_at: float


class Outgoing(Struct, frozen=True):
    """A command that is about to be published. detached: 0 or 1."""

    id: int
    sn: str
    sender: str
    command: str
    method: str
    body: bytes
    detached: int
    expires_s: int
    expires_at: float


class Reply(Struct, frozen=True):
    """What a device has said of a command. time: the device's clock; at: ours."""

    id: int
    sn: str
    sender: str
    command: str
    status: str
    data: bytes
    time: float
    at: float


def _command(row: Sequence[Any]) -> Command:
    return Command(
        row[0],
        row[1],
        bool(row[2]),
        row[3],
        row[4],
        State(row[5]),
        Phase(row[6]),
        *row[7:],
    )


# --- the machine's view


def opened(connection: Connection, sns: Sequence[str]) -> Iterator[Command]:
    """Yield the commands of these devices that are not over."""
    for sn in sns:
        for row in connection.execute(f"{_OPEN} AND sn = ?", (sn,)).fetchall():
            yield _command(row)


def all_opened(connection: Connection) -> list[Command]:
    return [_command(row) for row in connection.execute(_OPEN)]


def one(connection: Connection, number: int) -> Command | None:
    """Return the command of that number, in whatever state."""
    row = connection.execute(
        f"SELECT {_MACHINE} FROM device_commands WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return None if row is None else _command(row)


def due(connection: Connection, now: float, longest_s: float, most: int) -> list[Command]:
    """Return commands that are to be published: see Command.is_due."""
    rows = connection.execute(
        f"SELECT {_MACHINE} FROM device_commands WHERE due_at IS NOT NULL"  # noqa: S608
        " AND (due_at <= ? OR due_at > ?) ORDER BY id LIMIT ?",
        (now, now + longest_s, most),
    )
    return [_command(row) for row in rows]


def put(connection: Connection, command: Command) -> None:
    """Write what the machine has changed."""
    connection.execute(
        "UPDATE device_commands SET state = ?, phase = ?, tries = ?, due_at = ?,"
        " published_at = ?, failed_at = ?, finished_at = ?, answer = ? WHERE id = ?",
        (
            int(command.state),
            command.phase.value,
            command.tries,
            command.due_at,
            command.published_at,
            command.failed_at,
            command.finished_at,
            command.answer,
            command.id,
        ),
    )


def put_answer(connection: Connection, answer: Answer, now: float) -> int:
    """Keep what a device has said last; return by how many bytes more is kept."""
    (before,) = connection.execute(
        "SELECT length(answer_data) FROM device_commands WHERE id = ?", (answer.id,)
    ).fetchone()
    connection.execute(
        "UPDATE device_commands SET answer_status = ?, answer_data = ?, answer_time = ?,"
        " answered_at = ? WHERE id = ?",
        (answer.status, answer.data, answer.time, now, answer.id),
    )
    return len(answer.data) - int(before)


def outgoing(connection: Connection, number: int) -> Outgoing:
    row = connection.execute(
        f"SELECT {_MESSAGE} FROM device_commands WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return Outgoing(*row)


class Cleared(Struct, frozen=True):
    """A command that is forgotten. size: bytes of what it and its answer said."""

    sn: str
    state: State
    size: int


def clear(connection: Connection, now: float, most: int) -> list[Cleared]:
    """Forget commands whose time is over, and return them."""
    rows = connection.execute(
        "SELECT id, sn, state, length(body) + length(answer_data) FROM device_commands"
        " WHERE expires_at <= ? LIMIT ?",
        (now, most),
    ).fetchall()
    connection.executemany(
        "DELETE FROM device_commands WHERE id = ?", [(row[0],) for row in rows]
    )
    return [Cleared(sn, State(state), size) for _, sn, state, size in rows]


def next_moment(connection: Connection) -> float | None:
    """Return when one is due or expires first; None: there is none."""
    (due_at,) = connection.execute(
        "SELECT min(due_at) FROM device_commands WHERE due_at IS NOT NULL"
    ).fetchone()
    (end,) = connection.execute("SELECT min(expires_at) FROM device_commands").fetchone()
    return min((at for at in (due_at, end) if at is not None), default=None)


# --- its maker's view


def _numbers(connection: Connection, now: float, count: int) -> list[int]:
    """Return numbers that no command ever had."""
    day = int(datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%d"))
    found = connection.execute(
        "SELECT last FROM device_commands_day WHERE day = ?", (day,)
    ).fetchone()
    last = found[0] if found else 0
    if last + count > MOST_A_DAY:
        raise StoreFullError(f"{MOST_A_DAY} commands a day are the most: try tomorrow")
    connection.execute(
        "INSERT OR REPLACE INTO device_commands_day VALUES (?, ?)", (day, last + count)
    )
    return [number_of(day, last + nth) for nth in range(1, count + 1)]


def add(
    connection: Connection, order: Order, commands: Sequence[Command], now: float
) -> list[int]:
    """Add commands, which get numbers; return these."""
    numbers = _numbers(connection, now, len(commands))
    connection.executemany(
        "INSERT INTO device_commands (id, sn, sender, command, method, body, detached,"
        " publish_now, max_retries, max_tries, created_at, expires_s, expires_at, state,"
        " phase, tries, due_at, published_at, failed_at, finished_at, answer)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [
            (
                number,
                each.sn,
                order.sender,
                order.command,
                order.method,
                order.body,
                order.detached,
                order.publish_now,
                order.max_retries,
                each.max_tries,
                now,
                order.expires_s,
                each.expires_at,
                int(each.state),
                each.phase.value,
                each.tries,
                each.due_at,
                each.published_at,
                each.failed_at,
                each.finished_at,
                each.answer,
            )
            for number, each in zip(numbers, commands, strict=True)
        ],
    )
    return numbers


def kept(connection: Connection) -> tuple[int, int]:
    """Return how many commands are kept, and the bytes of what they and their answers say."""
    count, size = connection.execute(
        "SELECT count(*), total(length(body) + length(answer_data)) FROM device_commands"
    ).fetchone()
    return int(count), int(size)


_ROW = (
    "id, sn, sender, command, method, body, detached, publish_now, max_retries, expires_s,"
    " created_at, state, phase, tries, published_at, failed_at, finished_at, expires_at"
)


def _row(row: Sequence[Any], now: float) -> Row:
    sender, command, method, body, detached, publish_now, retries, expires_s = row[2:10]
    order = Order(
        sender, command, method, body, bool(detached), bool(publish_now), retries, expires_s
    )
    phase = Phase.EXPIRED if row[17] <= now else Phase(row[12])
    return Row(row[0], row[1], order, row[10], State(row[11]), phase, *row[13:17])


def row_of(connection: Connection, number: int, now: float) -> Row | None:
    found = connection.execute(
        f"SELECT {_ROW} FROM device_commands WHERE id = ?",  # noqa: S608
        (number,),
    ).fetchone()
    return None if found is None else _row(found, now)


def rows_of(
    connection: Connection, sender: str | None, now: float, offset: int, limit: int
) -> tuple[list[Row], int]:
    """Return commands of a sender, or of all, the newest first; and how many there are."""
    where, given = ("", ()) if sender is None else (" WHERE sender = ?", (sender,))
    (total,) = connection.execute(
        f"SELECT count(*) FROM device_commands{where}",  # noqa: S608
        given,
    ).fetchone()
    rows = connection.execute(
        f"SELECT {_ROW} FROM device_commands{where}"  # noqa: S608
        " ORDER BY id DESC LIMIT ? OFFSET ?",
        (*given, limit, offset),
    )
    return [_row(row, now) for row in rows], int(total)


_REPLY = "id, sn, sender, command, answer_status, answer_data, answer_time, answered_at"
_REPLIED = "answer_status <> ''"


def reply_of(connection: Connection, number: int) -> Reply | None:
    found = connection.execute(
        f"SELECT {_REPLY} FROM device_commands WHERE id = ? AND {_REPLIED}",  # noqa: S608
        (number,),
    ).fetchone()
    return None if found is None else Reply(*found)


def replies_of(
    connection: Connection, sender: str | None, offset: int, limit: int
) -> tuple[list[Reply], int]:
    """Return answers to a sender, or to all, the newest commands first; and how many."""
    where, given = (
        (f" WHERE {_REPLIED}", ())
        if sender is None
        else (f" WHERE sender = ? AND {_REPLIED}", (sender,))
    )
    (total,) = connection.execute(
        f"SELECT count(*) FROM device_commands{where}",  # noqa: S608
        given,
    ).fetchone()
    rows = connection.execute(
        f"SELECT {_REPLY} FROM device_commands{where}"  # noqa: S608
        " ORDER BY id DESC LIMIT ? OFFSET ?",
        (*given, limit, offset),
    )
    return [Reply(*row) for row in rows], int(total)
