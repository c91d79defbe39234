"""Clients that log in with a token (``auth.jwt``), against a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import raw
from tests.conformance.flows import closed_with, modern, take
from tests.conftest import Process, StartBroker
from tests.tokens import CURVE, RSA, SECRET, encoded, jwk, pem, token

pytestmark = pytest.mark.plain

WRONG = {4: 4, 5: 0x86}
AWAY = {4: 3, 5: 0x88}


def key_file(folder: Path, key: Any) -> str:
    path = folder / "key.pem"
    path.write_text(pem(key))
    return str(path)


def code(
    process: Process, version: int, password: str | bytes | None, user: str | None = "u",
    client_id: str = "c",
) -> int:  # fmt: skip
    """Return how a client is answered that logs in so."""
    given = password.encode() if isinstance(password, str) else password
    with process.raw(version) as c:
        return c.connect(client_id, user=user, password=given).reason


@pytest.fixture
def start_for_tokens(start_broker: StartBroker, tmp_path: Path) -> Any:
    """Start a broker that knows the keys of all three algorithms."""

    def start(**given: str) -> Process:
        path = tmp_path / "set.json"
        path.write_text(json.dumps({"keys": [jwk(RSA, kid="r"), jwk(CURVE, kid="e")]}))
        keys = {
            "auth__jwt__enable": "true",
            "auth__jwt__secret": SECRET,
            "auth__jwt__jwks__file": str(path),
        }
        return start_broker(**{**keys, **given})

    return start


@modern
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_tokens_decide(start_for_tokens: Any, version: int, algorithm: str) -> None:
    """Five wrong ones: more would have to wait (throttle.py)."""
    process = start_for_tokens(auth__jwt__claims__dev="%c-%u")
    no = WRONG[version]
    good = token(algorithm, dev="c-u")
    assert [code(process, version, good) for _ in range(3)] == [0] * 3
    assert code(process, version, good, client_id="d") == no
    assert code(process, version, good[:-9] + "AAAA" + good[-5:]) == no
    none = encoded(b'{"alg":"none"}') + "." + good.split(".")[1] + "."
    assert code(process, version, none) == no
    assert code(process, version, token(algorithm, dev="c-u", exp=time.time() - 1)) == no
    huge = token(algorithm, dev="c-u", more="x" * 45_000)
    assert code(process, version, huge) == 0
    assert code(process, version, huge[:-9] + "AAAA" + huge[-5:]) == no


@modern
def test_what_is_no_token_is_somebody_elses(start_for_tokens: Any, version: int) -> None:
    process = start_for_tokens(auth__1__login="ann", auth__1__password="a.b.c")
    assert code(process, version, "a.b.c", "ann") == 0
    assert code(process, version, token(), "ann") == 0
    for password in ("a.b", "", b"\xff\xfe.\x00.x", "x" * 60_000):
        assert code(process, version, password, "ann") == WRONG[version]
    assert code(process, version, None, None) == 0  # allow_anonymous
    # A bad token does not become nobody's.
    assert code(process, version, token(key=b"x" * 32), "") == WRONG[version]


@modern
def test_user_is_the_one_that_the_token_names(start_for_tokens: Any, version: int) -> None:
    rule = {"permit": "deny", "username": "bob", "topics": ["#"]}
    process = start_for_tokens(acl__rule__1=json.dumps(rule))
    for claims, user, granted in (
        ({"sub": "bob"}, "ann", False),
        ({"sub": "ann"}, "bob", True),
        ({}, "bob", True),
        ({"sub": ""}, "bob", True),
    ):
        with process.raw(version) as c:
            assert c.connect("c", user=user, password=token(**claims).encode()).reason == 0
            assert (c.subscribe(("a", 0)) == [0]) is granted, (claims, user)
    for bad in (1, ["bob"], "a\x00b", "x" * 20_000 + "\x1f"):
        assert code(process, version, token(sub=bad)) == WRONG[version]


@modern
def test_user_name_may_be_the_token(start_for_tokens: Any, version: int) -> None:
    process = start_for_tokens(auth__jwt__from="username", log__level="debug")
    assert code(process, version, None, token(sub="dev7")) == 0
    wrong = token(sub="dev7", key=b"x" * 32)
    assert code(process, version, b"x", wrong) == WRONG[version]
    assert code(process, version, token(), "u") == WRONG[version]  # a password is none
    process.stop()
    assert not any(wrong[-20:] in line or "eyJ" in line for line in process.lines)


def test_keys_change_at_a_reload(start_broker: StartBroker, tmp_path: Path) -> None:
    first = key_file(tmp_path, RSA)
    process = start_broker(auth__jwt__enable="true", auth__jwt__public__keyfile=first)
    old, new = token("RS256"), token("ES256")
    assert (code(process, 5, old), code(process, 5, new)) == (0, 0x86)
    key_file(tmp_path, CURVE)  # the same path
    assert process.reload()["applied"] == ["auth.jwt.public.keyfile"]
    assert (code(process, 5, old), code(process, 5, new)) == (0x86, 0)
    assert process.reload()["applied"] == []
    process.reload(auth__jwt__iss="i")
    assert code(process, 5, new) == 0x86
    (tmp_path / "key.pem").write_text("nothing")
    process.set_keys(auth__jwt__iss=None)
    answer = process.api(req=10, action="reload")
    assert (answer.status, "auth.jwt.public.keyfile" in str(answer.json)) == (400, True)
    assert code(process, 5, token("ES256", iss="i")) == 0  # as before
    process.reload(auth__jwt__enable="false")
    assert code(process, 5, token("ES256", iss="i")) == 0  # names do not count any more


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no key"),
        ({"auth__jwt__secret": "hunter2"}, "auth.jwt.secret=(hidden)"),
        ({"auth__jwt__public__keyfile": "/nowhere"}, "/nowhere"),
        ({"auth__jwt__jwks__file": "/nowhere"}, "/nowhere"),
        ({"auth__jwt__jwks__url": "https://127.0.0.1:1/", "auth__jwt__jwks__cacertfile": "/n"},
         "cacertfile=/n: cannot be read"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_used_refuse_the_reload(
    start_broker: StartBroker, given: dict[str, str], said: str
) -> None:
    process = start_broker()
    process.set_keys(auth__jwt__enable="true", **given)
    answer = process.api(req=10, action="reload")
    assert (answer.status, said in str(answer.json)) == (400, True), answer
    checked = process.nanomq("conf", "check", str(process.conf))
    assert (checked.returncode, said in checked.stderr) == (2, True), checked
    assert "hunter2" not in str(answer.json)


class KeyServer:
    """Serves a key set, in many ways."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.asked = threading.Semaphore(0)
        self.answer: Any = None  # what is done instead
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.release()
                if outer.answer is not None:
                    outer.answer(self)
                    return
                body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys?x=1"


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    made = KeyServer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@modern
def test_keys_are_fetched(
    start_broker: StartBroker, key_server: KeyServer, version: int
) -> None:
    key_server.keys = [jwk(RSA, kid="1")]
    process = start_broker(auth__jwt__enable="true", auth__jwt__jwks__url=key_server.url)
    assert key_server.asked.acquire(timeout=10)
    assert code(process, version, token("RS256", header={"kid": "1"})) == 0
    assert code(process, version, token("RS256")) == 0
    # a key that is not there, too soon after the start: nothing is fetched
    key_server.keys.append(jwk(CURVE, kid="2"))
    assert code(process, version, token("ES256", header={"kid": "2"})) == WRONG[version]
    assert not key_server.asked.acquire(blocking=False)


