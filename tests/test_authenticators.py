"""Every authenticator against every kind of password, or of what stands for one.

Each cell of the table is the Reason Code of MQTT 5.0, or says why there is nothing to try. A
client that is refused leaves one event, one count and one log line, without what it gave.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanomq_py import Broker
from nanomq_py.auth import verifier
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.hashing import hashed
from nanomq_py.config import parse
from nanomq_py.events import AuthFailed
from nanomq_py.tokens import jws
from tests import raw
from tests.answering import NO, OK, Answering, Asked, answering
from tests.certs import Certs
from tests.conformance.flows import modern
from tests.conformance.test_auth import answer, first, scram
from tests.conformance.test_auth import auth as auth_packet
from tests.raw import AUTH, CONNACK, Closed, Raw
from tests.test_database_users import hash_of
from tests.test_logins import pbkdf2, sha512
from tests.tokens import CURVE, RSA, SECRET, jwk, token
from tests.transport.test_tls import context
from tests.transport.test_tls_names import certificate
from tests.transport.test_tls_psk import OTHER, PUMP, VALVE, dialled
from tests.transport.test_tls_psk import keys as with_psk

BAD, DENIED, AWAY = 0x86, 0x87, 0x88
# MQTT 3.1.1, table 3.1, for each Reason Code of MQTT 5.0, table 3-1
OLD = {0: 0, BAD: 4, DENIED: 5, AWAY: 3}
CUT = -1  # the TLS handshake fails: there is no CONNECT and no Reason Code
COLUMNS = ("right", "wrong", "empty", "missing", "huge", "not UTF-8", "later", "time-out")
HIDDEN = "geheim"  # in all that is wrong
GIVEN: dict[str, bytes | None] = {
    "right": b"right",
    "wrong": HIDDEN.encode(),
    "empty": b"",
    "missing": None,
    "huge": HIDDEN.encode() * 10_000,
    "not UTF-8": HIDDEN.encode() + b"\xff\xfe\x00\x80",
    "later": b"right",
    "time-out": b"right",
}
BY_NAME = {column: {"user": "u", "password": word} for column, word in GIVEN.items()}


class Held:
    """Something that an authenticator waits for, in a thread."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.begun.set()
        assert self.go_on.wait(20)


@dataclass
class World:
    """What members are made of, beside their keys."""

    folder: Path
    server: Answering
    certs: Certs
    held: Held
    monkeypatch: pytest.MonkeyPatch

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def hold(self, where: Any, name: str) -> None:
        """Have a function wait before it does its work."""
        real, held = getattr(where, name), self.held

        def waits(*args: Any) -> Any:
            held.wait()
            return real(*args)

        self.monkeypatch.setattr(where, name, waits)


Keys = dict[str, str]
Enter = Callable[[World, Broker, int, str], int]


@dataclass(frozen=True)
class Member:
    """One authenticator.

    keys    its configuration; the user "other" is always in it
    cells   a Reason Code, or why there is nothing to try, by column
    given   options of CONNECT by column, or how else a client comes in
    hold    has it wait for ``World.held``
    """

    keys: Callable[[World], Keys]
    cells: dict[str, int | str]
    given: dict[str, dict[str, Any]] | Enter
    hold: Callable[[World], None] = lambda world: None
    put: Callable[[Broker], Any] | None = None
    modern_only: bool = False


def cells(
    *codes: int, later: int | str = "it decides at once", over: int | str | None = None
) -> dict[str, int | str]:
    over = later if over is None else over
    return dict(zip(COLUMNS, (*codes, later, over), strict=True))


def connack(c: Raw, version: int, **given: Any) -> int:
    c.send(raw.connect("c", version, **given))
    got = c.expect(CONNACK)
    assert got.reason == 0 or c.read_until_closed() == []
    return got.reason


# --- members


def of_file(stored: str) -> Member:
    def keys(world: World) -> Keys:
        return {"auth.password_file": str(world.file("users", f"u:{stored}\n"))}

    codes = cells(0, BAD, BAD, BAD, BAD, BAD, later=0, over=AWAY)
    return Member(keys, codes, BY_NAME, lambda world: world.hold(verifier, "matches"))


