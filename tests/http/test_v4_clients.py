"""Clients of ``/api/v4``: which are listed, what is told of them, what is changed of them.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_clients
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from nanomq_py.http.emqx_v4.clients import ClientQuery, filter_of
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.parameters import read_query
from tests import raw
from tests.conftest import Process, StartBroker
from tests.http.v4 import assert_refused, call, done, get

ALL = "away five four three"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ALL),
        ("clientid=five", "five"),
        ("clientid=nobody", ""),
        ("username=steve", "away five"),
        ("username=nobody", ""),
        ("zone=external", ALL),
        ("zone=internal", ""),
        ("ip_address=127.0.0.1", ALL),
        ("ip_address=10.0.0.0/8", ""),
        ("conn_state=connected", "five four three"),
        ("conn_state=disconnected", "away"),
        ("conn_state=idle", ""),
        ("clean_start=true", "five four three"),
        ("clean_start=false", "away"),
        ("proto_name=MQTT", "away five four"),
        ("proto_name=MQIsdp", "three"),
        ("proto_name=CoAP", ""),
        ("proto_ver=5", "five"),
        ("proto_ver=9", ""),
        ("proto_ver=-99999999999", ""),
        ("proto_name=MQTT&proto_ver=3", ""),
        ("proto_name=MQTT&proto_ver=4", "away four"),
        ("_like_clientid=f", "five four"),
        ("_like_username=tev", "away five"),
        ("_like_username=.*", ""),
        ("_gte_created_at=AN_HOUR_AGO", ALL),
        ("_gte_created_at=IN_AN_HOUR", ""),
        ("_lte_created_at=IN_AN_HOUR", ALL),
        ("_lte_created_at=1", ""),
        ("_gte_connected_at=AN_HOUR_AGO&_lte_connected_at=IN_AN_HOUR", ALL),
        ("_gte_connected_at=2&_lte_connected_at=1", ""),
        ("_gte_mqueue_len=0", ALL),
        ("_gte_mqueue_len=1", ""),
        ("_lte_mqueue_len=0&_gte_mqueue_dropped=0", ALL),
        ("_gte_mqueue_dropped=1", ""),
        ("_lte_mqueue_dropped=0", ALL),
        ("username=steve&conn_state=connected&_like_clientid=fi", "five"),
    ],
)
def test_clients_that_fit_are_listed(
    busy: Process, node: str, query: str, found: str
) -> None:
    now = int(time.time())
    query = query.replace("AN_HOUR_AGO", str(now - 3600)).replace(
        "IN_AN_HOUR", str(now + 3600)
    )
    names = found.split()
    for path in ("/clients", f"/nodes/{node}/clients"):
        answer = get(busy, f"{path}?{query}")
        assert sorted(row["clientid"] for row in answer["data"]) == names
        meta = {"page": 1, "limit": 10_000, "count": len(names), "hasnext": False}
        assert answer["meta"] == meta


def test_moment_of_a_filter_is_the_second_that_the_row_tells(busy: Process) -> None:
    (row,) = get(busy, "/clients/five")["data"]
    second = int(time.mktime(time.strptime(row["created_at"], "%Y-%m-%d %H:%M:%S")))
    one = f"/clients?clientid=five&_gte_created_at={second}&_lte_created_at={second}"
    assert get(busy, one)["meta"]["count"] == 1
    assert get(busy, f"/clients?clientid=five&_gte_created_at={second + 1}")["data"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("_page=0", "_page: "),
        ("_limit=many", "_limit: "),
        ("conn_state=asleep", "conn_state: "),
        ("clean_start=maybe", "clean_start: "),
        ("proto_ver=five", "proto_ver: "),
        ("ip_address=nowhere", "address="),
        ("_gte_created_at=yesterday", "_gte_created_at: "),
        ("_lte_connected_at=-1", "_lte_connected_at: "),
        ("_gte_mqueue_len=x", "_gte_mqueue_len: "),
        ("_lte_mqueue_dropped=1.5", "_lte_mqueue_dropped: "),
    ],
)
def test_wrong_filter_is_named(busy: Process, query: str, said: str) -> None:
    assert_refused(call(busy, "GET", f"/api/v4/clients?{query}"), 400, 108, said)


@pytest.mark.parametrize("zone", ["zone=other", "conn_state=idle", "proto_name=CoAP"])
def test_what_cannot_be_is_decided_without_a_look(zone: str) -> None:
    assert filter_of(read_query(zone.encode(), ClientQuery)) is None


def test_names_of_filters_are_those_of_emqx() -> None:
    with pytest.raises(BadParameter, match="_gte_created_at"):
        read_query(b"_gte_created_at=x", ClientQuery)


# --- one client

FIELDS = {
    "node", "clientid", "username", "proto_name", "proto_ver", "ip_address", "port",
    "is_bridge", "connected", "connected_at", "created_at", "zone", "keepalive",
    "clean_start", "expiry_interval", "subscriptions_cnt", "max_subscriptions", "inflight",
    "max_inflight", "mqueue_len", "max_mqueue", "mqueue_dropped", "awaiting_rel",
    "max_awaiting_rel", "recv_oct", "recv_cnt", "recv_pkt", "recv_msg", "send_oct",
    "send_cnt", "send_pkt", "send_msg", "recv_msg.qos0", "recv_msg.qos1", "recv_msg.qos2",
    "recv_msg.dropped", "send_msg.qos0", "send_msg.qos1", "send_msg.qos2",
    "send_msg.dropped", "send_msg.dropped.expired", "send_msg.dropped.queue_full",
    "send_msg.dropped.too_large", "mountpoint", "mailbox_len", "heap_size", "reductions",
    "client_id", "conn_state", "ipv4",
}  # fmt: skip


def test_fields_of_a_client_are_all_there(busy: Process, node: str) -> None:
    for path in ("/clients/five", f"/nodes/{node}/clients/five"):
        (row,) = get(busy, path)["data"]
        assert set(row) == FIELDS
    (away,) = get(busy, "/clients/away")["data"]
    assert set(away) == FIELDS | {"disconnected_at"}


def test_values_of_a_client_are_true(busy: Process, node: str) -> None:
    (row,) = get(busy, "/clients/five")["data"]
    expected = {
        "node": node, "clientid": "five", "client_id": "five", "username": "steve",
        "proto_name": "MQTT", "proto_ver": 5, "ip_address": "127.0.0.1",
        "ipv4": "127.0.0.1", "is_bridge": False, "connected": True,
        "conn_state": "connected", "zone": "external", "mountpoint": "undefined",
        "keepalive": 30, "clean_start": True, "expiry_interval": 0,
        "subscriptions_cnt": 2, "max_subscriptions": 9, "inflight": 0, "max_inflight": 7,
        "mqueue_len": 0, "max_mqueue": 7, "mqueue_dropped": 0, "awaiting_rel": 0,
        "max_awaiting_rel": 11, "recv_pkt": 1, "recv_msg": 0, "send_msg": 0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["port"] > 0
    assert row["recv_oct"] > 20
    (four,) = get(busy, "/clients/four")["data"]
    assert four["username"] == "undefined"
    (three,) = get(busy, "/clients/three")["data"]
    assert (three["proto_name"], three["proto_ver"]) == ("MQIsdp", 3)
    (away,) = get(busy, "/clients/away")["data"]
    assert (away["connected"], away["conn_state"]) == (False, "disconnected")
    assert away["disconnected_at"] >= away["connected_at"]


def test_messages_of_a_client_are_counted(start_broker: StartBroker) -> None:
    broker = start_broker(
        listener__tcp__mountpoint="m/%c/", msq_len="1", listener__tcp__max_connections="9"
    )
    with broker.raw() as sub, broker.raw() as pub:
        sub.connect("sub")
        sub.subscribe(("t", 1))
        pub.connect("pub")
        pub.subscribe(("t", 1))
        for qos in (0, 1):
            pub.publish("t", b"x", qos=qos, packet_id=qos)
        (row,) = get(broker, "/clients/pub")["data"]
        counted = {name: row[name] for name in row if name.startswith("recv_msg")}
        assert counted == {
            "recv_msg": 2,
            "recv_msg.qos0": 1,
            "recv_msg.qos1": 1,
            "recv_msg.qos2": 0,
            "recv_msg.dropped": 0,
        }
        assert row["mountpoint"] == "m/pub/"
        assert get(broker, "/clients/sub")["data"][0]["mountpoint"] == "m/sub/"


def test_clients_of_a_user_are_an_array(busy: Process, node: str) -> None:
    for path in ("/clients/username/steve", f"/nodes/{node}/clients/username/steve/"):
        answer = get(busy, path)
        assert list(answer) == ["data", "code"]
        assert sorted(row["clientid"] for row in answer["data"]) == ["away", "five"]


@pytest.mark.parametrize(
    "path", ["/clients/nobody", "/clients/username/nobody", f"/clients/{'x' * 6000}"]
)
def test_absent_client_is_an_empty_array(busy: Process, path: str) -> None:
    assert get(busy, path) == {"data": [], "code": 0}


def test_pages_hold_each_client_once(busy: Process) -> None:
    rows: list[str] = []
    for page in range(1, 6):
        answer = get(busy, f"/clients?_page={page}&_limit=1")
        assert answer["meta"] == {
            "page": page,
            "limit": 1,
            "count": 4,
            "hasnext": page < 4,
        }
        rows += [row["clientid"] for row in answer["data"]]
    assert sorted(rows) == ALL.split()


# --- changes


def assert_absent(broker: Process, method: str, path: str, body: object = None) -> None:
    said = call(broker, method, f"/api/v4/clients/{path}", body)
    assert_refused(said, 404, 112, "not online")


@pytest.mark.endpoint("v4", "DELETE /clients/{clientid}", "success")
@pytest.mark.endpoint("v4", "DELETE /nodes/{node}/clients/{clientid}", "success")
def test_deleted_client_is_gone_with_its_session(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw() as c:
        c.connect("kept", clean=False)
        c.subscribe(("a", 1))
        done(broker, "DELETE", "/clients/kept")
        c.read_until_closed()
    assert get(broker, "/clients/kept")["data"] == []
    assert get(broker, "/subscriptions/kept")["data"] == []
    assert_absent(broker, "DELETE", "kept")
    node = get(broker, "/nodes")["data"][0]["node"]
    with broker.raw() as c:
        c.connect("again")
        done(broker, "DELETE", f"/nodes/{node}/clients/again")
        c.read_until_closed()


@pytest.mark.parametrize(
    ("query", "body"),
    [("", {"interval": 1}), ("", {"interval": "1"}), ("?interval=1", None)],
)
def test_keep_alive_is_changed(
    start_broker: StartBroker, query: str, body: dict[str, Any] | None
) -> None:
    broker = start_broker(keepalive_backoff="1000")
    with broker.raw() as c:
        c.connect("c", keep_alive=0)
        done(broker, "PUT", f"/clients/c/keepalive{query}", body)
        c.read_until_closed()  # it is silent


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, 107, "interval: missing"),
        (None, 107, "interval: missing"),
        ({"interval": -1}, 108, "interval: "),
        ({"interval": 65536}, 108, "interval: "),
        ({"interval": "99999"}, 108, "interval: "),
        ({"interval": "soon"}, 108, "interval: "),
        ({"interval": True}, 108, "interval: "),
        ([], 108, "Expected `object`"),
    ],
)
def test_wrong_keep_alive_is_refused(
    busy: Process, body: object, code: int, said: str
) -> None:
    answer = call(busy, "PUT", "/api/v4/clients/four/keepalive", body)
    assert_refused(answer, 400, code, said)


def test_rates_are_bounded_and_set_free(busy: Process) -> None:
    done(busy, "POST", "/clients/four/ratelimit", {})
    limits = {"conn_bytes_in": "100KB,10s", "conn_messages_in": "100,1m"}
    done(busy, "POST", "/clients/four/ratelimit", limits)
    done(busy, "DELETE", "/clients/four/ratelimit")
    done(busy, "POST", "/clients/four/quota", {"conn_messages_routing": "100,1s"})
    done(busy, "POST", "/clients/four/quota", {})
    done(busy, "DELETE", "/clients/four/quota")


def test_rate_that_is_set_is_kept(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw() as c:
        c.connect("c")
        done(broker, "POST", "/clients/c/ratelimit", {"conn_messages_in": "10,10s"})
        began = time.monotonic()
        for number in range(1, 4):  # one a second, and one at once
            c.publish("t", b"", qos=1, packet_id=number)
            c.expect(raw.PUBACK)
        assert time.monotonic() - began > 0.9  # the broker's clock may go ahead of this one


@pytest.mark.parametrize("limit", ["100", "100,", ",1s", "x,1s", "1,x", "0,1s", "1,0s", ""])
def test_wrong_rate_is_refused(busy: Process, limit: str) -> None:
    for path, name in (
        ("ratelimit", "conn_bytes_in"),
        ("ratelimit", "conn_messages_in"),
        ("quota", "conn_messages_routing"),
    ):
        answer = call(busy, "POST", f"/api/v4/clients/four/{path}", {name: limit})
        assert_refused(answer, 400, 108, f"{name}: ")


def test_kept_answers_are_told_and_forgotten(busy: Process, node: str) -> None:
    assert get(busy, "/clients/four/acl_cache") == {"data": [], "code": 0}
    done(busy, "DELETE", "/clients/four/acl_cache")
    done(busy, "DELETE", "/acl-cache")
    done(busy, "DELETE", f"/nodes/{node}/acl-cache")
    assert_refused(call(busy, "DELETE", "/api/v4/nodes/nowhere/acl-cache"), 404, 101)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "nobody", None),
        ("PUT", "nobody/keepalive", {"interval": 5}),
        ("GET", "nobody/acl_cache", None),
        ("DELETE", "nobody/acl_cache", None),
        ("POST", "nobody/ratelimit", {"conn_messages_in": "1,1s"}),
        ("DELETE", "nobody/ratelimit", None),
        ("POST", "nobody/quota", {"conn_messages_routing": "1,1s"}),
        ("DELETE", "nobody/quota", None),
        ("PUT", "away/keepalive", {"interval": 5}),  # it has no connection
    ],
)
def test_client_that_is_not_there_is_not_online(
    busy: Process, method: str, path: str, body: object
) -> None:
    assert_absent(busy, method, path, body)
