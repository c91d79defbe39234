"""A damaged database: what can be read of it is in a new one."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from nanomq_py.store.backup import look_over, rows_of
from nanomq_py.store.faults import DamagedError, StoreError
from nanomq_py.store.rescue import repair_database
from nanomq_py.store.schema import Schema, bring
from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable

USERS = 3000
PAGE = 4096
EXTRA = Schema(
    "extra",
    (
        (
            "CREATE TABLE extra_thing (number INTEGER PRIMARY KEY, text TEXT NOT NULL)",
            "CREATE INDEX extra_by_text ON extra_thing (text)",
        ),
    ),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "nanomq.db"

    async def make() -> None:
        store = Store(path)
        await UserTable(store).put(UserKind.USER_NAME, "u", "$scrypt$secret")
        await bring(store, EXTRA)
        await store.close()

    asyncio.run(make())
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO mqtt_user VALUES (0, ?, '$scrypt$x', 0, 1.0, 1.0)",
            [(f"user{n:05}",) for n in range(USERS - 1)],
        )
        connection.executemany(
            "INSERT INTO extra_thing (text) VALUES (?)", [(f"{n}" * 9,) for n in range(500)]
        )
    connection.close()
    return path.read_bytes()


@pytest.fixture
def path(whole: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.db"
    path.write_bytes(whole)
    path.chmod(0o600)
    return path


def test_what_is_good_is_left_as_it_is(path: Path, whole: bytes) -> None:
    assert "there is nothing to repair" in repair_database(path)[0]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("share", [0.2, 0.4, 0.5, 0.6, 0.8, 0.95])
def test_rows_beside_a_bad_page_are_saved(path: Path, whole: bytes, share: float) -> None:
    page = int(len(whole) // PAGE * share)
    bad = whole[: page * PAGE] + b"\xa5" * PAGE + whole[(page + 1) * PAGE :]
    path.write_bytes(bad)
    with pytest.raises(DamagedError):
        look_over(path)
    said = repair_database(path)
    assert said[0].startswith(f"{path}: repaired; rows that are left: ")
    assert look_over(path).startswith("good: ")
    assert path.stat().st_mode & 0o777 == 0o600
    rows = rows_of(path)[1]
    assert rows["mqtt_user"] + rows["extra_thing"] > (USERS + 500) // 2
    kept = next(path.parent.glob("damaged-*")) / "nanomq.db"
    assert kept.read_bytes() == bad
    store = Store(path)

    async def use() -> None:
        await bring(store, EXTRA)
        await UserTable(store).put(UserKind.USER_NAME, "new", "$scrypt$secret")
        await store.close()

    asyncio.run(use())


def test_a_bad_first_page_says_how_to_go_on(path: Path, whole: bytes) -> None:
    bad = b"\xa5" * PAGE + whole[PAGE:]
    path.write_bytes(bad)
    with pytest.raises(StoreError, match="restore a backup"):
        repair_database(path)
    assert path.read_bytes() == bad
    assert [each.name for each in path.parent.iterdir()] == ["nanomq.db"]


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "nanomq.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="no store"):
        repair_database(path)
    assert path.read_bytes() == before


def test_a_broker_that_uses_it_keeps_it(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with pytest.raises(StoreError, match="a broker uses it: stop it first"):
            repair_database(path)
    finally:
        os.close(fd)
