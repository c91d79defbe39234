"""Access rules: acl.rule.N, acl_nomatch and acl_deny_action, against a real broker."""

from __future__ import annotations

import json

import pytest

from tests import raw
from tests.conformance.flows import closed_with, give, modern, take
from tests.conftest import StartBroker
from tests.raw import PUBACK, PUBLISH, PUBREC, SUBACK

DENIED = {4: 0x80, 5: 0x87}


def rules(*given: dict[str, object]) -> dict[str, str]:
    return {f"acl__rule__{n}": json.dumps(rule) for n, rule in enumerate(given, start=1)}


@modern
def test_first_rule_that_applies_decides(start_broker: StartBroker, version: int) -> None:
    process = start_broker(
        **rules(
            {"permit": "allow", "clientid": "boss", "topics": ["secret/#"]},
            {"permit": "deny", "action": "subscribe", "topics": ["secret/#", "test/no"]},
            {"permit": "deny", "action": "publish", "topics": ["secret/+"]},
        )
    )
    no = DENIED[version]
    with process.raw(version) as c:
        c.connect("c")
        asked = [
            ("secret/a", 1),
            ("secret/#", 0),
            ("test/no", 2),
            ("test/yes", 2),
            ("a", 0),
        ]
        assert c.subscribe(*asked) == [no, no, no, 2, 0]
        assert c.subscribe(("$share/g/secret/a", 0), ("$share/g/test/yes", 0)) == [no, 0]
    with process.raw(version) as boss, process.raw(version) as c:
        boss.connect("boss")
        c.connect("c")
        assert boss.subscribe(("secret/#", 1)) == [1]
        for qos in (0, 1, 2):
            reason = give(c, "secret/a", b"no", qos)
            assert reason == (0x87 if version == 5 and qos else 0)
        give(c, "secret/a/b", b"below", 0)  # "+" is one level
        assert take(boss)[:2] == ("secret/a/b", b"below")
        boss.publish("secret/a", b"own")
        assert take(boss)[1] == b"own"
        boss.assert_silent()


@modern
def test_what_no_rule_names_is_denied_where_the_configuration_says_so(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        acl_nomatch="deny",
        auth__1__login="ann",
        auth__1__password="p",
        **rules(
            {"permit": "allow", "action": "publish", "topics": ["up/%c/#"]},
            {"permit": "allow", "action": "subscribe", "topics": ["down/%c", "users/%u/+"]},
        ),
    )
    no = DENIED[version]
    with process.raw(version) as c:
        c.connect("dev1", user="ann", password=b"p")
        asked = [("down/dev1", 0), ("down/dev2", 0), ("down/+", 0), ("users/ann/+", 0),
                 ("users/bob/x", 0), ("users/ann/#", 0), ("#", 0)]  # fmt: skip
        assert c.subscribe(*asked) == [0, no, no, 0, no, no, no]
        assert give(c, "up/dev1/t", b"x", 1) == (0x10 if version == 5 else 0)
        assert give(c, "up/dev2/t", b"x", 1) == (0x87 if version == 5 else 0)
    with process.raw(version) as c:
        c.connect("dev2")  # without a user name "%u" is nobody
        assert (
            c.subscribe(("users/ann/x", 0), ("users/%u/x", 0), ("down/%c", 0)) == [no] * 3
        )


@modern
def test_denied_client_is_disconnected_where_the_configuration_says_so(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        acl_deny_action="disconnect", **rules({"permit": "deny", "topics": ["no/#"]})
    )
    for packet in (
        raw.publish("no/a", b"x", version),
        raw.publish("no/a", b"x", version, qos=2, packet_id=1),
        raw.subscribe(1, ("yes", 0), ("no/a", 0), version=version),
    ):
        with process.raw(version) as c:
            c.connect("c")
            c.send(packet)
            assert closed_with(c) == (0x87 if version == 5 else None)
    with process.raw(version) as c:
        c.connect("c")
        assert c.subscribe(("yes", 0)) == [0]