def of_database(by_client_id: bool) -> Member:
    async def put(broker: Broker) -> None:
        name = "c" if by_client_id else "u"
        await broker.put_user(name, hash=hash_of(b"right"), by_client_id=by_client_id)

    codes = cells(0, BAD, BAD, BAD, BAD, BAD, later=0, over=AWAY)
    keys = {"auth.chain": "users,database,anonymous"}
    return Member(
        lambda world: keys,
        codes,
        BY_NAME,
        lambda world: world.hold(verifier, "matches"),
        put,
    )


def of_token(algorithm: str) -> Member:
    def keys(world: World) -> Keys:
        known = json.dumps({"keys": [jwk(RSA, kid="r"), jwk(CURVE, kid="e")]})
        return {
            "auth.jwt.enable": "true",
            "auth.jwt.secret": SECRET,
            "auth.jwt.jwks.file": str(world.file("set.json", known)),
        }

    good = token(algorithm).encode()
    forged = good[:-9] + (b"AAAAAA" if algorithm == "HS256" else b"AAAA") + good[-4:]
    words = GIVEN | {
        "right": good,
        "wrong": forged,
        "huge": token(algorithm, key=None, more="x" * 44_000).encode()[:-9] + b"A" * 9,
        "later": good,
        "time-out": good,
    }
    given = {column: {"user": "u", "password": word} for column, word in words.items()}
    if algorithm == "HS256":
        return Member(keys, cells(0, BAD, BAD, BAD, BAD, BAD), given)
    codes = cells(0, BAD, BAD, BAD, BAD, BAD, later=0, over=AWAY)
    return Member(keys, codes, given, lambda world: world.hold(jws.Token, "verified"))


def says(asked: Asked, sock: socket.socket) -> bytes:
    """Judge as a server of auth.http."""
    return OK if asked.form.get("password") == "right" else NO


def of_http() -> Member:
    def keys(world: World) -> Keys:
        return {
            "auth.http.enable": "true",
            "auth.http.auth_req.url": f"{world.server.url}/auth",
            "auth.http.auth_req.params": "username=%u,password=%P",
        }

    codes = cells(0, DENIED, DENIED, DENIED, DENIED, DENIED, later=0, over=AWAY)
    return Member(keys, codes, BY_NAME, lambda world: world.hold(world.server, "says"))


class Own:
    """An authenticator of a plugin, which needs a thread."""

    name = "own"

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None

    async def decide(self, login: Login) -> Decision | None:
        if login.user_name != "u":
            return None
        await asyncio.to_thread(self.before)
        return Decision(0 if login.password == b"right" else BAD)


OWN = Own()


def hold_own(world: World) -> None:
    world.monkeypatch.setattr(OWN, "before", world.held.wait)


def by_scram(world: World, broker: Broker, version: int, column: str) -> int:
    """Take the steps of SCRAM; what stands for the password is Authentication Data."""
    data = {"empty": b"", "huge": GIVEN["huge"], "not UTF-8": GIVEN["not UTF-8"]}
    client = scram("other", "right" if column != "wrong" else HIDDEN)
    begins = first(client)
    method = begins.split(b"\x16")[0]
    with Raw(broker.ports["url"], version) as c:
        if column == "missing":
            return connack(c, version, properties=method)
        if column in data:
            whole = method + b"\x16" + raw.text((data[column] or b"")[:1100])
            return connack(c, version, properties=whole)
        c.send(raw.connect("c", version, properties=begins))
        if column in ("later", "time-out"):
            got = c.expect(AUTH)
            world.held.wait()
            if column == "time-out":
                c.send(auth_packet(0x18, method + b"\x16" + raw.text("x")))
                return c.expect(CONNACK).reason
            answer(c, client, got)
        else:
            answer(c, client, c.read())
        return c.expect(CONNACK).reason


