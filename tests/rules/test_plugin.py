"""Rules: what is published is selected and acted on, whatever another rule does.

Source  EMQX 4.4, rule engine: counters, fallbacks, what a failed action stops
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanomq_py import Broker
from nanomq_py.plugins.rules.action import Action, Faults, Tools
from nanomq_py.plugins.rules.catalog import ACTIONS, make_action
from nanomq_py.plugins.rules.columns import EVENTS, TEST_COLUMNS, example, wanted_of
from nanomq_py.plugins.rules.counters import SAMPLE_S, Rate
from nanomq_py.plugins.rules.faults import RuleFault, TakenError, UnknownError
from nanomq_py.plugins.rules.keys import Keys
from nanomq_py.plugins.rules.masks import masked
from nanomq_py.plugins.rules.model import ActionSpec, ResourceSpec, RuleSpec
from tests import raw
from tests.eventually import eventually_on_loop
from tests.raw import PUBACK, PUBLISH, UNSUBACK, Raw
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

HOT = 'SELECT payload.t AS t, topic FROM "s/#" WHERE t > 10'


async def test_what_a_rule_selects_is_published() -> None:
    async with rules() as engine:
        rule = await make(engine, HOT, republish("hot/${t}", "${topic} is ${t}"))
        broker = engine.broker
        async with broker.subscribe("hot/#") as tap:
            broker.publish("s/1", '{"t": 11}', qos=1)
            broker.publish("s/2", '{"t": 10}')
            broker.publish("s/3", "no JSON")
            broker.publish("s/4", '{"t": 12}')
            first, second = await next_of(tap), await next_of(tap)
        assert (first.topic_name, first.payload) == ("hot/11", b"s/1 is 11")
        assert (second.topic_name, second.payload) == ("hot/12", b"s/4 is 12")
        assert counted(rule) == {
            "matched": 4, "passed": 2, "no_result": 1, "exception": 1, "failed": 2,
        }  # fmt: skip
        assert rule.actions[0].told() == (2, 0)
        assert (engine.totals.matched, engine.totals.success) == (4, 2)


async def test_message_of_two_filters_of_a_rule_comes_to_it_once() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a/#", "a/b"', action("do_nothing"))
        engine.broker.publish("a/b", "x")
        engine.broker.publish("a/c", "x")
        await eventually_on_loop(lambda: rule.counts.matched >= 2)
        assert counted(rule) == {"matched": 2, "passed": 2}


async def test_what_was_retained_before_the_rule_does_not_come_to_it() -> None:
    async with rules() as engine:
        engine.broker.publish("a/old", "x", retain=True)
        rule = await make(engine, 'SELECT topic FROM "a/#"', republish("out", "${topic}"))
        async with engine.broker.subscribe("out") as tap:
            engine.broker.publish("a/new", "x", retain=True)
            assert await payloads(tap, 1) == [b"a/new"]
        assert counted(rule) == {"matched": 1, "passed": 1}


# --- one rule and another


class Broken(Action):
    """Raises for every batch."""

    async def act(self, selected: object) -> Faults:
        raise OSError("it is broken")


async def test_rule_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with rules() as engine:
        broken = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        assert broken.running is not None
        broken.running._actions = [Broken()]
        good = await make(engine, 'SELECT topic FROM "a"', republish("out", "${topic}"))
        async with engine.broker.subscribe("out") as tap:
            for _ in range(3):
                engine.broker.publish("a", "x")
            assert await payloads(tap, 3) == [b"a"] * 3
        await eventually_on_loop(lambda: engine.totals.failure == 3)
        assert counted(broken) == counted(good) == {"matched": 3, "passed": 3}
    told = [r.message for r in caplog.records if "it is broken" in r.message]
    assert len(told) == 1  # a minute


async def test_statement_that_raises_what_nobody_expects_is_counted() -> None:
    class Odd:
        def run(self, columns: object) -> list[dict[str, object]]:
            raise ZeroDivisionError

    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        assert rule.running is not None
        rule.running._statement = Odd()
        for _ in range(3):
            engine.broker.publish("a", "x")
        await eventually_on_loop(lambda: rule.counts.matched == 3)
        assert counted(rule) == {"matched": 3, "exception": 3, "failed": 3}


@pytest.mark.parametrize(("how", "reached"), [("continue", (2, 0)), ("stop", (1, 0))])
async def test_failed_action_stops_those_behind_it_if_it_shall(
    how: str, reached: tuple[int, int]
) -> None:
    async with rules() as engine:
        rule = await make(
            engine,
            'SELECT payload.to AS to FROM "a"',
            republish("${to}"),
            action("do_nothing"),
            on_action_failed=how,
        )
        engine.broker.publish("a", '{"to": "no/#"}')
        engine.broker.publish("a", '{"to": "yes"}')
        await eventually_on_loop(lambda: rule.counts.matched == 2)
        await eventually_on_loop(lambda: rule.actions[1].told() == reached)
        assert rule.actions[0].told() == (1, 1)


async def test_fallbacks_have_what_an_action_could_not_take() -> None:
    async with rules() as engine:
        spec = ActionSpec(
            "republish",
            {"target_topic": "${to}"},
            fallbacks=(republish("failed", "${to}"),),
        )
        await make(engine, 'SELECT payload.to AS to, payload FROM "a"', spec)
        async with engine.broker.subscribe("failed") as tap:
            engine.broker.publish("a", '{"to": "good"}')
            engine.broker.publish("a", '{"to": "b/+"}')
            assert await payloads(tap, 1) == [b"b/+"]


# --- rules that publish what they are about


async def test_rule_does_not_publish_what_it_has_published() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a/#"', republish("a/${topic}", "x"))
        async with engine.broker.subscribe("#") as tap:
            engine.broker.publish("a/1", "x")
            await eventually_on_loop(lambda: rule.counts.matched == 2)
            engine.broker.publish("end", "x")
            topics = [(await next_of(tap)).topic_name for _ in range(3)]
        assert topics == ["a/1", "a/a/1", "end"]
        assert rule.actions[0].told() == (1, 1)


async def test_rules_that_publish_for_each_other_end() -> None:
    async with rules() as engine:
        one = await make(engine, 'SELECT topic FROM "one"', republish("two", "x"))
        two = await make(engine, 'SELECT topic FROM "two"', republish("one", "x"))
        engine.broker.publish("one", "x")
        await eventually_on_loop(lambda: one.counts.matched == 2)
        assert (one.actions[0].told(), two.actions[0].told()) == ((1, 1), (1, 0))


async def test_chain_of_rules_ends() -> None:
    async with rules() as engine:
        chain = [
            await make(engine, f'SELECT topic FROM "n/{n}"', republish(f"n/{n + 1}", "x"))
            for n in range(12)
        ]
        engine.broker.publish("n/0", "x")
        await eventually_on_loop(lambda: chain[8].counts.matched == 1)
        await eventually_on_loop(lambda: chain[8].actions[0].told() == (0, 1))
        assert [rule.counts.matched for rule in chain] == [1] * 9 + [0] * 3


async def test_rule_about_deliveries_does_not_publish_for_its_own() -> None:
    async with rules() as engine:
        sql = 'SELECT topic FROM "$events/message_delivered"'
        rule = await make(engine, sql, republish("seen/${topic}", "x"))
        with Raw(engine.broker.ports["url"]) as client:
            await asyncio.to_thread(client.connect, "c")
            await asyncio.to_thread(client.subscribe, ("#", 0))
            engine.broker.publish("a", "x")
            await eventually_on_loop(lambda: rule.counts.matched == 2)
            assert rule.actions[0].told() == (1, 1)


# --- events


async def test_events_that_rules_name_come_to_them() -> None:
    async with rules() as engine:
        others = ("delivery_", "bridge_")
        names = [name for name in EVENTS if not name.startswith(others)]
        topics = ", ".join(f'"$events/{name}"' for name in names)
        sql = f"SELECT event, clientid, topic, reason, from_clientid FROM {topics}"
        rule = await make(engine, sql, republish("seen", ""))

        def live() -> None:
            with Raw(engine.broker.ports["url"]) as client:
                client.connect("c")
                client.subscribe(("a", 1))
                client.publish("a", b"x", qos=1, packet_id=7)
                packets = [client.read(), client.read()]  # PUBACK and PUBLISH
                ident = next(p.packet_id for p in packets if p.kind == PUBLISH)
                client.send(raw.ack(PUBACK, ident))
                client.publish("nobody", b"x")
                client.send(raw.unsubscribe(8, "a"))
                client.expect(UNSUBACK)
                client.leave()

        async with engine.broker.subscribe("seen") as tap:
            await asyncio.to_thread(live)
            seen = [json.loads(each) for each in await payloads(tap, len(names))]
        told = {each.pop("event"): each for each in seen}
        assert told == {
            "client.connected": {"clientid": "c"},
            "session.subscribed": {"clientid": "c", "topic": "a"},
            "message.delivered": {"clientid": "c", "topic": "a", "from_clientid": "c"},
            "message.acked": {"clientid": "c", "topic": "a", "from_clientid": "c"},
            "message.dropped": {
                "clientid": "c", "topic": "nobody", "reason": "no_subscribers",
            },
            "session.unsubscribed": {"clientid": "c", "topic": "a"},
            "client.disconnected": {"clientid": "c", "reason": "normal"},
        }  # fmt: skip
        assert counted(rule) == {"matched": 7, "passed": 7}


def test_each_event_has_an_example() -> None:
    assert set(TEST_COLUMNS) == {"message_publish", *EVENTS}
    for name, test in TEST_COLUMNS.items():
        made = example(name, "n")
        assert made.items() >= test.items()
        assert made["event"] == name.replace("_", ".", 1)


async def test_events_that_no_rule_names_are_not_asked_for() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT * FROM "a"', action("do_nothing"))
        assert rule.running is not None
        assert rule.running._events is None


# --- what is made of a message


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ('SELECT payload.x FROM "t"', ("payload",)),
        ('SELECT topic FROM "t" WHERE qos > 0', ("topic", "qos")),
        ("SELECT flag('retain') AS r FROM \"t\"", ("flags",)),
        ('SELECT clientip() AS ip FROM "t"', ("peerhost",)),
    ],
)
def test_columns_that_a_statement_does_not_name_are_not_made(
    sql: str, wanted: tuple[str, ...]
) -> None:
    assert wanted_of(sql) == wanted


async def test_all_columns_of_a_message() -> None:
    async with rules() as engine:
        await make(engine, 'SELECT * FROM "a"', republish("out", ""))
        async with engine.broker.subscribe("out") as tap:
            with Raw(engine.broker.ports["url"]) as client:
                await asyncio.to_thread(client.connect, "c1")
                client.publish("a", b"\xff")
                told = json.loads((await next_of(tap)).payload)
        assert isinstance(told.pop("timestamp"), int)
        assert told.pop("publish_received_at") > 0
        assert len(told.pop("id")) == 32
        assert told == {
            "event": "message.publish", "node": "node@here", "clientid": "c1", "topic": "a",
            "peerhost": "127.0.0.1", "qos": 0, "flags": {"retain": False, "dup": False},
            "payload": "/w==", "payload_encoding": "base64", "headers": {}, "pub_props": {},
        }  # fmt: skip


# --- changes


async def test_rules_are_there_again_in_the_next_process(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, HOT, republish("hot"), description="of before")
        before = rule.spec
    async with rules(tmp_path) as engine:
        assert [each.spec for each in engine.rules.values()] == [before]
        again = engine.rule(before.id)
        engine.broker.publish("s/1", '{"t": 11}')
        await eventually_on_loop(lambda: again.counts.passed == 1)
        await engine.delete(before.id)
    async with rules(tmp_path) as engine:
        assert engine.rules == {}


async def test_rule_that_cannot_run_any_more_says_why(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, HOT, republish("hot"))
        bad = msgspec.structs.replace(rule.spec, rawsql="SELEC")
        await engine._keep(bad)
        good = await make(engine, HOT, republish("hot"))
    async with rules(tmp_path) as engine:
        assert "expected FOREACH or SELECT" in engine.rule(bad.id).fault
        assert engine.rule(good.id).running is not None


def enabled(value: bool) -> Callable[[RuleSpec], RuleSpec]:
    return lambda spec: msgspec.structs.replace(spec, enabled=value)


async def test_rule_that_is_switched_off_has_nothing_waiting_for_it() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        rule = await engine.update(rule.id, enabled(False))
        engine.broker.publish("a", "x")
        page = await engine.broker.routes()
        assert page.rows == []
        rule = await engine.update(rule.id, enabled(True))
        engine.broker.publish("a", "x")
        await eventually_on_loop(lambda: rule.counts.matched == 1)
        assert counted(rule) == {"matched": 1, "passed": 1}


async def test_changed_rule_keeps_what_waits_and_its_counters() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        engine.broker.publish("a", "x")
        await eventually_on_loop(lambda: rule.counts.matched == 1)

        def other(spec: RuleSpec) -> RuleSpec:
            return msgspec.structs.replace(spec, rawsql='SELECT topic FROM "b"')

        changed = await engine.update(rule.id, other)
        engine.broker.publish("a", "x")
        engine.broker.publish("b", "x")
        await eventually_on_loop(lambda: changed.counts.matched == 2)
        assert changed.topics == ("b",)


async def test_change_that_cannot_be_made_changes_nothing() -> None:
    async with rules() as engine:
        rule = await make(engine, HOT, republish("hot"))

        def worse(spec: RuleSpec) -> RuleSpec:
            return msgspec.structs.replace(spec, rawsql="SELECT")

        with pytest.raises(RuleFault, match="rawsql: line 1, column 7"):
            await engine.update(rule.id, worse)
        assert engine.rule(rule.id) is rule
        assert rule.running is not None


async def test_what_cannot_be_a_rule_is_refused_and_leaves_nothing() -> None:
    async with rules(keys=Keys(max_rules=1)) as engine:
        for spec, why in (
            (RuleSpec("", 'SELECT * FROM "$events/nothing"'), "client_connected"),
            (RuleSpec("", 'SELECT * FROM "a/#/b"'), "topic filter"),
            (RuleSpec("a b", HOT), "id: 'a b'"),
            (RuleSpec("", ""), "rawsql: expected"),
            (RuleSpec("", HOT, on_action_failed="x"), "continue or stop"),
            (RuleSpec("", HOT, (action("x"),)), "no such action: expected data_to"),
            (RuleSpec("", HOT, (action("data_to_mqtt_broker"),)), "not here yet"),
            (RuleSpec("", HOT, (action("do_nothing"),) * 33), "32 at most"),
            (RuleSpec("", HOT, (ActionSpec("do_nothing", id="a"),) * 2), "two actions"),
            (RuleSpec("", HOT, (ActionSpec("do_nothing", id="a/b"),)), "id: 'a/b'"),
        ):
            with pytest.raises(RuleFault, match=why):
                await engine.create(spec)
        assert engine.rules == {}
        await make(engine, HOT, id="one")
        with pytest.raises(TakenError):
            await make(engine, HOT, id="one")
        with pytest.raises(RuleFault, match="max_rules"):
            await make(engine, HOT, id="two")


async def test_filter_that_the_core_does_not_take_makes_no_rule(tmp_path: Path) -> None:
    async with rules(tmp_path) as engine:
        rule = await make(engine, HOT, action("do_nothing"))
        with pytest.raises(ValueError, match="consumer"):
            await make(engine, 'SELECT * FROM "$share/g"')
        assert list(engine.rules) == [rule.id]

        def worse(spec: RuleSpec) -> RuleSpec:
            return msgspec.structs.replace(spec, rawsql='SELECT * FROM "$share/g"')

        with pytest.raises(ValueError, match="consumer"):
            await engine.update(rule.id, worse)
        engine.broker.publish("s/1", '{"t": 11}')
        await eventually_on_loop(lambda: rule.counts.passed == 1)
    async with rules(tmp_path) as engine:
        assert [each.fault for each in engine.rules.values()] == [""]


async def test_resource_that_rules_use_stays() -> None:
    async with rules() as engine:
        hook = ResourceSpec("hook", "web_hook", {"url": "http://127.0.0.1:1/"})
        await engine.create_resource(hook)
        sends = action("data_to_webserver", **{"$resource": "hook"})
        rule = await make(engine, HOT, sends)
        with pytest.raises(TakenError, match=rule.id):
            await engine.delete_resource("hook")
        with pytest.raises(TakenError, match="disable them first"):
            await engine.update_resource("hook", lambda spec: spec)
        await engine.delete(rule.id)
        await engine.delete_resource("hook")
        with pytest.raises(UnknownError):
            engine.resource("hook")


async def test_counts_begin_at_0_again() -> None:
    async with rules() as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        engine.broker.publish("a", "x")
        await eventually_on_loop(lambda: rule.actions[0].told() == (1, 0))
        engine.reset(rule.id)
        assert (counted(rule), rule.actions[0].told()) == ({}, (0, 0))
        engine.broker.publish("a", "x")
        await eventually_on_loop(lambda: rule.counts.matched == 1)


# --- what finds no room


async def test_messages_over_the_bound_are_dropped_and_counted() -> None:
    class Slow(Action):
        async def act(self, selected: object) -> Faults:
            await go.wait()
            return {}

    go = asyncio.Event()
    async with rules(keys=Keys(max_messages=10)) as engine:
        rule = await make(engine, 'SELECT topic FROM "a"', action("do_nothing"))
        assert rule.running is not None
        rule.running._actions = [Slow()]
        for _ in range(50):
            engine.broker.publish("a", "x")
        assert rule.dropped == 40
        go.set()
        await eventually_on_loop(lambda: rule.counts.matched == 10)
        same = await engine.update(rule.id, lambda spec: spec)
        assert same.dropped == 40
        off = await engine.update(rule.id, enabled(False))
        assert off.dropped == 40
        engine.reset(rule.id)
        assert off.dropped == 0


async def test_message_that_makes_too_many_rows_is_dropped() -> None:
    async with rules() as engine:
        sql = 'FOREACH payload.list AS item DO item AS n FROM "a"'
        rule = await make(engine, sql, action("do_nothing"))
        engine.broker.publish("a", json.dumps({"list": [1] * 1001}))
        engine.broker.publish("a", json.dumps({"list": [1, 2]}))
        await eventually_on_loop(lambda: rule.counts.matched == 2)
        assert counted(rule)["passed"] == 1
        assert rule.actions[0].told() == (2, 0)


def test_speeds_are_of_samples_of_10_s() -> None:
    now = 1000.0
    rate = Rate(lambda: now)
    rate.add(50)
    assert (rate.current, rate.max, rate.last_5m) == (0, 0, 0)
    now += SAMPLE_S
    assert (rate.current, rate.max, rate.last_5m) == (5, 5, 5)
    now += SAMPLE_S
    assert (rate.current, rate.max, rate.last_5m) == (0, 5, 2.5)
    now += 3600
    assert (rate.current, rate.max, rate.last_5m) == (0, 5, 0)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = sorted({name for kind in ACTIONS.values() for name in kind.params})


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(ACTIONS)),
    params=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), ANY, max_size=5),
)
def test_any_parameters_make_an_action_or_say_what_is_wrong(
    name: str, params: dict[str, object]
) -> None:
    def resource(resource_id: str) -> ResourceSpec:
        return ResourceSpec(resource_id, "web_hook", dict(params))

    tools = Tools(Broker(), Path("/nowhere"), resource, "rule", "action")
    masked(params)
    try:
        made = make_action(ActionSpec(name, params), tools)
    except RuleFault as fault:
        assert str(fault)
    else:
        assert made.told() == (0, 0)
