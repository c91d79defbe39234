"""What actions make of rows, and what they refuse.

Source  EMQX 4.4, emqx_rule_actions and emqx_web_hook_actions; RFC 4180 for CSV
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nanomq_py.plugins.rules import lines
from nanomq_py.plugins.rules.action import RowError, json_row
from nanomq_py.plugins.rules.faults import NotHereError, RuleFault
from nanomq_py.plugins.rules.lines import LinesFile
from nanomq_py.plugins.rules.masks import MASK, masked, unmasked
from nanomq_py.plugins.rules.model import ResourceSpec
from nanomq_py.plugins.rules.sqlite_table import MOST_COLUMNS, Table
from tests.delivery.receiving import receiving
from tests.eventually import eventually_on_loop
from tests.rules.running import action, make, next_of, payloads, republish, rules

pytestmark = pytest.mark.plain

ALL = 'SELECT payload, topic, qos, flags FROM "a/#"'


async def refused(name: str, why: str, folder: Path | None = None, **params: Any) -> None:
    async with rules(folder) as engine:
        with pytest.raises(RuleFault, match=why):
            await make(engine, ALL, action(name, **params))
        assert engine.rules == {}


# --- republish


@pytest.mark.parametrize(
    ("params", "qos", "retain"),
    [
        ({}, 0, False),
        ({"target_qos": 2, "target_retain": True}, 2, True),
        ({"target_qos": "1", "target_retain": "true"}, 1, True),
        ({"target_qos": -1}, 1, False),
        ({"target_qos": "${qos}", "target_retain": "${flags.retain}"}, 1, True),
    ],
)
async def test_qos_and_retain_are_those_that_are_said(
    params: dict[str, Any], qos: int, retain: bool
) -> None:
    async with rules() as engine:
        await make(engine, ALL, republish("out", **params))
        async with engine.broker.subscribe("out") as tap:
            engine.broker.publish("a/1", "x", qos=1, retain=True)
            message = await next_of(tap)
        assert (message.payload, message.qos, message.retain) == (b"x", qos, retain)


async def test_payload_of_any_bytes_stays_as_it_was() -> None:
    async with rules() as engine:
        rule = await make(engine, ALL, republish("out"))
        async with engine.broker.subscribe("out") as tap:
            engine.broker.publish("a/1", b"\xff\x00")
            message = await next_of(tap)
        assert message.payload == b"\xff\x00"
        assert message.publisher is not None
        assert message.publisher.client_id == f"republish:{rule.id}"


async def test_without_a_template_the_payload_is_the_row() -> None:
    async with rules() as engine:
        await make(engine, 'SELECT topic, qos AS q FROM "a/#"', republish("out", ""))
        await make(engine, 'SELECT topic FROM "b"', action("repub", topic="out"))
        async with engine.broker.subscribe("out") as tap:
            engine.broker.publish("a/1", b"")
            assert await payloads(tap, 1) == [b'{"topic":"a/1","q":0}']
            engine.broker.publish("b", b"")
            assert await payloads(tap, 1) == [b'{"topic":"b"}']


async def test_nanomq_repub_to_this_broker_is_a_message_of_it() -> None:
    async with rules() as engine:
        address = f"mqtt-tcp://localhost:{engine.broker.ports['url']}"
        params = {"topic": "out", "address": address, "proto_ver": 4, "keepalive": 60}
        await make(engine, ALL, action("repub", **params))
        for other in ("mqtt-tcp://broker.example:1883", "mqtt-tcp://localhost:1"):
            with pytest.raises(NotHereError, match="bridges are not here yet"):
                await make(engine, ALL, action("repub", topic="out", address=other))


@pytest.mark.parametrize(
    ("name", "params", "why"),
    [
        ("republish", {}, "target_topic: missing"),
        ("republish", {"target_topic": "a/+"}, "without wildcards"),
        ("republish", {"target_topic": 7}, "target_topic: expected a text"),
        (
            "republish",
            {"target_topic": "a", "target_qos": 3},
            "target_qos: expected 0, 1, 2",
        ),
        (
            "republish",
            {"target_topic": "a", "target_retain": "x"},
            "target_retain: expected",
        ),
        ("republish", {"target_topic": "a", "more": 1}, "more: no such parameter"),
        ("repub", {"topic": "a", "address": "mqtt-tcp://h:x"}, "address: "),
        ("file", {"path": "../x"}, "path: '../x'"),
        ("file", {"path": "/etc/x"}, "path: '/etc/x'"),
        ("file", {"path": ".x"}, "path: '.x'"),
        ("file", {"path": "x", "format": "xml"}, "expected json or csv"),
        ("file", {"path": "x", "count": 0}, "count: expected a whole number from 1"),
        ("sqlite", {"table": "a;b"}, "table: 'a;b'"),
        ("sqlite", {"table": "sqlite_x"}, "table: 'sqlite_x'"),
        ("sqlite", {}, "table: missing"),
        ("data_to_webserver", {}, "resource: missing"),
        ("data_to_webserver", {"$resource": "x"}, "Resource x Not Found"),
        ("data_to_kafka", {}, "no such action"),
    ],
)
async def test_parameters_that_cannot_be_are_refused(
    tmp_path: Path, name: str, params: dict[str, Any], why: str
) -> None:
    await refused(name, why, tmp_path, **params)


async def test_without_a_folder_no_file_is_written() -> None:
    await refused("file", r"plugins\.rules\.folder", path="x")


# --- files


async def test_rows_are_lines_of_json(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, ALL, action("file", path="rows.json"))
        for n in range(3):
            engine.broker.publish("a/1", f"{n}")
        await eventually_on_loop(lambda: rule.actions[0].told() == (3, 0))
    written = (tmp_path / "files" / "rows.json").read_text().splitlines()
    assert [json.loads(line)["payload"] for line in written] == ["0", "1", "2"]


async def test_two_actions_do_not_write_one_file(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        await make(engine, ALL, action("file", path="rows.json"))
        with pytest.raises(RuleFault, match=r"another action writes 'rows\.json'"):
            await make(engine, ALL, action("file", path="rows.json"))


def csv_file(path: Path, max_bytes: int = 1 << 20, count: int = 3) -> LinesFile:
    return LinesFile(path, is_csv=True, max_bytes=max_bytes, count=count)


def test_rows_are_lines_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = csv_file(path)
    file.write([{"a": 1, "b": 'x,"y"'}, {"b": None, "a": {"c": [1, True]}}])
    file.close()
    again = csv_file(path)
    faults = again.write([{"a": b"\xc3\xa9"}, {"a": 1, "c": 2}])
    again.close()
    assert path.read_text() == 'a,b\n1,"x,""y"""\n"{""c"":[1,true]}",\né,\n'
    assert list(faults) == [1]
    assert "column 'c'" in faults[1]


