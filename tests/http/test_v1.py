"""``/api/v1``: the document's own curl calls, and every error of the dialect."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from nanomq_py.auth.callers import Caller, CallerKind
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.queries import Client, Page, Subscription, SubscriptionFilter
from nanomq_py.core.records import Stats
from nanomq_py.http.app import make_app
from nanomq_py.http.guard import BasicGuard, Gate, Guard
from nanomq_py.http.v1.api import V1, Api, Envelope, parse
from nanomq_py.http.v1.reply import Refused
from nanomq_py.kernel.reload import Outcome
from nanomq_py.store.roles import Role
from tests.conftest import FOREIGN_ENV, Process, StartBroker

AUTH = ("admin", "public")
SOMEBODY = Caller("admin", Role.ADMINISTRATOR, CallerKind.CONFIGURED)


COMMON: dict[str, Any] = {
    "peer": "127.0.0.1:1", "version": 4, "keep_alive_s": 60, "clean_start": True,
    "expiry_interval_s": 0, "created_at_ms": 1, "connected_at_ms": 1,
    "disconnected_at_ms": 0, "queued": 0, "in_flight": 0, "messages_received": 3,
    "messages_sent": 0, "messages_dropped": 0,
}  # fmt: skip


def made_up(client_id: str, user_name: str | None, subs: int, *, connected: bool) -> Client:
    return Client(
        client_id, user_name, connected=connected, subscription_count=subs, **COMMON
    )


def subscription(client_id: str, topic_filter: str, qos: int) -> Subscription:
    return Subscription(client_id, topic_filter, None, qos, False, False, 0, 0)


# Each client with its subscriptions.
Held = list[tuple[Client, list[Subscription]]]
TWO_CLIENTS: Held = [
    (
        made_up("nanomq-ebd54382", "nanmq", 1, connected=True),
        [subscription("nanomq-ebd54382", "a/b/c", 0)],
    ),
    (made_up("kept", None, 0, connected=False), []),
]

T = TypeVar("T")


def page_of(rows: list[T], limit: int, after: int | None) -> Page[T]:
    """Return a page of a list; ``after`` is an index, one more."""
    first = 0 if after is None else after - 1
    until = first + limit
    return Page(rows[first:until], None, until + 1 if until < len(rows) else None)


@dataclass
class FakeBroker:
    """What the handlers call, with made-up values."""

    broken: bool = False
    held: Held = field(default_factory=lambda: TWO_CLIENTS)
    asked: int = 0  # pages of subscriptions

    def stats(self) -> Stats:
        if self.broken:
            raise RuntimeError("made up")
        return Stats(
            messages_in=4,
            messages_dropped=4,
            connections_accepted=1,
            connections_open=1,
            clients=1,
            connected=1,
            subscribers=1,
            subscriptions=1,
        )

    async def clients(self, *, limit: int, after: int | None, count: bool) -> Page[Client]:
        if self.broken:
            raise RuntimeError("made up")
        return page_of([client for client, _ in self.held], limit, after)

    async def subscriptions(
        self, filter: SubscriptionFilter, *, limit: int, after: int | None, count: bool
    ) -> Page[Subscription]:
        if self.broken:
            raise RuntimeError("made up")
        wanted = filter.client_ids if filter.client_id is None else [filter.client_id]
        if wanted is None:
            wanted = [client.client_id for client, _ in self.held]
        lists = [rows for client, rows in self.held if client.client_id in wanted]
        turns = itertools.zip_longest(*lists)  # one of each client after the other
        rows = [row for turn in turns for row in turn if row is not None]
        self.asked += 1
        return page_of(rows, limit, after)


@dataclass
class FakeConfigurator:
    """A configuration that nobody changes."""

    config: Config = field(default_factory=Config)
    path: Path | None = None

    async def reload(self, who: str) -> Outcome:
        raise ConfigError("made up")

    async def change(self, edit: Any, who: str, before: Any = None) -> Outcome:
        edit(self.config)
        return Outcome((), (), ())


@dataclass
class FakeProcess:
    """Notes what it is asked for."""

    asked: list[str] = field(default_factory=list)

    async def check_restart(self) -> None:
        self.asked.append("check")

    def request_stop(self) -> None:
        self.asked.append("stop")

    def request_restart(self) -> None:
        self.asked.append("restart")


def app_of(
    broker: FakeBroker | None = None,
    config: Config | None = None,
    guard: Guard | None = None,
    process: FakeProcess | None = None,
    peer: str = "127.0.0.1",
) -> TestClient:
    api = Api(
        broker or FakeBroker(),
        FakeConfigurator(config or Config()),
        process or FakeProcess(),
    )
    app = make_app([V1(api, Gate(guard or BasicGuard(*AUTH)))])
    return TestClient(app, client=(peer, 50000))


@pytest.fixture
def client() -> TestClient:
    return app_of()


def post(client: TestClient, body: Any, **options: Any) -> Any:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post("/api/v1", content=content, **{"auth": AUTH, **options})


EXAMPLES = {
    2: '{"code":0,"seq":1111111,"rep":2,"data":{"client_size":1,"message_in":4,"message_out":0,'
    '"message_drop":4}}',
    4: '{"code":0,"seq":1111111,"rep":4,"data":[{"client_id":"nanomq-ebd54382","subscriptions":'
    '[{"topic":"a/b/c","qos":0}]}]}',
    5: '{"code":0,"seq":1111111,"rep":5,"data":[{"client_id":"nanomq-ebd54382","username":'
    '"nanmq","keepalive":60,"protocol":4,"connect_status":1,"message_receive":0},'
    '{"client_id":"kept","username":"","keepalive":60,"protocol":4,"connect_status":0,'
    '"message_receive":0}]}',
    13: '{"code":0,"seq":1111111,"rep":13,"data":[[{"topic":"","cld_cnt":1,"client_id":[]}],'
    '[{"topic":"a","cld_cnt":1,"client_id":[]}],[{"topic":"b","cld_cnt":1,"client_id":[]}],'
    '[{"topic":"c","cld_cnt":0,"client_id":["nanomq-ebd54382"]}]]}',
}


@pytest.mark.parametrize("req", EXAMPLES)
def test_answer_is_the_documents_to_the_byte(client: TestClient, req: int) -> None:
    answer = post(client, {"req": req, "seq": 1111111})
    assert (answer.status_code, answer.text) == (200, EXAMPLES[req])
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
@pytest.mark.parametrize("filters", [0, 1, 3, 1000])
def test_list_of_any_length_is_one_json_text(count: int, filters: int) -> None:
    with_subs = {n for n in range(count) if n % 100 == 7}
    held: Held = []
    for n in range(count):
        subs = filters if n in with_subs else 0
        rows = [subscription(f"c{n}", f"a/{k}", k % 3) for k in range(subs)]
        held.append((made_up(f"c{n}", None, subs, connected=True), rows))
    client = app_of(FakeBroker(held=held))
    listed = post(client, {"req": 5, "seq": 3})
    assert [c["client_id"] for c in listed.json()["data"]] == [
        f"c{n}" for n in range(count)
    ]
    expected = {
        "code": 0,
        "seq": 3,
        "rep": 4,
        "data": [
            {
                "client_id": f"c{n}",
                "subscriptions": [
                    {"topic": f"a/{k}", "qos": k % 3} for k in range(filters)
                ],
            }
            for n in sorted(with_subs)
            if filters
        ],
    }
    assert post(client, {"req": 4, "seq": 3}).text == json.dumps(
        expected, separators=(",", ":")
    )


def test_subscribers_are_not_looked_up_one_by_one() -> None:
    held: Held = [
        (made_up(f"c{n}", None, 3, connected=True), [subscription(f"c{n}", "a", 0)] * 3)
        for n in range(1000)
    ]
    broker = FakeBroker(held=held)
    listed = post(app_of(broker), {"req": 4, "seq": 3}).json()["data"]
    assert [each["client_id"] for each in listed] == [f"c{n}" for n in range(1000)]
    assert broker.asked <= 1000 * 3 / 256 + 4


def test_client_that_has_many_more_by_the_time_it_is_listed_is_listed_whole() -> None:
    rows = [[subscription(f"c{n}", f"a/{k}", 0) for k in range(k)] for n, k in SURPRISES]
    held: Held = [
        (made_up(f"c{n}", None, 1, connected=True), rows[n]) for n, _ in SURPRISES
    ]
    listed = post(app_of(FakeBroker(held=held)), {"req": 4, "seq": 3}).json()["data"]
    assert [(each["client_id"], len(each["subscriptions"])) for each in listed] == [
        (f"c{n}", k) for n, k in SURPRISES if k
    ]


SURPRISES = [(0, 2), (1, 5000), (2, 0), (3, 1)]  # client, and how many it has


@pytest.mark.parametrize("req", [4, 5, 13])
def test_list_that_cannot_be_made_is_500(req: int) -> None:
    got = post(app_of(FakeBroker(broken=True)), {"req": req, "seq": 1})
    assert (got.status_code, got.json()) == (500, {"code": 102, "seq": 1, "rep": req})


DOCUMENT_11 = {
    "url": "nmq-tcp://0.0.0.0:1883",
    "num_taskq_thread": 4,
    "max_taskq_thread": 4,
    "parallel": 32,
    "property_size": 0,
    "msq_len": 64,
    "qos_duration": 60,
    "allow_anonymous": True,
    "daemon": False,
    "tls": {
        "enable": False,
        "url": "tls+nmq-tcp://0.0.0.0:8883",
        "key_password": None,
        "key": None,
        "cert": None,
        "cacert": None,
        "verify_peer": False,
        "fail_if_no_peer_cert": False,
    },
    "websocket": {
        "enable": True,
        "url": "nmq-ws://0.0.0.0:8083/mqtt",
        "tls_url": None,
    },
    "http_server": {
        "enable": True,
        "port": 8081,
        "username": "admin",
        "password": "public",
        "auth_type": "basic",
    },
    "bridge": {
        "bridge_mode": False,
        "address": "mqtt-tcp://broker.emqx.io:1883",
        "proto_ver": 4,
        "clientid": "bridge_client",
        "clean_start": True,
        "username": "username",
        "password": "passwd",
        "keepalive": 60,
        "parallel": 2,
        "forwards": ["topic1/#", "topic2/#"],
        "subscription": [
            {"topic": "cmd/topic1", "qos": 1},
            {"topic": "cmd/topic2", "qos": 2},
        ],
    },
}


def test_req_11_is_a_get_with_a_body_and_has_the_documents_fields() -> None:
    subscription = (
        BridgeSubscription(topic="cmd/topic1", qos=1),
        BridgeSubscription(topic="cmd/topic2", qos=2),
    )
    bridge = Bridge(
        name="emqx", address="mqtt-tcp://broker.emqx.io:1883", clientid="bridge_client",
        username="username", password="passwd", forwards=("topic1/#", "topic2/#"),
        subscription=subscription,
    )  # fmt: skip
    app = app_of(config=Config(msq_len=64, websocket=WebSocket(), bridges=(bridge,)))
    answer = app.request("GET", "/api/v1", content='{"req": 11, "seq": 9999}', auth=AUTH)
    assert answer.json() == {"code": 0, "seq": 9999, "rep": 11, "data": DOCUMENT_11}
    assert list(answer.json()["data"]) == list(DOCUMENT_11)


def test_seq_of_64_bits_is_echoed_exactly(client: TestClient) -> None:
    seq = (1 << 64) - 1
    assert post(client, {"req": 2, "seq": seq}).json()["seq"] == seq


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        ("{", 400, {"code": 109, "seq": 0}),
        ("", 400, {"code": 109, "seq": 0}),
        ("[1]", 400, {"code": 109, "seq": 0}),
        (b"\xff\xfe", 400, {"code": 109, "seq": 0}),
        ("{}", 400, {"code": 107, "seq": 0}),
        ({"seq": 5}, 400, {"code": 107, "seq": 5}),
        ({"req": 2}, 400, {"code": 107, "seq": 0, "rep": 2}),
        ({"req": "2", "seq": 5}, 400, {"code": 108, "seq": 5}),
        ({"req": 2, "seq": "5"}, 400, {"code": 108, "seq": 0, "rep": 2}),
        ({"req": 2, "seq": -1}, 400, {"code": 108, "seq": 0, "rep": 2}),
        ({"req": 2, "seq": 1.5}, 400, {"code": 108, "seq": 0, "rep": 2}),
        ({"req": True, "seq": 1}, 400, {"code": 108, "seq": 1}),
        ({"req": 99, "seq": 1}, 404, {"code": 108, "seq": 1, "rep": 99}),
        ({"req": 10, "seq": 1}, 400, {"code": 107, "seq": 1, "rep": 10}),
        ({"req": 10, "seq": 1, "action": "x"}, 400, {"code": 108, "seq": 1, "rep": 10}),
        (
            {"req": 10, "seq": 1, "action": "reload"},
            400,
            {"code": 108, "seq": 1, "rep": 10},
        ),
        ({"req": 12, "seq": 1}, 400, {"code": 107, "seq": 1, "rep": 12}),
        ({"req": 12, "seq": 1, "data": []}, 400, {"code": 108, "seq": 1, "rep": 12}),
    ],
)
def test_bad_request_has_its_status_and_code(
    client: TestClient, body: Any, status: int, answer: dict[str, int]
) -> None:
    got = post(client, body)
    content = got.json()
    content.pop("message", None)
    assert (got.status_code, content) == (status, answer)
    assert "data" not in got.json()


def test_without_credentials_401_and_104(client: TestClient) -> None:
    got = post(client, {"req": 2, "seq": 1}, auth=None)
    assert (got.status_code, got.json()["code"]) == (401, 104)
    assert got.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ", "Bearer x", "Basic Og=="],
)
def test_empty_credentials_401_and_104(client: TestClient, header: str) -> None:
    got = post(client, {"req": 2, "seq": 1}, auth=None, headers={"Authorization": header})
    assert (got.status_code, got.json()["code"]) == (401, 104)


@pytest.mark.parametrize(
    "auth", [("admin", "wrong"), ("root", "public"), ("admin", ""), ("admin", "public ")]
)
def test_wrong_credentials_401_and_103(client: TestClient, auth: tuple[str, str]) -> None:
    got = post(client, {"req": 2, "seq": 1}, auth=auth)
    assert (got.status_code, got.json()["code"]) == (401, 103)


def test_credentials_that_are_not_base64_401_and_103(client: TestClient) -> None:
    got = post(
        client, {"req": 2, "seq": 1}, auth=None, headers={"Authorization": "Basic %%"}
    )
    assert (got.status_code, got.json()["code"]) == (401, 103)


def test_our_own_fault_500_and_102_and_the_log_says_what(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(FakeBroker(broken=True))
    got = post(app, {"req": 2, "seq": 7})
    assert (got.status_code, got.json()) == (500, {"code": 102, "seq": 7, "rep": 2})
    assert "made up" in caplog.text


def test_body_over_1_mib_is_refused(client: TestClient) -> None:
    got = post(client, '{"req":2,"seq":1,"x":"' + "x" * (1 << 20) + '"}')
    assert (got.status_code, got.json()["code"]) == (400, 108)


def test_unknown_path_is_404_in_json(client: TestClient) -> None:
    assert client.get("/api/v9").status_code == 404
    assert client.delete("/api/v1").json() == {"code": 102, "seq": 0}


@given(st.binary(max_size=200))
def test_any_body_is_refused_or_understood(body: bytes) -> None:
    try:
        parse(body, Envelope(), SOMEBODY)
    except Refused as refused:
        assert refused.status in (400, 404)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["req", "seq", "data", "action"]), json_values))
def test_any_object_is_refused_or_understood(fields: dict[str, Any]) -> None:
    test_any_body_is_refused_or_understood.hypothesis.inner_test(
        json.dumps(fields).encode()
    )


def curl(*args: str) -> Any:
    done = subprocess.run(
        ["curl", "-s", *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env=FOREIGN_ENV,
    )
    return json.loads(done.stdout)


def documented(process: Process, req: int) -> Any:
    """The document's own call, its port apart."""
    return curl(
        "--basic", "-u", "admin:public", "-X", "POST",
        f"http://localhost:{process.http_port}/api/v1",
        "-d", f'{{"req": {req},"seq": 1111111}}',
    )  # fmt: skip


