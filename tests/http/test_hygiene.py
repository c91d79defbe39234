"""What every HTTP request meets, whatever its path: by raw sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from nanomq_py.config import ConfigError, parse
from nanomq_py.http.front import Front, Manners
from tests.conftest import Process, StartBroker, running_broker

pytestmark = pytest.mark.plain

LOGIN = b"Authorization: Basic YWRtaW46cHVibGlj\r\n"
BODY = b'{"req":2,"seq":1}'
ASK = b"POST /api/v1 HTTP/1.1\r\nHost: a\r\n%bContent-Length: 17\r\n\r\n%b" % (LOGIN, BODY)


class Reply:
    """One answer: its status, its header lines, its body."""

    def __init__(self, text: bytes) -> None:
        head, _, self.body = text.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.lines = [tuple(line.lower().split(": ", 1)) for line in lines]
        self.headers = dict(self.lines)


def exchange(process: Process, *parts: bytes) -> bytes:
    """Send the parts, and return all that comes until the broker closes."""
    with socket.create_connection(("127.0.0.1", process.http_port), 20) as sock:
        for part in parts:
            sock.sendall(part)
        received = b""
        while data := sock.recv(65536):
            received += data
    return received


def ask(process: Process, method: str, path: str, *lines: str, body: bytes = b"") -> Reply:
    head = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return Reply(exchange(process, "\r\n".join([*head, "", ""]).encode() + body))


BASIC = "Authorization: Basic YWRtaW46cHVibGlj"


# --- headers of every answer

SAFE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ASK, 200),
        (ASK.replace(b"YWRt", b"eHh4"), 401),
        (b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /plugins/x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"DELETE /api/v1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"no HTTP at all\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 100 + b"\r\n", 400),
    ],
)
def test_every_answer_has_the_headers_of_safety(
    broker: Process, request_: bytes, status: int
) -> None:
    closing = request_.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n", 1)
    reply = Reply(exchange(broker, closing))
    assert reply.status == status
    assert SAFE.items() <= reply.headers.items()
    assert len(reply.lines) == len(reply.headers)  # none of them twice
    assert not any(name.startswith("access-control") for name in reply.headers)


async def test_answer_with_headers_of_its_own_keeps_them() -> None:
    sent = []

    async def page(scope: object, receive: object, send: object) -> None:
        headers = [(b"Cache-Control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [], "http_version": "1.1", "method": "GET"}
    await Front(page)(scope, None, send)
    headers = sent[0]["headers"]
    assert [value for name, value in headers if name == b"cache-control"] == [b"max-age=60"]


# --- methods


def test_head_is_get_without_the_body(broker: Process) -> None:
    got, head = ask(broker, "GET", "/status"), ask(broker, "HEAD", "/status")
    assert (got.status, head.status) == (200, 200)
    assert head.body == b""
    assert head.headers["content-length"] == str(len(got.body))


def test_405_says_which_methods_there_are(broker: Process) -> None:
    reply = ask(broker, "DELETE", "/api/v1")
    assert (reply.status, reply.headers["allow"]) == (405, "get, head, post")


@pytest.mark.parametrize(
    "path", ["/status", "/api/status/", "/api/v4/status", "/api/openapi.json", "/api-docs"]
)
def test_405_of_what_is_no_dialects(broker: Process, path: str) -> None:
    """Cloud's paths begin with /api, and are not asked."""
    for method in ("DELETE", "POST", "OPTIONS"):
        reply = ask(broker, method, path)
        assert (reply.status, reply.headers["allow"]) == (405, "get, head")


def test_status_needs_no_login_and_names_the_node(start_broker: StartBroker) -> None:
    process = start_broker(node__name="edge@here")
    reply = ask(process, "GET", "/status")
    assert reply.body == b"Node edge@here is started\nemqx is running"
    assert reply.headers["content-type"].startswith("text/plain")
    process.reload(node__name="other@here")
    assert ask(process, "GET", "/status").body.startswith(b"Node other@here is started\n")
    process.reload(node__name=None)
    named = f"Node nanomq@{socket.gethostname()} is started\n".encode()
    assert ask(process, "GET", "/status").body.startswith(named)


# --- where a request ends

