"""What an attacker makes of rules: messages, statements and bodies that are meant to harm.

Source  MQTT 5.0, 4.7; EMQX 4.4, rule engine
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from nanomq_py.plugins.rules.columns import wanted_of
from nanomq_py.plugins.rules.model import ResourceSpec, RuleSpec
from tests.delivery.receiving import receiving
from tests.rules.running import (
    action,
    counted,
    make,
    payloads,
    republish,
    rules,
    until,
)

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
        await until(lambda: sum(rule.actions[0].told()) == 3)
        assert rule.actions[0].told() == (2, 1)


async def test_row_that_no_body_takes_takes_no_other_with_it(tmp_path: Path) -> None:
    async with receiving() as receiver, rules(tmp_path) as engine:
        hook = ResourceSpec("hook", "web_hook", {"url": receiver.url})
        await engine.create_resource(hook)
        sends = action("data_to_webserver", **{"$resource": "hook", "body": "${a}"})
        rule = await make(engine, 'SELECT payload.a AS a FROM "p"', sends)
        for payload in (b'{"a":1}', TOO_DEEP, b'{"a":2}'):
            engine.broker.publish("p", payload, qos=1)
        await until(lambda: sum(rule.actions[0].told()) == 3)
        assert rule.actions[0].told() == (2, 1)


def test_functions_of_columns_are_known_in_any_letters() -> None:
    text = "SELECT CLIENTID() AS c, Payload('a') AS d, MsgId(), CLIENTIP(), FLAG('dup') FROM t"
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
