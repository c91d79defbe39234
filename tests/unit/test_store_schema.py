"""Tables that a feature brings to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanomq_py.store.faults import StoreError
from nanomq_py.store.schema import Schema, bring
from nanomq_py.store.store import Store

pytestmark = pytest.mark.plain

FIRST = ("CREATE TABLE of_test (name TEXT)", "INSERT INTO of_test VALUES ('first')")
SECOND = ("ALTER TABLE of_test ADD COLUMN more INTEGER NOT NULL DEFAULT 7",)


async def rows_of(store: Store) -> list[tuple[object, ...]]:
    return await store.read(lambda it: it.execute("SELECT * FROM of_test").fetchall())


async def test_steps_are_made_once_and_those_that_lack_are_added(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    for steps in ((FIRST,), (FIRST,), (FIRST, SECOND)):
        await bring(store, Schema("test", steps))
    assert await rows_of(store) == [("first", 7)]
    await store.close()


async def test_step_that_fails_leaves_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(StoreError):
        await bring(store, Schema("test", (FIRST, ("CREATE TABLE",))))
    await bring(store, Schema("test", (FIRST,)))
    assert await rows_of(store) == [("first",)]
    await store.close()


async def test_newer_tables_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    await bring(store, Schema("test", (FIRST, SECOND)))
    with pytest.raises(StoreError, match=r"s\.db: the tables of test are newer"):
        await bring(store, Schema("test", (FIRST,)))
    await store.close()
