"""What widely used programs ask, and that what they read of the answers is there and true.

Source  emqx/emqx-exporter, client/client_4.x.go; nuvo/emq_exporter and its offspring for v4;
        emqx/emqx-dashboard-frontend (EMQX 4's dashboard), src/common/api.js and src/views;
        linG5821/emqx-sdk (Java); kainonly/emqx-management-api (PHP); werecloud/nanomq-admin,
        src/api; NanoMQ, rest_api.c. Their calls are listed here, none of their code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.conftest import Process
from tests.http.documented import Said
from tests.http.v4 import busy_broker, call, get

pytestmark = pytest.mark.plain

NODE = "NODE"  # stands for the name of the node in a path


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with busy_broker(tmp_path_factory.mktemp("others")) as process:
        yield process


@pytest.fixture(scope="module")
def node(busy: Process) -> str:
    name = get(busy, "/nodes")["data"][0]["node"]
    assert isinstance(name, str)
    return name


def at(answer: Any, path: str) -> Any:
    """Return what is at a path such as ``data/0/load1``: names may have dots in them."""
    for step in path.split("/"):
        answer = answer[int(step)] if isinstance(answer, list) else answer[step]
    return answer


def fields(names: str, kind: type, under: str = "data/0") -> dict[str, type]:
    return {f"{under}/{name}": kind for name in names.split()}


COUNTS = "recv_cnt recv_msg recv_oct recv_pkt send_cnt send_msg send_oct send_pkt"
CLIENT = fields(
    f"port proto_ver keepalive expiry_interval subscriptions_cnt max_subscriptions {COUNTS} "
    "inflight max_inflight mqueue_len max_mqueue mqueue_dropped awaiting_rel "
    "max_awaiting_rel heap_size mailbox_len reductions",
    int,
) | fields("node clientid username proto_name ip_address connected_at created_at zone", str)
CLIENT |= fields("mountpoint client_id conn_state", str)
CLIENT |= fields("is_bridge connected clean_start", bool)
BROKER = "node version sysdescr uptime datetime otp_release node_status"
NODES = fields(f"{NODE.lower()} version uptime node_status otp_release", str)
NODES |= fields("load1 load5 load15 memory_total memory_used", str)
NODES |= fields("connections max_fds process_used process_available", int)
PAGE = {"meta/page": int, "meta/limit": int, "meta/count": int}
LISTENER = fields("protocol listen_on", str) | fields(
    "max_conns current_conns acceptors", int
)
STATS = " ".join(
    f"{name}.count {name}.max"
    for name in [
        "connections",
        "topics",
        "retained",
        "sessions",
        "subscribers",
        "subscriptions",
        "subscriptions.shared",
        "routes",
        "suboptions",
        "channels",
        "live_connections",
    ]
)
METRICS = (
    "packets.received packets.sent packets.publish.received packets.publish.sent "
    "packets.connect.received packets.connack.sent packets.disconnect.received "
    "packets.puback.missed packets.pubrec.missed packets.pubrel.missed "
    "messages.received messages.sent messages.dropped messages.retained "
    "messages.qos0.received messages.qos1.sent messages.qos2.received bytes.received "
    "bytes.sent client.connected client.authenticate client.auth.anonymous "
    "client.check_acl client.subscribe client.unsubscribe client.disconnected "
    "session.created session.resumed session.takeovered session.discarded "
    "session.terminated delivery.dropped delivery.dropped.no_local "
    "delivery.dropped.too_large delivery.dropped.qos0_msg delivery.dropped.queue_full "
    "delivery.dropped.expired"
)

# Program, path below /api, and what it reads: where it is, and its type in JSON.
READS: list[tuple[str, str, Mapping[str, type]]] = [
    ("exporter", "/v4/nodes", NODES),
    ("exporter", "/v4/license", fields("max_connections", int, "data")),
    ("exporter", "/v4/license", fields("expiry_at", str, "data")),
    ("exporter", "/v4/monitor/current_metrics", fields("sent received", int, "data")),
    ("exporter", "/v4/rules?_limit=10000", {"data": list}),
    ("exporter", "/v4/resources", {"data": list}),
    ("emq_exporter", "/v2/monitoring/metrics/NODE", {"result/packets~sent": int}),
    ("emq_exporter", "/v2/monitoring/stats/NODE", {"result/clients~count": int}),
    (
        "emq_exporter",
        "/v2/monitoring/nodes/NODE",
        fields("load1 memory_used", str, "result"),
    ),
    ("emq_exporter", "/v2/monitoring/nodes/NODE", fields("clients max_fds", int, "result")),
    ("emq_exporter", "/v2/management/nodes/NODE", fields("version uptime", str, "result")),
    ("emq_exporter", "/v4/nodes/NODE/metrics/", fields(METRICS, int, "data")),
    ("emq_exporter", "/v4/nodes/NODE/stats/", fields(STATS, int, "data")),
    ("emq_exporter", "/v4/nodes/NODE", fields("load1 memory_used", str, "data")),
    ("dashboard", "/v4/brokers/NODE", fields(BROKER, str, "data")),
    ("dashboard", "/v4/nodes", NODES),
    ("dashboard", "/v4/stats", {"data/0/node": str} | fields(STATS, int, "data/0/stats")),
    ("dashboard", "/v4/nodes/NODE/metrics", fields(METRICS, int, "data")),
    ("dashboard", "/v4/nodes/NODE/clients?_page=1&_limit=10", CLIENT | PAGE),
    ("dashboard", "/v4/nodes/NODE/clients/five", CLIENT),
    (
        "dashboard",
        "/v4/clients?_page=1&_limit=10&_like_clientid=fi&_like_username=st",
        CLIENT,
    ),
    ("dashboard", "/v4/clients?_page=1&_limit=10&conn_state=connected", CLIENT | PAGE),
    ("dashboard", "/v4/clients/five", CLIENT),
    ("dashboard", "/v4/subscriptions/five", fields("clientid topic node", str)),
    ("dashboard", "/v4/subscriptions?_page=1&_limit=10", fields("qos", int) | PAGE),
    ("dashboard", "/v4/routes?_page=1&_limit=10", fields("topic node", str) | PAGE),
    ("dashboard", "/v4/nodes/NODE/listeners", LISTENER),
    ("dashboard", "/v4/nodes/NODE/plugins", {"data": list}),
    ("dashboard", "/v4/nodes/NODE/modules", fields("name description", str)),
    ("dashboard", "/v4/modules", fields("active", bool, "data/0/modules/0")),
    ("dashboard", "/v4/users/", fields("username tags", str)),
    ("dashboard", "/v4/apps", {"data": list}),
    ("dashboard", "/v4/alarms/activated", {"data/0/alarms": list}),
    ("dashboard", "/v4/alarms/deactivated", {"data/0/alarms": list}),
    ("dashboard", "/v4/topic-metrics", {"data": list}),
    ("dashboard", "/v4/rule_events", {"data": list}),
    ("dashboard", "/v4/actions", {"data": list}),
    ("dashboard", "/v4/resource_types", {"data": list}),
    ("dashboard", "/v4/banned", {"data": list} | PAGE),
    ("dashboard", "/v4/auth_clientid", {"data": list} | PAGE),
    ("dashboard", "/v4/auth_username", {"data": list} | PAGE),
    ("java", "/v4/brokers", fields(BROKER, str)),
    ("java", "/v4/clients/username/steve", CLIENT),
    ("java", "/v4/nodes/NODE/clients/username/steve", CLIENT),
    ("java", "/v4/clients/five/acl_cache", {"data": list}),
    ("java", "/v4/nodes/NODE/subscriptions/five", fields("topic clientid", str)),
    ("java", "/v4/routes/a%2Fb%2Fc", fields("topic node", str)),
    ("java", "/v4/plugins", {"data/0/plugins": list, "data/0/node": str}),
    ("java", "/v4/listeners", fields("listen_on", str, "data/0/listeners/0")),
    ("java", "/v4/metrics", fields(METRICS, int, "data/0/metrics")),
    ("java", "/v4/nodes/NODE/alarms/activated", {"data": list}),
    ("java", "/v4/data/export", {"data": list}),
    ("php", "/v4", fields("name method path descr", str)),
    ("php", "/v4/nodes/NODE/alarms", {"data": list}),
    ("nanomq", "/v4/brokers", fields("datetime node_status sysdescr uptime version", str)),
    ("nanomq", "/v4/nodes", fields("connections", int) | fields("uptime version", str)),
    ("nanomq", "/v4/metrics", {"metrics": list, "cpuinfo": str, "memory": str}),
    ("nanomq", "/v4/clients?proto_name=MQTT&proto_ver=5&clean_start=true", CLIENT),
    ("nanomq", "/v4/subscriptions?share=g", fields("clientid topic", str)),
    ("nanomq", "/v4/topic-tree", fields("topic", str, "data/0/0")),
    ("nanomq", "/v4/topic-tree", {"data/0/0/cld_cnt": int, "data/0/0/clientid": list}),
    ("nanomq", "/v4/reload", fields("property_size msq_len qos_duration", int, "data")),
    ("nanomq", "/v4/reload", fields("allow_anonymous", bool, "data")),
    ("nanomq", "/v4/bridges", {"data/bridge/nodes": list}),
    ("nanomq", "/v4/configuration", {"data": dict}),
    ("nanomq", "/v4/configuration/auth", {"data/auth": list}),
]


@pytest.mark.parametrize(("program", "path", "reads"), READS)
def test_what_they_read_is_there(
    busy: Process, node: str, program: str, path: str, reads: Mapping[str, type]
) -> None:
    """Go's and Java's decoders refuse another type; a bool is no int to them."""
    said = call(busy, "GET", f"/api{path.replace(NODE, node)}")
    assert (said.status, said.json["code"]) == (200, 0), said
    for where, kind in reads.items():
        name, _, rest = where.partition("~")
        value = at(said.json, name) if not rest else said.json["result"][slashed(where)]
        assert type(value) is kind, where


def slashed(where: str) -> str:
    """Return a name of v2, which has slashes in it."""
    return where.removeprefix("result/").replace("~", "/")


# --- what they send


def post(busy: Process, path: str, body: object) -> Said:
    return call(busy, "POST", f"/api/v4{path}", body)


SENT: list[tuple[str, str, object]] = [
    ("dashboard", "/auth", {"username": "admin", "password": "public"}),
    ("php", "/mqtt/publish", {"topic": "t", "payload": "x", "qos": 1, "retain": False,
                              "clientid": "php"}),
    ("nanomq", "/mqtt/publish", {"topics": "t,u", "payload": "x", "encoding": "plain",
                                 "properties": {"user_properties": {"id": 10010}}}),
    ("nanomq", "/mqtt/publish_batch", [{"topic": "t", "payload": "x"}]),
    ("dashboard", "/mqtt/subscribe", {"topic": "new/1", "qos": 1, "clientid": "four"}),
    ("dashboard", "/mqtt/unsubscribe", {"topic": "new/1", "clientid": "four"}),
    ("java", "/mqtt/subscribe_batch", [{"topic": "n", "qos": 0, "clientid": "four"}]),
    ("java", "/mqtt/unsubscribe_batch", [{"topic": "n", "clientid": "four"}]),
    ("dashboard", "/topic-metrics", {"topic": "some/topic"}),
    ("java", "/banned", {"who": "x", "as": "clientid", "reason": "r", "by": "java"}),
    ("dashboard", "/apps", {"app_id": "3f2a", "name": "a", "desc": "", "secret": "",
                            "status": True}),
]  # fmt: skip


@pytest.mark.parametrize(("program", "path", "body"), SENT)
def test_what_they_send_is_taken(
    busy: Process, program: str, path: str, body: object
) -> None:
    said = post(busy, path, body)
    assert (said.status, said.json["code"]) == (200, 0), said


def test_new_session_is_the_one_that_the_dashboard_asked_for(busy: Process) -> None:
    for path, topics in (("subscribe", {"a/b/c", "d/1"}), ("unsubscribe", {"a/b/c"})):
        body = {"topic": "d/1", "qos": 1, "clientid": "four"}
        assert post(busy, f"/mqtt/{path}", body).json["code"] == 0
        told = get(busy, "/subscriptions/four")["data"]
        assert {each["topic"] for each in told} == topics


# --- how they read what is more than a number


def seconds(uptime: str) -> int:
    """Read it as emqx-exporter does, which knows the plurals alone."""
    units = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
    parts = [part.split(" ") for part in uptime.split(", ")]
    return sum(int(number) * units[unit] for number, unit in parts)


def test_uptime_loads_and_sizes_can_be_read(busy: Process) -> None:
    told = get(busy, "/nodes")["data"][0]
    assert 0 <= seconds(told["uptime"]) < 3600
    assert told["node_status"] == "Running"
    for name in ("load1", "load5", "load15"):
        assert float(told[name]) >= 0
    for name in ("memory_total", "memory_used"):  # bytefmt.ToBytes
        assert re.fullmatch(r"[0-9.]*[1-9][0-9.]*[KMGT]", told[name])


def test_licence_has_not_expired(busy: Process) -> None:
    told = get(busy, "/license")["data"]["expiry_at"]
    expiry = datetime.strptime(told, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    assert expiry.year > 2100


def test_nanomq_admin_reads_the_processor_and_the_memory(busy: Process) -> None:
    told = get(busy, "/metrics")
    assert 0 <= float(told["cpuinfo"].rstrip("%")) <= 100
    assert int(told["memory"]) > 1 << 20


def test_lines_of_prometheus_are_a_name_a_space_and_a_number(busy: Process) -> None:
    """NanoMQ's dashboards split them so: its names have no labels."""
    text = call(busy, "GET", "/api/v4/prometheus").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    told = dict(line.split(" ") for line in lines if "{" not in line)
    assert int(told["nanomq_connections_count"]) == 3
    assert int(told["nanomq_sessions_count"]) == 4
    assert int(told["nanomq_subscribers_count"]) == 2
    assert (
        0 <= float(told["nanomq_cpu_usage"]) <= float(told["nanomq_cpu_usage_max"]) <= 100
    )
    assert int(told["nanomq_memory_usage"]) <= int(told["nanomq_memory_usage_max"])


def test_absent_module_has_the_message_that_the_dashboard_passes_over(
    busy: Process,
) -> None:
    said = call(busy, "GET", "/api/v4/slow_subscriptions")
    assert said.json["message"] == "module_not_loaded"


def test_time_that_an_app_expires_can_be_shown_as_text(busy: Process) -> None:
    """The dashboard takes ``expired.toString()`` of it, which null has not."""
    post(busy, "/apps", {"app_id": "shown", "name": "a", "status": True})
    assert get(busy, "/apps/shown")["data"]["expired"] == "undefined"
