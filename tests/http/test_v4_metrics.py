"""Counters, statistics, listeners and what exporters ask of ``/api/v4``.

Source  http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.records import Stats
from nanomq_py.http.emqx.metrics import METRICS, metrics_of
from nanomq_py.http.emqx.pace import Pace
from nanomq_py.http.emqx.stats import STATS, stats_of
from tests import raw
from tests.conftest import Process, StartBroker
from tests.eventually import eventually
from tests.http.documented import differences
from tests.http.v4 import PREFIXES, assert_refused, call, done, get
from tests.raw import Raw

FAMILIES = (
    "packets",
    "messages",
    "bytes",
    "client",
    "session",
    "delivery",
    "rules",
    "actions",
)


def test_each_metric_is_of_counters_that_there_are() -> None:
    there = Stats.__dataclass_fields__
    assert {name for names in METRICS.values() for name in names} <= set(there)
    assert {name for names in STATS.values() for name in names} <= set(there)
    assert {name.partition(".")[0] for name in METRICS} <= set(FAMILIES)


def test_metric_is_the_sum_of_its_counters() -> None:
    stats = Stats(puback_in=2, pubrec_in=3)
    assert metrics_of(stats)["messages.acked"] == 5
    assert metrics_of(stats, "/")["messages/acked"] == 5
    assert metrics_of(stats)["messages.forward"] == 0
    assert stats_of(Stats(clients=1, clients_max=2), "/")["sessions/max"] == 2


def test_traffic_is_counted(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw(5) as c:
        c.connect("c")
        c.subscribe(("t", 1))
        c.publish("t", b"x", qos=1, packet_id=1)
        assert {c.read().kind, c.read().kind} == {raw.PUBACK, raw.PUBLISH}
        c.publish("nobody", b"x", qos=2, packet_id=2)
        c.expect(raw.PUBREC)
        c.ping()
        (told,) = get(broker, "/metrics")["data"]
        counted = told["metrics"]

        def is_told_of_the_node() -> bool:
            nonlocal counted
            counted = get(broker, "/metrics")["data"][0]["metrics"]
            return bool(counted == get(broker, f"/nodes/{told['node']}/metrics")["data"])

        eventually(is_told_of_the_node)  # bytes are counted after they are sent
        once = (
            *("packets.connect.received", "packets.connack.sent", "client.connect"),
            *("client.connected", "client.authenticate", "session.created"),
            *("packets.subscribe.received", "packets.suback.sent", "client.subscribe"),
            *("packets.pingreq.received", "packets.pingresp.sent"),
            *("packets.puback.sent", "packets.pubrec.sent", "packets.publish.sent"),
            *("messages.qos1.received", "messages.qos2.received", "messages.qos1.sent"),
            *("messages.dropped", "messages.dropped.no_subscribers"),
        )
        assert {name: counted[name] for name in once} == dict.fromkeys(once, 1)
        assert counted["messages.received"] == counted["packets.publish.received"] == 2
        assert counted["packets.received"] == 5
        (told,) = get(broker, "/stats")["data"]
        assert told["stats"] == get(broker, f"/nodes/{told['node']}/stats")["data"]
        for name in ("connections", "live_connections", "sessions", "channels"):
            assert told["stats"][f"{name}.count"] == 1
            assert told["stats"][f"{name}.max"] == 1
        for name in ("subscriptions", "suboptions", "subscribers", "routes", "topics"):
            assert told["stats"][f"{name}.count"] == 1
            assert told["stats"][f"{name}.max"] == 1


STATISTICS = (
    *("connections", "live_connections", "channels", "sessions", "topics", "suboptions"),
    *("subscribers", "subscriptions", "subscriptions.shared", "routes", "retained"),
)


def test_statistics_have_the_names_of_emqx(busy: Process) -> None:
    (told,) = get(busy, "/stats")["data"]
    names = [f"{name}.{kind}" for name in STATISTICS for kind in ("count", "max")]
    assert sorted(told["stats"]) == sorted(names)
    assert told["stats"]["subscriptions.shared.count"] == 1


def test_maximum_stays_when_they_leave(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw() as c:
        c.connect("c")
        c.subscribe(("a", 0), ("$share/g/b", 0))
        c.leave()
    (told,) = get(broker, "/stats")["data"]
    for name in (
        *("connections", "live_connections", "channels", "sessions", "subscribers"),
        *("subscriptions", "suboptions", "subscriptions.shared"),
    ):
        assert told["stats"][f"{name}.count"] == 0, name
        assert told["stats"][f"{name}.max"] > 0, name


def test_nanomq_fields_of_metrics_stand_at_the_top(busy: Process) -> None:
    answer = get(busy, "/metrics")
    assert list(answer) == ["data", "code", "metrics", "cpuinfo", "memory"]
    assert answer["metrics"] == []  # of bridges
    assert re.fullmatch(r"\d+\.\d\d%", answer["cpuinfo"])
    assert int(answer["memory"]) > 1 << 20


# --- listeners

LISTENER = json.loads(
    '{"shutdown_count":[],"protocol":"mqtt:tcp","max_conns":1024000,'
    '"listen_on":"0.0.0.0:1883","identifier":"mqtt:tcp:external","current_conns":1,'
    '"acceptors":64}'
)


def test_listeners_are_told_as_in_the_example(busy: Process, node: str) -> None:
    answer = get(busy, "/listeners")
    expected = {"node": "emqx@127.0.0.1", "listeners": [LISTENER]}
    assert differences({"data": [expected], "code": 0}, answer) == []
    (row,) = answer["data"][0]["listeners"]
    assert row["listen_on"] == f"127.0.0.1:{busy.port}"
    assert row["identifier"] == "mqtt:tcp:tcp"
    assert row["current_conns"] == 3
    assert get(busy, f"/nodes/{node}/listeners") == {"data": [row], "code": 0}


RESTART = "listeners/{identifier}/restart"


@pytest.mark.endpoint("v4", f"PUT /{RESTART}", "success")
@pytest.mark.endpoint("v4", f"PUT /nodes/{{node}}/{RESTART}", "success")
@pytest.mark.parametrize("by_node", [False, True])
def test_restart_disconnects_the_clients_of_one_listener(
    start_broker: StartBroker, tmp_path: Path, by_node: bool
) -> None:
    broker = start_broker(**{"listener.other.url": "nmq-tcp://127.0.0.1:0"})
    node = get(broker, "/nodes")["data"][0]["node"]
    start = f"/nodes/{node}" if by_node else ""
    with broker.raw() as one, broker.raw(key="listener.other.url") as other:
        one.connect("one")
        other.connect("other")
        done(broker, "PUT", f"{start}/listeners/mqtt:tcp:other/restart")
        other.read_until_closed()
        one.ping()
        with broker.raw(key="listener.other.url") as again:
            again.connect("again")


@pytest.mark.endpoint("v4", f"PUT /{RESTART}", "102")
@pytest.mark.parametrize("identifier", ["mqtt:tcp:none", "mqtt:ssl:tcp", "tcp", "x" * 500])
def test_unknown_listener_is_not_found(busy: Process, identifier: str) -> None:
    said = call(busy, "PUT", f"/api/v4/listeners/{identifier}/restart")
    assert_refused(said, 404, 102, "listener '")


async def test_program_names_and_restarts_listeners() -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
    async with Broker(config) as broker:
        with pytest.raises(KeyError, match="none"):
            broker.restart_listener("none")
        with Raw(broker.ports["url"]) as c:
            await asyncio.to_thread(c.connect, "c")
            detail = broker.detail("c")
            assert detail is not None
            assert broker.listener_name(detail.listener_key) == "tcp"
            assert broker.listener_name(0) == ""
            broker.restart_listener("tcp")
            await asyncio.to_thread(c.read_until_closed)


# --- what exporters ask


def test_pace_is_of_an_earlier_look() -> None:
    now = 10.0
    pace = Pace(lambda: now)
    now = 12.0
    assert pace.per_second(20.0, 0.0) == [10.0, 0.0]
    now = 12.5  # not yet a second later: since the start
    assert pace.per_second(25.0, 0.0) == [10.0, 0.0]
    now = 14.0
    assert pace.per_second(26.0, 4.0) == [3.0, 2.0]
    assert pace.per_second(26.0, 4.0) == [3.0, 2.0]


def test_pace_is_not_of_what_was_before_it_began() -> None:
    now = 10.0
    pace = Pace(lambda: now, begun=(5.0,))
    now = 11.0
    assert pace.per_second(5.5) == [0.5]


def test_current_metrics_are_a_second_s_worth(start_broker: StartBroker) -> None:
    broker = start_broker()
    path = "/monitor/current_metrics"
    node = get(broker, "/nodes")["data"][0]["node"]
    with broker.raw() as c:
        c.connect("c")
        c.subscribe(("t", 0))
        get(broker, path)
        until = time.monotonic() + 20
        while True:
            for _ in range(100):
                c.publish("t", b"x")
                c.expect(raw.PUBLISH)
            told = get(broker, path)["data"]
            if told["received"] > 0 and told["sent"] > 0:
                break
            assert time.monotonic() < until, told
        assert {"node": 1, "subscription": 1, "connection": 1}.items() <= told.items()
    assert list(get(broker, f"/nodes/{node}{path}")["data"]) == list(told)


@pytest.mark.parametrize(("keys", "most"), [({"max_connections": "77"}, 77), ({}, None)])
def test_licence_never_expires(
    start_broker: StartBroker, keys: dict[str, str], most: int | None
) -> None:
    broker = start_broker(**keys)
    told = get(broker, "/license")["data"]
    assert time.strptime(told["expiry_at"], "%Y-%m-%d %H:%M:%S").tm_year == 9999
    assert time.strptime(told["issued_at"], "%Y-%m-%d %H:%M:%S")
    assert told["expiry"] is False
    assert told["max_connections"] == most or get(broker, "/nodes")["data"][0]["max_fds"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_slow_subscriptions_are_not_measured(busy: Process, node: str, method: str) -> None:
    for path in ("/slow_subscriptions", f"/nodes/{node}/slow_subscriptions"):
        said = call(busy, method, f"/api/v4{path}")
        assert_refused(said, 404, 111, "module_not_loaded")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "path",
    ["metrics", "stats", "listeners", "slow_subscriptions", "monitor/current_metrics"],
)
def test_other_node_is_not_found(busy: Process, prefix: str, path: str) -> None:
    said = call(busy, "GET", f"{prefix}/nodes/emqx@nowhere/{path}")
    assert_refused(said, 404, 101, "emqx@nowhere")


@pytest.mark.parametrize(
    "path", ["metrics", "stats", "listeners", "license", "monitor/current_metrics"]
)
def test_stranger_is_told_nothing(busy: Process, path: str) -> None:
    assert_refused(call(busy, "GET", f"/api/v4/{path}", auth=""), 401, 104)
    assert_refused(call(busy, "GET", f"/api/v4/{path}", auth="admin:no"), 401, 103)
