"""What the ACL of a token allows and denies, against a real broker."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nanomq_py.auth.token_acl import rules_of
from nanomq_py.core.records import Trial
from nanomq_py.tokens.jws import Refused
from tests import raw
from tests.conformance.flows import closed_with, give, kept, modern, take
from tests.conftest import Process, StartBroker
from tests.raw import PUBLISH
from tests.tokens import SECRET, token

NO = {4: 0x80, 5: 0x87}
JWT = {"auth__jwt__enable": "true", "auth__jwt__secret": SECRET}
PAIR = {"pub": ["up/${clientid}/#"], "sub": ["down/${username}", "all/#"], "all": ["both"]}


def come(
    process: Process, version: int, name: str, acl: object = None, **more: Any
) -> raw.Raw:
    """Connect with a token; acl None: without one."""
    c = process.raw(version)
    claims = {"sub": "ann", **({} if acl is None else {"acl": acl})}
    made = token(**claims, exp=more.pop("exp", time.time() + 600))
    assert c.connect(name, user="u", password=made.encode(), **more).reason == 0
    return c


def reason(version: int, code: int) -> int:
    return code if version == 5 else 0


@modern
@pytest.mark.parametrize("otherwise", ["allow", "deny"])
def test_what_the_lists_do_not_name_is_denied(
    start_broker: StartBroker, version: int, otherwise: str
) -> None:
    """Whatever the rules of the configuration say."""
    process = start_broker(acl_nomatch=otherwise, **JWT)
    no = NO[version]
    with come(process, version, "dev", PAIR) as c:
        asked = ["down/ann", "down/u", "down/+", "all/#", "all/a", "both", "up/dev/a", "#"]
        granted = c.subscribe(*((topic, 0) for topic in asked))
        assert granted == [0, no, no, 0, 0, 0, no, no]
        assert c.subscribe(("$share/g/all/x", 0), ("$share/g/x", 0)) == [0, no]
        assert c.subscribe(("$SYS/#", 0), ("+", 0)) == [no, no]
    with come(process, version, "dev", PAIR) as c:
        for topic, may in (("up/dev/a", True), ("up/dev", True), ("both", True),
                           ("up/u/a", False), ("all/a", False), ("x", False)):  # fmt: skip
            got = give(c, topic, b"", 1)
            assert got == reason(version, 0x87) or may, topic
            assert (got in (0, 0x10)) is (may or version == 4), topic


@modern
def test_list_of_rules_passes_what_it_does_not_name_to_the_others(
    start_broker: StartBroker, version: int
) -> None:
    rule = {"permit": "deny", "action": "publish", "topics": ["a/#", "b/#"]}
    process = start_broker(acl__rule__1=json.dumps(rule), **JWT)
    acl = [
        {"permission": "deny", "action": "sub", "topic": "a/secret"},
        {"permission": "allow", "action": "publish", "topics": ["a/${username}", "a/b"]},
        {"permission": "deny", "action": "all", "topic": "c/#"},
    ]
    no = NO[version]
    with come(process, version, "dev", acl) as c:
        assert c.subscribe(("a/#", 0), ("a/x", 0), ("c/x", 0), ("b", 0)) == [no, 0, no, 0]
        for topic, may in (("a/ann", True), ("a/b", True), ("a/c", False), ("b/x", False),
                           ("c", False), ("d", True)):  # fmt: skip
            got = give(c, topic, b"", 1)
            assert (got in (0, 0x10)) is (may or version == 4), topic


@modern
def test_disconnecting_rules_disconnect_also_for_what_a_token_denies(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(acl_deny_action="disconnect", acl_nomatch="deny", **JWT)
    with come(process, version, "dev", PAIR) as c:
        c.publish("x", b"no")
        assert closed_with(c) == (0x87 if version == 5 else None)


@modern
def test_will_is_judged_by_the_token(start_broker: StartBroker, version: int) -> None:
    process = start_broker(acl_nomatch="deny", **JWT)
    with process.raw(version) as c:
        made = token(acl=PAIR).encode()
        refused = c.connect("dev", user="u", password=made, will=("x", b"", 0, False))
        assert refused.reason == (0x87 if version == 5 else 5)
    with come(process, version, "watcher", {"sub": ["#"]}) as watcher:
        watcher.subscribe(("#", 0))
        gone = come(process, version, "dev", PAIR, will=("up/dev/a", b"over", 0, True))
        gone.close()
        assert take(watcher)[:2] == ("up/dev/a", b"over")
    with come(process, version, "later", {"sub": ["#"]}) as later:
        later.subscribe(("#", 0))
        assert take(later)[:2] == ("up/dev/a", b"over")


@modern
def test_retained_message_that_a_token_allowed_stays_allowed(
    start_broker: StartBroker, version: int
) -> None:
    """The rules deny it, and they change meanwhile."""
    process = start_broker(acl_nomatch="deny", **JWT)
    rule = {"permit": "allow", "action": "publish", "topics": ["by-rule"]}
    with come(process, version, "dev", [*PAIR_AS_RULES]) as c:
        c.publish("up/dev/a", b"1", retain=True)
        c.ping()
        process.reload(acl__rule__1=json.dumps(rule))
        c.publish("by-rule", b"2", retain=True)
        c.publish("up/dev/b", b"3", retain=True)
        c.ping()
    with come(process, version, "all", {"sub": ["#"]}) as watcher:
        watcher.subscribe(("#", 0))
        assert {take(watcher)[0] for _ in range(3)} == {"up/dev/a", "by-rule", "up/dev/b"}
    process.reload(acl__rule__1=None)
    with come(process, version, "all", {"sub": ["#"]}) as watcher:
        watcher.subscribe(("#", 0))
        assert {take(watcher)[0] for _ in range(2)} == {"up/dev/a", "up/dev/b"}
        watcher.assert_silent()


PAIR_AS_RULES = [{"permission": "allow", "action": "pub", "topic": "up/${clientid}/+"}]


@modern
def test_kept_session_is_judged_by_the_token_of_its_next_connection(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(acl_nomatch="deny", **JWT)
    with come(process, version, "dev", {"sub": ["a", "b"]}, **kept(version)) as c:
        assert c.subscribe(("a", 1), ("b", 1)) == [1, 1]
        c.leave()
    with come(process, version, "feeder", {"pub": ["#"]}) as feeder:
        for topic in "ab":
            assert give(feeder, topic, b"1", 1) == 0  # kept while it is away
        with come(process, version, "dev", {"sub": ["b", "c"]}, **kept(version)) as c:
            assert take(c)[:2] == ("b", b"1")
            give(feeder, "a", b"2", 0)
            c.assert_silent()
            c.leave()
        with come(process, version, "dev", **kept(version)) as c:  # no ACL: the rules
            give(feeder, "b", b"3", 0)
            c.assert_silent()


@modern
def test_change_of_rules_leaves_what_a_token_allows(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(**JWT)
    acl = [{"permission": "allow", "action": "sub", "topic": "a"}]
    with (
        come(process, version, "feeder") as feeder,
        come(process, version, "dev", acl, **kept(version)) as c,
        come(process, version, "away", acl, **kept(version)) as away,
    ):
        for one in (c, away):
            assert one.subscribe(("a", 0), ("b", 0)) == [0, 0]
        away.leave()
        rule = {"permit": "deny", "action": "subscribe", "topics": ["#"]}
        process.reload(acl__rule__1=json.dumps(rule))
        feeder.publish("b", b"no")
        feeder.publish("a", b"yes", qos=1, packet_id=1)
        assert c.expect(PUBLISH).topic == "a"
        with come(process, version, "away", acl, clean=False, **props(version)) as back:
            assert back.subscribe(("a", 0), ("b", 0)) == [0, NO[version]]


def props(version: int) -> dict[str, Any]:
    return {k: v for k, v in kept(version).items() if k != "clean"}


BAD_QOS: tuple[object, ...] = (
    3, -1, "3", "", "0,", "0 1", [], [3], [[0]], ["x"], True, 1.5, 10**5000, {},
)  # fmt: skip
BAD_RETAIN: tuple[object, ...] = ("no", "", "2", 2, -1, 1.5, 10**5000, [], [True], {})


@pytest.mark.parametrize(
    "acl",
    [
        None, 1, "a", True, [1], ["a"], {"pub": "a"}, {"pub": [1]}, {"publish": ["a"]},
        {"pub": [""]}, {"pub": ["a#"]}, {"pub": ["#/a"]}, {"pub": ["a\x00"]},
        {"pub": ["${host}"]}, {"pub": ["x${"]}, {"pub": ["${client_attrs.a}"]},
        {"pub": ["/" * 300]}, {"pub": ["eq "]}, {"pub": ["eq a#"]}, {"pub": ["eq ${host}"]},
        [{}], [{"permission": "allow", "action": "publish"}],
        [{"permission": "Allow", "action": "publish", "topic": "a"}],
        [{"permission": "allow", "action": "do", "topic": "a"}],
        [{"permission": "allow", "action": "publish", "topics": []}],
        *[[{"permission": "allow", "action": "publish", "topic": "a", "qos": qos}]
          for qos in BAD_QOS],
        *[[{"permission": "allow", "action": "publish", "topic": "a", "retain": retain}]
          for retain in BAD_RETAIN],
        [{"permission": "allow", "action": "subscribe", "topic": "a", "retain": "no"}],
        [{"permission": "allow", "action": "publish", "topic": "a", "who": "x"}],
    ],
)  # fmt: skip
@pytest.mark.plain
def test_acl_that_cannot_be_kept_refuses_the_token(acl: object) -> None:
    with pytest.raises(Refused, match="ACL"):
        rules_of(acl)


def kinds(action: str, **conditions: object) -> set[tuple[object, ...]]:
    """Return what a rule with these conditions is about: QoS, and RETAIN of a message."""
    rules = rules_of([{"permission": "deny", "action": action, "topic": "a", **conditions}])
    publishes = {
        (qos, retain)
        for qos in range(3)
        for retain in (False, True)
        if rules.decides(Trial(topic="a", publish=True, qos=qos, retain=retain)) == 0
    }
    subscribes = {
        (qos,) for qos in range(3) if rules.decides(Trial(topic="a", qos=qos)) == 0
    }
    return publishes | subscribes


EITHER = (False, True)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {0, 1, 2}), (0, {0}), (2, {2}), ("1", {1}), ("0,2", {0, 2}), ([0], {0}),
        ([0, 1], {0, 1}), (["0", 2], {0, 2}), ([1, 1], {1}), ([0, 1, 2], {0, 1, 2}),
    ],
)  # fmt: skip
def test_qos_that_a_rule_is_about(given: object, expected: set[int]) -> None:
    both = {(qos, retain) for qos in expected for retain in EITHER}
    assert kinds("publish", qos=given) == both
    assert kinds("subscribe", qos=given) == {(qos,) for qos in expected}
    assert kinds("all", qos=given) == both | {(qos,) for qos in expected}


@pytest.mark.plain
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, EITHER), ("all", EITHER), (True, (True,)), (1, (True,)), ("1", (True,)),
        ("true", (True,)), (False, (False,)), (0, (False,)), ("0", (False,)),
        ("false", (False,)),
    ],
)  # fmt: skip
def test_retain_that_a_rule_is_about(given: object, expected: tuple[bool, ...]) -> None:
    """A subscription has none, so the rule is about any."""
    published = {(qos, retain) for qos in range(3) for retain in expected}
    assert kinds("publish", retain=given) == published
    assert kinds("subscribe", retain=given) == {(0,), (1,), (2,)}
    assert kinds("all", retain=given, qos=1) == {(1,), *((1, r) for r in expected)}


@pytest.mark.plain
@pytest.mark.parametrize(
    ("rule", "topic", "applies"),
    [
        ("a-${clientid}/x", "a-dev/x", True), ("a-${clientid}/x", "a-ann/x", False),
        ("%c.${username}", "dev.ann", True), ("${username}%c", "anndev", True),
        ("x/${username}", "x/ann", True), ("x/%u", "x/+", False),
        ("eq a/+", "a/+", True), ("eq a/+", "a/b", False), ("eq #", "#", True),
        ("eq #", "a", False), ("eq x/${clientid}/#", "x/dev/#", True),
        ("eq x/${clientid}/#", "x/dev/a", False), ("eq eq a", "eq a", True),
        ("eq", "eq", True), ("@a", "@a", True), ("@a", "a", False),
    ],
)  # fmt: skip
def test_topic_that_a_rule_is_about(rule: str, topic: str, applies: bool) -> None:
    rules = rules_of({"sub": [rule]})
    trial = Trial(topic=topic, client_id="dev", user_name="ann")
    assert (rules.decides(trial) == 0) is applies


@modern
def test_conditions_of_a_token_hold(start_broker: StartBroker, version: int) -> None:
    process = start_broker(acl_nomatch="deny", **JWT)
    acl = [
        {"permission": "deny", "action": "subscribe", "topic": "eq #"},
        {"permission": "deny", "action": "publish", "topic": "a/#", "retain": True},
        {"permission": "allow", "action": "publish", "topic": "a/#", "qos": [1, 2]},
        {"permission": "allow", "action": "subscribe", "topic": "#", "qos": 1},
    ]
    no = NO[version]
    with (
        come(process, version, "dev", acl) as c,
        come(process, version, "feeder", acl) as feeder,
    ):
        assert c.subscribe(("#", 1), ("+", 0), ("+/b", 1)) == [no, no, 1]
        assert give(feeder, "a/b", b"may", 1) == 0
        assert take(c)[:2] == ("a/b", b"may")
        give(feeder, "a/b", b"qos 0", 0)
        assert give(feeder, "a/b", b"retained", 1, retain=True) == reason(version, 0x87)
        c.assert_silent()
    with come(process, version, "late", acl) as c:
        assert c.subscribe(("a/b", 1)) == [1]
        c.assert_silent()  # nothing was retained


@modern
def test_refused_acl_refuses_the_client(start_broker: StartBroker, version: int) -> None:
    process = start_broker(auth__jwt__acl_claim="rights", **JWT)
    with process.raw(version) as c:
        made = token(rights={"pub": "a"}).encode()
        assert c.connect("c", user="u", password=made).reason == {4: 4, 5: 0x86}[version]
    process.waits_for("its ACL is none that is known here")
    with process.raw(version) as c:
        made = token(acl={"pub": "a"}).encode()  # a claim like any other
        assert c.connect("c", user="u", password=made).reason == 0


@modern
def test_no_rule_counts_for_a_superuser_of_a_token(
    start_broker: StartBroker, version: int
) -> None:
    """Until a reload takes that away, which ends the connection."""
    process = start_broker(
        acl_nomatch="deny", auth__jwt__superuser_claim="is_superuser", **JWT
    )
    password = token(sub="ann", acl={"pub": []}, is_superuser=True).encode()
    with process.raw(version) as c:
        assert c.connect("c", user="u", password=password).reason == 0
        assert c.subscribe(("a", 0)) == [0]
        c.publish("a", b"1")
        assert c.expect(PUBLISH).payload == b"1"
        process.reload(auth__jwt__superuser_claim=None)
        assert closed_with(c) == {4: None, 5: 0x87}[version]
    with process.raw(version) as c:
        assert c.connect("c", user="u", password=password).reason == 0
        assert c.subscribe(("a", 0)) == [NO[version]]
