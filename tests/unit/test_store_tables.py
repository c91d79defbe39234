"""The tables of counted topics and of past alarms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nanomq_py.store import alarms, topic_metrics
from nanomq_py.store.alarms import Alarm, AlarmTable
from nanomq_py.store.faults import StoreFullError
from nanomq_py.store.store import Store
from nanomq_py.store.topic_metrics import TopicTable

pytestmark = pytest.mark.plain


@pytest_asyncio.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "nanomq.db")
    yield made
    await made.close()


# --- counted topics


async def test_topics_are_kept_once(kept: Store, tmp_path: Path) -> None:
    table = TopicTable(kept)
    since = await table.add("b")
    assert since is not None
    assert await table.add("b") is None
    await table.add("a")
    await kept.close()
    again = Store(tmp_path / "nanomq.db")
    table = TopicTable(again)
    assert list(await table.all()) == ["a", "b"]
    assert (await table.all())["b"] == since
    assert (await table.delete("b"), await table.delete("b")) == (True, False)
    assert await table.clear() == 1
    assert await table.all() == {}
    await again.close()


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\n", "\ud800", "x" * 65536])
async def test_what_is_no_topic_is_refused(kept: Store, topic: str) -> None:
    with pytest.raises(ValueError, match="topic='"):
        await TopicTable(kept).add(topic)


async def test_topics_have_a_bound(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_metrics, "MOST_TOPICS", 2)
    table = TopicTable(kept)
    for topic in ("a", "b"):
        await table.add(topic)
    with pytest.raises(StoreFullError, match="2 topics are counted"):
        await table.add("c")
    assert await table.add("b") is None
    assert list(await table.all()) == ["a", "b"]


# --- alarms that are over


async def test_past_alarms_are_kept_in_their_order(kept: Store) -> None:
    table = AlarmTable(kept)
    one = Alarm("a", "first", 1.0, {"n": 1, "at": "x"}, 2.0)
    two = Alarm("a", "second", 3.0, {}, 4.0)
    await table.add([one])
    await table.add([two])
    assert await table.all() == [one, two]
    await table.clear()
    assert await table.all() == []


async def test_the_oldest_alarms_are_forgotten(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "MOST_PAST", 3)
    table = AlarmTable(kept)
    for n in range(5):
        await table.add([Alarm(f"a{n}", "", 1.0, {}, 2.0)])
    assert [alarm.name for alarm in await table.all()] == ["a2", "a3", "a4"]
    await table.clear()
    await table.add([Alarm("new", "", 1.0, {}, 2.0)])
    assert [alarm.name for alarm in await table.all()] == ["new"]