def test_full_file_is_put_away_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = csv_file(path, max_bytes=20)
    file.write([{"n": n} for n in range(1000, 1016)])
    file.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "rows.csv", "rows.csv.1", "rows.csv.2",
    ]  # fmt: skip
    kept = [path.with_name(f"rows.csv{end}").read_text() for end in (".2", ".1", "")]
    assert all(text.startswith("n\n") for text in kept)
    assert all(len(text) <= 24 for text in kept)
    numbers = [int(line) for text in kept for line in text.splitlines()[1:]]
    assert numbers == list(range(numbers[0], 1016))
    assert numbers[0] > 1000


def test_file_is_no_link_to_another(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine\n")
    (tmp_path / "rows.csv").symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        csv_file(tmp_path / "rows.csv").write([{"a": 1}])
    assert other.read_text() == "mine\n"


async def test_disk_that_is_full_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, ALL, action("file", path="rows.json"))

        def full(*args: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(lines.os, "open", full)
            engine.broker.publish("a/1", "x")
            await eventually_on_loop(lambda: rule.actions[0].told() == (0, 1))
        assert rule.complaints.last == "RowError: file: No space left on device"
        engine.broker.publish("a/1", "x")
        await eventually_on_loop(lambda: rule.actions[0].told() == (1, 1))


# --- tables


def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return list(connection.execute(sql))


async def test_rows_are_rows_of_a_table(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, ALL, action("sqlite", table="kept"))
        engine.broker.publish("a/1", "x", qos=1)
        engine.broker.publish("a/2", b"\xff")
        await eventually_on_loop(lambda: rule.actions[0].told() == (2, 0))
    told = rows_of(tmp_path / "files" / "rules.db", "SELECT * FROM kept")
    flags = '{"retain":false,"dup":false}'
    assert told == [(1, "x", "a/1", 1, flags), (2, b"\xff", "a/2", 0, flags)]


def test_table_gets_the_columns_that_rows_bring(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    table = Table(path, "t", 1000)
    assert table.insert([{"a": 1}, {'b"; DROP TABLE t; --': [1]}, {"A": True}, {}]) == {}
    table.close()
    assert rows_of(path, "SELECT * FROM t") == [
        (1, 1, None), (2, None, "[1]"), (3, 1, None), (4, None, None),
    ]  # fmt: skip
    faults = Table(path, "t", 1000).insert([{"rowid": 1}, {"a": 1 << 70}, {"": 1}])
    assert sorted(faults) == [0, 2]
    assert rows_of(path, "SELECT a FROM t WHERE RowId > 4") == [(str(1 << 70),)]


def test_columns_of_a_table_are_bounded(tmp_path: Path) -> None:
    table = Table(tmp_path / "x.db", "t", 1000)
    faults = table.insert([{f"c{n}": n} for n in range(MOST_COLUMNS + 1)])
    assert sorted(faults) == [MOST_COLUMNS - 1, MOST_COLUMNS]  # RowId is one, too


def test_oldest_rows_go_when_there_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    table = Table(path, "t", 3)
    for n in range(5):
        table.insert([{"n": n}, {"n": n + 100}])
    assert rows_of(path, "SELECT n FROM t") == [(103,), (4,), (104,)]


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("some text that is longer than the head of a database" * 10)
    with pytest.raises(RowError, match=r"sqlite x\.db: file is not a database"):
        Table(path, "t", 3).insert([{"n": 1}])


# --- web servers


def hook(url: str, **config: Any) -> ResourceSpec:
    return ResourceSpec("hook", "web_hook", {"url": url, **config})


async def test_rows_are_posted(tmp_path: Path) -> None:
    async with receiving() as receiver, rules(tmp_path) as engine:
        await engine.create_resource(hook(receiver.url, headers={"X-Token": "t"}))
        sends = action("data_to_webserver", **{"$resource": "hook", "path": "rows"})
        rule = await make(engine, 'SELECT topic, payload FROM "a/#"', sends)
        engine.broker.publish("a/1", "x")
        engine.broker.publish("a/1", b"\xff")
        await eventually_on_loop(lambda: rule.actions[0].told() == (2, 0))
        assert {each.target for each in receiver.came} == {"/hook/rows"}
        assert {each.headers["x-token"] for each in receiver.came} == {"t"}
        assert [json.loads(each.body) for each in receiver.came] == [
            {"topic": "a/1", "payload": "x"},
            {"topic": "a/1", "payload": "/w==", "payload_encoding": "base64"},
        ]
        assert engine.is_alive(engine.resource("hook"))


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({}, "url: missing"),
        ({"url": "ftp://x/"}, "url: "),
        ({"url": "http://127.0.0.1/", "method": "GET"}, "by POST"),
        ({"url": "http://127.0.0.1/", "request_timeout": "soon"}, "request_timeout: "),
        ({"url": "http://127.0.0.1/", "headers": [1]}, "headers: expected an object"),
        ({"url": "http://127.0.0.1/", "pool_size": 0}, "pool_size: "),
        ({"url": "http://127.0.0.1/", "x": 0}, "x: no such parameter"),
    ],
)
async def test_resource_that_cannot_be_told_is_refused(
    config: dict[str, Any], why: str
) -> None:
    async with rules() as engine:
        with pytest.raises(RuleFault, match=why):
            await engine.create_resource(ResourceSpec("r", "web_hook", config))
        with pytest.raises(RuleFault, match="no such type"):
            await engine.create_resource(ResourceSpec("r", "mysql", {}))
        assert engine.resources == {}


