"""The tables of the device platform.

Times are seconds since 1970, 0 for never. Rows with texts have a rowid, so that the index that
pages are cut of holds none of the texts.
"""

from __future__ import annotations

from nanomq_py.store.schema import Schema

_DEVICES = (
    # via: the gateway that spoke for it; empty: nobody. *_rev: when the report came, *_time:
    # what it said of its time
    """CREATE TABLE devices_device (
        sn TEXT PRIMARY KEY,
        via TEXT NOT NULL DEFAULT '',
        online INTEGER NOT NULL DEFAULT 0,
        online_at INTEGER NOT NULL DEFAULT 0,
        offline_at INTEGER NOT NULL DEFAULT 0,
        active_at INTEGER NOT NULL DEFAULT 0,
        boot_at INTEGER NOT NULL DEFAULT -1,
        procs TEXT NOT NULL DEFAULT '',
        procs_rev INTEGER NOT NULL DEFAULT 0,
        procs_time REAL NOT NULL DEFAULT 0,
        sys TEXT NOT NULL DEFAULT '',
        sys_rev INTEGER NOT NULL DEFAULT 0,
        sys_time REAL NOT NULL DEFAULT 0,
        versions TEXT NOT NULL DEFAULT '',
        versions_rev INTEGER NOT NULL DEFAULT 0,
        versions_time REAL NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX devices_device_online ON devices_device (online)",
    "CREATE INDEX devices_device_via ON devices_device (via) WHERE via != ''",
    """CREATE TABLE devices_peripheral (
        sn TEXT NOT NULL,
        nid TEXT NOT NULL,
        gateway TEXT NOT NULL,
        online INTEGER NOT NULL,
        active_at INTEGER NOT NULL,
        rev INTEGER NOT NULL,
        time REAL NOT NULL,
        msg TEXT NOT NULL,
        PRIMARY KEY (sn, nid)
    )""",
    "CREATE INDEX devices_peripheral_online ON devices_peripheral (online)",
)
_LOGINS = (
    # hash: SHA-256 of the token; stamp: of the password that it was given for, keyed with it
    """CREATE TABLE devices_token (
        hash BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        stamp BLOB NOT NULL,
        until INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX devices_token_until ON devices_token (until)",
)
_DELIVERY = (
    # kind: device or peripheral
    """CREATE TABLE devices_callback (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL UNIQUE,
        url TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        made_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    )""",
    # changes that the targets of callbacks do not have yet
    """CREATE TABLE devices_change (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        sn TEXT NOT NULL,
        body BLOB NOT NULL
    )""",
    """CREATE TABLE devices_route (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        topic TEXT NOT NULL,
        url TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    )""",
)
# What is true of all: written_at, when the last of it was written.
_STATE = (
    "CREATE TABLE devices_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
)

# Of one kind: those of the other may be many, and wait.
_CHANGES = ("CREATE INDEX devices_change_kind ON devices_change (kind, id)",)

SCHEMA = Schema("devices", ((*_DEVICES, *_LOGINS, *_DELIVERY, *_STATE), _CHANGES))