HEAD = b"POST /api/v1 HTTP/1.1\r\nHost: a\r\n" + LOGIN
CHUNKED = b"11\r\n%b\r\n0\r\n\r\n" % BODY


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            HEAD + b"Content-Length: 17\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
            id="both lengths",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + CHUNKED,
            id="both lengths, the other way",
        ),
        pytest.param(
            HEAD + b"Content-Length: 17\r\nContent-Length: 3\r\n\r\n" + BODY,
            id="two lengths",
        ),
        pytest.param(
            HEAD + b"Content-Length: 17, 3\r\n\r\n" + BODY, id="a list of lengths"
        ),
        pytest.param(
            HEAD + b"Content-Length: +17\r\n\r\n" + BODY, id="a length with a sign"
        ),
        pytest.param(
            HEAD + b"Content-Length : 17\r\n\r\n" + BODY, id="space before the colon"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
            id="two codings",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED, id="unknown coding"
        ),
        pytest.param(
            HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
            id="chunks in HTTP 1.0",
        ),
        pytest.param(
            HEAD + b"X: a\r\n b\r\nContent-Length: 17\r\n\r\n" + BODY, id="folded"
        ),
        pytest.param(
            HEAD + b"X: a\n\tb\nContent-Length: 17\r\n\r\n" + BODY, id="folded, a tab"
        ),
        pytest.param(
            HEAD + b"Host: b\r\nContent-Length: 17\r\n\r\n" + BODY, id="two hosts"
        ),
        pytest.param(b"POST /api/v1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", id="no host"),
    ],
)
def test_request_whose_end_is_in_doubt_is_refused(broker: Process, request_: bytes) -> None:
    """RFC 9112, 5.1, 5.2, 6.1 and 6.3: one answer, and the connection ends."""
    for parts in ([request_], [request_[:130], request_[130:]], [request_ + ASK]):
        received = exchange(broker, *parts)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in received.lower()


FOLDED = b"GET /status HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [
        ASK,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
        b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 197),
    ],
)
def test_folded_line_of_a_request_behind_another_is_refused(
    broker: Process, first: bytes
) -> None:
    received = exchange(broker, first + FOLDED)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 200 ") == 1


def test_body_may_look_like_a_folded_line(broker: Process) -> None:
    body = b'{"req":2,\n "seq":\n\t1}'
    reply = ask(broker, "POST", "/api/v1", BASIC, body=body)
    assert (reply.status, b'"code":0' in reply.body) == (200, True)


