"""Prometheus's own library for Python reads what this broker tells it, and it is true."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import StartBroker
from tests.http.v4 import call

pytestmark = pytest.mark.plain


def samples(families: Iterable[Metric]) -> dict[str, float]:
    """Return the values of what has no labels, by name without ``_total``.

    The library adds that to each counter: what is told under both names has one value.
    """
    read: dict[str, float] = {}
    for family in families:
        for each in family.samples:
            if not each.labels:
                name = each.name.removesuffix("_total")
                assert read.setdefault(name, float(each.value)) == each.value, name
    return read


@pytest.mark.parametrize(
    ("path", "connected", "topics", "received", "sent"),
    [
        ("prometheus", "nanomq_connections_count", "nanomq_topics_count",
         "nanomq_messages_received", "nanomq_messages_sent"),
        ("emqx_prometheus?type=prometheus", "emqx_connections_count", "emqx_topics_count",
         "emqx_messages_received", "emqx_messages_sent"),
    ],
)  # fmt: skip
def test_library_reads_what_happened(
    start_broker: StartBroker,
    path: str,
    connected: str,
    topics: str,
    received: str,
    sent: str,
) -> None:
    broker = start_broker()
    with broker.raw() as subscriber, broker.raw() as publisher:
        subscriber.connect("s")
        subscriber.subscribe(("a", 0), ("b", 0))
        publisher.connect("p")
        for payload in (b"1", b"2", b"3"):
            publisher.publish("a", payload)
            subscriber.expect(3)
        text = call(broker, "GET", f"/api/v4/{path}").text
    read = list(text_string_to_metric_families(text))
    values = samples(read)
    assert [values[name] for name in (connected, topics, received, sent)] == [2, 2, 3, 3]
    assert all(family.documentation for family in read)
    assert {family.type for family in read} == {"counter", "gauge"}
