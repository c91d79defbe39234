"""``POST /acl/test``: this broker's own endpoint of v4."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Process, StartBroker
from tests.http.v4 import PREFIXES, assert_refused, call

PUBLISH = {"action": "publish", "topic": "a"}


@pytest.mark.endpoint("v4", "POST /acl/test", "success")
def test_rule_that_decides_is_named(start_broker: StartBroker) -> None:
    broker = start_broker(
        acl__rule__1='{"permit":"deny","ipaddr":"10.0.0.0/8","topics":["a"]}',
        acl__rule__2='{"permit":"deny","action":"subscribe","qos":2,"topics":["#"]}',
    )
    rule = f"{broker.conf}:%d: acl.rule.%d"
    allowed = {"result": "allow", "decided_by": "acl_nomatch=allow"}
    for given, verdict in (
        (PUBLISH, allowed),
        ({**PUBLISH, "ip_address": "10.1.2.3"},
         {"result": "deny", "decided_by": rule % (5, 1)}),
        ({"action": "subscribe", "topic": "b/#", "qos": 2},
         {"result": "deny", "decided_by": rule % (6, 2)}),
        ({"action": "publish", "topic": "$SYS/x", "username": "u", "clientid": "c"},
         {"result": "deny", "decided_by": "$SYS topics are the broker's"}),
    ):  # fmt: skip
        for prefix in PREFIXES:
            said = call(broker, "POST", f"{prefix}/acl/test", given)
            assert said.json == {"data": verdict, "code": 0}


@pytest.mark.endpoint("v4", "POST /acl/test", "108")
@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"{", 109, "expected JSON"),
        ({}, 107, "action: missing, topic: missing"),
        ({"action": "publish"}, 107, "topic: missing"),
        ({"action": "pub", "topic": "a"}, 108, "action: "),
        ({"action": "publish", "topic": "a/#"}, 108, "a/#"),
        ({"action": "subscribe", "topic": "a/#/b"}, 108, "a/#/b"),
        ({**PUBLISH, "qos": 3}, 108, "qos: "),
        ({**PUBLISH, "ip_address": "x"}, 108, "ip_address: expected an IP address"),
        ({**PUBLISH, "clientid": "x" * 65536}, 108, "client_id"),
        ({**PUBLISH, "retain": 1}, 108, "retain: "),
    ],
)
def test_bad_trial_is_refused(broker: Process, body: Any, code: int, text: str) -> None:
    assert_refused(call(broker, "POST", "/api/v4/acl/test", body), 400, code, text)


def test_stranger_is_not_let_in(broker: Process) -> None:
    assert_refused(call(broker, "POST", "/api/v4/acl/test", PUBLISH, auth=""), 401, 104)
