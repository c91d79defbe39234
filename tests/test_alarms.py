"""Alarms: each trouble that a broker can have, from the first look until it is over."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from nanomq_py import Broker, Config
from nanomq_py.alarms import Alarms
from nanomq_py.config.keys.http_client import HttpAuth, HttpAuthRequest
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.keys.log import Log
from nanomq_py.config.keys.node import Node
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.kernel.part import Part, Trouble
from nanomq_py.listen import listeners
from nanomq_py.run.logs import Logs, LogsChange
from nanomq_py.store.alarms import Alarm, AlarmTable
from nanomq_py.store.faults import StoreError
from tests.certs import identity
from tests.raw import Closed, Raw

pytestmark = pytest.mark.plain

URL = "nmq-tcp://127.0.0.1:0"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "nanomq.conf"


@pytest_asyncio.fixture
async def broker(conf: Path) -> AsyncIterator[Broker]:
    async with Broker(Config(url=URL), conf=conf) as running:
        yield running


def names(broker: Broker) -> list[str]:
    """Look now, and return the names of the alarms that last."""
    look(broker)
    return [alarm.name for alarm in broker.alarms.active()]


def look(broker: Broker) -> None:
    broker._running.alarms.look()


# --- from the first look until it is over


def trouble(name: str = "t", message: str = "bad", **details: object) -> Trouble:
    return Trouble(name, message, details)


async def test_a_trouble_is_an_alarm_until_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    alarms = Alarms()
    before = time.time()
    with caplog.at_level(logging.WARNING, "nanomq"):
        for _ in range(3):
            alarms.take([trouble(n=1)])
    (one,) = alarms.active()
    assert (one.name, one.message, one.details, one.deactivated_at) == (
        "t",
        "bad",
        {"n": 1},
        None,
    )
    assert before <= one.activated_at <= time.time()
    assert [r.getMessage() for r in caplog.records] == ["alarm t: bad"]
    alarms.take([trouble(message="worse")])
    assert [(a.message, a.activated_at) for a in alarms.active()] == [
        ("worse", one.activated_at)
    ]
    alarms.take([])
    assert alarms.active() == []
    (over,) = await alarms.past()
    assert over.deactivated_at is not None
    assert one.activated_at <= over.deactivated_at <= time.time()
    alarms.take([trouble()])
    assert len(alarms.active()) == 1
    await alarms.forget()
    assert await alarms.past() == []


async def test_one_that_was_ended_by_hand_comes_again_only_after_it_was_gone() -> None:
    alarms = Alarms()
    alarms.take([trouble(), trouble("u")])
    alarms.end("t")
    with pytest.raises(KeyError):
        alarms.end("t")
    alarms.take([trouble(), trouble("u")])
    assert [alarm.name for alarm in alarms.active()] == ["u"]
    assert [alarm.name for alarm in await alarms.past()] == ["t"]
    alarms.take([trouble("u")])
    alarms.take([trouble(), trouble("u")])
    assert [alarm.name for alarm in alarms.active()] == ["u", "t"]


async def test_their_numbers_are_bounded() -> None:
    alarms = Alarms()
    for n in range(1100):
        alarms.take([trouble(f"t{n}", "x" * 5000)])
    alarms.take([])
    past = await alarms.past()
    assert (len(past), past[0].name, len(past[0].message)) == (1000, "t100", 1000)
    alarms.take([trouble(f"t{n}") for n in range(1100)])
    assert len(alarms.active()) == 1000
    alarms.take([trouble(f"t{n}", "worse") for n in range(1100)])  # what they say is true
    assert {alarm.message for alarm in alarms.active()} == {"worse"}


class _SlowTable:
    """Takes what it is to keep once it may."""

    def __init__(self) -> None:
        self.asked, self.may = asyncio.Semaphore(0), asyncio.Event()
        self.kept: list[str] = []

    async def add(self, alarms: Sequence[Alarm]) -> None:
        self.asked.release()
        await self.may.wait()
        self.kept += [alarm.name for alarm in alarms]


async def test_one_that_ends_while_others_are_written_is_written_too() -> None:
    alarms, table = Alarms(), _SlowTable()
    alarms.use_store(cast(AlarmTable, table))
    for name in ("first", "second"):
        alarms.take([trouble(name)])
        alarms.take([])
        if name == "first":
            await table.asked.acquire()
    table.may.set()
    await alarms.stop()
    assert table.kept == ["first", "second"]


async def test_past_alarms_outlive_the_process_where_there_is_a_store(conf: Path) -> None:
    async with Broker(Config(url=URL), conf=conf) as broker:
        broker.alarms.take([trouble("first")])
        broker.alarms.take([])
        assert not conf.with_suffix(".db").exists()  # an alarm alone makes none
        await broker.ban(client_id="x")
        broker.alarms.take([trouble("second")])
        broker.alarms.take([])
        assert [alarm.name for alarm in await broker.alarms.past()] == ["first", "second"]
    async with Broker(Config(url=URL), conf=conf) as broker:
        kept: list[Alarm] = await broker.alarms.past()
        assert [alarm.name for alarm in kept] == ["first", "second"]
        await broker.alarms.forget()
        assert await broker.alarms.past() == []


async def test_those_that_are_over_before_there_is_a_store_are_kept_at_the_end(
    conf: Path,
) -> None:
    async with Broker(Config(url=URL), conf=conf) as broker:
        broker.alarms.take([trouble("early")])
        broker.alarms.take([])
        await broker.ban(client_id="x")
    async with Broker(Config(url=URL), conf=conf) as broker:
        assert [alarm.name for alarm in await broker.alarms.past()] == ["early"]


async def test_what_keeps_alarms_is_loaded_with_the_first(broker: Broker) -> None:
    sys.modules.pop("nanomq_py.alarms", None)
    look(broker)
    assert "nanomq_py.alarms" not in sys.modules


async def test_the_broker_looks_by_itself(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = asyncio.Event()

    class Bad(Part):
        def troubles(self) -> list[Trouble]:
            seen.set()
            return [trouble("of a part")]

    monkeypatch.setattr("nanomq_py.alarms_part.LOOK_S", 0.01)
    made = Broker(Config(url=URL), conf=conf)
    made.watch(Bad())
    async with made:
        await asyncio.wait_for(seen.wait(), 20)
        assert [alarm.name for alarm in made.alarms.active()] == ["of a part"]


# --- what clients are told, as EMQX 4.4 does it: emqx_alarm


async def test_clients_hear_that_one_begins_and_that_it_is_over(conf: Path) -> None:
    config = Config(url=URL, node=Node(name="n@h"))
    bad: list[Trouble] = []

    class Bad(Part):
        def troubles(self) -> list[Trouble]:
            return bad

    made = Broker(config, conf=conf)
    made.watch(Bad())
    async with made as broker, broker.subscribe("$SYS/brokers/#") as tap:
        bad.append(trouble("t/1", "it is bad", n=1))
        before = time.time()
        look(broker)
        begun = await asyncio.wait_for(anext(tap), 20)
        bad.append(trouble("u"))
        bad[0] = trouble("t/1", "it is worse", n=2)
        look(broker)  # what it says may change: that is no news
        assert b'"u"' in (await asyncio.wait_for(anext(tap), 20)).payload
        broker.alarms.end("u")
        ended = await asyncio.wait_for(anext(tap), 20)
        bad.clear()
        look(broker)
        over = await asyncio.wait_for(anext(tap), 20)
        await broker.reconfigure(replace(config, sys_interval=0))
        bad.append(trouble("v"))
        look(broker)
        await broker.reconfigure(replace(config, node=Node(name="m@h")))
        bad.append(trouble("w"))
        look(broker)
        other = await asyncio.wait_for(anext(tap), 20)
    told = [json.loads(each.payload) for each in (begun, over)]
    assert [each.topic_name for each in (begun, ended, over, other)] == [
        "$SYS/brokers/n@h/alarms/activate",
        "$SYS/brokers/n@h/alarms/deactivate",
        "$SYS/brokers/n@h/alarms/deactivate",
        "$SYS/brokers/m@h/alarms/activate",
    ]
    assert (begun.qos, begun.retain, begun.content_type) == (0, False, "application/json")
    assert list(told[0]) == [
        "name",
        "details",
        "message",
        "activate_at",
        "deactivate_at",
        "activated",
    ]
    at = told[0]["activate_at"]
    assert int(before * 1e6) <= at <= told[1]["deactivate_at"] <= time.time() * 1e6
    assert told == [
        {"name": "t/1", "details": {"n": 1}, "message": "it is bad", "activate_at": at,
         "deactivate_at": "infinity", "activated": True},
        {"name": "t/1", "details": {"n": 2}, "message": "it is worse", "activate_at": at,
         "deactivate_at": told[1]["deactivate_at"], "activated": False},
    ]  # fmt: skip
    assert json.loads(ended.payload)["name"] == "u"
    assert json.loads(other.payload)["name"] == "w"


# --- each trouble


async def test_refused_connections(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Broker(Config(url=URL, max_connections=1), conf=conf) as broker:
        assert names(broker) == []

        def act() -> None:
            with Raw(broker.ports["url"]) as first:
                first.connect("a")
                with Raw(broker.ports["url"]) as second, pytest.raises((Closed, OSError)):
                    second.connect("b")

        await asyncio.to_thread(act)
        assert names(broker) == ["connections_refused"]
        (alarm,) = broker.alarms.active()
        assert alarm.details == {"refused": 1}
        assert "max_connections" in alarm.message
        for _ in range(4):
            look(broker)
        assert names(broker) == ["connections_refused"]
        assert names(broker) == []


async def test_memory_that_is_short(conf: Path) -> None:
    async with Broker(Config(url=URL, max_memory=1 << 20), conf=conf) as broker:

        def fill() -> None:
            with Raw(broker.ports["url"], 5) as c:
                c.connect("a")
                n = 0
                while not broker.memory().level and n < 2000:
                    c.publish(f"r/{n}", b"x" * 4096, qos=1, packet_id=1, retain=True)
                    c.read()
                    n += 1

        await asyncio.to_thread(fill)
        assert broker.memory().level
        assert names(broker)[0] in ("memory_short", "memory_out")


async def test_an_http_server_that_cannot_be_asked(conf: Path) -> None:
    http = HttpAuth(
        enable=True, auth_req=HttpAuthRequest(url="http://127.0.0.1:9/auth", method="post")
    )
    async with Broker(Config(url=URL, auth_http=http), conf=conf) as broker:
        assert names(broker) == []

        def act() -> None:
            with Raw(broker.ports["url"]) as c:
                c.connect("a", user="u", password=b"x")

        await asyncio.to_thread(act)
        assert names(broker) == ["auth_http_unreachable/http://127.0.0.1:9"]
        assert broker.alarms.active()[0].details == {"server": "http://127.0.0.1:9"}
        await broker.reconfigure(Config(url=URL))
        assert names(broker) == []


async def test_keys_of_tokens_that_are_not_fetched(conf: Path) -> None:
    jwt = JwtLogin(enable=True, jwks_url="http://127.0.0.1:9/keys")
    async with Broker(Config(url=URL, auth_jwt=jwt), conf=conf) as broker:
        assert names(broker) == ["jwks_not_fetched"]


async def test_a_store_that_cannot_be_used(broker: Broker, conf: Path) -> None:
    await broker.ban(client_id="x")
    store = broker._running.store.store

    def fail(connection: Any) -> None:
        connection.execute("SELECT * FROM missing")

    with pytest.raises(Exception, match="no such table"):
        await store.write(fail)
    await store.read(lambda connection: None)  # reading says nothing of writing
    assert names(broker) == ["store_unusable"]
    assert str(conf.with_suffix(".db")) in broker.alarms.active()[0].message
    await broker.ban(client_id="y")
    assert names(broker) == []


async def test_a_store_that_is_replaced(broker: Broker, conf: Path) -> None:
    """Else what is written would be lost, and nobody told."""
    await broker.ban(client_id="x")
    path = conf.with_suffix(".db")
    for act in (lambda: path.rename(path.with_name("old")), path.touch):
        act()
        with pytest.raises(StoreError, match="moved or replaced"):
            await broker.ban(client_id="y")
        assert names(broker) == ["store_unusable"]
    path.with_name("old").replace(path)
    await broker.ban(client_id="y")
    assert names(broker) == []


async def test_a_store_whose_folder_is_a_file_now(broker: Broker, conf: Path) -> None:
    await broker.ban(client_id="x")
    moved = conf.parent.rename(conf.parent.with_name("moved"))
    conf.parent.touch()
    with pytest.raises(StoreError, match="expected a file in a folder"):
        await broker.ban(client_id="y")
    assert names(broker) == ["store_unusable"]
    conf.parent.unlink()
    moved.rename(conf.parent)
    await broker.ban(client_id="y")
    assert names(broker) == []


async def test_a_certificate_that_expires_soon(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = identity(tmp_path, "server", valid_for=timedelta(days=400))
    tls = Listener(
        name="tls",
        url="tls+nmq-tcp://127.0.0.1:0",
        certfile=str(its.certfile),
        keyfile=str(its.keyfile),
    )
    async with Broker(Config(url=URL, listeners=(tls,)), conf=conf) as broker:
        assert names(broker) == []
        until = broker._running.listeners.by_name["tls"].good_until
        assert until == its.cert.not_valid_after_utc.timestamp()
        monkeypatch.setattr(listeners, "wall_s", lambda: until - 29 * 86_400)
        assert names(broker) == ["certificate_expires/tls"]
        assert "tls expires" in broker.alarms.active()[0].message
        monkeypatch.setattr(listeners, "wall_s", lambda: until + 1)
        assert names(broker) == ["certificate_expires/tls"]
        assert "tls has expired" in broker.alarms.active()[0].message
        monkeypatch.setattr(listeners, "wall_s", lambda: until - 31 * 86_400)
        assert names(broker) == []


async def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    logger = logging.getLogger("nanomq")
    before = list(logger.handlers), logger.propagate, logger.level
    change = LogsChange(Log(to=("file",), dir=str(tmp_path), file="x.log"))
    try:
        change.commit()
        logger.error("one")
        part = Logs()
        assert list(part.troubles()) == []
        handler = next(h for h in logger.handlers if hasattr(h, "_fd"))
        good, handler._fd = handler._fd, -2
        logger.error("two")
        (found,) = part.troubles()
        assert found.name == f"log_not_written/{tmp_path / 'x.log'}"
        handler._fd = good
        logger.error("three")
        assert list(part.troubles()) == []
    finally:
        await change.undo()
        logger.handlers, logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
