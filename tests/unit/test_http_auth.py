"""What HTTP servers are told of clients, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from nanomq_py import Config, ConfigError
from nanomq_py.auth.chain import Answer, Decision, Login
from nanomq_py.auth.http import server as servers_module
from nanomq_py.auth.http.judge import Judge
from nanomq_py.auth.http.server import Memory, Ruling, Verdict
from nanomq_py.auth.http.template import NotText, Template, check_requests
from nanomq_py.config.keys.http_client import Header, HttpAuth, HttpAuthRequest
from nanomq_py.core.records import AccessNote
from nanomq_py.core.rules import Access
from tests.answering import NO, OK, Answering, Asked, Says, answering, status

pytestmark = pytest.mark.plain

SUCCESS, UNAVAILABLE, NOT_AUTHORIZED = 0, 0x88, 0x87
LOGIN = Login(1, "192.0.2.1", "c", "u", b"hunter2")
PARAMS = ("clientid=%c", "username=%u", "password=%P", "ip=%a")


def request(url: str = "http://h/auth", *params: str, **more: Any) -> HttpAuthRequest:
    return HttpAuthRequest(url=url, params=params, **more)


# --- templates

HOSTILE = {"%c": b"c&username=root", "%u": "j\xf6rg =+%#".encode(), "%P": b"p\xff&\n"}


def test_form_says_what_a_client_is_called_and_no_more() -> None:
    made = Template(request("http://h/auth?k=v", "a=%c", "b=%u", "x=%P", "lit=1=2"))
    got = made.request(HOSTILE)
    assert (got.method, got.target) == ("POST", "/auth?k=v")
    assert dict(got.headers) == {b"Content-Type": b"application/x-www-form-urlencoded"}
    assert got.body is not None
    assert parse_qsl(got.body.decode(), encoding="latin-1") == [
        ("a", "c&username=root"),
        ("b", HOSTILE["%u"].decode("latin-1")),
        ("x", "p\xff&\n"),
        ("lit", "1=2"),
    ]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h/a", "/a?u=x%26y"),
        ("http://h", "/?u=x%26y"),
        ("http://h/a?b=c", "/a?b=c&u=x%26y"),
    ],
)
def test_get_says_it_in_the_query(url: str, target: str) -> None:
    got = Template(request(url, "u=%u", method="get")).request({"%u": b"x&y"})
    assert (got.method, got.target, got.body) == ("GET", target, None)


def test_json_where_the_header_says_so() -> None:
    header = Header(name="Content-Type", value="application/json; charset=utf-8")
    made = Template(request("http://h/", "u=%u", "no=%P", headers=(header,), method="put"))
    got = made.request({"%u": b'a"b'})
    assert (got.method, got.body) == ("PUT", b'{"u":"a\\"b"}')
    assert dict(got.headers) == {b"Content-Type": b"application/json; charset=utf-8"}
    with pytest.raises(NotText):
        made.request({"%u": b"u", "%P": b"\xff"})


def test_parameter_without_a_value_is_left_out() -> None:
    made = Template(request("http://h/", "a=%c", "b=x-%u-%c", "cn=%C", "e="))
    assert made.request({"%c": b"c"}).body == b"a=c&e="


def test_value_that_looks_like_a_placeholder_is_none() -> None:
    made = Template(request("http://h/", "a=%c%u"))
    assert made.request({"%c": b"%u", "%u": b"%P", "%P": b"no"}).body == b"a=%25u%25P"


# --- the configuration

REFUSED = {
    "no server": (HttpAuth(enable=True), "auth.http.enable: no server to ask"),
    "super alone": (
        HttpAuth(enable=True, super_req=request(), acl_req=request()),
        "auth.http.super_req.url: is asked about clients that",
    ),
    "password in acl": (
        HttpAuth(enable=True, acl_req=request("http://h/", "secretname=%P")),
        "auth.http.acl_req.params: secretname: %P has no meaning there",
    ),
    "topic in auth": (
        HttpAuth(enable=True, auth_req=request("http://h/", "t=%t")),
        "auth.http.auth_req.params: t: %t has no meaning there: expected %P %a %c %u",
    ),
    "unknown": (
        HttpAuth(enable=True, auth_req=request("http://h/", "t=a%zb")),
        "t: %z has no meaning",
    ),
    "no name": (
        HttpAuth(enable=True, auth_req=request("http://h/", "=%u")),
        "auth.http.auth_req.params: expected NAME=VALUE",
    ),
    "length": (
        HttpAuth(
            enable=True,
            auth_req=request(headers=(Header(name="content-length", value="1"),)),
        ),
        "auth.http.auth_req.headers.content-length: the broker itself says that",
    ),
    "host": (
        HttpAuth(enable=True, auth_req=request("http://" + "\xe4" * 70 + ".example/")),
        "auth.http.auth_req.url: expected a host name",
    ),
    "long host": (
        HttpAuth(enable=True, acl_req=request(f"http://{'a' * 64}.example/")),
        "auth.http.acl_req.url: expected a host name",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_configuration_that_cannot_work_is_refused(what: str) -> None:
    http, fault = REFUSED[what]
    with pytest.raises(ConfigError) as caught:
        check_requests(http)
    assert fault in str(caught.value)


def test_each_fault_is_told() -> None:
    http = HttpAuth(
        enable=True, auth_req=request("http://h/", "=a"), acl_req=request("http://h/", "=b")
    )
    with pytest.raises(ConfigError) as caught:
        check_requests(http)
    assert len(caught.value.args) == 2


@pytest.mark.parametrize("key", ["cacertfile", "certfile"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_certificates_that_cannot_be_read_are_refused(
    tmp_path: Path, key: str, content: bytes | None
) -> None:
    file = tmp_path / "f.pem"
    if content is not None:
        file.write_bytes(content)
    http = HttpAuth(enable=True, auth_req=request("https://h/"), **{key: str(file)})
    with pytest.raises(ConfigError, match=rf"auth\.http\.ssl\.{key}=.*f\.pem: "):
        Judge(Config(auth_http=http))


# --- logins


@asynccontextmanager
async def judging(
    says: Says | bytes | None = OK,
    *,
    auth: bool = True,
    sup: bool = False,
    acl: bool = False,
    params: tuple[str, ...] = PARAMS,
    answer_timeout: int = 60_000,
    **keys: Any,
) -> AsyncIterator[tuple[Judge, Answering]]:
    with answering(says) as server:
        acl_params = ("access=%A", "topic=%t", "clientid=%c", "username=%u")
        http = HttpAuth(
            enable=True,
            auth_req=request(f"{server.url}/auth", *params) if auth else HttpAuthRequest(),
            super_req=request(f"{server.url}/super", *params) if sup else HttpAuthRequest(),
            acl_req=request(f"{server.url}/acl", *acl_params) if acl else HttpAuthRequest(),
            timeout=keys.pop("timeout", 20_000),
            **keys,
        )
        judge = Judge(Config(auth_http=http, answer_timeout=answer_timeout))
        try:
            yield judge, server
        finally:
            judge.cancel()


async def decision(judge: Judge, login: Login = LOGIN) -> Answer:
    said = judge.decide(login)
    return await said if inspect.isawaitable(said) else said


def code_of(answer: Answer) -> int | None:
    return None if answer is None else answer.reason_code


STATUSES = {
    200: SUCCESS, 201: NOT_AUTHORIZED, 204: NOT_AUTHORIZED, 301: NOT_AUTHORIZED,
    302: NOT_AUTHORIZED, 400: NOT_AUTHORIZED, 401: NOT_AUTHORIZED, 403: NOT_AUTHORIZED,
    404: NOT_AUTHORIZED, 500: UNAVAILABLE, 503: UNAVAILABLE,
}  # fmt: skip


@pytest.mark.parametrize("code", STATUSES)
async def test_status_decides(code: int) -> None:
    async with judging(status(code, b"", "Location: /yes")) as (judge, server):
        assert code_of(await decision(judge)) == STATUSES[code]
    (asked,) = server.asked  # no redirection was followed
    assert asked.form == {
        "clientid": "c", "username": "u", "password": "hunter2", "ip": "192.0.2.1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", SUCCESS),
        (b"ignore", None),
        (b" ignore\n", None),
        (b"{}", SUCCESS),
        (b"\xff", SUCCESS),
    ],
)
async def test_body_counts_only_where_it_ignores(body: bytes, code: int | None) -> None:
    async with judging(status(200, body)) as (judge, _):
        assert code_of(await decision(judge)) == code


PASSWORDS = {
    "right": b"hunter2", "empty": b"", "huge": b"x" * 65535, "not UTF-8": b"\xff\xfe",
    "missing": None,
}  # fmt: skip


@pytest.mark.parametrize("kind", PASSWORDS)
async def test_any_password_arrives_as_it_is(kind: str) -> None:
    seen = []

    def says(asked: Asked, sock: socket.socket) -> bytes:
        pairs = parse_qsl(asked.body.decode(), keep_blank_values=True, encoding="latin-1")
        seen.append(dict(pairs).get("password"))
        return OK

    login = Login(1, "", "c", None, PASSWORDS[kind])
    async with judging(says) as (judge, _):
        assert code_of(await decision(judge, login)) == SUCCESS
    password = PASSWORDS[kind]
    assert seen == [None if password is None else password.decode("latin-1")]


FAILURES: dict[str, Callable[[Asked, socket.socket], bytes | None] | bytes | None] = {
    "empty": None,
    "garbage": b"\x00\x01\x02\r\n\r\n",
    "500": status(500),
    "huge": status(200, b"x" * 100_000),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
}


def then_closes(answer: object) -> Says:
    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        if isinstance(answer, bytes):
            sock.sendall(answer)
        return None

    return says


POLICIES = {"deny": UNAVAILABLE, "allow": SUCCESS, "pass": None}


@pytest.mark.parametrize("kind", [*FAILURES, "closed", "hangs"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_failure_follows_the_policy_and_ends_by_itself(
    kind: str, policy: str
) -> None:
    over = threading.Event()

    def hangs(asked: Asked, sock: socket.socket) -> bytes | None:
        over.wait(20)
        return None

    says = hangs if kind == "hangs" else then_closes(FAILURES.get(kind))
    timeout = 500 if kind == "hangs" else 20_000
    async with judging(says, on_failure=policy, timeout=timeout) as (judge, server):
        if kind == "closed":
            server.close()
        assert code_of(await decision(judge)) == POLICIES[policy]
        over.set()
        if kind == "closed":
            server.open()
        server.says = lambda asked, sock: NO
        assert code_of(await decision(judge)) == NOT_AUTHORIZED  # the failure was not kept


async def test_too_many_questions_follow_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers_module, "MOST_WAITING", 1)
    go_on = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        assert go_on.wait(20)
        return OK

    async with judging(says, pool_size=1) as (judge, _):
        logins = [Login(1, "", f"c{n}", "u", b"p") for n in range(3)]
        asking = [asyncio.ensure_future(decision(judge, login)) for login in logins]
        assert code_of(await asking[2]) == UNAVAILABLE
        go_on.set()
        assert [code_of(await one) for one in asking[:2]] == [SUCCESS] * 2


async def test_core_would_answer_first_without_a_shorter_wait() -> None:
    over = threading.Event()

    def hangs(asked: Asked, sock: socket.socket) -> bytes | None:
        over.wait(20)
        return None

    async with judging(hangs, on_failure="allow", answer_timeout=200) as (judge, _):
        assert code_of(await asyncio.wait_for(decision(judge), 20)) == SUCCESS
        over.set()


# --- what is remembered


async def test_answer_is_remembered_for_its_client_and_password() -> None:
    async with judging(cache_ttl=1_000_000) as (judge, server):
        for _ in range(3):
            assert code_of(await decision(judge)) == SUCCESS
        assert isinstance(judge.decide(LOGIN), Decision)  # at once
        assert len(server.asked) == 1
        server.says = lambda asked, sock: NO
        other = Login(1, "192.0.2.1", "c", "u", b"hunter3")
        for _ in range(2):
            assert code_of(await decision(judge, other)) == NOT_AUTHORIZED
        assert len(server.asked) == 2


async def test_nothing_is_remembered_without_a_time() -> None:
    async with judging(cache_ttl=0) as (judge, server):
        for _ in range(3):
            await decision(judge)
        assert len(server.asked) == 3


def test_memory_is_bounded_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "MOST_REMEMBERED", 2)
    memory = Memory(1000.0)
    for name in (b"a", b"b", b"a", b"c"):
        memory.put(name, Verdict.ALLOW)
    assert len(memory) == 2
    assert memory.get(b"b") is None
    said = memory.get(b"a")
    assert said is not None
    assert 999 < said.counts_s <= 1000
    brief = Memory(1e-9)
    brief.put(b"a", Verdict.ALLOW)
    assert brief.get(b"a") is None


async def test_same_question_is_asked_once_at_a_time() -> None:
    go_on = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes:
        assert go_on.wait(20)
        return OK

    async with judging(says, cache_ttl=0) as (judge, server):
        asking = [asyncio.ensure_future(decision(judge)) for _ in range(5)]
        await asyncio.to_thread(server.until, 1)
        asking[0].cancel()  # one who goes away takes nothing from the others
        go_on.set()
        assert [code_of(await one) for one in asking[1:]] == [SUCCESS] * 4
        assert len(server.asked) == 1


async def test_password_is_not_kept() -> None:
    async with judging(cache_ttl=1_000_000) as (judge, _):
        secret = bytes(range(65, 91)) + b"-hunter2"
        await decision(judge, Login(1, "", "c", "u", secret))
        gc.collect()
        held: list[object] = [judge]
        seen: set[int] = set()
        while held:
            at = held.pop()
            if id(at) in seen or inspect.ismodule(at) or inspect.isroutine(at):
                continue
            seen.add(id(at))
            assert not (isinstance(at, bytes | bytearray) and secret in at)
            assert not (isinstance(at, str) and secret.decode() in at)
            if not isinstance(at, type) and type(at).__module__.startswith(
                ("nanomq_py", "builtins", "collections")
            ):
                held += gc.get_referents(at)
        assert len(seen) > 20


# --- superusers


@pytest.mark.parametrize(
    ("says", "is_superuser"),
    [
        (OK, True),
        (NO, False),
        (status(200, b"ignore"), False),
        (status(500), False),
        (None, False),
    ],
)
async def test_superuser_is_who_the_server_says(
    says: bytes | None, is_superuser: bool
) -> None:
    def by_path(asked: Asked, sock: socket.socket) -> bytes | None:
        return OK if asked.path == "/auth" else says

    async with judging(by_path, sup=True) as (judge, server):
        for _ in range(2):
            got = await decision(judge)
            assert got is not None
            assert (got.reason_code, got.is_superuser) == (SUCCESS, is_superuser)
    assert server.asked[1].form["username"] == "u"


async def test_who_may_not_come_in_is_no_superuser() -> None:
    async with judging(NO, sup=True) as (judge, server):
        assert code_of(await decision(judge)) == NOT_AUTHORIZED
    assert [asked.path for asked in server.asked] == ["/auth"]


async def test_superuser_question_has_no_time_of_its_own() -> None:
    over = threading.Event()

    def says(asked: Asked, sock: socket.socket) -> bytes | None:
        if asked.path == "/auth":
            return OK
        over.wait(20)
        return None

    async with judging(says, sup=True, timeout=1000) as (judge, _):
        got = await asyncio.wait_for(decision(judge), 20)
        assert got is not None
        assert (got.reason_code, got.is_superuser) == (SUCCESS, False)
        over.set()


# --- topics


def note(*topics: str, publish: bool = True) -> AccessNote:
    return AccessNote(1, 1, publish, 1, "192.0.2.1", "c", "u", topics)


async def test_each_topic_is_asked_about() -> None:
    said = {"a": OK, "b,c": NO, "d": status(200, b"ignore"), "e": status(500)}

    def says(asked: Asked, sock: socket.socket) -> bytes:
        return said[asked.form["topic"]]

    async with judging(says, auth=False, acl=True, cache_ttl=1000) as (judge, server):
        got, counts_s = await judge.access(note("a", "b,c", "d", publish=False))
        assert got == [Access.ALLOW, Access.DENY, Access.PASS]
        assert 0 < counts_s <= 1
        assert {a.form["access"] for a in server.asked} == {"1"}
        got, counts_s = await judge.access(note("e"))
        assert (got, counts_s) == ([Access.DENY], 0)
        got, counts_s = await judge.access(note("a", "e"))
        assert (got, counts_s) == ([Access.ALLOW, Access.DENY], 0)
        assert server.asked[3].form == {
            "access": "2", "topic": "e", "clientid": "c", "username": "u",
        }  # fmt: skip
        assert judge.decide(LOGIN) is None  # others decide about logins


async def test_one_client_does_not_take_all_connections() -> None:
    topics = [f"t/{n}" for n in range(24)]
    async with judging(auth=False, acl=True, pool_size=32) as (judge, server):

        def says(asked: Asked, sock: socket.socket) -> bytes:
            server.until(8)
            return OK

        server.says = says
        got, _ = await judge.access(note(*topics, publish=False))
    assert got == [Access.ALLOW] * 24
    assert server.most_at_once == 8


@pytest.mark.parametrize(
    ("policy", "want"),
    [("deny", Access.DENY), ("allow", Access.ALLOW), ("pass", Access.PASS)],
)
async def test_topics_wait_no_longer_than_one_question(policy: str, want: Access) -> None:
    over = threading.Event()

    def hangs(asked: Asked, sock: socket.socket) -> bytes | None:
        over.wait(20)
        return None

    async with judging(hangs, auth=False, acl=True, timeout=200, on_failure=policy) as (
        judge,
        _,
    ):
        topics = [f"t/{n}" for n in range(20)]
        assert await judge.access(note(*topics)) == ([want] * 20, 0)
        over.set()


# --- what is told


async def test_outage_is_told_once_and_its_end_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "nanomq")
    async with judging(None, cache_ttl=0) as (judge, server):
        for n in range(5):
            await decision(judge, Login(1, "", f"c{n}", "u", b"hunter2"))
        server.says = lambda asked, sock: OK
        for _ in range(3):
            await decision(judge)
        server.says = lambda asked, sock: None
        await decision(judge)  # within a minute: not told again
        lines = [record.getMessage() for record in caplog.records]
        assert lines == [
            f"auth.http: {server.url} cannot be asked about clients: it closed the connection"
            " without a complete answer",
            f"auth.http: {server.url} answers again",
        ]
        monkeypatch.setattr(servers_module, "TELL_AGAIN_S", 0)
        await decision(judge)
        assert len(caplog.records) == 3
        assert "hunter2" not in caplog.text


def test_nothing_shows_a_secret() -> None:
    header = Header(name="Authorization", value="Bearer hunter2")
    http = HttpAuth(
        enable=True, auth_req=request("http://h/", "k=hunter2", headers=(header,))
    )
    made = Template(http.auth_req).request({"%P": b"hunter2"})
    for shown in (repr(http), repr(made), repr(LOGIN), repr(Ruling(Verdict.DENY, 1.0))):
        assert "hunter2" not in shown