# --- secrets, and what is no JSON


def test_secrets_are_masked_and_stay_where_the_mask_comes_back() -> None:
    params = {"password": "p", "url": "u", "headers": {"X-Key": "k", "Accept": "*/*"}}
    told = masked(params)
    assert told == {
        "password": MASK, "url": "u", "headers": {"X-Key": MASK, "Accept": "*/*"},
    }  # fmt: skip
    assert unmasked(told, params) == params
    with pytest.raises(RuleFault, match=r"headers\.X-New"):
        unmasked({"headers": {"X-New": MASK}}, params)


def test_row_that_cannot_be_json_is_a_fault() -> None:
    assert json_row({"a": b"x", "b": {"c": b"\xff"}}) == b'{"a":"x","b":{"c":"/w=="}}'
    with pytest.raises(RowError, match="it cannot be JSON"):
        json_row({"a": 1 << 70})


def test_specs_are_kept_as_they_are() -> None:
    spec = hook("http://127.0.0.1/", headers={"a": "b"})
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ResourceSpec) == spec


async def test_debug_actions_never_fail(caplog: pytest.LogCaptureFixture) -> None:
    async with rules() as engine:
        rule = await make(engine, ALL, action("inspect", a=1), action("do_nothing", b=2))
        engine.broker.publish("a/1", "x")
        await eventually_on_loop(lambda: rule.actions[1].told() == (1, 0))
        assert rule.actions[0].told() == (1, 0)
    assert '"payload":"x"' in caplog.text


async def test_rows_for_a_server_that_is_down_wait_for_it_over_a_restart(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        await receiver.close()
        sends = action("data_to_webserver", **{"$resource": "hook", "body": "${topic}"})
        async with rules(tmp_path) as engine:
            await engine.create_resource(hook(receiver.url))
            rule = await make(engine, ALL, sends)
            engine.broker.publish("a/1", "x")
            await eventually_on_loop(lambda: engine.totals.success == 1)
            assert rule.actions[0].told() == (0, 0)
            await eventually_on_loop(lambda: not engine.is_alive(engine.resource("hook")))
        await receiver.open()
        async with rules(tmp_path) as engine:
            await receiver.until(lambda: bool(receiver.taken))
            assert receiver.taken[0].body == b"a/1"
            again = engine.rule(rule.id)
            await eventually_on_loop(lambda: again.actions[0].told() == (1, 0))
            await engine.delete(rule.id)
            assert engine.broker.deliveries.names == []
