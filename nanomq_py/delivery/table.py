"""The queues in the store: targets, posts that wait, and dead letters.

The identifier of a post is the number of its target and its place in the queue, so that a queue
is a range of rows, in order, without an index.

Threads  all but the constants: the store's
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nanomq_py.delivery.target import DeadLetter
from nanomq_py.delivery.window import Waiting
from nanomq_py.store.schema import Schema

if TYPE_CHECKING:
    from sqlite3 import Connection

_PLACE_BITS = 40
MOST_PLACE = (1 << _PLACE_BITS) - 1
MOST_TARGETS = 1000

SCHEMA = Schema(
    "delivery",
    (
        (
            # nonce: makes the identifiers of messages ours alone; next_place: in the queue;
            # off_for: digest of the URL that has answered 410, or empty; not_before: Unix time
            # that the target has asked for
            """CREATE TABLE delivery_target (
                number INTEGER PRIMARY KEY,
                name TEXT NOT NULL UNIQUE,
                nonce TEXT NOT NULL,
                next_place INTEGER NOT NULL,
                succeeded INTEGER NOT NULL,
                failed INTEGER NOT NULL,
                dropped INTEGER NOT NULL,
                off_for TEXT NOT NULL,
                not_before REAL NOT NULL
            )""",
            # first: the place that it had first, by which the target is told
            """CREATE TABLE delivery_post (
                id INTEGER PRIMARY KEY,
                first INTEGER NOT NULL,
                key TEXT NOT NULL,
                content_type TEXT NOT NULL,
                body BLOB NOT NULL,
                made_at REAL NOT NULL,
                attempts INTEGER NOT NULL
            )""",
            """CREATE TABLE delivery_dead (
                id INTEGER PRIMARY KEY,
                first INTEGER NOT NULL,
                key TEXT NOT NULL,
                content_type TEXT NOT NULL,
                body BLOB NOT NULL,
                made_at REAL NOT NULL,
                attempts INTEGER NOT NULL,
                died_at REAL NOT NULL,
                error TEXT NOT NULL
            )""",
        ),
    ),
)

Act = Callable[["Connection"], None]
PostRow = tuple[int, int, str, str, bytes, float]


class Row(NamedTuple):
    """What is kept of a target besides its posts."""

    number: int
    nonce: str
    next_place: int
    succeeded: int
    failed: int
    dropped: int
    off_for: str
    not_before: float


class Kept(NamedTuple):
    """What a target finds when it is set."""

    row: Row
    waiting: int
    waiting_bytes: int
    dead: int


@dataclass
class Changes:
    """What is to be written, all of it or nothing."""

    posts: list[PostRow] = field(default_factory=list)
    done: list[tuple[int]] = field(default_factory=list)
    put_acts: list[Act] = field(default_factory=list)  # of what somebody waits for
    acts: list[Act] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def write(self, connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO delivery_post VALUES (?, ?, ?, ?, ?, ?, 0)", self.posts
        )
        for act in (*self.put_acts, *self.acts):
            act(connection)
        connection.executemany("DELETE FROM delivery_post WHERE id = ?", self.done)
        connection.executemany(
            "UPDATE delivery_target SET next_place = ?, succeeded = ?, failed = ?,"
            " dropped = ?, off_for = ?, not_before = ? WHERE number = ?",
            [(*row[2:], row.number) for row in self.rows],
        )


def id_of(number: int, place: int) -> int:
    """Return the identifier of a post: the number of its target, and its place in the queue."""
    return number << _PLACE_BITS | place


def place_of(id_: int) -> int:
    return id_ & MOST_PLACE


def _range(number: int, first: int = 0, last: int | None = None) -> tuple[int, int]:
    end = MOST_PLACE if last is None else last
    return id_of(number, first), id_of(number, end)


def kept(connection: Connection, name: str) -> Kept:
    """Return what is kept of a target, which is made if there is none.

    Raises   ValueError for one target too many
    """
    asked = (
        "SELECT number, nonce, next_place, succeeded, failed, dropped, off_for, not_before"
        " FROM delivery_target WHERE name = ?"
    )
    found = connection.execute(asked, (name,)).fetchone()
    if found is None:
        (count,) = connection.execute("SELECT count(*) FROM delivery_target").fetchone()
        if count >= MOST_TARGETS:
            raise ValueError(f"there are {MOST_TARGETS} targets already: remove one")
        connection.execute(
            "INSERT INTO delivery_target VALUES (NULL, ?, ?, 1, 0, 0, 0, '', 0)",
            (name, secrets.token_hex(8)),
        )
        found = connection.execute(asked, (name,)).fetchone()
    row = Row(*found)
    waiting, size = connection.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM delivery_post"
        " WHERE id BETWEEN ? AND ?",
        _range(row.number),
    ).fetchone()
    (dead,) = connection.execute(
        "SELECT count(*) FROM delivery_dead WHERE id BETWEEN ? AND ?", _range(row.number)
    ).fetchone()
    return Kept(row, waiting, size, dead)


def forget(connection: Connection, name: str) -> None:
    """Forget a target, and all that it has."""
    found = connection.execute(
        "SELECT number FROM delivery_target WHERE name = ?", (name,)
    ).fetchone()
    if found is not None:
        bounds = _range(found[0])
        connection.execute("DELETE FROM delivery_post WHERE id BETWEEN ? AND ?", bounds)
        connection.execute("DELETE FROM delivery_dead WHERE id BETWEEN ? AND ?", bounds)
        connection.execute("DELETE FROM delivery_target WHERE name = ?", (name,))


# --- posts that wait


def row_of(number: int, post: Waiting) -> PostRow:
    """Return the row of a new post."""
    return (
        id_of(number, post.place),
        *(post.first, post.key, post.content_type, post.body, post.made_at),
    )


class Wanted(NamedTuple):
    """Which posts are to be read.

    after, upto  places: behind the first, up to the second
    key          None: of every key
    """

    number: int
    after: int
    upto: int
    most: int
    most_bytes: int
    key: str | None = None


class Read(NamedTuple):
    """Posts, and up to which place there are no others of what was wanted."""

    posts: list[Waiting]
    read_to: int


def waiting(connection: Connection, wanted: Wanted) -> Read:
    """Return the next posts: one at least, if there is one."""
    bounds = _range(wanted.number, wanted.after + 1, wanted.upto)
    its = "" if wanted.key is None else " AND key = ?"
    rows = connection.execute(
        "SELECT id, first, key, content_type, body, made_at, attempts FROM delivery_post"  # noqa: S608
        f" WHERE id BETWEEN ? AND ?{its} ORDER BY id LIMIT ?",
        (*bounds, *(() if wanted.key is None else (wanted.key,)), wanted.most + 1),
    )
    posts: list[Waiting] = []
    size = 0
    for id_, first, key, content_type, body, made_at, attempts in rows:
        size += len(body)
        if posts and (len(posts) >= wanted.most or size > wanted.most_bytes):
            return Read(posts, posts[-1].place)
        posts.append(
            Waiting(place_of(id_), first, key, content_type, body, made_at, attempts)
        )
    return Read(posts, wanted.upto)


def tried(number: int, place: int, attempts: int) -> Act:
    """Return what notes how often a post was tried."""

    def act(connection: Connection) -> None:
        connection.execute(
            "UPDATE delivery_post SET attempts = ? WHERE id = ?",
            (attempts, id_of(number, place)),
        )

    return act


# --- dead letters


def bury(number: int, place: int, attempts: int, now_s: float, error: str) -> Act:
    """Return what makes a post a dead letter."""
    id_ = id_of(number, place)

    def act(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO delivery_dead SELECT id, first, key, content_type, body, made_at,"
            " ?, ?, ? FROM delivery_post WHERE id = ?",
            (attempts, now_s, error, id_),
        )
        connection.execute("DELETE FROM delivery_post WHERE id = ?", (id_,))

    return act


def trim(number: int, excess: int) -> Act:
    """Return what forgets the oldest dead letters."""

    def act(connection: Connection) -> None:
        connection.execute(
            "DELETE FROM delivery_dead WHERE id IN (SELECT id FROM delivery_dead"
            " WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)",
            (*_range(number), excess),
        )

    return act


def dead_letters(
    connection: Connection, number: int, after: int, limit: int
) -> list[DeadLetter]:
    rows = connection.execute(
        "SELECT id, key, body, content_type, made_at, died_at, attempts, error"
        " FROM delivery_dead WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (*_range(number, after + 1), limit),
    )
    return [DeadLetter(place_of(id_), *rest) for id_, *rest in rows]


def dead_sizes(
    connection: Connection, number: int, places: Iterable[int] | None
) -> list[tuple[int, int]]:
    """Return place and size of these dead letters, or of all, in their order."""
    rows = connection.execute(
        "SELECT id, length(body) FROM delivery_dead WHERE id BETWEEN ? AND ? ORDER BY id",
        _range(number),
    )
    wanted = None if places is None else set(places)
    found = [(place_of(id_), size) for id_, size in rows]
    return [each for each in found if wanted is None or each[0] in wanted]


def forget_dead(number: int, places: Iterable[int]) -> Act:
    ids = [(id_of(number, place),) for place in places]

    def act(connection: Connection) -> None:
        connection.executemany("DELETE FROM delivery_dead WHERE id = ?", ids)

    return act


def revive(number: int, moves: Iterable[tuple[int, int]]) -> Act:
    """Return what has dead letters wait again, at the end of the queue: (place, new place)."""
    ids = [(id_of(number, new), id_of(number, old)) for old, new in moves]

    def act(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO delivery_post SELECT ?, first, key, content_type, body, made_at, 0"
            " FROM delivery_dead WHERE id = ?",
            ids,
        )
        connection.executemany(
            "DELETE FROM delivery_dead WHERE id = ?", [(old,) for _, old in ids]
        )

    return act
