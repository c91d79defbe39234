"""What an attacker makes of rules: messages, statements and bodies that are meant to harm.

Source  MQTT 5.0, 4.7; EMQX 4.4, rule engine
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from nanomq_py.plugins.rules import compiling
from nanomq_py.plugins.rules.columns import wanted_of
from nanomq_py.plugins.rules.compiling import tried
from nanomq_py.plugins.rules.faults import RuleFault, TakenError
from nanomq_py.plugins.rules.lines import LinesFile
from nanomq_py.plugins.rules.model import ActionSpec, ResourceSpec, RuleSpec
from nanomq_py.plugins.rules.parsing import parsed
from nanomq_py.plugins.rules.sql import RuleError, Statement, parse, template
from nanomq_py.plugins.rules.sqlite_table import Table
from tests import raw
from tests.delivery.receiving import receiving
from tests.eventually import eventually_on_loop
from tests.raw import Raw
from tests.rules.running import (
    action,
    counted,
    make,
    next_of,
    payloads,
    republish,
    rules,
)

pytestmark = pytest.mark.plain

TOO_DEEP = b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"  # orjson writes 254 levels


async def test_row_that_no_template_takes_takes_no_other_with_it() -> None:
    async with rules() as engine:
        rule = await make(
            engine, 'SELECT payload.a AS a FROM "p"', republish("out", "${a}")
        )
        async with engine.broker.subscribe("out") as tap:
            for payload in (b'{"a":1}', TOO_DEEP, b'{"a":2}'):
                engine.broker.publish("p", payload, qos=1)
            assert await payloads(tap, 2) == [b"1", b"2"]
        await eventually_on_loop(lambda: sum(rule.actions[0].told()) == 3)
        assert rule.actions[0].told() == (2, 1)


async def test_row_that_no_body_takes_takes_no_other_with_it(tmp_path: Path) -> None:
    async with receiving() as receiver, rules(tmp_path) as engine:
        hook = ResourceSpec("hook", "web_hook", {"url": receiver.url})
        await engine.create_resource(hook)
        sends = action("data_to_webserver", **{"$resource": "hook", "body": "${a}"})
        rule = await make(engine, 'SELECT payload.a AS a FROM "p"', sends)
        for payload in (b'{"a":1}', TOO_DEEP, b'{"a":2}'):
            engine.broker.publish("p", payload, qos=1)
        await eventually_on_loop(lambda: sum(rule.actions[0].told()) == 3)
        assert rule.actions[0].told() == (2, 1)


def test_functions_of_columns_are_known_in_any_letters() -> None:
    text = (
        "SELECT CLIENTID() AS c, Payload('a') AS d, MsgId(), CLIENTIP(), FLAG('dup') FROM t"
    )
    wanted = ("id", "clientid", "payload", "peerhost", "flags")
    assert set(wanted_of(text)) == set(wanted)


async def test_rule_that_is_about_events_now_keeps_no_messages() -> None:
    def about_events(spec: RuleSpec) -> RuleSpec:
        sql = 'SELECT * FROM "$events/client_connected"'
        return msgspec.structs.replace(spec, rawsql=sql)

    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        await engine.update(rule.id, about_events)
        assert (await engine.broker.routes()).rows == []
        engine.broker.publish("a", "x")
        assert counted(rule) == {}


# --- files


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("sqlite", "x.db"), ("file", "x.db")),
        (("file", "x.db"), ("sqlite", "x.db")),
        (("sqlite", None), ("file", "rules.db")),
        (("sqlite", "x.db"), ("file", "x.db-wal")),
        (("file", "a.csv"), ("file", "a.csv.1")),
        (("file", "a.csv.4"), ("file", "a.csv")),
    ],
)
async def test_file_of_one_action_is_not_that_of_another(
    tmp_path: Path, first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    def writes(kind: str, path: str | None) -> ActionSpec:
        params = {"table": "t"} if kind == "sqlite" else {}
        return action(kind, **params, **({} if path is None else {"path": path}))

    async with rules(tmp_path) as engine:
        await make(engine, "SELECT * FROM t", writes(*first))
        with pytest.raises(TakenError, match="another action writes"):
            await make(engine, "SELECT * FROM t", writes(*second))


async def test_tables_are_in_one_file(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        for table in ("a", "b"):
            await make(engine, "SELECT 1 AS a FROM t", action("sqlite", table=table))
        assert len(engine.rules) == 2


@pytest.mark.parametrize("kind", ["file", "sqlite"])
@pytest.mark.parametrize("behind", ["", "-wal"])
async def test_store_is_no_file_of_rules(tmp_path: Path, kind: str, behind: str) -> None:
    async with rules(tmp_path) as engine:
        store = engine.broker.store.path
        assert store is not None
        engine.place.folder = store.parent
        params = {
            "path": store.name + behind,
            **({"table": "t"} if kind == "sqlite" else {}),
        }
        with pytest.raises(RuleFault, match="the broker's own"):
            await make(engine, "SELECT * FROM t", action(kind, **params))


def test_half_of_a_line_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a":1}\n{"a"')
    file = LinesFile(path, is_csv=False, max_bytes=1 << 20, count=2)
    assert not file.write([{"a": 3}])
    file.close()
    assert path.read_bytes() == b'{"a":1}\n{"a"\n{"a":3}\n'


def test_lines_go_to_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    file = LinesFile(path, is_csv=False, max_bytes=1 << 20, count=2)
    file.write([{"a": 1}])
    path.rename(tmp_path / "put-away")
    file.write([{"a": 2}])
    file.close()
    assert path.read_bytes() == b'{"a":2}\n'


def test_rows_go_to_the_table_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    table = Table(path, "t", 10)
    table.insert([{"a": 1}])
    for each in tmp_path.iterdir():
        each.unlink()
    assert not table.insert([{"a": 2}])
    table.close()
    with contextlib.closing(sqlite3.connect(path)) as found:
        assert found.execute("SELECT a FROM t").fetchall() == [(2,)]


def test_two_columns_that_sqlite_takes_for_one_are_refused(tmp_path: Path) -> None:
    table = Table(tmp_path / "a.db", "t", 10)
    assert "two columns" in table.insert([{"A": 1, "a": 2}])[0]
    table.close()


# --- what one message may make

LONG = "x" * (1 << 20)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT [{payloads}] AS a FROM t",
        "SELECT json_encode([{payloads}]) AS a FROM t",
        "FOREACH [1..20] AS i DO i, payload AS raw FROM t",
        "FOREACH [1..20] AS i DO i, [payload] AS raw FROM t",
    ],
)
def test_message_makes_no_more_than_a_bound(sql: str) -> None:
    statement = parse(sql.format(payloads=", ".join(["payload"] * 20)))
    with pytest.raises(RuleError, match="16777216 letters"):
        statement.run({"payload": LONG})


def test_template_makes_no_more_than_a_bound() -> None:
    with pytest.raises(RuleError, match="16777216 letters"):
        template("${payload}" * 20).encoded({"payload": LONG.encode()})
    large = LONG.encode() * 20
    assert template("${payload}").encoded({"payload": large}) == large


def test_format_makes_no_more_than_a_bound() -> None:
    values = ", ".join(["a"] * 40)
    statement = parse(f"SELECT sprintf_s('{'~s' * 40}', [{values}]) AS b FROM t")
    made = json.dumps([LONG[: 1 << 18]])
    tracemalloc.start()
    with pytest.raises(RuleError, match="1048576 characters"):
        statement.run({"a": json.loads(made)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * len(made)  # twice that: 40 texts, and all in one


@pytest.mark.parametrize(
    "sql",
    [
        "FOREACH [1..20] AS i INCASE Regex_Match(payload, 'a.*b') FROM t",
        "SELECT " + ", ".join(["regex_match(payload, 'a.*b')"] * 20) + " FROM t",
    ],
)
def test_searches_of_a_message_have_an_end_together(sql: str) -> None:
    statement = parse(sql)
    for _ in range(2):
        with pytest.raises(RuleError, match="too many steps together"):
            statement.run({"payload": "a" * 4096})
        assert statement.run({"payload": "b"}) is not None  # it is counted anew


# --- topics of the broker's own


async def test_publisher_makes_no_topic_of_the_brokers_own() -> None:
    async with rules() as engine:
        rule = await make(
            engine, 'SELECT payload.to AS to FROM "p"', republish("${to}", "forged")
        )
        async with engine.broker.subscribe("ok") as tap:
            engine.broker.publish("p", '{"to": "$SYS/forged"}', qos=1)
            engine.broker.publish("p", '{"to": "ok"}', qos=1)
            assert (await next_of(tap)).topic_name == "ok"
        assert rule.actions[0].told() == (1, 1)
        assert "the broker's own" in rule.complaints.last


async def test_client_does_not_hide_from_a_rule_by_its_name() -> None:
    async with rules() as engine:
        rule = await make(engine, "SELECT * FROM a", republish("out"), id="r")
        async with engine.broker.subscribe("out") as tap:
            with Raw(engine.broker.ports["url"]) as client:
                client.send(raw.connect("republish:r"), raw.publish("a", b"x"))
                assert await payloads(tap, 1) == [b"x"]
        assert rule.actions[0].told() == (1, 0)


# --- web hooks


@pytest.mark.parametrize(
    "config",
    [
        {"url": "http://u:secret@127.0.0.1/"},
        {"url": "http://127.0.0.1/", "headers": {"Content-Type": "a\r\nX: y"}},
    ],
)
async def test_resource_that_tells_or_hides_more_than_it_says_is_refused(
    config: dict[str, object],
) -> None:
    async with rules() as engine:
        with pytest.raises(RuleFault, match=r"url: |headers: ") as caught:
            await engine.create_resource(ResourceSpec("hook", "web_hook", config))
        assert "secret" not in str(caught.value)


async def test_resource_of_a_rule_that_cannot_run_can_be_mended(tmp_path: Path) -> None:
    hook = ResourceSpec("hook", "web_hook", {"url": "http://127.0.0.1:1/"})
    async with rules(tmp_path) as engine:
        await engine.create_resource(hook)
        sends = action("data_to_webserver", **{"$resource": "hook"})
        await make(engine, "SELECT * FROM t", sends, id="sends")
        await engine._keep(msgspec.structs.replace(hook, config={"url": "gone://x"}))
    async with rules(tmp_path) as engine:
        assert engine.rule("sends").fault
        await engine.update_resource("hook", lambda spec: hook)
        rule = await engine.update("sends", lambda spec: spec)
        assert (rule.fault, rule.running is not None) == ("", True)


# --- counters


async def test_actions_of_a_changed_rule_go_on_counting(tmp_path: Path) -> None:
    def described(spec: RuleSpec) -> RuleSpec:
        return msgspec.structs.replace(spec, description="of now")

    async with receiving() as receiver, rules(tmp_path) as engine:
        hook = ResourceSpec("hook", "web_hook", {"url": receiver.url})
        await engine.create_resource(hook)
        sends = action("data_to_webserver", **{"$resource": "hook"})
        rule = await make(engine, "SELECT * FROM t", action("do_nothing"), sends)
        engine.broker.publish("t", "x", qos=1)
        await eventually_on_loop(lambda: rule.actions[1].told() == (1, 0))
        rule = await engine.update(rule.id, described)
        assert [each.told() for each in rule.actions] == [(1, 0), (1, 0)]
        engine.reset(rule.id)
        rule = await engine.update(rule.id, described)
        assert [each.told() for each in rule.actions] == [(0, 0), (0, 0)]


# --- parsing


async def test_statement_is_parsed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where = []

    def parsed_there(rawsql: str) -> Statement:
        where.append(threading.current_thread())
        return parsed(rawsql)

    monkeypatch.setattr(compiling, "parsed", parsed_there)
    async with rules() as engine:
        await make(engine, "SELECT * FROM t", action("do_nothing"))
    assert where
    assert threading.main_thread() not in where


@pytest.mark.parametrize("begin", ["FOREACH", "-- of each\nFOREACH "])
def test_rows_that_are_tried_out_are_a_list(begin: str) -> None:
    assert tried(f"{begin}[1..1] AS i DO i FROM t", {}, "node") == [{"i": 1}]
