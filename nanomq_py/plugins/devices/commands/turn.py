"""One turn: what has happened, written as one transaction, and what is to be published then.

Threads  the store's
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field

from nanomq_py.plugins.devices.commands import machine, table
from nanomq_py.plugins.devices.commands.answers import Answer, without_data
from nanomq_py.plugins.devices.commands.machine import Command, Phase

if TYPE_CHECKING:
    from sqlite3 import Connection

MOST_PUBLISHED = 500  # in one turn
MOST_CLEARED = 1000


class Kind(Enum):
    """What may happen to the commands of a device, or to one command."""

    CAME = "came"
    LISTENS = "listens"
    MISSED = "missed"
    UNTAKEN = "untaken"  # missed, though its device is connected
    ACKNOWLEDGED = "acknowledged"


class Happened(Struct, frozen=True):
    """Something that has happened.

    id   of a command, which counts if it is of that device; None: to all of its device
    """

    kind: Kind
    sn: str
    id: int | None = None


class Said(Struct, frozen=True):
    """A device has answered, and whoever said so may."""

    answer: Answer


class Turn(Struct):
    """What a turn has done, once it is on the disk.

    publish    commands to publish now, in the order of their numbers
    over       how many commands of each device are open no more
    next_at    when the next turn is due at the latest; None: nothing is waited for
    more       whether there is more to do at once
    size       by how many bytes more is kept
    counts     by what is counted
    """

    publish: list[table.Outgoing] = field(default_factory=list)
    over: Counter[str] = field(default_factory=Counter)
    next_at: float | None = None
    more: bool = False
    size: int = 0
    cleared: int = 0
    counts: Counter[str] = field(default_factory=Counter)


_OF_A_DEVICE: dict[Kind, Callable[[Command, float], Command]] = {
    Kind.CAME: machine.came,
    Kind.LISTENS: machine.listens,
}
_OF_ONE: dict[Kind, Callable[[Command, float], Command]] = {
    Kind.MISSED: machine.missed,
    Kind.UNTAKEN: partial(machine.missed, online=True),
    Kind.ACKNOWLEDGED: machine.acknowledged,
}


def take_turn(
    connection: Connection, happened: Sequence[Happened | Said], now: float, room: int
) -> Turn:
    """Write what has happened, clear what has expired, begin what is due.

    room   bytes that answers may take
    """
    turn = Turn()
    for each in happened:
        if isinstance(each, Said):
            _hear(connection, without_data(each.answer, room - turn.size), now, turn)
        elif each.id is None:
            for command in table.opened(connection, [each.sn]):
                _put(connection, command, _OF_A_DEVICE[each.kind](command, now))
        elif (found := table.one(connection, each.id)) and found.sn == each.sn:
            _put(connection, found, _OF_ONE[each.kind](found, now))
    _clear(connection, now, turn)
    _begin(connection, now, turn)
    turn.next_at = table.next_moment(connection)
    return turn


def _put(connection: Connection, before: Command, after: Command) -> None:
    if after is not before:
        table.put(connection, after)


def _hear(connection: Connection, answer: Answer, now: float, turn: Turn) -> None:
    before = table.one(connection, answer.id)
    if before is None or before.sn != answer.sn or before.expires_at <= now:
        turn.counts["strange"] += 1  # it is cleared, or was never asked
        return
    after = machine.answered(before, now, answer.digest, ok=answer.ok)
    if after is before:
        turn.counts["repeated"] += 1
        return
    table.put(connection, after)
    turn.size += table.put_answer(connection, answer, now)
    turn.counts["answered"] += 1
    if after.is_over:
        turn.counts["succeeded" if answer.ok else "failed"] += 1
        turn.over[after.sn] += 1


def _clear(connection: Connection, now: float, turn: Turn) -> None:
    cleared = table.clear(connection, now, MOST_CLEARED)
    turn.more = len(cleared) == MOST_CLEARED
    turn.cleared = len(cleared)
    turn.size -= sum(each.size for each in cleared)
    turn.over.update(each.sn for each in cleared if each.state < machine.State.SUCCEEDED)
    turn.counts["expired"] += sum(each.state < machine.State.SUCCEEDED for each in cleared)


def _begin(connection: Connection, now: float, turn: Turn) -> None:
    """Write that what is due is published: it is, after the commit."""
    due = table.due(connection, now, machine.LONGEST_S, MOST_PUBLISHED)
    turn.more = turn.more or len(due) == MOST_PUBLISHED
    for command in due:
        is_try = command.phase is Phase.QUEUED
        turn.counts["tried" if is_try else "repeated_tries"] += 1
        table.put(connection, machine.published(command, now))
        turn.publish.append(table.outgoing(connection, command.id))


def resume(connection: Connection, is_online: Callable[[str], bool], now: float) -> None:
    """Have all that is open published anew: whoever published it before is gone."""
    for command in table.all_opened(connection):
        _put(
            connection, command, machine.resumed(command, now, online=is_online(command.sn))
        )