@modern
def test_tokens_are_refused_while_no_key_was_ever_fetched(
    start_broker: StartBroker, key_server: KeyServer, version: int
) -> None:
    key_server.answer = lambda handler: handler.send_error(500)
    process = start_broker(auth__jwt__enable="true", auth__jwt__jwks__url=key_server.url)
    process.waits_for("auth.jwt.jwks.url: no keys: the server answers 500")
    for _ in range(2):
        assert code(process, version, token("RS256", header={"kid": "1"})) == AWAY[version]
    assert sum("no keys" in line for line in process.lines) == 1


@modern
@pytest.mark.parametrize("keep_alive", [0, 60])
def test_connection_ends_with_its_token(
    start_for_tokens: Any, version: int, keep_alive: int
) -> None:
    process = start_for_tokens(sys_interval="1")
    with process.raw(version) as watcher, process.raw(version) as c:
        watcher.connect("watcher", user="u", password=token().encode())
        watcher.subscribe(("will", 0))
        until = time.time() + 2
        got = c.connect(
            "c",
            user="u",
            password=token("ES256", exp=until).encode(),
            will=("will", b"over", 0, False),
            keep_alive=keep_alive,
        )
        assert got.reason == 0
        # 0xA0: the maximum time authorized for this connection is over (table 3-13)
        assert closed_with(c) == (0xA0 if version == 5 else None)
        assert time.time() >= until - 0.002  # two clocks, of a millisecond each
        assert take(watcher)[:2] == ("will", b"over")  # [MQTT-3.1.2-8]
        watcher.assert_silent()
        watcher.subscribe(("$SYS/broker/logins/ended", 0))
        while take(watcher)[1] != b"1":
            """The value of before: the next one comes within a second."""


@modern
def test_token_that_has_no_end_ends_nothing(start_for_tokens: Any, version: int) -> None:
    process = start_for_tokens(auth__jwt__require_exp="false")
    with process.raw(version) as c:
        got = c.connect("c", user="u", password=token(claims={}).encode(), keep_alive=0)
        assert got.reason == 0
        c.ping()


@modern
def test_key_that_goes_ends_the_connections_of_tokens(
    start_broker: StartBroker, tmp_path: Path, version: int
) -> None:
    keys = tmp_path / "set.json"
    keys.write_text(json.dumps({"keys": [jwk(RSA, kid="r"), jwk(CURVE, kid="e")]}))
    process = start_broker(
        auth__jwt__enable="true",
        auth__jwt__jwks__file=str(keys),
        auth__1__login="ann",
        auth__1__password="p",
    )

    def come(client_id: str) -> raw.Raw:
        c = process.raw(version)
        made = token("ES256", header={"kid": "e"}).encode()
        assert c.connect(client_id, user="u", password=made).reason == 0
        return c

    with process.raw(version) as ann, come("a") as first:
        ann.connect("ann", user="ann", password=b"p")
        process.reload(auth__jwt__leeway="1")
        keys.write_text(json.dumps({"keys": [jwk(CURVE, kid="e")]}))
        first.ping()
        process.reload()
        assert closed_with(first) == (0x87 if version == 5 else None)
        ann.ping()
        with come("b") as second:
            keys.write_text(json.dumps({"keys": [jwk(CURVE, kid="e"), jwk(RSA, kid="r")]}))
            process.reload()
            second.ping()
            process.reload(auth__jwt__enable="false")
            assert closed_with(second) == (0x87 if version == 5 else None)
        ann.ping()