def by_certificate(names_from: str) -> Member:
    from cryptography import x509

    def keys(world: World) -> Keys:
        certs = world.certs
        return {
            "tls.enable": "true",
            "tls.url": "tls+nmq-tcp://127.0.0.1:0",
            "tls.certfile": str(certs.server.certfile),
            "tls.keyfile": str(certs.server.keyfile),
            "tls.cacertfile": str(certs.ca.certfile),
            "tls.verify_peer": "true",
            "listener.tls.username_from": names_from,
            "allow_anonymous": "false",
        }

    def enter(world: World, broker: Broker, version: int, column: str) -> int:
        ca = world.certs.stranger if column == "wrong" else world.certs.ca
        name = {"empty": "", "huge": HIDDEN * 50, "not UTF-8": f"{HIDDEN}\0"}
        word = name.get(column, "pump-7")
        if names_from == "cn":
            identity = certificate(world.folder, ca, word)
        else:
            names = [x509.DNSName(word)] if word else []
            identity = certificate(world.folder, ca, "pump", *names)
        made = context(world.certs, None if column == "missing" else identity)
        plain = socket.create_connection(("127.0.0.1", broker.ports["tls.url"]), 20)
        try:
            wrapped = made.wrap_socket(plain, server_hostname="localhost")
            with Raw(wrapped, version) as c:
                return connack(c, version)
        except (OSError, Closed):
            return CUT
        finally:
            plain.close()

    codes = cells(0, CUT, DENIED, DENIED, DENIED, DENIED, later="the handshake has decided")
    return Member(keys, codes, enter)


def by_key(world: World, broker: Broker, version: int, column: str) -> int:
    identity = GIVEN["not UTF-8"] if column == "not UTF-8" else b"pump-7"
    assert identity is not None
    name = identity.replace(b"\0", b"").decode(errors="surrogateescape")
    words = {"wrong": OTHER, "missing": "", "huge": VALVE * 4}
    try:
        with dialled(broker, name, words.get(column, PUMP)) as c:  # type: ignore[arg-type]
            c.version = version
            return connack(c, version)
    except (Closed, OSError):
        return CUT


MEMBERS: dict[str, Member] = {
    "users": Member(
        lambda world: {"auth.2.login": "u", "auth.2.password": "right"},
        cells(0, BAD, BAD, BAD, BAD, BAD),
        BY_NAME,
    ),
    "file, scrypt": of_file(hashed(b"right")),
    "file, pbkdf2": of_file(pbkdf2("right")),
    "file, sha512": of_file(sha512("right")),
    "database, user name": of_database(False),
    "database, client identifier": of_database(True),
    "jwt, HS256": of_token("HS256"),
    "jwt, RS256": of_token("RS256"),
    "jwt, ES256": of_token("ES256"),
    "http": of_http(),
    "plugin": Member(
        lambda world: {},
        cells(0, BAD, BAD, BAD, BAD, BAD, later=0, over=AWAY),
        BY_NAME,
        hold_own,
    ),
    "SCRAM": Member(
        lambda world: {"connect_timeout": "60s"},
        cells(0, DENIED, DENIED, DENIED, DENIED, DENIED, later=0, over=DENIED),
        by_scram,
        modern_only=True,
    ),
    "certificate, CN": by_certificate("cn"),
    "certificate, SAN": by_certificate("dns"),
    "pre-shared key": Member(
        lambda world: {
            name.replace("__", "."): value
            for name, value in with_psk(world.file("psk", f"pump-7:{PUMP}\n")).items()
            if not name.startswith("acl")
        },
        cells(0, CUT, CUT, CUT, CUT, CUT, later="the handshake has decided")
        | {"empty": "TLS has no key of no bytes (RFC 4279, 5.3)"},
        by_key,
    ),
    # Nobody proves a name or a password here: who comes without either is let in.
    "anonymous": Member(
        lambda world: {},
        cells(0, BAD, 0, 0, BAD, BAD),
        {
            column: {}
            if column in ("right", "missing")
            else {"user": "" if column == "empty" else "u", "password": word}
            for column, word in GIVEN.items()
        },
    ),
    "anonymous, not allowed": Member(
        lambda world: {"allow_anonymous": "false"},
        cells(DENIED, BAD, BAD, DENIED, BAD, BAD)
        | {"right": "nothing is right", "empty": "see missing"},
        BY_NAME | {"missing": {}},
    ),
}

