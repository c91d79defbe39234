"""Messages that a program publishes as a client, and what that client may do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.events import Dropped
from tests import raw
from tests.answering import NO, OK, Answering, answering, status
from tests.conformance.flows import kept
from tests.raw import Raw, text
from tests.test_limits import limited

pytestmark = pytest.mark.timeout(60)

NO_LOCAL = 4


def rules(*given: dict[str, Any]) -> dict[str, str]:
    return {f"acl__rule__{n}": json.dumps(rule) for n, rule in enumerate(given, start=1)}


async def test_message_has_the_identity_of_its_client() -> None:
    async with limited() as (broker, port):
        tap = broker.subscribe("#")
        with Raw(port, 5) as c:
            c.connect("c", user="anna")
            await broker.publish_as("c", "a", b"1")
            await broker.publish_as("nobody", "a", b"2")
            mine, of_none = await anext(tap), await anext(tap)
            client = broker.client("c")
            assert client is not None
            assert mine.publisher is not None
            assert (mine.publisher.client_id, mine.publisher.user_name) == ("c", "anna")
            assert mine.publisher.address == client.peer
            assert mine.publisher.listener == "tcp"
            assert of_none.publisher is not None
            assert (of_none.publisher.client_id, of_none.publisher.user_name) == (
                "nobody",
                None,
            )


async def test_message_of_a_client_that_is_away_has_its_user_name() -> None:
    async with limited() as (broker, port):
        with Raw(port, 5) as c:
            c.connect("c", user="anna", **kept(5))
            await asyncio.to_thread(c.leave)
        tap = broker.subscribe("#")
        await broker.publish_as("c", "a", b"1")
        who = (await anext(tap)).publisher
        assert who is not None
        assert (who.client_id, who.user_name) == ("c", "anna")


@pytest.mark.spec("MQTT-3.8.3-3")
async def test_own_subscription_with_no_local_does_not_get_it() -> None:
    async with limited() as (broker, port):
        with Raw(port, 5) as c, Raw(port, 5) as other:
            for client, name in ((c, "c"), (other, "other")):
                client.connect(name)
                client.subscribe(("a", NO_LOCAL))
            assert await broker.publish_as("c", "a", b"1") == 1
            assert other.expect(raw.PUBLISH).payload == b"1"
            c.assert_silent()


async def test_all_of_a_message_travels() -> None:
    async with limited(sys_interval="0") as (broker, port):
        with Raw(port, 5) as c:
            c.connect("c")
            c.subscribe(("a", 2))
            await broker.publish_as(
                "p",
                "a",
                "x",
                qos=2,
                retain=True,
                message_expiry_interval=100,
                content_type="t",
                user_properties=[("k", "v")],
            )
            got = c.expect(raw.PUBLISH)
            assert (got.qos, got.payload) == (2, b"x")
            expires = b"\x02" + (100).to_bytes(4, "big")
            assert got.properties == (
                expires + b"\x03" + text("t") + b"\x26" + text("k") + text("v")
            )
        row = (await broker.retained()).rows[-1]
        assert (row.topic_name, row.client_id) == ("a", "p")


async def test_lost_message_is_told_as_that_of_its_client() -> None:
    async with limited() as (broker, port):
        events = broker.events([Dropped])
        with Raw(port) as c:
            c.connect("c")
            assert await broker.publish_as("c", "a", b"1") == 0
            event = await anext(events)
            assert event.message is not None
            assert event.message.publisher is not None
            assert event.message.publisher.client_id == "c"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"client_id": "a\0b"}, r"client_id='a\\x00b': expected at most 65535 bytes"),
        ({"client_id": "a" * 65536}, "expected at most 65535 bytes"),
        ({"topic_name": "a/#"}, "'a/#': not a valid topic name"),
        ({"topic_name": "b" * 70_000}, "^'" + "b" * 100 + "': "),
        ({"topic_name": "\ud800"}, "surrogates not allowed"),
        ({"qos": 3}, "qos=3"),
        ({"response_topic": "+"}, "response_topic='.': expected a topic name"),
        ({"topic_name": "a/#", "check_access": True}, "'a/#': not a valid topic name"),
        ({"qos": 3, "check_access": True}, "qos=3"),
        ({"topic_name": "a\0", "check_access": True}, "topic_name='a.x00'"),
    ],
)
async def test_what_mqtt_does_not_allow_is_refused(wrong: dict[str, Any], why: str) -> None:
    async with limited() as (broker, _):
        with pytest.raises(ValueError, match=why):
            await broker.publish_as(
                **{"client_id": "c", "topic_name": "a", "payload": b""} | wrong
            )


# --- access


DENIES = rules(
    {"permit": "deny", "username": "anna", "action": "publish", "topics": ["a/#"]},
    {"permit": "deny", "clientid": "c", "action": "publish", "topics": ["b"]},
    {"permit": "allow"},
) | {"auth__1__login": "anna", "auth__1__password": "p"}


async def test_rules_of_a_connected_client_are_asked_when_they_shall() -> None:
    async with limited(**DENIES) as (broker, port):
        with Raw(port) as c:
            await asyncio.to_thread(c.connect, "c", user="anna", password=b"p")
            with pytest.raises(PermissionError, match=r"'a/b': denied by .*acl.rule.1"):
                await broker.publish_as("c", "a/b", b"", check_access=True)
            with pytest.raises(PermissionError, match=r"'b': denied by .*acl.rule.2"):
                await broker.publish_as("c", "b", b"", check_access=True)
            await broker.publish_as("c", "free", b"", check_access=True)
            await broker.publish_as("c", "a/b", b"")


async def test_client_that_is_not_there_is_judged_by_its_identifier() -> None:
    async with limited(**DENIES) as (broker, port):
        with Raw(port, 5) as c:
            who = {"user": "anna", "password": b"p", **kept(5)}
            await asyncio.to_thread(c.connect, "kept", **who)
            await asyncio.to_thread(c.leave)
        with pytest.raises(PermissionError, match=r"acl.rule.1"):  # by its user name
            await broker.publish_as("kept", "a/b", b"", check_access=True)
        with pytest.raises(PermissionError, match=r"acl.rule.2"):
            await broker.publish_as("c", "b", b"", check_access=True)
        await broker.publish_as("c", "a/b", b"", check_access=True)


async def test_topics_of_the_broker_are_no_client_s() -> None:
    async with limited() as (broker, _):
        with pytest.raises(PermissionError, match=r"\$SYS topics are the broker's"):
            await broker.publish_as("c", "$SYS/x", b"", check_access=True)


@pytest.mark.parametrize("check", [False, True])
async def test_retained_message_stays_as_its_publisher_may_publish_it(check: bool) -> None:
    allowed = {"permit": "allow", "action": "publish", "topics": ["a"]}
    allowed = rules(allowed, {"permit": "allow", "action": "subscribe"}) | {
        "acl_nomatch": "deny"
    }
    async with limited(**allowed) as (broker, port):
        await broker.publish_as(
            "p", "a" if check else "b", b"1", retain=True, check_access=check
        )
        with Raw(port) as c:
            c.connect("c")
            c.subscribe(("a" if check else "b", 0))
            assert c.expect(raw.PUBLISH).payload == b"1"


async def test_topic_is_the_broker_s_and_judged_as_the_client_knows_it() -> None:
    denies = rules({"permit": "deny", "action": "publish", "topics": ["x"]})
    keys = denies | {"acl_nomatch": "allow", "listener__m__mountpoint": "m/%c/"}
    keys["listener__m__url"] = "nmq-tcp://127.0.0.1:0"
    async with limited(**keys) as (broker, _):
        tap = broker.subscribe("#")
        with Raw(broker.ports["listener.m.url"]) as c:
            c.connect("c")
            c.subscribe(("y", 0))
            assert await broker.publish_as("c", "m/c/y", b"1", check_access=True) == 2
            assert (await anext(tap)).topic_name == "m/c/y"
            assert c.expect(raw.PUBLISH).topic == "y"
            with pytest.raises(PermissionError, match=r"acl.rule.1"):
                await broker.publish_as("c", "m/c/x", b"", check_access=True)
            with pytest.raises(PermissionError, match="the client's mount point"):
                await broker.publish_as("c", "y", b"", check_access=True)
            await broker.publish_as("c", "y", b"2")
            assert (await anext(tap)).topic_name == "y"


@pytest.fixture
def server() -> Iterator[Answering]:
    says = {"yes": OK, "no": NO, "nothing": status(200, b"ignore")}
    with answering(lambda asked, sock: says[asked.form["topic"]]) as made:
        yield made


async def test_http_server_is_asked_as_for_a_client(server: Answering) -> None:
    keys = {
        "auth__http__enable": "true",
        "auth__http__cache_ttl": "0",
        "auth__http__acl_req__url": f"{server.url}/acl",
        "auth__http__acl_req__params": "topic=%t,clientid=%c,username=%u,ip=%a,access=%A",
        "acl_nomatch": "deny",
    }
    async with limited(**keys) as (broker, port):
        with Raw(port) as c:
            c.connect("c", user="anna")
            assert await broker.publish_as("c", "yes", b"", check_access=True) == 0
            assert server.asked[0].form == {
                "topic": "yes",
                "clientid": "c",
                "username": "anna",
                "ip": "127.0.0.1",
                "access": "2",
            }
            with pytest.raises(PermissionError, match=r"auth.http.acl_req"):
                await broker.publish_as("c", "no", b"", check_access=True)
            with pytest.raises(PermissionError, match="acl_nomatch=deny"):
                await broker.publish_as("c", "nothing", b"", check_access=True)
            said = await broker.may("subscribe", "$share/g/yes", client_id="other")
            assert (said.is_allowed, said.decided_by) == (True, "auth.http.acl_req")
            assert (server.asked[3].form["clientid"], server.asked[3].form["access"]) == (
                "other",
                "1",
            )


async def test_running_broker_says_which_rule_decides(tmp_path: Path) -> None:
    path = tmp_path / "acl"
    path.write_text("user bob\ntopic read files/#\n")
    keys = rules(
        {"permit": "deny", "ipaddr": "10.0.0.0/8", "topics": ["a"]},
        {
            "permit": "allow",
            "action": "publish",
            "qos": [0],
            "retain": False,
            "topics": ["a"],
        },
    ) | {"acl_file": str(path), "auth__superusers": "root", "auth__1__login": "root"}
    keys["auth__1__password"] = "p"
    async with limited(**keys) as (broker, port):

        async def decides(action: str, topic: str, **who: Any) -> tuple[bool, str]:
            said = await broker.may(action, topic, **who)
            return said.is_allowed, re.sub(r"^x.conf:\d+: ", "", said.decided_by)

        assert await decides("publish", "a") == (True, "acl.rule.2")
        assert await decides("publish", "a", qos=1) == (False, "acl_file")
        assert await decides("publish", "a", retain=True) == (False, "acl_file")
        from_ten = {"address": ip_address("10.1.2.3")}
        assert await decides("publish", "a", **from_ten) == (False, "acl.rule.1")
        allowed, where = await decides("subscribe", "files/+", user_name="bob")
        assert allowed
        assert where == f"{path}:2: topic read files/#"
        assert await decides("publish", "z", user_name="root") == (True, "auth.superusers")
        assert await decides("publish", "$SYS/z") == (False, "$SYS topics are the broker's")
        with Raw(port) as c:
            await asyncio.to_thread(c.connect, "r", user="root", password=b"p")
            assert await decides("publish", "z", client_id="r") == (
                True,
                "it is a superuser",
            )
        path.write_text("user bob\ntopic write files/#\n")
        allowed, where = await decides("subscribe", "files/+", user_name="bob")
        assert allowed  # what was read counts until it is read again
        assert "acl_file has changed" in where


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"action": "read"}, "action='read': expected publish or subscribe"),
        ({"topic": "a/+"}, r"'a/\+': not a valid topic name"),
        ({"action": "subscribe", "topic": "a#"}, "'a#': not a valid topic filter"),
        ({"qos": 3}, "qos=3"),
        ({"user_name": "a\0"}, "user_name="),
    ],
)
async def test_what_cannot_be_asked_is_told(wrong: dict[str, Any], why: str) -> None:
    async with limited() as (broker, _):
        with pytest.raises(ValueError, match=why):
            await broker.may(**{"action": "publish", "topic": "a"} | wrong)
