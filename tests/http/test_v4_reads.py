"""What ``/api/v4`` and ``/api`` tell of the broker and of subscriptions.

Source  emqx-cloud-api-v4-brokers.txt; http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Process, StartBroker
from tests.http.documented import differences
from tests.http.v4 import PREFIXES, assert_refused, call, get

# --- brokers and nodes

# The examples of emqx-cloud-api-v4-brokers.txt.
BROKER = (
    '{"version":"develop","uptime":"4 hours, 21 minutes, 19 seconds",'
    '"sysdescr":"EMQ X Broker","otp_release":"R21/10.3.5","node_status":"Running",'
    '"node":"emqx@127.0.0.1","datetime":"2020-02-19 15:27:24"}'
)
# That of EMQX 4's own document.
NODE = (
    '{"version":"develop","uptime":"7 seconds","process_used":315,'
    '"process_available":2097152,"otp_release":"R21/10.3.5","node_status":"Running",'
    '"node":"emqx@127.0.0.1","memory_used":"96.75M","memory_total":"118.27M",'
    '"max_fds":10240,"load5":"2.60","load15":"2.65","load1":"2.31","connections":0}'
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("kind", "example"), [("brokers", BROKER), ("nodes", NODE)])
def test_node_is_told_as_in_the_example(
    busy: Process, node: str, prefix: str, slash: str, kind: str, example: str
) -> None:
    all_of_them = call(busy, "GET", f"{prefix}/{kind}{slash}").json
    one = call(busy, "GET", f"{prefix}/{kind}/{quote(node)}{slash}").json
    expected = json.loads(example)
    assert differences({"data": [expected], "code": 0}, all_of_them) == []
    assert differences({"data": expected, "code": 0}, one) == []
    assert one["data"]["node"] == node


def test_values_of_a_node_are_written_as_documented(busy: Process) -> None:
    (told,) = get(busy, "/nodes")["data"]
    assert re.fullmatch(r"\d+\.\d\dM", told["memory_total"])
    assert re.fullmatch(r"\d+\.\d\dM", told["memory_used"])
    assert re.fullmatch(r"\d+\.\d\d", told["load1"])
    assert re.fullmatch(r"((\d+ hours, )?\d+ minutes, )?\d+ seconds", told["uptime"])
    assert told["connections"] == 3
    (told,) = get(busy, "/brokers")["data"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told["datetime"])


# --- subscriptions and routes


def subscription(clientid: str, topic: str, qos: int, node: str) -> dict[str, Any]:
    return {"topic": topic, "qos": qos, "node": node, "clientid": clientid}


def sorted_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sorted(map(str, row.items())))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abcd"),
        ("clientid=five", "ab"),
        ("clientid=nobody", ""),
        ("topic=a/b/c", "ac"),
        ("topic=a/%2B/c", "b"),
        ("topic=$share/g/a/%2B/c", "b"),
        ("topic=$share/g/a/%2B/c&share=h", ""),
        ("share=g", "b"),
        ("qos=0", "c"),
        ("qos=2", "bd"),
        ("_match_topic=a/b/%23", "ac"),
        ("_match_topic=d/%2B&qos=2", "d"),
        ("clientid=five&qos=1", "a"),
        ("_=1700000000", "abcd"),
    ],
)
def test_subscriptions_that_fit_are_listed(
    busy: Process, node: str, query: str, found: str
) -> None:
    rows = {
        "a": subscription("five", "a/b/c", 1, node),
        "b": subscription("five", "$share/g/a/+/c", 2, node),
        "c": subscription("four", "a/b/c", 0, node),
        "d": subscription("away", "d/é", 2, node),
    }
    wanted = sorted_rows([rows[each] for each in found])
    for path in ("/subscriptions", f"/nodes/{node}/subscriptions"):
        answer = get(busy, f"{path}?{query}")
        assert list(answer) == ["meta", "data", "code"]
        assert sorted_rows(answer["data"]) == wanted
        meta = {"page": 1, "limit": 10_000, "count": len(found), "hasnext": False}
        assert list(answer["meta"].items()) == list(meta.items())


def test_subscriptions_of_a_client_are_an_array(busy: Process, node: str) -> None:
    for path in ("/subscriptions/four", f"/nodes/{node}/subscriptions/four"):
        assert get(busy, path) == {
            "data": [subscription("four", "a/b/c", 0, node)],
            "code": 0,
        }


ROUTES = ["a/+/c", "a/b/c", "d/é"]


def test_routes_are_listed(busy: Process, node: str) -> None:
    for path in ("/routes", f"/nodes/{node}/routes/"):
        answer = get(busy, path)
        rows = [{"topic": topic, "node": node} for topic in ROUTES]
        assert sorted_rows(answer["data"]) == sorted_rows(rows)
        assert answer["meta"] == {"page": 1, "limit": 10_000, "count": 3}


@pytest.mark.parametrize("topic", ["a/b/c", "a%2fb%2Fc"])
def test_routes_of_a_topic_are_an_array(busy: Process, node: str, topic: str) -> None:
    found = {"data": [{"topic": "a/b/c", "node": node}], "code": 0}
    assert get(busy, f"/routes/{topic}") == found
    assert get(busy, f"/nodes/{node}/routes/{topic}") == found


@pytest.mark.parametrize(
    "path",
    [
        "/subscriptions/nobody",
        f"/subscriptions/{'x' * 6000}",
        "/routes/nowhere/%2B",
        "/routes/a%2F%23%2Fb",  # no Topic Filter
    ],
)
def test_what_is_absent_is_an_empty_array(busy: Process, path: str) -> None:
    assert get(busy, path) == {"data": [], "code": 0}


# --- pages


@pytest.mark.parametrize("kind", ["subscriptions"])
def test_pages_hold_each_row_once(busy: Process, kind: str) -> None:
    everything = get(busy, f"/{kind}")
    count = everything["meta"]["count"]
    rows: list[Any] = []
    for page in range(1, count + 2):
        answer = get(busy, f"/{kind}?_page={page}&_limit=1")
        assert answer["meta"] == {
            "page": page,
            "limit": 1,
            "count": count,
            "hasnext": page < count,
        }
        assert len(answer["data"]) == (page <= count)
        rows += answer["data"]
    assert rows == everything["data"]


# --- errors


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        ("/subscriptions?_page=0", 400, 108, "_page: "),
        ("/subscriptions?_page=x", 400, 108, "_page: "),
        ("/subscriptions?_limit=0", 400, 108, "_limit: "),
        ("/subscriptions?_limit=-1", 400, 108, "_limit: "),
        ("/subscriptions?_limit=99999999999999999999", 400, 108, "_limit: "),
        ("/subscriptions?qos=3", 400, 108, "qos: "),
        ("/subscriptions?topic=a/%23/b", 400, 108, "topic_filter="),
        ("/subscriptions?clientid=%ff", 400, 108, "percent-encoded UTF-8"),
        ("/routes?_page=", 400, 108, "_page: "),
        ("/routes/a%2uA", 400, 108, "percent-encoded UTF-8"),
        ("/nodes/emqx@nowhere", 404, 101, "emqx@nowhere"),
        ("/brokers/emqx@nowhere", 404, 101, "emqx@nowhere"),
        ("/nodes/emqx@nowhere/subscriptions", 404, 101, "emqx@nowhere"),
        ("/nodes/emqx@nowhere/routes/a", 404, 101, "emqx@nowhere"),
        ("/nothing", 404, 102, ""),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_wrong_request_is_told_what_is_wrong(
    busy: Process, prefix: str, path: str, status: int, code: int, said: str
) -> None:
    assert_refused(call(busy, "GET", prefix + path), status, code, said)


@pytest.mark.parametrize(("auth", "code"), [("", 104), ("admin:wrong", 103)])
@pytest.mark.parametrize("path", ["/brokers", "/nodes", "/subscriptions", "/routes"])
def test_stranger_is_told_nothing(busy: Process, path: str, auth: str, code: int) -> None:
    assert_refused(call(busy, "GET", f"/api/v4{path}", auth=auth), 401, code)


def test_errors_may_all_have_status_200(start_broker: StartBroker) -> None:
    broker = start_broker(http_server__emqx_status="always_200")
    for method, path, status, code in (
        ("GET", "/clients?_page=0", 200, 108),
        ("GET", "/nodes/emqx@nowhere", 200, 101),
        ("GET", "/routes/%2u", 200, 108),
        ("DELETE", "/clients/nobody", 200, 112),
        ("PUT", "/clients/nobody/keepalive", 200, 107),
        ("PUT", "/listeners/none/restart", 200, 102),
        ("GET", "/slow_subscriptions", 200, 111),
        ("GET", "/nothing", 404, 102),
        ("POST", "/nodes", 405, 102),
    ):
        assert_refused(call(broker, method, f"/api/v4{path}"), status, code)
    assert_refused(call(broker, "GET", "/api/v4/nodes", auth="admin:wrong"), 401, 103)


@pytest.mark.parametrize("path", ["/api/v4", "/api/v4/", "/api", "/api/"])
def test_endpoints_are_listed(busy: Process, path: str) -> None:
    answer = call(busy, "GET", path).json
    expected = {"path": "/auth_clientid", "name": "list_clientid", "method": "GET"}
    expected["descr"] = "List available clientid in the cluster"
    assert differences({"data": [expected], "code": 0}, answer) == []
    told = {(row["method"], row["path"]) for row in answer["data"]}
    assert told >= {
        ("GET", "/"),
        ("GET", "/clients/:clientid"),
        ("DELETE", "/clients/:clientid"),
        ("GET", "/nodes/:node/routes/:topic"),
    }
