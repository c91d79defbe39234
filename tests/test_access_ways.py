"""Every kind of access rule, by every way in which a client gets at a topic.

Ways: PUBLISH without and with RETAIN, a will, a retained message that is to be delivered
after the rules have changed, SUBSCRIBE, a shared subscription, and a subscription that a
program makes for the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config import parse
from nanomq_py.config.keys.access import User
from tests.conformance.flows import give
from tests.raw import PUBLISH, Raw

WRITES = frozenset({"publish", "keep", "will", "retained"})
RETAIN = frozenset({"keep", "retained"})
READS = frozenset({"subscribe", "shared", "program"})
ALL, NONE = WRITES | READS, frozenset[str]()
USERS = (User(login="ann", password="a"), User(login="bob", password="b"))
BOSS = 'acl.rule.1={"permit":"allow","clientid":"boss"}\nacl_nomatch=deny\n'


@dataclass(frozen=True)
class Case:
    """What a client does, and by which ways it may."""

    topic: str
    may: frozenset[str]
    client_id: str = "c"
    user: str | None = None
    qos: int = 1


@dataclass(frozen=True)
class Kind:
    """Rules of one kind: JSON of acl.rule.N, or the text of acl_file."""

    rules: tuple[str, ...]
    cases: tuple[Case, ...]
    file: str | None = None


def rule(*rules: str) -> Callable[..., Kind]:
    return lambda *cases: Kind(rules, cases)


def file(text: str) -> Callable[..., Kind]:
    return lambda *cases: Kind((), cases, text)


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
}  # fmt: skip


class Client:
    """Does what the case says, by each way, with a connection of its own."""

    def __init__(self, broker: Broker, case: Case) -> None:
        self.broker, self.case = broker, case

    def connect(self, c: Raw, **options: Any) -> int:
        if self.case.user is not None:
            word = {user.login: user.password for user in USERS}[self.case.user]
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

    def will(self) -> bool:
        with self.raw() as c:
            reason = self.connect(c, will=(self.case.topic, b"x", self.case.qos, False))
            assert reason in (0, 0x87)
            return reason == 0

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
            assert give(c, self.case.topic, b"x", self.case.qos, retain=True) in (0, 0x10)

    def retained(self) -> bool:
        with self.raw() as boss:
            boss.connect("boss")
            boss.subscribe((self.case.topic, 0), ("kept", 0))
            return boss.expect(PUBLISH).topic == self.case.topic


async def may(broker: Broker, way: str, client: Client) -> bool:
    if way != "program":
        return bool(await asyncio.to_thread(getattr(client, way)))
    with client.raw() as c:
        await asyncio.to_thread(client.connect, c)
        try:
            case = client.case
            codes = await broker.subscribe_client(case.client_id, case.topic, qos=case.qos)
        except PermissionError:
            return False
        assert codes == [case.qos]
        return True


@asynccontextmanager
async def running(config: Config) -> Any:
    async with Broker(config) as broker:
        broker.publish("kept", b"", retain=True)
        broker.publish("kept", b"of nobody", retain=True)
        yield broker


def config_of(kind: Kind, folder: Path) -> Config:
    rules = "".join(f"acl.rule.{n}={text}\n" for n, text in enumerate(kind.rules, start=2))
    config = parse(BOSS + rules, "x")
    if kind.file is not None:
        (folder / "acl").write_text(kind.file)
        config = replace(config, acl_file=str(folder / "acl"))
    return replace(
        config,
        users=USERS,
        url="nmq-tcp://127.0.0.1:0",
        websocket=replace(config.websocket, enable=False),
    )


@pytest.mark.parametrize("name", KINDS)
async def test_rule_holds_by_every_way(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    config = config_of(kind, tmp_path)
    free = replace(config, acl_rules=(), acl_nomatch="allow", acl_file=None)
    for case in kind.cases:
        async with running(free) as broker:
            client = Client(broker, case)
            await asyncio.to_thread(client.keep_before)
            await broker.reconfigure(config)
            found = {way for way in sorted(ALL) if await may(broker, way, client)}
            assert found == case.may, case
