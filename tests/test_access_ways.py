"""Every kind of access rule, by every way in which a client gets at a topic.

Ways: PUBLISH without and with RETAIN, a will likewise, a message that a program or an
operator (``POST /api/v4/mqtt/publish`` with ``check_acl``) publishes as the client, a retained
message that is to be delivered after the rules have changed, SUBSCRIBE, a shared subscription,
and a subscription that a program makes for the client.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nanomq_py import Broker, Config
from nanomq_py.config import parse
from nanomq_py.config.keys.access import User
from nanomq_py.http.emqx_v4 import mqtt
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Call
from nanomq_py.store.rules import AccessRule, Action
from tests.answering import NO, OK, Answering, Asked, answering, status
from tests.conformance.flows import closed_with, give
from tests.conftest import StartBroker
from tests.http.v4 import assert_refused, call, done
from tests.raw import PUBLISH, Raw
from tests.raw import subscribe as raw_subscribe
from tests.tokens import SECRET, token

RETAIN = frozenset({"keep", "retained", "kept will", "kept by rest"})
WRITES = frozenset({"publish", "will", "as", "rest"}) | RETAIN
READS = frozenset({"subscribe", "shared", "program"})
ALL, NONE = WRITES | READS, frozenset[str]()
USERS = (User(login="ann", password="a"), User(login="bob", password="b"))
BOSS = 'acl.rule.1={"permit":"allow","clientid":"boss"}\n'
BOTH = Action.PUBSUB


@dataclass(frozen=True)
class Case:
    """What a client does, and by which ways it may."""

    topic: str
    may: frozenset[str]
    client_id: str = "c"
    user: str | None = None
    qos: int = 1
    tried: frozenset[str] = ALL


@dataclass(frozen=True)
class Kind:
    """Rules of one kind.

    rules   JSON of acl.rule.N
    file    the text of acl_file
    stored  rules of the store
    claim   what a token says; a client comes with that token
    asks    what no rule decides is asked of a server, which answers by the topic
    """

    cases: tuple[Case, ...]
    rules: tuple[str, ...] = ()
    file: str | None = None
    stored: tuple[AccessRule, ...] = ()
    claim: object = None
    asks: bool = False
    more: str = ""


def rule(*rules: str, more: str = "") -> Callable[..., Kind]:
    return lambda *cases: Kind(cases, rules, more=more)


def file(text: str) -> Callable[..., Kind]:
    return lambda *cases: Kind(cases, file=text)


def stored(*rules: AccessRule) -> Callable[..., Kind]:
    return lambda *cases: Kind(cases, stored=rules)


def claim(said: object, *rules: str) -> Callable[..., Kind]:
    return lambda *cases: Kind(cases, rules, claim=said)


def asks(*rules: str) -> Callable[..., Kind]:
    return lambda *cases: Kind(cases, rules, asks=True)


def of_store(topic: str, action: Action, allow: bool, **whom: str) -> AccessRule:
    return AccessRule(topic=topic, action=action, allow=allow, **whom)


KINDS = {
    "permit": rule('{"permit":"deny","topics":["a/x"]}', '{"permit":"allow","topics":["a/#"]}')(
        Case("a/b", ALL), Case("a/x", NONE), Case("b", NONE)
    ),
    "order": rule('{"permit":"allow","topics":["a/#"]}', '{"permit":"deny","topics":["a/x"]}')(
        Case("a/x", ALL)
    ),
    "publish": rule('{"permit":"allow","action":"publish","topics":["a"]}')(Case("a", WRITES)),
    "subscribe": rule('{"permit":"allow","action":"subscribe","topics":["a"]}')(
        Case("a", READS)
    ),
    "username": rule('{"permit":"allow","username":"ann"}')(
        Case("a", ALL, user="ann"), Case("a", NONE, user="bob"), Case("a", NONE)
    ),
    "anonymous": rule('{"permit":"allow","username":""}')(
        Case("a", ALL), Case("a", NONE, user="bob")
    ),
    "clientid": rule('{"permit":"allow","clientid":"c"}')(
        Case("a", ALL), Case("a", NONE, client_id="d")
    ),
    "ipaddr": rule(
        '{"permit":"deny","ipaddr":"127.0.0.0/9","topics":["a"]}',
        '{"permit":"deny","ipaddr":"127.128.0.0/9","topics":["b"]}',
        '{"permit":"allow"}',
    )(Case("a", NONE), Case("b", ALL)),
    "and": rule('{"permit":"allow","and":[{"username":"ann"},{"ipaddr":"127.0.0.1"}]}')(
        Case("a", ALL, user="ann"), Case("a", NONE, user="bob")
    ),
    "or": rule('{"permit":"allow","or":[{"username":"ann"},{"clientid":"d"}]}')(
        Case("a", ALL, user="ann"), Case("a", ALL, client_id="d"), Case("a", NONE)
    ),
    "%c": rule('{"permit":"allow","topics":["a/%c/+"]}')(
        Case("a/c/x", ALL), Case("a/d/x", NONE), Case("a/c/x", NONE, client_id="+")
    ),
    "%u": rule('{"permit":"allow","topics":["%u/#"]}')(
        Case("ann/x", ALL, user="ann"), Case("ann/x", NONE, user="bob"), Case("ann/x", NONE)
    ),
    "%i": rule('{"permit":"allow","topics":["a/%i"]}')(
        Case("a/127.0.0.1", ALL), Case("a/127.0.0.2", NONE)
    ),
    "in a level": rule('{"permit":"allow","topics":["dev-${clientid}.%u"]}')(
        Case("dev-c.ann", ALL, user="ann"), Case("dev-d.ann", NONE, user="ann")
    ),
    "eq": rule('{"permit":"deny","topics":["eq a/b"]}', '{"permit":"allow"}')(
        Case("a/b", NONE), Case("a/c", ALL)
    ),
    "eq with a wildcard": rule(
        '{"permit":"deny","topics":["eq #","eq a/+"]}', '{"permit":"allow"}'
    )(
        Case("#", NONE, tried=READS), Case("a/+", NONE, tried=READS),
        Case("+/x", READS, tried=READS), Case("a/x", ALL),
    ),
    "wider than what is allowed": rule('{"permit":"allow","topics":["a/+","b/%c/#"]}')(
        Case("a/+", READS, tried=READS), Case("a/#", NONE, tried=READS),
        Case("+/x", NONE, tried=READS), Case("b/c/+", READS, tried=READS),
        Case("b/+/x", NONE, tried=READS), Case("#", NONE, tried=READS),
    ),
    "meets what is denied": rule(
        '{"permit":"deny","topics":["a/x/+"]}', '{"permit":"allow"}'
    )(
        Case("a/#", NONE, tried=READS), Case("+/x/#", NONE, tried=READS),
        Case("a/+", READS, tried=READS), Case("a/+/y", NONE, tried=READS),
    ),
    "@": rule('{"permit":"allow","topics":["@a/b"]}')(Case("a/b", ALL), Case("a/c", NONE)),
    "qos": rule('{"permit":"allow","qos":"<=1","topics":["a"]}')(
        Case("a", ALL, qos=0), Case("a", ALL, qos=1), Case("a", NONE, qos=2)
    ),
    "qos denied": rule('{"permit":"deny","qos":[0,2]}', '{"permit":"allow"}')(
        Case("a", ALL, qos=1), Case("a", NONE, qos=2)
    ),
    "retain": rule('{"permit":"allow","retain":false,"topics":["a"]}')(
        Case("a", ALL - RETAIN)
    ),
    "retain denied": rule(
        '{"permit":"deny","retain":true,"action":"publish"}', '{"permit":"allow"}'
    )(
        Case("a", ALL - RETAIN)
    ),
    "acl_file topic": file("topic read a\nuser ann\ntopic write b\ntopic c\n")(
        Case("a", READS), Case("a", NONE, user="ann"),
        Case("b", WRITES, user="ann"), Case("c", ALL, user="ann"), Case("c", NONE),
    ),
    "acl_file deny": file("topic a/#\ntopic deny a/x\npattern a/x\n")(
        Case("a/b", ALL), Case("a/x", NONE), Case("a/x", ALL, user="ann")
    ),
    "acl_file pattern": file("pattern write up/%c/#\npattern read down/%u\ntopic 1/%c\n")(
        Case("up/c/x", WRITES), Case("up/d/x", NONE), Case("down/ann", READS, user="ann"),
        Case("down/ann", NONE), Case("1/c", NONE), Case("1/%c", ALL),
    ),
    "acl_nomatch=allow": rule('{"permit":"deny","topics":["a"]}', more="acl_nomatch=allow\n")(
        Case("a", NONE), Case("b", ALL)
    ),
    "store": stored(
        of_store("a/#", BOTH, True), of_store("a/x", BOTH, False),
        of_store("b", Action.PUBLISH, True), of_store("c", Action.SUBSCRIBE, True),
    )(
        Case("a/b", ALL), Case("a/x", NONE), Case("b", WRITES), Case("c", READS),
        Case("d", NONE),
    ),
    "store, of a name": stored(
        of_store("a", BOTH, True, client_id="c"), of_store("b/%u", BOTH, True, user_name="ann"),
        of_store("a", BOTH, False, user_name="ann"), of_store("c/%c", BOTH, True),
    )(
        Case("a", ALL), Case("a", ALL, user="ann"), Case("a", NONE, client_id="d"),
        Case("b/ann", ALL, user="ann"), Case("b/ann", NONE, user="bob"), Case("c/c", ALL),
    ),
    # What was retained before a server was asked stays: nobody asks about it again.
    "HTTP": asks('{"permit":"deny","topics":["yes/no"]}')(
        Case("yes/a", ALL), Case("no", frozenset({"retained"})), Case("yes/no", NONE),
        Case("pass", frozenset({"retained"})),
    ),
    "JWT lists": claim({"pub": ["up/${clientid}"], "sub": ["down/%u"], "all": ["both"]},
                       '{"permit":"allow","topics":["other"]}')(
        Case("up/c", WRITES, user="ann"), Case("up/d", NONE, user="ann"),
        Case("down/ann", READS, user="ann"), Case("both", ALL, user="ann"),
        Case("other", NONE, user="ann"), Case("other", ALL),
    ),
    "JWT rules": claim([
            {"permission": "deny", "action": "all", "topic": "a/x"},
            {"permission": "allow", "action": "pub", "topic": "a/+", "qos": 1, "retain": 0},
            {"permission": "allow", "action": "sub", "topic": "b"},
        ], '{"permit":"allow","topics":["a/x","other"]}')(
        Case("a/b", WRITES - RETAIN, user="ann"), Case("a/b", NONE, user="ann", qos=2),
        Case("a/x", NONE, user="ann"), Case("b", READS, user="ann"),
        Case("other", ALL, user="ann"), Case("a/x", ALL),
    ),
}  # fmt: skip


class Client:
    """Does what the case says, by each way, with a connection of its own."""

    def __init__(self, broker: Broker, case: Case, claim: object) -> None:
        self.broker, self.case, self.claim = broker, case, claim

    def connect(self, c: Raw, **options: Any) -> int:
        if self.case.user is not None:
            word = {user.login: user.password for user in USERS}[self.case.user]
            if self.claim is not None:
                word = token(sub=self.case.user, acl=self.claim)
            options |= {"user": self.case.user, "password": word.encode()}
        return c.connect(self.case.client_id, **options).reason

    def raw(self) -> Raw:
        return Raw(self.broker.ports["url"], 5)

    def publish(self, retain: bool = False) -> bool:
        with self.raw() as c, self.raw() as boss:
            boss.connect("boss")
            boss.subscribe((self.case.topic, 2 | 0x20))  # nothing that is retained
            self.connect(c)
            reason = give(c, self.case.topic, b"x", self.case.qos, retain=retain)
            boss.publish(self.case.topic, b"own")
            heard = boss.expect(PUBLISH).payload == b"x"
            assert self.case.qos == 0 or heard == (reason == 0)
            return heard

    def keep(self) -> bool:
        return self.publish(retain=True)

    def will(self, retain: bool = False) -> bool:
        with self.raw() as c:
            reason = self.connect(c, will=(self.case.topic, b"x", self.case.qos, retain))
            assert reason in (0, 0x87)
            return reason == 0

    def kept_will(self) -> bool:
        return self.will(retain=True)

    def subscribe(self, before: str = "") -> bool:
        with self.raw() as c:
            self.connect(c)
            codes = c.subscribe((before + self.case.topic, self.case.qos))
            assert codes in ([self.case.qos], [0x87])
            return codes == [self.case.qos]

    def shared(self) -> bool:
        return self.subscribe("$share/g/")

    def keep_before(self) -> None:
        with self.raw() as c:
            self.connect(c)
            reason = give(c, self.case.topic, b"x", self.case.qos, retain=True)
            assert reason in (0, 0x10) or self.claim is not None

    def retained(self) -> bool:
        with self.raw() as boss:
            boss.connect("boss")
            boss.subscribe((self.case.topic, 0), ("kept", 0))
            return boss.expect(PUBLISH).topic == self.case.topic


@dataclass(frozen=True)
class Api:
    """What the endpoint that publishes asks for."""

    broker: Broker


async def by_rest(broker: Broker, case: Case, payload: bytes) -> None:
    body = {
        "clientid": case.client_id,
        "topic": case.topic,
        "payload": payload.decode(),
        "qos": case.qos,
        "retain": payload == b"kept by rest",
        "check_acl": True,
    }
    asked = msgspec.convert(body, mqtt.Publish)
    await mqtt.publish(Api(broker), Call("operator", body=asked))  # type: ignore[arg-type]


async def by_program(broker: Broker, case: Case, payload: bytes) -> None:
    codes = await broker.subscribe_client(case.client_id, case.topic, qos=case.qos)
    assert codes == [case.qos]


async def published_as(broker: Broker, case: Case, payload: bytes) -> None:
    who, topic = case.client_id, case.topic
    await broker.publish_as(who, topic, payload, qos=case.qos, check_access=True)


# For the client that is connected; one that is denied raises.
FOR_CLIENT: dict[str, Callable[[Broker, Case, bytes], Any]] = {
    "program": by_program,
    "as": published_as,
    "rest": by_rest,
    "kept by rest": by_rest,
}


async def is_done(broker: Broker, way: str, case: Case) -> bool:
    """Do it for the client; return whether it was allowed, and heard of."""
    tap = broker.subscribe("#")
    payload = way.encode()
    try:
        await FOR_CLIENT[way](broker, case, payload)
        allowed = True
    except (PermissionError, Refused) as fault:
        assert isinstance(fault, PermissionError) or "access rule" in str(fault)
        allowed = False
    if way != "program":
        broker.publish("end", b"end")
        heard = b""
        while heard not in (payload, b"end"):  # what is retained comes first
            heard = (await anext(tap)).payload
        assert (heard == payload) is allowed
    return allowed


async def may(broker: Broker, way: str, client: Client) -> bool:
    if way not in FOR_CLIENT:
        return bool(await asyncio.to_thread(getattr(client, way.replace(" ", "_"))))
    with client.raw() as c:
        await asyncio.to_thread(client.connect, c)
        return await is_done(broker, way, client.case)


def answer(asked: Asked, sock: socket.socket) -> bytes:
    """Answer a question about a topic, as a server of auth.http."""
    return {"y": OK, "n": NO, "p": status(200, b"ignore")}[asked.form["topic"][0]]


@asynccontextmanager
async def running(config: Config, conf: Path) -> Any:
    async with Broker(config, conf=conf) as broker:
        broker.publish("kept", b"", retain=True)
        broker.publish("kept", b"of nobody", retain=True)
        yield broker


def config_of(kind: Kind, folder: Path, server: Answering) -> Config:
    text = BOSS + (kind.more or "acl_nomatch=deny\n")
    text += "".join(f"acl.rule.{n}={said}\n" for n, said in enumerate(kind.rules, start=2))
    if kind.asks:
        text += f"auth.http.enable=true\nauth.http.acl_req.url={server.url}\n"
        text += "auth.http.acl_req.params=topic=%t\n"
    if kind.claim is not None:
        text += f"auth.jwt.enable=true\nauth.jwt.secret={SECRET}\n"
    if kind.file is not None:
        (folder / "acl").write_text(kind.file)
        text += f"acl_file={folder / 'acl'}\n"
    config = parse(text, "x")
    return replace(
        config,
        users=USERS,
        url="nmq-tcp://127.0.0.1:0",
        websocket=replace(config.websocket, enable=False),
    )


@pytest.mark.parametrize("name", KINDS)
async def test_rule_holds_by_every_way(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    with answering(answer) as server:
        config = config_of(kind, tmp_path, server)
        free = replace(config, acl_rules=(), acl_nomatch="allow", acl_file=None)
        free = replace(free, auth_http=Config().auth_http)
        for n, case in enumerate(kind.cases):
            async with running(free, tmp_path / f"{n}.conf") as broker:
                client = Client(broker, case, kind.claim)
                if "retained" in case.tried:
                    await asyncio.to_thread(client.keep_before)
                await broker.reconfigure(config)
                if kind.stored:
                    boss = of_store("#", BOTH, True, client_id="boss")
                    await broker.put_rules(boss, *kind.stored)
                tried = sorted(case.tried)
                found = {way for way in tried if await may(broker, way, client)}
                assert found == case.may, case


# What acl_deny_action=disconnect makes of each way: a client that does what it may not is
# disconnected, one for which somebody else does it is not.
ENDS = {
    "publish": True, "keep": True, "subscribe": True, "shared": True, "program": False,
    "as": False, "rest": False, "kept by rest": False,
}  # fmt: skip


@pytest.mark.parametrize("way", ENDS)
async def test_denied_client_is_disconnected_by_what_it_does(
    way: str, tmp_path: Path
) -> None:
    config = parse(
        "url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\nacl_deny_action=disconnect\n"
        'acl.rule.1={"permit":"deny","topics":["a"]}\n',
        "x",
    )
    case = Case("a", NONE)

    def acts(c: Raw) -> int | None:
        filter_ = "$share/g/a" if way == "shared" else "a"
        if way in ("publish", "keep"):
            c.publish("a", b"x", qos=1, packet_id=1, retain=way == "keep")
        else:
            c.send(raw_subscribe(1, (filter_, 1), version=5))
        return closed_with(c)

    async with running(config, tmp_path / "x.conf") as broker:
        client = Client(broker, case, None)
        with client.raw() as c:
            await asyncio.to_thread(client.connect, c)
            if ENDS[way]:
                assert await asyncio.to_thread(acts, c) == 0x87
            else:
                assert not await is_done(broker, way, case)
                await asyncio.to_thread(c.ping)


def test_operator_s_message_is_judged_as_the_client_s_where_he_asks_for_it(
    start_broker: StartBroker,
) -> None:
    """Over HTTP, of a client that is connected and of one that is not."""
    rule = {"permit": "deny", "clientid": "c", "action": "publish", "topics": ["a/#"]}
    process = start_broker(acl__rule__1=json.dumps(rule))
    body = {"clientid": "c", "topic": "a/x", "payload": "x", "check_acl": True}
    with process.raw(5) as hears:
        hears.connect("hears")
        hears.subscribe(("#", 0))
        for connects in (False, True):
            with process.raw(5) as c:
                if connects:
                    c.connect("c")
                said = call(process, "POST", "/api/v4/mqtt/publish", body)
                assert_refused(said, 400, 102, "'a/x': an access rule denies it")
                for free in ({"topic": "b"}, {"clientid": "d"}, {"check_acl": False}):
                    done(process, "POST", "/mqtt/publish", body | free)
                    assert hears.expect(PUBLISH).topic == free.get("topic", "a/x")
        hears.assert_silent()