TRIED = [
    (name, column)
    for name, member in MEMBERS.items()
    for column, cell in member.cells.items()
    if isinstance(cell, int)
]


@pytest.fixture
def world(tmp_path: Path, certs: Certs, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with answering(says) as server:
        held = Held()
        yield World(tmp_path, server, certs, held, monkeypatch)
        held.go_on.set()


def broker_of(member: Member, column: str, world: World) -> Broker:
    keys = {
        "url": "nmq-tcp://127.0.0.1:0",
        "websocket.enable": "false",
        "auth.1.login": "other",
        "auth.1.password": "right",
        "log.level": "info",
        "answer_timeout": "200ms" if column == "time-out" else "60s",
        **member.keys(world),
    }
    config = parse("".join(f"{name}={value}\n" for name, value in keys.items()), "x")
    broker = Broker(config, conf=world.folder / "x.conf")
    if member is MEMBERS["plugin"]:
        broker.add_authenticator(OWN)
    return broker


def comes(member: Member, world: World, broker: Broker, version: int, column: str) -> int:
    if not isinstance(member.given, dict):
        return member.given(world, broker, version, column)
    with Raw(broker.ports["url"], version, 20) as c:
        return connack(c, version, **member.given[column])


async def others_come(broker: Broker, world: World) -> None:
    """Log in beside the client that waits."""
    assert await asyncio.to_thread(world.held.begun.wait, 20)
    with Raw(broker.ports["url"], 5) as c:
        got = await asyncio.to_thread(c.connect, "o", user="other", password=b"right")
        assert got.reason == 0


@pytest.mark.filterwarnings("ignore:Attribute's length")  # of X.520, which bounds no peer
@modern
@pytest.mark.parametrize(("name", "column"), TRIED)
async def test_table(
    name: str, column: str, version: int, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    member = MEMBERS[name]
    if member.modern_only and version == 4:
        return  # MQTT 3.1.1 has no AUTH
    if name == "pre-shared key" and not shutil.which("openssl"):
        pytest.skip("no openssl here")
    caplog.set_level("INFO", "nanomq")
    expected = member.cells[column]
    assert isinstance(expected, int)
    waits = column in ("later", "time-out")
    if waits:
        member.hold(world)
    async with broker_of(member, column, world) as broker:
        if member.put is not None:
            await member.put(broker)
        async with broker.events([AuthFailed]) as events:
            coming = asyncio.create_task(
                asyncio.to_thread(comes, member, world, broker, version, column)
            )
            if waits:
                await others_come(broker, world)
            if column == "later" or name == "SCRAM":
                assert not coming.done()
                world.held.go_on.set()
            code = await coming
            world.held.go_on.set()
            assert code == (OLD[expected] if version == 4 and expected > 0 else expected)
            with Raw(broker.ports["url"], 5) as c:  # whose event is the last one
                await asyncio.to_thread(c.connect, "end", user="other", password=b"no")
            told = [await anext(events)]
            while told[-1].client.client_id != "end":
                told.append(await anext(events))
            refused = [expected] if expected > 0 else []
            assert [event.reason_code for event in told[:-1]] == refused
            assert broker.stats().logins_refused == len(refused) + 1
    lines = [
        line for line in caplog.messages if re.search(r": refused(:| client 'c')", line)
    ]
    assert len(lines) == (expected != 0), lines
    text = caplog.text + "".join(map(repr, told))
    assert HIDDEN not in text
    assert not set(re.findall(r"eyJ|AAAA", text))
    assert not {PUMP, OTHER} & set(re.findall(r"[0-9a-f]{32}", text))
