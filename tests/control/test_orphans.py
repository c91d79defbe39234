"""Consumers of plugins over a restart: they stay with what they are for, and end with it.

Who publishes to nobody is told "No matching subscribers" (0x10: MQTT 5.0, 3.4.2.1).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nanomq_py import Broker, consumers
from nanomq_py.plugins.part import Plugins
from nanomq_py.plugins.rules.model import RuleSpec
from nanomq_py.plugins.rules.plugin import Rules
from nanomq_py.plugins.rules.table import RuleTable
from tests.conftest import Process, StartBroker, free_port
from tests.control.test_restart import restart
from tests.devices.inside import loaded
from tests.raw import PUBACK
from tests.rules.running import make as make_rule
from tests.rules.running import republish, rules
from tests.test_broker import LOCAL

SUCCESS, NO_MATCHING_SUBSCRIBERS = 0, 0x10
AT_ONCE = 100
TOPIC = "dma/report/sys"
ENDED = "ended consumers that nothing wants any more: "

HOOKS: dict[str, str] = {
    "web__hook__enable": "true",
    "web__hook__url": "http://127.0.0.1:9/",  # nobody listens
    "web__hook__rule__message__publish__1": '{"action":"on_message_publish"}',
    "web__hook__rule__client__connack__1": '{"action":"on_client_connack"}',
}
RULES: dict[str, str] = {
    "plugins__load": "rules",
    "plugins__rules__max_messages": "100",
    "rule_option": "ON",
    "rule_option__repub": "enable",
    "rule__repub__1__topic": "told",
    "rule__event__publish__1__sql": 'SELECT payload FROM "other"',
    "rule__repub__2__topic": "told",
    "rule__event__publish__2__sql": f'SELECT payload FROM "{TOPIC}"',
}
DEVICES: dict[str, str] = {"plugins__load": "devices"}

# What is taken out, over half of how many messages its publishers wait, and what ends.
TAKEN_OUT: dict[str, tuple[dict[str, str], dict[str, str | None], int, list[str]]] = {
    "web hooks": (HOOKS, {"web__hook__enable": "false"}, 8192, ["webhook/messages"]),
    "a web hook": (
        HOOKS,
        {"web__hook__rule__message__publish__1": None},
        8192,
        ["webhook/messages"],
    ),
    "rules": (
        RULES,
        {"plugins__load": None, "rule_option": "OFF"},
        100,
        ["rules/conf:1", "rules/conf:2"],
    ),
    "all rules": (RULES, {"rule_option": "OFF"}, 100, ["rules/conf:1", "rules/conf:2"]),
    "a rule": (
        RULES,
        {"rule__repub__2__topic": None, "rule__event__publish__2__sql": None},
        100,
        ["rules/conf:2"],
    ),
    "devices": (
        DEVICES,
        {"plugins__load": None},
        200,
        ["devices/answers", "devices/reports"],
    ),
}


def publish(process: Process, count: int) -> set[int]:
    """Publish so many; return the Reason Codes that acknowledge them."""
    codes: set[int] = set()
    with process.raw(5) as c:
        c.connect("p")
        for first in range(0, count, AT_ONCE):
            for n in range(AT_ONCE):
                c.publish(TOPIC, b"%d" % (first + n), qos=1, packet_id=1 + n)
            codes |= {c.expect(PUBACK).reason for _ in range(AT_ONCE)}
    return codes


@pytest.mark.parametrize("what", TAKEN_OUT)
def test_what_is_taken_out_of_the_configuration_holds_nobody_after_a_restart(
    start_broker: StartBroker, what: str
) -> None:
    keys, out, bound, ends = TAKEN_OUT[what]
    process = start_broker(**keys, http_server__port=str(free_port()))
    assert publish(process, AT_ONCE) == {SUCCESS}
    process.set_keys(**out)
    restart(process)
    assert publish(process, 2 * bound) == {NO_MATCHING_SUBSCRIBERS}
    [line] = [line for line in process.lines if ENDED in line]
    assert f"{ENDED}{len(ends)}, with " in line
    assert line.rstrip().endswith(": " + ", ".join(f"'plugins/{name}'" for name in ends))


@pytest.mark.parametrize("keys", [HOOKS, RULES, DEVICES], ids=["hooks", "rules", "devices"])
def test_what_is_still_there_after_a_restart_goes_on(
    start_broker: StartBroker, keys: dict[str, str]
) -> None:
    process = start_broker(**keys, http_server__port=str(free_port()))
    publish(process, AT_ONCE)
    restart(process)
    assert publish(process, AT_ONCE) == {SUCCESS}
    assert ENDED not in "".join(process.lines)


# --- what ends, and what does not


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


def leave(broker: Broker, *names: str) -> None:
    """Have consumers of the process before, each with a message."""
    for name in names:
        broker.consume(name, ["left"]).close()
    broker.publish("left", b"")


def names(broker: Broker) -> list[str]:
    return sorted(each.name for each in broker.consumers().rows)


async def test_only_closed_consumers_of_plugins_that_are_not_there_end(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MOST_LOOKED_AT", 2)
    leave(broker, "mine", "plugins", "plugins/", "plugins/gone", "plugins/gone/%s")
    with caplog.at_level(logging.WARNING, "nanomq"):
        async with broker.consume("plugins/mine/open", ["left"]):
            await Plugins(broker).start()
            assert names(broker) == ["mine", "plugins", "plugins/mine/open"]
    assert caplog.messages == [
        f"{ENDED}3, with 3 messages: 'plugins/', 'plugins/gone', 'plugins/gone/%s'"
    ]


async def test_message_routes_that_the_store_does_not_have_end(broker: Broker) -> None:
    leave(broker, "devices/route/1", "plugins/devices/route/1", "plugins/devices/route/2")
    async with loaded(broker) as its:
        assert names(broker) == [
            "devices/route/1",
            "plugins/devices/answers",
            "plugins/devices/reports",
        ]
        made = await its.api.routes.add("x", "left", "http://127.0.0.1:9/")
        its.plugin.leave()
    leave(broker, made.consumer, "plugins/devices/route/9")
    async with loaded(broker):
        assert made.consumer in names(broker)
        assert "plugins/devices/route/9" not in names(broker)


async def test_consumer_of_a_rule_that_cannot_run_now_stays(tmp_path: Path) -> None:
    async with Broker(LOCAL, conf=tmp_path / "nanomq.conf") as broker:
        await check_rules_that_stay(broker)


async def check_rules_that_stay(broker: Broker) -> None:
    table = RuleTable(broker.store)
    for name, sql in {"stays": "SELECT", "runs": 'SELECT * FROM "left"'}.items():
        await table.put(RuleSpec(name, sql, (), enabled=True))
    await table.put(RuleSpec("off", "SELECT", (), enabled=False))
    leave(broker, *(f"plugins/rules/{name}" for name in ("stays", "runs", "off", "gone")))
    plugin = Rules("rules", broker)
    await plugin.start()
    assert names(broker) == ["plugins/rules/runs", "plugins/rules/stays"]
    await plugin.stop()


async def test_rule_that_hears_of_events_alone_now_keeps_no_messages() -> None:
    async with rules() as engine:
        made = await make_rule(engine, 'SELECT * FROM "left"', republish("x"), id="r")
        assert names(engine.broker) == ["plugins/rules/r"]
        sql = 'SELECT * FROM "$events/client_connected"'
        await engine.update(
            made.id, lambda it: RuleSpec(it.id, sql, it.actions, enabled=it.enabled)
        )
        assert names(engine.broker) == []
