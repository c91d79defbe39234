"""The tables of the store, as the steps that made them.

A step is never changed once a version was published: a change is one more step at the end.
``PRAGMA user_version`` counts the steps that a file has, and the row ``written_by`` of
``about`` says which version of nanomq-py added the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.store.faults import StoreError
from nanomq_py.version import __version__

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION_ID = 0x6E6D7173  # "nmqs": the file is a store of ours

# WITHOUT ROWID: the key is the order of the rows, and there is one tree and not two.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        # kind: 0 user name, 1 client identifier; store/users.py
        """CREATE TABLE mqtt_user (
            kind INTEGER NOT NULL,
            name TEXT NOT NULL,
            hash TEXT NOT NULL,
            is_superuser INTEGER NOT NULL,
            created_at REAL NOT NULL,
            changed_at REAL NOT NULL,
            PRIMARY KEY (kind, name)
        ) WITHOUT ROWID""",
        # kind: enum nmq_ban_kind; until: seconds since 1970, NULL: for ever; store/banned.py
        """CREATE TABLE banned (
            kind INTEGER NOT NULL,
            who TEXT NOT NULL,
            until REAL,
            since REAL NOT NULL,
            made_by TEXT NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (kind, who)
        ) WITHOUT ROWID""",
        "CREATE INDEX banned_until ON banned (until) WHERE until IS NOT NULL",
    ),
    (
        # kind: 0 client identifier, 1 user name, 2 everybody; action: 1 publishes, 2
        # subscribes, 3 both; number: the greater of one client is asked first;
        # store/rules.py
        """CREATE TABLE access_rule (
            kind INTEGER NOT NULL,
            who TEXT NOT NULL,
            topic TEXT NOT NULL,
            action INTEGER NOT NULL,
            allow INTEGER NOT NULL,
            number INTEGER NOT NULL,
            made_at REAL NOT NULL,
            PRIMARY KEY (kind, who, topic, action)
        ) WITHOUT ROWID""",
        # topics that are counted one by one; since: seconds since 1970;
        # store/topic_metrics.py
        """CREATE TABLE counted_topic (
            topic TEXT PRIMARY KEY,
            since REAL NOT NULL
        ) WITHOUT ROWID""",
        # alarms that are over; number: in their order; details: JSON; store/alarms.py
        """CREATE TABLE past_alarm (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            message TEXT NOT NULL,
            details TEXT NOT NULL,
            activated_at REAL NOT NULL,
            deactivated_at REAL NOT NULL
        )""",
    ),
    (
        # role: a value of Role; store/api_users.py
        """CREATE TABLE api_user (
            name TEXT PRIMARY KEY,
            hash TEXT NOT NULL,
            role TEXT NOT NULL,
            email TEXT NOT NULL,
            description TEXT NOT NULL,
            created_at REAL NOT NULL,
            changed_at REAL NOT NULL
        ) WITHOUT ROWID""",
        # expires_at: seconds since 1970, NULL: never; store/apps.py
        """CREATE TABLE app (
            app_id TEXT PRIMARY KEY,
            hash TEXT NOT NULL,
            name TEXT NOT NULL,
            description TEXT NOT NULL,
            enabled INTEGER NOT NULL,
            expires_at REAL,
            created_at REAL NOT NULL,
            changed_at REAL NOT NULL
        ) WITHOUT ROWID""",
    ),
]


def is_current(connection: Connection) -> bool:
    """Return whether the file has the steps of this version."""
    (steps,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(steps == len(MIGRATIONS))


def migrate(connection: Connection, where: str) -> None:
    """Bring the file to this version: all steps that it lacks, or none.

    where   names the file, for errors
    Raises  StoreError for a file of a newer version, or of another program
    """
    (steps,) = connection.execute("PRAGMA user_version").fetchone()
    (program,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if program != APPLICATION_ID and (program or steps or tables):
        raise StoreError(f"{where}: the database of another program: name another file")
    if steps > len(MIGRATIONS):
        raise StoreError(
            f"{where}: written by nanomq-py {_written_by(connection)}, which is newer than"
            f" this {__version__}: start that version, or restore a backup of this one"
        )
    if steps == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[steps:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(
            "INSERT OR REPLACE INTO about VALUES ('written_by', ?)", (__version__,)
        )
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _written_by(connection: Connection) -> str:
    row = connection.execute("SELECT value FROM about WHERE name='written_by'").fetchone()
    return str(row[0]) if row else "(unknown)"