def test_documents_calls_tell_the_truth_of_connected_clients(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as sub, process.raw(4) as pub, process.raw(4) as kept:
        kept.connect("kept", clean=False, keep_alive=10)
        kept.subscribe(("$share/g/x", 1))
        kept.leave()
        sub.connect("nanomq-ebd54382", user="nanmq")
        sub.subscribe(("a/b/c", 0), ("d/#", 2))
        pub.connect("publisher")
        for topic in ("a/b/c", "d/e", "nobody", "nobody"):
            pub.publish(topic, b"x")
        sub.expect(3)
        sub.expect(3)
        pub.ping()
        assert documented(process, 2) == {
            "code": 0,
            "seq": 1111111,
            "rep": 2,
            "data": {
                "client_size": 1,
                "message_in": 4,
                "message_out": 2,
                "message_drop": 2,
            },
        }
        assert documented(process, 4)["data"] == [
            {"client_id": "kept", "subscriptions": [{"topic": "$share/g/x", "qos": 1}]},
            {
                "client_id": "nanomq-ebd54382",
                "subscriptions": [{"topic": "a/b/c", "qos": 0}, {"topic": "d/#", "qos": 2}],
            },
        ]
        assert documented(process, 5)["data"] == [
            {"client_id": "kept", "username": "", "keepalive": 10, "protocol": 4,
             "connect_status": 0, "message_receive": 0},
            {"client_id": "nanomq-ebd54382", "username": "nanmq", "keepalive": 60,
             "protocol": 5, "connect_status": 1, "message_receive": 2},
            {"client_id": "publisher", "username": "", "keepalive": 60, "protocol": 4,
             "connect_status": 1, "message_receive": 0},
        ]  # fmt: skip
        got = curl(
            "--location", "--request", "GET", f"http://localhost:{process.http_port}/api/v1",
            "--header", "Authorization: Basic YWRtaW46cHVibGlj",
            "--header", "Content-Type: application/json",
            "--data-raw", '{\n    "req": 11,\n    "seq": 9999\n}',
        )  # fmt: skip
        assert got["data"]["url"] == "nmq-tcp://127.0.0.1:0"
        assert list(got["data"]) == list(DOCUMENT_11)
