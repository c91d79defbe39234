"""Metrics for Prometheus: the format, the names, and that the values are the broker's.

Source  https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.core.declared import MEMORY, METRICS
from nanomq_py.http.prometheus import Sample, exposition
from tests.conftest import Process, StartBroker
from tests.http.v4 import PREFIXES, assert_refused, call, get

pytestmark = pytest.mark.plain

# --- a parser of the tests' own


@dataclass
class Family:
    kind: str = "untyped"
    help: str = ""
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)


_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:{{((?:{_LABEL},?)*)}})? (\S+)")


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def parsed(text: str) -> dict[str, Family]:
    """Read the format; what breaks one of its rules fails."""
    families: dict[str, Family] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if (told := re.fullmatch(rf"# HELP ({_NAME}) (.*)", line)) is not None:
            assert told[1] not in families, f"{told[1]}: two of one name"
            families[told[1]] = Family(help=unescaped(told[2]))
        elif (told := re.fullmatch(rf"# TYPE ({_NAME}) (\w+)", line)) is not None:
            family = families[told[1]]
            assert (family.kind, family.samples) == ("untyped", [])
            assert told[2] in ("counter", "gauge")
            family.kind = told[2]
        else:
            told = _SAMPLE.fullmatch(line)
            assert told is not None, line
            labels = dict(re.findall(_LABEL, told[2] or ""))
            named = {name: unescaped(value) for name, value in labels.items()}
            families[told[1]].samples.append((named, float(told[5])))
    return families


def values(text: str) -> dict[str, float]:
    return {name: each.samples[0][1] for name, each in parsed(text).items()}


@given(
    help=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r")),
    label=st.text(),
    value=st.integers(0, 1 << 64) | st.floats(0, 1e12),
)
def test_any_text_and_number_is_escaped(help: str, label: str, value: float) -> None:
    text = exposition([Sample("a", "gauge", help, value, {"l": label, "m": "n"})])
    assert parsed(text) == {
        "a": Family("gauge", help, [({"l": label, "m": "n"}, float(value))])
    }


def test_of_one_name_the_first_counts() -> None:
    text = exposition([Sample("a", "gauge", "x", 1), Sample("a", "counter", "y", 2)])
    assert text == "# HELP a x\n# TYPE a gauge\na 1\n"


# --- NanoMQ's

NANOMQ = """\
connections_count connections_max sessions_count sessions_max topics_count topics_max
subscribers_count subscribers_max messages_received messages_sent messages_dropped
memory_usage memory_usage_max cpu_usage cpu_usage_max
"""
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.endpoint("v4", "GET /prometheus", "success")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_metric_is_told_once(broker: Process, prefix: str) -> None:
    said = call(broker, "GET", f"{prefix}/prometheus")
    assert said.headers["content-type"] == TEXT
    families = parsed(said.text)
    for metric in (*METRICS, *MEMORY):
        family = families[metric.exported]
        assert (family.kind, family.help) == (metric.kind, metric.help)
        assert len(family.samples) == 1
    for name in NANOMQ.split():
        kind = "counter" if name.startswith("messages_") else "gauge"
        assert families[f"nanomq_{name}"].kind == kind
    (labels, value) = families["nanomq_info"].samples[0]
    assert (labels["node"], value) == (get(broker, "/nodes")["data"][0]["node"], 1)
    assert families["nanomq_memory_usage"].samples[0][1] > 1 << 20


def test_values_are_the_brokers(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw() as client:
        client.connect("c")
        client.subscribe(("a/b", 0), ("a/c", 0))
        client.publish("a/b", b"x")
        client.expect(3)
        client.publish("nobody", b"x")
        client.ping()
        told = values(call(broker, "GET", "/api/v4/prometheus").text)
        emqx = values(call(broker, "GET", "/api/v4/emqx_prometheus?type=prometheus").text)
    assert told["nanomq_connections_count"] == 1
    assert told["nanomq_sessions_count"] == told["nanomq_clients"] == 1
    assert told["nanomq_topics_count"] == 2
    assert told["nanomq_subscribers_count"] == 1
    assert told["nanomq_messages_received"] == told["nanomq_messages_in_total"] == 2
    assert told["nanomq_messages_sent"] == 1
    assert told["nanomq_messages_dropped"] == 1
    assert emqx["emqx_connections_count"] == emqx["emqx_sessions_max"] == 1
    assert emqx["emqx_subscriptions_count"] == 2
    assert emqx["emqx_packets_connect"] == emqx["emqx_packets_subscribe_received"] == 1
    assert emqx["emqx_messages_qos0_received"] == 2
    assert emqx["emqx_messages_dropped_no_subscribers"] == 1


# --- EMQX's: the names of EMQX Cloud's page, "Prometheus Monitoring Alerts"

EMQX = """\
vm_run_queue vm_process_messages_in_queues vm_cpu_use vm_cpu_idle vm_used_memory
vm_total_memory
messages_qos1_received messages_dropped_expired messages_dropped messages_qos1_sent
messages_qos0_received messages_received messages_acked messages_publish
messages_delivered messages_sent messages_qos0_sent messages_qos2_received
messages_retained messages_qos2_sent messages_forward messages_delayed
messages_dropped_no_subscribers
delivery_dropped delivery_dropped_too_large delivery_dropped_queue_full
delivery_dropped_qos0_msg delivery_dropped_no_local delivery_dropped_expired
client_auth_anonymous client_unsubscribe client_subscribe client_disconnected
client_connected client_check_acl client_authenticate
cluster_nodes_stopped cluster_nodes_running
suboptions_max subscriptions_shared_max subscribers_max retained_count sessions_max
routes_max topics_max connections_max subscribers_count retained_max subscriptions_count
subscriptions_shared_count suboptions_count routes_count topics_count sessions_count
connections_count subscriptions_max
session_discarded session_created session_terminated session_takeovered session_resumed
packets_pubrec_missed packets_pubrel_received packets_auth_received packets_pingresp_sent
packets_publish_auth_error packets_disconnect_received packets_sent
packets_puback_received bytes_sent packets_pubcomp_missed packets_pubrel_missed
packets_pubrec_inuse packets_pubcomp_sent packets_auth_sent packets_pubcomp_inuse
bytes_received packets_publish_inuse packets_pubrec_received packets_pingreq_received
packets_suback_sent packets_publish_error packets_disconnect_sent
packets_publish_received packets_received packets_puback_missed packets_puback_sent
packets_publish_dropped packets_pubrec_sent packets_pubrel_sent
packets_connack_auth_error packets_subscribe_error packets_publish_sent packets_connect
packets_puback_inuse packets_connack_sent packets_unsuback_sent packets_pubcomp_received
packets_subscribe_auth_error packets_unsubscribe_error packets_unsubscribe_received
packets_connack_error packets_subscribe_received
"""


@pytest.mark.endpoint("v4", "GET /emqx_prometheus", "success")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_emqxs_names_are_there(broker: Process, prefix: str) -> None:
    said = call(broker, "GET", f"{prefix}/emqx_prometheus?type=prometheus")
    assert said.headers["content-type"] == TEXT
    families = parsed(said.text)
    for name in EMQX.split():
        kind = "gauge" if re.search("_(count|max)$|^vm_|^cluster_", name) else "counter"
        assert families[f"emqx_{name}"].kind == kind


@pytest.mark.endpoint("v4", "GET /emqx_prometheus", "success")
@pytest.mark.parametrize("query", ["", "?type=json"])
def test_the_same_is_told_as_json(broker: Process, query: str) -> None:
    data = get(broker, f"/emqx_prometheus{query}")["data"]
    assert list(data) == [
        "stats", "metrics", "packets", "messages", "delivery", "client", "session",
    ]  # fmt: skip
    names = {name for group in data.values() for name in group}
    cluster = {"emqx_cluster_nodes_running", "emqx_cluster_nodes_stopped"}
    assert {f"emqx_{name}" for name in EMQX.split()} - cluster <= names
    assert data["stats"]["emqx_sessions_count"] >= 0
    assert data["metrics"]["emqx_vm_total_memory"] > data["metrics"]["emqx_vm_used_memory"]


@pytest.mark.endpoint("v4", "GET /emqx_prometheus", "108")
def test_other_type_is_refused(broker: Process) -> None:
    said = call(broker, "GET", "/api/v4/emqx_prometheus?type=xml")
    assert_refused(said, 400, 108, "type: ")


@pytest.mark.parametrize("path", ["/prometheus", "/emqx_prometheus"])
def test_stranger_is_not_let_in(broker: Process, path: str) -> None:
    assert_refused(call(broker, "GET", f"/api/v4{path}", auth=""), 401, 104)