@modern
def test_will_that_its_client_may_not_publish_is_refused(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        **rules({"permit": "deny", "action": "publish", "topics": ["no/#"]})
    )
    with process.raw(version) as c:
        got = c.connect("c", will=("no/a", b"x", 0, False))
        assert got.reason == (0x87 if version == 5 else 5)
        assert c.read_until_closed() == []
    with process.raw(version) as c:
        assert c.connect("c", will=("yes", b"x", 0, False)).reason == 0


@pytest.mark.parametrize(
    ("who", "applies"),
    [
        ({}, True),
        ({"username": "#", "clientid": "#"}, True),
        ({"username": "u"}, True),
        ({"username": "v"}, False),
        ({"clientid": "c"}, True),
        ({"clientid": "d"}, False),
        ({"username": "u", "clientid": "d"}, False),
        ({"ipaddr": "127.0.0.1"}, True),
        ({"ipaddr": "127.0.0.0/8"}, True),
        ({"ipaddr": "127.0.0.0/31"}, True),
        ({"ipaddr": "126.0.0.0/7"}, True),
        ({"ipaddr": "127.0.0.2/31"}, False),
        ({"ipaddr": "10.0.0.0/8"}, False),
        ({"ipaddr": "0.0.0.0/0"}, True),
        ({"ipaddr": "::1"}, False),
        ({"ipaddr": "::ffff:127.0.0.1"}, True),
        ({"ipaddr": "::ffff:0:0/96"}, True),
        ({"ipaddr": "::ffff:10.0.0.0/104"}, False),
        ({"ipaddr": "::/0"}, False),
    ],
)
def test_whom_a_rule_is_for(
    start_broker: StartBroker, who: dict[str, object], applies: bool
) -> None:
    process = start_broker(
        auth__1__login="u", auth__1__password="p", **rules({"permit": "deny", **who})
    )
    with process.raw(5) as c:
        c.connect("c", user="u", password=b"p")
        assert c.subscribe(("a", 0)) == [0x87 if applies else 0]


def test_denied_publish_says_why_and_keeps_nothing(start_broker: StartBroker) -> None:
    process = start_broker(
        **rules({"permit": "deny", "action": "publish", "topics": ["a"]})
    )
    with process.raw(5) as c:
        c.connect("c")
        c.publish("a", b"kept", qos=1, packet_id=1, retain=True)
        got = c.expect(PUBACK)
        assert got.reason == 0x87
        assert b"access rule" in got.properties
        c.publish("a", b"kept", qos=2, packet_id=1, properties=b"\x23\x00\x01")
        assert c.expect(PUBREC).reason == 0x87
        c.publish("", b"aliased", qos=1, packet_id=2, properties=b"\x23\x00\x01")
        assert c.expect(PUBACK).reason == 0x87  # by the topic behind the alias
        c.send(raw.subscribe(1, ("a", 0), version=5))
        assert c.expect(SUBACK).codes == [0]
        c.assert_silent()


def test_rules_of_a_session_are_those_of_its_present_connection(
    start_broker: StartBroker,
) -> None:
    process = start_broker(
        auth__1__login="low",
        auth__1__password="l",
        auth__2__login="high",
        auth__2__password="h",
        **rules({"permit": "deny", "username": "low", "topics": ["a"]}),
    )
    options = {"clean": False, "properties": b"\x11\x00\x00\x00\x3c"}
    with process.raw(5) as c:
        c.connect("c", user="high", password=b"h", **options)
        c.publish("a", b"x", qos=1, packet_id=1)
        assert c.expect(PUBACK).reason == 0x10
        c.leave()
    with process.raw(5) as c:
        c.connect("c", user="low", password=b"l", **options)
        c.publish("a", b"x", qos=1, packet_id=1)
        assert c.expect(PUBACK).reason == 0x87


def test_a_thousand_rules_are_searched_in_order(start_broker: StartBroker) -> None:
    many = [{"permit": "deny", "clientid": f"d{n}", "topics": ["#"]} for n in range(1000)]
    process = start_broker(**rules(*many, {"permit": "allow"}))
    with process.raw() as c, process.raw() as d:
        c.connect("c")
        d.connect("d999")
        assert c.subscribe(("a", 0)) == [0]
        assert d.subscribe(("a", 0)) == [0x80]
        c.publish("a", b"x")
        assert c.expect(PUBLISH).payload == b"x"