@pytest.mark.parametrize(
    "first",
    [
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_request_behind_one_for_another_protocol_waits(
    broker: Process, first: bytes
) -> None:
    last = ASK.replace(b"Host: a", b"Host: a\r\nConnection: close")
    received = exchange(broker, first + last)
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.endswith(b"}")


def test_requests_that_come_at_once_are_answered_in_turn(broker: Process) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED
    last = b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = exchange(broker, (ASK + chunked) * 20 + last)
    assert received.count(b"HTTP/1.1 200 ") == 41


@pytest.mark.parametrize("origin", ["http://a", "HTTPS://a:81", "http://elsewhere.example"])
@pytest.mark.parametrize("path", ["/api/v4/brokers?x=1", "/api/v2/management/nodes", "/"])
def test_whole_url_is_its_path(shared: Process, origin: str, path: str) -> None:
    """A server takes it, whatever it names [RFC 9112, 3.2.2]."""
    assert ask(shared, "GET", origin + path, BASIC).status == 200
    assert ask(shared, "GET", f"{origin}/api/v4/brokers").status == 401


def test_whole_url_without_a_path_is_the_root(shared: Process) -> None:
    assert b'"paths"' in ask(shared, "GET", "http://a").body


@pytest.mark.parametrize(
    "path",
    [
        "//api/v4/brokers",
        "/API/v4/brokers",
        "/api%2Fv4/brokers",
        "/api/v4%2Fbrokers",
        "/%61pi/v4/brokers",
        "/api/v1/../v4/brokers",
        "/api/v1/%2e%2e/v4/brokers",
        "/api/v4;a/brokers",
    ],
)
def test_path_that_only_looks_like_another_is_not_found(shared: Process, path: str) -> None:
    assert ask(shared, "GET", path, BASIC).status == 404


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v2", "/api/v4"])
def test_status_with_a_slash_behind_is_the_same(shared: Process, prefix: str) -> None:
    assert ask(shared, "GET", f"{prefix}/status/").status == 200


def test_body_of_a_stranger_is_short(shared: Process) -> None:
    body = b'{"username":"%b","password":"b"}'
    said = ask(shared, "POST", "/api/v2/auth", body=body % (b"a" * 16_000))
    assert b'"code":103' in said.body
    said = ask(shared, "POST", "/api/v2/auth", body=body % (b"a" * (16 << 10)))
    assert b"the body is larger than 16 KiB" in said.body


def test_peer_that_asks_first_is_told_to_send_its_body(broker: Process) -> None:
    """RFC 9110, 10.1.1."""
    with socket.create_connection(("127.0.0.1", broker.http_port), 20) as sock:
        sock.sendall(
            ASK[: -len(BODY)].replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 100 ")
        sock.sendall(BODY)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_peer_that_asks_first_and_may_not_come_in_is_told_so(broker: Process) -> None:
    wrong = ASK[: -len(BODY)].replace(b"YWRt", b"eHh4")
    received = exchange(
        broker, wrong.replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    )
    assert received.startswith(b"HTTP/1.1 401 ")


def test_none_of_this_leaves_a_traceback(broker: Process) -> None:
    assert "Traceback" not in "".join(broker.lines)


# --- CORS


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(
        tmp_path_factory.mktemp("cors"),
        http_server__cors__origins="https://dash.example.com,http://localhost:3000",
    ) as process:
        yield process


PREFLIGHT = ("Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x")
MINE = "https://dash.example.com"


def test_preflight_needs_no_login(shared: Process) -> None:
    reply = ask(shared, "OPTIONS", "/api/v1", f"Origin: {MINE}", *PREFLIGHT)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == MINE
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert "put" in reply.headers["access-control-allow-methods"]
    assert "authorization" in reply.headers["access-control-allow-headers"]
    assert reply.headers["vary"] == "origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://dash.example.com",
        "https://dash.example.com:444",
        "https://dash.example.com.evil.com",
        "null",
    ],
)
def test_page_of_another_origin_reads_nothing(shared: Process, origin: str) -> None:
    for method, more in (("OPTIONS", PREFLIGHT), ("POST", (BASIC,))):
        reply = ask(shared, method, "/api/v1", f"Origin: {origin}", *more)
        assert not any(name.startswith("access-control") for name in reply.headers)
        assert reply.headers["vary"] == "origin"


@pytest.mark.parametrize(("login", "status"), [(BASIC, 200), ("X: y", 401)])
def test_page_that_is_let_in_reads_answers_and_errors(
    shared: Process, login: str, status: int
) -> None:
    reply = ask(shared, "POST", "/api/v1", f"Origin: {MINE}", login, body=BODY)
    assert reply.status == status
    assert reply.headers["access-control-allow-origin"] == MINE


def test_any_page_is_let_in_without_credentials_and_that_is_hot(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    before = ask(process, "OPTIONS", "/api/v1", f"Origin: {MINE}", *PREFLIGHT)
    assert (before.status, before.headers["allow"]) == (405, "get, head, post")
    process.reload(http_server__cors__origins="*")
    after = ask(process, "OPTIONS", "/api/v1", f"Origin: {MINE}", *PREFLIGHT)
    assert (after.status, after.headers["access-control-allow-origin"]) == (204, "*")
    assert "access-control-allow-credentials" not in after.headers


@pytest.mark.parametrize(
    "origins",
    [
        "dash.example.com",
        "https://a/",
        "https://*.a",
        "*,https://a",
        "https://a:99999",
        "https://u@a",
    ],
)
def test_text_that_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(ConfigError, match=r"http_server\.cors\.origins"):
        parse(f"http_server.cors.origins={origins}\n", "x.conf")


# --- the access log


def lines_of(process: Process) -> list[str]:
    return [line for line in process.lines if "nanomq.access" in line]


def test_access_log_has_a_line_a_request_while_it_is_on(start_broker: StartBroker) -> None:
    process = start_broker(log__level="error")
    process.reload(http_server__access_log="true")
    ask(process, "GET", "/status?_page=1&token=s3cret&a=b&apiKey=t0p")
    process.waits_for("/status")
    ask(process, "POST", "/api/v1", body=BODY)
    process.waits_for(" 401 ")
    reply = ask(process, "POST", "/api/v1", BASIC, body=BODY)
    process.waits_for(f" admin POST /api/v1 200 {len(reply.body)} ")
    text = "".join(process.lines)
    assert " - GET /status?_page=1&token=***&a=b&apiKey=*** 200 " in text
    assert "s3cret" not in text
    assert "t0p" not in text
    assert " - POST /api/v1 401 " in text
    assert exchange(process, b"no HTTP at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    process.waits_for(" - - - 400 ")
    process.reload(http_server__access_log="false")  # a line itself
    process.waits_for("true -> false")
    before = len(process.lines)
    ask(process, "GET", "/status?after")
    exchange(process, b"no HTTP after\r\n\r\n")
    process.nanomq("reload", "--conf", str(process.conf))
    assert "after" not in "".join(process.lines[before:])
    assert " 400 " not in "".join(process.lines[before:])


async def test_access_log_escapes_what_could_deceive_a_reader(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def quiet(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message: object) -> None: ...

    scope = {
        "type": "http", "headers": [], "http_version": "1.1", "method": "GET", "path": "/",
        "raw_path": b"/a\x1b[2J\nb", "query_string": b"x=\r\x85&password=p",
        "client": ("127.0.0.1", 5), "state": {"caller": "eve\n 10.0.0.1 admin"},
    }  # fmt: skip
    with caplog.at_level(logging.INFO, "nanomq.access"):
        await Front(quiet, Manners(access_log=True))(scope, None, send)
    [record] = caplog.records
    caller, path = "eve%0A%2010.0.0.1%20admin", r"/a\x1b[2J\nb?x=\r\x85&password=***"
    assert record.getMessage().startswith(f"127.0.0.1:5 {caller} GET {path} 204 0 ")


# --- dialects


def test_dialects_is_a_key_with_names_of_ours() -> None:
    for bad in ("", "v9", "v1,"):
        with pytest.raises(ConfigError, match=r"http_server\.dialects"):
            parse(f"http_server.dialects={bad}\n", "x.conf")
